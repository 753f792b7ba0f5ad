"""Bodies that run piece by piece give what they give at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tapegrad.core.devices import PlainOperations
from tapegrad.ops.common import pieces

plain = PlainOperations()
SIZE = 3 * pieces._ELEMENTS + 5


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    values = 3 * np.random.default_rng(0).standard_normal(shape)
    values.flat[:3] = np.nan, np.inf, -np.inf
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", ["erf", "gelu", "gelu_backward"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_pieces_are_the_whole(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for arrays in (
        [numbers(SIZE, dtype=dtype)] * 2,
        [numbers(5, SIZE // 5, dtype=dtype), numbers(SIZE // 5, 5, dtype=dtype).T],
    ):
        given = arrays if name.endswith("backward") else arrays[:1]
        found = plain[name](*given)
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "_ELEMENTS", SIZE)
            whole = plain[name](*given)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, whole)


def test_only_what_is_long_alike_and_contiguous_goes_in_pieces() -> None:
    seen: list[int] = []

    @pieces.in_pieces
    def body(xp: Any, *arrays: Any) -> Any:
        seen.append(arrays[0].size)
        return arrays[0] * 2

    long = np.ones(SIZE, "float32")
    np.testing.assert_array_equal(body(None, long, long), 2 * long)
    assert seen == [pieces._ELEMENTS] * 3 + [5]
    for arrays in (
        [long[: pieces._ELEMENTS]],
        [long, np.float32(3)],
        [long, np.ones(SIZE)],
        [np.ones(2 * SIZE, "float32")[::2]],
        [long, np.ones((SIZE, 1), "float32")],
    ):
        seen.clear()
        body(None, *arrays)
        assert seen == [arrays[0].size]
