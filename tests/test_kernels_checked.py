"""Every launcher in the checked build of the emulated device: no race, no access out of bounds, no
read of shared memory that nothing wrote. No value is compared; that is test_kernels.py's.

One schedule is enough: what orders two accesses is looked at, not which came first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kernel_table as table
import numpy as np
import pytest
from kernel_table import Row, numpy_dtype
from test_kernels import CASES, Emulated, launched

import tapegrad as tg
from tapegrad.core import kernels
from tapegrad.custom.guarded import aligned, mixed

pytestmark = pytest.mark.checked


@pytest.fixture
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


def test_errors_reach_python_and_the_fast_build_comes_back() -> None:
    x, y = np.ones(64, np.float32), np.empty(64, np.float32)
    relu = ("relu_forward", "float32")
    fast = kernels.library("emulated")
    device = tg.device("emulated")
    with kernels.checked() as module:
        assert kernels.library("emulated") is module is not fast
        kernels.launch(device, *relu, y, x, 64)
        with pytest.raises(kernels.AccessError, match="past the end of argument 1, which has 256"):
            kernels.launch(device, *relu, y, x, 65)
        with pytest.raises(
            kernels.AccessError, match=r"argument 0, which has 40 .*\n.* writes 4 bytes"
        ):
            kernels.launch(device, *relu, y[:10], x, 11)
        with pytest.raises(kernels.RaceError, match=r"race on byte \d+ of argument 0"):
            kernels.launch(device, *relu, y[1:], y, 63)
        kernels.launch(device, *relu, y, x, 64)
    assert kernels.library("emulated") is fast
    assert issubclass(kernels.RaceError, tg.KernelError)
    kernels.launch(device, *relu, y, x, 64)


def test_addresses_and_tables_are_known_or_left_alone(library: Any) -> None:
    x, y = np.ones(64, np.float32), np.empty(64, np.float32)
    library.relu_forward_float32(y, x[:32].ctypes.data, 64, 0)  # nobody told where it ends
    library.watch(x.ctypes.data, 32 * 4)
    with pytest.raises(kernels.AccessError, match="past the end of argument 1, which has 128"):
        library.relu_forward_float32(y, x.ctypes.data, 64, 0)
    library.forget(x.ctypes.data)
    weights = [tg.nn.Parameter(tg.ones(n, device="emulated")) for n in (1, 5, 5000)]
    optimizer = tg.optim.Adam(weights, lr=0.5)
    sum((weight.sum() for weight in weights), tg.zeros((), device="emulated")).backward()
    optimizer.step()
    assert all((weight == 0.5).all() for weight in weights)


def test_a_training_step_is_clean(library: Any) -> None:
    hidden = [tg.nn.Linear(20, 70), tg.nn.LayerNorm(70), tg.nn.GELU(), tg.nn.Dropout()]
    model = tg.nn.Sequential(*hidden, tg.nn.Linear(70, 9)).to("emulated")
    x = tg.randn(33, 20, device="emulated")
    loss = tg.nn.functional.cross_entropy(model(x), tg.arange(33, device="emulated") % 9)
    loss.backward()
    tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).step()
    assert tg.isfinite(loss)
