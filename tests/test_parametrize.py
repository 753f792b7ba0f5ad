"""Parametrizations, weight and spectral normalisation: values, gradients and the names of what is
saved, with PyTorch as the oracle."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from conftest import DEVICES
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
@pytest.mark.parametrize("device", DEVICES)
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


def symmetric(torch):
    class Symmetric(torch.nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).T

        def right_inverse(self, A):
            return A.triu()

    return Symmetric()


def scaled(torch):
    class Scaled(torch.nn.Module):
        """Of a number and a direction."""

        def forward(self, scale, X):
            return scale * X

        def right_inverse(self, A):
            return A.abs().max(), A / A.abs().max()

    return Scaled()


def without_inverse(torch):
    class Doubled(torch.nn.Module):
        def forward(self, X):
            return 2 * X

    return Doubled()


def layer_of(torch):
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        layer.bias.fill_(0.5)
    return layer


def registered(torch):
    parametrize, layer = torch.nn.utils.parametrize, layer_of(torch)
    weight = layer.weight
    assert parametrize.register_parametrization(layer, "weight", symmetric(torch)) is layer
    found = [
        type(layer).__name__, repr(layer), plain(layer.weight), list(layer.state_dict()),
        layer.parametrizations.weight.original is weight, layer.weight is layer.weight,
        [n for n, _ in layer.named_parameters()], [n for n, _ in layer.named_modules()],
        parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "bias"),
        parametrize.type_before_parametrizations(layer).__name__,
        isinstance(layer, torch.nn.Linear),
        len(layer.parametrizations.weight), layer.parametrizations.weight.is_tensor,
    ]  # fmt: skip
    parametrize.register_parametrization(layer, "weight", without_inverse(torch))
    parametrize.register_parametrization(layer, "bias", scaled(torch))
    found += [
        plain(layer.weight), plain(layer.bias), list(layer.state_dict()),
        layer.parametrizations.bias.is_tensor, layer.parametrizations.bias.ntensors,
        [type(m).__name__ for m in layer.parametrizations.weight],
        plain(layer(torch.ones(1, 2))),
        raised(lambda: setattr(layer, "weight", torch.ones(2, 2))),
    ]  # fmt: skip
    layer.bias = torch.tensor([3.0, -6.0])
    found += [plain(layer.bias), plain(list(layer.parametrizations.bias.parameters()))]
    parametrize.remove_parametrizations(layer, "bias")
    found += [type(layer).__name__, plain(layer.bias), layer.bias.requires_grad]
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    found += [
        type(layer) is torch.nn.Linear, layer.weight is weight, plain(layer.weight),
        list(layer.state_dict()), hasattr(layer, "parametrizations"),
        parametrize.is_parametrized(layer), type(layer.weight).__name__,
    ]  # fmt: skip
    return found


def of_a_buffer(torch):
    parametrize, layer = torch.nn.utils.parametrize, torch.nn.BatchNorm1d(2)
    parametrize.register_parametrization(layer, "running_var", without_inverse(torch))
    layer(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
    found = [list(layer.state_dict()), plain(layer.running_mean), layer.training]
    parametrize.remove_parametrizations(layer, "running_var")
    return [*found, plain(layer.running_var), [n for n, _ in layer.named_buffers()]]


def cached_twice(torch):
    parametrize, layer = torch.nn.utils.parametrize, layer_of(torch)
    parametrize.register_parametrization(layer, "weight", symmetric(torch))
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            again = layer.weight
        same = first is again, first is layer.weight
    return same, first is layer.weight


def refused(torch):
    parametrize = torch.nn.utils.parametrize

    def parametrized(function, inverse=None, name="weight", unsafe=False, twice=False):
        class Mine(torch.nn.Module):
            def forward(self, *args):
                return function(*args)

        if inverse is not None:
            Mine.right_inverse = lambda self, X: inverse(X)
        layer = layer_of(torch)
        if twice:
            parametrize.register_parametrization(layer, name, symmetric(torch))
        before = list(layer.state_dict())
        result = raised(
            lambda: plain(
                getattr(
                    parametrize.register_parametrization(layer, name, Mine(), unsafe=unsafe), name
                )
            )
        )
        if isinstance(result, str):
            assert list(layer.state_dict()) == before
            assert plain(layer.weight) in ([[1, 2], [3, 4]], [[1, 2], [2, 4]])
        return result

    layer = parametrize.register_parametrization(layer_of(torch), "weight", scaled(torch))
    tensors = [
        parametrized(lambda X: X[0]),
        parametrized(lambda X: X[0], unsafe=True),
        parametrized(lambda X: X.double()),
        parametrized(lambda X: X.double(), unsafe=True),
        parametrized(lambda X: None),
        parametrized(lambda X: X[0], twice=True),
        parametrized(lambda X: None, twice=True),
        parametrized(lambda X: X, lambda X: X.double()),
        parametrized(lambda X: X, lambda X: None),
        parametrized(lambda X: X, lambda X: [None]),
        parametrized(lambda X: X, lambda X: X[0], twice=True),
        parametrized(lambda X: X, name="none"),
        parametrized(lambda X: X, lambda X: X * 3),
    ]
    return tensors, [
        raised(lambda: parametrize.remove_parametrizations(layer, "bias")),
        raised(lambda: parametrize.remove_parametrizations(layer, "weight", False)),
        raised(lambda: parametrize.ParametrizationList([], layer.bias)),
        raised(lambda: pickle.dumps(layer)),
        raised(lambda: torch.nn.utils.parametrizations.orthogonal(layer, "bias")),
        raised(lambda: torch.nn.utils.parametrizations.orthogonal(layer, "none")),
        raised(lambda: torch.nn.utils.parametrizations.orthogonal(layer_of(torch), "weight", "x")),
        raised(lambda: torch.nn.utils.parametrizations.spectral_norm(layer_of(torch), dim=2)),
        raised(lambda: torch.nn.utils.parametrizations.spectral_norm(layer_of(torch), "none")),
        raised(
            lambda: torch.nn.utils.parametrizations.spectral_norm(
                layer_of(torch), n_power_iterations=0
            )
        ),
        raised(lambda: torch.nn.utils.spectral_norm(layer_of(torch), n_power_iterations=0)),
        raised(lambda: torch.nn.utils.spectral_norm(layer_of(torch), "none")),
        raised(lambda: torch.nn.utils.weight_norm(layer_of(torch), "none")),
        raised(lambda: torch.nn.utils.remove_weight_norm(layer_of(torch))),
        raised(lambda: torch.nn.utils.remove_spectral_norm(layer_of(torch))),
        raised(lambda: torch.nn.utils.spectral_norm(torch.nn.utils.spectral_norm(layer_of(torch)))),
        raised(lambda: torch.nn.utils.weight_norm(torch.nn.utils.weight_norm(layer_of(torch)))),
    ]


def copied(torch):
    parametrize, layer = torch.nn.utils.parametrize, layer_of(torch)
    parametrize.register_parametrization(layer, "weight", symmetric(torch))
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.parametrizations.weight.original.fill_(3.0)
    return plain(layer.weight), plain(twin.weight), list(twin.state_dict()), type(twin).__name__


def transferred(torch):
    parametrize, source = torch.nn.utils.parametrize, layer_of(torch)
    plain_layer = parametrize.transfer_parametrizations_and_params(source, layer_of(torch))
    parametrize.register_parametrization(source, "weight", symmetric(torch))
    parametrize.register_parametrization(source, "bias", scaled(torch))
    target, other = layer_of(torch), layer_of(torch)
    parametrize.transfer_parametrizations_and_params(source, target)
    parametrize.transfer_parametrizations_and_params(source, other, "bias")
    return (
        type(plain_layer).__name__, list(target.state_dict()), list(other.state_dict()),
        target.parametrizations.weight.original is source.parametrizations.weight.original,
        other.parametrizations.bias.original1 is source.parametrizations.bias.original1,
        plain(target.weight),
    )  # fmt: skip


def old_forms(torch):
    utils = torch.nn.utils
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = utils.weight_norm(layer_of(torch))
    found = [[w.category.__name__ for w in caught], list(layer.state_dict()), type(layer).__name__]
    state = layer.state_dict()
    new = utils.parametrizations.weight_norm(layer_of(torch))
    new.load_state_dict({k: v * 2 for k, v in state.items()})
    found += [plain(new.weight), list(new.state_dict())]
    utils.remove_weight_norm(layer)
    found += [list(layer.state_dict()), plain(layer.weight), len(layer._forward_pre_hooks)]
    layer = utils.spectral_norm(layer_of(torch))
    found += [list(layer.state_dict()), dict(layer.state_dict()._metadata)]
    utils.remove_spectral_norm(layer)
    return [*found, list(layer.state_dict()), dict(layer.state_dict()._metadata)]


PROGRAMS = [
    registered, of_a_buffer, cached_twice, refused, copied, transferred, old_forms,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_parametrized_modules_are_pytorchs(program):
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    ours, theirs = program(tg), program(torch)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other


def test_orthogonal_weights_are_orthonormal_and_can_be_set():
    tg.manual_seed(0)
    for shape, kind in (((4, 4), "cayley"), ((3, 5), "matrix_exp"), ((2, 5, 3), "householder")):
        module = nn.Module()
        module.w = nn.Parameter(tg.randn(*shape, dtype=tg.float64))
        parametrizations.orthogonal(module, "w", kind)
        target = tg.linalg.qr(tg.randn(*shape, dtype=tg.float64).mT)[0].mT
        for value in (None, target):
            if value is not None and shape != (2, 5, 3):
                module.w = value
                np.testing.assert_allclose(module.w.detach(), value, atol=1e-12)
            q = module.w if shape[-2] >= shape[-1] else module.w.mT
            gram = (q.mT @ q).detach().numpy()
            np.testing.assert_allclose(gram, np.broadcast_to(np.eye(gram.shape[-1]), gram.shape),
                                       atol=1e-12)  # fmt: skip
    with pytest.raises(ValueError, match=r"the weight has shape \(2, 5, 3\), not \(1,\)"):
        module.w = tg.ones(1)


def test_spectral_norm_divides_by_the_largest_singular_value():
    tg.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(6, 4), n_power_iterations=50)
    largest = np.linalg.svd(layer.weight.detach().numpy())[1][0]
    assert largest == pytest.approx(1, rel=1e-5)


def test_removing_from_a_copy_leaves_the_original_parametrized():
    """(In PyTorch, both have one class, and the original loses its weight.)"""
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", symmetric(tg))
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(twin, "weight")
    assert type(twin) is nn.Linear
    assert layer.weight.shape == (2, 2)
    assert parametrize.is_parametrized(copy.copy(layer), "weight")


def test_messages_say_what_to_do():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", without_inverse(tg))
    with pytest.raises(RuntimeError, match="parametrization Doubled has no right_inverse"):
        layer.weight = tg.ones(2, 2)
    with pytest.raises(
        RuntimeError, match=r"ParametrizedLinear cannot be pickled: save its state_d"
    ):
        pickle.dumps(layer)
    with pytest.raises(ValueError, match="Linear has no parameter or buffer 'w' to parametrize"):
        parametrize.register_parametrization(nn.Linear(2, 2), "w", without_inverse(tg))
    with pytest.raises(ValueError, match="matrix_exp, cayley, householder, got 'qr'"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr")


@pytest.mark.parametrize("dim", [-2, 0, 1])
def test_lengths_along_any_dimension(dim: int) -> None:
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.Linear(3, 4), dim=dim)
    assert tuple(layer.weight_g.shape) == ((1, 3) if dim == 1 else (4, 1))
    with pytest.raises(IndexError, match="weight_norm"):
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 4), dim=5)
