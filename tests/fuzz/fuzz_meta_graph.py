"""MetaGraphDefs, as .meta: without their checkpoints."""

import random
from pathlib import Path

SUFFIX = ".meta"
SEEDS: tuple[bytes, ...] = ()  # those of the corpus


def read(path: Path) -> None:
    from graphs import read_source

    read_source(path, path)


def mutate(data: bytes, rng: random.Random) -> bytes:
    from graphs import mutate_as
    from tensorflow.core.protobuf import meta_graph_pb2

    return mutate_as(meta_graph_pb2.MetaGraphDef, data, rng)
