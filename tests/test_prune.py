"""Pruning and fusion: masks, values and the names of what is saved, with PyTorch as the oracle."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from conftest import DEVICES
from test_nn_hooks import plain
from test_nn_state import raised

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils import prune

WEIGHT = np.random.default_rng(0).standard_normal((4, 6))
MASK = np.random.default_rng(1).integers(0, 2, (4, 6)).astype(np.float64)
SCORES = np.random.default_rng(2).standard_normal((4, 6))


def oracle():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    pytest.importorskip("torch.nn.utils.prune")
    return torch


def layer_of(torch):
    layer = torch.nn.Linear(6, 4).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(WEIGHT))
        layer.bias.copy_(torch.tensor(WEIGHT[:, 0]))
    return layer


def prunes(name, *args, **options):
    def prune(torch, layer):
        given = {
            k: torch.tensor(v, device=layer.weight.device) if isinstance(v, np.ndarray) else v
            for k, v in options.items()
        }
        return getattr(torch.nn.utils.prune, name)(layer, "weight", *args, **given)

    return prune


# What is done, one after the other: nothing drawn at random.
CASES = [
    [prunes("identity")],
    [prunes("l1_unstructured", amount=7)],
    [prunes("l1_unstructured", amount=0.3)],
    [prunes("l1_unstructured", 0)],
    [prunes("l1_unstructured", 1.0)],
    [prunes("l1_unstructured", 5, importance_scores=SCORES)],
    [prunes("ln_structured", amount=2, n=2, dim=0)],
    [prunes("ln_structured", amount=0.5, n=1, dim=-1)],
    [prunes("ln_structured", amount=1, n=float("inf"), dim=1, importance_scores=SCORES)],
    [prunes("ln_structured", amount=0, n=2, dim=1)],
    [prunes("custom_from_mask", mask=MASK)],
    [prunes("l1_unstructured", 0.25), prunes("l1_unstructured", 0.25)],
    [prunes("ln_structured", 2, 2, 1), prunes("l1_unstructured", 4), prunes("identity")],
    [prunes("l1_unstructured", 9), prunes("ln_structured", 1, 2, 0)],
    [prunes("ln_structured", 1, 2, 0), prunes("ln_structured", 1, 2, 0)],
    [prunes("custom_from_mask", mask=MASK), prunes("ln_structured", 0.5, 1, 1)],
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", CASES)
def test_masks_values_and_gradients_are_pytorchs(steps, device):
    torch = oracle()
    found = []
    for library, place in ((tg, device), (torch, "cpu")):
        layer = layer_of(library).to(place)
        original = layer.weight
        for step in steps:
            assert step(library, layer) is layer
        x = library.ones(2, 6, dtype=library.float64, device=place)
        layer(x).sum().backward()
        hook = next(iter(layer._forward_pre_hooks.values()))
        seen = [
            list(layer.state_dict()), layer.weight_orig is original, type(hook).__name__,
            *(np.asarray(t.detach().cpu()).round(9).tolist() for t in (
                layer.weight, layer.weight_mask, layer.weight_orig, layer.weight_orig.grad)),
            library.nn.utils.prune.is_pruned(library.nn.Sequential(layer)),
        ]  # fmt: skip
        library.nn.utils.prune.remove(layer, "weight")
        seen += [
            list(layer.state_dict()), layer.weight is original, len(layer._forward_pre_hooks),
            np.asarray(layer.weight.detach().cpu()).round(9).tolist(),
            library.nn.utils.prune.is_pruned(layer), [n for n, _ in layer.named_buffers()],
        ]  # fmt: skip
        found.append(seen)
    assert found[0] == found[1]


def globally(torch):
    net = torch.nn.Sequential(layer_of(torch), torch.nn.Tanh(), torch.nn.Linear(4, 2).double())
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor(WEIGHT[:2, :4] * 0.5))
    pairs = [(net[0], "weight"), (net[0], "bias"), (net[2], "weight")]
    method = torch.nn.utils.prune.L1Unstructured
    torch.nn.utils.prune.global_unstructured(pairs, pruning_method=method, amount=0.4)
    first = [plain(getattr(m, n)) for m, n in pairs]
    scores = {pairs[0]: torch.tensor(SCORES)}
    torch.nn.utils.prune.global_unstructured(pairs, method, scores, amount=5)
    return first, [plain(getattr(m, n + "_mask")) for m, n in pairs], list(net.state_dict())


def without_a_module(torch):
    prune = torch.nn.utils.prune
    t, mask = torch.tensor(WEIGHT), torch.tensor(MASK)
    return [
        plain(prune.L1Unstructured(3).prune(t)),
        plain(prune.L1Unstructured(3).prune(t, importance_scores=torch.tensor(SCORES))),
        plain(prune.LnStructured(1, 2, 0).prune(t, default_mask=mask)),
        plain(prune.L1Unstructured(3).compute_mask(t, mask)),
    ]


def of_ones_own(torch):
    class EveryOther(torch.nn.utils.prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    layer = layer_of(torch)
    EveryOther.apply(layer, "bias")
    EveryOther.apply(layer, "bias")
    hook = next(iter(layer._forward_pre_hooks.values()))
    return plain(layer.bias), plain(layer.bias_mask), len(hook), [type(h).__name__ for h in hook]


def refused(torch):
    prune = torch.nn.utils.prune
    layer = layer_of(torch)

    def left():
        return list(layer.state_dict()), len(layer._forward_pre_hooks), plain(layer.weight)

    before = left()
    conv = torch.nn.Conv2d(1, 1, 1)
    found = [
        raised(lambda amount=amount: prune.l1_unstructured(layer, "weight", amount))
        for amount in (-1, 1.5, -0.5, "a", 25, None)
    ]
    found += [
        raised(lambda: prune.ln_structured(layer, "bias", 1, 2, 0)),
        raised(lambda: prune.ln_structured(layer, "weight", 1, 2, 2)),
        raised(lambda: prune.random_structured(layer, "weight", 9, 0)),
        raised(lambda: prune.random_unstructured(layer, "none", 1)),
        raised(lambda: prune.remove(layer, "weight")),
        raised(lambda: prune.l1_unstructured(layer, "weight", 1, torch.ones(2))),
        raised(lambda: prune.custom_from_mask(layer, "weight", torch.ones(2))),
        raised(lambda: prune.global_unstructured(3, prune.L1Unstructured, amount=1)),
        raised(lambda: prune.global_unstructured([(layer, "weight")], prune.LnStructured,
                                                 amount=1, n=2)),
        raised(lambda: prune.global_unstructured([(layer, "weight")], prune.L1Unstructured, [],
                                                 amount=1)),
        raised(lambda: prune.L1Unstructured(1).prune(torch.ones(2), None, torch.ones(3))),
        raised(lambda: prune.BasePruningMethod()),
        raised(lambda: prune.PruningContainer(3)),
        torch is not tg or left() == before,  # (PyTorch leaves the names it has begun with)
        raised(lambda: torch.nn.utils.fuse_conv_bn_eval(conv, torch.nn.BatchNorm2d(1))),
        raised(lambda: torch.nn.utils.fuse_linear_bn_eval(
            layer.eval(), torch.nn.BatchNorm1d(3).eval())),
        raised(lambda: torch.nn.utils.fuse_conv_bn_eval(
            conv.eval(), torch.nn.BatchNorm2d(1, track_running_stats=False).eval())),
        raised(lambda: torch.nn.utils.skip_init(3)),
        raised(lambda: torch.nn.utils.skip_init(dict)),
        raised(lambda: torch.nn.utils.skip_init(torch.nn.ReLU)),
        raised(lambda: torch.nn.utils.skip_init(torch.nn.Tanh, device="cpu")),
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("program", [globally, without_a_module, of_ones_own, refused],
                         ids=lambda program: program.__name__)  # fmt: skip
def test_pruning_is_pytorchs(program):
    torch = oracle()
    assert program(tg) == program(torch)


def test_what_is_drawn_at_random_has_the_right_number():
    tg.manual_seed(0)
    layer = prune.random_unstructured(layer_of(tg), "weight", 0.5)
    assert layer.weight_mask.sum().item() == 12
    prune.random_unstructured(layer, "weight", 3)
    assert layer.weight_mask.sum().item() == 9
    layer = prune.random_structured(layer_of(tg), "weight", 2, dim=1)
    assert sorted(layer.weight_mask.sum(0).tolist()) == [0, 0, 4, 4, 4, 4]
    drawn = {tuple(prune.random_structured(layer_of(tg), "weight", 2, 1).weight_mask[0].tolist())
             for _ in range(20)}  # fmt: skip
    assert len(drawn) > 5


def test_pruned_weights_stay_zero_in_training_and_are_saved():
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    prune.l1_unstructured(net[0], "weight", 0.5)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    x = tg.randn(16, 3)
    before = net[0].weight_orig.clone()
    for _ in range(3):
        optimizer.zero_grad()
        (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    kept = net[0].weight_mask.bool()
    assert (net[0].weight_orig != before)[kept].any()
    assert (net[0].weight_orig == before)[~kept].all()
    twin = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    prune.identity(twin[0], "weight")
    twin.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(twin(x).detach(), net(x).detach())
    with pytest.raises(
        ValueError, match=r"^\[prune\] the parameter 'bias' of Linear is not pruned"
    ):
        prune.remove(net[0], "bias")


# ---------------------------------------------------------------------- fusion

FUSED = [
    ("Conv1d", dict(in_channels=2, out_channels=4, kernel_size=2, groups=2), "BatchNorm1d",
     (2, 2, 5)),
    ("Conv2d", dict(in_channels=2, out_channels=4, kernel_size=2), "BatchNorm2d", (2, 2, 5, 5)),
    ("Conv2d", dict(in_channels=2, out_channels=4, kernel_size=2, bias=False), "BatchNorm2d",
     (2, 2, 5, 5)),
    ("ConvTranspose2d", dict(in_channels=2, out_channels=4, kernel_size=2), "BatchNorm2d",
     (2, 2, 5, 5)),
    ("Linear", dict(in_features=3, out_features=4), "BatchNorm1d", (5, 3)),
    ("Linear", dict(in_features=3, out_features=4, bias=False), "BatchNorm1d", (5, 3)),
]  # fmt: skip


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("name", "arguments", "norm", "shape"), FUSED)
def test_fused_layers_compute_what_both_do(name, arguments, norm, shape, affine):
    rng = np.random.default_rng(0)
    layer = getattr(nn, name)(**arguments).double()
    bn = getattr(nn, norm)(4, affine=affine).double()
    state = {k: rng.random(v.shape) + 0.5 for k, v in bn.state_dict().items()
             if k != "num_batches_tracked"}  # fmt: skip
    bn.load_state_dict(state)
    both = nn.Sequential(layer, bn).eval()
    if name == "Linear":
        fused = nn.utils.fuse_linear_bn_eval(layer, bn)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, bn, transpose=name.startswith("ConvT"))
    x = tg.tensor(rng.standard_normal(shape))
    np.testing.assert_allclose(fused(x).detach(), both(x).detach(), rtol=1e-12, atol=1e-12)
    assert isinstance(fused, getattr(nn, name))
    assert fused.weight is not layer.weight
    assert fused.weight.requires_grad
    weights = (
        layer.weight,
        layer.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
    )
    if name != "Linear":
        made = nn.utils.fuse_conv_bn_weights(*weights, transpose=name.startswith("ConvT"))
    else:
        made = nn.utils.fuse_linear_bn_weights(*weights)
    np.testing.assert_array_equal(made[0].detach(), fused.weight.detach())
    torch = oracle()
    if affine or name != "Linear":  # (PyTorch's linear_bn needs a weight)
        theirs = getattr(torch.nn, name)(**arguments).double()
        theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in layer.state_dict().items()})
        norms = getattr(torch.nn, norm)(4, affine=affine).double()
        norms.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
        utils = torch.nn.utils
        other = (
            utils.fuse_linear_bn_eval(theirs.eval(), norms.eval())
            if name == "Linear"
            else utils.fuse_conv_bn_eval(theirs.eval(), norms.eval(), name.startswith("ConvT"))
        )
        np.testing.assert_allclose(fused.weight.detach(), other.weight.detach(), rtol=1e-12)
        np.testing.assert_allclose(fused.bias.detach(), other.bias.detach(), rtol=1e-12)
        assert fused.bias.requires_grad == other.bias.requires_grad


def test_modules_without_first_values_draw_nothing():
    tg.manual_seed(0)
    expected = tg.rand(3).tolist()
    tg.manual_seed(0)
    layer = nn.utils.skip_init(nn.Linear, 3, 4, device="emulated", dtype=tg.float64)
    nn.utils.skip_init(nn.Embedding, 3, 4)
    assert tg.rand(3).tolist() == expected
    assert (layer.weight.shape, str(layer.weight.device)) == ((4, 3), "emulated")
    assert nn.Linear(3, 4).weight.std() > 0  # what is made afterwards has first values
    assert copy.deepcopy(layer).weight.dtype == tg.float64
