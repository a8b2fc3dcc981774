"""Checkpoints written byte by byte, right or wrong, with checksums that are always right."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from visionport.checkpoint.crc32c import crc32c, masked
from visionport.checkpoint.schema import message_class
from visionport.checkpoint.table import MAGIC, Table

Entries = Sequence[tuple[bytes, bytes]]


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def block_of(entries: Entries, *, interval: int = 16) -> bytes:
    """A block without its trailer; of `interval` keys all but the first leave out what they share with the last."""
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def sealed(block: bytes, kind: int = 0) -> bytes:
    """With its trailer."""
    return block + bytes([kind]) + struct.pack("<I", masked(crc32c(block + bytes([kind]))))


def table_of(entries: Entries, *, each: int = 1 << 30, pack=None) -> bytes:
    """A table. each: entries a block; pack: what compresses a block by snappy."""
    out, handles = b"", []
    for at in range(0, max(len(entries), 1), each):
        group = entries[at : at + each]
        block = block_of(group)
        handles.append((group[-1][0] if group else b"", varint(len(out)) + varint(len(pack(block) if pack else block))))
        out += sealed(pack(block), 1) if pack else sealed(block)
    empty = block_of([])
    meta = varint(len(out)) + varint(len(empty))
    out += sealed(empty)
    index = block_of(handles, interval=1)
    where = varint(len(out)) + varint(len(index))
    return out + sealed(index) + footer(meta + where)


def footer(handles: bytes, magic: int = MAGIC) -> bytes:
    return handles.ljust(40, b"\0")[:40] + struct.pack("<Q", magic)


def snappy(data: bytes) -> bytes:
    """Compressed, with runs of a byte as copies."""
    out, at = varint(len(data)), 0
    while at < len(data):
        run = 1
        while at + run < len(data) and run < 65 and data[at + run] == data[at]:
            run += 1
        out += bytes([0, data[at]])
        if run > 1:
            out += bytes([(run - 2) << 2 | 2, 1, 0])
        at += run
    return out


# An index


def header(**fields) -> bytes:
    fields = {"num_shards": 1, "version": {"producer": 1}} | fields
    return message_class("BundleHeader")(**fields).SerializeToString()


def entry(shape: Sequence[int] = (), data: bytes = b"", *, checksum: int | None = None, **fields) -> bytes:
    """A tensor's entry, by default of float32 and of the file 0. data: its bytes."""
    crc = masked(crc32c(data)) if checksum is None else checksum
    fields = {"dtype": 1, "shape": {"dim": [{"size": n} for n in shape]}, "size": len(data), "crc32c": crc} | fields
    return message_class("BundleEntry")(**fields).SerializeToString()


def strings(values: Sequence[bytes]) -> tuple[bytes, int]:
    """The bytes of a tensor of strings, and the checksum of its entry."""
    crc = crc32c(b"".join(struct.pack("<I", len(value)) for value in values))
    checksum = struct.pack("<I", masked(crc))
    crc = crc32c(checksum + b"".join(values), crc)
    return b"".join(varint(len(value)) for value in values) + checksum + b"".join(values), masked(crc)


def write_index(prefix: Path, entries: Mapping[bytes, bytes], data: bytes | None = b"", **how) -> Path:
    """An index of these entries, sorted, with a header if there is none, and its data."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    entries = {b"": header()} | dict(entries)
    Path(f"{prefix}.index").write_bytes(table_of(sorted(entries.items()), **how))
    if data is not None:
        Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


def entries_of(path: Path) -> dict[bytes, bytes]:
    """Of a table that is right."""
    return dict(Table(path).items())
