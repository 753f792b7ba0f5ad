"""Images turned, moved, scaled and sheared: where each pixel of the result is found in the image,
by ``affine_grid``, and what lies there, by ``grid_sample``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.sampling.philox import Generator
from tapegrad.ops.vision.grid_sample import affine_grid, grid_sample

from .images import as_floats, between, draws, interval, like, transform


@transform
def rotate(image: Tensor, angle: float, mode: str = "nearest", fill: float = 0) -> Tensor:
    """The image turned around its middle, by ``angle`` degrees counter-clockwise, as in
    torchvision. What comes in from outside is ``fill``; mode: "nearest", "bilinear" or
    "bicubic"."""
    return _warp(image, -np.full(len(image), angle), (0, 0), 1.0, (0, 0), mode, fill)


@transform
def affine(
    image: Tensor,
    angle: float,
    translate: Sequence[float] = (0, 0),
    scale: float = 1.0,
    shear: Sequence[float] = (0.0, 0.0),
    mode: str = "nearest",
    fill: float = 0,
) -> Tensor:
    """The image sheared by two angles (x, y), turned by ``angle`` degrees *clockwise* (as in
    torchvision), scaled, all around its middle, and moved by ``translate`` (x, y) pixels. The rest
    as in ``rotate``. Raises ValueError for a scale that is not positive."""
    if not scale > 0:
        raise ValueError(f"[affine] scale must be positive, got {scale}")
    return _warp(image, np.full(len(image), angle), translate, scale, shear, mode, fill)


@transform
def random_rotation(
    image: Tensor,
    degrees: float | Sequence[float],
    mode: str = "nearest",
    fill: float = 0,
    generator: Generator | None = None,
) -> Tensor:
    """Each image turned by a random angle of ``degrees``: two, or -degrees to degrees."""
    low, high = _angles("random_rotation", "degrees", degrees)
    angles = between(draws(len(image), 1, generator)[0], low, high)
    return _warp(image, -angles, (0, 0), 1.0, (0, 0), mode, fill)


@transform
def random_affine(
    image: Tensor,
    degrees: float | Sequence[float],
    translate: Sequence[float] = (0.0, 0.0),
    scale: Sequence[float] = (1.0, 1.0),
    shear: float | Sequence[float] = 0.0,
    mode: str = "nearest",
    fill: float = 0,
    generator: Generator | None = None,
) -> Tensor:
    """``affine`` with random numbers for each image: an angle of ``degrees`` and one of ``shear``
    (along x), each of two or from -a to a; moves of at most the shares ``translate`` of width and
    height; a scale between two."""
    u = draws(len(image), 5, generator)
    h, w = image.shape[-2:]
    moves = [
        np.rint(between(drawn, -share, share) * size)
        for drawn, share, size in zip(u[1:3], translate, (w, h), strict=True)
    ]
    return _warp(
        image,
        between(u[0], *_angles("random_affine", "degrees", degrees)),
        moves,
        between(u[3], *interval("random_affine", "scale", tuple(scale), 1, 0, np.inf)),
        (between(u[4], *_angles("random_affine", "shear", shear)), 0),
        mode,
        fill,
    )


def _angles(op: str, name: str, value: Any) -> tuple[float, float]:
    return interval(op, name, value, 0, -np.inf, np.inf)


def _warp(
    image: Tensor, angle: Any, translate: Any, scale: Any, shear: Any, mode: str, fill: float
) -> Tensor:
    """All numbers one per image, or for all: angles in degrees clockwise, moves in pixels."""
    n, _, h, w = image.shape
    if not image.numel():
        return image
    a, x, y = (np.deg2rad(np.broadcast_to(degrees, n)) for degrees in (angle, *shear))
    cos, sin, one, zero = np.cos(a), np.sin(a), np.ones(n), np.zeros(n)
    # (With y downwards a positive angle turns clockwise.)
    turn, shear_x, shear_y = (
        np.array(entries).T.reshape(n, 2, 2)
        for entries in (
            (cos, -sin, sin, cos),
            (one, -np.tan(x), zero, one),
            (one, zero, -np.tan(y), one),
        )
    )
    forth = np.broadcast_to(np.eye(3), (n, 3, 3)).copy()
    forth[:, :2, :2] = turn @ shear_y @ shear_x * np.reshape(scale, (-1, 1, 1))
    forth[:, 0, 2], forth[:, 1, 2] = translate
    back = np.linalg.inv(forth)[:, :2]
    # In affine_grid's units the image reaches from -1 to 1 on both axes.
    half = np.array([w / 2, h / 2, 1.0])
    theta = back * half / half[:2, None]
    source = as_floats(image)
    grid = affine_grid(
        tensor(theta, dtype=source.dtype, device=image.device), image.shape, align_corners=False
    )
    sampled = grid_sample(source - fill, grid, mode, "zeros", align_corners=False) + fill
    return like(sampled, image)
