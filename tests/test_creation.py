"""Making tensors, handing them to other libraries, and ``out=``."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def test_factories_take_pytorchs_options() -> None:
    x = tg.zeros(2, 3, dtype=tg.float64, device="cpu", layout=tg.strided, requires_grad=True)
    assert x.requires_grad
    assert x.layout == tg.strided
    assert tg.zeros(size=(2, 3)).shape == (2, 3)
    assert tg.empty((2,), memory_format=tg.contiguous_format).shape == (2,)
    assert tg.arange(end=3).tolist() == [0, 1, 2]
    assert tg.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert tg.ones_like(x, memory_format=tg.preserve_format).dtype == tg.float64
    assert repr(tg.strided) == "tapegrad.strided"
    with pytest.raises(RuntimeError, match=r"\[zeros\] layout must be"):
        tg.zeros(2, layout="sparse")
    with pytest.raises(TypeError, match=r"\[ones\] got an unexpected argument 'colour'"):
        tg.ones(2, colour="red")


MAKERS = {
    "zeros": lambda: tg.zeros(2),
    "tensor": lambda: tg.tensor([1.0]),
    "as_tensor": lambda: tg.as_tensor(np.ones(2)),
    "as_tensor of a tensor": lambda: tg.as_tensor(tg.ones(2, device="cpu")),
    "rand": lambda: tg.rand(2),
    "normal": lambda: tg.normal(0.0, 1.0, (2,)),
    "randperm": lambda: tg.randperm(3),
    "tril_indices": lambda: tg.tril_indices(2, 2),
    "hann_window": lambda: tg.hann_window(3),
    "a layer": lambda: tg.nn.Linear(2, 2).weight,
}


@pytest.mark.parametrize("name", MAKERS)
def test_default_device(name: str) -> None:
    make = MAKERS[name]
    assert tg.get_default_device() is tg.device("cpu")
    with tg.device("emulated") as entered:
        assert make().device is entered is tg.get_default_device()
        with tg.device("cpu"):
            assert make().device.type == "cpu"
        assert make().device is entered
    assert make().device.type == "cpu"
    try:
        tg.set_default_device("emulated")
        assert make().device.type == "emulated"
        with tg.device("cpu"):
            assert make().device.type == "cpu"
        assert tg.zeros(2, device="cpu").device.type == "cpu"
    finally:
        tg.set_default_device(None)
    assert make().device.type == "cpu"


LISTS = [
    lambda m: [np.float64(1), 2],
    lambda m: [1.0, np.float64(2)],
    lambda m: [[1, 2], [3.0, np.float64(4)]],
    lambda m: [np.arange(2.0), [1, 2]],
    lambda m: (np.float16(1), np.float32(2)),
    lambda m: [np.float32(1), 2.0],
    lambda m: [np.int32(1), True],
    lambda m: [np.bool_(True)],
    lambda m: [m.tensor(1.0, dtype=m.float64), 2],
    lambda m: [m.tensor(1), m.tensor(2.0)],
    lambda m: [True, 2],
    lambda m: [True, 2.0],
    lambda m: [[], []],
]


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays")
@pytest.mark.parametrize("make", LISTS)
def test_lists_of_numbers_with_dtypes_promote_as_in_pytorch(make) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    want, got = torch.tensor(make(torch)), tg.tensor(make(tg))
    assert got.dtype.name == str(want.dtype).removeprefix("torch.")
    assert got.tolist() == want.tolist()


def test_lists_of_numbers_that_have_no_dtype_here_become_the_nearest() -> None:
    assert tg.tensor([np.uint16(7), 1]).dtype == tg.int64


def test_strides_of_ones_own() -> None:
    assert tg.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert tg.empty_permuted((2, 3, 4), (0, 2, 1)).stride() == (12, 1, 3)
    assert tg.zeros(2).new_empty_strided((2, 2), (2, 1)).is_contiguous()
    with pytest.raises(RuntimeError, match=r"\[empty_permuted\] .* is not an order"):
        tg.empty_permuted((2, 3), (0, 0))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_dlpack_shares_memory_with_numpy(dtype: str) -> None:
    x = tg.ones(2, 3, dtype=dtype)
    array = np.from_dlpack(x)
    x[0, 0] = 0
    assert array[0, 0] == 0
    back = tg.from_dlpack(np.zeros((2, 3), dtype=dtype))
    assert back.dtype.name == dtype
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_shares_memory_with_pytorch() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    x = tg.arange(6.0).reshape(2, 3).T
    theirs = torch.from_dlpack(x)
    assert theirs.stride() == (1, 3)
    theirs[0, 0] = 9
    assert x[0, 0].item() == 9
    mine = tg.from_dlpack(theirs)
    mine[1, 1] = 7
    assert theirs[1, 1] == 7


def test_dlpack_refuses() -> None:
    with pytest.raises(BufferError, match="requires grad"):
        np.from_dlpack(tg.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match=r"\[from_dlpack\] expects an object with __dlpack__"):
        tg.from_dlpack([1, 2])
    with pytest.raises(TypeError, match="unsupported dtype"):
        tg.from_dlpack(np.zeros(2, dtype=np.complex128))
    with pytest.raises(AttributeError):
        _ = tg.ones(2).__cuda_array_interface__
    assert not hasattr(tg.ones(2), "__cuda_array_interface__")


def test_copy_shares_memory_and_deepcopy_does_not() -> None:
    x = tg.ones(2, requires_grad=True)
    shallow, deep = copy.copy(x), copy.deepcopy(x)
    assert shallow.requires_grad
    assert deep.requires_grad
    with tg.no_grad():
        x[0] = 5
    assert shallow.tolist() == [5, 1]
    assert deep.tolist() == [1, 1]


def test_out() -> None:
    x = tg.tensor([1.0, 4.0])
    y = tg.zeros(2)
    address = y.data_ptr()
    assert tg.sqrt(x, out=y) is y
    assert y.tolist() == [1, 2]
    assert y.data_ptr() == address
    assert tg.add(x, 1, out=y) is y
    assert y.tolist() == [2, 5]
    assert tg.sum(x, 0, out=tg.empty(0)).item() == 5
    assert tg.cat([x, x], out=tg.empty(4, dtype=tg.float64)).dtype == tg.float64
    assert tg.arange(3, out=tg.empty(0, dtype=tg.int32)).tolist() == [0, 1, 2]
    values, places = tg.empty(0), tg.empty(0, dtype=tg.int64)
    result = tg.max(tg.tensor([[1.0, 3.0], [4.0, 2.0]]), 1, out=(values, places))
    assert result.values is values
    assert places.tolist() == [1, 0]


def test_out_counts_as_a_change() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y * y
    with tg.no_grad():
        tg.exp(x, out=y.data)
    with pytest.raises(RuntimeError, match=r"'exp\(out=...\)' has changed it"):
        z.sum().backward()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.exp(x, out=tg.empty(2, dtype=tg.int64)), RuntimeError, "stored as int64"),
        (lambda x: tg.exp(x, out=[1]), TypeError, "must be a Tensor, got list"),
        (lambda x: tg.exp(x, out=x.new_ones(2).requires_grad_()), RuntimeError, "not recorded"),
        (lambda x: tg.exp(x * tg.ones(2, requires_grad=True), out=x), RuntimeError, "not recorded"),
        (lambda x: tg.max(x, 0, out=x), TypeError, "must be 2 tensors"),
        (
            lambda x: tg.mean(x, out=tg.ones((), device="emulated")),
            RuntimeError,
            "out= on emulated",
        ),
    ],
)
def test_out_refuses(call, error, message) -> None:
    x = tg.tensor([1.0, 2.0])
    with pytest.raises(error, match=message):
        call(x)
    assert x.tolist() == [1, 2]


def test_out_of_another_shape_gets_new_memory_with_a_warning() -> None:
    y = tg.zeros(3)
    with pytest.warns(UserWarning, match="is given new memory"):
        tg.exp(tg.zeros(2), out=y)
    assert y.tolist() == [1, 1]


def test_like_and_new_take_the_tensors_dtype() -> None:
    x = tg.ones(2, dtype=tg.float16)
    assert tg.full_like(x, 3).dtype == tg.float16
    assert x.new_full((1,), 2).dtype == tg.float16
    assert tg.randint_like(x, 5).dtype == tg.float16
    assert x.new_tensor([1, 2]).dtype == tg.float16
    assert tg.zeros_like(x, dtype=tg.int8).dtype == tg.int8


RANGES: list[tuple[tuple, dict]] = [
    ((0, 4), {}),
    ((1, 2, 0.25), {}),
    ((1, 5, 2), {"dtype": "int64"}),
    ((0.5, 3.7), {}),
    ((3, 0, -1), {"dtype": "float64"}),
    ((1, 1), {}),
    ((0, 1, 3), {}),
    ((0.9, 3.9), {"dtype": "int32"}),
    ((0, 4, 0), {}),
    ((0, 4, -1), {}),
    ((0, float("inf")), {}),
    ((3,), {}),
]


@pytest.mark.parametrize(("bounds", "options"), RANGES)
def test_range_is_the_deprecated_one_that_has_its_end(bounds: tuple, options: dict) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)

    def made(t: Any) -> Any:
        return t.range(*bounds, **{k: getattr(t, v) for k, v in options.items()})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = made(torch)
        except (RuntimeError, TypeError) as error:
            with pytest.raises(type(error), match=r"\[range\]|range\(\)"):
                made(tg)
            return
    with pytest.warns(UserWarning, match=r"\[range\] .*deprecated"):
        got = made(tg)
    assert got.tolist() == pytest.approx(expected.tolist())
    assert got.dtype.name == str(expected.dtype).removeprefix("torch.")
