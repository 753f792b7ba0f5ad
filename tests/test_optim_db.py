"""All optimizers of PyTorch's own database, with all its inputs, against PyTorch."""

import copy
import warnings

import numpy as np
import pytest

import tapegrad as tg

torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
database = pytest.importorskip("torch.testing._internal.common_optimizers")

NAMES = {"Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "LBFGS", "Muon",
         "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"}  # fmt: skip
SHAPES = [(4, 3), (3,), (), (2, 3, 4)]
MATRICES = [(4, 3), (3, 5)]


def infos():
    return {i.optim_cls.__name__: i for i in database.optim_db if i.name != "SparseAdam"}


def rows():
    """(optimizer, options) for each input of the database, and each again with another maximize."""
    for name, info in sorted(infos().items()):
        for given in info.optim_inputs_func(device="cpu"):
            yield pytest.param(name, given.kwargs, id=f"{name}-{given.desc.replace(' ', '_')}")


def of_ours(value):
    """PyTorch's option as one here."""
    return tg.tensor(value.numpy()) if isinstance(value, torch.Tensor) else value


class Trained:
    """Parameters that an optimizer brings near targets, by the loss sum((p - target)² + sqrt(1 + (3 * p * weight)²))."""

    def __init__(self, library, name, options, dtype, **place):
        rng = np.random.default_rng(3)
        shapes = MATRICES if name == "Muon" else SHAPES
        self.library, self.name = library, name
        arrays = [[np.asarray(rng.standard_normal(s), dtype) for s in shapes] for _ in range(3)]
        made = [[library.tensor(a, **place) for a in row] for row in arrays]
        self.params, self.targets, self.weights = made
        self.params = [p.requires_grad_() for p in self.params]
        options = {k: of_ours(x) if library is tg else x for k, x in copy.copy(options).items()}
        self.optimizer = getattr(library.optim, name)(self.params, **options)

    def closure(self):
        self.optimizer.zero_grad()
        loss = sum(
            ((p - t) ** 2).sum() + (1 + (3 * p * w) ** 2).sqrt().sum()
            for p, t, w in zip(self.params, self.targets, self.weights, strict=True)
        )
        loss.backward()
        return loss

    def step(self):
        return self.optimizer.step(self.closure)

    def numbers(self):
        return np.concatenate([p.detach().cpu().numpy().reshape(-1) for p in self.params])

    def compare(self, other, rtol):
        mine, theirs = self.numbers(), other.numbers()
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())


def test_no_optimizer_is_missing():
    assert infos().keys() == NAMES
    assert all(hasattr(tg.optim, name) for name in NAMES)


@pytest.fixture(autouse=True)
def float64_counts():
    """PyTorch keeps eta, mu and mu_product in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-6), ("float32", 2e-4)])
@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("name", "options"), list(rows()))
def test_thirty_steps_equal_pytorchs(name, options, device, dtype, rtol):
    ours = Trained(tg, name, options, dtype, device=device)
    theirs = Trained(torch, name, options, dtype)
    for _ in range(30):
        ours.step()
        theirs.step()
        ours.compare(theirs, rtol)
