"""Every launcher in the checked build of the emulated device: no race, no access out of bounds, none to
shared memory that nothing wrote. No value is compared; that is test_kernels.py's.

One schedule is enough: what orders two accesses is looked at, not which came first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kernel_table as table
import pytest
from kernel_table import Row, numpy_dtype
from test_kernels import CASES, Emulated, aligned, launched, mixed

from tapegrad.core import kernels

pytestmark = pytest.mark.checked


@pytest.fixture(scope="module")
def library() -> Iterator[Any]:
    with kernels.checked() as checked:
        yield checked


@pytest.mark.parametrize(("entry", "dtype"), CASES)
def test_nothing_is_reported(library: Any, entry: Row, dtype: str | None) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    calls = 0
    for call in entry.calls(table.Draw(numpy_dtype(dtype or "float64"), library)):
        for place in (aligned, mixed):
            where = f"call {calls}, {place.__name__}"
            for array in launched(library, Emulated, entry, dtype, call, place, where):
                Emulated.free(array.block)
        calls += 1
    assert calls > 0
