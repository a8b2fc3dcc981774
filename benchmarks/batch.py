"""How many pictures a second `visionport batch` answers beside a plain loop, and what a million of them cost elsewhere.

    pip install 'visionport[beam]'
    python benchmarks/batch.py                                   the bundled detector, 2,000 pictures of mixed sizes
    python benchmarks/batch.py --artifact exported/model.tflite --pictures 500 --json batch.json

Each figure is of fresh processes. A rate is what the pictures beyond the first fifth cost, so that importing TensorFlow
and Beam and loading the model, told apart as "start", are not in it. On shared machines look at CPU seconds.

The plans below the table are arithmetic: these CPU seconds and this memory, and the prices of PRICES.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionport.inputs import pictures

DIGITS = Path(str(pictures.example("digits")))
SIZES = ((480, 640), (640, 480), (600, 800), (768, 1024), (333, 500))  # height, width
SHARE = 5  # the first 1/SHARE of the pictures is asked about alone too
LOOP_BOUND, WORKERS_BOUND = 0.9, 1.5

# US dollars an hour for a vCPU with 4 GB of memory; list prices of common regions, to be replaced by one's own.
PRICES = {"Dataflow": 0.071, "Flink on Kubernetes, on demand": 0.048, "Spark on spot machines": 0.017}
HOURS = {10**6: 1.0, 10**9: 24.0}  # within which so many pictures are to be done
CORES = 4  # of a worker machine
SPARE = 1.15  # of the time, for starting, stragglers and retries

COMMANDS = {
    "Dataflow": """\
visionport batch /opt/exported {inputs} --out gs://BUCKET/answers --to parquet --runner DataflowRunner \\
    --project PROJECT --region REGION --temp_location gs://BUCKET/tmp --sdk_container_image IMAGE \\
    --machine_type n2-standard-{cores} --num_workers {workers} --max_num_workers {workers} --resume""",
    "Flink on Kubernetes, on demand": """\
visionport batch /opt/exported {inputs} --out gs://BUCKET/answers --to parquet --runner FlinkRunner \\
    --flink_master HOST:8081 --environment_type EXTERNAL --environment_config localhost:50000 \\
    --parallelism {slots} --resume""",
    "Spark on spot machines": """\
visionport batch /opt/exported {inputs} --out gs://BUCKET/answers --to parquet --runner PortableRunner \\
    --job_endpoint HOST:8099 --environment_type DOCKER --environment_config IMAGE --resume""",
}
INPUTS = {10**6: "gs://BUCKET/photos", 10**9: "'gs://BUCKET/photos/*.tfrecord'"}


# ---------------------------------------------------------------- the runs, each in a process of its own


def loop(artifact: str, listed: str, out: str) -> None:
    """The plain loop: read a picture, ask, write its row."""
    from visionport import prediction
    from visionport.tasks.base import read_picture

    predictor = prediction.load(artifact)
    task = predictor.asker.task
    with open(out, "w") as file:
        for path in Path(listed).read_text().splitlines():
            picture = read_picture(task, Path(path))
            answer = predictor.asker(picture)
            row = {"image": path, **task.record(answer, predictor.labels, picture.shape[:2], 0.3)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def batch(artifact: str, listed: str, out: str, workers: str) -> None:
    from visionport.batch.pipeline import quiet_beam, run

    quiet_beam()
    run(artifact, [f"@{listed}"], out, workers=int(workers))


RUNS: dict[str, tuple[str, list[str], int]] = {  # title: (function, its last arguments, cores)
    "plain loop, one core": ("loop", [], 1),
    "batch, 1 process, one core": ("batch", ["1"], 1),
    "batch, 2 processes, two cores": ("batch", ["2"], 2),
    "plain loop, all cores": ("loop", [], 0),
    "batch, 1 process, all cores": ("batch", ["1"], 0),
}


def timed(name: str, cores: int, *arguments: str) -> dict[str, float]:
    """Wall and CPU seconds, and MiB of the largest process, of one run on so many cores; 0 for all."""
    usable = sorted(os.sched_getaffinity(0))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import batch; batch.{name}(*sys.argv[1:])"
    variables = os.environ | ({"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"} if cores else {})
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=variables, stderr=said)
        os.sched_setaffinity(process.pid, usable[: cores or len(usable)])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(said.read().decode()[-2000:])
    wall = time.perf_counter() - begun
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}


def measure(artifact: str, folder: Path, files: list[str]) -> dict[str, dict[str, float]]:
    report = {}
    for title, (name, more, cores) in RUNS.items():
        lists = {}
        for count in (len(files) // SHARE, len(files)):
            lists[count] = folder / f"{count}.txt"
            lists[count].write_text("\n".join(files[-count:]))
        runs = {}
        for count, path in lists.items():
            out = folder / f"{title}-{count}.jsonl"
            runs[count] = timed(name, cores, artifact, str(path), str(out), *more)
            assert len(out.read_text().splitlines()) == count
        (few, start), (all_, whole) = runs.items()
        row = {key: (whole[key] - start[key]) / (all_ - few) for key in ("wall", "cpu")}
        report[title] = {
            "rate": 1 / max(row["wall"], 1e-9),
            "cpu_ms": 1e3 * row["cpu"],
            "start": max(0.0, start["wall"] - few * row["wall"]),
            "total": all_ / whole["wall"],
            "memory": whole["memory"],
        }
        print(f"  {title}: {report[title]['rate']:.1f}/s", file=sys.stderr, flush=True)
    return report


# ---------------------------------------------------------------- what is asked about


def export_digits(folder: Path) -> str:
    from visionport import Options, export

    place, out = DIGITS / "tf2", folder / "exported"
    labels = DIGITS / "label_map.pbtxt"
    return str(export(Options(config=place, checkpoint=place, labels=labels, out=out, verify=False)).out)


def write_pictures(folder: Path, count: int) -> list[str]:
    """JPEGs of the bundled photographs and digits, of all SIZES, each another."""
    sources = [Image.open(f).convert("RGB") for f in sorted(DIGITS.parent.glob("**/*.jpg"))]
    random, found = np.random.default_rng(0), []
    folder.mkdir()
    for i in range(count):
        height, width = SIZES[int(random.integers(len(SIZES)))]
        image = sources[i % len(sources)].resize((width, height))
        image.putpixel((i % width, i % height), (i % 256, 0, 0))
        found.append(str(folder / f"{i:06}.jpg"))
        image.save(found[-1], quality=85)
    return found


# ---------------------------------------------------------------- what is told


def table(report: dict[str, Any]) -> str:
    runs = report["runs"]
    lines = ["| | pictures/s | CPU ms a picture | start, s | pictures/s with it | MiB of a process |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for title, row in runs.items():
        cells = (f"{row['rate']:.1f}", f"{row['cpu_ms']:.1f}", f"{row['start']:.1f}", f"{row['total']:.1f}")
        lines.append(f"| {title} | {' | '.join(cells)} | {row['memory']:.0f} |")
    one, two = runs["batch, 1 process, one core"], runs["batch, 2 processes, two cores"]
    shares = {
        f"of a plain loop on one core (bound {LOOP_BOUND})": one["rate"] / runs["plain loop, one core"]["rate"],
        f"of a plain loop on all cores (bound {LOOP_BOUND})": runs["batch, 1 process, all cores"]["rate"]
        / runs["plain loop, all cores"]["rate"],
        f"times as many by two processes as by one (bound {WORKERS_BOUND})": two["rate"] / one["rate"],
    }
    return "\n".join([*lines, "", *(f"- {value:.2f} {what}" for what, value in shares.items())])


def plans(report: dict[str, Any]) -> str:
    row = report["runs"]["batch, 1 process, one core"]
    memory = CORES * row["memory"] / 1024
    lines = [f"A process takes {row['memory'] / 1024:.1f} GB, so a machine of {CORES} cores {memory:.1f} GB and more."]
    lines += ["", "| pictures | within | where | vCPU hours | workers | US$ |", "| --- | --- | --- | --- | --- | --- |"]
    for count, hours in HOURS.items():
        for name, price in PRICES.items():
            needed = SPARE * count * row["cpu_ms"] / 1e3 / 3600
            workers = max(1, -(-int(needed / hours) // CORES))
            lines.append(
                f"| {count:.0e} | {hours:g} h | {name} | {needed:,.1f} | {workers:,} | {needed * price:,.2f} |"
            )
    for count in HOURS:
        needed = SPARE * count * row["cpu_ms"] / 1e3 / 3600
        workers = max(1, -(-int(needed / HOURS[count]) // CORES))
        for name, command in COMMANDS.items():
            text = command.format(inputs=INPUTS[count], workers=workers, cores=CORES, slots=workers * CORES)
            lines += ["", f"{count:.0e} pictures, {name}:", "", *(f"    {line}" for line in text.splitlines())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", help="an export or an artifact; the bundled detector's SavedModel by default")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batch-benchmark-") as name:
        folder = Path(name)
        artifact = options.artifact or export_digits(folder)
        files = write_pictures(folder / "pictures", options.pictures)
        beam = importlib.metadata.version("apache-beam")
        versions = (
            f"Apache Beam {beam}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
        )
        report = {"machine": versions, "load": [os.getloadavg()[0]], "pictures": len(files)}
        report["runs"] = measure(artifact, folder, files)
        report["load"].append(os.getloadavg()[0])
    print(f"{versions}; load {report['load'][0]:.1f} before, {report['load'][1]:.1f} behind; {len(files):,} pictures\n")
    print(table(report))
    print(f"\n{plans(report)}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
