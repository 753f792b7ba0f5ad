"""Window functions, by which signals are tapered at their ends before a Fourier transform.

Each is a tensor of shape (M,), of the default float dtype. ``sym``: it is symmetric, of M - 1
intervals; else it is one period, of M intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.memory import Array
from tapegrad.ops.common import arguments
from tapegrad.ops.common.operands import named
from tapegrad.ops.common.series import horner

from .create import factory


def _sampled(op: str, device: Device, dtype: Any, length: Any, sym: bool, shape: Callable) -> Array:
    """``shape(xp, k, n)`` at k = 0 .. length - 1 of n intervals, computed in float64. (PyTorch's
    older functions are called ``_window``, and raise another error.)"""
    older = op.endswith("_window")
    wrong = RuntimeError if older else ValueError
    count = arguments.sizes(op, (length,))[0]
    if count < 0:
        raise wrong(f"[{op}] the length must not be negative, got {count}")
    arguments.shape(op, (count,))
    dtype = dtype or dtypes.get_default_dtype()
    if not dtypes.is_floating(dtype) or (dtypes.is_low_precision(dtype) and not older):
        raise wrong(f"[{op}] makes tensors of float32 or float64, got dtype {dtype.name}")
    xp = device.xp
    if count <= 1:
        return xp.ones(count, dtype=dtype)
    k = xp.library.arange(count, dtype="float64")
    return shape(xp, k, count - 1 if sym else count).astype(dtype)


def _cosines(a: Sequence[float]) -> Callable:
    def window(xp: Any, k: Any, n: int) -> Any:
        terms = ((-1) ** i * w * xp.cos(2 * math.pi * i / n * k) for i, w in enumerate(a))
        return sum(terms, 0.0 * k)

    return window


def _triangle(xp: Any, k: Any, n: int) -> Any:
    return 1 - xp.library.abs(2 * k / n - 1)


def _half_period(xp: Any, k: Any, n: int) -> Any:
    return xp.sin(math.pi * (k + 0.5) / (n + 1))


def _scaled_i0(xp: Any, x: Array) -> Any:
    """exp(-x) I_0(x) for x >= 0: the library's I_0 overflows at 713, and from 700 on six terms of
    Abramowitz and Stegun 9.7.1 are exact."""
    near, far = xp.library.minimum(x, 700.0), xp.library.maximum(x, 700.0)
    t = 1 / (8 * far)
    series = horner((893025 / 120, 11025 / 24, 225 / 6, 9 / 2, 1.0, 1.0), t)
    tail = series / xp.sqrt(2 * math.pi * far)
    return xp.library.where(x < 700, xp.library.i0(near) * xp.exp(-near), tail)


def _kaiser(beta: float) -> Callable:
    def window(xp: Any, k: Any, n: int) -> Any:
        along = 2 * k / n - 1
        # sqrt(1 - along^2), which is 0 at both ends
        height = beta * xp.sqrt(xp.library.maximum((1 - along) * (1 + along), 0.0))
        ends = _scaled_i0(xp, xp.library.full_like(k, beta))
        return _scaled_i0(xp, height) / ends * xp.exp(height - beta)

    return window


_BLACKMAN = _cosines((0.42, 0.5, 0.08))
_HANN = _cosines((0.5, 0.5))
_NUTTALL = _cosines((0.3635819, 0.4891775, 0.1365995, 0.0106411))

# ---------------------------------------------------------------------- tapegrad.signal.windows

_RAISED = "{} Raises {} for a negative length, and for dtypes that are not floating-point{}."


def _window(op: str, shape: Callable, doc: str) -> Callable:
    """A window without parameters."""

    def window(device: Device, dtype: Any, M: int, *, sym: bool = True) -> Any:
        return _sampled(op, device, dtype, M, sym, shape)

    return factory(named(op, window, _RAISED.format(doc, "ValueError", ", or of 16 bits")))


bartlett = _window("bartlett", _triangle, "A triangle from 0 up to 1 and back.")
blackman = _window("blackman", _BLACKMAN, "0.42 - 0.5 cos(x) + 0.08 cos(2 x), x from 0 to 2 pi.")
cosine = _window("cosine", _half_period, "Half a period of the sine, in the middles of intervals.")
hamming = _window("hamming", _cosines((0.54, 0.46)), "0.54 - 0.46 cos(x), x from 0 to 2 pi.")
hann = _window("hann", _HANN, "0.5 - 0.5 cos(x), x from 0 to 2 pi.")
nuttall = _window("nuttall", _NUTTALL, "Four cosines with the lowest side lobes (Nuttall 1981).")


@factory
def exponential(
    device: Device,
    dtype: Any,
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
) -> Any:
    """exp(-|k - center| / tau), k = 0 .. M - 1; ``center`` is the middle by default. Raises
    ValueError for tau <= 0, and for a ``center`` without sym=False."""
    if tau <= 0:
        raise ValueError(f"[exponential] tau must be positive, got {tau}")
    if sym and center is not None:
        raise ValueError("[exponential] center must be None for symmetric windows")

    def window(xp: Any, k: Any, n: int) -> Any:
        return xp.exp(-xp.library.abs(k - (n / 2 if center is None else center)) / tau)

    return _sampled("exponential", device, dtype, M, sym, window)


@factory
def gaussian(device: Device, dtype: Any, M: int, *, std: float = 1.0, sym: bool = True) -> Any:
    """exp(-(k - middle)^2 / (2 std^2)), k = 0 .. M - 1. Raises ValueError for std <= 0."""
    if std <= 0:
        raise ValueError(f"[gaussian] std must be positive, got {std}")

    def window(xp: Any, k: Any, n: int) -> Any:
        return xp.exp(-0.5 * ((k - n / 2) / std) ** 2)

    return _sampled("gaussian", device, dtype, M, sym, window)


@factory
def general_cosine(device: Device, dtype: Any, M: int, *, a: Any, sym: bool = True) -> Any:
    """a[0] - a[1] cos(x) + a[2] cos(2 x) - ..., x from 0 to 2 pi. Raises TypeError where ``a`` is
    neither a list nor a tuple, ValueError where it is empty."""
    if not isinstance(a, (list, tuple)):
        raise TypeError(f"[general_cosine] a must be a list of numbers, got {type(a).__name__}")
    if not a:
        raise ValueError("[general_cosine] a must not be empty")
    return _sampled("general_cosine", device, dtype, M, sym, _cosines(a))


@factory
def general_hamming(
    device: Device, dtype: Any, M: int, *, alpha: float = 0.54, sym: bool = True
) -> Any:
    """alpha - (1 - alpha) cos(x), x from 0 to 2 pi."""
    return _sampled("general_hamming", device, dtype, M, sym, _cosines((alpha, 1 - alpha)))


@factory
def kaiser(device: Device, dtype: Any, M: int, *, beta: float = 12.0, sym: bool = True) -> Any:
    """I_0(beta sqrt(1 - x^2)) / I_0(beta), x from -1 to 1. Raises ValueError for beta < 0."""
    if beta < 0:
        raise ValueError(f"[kaiser] beta must not be negative, got {beta}")
    return _sampled("kaiser", device, dtype, M, sym, _kaiser(beta))


# ---------------------------------------------------------------------- older names of five


def _older(op: str, shape: Callable, doc: str) -> Callable:
    """The older form of a window without parameters."""

    def window(device: Device, dtype: Any, window_length: int, periodic: bool = True) -> Any:
        return _sampled(op, device, dtype, window_length, not periodic, shape)

    return factory(named(op, window, _RAISED.format(doc, "RuntimeError", "")))


bartlett_window = _older("bartlett_window", _triangle, "``windows.bartlett``, periodic by default.")
blackman_window = _older("blackman_window", _BLACKMAN, "``windows.blackman``, periodic by default.")
hann_window = _older("hann_window", _HANN, "``windows.hann``, periodic by default.")


@factory
def hamming_window(
    device: Device,
    dtype: Any,
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
) -> Any:
    """alpha - beta cos(x), x from 0 to 2 pi; periodic by default. Raises RuntimeError for a
    negative length, and for dtypes that are not floating-point."""
    shape = _cosines((alpha, beta))
    return _sampled("hamming_window", device, dtype, window_length, not periodic, shape)


@factory
def kaiser_window(
    device: Device, dtype: Any, window_length: int, periodic: bool = True, beta: float = 12.0
) -> Any:
    """``windows.kaiser``, periodic by default. Raises RuntimeError for a negative length, and for
    dtypes that are not floating-point."""
    return _sampled("kaiser_window", device, dtype, window_length, not periodic, _kaiser(beta))
