"""Which delegate can take a TFLite graph: what is known of its operations, types and shapes, and of how it splits.

A delegate is the part of a runtime that hands operations to an accelerator; what it does not take falls back to the
CPU. No device is asked: these are the documented lists and rules, and a device may take less.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite.delegates.ops import COMPILED
from visionport.tflite.delegates.rules import edge_tpu, folded, gpu, moving, nnapi, xnnpack

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D")


@dataclass(frozen=True, kw_only=True)
class Delegate:
    """`rule` judges one operation; `most`: how many pieces it takes by default, the largest first (0: all)."""

    rule: Callable[..., str]
    notes: Callable[[Sequence[Any]], Iterable[str]]
    most: int = 0
    one_piece: bool = False


def judge(name: str, ops: Sequence[Any]) -> dict[str, Any]:
    """What a delegate takes of the main graph's ops: a share, what falls back and why.

    {"name", "ops", "of", "parts", "falls_back": [{"op", "count", "reason"}], "notes"}. `parts`: how many pieces of the
    graph it gets; each means data handed over and back.
    """
    reasons = reasons_of(name, ops)
    taken = [not r for r in reasons]
    left = Counter((op.name, reason) for op, reason in zip(ops, reasons, strict=True) if reason)
    return {
        "name": name,
        "ops": sum(taken),
        "of": len(ops),
        "parts": len(pieces(ops, taken)),
        "falls_back": [{"op": op, "count": n, "reason": reason} for (op, reason), n in left.items()],
        "notes": list(DELEGATES[name].notes(ops)),
    }


def reasons_of(name: str, ops: Sequence[Any]) -> list[str]:
    """Why it leaves each op; "" for those that it takes."""
    delegate = DELEGATES[name]
    unpacked = {id(t) for op in ops if folded(op) for t in op.outputs}
    reasons = with_readers(ops, [reason_of(delegate, op, unpacked) for op in ops])
    if delegate.one_piece:
        return in_one_piece(ops, reasons)
    return largest(ops, reasons, delegate.most) if delegate.most else reasons


def reason_of(delegate: Delegate, op: Any, unpacked: set[int]) -> str:
    """Why it leaves an op; "" for one that it takes. Rules look at inputs and axes that a damaged op does not have."""
    try:
        return delegate.rule(op, unpacked)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return "inputs, outputs or options that fit no such op"


def pieces(ops: Sequence[Any], taken: Sequence[bool]) -> list[list[int]]:
    """The pieces into which a runtime cuts what is taken: of the first that can run, as much as then can."""
    waiting = {id(t) for op in ops for t in op.outputs}
    readers: dict[int, list[int]] = {}
    missing = [{id(t) for t in op.inputs if t} & waiting for op in ops]
    for i, tensors in enumerate(missing):
        for t in tensors:
            readers.setdefault(t, []).append(i)
    ready: dict[bool, list[int]] = {True: [], False: []}  # heaps: the first of them is the next
    for i in range(len(ops)):
        if not missing[i]:
            heapq.heappush(ready[taken[i]], i)
    found = []
    while ready[True] or ready[False]:  # what is left then waits for itself: a damaged file
        mine = min(heap[0] for heap in ready.values() if heap) in ready[True][:1]
        piece = []
        while ready[mine]:
            piece.append(heapq.heappop(ready[mine]))
            for t in {id(t) for t in ops[piece[-1]].outputs} & waiting:
                waiting.discard(t)
                for i in readers.get(t, ()):
                    missing[i].discard(t)
                    if not missing[i]:
                        heapq.heappush(ready[taken[i]], i)
        if mine:
            found.append(piece)
    return found


def with_readers(ops: Sequence[Any], reasons: Sequence[str]) -> list[str]:
    """A constant that is unpacked by what reads it stays where one reader stays."""
    read = {id(t) for op, reason in zip(ops, reasons, strict=True) if reason for t in op.inputs if t}
    stays = "read by an op that it cannot take"
    return [
        stays if not reason and folded(op) and any(id(t) in read for t in op.outputs) else reason
        for op, reason in zip(ops, reasons, strict=True)
    ]


def largest(ops: Sequence[Any], reasons: Sequence[str], most: int) -> list[str]:
    """It takes but the largest pieces."""
    found = sorted(pieces(ops, [not r for r in reasons]), key=len, reverse=True)
    small = {i for piece in found[most:] for i in piece}
    which = "the largest part" if most == 1 else f"the {most} largest parts"
    return [f"outside {which}, all it takes by default" if i in small else r for i, r in enumerate(reasons)]


def in_one_piece(ops: Sequence[Any], reasons: Sequence[str]) -> list[str]:
    """Its compiler takes one piece: what comes behind an op that falls back, after some that it took, stays too."""
    taken: set[int] = set()  # tensors behind an op that it takes
    left: set[int] = set()  # and behind one that it then does not
    out = []
    for op, reason in zip(ops, reasons, strict=True):
        inputs = {id(t) for t in op.inputs if t}
        if not reason and inputs & left:
            reason = "behind an op that it cannot take"
        out.append(reason)
        outputs = {id(t) for t in op.outputs}
        if not reason or inputs & taken:
            taken |= outputs
        if reason and inputs & taken:
            left |= outputs
    return out


def _edge_notes(ops):
    if any(op.name == COMPILED for op in ops):
        yield "compiled for it already"
    elif all(reason_of(DELEGATES["Edge TPU"], op, set()) for op in ops if op.name in WEIGHTED):
        yield "needs a fully quantised file: --quantize int8 or uint8"
    else:
        yield "compile it: edgetpu_compiler FILE (version 16)"
        if any(op.name.startswith("RESIZE_") for op in ops):
            yield "its compiler may leave a RESIZE op to the CPU, by its size"


def _gpu_notes(ops):
    if any(t.dtype in EIGHT_BITS for op in ops for t in moving(op)):
        yield "8-bit graphs need quantised models allowed, as they are by default, and are computed in float"
    if any(op.custom and op.name == "TFLite_Detection_PostProcess" for op in ops):
        yield "--tflite-head decoded or raw leaves the NMS op out"


def _nnapi_notes(ops):
    yield "deprecated since Android 15"


def _no_notes(ops):
    return ()


DELEGATES = {
    "XNNPACK": Delegate(rule=xnnpack, notes=_no_notes),
    "GPU": Delegate(rule=gpu, notes=_gpu_notes, most=1),
    "NNAPI": Delegate(rule=nnapi, notes=_nnapi_notes, most=3),
    "Edge TPU": Delegate(rule=edge_tpu, notes=_edge_notes, one_piece=True),
}
