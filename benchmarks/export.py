"""What an export costs, and what its artifacts cost to use, beside the reference exporters.

    python benchmarks/export.py                                   every config with bounds
    python benchmarks/export.py --only CASE... --repeat 5 --json cost.json
    python benchmarks/export.py --only CASE --reference CASE=DIR  its own export, called in the same run

Each figure is of a fresh process: CPU seconds are user + system, the peak is of the resident set. Machines differ, so
CPU time is given as a ratio (x) to `import tensorflow`, the least of three runs right before, and memory above its
peak. Prints a Markdown table. The exit status says whether everything ran; the column "ok" whether the bounds hold.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import visionport
from visionport.benchmarking.figures import Row as Artifact

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = (ROOT / "tests" / "golden", ROOT.parent / "shared" / "golden")
PICTURE = "od/images/480x640.npz"
IMPORTS, RUNS, PATIENCE = 3, 20, 10.0  # runs of an artifact, but for what takes longer than so many seconds
MIB = 2**20
COLUMNS = ("import_s", "export", "peak", "pb", "variables", "frozen_size", "load", "first", "call_ms")


@dataclass(frozen=True)
class Row:
    """A case: what the reference's export of it costs, and the bounds that the project sets itself."""

    reference: tuple[float | None, ...]  # one for each of COLUMNS, which are FIGURES; x is of its own import_s
    bounds: Mapping[str, float]
    tflite: tuple[float, float] | None = None  # its TFLite file: CPU ms a call with fast NMS and 10 detections, MB
    formats: str = "saved_model"  # what the reference's script writes, and its figures are of
    size: int | None = None  # of the input of an experiment of Official Vision, which is called as the case is
    golden: str = ""  # the golden case whose rules for weights an experiment's checkpoint is made by
    factors: Mapping[str, float] = field(default_factory=dict)  # of weights: part of a key -> factor


TF1 = "saved_model,frozen_graph"  # and with them, always, the checkpoint, its .meta and the config

# The reference: Object Detection API 2.8.0.post1 as its users run it, on TF 2.15.1, 2 shared cores, the same weights.
ROWS = {
    "ssd_mobilenet_v1_coco": Row(
        (2.56, 6.3, 488, 29.6, None, 29.4, 1.4, 1.1, 50),
        tflite=(21, 27.3),
        bounds={"export": 1.9, "load": 0.12, "call": 0.8},
        formats=TF1,
    ),
    "ssd_mobilenet_v2_coco": Row(
        (2.68, 5.9, 482, 26.7, None, 26.5, 1.1, 1.0, 44),
        bounds={"export": 4, "load": 1.1, "call": 1.0},
        formats=TF1,
    ),
    "faster_rcnn_resnet50_coco": Row(
        (2.66, 7.9, 1178, 119.5, None, 119.3, 2.4, 4.2, 3276),
        bounds={"export": 6, "load": 2.4, "call": 1.0},
        formats=TF1,
    ),
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": Row(
        (2.53, 19.2, 980, 9.1, 10.9, None, 2.2, 0.83, 349),
        tflite=(91, 12.4),
        bounds={"export": 1.9, "load": 0.22, "call": 0.6},
    ),
    "ssd_efficientdet_d0_512x512_coco17_tpu-8": Row(
        (2.44, 30.1, 1589, 16.5, 23.0, None, 4.0, 1.1, 354),
        bounds={"export": 2.8, "load": 0.40, "call": 0.55},
    ),
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8": Row(
        (2.53, 19.4, 1125, 8.5, 114.2, None, 1.9, 1.6, 2014),
        bounds={"export": 1.9, "load": 0.18, "call": 1.0},
    ),
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8": Row(
        (2.45, 9.5, 834, 4.8, 103.4, None, 1.7, 0.49, 594),
        bounds={"export": 1.8, "load": 0.2, "call": 1.0},
    ),
    # Official Vision's export_saved_model on TF 2.20, batch 1.
    "resnet_imagenet": Row(
        (3.9, 4.5, 530, 3.8, 102.6, None, 0.8, 0.1, 91),
        bounds={"export": 2, "peak": 530 / 4, "load": 0.8 / 4, "call": 1.0},
        size=224,
        golden="resnet_imagenet",
    ),
    "mnv2_deeplabv3_pascal": Row(
        (3.9, 5.9, 530, 5.9, 10.4, None, 1.1, 0.2, 88),
        bounds={"export": 2.2, "peak": 530 / 4, "load": 1.1 / 4, "call": 1.0},
        size=512,
        golden="mnv2_deeplabv3_pascal",
    ),
    "retinanet_resnetfpn_coco": Row(
        (3.9, 15.7, 1820, 20.7, 136.9, None, 3.5, 6.4, 2068),
        bounds={"export": 2.5, "peak": 1820 / 4, "load": 3.5 / 6, "call": 0.5},
        size=640,
        golden="retinanet_c13_256",
    ),
    "maskrcnn_resnetfpn_coco": Row(
        (3.9, 27, 2430, 23.9, 186.0, None, 4.6, 9.0, 4481),
        bounds={"export": 3, "peak": 2430 / 4, "load": 4.6 / 6, "call": 0.8},
        size=640,
        golden="maskrcnn_c13_256",
        # With 91 classes the golden weights leave every score below the threshold of 0.05.
        factors={"detection_head/_classifier/kernel": 6.0},
    ),
}

FIGURES = {  # key: (what, unit)
    "export": ("export, CPU", "x"),
    "peak": ("export, peak memory above the import's", " MiB"),
    "verify": ("verification besides, CPU", "x"),
    "verify_peak": ("verification besides, peak memory", " MiB"),
    "all_formats": ("export of all formats, CPU", "x"),
    "pb": ("`saved_model.pb`", " MB"),
    "variables": ("its variables", " MB"),
    "load": ("SavedModel: loading, CPU", "x"),
    "first": ("SavedModel: first call, CPU", "x"),
    "call": ("SavedModel: a call, CPU, to the reference's", " times"),
    "call_ms": ("SavedModel: a call, CPU", " ms"),
    "wall": ("SavedModel: a call, median wall time", " ms"),
    "memory": ("SavedModel: peak memory in use above the import's", " MiB"),
    "frozen_size": ("frozen graph", " MB"),
    "frozen": ("frozen graph: a call, CPU", " ms"),
    "tflite_size": ("TFLite", " MB"),
    "tflite": ("TFLite, 1 thread: a call, CPU", " ms"),
    "tflite_network": ("TFLite, 1 thread: a call without NMS, CPU", " ms"),
    "tflite_fast": ("TFLite, 1 thread, fast NMS, 10 detections: a call, CPU", " ms"),
}


def main():
    options = parse()
    versions = f"TensorFlow {importlib.metadata.version('tensorflow')}, Python {platform.python_version()}"
    machine = f"{versions}, {os.cpu_count()} cores, {platform.machine()}"
    report = {"machine": machine, "date": time.strftime("%Y-%m-%d"), "repeat": options.repeat}
    report |= {"load": [os.getloadavg()[0]], "cases": {}}
    golden = find_golden(options.golden)
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="export-benchmark-") as folder:
            given = options.checkpoint.get(name), options.reference.get(name)
            report["cases"][name] = measure(name, golden, Path(folder), options.repeat, *given)
        report["load"].append(os.getloadavg()[0])
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def parse():
    configs = f"of {', '.join(ROWS)}; default: all"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=[*ROWS], metavar="CASE", help=configs)
    repeats = {"type": int, "choices": range(1, 100), "default": 3, "metavar": "N"}
    parser.add_argument("--repeat", help="least of N runs; default: 3", **repeats)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--golden", type=Path, metavar="DIR", help="default: tests/golden, else ../shared/golden")
    pairs = {"nargs": "+", "type": case_and_path, "default": []}
    parser.add_argument("--reference", metavar="CASE=DIR", help="exports of the reference, to call beside", **pairs)
    parser.add_argument("--checkpoint", metavar="CASE=PREFIX", help="default: made of the golden data", **pairs)
    options = parser.parse_args()
    options.reference, options.checkpoint = dict(options.reference), dict(options.checkpoint)
    return options


def case_and_path(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if name not in ROWS or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not CASE=PATH with one of {', '.join(ROWS)}")
    return name, Path(path).resolve()


def find_golden(chosen: Path | None) -> Path:
    tried = [chosen] if chosen else GOLDEN
    found = [folder.resolve() for folder in tried if (folder / PICTURE).exists()]
    return found[0] if found else sys.exit(f"no golden data in {', '.join(map(str, tried))}. See --golden.")


def measure(name: str, golden: Path, folder: Path, repeat: int, prefix: Path | None, reference: Path | None) -> dict:
    """Everything about one case: {"figures", "reference": in FIGURES' units, "seconds": CPU times, "import": ...}."""
    row, out, saved_model, picture = ROWS[name], folder / "out", folder / "saved_model", folder / "picture.png"
    # TFLite_Detection_PostProcess is for one-stage models.
    formats = f"{TF1},tflite" if name.startswith("ssd") else TF1

    def log(text):
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    def export(*arguments):
        shutil.rmtree(out, ignore_errors=True)
        config = "--config", golden / "od" / name / "pipeline.config"
        if row.size:
            config = "--experiment", name, "--image-size", f"{row.size},{row.size}", "--batch", "1"
        given = "--checkpoint", prefix, "--out", out, "--quiet", *arguments
        return run("-m", "visionport", "export", *config, *given)

    def least(times, action, *arguments):
        cpu, peaks, _ = zip(*(action(*arguments) for _ in range(times)), strict=True)
        return min(cpu), min(peaks)

    log("checkpoint")
    run(__file__, "--make", name, golden, picture, *([] if prefix else [folder / "checkpoint"]))
    prefix = prefix or folder / "checkpoint"
    log("import tensorflow")
    import_s, import_peak = least(IMPORTS, run, "-c", "import tensorflow")
    seconds, figures = {}, {}

    log("export")
    written = "--format", row.formats
    seconds["export"], peak = least(repeat, export, "--no-verify", *written)
    shutil.copytree(out / "saved_model", saved_model)
    figures["peak"], figures["pb"] = peak - import_peak, megabytes(saved_model / "saved_model.pb")
    figures["variables"] = megabytes(*(saved_model / "variables").iterdir())
    log("export with verification")
    verified_s, verified_peak = least(repeat, export, *written)
    seconds["verify"], figures["verify_peak"] = verified_s - seconds["export"], verified_peak - peak
    log(f"export of {formats}")
    seconds["all_formats"], _ = least(repeat, export, "--no-verify", "--format", formats)

    log("use")
    mine, theirs = call(picture, repeat, saved_model, *([reference] if reference else []))
    seconds |= {k: mine[k] for k in ("load", "first")}
    frozen, _ = call(picture, repeat, out / "frozen_inference_graph.pb")
    figures |= {k: mine[k] for k in ("wall", "call_ms", "memory")} | {"frozen": frozen["call_ms"]}
    figures["frozen_size"] = megabytes(out / "frozen_inference_graph.pb")
    if "tflite" in formats:
        whole, _ = call(picture, repeat, out / "model.tflite", threads=1)
        figures |= {"tflite": whole["call_ms"], "tflite_network": whole["network_ms"]}
        figures["tflite_size"] = megabytes(out / "model.tflite")
        export("--no-verify", "--format", "tflite", "--tflite-nms", "fast", "--max-detections", "10")
        figures["tflite_fast"] = call(picture, repeat, out / "model.tflite", threads=1)[0]["call_ms"]
    figures |= {k: s / import_s for k, s in seconds.items()}
    stored = references(row)
    stored |= {k: v / import_s if k in ("load", "first") else v for k, v in theirs.items() if k in FIGURES}
    # Of another run, CPU times compare as ratios to each one's import.
    unit = 1 if theirs else import_s / stored["import_s"]
    figures["call"], stored["call"] = figures["call_ms"] / (stored["call_ms"] * unit), 1.0
    found = {"import": {"cpu_s": import_s, "peak_mib": import_peak}, "figures": figures, "seconds": seconds}
    return found | {"reference": stored, "same_run": bool(theirs)}


def call(picture: Path, repeat: int, *artifacts: Path, threads: int | None = None) -> tuple[dict, dict]:
    """The least figures of the first artifact, and those of the reference's of the same format where it is given."""
    how: dict[str, Any] = {"images": [picture], "runs": RUNS, "seconds": 0, "patience": PATIENCE, "threads": threads}
    how["allow_unsafe_ops"] = True  # no check, which loads TensorFlow here: a new process's peak begins with this one's
    runs = [visionport.benchmark(artifacts, **how).rows for _ in range(repeat)]
    if wrong := [r for rows in runs for r in rows if r.error]:
        sys.exit(f"{wrong[0].path}: {wrong[0].error}")
    kind = runs[0][0].format
    groups = [[figures_of(r) for r in column] for column in zip(*runs, strict=True) if column[0].format == kind]
    found = [{k: min(f[k] for f in group) for k in group[0]} for group in groups]
    return found[0], found[1] if len(found) > 1 else {}


def figures_of(row: Artifact) -> dict[str, float]:
    assert row.load
    assert row.first
    assert row.calls
    found = {"load": row.load.cpu, "first": row.first.cpu, "call_ms": row.calls.cpu_ms, "wall": row.calls.p50_ms}
    return found | {"memory": (row.memory or 0) / MIB} | ({"network_ms": row.network.cpu_ms} if row.network else {})


def run(*arguments) -> tuple[float, float, str]:
    """A fresh Python with those arguments, to its end: CPU seconds, peak memory in MiB, output."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    env |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    argv = [sys.executable, *map(str, arguments)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=tempfile.gettempdir())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read().decode(errors="replace")
    if process.returncode:
        sys.exit(f"{' '.join(argv)}\nexit status {process.returncode}:\n{output[-3000:]}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return usage.ru_utime + usage.ru_stime, peak, output


def make(name: str, golden: Path, picture: Path, folder: Path | None = None) -> None:
    """In a process of its own: writes the picture to call artifacts with, and the case's checkpoint into `folder`."""
    import numpy as np
    from PIL import Image

    sys.path.insert(0, str(golden))
    import make_checkpoint as maker  # pyright: ignore[reportMissingImports] (beside the golden data)

    Image.fromarray(np.load(golden / PICTURE)["input_image"][0]).save(picture)
    row = ROWS[name]
    if folder is None:
        return
    if not row.size:
        maker.write(golden / "od" / name, folder)
        return
    plain, known = maker.value, json.loads((golden / "vision" / row.golden / "variables.json").read_text())
    kinds = {entry["key"]: entry for entry in known}

    def value(entry):
        """By the golden case's rule where it has the key; shapes may differ by the number of classes."""
        found = plain(kinds.get(entry["key"], entry) | {"shape": entry["shape"]})
        factor = next((f for part, f in row.factors.items() if part in entry["key"]), None)
        return found if factor is None else (found * factor).astype(found.dtype)

    maker.value = value
    maker.write(golden / "vision" / "names" / f"{name}.json", folder)


def megabytes(*paths: Path) -> float:
    return sum(p.stat().st_size for p in paths) / 1e6


def references(row: Row) -> dict[str, float]:
    """The reference's stored figures under the keys of FIGURES, and its import_s."""
    found = {k: v for k, v in zip(COLUMNS, row.reference, strict=True) if v is not None}
    return found | ({"tflite_fast": row.tflite[0], "tflite_size": row.tflite[1]} if row.tflite else {})


def bounds_of(row: Row, figures: Mapping[str, float]) -> dict[str, float]:
    """Its own; a tenth of the reference's graph; and of a detector's export at most 200 MiB plus twice the weights."""
    weights = figures["variables"] * 1e6 / MIB
    return {"peak": 200 + 2 * weights, "pb": references(row)["pb"] / 10} | dict(row.bounds)


def table(report: Mapping) -> str:
    """Markdown: a row each figure, ours beside the reference's."""
    load = f"load average {min(report['load']):.1f} to {max(report['load']):.1f}"
    lines = [f"{report['machine']}; {report['date']}; least of {report['repeat']}; {load}."]
    for name, case in report["cases"].items():
        import_s, peak = case["import"]["cpu_s"], case["import"]["peak_mib"]
        beside = "called in this run" if case["same_run"] else "stored, of another machine"
        lines += ["", f"`{name}`; x is {import_s:.2f} CPU seconds, the import's peak {peak:.0f} MiB:"]
        lines += ["", f"| | ours | reference ({beside}) | bound | ok |", "|---|---|---|---|---|"]
        bounds = bounds_of(ROWS[name], case["figures"])
        for key in (k for k in FIGURES if k in case["figures"]):
            (what, unit), value, bound = FIGURES[key], case["figures"][key], bounds.get(key)
            cells = [shown(v, unit) for v in (value, case["reference"].get(key), bound)]
            cells[0] += f" ({case['seconds'][key]:.3f} s)" if key in case["seconds"] else ""
            cells.append("" if bound is None else "yes" if value <= bound else "no")
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.{0 if abs(value) >= 100 else 3 if unit != ' MiB' and abs(value) < 1 else 1}f}{unit}"


if __name__ == "__main__":
    make(sys.argv[2], *map(Path, sys.argv[3:])) if sys.argv[1:2] == ["--make"] else main()
