"""What docs/differences.md says: each row, shown on both libraries.

A test's docstring is its row's first cell, without the markup, so that neither can change alone.
"""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.checkpoint import CheckpointError
from tapegrad.ops.sampling.implicit import standard_gamma_slope

torch = pytest.importorskip("torch", exc_type=ImportError)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "differences.md"
ABSENT = (AttributeError, TypeError, RuntimeError)


def gradient(lib: Any, function: Callable, values: list, times: int = 1) -> list:
    """The gradient of a function's sum in float64, or the gradient of that gradient's sum."""
    x = lib.tensor(values, dtype=lib.float64, requires_grad=True)
    y = function(x)
    for left in reversed(range(times)):
        (y,) = lib.autograd.grad(y.sum(), x, create_graph=left > 0)
    return y.tolist()


def on_both(function: Callable[[Any], Any]) -> tuple[Any, Any]:
    return function(tg), function(torch)


def rows() -> list[str]:
    """The first cells of the page's tables, as plain text."""
    found = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    return [cell.replace("`", "") for cell in found if not set(cell) <= set("-") and cell != "What"]


def test_every_row_of_the_page_is_tested_here():
    tests = [
        " ".join(f.__doc__.split()).replace("`", "")
        for name, f in globals().items()
        if name.startswith("test_") and f.__doc__
    ]
    assert sorted(rows()) == sorted(tests)


# ---------------------------------------------------------------------- what there is none of


def test_real_dense_tensors_only():
    """No complex, sparse or quantized tensors, no unsigned integers above 8 bits"""
    with pytest.raises(TypeError, match="no real number"):
        tg.tensor([1 + 2j])
    with pytest.raises(AttributeError):
        tg.ones(2, 2).to_sparse()
    with pytest.raises(TypeError):
        tg.zeros(2, dtype="uint16")
    assert not hasattr(tg, "quantize_per_tensor")


def test_no_fft():
    """No fft"""
    assert hasattr(torch, "fft")
    assert not hasattr(tg, "fft")


def test_row_major_only():
    """channels_last is taken for contiguous_format, but on GPUs by `to` and `contiguous`"""
    shape = (1, 2, 3, 4)
    assert torch.empty(shape, memory_format=torch.channels_last).stride() == (24, 1, 8, 2)
    assert tg.empty(shape, memory_format=tg.channels_last).stride() == (24, 12, 4, 1)
    assert tg.empty(shape).to(memory_format=tg.channels_last).stride() == (24, 12, 4, 1)
    on_gpus = tg.empty(shape, device="emulated")
    assert on_gpus.to(memory_format=tg.channels_last).stride() == (24, 1, 8, 2)
    assert on_gpus.contiguous(memory_format=tg.channels_last).stride() == (24, 1, 8, 2)
    with pytest.raises(RuntimeError, match="memory_format"):
        tg.empty(1, 1, 1, 1, memory_format="channels_last")


def test_names_of_what_is_not_done():
    """jit, compile, hub, onnx and their like are names under which nothing is
    compiled, downloaded or sent"""
    assert all(callable(f) for f in (torch.compile, torch.jit.trace, torch.hub.load))
    model = tg.nn.Linear(1, 1)
    assert tg.compile(model) is model
    assert tg.jit.trace(model, tg.ones(1)) is model
    for call in (tg.hub.load, tg.onnx.export):
        with pytest.raises(NotImplementedError, match=": "):
            call(model)


def test_objects_between_ranks_are_no_pickles():
    """`distributed` sends objects as JSON and arrays, and pickles only with `allow_pickle=True`"""
    tg.distributed.init_process_group("self")
    found = []
    with pytest.raises(TypeError, match="allow_pickle"):
        tg.distributed.all_gather_object(found, {1, 2})
    tg.distributed.all_gather_object(found, {1, 2}, allow_pickle=True)
    tg.distributed.destroy_process_group()
    assert found == [{1, 2}]


def test_parameters_without_a_gradient_on_ranks():
    """`DistributedDataParallel` raises in `backward` for parameters without a gradient, not in the
    next forward pass"""
    tg.distributed.init_process_group("self")
    model = tg.nn.ModuleList([tg.nn.Linear(1, 1), tg.nn.Linear(1, 1)])
    model.forward = model[0]
    parallel = tg.nn.parallel.DistributedDataParallel(model)
    with pytest.raises(RuntimeError, match=r"no gradient has reached 1\.weight, 1\.bias"):
        parallel(tg.ones(1, 1)).sum().backward()
    tg.distributed.destroy_process_group()


def test_files_are_no_pickles(tmp_path):
    """`save` writes safetensors or npz, with checksums; `load` reads what `torch.save` wrote,
    and never unpickles"""
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pt")
    assert tg.load(tmp_path / "w.pt")["w"].tolist() == [1]
    torch.save({"w": print}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="print"):
        tg.load(tmp_path / "w.pt")
    np.savez(tmp_path / "w.npz", w=np.array([print], dtype=object))
    with pytest.raises(CheckpointError):
        tg.load(tmp_path / "w.npz")


def test_modules_are_saved_by_their_states(tmp_path):
    """`save` takes a module within a dict, for its state; one alone it refuses"""
    path = tmp_path / "m.pt"
    torch.save({"model": torch.nn.Linear(1, 1)}, path)
    assert isinstance(torch.load(path, weights_only=False)["model"], torch.nn.Linear)
    tg.save({"model": tg.nn.Linear(1, 1)}, path)
    assert list(tg.load(path)["model"]) == ["weight", "bias"]
    with pytest.raises(TypeError, match="a dict in which it is"):
        tg.save(tg.nn.Linear(1, 1), path)


def test_no_gradients_are_dropped_by_pickles():
    """Only leaves are pickled"""
    assert pickle.loads(pickle.dumps(torch.ones(1, requires_grad=True) * 2)).is_leaf
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(tg.ones(1, requires_grad=True) * 2)
    assert pickle.loads(pickle.dumps(tg.ones(1, requires_grad=True))).requires_grad


# ---------------------------------------------------------------------- dtypes, shapes, strides


def test_dtypes_are_numpys():
    """A dtype is NumPy's: `x.dtype == "float32"` and `isinstance(x.dtype, np.dtype)`"""
    assert tg.ones(1).dtype == "float32"
    assert isinstance(tg.ones(1).dtype, np.dtype)
    assert torch.ones(1).dtype != "float32"


def test_attributes_of_dtypes():
    """A dtype has NumPy's attributes, `itemsize` and `kind`, not PyTorch's `is_floating_point`,
    `is_complex`, `is_signed`: ask the tensor"""  # (S01)
    x, theirs = tg.ones(1), torch.ones(1)
    assert x.dtype.itemsize == theirs.dtype.itemsize == 4
    assert x.dtype.kind == "f"
    for name in ("is_floating_point", "is_complex", "is_signed"):
        assert not hasattr(x.dtype, name)
        assert hasattr(theirs.dtype, name)
        assert getattr(x, name)() is getattr(theirs, name)()
    with pytest.raises(TypeError):
        type("dtype", (np.dtype,), {})


def test_parts_of_sizes():
    """`x.shape[1:]` and `x.shape + (1,)` are plain tuples"""
    assert type(tg.ones(2, 3).shape[1:]) is type(tg.ones(2).shape + (1,)) is tuple
    assert type(torch.ones(2, 3).shape[1:]) is torch.Size


def test_what_repr_shows():
    """repr shows the shape"""
    mine, theirs = on_both(lambda lib: repr(lib.ones(2)))
    assert "shape=(2,)" in mine
    assert "shape" not in theirs


def test_strides_of_copies():
    """clone, `*_like` and reductions are row-major where PyTorch keeps the order of strides"""
    for make in (lambda lib, x: x.clone(), lambda lib, x: lib.zeros_like(x)):
        mine, theirs = on_both(lambda lib, make=make: make(lib, lib.ones(2, 3).t()).stride())
        assert (mine, theirs) == ((2, 1), (1, 3))
    assert tg.ones(2, 3).t().exp().stride() == torch.ones(2, 3).t().exp().stride() == (1, 3)


def test_strides_of_nothing():
    """The strides of an empty tensor are zeros"""
    assert on_both(lambda lib: lib.ones(0, 3).stride()) == ((0, 0), (3, 1))


def test_bfloat16_leaves_as_numpy():
    """`numpy()` takes bfloat16, and `from_numpy` negative strides"""
    pytest.importorskip("ml_dtypes")
    assert tg.ones(1, dtype=tg.bfloat16).numpy().dtype == tg.bfloat16
    assert tg.from_numpy(np.arange(3.0)[::-1]).tolist() == [2, 1, 0]
    with pytest.raises(TypeError):
        torch.ones(1, dtype=torch.bfloat16).numpy()
    with pytest.raises(ValueError, match="negative"):
        torch.from_numpy(np.arange(3.0)[::-1])


# ---------------------------------------------------------------------- numbers


def test_other_random_numbers():
    """Random numbers for a seed are others, and the same on every device"""

    def draw(lib: Any, **options: Any) -> list:
        lib.manual_seed(0)
        return lib.randn(4, **options).tolist()

    mine, theirs = on_both(draw)
    assert mine != theirs
    assert draw(tg, device="emulated") == mine


def test_first_of_equals():
    """Of equal elements topk, kthvalue and sort give the first ones"""
    values = [1.0, 2, 2, 2, 1, 2]
    x, y = tg.tensor(values), torch.tensor(values)
    assert x.topk(3)[1].tolist() == [1, 2, 3]
    assert sorted(y.topk(3)[1].tolist()) != [1, 2, 3]
    assert x.sort()[1].tolist() == y.sort(stable=True)[1].tolist()
    assert x.kthvalue(3)[1].item() == 1


def test_special_functions():
    """Special functions are right to about 13 digits; some of PyTorch's to 8"""
    special = pytest.importorskip("scipy.special")
    x = np.array([1.5, -3.0])
    exact = special.airy(x)[0]
    ours = np.abs(tg.special.airy_ai(tg.tensor(x)).numpy() - exact).max()
    theirs = np.abs(torch.special.airy_ai(torch.tensor(x)).numpy() - exact).max()
    assert ours < 1e-13
    assert theirs > 1e-10


def test_implicit_gradients():
    """The gradients of gamma, beta and Dirichlet draws are right to ten digits"""
    special = pytest.importorskip("scipy.special")
    a, u, h = 3.0, 0.3, 1e-3
    x = special.gammaincinv(a, u)
    far, near = (special.gammaincinv(a + s, u) - special.gammaincinv(a - s, u) for s in (2 * h, h))
    exact = (8 * near - far) / (12 * h)
    concentration = tg.tensor(a, dtype=tg.float64)
    ours = standard_gamma_slope(tg.tensor(x), concentration).item()
    theirs = torch._standard_gamma_grad(
        torch.tensor(a, dtype=torch.float64), torch.tensor(x, dtype=torch.float64)
    ).item()
    assert abs(ours / exact - 1) < 1e-9
    assert abs(theirs / exact - 1) > 1e-6


def test_mode_of_kumaraswamy():
    """The mode of a Kumaraswamy distribution is where its density is largest"""
    ours, theirs = on_both(lambda lib: lib.distributions.Kumaraswamy(2.0, 3.0).mode.item())
    assert ours == pytest.approx((1 / 5) ** 0.5)
    assert np.isnan(theirs)


def test_divergences_broadcast():
    """`kl_divergence` broadcasts p and q of all pairs"""

    def divergence(lib: Any) -> Any:
        p = lib.distributions.Bernoulli(lib.tensor([0.1, 0.5]))
        return lib.distributions.kl_divergence(p, lib.distributions.Bernoulli(lib.tensor([[0.5]])))

    assert divergence(tg).shape == (1, 2)
    q = torch.distributions.Bernoulli(torch.full((3, 1), 0.5))
    with pytest.raises(IndexError):
        torch.distributions.kl_divergence(torch.distributions.Bernoulli(torch.ones(2) / 2), q)


def test_weights_are_computed_in_the_results_precision():
    """`cov` of float64 adds up float32 weights in float64"""
    values, weights = [[1.0, 2, 4], [3, 1, 5]], np.float32([0.1, 0.2, 0.3])
    exact = np.cov(values, aweights=weights.astype(np.float64))
    x = tg.cov(tg.tensor(values, dtype=tg.float64), aweights=tg.tensor(weights))
    y = torch.cov(torch.tensor(values, dtype=torch.float64), aweights=torch.tensor(weights))
    assert np.abs(x.numpy() - exact).max() < 1e-12 < 1e-9 < np.abs(y.numpy() - exact).max()


def test_sinc_near_0():
    """The gradients of sinc near 0 are right to the last digits"""

    def second(lib: Any, dtype: str) -> float:
        x = lib.tensor(0.001, dtype=getattr(lib, dtype), requires_grad=True)
        (slope,) = lib.autograd.grad(lib.sinc(x), x, create_graph=True)
        return lib.autograd.grad(slope, x)[0].item()

    exact = second(torch, "float64")
    assert second(tg, "float32") == pytest.approx(exact, rel=1e-6)
    assert abs(second(torch, "float32") / exact - 1) > 0.005


def test_quantile_of_many():
    """`quantile` takes any number of elements"""
    n = 2**24 + 1
    assert tg.quantile(tg.ones(n), 0.5).item() == 1
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(torch.ones(n), 0.5)


def test_multinomial_of_many():
    """`multinomial` draws from any number of classes"""
    weights = torch.zeros(2**24 + 1)
    weights[-1] = 1
    assert tg.multinomial(tg.from_numpy(weights.numpy()), 1).item() == 2**24
    with pytest.raises(RuntimeError, match="cannot exceed"):
        torch.multinomial(weights, 1)


def test_integers_and_numbers_outside_their_range():
    """Integers compare and compute with numbers outside their range as numbers do: uint8 1 > -1 is
    True, 5 // 256 is 0"""

    def above(lib: Any) -> bool:
        return (lib.tensor([1], dtype=lib.uint8) > -1).item()

    def quotient(lib: Any) -> int:
        return (lib.tensor([5], dtype=lib.uint8) // 256).item()

    assert on_both(above) == (True, False)
    assert quotient(tg) == 0
    with pytest.raises(RuntimeError, match="ZeroDivision"):
        quotient(torch)


def test_lengths_whose_squares_leave_the_range():
    """The norm of [3e30, 4e30] is 5e30, that of [3e-30, 4e-30] 5e-30"""

    def lengths(lib: Any) -> list:
        return [lib.tensor([3 * s, 4 * s]).norm().item() for s in (1e30, 1e-30)]

    mine, theirs = on_both(lengths)
    np.testing.assert_allclose(mine, [5e30, 5e-30], rtol=1e-6)
    assert theirs == [np.inf, 0]


def test_deviations_far_from_0():
    """Variances and normalisations of numbers far from 0 have all digits"""

    def normalized(lib: Any) -> list:
        x = lib.tensor([1e7, 1e7 + 1, 1e7 + 2] * 1000)
        return lib.nn.functional.layer_norm(x, (3000,))[:3].tolist()

    mine, theirs = on_both(normalized)
    exact = [-(1.5**0.5), 0, 1.5**0.5]
    np.testing.assert_allclose(mine, exact, rtol=2e-5, atol=1e-6)
    assert abs(theirs[0] - exact[0]) > 0.01


def test_distances_of_near_rows():
    """`cdist` of near rows has all digits"""

    def distance(lib: Any) -> float:
        a = lib.full((30, 1), 5126950000.0, dtype=lib.float64)
        return lib.cdist(a, a + 3)[0, 0].item()

    mine, theirs = on_both(distance)
    assert mine == 3
    assert theirs != 3


# ---------------------------------------------------------------------- images


def test_nearest_follows_the_factor():
    """interpolate by the nearest follows its factor in every shape, and so does its gradient"""

    def resized(lib: Any) -> list:
        image = lib.arange(6.0).reshape(1, 1, 1, 6)
        return lib.nn.functional.interpolate(image, scale_factor=(1.0, 1.16)).flatten().tolist()

    def slope(lib: Any) -> list:
        x = lib.tensor([[[1.0, 2.0]]], requires_grad=True)
        y = lib.nn.functional.interpolate(x, scale_factor=2.0016)
        assert y.tolist() == [[[1, 1, 1, 2]]]
        y.sum().backward()
        return x.grad.flatten().tolist()

    assert on_both(resized) == ([0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5])
    assert on_both(slope) == ([3, 1], [2, 2])


def test_antialiased_columns():
    """Antialiased resizing to a width of 1 also resizes the height"""

    def column(lib: Any) -> list:
        x = lib.tensor([[[[0.0, 0.0], [1.0, 1.0]]]])
        y = lib.nn.functional.interpolate(x, (4, 1), mode="bilinear", antialias=True)
        return y.flatten().tolist()

    assert on_both(column) == ([0, 0.25, 0.75, 1], [0, 0, 0, 0])


def test_bytes_are_not_mixed():
    """interpolate takes bytes by the nearest only"""

    def resized(lib: Any, mode: str) -> list:
        x = lib.tensor([[[[0, 255]]]], dtype=lib.uint8)
        return lib.nn.functional.interpolate(x, (1, 4), mode=mode).flatten().tolist()

    assert on_both(lambda lib: resized(lib, "nearest")) == ([0, 0, 255, 255],) * 2
    assert resized(torch, "bilinear") == [0, 64, 191, 255]
    with pytest.raises(RuntimeError, match="uint8"):
        resized(tg, "bilinear")


def test_fractional_windows_that_just_fit():
    """fractional_max_pool3d takes windows that just fit"""

    def pooled(lib: Any) -> tuple:
        x = lib.ones(1, 1, 2, 3, 3)
        return tuple(lib.nn.functional.fractional_max_pool3d(x, 2, (1, 1, 1)).shape)

    assert pooled(tg) == (1, 1, 1, 1, 1)
    with pytest.raises(RuntimeError, match="too large"):
        pooled(torch)


def test_convolution_of_nothing():
    """A convolution of no channels is its bias"""

    def shape(lib: Any) -> tuple:
        x, weight = lib.ones(1, 0, 4, 4), lib.ones(2, 0, 3, 3)
        return tuple(lib.nn.functional.conv2d(x, weight, lib.ones(2)).shape)

    assert on_both(shape) == ((1, 2, 2, 2), (1, 0, 2, 2))


# ---------------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", ["logsumexp", "logcumsumexp"])
def test_sums_of_zeros_in_logarithms(name):
    """The gradient of logsumexp and logcumsumexp over nothing but -inf is 0, not nan"""
    mine, theirs = on_both(
        lambda lib: gradient(lib, lambda x: getattr(x, name)(0), [-np.inf, -np.inf])
    )
    assert mine == [0, 0]
    assert np.isnan(theirs).all()


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_two_infinities_in_logarithms(name):
    """The gradient of logaddexp and logaddexp2 at two -inf is 0, of two inf a half each"""
    mine, theirs = on_both(
        lambda lib: gradient(lib, lambda x: getattr(lib, name)(x, x.detach()), [-np.inf, np.inf])
    )
    assert mine == [0, 0.5]
    assert np.isnan(theirs).all()


def test_shares_of_large_numbers():
    """The gradient of logsumexp adds up to 1"""

    def shares(lib: Any) -> list:
        x = lib.tensor([1e8, 1e8], requires_grad=True)
        x.logsumexp(0).backward()
        return x.grad.tolist()

    assert on_both(shares) == ([0.5, 0.5], [1, 1])


def test_limits_of_activations():
    """silu, gelu, mish and hardswish have their limits at infinities, and so have their
    gradients"""

    def ends(lib: Any) -> list:
        functional = lib.nn.functional
        silu = functional.silu(lib.tensor([-np.inf, np.inf])).tolist()
        slopes = [
            gradient(lib, f, [-np.inf, np.inf])
            for f in (functional.silu, functional.gelu, functional.mish, functional.hardswish)
        ]
        x = lib.tensor([-1e20, 1e20], requires_grad=True)
        functional.gelu(x, approximate="tanh").sum().backward()
        return [silu, *slopes, x.grad.tolist()]

    mine, theirs = on_both(ends)
    assert mine == [[0, np.inf], *[[0, 1]] * 5]
    assert np.isnan(theirs[0][0])
    assert np.isnan(theirs[1]).all()
    assert np.isnan(theirs[-1]).all()


@pytest.mark.parametrize("name", ["hypot", "atan2"])
def test_stopped_at_the_origin(name):
    """What a step further on stops stays stopped at hypot and atan2 of nothing but zeros"""

    def stopped(lib: Any) -> list:
        return gradient(
            lib, lambda x: (1 / getattr(lib, name)(x[0], x[1])).clamp(-3, 3), [0.0, 0.0]
        )

    mine, theirs = on_both(stopped)
    assert mine == [0, 0]
    assert np.isnan(theirs).all()


def test_matrices_with_infinities():
    """eigh, eigvalsh, svd and svdvals raise LinAlgError for infinities as for nan"""
    for name in ("eigh", "eigvalsh", "svd", "svdvals"):
        with pytest.raises(tg.linalg.LinAlgError, match="not finite"):
            getattr(tg.linalg, name)(tg.full((2, 2), np.inf))
    assert torch.linalg.svdvals(torch.full((2, 2), np.inf)).isnan().all()


def test_second_gradient_of_norms():
    """The second gradient of a norm at zeros is 0, not nan"""
    mine, theirs = on_both(
        lambda lib: gradient(lib, lambda x: lib.linalg.vector_norm(x), [0.0, 0.0], times=2)
    )
    assert mine == [0, 0]
    assert np.isnan(theirs).all()


def test_second_gradient_of_masked_sums():
    """The second gradient of `masked.logaddexp` where one term is masked out is 0, not nan"""

    def added(lib: Any) -> list:
        one, other = lib.tensor([False, True]), lib.tensor([True, False])
        return gradient(
            lib,
            lambda x: lib.masked.logaddexp(x, 2 * x, input_mask=one, other_mask=other),
            [1.0, 2.0],
            times=2,
        )

    mine, theirs = on_both(added)
    assert mine == [0, 0]
    assert np.isnan(theirs).all()


def test_gradient_of_a_product_that_is_not_finite():
    """The gradient of prod and cumprod is made of what the others are where the result is nan,
    infinite or zero"""

    def product(x: Any) -> Any:
        return x.prod()

    def last(x: Any) -> Any:
        return x.cumprod(0)[-1]

    inf, nan = math.inf, math.nan
    for f in (product, last):
        for values, expected in (
            ([nan, 2.0, 3.0], [6, nan, nan]),
            ([inf, 2.0, 3.0], [6, inf, inf]),
            ([0.0, nan, 3.0], [nan, 0, nan]),
            ([-inf, 2.0, 0.0], [0, nan, -inf]),
            ([1e-200, 1e-200, 3.0], [3e-200, 3e-200, 0]),
        ):
            np.testing.assert_allclose(gradient(tg, f, values), expected, rtol=1e-15)
        assert np.isnan(gradient(torch, f, [inf, 2.0, 3.0])[0])
    x = tg.tensor([[2.0, 0.0], [inf, nan], [3.0, 0.0]], dtype=tg.float32, requires_grad=True)
    x.unsqueeze(1).expand(3, 2, 2).prod((0, 1)).sum().backward()  # 2 inf 3 2 inf 3; 0 nan 0 0 ...
    np.testing.assert_array_equal(x.grad.numpy(), [[inf, nan], [inf * 2, nan], [inf, nan]])


def test_gradient_of_an_extreme_that_is_nan():
    """The gradient of amax and amin is that of the nans where the result is nan"""
    values = [1.0, np.nan, np.nan]
    for name in ("max", "min", "amax", "amin"):
        assert gradient(tg, lambda x, name=name: getattr(x, name)(), values) == [0, 0.5, 0.5]
    assert gradient(torch, lambda x: x.max(), values) == [0, 0.5, 0.5]
    assert np.isnan(gradient(torch, lambda x: x.amax(), values)).all()


def test_second_gradients_that_pytorch_lacks():
    """cdist and scaled_dot_product_attention have second gradients"""

    def distance(lib: Any) -> list:
        return gradient(lib, lambda x: lib.cdist(x[None], 3 * x[None] ** 2), [1.0, 2.0], 2)

    def attention(lib: Any) -> list:
        attend = lib.nn.functional.scaled_dot_product_attention
        return gradient(
            lib, lambda x: attend(*[x.reshape(1, 1, 2, 2)] * 3), [1.0, 2.0, 3.0, 4.0], 2
        )

    for function in (distance, attention):
        assert np.isfinite(function(tg)).all()
        with pytest.raises(RuntimeError, match="not implemented"):
            function(torch)


def test_gradients_that_are_asked_for_have_been_with_the_hooks():
    """autograd.grad(z, [x, y]) gives the gradient of y as y's hooks leave it, also where the walk
    goes on from y to x"""

    def found(lib: Any) -> list:
        x = lib.ones(1, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: g * 10)
        z = (y * 3).sum()
        alone = lib.autograd.grad(z, y, retain_graph=True)
        return [g.item() for g in (*alone, *lib.autograd.grad(z, [x, y]))]

    mine, theirs = on_both(found)
    assert mine == [30, 60, 30]
    assert theirs == [30, 60, 3]


def test_no_gradient_of_unique():
    """The result of unique does not require grad"""
    mine, theirs = on_both(lambda lib: lib.ones(2, requires_grad=True).unique())
    assert not mine.requires_grad
    assert theirs.requires_grad
    with pytest.raises(NotImplementedError):
        theirs.sum().backward()


def _changed_after(lib: Any, function: Callable, times: int) -> list:
    """Gradients through a function whose input is changed in place after the call."""

    def run(x: Any) -> Any:
        y = x * 1
        z = function(lib, y)
        y.add_(1)
        return z**2

    return gradient(lib, run, [[0.3, 0.7]], times)


def test_second_gradients_of_fused_operations():
    """Second gradients of fused operations need their inputs as they were"""

    def loss(lib: Any, y: Any) -> Any:
        return lib.nn.functional.cross_entropy(y, lib.tensor([0]))

    np.testing.assert_allclose(*on_both(lambda lib: _changed_after(lib, loss, 1)))
    assert _changed_after(torch, loss, 2)
    with pytest.raises(RuntimeError, match="cross_entropy"):
        _changed_after(tg, loss, 2)


def test_inputs_that_no_gradient_needs():
    """gather, pooling and bare convolution inputs may be changed after the call"""

    def gathered(lib: Any, y: Any) -> Any:
        return y.gather(1, lib.tensor([[0]]))

    assert _changed_after(tg, gathered, 1)
    assert _changed_after(tg, lambda lib, y: lib.nn.functional.avg_pool1d(y, 2), 1)
    with pytest.raises(RuntimeError, match="inplace"):
        _changed_after(torch, gathered, 1)


# ---------------------------------------------------------------------- views and changes in place


def test_data_counts_changes():
    """A change through `.data` counts: backward raises instead of using the new values"""

    def changed(lib: Any) -> list:
        x = lib.ones(1, requires_grad=True)
        y = x * x
        x.data.mul_(2)
        y.sum().backward()
        return x.grad.tolist()

    assert changed(torch) == [4]  # of x * x at 1
    with pytest.raises(RuntimeError, match="in place"):
        changed(tg)


@pytest.mark.parametrize("name", ["split", "unbind", "chunk"])
def test_parts_may_be_changed(name):
    """The results of split, chunk and unbind may be changed in place"""

    def changed(lib: Any) -> list:
        x = lib.ones(2, requires_grad=True)
        y = x * 1
        part, *_ = y.unbind() if name == "unbind" else getattr(y, name)(1)
        part.mul_(3)
        y.sum().backward()
        return x.grad.tolist()

    if name != "chunk":  # of one part there: a view like any other
        with pytest.raises(RuntimeError, match="multiple views"):
            changed(torch)
    assert changed(tg) == ([3, 3] if name == "chunk" else [3, 1])


def test_views_made_under_no_grad():
    """Views made under no_grad may be changed while the tape records"""

    def changed(lib: Any) -> list:
        x = lib.ones(2, requires_grad=True)
        y = x * 1
        with lib.no_grad():
            view = y[:1]
        view.mul_(3)
        y.sum().backward()
        return x.grad.tolist()

    assert changed(tg) == [3, 1]
    with pytest.raises(RuntimeError, match="no_grad mode"):
        changed(torch)


def test_memory_that_overlaps_itself():
    """A tensor whose elements share memory is never written to"""

    def changed(lib: Any) -> list:
        return lib.arange(4.0).unfold(0, 3, 1).mul_(2).tolist()

    assert changed(torch) != [[0, 2, 4], [2, 4, 6]]
    with pytest.raises(RuntimeError, match=r"clone\(\) it before writing"):
        changed(tg)


def test_sources_that_share_memory():
    """A source may share memory with what it is written to, `out=` included"""

    def moved(lib: Any) -> list:
        x = lib.arange(4.0)
        return x[1:].copy_(x[:-1]).tolist()

    assert moved(tg) == [0, 1, 2]
    x = tg.arange(3)
    assert tg.take(x, tg.tensor([2, 1, 0]), out=x).tolist() == [2, 1, 0]
    with pytest.raises(RuntimeError, match="single memory location"):
        moved(torch)


def test_memory_does_not_grow():
    """resize_ beyond its memory takes a tensor away from those that share it, and set_ beyond a
    storage raises"""

    def shared(lib: Any) -> list:
        x = lib.zeros(2)
        y = x.view(2)
        x.resize_(4)
        x.fill_(1)
        return y.tolist()

    assert on_both(shared) == ([0, 0], [1, 1])
    assert torch.zeros(0).set_(torch.ones(2).untyped_storage(), 1, (3,)).shape == (3,)
    with pytest.raises(RuntimeError, match=r"\[set_\] a storage of 2 elements has no tensor"):
        tg.zeros(0).set_(tg.ones(2).storage(), 1, (3,))


def test_inference_tensors_are_tensors():
    """Tensors made in inference_mode may be saved for backward"""

    def run(lib: Any) -> list:
        with lib.inference_mode():
            x = lib.ones(2)
        y = lib.ones(2, requires_grad=True)
        (x * y).sum().backward()
        return y.grad.tolist()

    assert run(tg) == [1, 1]
    with pytest.raises(RuntimeError, match="Inference tensors"):
        run(torch)


def test_loading_modules():
    """A module's state is loaded when all of its modules have agreed: an override of
    `_load_from_state_dict` still sees the old values after `super()`"""

    def seen(lib: Any) -> list:
        values = []

        class Watching(lib.nn.Linear):
            def _load_from_state_dict(self, *args: Any) -> None:
                super()._load_from_state_dict(*args)
                values.append(self.bias.item())

        net = lib.nn.Sequential(Watching(1, 1), lib.nn.Linear(1, 1))
        lib.nn.init.zeros_(net[0].bias)
        state = {**net.state_dict(), "0.bias": lib.ones(1)}
        net.load_state_dict(state)
        with pytest.raises(RuntimeError, match="size mismatch"):
            net.load_state_dict({**state, "0.bias": lib.zeros(1), "1.bias": lib.ones(2)})
        return [*values, net[0].bias.item()]

    assert on_both(seen) == ([0, 1, 1], [1, 0, 0])


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook")
def test_old_backward_hooks():
    """`register_backward_hook` is `register_full_backward_hook`"""

    def seen(lib: Any) -> list:
        shapes = []
        layer = lib.nn.Linear(3, 2)
        layer.register_backward_hook(
            lambda module, before, after: shapes.extend(tuple(g.shape) for g in before)
        )
        layer(lib.ones(4, 3, requires_grad=True)).sum().backward()
        return shapes

    assert on_both(seen) == ([(4, 3)], [(2,), (4, 3), (3, 2)])


def test_backward_hooks_and_changes_in_place():
    """What a module with backward hooks returns may be changed in place"""

    def called(lib: Any) -> int:
        calls: list[int] = []
        net = lib.nn.Sequential(lib.nn.Linear(1, 1), lib.nn.ReLU(inplace=True))
        net[0].register_full_backward_hook(lambda *args: calls.append(1))
        net(lib.ones(1, 1, requires_grad=True)).sum().backward()
        return len(calls)

    assert called(tg) == 1
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        called(torch)


def test_copies_of_parametrized_modules():
    """Removing a parametrization from a copy leaves it in the original"""

    def has_weight(lib: Any) -> bool:
        layer = lib.nn.utils.parametrizations.weight_norm(lib.nn.Linear(2, 2))
        twin = copy.deepcopy(layer)
        lib.nn.utils.parametrize.remove_parametrizations(twin, "weight")
        return hasattr(layer, "weight")

    assert on_both(has_weight) == (True, False)


def test_modules_are_neither_compiled_nor_shared():
    """`compile` and `share_memory` of a module change nothing"""
    layer = tg.nn.Linear(1, 1)
    pointer = layer.weight.data_ptr()
    assert layer.compile() is layer.share_memory() is layer
    assert layer.weight.data_ptr() == pointer
    assert torch.nn.Linear(1, 1).share_memory().weight.is_shared()


# ---------------------------------------------------------------------- arguments and errors


@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
def test_losses_do_not_broadcast():
    """mse_loss, l1_loss, smooth_l1_loss and huber_loss do not broadcast input and target"""
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):

        def loss(lib: Any, name: str = name) -> Any:
            return getattr(lib.nn.functional, name)(lib.ones(3, 1), lib.ones(3))

        assert loss(torch).item() == 0
        with pytest.raises(ValueError, match="same shape"):
            loss(tg)


def test_indices_out_of_range():
    """An index out of range is an IndexError that names the dimension, on every device"""

    def gathered(lib: Any, **options: Any) -> Any:
        return lib.arange(3, **options).gather(0, lib.tensor([5], **options))

    with pytest.raises(RuntimeError):
        gathered(torch)
    with pytest.raises(IndexError, match=r"\[gather\] index 5 is out of range for dim 0 of size 3"):
        gathered(tg)


def test_messages():
    """Messages name the operation, the argument, shapes and dtypes, and what to do"""
    with pytest.raises(RuntimeError, match=r"\[floor_divide\] .*replace the zeros, or convert"):
        tg.ones(1, dtype=tg.int64) // 0
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError$"):
        torch.ones(1, dtype=torch.int64) // 0


def test_assignment_converts():
    """Assignment at an index converts values to the tensor's dtype"""

    def assigned(lib: Any) -> list:
        x = lib.zeros(2, dtype=lib.float64)
        x[lib.tensor([0])] = lib.tensor([1.0])
        return x.tolist()

    assert assigned(tg) == [1, 0]
    with pytest.raises(RuntimeError, match="dtypes match"):
        assigned(torch)


def test_overwritten_values():
    """Values that a later one writes over have gradient 0: `x[i] = v`, index_put, scatter,
    index_copy, put, max_unpool"""

    def gradient(lib: Any) -> list:
        v = lib.tensor([1.0, 2.0], requires_grad=True)
        lib.zeros(3).index_put((lib.tensor([0, 0]),), v).sum().backward()
        return v.grad.tolist()

    assert gradient(tg) == [0, 1]
    assert gradient(torch) == [1, 1]


def test_replaced_elements():
    """as_strided_scatter gives the elements that it replaces no gradient"""

    def gradient(lib: Any) -> list:
        x = lib.tensor([3.0], requires_grad=True)
        lib.as_strided_scatter(x, lib.tensor(2.0), (), ()).sum().backward()
        return x.grad.tolist()

    assert gradient(tg) == [0]  # (P09)
    assert gradient(torch) == [1]


def test_dtypes_without_a_kernel():
    """Functions take dtypes that PyTorch has no CPU kernel for: the median of bools, pdist in
    float16"""

    def median(lib: Any) -> Any:
        return lib.tensor([True, False, True]).median().item()

    def distance(lib: Any) -> float:
        return lib.nn.functional.pdist(lib.tensor([[0.0], [2.0]], dtype=lib.float16)).item()

    for function, value in ((median, True), (distance, 2.0)):
        assert function(tg) == value
        with pytest.raises(NotImplementedError, match="not implemented for"):
            function(torch)


def test_sixteen_bits_are_for_storage():
    """Losses, norms and gradients of 16-bit floats are computed in float32 and rounded once"""

    def loss(lib: Any) -> float:
        x = lib.tensor([300.0] + [0.0] * 99, dtype=lib.float16)
        return lib.nn.functional.mse_loss(x, lib.zeros_like(x)).item()

    def counted(lib: Any) -> float:
        x = lib.full((70_000, 1), -1.0, dtype=lib.float16)
        return lib.nn.functional.nll_loss(x, lib.zeros(70_000, dtype=lib.int64)).item()

    for function, value in ((loss, 900.0), (counted, 1.0)):
        assert function(tg) == value
        assert function(torch) != value


def test_out_of_wider_dtypes():
    """`out=` may have any dtype that holds the result, for every function"""

    def gathered(lib: Any) -> Any:
        return lib.gather(
            lib.ones(2), 0, lib.tensor([0]), out=lib.empty(1, dtype=lib.float64)
        ).item()

    assert gathered(tg) == 1
    with pytest.raises(RuntimeError, match="dtype"):
        gathered(torch)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_numpys_functions():
    """`array * tensor` is a Tensor on the tape, as `tensor * array` is; NumPy's own functions take
    tensors that require no grad, as PyTorch's"""
    x = tg.ones(2, requires_grad=True)
    for product in (np.ones(2) * x, x * np.ones(2)):
        assert isinstance(product, tg.Tensor)
        assert product.requires_grad
    with pytest.raises(TypeError):
        np.ones(2) * torch.ones(2)
    assert isinstance(np.sin(tg.ones(2)), tg.Tensor)
    assert isinstance(np.sin(torch.ones(2)), torch.Tensor)
    with pytest.raises(RuntimeError, match="would drop its history"):
        np.sin(x)


# ---------------------------------------------------------------------- training


def adam(lib: Any) -> Any:
    p = lib.ones(2, dtype=lib.float16, requires_grad=True)
    p.grad = lib.ones(2, dtype=lib.float16)
    optimizer = lib.optim.Adam([p])
    optimizer.step()
    return optimizer


def test_loading_a_wrong_state():
    """Optimizers and schedulers check all of a state before they load any of it"""

    def load(lib: Any) -> None:
        optimizer = adam(lib)
        schedule = lib.optim.lr_scheduler.StepLR(optimizer, 2)
        for loader, change in (
            (optimizer, lambda state: state["param_groups"][0].update(lr="abc")),
            (optimizer, lambda state: state["state"][0].pop("exp_avg_sq")),
            (schedule, lambda state: state.update(gamma="abc")),
        ):
            state = loader.state_dict()
            change(state)
            if lib is torch:
                loader.load_state_dict(state)
            else:
                with pytest.raises(ValueError, match="load_state_dict"):
                    loader.load_state_dict(state)

    on_both(load)


def test_a_new_count():
    """A step puts new tensors in the place of state[p]["step"] and of other numbers that it counts,
    on the CPU, these in float64"""

    def counted(lib: Any) -> tuple:
        p = lib.ones(2, requires_grad=True)
        p.grad = lib.ones(2)
        optimizer = lib.optim.NAdam([p])
        optimizer.step()
        first = optimizer.state[p]["step"]
        optimizer.step()
        return first.item(), optimizer.state[p]["mu_product"].dtype

    assert on_both(counted) == ((1.0, tg.float64), (2.0, torch.float32))


def test_a_repeated_parameter():
    """A group that repeats a parameter is refused"""
    p, q = (lib.ones(2, requires_grad=True) for lib in (tg, torch))
    with pytest.raises(ValueError, match="more than once"):
        tg.optim.SGD([p, p])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        torch.optim.SGD([q, q])


def test_a_differentiable_step():
    """A differentiable step leaves what was recorded before it right"""

    def gradient(lib: Any) -> list[float] | None:
        first = lib.ones(2, requires_grad=True)
        p = first.clone()
        loss = (p * p).sum()
        (p.grad,) = lib.autograd.grad(loss, [p], create_graph=True)
        lib.optim.SGD([p], lr=0.25, differentiable=True).step()
        try:
            (loss + p.sum()).backward()
        except RuntimeError:
            return None
        return first.grad.tolist()

    assert on_both(gradient) == ([2.5, 2.5], None)


def test_a_chain_in_a_sequence():
    """A ChainedScheduler may come second in a SequentialLR"""

    def rates(lib: Any) -> list[float]:
        kinds = lib.optim.lr_scheduler
        optimizer = lib.optim.SGD([lib.ones(1, requires_grad=True)], lr=1.0)
        first, second = (kinds.ExponentialLR(optimizer, 0.5) for _ in range(2))
        schedule = kinds.SequentialLR(optimizer, [first, kinds.ChainedScheduler([second])], [1])
        optimizer.step()
        schedule.step()
        schedule.step()
        return schedule.get_last_lr()

    assert rates(tg) == [0.5]
    with pytest.raises(NotImplementedError):
        rates(torch)


def test_integers_in_state():
    """Integers in an optimizer's state stay integers when loaded"""

    def loaded(lib: Any) -> Any:
        optimizer = adam(lib)
        state = optimizer.state_dict()
        state["state"][0]["seen"] = lib.tensor(100_000)
        optimizer.load_state_dict(state)
        return optimizer.state_dict()["state"][0]["seen"].item()

    assert on_both(loaded) == (100_000, float("inf"))


def test_a_later_group_and_a_cosine():
    """A group added later follows a cosine schedule to its end"""

    def rates(lib: Any) -> list[float]:
        optimizer = lib.optim.SGD([lib.ones(1, requires_grad=True)], lr=1.0)
        schedule = lib.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1)
        optimizer.add_param_group({"params": [lib.ones(1, requires_grad=True)]})
        seen = []
        for _ in range(2):
            optimizer.step()
            schedule.step()
            seen += schedule.get_last_lr()
        return seen

    np.testing.assert_allclose(rates(tg), [0, 0, 1, 1], atol=1e-12)
    with pytest.raises(ValueError, match="zip"):
        rates(torch)


def test_an_overridden_item():
    """A subclass's own `__getitem__` goes before a `__getitems__` that it inherits"""

    def batch(lib: Any) -> list[int]:
        class Many(lib.utils.data.Dataset):
            def __len__(self) -> int:
                return 2

            def __getitems__(self, indices: list[int]) -> list[int]:
                return indices

        class Mine(Many):
            def __getitem__(self, index: int) -> int:
                return index + 100

        return next(iter(lib.utils.data.DataLoader(Mine(), 2))).tolist()

    assert on_both(batch) == ([100, 101], [0, 1])


def test_a_sampler_of_many():
    """WeightedRandomSampler with replacement draws a piece at a time"""
    assert next(iter(tg.utils.data.WeightedRandomSampler([0.0, 1.0], 10**15))) == 1
    with pytest.raises(RuntimeError, match="memory"):
        next(iter(torch.utils.data.WeightedRandomSampler([0.0, 1.0], 10**15)))


def test_what_datasets_draw():
    """What a dataset draws in a batch depends on the loader's seed and the batch alone"""

    def next_number(lib: Any, draws: int) -> float:
        class Drawing(lib.utils.data.Dataset):
            def __len__(self) -> int:
                return 2

            def __getitem__(self, index: int) -> Any:
                return lib.rand(draws)

        lib.manual_seed(3)
        list(lib.utils.data.DataLoader(Drawing()))
        return lib.rand(()).item()

    assert on_both(lambda lib: next_number(lib, 1) == next_number(lib, 40)) == (True, False)


def test_lengths_beyond_the_input():
    """pack_padded_sequence refuses lengths beyond the input"""

    def pack(lib: Any) -> Any:
        return lib.nn.utils.rnn.pack_padded_sequence(lib.ones(2, 2), [3, 1])

    with pytest.raises(RuntimeError, match="a length of 3 is more than the 2 steps"):
        pack(tg)
    packed = pack(torch)
    assert packed.batch_sizes.sum().item() > len(packed.data)


def test_unpadding_leaves_its_input():
    """unpad_sequence leaves its input as it is"""

    def shape(lib: Any) -> tuple[int, ...]:
        x = lib.ones(3, 2)
        lib.nn.utils.rnn.unpad_sequence(x, lib.tensor([1, 3]))
        return tuple(x.shape)

    assert on_both(shape) == ((3, 2), (2, 3))


def test_windows_of_channels():
    """CrossMapLRN2d's windows move on from the first channel"""
    x = np.ones((1, 6, 1, 1))
    mine, theirs = on_both(lambda lib: lib.nn.CrossMapLRN2d(3, 3.0, 1.0, 0.0)(lib.tensor(x)))
    np.testing.assert_allclose(1 / mine.flatten(), [2, 3, 3, 3, 3, 2])
    np.testing.assert_allclose(1 / theirs.flatten(), [2, 3, 4, 4, 4, 3])


def test_attention_to_nothing():
    """An attention query that may look at nothing gets 0, and so do its weights"""

    def weights(lib):
        x, mask = lib.ones(2, 4), lib.tensor([[True, True], [False, False]])
        return lib.nn.MultiheadAttention(4, 2)(x, x, x, attn_mask=mask)[1].detach()

    mine, theirs = on_both(weights)
    assert mine.tolist() == [[0, 0], [0.5, 0.5]]
    assert theirs.isnan()[0].all()


def test_hints_of_causality():
    """is_causal beside a mask changes nothing: the mask is what is added"""

    def distance(lib):
        """Between what a mask of zeros gives with a wrong hint and without one."""
        lib.manual_seed(0)
        x, mask = lib.randn(3, 4), lib.zeros(3, 3)
        attention = lib.nn.MultiheadAttention(4, 2)
        a, b = (
            attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=hint)[0]
            for hint in (True, False)
        )
        return (a - b).abs().max().item()

    mine, theirs = on_both(distance)
    assert mine == 0 < theirs


def test_repeated_backward_of_chunks():
    """The backward pass of linear_cross_entropy with options may be repeated, and has second
    gradients"""

    def loss(lib):
        x, w = (lib.ones(n, 3, dtype=lib.float64, requires_grad=True) for n in (4, 5))
        options = lib.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
        target = lib.tensor([0, 1, 2, 3])
        y = lib.nn.functional.linear_cross_entropy(x, w, target, options=options)
        y.backward(retain_graph=True)
        return x, w, y

    (x, w, y), (_, _, theirs) = on_both(loss)
    once = x.grad.tolist()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.array(once))
    with pytest.raises(RuntimeError):
        theirs.backward()
    options = tg.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    assert tg.autograd.gradgradcheck(
        lambda x, w: tg.nn.functional.linear_cross_entropy(
            x, w, tg.tensor([0, 1, 2, 3]), options=options
        ),
        (x, w),
    )


def test_views_of_what_was_detached():
    """A view requires no grad once its base was detached in place and changed"""

    def view(lib):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        base = x * 1
        part = base[:1]
        base.detach_().neg_()
        return x, part

    (_, mine), (x, theirs) = on_both(view)
    assert not mine.requires_grad
    assert theirs.requires_grad
    theirs.sum().backward()
    assert x.grad is None


def test_what_autocast_keeps_in_float32():
    """Within autocast on the CPU linalg.pinv, linalg.matrix_power and svd_lowrank stay float32"""

    def dtypes(lib):
        x = lib.eye(3) * 2
        with lib.autocast("cpu"):
            found = lib.linalg.pinv(x), lib.linalg.matrix_power(x, 3), lib.svd_lowrank(x, 2)[0]
        return {str(t.dtype).removeprefix("torch.") for t in found}

    assert on_both(dtypes) == ({"float32"}, {"bfloat16"})


def test_casts_of_weights():
    """autocast casts a weight anew once it has changed"""

    def computed(lib):
        w = lib.ones(1, 1, requires_grad=True)
        with lib.autocast("cpu"):
            lib.mm(w, w)
            with lib.no_grad():
                w.mul_(3)
            return lib.mm(w, w).item()

    assert on_both(computed) == (9, 1)


def test_out_within_autocast():
    """Within autocast out= takes what autocast computes"""

    def computed(lib):
        x, out = lib.full((1, 1), 1.0 + 2.0**-12), lib.empty(1, 1)
        with lib.autocast("cpu"):
            lib.mm(x, x, out=out)
        return out.item() == 1

    assert on_both(computed) == (True, False)


def test_when_hooks_of_several_gradients_are_called():
    """register_multi_grad_hook calls when all gradients of the pass are there"""

    def order(lib):
        seen = []
        x = lib.ones(2, requires_grad=True)
        y = x * 2
        z = y * 3
        x.register_hook(lambda g: seen.append("x"))
        lib.autograd.graph.register_multi_grad_hook((y, z), lambda gs: seen.append(len(gs)))
        z.sum().backward()
        return seen

    assert on_both(order) == (["x", 2], [2, "x"])


def test_copies_of_what_the_tape_keeps():
    """allow_mutation_on_saved_tensors copies what the tape keeps at once"""

    x = tg.ones(2, requires_grad=True)
    with tg.autograd.graph.allow_mutation_on_saved_tensors():
        node = (x * x).grad_fn
    copies = [k.open() for k in node.saved._kept if k is not None]
    assert all(c.data_ptr() != x.data_ptr() for c in copies)
    x = torch.ones(2, requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        assert (x * x).grad_fn._saved_self.data_ptr() == x.data_ptr()


def test_selective_checkpoints():
    """A policy of create_selective_checkpoint_contexts is asked of tapegrad's operations, as
    tapegrad.matmul, not of ops.aten, and of no views"""

    def asked(lib: Any) -> list:
        seen: list = []

        def contexts() -> Any:
            def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> bool:
                seen.append(op)
                return False

            return lib.utils.checkpoint.create_selective_checkpoint_contexts(policy)

        x = lib.ones(2, 2, requires_grad=True)
        lib.utils.checkpoint.checkpoint(
            lambda x: x.T @ x, x, use_reentrant=False, context_fn=contexts
        )
        return seen

    assert asked(tg) == [tg.matmul]
    assert asked(torch) == [torch.ops.aten.permute.default, torch.ops.aten.mm.default]
    with pytest.raises(AttributeError, match="operators do not exist here"):
        tg.ops.aten  # noqa: B018


def test_changed_in_place_under_a_policy():
    """Results that a policy keeps may be changed in place"""

    def gradient(lib: Any) -> list | None:
        def contexts() -> Any:
            return lib.utils.checkpoint.create_selective_checkpoint_contexts(
                lambda ctx, op, *args, **kwargs: True
            )

        x = lib.ones(2, 2, requires_grad=True)
        y = lib.utils.checkpoint.checkpoint(
            lambda x: (x @ x).add_(1).exp(), x, use_reentrant=False, context_fn=contexts
        )
        try:
            y.sum().backward()
        except RuntimeError:
            return None
        return (x.grad / math.exp(3)).round().tolist()

    assert on_both(gradient) == ([[4.0, 4.0], [4.0, 4.0]], None)
