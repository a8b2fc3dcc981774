"""A few hundred mutated files a reader, the same in every run: none may end in a traceback, a crash or a hang."""

import os

import pytest
from fuzzing import NAMES, Child, Tally, filled, table

INPUTS, SECONDS, SEED = 300, 30, 1  # a reader; all readers together; see `make fuzz` for more


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with Child(tmp_path_factory.mktemp("found")) as child:
        yield child


@pytest.mark.parametrize("name", NAMES)
def test_readers_take_or_refuse(child, name):
    tally = child.run(name, INPUTS, SEED, seconds=SECONDS / len(NAMES))
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert tally.counts["read"] + tally.counts["refused"]


BAD = """
import os
SUFFIX = ".txt"
SEEDS = (b"read", b"divide", b"hang", b"abort", b"exit", b"fill", b"divide ")

def read(path):
    word = path.read_bytes()
    if word.startswith(b"divide"):
        1 / 0
    elif word == b"hang":
        while True:
            pass
    elif word == b"abort":
        os.abort()
    elif word == b"exit":
        raise SystemExit(3)
    elif word == b"fill":
        bytes(1 << 40)
"""


def test_what_must_not_be_is_found(tmp_path, monkeypatch):
    """Each place in the code once, and every input counted."""
    (tmp_path / "fuzz_bad.py").write_text(BAD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    with Child(tmp_path / "kept", cpu=1) as child:
        tally = child.run("bad", 7, seed=2)
    assert tally.row() == ["bad", "7", "0", "1", "4", "1", "1"]
    assert [finding.file.read_bytes() for finding in tally.findings] == [b"divide", b"hang", b"abort", b"exit", b"fill"]
    assert "ZeroDivisionError at fuzz_bad.py:9 read" in tally.findings[0].words
    assert "Aborted" in tally.findings[2].words


def test_figures_go_into_a_document():
    """A reader's row replaces its own; the others stay."""
    tally = Tally(name="b")
    tally.counts.update({"read": 3, "refused": 1200})
    text = f"before\n\n{table([Tally(name='c'), Tally(name='b')])}\n\nafter\n"
    text = filled(filled(text, [tally]), [Tally(name="a")])
    assert text.startswith("before\n\n| reader | inputs |")
    assert text.endswith("\n\nafter\n")
    assert text.splitlines()[4:7] == [
        "| a | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| b | 1,203 | 1,200 | 3 | 0 | 0 | 0 |",
        "| c | 0 | 0 | 0 | 0 | 0 | 0 |",
    ]
