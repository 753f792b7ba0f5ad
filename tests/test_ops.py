"""Every operation of the table, against PyTorch and finite differences, on every device.

Without PyTorch the cpu device's own float64 results are the reference: the kernels, the lower
precisions and the strided inputs are held to them as they are to PyTorch's, and finite differences
need no reference. Only what compares those float64 results themselves is skipped then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

try:
    import torch as reference
except ImportError:
    reference = tg

# PyTorch says this of empty samples; the result is nan there and here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0:UserWarning"),
    # once a process, whichever test comes first
    pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter:UserWarning"),
    pytest.mark.filterwarnings("ignore:index_reduce.. is in beta:UserWarning"),
]

# PyTorch's own tolerances for its operators, by dtype: (rtol, atol).
TOLERANCE = {
    "float64": (1e-7, 1e-7),
    "float32": (1.3e-6, 1e-5),
    "float16": (2e-3, 1e-3),
    "bfloat16": (1.6e-2, 1e-2),
}

each_case = pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)
each_case_with_gradient = pytest.mark.parametrize(
    "row", [c for c in CASES if c.grad], ids=lambda row: row.name
)
each_device = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def independent(device: str) -> None:
    """Skip where the reference would be compared with itself."""
    if reference is tg and device == "cpu":
        pytest.skip("compares float64 results of the cpu with PyTorch's: pip install torch")


def arrays(row: Case, sample: tuple) -> list[np.ndarray]:
    random = np.random.default_rng(len(row.name))
    return [np.asarray(make(random)) for make in sample]


def wants_grad(sample: tuple, data: list[np.ndarray]) -> list[bool]:
    """Which inputs are differentiated."""
    return [
        a.dtype.kind == "f" and not getattr(make, "constant", False)
        for make, a in zip(sample, data, strict=True)
    ]


def tensors(
    data: list[np.ndarray],
    device: str = "cpu",
    dtype: str = "float64",
    grad: list[bool] | None = None,
    library: Any = tg,
) -> list:
    """The arrays as tensors, the floats among them in ``dtype``."""
    made = [
        library.tensor(
            a, dtype=getattr(library, dtype) if a.dtype.kind == "f" else None, device=device
        )
        for a in data
    ]
    return [t.requires_grad_(g) for t, g in zip(made, grad or [False] * len(made), strict=True)]


def reference_tensors(
    data: list[np.ndarray], dtype: str = "float64", grad: list[bool] | None = None
) -> list:
    return tensors(data, "cpu", dtype, grad, library=reference)


def name_of(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def numbers(x: Any) -> np.ndarray:
    x = x.detach().cpu()
    return (x.float() if name_of(x.dtype) == "bfloat16" else x).numpy()


def assert_close(actual: Any, expected: Any, dtype: str, scale: float = 1.0) -> None:
    a, b = numbers(actual), numbers(expected)
    assert a.shape == b.shape
    rtol, atol = TOLERANCE[dtype]
    np.testing.assert_allclose(
        a.astype(np.float64), b.astype(np.float64), rtol=rtol * scale, atol=atol * scale
    )


@each_device
@each_case
@pytest.mark.usefixtures("independent")
def test_forward_in_float64(row: Case, device: str) -> None:
    for sample in row.samples:
        data = arrays(row, sample)
        actual = row.call(tg, *tensors(data, device))
        expected = row.call(reference, *reference_tensors(data))
        assert actual.dtype.name == name_of(expected.dtype)
        assert str(actual.device.type) == device
        assert_close(actual, expected, "float64")


def expected_dtype(row: Case, data: list[np.ndarray], dtype: str) -> str:
    """PyTorch's; without it, ``dtype`` where the result follows float32 and float64 inputs."""
    if reference is not tg:
        return name_of(row.call(reference, *reference_tensors(data, dtype)).dtype)
    single, double = (
        name_of(row.call(tg, *tensors(data, dtype=given)).dtype) for given in ("float32", "float64")
    )
    return dtype if (single, double) == ("float32", "float64") else single


@each_device
@each_case
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_forward_in_lower_precision(row: Case, device: str, dtype: str) -> None:
    """The error against float64 on the same (rounded) inputs stays within PyTorch's tolerance."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    if dtype != "float32" and not row.low:
        pytest.skip("steps and large values are not representable in 16 bits")
    for sample in row.samples:
        data = arrays(row, sample)
        given = tensors(data, device, dtype)
        actual = row.call(tg, *given)
        rounded = [
            numbers(t).astype(np.float64) if t.is_floating_point() else numbers(t) for t in given
        ]
        expected = row.call(reference, *reference_tensors(rounded))
        assert actual.dtype.name == expected_dtype(row, data, dtype)
        assert_close(actual, expected, dtype, scale=4.0)


@each_device
@each_case_with_gradient
@pytest.mark.usefixtures("independent")
def test_gradient_in_float64(row: Case, device: str) -> None:
    for sample in row.samples:
        data = arrays(row, sample)
        grad = wants_grad(sample, data)
        mine, theirs = tensors(data, device, grad=grad), reference_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(reference, *theirs)
        if not z.requires_grad:
            assert not y.requires_grad
            continue
        seed = np.random.default_rng(7).standard_normal(tuple(z.shape))
        y.backward(tg.tensor(seed, device=device))
        z.backward(reference.tensor(seed))
        for a, b in zip(mine, theirs, strict=True):
            assert (a.grad is None) == (b.grad is None)
            if b.grad is not None:
                assert_close(a.grad, b.grad, "float64")


@each_device
@each_case_with_gradient
def test_gradient_in_float32(row: Case, device: str) -> None:
    for sample in row.samples:
        data = [a.astype(np.float32).astype(a.dtype) for a in arrays(row, sample)]
        grad = wants_grad(sample, data)
        mine = tensors(data, device, "float32", grad)
        theirs = reference_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(reference, *theirs)
        if not z.requires_grad:
            continue
        seed = np.random.default_rng(7).standard_normal(tuple(z.shape)).astype(np.float32)
        y.backward(tg.tensor(seed, dtype=y.dtype, device=device))
        z.backward(reference.tensor(seed.astype(np.float64)))
        for a, b in zip(mine, theirs, strict=True):
            if b.grad is not None:
                assert a.grad.dtype.name == "float32"
                assert_close(a.grad, b.grad, "float32", scale=20.0)


def differentiable_samples(row: Case, device: str) -> list[list]:
    """The inputs of the first sample, and of those that are empty or have no dimensions, if
    anything in them can be differentiated."""
    found = []
    for i, sample in enumerate(row.samples):
        data = arrays(row, sample)
        if i == 0 or any(a.size == 0 or a.ndim == 0 for a in data):
            inputs = tensors(data, device, grad=wants_grad(sample, data))
            if row.call(tg, *inputs).requires_grad:
                found.append(inputs)
    return found


# Kinks are no place for finite differences: they are left to the comparison with PyTorch.
each_smooth_case = pytest.mark.parametrize(
    "row", [c for c in CASES if c.grad and c.second], ids=lambda row: row.name
)


@each_device
@each_smooth_case
def test_gradcheck(row: Case, device: str) -> None:
    for inputs in differentiable_samples(row, device):
        assert gradcheck(lambda *xs: row.call(tg, *xs), inputs)


@each_device
@each_smooth_case
def test_gradgradcheck(row: Case, device: str) -> None:
    for inputs in differentiable_samples(row, device):
        assert gradgradcheck(lambda *xs: row.call(tg, *xs), inputs)


def strided(a: Any, library: Any) -> Any:
    """The same numbers, every other one of a wider, transposed array."""
    wide = library.empty((*a.shape[::-1], 2), dtype=a.dtype)
    wide[..., 0] = a.transpose()
    return wide[..., 0].transpose()


@each_device
@each_case
def test_non_contiguous(row: Case, device: str) -> None:
    """Inputs that are strided views, and a stride-0 gradient, change nothing."""
    for sample in row.samples:
        data = arrays(row, sample)
        grad = [row.grad and g for g in wants_grad(sample, data)]
        place = tg.device(device)
        mine = []
        for a, g in zip(data, grad, strict=True):
            t = tg.tensor(a, device=device)
            t._array = strided(t._array, place.library)
            mine.append(t.requires_grad_(g))
        theirs = reference_tensors(data, grad=grad)
        y, z = row.call(tg, *mine), row.call(reference, *theirs)
        assert_close(y, z, "float64")
        if z.requires_grad:
            y.backward(tg.ones((), dtype=y.dtype, device=device).expand(tuple(y.shape)))
            z.backward(reference.ones_like(z))
            for a, b in zip(mine, theirs, strict=True):
                if b.grad is not None:
                    assert_close(a.grad, b.grad, "float64")


def blocked(t: Any, x: Any, name: str) -> Any:
    """An operation through which some elements of ``x`` = [-2, -1, 1, 2] get no gradient."""
    if name == "max_pool2d":
        return t.nn.functional.max_pool2d(x.reshape(1, 2, 2), 2)
    if name in ("maximum", "minimum"):
        return getattr(t, name)(x, t.zeros_like(x))
    if name == "clamp":
        return x.clamp(-1.5, 1.5)
    if name == "clamp_tensors":
        return t.clamp(x, t.full_like(x, -1.5), t.full_like(x, 1.5))
    if name == "where":
        return t.where(x > 0, x, x.detach())
    if name == "masked_fill":
        return x.masked_fill(x > 0, 0.0)
    if name in ("max_dim", "min_dim"):
        return getattr(x, name.removesuffix("_dim"))(0)[0]
    return getattr(x, name)()


BLOCKED = ["relu", "clamp", "clamp_tensors", "maximum", "minimum", "where", "masked_fill", "max",
           "min", "max_dim", "min_dim", "max_pool2d"]  # fmt: skip


@each_device
@pytest.mark.parametrize("seed", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", BLOCKED)
def test_gradient_that_is_not_finite_stops_where_none_passes(
    name: str, seed: float, device: str
) -> None:
    """0 * inf is nan: a gradient must be selected by its mask, not multiplied with it."""
    passes, arrives = [], []
    for given in (1.0, seed):
        x = tg.tensor([-2.0, -1.0, 1.0, 2.0], device=device, requires_grad=True)
        y = blocked(tg, x, name)
        (dx,) = tg.autograd.grad(y, x, tg.full_like(y, given))
        (passes if given == 1.0 else arrives).extend(dx.tolist())
    assert 0 < passes.count(0.0) < 4
    expected = [seed if p else 0.0 for p in passes]
    np.testing.assert_array_equal(arrives, expected)


@each_device
@pytest.mark.parametrize(
    ("x", "calculate", "expected"),
    [
        (0.5, lambda x: x * 65536.0, 32768.0),
        (0.5, lambda x: 65536 * x, 32768.0),
        (6e4, lambda x: x / 1e5, 0.6),
        (6e4, lambda x: x * 1e-8, 6e-4),
        (100.0, lambda x: 1e6 / x, 1e4),
    ],
    ids=range(5),
)
def test_half_meets_numbers_beyond_its_range(
    x: float, calculate: Any, expected: float, device: str
) -> None:
    """A Python number is rounded with the result, not before: 65536 is no float16."""
    y = calculate(tg.tensor([x], dtype=tg.float16, device=device))
    assert y.dtype == tg.float16
    assert y.item() == np.float16(expected)
    if reference is not tg:
        assert y.item() == calculate(reference.tensor([x], dtype=reference.float16)).item()


@each_device
def test_parts_are_views(device: str) -> None:
    """Whatever takes a part by integers and slices writes through to the whole."""
    x = tg.zeros(3, 2, device=device)
    x[0].add_(5)
    assert x.tolist() == [[5, 5], [0, 0], [0, 0]]
    x.unbind()[1].fill_(2)
    assert x.tolist() == [[5, 5], [2, 2], [0, 0]]
    for row in x:
        row.mul_(2)
    assert x.tolist() == [[10, 10], [4, 4], [0, 0]]
    x[tg.tensor(2, device=device)].fill_(7)
    x[tg.tensor(1, device=device), 0].fill_(-1)
    assert x.tolist() == [[10, 10], [-1, 4], [7, 7]]
    x[0, 1].zero_()
    x[..., None][2].sub_(1)
    x.T[1, 1:].neg_()
    assert x.tolist() == [[10, 0], [-1, -4], [6, -6]]
    x.split(2)[1].fill_(3)
    x.chunk(3)[0].fill_(8)
    x.narrow(0, 1, 1).fill_(1)
    assert x.tolist() == [[8, 8], [1, 1], [3, 3]]


@each_device
def test_part_by_lists_and_masks_is_a_copy(device: str) -> None:
    x = tg.zeros(3, device=device)
    for part in (x[[0, 1]], x[tg.tensor([0, 2], device=device)], x[x == 0]):
        part.fill_(1)
    assert x.tolist() == [0, 0, 0]


@each_device
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_long_sum_is_accurate(name: str, dtype: str, device: str) -> None:
    """A million summands over the first dimension, one after another in float32, would be off by
    far more than the result can hold."""
    data = np.random.default_rng(0).uniform(0, 2 if name == "mean" else 0.02, (10**6, 2))
    x = tg.tensor(data, dtype=dtype, device=device)
    y = getattr(x, name)(0)
    expected = getattr(numbers(x).astype(np.float64), name)(0)
    rtol = 1e-5 if dtype == "float32" else 1e-3
    np.testing.assert_allclose(numbers(y).astype(np.float64), expected, rtol=rtol)
