"""Strings of files on a terminal: every control character is shown, none acts, and JSON stays JSON."""

import io
import json
import re
import sys
import unicodedata

import pytest
from click.testing import CliRunner
from places import ROOT
from rich.table import Table

from visionport import cli, terminal
from visionport.commands import common
from visionport.inspection.tables import name_table
from visionport.progress import Progress, Stages
from visionport.terminal import Guarded, console_of, escaped, guard, one_line, paragraph, unguarded

EVIL = "\x1b]0;pwned\x07\x1b[2J\r\x9b31m[red]\u202etxt\u2028:smile:\udcff\U000e0041"
ACTING = set(EVIL) - set("]0;pwned[2J31mtx:sile") - set("[red]")


def test_what_is_escaped():
    assert escaped(EVIL) == (
        "\\u001b]0;pwned\\u0007\\u001b[2J\\u000d\\u009b31m[red]\\u202etxt\\u2028:smile:\\udcff\\udb40\\udc41"
    )
    kept = "Ünïcode 日本語 👩‍🚀 a\tb\nc \u200c\u200d\u00ad\xa0"
    assert escaped(kept) == kept
    assert one_line("a\tb\nc\x1b") == "a\\tb\\nc\\u001b"
    assert paragraph("a\nerror: b") == "a\n  error: b"


def test_every_control_and_direction_of_unicode():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t":
            assert escaped(character) != character, hex(code)
        if unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
            assert escaped(character) != character, hex(code)


def test_json_stays_json():
    content = {EVIL: [EVIL, "plain", 1.5]}
    text = escaped(json.dumps(content, ensure_ascii=False))
    assert text.isprintable()
    assert json.loads(text) == content
    text.encode()


def test_a_guarded_stream():
    stream = io.StringIO()
    guarded = guard(stream)
    print(EVIL, file=guarded)
    guarded.writelines([EVIL, "\n"])
    assert stream.getvalue() == f"{escaped(EVIL)}\n" * 2
    assert guard(guarded) is guarded
    assert unguarded(guarded) is stream
    assert unguarded(stream) is stream
    assert guard(None) is None
    assert guarded.getvalue() == stream.getvalue()  # all else is the stream's own


def test_a_console_shows_strings_as_they_are():
    """No markup, no emoji, no escapes, in tables, titles and cells; styles of our own stay."""
    stream = io.StringIO()
    table = Table(title=f"title {EVIL}")
    table.add_column(EVIL, overflow="fold")
    table.add_row(EVIL)
    console = console_of(guard(stream), 200)
    console.print(table, EVIL, name_table(f"names {EVIL}", ("head", "name"), [["1", f"{EVIL}\nforged"]]), crop=False)
    shown = stream.getvalue()
    assert not ACTING & set(shown)
    assert shown.count("[red]") >= 4  # folding may part one
    assert shown.count(":smile:") >= 4
    assert "\\nforged" in shown
    assert "\x1b" not in shown


def test_warnings_and_stages(capsys, monkeypatch):
    Progress().warn(f"{EVIL}\nerror: no")
    monkeypatch.setattr(Stages, "_count", lambda *_: None)
    stages = Stages()
    stages.terminal = True
    with stages.stage(f"read {EVIL}\n") as remark:
        remark(EVIL)
    told = capsys.readouterr().err.replace("\r\x1b[K", "")
    assert not ACTING - set("\udcff\U000e0041") & set(told)
    assert "  error: no" in told.splitlines()


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    return lambda *arguments: CliRunner().invoke(cli.main, [str(a) for a in arguments])


def test_names_and_errors_on_the_command_line(invoke, tmp_path):
    """File names, config text and label maps, in errors of ours and of usage."""
    config = tmp_path / f"{EVIL[:-2].replace('/', '')}.config"
    config.write_text("model { \x1b]0;pwned\x07\x1b[2J: 1 }")
    checkpoint = tmp_path / "ckpt-1"
    for arguments in (
        ("inspect", config),
        ("inspect", checkpoint, "--config", config),
        ("export", "--config", config, "--checkpoint", checkpoint, "--out", tmp_path / EVIL[:8]),
        ("inspect", f"--{EVIL[:-2]}"),
        (EVIL[:-2],),
    ):
        done = invoke(*arguments)
        assert done.exit_code == common.WRONG, done.output
        assert not ACTING & set(done.output), done.output
        assert "\\u001b" in done.output or "\\x1b" in done.output or "ckpt-1: no such checkpoint" in done.output


def test_streams_are_guarded_while_a_command_runs(invoke, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.main.commands["inspect"], "callback", lambda **_: seen.append((sys.stdout, sys.stderr)))
    invoke("inspect", "x")
    assert all(isinstance(stream, Guarded) for stream in seen[0])
    assert terminal.unguarded(sys.stdout) is sys.stdout


def test_consoles_are_made_in_one_place():
    """A console made elsewhere would print what files hold."""
    assert not [file for file in (ROOT / "src").rglob("*.py") if re.search(r"\bConsole\(", file.read_text())]
