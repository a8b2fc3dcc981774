"""Arrays of .npy and .npz, as of --set NAME=@FILE, --side-inputs, --calibration and clips."""

import io
import random
import struct
from pathlib import Path

import numpy as np

from visionport.errors import VisionportError
from visionport.graph.decide import parse_constants
from visionport.inputs import side_inputs
from visionport.tasks.video import clips

SUFFIX = ".npz"
HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 100000), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 90 + ")" * 90 + ", }",
    "{'descr': '<M8[s]', 'fortran_order': True, 'shape': (), }",
    "__import__('os').system('true')",
    "{'descr': '|S99999999999', 'fortran_order': False, 'shape': (9,), }",
)


def saved(how=np.save, *arrays, **named) -> bytes:
    data = io.BytesIO()
    how(data, *arrays, **named)
    return data.getvalue()


def with_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(64)


SEEDS = (
    saved(np.save, np.arange(6, dtype=np.float32).reshape(2, 3)),
    saved(np.save, np.zeros((2, 4, 4, 3), np.uint8)),
    saved(np.savez, a=np.ones((1, 2, 2), np.float32), valid=np.ones(1, np.int32)),
    saved(np.savez_compressed, a=np.zeros((1, 2, 2), np.float32)),
    *map(with_header, HEADERS),
)
SIDES = (side_inputs.parse("a:float32:1,-1,2"), side_inputs.parse("valid:int32:1"))


def mutate(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(len(out), 130))
        if rng.random() < 0.6:
            out[at] = rng.choice((*b"0123456789(),'<|fiuOVSU{}:[]-", 0, 255, rng.randrange(256)))
        elif rng.random() < 0.5:
            out[at:at] = out[at : at + rng.randrange(1, 20)]
        else:
            del out[at : at + rng.randrange(1, 9)]
            out += b"" if out else data
    return bytes(out)


def read(path: Path) -> None:
    """Each way; the file is refused where all refuse it."""
    refused = []
    ways = (
        lambda: parse_constants([f"x=@{path}"]),
        lambda: side_inputs.read(path, SIDES),
        lambda: clips.read_array(path),
    )
    for way in ways:
        try:
            way()
        except VisionportError as error:
            refused.append(error)
    if len(refused) == len(ways):
        raise refused[0]
