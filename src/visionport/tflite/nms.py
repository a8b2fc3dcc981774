"""What the fast mode of `TFLite_Detection_PostProcess` loses against the regular one, and what it saves.

Regular mode suppresses each class apart, as the models do. Fast mode keeps one class a place: it loses detections
where classes overlap, and saves the sorting of every class, which a low score threshold makes long.
"""

import mmap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport.inputs.quantization import quantized
from visionport.tflite import edit
from visionport.tflite.flatbuffer import op_names, parse, serialize
from visionport.tflite.flexbuffer import read_map, write_map

CLEAR = 0.3  # scores of detections that a user would look at
OUTPUTS = 4  # of the op
CALLS = 3  # of which the shortest counts
SAME = 1e-4  # corners of one box: the network before the op is the same


@dataclass(frozen=True, kw_only=True)
class Kept:
    """On one picture: how many of regular NMS's detections fast NMS keeps, and of those that a user would look at."""

    kept: int
    all: int
    clear_kept: int
    clear: int

    @property
    def share(self) -> float:
        return self.kept / self.all if self.all else 1.0

    @property
    def in_words(self) -> str:
        return f"{self.kept} of {self.all} kept; {self.clear_kept} of {self.clear} above {CLEAR:g}"


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Both modes of one file on some pictures, and the least CPU seconds that a call took in each."""

    kept: Mapping[str, Kept]  # by picture
    regular: float
    fast: float

    @property
    def in_words(self) -> str:
        kept = "; ".join(f"{picture}: {k.in_words}" for picture, k in self.kept.items())
        return (
            f"fast NMS takes {self.fast * 1e3:.1f} ms a call here, regular {self.regular * 1e3:.1f} ms; "
            f"what fast keeps: {kept}"
        )


def compare_modes(path: Path, feeds: Mapping[str, np.ndarray]) -> Modes | None:
    """Runs the file in both modes, whichever it is in. None for one without the op. feeds: picture -> its input."""
    data = path.read_bytes()
    options = options_of(parse(data))
    if not feeds or not options or options["max_classes_per_detection"] > 1:  # which regular mode cannot give
        return None
    if len(parse(data).subgraphs[0].outputs) != OUTPUTS:
        return None
    found = {mode: run_file(in_mode(data, mode == "regular"), feeds) for mode in ("regular", "fast")}
    kept = {}
    for name in feeds:
        rows, others = found["regular"][0][name], found["fast"][0][name]
        same = np.array([has(others, row) for row in rows], bool)
        clear = np.array([row[1] >= CLEAR for row in rows], bool)
        counts = {"kept": same, "clear_kept": same & clear, "clear": clear}
        kept[name] = Kept(all=len(rows), **{k: int(np.sum(v)) for k, v in counts.items()})
    return Modes(kept=kept, regular=found["regular"][1], fast=found["fast"][1])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The least CPU seconds of a call of a file, and of the same without its op."""

    whole: float
    network: float
    threshold: float  # of the op's scores

    @property
    def in_words(self) -> str:
        """ "" where the network takes most of the time."""
        if self.whole <= 2 * self.network:
            return ""
        return (
            f"NMS takes more than the network: {self.whole * 1e3:.1f} ms a call here with it, "
            f"{self.network * 1e3:.1f} ms without. It sorts every score above {self.threshold:g}: a higher "
            "--score-threshold, such as 0.3, leaves out what nobody looks at."
        )


def measure(path: Path, feed: np.ndarray) -> Cost | None:
    """What the op costs. None for a file without it. feed: the file's input."""
    data = path.read_bytes()
    options = options_of(parse(data))
    if not options:
        return None
    times = [min(run_once(file, feed) for _ in range(CALLS)) for file in map(loaded, (data, without_op(data)))]
    return Cost(whole=times[0], network=times[1], threshold=options["nms_score_threshold"])


def without_op(data: bytes) -> bytes:
    """The file cut before its op: it gives what goes into that."""
    parsed = parse(data)
    graph, names = parsed.subgraphs[0], op_names(parsed)
    (op,) = (op for op in graph.operators if names[op.opcodeIndex][0] == edit.POSTPROCESS)
    kept, gone = [], {int(i) for i in op.outputs}
    for other in graph.operators:  # in the order in which they run
        if other is op or gone.intersection(map(int, other.inputs if other.inputs is not None else ())):
            gone.update(map(int, other.outputs))
        else:
            kept.append(other)
    graph.operators = kept
    graph.outputs = [int(i) for i in op.inputs[:2]]  # the third holds the anchors
    parsed.signatureDefs = []
    return serialize(parsed)


def loaded(data: bytes):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    return interpreter


def run_once(interpreter, feed: np.ndarray) -> float:
    """CPU seconds of a call."""
    (source,) = interpreter.get_input_details()
    interpreter.set_tensor(source["index"], quantized(feed, source["dtype"], *source["quantization"]))
    begun = time.process_time()
    interpreter.invoke()
    return time.process_time() - begun


def options_of(parsed) -> dict[str, Any]:
    """The op's; {} without it."""
    names = op_names(parsed)
    found = [op for op in parsed.subgraphs[0].operators if names[op.opcodeIndex][0] == edit.POSTPROCESS]
    return read_map(bytes(found[0].customOptions)) or {} if found else {}


def is_regular(file: bytes | Path) -> bool:
    """Whether the file has the op in regular mode, which is right with one thread alone.

    LiteRT (2.3) shares the classes out among its threads, and loses those between two shares: with two threads one of
    ten classes is never found.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(edit.POSTPROCESS.encode()) < 0:  # spares reading all of a large file
                return False
        file = file.read_bytes()
    return bool(options_of(parse(file)).get("use_regular_nms"))


def in_mode(data: bytes, regular: bool) -> bytes:
    """The file with its op in that mode, without what is packed behind it."""
    parsed = parse(data)
    names, options = op_names(parsed), options_of(parsed) | {"use_regular_nms": regular}
    for op in parsed.subgraphs[0].operators:
        if names[op.opcodeIndex][0] == edit.POSTPROCESS:
            op.customOptions = np.frombuffer(write_map(options), np.uint8)
    return serialize(parsed)


def run_file(data: bytes, feeds: Mapping[str, np.ndarray]):
    """({picture: [(class, score, box)]}, the least CPU seconds of a call)."""
    interpreter = loaded(data)
    found, least = {}, float("inf")
    for name, value in feeds.items():
        least = min(least, run_once(interpreter, value))
        details = interpreter.get_output_details()
        boxes, classes, scores, count = (interpreter.get_tensor(d["index"])[0] for d in details)
        found[name] = list(zip(classes, scores, boxes, strict=True))[: int(count)]
    return found, least


def has(rows, wanted) -> bool:
    """Whether one of the rows (class, score, box) is of the wanted class, in the wanted place."""
    kind, _, box = wanted
    return any(k == kind and np.abs(b - box).max() <= SAME for k, _, b in rows)
