"""CRC-32C (Castagnoli), by which tables and values of checkpoints are checked; in NumPy, many words at once.

Without its inversions a CRC is linear: that of the words w[0] ... w[n-1] is the sum (xor) of S^(n-i) w[i], where S
takes a state four bytes further. So words are summed in lanes, a row of them at a time, and what the lanes hold in the
end has the CRC of all.
"""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78
FEW = 512  # words up to which a loop over them is faster
LANES = 14  # log2 of the most of them: their row of 64 KiB and both of its tables stay in the processor's cache
ROWS = 8  # at least


def crc32c(data, crc: int = 0) -> int:
    """The checksum of bytes-like `data`; crc: that of what stands before it."""
    data = memoryview(data).cast("B")
    whole = len(data) & ~3
    state = of_words(np.frombuffer(data[:whole], "<u4"), crc ^ 0xFFFFFFFF)
    for byte in data[whole:]:
        state = byte_table()[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """As files store a checksum: https://github.com/google/leveldb/blob/main/util/crc32c.h."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def of_words(words: np.ndarray, state: int) -> int:
    """The state behind uint32 `words`."""
    while len(words) > FEW:
        level = min(LANES, (len(words) // ROWS).bit_length() - 1)
        rows = len(words) >> level
        state = of_words(summed(words[: rows << level].reshape(rows, 1 << level), state, level), 0)
        words = words[rows << level :]
    low, high = half_lists()
    for word in words.tolist():
        state ^= word
        state = low[state & 0xFFFF] ^ high[state >> 16]
    return state


def summed(words: np.ndarray, state: int, level: int) -> np.ndarray:
    """One row [2^level] with the CRC of `words` [rows, 2^level], the state before which was `state`."""
    lanes = words[0].copy()
    lanes[0] ^= np.uint32(state)
    low, high = half_tables(level)
    lower, upper = lanes.view("<u2").reshape(-1, 2).T
    first, second = np.empty_like(lanes), np.empty_like(lanes)
    for row in words[1:]:
        np.take(low, lower, out=first, mode="clip")  # without the buffer that the default mode needs
        np.take(high, upper, out=second, mode="clip")
        np.bitwise_xor(first, second, out=first)
        np.bitwise_xor(first, row, out=lanes)
    return lanes


@cache
def byte_table() -> list[int]:
    """A state that holds one byte -> the state a byte further."""
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0) for crc in table]
    return table


@cache
def word_tables(level: int) -> np.ndarray:
    """uint32 [4, 256]: for each byte of a state what it adds to the state 2^level words further."""
    if level:
        before = word_tables(level - 1)
        return sum_of_bytes(before, before)
    table = np.array(byte_table(), np.uint32)
    state = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(4):
        state = table[state & 0xFF] ^ state >> 8
    return state


def sum_of_bytes(tables: np.ndarray, state: np.ndarray) -> np.ndarray:
    """States further, by `word_tables`."""
    first, second, third, fourth = (tables[i][state >> 8 * i & 0xFF] for i in range(4))
    return first ^ second ^ third ^ fourth


@cache
def half_tables(level: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for the lower and the upper half of a state."""
    first, second, third, fourth = word_tables(level)
    return (first ^ second[:, None]).reshape(-1), (third ^ fourth[:, None]).reshape(-1)


@cache
def half_lists() -> tuple[list[int], list[int]]:
    """Those of one word."""
    low, high = half_tables(0)
    return low.tolist(), high.tolist()
