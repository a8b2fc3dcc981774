"""What TFLite files cost to make and to call: ours beside the reference's own, int8 beside float32.

    python benchmarks/tflite.py                                                 ours alone
    python benchmarks/tflite.py --reference ssd_mobilenet_v2_320x320_coco17_tpu-8=REFERENCE.tflite

The reference's file is what its own TFLite exporter and converter make of the same checkpoint: float32, fast NMS, ten
detections. Of a CenterNet there may be two, with keypoints and without, and each is compared with our file of as many
outputs. The checkpoint is the golden case's, of `make_checkpoint.py`; give the reference the same. Files are
called in turn, in one process each, so that a busy machine disturbs all alike. Prints a Markdown table; the exit status
says whether everything ran, the column "ok" whether the bounds hold.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from export import find_golden, run

CASES = ("ssd_mobilenet_v2_320x320_coco17_tpu-8", "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8")
FILES = {  # key: options of the export
    "float32": ("--tflite-nms", "fast"),
    "int8": ("--tflite-nms", "fast", "--quantize", "int8"),
    "float32, regular NMS": ("--tflite-nms", "regular"),
}
CENTER_NET = {  # which has no NMS
    "float32": (),
    "int8": ("--quantize", "int8"),
    "float32, no keypoints": ("--no-tflite-keypoints",),
}
CALLS, ROUNDS = 15, 5
# Of the float32 file to the reference's: two files of the same operations differ by that from run to run.
NOISE = 1.03
INT8 = {"ssd_mobilenet_v2_320x320_coco17_tpu-8": 0.5}  # of int8 to float32, at most


def main():
    options = parse()
    references = [pair.split("=", 1) for pair in options.reference]
    imported = min(run("-c", "import tensorflow")[0] for _ in range(3))
    print(f"x is {imported:.2f} CPU seconds, `import tensorflow`; load average {os.getloadavg()[0]:.1f}.")
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="tflite-benchmark-") as folder:
            theirs = [Path(file) for case, file in references if case == name]
            report(name, measure(name, Path(folder), theirs, options), imported)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=CASES, metavar="CASE", help=f"default: {', '.join(CASES)}")
    given = os.environ.get("VISIONPORT_REFERENCE_TFLITE", "").split()
    several = {"nargs": "+", "default": given, "metavar": "CASE=FILE"}
    parser.add_argument("--reference", help="default: those in VISIONPORT_REFERENCE_TFLITE", **several)
    parser.add_argument("--golden", type=Path, metavar="DIR", help="default: tests/golden, else ../shared/golden")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="turns of each file; default: 5")
    return parser.parse_args()


def measure(name: str, folder: Path, references: list[Path], options) -> dict[str, dict]:
    """{file: {"call": CPU seconds, "wall", "convert", "size"; "peer": of a reference's file, ours that is as it}}."""
    golden = find_golden(options.golden)
    case = golden / "od" / name
    run(golden / "make_checkpoint.py", case, folder / "checkpoint")
    pictures = Path(__file__).resolve().parents[1] / "src" / "visionport" / "examples" / "digits" / "images"
    text = (case / "pipeline.config").read_text()
    keypoints, files, found = "keypoint_estimation_task" in text, {}, {}
    kinds = CENTER_NET if "center_net" in text else FILES
    for kind, more in kinds.items():
        if kind.endswith("no keypoints") and not keypoints:
            continue
        print(f"{name}: {kind}", file=sys.stderr, flush=True)
        out = folder / re.sub(r"\W+", "_", kind)
        inputs = ("--config", case / "pipeline.config", "--checkpoint", folder / "checkpoint", "--out", out)
        more = (*more, "--calibration", pictures) if "int8" in more else more
        how = ("--format", "tflite", "--no-verify", "--max-detections", "10", *more)
        _, _, printed = run("-m", "visionport", "export", *inputs, *how)
        (seconds,) = re.findall(r"written in ([\d.]+) s", printed)
        files[kind] = out / "model.tflite"
        found[kind] = {"convert": float(seconds)}
    for path in references:
        peer = next(k for k, p in files.items() if k.startswith("float32") and outputs(p) == outputs(path))
        kind = "the reference's" + peer.removeprefix("float32")
        files[kind], found[kind] = path, {"peer": peer}
    if keypoints:
        (classes,) = re.findall(r"num_classes: (\d+)", text)
        files = {k: favoured(path, int(classes), folder / f"{i}.tflite") for i, (k, path) in enumerate(files.items())}
    print(f"{name}: calls", file=sys.stderr, flush=True)
    noise = (0, 255) if kinds is CENTER_NET else (-1, 1)  # pixels, or what is normalised
    turns = [{kind: use(path, *noise) for kind, path in files.items()} for _ in range(options.rounds)]
    for kind, path in files.items():
        found[kind] |= {k: min(turn[kind][k] for turn in turns) for k in ("call", "wall")}
        found[kind]["size"] = path.stat().st_size / 1e6
    return found


def outputs(path: Path) -> int:
    from visionport.tflite.contents import read_contents

    return len(read_contents(path.read_bytes()).outputs)


def favoured(path: Path, classes: int, out: Path) -> Path:
    """The file with more of its first class, written to `out`; an 8-bit one as it is.

    The reference's file with keypoints fails on a picture without a person, as random weights see it.
    """
    import numpy as np

    from visionport.tflite.flatbuffer import op_names, parse, serialize

    parsed = parse(path.read_bytes(), edit=True)
    graph, names = parsed.subgraphs[0], op_names(parsed)
    for op in graph.operators:
        kernel = graph.tensors[op.inputs[1]] if names[op.opcodeIndex][0] == "CONV_2D" else None
        if kernel is not None and tuple(kernel.shape[:3]) == (classes, 1, 1) and kernel.type == 0:
            buffer = parsed.buffers[graph.tensors[op.inputs[2]].buffer]
            biases = np.frombuffer(buffer.data, np.float32).copy()
            biases[0] += 6
            buffer.data = np.frombuffer(biases.tobytes(), np.uint8)
    out.write_bytes(serialize(parsed))
    return out


def use(path: Path, low: int, high: int) -> dict[str, float]:
    return json.loads(run(__file__, "--use", path, low, high)[2].splitlines()[-1])


def call(path: str, low: str, high: str):
    """In a process of its own: the median call, one thread, on noise that is the same for all files."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    value = np.random.default_rng(0).uniform(int(low), int(high), source["shape"]).astype(source["dtype"])
    calls = []
    while len(calls) < CALLS and (len(calls) < 3 or sum(wall for _, wall in calls) < 10):
        interpreter.set_tensor(source["index"], value)
        wall, cpu = time.perf_counter(), time.process_time()
        interpreter.invoke()
        calls.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (statistics.median(c[i] for c in calls) for i in (0, 1))
    print(json.dumps({"call": cpu, "wall": wall}))


def report(name: str, found, imported: float) -> None:
    floats = found["float32"]["call"]
    theirs = {row["peer"]: row["call"] for row in found.values() if "peer" in row}
    print(f"\n`{name}`, 10 detections, LiteRT, one thread:\n")
    print("| file | MB | CPU ms a call | x | to our float32 | written in s | bound | ok |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, row in found.items():
        bound, value = None, None
        if kind in theirs:
            bound, value = f"{NOISE} of the reference's", row["call"] / theirs[kind] / NOISE
        if kind == "int8" and name in INT8:
            bound, value = f"{INT8[name]} of float32", row["call"] / floats / INT8[name]
        ok = "" if value is None else "yes" if value <= 1 else "no"
        cells = (
            kind,
            f"{row['size']:.1f}",
            f"{row['call'] * 1e3:.1f}",
            f"{row['call'] / imported:.4f}x",
            f"{row['call'] / floats:.2f}",
            f"{row['convert']:.1f}" if "convert" in row else "",
            bound or "",
            ok,
        )
        print(f"| {' | '.join(cells)} |")
    for kind, cpu in theirs.items():
        print(f"\nOur file ({kind}) takes {found[kind]['call'] / cpu:.3f} of the reference's.")


if __name__ == "__main__":
    call(*sys.argv[2:]) if sys.argv[1:2] == ["--use"] else main()
