"""Tensors in other dtypes, on other devices, and their memory read as another dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

each_device = pytest.mark.parametrize("device", DEVICES)


@each_device
def test_every_form_of_to(device: str) -> None:
    x = tg.tensor([1.5, -2.0])
    like = tg.zeros(1, dtype=tg.float64, device=device)
    for y in (
        x.to(device, tg.float64),
        x.to(tg.device(device), tg.float64, False, False),
        x.to(device, tg.float64, non_blocking=True),
        x.to(dtype=tg.float64, device=device),
        x.to(like),
        x.to(other=like),
        x.to(like, False, True),
        x.to(tg.float64).to(device),
        x.to(device).to("float64", memory_format=tg.preserve_format),
        x.to(device).double(),
        x.type(tg.float64).to(device),
        x.type_as(like),
    ):
        assert y.dtype == tg.float64
        assert y.device is tg.device(device)
        assert y.tolist() == [1.5, -2.0]


@each_device
def test_to_is_the_tensor_itself_where_nothing_changes(device: str) -> None:
    x = tg.tensor([1.5, -2.0], device=device)
    for same in (x.to(), x.to(device), x.to(tg.float32), x.to(x), x.float(), x.type(tg.float32),
                 x.to(device, tg.float32, True, False), x.type_as(x)):  # fmt: skip
        assert same is x
    for copy in (x.to(device, copy=True), x.to(tg.float32, False, True), x.to(x, copy=True),
                 x.to(device, tg.float32, False, True)):  # fmt: skip
        assert copy is not x
        copy.fill_(0)
        assert x.tolist() == [1.5, -2.0]
    assert x.detach().requires_grad_().to(device, copy=True).requires_grad


METHODS = {"double": "float64", "float": "float32", "half": "float16", "bfloat16": "bfloat16",
           "long": "int64", "int": "int32", "short": "int16", "char": "int8", "byte": "uint8",
           "bool": "bool"}  # fmt: skip


@each_device
@pytest.mark.parametrize("name", METHODS)
def test_methods_named_after_dtypes(name: str, device: str) -> None:
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    x = tg.tensor([0.0, 1.0, 3.0], device=device)
    y = getattr(x, name)(memory_format=tg.preserve_format)
    assert y.dtype.name == METHODS[name]
    assert y.device is x.device
    assert y.tolist() == ([False, True, True] if name == "bool" else [0, 1, 3])
    assert y.type(y.type()) is y


@each_device
def test_type_names(device: str) -> None:
    x = tg.zeros(2, device=device)
    assert x.type() == ("tapegrad.cuda.FloatTensor" if device == "cuda" else "tapegrad.FloatTensor")
    assert x.type("torch.DoubleTensor").dtype == tg.float64
    assert x.type("torch.LongTensor").dtype == tg.int64
    with pytest.raises(ValueError, match=r"\[type\] unsupported dtype 'torch.ComplexTensor'"):
        x.type("torch.ComplexTensor")


@each_device
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_gradients_come_back_in_dtype_and_place(dtype: str, device: str) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.to(device, getattr(tg, dtype))
    (y * y).sum().backward()
    assert x.grad.dtype == tg.float32
    assert x.grad.device is tg.device("cpu")
    assert x.grad.tolist() == [2, 4]
    assert not x.to(tg.int64).requires_grad


@each_device
def test_view_as_another_dtype_shares_memory(device: str) -> None:
    x = tg.tensor([[1.0, -2.0], [0.5, 4.0]], device=device)
    bits = x.view(tg.int32)
    assert bits.tolist() == np.array(x.tolist(), np.float32).view(np.int32).tolist()
    assert x.view(dtype=tg.uint8).shape == (2, 8)
    assert x.view(tg.int64).shape == (2, 1)
    bits[0, 0] = 0
    assert x[0, 0].item() == 0
    with pytest.raises(RuntimeError, match=r"\[view\].*float32.*\(2, 2\).*int64"):
        x.T.view(tg.int64)
    with pytest.raises(TypeError, match=r"\[view\] unsupported dtype"):
        x.view(complex)


BAD: list[tuple[Any, type, str]] = [
    (lambda x: x.to(3.5), TypeError, r"\[to\] unsupported dtype 3.5"),
    (lambda x: x.to("nowhere"), ValueError, r"unknown device 'nowhere'"),
    (lambda x: x.to(tg.half, True, True, True), TypeError, r"\[to\].*non_blocking and copy"),
    (lambda x: x.type_as(3), TypeError, r"\[type_as\] expects a Tensor, got int"),
    (lambda x: x.to(dtype=complex), TypeError, r"\[to\] unsupported dtype"),
]


@each_device
@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_conversions(call: Any, error: type, message: str, device: str) -> None:
    with pytest.raises(error, match=message):
        call(tg.ones(2, device=device))


MIXED = {
    "multiply": lambda x, c: x * c,
    "subtract": lambda x, c: c - x,
    "divide": lambda x, c: x / c,
    "pow": lambda x, c: x**c,
    "pow of": lambda x, c: c**x,
    "less": lambda x, c: x < c,
    "maximum": lambda x, c: tg.maximum(x, c),
    "clamp": lambda x, c: x.clamp(max=c),
    "lerp": lambda x, c: tg.lerp(x, c, c),
    "addcmul": lambda x, c: tg.addcmul(x, c, x),
    "atan2": lambda x, c: x.atan2(c),
    "in place": lambda x, c: x.clone().mul_(c),
    "masked_fill": lambda x, c: x.masked_fill(x > 1, c),
    "0-d": lambda x, c: x.sum() * c,
    "where": lambda x, c: tg.where(x > 1, x, c),
    "where of two numbers": lambda x, c: x * tg.where(x > 1, c, c * 2),
    "xlogy": lambda x, c: tg.xlogy(x, c),
    "float_power": lambda x, c: x.float_power(c),
    "gcd": lambda x, c: tg.gcd(x.long(), c.long()),
    "shift": lambda x, c: x.long() << c.long(),
    "isin": lambda x, c: tg.isin(x, c),
    "setitem": lambda x, c: written(x, 0, c),
    "setitem by indices": lambda x, c: written(x, tg.tensor([1]), c),
    "setitem by a mask": lambda x, c: written(x, tg.tensor([True, False]), c),
    "index_put": lambda x, c: x.index_put((tg.tensor([1]),), c),
    "index_put adding": lambda x, c: x.index_put((tg.tensor([1]),), c, accumulate=True),
    "getitem": lambda x, c: x[tg.tensor([1, 1])] * c,
}


def written(x: tg.Tensor, index: object, value: tg.Tensor) -> tg.Tensor:
    y = x.clone()
    y[index] = value
    return y


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("device", DEVICES)
def test_a_cpu_tensor_of_one_number_goes_with_any_device(name: str, device: str) -> None:
    """(F34, S05) Its gradient comes back to the CPU."""
    x = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    c = tg.tensor(1.5, requires_grad=True)
    y = MIXED[name](x, c)
    assert y.device == x.device
    here = [t.detach().cpu().requires_grad_() for t in (x, c)]
    expected = MIXED[name](*here)
    np.testing.assert_allclose(y.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-6)
    if y.requires_grad:
        y.sum().backward()
        expected.sum().backward()
        for t, e in zip((x, c), here, strict=True):
            assert t.grad.device == t.device
            np.testing.assert_allclose(t.grad.cpu().numpy(), e.grad.numpy(), rtol=1e-6)


def test_other_mixtures_of_devices_are_refused() -> None:
    x = tg.ones(2, device="emulated")
    for other in (tg.ones(2), tg.ones(1)):
        with pytest.raises(RuntimeError, match="one device"):
            x + other
        with pytest.raises(RuntimeError, match="the values on cpu"):
            x[[0, 1]] = other
    with pytest.raises(RuntimeError, match="one device"):
        tg.tensor(1.0).mul_(x.sum())
