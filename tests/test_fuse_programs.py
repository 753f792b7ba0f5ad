"""Random programs, fused and as they are: values, dtypes, gradients, and which results have any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import _build
from tapegrad.core import native

pytestmark = pytest.mark.skipif(
    native.compiled is None or _build.find_cxx() is None,
    reason=f"loops: {native.status}, a C++ compiler: {_build.find_cxx()}",
)

# Of one tensor of floats; each keeps the numbers near 1, and its shape.
ONE: list[Callable] = [
    tg.tanh,
    tg.sigmoid,
    tg.sin,
    tg.cos,
    tg.atan,
    tg.erf,
    tg.neg,
    F.relu,
    F.silu,
    F.gelu,
    F.softplus,
    lambda x: x.clamp(-1, 1),
    lambda x: (x * 0.3).exp(),
    lambda x: x.abs().add(1).log(),
    lambda x: (x * x + 1).sqrt(),
    lambda x: 1 / (1 + x.abs()),
    lambda x: x.detach() - 0.5 * x,
    lambda x: x.clone().mul_(0.5).add_(x),
    lambda x: tg.where(x > 0.1, x, -x),
    lambda x: x.masked_fill(x < -0.5, 0.25),
    lambda x: F.softmax(x, -1),
    lambda x: F.log_softmax(x, -1).tanh(),
    lambda x: x - x.mean(-1, keepdim=True),
    lambda x: x - x.amax(-1, keepdim=True),
    lambda x: x * (x * x).mean(-1, keepdim=True).add(1e-3).rsqrt(),
    lambda x: (x - x.mean(-1, keepdim=True)) * (x.var(-1, keepdim=True) + 0.1).rsqrt(),
    lambda x: x[:, None].squeeze(1) * 0.7,
    lambda x: x.unsqueeze(-1).flatten(-2) + 0.1,
    lambda x: x + x.sum(-1, keepdim=True).tanh(),
]
TWO: list[Callable] = [
    tg.add,
    tg.sub,
    tg.mul,
    tg.maximum,
    tg.minimum,
    lambda a, b: a / (b.abs() + 1),
    lambda a, b: tg.where(a < b, a, b * 0.5),
    lambda a, b: tg.lerp(a, b, 0.3),
    lambda a, b: a.addcmul(b, a, value=-0.5),
    lambda a, b: tg.atan2(a, b.abs() + 0.5),
    lambda a, b: a * (b > 0),
]
SHAPES = [(5, 70), (70,), (1, 70), (5, 1), ()]
DTYPES = [tg.float64, tg.float64, tg.float32, tg.float16, tg.bfloat16]


def program(seed: int) -> Callable:
    """A function of five tensors that returns one to three."""

    def run(*given: Any) -> Any:
        random = np.random.default_rng(seed)
        known = [given[0] * 1.0, *given[1:]]
        for _ in range(random.integers(3, 14)):
            if random.random() < 0.4:
                a, b = (known[i] for i in random.integers(0, len(known), 2))
                known.append(TWO[random.integers(len(TWO))](a, b))
                continue
            x = known[random.integers(0, len(known))]
            if x.ndim == 2:
                known.append(ONE[random.integers(len(ONE))](x))
        results = [x + 0 for x in known[-random.integers(1, 4) :]]
        return results[0] if len(results) == 1 else tuple(results)

    return run


def outcome(function: Callable, seed: int, device: str) -> list[tuple]:
    random = np.random.default_rng(seed + 1)
    dtype = DTYPES[random.integers(len(DTYPES))]
    given = []
    for shape in SHAPES:
        t = tg.tensor(random.standard_normal(shape)).to(device, dtype)
        given.append(t.requires_grad_(bool(random.random() < 0.7)))
        if len(shape) == 2 and random.random() < 0.3:  # columns first in memory
            given[-1] = t.detach().t().contiguous().t().requires_grad_(t.requires_grad)
    made = function(*given)
    results = made if isinstance(made, tuple) else (made,)
    total = sum((y.double() * (i + 1)).sum() for i, y in enumerate(results) if y.requires_grad)
    if isinstance(total, tg.Tensor):
        total.backward()
    found = [(y.dtype, y.requires_grad, y.detach()) for y in results]
    found += [(t.dtype, t.grad is not None, t if t.grad is None else t.grad) for t in given]
    return [(dtype, flag, t.detach().cpu().double().numpy()) for dtype, flag, t in found]


# By the digits of the dtype, and by how many steps round.
ALLOWED = {"float64": 1e-11, "float32": 2e-4, "float16": 0.06, "bfloat16": 0.4}


@pytest.mark.parametrize(
    ("seed", "device"), [(i, "emulated" if i % 8 == 7 else "cpu") for i in range(40)]
)
def test_random_programs_compute_what_they_do_unfused(seed: int, device: str) -> None:
    function = program(seed)
    plain, found = (outcome(f, seed, device) for f in (function, tg.fuse(function)))
    assert len(found) == len(plain)
    for (dtype, flag, right), (own_dtype, own_flag, values) in zip(plain, found, strict=True):
        assert (own_dtype, own_flag) == (dtype, flag)
        assert values.shape == right.shape
        np.testing.assert_array_equal(np.isnan(values), np.isnan(right))
        right, values = (a[np.isfinite(right)] for a in (right, values))
        scale = np.abs(right).max(initial=1)
        assert np.abs(values - right).max(initial=0) <= ALLOWED[dtype.name] * scale
