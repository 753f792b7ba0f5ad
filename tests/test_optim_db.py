"""All optimizers of PyTorch's own database, with all its inputs, against PyTorch."""

import copy
import inspect

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
    """Parameters that an optimizer brings near targets, by the loss sum((p - target)² + sqrt(1 + (p
    * weight)²))."""

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
            ((p - t) ** 2).sum() + (1 + (p * w) ** 2).sqrt().sum()
            for p, t, w in zip(self.params, self.targets, self.weights, strict=True)
        )
        loss.backward()
        return loss

    def step(self):
        return self.optimizer.step(self.closure)

    def numbers(self):
        return np.concatenate([p.detach().cpu().double().numpy().reshape(-1) for p in self.params])

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


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-6), ("float32", 2e-3)])
@pytest.mark.parametrize("device", ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("name", "options"), list(rows()))
def test_thirty_steps_equal_pytorchs(name, options, device, dtype, rtol):
    ours = Trained(tg, name, options, dtype, device=device)
    theirs = Trained(torch, name, options, dtype)
    for _ in range(30):
        ours.step()
        theirs.step()
        if name != "LBFGS":  # whose way depends on each rounding, but not where it leads
            ours.compare(theirs, rtol)
    ours.compare(theirs, rtol)


def of_ours_all(params, known):
    """PyTorch's parameters, groups and names as ones here; ``known`` has those made before."""
    if isinstance(params, torch.Tensor):
        if id(params) not in known:
            known[id(params)] = tg.tensor(params.detach().numpy()).requires_grad_()
        return known[id(params)]
    if isinstance(params, dict):
        return {key: of_ours_all(x, known) for key, x in params.items()}
    if isinstance(params, (list, tuple)):
        return type(params)(of_ours_all(p, known) for p in params)
    return params


def error_rows():
    for name, info in sorted(infos().items()):
        for case in info.optim_error_inputs_func(device="cpu", dtype=torch.float64):
            given = case.optimizer_error_input
            yield pytest.param(name, case, id=f"{name}-{given.desc.replace(' ', '_')}")


@pytest.mark.parametrize(("name", "case"), list(error_rows()))
def test_error_inputs_raise_what_pytorch_raises(name, case):
    given, kind = case.optimizer_error_input, case.error_type
    if "complex" in given.desc:
        with pytest.raises(TypeError, match="complex"):  # there are no such tensors
            of_ours_all(given.params, {})
        return
    if kind is UserWarning:  # a group that repeats a parameter: here an error
        kind = ValueError
    params = given.params
    if params is None:
        params = [torch.zeros((1, 1), requires_grad=True)]
    options = {k: of_ours_deep(x) for k, x in given.kwargs.items()}
    with pytest.raises(kind, match=rf"^{name}: "):
        getattr(tg.optim, name)(of_ours_all(params, {}), **options)


def of_ours_deep(value):
    return tuple(map(of_ours, value)) if isinstance(value, tuple) else of_ours(value)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_signatures_and_defaults_are_pytorchs(name):
    ours, theirs = (
        getattr(library.optim, name)([library.zeros(1, 1, requires_grad=True)])
        for library in (tg, torch)
    )
    assert ours.defaults == theirs.defaults
    mine, other = (
        [(p.name, p.kind) for p in inspect.signature(type(o).__init__).parameters.values()]
        for o in (ours, theirs)
    )
    assert [given for given in mine if given[0] != "master_weights"] == other


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize(("name", "options"), list(rows()))
def test_training_goes_on_from_pytorchs_state(name, options, dtype):
    ours, theirs = Trained(tg, name, options, "float64"), Trained(torch, name, options, "float64")
    if dtype == "bfloat16":
        if name == "LBFGS":
            pytest.skip("its sums depend on each rounding")
        for one in (ours, theirs):
            for p in [*one.params, *one.targets, *one.weights]:
                p.data = p.data.to(one.library.bfloat16)
    for _ in range(3):
        theirs.step()
    for p, q in zip(ours.params, theirs.params, strict=True):
        p.data = tg.tensor(q.detach().double().numpy()).to(p.dtype)
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    saved, loaded = theirs.optimizer.state_dict(), ours.optimizer.state_dict()
    assert loaded["param_groups"][0].keys() == saved["param_groups"][0].keys()
    assert loaded["state"].keys() == saved["state"].keys()
    for number, state in saved["state"].items():
        assert loaded["state"][number].keys() == state.keys()
    for _ in range(3):
        ours.step()
        theirs.step()
    mine, other = ours.numbers(), theirs.numbers()
    rtol = 1e-6 if dtype == "float64" else 0.03
    np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol * np.abs(other).max())


@pytest.mark.parametrize(("name", "options"), list(rows()))
def test_pytorch_goes_on_from_our_state(name, options):
    ours, theirs = Trained(tg, name, options, "float64"), Trained(torch, name, options, "float64")
    for _ in range(3):
        ours.step()
    for p, q in zip(theirs.params, ours.params, strict=True):
        p.data = torch.tensor(q.detach().numpy())
    theirs.optimizer.load_state_dict(of_torch(ours.optimizer.state_dict()))
    for _ in range(3):
        ours.step()
        theirs.step()
    ours.compare(theirs, 1e-6)


def of_torch(value):
    if isinstance(value, tg.Tensor):
        return torch.tensor(value.numpy())
    if isinstance(value, dict):
        return {key: of_torch(x) for key, x in value.items()}
    return type(value)(map(of_torch, value)) if isinstance(value, (list, tuple)) else value
