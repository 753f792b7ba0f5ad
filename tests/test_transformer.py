"""Attention layers and transformers: against closed forms, and option by option against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is the oracle")
# PyTorch's, of how its encoders skip what is padded, or do not.
ignores_prototypes = pytest.mark.filterwarnings("ignore:.*nested.tensor:UserWarning")
WIDTH, HEADS, SOURCE, TARGET, BATCH = 8, 2, 5, 4, 3


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def filled(module: Any, library: Any = tg) -> Any:
    """The module in float64, with parameters that both libraries are given alike."""
    module = module.to(library.float64)
    with library.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(library.tensor(numbers(i, *p.shape) / 2))
    return module


# ---------------------------------------------------------------------- by closed forms


@pytest.mark.parametrize("device", DEVICES)
def test_attention_is_a_softmax_of_scaled_products(device: str) -> None:
    x, memory = numbers(0, TARGET, WIDTH), numbers(1, SOURCE, WIDTH)
    attention = filled(nn.MultiheadAttention(WIDTH, 1)).to(device)
    y, weights = attention(*(tg.tensor(a, device=device) for a in (x, memory, memory)))
    w, b = (p.numpy(force=True) for p in (attention.in_proj_weight, attention.in_proj_bias))
    q, k, v = (
        a @ w[i * WIDTH : (i + 1) * WIDTH].T + b[i * WIDTH : (i + 1) * WIDTH]
        for i, a in enumerate((x, memory, memory))
    )
    scores = np.exp(q @ k.T / np.sqrt(WIDTH))
    scores /= scores.sum(1, keepdims=True)
    out = attention.out_proj
    expected = scores @ v @ out.weight.numpy(force=True).T + out.bias.numpy(force=True)
    np.testing.assert_allclose(weights.numpy(force=True), scores, rtol=1e-12)
    np.testing.assert_allclose(y.numpy(force=True), expected, rtol=1e-10)


def test_a_causal_mask_hides_what_comes_later() -> None:
    mask = nn.Transformer.generate_square_subsequent_mask(TARGET, dtype=tg.float64)
    expected = np.where(np.tri(TARGET, dtype=bool), 0, -np.inf)
    np.testing.assert_array_equal(mask.numpy(), expected)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, 0.0, batch_first=True)
    net = filled(nn.TransformerEncoder(layer, 2))
    x = numbers(0, BATCH, TARGET, WIDTH)
    before = net(tg.tensor(x), mask=mask).numpy(force=True)
    x[:, -1] += 1
    after = net(tg.tensor(x), mask=mask).numpy(force=True)
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
    assert (before[:, -1] != after[:, -1]).any()


@pytest.mark.parametrize("recording", [False, True])
def test_padded_positions_are_0_where_nothing_is_recorded(recording: bool) -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, 0.0, batch_first=True)
    net = filled(nn.TransformerEncoder(layer, 1)).eval()
    x, padding = tg.tensor(numbers(0, 2, 4, WIDTH)), tg.tensor([[False] * 4, [False, True] * 2])
    right = tg.tensor([[False] * 4, [False, False, True, True]])
    with tg.set_grad_enabled(recording):
        for mask, cleared in ((right, not recording), (padding, False)):
            y = net(x, src_key_padding_mask=mask)
            assert bool((y[mask] == 0).all()) == cleared
            np.testing.assert_array_equal((y[~mask] == 0).numpy(), False)


@pytest.mark.parametrize("bools", [False, True])
def test_layers_are_told_whether_a_mask_is_causal(bools: bool) -> None:
    told = []

    class Layer(nn.TransformerEncoderLayer):
        def forward(self, src: Any, src_mask: Any = None, is_causal: Any = None, **_: Any) -> Any:
            told.append(is_causal)
            return src

    class DecoderLayer(nn.TransformerDecoderLayer):
        def forward(self, tgt: Any, memory: Any, tgt_is_causal: Any = None, **_: Any) -> Any:
            told.append(tgt_is_causal)
            return tgt

    x = tg.ones(TARGET, BATCH, WIDTH)
    causal = nn.Transformer.generate_square_subsequent_mask(TARGET)
    other = causal.T
    if bools:
        causal, other = causal < 0, other < 0
    encoder = nn.TransformerEncoder(Layer(WIDTH, HEADS), 1)
    decoder = nn.TransformerDecoder(DecoderLayer(WIDTH, HEADS), 1)
    for mask in (causal, other, None):
        encoder(x, mask=mask)
        decoder(x, x, tgt_mask=mask)
    encoder(x, mask=other, is_causal=True)
    assert told == [True, True, False, False, False, False, True]


# ---------------------------------------------------------------------- as PyTorch's

ATTENTION: dict[str, tuple[dict, dict]] = {
    "plain": ({}, {}),
    "no bias": ({"bias": False}, {}),
    "other widths": ({"kdim": 6, "vdim": 3}, {}),
    "further keys": ({"add_bias_kv": True, "add_zero_attn": True}, {"key_padding_mask": "bool"}),
    "batch first": ({"batch_first": True}, {"average_attn_weights": False}),
    "no weights": ({}, {"need_weights": False}),
    "bool masks": ({}, {"key_padding_mask": "bool", "attn_mask": "bool"}),
    "float masks": ({"batch_first": True}, {"key_padding_mask": "float", "attn_mask": "float"}),
    "mask of each head": ({}, {"attn_mask": "heads", "average_attn_weights": False}),
    "causal": ({}, {"attn_mask": "causal", "is_causal": True, "need_weights": False}),
    "causal and padded": (
        {"batch_first": True},
        {"attn_mask": "causal", "key_padding_mask": "bool", "is_causal": True},
    ),
}


def mask_of(kind: Any, name: str, length: int, batched: bool) -> Any:
    """A mask that leaves every query something to look at."""
    if not isinstance(kind, str):
        return kind
    random = np.random.default_rng(7)
    if kind == "causal":
        return np.triu(np.full((length, SOURCE), -np.inf), 1)
    shape: tuple[int, ...] = (length, SOURCE)
    if name == "key_padding_mask":
        shape = (BATCH, SOURCE) if batched else (SOURCE,)
    elif kind == "heads":
        shape = (BATCH * HEADS if batched else HEADS, length, SOURCE)
    if kind == "float":
        return random.standard_normal(shape)
    mask = random.random(shape) < 0.4
    mask[..., 0] = False
    return mask


@needs_torch
@pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("row", ATTENTION)
def test_attention_option_by_option(row: str, batched: bool) -> None:
    made, call = ATTENTION[row]
    widths = (WIDTH, made.get("kdim", WIDTH), made.get("vdim", WIDTH))
    lengths = (TARGET, SOURCE, SOURCE)
    arrays = [
        numbers(i, *((n, BATCH) if batched else (n,)), w)
        for i, (n, w) in enumerate(zip(lengths, widths, strict=True))
    ]
    if batched and made.get("batch_first"):
        arrays = [np.ascontiguousarray(a.swapaxes(0, 1)) for a in arrays]
    masks = {name: mask_of(kind, name, TARGET, batched) for name, kind in call.items()}

    def outcome(library: Any) -> list:
        attention = filled(library.nn.MultiheadAttention(WIDTH, HEADS, **made), library)
        given = [library.tensor(a, requires_grad=True) for a in arrays]
        options = {
            name: library.tensor(m) if isinstance(m, np.ndarray) else m for name, m in masks.items()
        }
        y, weights = attention(*given, **options)
        (y * library.tensor(numbers(9, *y.shape))).sum().backward()
        gradients = [t.grad for t in (*given, *attention.parameters())]
        assert (weights is None) == (call.get("need_weights") is False)
        return [y, *([] if weights is None else [weights]), *gradients]

    for mine, theirs in zip(outcome(tg), outcome(torch), strict=True):
        np.testing.assert_allclose(
            mine.numpy(force=True), theirs.numpy(force=True), rtol=1e-9, atol=1e-11
        )


@needs_torch
@ignores_prototypes
def test_names_and_order_of_the_state() -> None:
    for options in ({}, {"bias": False}, {"norm_first": True, "activation": "gelu"}):
        small = {"d_model": WIDTH, "nhead": HEADS, "num_encoder_layers": 1, **options}
        mine, theirs = nn.Transformer(**small), torch.nn.Transformer(**small)
        shapes = {name: tuple(v.shape) for name, v in theirs.state_dict().items()}
        assert [*mine.state_dict()] == [*shapes]
        assert {name: tuple(v.shape) for name, v in mine.state_dict().items()} == shapes
        assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]


@needs_torch
@ignores_prototypes
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_evaluation_with_padding(padding: str, norm: bool) -> None:
    """What PyTorch's nested tensors give, and what its layers give where it does not use them."""
    padded = np.arange(SOURCE) >= np.array([[5], [2], [3]])
    padded = padded if padding == "right" else padded[:, ::-1].copy()

    def outcome(library: Any) -> Any:
        layer = library.nn.TransformerEncoderLayer(WIDTH, HEADS, 16, 0.1, batch_first=True)
        last = library.nn.LayerNorm(WIDTH) if norm else None
        net = filled(library.nn.TransformerEncoder(layer, 2, last), library).eval()
        with library.no_grad():
            y = net(
                library.tensor(numbers(0, BATCH, SOURCE, WIDTH)),
                src_key_padding_mask=library.tensor(padded),
            )
        return y.numpy()

    np.testing.assert_allclose(outcome(tg), outcome(torch), rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------------- what is refused

X, WIDE = (TARGET, BATCH, WIDTH), (TARGET, BATCH, WIDTH + 1)


def transformer(src: tuple, tgt: tuple, **options: Any) -> Any:
    net = nn.Transformer(WIDTH, HEADS, 1, 1, 16)
    return net(tg.ones(src), tg.ones(tgt), **options)


REFUSED: dict[str, tuple[Any, type, str]] = {
    "activation": (
        lambda: nn.TransformerDecoderLayer(WIDTH, HEADS, activation="tanh"),
        RuntimeError,
        r"TransformerDecoderLayer: activation must be 'relu', 'gelu' or a function, not 'tanh'",
    ),
    "heads": (lambda: nn.TransformerEncoderLayer(WIDTH, 3), AssertionError, "num_heads=3"),
    "no heads": (lambda: nn.TransformerEncoderLayer(WIDTH, 0), ValueError, "num_heads=0"),
    "width": (lambda: transformer(X, WIDE), RuntimeError, r"d_model=8 .*\(4, 3, 8\) and \(4, 3, 9"),
    "batches": (
        lambda: transformer(X, (TARGET, 2, WIDTH)),
        RuntimeError,
        r"two batch sizes: \(4, 3, 8\) and \(4, 2, 8\)",
    ),
    "mask of integers": (
        lambda: transformer(X, X, src_mask=tg.zeros(TARGET, TARGET, dtype=tg.int64)),
        AssertionError,
        r"mask must be bools or floats, got int64 \(4, 4\)",
    ),
    "mask of another shape": (
        lambda: transformer(X, X, tgt_mask=tg.zeros(TARGET, 7)),
        RuntimeError,
        r"attn_mask must have shape \(4, 4\) or \(6, 4, 4\), got \(4, 7\)",
    ),
    "padding of another shape": (
        lambda: transformer(X, X, src_key_padding_mask=tg.zeros(TARGET, BATCH, dtype=tg.bool)),
        AssertionError,
        r"key_padding_mask must have shape \(3, 4\), got \(4, 3\)",
    ),
    "a hint without a mask": (
        lambda: transformer(X, X, tgt_is_causal=True),
        RuntimeError,
        "attn_mask must be given",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused(row: str) -> None:
    call, kind, words = REFUSED[row]
    with pytest.raises(kind, match=words):
        call()
