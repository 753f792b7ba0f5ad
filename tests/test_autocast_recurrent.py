"""Recurrent layers and cells within autocast: dtypes as PyTorch's, values near float32's."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

KINDS = ["LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"]
GPUS = ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


def network(lib: Any, kind: str, **options: Any) -> Any:
    """With the same weights in both libraries."""
    net = getattr(lib.nn, kind)(4, 3, **options)
    rng = np.random.default_rng(0)
    for p in net.parameters():
        p.data = lib.tensor(rng.uniform(-0.5, 0.5, tuple(p.shape)).astype(np.float32))
    return net


def given(lib: Any, kind: str, low: Any, narrow: tuple[bool, bool], state: bool) -> tuple:
    """An input and, if ``state``, the first states; ``narrow``: which of them are 16-bit."""
    rng = np.random.default_rng(1)

    def tensor(shape: tuple[int, ...], is_narrow: bool) -> Any:
        t = lib.tensor(rng.standard_normal(shape).astype(np.float32))
        return t.to(low) if is_narrow else t

    cell = kind.endswith("Cell")
    x = tensor((2, 4) if cell else (5, 2, 4), narrow[0])
    if not state:
        return (x,)
    shape = (2, 3) if cell else (1, 2, 3)
    if kind.startswith("LSTM"):
        return x, (tensor(shape, narrow[1]), tensor(shape, narrow[1]))
    return x, tensor(shape, narrow[1])


def flat(results: Any) -> list:
    return [t for r in results for t in flat(r)] if isinstance(results, tuple) else [results]


def name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("narrow", [*product([False, True], [False, True])], ids=str)
@pytest.mark.parametrize("state", [False, True])
def test_on_the_cpu_as_pytorch(
    kind: str, bias: bool, narrow: tuple[bool, bool], state: bool
) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    if narrow[1] and not state:
        pytest.skip("no state to be narrow")
    if kind == "LSTM" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("PyTorch's bfloat16 LSTM is oneDNN's, which needs AVX-512")
    found = []
    for lib in (tg, torch):
        net = network(lib, kind, bias=bias)
        low = tg.bfloat16 if lib is tg else torch.bfloat16
        with lib.autocast("cpu", low):
            results = flat(net(*given(lib, kind, low, narrow, state)))
        results[0].float().sum().backward()
        grads = [p.grad for p in net.parameters()]
        found.append(([name(t.dtype) for t in results + grads], results + grads))
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        close = {"rtol": 0.05, "atol": 0.05}
        np.testing.assert_allclose(ours.float().tolist(), theirs.float().tolist(), **close)


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("narrow", [(False, False), (True, False), (True, True)], ids=str)
def test_on_gpus_all_is_16_bits(kind: str, narrow: tuple[bool, bool], device: str) -> None:
    """As PyTorch documents it: "float16: ... GRUCell, LSTMCell, RNNCell", and cuDNN's layers."""
    exact = flat(network(tg, kind)(*given(tg, kind, tg.float32, narrow, True)))
    net = network(tg, kind).to(device)
    inputs = [
        tuple([s.to(device) for s in v]) if isinstance(v, tuple) else v.to(device)
        for v in given(tg, kind, tg.float16, narrow, True)
    ]
    with tg.autocast(device):
        results = flat(net(*inputs))
    for y, expected in zip(results, exact, strict=True):
        assert (y.dtype, y.device.type) == (tg.float16, device)
        np.testing.assert_allclose(y.float().tolist(), expected.tolist(), atol=3e-3)
    results[0].float().sum().backward()
    for p in net.parameters():
        assert (p.dtype, p.grad.dtype) == (tg.float32, tg.float32)


@pytest.mark.parametrize("device", ["cpu", *GPUS])
def test_packed_sequences_layers_and_directions(device: str) -> None:
    net = tg.nn.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2).to(device)
    x = tg.nn.utils.rnn.pack_padded_sequence(tg.randn(5, 2, 4, device=device), [5, 3])
    with tg.autocast(device):
        y, (h, c) = net(x)
        again, _ = net(x)
    low = tg.bfloat16 if device == "cpu" else tg.float16
    assert {y.data.dtype, h.dtype, c.dtype, again.data.dtype} == {low}
    (y.data.float().sum() + again.data.float().sum()).backward()
    assert all(p.grad is not None and p.grad.dtype == tg.float32 for p in net.parameters())


def test_float64_stays_and_a_region_that_is_off_does_nothing() -> None:
    net = network(tg, "LSTM").double()
    x = tg.ones(5, 2, 4, dtype=tg.float64)
    with tg.autocast("cpu"):
        assert net(x)[0].dtype == tg.float64
        with tg.autocast("cpu", enabled=False):
            assert network(tg, "GRU")(x.float())[0].dtype == tg.float32
            with pytest.raises(ValueError, match="float32, the weights are float64"):
                net(x.float())
