"""The documents say what is true: every command and option, every link, every snippet, every generated table."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from environments import run_snippet
from places import ROOT

from visionport.cli import main

README, CLI = ROOT / "README.md", ROOT / "docs" / "cli.md"
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
IN_CODE = re.compile(r"(?<![\w-])--?[a-z][\w-]*")


def blocks(document: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(document.read_text()) if language in languages]


def commands(code: str) -> list[list[str]]:
    """The visionport commands of a shell block, each as its arguments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("visionport ")]


def section(command: str) -> str:
    """The part of docs/cli.md about a command."""
    _, _, rest = CLI.read_text().partition(f"\n## `visionport {command}`\n")
    return rest.partition("\n## ")[0]


def rows(text: str) -> str:
    """The first cells of the tables in it."""
    return "\n".join(line.split(" | ")[0] for line in text.splitlines() if line.startswith("| "))


def options_of(command: click.Command) -> set[str]:
    with click.Context(command) as context:
        parameters = command.get_params(context)
    return {name for p in parameters if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("name", main.commands)
def test_every_option_is_documented_and_no_other(name):
    assert set(IN_CODE.findall(rows(section(name)))) == options_of(main.commands[name])


@pytest.mark.parametrize("name", main.commands)
def test_every_argument_is_documented(name):
    arguments = [p for p in main.commands[name].params if isinstance(p, click.Argument)]
    assert all(f"| `{(a.name or '').upper()}` |" in section(name) for a in arguments)


def test_every_command_is_documented_and_no_other():
    assert set(re.findall(r"^## `visionport (\w+)`$", CLI.read_text(), re.MULTILINE)) == set(main.commands)
    assert all(option in CLI.read_text() for option in options_of(main))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_documents_are_understood(document):
    for code in blocks(document, "", "sh"):
        for name, *arguments in commands(code):
            if name in main.commands:
                main.commands[name].make_context(name, arguments)
            else:
                assert name.isupper() or name in options_of(main)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for path, anchor in LINK.findall(document.read_text()):
        if path.startswith(("http://", "https://")):
            continue
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor:
            assert anchor[1:] in map(slug, re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)), anchor


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_generated_tables_are_up_to_date():
    spec = importlib.util.spec_from_file_location("support", ROOT / "scripts" / "support.py")
    assert spec
    assert spec.loader
    support = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(support)
    for name in support.FILES:
        text = (ROOT / name).read_text()
        assert text == support.filled(text), f"{name}: run `python scripts/support.py --write`"


def test_architecture_names_every_room_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("## The rooms")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)/`", "".join(rows(table))))
    assert named == {f.parent.name for f in (ROOT / "src" / "visionport").glob("*/__init__.py")}
    for name in re.findall(r"`(\w+\.py)`", rows(table)):
        assert (ROOT / "src" / "visionport" / name).is_file(), name


@pytest.fixture
def inputs(tmp_path, digits):
    """A folder with what the README's reader has: a config, a checkpoint, a label map, a picture."""
    shutil.copy(digits / "tf2" / "pipeline.config", tmp_path)
    shutil.copy(digits / "label_map.pbtxt", tmp_path)
    shutil.copy(digits / "images" / "digits-0.jpg", tmp_path / "photo.jpg")
    (tmp_path / "training").symlink_to(digits / "tf2")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_shell_blocks_of_the_readme_run_in_their_order(inputs):
    codes = [code for code in blocks(README, "sh") if code.startswith("visionport")]
    assert codes
    for code in codes:
        run(["sh", "-ec", code], inputs)
    assert {"saved_model", "frozen_inference_graph.pb", "model.tflite"} < {
        f.name for f in (inputs / "exported").iterdir()
    }
    assert (inputs / "photo_detections.png").is_file()


@pytest.mark.parametrize("client", ["TensorFlow", "A TF1 session", "LiteRT"])
def test_snippets_for_clients_run(exported, digits, tmp_path, client):
    """Those for MediaPipe, OpenVINO and OpenCV run in the tests of these."""
    assert run_snippet(sys.executable, client, exported, digits / "images" / "digits-0.jpg", tmp_path).strip()


def test_python_blocks_of_the_readme_run(inputs, exported):
    (inputs / "exported").symlink_to(exported)
    codes = blocks(README, "python")
    assert len(codes) >= 4
    with ThreadPoolExecutor(2) as pool:
        for printed in pool.map(lambda code: run([sys.executable, "-c", code], inputs), codes):
            assert printed.strip()
