"""The index of a checkpoint with its data: an input is the index's length in four bytes, the index, and the data.

Mutations change what the index says, not only its bytes; checksums are right again, except where that is the mutation.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from tables import entry, header, snappy, strings, table_of, write_index

from visionport.checkpoint import write
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.checkpoint.open import open_checkpoint
from visionport.checkpoint.read import OBJECT_GRAPH, VALUE
from visionport.checkpoint.schema import DecodeError, message_class
from visionport.checkpoint.slices import key_of
from visionport.errors import CheckpointError
from visionport.inspection.checkpoint import describe_checkpoint

SUFFIX = ".bin"
ODD = (0, 1, 2, 3, 7, 20, 21, 32, 33, 99, 101, 255, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1, -1, -5)
ODD = (*ODD, -(1 << 31), -(1 << 63))


def two_kinds(graph: bytes = b"") -> tuple[dict[bytes, bytes], bytes]:
    """Numbers, strings, a partitioned tensor, and an object graph."""
    data = bytes(range(24)) + bytes(8)
    entries = {b"": header()}
    entries[f"model/a/kernel{VALUE}".encode()] = entry([2, 3], data[:24])
    entries[f"save_counter{VALUE}".encode()] = entry([], data[24:32], dtype=9, offset=24)
    if not graph:
        parts = [((0, 2), (0, -1)), ((2, 1), (0, -1))]
        entries[b"cut"] = entry([3, 2], size=0, slices=[extents(part) for part in parts])
        for part, rows, at in zip(parts, (2, 1), (32, 48), strict=True):
            entries[key_of("cut", part)] = entry([rows, 2], bytes(8 * rows), offset=at)
        data += bytes(24)
    else:
        packed, checksum = strings([graph])
        entries[OBJECT_GRAPH.encode()] = entry([], packed, checksum=checksum, dtype=7, offset=len(data))
        data += packed
    packed, checksum = strings([b"x", b"", b"y" * 300])
    entries[b"words"] = entry([3], packed, checksum=checksum, dtype=7, offset=len(data))
    return entries, data + packed


def extents(part) -> dict:
    return {"extent": [{"start": s} if n < 0 else {"start": s, "length": n} for s, n in part]}


def graph_of(**root) -> bytes:
    """A root with a model, which has `a`, which has `kernel`; and a counter."""
    nodes = [
        {"children": [{"node_id": 1, "local_name": "model"}, {"node_id": 4, "local_name": "save_counter"}], **root},
        {"children": [{"node_id": 2, "local_name": "a"}]},
        {"children": [{"node_id": 3, "local_name": "kernel"}, {"node_id": 1, "local_name": "back"}]},
        {"attributes": [{"name": "VARIABLE_VALUE", "checkpoint_key": f"model/a/kernel{VALUE}"}]},
        {"attributes": [{"name": "VARIABLE_VALUE", "checkpoint_key": f"save_counter{VALUE}"}]},
    ]
    return message_class("TrackableObjectGraph")(nodes=nodes).SerializeToString()


def packed(index: bytes, data: bytes) -> bytes:
    return len(index).to_bytes(4, "little") + index + data


SLOT = {"original_variable_node_id": 3, "slot_name": "momentum", "slot_variable_node_id": 3}
CASES = {}
for entries, data in (two_kinds(), two_kinds(graph_of()), two_kinds(graph_of(slot_variables=[SLOT]))):
    CASES[packed(table_of(sorted(entries.items())), data)] = (entries, data)
SEEDS = (*CASES,)


def read(path: Path) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:4], "little")
    prefix = path.with_name("ckpt-1")
    Path(f"{prefix}.index").write_bytes(content[4 : 4 + size])
    Path(f"{prefix}.data-00000-of-00001").write_bytes(content[4 + size :])
    read_all(prefix)


def read_all(prefix: Path) -> None:
    """Whatever commands ask of a checkpoint."""
    refused = None
    checkpoint = open_checkpoint(prefix)
    for ask in (describe_checkpoint, ask_graph, *(lambda c, k=key: c[k] for key in checkpoint)):
        try:
            ask(checkpoint)
        except CheckpointError as error:  # the others are asked all the same
            refused = error
    if refused:
        raise refused


def ask_graph(checkpoint) -> None:
    for key in ("model/a/kernel", "model/a", "", "a/b/c", "model/a/kernel/.OPTIMIZER_SLOT/o/m"):
        checkpoint.key_of(key)
    graph = checkpoint.object_graph()
    if graph:
        write.add_counter(graph)
        write.rename(write.pruned(graph))


# Mutations


def mutate(data: bytes, rng: random.Random) -> bytes:
    entries, values = CASES[data]
    entries = dict(entries)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.randrange(8)
        if kind < 4:
            mutate_value(entries, rng)
        elif kind == 4:
            mutate_key(entries, rng)
        elif kind == 5:
            values = mutate_graph(entries, values, rng)
        elif kind == 6:
            values = flipped(values, rng)
        else:
            del entries[rng.choice([*entries])]
        entries = entries or {b"": header()}
    items = sorted(entries.items())
    return packed(mutated_table(items, rng), values)


def mutate_value(entries: dict[bytes, bytes], rng: random.Random) -> None:
    """What is said of a tensor, by the meaning of a number, or by its bytes."""
    key = rng.choice([*entries])
    if rng.random() < 0.2:
        entries[key] = flipped(entries[key], rng)
        return
    try:
        message = message_class("BundleEntry" if key else "BundleHeader").FromString(entries[key])
    except DecodeError:
        return
    mutate_message(message, rng)
    entries[key] = message.SerializeToString()


def mutate_message(message, rng: random.Random) -> None:
    """Changes, adds or removes one of its fields, or one below."""
    field = rng.choice(message.DESCRIPTOR.fields)
    value = getattr(message, field.name)
    if field.is_repeated:
        if field.message_type and value and rng.random() < 0.5:
            mutate_message(rng.choice(value), rng)
        elif field.message_type:
            for _ in range(rng.choice((1, 2, 300))):
                value.add()
        elif rng.random() < 0.5:
            value.append(odd(field, rng))
        if value and rng.random() < 0.3:
            del value[rng.randrange(len(value)) :]
    elif field.message_type:
        mutate_message(value, rng)
    elif rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, odd(field, rng))


def odd(field, rng: random.Random):
    """A value for a field that few expect."""
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        text = rng.choice(("", "a", "\x1b[2J", "..", "/", "x" * 5000, "VARIABLE_VALUE", "model", "\x00", "é"))
        return text if field.type == field.TYPE_STRING else text.encode() + rng.randbytes(rng.choice((0, 3, 8)))
    if field.type == field.TYPE_BOOL:
        return True
    number = rng.choice(ODD)
    bits = 64 if field.type in (field.TYPE_INT64, field.TYPE_UINT64) else 32
    number &= (1 << bits) - 1
    signed = field.type in (field.TYPE_INT32, field.TYPE_INT64)
    return number - (1 << bits) if signed and number >> bits - 1 else number


def mutate_key(entries: dict[bytes, bytes], rng: random.Random) -> None:
    key = rng.choice([*entries])
    others = (b"", b"\x00", b"\xff", b"a" * 70_000, OBJECT_GRAPH.encode(), b"\x1b[31m", flipped(key, rng), key + b"x")
    entries[rng.choice(others)] = entries[key] if rng.random() < 0.5 else entries.pop(key)


def mutate_graph(entries: dict[bytes, bytes], values: bytes, rng: random.Random) -> bytes:
    """The data with another object graph behind it, if there is one, which the index leads to."""
    key = OBJECT_GRAPH.encode()
    if key not in entries:
        return values
    graph = message_class("TrackableObjectGraph").FromString(graph_of())
    for _ in range(rng.choice((1, 1, 3))):
        mutate_message(rng.choice([graph, *graph.nodes]), rng)
    serialized = graph.SerializeToString() if rng.random() < 0.8 else flipped(graph.SerializeToString(), rng)
    new, checksum = strings([serialized])
    entries[key] = entry([], new, checksum=checksum, dtype=7, offset=len(values))
    return values + new


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut or added."""
    out = bytearray(data)
    at = rng.randrange(len(out) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        del out[at:]
    elif kind == 1:
        out[at:at] = rng.randbytes(rng.choice((1, 4, 60)))
    elif out:
        out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(out)


def mutated_table(items: Sequence[tuple[bytes, bytes]], rng: random.Random) -> bytes:
    """A table of them; sometimes one that is wrong itself."""
    kind = rng.randrange(10)
    if kind == 0:
        items = rng.sample(items, len(items))
    elif kind == 1:
        items = sorted([*items, rng.choice(items)])
    pack = snappy if rng.random() < 0.2 else None
    if kind == 2:
        pack = lambda block: flipped(snappy(block), rng)  # noqa: E731
    table = table_of(items, each=rng.choice((1, 2, 1 << 30)), pack=pack)
    if kind == 3:
        return flipped(table, rng)
    if kind == 4:
        return repaired(table, rng)
    if kind == 5:
        return table[:-48] + flipped(table[-48:], rng)[:40].ljust(40, b"\0") + table[-8:]
    return table


def repaired(table: bytes, rng: random.Random) -> bytes:
    """The first block changed in some of its bytes, with a checksum that is right again."""
    size = int.from_bytes(table[-48:], "little") % max(1, len(table) - 60)
    size = rng.choice((size, rng.randrange(4, max(5, len(table) - 60))))
    block = flipped(table[:size], rng)[:size].ljust(size, b"\0")
    return (
        block
        + table[size : size + 1]
        + masked(crc32c(block + table[size : size + 1])).to_bytes(4, "little")
        + table[size + 5 :]
    )


def written(folder: Path, data: bytes) -> Path:
    """A seed as a checkpoint in `folder`."""
    entries, values = CASES[data]
    return write_index(folder / "ckpt-1", entries, values)
