"""What serving costs above the runner's own call, and whether many clients at once lose an answer.

    python benchmarks/serve.py                                 all of it: two to three minutes
    python benchmarks/serve.py --clients 50 --seconds 10       a shorter one

Both ends are on this machine, over loopback. Costs: the median of many requests, one at a time, and the CPU time of the
server's process; the model is a few operations, whose own call is measured beside it. Load: clients of REST and gRPC
ask several versions of a model whose answer to every input is known, and a detector, while the versions are replaced
and the models are set anew by request. Prints Markdown. The exit status is 1 where a bound does not hold.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "src" / "visionport" / "examples" / "digits"
PICTURE = (480, 640, 3)
WARM, CALLS = 5, 50
VERSIONS = (1, 2, 3)  # the answer of version n to x is x / 2 + n
# Way to ask -> ("wall" or "cpu" of the server, milliseconds above the runner's own call at most).
BOUNDS = {
    "gRPC, tensor of 480x640x3": ("wall", 3.0),
    "REST, JPEG in base64": ("wall", 10.0),
    "REST, list of 480x640x3": ("cpu", 60.0),
}
GROWTH = 64  # MB of resident memory from the second quarter of the load to the last


# ---------------------------------------------------------------- models


def build_models(folder: Path) -> None:
    """folder/half: versions whose answers are known; folder/cheap: pictures in, one number out; folder/digits."""
    import tensorflow as tf

    from visionport import Options, export

    for number in VERSIONS:
        build_half(folder / "half" / str(number), float(number))

    class Cheap(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
        def pixels(self, x):
            return {"y": tf.reduce_max(x[:, :1, :1], (1, 2, 3))}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def encoded(self, x):
            return {"y": tf.strings.length(x)}

    cheap: Any = Cheap()
    signatures = {"serving_default": cheap.pixels, "encoded": cheap.encoded}
    tf.saved_model.save(cheap, str(folder / "cheap" / "1"), signatures=signatures)
    places: dict[str, Any] = {
        "config": DIGITS / "tf2",
        "checkpoint": DIGITS / "tf2",
        "labels": DIGITS / "label_map.pbtxt",
    }
    inputs = ("encoded_image_string_tensor",)
    export(Options(**places, out=folder / "digits", inputs=inputs, verify=False))


def build_half(path: Path, added: float) -> None:
    import tensorflow as tf

    class Half(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)])
        def half(self, x):
            return {"y": x / 2 + added}

    model: Any = Half()
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.half})


# ---------------------------------------------------------------- the server


@dataclass
class Server:
    process: subprocess.Popen
    rest: int
    grpc: int

    def cpu(self) -> float:
        """Seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MB that are resident."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def start(folder: Path, *options: str) -> Server:
    models = [str(folder / name) for name in ("half", "cheap", "digits")]
    ports = ("--rest-port", "0", "--grpc-port", "0", "--versions", "all", "--poll", "0.5", "--timeout", "120")
    command = [sys.executable, "-m", "visionport", "serve", *models, *ports, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith("ready: "):
        sys.exit(f"the server did not start: {' '.join(command)}")
    rest, grpc = (int(part.rpartition(":")[2]) for part in line.split(", "))
    return Server(process, rest, grpc)


def stop(server: Server) -> None:
    server.process.terminate()
    if server.process.wait(120):
        sys.exit(f"the server ended with {server.process.returncode}")


# ---------------------------------------------------------------- costs


def measure(ask: Callable[[], Any], server: Server | None = None) -> tuple[float, float]:
    """(median wall, mean CPU of the server) of a call in milliseconds."""
    for _ in range(WARM):
        ask()
    before, walls = server.cpu() if server else 0.0, []
    for _ in range(CALLS):
        start = time.perf_counter()
        ask()
        walls.append(time.perf_counter() - start)
    return 1e3 * statistics.median(walls), 1e3 * ((server.cpu() if server else 0.0) - before) / CALLS


def measure_costs(server: Server, folder: Path) -> list[tuple[str, float, float, float]]:
    """(way, wall, CPU, the runner's own wall) in milliseconds."""
    import http.client

    import grpc
    from PIL import Image

    from visionport.serving.messages import message, methods, to_tensor
    from visionport.serving.servable import open_servable

    picture = np.random.default_rng(1).integers(0, 256, (1, *PICTURE), np.uint8)
    data = io.BytesIO()
    Image.fromarray(picture[0]).save(data, "JPEG")
    runner = open_servable(folder / "cheap" / "1").runner
    own_pixels, _ = measure(lambda: runner.call("serving_default", {"x": picture}))
    own_encoded, _ = measure(lambda: runner.call("encoded", {"x": np.array([data.getvalue()], object)}))

    path, request, response = methods("tensorflow.serving.PredictionService")["Predict"]
    given = request(model_spec=message("ModelSpec")(name="cheap"))
    given.inputs["x"].CopyFrom(to_tensor(picture))
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    predict = channel.unary_unary(path, request.SerializeToString, response.FromString)
    connection = http.client.HTTPConnection("127.0.0.1", server.rest)

    def post(body: bytes) -> None:
        connection.request("POST", "/v1/models/cheap:predict", body)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    encoded = {"signature_name": "encoded", "instances": [{"b64": base64.b64encode(data.getvalue()).decode()}]}
    bodies = [json.dumps(content).encode() for content in (encoded, {"instances": picture.tolist()})]
    ways = [lambda: predict(given, timeout=60), lambda: post(bodies[0]), lambda: post(bodies[1])]
    own = [own_pixels, own_encoded, own_pixels]
    return [(name, *measure(ask, server), o) for name, ask, o in zip(BOUNDS, ways, own, strict=True)]


# ---------------------------------------------------------------- load


@dataclass
class Found:
    """What clients met."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def ask_rest(server: Server, end: float, found: Found, picture: bytes, wanted: list[str]) -> None:
    """One client on one connection, which it opens again where the server has closed it between two requests."""
    rng, reader, writer = random.Random(), None, None
    while time.monotonic() < end:
        detects = picture and rng.random() < 0.02
        number, x = rng.choice(VERSIONS), round(rng.random(), 3)
        version = f"/versions/{number}" if rng.random() < 0.7 else ""
        path = "/v1/models/digits:answer" if detects else f"/v1/models/half{version}:predict"
        body = picture if detects else json.dumps({"instances": [x]}).encode()
        start = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.rest)
            head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body))
            writer.write(head + body)
            assert reader
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as e:
            found.lost.append(f"{path}: {e!r}")
            writer = None
            continue
        found.seconds.append(time.perf_counter() - start)
        found.answers += 1
        if b" 200 " not in head[:15]:
            found.lost.append(f"{path}: {answer[:200]}")
        elif detects:
            labels = sorted(d["label"] for d in json.loads(answer)["answer"]["detections"])
            if labels != wanted:
                found.wrong.append(f"{path}: {labels}")
        else:
            check(found, path, json.loads(answer)["predictions"][0], x, number if version else VERSIONS[-1])
    if writer is not None:
        writer.close()


async def ask_rpc(channel, end: float, found: Found) -> None:
    from visionport.serving.messages import message, methods, to_array, to_tensor

    path, request, response = methods("tensorflow.serving.PredictionService")["Predict"]
    predict = channel.unary_unary(path, request.SerializeToString, response.FromString)
    rng = random.Random()
    while time.monotonic() < end:
        number, x = rng.choice(VERSIONS), round(rng.random(), 3)
        given = request(model_spec=message("ModelSpec")(name="half"))
        given.model_spec.version.value = number
        given.inputs["x"].CopyFrom(to_tensor(np.array([x], np.float32)))
        start = time.perf_counter()
        try:
            answer = await predict(given, timeout=120)
        except Exception as e:  # any failure is a lost answer
            found.lost.append(f"gRPC: {str(e)[:200]}")
            continue
        found.seconds.append(time.perf_counter() - start)
        found.answers += 1
        check(found, "gRPC", float(to_array(answer.outputs["y"])[0]), x, number)


def check(found: Found, path: str, y: float, x: float, number: int) -> None:
    if abs(y - (x / 2 + number)) > 1e-6:
        found.wrong.append(f"{path}: {y} for {x} of version {number}")


async def replace(folder: Path, server: Server, end: float) -> int:
    """Puts the same versions in their places again, one after the other; sets the models by request meanwhile."""
    import grpc
    from google.protobuf import text_format

    from visionport.serving.messages import methods

    path, request, response = methods("tensorflow.serving.ModelService")["HandleReloadConfigRequest"]
    every = "model_version_policy { all { } }"
    models = " ".join(
        f'config {{ name: "{n}" base_path: "{folder / n}" {every} }}' for n in ("half", "cheap", "digits")
    )
    config = text_format.Parse(f"config {{ model_config_list {{ {models} }} }}", request())
    count = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        reload = channel.unary_unary(path, request.SerializeToString, response.FromString)
        while time.monotonic() < end - 1:
            place = folder / "half" / str(VERSIONS[count % len(VERSIONS)])
            shutil.copytree(place, folder / "next", copy_function=shutil.copyfile)
            os.rename(place, folder / "before")
            os.rename(folder / "next", place)
            shutil.rmtree(folder / "before")
            count += 1
            if count % 3 == 0:
                await reload(config, timeout=120)
            await asyncio.sleep(1.5)
    return count


async def load(server: Server, folder: Path, clients: int, seconds: float) -> tuple[Found, int, list[float]]:
    """(what clients met, how often a version was replaced, memory each half second)."""
    import grpc

    picture = (DIGITS / "images" / "digits-0.jpg").read_bytes()
    found, memory = Found(), []
    end = time.monotonic() + seconds

    async def watch():
        while time.monotonic() < end:
            memory.append(server.memory())
            await asyncio.sleep(0.5)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        asking = [ask_rest(server, end, found, picture, ["five", "five", "six"]) for _ in range(clients - clients // 4)]
        asking += [ask_rpc(channel, end, found) for _ in range(clients // 4)]
        replacing = asyncio.create_task(replace(folder, server, end))
        await asyncio.gather(watch(), *asking)
        return found, await replacing, memory


# ---------------------------------------------------------------- what is printed


def print_costs(rows: list[tuple[str, float, float, float]]) -> bool:
    print("| asked | wall, ms | runner's own call, ms | server's CPU, ms | above the call, ms | at most | ok |")
    print("|---|---|---|---|---|---|---|")
    fine = True
    for name, wall, cpu, own in rows:
        kind, bound = BOUNDS[name]
        above = (wall if kind == "wall" else cpu) - own
        fine &= above <= bound
        ok = "yes" if above <= bound else "no"
        print(f"| {name} | {wall:.1f} | {own:.1f} | {cpu:.1f} | {above:.1f} ({kind}) | {bound:.0f} | {ok} |")
    return fine


def print_load(title: str, found: Found, replaced: int, memory: list[float], seconds: float) -> bool:
    quarter = max(1, len(memory) // 4)
    early, late = (statistics.median(part) for part in (memory[quarter : 2 * quarter] or memory, memory[-quarter:]))
    times = sorted(found.seconds) or [0.0]
    p50, p99 = (1e3 * times[int(q * (len(times) - 1))] for q in (0.5, 0.99))
    fine = not found.wrong and not found.lost and late - early <= GROWTH and found.answers > 0
    print(
        f"| {title} | {found.answers:,} | {found.answers / seconds:,.0f} | {p50:.0f} | {p99:.0f} | {replaced} | "
        f"{len(found.wrong)} | {len(found.lost)} | {early:.0f} to {late:.0f} | {'yes' if fine else 'no'} |"
    )
    for text in [*found.wrong[:3], *found.lost[:3]]:
        print(f"  {text}", file=sys.stderr)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=["costs", "load"])
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    fine = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_models(folder)
        if options.only != "load":
            server = start(folder)
            fine &= print_costs(measure_costs(server, folder))
            stop(server)
            print()
        if options.only != "costs":
            print("| server | answers | a second | p50, ms | p99, ms | versions replaced | wrong | lost | MB | ok |")
            print("|---|---|---|---|---|---|---|---|---|---|")
            for title, more in (("each by itself", ()), ("batching", ("--batching",))):
                server = start(folder, *more)
                found, replaced, memory = asyncio.run(load(server, folder, options.clients, options.seconds))
                stop(server)
                fine &= print_load(title, found, replaced, memory, options.seconds)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
