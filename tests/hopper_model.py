"""How Hopper's instructions lay matrices out in shared memory, element by element: written from the
PTX manual's figures ("Asynchronous Warpgroup Level Matrix Shared Memory Layout", "Swizzling Modes")
and from nothing of the emulator's."""

from __future__ import annotations

import numpy as np

SPANS = (0, 32, 64, 128)  # bytes, by the number of the swizzle
PACK = 16
LINE = 128  # bytes of shared memory's banks


def swizzled(byte: int, swizzle: int) -> int:
    """Where the byte is that would be at ``byte`` of a pattern without a swizzle: the pack's number
    within its span is changed by that of the line of banks."""
    if not swizzle:
        return byte
    packs = SPANS[swizzle] // PACK
    span, within = divmod(byte, SPANS[swizzle])
    pack, rest = divmod(within, PACK)
    return span * SPANS[swizzle] + (pack ^ (byte // LINE % packs)) * PACK + rest


def offset(line: int, k: int, *, leading: int, stride: int, swizzle: int, across_k: bool) -> int:
    """Of an element of 2 bytes, from where the matrix begins."""
    span = SPANS[swizzle]
    if not across_k and not swizzle:  # 8 x 8 core matrices, of rows of 16 bytes
        byte = line // 8 * stride + k // 8 * leading + line % 8 * 16 + k % 8 * 2
    elif not across_k:  # rows of a span, along k, eight to a group
        byte = line // 8 * stride + line % 8 * span + k * 2
    elif not swizzle:
        byte = line // 8 * stride + k // 8 * leading + k % 8 * 16 + line % 8 * 2
    else:
        lines = span // 2
        byte = line // lines * leading + k // 8 * stride + k % 8 * span + line % lines * 2
    return swizzled(byte, swizzle)


def laid_out(matrix: np.ndarray, size: int, start: int = 0, **layout) -> np.ndarray:
    """(lines, k) numbers of 16 bits, as ``size`` bytes of shared memory; others are 0xFF: NaN."""
    memory = np.full(size, 0xFF, "uint8")
    raw = matrix.view("uint16")
    for line in range(raw.shape[0]):
        for k in range(raw.shape[1]):
            at = start + offset(line, k, **layout)
            memory[at : at + 2] = np.frombuffer(raw[line, k].tobytes(), "uint8")
    return memory


def box_of(array: np.ndarray, corner: list[int], box: list[int], swizzle: int) -> np.ndarray:
    """The bytes of a box of ``array``; corner and box innermost dimension first."""
    found = np.zeros(box[::-1], array.dtype)
    for index in np.ndindex(*found.shape):
        at = tuple(i + c for i, c in zip(index, corner[::-1], strict=True))
        if all(0 <= i < n for i, n in zip(at, array.shape, strict=True)):
            found[index] = array[at]
    flat = np.frombuffer(found.tobytes(), "uint8")
    moved = np.empty_like(flat)
    moved[[swizzled(byte, swizzle) for byte in range(flat.size)]] = flat
    return moved
