"""What the readers of graphs share: how an input is mutated, and what is done with one that is read."""

import random
import zlib
from pathlib import Path

from fuzzing import is_text, mutated
from messages import mutate_message

IMPORTED = 8  # of so many inputs that are sound, one is imported and frozen too


def mutate_as(kind, data: bytes, rng: random.Random) -> bytes:
    """By its fields, now and then by its bytes; text by its words. kind: the message's class."""
    if rng.random() < 0.15 or is_text(data):
        return mutated(data, rng)
    return mutate_message(kind.FromString(data), rng, 1 + int(rng.expovariate(0.7)))


def read_source(path: Path, file: Path) -> None:
    """Inspects a source, and freezes a sample of them, as the commands do. file: its bytes decide."""
    from visionport.graph.freeze import GraphRequest, freeze
    from visionport.graph.sources import list_unread, open_source
    from visionport.inspection import graph

    graph.render(graph.describe(path))
    source = open_source(path)
    if zlib.crc32(file.read_bytes()) % IMPORTED == 0:
        outputs = () if source.outputs else tuple(list_unread(source.graph)[:4])
        freeze(GraphRequest(source=path, outputs=outputs), optimize=True)
