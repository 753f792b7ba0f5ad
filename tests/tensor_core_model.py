"""Tensor cores' block addition in exact arithmetic, written from the paper and from nothing of the
emulator's: Khattak and Mikaitis 2025 (arXiv 2512.07004). Numbers are given as their bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

NAN = 0x7FFFFFFF
INFINITY = 0x7F800000


@dataclass(frozen=True)
class Format:
    """A binary format: bits of the fraction and of the exponent; ``unused`` ones below."""

    fraction: int
    exponent: int
    unused: int = 0

    def value(self, bits: int) -> Fraction | float:
        """Exact, or an infinity or NaN."""
        bits >>= self.unused
        sign = -1 if bits >> (self.fraction + self.exponent) else 1
        field, fraction = self._field(bits), bits & ((1 << self.fraction) - 1)
        if field == (1 << self.exponent) - 1:
            return math.nan if fraction else sign * math.inf
        whole = fraction + (1 << self.fraction if field else 0)
        return sign * whole * Fraction(2) ** (self.scale(bits << self.unused) - self.fraction)

    def scale(self, bits: int) -> int:
        """The exponent, of subnormal numbers that of the smallest normal one."""
        bias = (1 << (self.exponent - 1)) - 1
        return max(self._field(bits >> self.unused), 1) - bias

    def _field(self, bits: int) -> int:
        return (bits >> self.fraction) & ((1 << self.exponent) - 1)


FLOAT = Format(23, 8)
FORMATS = {"half": Format(10, 5), "bfloat16": Format(7, 8), "tfloat32": Format(10, 8, unused=13)}

# architecture: (products at once of 16 bits, of tfloat32; extra bits; least exponent kept for)
CORES = {"hopper": (16, 8, 2, -133), "ampere": (8, 4, 1, None)}


def add(c: int, a: Sequence[int], b: Sequence[int], kind: str, cores: str) -> int:
    """c + a[0] b[0] + a[1] b[1] + ..., as a tensor core adds it."""
    wide, narrow, _, _ = CORES[cores]
    block = narrow if kind == "tfloat32" else wide
    for start in range(0, len(a), block):
        c = _add_block(c, a[start : start + block], b[start : start + block], kind, cores)
    return c


def _add_block(c: int, a: Sequence[int], b: Sequence[int], kind: str, cores: str) -> int:
    form = FORMATS[kind]
    _, _, extra, least = CORES[cores]
    left, right = [form.value(x) for x in a], [form.value(x) for x in b]
    products = [x * y if _finite(x, y) else float(x) * float(y)
                for x, y in zip(left, right, strict=True)]  # fmt: skip
    terms = [*products, FLOAT.value(c)]
    if not _finite(*terms):
        return _special(terms)
    scales = [form.scale(x) + form.scale(y)
              for x, y, p in zip(a, b, products, strict=True) if p]  # fmt: skip
    scales += [FLOAT.scale(c)] if terms[-1] else []
    if not scales:
        return 0
    largest = max(scales) if least is None else max(*scales, least)
    unit = Fraction(2) ** (largest - 23 - extra)
    return _cut_to_float(sum(math.trunc(term / unit) for term in terms) * unit)


def _finite(*values: Fraction | float) -> bool:
    return all(isinstance(x, Fraction) or math.isfinite(x) for x in values)


def _special(terms: Iterable[Fraction | float]) -> int:
    found = {float(x) for x in terms if not isinstance(x, Fraction) and not math.isfinite(x)}
    if any(math.isnan(x) for x in found) or len(found) > 1:
        return NAN
    return INFINITY | (0x80000000 if found.pop() < 0 else 0)


def _cut_to_float(value: Fraction) -> int:
    sign, size = (0x80000000 if value < 0 else 0), abs(value)
    if size == 0:
        return 0
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size
    if exponent > 127:
        return sign | INFINITY
    exponent = max(exponent, -126)
    fraction = math.floor(size / Fraction(2) ** (exponent - 23))
    return sign | (fraction + ((exponent + 126) << 23))
