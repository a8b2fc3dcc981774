"""What a terminal shows: help, versions, tables of 80 columns, the verdict, running seconds; and a folder alone."""

import io
import json
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from visionport import Options, cli, exporter
from visionport.commands.common import GROUP_OF, GROUPS
from visionport.progress import Stages
from visionport.verification.checks import Check
from visionport.verification.summary import conclude
from visionport.verification.table import table


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    return lambda *arguments: CliRunner().invoke(cli.main, [str(a) for a in arguments], terminal_width=80)


@pytest.mark.parametrize("name", ["", *cli.main.commands])
def test_help_fits_80_columns(invoke, name):
    text = invoke(*name.split(), "--help").output
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_options_are_in_groups(invoke):
    heads = []
    for command in ("export", "serve"):
        text = invoke(command, "--help").output
        heads.append([line.rstrip(":") for line in re.findall(r"^[\w.]+:$", text, re.MULTILINE)])
    served = ["Models", "Network", "Bounds"]
    assert heads == [[*(g for g in GROUPS if g not in served), "Options"], ["Input", "Output", *served, "Options"]]
    text = invoke("export", "--help").output
    for group, flag in (("Input", "--config"), ("TFLite", "--tflite-nms"), ("Quantisation", "--calibration")):
        part = text.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert re.search(rf"^  {flag} ", part, re.MULTILINE)
    known = {o for c in cli.main.commands.values() for p in c.params for o in p.opts}
    assert {*GROUP_OF} - known <= {"--score-threshold", "--verify-input"}


def test_versions(invoke):
    output = invoke("--version").output
    assert output.startswith(f"visionport, version {version('visionport')} (TensorFlow 2.")


def check(artifact="tflite", what="scores", **more) -> Check:
    return Check(**{"artifact": artifact, "what": what, "picture": "a", "measured": 1e-6, "bound": 1e-4, **more})


NOTE = "left out by design: detection_anchor_indices, detection_multiclass_scores, raw_detection_boxes, raw_detection_x"
LAYER = "FeatureExtractor/MobilenetV2/expanded_conv_12/depthwise/depthwise_weights_quant_of_it"


def test_tables_fit_80_columns_without_a_broken_word():
    checks = [
        check("frozen_graph", "detections matched", measured=1, bound=0.95, at_least=True, notes="of 7"),
        check("frozen_graph", "outputs", by_design=NOTE),
        check(what=LAYER, bound=None),
        check(measured=12345678.9, bound=3.83e-5),
    ]
    out = io.StringIO()
    Console(file=out, width=80, highlight=False).print(table(checks, 80), crop=False)
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines if LAYER not in line) <= 80
    words = out.getvalue().split()
    for word in (LAYER, *NOTE.split(), "DISAGREES", "1.23e7", "3.83e-5", "matched", "frozen_graph"):
        assert word in words


@pytest.mark.parametrize(
    ("checks", "artifacts", "state", "text"),
    [
        ([check("a"), check("b")], "ab", "agrees", "2 artifacts agree with ckpt-5"),
        ([check("a")], "a", "agrees", "a agrees with ckpt-5"),
        ([check("a"), check("b", measured=1)], "ab", "disagrees", "1 of 2 artifacts disagrees with ckpt-5: b (scores)"),
        ([check("a", measured=1)], "a", "disagrees", "a disagrees with ckpt-5: scores"),
        ([check("a"), check("b", bound=None)], "ab", "not judged", "a agrees with ckpt-5; not verified: b"),
        ([], "ab", "not judged", "nothing was compared with ckpt-5"),
    ],
)
def test_the_verdict(checks, artifacts, state, text):
    verdict = conclude(checks, [*artifacts], "ckpt-5")
    assert (verdict.state, verdict.text) == (state, text)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_seconds_run_while_a_stage_does(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("visionport.progress.WAIT", 0.02)
    stages = Stages()
    with stages.stage("verify") as remark:
        time.sleep(0.2)
        stages.warn("hm")
        remark("done")
    shown = terminal.getvalue()
    assert shown.count("  verify ... 0 s") > 1
    assert "\r\x1b[Kwarning: hm\n" in shown
    assert re.search(r"\x1b\[K  verify +0\.\d s  done\n$", shown)


def test_stages_that_do_not_last_leave_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Stages(lasting=False).stage("read"):
        pass
    assert terminal.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with Stages(lasting=False).stage("read"):
        pass
    assert file.getvalue() == ""


@pytest.fixture
def asked(monkeypatch) -> list[Options]:
    """The options of the exports that were asked for; each is said to have agreed."""
    found: list[Options] = []

    def exported(options: Options, *_: object) -> exporter.Export:
        found.append(options)
        artifact = exporter.Artifact(format="tflite", path="model.tflite", size=1234)
        how = {"checkpoint": "t/ckpt-5", "seconds": {"tflite": 0.01}}
        return exporter.Export(out=options.out, artifacts=(artifact,), checks=(check(),), warnings=("hm",), **how)

    monkeypatch.setattr(exporter, "export", exported)
    return found


def test_a_folder_alone(invoke, asked, tmp_path):
    assert invoke("export", tmp_path, "--json").exit_code == 0
    assert invoke("export", tmp_path, "--config", "c", "--out", "o", "--json").exit_code == 0
    assert invoke("export", tmp_path, "--experiment", "e", "--json").exit_code == 0
    assert [(o.config, o.checkpoint, o.out) for o in asked] == [
        (tmp_path, tmp_path, Path("exported")),
        (Path("c"), tmp_path, Path("o")),
        (None, tmp_path, Path("exported")),
    ]
    (tmp_path / "file").touch()
    for wrong, words in (("nowhere", "no such folder"), ("file", "is a file")):
        result = invoke("export", tmp_path / wrong)
        assert result.exit_code == 2
        assert words in result.output


def test_export_as_json(invoke, asked, tmp_path):
    record = json.loads(invoke("export", tmp_path, "--json").output)
    assert record["agrees"] is True
    assert record["artifacts"] == [
        {"format": "tflite", "path": "exported/model.tflite", "size": 1234, "seconds": 0.0, "a_picture": 0.01}
    ]
    assert [c["what"] for c in record["checks"]] == ["scores"]
    assert (record["warnings"], record["notes"], record["checkpoint"]) == (["hm"], [], "t/ckpt-5")
