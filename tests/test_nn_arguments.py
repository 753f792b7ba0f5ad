"""What layers and losses take: PyTorch's forms and sizes of arguments, and errors at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)


def numbers(result: Any) -> Any:
    if isinstance(result, tuple):
        return [numbers(x) for x in result]
    return None if result is None else (tuple(result.shape), result.detach().reshape(-1).tolist())


def agree(call: Callable[[Any], Any]) -> None:
    """Both libraries give the same, up to float32's rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for ours, theirs in zip(*map(flat, (call(tg), call(torch))), strict=True):
            assert ours[0] == theirs[0]
            np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-6)


def flat(result: Any) -> list:
    found = numbers(result)
    return found if isinstance(found, list) else [found]


def ints(library: Any, *values: Any) -> Any:
    return library.tensor(*values, dtype=library.int64)


def attention(shape: tuple[int, ...], **options: Any) -> Callable:
    def call(library: Any) -> Any:
        x = library.zeros(*shape)
        y, weights = library.nn.MultiheadAttention(4, 2, **options)(x, x, x)
        return y, weights

    return call


@pytest.mark.parametrize(
    "call",
    [
        attention((0, 3, 4), batch_first=True),
        attention((3, 0, 4)),
        attention((0, 3, 4)),
        attention((0, 4)),
        attention((3, 0, 4), add_bias_kv=True, add_zero_attn=True),
    ],
)
def test_attention_of_nothing(call: Callable) -> None:
    """(F36)"""
    agree(call)
    x = tg.zeros(3, 0, 4, requires_grad=True)
    layer = nn.MultiheadAttention(4, 2)
    layer(x, x, x, need_weights=False)[0].sum().backward()
    assert x.grad.shape == x.shape
    assert layer.in_proj_weight.grad.abs().sum().item() == 0


def test_a_linear_layer_of_no_features_in_cross_entropy() -> None:
    """(F36)"""
    agree(
        lambda t: t.nn.functional.linear_cross_entropy(
            t.zeros(2, 0), t.zeros(3, 0), ints(t, [0, 2])
        )
    )


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bad", [2.0, -1.0, float("nan"), float("inf")])
def test_probabilities_and_their_targets_lie_between_0_and_1(
    bad: float, dtype: str, device: str
) -> None:
    """(F55)"""
    good, wrong = (tg.tensor([0.5, x], dtype=dtype, device=device) for x in (0.5, bad))
    for call in (nn.functional.binary_cross_entropy, nn.BCELoss()):
        with pytest.raises(
            RuntimeError, match=r"\[binary_cross_entropy\] targets must lie in 0..1"
        ):
            call(good, wrong)
        with pytest.raises(RuntimeError, match=r"probabilities must lie in 0..1"):
            call(wrong, good)
    edges = tg.tensor([0.0, 1.0], dtype=dtype, device=device)
    assert nn.functional.binary_cross_entropy(edges, edges).item() == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.functional.kl_div(tg.ones(2), tg.ones(2).long()), RuntimeError, "kl_div"),
        (lambda: nn.functional.kl_div(tg.ones(2).long(), tg.ones(2)), RuntimeError, "kl_div"),
        *[
            (
                lambda loss=loss: loss(tg.ones(2, 3), tg.ones(2, 3)),
                RuntimeError,
                r"\[cross_entropy\] ignore_index=\d is for class targets",
            )
            for loss in (nn.CrossEntropyLoss(ignore_index=1), nn.CrossEntropyLoss(ignore_index=0))
        ],
        (lambda: nn.LinearCrossEntropyLoss(4, 3, weight=tg.ones(2)), RuntimeError, r"\(3,\)"),
        (lambda: nn.LinearCrossEntropyLoss(4, 3, weight=tg.ones(3, 1)), RuntimeError, r"\(3,\)"),
        (lambda: nn.HuberLoss(delta=1 + 0j), TypeError, "HuberLoss.*delta must be a number"),
        (lambda: nn.HuberLoss(delta=(1, 2)), TypeError, "HuberLoss.*delta must be a number"),
        (lambda: nn.SmoothL1Loss(beta="1"), TypeError, "SmoothL1Loss.*beta must be a number"),
        (lambda: nn.TripletMarginLoss(margin="bogus"), TypeError, "margin must be a number"),
        (lambda: nn.TripletMarginLoss(margin=0.0), ValueError, "margin must be positive"),
        (lambda: nn.TripletMarginLoss(swap=2), TypeError, "swap must be True or False"),
        (
            lambda: nn.TripletMarginWithDistanceLoss(margin=-1),
            ValueError,
            "TripletMarginWithDistanceLoss: margin must be positive",
        ),
        (lambda: nn.CosineEmbeddingLoss(margin=[1]), TypeError, "margin must be a number"),
        (lambda: nn.MultiMarginLoss(margin=None), TypeError, "margin must be a number"),
        (lambda: nn.PoissonNLLLoss(full="no"), TypeError, "full must be True or False"),
        (lambda: nn.GaussianNLLLoss(eps="x"), TypeError, "eps must be a number"),
        (lambda: nn.CTCLoss(blank=1.5), TypeError, "blank must be an int"),
        (lambda: nn.CrossEntropyLoss(ignore_index=1.5), TypeError, "ignore_index must be an int"),
        (lambda: nn.CrossEntropyLoss(label_smoothing="a"), TypeError, "label_smoothing must be"),
        (lambda: nn.Unflatten(0, "sum"), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten(0, 3), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten(0, (1, "a")), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten("a", (1, 2)), TypeError, "dim must be an int"),
        (lambda: nn.Flatten("a"), TypeError, "Flatten.*start_dim must be an int"),
        (lambda: nn.LeakyReLU("a"), TypeError, "LeakyReLU.*negative_slope must be a number"),
        (lambda: nn.ReLU(inplace=3), TypeError, "ReLU.*inplace must be True or False"),
        (lambda: nn.Softplus(beta=None), TypeError, "beta must be a number"),
        (lambda: nn.GLU(1.5), TypeError, "GLU.*dim must be an int"),
        (lambda: nn.Dropout("a"), TypeError, "Dropout.*p must be a number"),
        (lambda: nn.Conv2d(3, 4, 3, groups=1.5), TypeError, "groups must be an int"),
        (lambda: nn.BatchNorm2d(3, eps="a"), TypeError, "BatchNorm2d.*eps must be a number"),
        (lambda: nn.GroupNorm(1, 4, affine=7), TypeError, "affine must be True or False"),
        (lambda: nn.LayerNorm(4, eps=[1]), TypeError, "eps must be a number"),
        (lambda: nn.Linear(2.5, 3), TypeError, "Linear.*in_features must be an int"),
        (lambda: nn.MultiheadAttention(4, 2, dropout="a"), TypeError, "dropout must be a number"),
        (lambda: nn.PairwiseDistance(p="a"), TypeError, "PairwiseDistance.*p must be a number"),
        (lambda: nn.CosineSimilarity(eps=None), TypeError, "eps must be a number"),
        (lambda: nn.Embedding(3, 2, norm_type="a"), TypeError, "norm_type must be a number"),
        (lambda: nn.FractionalMaxPool2d(2, 2, return_indices=5), TypeError, "return_indices must"),
        *[
            (
                lambda loss=loss: loss(tg.ones(2, 3), tg.ones(2).long(), weight=3),
                TypeError,
                "expects a Tensor, got int",
            )
            for loss in (
                nn.functional.cross_entropy,
                nn.functional.nll_loss,
                nn.functional.multi_margin_loss,
            )
        ],
        *[
            (
                lambda loss=loss: loss(tg.ones(2, 3), tg.ones(2, 3), weight=3),
                TypeError,
                "expects a Tensor, got int",
            )
            for loss in (
                nn.functional.binary_cross_entropy,
                nn.functional.multilabel_soft_margin_loss,
            )
        ],
    ],
)
def test_wrong_arguments_are_refused_at_once(call: Callable, error: type, message: str) -> None:
    """(R17) (R20) (P10)"""
    with pytest.raises(error, match=message):
        call()


def test_a_subclass_may_give_its_own_arguments_the_names_of_a_layers() -> None:
    class Mine(nn.Linear):
        def __init__(self, bias: int, in_features: str) -> None:
            super().__init__(3, 2, bias > 0)

    class Loss(nn.HuberLoss):
        def __init__(self, delta: bool, more: int) -> None:
            super().__init__(delta=0.5 if delta else 2.0)

    assert Mine(3, "a").bias is not None
    assert Loss(True, 3).delta == 0.5
    layer = nn.LeakyReLU(np.float64(0.5), inplace=np.bool_(False))
    assert type(layer.negative_slope) is float
    assert nn.LeakyReLU(tg.tensor(0.5)).negative_slope == 0.5


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    ("name", "input", "target"),
    [
        ("nll_loss", [-0.5], [0]),
        ("nll_loss", [-0.5, 1.0, 2.0], [1]),
        ("cross_entropy", [-0.5, 1.0, 2.0], [1]),
        ("multi_margin_loss", 1.0, 0),
        ("multi_margin_loss", 1.0, [0]),
        ("multi_margin_loss", [1.0, 2.0, 3.0], [0]),
        ("multi_margin_loss", [1.0, 2.0, 3.0], 2),
        ("multi_margin_loss", [[1.0, 2.0, 3.0]], 2),
        ("multi_margin_loss", [[1.0, 2.0, 3.0]], [2]),
        ("multilabel_margin_loss", 1.0, 0),
        ("multilabel_margin_loss", 1.0, [0]),
        ("multilabel_margin_loss", [1.0], 0),
        ("multilabel_margin_loss", [1.0], [0]),
    ],
)
def test_one_row_in_every_form(name: str, input: Any, target: Any, reduction: str) -> None:
    """(R24)"""
    agree(
        lambda t: getattr(t.nn.functional, name)(
            t.tensor(input), ints(t, target), reduction=reduction
        )
    )
    if name in ("nll_loss", "cross_entropy") and len(input) > 1:
        with pytest.raises(RuntimeError, match=rf"\[{name}\] input \(3,\) takes"):
            getattr(tg.nn.functional, name)(tg.tensor(input), ints(tg, [0, 1]))


@pytest.mark.parametrize(
    ("dims", "shape"),
    [(2, (2, 4)), (3, (2, 3, 4)), (2, (2, 2, 3, 4, 5)), (2, (2, 3, 4)), (2, (2, 3, 4, 5))],
)
def test_a_mean_over_images_needs_no_channels(dims: int, shape: tuple) -> None:
    """(R24)"""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    agree(
        lambda t: getattr(t.nn.functional, f"adaptive_avg_pool{dims}d")(
            t.tensor(values.tolist()), 1
        )
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_softmax_without_a_dimension_guesses_as_pytorch_and_warns(name: str, shape: tuple) -> None:
    """(P05)"""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32).tolist()
    kind = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin"}[name]
    agree(lambda t: getattr(t.nn.functional, name)(t.tensor(values)))
    agree(lambda t: getattr(t.nn, kind)()(t.tensor(values)))
    with pytest.warns(UserWarning, match=rf"\[{name}\] name the dimension.*dim=\d") as caught:
        getattr(nn.functional, name)(tg.tensor(values))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_one_size_in_a_list_is_for_all_dimensions(name: str) -> None:
    """(P06)"""
    x = np.arange(3 * 9 * 9, dtype=np.float32).reshape(1, 3, 9, 9).tolist()

    def call(library: Any, **options: Any) -> Any:
        layer = library.nn.Conv2d(3, 4, 3, **{name: [2]}, **options)
        for p in layer.parameters():
            library.nn.init.constant_(p, 0.5)
        y = layer(library.tensor(x))
        if name == "dilation":
            return (y,)
        transposed = library.nn.ConvTranspose2d(4, 3, 3, **{name: [2]})
        for p in transposed.parameters():
            library.nn.init.constant_(p, 0.25)
        return y, transposed(y)

    agree(call)
    assert nn.Conv3d(1, 1, [3]).kernel_size == (3, 3, 3)
    with pytest.raises(ValueError, match="stride must be one number or three"):
        nn.Conv3d(1, 1, 3, stride=[1, 2])


@pytest.mark.parametrize(
    "name",
    ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
     "kaiming_uniform_", "kaiming_normal_", "orthogonal_"],
)  # fmt: skip
def test_initial_values_are_drawn_from_a_generator(name: str) -> None:
    """(P06)"""
    fill = getattr(nn.init, name)
    tg.manual_seed(1)
    expected = tg.randn(3).tolist()
    tg.manual_seed(1)
    generator = tg.Generator()
    first, second, third = (
        fill(tg.zeros(4, 3), generator=generator.manual_seed(seed)).tolist() for seed in (5, 5, 6)
    )
    assert first == second != third
    assert tg.randn(3).tolist() == expected  # the global one was not asked
    getattr(torch.nn.init, name)(torch.zeros(4, 3), generator=torch.Generator())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("samples", [2, 3, 5])
def test_samples_of_more_rows_than_the_batch_place_its_windows(dims: int, samples: int) -> None:
    """(P11)"""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 3, *(6,) * dims)).astype(np.float32).tolist()
    drawn = generator.random((samples, 3, dims)).astype(np.float32).tolist()
    for rows in (x, x[0]):

        def call(library: Any, rows: Any = rows) -> Any:
            layer = getattr(library.nn, f"FractionalMaxPool{dims}d")
            made = layer(2, output_size=3, _random_samples=library.tensor(drawn))
            return made(library.tensor(rows))

        agree(call)
    pool = getattr(nn.functional, f"fractional_max_pool{dims}d")
    for shape in ((1, 3, dims), (2, 1, dims), (2, 3, 1), (3, dims)):
        with pytest.raises(RuntimeError, match="_random_samples must be float32"):
            pool(tg.tensor(x), 2, output_size=3, _random_samples=tg.zeros(shape))
    with pytest.raises(TypeError, match="expects a Tensor"):
        pool(tg.tensor(x), 2, output_size=3, _random_samples=3)
