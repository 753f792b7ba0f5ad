"""Optimizers and schedules against PyTorch's, step by step."""

import copy
import pickle
import tracemalloc
from itertools import product

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.optim import SGD, Adam, AdamW, RMSprop
from tapegrad.optim.lr_scheduler import CosineAnnealingLR, StepLR
from tapegrad.optim.steps import options_of

SHAPES = [(3, 4), (5,), ()]


def options(**choices):
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


ELEMENTWISE = ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD",
               "Lion", "AdEMAMix", "ScheduleFreeAdamW"]  # fmt: skip

SGD_TABLE = [
    row
    for row in options(
        lr=[0.1],
        momentum=[0.0, 0.9],
        dampening=[0.0, 0.3],
        weight_decay=[0.0, 0.05],
        nesterov=[False, True],
        maximize=[False, True],
    )
    if not row["nesterov"] or (row["momentum"] and not row["dampening"])
]
ADAM_TABLE = options(
    lr=[0.01],
    betas=[(0.9, 0.999), (0.5, 0.6)],
    eps=[1e-8, 1e-3],
    weight_decay=[0.0, 0.1],
    amsgrad=[False, True],
    maximize=[False, True],
)
RMSPROP_TABLE = options(
    lr=[0.01],
    alpha=[0.99, 0.4],
    eps=[1e-8, 1e-3],
    weight_decay=[0.0, 0.1],
    momentum=[0.0, 0.9],
    centered=[False, True],
    maximize=[False, True],
)
TABLE = [
    *[("SGD", row) for row in SGD_TABLE],
    *[(name, row) for name in ("Adam", "AdamW") for row in ADAM_TABLE],
    *[("RMSprop", row) for row in RMSPROP_TABLE],
]


def name_of(value):
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items() if v and k != "lr")
    return value


def arrays(seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype=dtype) for shape in SHAPES]


def run(library, optimizer, steps, params):
    for step in steps:
        for p, g in zip(params, arrays(100 + step), strict=True):
            p.grad = library.tensor(g)
        optimizer.step()


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("name", "chosen"), TABLE, ids=name_of)
def test_twenty_steps_equal_pytorch(name, chosen, device):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours = [tg.tensor(a, device=device).requires_grad_() for a in arrays(0)]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays(0)]
    optimizer = getattr(tg.optim, name)(ours, **chosen)
    reference = getattr(torch.optim, name)(theirs, **chosen)
    for step in range(20):
        for p, q, g in zip(ours, theirs, arrays(100 + step), strict=True):
            p.grad, q.grad = tg.tensor(g, device=device), torch.tensor(g)
        optimizer.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_defaults_are_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours = getattr(tg.optim, name)([tg.zeros(1, requires_grad=True)]).defaults
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
    assert ours == {key: theirs[key] for key in ours}


@pytest.mark.parametrize("size", [65_536, 131_072, 131_073, 200_001])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_large_parameters_are_updated_piece_by_piece(name, size):
    """Larger than the cache-sized pieces in which the plain bodies work."""
    values = np.linspace(-1, 1, size, dtype=np.float32)
    whole = tg.tensor(values).requires_grad_()
    parts = [tg.tensor(part).requires_grad_() for part in np.array_split(values, 7)]
    for params in ([whole], parts):
        optimizer = getattr(tg.optim, name)(params, lr=0.1, weight_decay=0.1)
        for _ in range(3):
            for p in params:
                p.grad = (p.detach() * 2).clone()
            optimizer.step()
    joined = np.concatenate([p.detach().numpy() for p in parts])
    np.testing.assert_array_equal(whole.detach().numpy(), joined)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_transposed_parameters_and_gradients(name):
    base = np.arange(12, dtype=np.float64).reshape(3, 4)
    results = []
    for layout in (np.ascontiguousarray, lambda a: np.ascontiguousarray(a.T).T):
        p = tg.from_numpy(layout(base.copy())).requires_grad_()
        p.grad = tg.from_numpy(layout(base / 7))
        getattr(tg.optim, name)([p], lr=0.1, weight_decay=0.1).step()
        results.append(p.detach().numpy())
    # (A loop in C++ has steps of contiguous arrays only, and rounds in another place or two.)
    np.testing.assert_allclose(*results, rtol=1e-14)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "AdamW"])
def test_half_precision_is_rounded_once(name):
    start, gradient = arrays(0, "float32")[0], arrays(1, "float32")[0].astype("float16")
    wide = tg.tensor(start.astype("float16").astype("float32")).requires_grad_()
    narrow = tg.tensor(start.astype("float16")).requires_grad_()
    for p in (wide, narrow):
        p.grad = tg.tensor(gradient.astype(p.dtype))
        getattr(tg.optim, name)([p], lr=0.1, weight_decay=0.1).step()
    expected = wide.detach().numpy().astype("float16")
    np.testing.assert_array_equal(narrow.detach().numpy(), expected)


def test_empty_parameters_are_left_alone():
    p = tg.zeros((0, 3), requires_grad=True)
    p.grad = tg.zeros((0, 3))
    for optimizer in (SGD([p], momentum=0.9), Adam([p]), RMSprop([p], centered=True)):
        optimizer.step()
        sizes = {k: tuple(v.shape) for k, v in optimizer.state[p].items() if tg.is_tensor(v)}
        assert set(sizes.values()) <= {(0, 3), ()}
        assert sizes
    for name in [*ELEMENTWISE, "Rprop", "LAMB", "Adafactor", "Muon"]:
        getattr(tg.optim, name)([p]).step()
        assert p.shape == p.grad.shape == (0, 3)


def test_parameters_without_gradient_are_skipped():
    used, unused = (tg.ones(2, requires_grad=True) for _ in range(2))
    used.grad = tg.ones(2)
    optimizer = Adam([used, unused], lr=0.5, weight_decay=0.1)
    optimizer.step()
    assert unused.tolist() == [1, 1]
    assert used.tolist() != [1, 1]
    assert list(optimizer.state) == [used]


def test_groups_have_options_of_their_own():
    a, b = (tg.ones(1, requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": a}, {"params": [b], "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": [c := tg.ones(1, requires_grad=True)], "lr": 0.5})
    for p in (a, b, c):
        p.grad = tg.ones(1)
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0.0, 0.5], atol=1e-7)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1.0, 0.5]
    assert "\n\nParameter Group 1\n    dampening: 0\n" in repr(optimizer)


@pytest.mark.parametrize(
    "name",
    [
        "ASGD",
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "LBFGS",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    ],
)
def test_optimizers_are_shown_as_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)

    def shown(t):
        parameters = [t.nn.Parameter(t.ones(i)) for i in (1, 2, 3)]
        groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.5}]
        return repr(getattr(t.optim, name)(parameters if name == "LBFGS" else groups))

    assert shown(tg) == shown(torch)


def test_a_generator_of_parameters_is_taken():
    assert (
        len(
            SGD((tg.zeros(1, requires_grad=True) for _ in range(3)), lr=1).param_groups[0]["params"]
        )
        == 3
    )


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    p = tg.ones(1, requires_grad=True)
    optimizer = SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * 3).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 3
    np.testing.assert_allclose(p.item(), 0.7, rtol=1e-6)


def test_zero_grad():
    p = tg.ones(2, requires_grad=True)
    optimizer = SGD([p], lr=0.1)
    p.grad = tg.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize(
    ("make", "chosen"),
    [
        (SGD, {"momentum": 0.9, "nesterov": True}),
        (Adam, {"amsgrad": True}),
        (AdamW, {}),
        (RMSprop, {"momentum": 0.9, "centered": True}),
        *[
            (getattr(tg.optim, name), {})
            for name in [*ELEMENTWISE[3:], "Rprop", "LAMB", "Adafactor"]
        ],
    ],
)
def test_state_dict_resumes_bit_for_bit(make, chosen):
    def fresh():
        params = [tg.tensor(a).requires_grad_() for a in arrays(0)]
        return params, make(params, lr=0.05, **chosen)

    straight, optimizer = fresh()
    run(tg, optimizer, range(6), straight)

    first, optimizer = fresh()
    run(tg, optimizer, range(3), first)
    second = [p.detach().clone().requires_grad_() for p in first]
    resumed = make(second, lr=1.0)
    resumed.load_state_dict(optimizer.state_dict())
    run(tg, optimizer, range(3), first)  # does not disturb what was loaded
    run(tg, resumed, range(3, 6), second)
    for p, q in zip(second, straight, strict=True):
        assert p.tolist() == q.tolist()


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("Adam", {"amsgrad": True}), ("RMSprop", {"momentum": 0.9, "centered": True})],
)
def test_state_dict_has_pytorchs_form(name, chosen):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours = [tg.tensor(a).requires_grad_() for a in arrays(0)]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays(0)]
    optimizer = getattr(tg.optim, name)(ours, **chosen)
    reference = getattr(torch.optim, name)(theirs, **chosen)
    run(tg, optimizer, [0], ours)
    run(torch, reference, [0], theirs)
    mine, other = optimizer.state_dict(), reference.state_dict()
    assert mine["state"].keys() == other["state"].keys()
    assert mine["state"][0].keys() == other["state"][0].keys()
    assert mine["param_groups"][0]["params"] == other["param_groups"][0]["params"]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {"amsgrad": True}),
        ("AdamW", {}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
    ],
)
def test_training_goes_on_from_pytorchs_state(name, chosen):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays(0)]
    reference = getattr(torch.optim, name)(theirs, **chosen)
    run(torch, reference, range(3), theirs)
    ours = [tg.tensor(p.detach().numpy()).requires_grad_() for p in theirs]
    optimizer = getattr(tg.optim, name)(ours, lr=1.0)
    optimizer.load_state_dict(reference.state_dict())
    run(torch, reference, range(3, 6), theirs)
    run(tg, optimizer, range(3, 6), ours)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)


def test_load_state_dict_refuses_other_parameters():
    optimizer = SGD([tg.zeros(1, requires_grad=True)], lr=0.1)
    other = SGD([tg.zeros(1, requires_grad=True) for _ in range(2)], lr=0.1)
    with pytest.raises(ValueError, match=r"\[1\] parameters, those in the state_dict \[2\]"):
        optimizer.load_state_dict(other.state_dict())
    a, b = tg.zeros(2, requires_grad=True), tg.zeros(3, requires_grad=True)
    run_once = Adam([a])
    a.grad = tg.ones(2)
    run_once.step()
    with pytest.raises(ValueError, match=r"'exp_avg' has shape \(2,\), its parameter \(3,\)"):
        Adam([b]).load_state_dict(run_once.state_dict())


@pytest.mark.parametrize(
    ("make", "chosen", "message"),
    [
        (SGD, {"lr": -1}, "SGD: lr must be at least 0, not -1"),
        (SGD, {"momentum": -0.1}, "momentum must be at least 0"),
        (SGD, {"weight_decay": -1}, "weight_decay must be at least 0"),
        (SGD, {"nesterov": True}, "nesterov must be False unless momentum is positive"),
        (SGD, {"lr": float("nan")}, "lr must be at least 0, not nan"),
        (Adam, {"eps": -1}, "Adam: eps must be at least 0"),
        (Adam, {"betas": (1.0, 0.9)}, "betas must be two numbers, at least 0 and below 1"),
        (AdamW, {"betas": (0.9,)}, "AdamW: betas must be two numbers"),
        (RMSprop, {"alpha": -0.1}, "RMSprop: alpha must be at least 0"),
    ],
)
def test_options_out_of_range(make, chosen, message):
    with pytest.raises(ValueError, match=message):
        make([tg.zeros(1, requires_grad=True)], **chosen)


def test_parameters_that_cannot_be_optimized():
    p = tg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"model.parameters\(\), not a Tensor"):
        SGD(p)
    with pytest.raises(ValueError, match="no parameters to optimize"):
        SGD([])
    with pytest.raises(TypeError, match="must be tensors, got int"):
        SGD([1])
    with pytest.raises(ValueError, match="only leaves can be optimized"):
        SGD([p * 2])
    with pytest.raises(ValueError, match="more than once"):
        SGD([p, p])
    with pytest.raises(ValueError, match="more than once"):
        SGD([{"params": [p]}, {"params": [p]}])


def test_a_step_invalidates_what_the_tape_saved():
    p = tg.ones(2, requires_grad=True)
    loss = (p * p).sum()
    p.grad = tg.ones(2)
    SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"optim\.SGD\.step"):
        loss.backward()


SCHEDULES = [
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 7}),
    ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.01}),
]


@pytest.mark.parametrize(("name", "chosen"), SCHEDULES, ids=name_of)
def test_schedules_equal_pytorch(name, chosen):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    rates = []
    for library in (tg, torch):
        p, q = (library.zeros(1, requires_grad=True) for _ in range(2))
        optimizer = library.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1)
        schedule = getattr(library.optim.lr_scheduler, name)(optimizer, **chosen)
        seen = []
        for _ in range(12):
            assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
            seen.append(schedule.get_last_lr())
            optimizer.step()
            schedule.step()
        rates.append(seen)
    np.testing.assert_allclose(*rates, rtol=1e-12, atol=1e-15)


def two_groups(library, rate=lambda library, lr: lr):
    p, q = (library.zeros(1, requires_grad=True) for _ in range(2))
    groups = [{"params": [p]}, {"params": [q], "lr": rate(library, 0.3)}]
    return library.optim.SGD(groups, lr=rate(library, 0.1))


def rates_over(library, names, disturb=lambda library, optimizer, epoch: None, **rate):
    optimizer = two_groups(library, **rate)
    schedules = [
        getattr(library.optim.lr_scheduler, name)(optimizer, **chosen) for name, chosen in names
    ]
    seen = []
    for epoch in range(30):
        disturb(library, optimizer, epoch)
        for schedule in schedules:
            optimizer.step()
            schedule.step()
            seen.append([float(lr) for lr in schedule.get_last_lr()])
            seen.append([float(group["lr"]) for group in optimizer.param_groups])
    seen.append([float(lr) for schedule in schedules for lr in schedule.base_lrs])
    return [lr for row in seen for lr in row]


def set_by_hand(library, optimizer, epoch):
    if epoch in (4, 11):
        optimizer.param_groups[epoch % 2]["lr"] = 0.7


def add_group(library, optimizer, epoch):
    if epoch == 5:
        optimizer.add_param_group({"params": [library.zeros(1, requires_grad=True)], "lr": 0.9})


def tensor_rate(library, lr):
    return library.tensor(lr, dtype=library.float64)


@pytest.mark.parametrize(
    ("names", "how"),
    [
        ([("StepLR", {"step_size": 2}), ("StepLR", {"step_size": 3, "gamma": 0.5})], {}),
        ([("StepLR", {"step_size": 2}), ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01})], {}),
        ([("CosineAnnealingLR", {"T_max": 3}), ("CosineAnnealingLR", {"T_max": 5})], {}),
        *[
            ([schedule], how)
            for schedule in SCHEDULES
            for how in ({"disturb": set_by_hand}, {"rate": tensor_rate})
        ],
        *[([schedule], {"disturb": add_group}) for schedule in SCHEDULES[:2]],
    ],
)
def test_schedules_go_on_from_the_rate_in_use(names, how):
    """(F01) (F03) (F04) (P07)"""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    ours, theirs = rates_over(tg, names, **how), rates_over(torch, names, **how)
    if "disturb" in how and how["disturb"] is add_group:
        assert ours.pop() == 0.9  # which PyTorch's base_lrs do not have
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


def test_a_group_added_later_follows_a_cosine_to_its_end():
    """(F04): PyTorch's raises at the turn of the cosine."""
    optimizer = two_groups(tg)
    schedule = CosineAnnealingLR(optimizer, T_max=4)
    optimizer.add_param_group({"params": [tg.zeros(1, requires_grad=True)], "lr": 0.1})
    optimizer.step()
    for _ in range(20):
        schedule.step()
        first, second, third = schedule.get_last_lr()
        assert first == third == optimizer.param_groups[2]["lr"]
        np.testing.assert_allclose(second, 3 * first, atol=1e-12)


def test_the_rate_before_any_schedule_is_remembered():
    """(P01)"""
    optimizer = SGD([tg.zeros(1, requires_grad=True)], lr=1.0)
    StepLR(optimizer, 2)
    optimizer.param_groups[0]["lr"] = 0.3
    for make in (lambda: StepLR(optimizer, 3), lambda: CosineAnnealingLR(optimizer, 3)):
        assert make().base_lrs == [1.0]
        assert optimizer.param_groups[0]["lr"] == 0.3


def test_a_tensor_rate_is_changed_in_place_and_not_shared():
    """(P07)"""
    lr = tg.tensor(1.0)
    optimizer = SGD([tg.zeros(1, requires_grad=True)], lr=lr)
    schedule = StepLR(optimizer, 1)
    assert lr is optimizer.param_groups[0]["lr"]
    last = schedule.get_last_lr()
    optimizer.step()
    schedule.step()
    np.testing.assert_allclose([lr.item(), schedule.get_last_lr()[0].item()], 0.1, rtol=1e-6)
    assert last[0].item() == 1.0
    assert schedule.base_lrs[0].item() == 1.0


def test_schedule_resumes():
    def fresh():
        schedule = StepLR(SGD([tg.zeros(1, requires_grad=True)], lr=0.1), step_size=2)
        schedule.optimizer.step()
        return schedule

    first, second = fresh(), fresh()
    for _ in range(3):
        first.step()
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    for schedule in (first, second):
        schedule.step()
    assert second.get_last_lr() == first.get_last_lr()
    assert second.optimizer.param_groups[0]["lr"] == first.optimizer.param_groups[0]["lr"]


def test_bad_schedules():
    optimizer = SGD([tg.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(TypeError, match="StepLR needs an Optimizer, got int"):
        StepLR(3, step_size=1)
    with pytest.raises(ValueError, match="step_size must be at least 1"):
        StepLR(optimizer, step_size=0)
    with pytest.raises(ValueError, match="T_max must be at least 1"):
        CosineAnnealingLR(optimizer, T_max=0)
    with pytest.raises(KeyError, match="initial_lr"):
        StepLR(optimizer, step_size=1, last_epoch=4)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, lr=0.1, momentum=0.9),
        lambda p: Adam(p, lr=0.1, amsgrad=True),
        lambda p: AdamW(p, lr=0.1),
        lambda p: RMSprop(p, lr=0.1, momentum=0.9, centered=True),
    ],
    ids=["SGD", "Adam", "AdamW", "RMSprop"],
)
def test_state_of_another_dtype_shape_or_device_is_refused_before_anything_changes(make, device):
    def step(*params):
        for p in params:
            p.grad = tg.ones_like(p)
        optimizer.step()

    other = "cpu" if device == "emulated" else "emulated"
    for change, words in (
        (lambda p: p.double(), "float64.*float32"),
        (lambda p: p.half(), "float16.*float32"),
        (lambda p: p[:2].clone(), r"\(2, 5\)"),
        (lambda p: p.T.clone(), r"\(5, 4\)"),
        (lambda p: p.to(other), f"{other}.*{device}"),
    ):
        first = tg.ones(3, device=device).requires_grad_()
        second = tg.ones(4, 5, device=device).requires_grad_()
        optimizer = make([{"params": [first]}, {"params": [second]}])
        step(first, second)
        second.data = change(second.detach())
        before = first.tolist(), second.tolist()
        second.grad = None
        with pytest.raises(RuntimeError, match=f"(?s)parameter 1.*{words}.*load_state_dict"):
            step(first, second)
        assert (first.tolist(), second.tolist()) == before
        if second.shape == (4, 5):  # the remedy that the message names
            optimizer.load_state_dict(optimizer.state_dict())
            step(first, second)
            assert second.tolist() != before[1]
            assert all(
                value.dtype == second.dtype and value.device is second.device
                for key, value in optimizer.state[second].items()
                if key != "step" and isinstance(value, tg.Tensor)
            )


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("make", [SGD, Adam], ids=["SGD", "Adam"])
def test_a_gradient_of_another_dtype_shape_or_device_is_refused(make, device):
    other = "cpu" if device == "emulated" else "emulated"
    for change in (lambda p: p.half(), lambda p: p[:2].clone(), lambda p: p.to(other)):
        p = tg.ones(4, 5, device=device).requires_grad_()
        optimizer = make([p], lr=0.1)
        p.grad = tg.ones_like(p)
        p.data = change(p.detach())
        with pytest.raises(RuntimeError, match=r"(?s)parameter 0.*its gradient.*backward"):
            optimizer.step()
        assert (p == 1).all()


@pytest.mark.parametrize("name", ["sgd_step", "adam_step"])
@pytest.mark.parametrize("device", ["emulated", "cpu"])
def test_step_kernels_leave_mixed_arrays_to_the_plain_body(name, device):
    from tapegrad.core.devices import overrides

    kernel = next((f for types, f in overrides[name] if device in types), None)
    if kernel is None:
        pytest.skip("no loops for the CPU were compiled")
    options = {key: 0.5 for key in options_of(name)}
    states = {"sgd_step": 1, "adam_step": 2}[name]
    good = np.ones((2, 3), "float32")
    for bad in (good.astype("float64"), np.ones(2, "float32"), np.ones((3, 2), "float32").T):
        for place in range(2 + states):
            arrays = [bad if i == place else good.copy() for i in range(2 + states)]
            if place == 1 and bad.shape == good.shape and bad.dtype == good.dtype:
                continue  # a gradient may lie in memory as it likes: a kernel's is copied
            if name == "adam_step":
                arrays.append(None)
            assert kernel(tg.device(device), *arrays, **options) is NotImplemented


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_choices_among_pytorchs_implementations_are_taken_and_change_nothing(name: str) -> None:
    make = getattr(tg.optim, name)
    steps = []
    way = "capturable" if name == "RMSprop" else "fused"
    for options in ({}, {"foreach": False, way: True}):
        p = tg.tensor([1.0, -2.0], requires_grad=True)
        p.grad = tg.tensor([0.5, 0.25])
        make([p], lr=0.1, **options).step()
        steps.append(p.tolist())
    assert steps[0] == steps[1]
    if way == "fused":
        with pytest.raises(RuntimeError, match=rf"^{name}: fused and foreach cannot both be True"):
            make([p], lr=0.1, foreach=True, fused=True)


# ---- options and state --------------------------------------------------------------------------

MAKERS = {
    "SGD": lambda p, **more: SGD(p, **{"lr": 0.1, "momentum": 0.9, **more}),
    "Adam": lambda p, **more: Adam(p, **{"lr": 0.1, "amsgrad": True, **more}),
    "AdamW": lambda p, **more: AdamW(p, **{"lr": 0.1, **more}),
    "RMSprop": lambda p, **more: RMSprop(p, **{"momentum": 0.9, "centered": True, **more}),
}


def stepped(name, count=2, steps=1, dtype=tg.float32, **more):
    params = [tg.ones(2, 3, dtype=dtype, requires_grad=True) for _ in range(count)]
    optimizer = MAKERS[name]([{"params": [p]} for p in params], **more)
    for step in range(steps):
        for p in params:
            p.grad = tg.ones(2, 3, dtype=dtype) * (step + 0.5)
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("name", MAKERS)
def test_numbers_may_be_tensors_and_numpys(name, device):
    """(P07)"""
    results = []
    for number in (float, lambda x: tg.tensor(x, dtype=tg.float64), np.float64, np.float32):
        p = tg.tensor([1.0, -2.0], dtype=tg.float64, device=device).requires_grad_()
        options = {"lr": number(0.1), "weight_decay": number(0.25)}
        if name.startswith("Adam"):
            options["betas"] = [number(0.5), number(0.75)]
        optimizer = MAKERS[name]([p], **options)
        for _ in range(3):
            p.grad = tg.tensor([0.5, 0.25], dtype=tg.float64, device=device)
            optimizer.step()
        assert p.dtype == tg.float64
        results.append(p.detach().cpu().numpy())
        optimizer.load_state_dict(optimizer.state_dict())
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"lr must be at least 0, not float32 \(2,\)"):
        MAKERS[name]([p], lr=tg.ones(2))


@pytest.mark.parametrize("name", MAKERS)
def test_parameters_may_have_names(name):
    """(P06)"""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    states = []
    for library in (tg, torch):
        model = library.nn.Linear(2, 1)
        optimizer = getattr(library.optim, name)(model.named_parameters(), lr=0.1)
        model(library.ones(1, 2)).sum().backward()
        optimizer.step()
        states.append(optimizer.state_dict()["param_groups"][0])
        optimizer.load_state_dict(optimizer.state_dict())
        p, q = (library.zeros(1, requires_grad=True) for _ in range(2))
        with pytest.raises(ValueError, match="names"):
            optimizer.add_param_group({"params": [p]})
        with pytest.raises((ValueError, TypeError), match=r"[Nn]ames"):
            getattr(library.optim, name)([("p", p), q])
        optimizer.add_param_group({"params": [("q", q)]})
        states.append(optimizer.state_dict()["param_groups"][1])
    for ours, theirs in (states[::2], states[1::2]):
        assert ours["param_names"] == theirs["param_names"]
        assert ours["params"] == theirs["params"]


def break_group(**options):
    return lambda state: state["param_groups"][1].update(options)


def break_state(**entries):
    return lambda state: state["state"][1].update(entries)


def without(key):
    return lambda state: state["state"][1].pop(key)


BAD_OPTIONS = [
    ("lr", "abc"), ("lr", -1), ("lr", float("nan")), ("lr", None), ("lr", [0.1]),
    ("weight_decay", "0"), ("maximize", 3), ("maximize", None),
]  # fmt: skip
BAD_STATES = [
    ("SGD", break_group(momentum="x"), r"group 1.*momentum must be"),
    ("SGD", break_group(dampening="x"), r"group 1.*dampening must be a number"),
    ("SGD", break_group(nesterov=1), r"group 1.*nesterov must be True or False"),
    ("SGD", break_state(momentum_buffer=3), r"parameter 1: 'momentum_buffer' is no tensor"),
    ("Adam", break_group(betas=3), r"group 1.*betas must be two numbers"),
    ("Adam", break_group(betas=("a", 0.9)), r"group 1.*betas must be two numbers"),
    ("Adam", break_group(amsgrad="yes"), r"group 1.*amsgrad must be True or False"),
    ("Adam", without("step"), r"group 1, parameter 1: 'step' is missing"),
    ("Adam", without("exp_avg_sq"), r"group 1, parameter 1: 'exp_avg_sq' is missing"),
    ("Adam", without("max_exp_avg_sq"), r"parameter 1: 'max_exp_avg_sq' is missing"),
    ("Adam", lambda state: state["state"].update({1: {}}), r"parameter 1: 'step' is missing"),
    ("Adam", lambda state: state["state"].update({1: 3}), r"group 1, parameter 1: .*dict, got int"),
    *[
        ("Adam", break_state(step=step), r"group 1, parameter 1: 'step' must be a number of steps")
        for step in (-5, 2.5, "abc", None, float("nan"), tg.ones(2))
    ],
    ("Adam", break_state(exp_avg=tg.ones(3)), r"'exp_avg' has shape \(3,\), its parameter"),
    ("AdamW", break_state(exp_avg=None), r"parameter 1: 'exp_avg' is missing"),
    ("RMSprop", without("square_avg"), r"parameter 1: 'square_avg' is missing"),
    ("RMSprop", without("grad_avg"), r"parameter 1: 'grad_avg' is missing"),
    ("RMSprop", break_group(alpha=-1), r"group 1.*alpha must be at least 0"),
    *[("SGD", break_group(**{key: bad}), f"group 1.*{key} must be") for key, bad in BAD_OPTIONS],
    ("SGD", lambda state: state["state"].update({7: {}}), r"state of parameter 7"),
    ("SGD", lambda state: state.pop("state"), r"'state' is missing"),
    ("SGD", lambda state: state.pop("param_groups"), r"'param_groups' is missing"),
    ("SGD", lambda state: state.clear(), r"'state' is missing"),
    ("SGD", lambda state: state["param_groups"].pop(), r"the groups have \[1, 1\].*\[1\]"),
    ("SGD", lambda state: state["param_groups"][1].pop("params"), r"group 1 has no list 'params'"),
    ("SGD", break_group(params=[0]), r"group 1 names parameter 0 again"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), BAD_STATES)
def test_a_damaged_state_is_refused_before_anything_changes(name, change, message):
    """(R09)"""
    _, optimizer = stepped(name)
    _, other = stepped(name, steps=3, lr=0.5)
    saved = other.state_dict()
    change(saved)
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match=rf"^{name}.load_state_dict.*{message}"):
        optimizer.load_state_dict(saved)
    assert str(optimizer.state_dict()) == before
    with pytest.raises(ValueError, match="'state' is missing"):
        optimizer.load_state_dict(None)


@pytest.mark.parametrize("key", ["lr", "weight_decay", "maximize"])
def test_an_option_of_another_kind_is_refused_at_once(key):
    for name in MAKERS:
        for bad in [bad for option, bad in BAD_OPTIONS if option == key]:
            with pytest.raises(ValueError, match=f"^{name}: {key} must be"):
                MAKERS[name]([tg.zeros(1, requires_grad=True)], **{key: bad})


class Averaging(tg.optim.Optimizer):
    """An optimizer as users write them: its own step, its own state."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["rows"] = p.grad.sum(0)
                state["count"] = tg.tensor([3, 4])
                state["history"] = [{"norm": p.grad.norm(), "words": "abc"}, (1, None)]
                state["step"] = "first"
        self.state["all"] = {"seen": 3}


def test_state_of_any_shape_is_loaded():
    """(U07)"""
    p = tg.ones(2, 3, requires_grad=True)
    p.grad = tg.ones(2, 3)
    optimizer = Averaging([p])
    optimizer.step()
    q = tg.ones(2, 3, dtype=tg.float64, requires_grad=True)
    loaded = Averaging([q])
    loaded.load_state_dict(optimizer.state_dict())
    state = loaded.state[q]
    assert (state["rows"].tolist(), state["rows"].dtype) == ([2.0] * 3, tg.float64)
    assert (state["count"].tolist(), state["count"].dtype) == ([3, 4], tg.int64)
    assert state["history"][0]["norm"].dtype == tg.float64
    assert state["history"][1] == (1, None)
    assert (state["step"], loaded.state["all"]) == ("first", {"seen": 3})
    optimizer.state[p]["rows"].zero_()
    assert state["rows"].tolist() == [2.0] * 3

    _, adam = stepped("Adam")
    saved = adam.state_dict()
    saved["state"][0]["rows"] = np.ones((5, 1), np.float32)
    adam.load_state_dict(saved)
    assert adam.state_dict()["state"][0]["rows"].shape == (5, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last_epoch": "x"}, "'last_epoch' must be a number"),
        ({"last_epoch": 2.5}, "'last_epoch' must be an epoch"),
        ({"last_epoch": -3}, "'last_epoch' must be an epoch"),
        ({"gamma": None}, "'gamma' must be a number"),
        ({"base_lrs": [0.1, "x"]}, "'base_lrs' must be a list of numbers"),
        ({"base_lrs": 0.1}, "'base_lrs' must be a list of numbers"),
        ({"base_lrs": [0.1] * 3}, "'base_lrs' has 3 rates, the optimizer 2 groups"),
        ({"step_size": ...}, "'step_size' is missing"),
        ({"last_epoch": ...}, "'last_epoch' is missing"),
    ],
)
def test_a_damaged_schedule_is_refused_before_anything_changes(change, message):
    """(R09)"""
    schedule = StepLR(two_groups(tg), 2)
    saved = StepLR(two_groups(tg), 5).state_dict() | change
    saved = {key: value for key, value in saved.items() if value is not ...}
    before = str(schedule.state_dict())
    with pytest.raises(ValueError, match=f"^StepLR.load_state_dict: {message}"):
        schedule.load_state_dict(saved)
    with pytest.raises(ValueError, match=r"StepLR\.load_state_dict takes what state_dict"):
        schedule.load_state_dict(None)
    with pytest.raises(ValueError, match="'step_size' is missing"):
        schedule.load_state_dict(CosineAnnealingLR(two_groups(tg), 5).state_dict())
    assert str(schedule.state_dict()) == before


def test_a_schedule_goes_on_from_pytorchs_state():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs, ours = (StepLR_of(two_groups(library)) for library, StepLR_of in (
        (torch, lambda o: torch.optim.lr_scheduler.StepLR(o, 2)), (tg, lambda o: StepLR(o, 3))
    ))  # fmt: skip
    for _ in range(3):
        theirs.optimizer.step()
        theirs.step()
    ours.load_state_dict(theirs.state_dict())
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    theirs.step()
    ours.step()
    assert ours.get_last_lr() == theirs.get_last_lr()
    assert ours.base_lrs == theirs.base_lrs


class Broken(StepLR):
    wrong = None

    def get_lr(self):
        return super().get_lr() if self.wrong is None else self.wrong()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(lambda: 1 / 0, ZeroDivisionError), (lambda: [0.1], ValueError),
     (lambda: [0.1, "x"], ValueError), (lambda: None, TypeError)],
)  # fmt: skip
def test_a_schedule_that_raises_changes_nothing(wrong, error):
    """(F04)"""
    optimizer = two_groups(tg)
    schedule = Broken(optimizer, 2)
    optimizer.step()
    optimizer.add_param_group({"params": [tg.zeros(1, requires_grad=True)]})
    before = str((schedule.state_dict(), optimizer.state_dict()))
    schedule.wrong = wrong
    with pytest.raises(error):
        schedule.step()
    del schedule.wrong
    assert str((schedule.state_dict(), optimizer.state_dict())) == before


@pytest.mark.parametrize("make", [StepLR, CosineAnnealingLR])
def test_schedules_take_numbers(make):
    for bad in ("abc", None, 1j, [1]):
        with pytest.raises(TypeError, match=rf"{make.__name__}: \w+ must be a number, not"):
            make(two_groups(tg), bad)
        with pytest.raises(TypeError, match=rf"{make.__name__}: \w+ must be a number, not"):
            make(two_groups(tg), 2, bad)


@pytest.mark.parametrize("shape", [(1500, 1000), (1_500_000,)])
@pytest.mark.parametrize("dtype", [tg.float32, tg.float16])
@pytest.mark.parametrize("name", [*ELEMENTWISE, "Rprop", "LAMB", "Adafactor"])
def test_a_step_makes_no_temporary_of_a_parameters_size(name, shape, dtype):
    p = tg.ones(shape, dtype=dtype, requires_grad=True)
    p.grad = tg.full(shape, 0.25, dtype=dtype)
    optimizer = getattr(tg.optim, name)([p], lr=0.01)
    optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        assert tracemalloc.get_traced_memory()[1] < p._array.nbytes * (
            1 if dtype == tg.float16 else 0.5
        )
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(700, 300), (3, 300, 200), (200_001,), (90_000, 1)])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_adafactor_goes_piece_by_piece(shape, layout):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    rng = np.random.default_rng(0)
    values, slopes = rng.standard_normal((2, *shape))
    if layout == "transposed":
        values, slopes = (np.ascontiguousarray(a.T).T for a in (values, slopes))
    p, q = (
        tg.from_numpy(values.copy("K")).requires_grad_(),
        torch.tensor(values, requires_grad=True),
    )
    ours, theirs = tg.optim.Adafactor([p]), torch.optim.Adafactor([q])
    for _ in range(3):
        p.grad, q.grad = tg.from_numpy(slopes), torch.tensor(slopes)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_lamb_of_a_large_parameter():
    values = np.random.default_rng(0).standard_normal(200_001)
    p = tg.tensor(values).requires_grad_()
    p.grad = tg.tensor(values * 2)
    tg.optim.LAMB([p], lr=0.1, weight_decay=0.0).step()
    r = values / (np.abs(values) + 5e-7)
    size = np.linalg.norm(values) / np.linalg.norm(r)
    np.testing.assert_allclose(p.detach().numpy(), values - 0.1 * r * size, rtol=1e-9)


# ---- hooks and steps ----------------------------------------------------------------------------


class Twice(SGD):
    """A subclass whose step calls its base's."""

    def step(self, closure=None):
        super().step(closure)
        return super().step(closure)


@pytest.mark.parametrize("make", [SGD, Twice])
def test_hooks_are_called_around_steps(make):
    calls = []
    p = tg.ones(2, requires_grad=True)
    p.grad = tg.ones(2)
    optimizer, other = make([p], lr=0.5), SGD([p], lr=0.0)
    handles = [
        optimizer.register_step_pre_hook(lambda *given: calls.append(("before", *given))),
        optimizer.register_step_post_hook(lambda *given: calls.append(("after", *given))),
        tg.optim.optimizer.register_optimizer_step_pre_hook(lambda o, *_: calls.append(("all", o))),
        tg.optim.optimizer.register_optimizer_step_post_hook(
            lambda o, *_: calls.append(("end", o))
        ),
    ]
    optimizer.step()
    assert calls == [
        ("all", optimizer),
        ("before", optimizer, (optimizer,), {}),
        ("after", optimizer, (optimizer,), {}),
        ("end", optimizer),
    ]
    other.step()
    assert calls[4:] == [("all", other), ("end", other)]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(calls) == 6
    optimizer.register_step_pre_hook(lambda *_: ((optimizer, lambda: 7), {}))
    assert optimizer.step() == 7
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="pre hook must return None or new args and kwargs"):
        optimizer.step()
    with pytest.raises(TypeError, match="must be callable"):
        optimizer.register_step_post_hook(3)


def test_hooks_are_called_around_saving_and_loading():
    calls = []

    def told(name, result=None):
        def hook(optimizer, *state):
            calls.append(name)
            return result(*state) if result else None

        return hook

    p = tg.ones(2, requires_grad=True)
    optimizer = SGD([p], lr=0.5)
    optimizer.register_state_dict_pre_hook(told("2"))
    optimizer.register_state_dict_pre_hook(told("1"), prepend=True)
    optimizer.register_state_dict_post_hook(told("3", lambda state: {**state, "more": 1}))
    saved = optimizer.state_dict()
    assert calls == ["1", "2", "3"]
    assert saved["more"] == 1

    def rename(state):
        state["param_groups"] = state.pop("groups")

    optimizer.register_load_state_dict_pre_hook(told("4", rename))
    optimizer.register_load_state_dict_post_hook(told("5"))
    saved["groups"] = [{**saved.pop("param_groups")[0], "lr": 0.25}]
    optimizer.load_state_dict(saved)
    assert "groups" in saved
    assert calls[3:] == ["4", "5"]
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["lr"] == 0.25
    assert copy.deepcopy(optimizer).state_dict().keys() == {"state", "param_groups"}


def test_an_option_may_be_required_of_groups():
    class Needy(tg.optim.Optimizer):
        def __init__(self, params, lr=tg.optim.optimizer.required):
            super().__init__(params, {"lr": lr})

    p = tg.ones(2, requires_grad=True)
    assert Needy([{"params": [p], "lr": 0.1}]).param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="Needy: the group does not say what its lr is"):
        Needy([p])


def test_parameters_need_an_order_and_groups_are_dicts():
    p = tg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="give a list, not a set"):
        SGD([{"params": {p}}])
    with pytest.raises(TypeError, match="a group must be a dict, got list"):
        SGD([p]).add_param_group([p])
    q = (p * 2).requires_grad_()
    q.retain_grad()
    SGD([q])


# ---- L-BFGS -------------------------------------------------------------------------------------


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_lbfgs_finds_the_bottom_of_a_valley():
    x = tg.tensor([-1.2, 1.0], dtype=tg.float64, requires_grad=True)
    optimizer = tg.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(24.2)
    np.testing.assert_allclose(x.tolist(), [1, 1], rtol=1e-4)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_closure_that_raises_leaves_everything_as_it_was(search):
    x = tg.tensor([-1.2, 1.0], dtype=tg.float64, requires_grad=True)
    optimizer = tg.optim.LBFGS([x], max_iter=5, lr=0.001, line_search_fn=search)
    left = 9

    def closure():
        nonlocal left
        left -= 1
        if left < 0:
            raise ZeroDivisionError
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    left = 3
    before = str((x.tolist(), optimizer.state_dict()))
    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert str((x.tolist(), optimizer.state_dict())) == before


def test_bad_lbfgs():
    p, q = (tg.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match="all parameters must be in one group"):
        tg.optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(RuntimeError, match="line_search_fn must be None or 'strong_wolfe'"):
        tg.optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(ValueError, match="max_iter must be at least 0, not 'many'"):
        tg.optim.LBFGS([p], max_iter="many")


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_line_search_goes_on_from_what_is_not_finite(rate):
    p = tg.tensor([1.76, 0.40, 0.98], dtype=tg.float64, requires_grad=True)
    optimizer = tg.optim.LBFGS([p], lr=rate, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -(p**3).sum() - p.exp().sum()
        loss.backward()
        return loss

    before = p.tolist()
    for _ in range(2):
        optimizer.step(closure)
    assert rate or p.tolist() == before


def test_an_optimizer_without_a_step_says_so():
    class Misspelt(tg.optim.Optimizer):
        def stepp(self):
            pass

    with pytest.raises(NotImplementedError, match="Misspelt defines neither step"):
        Misspelt([tg.ones(1, requires_grad=True)], {}).step()
