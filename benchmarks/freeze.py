"""What freezing a SavedModel of 25 million parameters costs.

    python benchmarks/freeze.py
    python benchmarks/freeze.py --repeat 5 --json cost.json

Each figure is of a fresh process: CPU seconds are user + system, the peak is of the resident set; least of some runs.
The bound of CPU time is 1.5 times `import tensorflow`, plus reading and writing the SavedModel's bytes twice; that of
memory, above the import's peak, 4 times the weights. Prints a Markdown table; the exit status says whether all ran.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from export import IMPORTS, run

LAYERS, WIDTH = 25, 333  # 3x3 convolutions with batch norms: 999,000 parameters a layer
COPY = """
import sys
from pathlib import Path
for path in sys.argv[1:]:
    for i in range(2):
        Path(path + ".copy").write_bytes(Path(path).read_bytes())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, choices=range(1, 100), default=3, metavar="N", help="default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freeze-benchmark-") as folder:
        report = measure(Path(folder), options.repeat)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def measure(folder: Path, repeat: int) -> dict:
    model, out = folder / "model", folder / "frozen.pb"
    run(__file__, "--make", model)
    data = model / "variables" / "variables.data-00000-of-00001"
    report = {"repeat": repeat, "load": [os.getloadavg()[0]], "weights_mib": data.stat().st_size / 2**20}

    def least(times, *arguments):
        cpu, peaks, _ = zip(*(run(*arguments) for _ in range(times)), strict=True)
        return min(cpu), min(peaks)

    report["import"] = least(IMPORTS, "-c", "import tensorflow")
    empty, _ = least(repeat, "-c", "")
    report["copies"] = least(repeat, "-c", COPY, data, model / "saved_model.pb")[0] - empty
    report["freeze"] = least(repeat, "-m", "visionport", "freeze", model, "--out", out, "--overwrite", "--quiet")
    report["load"].append(os.getloadavg()[0])
    return report


def make(folder: str):
    """In a process of its own: the SavedModel."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self):
            ones = (WIDTH,)
            self.layers = [
                [tf.Variable(tf.random.normal((3, 3, WIDTH, WIDTH)))] + [tf.Variable(tf.ones(ones)) for _ in range(4)]
                for _ in range(LAYERS)
            ]

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, WIDTH), tf.float32)])
        def __call__(self, images):
            x = images
            for kernel, mean, variance, beta, gamma in self.layers:
                x = tf.nn.conv2d(x, kernel, 1, "SAME")
                x = tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3))
            return {"features": x}

    net = Net()
    tf.saved_model.save(net, folder, signatures=net.__call__)


def table(report: dict) -> str:
    (import_s, import_peak), (freeze_s, freeze_peak) = report["import"], report["freeze"]
    copies, weights = report["copies"], report["weights_mib"]
    bound, memory, most = 1.5 * import_s + copies, freeze_peak - import_peak, 4 * weights
    versions = f"TensorFlow {importlib.metadata.version('tensorflow')}, Python {platform.python_version()}"
    load = f"load average {min(report['load']):.1f} to {max(report['load']):.1f}"
    cpu = f"{freeze_s / import_s:.2f}x ({freeze_s:.2f} s)"
    limit = f"1.5x + {copies:.2f} s = {bound / import_s:.2f}x"
    return "\n".join(
        [
            f"{versions}, {os.cpu_count()} cores, {platform.machine()}; least of {report['repeat']}; {load}.",
            f"x is {import_s:.2f} CPU seconds, the import's peak {import_peak:.0f} MiB, the weights {weights:.0f} MiB:",
            "",
            "| | measured | bound | ok |",
            "|---|---|---|---|",
            f"| `visionport freeze`, CPU | {cpu} | {limit} | {yes(freeze_s <= bound)} |",
            f"| peak memory above the import's | {memory:.0f} MiB, {memory / weights:.1f} times the weights "
            f"| {most:.0f} MiB, 4 times | {yes(memory <= most)} |",
        ]
    )


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1:2] == ["--make"] else main()
