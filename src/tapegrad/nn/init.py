"""Filling parameters with their first values, in place and without recording."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any, TypeVar

from tapegrad.core.modes import holds, no_grad
from tapegrad.core.primitive import signature
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.hints import unknown_names as _unknown_names
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.common.signatures import fitting, kinds_of
from tapegrad.ops.pointwise.elementwise import logical_and, logical_not
from tapegrad.ops.sampling.philox import Generator

__all__ = [
    "calculate_gain", "constant", "constant_", "dirac", "dirac_", "eye", "eye_", "kaiming_normal",
    "kaiming_normal_", "kaiming_uniform", "kaiming_uniform_", "normal", "normal_", "ones_",
    "orthogonal", "orthogonal_", "sparse", "sparse_", "trunc_normal_", "uniform", "uniform_",
    "xavier_normal", "xavier_normal_", "xavier_uniform", "xavier_uniform_", "zeros_",
]  # fmt: skip

F = TypeVar("F", bound=Callable)
_skipping: ContextVar[bool] = ContextVar("skipping", default=False)


def skipped() -> holds[bool]:
    """Within it, the functions of this module fill nothing."""
    return holds(_skipping, True)


def _filling(function: F) -> F:
    """A function that fills a tensor: without recording, with numbers where its annotations say so,
    and not at all within ``skipped()``."""
    names, _, _ = signature(function)
    kinds = kinds_of(function)
    told = retelling(function)

    @wraps(function)
    def filling(*args: Any, **options: Any) -> Any:
        given = {**dict(zip(names, args, strict=False)), **options}
        for name, (kind, optional) in kinds.items():
            if name in given and given[name].__class__ is not kind:
                fitting(function.__name__, name, given[name], kind, optional)
        if _skipping.get() and isinstance(given.get(names[0]), Tensor):
            return given[names[0]]
        with no_grad():
            return told(*args, **options)

    return filling  # type: ignore[return-value]


_GAINS = {
    **dict.fromkeys(["linear", "conv1d", "conv2d", "conv3d"], 1.0),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], 1.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


@retelling
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must grow so that activations keep their variance. ``param`` is
    leaky_relu's slope. Raises ValueError for an unknown nonlinearity, and for a slope that is no
    number."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: the slope must be a number, got {param!r}")
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


_calculate_fan_in_and_fan_out = fan_in_and_out  # layers in public code call it


@_filling
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform values in [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@_filling
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal values."""
    return tensor.normal_(mean, std, generator=generator)


@_filling
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal values, those outside [a, b] drawn again until none is left; in eight parts, which
    keeps what is needed beside the tensor small.

    Warns if the mean is more than two deviations away from [a, b]. Raises ValueError unless a < b
    and std is positive.
    """
    if not a < b or not 0 < std < math.inf or not math.isfinite(mean):
        raise ValueError(
            "trunc_normal_: a must be less than b, std positive and both mean and std finite, got "
            f"mean={mean}, std={std}, a={a}, b={b}"
        )
    if not a - 2 * std <= mean <= b + 2 * std:
        warnings.warn(
            f"trunc_normal_: the mean {mean} is more than two deviations away from [{a}, {b}]",
            stacklevel=4,
        )
    whole = tensor if tensor.is_contiguous() else tensor.contiguous()
    flat = whole.view(-1)
    size = max(1 << 16, -(-flat.numel() // 8))
    for start in range(0, flat.numel(), size):
        _truncated_normal(flat[start : start + size], mean, std, a, b, generator)
    return tensor if whole is tensor else tensor.copy_(whole)


def _truncated_normal(
    x: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> None:
    missing = logical_not(_propose(x, mean, std, a, b, generator)).nonzero().squeeze(1)
    while missing.numel():
        again = x.new_empty(missing.numel())
        rejected = logical_not(_propose(again, mean, std, a, b, generator))
        x[missing] = again
        missing = missing[rejected]


def _propose(
    x: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> Tensor:
    """Fill x with what may be normal values in [a, b]; the mask of those that are."""
    below_a, below_b = (0.5 * math.erfc((mean - bound) / std / math.sqrt(2)) for bound in (a, b))
    if below_b - below_a > 0.3:
        x.normal_(mean, std, generator=generator)
        return logical_and(x >= a, x <= b)
    # Few normal values would lie there; of uniform ones, as many as the density says are taken:
    # from where it is highest to where it is exp(-72) of that, or to the other bound.
    peak = min(max(mean, a), b)
    off = min(max((peak - mean) / std, -1e4), 1e4)  # (beyond, all values are at the bound)
    reach = min(12.0, 72.0 / max(abs(off), 1.0)) * std
    x.uniform_(max(a, peak - reach), min(b, peak + reach), generator=generator)
    share = x.clone().uniform_(generator=generator)
    past = (x - peak) / std
    return share < (past * (past + 2 * off) / -2).exp()


@_filling
def constant_(tensor: Tensor, val: float) -> Tensor:
    """The number ``val`` everywhere."""
    return tensor.fill_(val)


@_filling
def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return tensor.fill_(1.0)


@_filling
def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return tensor.zero_()


@_filling
def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal, zeros elsewhere: a linear layer that hands on what it gets. Raises
    ValueError unless there are 2 dimensions."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_ needs 2 dimensions, got shape {tuple(tensor.shape)}")
    tensor.zero_()
    tensor.diagonal().fill_(1.0)
    return tensor


@_filling
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight (out, in, ...) that hands on as many channels as it can, of each
    group: 1 in the middle of the window from channel i to channel i, 0 elsewhere. Raises ValueError
    unless there are 3 to 5 dimensions, and for outputs that ``groups`` does not divide."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_ needs 3, 4 or 5 dimensions, got shape {tuple(tensor.shape)}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ValueError(
            f"dirac_: {tensor.shape[0]} output channels cannot be divided into {groups} groups"
        )
    tensor.zero_()
    outputs = tensor.shape[0] // groups
    middle = (slice(None), slice(None), *(extent // 2 for extent in tensor.shape[2:]))
    if 0 not in tensor.shape:
        for group in range(groups):
            own = tensor[group * outputs : (group + 1) * outputs]
            own[middle].diagonal().fill_(1.0)
    return tensor


@_filling
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal values, of which a share of ``sparsity`` in each column, rounded up, is set to 0
    (Martens 2010). Raises ValueError unless there are 2 dimensions and the share lies in [0, 1]."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_ needs 2 dimensions, got shape {tuple(tensor.shape)}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must be a share in [0, 1], got {sparsity}")
    tensor.normal_(0.0, std, generator=generator)
    rank = tensor.clone().uniform_(generator=generator).argsort(dim=0)
    return tensor.masked_fill_(rank < math.ceil(sparsity * tensor.shape[0]), 0.0)


@_filling
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform values of deviation gain * sqrt(2 / (fan in + fan out)) (Glorot & Bengio 2010)."""
    bound = math.sqrt(3.0) * gain * _xavier_deviation(tensor)
    return tensor.uniform_(-bound, bound, generator=generator)


@_filling
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal values of deviation gain * sqrt(2 / (fan in + fan out)) (Glorot & Bengio 2010)."""
    return tensor.normal_(0.0, gain * _xavier_deviation(tensor), generator=generator)


@_filling
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform values of deviation ``calculate_gain(nonlinearity, a)`` / sqrt(fan), where ``mode``
    says which fan (He et al. 2015). Warns that there is nothing to fill in an empty tensor."""
    if _warned_of_nothing("kaiming_uniform_", tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return tensor.uniform_(-bound, bound, generator=generator)


@_filling
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal values of deviation ``calculate_gain(nonlinearity, a)`` / sqrt(fan), where ``mode``
    says which fan (He et al. 2015). Warns that there is nothing to fill in an empty tensor."""
    if _warned_of_nothing("kaiming_normal_", tensor):
        return tensor
    deviation = _kaiming_deviation(tensor, a, mode, nonlinearity)
    return tensor.normal_(0.0, deviation, generator=generator)


@_filling
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


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if not isinstance(mode, str) or mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    return fan_in_and_out(tensor)[mode.lower() == "fan_out"]


def _kaiming_deviation(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def _warned_of_nothing(op: str, tensor: Tensor) -> bool:
    if 0 not in tensor.shape:
        return False
    warnings.warn(
        f"{op}: a tensor of shape {tuple(tensor.shape)} has nothing to fill", stacklevel=5
    )
    return True


def _old(function: Callable) -> Callable:
    """The function under its name of before 2018, without the underscore."""
    new = function.__name__

    @wraps(function)
    def old(*args: Any, **options: Any) -> Tensor:
        warnings.warn(
            f"nn.init.{old.__name__} is deprecated: use nn.init.{new}", FutureWarning, stacklevel=2
        )
        return function(*args, **options)

    old.__name__ = old.__qualname__ = new.rstrip("_")
    old.__doc__ = f"``{new}``. Deprecated as in PyTorch, with a FutureWarning."
    return old


uniform, normal, constant = _old(uniform_), _old(normal_), _old(constant_)
eye, dirac, sparse, orthogonal = _old(eye_), _old(dirac_), _old(sparse_), _old(orthogonal_)
xavier_uniform, xavier_normal = _old(xavier_uniform_), _old(xavier_normal_)
kaiming_uniform, kaiming_normal = _old(kaiming_uniform_), _old(kaiming_normal_)


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
