"""Which dtype a result has: PyTorch's promotion rules, pair by pair."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64",
         "float16", "bfloat16", "float32", "float64"]  # fmt: skip
FLOATS = [name for name in NAMES if "float" in name]


def oracle() -> Any:
    reason = "PyTorch is the oracle: pip install torch==2.13.0"
    return pytest.importorskip("torch", reason=reason, exc_type=ImportError)


def dtype_of(t: Any) -> str:
    return str(t.dtype).removeprefix("torch.")


def values_of(t: Any) -> np.ndarray:
    """As float64 (or int64), whatever the dtype and the library."""
    return np.array(t.detach().double().tolist() if "float" in dtype_of(t) else t.tolist())


def assert_same(mine: Any, theirs: Any) -> None:
    assert dtype_of(mine) == dtype_of(theirs)
    np.testing.assert_allclose(values_of(mine), values_of(theirs), rtol=1e-2 if dtype_of(
        mine) in ("float16", "bfloat16") else 1e-6)  # fmt: skip


@pytest.fixture
def default_dtype() -> Iterator[None]:
    yield
    tg.set_default_dtype("float32")
    if "torch" in sys.modules:
        oracle().set_default_dtype(oracle().float32)


# ---------------------------------------------------------------------- promotion

BINARY = {
    "add": lambda t, a, b: a + b,
    "sub": lambda t, a, b: a - b,
    "mul": lambda t, a, b: a * b,
    "div": lambda t, a, b: a / b,
    "eq": lambda t, a, b: a == b,
    "lt": lambda t, a, b: a < b,
    "ge": lambda t, a, b: a >= b,
    "ne": lambda t, a, b: t.ne(a, b) if isinstance(a, t.Tensor) else a != b,
    "pow": lambda t, a, b: a**b,
    "remainder": lambda t, a, b: a % (b + 1),
    "floor_divide": lambda t, a, b: a // (b + 1),
    "div_trunc": lambda t, a, b: t.div(a, b + 1, rounding_mode="trunc"),
    "fmod": lambda t, a, b: t.fmod(a, b + 1),
    "and": lambda t, a, b: a & b,
    "or": lambda t, a, b: a | b,
    "xor": lambda t, a, b: a ^ b,
    "left_shift": lambda t, a, b: a << b,
    "right_shift": lambda t, a, b: a >> b,
    "xlogy": lambda t, a, b: t.xlogy(a, b),
    "copysign": lambda t, a, b: t.copysign(a, b),
    "float_power": lambda t, a, b: t.float_power(a, b),
    "atan2": lambda t, a, b: t.atan2(a, b),
    "fmax": lambda t, a, b: t.fmax(a, b),
    "gcd": lambda t, a, b: t.gcd(a, b),
    "hypot": lambda t, a, b: t.hypot(a, b),
    "igamma": lambda t, a, b: t.igamma(a, b),
    "logaddexp": lambda t, a, b: t.logaddexp(a, b),
    "ldexp": lambda t, a, b: t.ldexp(a, b),
    "logical_and": lambda t, a, b: t.logical_and(a, b),
    "add_alpha": lambda t, a, b: t.add(a, b, alpha=2),
    "rsub": lambda t, a, b: t.rsub(a, b),
    "addcmul": lambda t, a, b: t.addcmul(a, b, b),
    "clamp": lambda t, a, b: t.clamp(a, b),
    "isin": lambda t, a, b: t.isin(a, b),
    "where": lambda t, a, b: t.where(t.tensor([True, False, True]), a, b),
    "maximum": lambda t, a, b: t.maximum(a, b),
    "cat": lambda t, a, b: t.cat([t.atleast_1d(a), t.atleast_1d(b)]) if t is not tg else tg.cat(
        [x.reshape(-1) if x.ndim == 0 else x for x in (a, b)]),
}  # fmt: skip
TENSORS_ONLY = ("maximum", "cat", "atan2", "fmax", "gcd", "ldexp", "logical_and", "addcmul",
                "hypot", "igamma", "logaddexp")  # fmt: skip
FIRST_A_TENSOR = ("fmod", "copysign", "rsub", "clamp")
OPERANDS = ["vector", "0-d", True, 2, 2.5]
PAIRS = [p for p in itertools.product(OPERANDS, repeat=2) if {"vector", "0-d"} & set(p)]


def operand(lib: Any, kind: Any, dtype: str) -> Any:
    if kind == "vector":
        return lib.tensor([1, 0, 3], dtype=getattr(lib, dtype))
    if kind == "0-d":
        return lib.tensor(2, dtype=getattr(lib, dtype))
    return kind


@pytest.mark.filterwarnings("ignore:An output with one or more elements")  # PyTorch's, of ldexp
@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("name", BINARY)
def test_promotion(name: str, left: Any, right: Any) -> None:
    """Every pair of dtypes, as vectors, 0-d tensors and Python numbers, on either side."""
    torch = oracle()
    numbers = [k for k in (left, right) if not isinstance(k, str)]
    if name in TENSORS_ONLY and numbers:
        pytest.skip("takes no numbers")
    if name in FIRST_A_TENSOR and not isinstance(left, str):
        pytest.skip("takes a tensor first")
    pairs = itertools.product(NAMES, NAMES) if not numbers else ((n, n) for n in NAMES)
    compared = 0
    for a, b in pairs:
        try:
            theirs = BINARY[name](torch, operand(torch, left, a), operand(torch, right, b))
        except (RuntimeError, TypeError):  # what PyTorch refuses (to subtract bools), we may
            continue
        compared += 1
        mine = BINARY[name](tg, operand(tg, left, a), operand(tg, right, b))
        assert_same(mine, theirs)
    if not compared:
        pytest.skip("PyTorch refuses all of these")


IN_PLACE = ["add", "mul", "div", "pow", "remainder", "floor_divide", "fmod", "eq", "lt",
            "logical_or", "bitwise_and", "atan2", "copysign", "xlogy", "clamp_min",
            "float_power"]  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("dtype", NAMES[1:])
def test_in_place_keeps_the_dtype_or_refuses_as_pytorch_does(name: str, dtype: str) -> None:
    torch = oracle()
    for other in NAMES[1:]:
        results = []
        for lib in (tg, torch):
            x = operand(lib, "vector", dtype) + 1
            y = operand(lib, "vector", other) + 1
            try:
                results.append(getattr(x, name + "_")(y))
            except (RuntimeError, TypeError):
                results.append(None)
        mine, theirs = results
        assert (mine is None) == (theirs is None), (dtype, other)
        if mine is not None:
            assert_same(mine, theirs)


def test_promote_types_and_its_symmetry() -> None:
    torch = oracle()
    for a, b in itertools.product(NAMES, NAMES):
        mine = tg.promote_types(getattr(tg, a), getattr(tg, b))
        theirs = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert mine.name == str(theirs).removeprefix("torch.")
        assert mine == tg.promote_types(getattr(tg, b), getattr(tg, a))


@pytest.mark.parametrize("number", [np.float64(2.5), np.int32(2), np.bool_(True), np.array(2.5)])
def test_numpy_scalars_are_as_weak_as_pythons(number: Any) -> None:
    for name in NAMES:
        x = operand(tg, "vector", name)
        assert (x * number).dtype == (x * number.item()).dtype
        assert (number * x).dtype == (x * number.item()).dtype


@pytest.mark.parametrize("name", ["exp", "sqrt", "sin", "sigmoid", "tanh", "erf", "log1p", "rsqrt"])
def test_functions_of_integers_are_floats(name: str) -> None:
    torch = oracle()
    for dtype in NAMES:
        mine = getattr(tg, name)(operand(tg, "vector", dtype))
        assert_same(mine, getattr(torch, name)(operand(torch, "vector", dtype)))


REDUCTIONS = {
    "sum": NAMES, "prod": NAMES, "amax": NAMES, "argmax": NAMES[1:],
    # PyTorch's any and all of uint8 are uint8, from before it had bools; ours are bools
    "any": [n for n in NAMES if n != "uint8"], "all": [n for n in NAMES if n != "uint8"],
    "mean": FLOATS, "var": FLOATS, "std": FLOATS, "logsumexp": FLOATS,
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    torch = oracle()
    for dtype in REDUCTIONS[name]:
        arguments = (0,) if name == "logsumexp" else ()
        mine, theirs = (
            getattr(lib, name)(operand(lib, "vector", dtype), *arguments) for lib in (tg, torch)
        )
        assert_same(mine, theirs)


def test_reductions_into_a_given_dtype() -> None:
    x = tg.tensor([200, 100], dtype="uint8")
    assert x.sum().item() == 300
    assert x.sum(dtype=tg.float16).dtype == tg.float16
    assert x.sum(dtype="uint8").item() == 300 - 256
    assert x.prod(dtype=tg.int32).dtype == tg.int32
    assert tg.softmax(tg.tensor([1, 2]), 0, dtype=tg.float64).dtype == tg.float64


def test_sums_of_16_bit_floats_are_carried_in_32() -> None:
    assert tg.full((5000,), 1.0, dtype="float16").sum().item() == 5000
    assert tg.full((70000,), 1.0, dtype="float16").mean().item() == 1.0
    assert tg.full((1000,), 1.0, dtype="bfloat16").sum().item() == 1000


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((10**6, 2), 0),
        ((10**6, 2), (0, 1)),
        ((1000, 1000, 3), (0, 1)),
        ((100, 3, 10000), (0, 2)),
        ((1025, 7), 0),
        ((3000001,), 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["as made", "transposed", "every other"])
def test_long_sums_are_accurate_whichever_way_the_memory_lies(
    shape: Any, dim: Any, layout: str
) -> None:
    """Adding ten million float32 numbers one by one loses every digit: 1 + 1e-8 is 1."""
    a = np.random.default_rng(0).random(shape, dtype=np.float32)
    if layout == "transposed":
        a = np.asfortranarray(a)
    elif layout == "every other":
        a = np.repeat(a, 2, axis=-1)[..., ::2]
    x, over = tg.from_numpy(a), (dim if isinstance(dim, tuple) else (dim,))
    for keepdim in (False, True):
        exact = a.sum(axis=over, keepdims=keepdim, dtype=np.float64)
        total = x.sum(dim, keepdim).numpy()
        assert total.shape == exact.shape
        np.testing.assert_allclose(total, exact, rtol=2e-6)
        np.testing.assert_allclose(
            x.var(dim, keepdim=keepdim).numpy(), a.var(over, np.float64, ddof=1, keepdims=keepdim),
            rtol=2e-6,
        )  # fmt: skip
    bias = tg.zeros(a.shape[-1], requires_grad=True)
    tg.nn.functional.linear(tg.zeros(*a.shape[:-1], 1), tg.zeros(a.shape[-1], 1), bias).backward(x)
    exact = a.sum(axis=tuple(range(a.ndim - 1)), dtype=np.float64)
    np.testing.assert_allclose(bias.grad.numpy(), exact, rtol=2e-6)


def test_long_sums_of_equal_numbers() -> None:
    x = tg.full((10**6, 2), 0.1)
    np.testing.assert_allclose(x.sum(0).tolist(), 1e5, rtol=3e-6)
    np.testing.assert_allclose(x.mean(0).tolist(), 0.1, rtol=3e-6)
    np.testing.assert_allclose(x.half().mean(0).tolist(), 0.1, rtol=1e-3)
    assert tg.ones(20000, 3, dtype="float64").T.sum(1).tolist() == [20000] * 3
    assert x[:0].sum(0).tolist() == [0, 0]


WHOLE = ["uint8", "int8", "int16", "int32", "int64"]


@pytest.mark.parametrize("mode", ["trunc", "floor"])
@pytest.mark.parametrize(("left", "right"), list(itertools.product([*WHOLE, "bool"], WHOLE)))
def test_integers_are_divided_as_integers(mode: str, left: str, right: str) -> None:
    def divide(lib: Any, device: str = "cpu") -> list[Any]:
        a = lib.tensor(numbers[left], dtype=getattr(lib, left), device=device)
        b = lib.tensor([[3], [-2 if right != "uint8" else 2], [7]], dtype=getattr(lib, right),
                       device=device)  # fmt: skip
        return [
            lib.div(a, b, rounding_mode=mode),
            # PyTorch's -2 is a 254 beside uint8.
            lib.div(a, abs(b[1, 0]) if left == "uint8" else b[1, 0], rounding_mode=mode),
            lib.div(a, 2 if left == "uint8" else -2, rounding_mode=mode),
            b.div(3, rounding_mode=mode),
        ]

    numbers = {name: [0, 1, 7, 100, 127] for name in WHOLE} | {"bool": [True, False]}
    numbers |= {name: [*numbers[name], -1, -7, -127, -128] for name in WHOLE[1:]}
    numbers["int32"] += [100000001, -(2**31)]
    numbers["int64"] += [2**53 + 1, -(2**63) + 1, 2**63 - 1]
    theirs = divide(oracle())
    for device in ("cpu", "emulated"):
        for mine, expected in zip(divide(tg, device), theirs, strict=True):
            assert dtype_of(mine) == dtype_of(expected)
            assert mine.tolist() == expected.tolist()


def test_extremes_of_bools() -> None:
    values = [[True, False], [False, False], [True, True]]
    for name, dim, keepdim in itertools.product(["max", "min"], [0, 1, -1], [False, True]):
        mine = getattr(tg.tensor(values), name)(dim, keepdim=keepdim)
        theirs = getattr(oracle().tensor(values), name)(dim, keepdim=keepdim)
        assert [t.tolist() for t in mine] == [t.tolist() for t in theirs]
        assert (mine.values.dtype, mine.indices.dtype) == (tg.bool, tg.int64)
    assert [t.item() for t in tg.tensor(True).max(0)] == [True, 0]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_no_class_is_ignored_because_its_dtype_is_narrow(dtype: str) -> None:
    """-100 in uint8 is 156."""
    scores = tg.rand(2, 200).log_softmax(1)
    targets = tg.tensor([100 if dtype == "int8" else 156, 3], dtype=dtype)
    for loss in (tg.nn.functional.nll_loss, tg.nn.functional.cross_entropy):
        assert loss(scores, targets).item() == loss(scores, targets.long()).item()
        assert loss(scores, targets, ignore_index=3, reduction="none").tolist()[1] == 0


@pytest.mark.parametrize("dtype", NAMES[1:])
def test_clamped_between_a_tensor_and_a_number_the_dtype_stays(dtype: str) -> None:
    """Also where the number is beyond its range."""
    x = tg.tensor([1, 2, 3], dtype=dtype)
    low = tg.tensor([2, 1, 2], dtype=dtype)
    for bounded in (x.clamp(low, 2), x.clamp(0, low.clamp(2, 2)), x.clamp(low, 10**6).clamp(max=2)):
        assert (bounded.dtype, bounded.tolist()[1:]) == (x.dtype, [2, 2])
    assert x.clamp(max=low).tolist() == [1, 1, 2]


def test_integers_wrap_around() -> None:
    x = tg.tensor([250, 5], dtype="uint8")
    assert (x + 10).tolist() == [4, 15]
    assert (x + 300).tolist() == [38, 49]
    assert (x * tg.tensor(2, dtype="int64")).tolist() == [244, 10]
    assert (-x).tolist() == [6, 251]
    assert (x * x).tolist() == tg.square(x).tolist() == (x**2).tolist() == [36, 25]
    assert abs(tg.tensor([-3, 2])).tolist() == [3, 2]
    assert (tg.tensor([127], dtype="int8") + 1).tolist() == [-128]


# ---------------------------------------------------------------------- the default dtype


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.usefixtures("default_dtype")
def test_the_default_dtype_is_used_wherever_there_is_no_other(name: str) -> None:
    torch = oracle()
    made = {}
    for lib in (tg, torch):
        lib.set_default_dtype(getattr(lib, name))
        whole = lib.tensor([1, 2, 3])
        made[lib] = [
            lib.tensor(1.5), lib.tensor([1.5, 2]), lib.tensor([]), lib.zeros(2), lib.ones(2),
            lib.empty(2), lib.full((2,), 1.5), lib.rand(2), lib.randn(2), lib.linspace(0, 1, 3),
            lib.eye(2), lib.arange(1.5), whole / 2, whole / whole, whole * 1.5, whole.exp(),
            lib.tensor(2.0, dtype=lib.float64) * 1.5, whole.float(), lib.tensor([True]) * 2.5,
            lib.nn.Linear(2, 2).weight,
        ]  # fmt: skip
        assert lib.get_default_dtype() == getattr(lib, name)
    assert [dtype_of(t) for t in made[tg]] == [dtype_of(t) for t in made[torch]]
    assert f"dtype={name}" not in repr(tg.zeros(2))
    assert "dtype=float32" in repr(tg.zeros(2, dtype="float32")) or name == "float32"


@pytest.mark.parametrize("wrong", ["int64", bool, tg.uint8])
def test_only_floats_can_be_the_default(wrong: Any) -> None:
    with pytest.raises(TypeError, match="floating-point"):
        tg.set_default_dtype(wrong)
    assert tg.get_default_dtype() == tg.float32


# ---------------------------------------------------------------------- creation


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.tensor(1), lambda t: t.tensor(True), lambda t: t.tensor([1, 2.5]),
        lambda t: t.tensor([True, 2]), lambda t: t.tensor([[], []]), lambda t: t.arange(3),
        lambda t: t.arange(1, 7, 2), lambda t: t.arange(0, 1, 0.25), lambda t: t.full((2,), 1),
        lambda t: t.full((2,), True), lambda t: t.full((2,), 1.0), lambda t: t.zeros(2, 3),
        lambda t: t.ones((2, 3)), lambda t: t.eye(2, 3), lambda t: t.linspace(0, 1, 5),
        lambda t: t.zeros_like(t.tensor([1])), lambda t: t.ones_like(t.tensor([True])),
        lambda t: t.full_like(t.tensor([1.5]), 2), lambda t: t.tensor(np.float32(1.5)),
        lambda t: t.tensor(np.arange(3, dtype=np.int16)), lambda t: t.from_numpy(np.zeros(2)),
        lambda t: t.tensor([1.5], dtype=t.int32), lambda t: t.tensor([0, 3], dtype=t.bool),
        lambda t: t.arange(3, dtype=t.float16), lambda t: t.zeros(2, dtype=t.int8),
        lambda t: t.randint(5, (2,)) * 0, lambda t: t.randperm(1),
        lambda t: t.tensor([1, -1]).abs(),
        lambda t: t.tensor([1, 2]).new_zeros(2), lambda t: t.tensor([1.5]).new_tensor([2, 3]),
    ],
)  # fmt: skip
def test_creation(make: Any) -> None:
    mine, theirs = make(tg), make(oracle())
    assert_same(mine, theirs)
    assert tuple(mine.shape) == tuple(theirs.shape)


# ---------------------------------------------------------------------- names and conversions


def test_dtypes_are_numpys_and_have_pytorchs_names() -> None:
    assert tg.float32 == np.float32 == np.dtype("float32")
    assert tg.zeros(2).dtype == "float32"
    assert tg.bfloat16.name == "bfloat16"
    for spec, name in [("half", "float16"), ("double", "float64"), ("long", "int64"),
                       (float, "float64"), (int, "int64"), (bool, "bool"), (np.int8, "int8"),
                       (tg.half, "float16"), (tg.int, "int32"), (tg.bool, "bool")]:  # fmt: skip
        assert tg.zeros(1, dtype=spec).dtype.name == name


def test_conversions_between_all_dtypes() -> None:
    torch = oracle()
    for a, b in itertools.product(NAMES, NAMES):
        mine = tg.tensor([0, 1, 3], dtype=a).to(getattr(tg, b))
        theirs = torch.tensor([0, 1, 3], dtype=getattr(torch, a)).to(getattr(torch, b))
        assert_same(mine, theirs)
    for method in ("double", "float", "half", "bfloat16", "long", "int", "short", "char", "byte",
                   "bool"):  # fmt: skip
        assert dtype_of(getattr(tg.tensor([1.5]), method)()) == dtype_of(
            getattr(torch.tensor([1.5]), method)())  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [complex, "complex64", np.uint16, "uint64", "float8", str, object, None.__class__, 3]
)
def test_unknown_dtypes_are_refused_by_name(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"unsupported dtype .*float64.*bfloat16"):
        tg.zeros(2, dtype=wrong)


def test_bfloat16_without_ml_dtypes_says_how_to_get_it() -> None:
    """In another process, where the package cannot be imported."""
    code = """
import sys
sys.modules["ml_dtypes"] = None
import tapegrad as tg
for ask in (lambda: tg.bfloat16, lambda: tg.zeros(2, dtype="half").bfloat16(),
            lambda: tg.zeros(2, dtype="bfloat16")):
    try:
        ask()
    except (ImportError, AttributeError) as error:  # (AttributeError of the module, for hasattr)
        assert "pip install 'tapegrad[io]'" in str(error) and "ml_dtypes" in str(error), error
    else:
        raise AssertionError("no error")
assert (tg.ones(2) + 1).tolist() == [2.0, 2.0]
assert not hasattr(tg, "no_such_name")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
