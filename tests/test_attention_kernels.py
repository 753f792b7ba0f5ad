"""Attention by its own kernels: where they are used, that results and gradients are right wherever
heads lie, that no array of scores is made; and what its bank conflicts are."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import kernels
from tapegrad.core.devices import PlainOperations
from tapegrad.ops.layers import flash_attention

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")

attend = tg.nn.functional.scaled_dot_product_attention
BOTH = ["attention_forward", "attention_backward"]
ROUNDING = {tg.float32: 2.0**-20, tg.float16: 2.0**-9, tg.bfloat16: 2.0**-6}
DEVICES = pytest.mark.parametrize(
    "device", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)]
)
DTYPES = pytest.mark.parametrize("dtype", ROUNDING, ids=str)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The launchers that attention calls, and "copy" for what is copied for them."""
    seen: list[str] = []

    def launch(device: Any, name: str, *rest: Any) -> Any:
        seen.append(name)
        return kernels.launch(device, name, *rest)

    def with_gaps(*given: Any) -> Any:
        seen.append("copy")
        return copied(*given)

    copied = flash_attention.with_gaps
    monkeypatch.setattr(flash_attention, "launch", launch)
    monkeypatch.setattr(flash_attention, "with_gaps", with_gaps)
    return seen


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def wide(x: Any) -> np.ndarray:
    return x.detach().to(tg.float64).numpy(force=True)


def both(where: str, made: Any, dtype: Any, **options: Any) -> tuple[list, list]:
    """Results and gradients there, and in float64 on the CPU."""
    found = []
    for device, kind in ((where, dtype), ("cpu", tg.float64)):
        seeds = iter(range(9))
        leaves = []

        def number(*shape: int, device: str = device, kind: Any = kind, leaves: Any = leaves,
                   seeds: Any = seeds) -> Any:  # fmt: skip
            leaf = tg.tensor(drawn(*shape, seed=next(seeds)).astype("float32")).to(dtype).to(kind)
            leaf = leaf.to(device).requires_grad_()
            leaves.append(leaf)
            return leaf

        given = made(number)
        chosen = {
            name: value(device, kind) if callable(value) else value
            for name, value in options.items()
        }
        tg.manual_seed(5)
        y = attend(*given, **chosen)
        g = tg.tensor(drawn(*y.shape, seed=99).astype("float32"), device=device).to(y.dtype)
        found.append([wide(y), *(wide(x) for x in tg.autograd.grad(y, leaves, g))])
    return found[0], found[1]


def close(found: list, expected: list, dtype: Any) -> None:
    for mine, exact in zip(found, expected, strict=True):
        assert mine.shape == exact.shape
        limit = ROUNDING[dtype]
        np.testing.assert_allclose(mine, exact, rtol=2 * limit, atol=limit * (1 + abs(exact).max()))


def mask_of(array: np.ndarray) -> Any:
    """Of bools, or of numbers of the query's dtype."""
    return lambda device, kind: (
        tg.tensor(array, device=device) if array.dtype == bool
        else tg.tensor(array.astype("float32"), device=device).to(kind)
    )  # fmt: skip


def heads_of_one_matrix(n: Any) -> Any:
    """As a GPT has them: q, k and v are parts of the same rows."""
    return [x.view(2, 9, 3, 32).transpose(1, 2) for x in n(2, 9, 3 * 96).chunk(3, dim=2)]


SOME = drawn(7, 9, seed=7) < 0.5
BLIND = SOME & (np.arange(7)[:, None] != 2)
# name: (query, key and value made of numbers, options, what is copied)
PLACES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "plain": (lambda n: (n(2, 3, 7, 32), n(2, 3, 9, 32), n(2, 3, 9, 32)), {}, 0),
    "one head": (lambda n: (n(7, 32), n(9, 32), n(9, 32)), {}, 0),
    "no batch": (lambda n: (n(3, 7, 32), n(3, 9, 32), n(3, 9, 32)), {"scale": -0.5}, 0),
    "heads": (heads_of_one_matrix, {"is_causal": True}, 0),
    "odd rows": (lambda n: (n(2, 7, 37), n(2, 9, 37), n(2, 9, 37)), {}, 7),
    "one batch for all": (lambda n: (n(2, 3, 7, 32), n(1, 3, 9, 32), n(1, 3, 9, 32)), {}, 0),
    "causal": (
        lambda n: (n(1, 1, 17, 32), n(1, 1, 33, 32), n(1, 1, 33, 32)), {"is_causal": True}, 0,
    ),
    "grouped": (
        lambda n: (n(2, 6, 7, 32), n(2, 2, 9, 32), n(2, 2, 9, 32)),
        {"enable_gqa": True, "is_causal": True},
        0,
    ),
    "one head for all": (
        lambda n: (n(3, 7, 32), n(1, 9, 32), n(1, 9, 32)),
        {"enable_gqa": True, "dropout_p": 0.25},
        0,
    ),
    "bools": (
        lambda n: (n(2, 3, 7, 32), n(2, 3, 9, 32), n(2, 3, 9, 32)),
        {"attn_mask": mask_of(BLIND)},
        0,
    ),
    "numbers": (
        lambda n: (n(2, 3, 7, 32), n(2, 3, 9, 32), n(2, 3, 9, 32)),
        {"attn_mask": mask_of(drawn(2, 1, 1, 9)), "dropout_p": 0.25},
        0,
    ),
}  # fmt: skip


@DEVICES
@DTYPES
@pytest.mark.parametrize("place", PLACES)
def test_attention_is_right_wherever_heads_lie(
    launched: list[str], place: str, dtype: Any, device: str
) -> None:
    made, options, copies = PLACES[place]
    found, exact = both(device, made, dtype, **options)
    assert [name for name in launched if name != "copy"] == BOTH
    assert launched.count("copy") == copies
    close(found, exact, dtype)


@DEVICES
@pytest.mark.parametrize("dtype", [tg.float32, tg.bfloat16], ids=str)
def test_the_least_number_hides_no_key(dtype: Any, device: str) -> None:
    """A query all of whose keys it is added to looks at all of them alike."""
    hidden = mask_of(np.where(BLIND, 0.0, float(tg.finfo(dtype).min)))
    made = PLACES["plain"][0]
    found, exact = both(device, made, dtype, attn_mask=hidden)
    close(found, exact, dtype)
    assert abs(exact[0][:, :, 2]).min() > 0


@DEVICES
def test_scores_that_are_infinite_are_not_hidden(device: str) -> None:
    x = tg.full((1, 2, 3, 32), 1e20, device=device)
    assert attend(x, -x, x).isnan().all()


@DEVICES
def test_few_weights_are_kept_in_16_bits(device: str) -> None:
    """One in 100,000 is kept, and is as many times as large: more than float16 holds."""
    q = tg.full((1, 1, 64, 8), 0.01, device=device, dtype=tg.float16)
    v = tg.full((1, 1, 8192, 8), 2.0**-10, device=device, dtype=tg.float16).requires_grad_()
    k = tg.zeros_like(v)
    tg.manual_seed(1)
    y = attend(q, k, v, dropout_p=1 - 1e-5)
    (g,) = tg.autograd.grad(y.sum(), v)
    assert y.isfinite().all()
    assert y.any()
    assert g.isfinite().all()


def test_gradients_of_grouped_heads_are_rounded_once() -> None:
    q, k, v = (tg.tensor(drawn(*s, seed=i).astype("float32")).bfloat16().requires_grad_()
               for i, s in enumerate([(1, 64, 5, 8), (1, 1, 5, 8), (1, 1, 5, 8)]))  # fmt: skip
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    for leaves in ([q, k, v], exact):
        attend(*leaves, enable_gqa=True).sum().backward()
    for mine, wide_one in zip((q, k, v), exact, strict=True):
        np.testing.assert_allclose(wide(mine.grad), wide(wide_one.grad), rtol=2.0**-8, atol=2.0**-9)


def test_results_lie_as_queries_do() -> None:
    rows = [drawn(2, 9, 96).astype("float32") for _ in range(3)]
    leaves = [tg.tensor(x, device="emulated").view(2, 9, 3, 32).transpose(1, 2) for x in rows]
    leaves = [part.detach().requires_grad_() for part in leaves]
    y = attend(*leaves)
    assert y.transpose(1, 2).is_contiguous()
    for gradient in tg.autograd.grad(y, leaves, tg.ones_like(y)):
        assert gradient.transpose(1, 2).is_contiguous()


def test_gradients_of_the_parts_of_one_array_make_up_its_gradient() -> None:
    """However they are taken."""
    numbers = drawn(2, 9, 3 * 96).astype("float32")
    takes = (
        lambda x: (part.view(2, 9, 3, 32).transpose(1, 2) for part in x.chunk(3, dim=2)),
        lambda x: x.view(2, 9, 3, 3, 32).permute(2, 0, 3, 1, 4).unbind(0),
        lambda x: x.view(2, 9, 3, 3, 32).permute(0, 3, 1, 2, 4).unbind(3),
    )
    for take in takes:
        found = []
        for device in ("emulated", "cpu"):
            x = tg.tensor(numbers, device=device, dtype=tg.bfloat16, requires_grad=True)
            attend(*take(x)).square().sum().backward()
            found.append(x.grad.float())
        np.testing.assert_allclose(found[0].cpu().numpy(), found[1].numpy(), rtol=0.02, atol=0.02)


def test_what_has_no_kernel_is_composed(launched: list[str]) -> None:
    def zeros(*shape: int, dtype: Any = tg.float32) -> Any:
        return tg.zeros(*shape, device="emulated", dtype=dtype)

    for q, k, v in (
        (zeros(1, 2, 3, 8, dtype=tg.float64), *[zeros(1, 2, 4, 8, dtype=tg.float64)] * 2),
        (zeros(1, 2, 3, 257), zeros(1, 2, 4, 257), zeros(1, 2, 4, 257)),
        (zeros(1, 2, 3, 31), zeros(1, 2, 4, 31), zeros(1, 2, 4, 31)),
        (zeros(1, 2, 3, 32), zeros(1, 2, 4, 32), zeros(1, 2, 4, 33)),
        (zeros(1, 1, 2, 3, 32), *[zeros(1, 1, 2, 4, 32)] * 2),
        (zeros(1, 2, 0, 32), *[zeros(1, 2, 4, 32)] * 2),
        (zeros(1, 2, 3, 32), *[zeros(1, 2, 0, 32)] * 2),
    ):
        y = attend(q, k, v)
        assert y.shape == (*q.shape[:-1], v.shape[-1])
        assert not y.any()
    attend(*[zeros(1, 2, 3, 32)] * 3, dropout_p=1.0)
    attend(zeros(1, 4, 3, 32), *[zeros(1, 2, 3, 32)] * 2, dropout_p=1.0, enable_gqa=True)
    assert launched == []


@DEVICES
@DTYPES
def test_the_gradient_of_a_mask_is_composed(launched: list[str], dtype: Any, device: str) -> None:
    found = []
    for where, kind in ((device, dtype), ("cpu", tg.float64)):
        x, mask = (
            tg.tensor(drawn(*shape).astype("float32") / 2).to(dtype).to(kind).to(where)
            for shape in ((2, 5, 32), (5, 5))
        )
        y = attend(x, x, x, mask.requires_grad_(), dropout_p=0.0)
        (gradient,) = tg.autograd.grad((y * y).sum(), mask)
        found.append([wide(y), wide(gradient)])
    assert launched == BOTH[:1]
    close(*found, dtype)


@DEVICES
@pytest.mark.parametrize("grouped", [False, True])
def test_gradients_of_gradients(grouped: bool, device: str) -> None:
    """Through the composition, which the tape walks over."""
    found = []
    for where, kind in ((device, tg.float32), ("cpu", tg.float64)):
        q, k, v = (
            tg.tensor(drawn(*shape, seed=i).astype("float32")).to(kind).to(where).requires_grad_()
            for i, shape in enumerate([(1, 4, 5, 32)] + [(1, 2 if grouped else 4, 6, 32)] * 2)
        )
        tg.manual_seed(2)
        y = attend(q, k, v, is_causal=True, enable_gqa=grouped, dropout_p=0.2)
        first = tg.autograd.grad((y * y).sum(), (q, k, v), create_graph=True)
        total = sum(((x * x).sum() for x in first[1:]), (first[0] * first[0]).sum())
        found.append([wide(x) for x in (*first, *tg.autograd.grad(total, (q, k, v)))])
    close(*found, tg.float32)


def test_dropout_draws_what_it_draws_elsewhere() -> None:
    """The same weights are dropped on all devices, and the generator is as far afterwards."""
    found = []
    for device in ("emulated", "cpu"):
        x = tg.tensor(drawn(2, 9, 32).astype("float32"), device=device)
        tg.manual_seed(3)
        found.append([attend(x, x, x, dropout_p=0.5).numpy(force=True), tg.rand(3).numpy()])
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_layer_of_attention_uses_it(launched: list[str], need_weights: bool) -> None:
    found = []
    for device, kind in (("emulated", tg.float32), ("cpu", tg.float64)):
        tg.manual_seed(0)
        layer = tg.nn.MultiheadAttention(64, 2).to(device).to(kind)
        x = tg.tensor(drawn(5, 3, 64).astype("float32")).to(kind).to(device).requires_grad_()
        padding = tg.tensor(np.arange(5) > [[2], [4], [3]], device=device)
        y = layer(x, x, x, key_padding_mask=padding, need_weights=need_weights)[0]
        found.append([wide(y), *(wide(g) for g in tg.autograd.grad((y * y).sum(), x))])
    assert launched == ([] if need_weights else BOTH)
    close(*found, tg.float32)


def test_no_array_of_scores_is_made() -> None:
    length = 512
    q, k, v = (tg.tensor(drawn(length, 8), device="emulated").to(tg.bfloat16) for _ in range(3))
    q.requires_grad_()
    for options in ({}, {"is_causal": True, "dropout_p": 0.5}):
        tracemalloc.start()
        attend(q, k, v, **options).sum().backward()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < length * length / 2  # bytes, of which bools alone would take twice as many


def test_it_is_as_exact_as_the_composition() -> None:
    """With heads of 64: shorter sums lose less where each of them is rounded."""
    arrays = [drawn(1, 1, 65, 64, seed=i).astype("float32") for i in range(4)]
    given = {"scale": 0.125, "causal": False, "p": 0.0, "seed": 0, "offset": 0}
    plain, results = PlainOperations(), []
    for ops, (q, k, v, g) in (
        (tg.device("emulated").ops, arrays),
        (plain, arrays),
        (plain, [x.astype("float64") for x in arrays]),
    ):
        y, ends = ops["flash_attention"](q, k, v, None, **given)
        needs = (True, True, True, False)
        back = ops["flash_attention_backward"](g, q, k, v, None, y, ends, **given, needs=needs)
        results.append([y, *back[:3]])
    for mine, body, exact in zip(*results, strict=True):
        error, limit = (np.sqrt(np.mean((x - exact) ** 2)) for x in (mine, body))
        assert error <= limit


@pytest.mark.checked
@pytest.mark.parametrize("dtype", [tg.bfloat16, tg.float32], ids=str)
@pytest.mark.parametrize("dim", [64, 128, 256])
def test_no_access_to_shared_memory_meets_another_in_a_bank(dtype: Any, dim: int) -> None:
    with kernels.checked() as library:
        q, k, v = (
            tg.tensor(drawn(1, 1, 64, dim), device="emulated").to(dtype).requires_grad_()
            for _ in range(3)
        )
        library.count_bank_conflicts(True)
        attend(q, k, v).sum().backward()
        found = library.bank_conflicts()
        library.count_bank_conflicts(False)
    files = {re.sub(r".*/", "", place).partition(":")[0] for place, *_ in found}
    assert "tile.cuh" in files
    assert not [row for row in found if row[2] != row[3]]
