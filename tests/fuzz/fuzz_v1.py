"""Checkpoints of the V1 format, a table that holds all; mutated as the index is."""

import random
from pathlib import Path

from fuzz_index import extents, flipped, mutate_message, mutated_table, read_all
from tables import snappy, table_of

from visionport.checkpoint.schema import DecodeError, message_class
from visionport.checkpoint.slices import key_of

SUFFIX = ".ckpt"
WHOLE = ((0, -1), (0, -1))
PARTS = (((0, 2), (0, -1)), ((2, 1), (0, -1)))
TENSORS = {  # name -> type, shape, {part: the fields of its values}
    "a": (1, (2, 3), {WHOLE: {"float_val": [bytes(24)]}}),
    "b": (3, (3, 2), {PARTS[0]: {"int_val": [1, 2, 3, 4]}, PARTS[1]: {"int_val": [5, 6]}}),
    "global_step": (9, (), {(): {"int64_val": [7]}}),
    "h": (19, (2,), {((0, -1),): {"half_val": [15360, 16384]}}),
    "w": (7, (2,), {((0, -1),): {"string_val": [b"x", b""]}}),
}


def entries_of() -> dict[bytes, bytes]:
    saved, meta, entries = message_class("SavedTensorSlices"), [], {}
    for name, (kind, shape, parts) in TENSORS.items():
        slices = [extents(part) for part in parts]
        meta.append({"name": name, "shape": {"dim": [{"size": n} for n in shape]}, "type": kind, "slice": slices})
        for part, fields in parts.items():
            data = {"name": name, "slice": extents(part), "data": fields}
            entries[key_of(name, part)] = saved(data=data).SerializeToString()
    entries[b""] = saved(meta={"tensor": meta, "versions": {"producer": 1}}).SerializeToString()
    return entries


ENTRIES = entries_of()
SEEDS = (table_of(sorted(ENTRIES.items())), table_of(sorted(ENTRIES.items()), each=2, pack=snappy))


def read(path: Path) -> None:
    read_all(path)


def mutate(data: bytes, rng: random.Random) -> bytes:
    entries = dict(ENTRIES)
    for _ in range(rng.choice((1, 1, 2, 3))):
        key = rng.choice([b"", *entries])
        if rng.random() < 0.1:
            entries.pop(key, None)
        elif rng.random() < 0.1:
            entries[flipped(key, rng)] = entries.pop(key, b"")
        else:
            mutate_entry(entries, key, rng)
    return mutated_table(sorted(entries.items()) or [(b"", b"")], rng)


def mutate_entry(entries: dict[bytes, bytes], key: bytes, rng: random.Random) -> None:
    if rng.random() < 0.2:
        entries[key] = flipped(entries.get(key, b""), rng)
        return
    try:
        message = message_class("SavedTensorSlices").FromString(entries.get(key, b""))
    except DecodeError:
        return
    mutate_message(message.data.data if key and rng.random() < 0.7 else message, rng)
    for tensor in message.meta.tensor:
        if rng.random() < 0.3:
            mutate_message(tensor, rng)
    entries[key] = message.SerializeToString()
