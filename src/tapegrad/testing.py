"""Help for tests, under the names of ``torch.testing``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .core import dtypes
from .core.devices import to_numpy
from .core.tensor import Tensor, wrap
from .ops.common import arguments
from .ops.common.refusals import retelling
from .ops.creation.create import as_tensor
from .ops.sampling.draws import rand, randint

__all__ = ["assert_close", "make_tensor"]

# How far values may be apart by default: (relative, absolute).
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless all |actual - expected| <= atol + rtol |expected|.

    Both are tensors, arrays or numbers, or sequences or mappings of such, compared item by item;
    the message says where they differ most. ``rtol`` and ``atol`` go together; by default they fit
    the dtype (of two, the wider tolerances): 1.3e-6 and 1e-5 for float32, 0 for integers. nan
    equals nan under ``equal_nan`` only. ``check_``: dtype, device and, if asked for, strides must
    be equal, as shapes must. ``msg`` replaces the message, or is given it and returns another.
    Raises ValueError for one tolerance without the other, TypeError for what cannot be compared.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("[assert_close] rtol and atol go together: give both or neither")
    tolerances = None if rtol is None or atol is None else (rtol, atol)
    checks = {"device": check_device, "dtype": check_dtype, "stride": check_stride}
    wrong = _difference(actual, expected, tolerances, equal_nan, checks, allow_subclasses, "")
    if wrong:
        raise AssertionError(wrong if msg is None else msg if isinstance(msg, str) else msg(wrong))


def _difference(
    actual: Any,
    expected: Any,
    tolerances: tuple[float, float] | None,
    equal_nan: bool,
    checks: dict[str, bool],
    subclasses: bool,
    at: str,
) -> str:
    """What is wrong with the first pair that differs, "" if none does."""
    rest = (tolerances, equal_nan, checks, subclasses)
    where = f"\n\nThe failure occurred for item {at}" if at else ""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if actual.keys() != expected.keys():
            missing = [k for k in expected if k not in actual]
            more = [k for k in actual if k not in expected]
            keys = f"missing {missing}, unexpected {more}"
            return f"The keys of the mappings do not match: {keys}{where}"
        pairs: list = [(k, actual[k], expected[k]) for k in expected]
    elif _is_sequence(expected) and _is_sequence(actual):
        if len(actual) != len(expected):
            return (
                f"The length of the sequences do not match: {len(actual)} != {len(expected)}{where}"
            )
        pairs = [(i, a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True))]
    else:
        wrong = _unequal(actual, expected, *rest)
        return wrong and wrong + where
    for key, a, e in pairs:
        wrong = _difference(a, e, *rest, f"{at}[{key!r}]")
        if wrong:
            return wrong
    return ""


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _unequal(
    actual: Any,
    expected: Any,
    tolerances: tuple[float, float] | None,
    equal_nan: bool,
    checks: dict[str, bool],
    subclasses: bool,
) -> str:
    """What is wrong with two tensors, arrays, numbers or others, "" if nothing."""
    if actual is None or expected is None:
        return "" if actual == expected else f"{actual!r} is not equal to {expected!r}"
    kinds = (int, float, np.generic)
    if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        return "" if actual == expected else f"Booleans mismatch: {actual} is not {expected}"
    scalars = isinstance(actual, kinds) and isinstance(expected, kinds)
    both = [isinstance(v, Tensor) for v in (actual, expected)]
    if both[0] != both[1] or (not subclasses and type(actual) is not type(expected)):
        raise TypeError(
            "[assert_close] expects values of one kind, got "
            f"{type(actual).__name__} and {type(expected).__name__}: "
            "tapegrad.as_tensor() makes a tensor"
        )
    try:
        a, e = (as_tensor(np.asarray(v) if scalars else v) for v in (actual, expected))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"[assert_close] cannot compare {type(actual).__name__} and "
            f"{type(expected).__name__}: {error}"
        ) from None
    if scalars and checks["dtype"] and type(actual) is not type(expected):
        return f"The types do not match: {type(actual).__name__} != {type(expected).__name__}."
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}."
    for name in ("device", "dtype"):
        if checks[name] and getattr(a, name) != getattr(e, name):
            values = f"{getattr(a, name)} != {getattr(e, name)}"
            return f"The values for attribute {name!r} do not match: {values}."
    if checks["stride"] and a.stride() != e.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}."
    if tolerances is None:
        known = [_TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, e)]
        tolerances = max(r for r, _ in known), max(t for _, t in known)
    return _elements(_wide(a), _wide(e), *tolerances, equal_nan, scalars)


def _wide(x: Tensor) -> np.ndarray:
    """The values in a dtype that subtracts without wrapping around."""
    host = to_numpy(x._array)
    return host.astype(np.float64) if dtypes.is_floating(x.dtype) else host.astype(object)


def _elements(
    a: np.ndarray, e: np.ndarray, rtol: float, atol: float, equal_nan: bool, scalars: bool
) -> str:
    with np.errstate(all="ignore"):
        same = np.asarray(a == e, dtype=bool)
        absolute = np.asarray(abs(a - e), dtype=np.float64)
        size = np.asarray(abs(e), dtype=np.float64)
        fits = same | ((absolute <= atol + rtol * size) & np.isfinite(absolute))
        relative = np.divide(absolute, size)
    if equal_nan:
        fits |= np.isnan(a.astype(np.float64)) & np.isnan(e.astype(np.float64))
    if fits.all():
        return ""
    if scalars:
        return (
            f"Scalars are not close!\n\nExpected {e.item()} but got {a.item()}.\n"
            f"Absolute difference: {absolute.item()} (up to {atol} allowed)\n"
            f"Relative difference: {relative.item()} (up to {rtol} allowed)"
        )
    lines = [
        f"Tensor-likes are not {'close' if rtol or atol else 'equal'}!\n",
        f"Mismatched elements: {(~fits).sum()} / {fits.size} ({(~fits).mean():.1%})",
    ]
    for what, differences, allowed in (
        ("absolute", absolute, atol), ("relative", relative, rtol)
    ):  # fmt: skip
        shown = np.where(fits, -1.0, np.where(np.isnan(differences), math.inf, differences))
        worst = np.unravel_index(int(shown.argmax()), shown.shape)
        index = tuple(int(i) for i in worst)
        lines.append(
            f"Greatest {what} difference: {differences[worst]} at index {index} (up to {allowed} "
            f"allowed): expected {e[worst]}, got {a[worst]}"
        )
    return "\n".join(lines)


@retelling
def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Random values, uniform in [low, high): by default [-9, 9) for floats and [-9, 10) for
    integers, [0, 10) for uint8, both values for bool. ``noncontiguous``: strided, where there are
    two elements or more. ``exclude_zero``: zeros are replaced by the smallest number above. Raises
    ValueError for low >= high, and for requires_grad of integers.
    """
    op = "make_tensor"
    sizes = arguments.shape(op, shape)
    kind = arguments.named_dtype(op, dtype)
    if requires_grad and not dtypes.is_floating(kind):
        raise ValueError(f"[{op}] requires_grad needs a floating-point dtype, got {kind.name}")
    floats = dtypes.is_floating(kind)
    usual = (0, 2) if kind.kind == "b" else (0, 10) if kind.kind == "u" else (-9, 9 + (not floats))
    bottom, top = usual[0] if low is None else low, usual[1] if high is None else high
    if not bottom < top:
        raise ValueError(f"[{op}] low must be below high, got {bottom} and {top}")
    strided = noncontiguous and math.prod(sizes) > 1
    drawn = (*sizes[:-1], 2 * sizes[-1]) if strided else sizes
    if floats:
        values = rand(drawn, dtype=dtypes.float64, device=device) * (top - bottom) + bottom
        made = values.to(kind)
    else:
        first, last = math.ceil(bottom), math.ceil(top)
        made = randint(first, max(last, first + 1), drawn, device=device).to(kind)
    if exclude_zero:
        smallest = float(np.finfo(np.float32).tiny) if floats else 1
        if kind.name == "float16":
            smallest = float(np.finfo(np.float16).tiny)
        made = made.masked_fill(made == 0, smallest)
    result = wrap(made._array[..., ::2], made._device) if strided else made
    return result.requires_grad_() if requires_grad else result
