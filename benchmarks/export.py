"""What an export costs, and what its artifacts cost to use, beside the reference exporters.

    python benchmarks/export.py                                   every config with bounds
    python benchmarks/export.py --only CASE... --repeat 5 --json cost.json

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
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = (ROOT / "tests" / "golden", ROOT.parent / "shared" / "golden")
FORMATS = ("saved_model", "frozen_graph", "tflite")
IMPORTS, CALLS = 3, 20
PATIENCE = 10  # seconds for the calls of another artifact than the SavedModel
COLUMNS = ("export_s", "export", "peak", "pb", "variables", "frozen_size", "load", "first_s", "call_ms", "wall")


@dataclass(frozen=True)
class Row:
    """A config: what the reference's export of it costs, and the bounds that the project sets itself."""

    reference: tuple[float | None, ...]  # one for each of COLUMNS, which are FIGURES; "_s" and "_ms" are CPU times
    tflite: tuple[float, float] | None = None  # its TFLite file: CPU ms a call with fast NMS and 10 detections, MB
    bounds: Mapping[str, float] = field(default_factory=dict)
    aim: float | None = None  # of the CPU of a call
    formats: str = "saved_model"  # what the reference's script writes, and its figures are of


TF1_FORMATS = "saved_model,frozen_graph"  # and with them, always, the checkpoint, its .meta and the config

# The reference: Object Detection API 2.8.0.post1 as its users run it, on TF 2.15.1, 2 shared cores, the same weights.
ROWS = {
    "ssd_mobilenet_v1_coco": Row(
        (16.1, 6.3, 488, 29.6, None, 29.4, 1.4, 2.9, 50, 54),
        tflite=(21, 27.3),
        bounds={"export": 4, "peak": 488, "load": 1.4, "call": 0.0196},
        formats=TF1_FORMATS,
    ),
    "ssd_mobilenet_v2_coco": Row(
        (15.8, 5.9, 482, 26.7, None, 26.5, 1.1, 2.6, 44, 45),
        bounds={"export": 4, "peak": 482, "load": 1.1, "call": 0.0164},
        formats=TF1_FORMATS,
    ),
    "faster_rcnn_resnet50_coco": Row(
        (21.0, 7.9, 1178, 119.5, None, 119.3, 2.4, 11.2, 3276, 2815),
        bounds={"export": 6, "peak": 1178, "load": 2.4, "call": 1.23},
        formats=TF1_FORMATS,
    ),
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": Row(
        (48.5, 19.2, 980, 9.1, 10.9, None, 2.2, 2.1, 349, 192),
        tflite=(91, 12.4),
        bounds={"export": 5, "peak": 300, "pb": 1.8, "load": 0.45, "call": 0.138},
        aim=0.138 / 1.5,
    ),
    "ssd_efficientdet_d0_512x512_coco17_tpu-8": Row(
        (73.5, 30.1, 1589, 16.5, 23.0, None, 4.0, 2.8, 354, 328),
        bounds={"export": 8, "peak": 794, "load": 0.8, "call": 0.145},
    ),
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8": Row(
        (49.1, 19.4, 1125, 8.5, 114.2, None, 1.9, 4.0, 2014, 1849),
        bounds={"export": 6, "peak": 562, "load": 0.38, "call": 0.796},
    ),
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8": Row(
        (23.3, 9.5, 834, 4.8, 103.4, None, 1.7, 1.2, 594, 512),
        bounds={"export": 5, "peak": 417, "load": 0.34, "call": 0.242},
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
    "call": ("SavedModel: a call, CPU", "x"),
    "wall": ("SavedModel: a call, median wall time", " ms"),
    "frozen_size": ("frozen graph", " MB"),
    "frozen": ("frozen graph: a call, CPU", "x"),
    "tflite_size": ("TFLite", " MB"),
    "tflite": ("TFLite, 1 thread: a call, CPU", "x"),
    "tflite_fast": ("TFLite, 1 thread, fast NMS, 10 detections: a call, CPU", "x"),
}


def main():
    options = parse()
    versions = f"TensorFlow {importlib.metadata.version('tensorflow')}, Python {platform.python_version()}"
    machine = f"{versions}, {os.cpu_count()} cores, {platform.machine()}"
    report = {"machine": machine, "date": time.strftime("%Y-%m-%d"), "repeat": options.repeat}
    report |= {"load": [os.getloadavg()[0]], "cases": {}}
    for name in options.only:
        golden = find_golden(options.golden, name)
        with tempfile.TemporaryDirectory(prefix="export-benchmark-") as folder:
            report["cases"][name] = measure(name, golden, Path(folder), options.repeat)
        report["load"].append(os.getloadavg()[0])
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def parse():
    bounded = [n for n, row in ROWS.items() if row.bounds]
    configs = f"of {', '.join(ROWS)}; default: {', '.join(bounded)}"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=bounded, metavar="CASE", help=configs)
    repeats = {"type": int, "choices": range(1, 100), "default": 3, "metavar": "N"}
    parser.add_argument("--repeat", help="least of N runs; default: 3", **repeats)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--golden", type=Path, metavar="DIR", help="default: tests/golden, else ../shared/golden")
    return parser.parse_args()


def find_golden(chosen: Path | None, name: str) -> Path:
    """The folder of the case, in DIR/CASE or DIR/od/CASE."""
    tried = [d / sub / name for d in ([chosen] if chosen else GOLDEN) for sub in (".", "od")]
    found = [case.resolve() for case in tried if (case / "variables.json").exists()]
    return found[0] if found else sys.exit(f"no golden case in {', '.join(map(str, tried))}. See --golden.")


def measure(name: str, case: Path, folder: Path, repeat: int) -> dict:
    """Everything about one config: {"figures": in FIGURES' units, "seconds": their CPU times, "import": ...}."""
    out, saved_model, image = folder / "out", folder / "saved_model", case.parent / "images" / "480x640.npz"
    # TFLite_Detection_PostProcess is for one-stage models.
    formats = FORMATS if name.startswith("ssd") else FORMATS[:2]

    def log(text):
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    def export(*arguments):
        shutil.rmtree(out, ignore_errors=True)
        inputs = ("--config", case / "pipeline.config", "--checkpoint", folder / "checkpoint")
        return run("-m", "visionport", "export", *inputs, "--out", out, "--quiet", *arguments)

    def least(times, action, *arguments):
        cpu, peaks, _ = zip(*(action(*arguments) for _ in range(times)), strict=True)
        return min(cpu), min(peaks)

    def use(kind: str, path: Path):
        runs = [json.loads(run(__file__, "--use", kind, path, image)[2].splitlines()[-1]) for _ in range(repeat)]
        return {k: min(r[k] for r in runs) for k in runs[0]}

    def megabytes(*paths: Path):
        return sum(p.stat().st_size for p in paths) / 1e6

    log("checkpoint")
    maker = next(d / "make_checkpoint.py" for d in case.parents if (d / "make_checkpoint.py").exists())
    run(maker, case, folder / "checkpoint")
    log("import tensorflow")
    import_s, import_peak = least(IMPORTS, run, "-c", "import tensorflow")
    seconds, figures = {}, {}

    log("export")
    written = "--format", ROWS[name].formats
    seconds["export"], peak = least(repeat, export, "--no-verify", *written)
    shutil.copytree(out / "saved_model", saved_model)
    figures["peak"], figures["pb"] = peak - import_peak, megabytes(saved_model / "saved_model.pb")
    figures["variables"] = megabytes(*(saved_model / "variables").iterdir())
    log("export with verification")
    verified_s, verified_peak = least(repeat, export, *written)
    seconds["verify"], figures["verify_peak"] = verified_s - seconds["export"], verified_peak - peak
    log(f"export of {', '.join(formats)}")
    seconds["all_formats"], _ = least(repeat, export, "--no-verify", "--format", ",".join(formats))

    log("use")
    used = use("saved_model", saved_model)
    seconds |= {k: used[k] for k in ("load", "first", "call")}
    figures["wall"] = used["wall"] * 1e3
    frozen = out / "frozen_inference_graph.pb"
    figures["frozen_size"], seconds["frozen"] = megabytes(frozen), use("frozen_graph", frozen)["call"]
    if "tflite" in formats:
        tflite = out / "model.tflite"
        figures["tflite_size"], seconds["tflite"] = megabytes(tflite), use("tflite", tflite)["call"]
        export("--no-verify", "--format", "tflite", "--tflite-nms", "fast", "--max-detections", "10")
        seconds["tflite_fast"] = use("tflite", tflite)["call"]
    figures |= {k: s / import_s for k, s in seconds.items()}
    return {"import": {"cpu_s": import_s, "peak_mib": import_peak}, "figures": figures, "seconds": seconds}


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


def use_artifact(kind: str, path: str, image: str):
    """In a process of its own: loads the artifact and calls it; prints one line of JSON, CPU and wall seconds."""
    import numpy as np

    pixels = np.load(image)["input_image"]  # uint8 [1, 480, 640, 3]
    loading, call = timed(LOADERS[kind](path, pixels))
    first, _ = timed(call)
    calls, end = [], time.perf_counter() + PATIENCE
    while len(calls) < 5 or (len(calls) < CALLS and (kind == "saved_model" or time.perf_counter() < end)):
        calls.append(timed(call)[0])
    cpu, wall = (statistics.median(c[i] for c in calls) for i in (0, 1))
    print(json.dumps({"load": loading[0], "first": first[0], "call": cpu, "wall": wall}))


def timed(action):
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return (time.process_time() - cpu, time.perf_counter() - wall), result


def load_saved_model(path, pixels):
    import tensorflow as tf

    value = tf.constant(pixels)

    def load():
        function = tf.saved_model.load(path).signatures["serving_default"]
        (name,) = function.structured_input_signature[1]
        return lambda: {k: v.numpy() for k, v in function(**{name: value}).items()}

    return load


def load_frozen_graph(path, pixels):
    import tensorflow as tf

    kinds = ("detection_", "raw_detection_", "num_detections")

    def load():
        definition = tf.compat.v1.GraphDef.FromString(Path(path).read_bytes())
        with tf.Graph().as_default():
            tf.compat.v1.import_graph_def(definition, name="")
            session = tf.compat.v1.Session()
        outputs = [f"{n.name}:0" for n in definition.node if n.name.startswith(kinds) and "/" not in n.name]
        return lambda: session.run(outputs, {"image_tensor:0": pixels})

    return load


def load_tflite(path, pixels):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    how = json.loads((Path(path).parent / "manifest.json").read_text())["preprocessing"]

    def load():
        detector = Interpreter(path, num_threads=1)
        detector.allocate_tensors()
        (source,) = detector.get_input_details()
        rows, columns = (np.arange(n) * old // n for old, n in zip((480, 640), source["shape"][1:3], strict=True))
        image = ((pixels[:, rows][:, :, columns] - how["mean"]) / how["std"]).astype(source["dtype"])
        return lambda: (detector.set_tensor(source["index"], image), detector.invoke())  # a call may spoil its input

    return load


LOADERS = {"saved_model": load_saved_model, "frozen_graph": load_frozen_graph, "tflite": load_tflite}


def table(report: Mapping) -> str:
    """Markdown: a row each figure, ours beside the reference's."""
    load = f"load average {min(report['load']):.1f} to {max(report['load']):.1f}"
    lines = [f"{report['machine']}; {report['date']}; least of {report['repeat']}; {load}."]
    for name, case in report["cases"].items():
        row, import_s, peak = ROWS[name], case["import"]["cpu_s"], case["import"]["peak_mib"]
        lines += ["", f"`{name}`; x is {import_s:.2f} CPU seconds, the import's peak {peak:.0f} MiB:"]
        lines += ["", "| | ours | reference | bound | ok |", "|---|---|---|---|---|"]
        theirs = references(row)
        for key in (k for k in FIGURES if k in case["figures"]):
            (what, unit), value = FIGURES[key], case["figures"][key]
            bound = row.bounds.get(key)
            cells = [shown(v, unit) for v in (value, theirs.get(key), bound)]
            cells[0] += f" ({case['seconds'][key]:.3f} s)" if key in case["seconds"] else ""
            cells.append("" if bound is None else "yes" if value <= bound else "no")
            if key == "call" and row.aim:
                cells[2:] = f"{cells[2]}, aim {row.aim:.3f}x", f"{cells[3]}, {'yes' if value <= row.aim else 'no'}"
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def references(row: Row) -> dict[str, float]:
    """The reference's figures under the keys of FIGURES: its CPU times as ratios to its own import."""
    found = {k: v for k, v in zip(COLUMNS, row.reference, strict=True) if v is not None}
    import_s = found.pop("export_s") / found["export"]
    found["first"] = found.pop("first_s") / import_s
    found["call"] = found.pop("call_ms") / 1e3 / import_s
    if row.tflite:
        found |= {"tflite_fast": row.tflite[0] / 1e3 / import_s, "tflite_size": row.tflite[1]}
    return found


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.{0 if value >= 100 else 3 if unit == 'x' and value < 1 else 1}f}{unit}"


if __name__ == "__main__":
    use_artifact(*sys.argv[2:]) if sys.argv[1:2] == ["--use"] else main()
