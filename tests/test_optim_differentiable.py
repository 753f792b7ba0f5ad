"""Gradients through optimizer steps."""

import numpy as np
import pytest

import tapegrad as tg

ROWS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("AdamW", {}),
    ("RMSprop", {"momentum": 0.5, "centered": False}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adadelta", {"rho": 0.5}),
    ("Adamax", {}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"betas": (0.9, 0.5)}),
    ("ASGD", {"t0": 1, "lambd": 0.1}),
    ("Rprop", {}),
    ("Lion", {"weight_decay": 0.1}),
    ("LAMB", {}),
    ("AdEMAMix", {"weight_decay": 0.1}),
    ("ScheduleFreeAdamW", {"weight_decay": 0.1}),
]
RATE = 0.05


def start(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, (3, 2)), rng.uniform(0.5, 1.5, (3, 2)), np.array(RATE)


def leaf(array):
    return tg.tensor(array, requires_grad=True)


def trained(library, name, options, first, weight, rate, steps=3):
    """The sum of what ``steps`` steps make of the square of p, whose gradient depends on all."""
    p = first.clone()
    given = options if rate is None else {**options, "lr": rate}
    optimizer = getattr(library.optim, name)([p], differentiable=True, **given)
    for _ in range(steps):
        q = p.clone()
        loss = ((q * weight) ** 2).sum() + (q**4).sum()
        (p.grad,) = library.autograd.grad(loss, [q], create_graph=True)
        optimizer.step()
    return (p**2).sum()


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_gradients_are_slopes(name, options):
    """To the parameter before, what its gradient depends on, and the learning rate."""
    arrays = start()
    inputs = list(map(leaf, arrays))
    if name == "Rprop":  # whose lr is where its state begins: a number
        inputs, options = inputs[:2], {"lr": RATE}

    def value(*given):
        rate = given[2] if len(given) == 3 else None
        return trained(tg, name, options, *given[:2], rate)

    gradients = tg.autograd.grad(value(*inputs), inputs, allow_unused=True)
    for i, gradient in enumerate(gradients):
        for place in np.ndindex(arrays[i].shape):
            ends = []
            for shift in (1e-6, -1e-6):
                shifted = [a.copy() for a in arrays[: len(inputs)]]
                shifted[i][place] += shift
                ends.append(value(*map(leaf, shifted)).item())
            slope = (ends[0] - ends[1]) / 2e-6
            got = 0.0 if gradient is None else gradient[place].item()
            assert got == pytest.approx(slope, rel=1e-5, abs=1e-6)


# Where PyTorch's changes in place what it saved, or cuts off the first momentum, it is no oracle.
WITH_PYTORCH = [row for row in ROWS[:12] if row[0] not in ("Adamax",) and not row[1].get("amsgrad")
                and not row[1].get("nesterov")]  # fmt: skip


@pytest.fixture
def torch():
    """PyTorch, with float64 as default: in that it takes powers of betas."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("name", "options"), WITH_PYTORCH)
def test_gradients_equal_pytorchs(torch, name, options, device):
    results = []
    for library, place in ((tg, {"device": device}), (torch, {})):
        inputs = [library.tensor(a, requires_grad=True, **place) for a in start()[:2]]
        loss = trained(library, name, {**options, "lr": RATE}, *inputs, None)
        results.append([g.cpu().numpy() for g in library.autograd.grad(loss, inputs)])
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-12)


def test_what_was_recorded_before_a_step_stays_right():
    """PyTorch's raises here: it changes in place what the loss has saved."""
    first = tg.tensor([1.0, 2.0], requires_grad=True)
    p = first.clone()
    optimizer = tg.optim.SGD([p], lr=0.1, differentiable=True)
    loss = (p**2).sum()
    (p.grad,) = tg.autograd.grad(loss, [p], create_graph=True)
    optimizer.step()
    np.testing.assert_allclose(p.tolist(), [0.8, 1.6], rtol=1e-6)
    (loss + p.sum()).backward()
    np.testing.assert_allclose(first.grad.tolist(), [2.8, 4.8], rtol=1e-6)


def test_a_leaf_that_requires_grad_is_refused_before_anything_changes():
    leaf, p = (tg.ones(2, requires_grad=True) for _ in range(2))
    q = p.clone()
    q.grad = leaf.grad = tg.ones(2)
    optimizer = tg.optim.SGD([q, leaf], lr=0.1, differentiable=True)
    with pytest.raises(RuntimeError, match=r"^SGD.step: .*shape \(2,\) is a leaf.*p.clone\(\)"):
        optimizer.step()
    assert q.tolist() == leaf.tolist() == [1, 1]


def test_steps_are_recorded_whatever_the_mode():
    rate = tg.tensor(0.5, requires_grad=True)
    p = tg.ones(2)
    p.grad = tg.ones(2)
    with tg.no_grad():
        tg.optim.SGD([p], lr=rate, differentiable=True).step()
    p.sum().backward()
    assert rate.grad.item() == -2
