"""Convolutions of small images as one product are those of a product for each image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tapegrad.core.devices import PlainOperations
from tapegrad.ops.conv import small_images
from tapegrad.ops.conv.sliding_window import Geometry, outputs

plain = PlainOperations()

CASES = {  # batch, channels, filters, size, kernel, stride, padding, dilation
    "3x3": (5, 40, 48, (3, 3), (3, 3), (1, 1), (1, 1), (1, 1)),
    "stride": (3, 70, 65, (7, 5), (3, 2), (2, 2), (1, 0), (1, 1)),
    "dilation": (2, 64, 64, (6, 6), (2, 3), (2, 1), (0, 2), (2, 2)),
    "1x1": (4, 64, 80, (4, 4), (1, 1), (1, 1), (0, 0), (1, 1)),
    "1-d": (6, 60, 40, (9,), (3,), (1,), (1,), (1,)),
    "3-d": (2, 64, 64, (2, 3, 2), (2, 2, 2), (1, 1, 1), (1, 0, 0), (1, 1, 1)),
}
ROUNDINGS = 8  # of the largest result, by which sums in another order may differ


def results(case: tuple, dtype: str) -> list[np.ndarray]:
    """The convolution with a bias, and the gradients of input and weight."""
    n, channels, filters, size, kernel, stride, padding, dilation = case
    geometry = Geometry(stride, padding, dilation, 1)
    out = outputs(size, kernel, geometry)
    random = np.random.default_rng(0)
    x, w, b, g = (
        random.standard_normal(shape).astype(dtype)
        for shape in (
            *((n, channels, *size), (filters, channels, *kernel), filters),
            (n, filters, *out),
        )
    )
    return [
        plain["convolution"](x, w, b, out=out, geometry=geometry),
        plain["convolution_input"](g, w, size=size, geometry=geometry),
        plain["convolution_weight"](x, g, kernel=kernel, geometry=geometry),
    ]


@pytest.mark.parametrize("bytes", [1, 1 << 23])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_one_product_is_many(
    name: str, dtype: str, bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    are_small = small_images.are_small

    def noted(*given: Any) -> bool:
        asked.append(are_small(*given))
        return asked[-1]

    monkeypatch.setattr(small_images, "_PIECE_BYTES", bytes)
    monkeypatch.setattr(small_images, "are_small", noted)
    mine = results(CASES[name], dtype)
    assert asked == [True] * 3
    monkeypatch.setattr(small_images, "are_small", lambda *_: False)
    for a, b in zip(mine, results(CASES[name], dtype), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        most = ROUNDINGS * np.finfo(dtype).eps * np.abs(b.astype("float64")).max()
        assert np.abs(a.astype("float64") - b).max() <= most


def test_others_go_image_by_image() -> None:
    x = np.empty((2, 64, 4, 4))
    assert small_images.are_small(x, (4, 4), 1)
    assert not small_images.are_small(x, (4, 5), 1)
    assert not small_images.are_small(x, (0, 4), 1)
    assert not small_images.are_small(x, (4, 4), 2)
    assert not small_images.are_small(x[:1], (4, 4), 1)
