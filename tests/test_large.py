"""More than 2^31 elements, where an index of 32 bits would come round: ``pytest -m large``.

Not part of the ordinary run: a test takes up to 9 GB of memory. On the emulated device the
elementwise one takes half a minute; row by row it would take more than eight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

pytestmark = pytest.mark.large

COLUMNS = 16
ROWS = 2**31 // COLUMNS + 3


def ends(x: Any) -> np.ndarray:
    """The first and the last rows, as float32."""
    host = x._array.reshape(-1, COLUMNS)
    return np.concatenate([tg.backend.to_numpy(part) for part in (host[:4], host[-4:])])


def marked(device: str) -> tg.Tensor:
    """Zeros but for the first and last rows, which hold -8, -7, ... 7."""
    x = tg.zeros(ROWS, COLUMNS, dtype="float16", device=device)
    x._array[:4] = x._array[-4:] = x._device.library.arange(COLUMNS) - 8
    return x


@pytest.mark.parametrize("device", DEVICES[1:])
def test_elementwise(device: str) -> None:
    x = marked(device)
    expected = np.maximum(ends(x), 0)
    np.testing.assert_array_equal(ends(x.relu()), expected)


@pytest.mark.parametrize("device", DEVICES[2:])
def test_along_rows(device: str) -> None:
    x = marked(device)
    wide = ends(x).astype(np.float64)
    exps = np.exp(wide - wide.max(1, keepdims=True))
    y = tg.softmax(x, 1)
    np.testing.assert_allclose(ends(y), exps / exps.sum(1, keepdims=True), atol=1e-3)
