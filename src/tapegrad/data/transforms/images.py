"""What all transforms need: images one by one as batches, their dtypes, and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from tapegrad.core.dtypes import float32, float64, is_floating, uint8
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.sampling.draws import rand
from tapegrad.ops.sampling.philox import Generator

F = TypeVar("F", bound=Callable)


def transform(function: F) -> F:
    """A function of a batch of images as one of an image, too."""
    op = function.__name__

    @retelling
    @wraps(function)
    def called(image: Tensor, *args: Any, **options: Any) -> Tensor:
        require_image(op, image)
        if image.ndim == 4:
            return function(image, *args, **options)
        return function(image[None], *args, **options)[0]

    return called  # type: ignore[return-value]


def require_image(op: str, image: Tensor) -> None:
    """Raise TypeError or ValueError for anything but images of floats or uint8."""
    require_tensor(op, image)
    if image.ndim not in (3, 4):
        raise ValueError(
            f"[{op}] takes an image (channels, height, width) or a batch of them, got shape "
            f"{tuple(image.shape)}"
        )
    if image.dtype != uint8 and not is_floating(image.dtype):
        raise ValueError(f"[{op}] images are floats or uint8, got {image.dtype.name}")


def as_floats(image: Tensor) -> Tensor:
    """uint8 as float32, still 0..255; floats as they are."""
    return image.to(float32) if image.dtype == uint8 else image


def like(result: Tensor, image: Tensor, clip: bool = False) -> Tensor:
    """A result of floats in the dtype of the image; ``clip``: brought into its range."""
    if image.dtype == uint8:
        return result.round().clamp(0, 255).to(uint8)
    return result.clamp(0, 1) if clip else result


def draws(count: int, each: int, generator: Generator | None) -> np.ndarray:
    """Numbers in [0, 1), float64 (each, count): a row for what is decided of every image."""
    drawn = rand(count, each, dtype=float64, device="cpu", generator=generator)
    return drawn.numpy().T


def between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Draws of [0, 1) as draws of [low, high)."""
    return low + (high - low) * u


def per_image(values: Any, image: Tensor, trailing: int = 3) -> Tensor:
    """A number for each image, as a tensor that broadcasts to ``trailing`` more dimensions, beside
    the images: of their dtype, of float32 beside uint8."""
    dtype = float32 if image.dtype == uint8 else image.dtype
    host = np.asarray(values, np.float64).reshape(-1, *[1] * trailing)
    return tensor(host, dtype=dtype, device=image.device)


def pair(op: str, name: str, size: Any) -> tuple[int, int]:
    """A height and a width, of one number both."""
    both = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(both) != 2 or min(both) < 1:
        raise ValueError(f"[{op}] {name} must be one positive int, or two, got {size!r}")
    return int(both[0]), int(both[1])


def interval(op: str, name: str, value: Any, centre: float, low: float, high: float) -> tuple:
    """The ends of a range, of one number the range around ``centre``; within low..high."""
    if isinstance(value, (int, float)):
        ends = (max(centre - value, low), centre + value) if value >= 0 else (1, 0)
    else:
        ends = tuple(value)
    if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
        raise ValueError(
            f"[{op}] {name} must be a number >= 0 or two in increasing order, within {low}..{high},"
            f" got {value!r}"
        )
    return ends
