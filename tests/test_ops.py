"""Every operation of the table, against PyTorch and finite differences, on every device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install torch==2.13.0")

# PyTorch's own tolerances for its operators, by dtype: (rtol, atol).
TOLERANCE = {
    "float64": (1e-7, 1e-7),
    "float32": (1.3e-6, 1e-5),
    "float16": (2e-3, 1e-3),
    "bfloat16": (1.6e-2, 1e-2),
}

each_case = pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)
each_device = pytest.mark.parametrize("device", DEVICES)


def arrays(row: Case, sample: tuple) -> list[np.ndarray]:
    random = np.random.default_rng(len(row.name))
    return [np.asarray(make(random)) for make in sample]


def wants_grad(sample: tuple, data: list[np.ndarray]) -> list[bool]:
    """Which inputs are differentiated."""
    return [
        a.dtype.kind == "f" and not getattr(make, "constant", False)
        for make, a in zip(sample, data, strict=True)
    ]


def tensors(data: list[np.ndarray], device: str, dtype: str = "float64", grad: Any = None) -> list:
    made = [tg.tensor(a, dtype=dtype if a.dtype.kind == "f" else None, device=device) for a in data]
    return [t.requires_grad_(g) for t, g in zip(made, grad or [False] * len(made), strict=True)]


def torch_tensors(data: list[np.ndarray], dtype: str = "float64", grad: Any = None) -> list:
    made = [
        torch.tensor(a, dtype=getattr(torch, dtype) if a.dtype.kind == "f" else None) for a in data
    ]
    return [t.requires_grad_(g) for t, g in zip(made, grad or [False] * len(made), strict=True)]


def numbers(x: Any) -> np.ndarray:
    if isinstance(x, tg.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype.name == "bfloat16" else x).numpy()
    x = x.detach()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def assert_close(actual: Any, expected: Any, dtype: str, scale: float = 1.0) -> None:
    a, b = numbers(actual), numbers(expected)
    assert a.shape == b.shape
    rtol, atol = TOLERANCE[dtype]
    np.testing.assert_allclose(
        a.astype(np.float64), b.astype(np.float64), rtol=rtol * scale, atol=atol * scale
    )


@each_device
@each_case
def test_forward_in_float64_and_dtype(row: Case, device: str) -> None:
    for sample in row.samples:
        data = arrays(row, sample)
        actual = row.call(tg, *tensors(data, device))
        expected = row.call(torch, *torch_tensors(data))
        assert actual.dtype.name == str(expected.dtype).removeprefix("torch.")
        assert str(actual.device.type) == device
        assert_close(actual, expected, "float64")


@each_device
@each_case
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_forward_in_lower_precision(row: Case, device: str, dtype: str) -> None:
    """The error against float64 on the same (rounded) inputs stays within PyTorch's tolerance."""
    if dtype != "float32" and not row.low:
        pytest.skip("steps and large values are not representable in 16 bits")
    for sample in row.samples:
        data = arrays(row, sample)
        given = tensors(data, device, dtype)
        actual = row.call(tg, *given)
        rounded = [
            numbers(t).astype(np.float64) if t.is_floating_point() else numbers(t) for t in given
        ]
        expected = row.call(torch, *torch_tensors(rounded))
        wanted = row.call(torch, *torch_tensors(data, dtype)).dtype
        assert actual.dtype.name == str(wanted).removeprefix("torch.")
        assert_close(actual, expected, dtype, scale=4.0)


@each_device
@pytest.mark.parametrize("row", [c for c in CASES if c.grad], ids=lambda row: row.name)
def test_gradient_equals_pytorch(row: Case, device: str) -> None:
    for sample in row.samples:
        data = arrays(row, sample)
        grad = wants_grad(sample, data)
        mine, theirs = tensors(data, device, grad=grad), torch_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(torch, *theirs)
        if not z.requires_grad:
            assert not y.requires_grad
            continue
        seed = np.random.default_rng(7).standard_normal(tuple(z.shape))
        y.backward(tg.tensor(seed, device=device))
        z.backward(torch.tensor(seed))
        for a, b in zip(mine, theirs, strict=True):
            if b.requires_grad:
                assert (a.grad is None) == (b.grad is None)
                if b.grad is not None:
                    assert_close(a.grad, b.grad, "float64")


@each_device
@pytest.mark.parametrize("row", [c for c in CASES if c.grad], ids=lambda row: row.name)
def test_gradient_in_float32(row: Case, device: str) -> None:
    for sample in row.samples:
        data = [a.astype(np.float32).astype(a.dtype) for a in arrays(row, sample)]
        grad = wants_grad(sample, data)
        mine, theirs = tensors(data, device, "float32", grad), torch_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(torch, *theirs)
        if not z.requires_grad:
            continue
        seed = np.random.default_rng(7).standard_normal(tuple(z.shape)).astype(np.float32)
        y.backward(tg.tensor(seed, dtype=y.dtype, device=device))
        z.backward(torch.tensor(seed.astype(np.float64)))
        for a, b in zip(mine, theirs, strict=True):
            if b.requires_grad and b.grad is not None:
                assert a.grad.dtype.name == "float32"
                assert_close(a.grad, b.grad, "float32", scale=20.0)


@each_device
@pytest.mark.parametrize("row", [c for c in CASES if c.grad], ids=lambda row: row.name)
def test_gradcheck(row: Case, device: str) -> None:
    data = arrays(row, row.samples[0])
    mine = tensors(data, device, grad=wants_grad(row.samples[0], data))
    if not any(t.requires_grad for t in mine) or not row.call(tg, *mine).requires_grad:
        pytest.skip("nothing to differentiate in this sample")
    if row.second:  # kinks under finite differences are left to the comparison with PyTorch
        assert gradcheck(lambda *xs: row.call(tg, *xs), mine)
        assert gradgradcheck(lambda *xs: row.call(tg, *xs), mine)


@each_device
@each_case
def test_non_contiguous(row: Case, device: str) -> None:
    """Inputs that are strided views, and a stride-0 gradient, change nothing."""
    for sample in row.samples:
        data = arrays(row, sample)
        grad = [row.grad and g for g in wants_grad(sample, data)]
        strided = []
        for a in data:
            wide = np.empty((*a.shape[::-1], 2), dtype=a.dtype)
            wide[..., 0] = a.transpose()
            strided.append(wide[..., 0].transpose())
        place = tg.device(device)
        mine = []
        for a, g in zip(strided, grad, strict=True):
            moved = a if device != "cuda" else place.library.asarray(a)
            t = tg.from_numpy(moved) if device == "cpu" else tg.tensor(a, device=device)
            if device == "emulated":
                t._array = a
            mine.append(t.requires_grad_(g))
        theirs = torch_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(torch, *theirs)
        assert_close(y, z, "float64")
        if z.requires_grad:
            y.backward(tg.ones((), dtype=y.dtype, device=device).expand(tuple(y.shape)))
            z.backward(torch.ones_like(z))
            for a, b in zip(mine, theirs, strict=True):
                if b.requires_grad and b.grad is not None:
                    assert_close(a.grad, b.grad, "float64")
