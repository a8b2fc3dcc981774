"""Parts of tensors that were partitioned: where each lies, and the key under which it is stored."""

from collections.abc import Sequence

WHOLE = -1  # the length, in a key, of a dimension that is not cut

Part = tuple[tuple[int, int], ...]  # (start, length) of each dimension, WHOLE where it is not cut


def part_of(message) -> Part:
    """Of a TensorSlice."""
    return tuple((e.start, e.length if e.HasField("length") else WHOLE) for e in message.extent)


def check_part(part: Part, shape: Sequence[int]) -> int:
    """The number of its elements. Raises ValueError for a part that does not lie in the shape."""
    if len(part) != len(shape):
        raise ValueError(f"a part has {len(part)} dimensions of {len(shape)}")
    count = 1
    for (start, length), size in zip(part, shape, strict=True):
        if (length == WHOLE and start) or (length != WHOLE and not 0 <= start <= start + length <= size):
            raise ValueError("a part lies outside of it")
        count *= size if length == WHOLE else length
    return count


def place_of(part: Part) -> tuple[slice, ...]:
    """The part, to index an array by."""
    return tuple(slice(None) if length == WHOLE else slice(start, start + length) for start, length in part)


def size_of(part: Part, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of the part."""
    return tuple(s if length == WHOLE else length for (_, length), s in zip(part, shape, strict=True))


def key_of(name: str, part: Part) -> bytes:
    """tensorflow/core/util/saved_tensor_slice_util: EncodeTensorNameSlice."""
    escaped = name.encode().replace(b"\x00", b"\x00\xff")  # UTF-8 has no \xff, the other that would be escaped
    numbers = b"".join(ordered(start) + ordered(length) for start, length in part)
    return b"\x00" + escaped + b"\x00\x01" + ordered_count(len(part)) + numbers


def ordered_count(number: int) -> bytes:
    """A number from 0, in bytes that sort as it does: their count, and they."""
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


def ordered(number: int) -> bytes:
    """A signed number, in bytes that sort as it does: as many leading ones as bytes, zeros for a negative one."""
    size = (~number if number < 0 else number).bit_length() // 7 + 1
    bits = number & ((1 << 8 * size) - 1)
    return (bits ^ ((1 << size) - 1) << 7 * size).to_bytes(size, "big")
