"""Dropout: elements set to 0 at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import in_float32, to_float32
from tapegrad.ops.indexing.inplace import write_result
from tapegrad.ops.sampling.philox import Seed, current_generator, pieces, start_of

# Where drawing costs less than memory, in the kernel, the backward pass draws the same numbers
# again. NumPy's words take longer than all else in a step of dropout: there the mask is kept, of a
# byte for each element.


@to_float32
def _scaled(xp: Any, x: Any, dropped: Any, p: float) -> Any:
    # As PyTorch does, and kernels and loops: a division would give other bits.
    scale = x.dtype.type(1) / x.dtype.type(1 - p)
    y = xp.library.multiply(x, scale, out=xp.empty(x.shape, dtype=x.dtype))
    xp.library.copyto(y, 0, where=dropped)
    return y


def _again(xp: Any, g: Any, dropped: Any, p: float, seed: Seed, offset: int) -> Any:
    """The gradient: dropout of what arrives."""
    if isinstance(g, Tensor):
        return xp.dropout(g, p=p, seed=seed, offset=offset)
    if dropped is None:
        return xp.dropout(g, p=p, seed=seed, offset=offset)[0]
    return _scaled(xp, g, dropped, p)


@primitive("dropout", vjp=(_again,), extras=("dropped",))
@in_float32
def _dropout(xp: Any, x: Array, *, p: float, seed: Seed, offset: int) -> tuple:
    dropped = xp.empty(x.shape, dtype=bool)
    flat, least = dropped.reshape(-1), xp.library.uint32(math.ceil(p * 2**24))
    for piece in pieces(flat):
        n = min(piece.stop, x.size) - piece.start
        words = xp.philox(n=n, seed=seed, offset=offset, start=piece.start)
        flat[piece] = (words >> xp.library.uint32(8)) < least
    return _scaled(xp, x, dropped, p), dropped


_drop_anew = launching("dropout", "x[*n], start[2] -> y[*n]", uint64="start")


@kernel("dropout")
def _dropout_kernel(device: Device, x: Array, *, p: float, seed: Seed, offset: int) -> tuple:
    start, seed = start_of(seed)
    return _drop_anew(device, x, start, p=p, seed=seed, offset=offset), None


def _alpha_rule(xp: Any, g: Array, p: float, scale: float, seed: Seed, offset: int) -> Any:
    return _again(xp, g, None, p, seed, offset) * (scale * (1 - p))


@primitive("alpha_dropout", vjp=(_alpha_rule,))
@in_float32
def _alpha_dropout(
    xp: Any, x: Array, *, p: float, scale: float, low: float, seed: Seed, offset: int
) -> Array:
    """scale * x, or scale * low where dropped, all shifted back to mean 0."""
    keep = xp.dropout(xp.ones_like(x), p=p, seed=seed, offset=offset)[0] > 0
    return xp.where(keep, x * scale, scale * low) - scale * low * p


# ---------------------------------------------------------------------- PyTorch's signatures


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Floats set to 0 with probability p, the others scaled by 1 / (1 - p). Unless ``training``,
    the result is the input itself. Raises ValueError for a p beyond 0..1."""
    return _drop("dropout", input, p, training, inplace, lambda: _dropout(input, p=p, **_call()))


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, length) or (c, length) set to 0, as ``dropout`` sets elements.
    Raises RuntimeError for other shapes."""
    if isinstance(input, Tensor) and input.ndim not in (2, 3):
        raise RuntimeError(
            f"[dropout1d] expects (n, c, length) or (c, length), got {tuple(input.shape)}"
        )
    return _drop_channels("dropout1d", input, p, training, inplace, unbatched=2)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, ...) set to 0, as ``dropout`` sets elements; as in PyTorch, 3
    dimensions are (n, c, length). Raises RuntimeError for fewer than 2."""
    return _drop_channels("dropout2d", input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (n, c, d, h, w) or (c, d, h, w) set to 0, as ``dropout`` sets elements.
    Raises RuntimeError for fewer than 2 dimensions."""
    return _drop_channels("dropout3d", input, p, training, inplace, unbatched=4)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Floats set with probability p to selu's least value, and all scaled and shifted such that
    mean 0 and variance 1 stay what they are (Klambauer et al. 2017). Raises ValueError for a p
    beyond 0..1."""

    def dropped() -> Tensor:
        return _alpha_dropout(input, p=p, scale=_alpha_scale(p), low=_SELU_LOW, **_call())

    return _drop("alpha_dropout", input, p, training, inplace, dropped)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of (n, c, ...). Raises RuntimeError for fewer than 2
    dimensions."""
    op = "feature_alpha_dropout"

    def dropped() -> Tensor:
        keep, scale = _channel_noise(op, input, p, 2) * (1 - p), _alpha_scale(p)
        return input * (keep * scale) + (keep - (1 - p)) * -(scale * _SELU_LOW)

    return _drop(op, input, p, training, inplace, dropped)


_SELU_LOW = -1.0507009873554805 * 1.6732632423543772  # -scale * alpha


def _alpha_scale(p: float) -> float:
    return ((1 - p) * (1 + p * _SELU_LOW * _SELU_LOW)) ** -0.5


def _drop(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, dropped: Callable[[], Tensor]
) -> Tensor:
    """x while nothing is to be dropped, zeros for all of it, otherwise what ``dropped`` returns."""
    require_tensor(op, x)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"[{op}] p must be in 0..1, got {p}")
    if not training or p == 0:
        return x
    require_floating(op, x)
    y = x * 0.0 if p == 1 else dropped()
    return write_result(x, y, f"{op}_") if inplace else y


def _call() -> dict[str, int]:
    seed, offset = current_generator().next()
    return {"seed": seed, "offset": offset}


def _drop_channels(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, unbatched: int = 0
) -> Tensor:
    def dropped() -> Tensor:
        return x * _channel_noise(op, x, p, 1 if x.ndim == unbatched else 2)

    return _drop(op, x, p, training, inplace, dropped)


def _channel_noise(op: str, x: Tensor, p: float, leading: int) -> Tensor:
    """0 or 1 / (1 - p) for each channel: all but the ``leading`` dimensions have size 1."""
    if x.ndim < 2:
        raise RuntimeError(f"[{op}] expects (n, c, ...), got shape {tuple(x.shape)}")
    shape = (*x.shape[:leading], *(1,) * (x.ndim - leading))
    ones = wrap(x._device.xp.ones(shape, dtype=x.dtype), x._device)
    return _dropout(ones, p=p, **_call())
