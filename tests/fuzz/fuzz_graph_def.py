"""GraphDefs, as .pb."""

import random
from pathlib import Path

SUFFIX = ".pb"
SEEDS: tuple[bytes, ...] = ()  # those of the corpus


def read(path: Path) -> None:
    from graphs import read_source

    read_source(path, path)


def mutate(data: bytes, rng: random.Random) -> bytes:
    from graphs import mutate_as
    from tensorflow.core.framework import graph_pb2

    return mutate_as(graph_pb2.GraphDef, data, rng)
