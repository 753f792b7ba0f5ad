"""Parametrizations, weight and spectral normalisation: values, gradients and the names of what is
saved, with PyTorch as the oracle."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from test_nn_hooks import plain
from test_nn_state import raised

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils import parametrizations, parametrize

ORACLE = "PyTorch is the oracle"

# What is done to a layer, the layer, and the shape of its input.
LINEAR = ("Linear", dict(in_features=4, out_features=3), (5, 4))
SQUARE = ("Linear", dict(in_features=4, out_features=4), (5, 4))
WIDE = ("Linear", dict(in_features=5, out_features=3), (2, 5))
TALL = ("Linear", dict(in_features=3, out_features=5), (2, 3))
CONV = ("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=3), (2, 2, 5, 5))
BACK = ("ConvTranspose2d", dict(in_channels=2, out_channels=3, kernel_size=3), (2, 2, 3, 3))


def new(form, /, **options):
    return lambda torch, m: getattr(torch.nn.utils.parametrizations, form)(m, **options)


def old(form, /, **options):
    return lambda torch, m: getattr(torch.nn.utils, form)(m, **options)


CASES = [
    *((new("weight_norm", dim=dim), *layer) for dim in (0, 1, None) for layer in (LINEAR, CONV)),
    *((old("weight_norm", dim=dim), *layer) for dim in (0, 1, None) for layer in (LINEAR, CONV)),
    *((form("spectral_norm"), *layer) for form in (new, old) for layer in (LINEAR, CONV, BACK)),
    (new("spectral_norm", n_power_iterations=3, dim=1), *CONV),
    (old("spectral_norm", n_power_iterations=3, dim=1), *CONV),
    (new("spectral_norm", name="bias"), *LINEAR),
    *((new("orthogonal", orthogonal_map=kind, use_trivialization=base), *layer)
      for kind in ("matrix_exp", "cayley", "householder") for base in (True, False)
      for layer in (SQUARE, WIDE, TALL)),
    (new("orthogonal"), *SQUARE), (new("orthogonal"), *WIDE),
]  # fmt: skip


def step(torch, layer, x, device):
    """A training step's output, and the gradients."""
    x = torch.tensor(x, device=device, requires_grad=True)
    y = layer(x)
    weights = np.random.default_rng(1).standard_normal(tuple(y.shape))
    (y * torch.tensor(weights, device=device)).sum().backward()
    found = {n: p.grad for n, p in layer.named_parameters()} | {"y": y, "x": x.grad}
    return {name: t.detach().cpu().numpy() for name, t in found.items()}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("apply", "name", "arguments", "shape"), CASES)
def test_values_and_gradients_are_pytorchs(apply, name, arguments, shape, device):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(**arguments).double()
    ours = getattr(nn, name)(**arguments).double()
    ours.load_state_dict(theirs.state_dict())
    ours, theirs = apply(tg, ours), apply(torch, theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert type(ours).__name__ == type(theirs).__name__
    ours.load_state_dict(theirs.state_dict())
    ours.to(device)
    for _ in range(2):  # the second step goes on from what power iteration has found
        x = np.random.default_rng(2).standard_normal(shape)
        mine, other = step(tg, ours, x, device), step(torch, theirs, x, "cpu")
        assert mine.keys() == other.keys()
        for key, value in other.items():
            np.testing.assert_allclose(mine[key], value, rtol=1e-8, atol=1e-10, err_msg=key)
    ours.cpu()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-9, atol=1e-12)
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(
        ours(tg.tensor(x)).detach(), theirs(torch.tensor(x)).detach(), rtol=1e-9, atol=1e-12
    )
