"""Filling parameters with their first values, in place and without recording."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.hints import unknown_names as _unknown_names
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.pointwise.elementwise import logical_and, logical_or
from tapegrad.ops.sampling.philox import Generator

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


@retelling
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must grow so that activations keep their variance."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}, known: {known}")
    return _GAINS[nonlinearity]


@retelling
def fan_in_and_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs each output sees, and how many outputs each input reaches."""
    if tensor.ndim < 2:
        raise ValueError(
            f"fan in and fan out need at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    outputs, inputs, *window = tensor.shape
    area = math.prod(window)
    return inputs * area, outputs * area


@retelling
@no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    return tensor.uniform_(a, b, generator=generator)


@retelling
@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    return tensor.normal_(mean, std, generator=generator)


@retelling
@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal values, those outside [a, b] drawn again until none is left."""
    if not (a < b and a - 2 * std <= mean <= b + 2 * std):
        raise ValueError(
            f"trunc_normal_: [a, b] = [{a}, {b}] must lie within two deviations of the mean "
            f"(mean={mean}, std={std})"
        )
    accepted = _propose(tensor, mean, std, a, b, generator)
    while not accepted.all().item():
        again = tensor.clone()
        fits = _propose(again, mean, std, a, b, generator)
        tensor.copy_(tensor.where(accepted, again))
        accepted = logical_or(accepted, fits)
    return tensor


def _propose(
    x: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> Tensor:
    """Fill x with what may be normal values in [a, b]; the mask of those that are."""
    if b - a >= 4 * std:
        x.normal_(mean, std, generator=generator)
        return logical_and(x >= a, x <= b)
    # Few normal values would lie there; of uniform ones, as many as the density says are taken.
    x.uniform_(a, b, generator=generator)
    best = ((min(max(mean, a), b) - mean) / std) ** 2
    share = x.clone().uniform_(generator=generator)
    return share < ((best - ((x - mean) / std) ** 2) / 2).exp()


@retelling
@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    return tensor.fill_(val)


@retelling
def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


@retelling
def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


@retelling
@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    if tensor.ndim != 2:
        raise ValueError(f"eye_ needs 2 dimensions, got shape {tuple(tensor.shape)}")
    tensor.zero_()
    diagonal = range(min(tensor.shape))
    tensor[list(diagonal), list(diagonal)] = 1.0
    return tensor


@retelling
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    bound = math.sqrt(3.0) * gain * _xavier_deviation(tensor)
    return uniform_(tensor, -bound, bound, generator)


@retelling
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    return normal_(tensor, 0.0, gain * _xavier_deviation(tensor), generator)


@retelling
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@retelling
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    return normal_(tensor, 0.0, _kaiming_deviation(tensor, a, mode, nonlinearity), generator)


@retelling
@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, whichever are fewer) of length ``gain``, at right angles to each other."""
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_ needs at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    xp = tensor.device.xp
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    drawn = tensor.clone().normal_(generator=generator)._array.reshape(rows, columns)
    q, r = xp.linalg.qr(drawn.T if rows < columns else drawn)
    # The signs of r's diagonal are the algorithm's choice; fixing them makes q uniform.
    q = q * xp.sign(xp.library.diagonal(r))
    q = q.T if rows < columns else q
    return tensor.copy_(wrap(gain * q.reshape(tensor.shape), tensor.device))


def _xavier_deviation(tensor: Tensor) -> float:
    fan_in, fan_out = fan_in_and_out(tensor)
    return math.sqrt(2.0 / (fan_in + fan_out)) if fan_in + fan_out else 0.0


def _kaiming_deviation(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fan_in_and_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
