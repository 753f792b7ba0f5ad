"""Doors in C do what the functions in Python behind them do: the same bits, nodes and errors."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad.core import accelerator, quiet
from tapegrad.core.caller import tensor_xp
from tapegrad.core.devices import bodies, forget_implementations
from tapegrad.ops.catalog import loaded

pytestmark = pytest.mark.skipif(
    accelerator.compiled is None, reason="needs tapegrad._tape, which a C++ compiler builds"
)


@pytest.fixture(autouse=True)
def only_own_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doors are open where warnings of NumPy's cannot reach the program; pytest lets them."""
    monkeypatch.setattr(warnings, "filters", [quiet._own_filter])
    assert not quiet.noisy()


SHAPES = [(4, 4), (2, 3, 5), (3, 1, 2), (7,), (), (0, 3), (40, 30), (1, 300)]
DTYPES = [tg.float32, tg.float64, tg.float16, tg.int64, tg.bool]


def made(shape: tuple[int, ...], dtype: Any = tg.float32, seed: int = 0) -> tg.Tensor:
    """Numbers among which are zeros of both signs, infinities and nan."""
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(shape) * 10 ** rng.uniform(-2, 2, shape)
    flat = numbers.reshape(-1)
    flat[::5], flat[3::11], flat[7::13] = 0.0, -0.0, 1.0
    if flat.size > 100:
        flat[50:53] = np.nan, np.inf, -np.inf
    return tg.tensor(numbers).to(dtype)


def arrangements(x: tg.Tensor) -> list[tg.Tensor]:
    """The tensor itself, and others that lie otherwise in memory."""
    found = [x]
    if x.ndim > 1:
        found += [x.T, tg.cat([x, x], 1)[:, ::2]]
    if x.ndim and x.dtype is not tg.bool:
        found.append(x[:1].expand(x.shape) if x.shape[0] else x)
    if 1 in x.shape:  # a stride there means nothing
        steps = zip(x.shape, x.stride(), strict=True)
        found.append(x.as_strided(x.shape, [0 if n == 1 else step for n, step in steps]))
    return found


Call = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **options: Any) -> Call:
    return args, options


DIMS = [0, 1, -1, -2, 2, 5, True, None, (), (0,), (0, 1), [1, 0], (0, 0), (0, -2), 1.0, "a"]
REDUCTIONS = [
    call(),
    *[call(d) for d in DIMS],
    *[call(d, True) for d in DIMS],
    *[call(dim=d, keepdim=k) for d in (1, (0, 1), None) for k in (True, False, 1, None, "yes")],
    *[call(axis=0), call(0, keepdims=True), call(0, dtype=tg.float64), call(0, 1, 2)],
    *[call(np.int64(1)), call(tg.tensor(0)), call(wrong=1), call(0, dim=0)],
]
ACTIVATIONS = [call(), call(False), call(inplace=False), call(inplace=None), call(1), call(0, 1)]
SIZES = [(), (-1,), (16,), (2, 8), (2, -1), (-1, -1), (-2, 8), (1, 16, 1), (6, 5), (0, -1), (3,)]
SHAPE_CALLS = [
    *[call(*s) for s in SIZES],
    *[call(s) for s in SIZES],
    *[call(list(s)) for s in SIZES],
    *[call(shape=(2, -1)), call(size=(2, -1)), call(tg.Size((4, 4))), call(2.0, 8), call("a")],
    *[call((2, 8), 3), call(np.int64(16)), call(True, 16), call((1,) * 9 + (-1,)), call(tg.int32)],
]
s = slice
INDICES: list[Any] = [
    *[0, -1, 1, 3, -5, 5, True, None, ..., (), (0,), (0, 1), (0, 0, 0, 0), (..., 0), (0, ...)],
    *[s(1, 3), s(None), s(-2, None), s(None, None, 2), s(3, 1), s(10, 20), s(None, None, -1)],
    *[s(0, 2, 0), s(None, np.int64(2)), s(tg.tensor(1), None), s("a", None), s(1.0, None)],
    *[(s(None), s(1, 3)), (s(None), 0), (0, s(1)), (None, 0), (0, None), (..., s(0, 1), None)],
    *[(..., ...), (s(None), None, s(1)), (None, ..., None), (s(None), s(None), 0), np.int64(1)],
    *[tg.tensor(1), tg.tensor([0, 1]), [0, 1], [True], "a", 1.0, (0, [0, 1]), np.array([0])],
    *[tg.tensor(i) for i in ([1, -1, 1], [0, 9], [[0, 1], [1, 0]], [True, False], [-9])],
    *[tg.tensor([0, 1], dtype=d) for d in (tg.int32, tg.uint8, tg.float32)],
    *[tg.zeros(0, dtype=tg.int64), tg.ones((4, 4)) > 0, made((4, 4)) > 0, made((2, 3, 5)) > 0],
    *[(s(None), tg.tensor([1, 0])), (s(None), s(None), tg.tensor([-1])), (tg.tensor([0]), 0)],
    *[(tg.tensor([0, 1]),) * 2, (tg.tensor([0, 1]), tg.tensor([[1, 0]])), (tg.tensor([1]), s(1))],
    *[
        (s(None), tg.tensor([0, 0]), tg.tensor([1, 2])),
        (tg.tensor([0, 1]),) * 3,
        (s(1), tg.tensor(0)),
    ],
]
ORDERS = [
    (0, 1),
    (1, 0),
    (-1, 0),
    (0, 0),
    (0, 1, 2),
    (2, 0, 1),
    (-1, 0, 1),
    (0,),
    (),
    (0, 3),
    (1.0,),
]
BOUNDS = [0, 1, -1, 0.5, -0.0, 0.0, 1e300, -1e300, float("nan"), float("inf"), True, "a", None]

# Functions of one tensor: its door, and what it is given besides.
OF_ONE: dict[str, list[Call]] = {
    "sum": REDUCTIONS,
    "mean": REDUCTIONS,
    "reshape": SHAPE_CALLS,
    "view": SHAPE_CALLS,
    "flatten": [
        *[call(), call(0), call(0, -1), call(1), call(1, 2), call(-2), call(1, 0), call(5)],
        *[call(start_dim=1), call(end_dim=0), call(1.0), call(0, 1, 2)],
    ],
    "squeeze": [call(), *[call(d) for d in DIMS], call(dim=1), call(0, 1)],
    "unsqueeze": [
        *[call(d) for d in (0, 1, -1, 2, 3, -3, 7, True, 1.0, None)],
        call(dim=0),
        call(),
    ],
    "t": [call(), call(0)],
    "transpose": [
        *[call(i, j) for i in (0, 1, -1, 3) for j in (0, -1, -2, 4)],
        *[call(dim0=0, dim1=1), call(0), call(0, 1.0), call(1, dim1=0), call(0, 1, 2)],
    ],
    "permute": [*[call(*o) for o in ORDERS], *[call(o) for o in ORDERS], call(dims=(1, 0))],
    "__getitem__": [call(i) for i in INDICES],
    "split": [
        *[call(n) for n in (1, 2, 3, 100, 0, -1, True, 1.0, None, (1, 3), [2, 2])],
        *[call(2, d) for d in (0, 1, -1, 3, "a")],
        *[call(2, dim=1), call(split_size=2), call(split_size_or_sections=1, dim=-1), call()],
    ],
    "clamp": [
        *[call(low, high) for low in BOUNDS for high in BOUNDS],
        *[
            call(min=0.5),
            call(max=0.5),
            call(),
            call(0, max=1),
            call(0, 1, 2),
            call(tg.tensor(0.0), 1),
        ],
    ],
    "max": [*REDUCTIONS[:26], call(other=tg.ones(()))],
    "min": [*REDUCTIONS[:26], call(tg.ones(()))],
    "softmax": [*[call(d) for d in DIMS], call(dim=-1), call(0, tg.float64), call(), call(0, 1, 2)],
    "log_softmax": [
        *[call(d) for d in DIMS],
        call(dim=-1),
        call(0, dtype=tg.float64),
        call(axis=0),
    ],
    "pow": [
        *[call(n) for n in (2, 2.0, 3, 0.5, -1, 0, True, None, float("nan"), np.float64(2))],
        *[call(exponent=2), call(tg.tensor(2.0)), call(tg.tensor(2)), call(), call(2, 2)],
    ],
    **{
        n: REDUCTIONS[:26]
        for n in ("argmax", "argmin", "amax", "amin", "all", "any", "logsumexp", "prod")
    },
    **{
        name: [
            *REDUCTIONS[:26],
            *[call(d, u) for d in (0, None, True) for u in (False, None, 1)],
            *[call(1, correction=c) for c in (0, 1, 2, 0.5, 9, None, "a")],
            *[call(-1, False, True), call(unbiased=False), call(dim=0, keepdim=True), call(False)],
        ]
        for name in ("var", "std")
    },
    **{
        name: [
            *[call(d) for d in DIMS],
            *[call(0, f) for f in (True, False, 1, None)],
            *[call(), call(dim=-1, descending=True), call(stable=True), call(descending=True)],
        ]
        for name in ("sort", "argsort")
    },
    **{
        n: [call(), *[call(d) for d in (0, 1, -2, 9, -9, True, 1.0)], call(diagonal=1), call(0, 1)]
        for n in ("tril", "triu")
    },
    **{
        name: [
            *[call(d) for d in DIMS],
            call(dim=0),
            call(0, dtype=tg.float64),
            call(axis=1),
            call(),
        ]
        for name in ("cumsum", "cumprod")
    },
    "flip": [*[call(*o) for o in ORDERS], *[call(o) for o in ORDERS], call(dims=(1, 0)), call(0)],
    "roll": [
        *[call(n, d) for n in (0, 1, -1, 9, True, 1.0, (1,)) for d in (0, -1, 1, 5, None, (0,))],
        *[call(1), call((1, 2), (0, 1)), call(shifts=1, dims=0), call()],
    ],
    "topk": [
        *[call(k, d) for k in (0, 1, 2, 5, 99, -1, True, 1.0) for d in (0, -1, 1, 3)],
        *[call(1, 0, f, g) for f in (True, False, 1) for g in (True, False)],
        *[
            call(2),
            call(k=2),
            call(1, largest=False),
            call(1, sorted=False),
            call(2, dim=0),
            call(),
        ],
    ],
    "norm": [
        *[call(p, d) for p in (2, 2.0, None, "fro", 1, math.inf, 0) for d in (None, 0, -1, (0, 1))],
        *[call(), call(2, 1, True), call(dim=1), call(keepdim=True), call(p=2, dim=0), call("nuc")],
        call(2, 0, False, tg.float64),
    ],
    "T": [call()],
    "mT": [call()],
    "contiguous": [call(), call(1), call(memory_format=tg.channels_last)],
    "clone": [call(), call(memory_format=tg.channels_last), call(1)],
    **{
        name: [call(), call(1)]
        for name in ("bool", "byte", "double", "float", "half", "int", "long")
    },
    "to": [
        *[call(d) for d in (*DTYPES, tg.int32, tg.uint8, tg.int8, np.dtype(">f4"), np.dtype("u4"))],
        *[call(d) for d in ("cpu", tg.device("cpu"), None, 1.0, "float64", float, tg.ones(()))],
        *[
            call(dtype=tg.float64),
            call(dtype=None),
            call(tg.float32, copy=True),
            call(device="cpu"),
        ],
        call("cpu", tg.float64),
    ],
    "expand": [
        *[call(*n) for n in ((4, 4), (-1, 4), (2, 4, 4), (-1, -1, 4), (5, 7), (), (-1,), (0, 7))],
        *[
            call((2, 3, 5)),
            call([3, 4, 2]),
            call((2, -1, -1)),
            call(size=(4, 4)),
            call(4.0),
            call(),
        ],
    ],
    "select": [
        *[call(d, i) for d in (0, -1, 1, 5, "a") for i in (0, 2, -1, 9, True, None)],
        *[call(dim=0, index=1), call(0), call(0, index=tg.tensor(1))],
    ],
    "narrow": [
        *[call(d, i, n) for d in (0, -1, 4) for i in (0, 1, -1, 9) for n in (0, 1, 2, -1, 9)],
        *[call(dim=0, start=0, length=1), call(0, tg.tensor(0), 1), call(0, 1), call(0, 1.0, 1)],
    ],
    "chunk": [
        *[call(n, d) for n in (1, 2, 3, 100, 0, True, 1.0) for d in (0, -1, 1, 3)],
        *[call(2), call(chunks=2), call(2, dim=-1), call()],
    ],
    "unbind": [call(), *[call(d) for d in (0, 1, -1, 4, True, None)], call(dim=-1), call(0, 1)],
    **{
        name: [call(), call(0.5), call(False), call("none"), call(alpha=2.0), call(1, 2)]
        for name in (
            *("elu", "hardsigmoid", "hardswish", "leaky_relu", "logsigmoid", "mish", "round"),
            "softplus",
        )
    },
    **{name: [call(b) for b in BOUNDS] + [call()] for name in ("clamp_min", "clamp_max")},
    "relu_": [call(), call(1)],
    "relu": ACTIVATIONS,
    "silu": ACTIVATIONS,
    "gelu": [
        *[call(), call("none"), call("tanh"), call(approximate="tanh"), call("fast"), call(None)],
        *[call(1), call("none", False), call(inplace=False)],
    ],
    "exp": [call(), call(1), call(wrong=1)],
}


def door_of(name: str) -> Any:
    named = [getattr(room, name, None) for room in (tg, F, tg.Tensor)]
    found = [door.fget if isinstance(door, property) else door for door in named]
    return next(door for door in found if hasattr(door, "plain"))


def saved(node: Any) -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tobytes(), value.shape, value.dtype
        return tuple(map(plain, value)) if isinstance(value, tuple) else repr(value)

    return plain(node.saved)


def strides(array: np.ndarray) -> list[int]:
    """Those that count: along a dimension of size 1 NumPy leaves any."""
    return [step for step, size in zip(array.strides, array.shape, strict=True) if size != 1]


def seen(result: Any, given: list[tg.Tensor]) -> Any:
    """All that can be told of a result."""
    if isinstance(result, (tuple, list)):
        return type(result), [seen(part, given) for part in result]
    if not isinstance(result, tg.Tensor):
        return result
    array, flags, storage = result._array, result._array.flags, result._storage
    found = {
        "bits": array.tobytes(),
        "layout": (array.dtype, array.shape, strides(array), flags.writeable, flags.aligned),
        "leaf": (result.requires_grad, result.is_leaf),
        "base": [result._base is x for x in given],
        "storage": [storage is not None and storage is x._storage for x in given],
        "aliased": [x._aliased for x in given] + [result._base is not None and result._aliased],
        "versions": [x._version for x in given] + [result._version],
    }
    if not result.is_leaf:
        node = result.grad_fn
        found["made by"] = (node.name(), saved(node), [e and e.name() for e in node.edges])
        found["node"] = (tuple(node.shape), node.dtype, node.storage is storage)
        found["inputs"] = [t is not None and [t is x for x in given] for t in node.inputs]
    return found


def outcome(function: Callable, given: list[Any], options: dict[str, Any]) -> Any:
    """What a function makes of copies of what it is given, or how it fails; gradients, too."""
    twins: dict[int, tg.Tensor] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, (tuple, list)) and any(isinstance(v, tg.Tensor) for v in value):
            return type(value)(map(copy, value))
        if not isinstance(value, tg.Tensor):
            return value
        if id(value) not in twins:
            array = np.array(value._array, order="K", copy=True)
            if value._array.strides != array.strides:
                array = value._array  # expanded, or with gaps: nothing here writes into it
            twin = tg.from_numpy(array)
            twins[id(value)] = twin.requires_grad_(value.requires_grad)
        return twins[id(value)]

    given = [copy(value) for value in given]
    options = {name: copy(value) for name, value in options.items()}
    tensors = list(twins.values())
    try:
        result = function(*given, **options)
    except Exception as error:
        return type(error), str(error)
    found = [seen(result, tensors)]
    results = result if isinstance(result, (tuple, list)) else (result,)
    roots = [r for r in results if isinstance(r, tg.Tensor) and r.requires_grad and not r.is_leaf]
    if roots:
        seeds = [made(tuple(r.shape), r.dtype, seed=i + 7) for i, r in enumerate(roots)]
        tg.autograd.backward(roots, seeds)
        for t in tensors:
            found.append(None if t.grad is None else seen(t.grad, []))
    return found


def assert_alike(name: str, given: list[Any], options: dict[str, Any]) -> None:
    door = door_of(name)
    assert outcome(door, given, options) == outcome(door.plain, given, options), (given, options)


@pytest.mark.parametrize("name", OF_ONE)
def test_doors_of_one_tensor(name: str) -> None:
    for shape in SHAPES:
        for dtype in DTYPES:
            for x in arrangements(made(shape, dtype)):
                # (Those that lie otherwise are recorded alike.)
                for requires_grad in {x.is_floating_point(), x.ndim > 1 and x.is_contiguous()}:
                    x = x.detach().requires_grad_(requires_grad and x.is_floating_point())
                    for args, options in OF_ONE[name]:
                        assert_alike(name, [x, *args], options)
    for nothing in (None, 1.0, [1.0], np.ones(3)):
        for args, options in OF_ONE[name]:
            assert_alike(name, [nothing, *args], options)


def pairs() -> list[tuple[tg.Tensor, ...]]:
    found = []
    for a, b in [
        ((4, 4), (4, 4)),
        ((2, 3), (3, 5)),
        ((1, 3), (3, 1)),
        ((3,), (3,)),
        ((2, 3), (2, 3)),
    ]:
        for first in DTYPES:
            for second in (first, tg.float32):
                x, y = made(a, first), made(b, second, 1)
                found += [(x, y), (x, y.T if y.ndim > 1 else y), (x.T if x.ndim > 1 else x, y)]
                if first is second and x.is_floating_point():
                    found.append((x.detach().requires_grad_(), y))
                    found.append((x.detach().requires_grad_(), y.detach().requires_grad_()))
    found += [(made(()), made((2, 2))), (made((0, 3)), made((3, 2))), (made((2, 0)), made((0, 2)))]
    return found


def test_matmul() -> None:
    for x, y in pairs():
        for name in ("matmul", "__matmul__"):
            assert_alike(name, [x, y], {})
        assert_alike("mm", [x, y], {})
    cube, other = made((2, 3, 4)).requires_grad_(), made((2, 4, 3), seed=1).requires_grad_()
    stack = made((5, 2, 3, 4))
    for x, y in (
        *((cube, other), (cube, other[0]), (cube.detach(), other.mT.mT), (cube, other[:1])),
        *((stack, other), (stack, other[1]), (stack, stack.mT), (cube, cube), (cube, other[0, 0])),
        *((made((0, 3, 4)), other[0]), (made((2, 0, 4)), other), (cube.half(), other[0].half())),
    ):
        for name in ("matmul", "__matmul__", "bmm", "mm"):
            assert_alike(name, [x, y], {})
    assert_alike("bmm", [cube], {"mat2": other})
    vectors = [made((4,)), made((4,), seed=1).requires_grad_(), made((3,)), made((4,), tg.float16)]
    others = [made((4, 3)).requires_grad_(), made((4, 4)).T, cube, made(()), made((0,))]
    thin = [made((1, 4)), made((4, 1)), made((8,))[::2], made((3, 8))[:, ::2], made((4, 0)).mT]
    for x in [*vectors, *others, *thin]:
        for y in [*vectors, *others, *thin]:
            for name in ("matmul", "mv", "dot", "outer"):
                assert_alike(name, [x, y], {})
                with tg.no_grad():
                    assert_alike(name, [x, y], {})
    assert_alike("mv", [others[1]], {"vec": vectors[1]})
    assert_alike("outer", [vectors[1]], {"vec2": vectors[0]})
    assert_alike("matmul", [made((2, 2))], {"other": made((2, 2))})
    assert_alike("matmul", [made((2, 2)), 2], {})
    assert_alike("matmul", [made((2, 2)), made((2, 2)), 1], {})


def test_added_products() -> None:
    leaf = made((4, 4)).requires_grad_()
    matrices = [
        leaf,
        made((4, 4), seed=1),
        made((4, 4)).T,
        made((4, 3)),
        made((4,)),
        made((4, 4), tg.float64),
    ]
    stacks = [
        made((2, 3, 4)).requires_grad_(),
        made((2, 4, 5), seed=1),
        made((1, 4, 5)),
        made((4, 5)),
    ]
    added = [leaf, made((4,)), made((4, 1)), made(()), made((2, 4)), made((4, 4), tg.float64), 1.0]
    scales: list[dict[str, Any]] = [{}, {"beta": 2.0}, {"alpha": 0.5}, {"beta": 0}, {"alpha": 0}]
    scales += [{"beta": 1, "alpha": 1.0}, {"beta": True}, {"alpha": tg.tensor(2.0)}, {"gamma": 1}]
    for x in added:
        for y in matrices[:4]:
            for z in matrices:
                for options in scales:
                    assert_alike("addmm", [x, y, z], options)
                    assert_alike("addmv", [x, y, z], options)
    for x in (made((2, 3, 5)).requires_grad_(), made((5,)), made((3, 5)), made((2, 3))):
        for y in stacks:
            for z in stacks:
                for options in scales:
                    assert_alike("baddbmm", [x, y, z], options)
    assert_alike("addmm", [leaf, leaf], {"mat2": leaf, "beta": 3})
    assert_alike("addmm", [leaf, leaf, leaf, 2], {})


def test_of_three_tensors() -> None:
    for x, y in pairs():
        for z in (y, made((4, 4)).requires_grad_(), 2.0):
            for options in (
                {},
                {"value": 0.5},
                {"value": 1},
                {"value": tg.tensor(2.0)},
                {"wrong": 1},
            ):
                assert_alike("addcmul", [x, y, z], options)
                assert_alike("addcdiv", [x, y, z], options)
        for weight in (0.3, 0.5, -2, 1, 0, True, math.nan, "a", tg.tensor(0.5), made((4, 4))):
            assert_alike("lerp", [x, y, weight], {})
        assert_alike("lerp", [x, y], {"weight": 0.7})
        for alpha in (2, 1, 0.5, True, math.nan, tg.tensor(2.0), "a"):
            assert_alike("add", [x, y], {"alpha": alpha})
            assert_alike("sub", [x, y], {"alpha": alpha})
            assert_alike("sub", [x, 2.0], {"alpha": alpha})


def test_elementwise() -> None:
    for x, y in pairs():
        for name in (
            "eq",
            "ne",
            "ge",
            "__eq__",
            "__ne__",
            "maximum",
            "minimum",
            "max",
            "logical_and",
        ):
            for other in (y, 2, 0.5, None, "a", True, [1], tg.tensor(1)):
                assert_alike(name, [x, other], {})
        assert_alike("maximum", [2.0, y], {})
        assert_alike("max", [x], {"other": y})
        for name in ("add", "sub", "div", "mul"):
            assert_alike(name, [x, y], {})
            assert_alike(name, [x, 2], {})
            assert_alike(name, [2.5, y], {})
        assert_alike("add", [x, y], {"alpha": 2})


IN_PLACE = ["add_", "sub_", "mul_", "div_", "copy_", "fill_", "zero_", "__setitem__"]
IN_PLACE += ["clamp_", "exp_", "masked_fill_", "neg_", "pow_", "relu_", "sqrt_", "lerp_", "floor_"]
OTHERS: list[Any] = [
    *[2, 0.5, True, None, 0, "self", "shifted", "first", made((4, 4)), made((4,)), made((16,))],
    *[made((4, 4), tg.float64), made((4, 4)).requires_grad_(), made((2, 4)), np.float32(2)],
]
GIVEN: dict[str, list[Call]] = {
    **{n: [call(), call(1)] for n in ("zero_", "exp_", "neg_", "relu_", "sqrt_", "floor_")},
    "__setitem__": [
        call(index, other)
        for index in [
            *[0, (..., s(1, 3)), s(None), (s(None), None), 9, -1, (), [0], made((4, 4)) > 0],
            *[tg.tensor([1, -1, 1]), (s(None), tg.tensor([0, 2])), tg.tensor([9]), s(0, 1)],
        ]
        for other in [*OTHERS, made((3, 4)), made((1, 4)).requires_grad_(), made((4, 2)).T.T]
    ],
    "clamp_": [call(-1, 1), call(min=0.5), call("self", 1), call(0, made((4, 4)).requires_grad_())],
    "lerp_": [call(other, 0.5) for other in OTHERS],
    "masked_fill_": [call(made((4, 4)) > 0, other) for other in OTHERS] + [call(made((4, 4)), 0)],
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    """On tensors, views, and what shares their memory, recorded or not."""

    def changed(method: Callable, kind: str, mode: Any, others: tuple, options: Any) -> Any:
        source = made((4, 4), tg.int64 if kind == "ints" else tg.float32)
        base = leaf = source.detach().clone()
        if kind in ("history", "leaf", "alone", "retained"):
            leaf = base.requires_grad_()
        if kind in ("history", "alone", "retained"):
            base = leaf * 1
        if kind == "retained":
            base.retain_grad()
        view = base.view(16)
        x = {"view": view, "strided": base.T, "part": base[1:3]}.get(kind, base)
        if kind == "fresh":
            x = source.detach().clone()
        if kind == "readonly":
            x._array.flags.writeable = False
        sharing = {"self": x, "shifted": base[2:], "first": view[:1]}
        others = tuple([sharing.get(str(other), other) for other in others])
        if kind in ("alone", "retained"):
            view = sharing = source  # of which nothing is left
        saving = x * x
        try:
            with mode():
                result = method(x, *others, **options)
        except Exception as error:
            result = type(error), str(error)
        tensors = [x, base, view, saving]
        states = [seen(t, tensors) for t in tensors]
        owner = x._storage and (x._storage.changed_by, x._storage.changed_at > 0)
        gradients = None
        if not x.is_leaf and leaf.requires_grad:
            try:
                gradients = seen(tg.autograd.grad((x * x).sum(), leaf)[0], [])
            except RuntimeError as error:
                gradients = str(error)
        return "itself" if result is x else result, states, owner, gradients

    kinds = ["fresh", "base", "view", "strided", "part", "history", "leaf", "ints", "readonly"]
    door = door_of(name)
    for kind in [*kinds, "alone", "retained"]:
        for arguments, options in GIVEN.get(name, [call(other) for other in OTHERS]):
            for mode in (tg.enable_grad, tg.no_grad):
                case = (kind, mode, arguments, options)
                assert changed(door, *case) == changed(door.plain, *case), case
    x = made((2, 2))
    for args, options in (call(x, x, alpha=2), call(1.0, x), call(), call(x.requires_grad_(), x)):
        assert_alike(name, list(args), options)


def test_layer_norm() -> None:
    for dtype in DTYPES:
        x, w, b = made((3, 4), dtype), made((4,), dtype, 1), made((4,), dtype, 2)
        if x.is_floating_point():
            x, w = x.requires_grad_(), w.requires_grad_()
        for given in (
            [x, (4,)],
            [x, (4,), w, b],
            [x, [4], w],
            [x, 4, None, b],
            [x, (3, 4)],
            [x, (3,)],
        ):
            assert_alike("layer_norm", given, {})
            assert_alike("layer_norm", given, {"eps": 1e-3})
            assert_alike("layer_norm", given, {"eps": "a"})
        assert_alike("layer_norm", [x, (4,), w, b, 1], {})
        assert_alike("layer_norm", [x, (4,), b[:2], b], {})


def test_cross_entropy() -> None:
    for dtype in (tg.float32, tg.float64, tg.float16):
        for shape in ((4, 3), (1, 1), (64, 40), (3, 0), (0, 3)):
            logits = made(shape, dtype)
            logits = tg.where(logits.isfinite(), logits, 0.0).to(dtype)
            n = max(shape[1], 1)
            right = tg.tensor([i % n for i in range(shape[0])], dtype=tg.int64)
            wrong = tg.tensor([n if i == 1 else 0 for i in range(shape[0])], dtype=tg.int64)
            for x in (logits, logits.detach().requires_grad_(), logits * math.inf):
                for target in (right, wrong, right.to(tg.int32), right[:1], right.double(), 1):
                    for options in (
                        *({}, {"reduction": "sum"}, {"reduction": "none"}, {"reduction": "most"}),
                        *({"ignore_index": 0}, {"ignore_index": 0, "reduction": "sum"}),
                        *({"label_smoothing": 0.1}, {"size_average": False}),
                    ):
                        assert_alike("cross_entropy", [x, target], options)
                assert_alike("cross_entropy", [x, right, tg.ones(shape[1], dtype=dtype)], {})


def test_nll_loss() -> None:
    for dtype in DTYPES:
        for shape in ((4, 3), (1, 1), (3, 0), (0, 3), (4,), (2, 3, 4)):
            for x in (made(shape, dtype), made(shape).requires_grad_()):
                for target in ([0, 2, 1, 0], [0], [3, 0, 0, 0], [0, -100, 1, 1], [0.0] * 4):
                    for options in (
                        *({}, {"reduction": "sum"}, {"reduction": "none"}, {"reduction": "most"}),
                        *({"ignore_index": 0}, {"ignore_index": "a"}, {"weight": tg.ones(3)}),
                    ):
                        assert_alike("nll_loss", [x, tg.tensor(target)], options)


def test_linear() -> None:
    cube = made((2, 5, 3)).requires_grad_()
    for x, y in [
        *pairs(),
        (cube, made((4, 3))),
        (cube.T, made((4, 2))),
        (made((0, 2, 3)), made((2, 3))),
    ]:
        n = y.shape[0] if y.ndim else 1
        for bias in (None, made((n,), x.dtype), made((n,)).requires_grad_(), made((3,)), made(())):
            assert_alike("linear", [x, y, bias], {})
            assert_alike("linear", [x], {"weight": y, "bias": bias})
    assert_alike("linear", [made((2, 2)), 2], {})


def test_mse_loss() -> None:
    for x, y in pairs():
        for options in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"reduction": "most"}):
            assert_alike("mse_loss", [x, y], options)
        assert_alike("mse_loss", [x, y, None, False], {})
        assert_alike("mse_loss", [x, 1.0], {})
    # The one primitive, whatever has run before: the bits of others differ.
    x = tg.arange(1000.0).sin().requires_grad_()
    (x - 1).square().mean().backward()
    for reduction in ("mean", "sum"):
        assert_alike("mse_loss", [x, x.detach().cos()], {"reduction": reduction})
        loss = tg.nn.functional.mse_loss(x, x.detach().cos(), reduction=reduction)
        assert loss.grad_fn.name() == "SquaredDistanceBackward"


def test_where() -> None:
    mask, method = made((4, 4), tg.bool), tg.Tensor.where
    for x, y in pairs():
        for condition in (mask, mask.T, mask[0], mask.to(tg.uint8), made((4, 4)), True):
            assert_alike("where", [condition, x, y], {})
        for number in (0.0, -1, math.inf, True, 1e300, math.nan):
            assert_alike("where", [mask, x, number], {})
            assert_alike("where", [mask, number, y], {})
            assert_alike("masked_fill", [x, mask, number], {})
            given = [x, mask, number]
            assert outcome(method, given, {}) == outcome(method.plain, given, {})
        given = [x, mask, y]
        assert outcome(method, given, {}) == outcome(method.plain, given, {})
        assert_alike("where", [mask], {"input": x, "other": y})
    assert_alike("where", [mask], {})


SIZES_MADE = [
    *[call(*n) for n in ((), (3,), (2, 3), (0, 3), (-1,), (2.0,), (True,), (1,) * 9, (2**62,))],
    *[
        call((2, 3)),
        call([2, 3]),
        call(tg.Size((2, 3))),
        call((2, 3), 1),
        call(size=(2,)),
        call("a"),
    ],
    *[
        call(2, dtype=d)
        for d in (*DTYPES, tg.int32, np.dtype(">f4"), np.uint16, "float64", None, 1)
    ],
    *[call(2, device=d) for d in ("cpu", tg.device("cpu"), tg.device("emulated"), None, "nowhere")],
    *[call(2, requires_grad=r) for r in (True, False, 1, None)],
    *[call(2, out=tg.ones(2)), call(2, layout=tg.strided), call(2, wrong=1)],
]
LIKE = [
    *[
        call(),
        call(dtype=tg.int64),
        call(dtype="half"),
        call(device="cpu"),
        call(requires_grad=True),
    ],
    *[call(1), call(memory_format=tg.preserve_format), call(wrong=1), call(dtype=None)],
]
NUMBERS = [0, 1.5, -1, True, math.inf, math.nan, 1e39, 2**60, 2**64, "a", None, np.float64(2), [1]]
MADE: dict[str, list[Call]] = {
    **dict.fromkeys(["empty", "ones", "zeros"], SIZES_MADE),
    "full": [
        *[call(size, n) for size in ((2, 3), [2], (), 3, -1, (-1,)) for n in NUMBERS],
        *[call((2,), n, dtype=d) for n in NUMBERS for d in (*DTYPES, tg.uint8)],
        *[call((2,), fill_value=1.0), call(size=(2,), fill_value=1), call((2,)), call((2,), 1, 2)],
        *[call((2,), 1.0, requires_grad=True), call((2,), tg.ones(()))],
    ],
    "arange": [
        *[call(*n) for n in ((5,), (0,), (-1,), (1, 5), (5, 1), (0, 7, 3), (0, 7, 0), (0, -5, -2))],
        *[
            call(5.0),
            call(0, 1, 0.25),
            call(True),
            call("a"),
            call(),
            call(0, 1, 2, 3),
            call(end=3),
        ],
        *[call(5, dtype=d) for d in (tg.int64, tg.float32, tg.int32, None)],
        *[
            call(5, device="cpu"),
            call(5, requires_grad=True),
            call(-(2**63), 2**63 - 1),
            call(2**70),
        ],
    ],
    "tensor": [
        *[call(n) for n in NUMBERS],
        *[call([n, 1]) for n in NUMBERS],
        *[call([n, 1.5], dtype=d) for n in NUMBERS for d in (*DTYPES, None)],
        *[call(n) for n in ([[1, 2], [3, 4]], [[1.0], (2.0,)], ((1, 2), (3, 4)), [[1, 2], [3]])],
        *[call(n) for n in ([], [[]], [1, [2]], [[1], 2], [[1, 2], 3], [tg.ones(())], np.ones(2))],
        *[call(n) for n in ([1.5, None], ["a"], [[[[[[[[[1.0]]]]]]]]], {1: 2}, range(3))],
        *[call([1.0], requires_grad=True), call([1.0], device="cpu"), call(), call([1], [2])],
        *[call(data=[1.0]), call([1.0], dtype="half"), call(tg.ones(2)), call(-0.0)],
    ],
}


@pytest.mark.parametrize("default", DTYPES[:3])
@pytest.mark.parametrize("name", MADE)
def test_what_makes_tensors(name: str, default: Any) -> None:
    def shown(result: Any) -> Any:
        if name == "empty" and isinstance(result, tg.Tensor):
            result.detach().zero_()
        return result

    door = getattr(tg, name)
    tg.set_default_dtype(default)
    try:
        for device in ("cpu", "emulated"):
            for args, options in MADE[name]:
                with tg.device(device):
                    got = outcome(lambda *a, **o: shown(door(*a, **o)), list(args), options)
                    plain = outcome(lambda *a, **o: shown(door.plain(*a, **o)), list(args), options)
                assert got == plain, (args, options, device)
    finally:
        tg.set_default_dtype(tg.float32)


def test_what_makes_tensors_like_others() -> None:
    for name in ("zeros_like", "ones_like"):
        for x in (
            made((2, 3)),
            made((), tg.int64),
            made((3, 2)).T,
            made((0, 2)),
            made((1,) * 9),
            1.0,
        ):
            for args, options in LIKE:
                assert_alike(name, [x, *args], options)
    for emulated in (made((2, 3)).to("emulated"), made((2, 3), tg.float16)):
        assert_alike("zeros_like", [emulated], {})
    x = tg.empty_like(made((3, 2)).T)
    assert (x.shape, x.is_contiguous(), x.dtype) == ((2, 3), True, tg.float32)


def test_gather_and_index_select() -> None:
    square, cube = made((4, 4)), made((2, 3, 5))
    indices: list[Any] = [
        *[tg.tensor(i) for i in (0, [0, 1], [[0, 1], [3, 2]], [[4]], [[-1]], [[0] * 5] * 2, [])],
        *[tg.tensor([[[0], [1]]]), tg.zeros((2, 3, 0), dtype=tg.int64), tg.ones((1, 4)), None, [0]],
        *[tg.tensor([[1, 0, 3, 2]] * 4).T, tg.tensor([[0, 1]], dtype=tg.int32), tg.tensor([-1])],
        *[tg.tensor([1, 1, 0], dtype=d) for d in (tg.int64, tg.int32, tg.bool)],
    ]
    tensors = [square, square.T, cube, made(()), made((0, 3)), square.long(), square.half()]
    for x in [*tensors, square.detach().requires_grad_(), cube.detach().requires_grad_()]:
        for index in indices:
            for name in ("gather", "index_select"):
                for dim in (0, 1, -1, 3, True):
                    assert_alike(name, [x, dim, index], {})
                assert_alike(name, [x], {"dim": 0, "index": index})
                assert_alike(name, [x, 0], {"index": index, "wrong": 1})


def test_cat_and_stack() -> None:
    x, y = made((4, 4)), made((4, 4), seed=1)
    leaf = made((4, 4)).requires_grad_()
    lists: list[Any] = [
        *[[x], [x, y], (x, leaf), [leaf, leaf], [x, y.T], [x, made((2, 4))], [x, made((4, 2))]],
        *[[x, made((4,))], [made((0,)), x], [made((3,)), made((2,))], [made(()), made(())], [], x],
        *[[x, y.double()], [x, None], None, [x.to("emulated"), y.to("emulated")]],
        *[[x, y.to("emulated")], [made((2, 0)), made((2, 0))], [made((4, 4), tg.bool)] * 3],
        *[
            [made((2, 3, 4), tg.float16), made((2, 3, 4), tg.float16)],
            [leaf.exp(), leaf, leaf.exp()],
        ],
    ]
    for given in lists:
        for name in ("cat", "stack"):
            assert_alike(name, [given], {})
            for dim in (0, 1, -1, 2, -3, 4, True, 1.0, None):
                assert_alike(name, [given, dim], {})
                assert_alike(name, [given], {"dim": dim})


USUAL: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("sum", [made((4, 4))], {}),
    ("sum", [made((4, 4)), 1], {"keepdim": True}),
    ("mean", [made((3, 4)), -1, True], {}),
    ("reshape", [made((4, 4)), 2, -1], {}),
    ("view", [made((4, 4)), (16,)], {}),
    ("flatten", [made((4, 4)), 1], {}),
    ("squeeze", [made((3, 1, 2)), 1], {}),
    ("unsqueeze", [made((3,)), -1], {}),
    ("t", [made((3, 2))], {}),
    ("transpose", [made((3, 2)), 0, 1], {}),
    ("permute", [made((3, 2)), 1, 0], {}),
    ("__getitem__", [made((3, 2)), 1], {}),
    ("__getitem__", [made((3, 2)), (slice(None), slice(1, 2))], {}),
    ("split", [made((4, 4)), 2], {}),
    ("clamp", [made((4, 4)), -1, 1], {}),
    ("clamp", [made((4, 4))], {"min": 0.0}),
    ("matmul", [made((2, 3)), made((3, 2))], {}),
    ("__matmul__", [made((2, 3)), made((3, 2))], {}),
    ("matmul", [made((2, 2, 3)), made((3, 2))], {}),
    ("mm", [made((2, 3)), made((3, 2))], {}),
    ("bmm", [made((2, 2, 3)), made((2, 3, 2))], {}),
    ("fill_", [made((2, 3)), 1.0], {}),
    ("linear", [made((2, 3)), made((4, 3)), made((4,))], {}),
    ("where", [made((4, 4), tg.bool), made((4, 4)), made((4, 4))], {}),
    ("cat", [[made((4, 4)), made((2, 4))]], {}),
    ("stack", [[made((4, 4)), made((4, 4))], 1], {}),
    ("max", [made((4, 4)), 1], {}),
    ("min", [made((4, 4)), 0], {"keepdim": True}),
    ("argmax", [made((4, 4)), 1], {}),
    ("mT", [made((2, 3))], {}),
    ("contiguous", [made((2, 3))], {}),
    ("to", [made((2, 3)), tg.float32], {}),
    ("expand", [made((1, 3)), 2, -1], {}),
    ("select", [made((2, 3)), 0, 1], {}),
    ("narrow", [made((2, 3)), 1, 0, 2], {}),
    ("chunk", [made((2, 3)), 2], {}),
    ("unbind", [made((2, 3))], {}),
    ("masked_fill", [made((4, 4)), made((4, 4), tg.bool), -math.inf], {}),
    ("where", [made((4, 4), tg.bool), made((4, 4)), 0.0], {}),
    ("mse_loss", [made((4, 4)), made((4, 4))], {}),
    ("zero_", [made((4, 4))], {}),
    ("copy_", [made((4, 4)), made((4, 4))], {}),
    ("__setitem__", [made((4, 4)), 0, 1.0], {}),
    ("addmm", [made((4,)), made((3, 4)), made((4, 4))], {"beta": 0.5}),
    ("baddbmm", [made((2, 3, 3)), made((2, 3, 4)), made((2, 4, 3))], {}),
    ("mv", [made((3, 4)), made((4,))], {}),
    ("dot", [made((4,)), made((4,))], {}),
    ("outer", [made((4,)), made((3,))], {}),
    ("add", [made((4, 4)), made((4, 4))], {"alpha": 2}),
    ("addcmul", [made((4, 4)), made((4, 4)), made((4, 4))], {"value": 0.5}),
    ("lerp", [made((4, 4)), made((4, 4)), 0.3], {}),
    ("clamp_min", [made((4, 4)), 0], {}),
    ("clamp_max", [made((4, 4)), 0.5], {}),
    ("topk", [made((4, 4)), 2], {}),
    ("sort", [made((4, 4))], {"descending": True}),
    ("argsort", [made((4, 4)), 0], {}),
    ("max", [made((4, 4)), made((4, 4))], {}),
    ("tril", [made((4, 4))], {}),
    ("flip", [made((4, 4)), 0], {}),
    ("roll", [made((4, 4)), 1, 0], {}),
    ("nll_loss", [made((4, 4)), tg.tensor([0, 1, 2, 3])], {}),
    ("logsumexp", [made((4, 4)), 1], {}),
    ("cumsum", [made((4, 4)), 1], {}),
    ("gather", [made((4, 4)), 0, tg.tensor([[0, 1, 2, 3]])], {}),
    ("index_select", [made((4, 4)), 1, tg.tensor([0, 1])], {}),
    ("__getitem__", [made((4, 4)), tg.tensor([0, 1])], {}),
    ("__getitem__", [made((4, 4)), made((4, 4)) > 0], {}),
    ("__setitem__", [made((4, 4)), tg.tensor([0, 1]), 0.0], {}),
    ("max", [tg.ones((4, 4))], {}),
    ("amax", [tg.ones((4, 4)), 1], {}),
    ("prod", [tg.ones((4, 4))], {}),
    ("any", [made((4, 4)) > 0], {}),
    ("all", [made((4, 4)), 1], {}),
    ("var", [made((4, 4)), 1], {}),
    ("std", [made((4, 4))], {}),
    ("norm", [made((4, 4))], {"dim": 1}),
    ("argmax", [made((4, 4))], {}),
    ("clone", [made((4, 4))], {}),
    ("double", [made((4, 4))], {}),
    ("long", [tg.ones((4, 4))], {}),
    ("to", [made((4, 4))], {"dtype": tg.float64}),
    ("zeros", [2, 3], {}),
    ("ones", [(2, 3)], {"dtype": tg.int64}),
    ("empty", [2], {"device": None}),
    ("full", [(2, 3), 1.5], {}),
    ("arange", [10], {}),
    ("tensor", [[[1.0, 2.0], [3.0, 4.0]]], {}),
    ("zeros_like", [made((2, 3))], {}),
    ("softmax", [made((4, 4)), -1], {}),
    ("log_softmax", [made((4, 4))], {"dim": 1}),
    ("pow", [made((4, 4)), 2], {}),
    ("pow", [made((4, 4)), 3.0], {}),
    ("relu", [made((4, 4))], {"inplace": False}),
    ("silu", [made((4, 4)), False], {}),
    ("gelu", [made((4, 4))], {}),
    ("gelu", [made((4, 4)), "tanh"], {}),
    ("add", [made((4, 4)), made((4, 4))], {}),
    ("sub", [made((4, 4)), 1], {}),
    ("div", [made((4, 4)), 2.0], {}),
    ("layer_norm", [made((4, 4)), (4,), made((4,)), made((4,))], {}),
    ("cross_entropy", [made((4, 4)), tg.tensor([0, 1, 2, 3])], {}),
]


def refuse(*args: Any, **options: Any) -> Any:
    raise AssertionError("the door was shut")


@pytest.mark.parametrize(("name", "args", "options"), USUAL)
def test_usual_calls_are_served(name: str, args: list[Any], options: dict[str, Any]) -> None:
    forget_implementations()  # what other tests have looked up
    door_of(name)(*args, **options)  # looks up what runs
    function = door_of(name).plain
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    key = f"{function.__module__.removeprefix('tapegrad.ops.')}.{function.__name__}"
    used = [(getattr(tensor_xp, p), bodies.get(p)) for p in accelerator.compiled.doors[key]]
    accelerator.compiled.Door(key, refuse, None, None, used)(*args, **options)


def test_arithmetic_in_place_is_served_before_any_other() -> None:
    code = (
        "import tapegrad as tg; x = tg.ones(3); x.mul_(2);"
        "from tapegrad.ops.indexing import inplace; inplace._change_at_once = None;"
        "x.mul_(2); print(x.tolist(), x._version)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[4.0, 4.0, 4.0] 2\n", done.stderr


def test_a_door_is_the_function_it_stands_for() -> None:
    assert tg.sum.__name__ == "sum"
    assert tg.sum.__doc__ == tg.sum.__wrapped__.__doc__
    assert pickle.loads(pickle.dumps(tg.sum)) is tg.sum
    assert "function" in repr(tg.sum)
    assert tg.sum in loaded.values()


def test_what_is_made_of_a_function_has_no_door_of_its_own() -> None:
    x = made((4, 4))
    for copied in (tg.narrow_copy(x, 0, 0, 2), tg.expand_copy(x, (2, 4, 4)), tg.t_copy(x)):
        assert not np.shares_memory(copied._array, x._array)


def test_autocast_shuts_doors() -> None:
    x = made((4, 4))
    with tg.autocast("cpu", dtype=tg.bfloat16):
        assert tg.matmul(x, x).dtype is tg.bfloat16
        assert (x @ x).dtype is tg.bfloat16
    assert tg.matmul(x, x).dtype is tg.float32


def test_views_of_many_views() -> None:
    """What a storage knows of its views is cleared now and then, not lost."""
    x = made((4, 4)).requires_grad_().exp()
    kept = [x.view(16) for _ in range(5)]
    for _ in range(100):
        x.view(16)
    assert len(x._storage.aliases) <= 32
    assert all(any(ref() is v for ref in x._storage.aliases) for v in kept)
    x.add_(1)
    assert all(v.grad_fn.name() != "ReshapeBackward" for v in kept)  # they were renewed


def test_no_warnings() -> None:
    """NumPy, called from C, would lay its warnings to the line of the user's program."""
    x = tg.full((100, 100), 3e38)
    with warnings.catch_warnings(record=True) as seen_:
        warnings.filters.append(("always", None, Warning, None, 0))
        assert not quiet.noisy()
        for _ in range(2):
            x * 10, x.exp(), x @ x, x.log(), x.sqrt(), F.linear(x, x, x[0]), x / 0, x - x * 2
    assert not seen_
