"""Schedules against PyTorch's, epoch by epoch."""

import warnings
from itertools import permutations

import numpy as np
import pytest

import tapegrad as tg

ONE_CYCLE = {"max_lr": 0.5, "total_steps": 60}


class Wave:
    """A callable that keeps something."""

    def __init__(self, length):
        self.length = length

    def __call__(self, epoch):
        return 1 + epoch % self.length / 10


ROWS = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (1 + epoch), Wave(5)]}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9 + epoch / 300}),
    ("StepLR", {"step_size": 7, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 9, 9, 40], "gamma": 0.3}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 9}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.6, "total_iters": 30}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("PolynomialLR", {"total_iters": 40, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 6}),
    ("CyclicLR", {"base_lr": [0.1, 0.2], "max_lr": [1.0, 2.0], "step_size_up": 4,
                  "step_size_down": 9, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 5, "mode": "exp_range",
                  "gamma": 0.97, "base_momentum": 0.6}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 5, "cycle_momentum": False,
                  "scale_fn": lambda x: 1 / x}),
    ("OneCycleLR", ONE_CYCLE),
    ("OneCycleLR", {"max_lr": [0.5, 0.7], "epochs": 6, "steps_per_epoch": 10, "three_phase": True,
                    "anneal_strategy": "linear"}),
]  # fmt: skip
NAMES = ["SequentialLR", "ChainedScheduler", "ReduceLROnPlateau", *dict(ROWS)]


def optimizer_of(library, name="SGD", rate=float):
    p, q = (library.zeros(1, requires_grad=True) for _ in range(2))
    groups = [{"params": [p], "lr": rate(0.1)}, {"params": [q], "lr": rate(0.3)}]
    return getattr(library.optim, name)(groups, **({"momentum": 0.9} if name == "SGD" else {}))


def make(library, optimizer, name, options):
    return getattr(library.optim.lr_scheduler, name)(optimizer, **options)


def seen(optimizer):
    return [
        [float(g["lr"]), float(g["betas"][0] if "betas" in g else g["momentum"])]
        for g in optimizer.param_groups
    ]


def run(library, build, steps=60, **how):
    """What the rates and momenta were, for schedules that ``build(library, optimizer)`` makes."""
    optimizer = optimizer_of(library, **how)
    schedules = build(library, optimizer)
    result = []
    for _ in range(steps):
        result.append(seen(optimizer))
        last = [float(rate) for rate in schedules[-1].get_last_lr()]
        assert last == [rate for rate, _ in result[-1]]
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    return np.array(result)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)


def compare(torch, build, **how):
    ours, theirs = run(tg, build, **how), run(torch, build, **how)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def ids(value):
    return value if isinstance(value, str) else "-".join(value)


def test_no_schedule_is_missing(torch):
    names = set(torch.optim.lr_scheduler.__all__)
    assert names == {*NAMES, "LRScheduler"}
    assert names == set(tg.optim.lr_scheduler.__all__)
    assert tg.optim.lr_scheduler._LRScheduler is tg.optim.lr_scheduler.LRScheduler


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_sixty_steps_equal_pytorchs(torch, schedule, options, name):
    compare(torch, lambda lib, opt: [make(lib, opt, schedule, options)], name=name)


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_rates_may_be_tensors(torch, schedule, options):
    def tensor(library):
        return lambda rate: library.tensor(rate, dtype=library.float64)

    results = [
        run(lib, lambda lib, opt: [make(lib, opt, schedule, options)], rate=tensor(lib))
        for lib in (tg, torch)
    ]
    np.testing.assert_allclose(*results, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_two_on_one_optimizer_multiply(torch, schedule, options):
    other = ("ExponentialLR", {"gamma": 0.93})
    for order in permutations([(schedule, options), other]):
        compare(torch, lambda lib, opt, order=order: [make(lib, opt, *row) for row in order])


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
@pytest.mark.parametrize("composed", ["SequentialLR", "ChainedScheduler"])
def test_schedules_made_of_schedules(torch, schedule, options, composed):
    def build(lib, opt):
        first = make(lib, opt, "LinearLR", {"total_iters": 4})
        second = make(lib, opt, schedule, options)
        if composed == "ChainedScheduler":
            return [lib.optim.lr_scheduler.ChainedScheduler([first, second], opt)]
        third = make(lib, opt, "ExponentialLR", {"gamma": 0.9})
        return [lib.optim.lr_scheduler.SequentialLR(opt, [first, second, third], [6, 40])]

    compare(torch, build)


def test_a_chain_may_be_one_after_another():
    """PyTorch's raises NotImplementedError where a chain's turn comes."""
    optimizer = optimizer_of(tg)
    parts = [make(tg, optimizer, "ExponentialLR", {"gamma": gamma}) for gamma in (0.5, 0.9, 0.8)]
    chain = tg.optim.lr_scheduler.ChainedScheduler(parts[1:])
    schedule = tg.optim.lr_scheduler.SequentialLR(optimizer, [parts[0], chain], [2])
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1, 0.1 * 0.72])


PLATEAUS = [
    {},
    {"patience": 2, "factor": 0.5},
    {"patience": 1, "cooldown": 3, "threshold": 0.05},
    {"mode": "max", "patience": 1, "threshold_mode": "abs", "threshold": 0.1},
    {"mode": "max", "patience": 1, "threshold": 0.1},
    {"patience": 0, "threshold_mode": "abs", "min_lr": [0.01, 0.05]},
    {"patience": 0, "eps": 0.02},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_a_plateau_is_noticed_where_pytorch_does(torch, options):
    metrics = 1 + np.sin(np.arange(60) / 3) / np.arange(1, 61)
    results = []
    for library in (tg, torch):
        optimizer = optimizer_of(library)
        schedule = make(library, optimizer, "ReduceLROnPlateau", options)
        rates = []
        for epoch, metric in enumerate(metrics):
            if epoch == 30:
                saved = schedule.state_dict()
                schedule = make(library, optimizer, "ReduceLROnPlateau", {})
                schedule.load_state_dict(saved)
            schedule.step(library.tensor(metric) if epoch % 2 else metric)
            rates.append([*schedule.get_last_lr(), schedule.best, schedule.num_bad_epochs])
            assert schedule.in_cooldown == (schedule.cooldown_counter > 0)
        results.append(rates)
    np.testing.assert_allclose(*results, rtol=1e-6)


def all_builds():
    for schedule, options in ROWS:
        yield lambda lib, opt, row=(schedule, options): make(lib, opt, *row)
    yield lambda lib, opt: lib.optim.lr_scheduler.SequentialLR(
        opt,
        [make(lib, opt, "LinearLR", {}), make(lib, opt, "CosineAnnealingLR", {"T_max": 9})],
        [8],
    )
    yield lambda lib, opt: lib.optim.lr_scheduler.ChainedScheduler(
        [make(lib, opt, "LinearLR", {}), make(lib, opt, "StepLR", {"step_size": 9})]
    )


@pytest.mark.parametrize(
    "build", list(all_builds()), ids=[*map(ids, [n for n, _ in ROWS]), "s", "c"]
)
@pytest.mark.parametrize("source", ["tapegrad", "torch"])
def test_a_state_is_restored_midway(request, build, source):
    first = tg if source == "tapegrad" else request.getfixturevalue("torch")
    optimizer, other = optimizer_of(first), optimizer_of(tg)
    schedule = build(first, optimizer)
    for _ in range(13):
        optimizer.step()
        schedule.step()
    resumed = build(tg, other)
    other.step()
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for _ in range(20):
        assert (
            resumed.last_epoch == schedule.last_epoch if hasattr(schedule, "last_epoch") else True
        )
        np.testing.assert_allclose(seen(other), seen(optimizer), rtol=1e-12)
        for one in (optimizer, schedule, other, resumed):
            one.step()


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_state_dicts_have_pytorchs_keys(torch, schedule, options):
    ours, theirs = (
        make(library, optimizer_of(library), schedule, options).state_dict()
        for library in (tg, torch)
    )
    assert set(theirs) - set(ours) <= {"_get_lr_called_within_step"}


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_a_step_may_go_to_an_epoch(torch, schedule, options):
    results = []
    for library in (tg, torch):
        optimizer = optimizer_of(library)
        made = make(library, optimizer, schedule, options)
        optimizer.step()
        rates = []
        for epoch in (3, 4, 17, 2, 30):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made.step(epoch)
            told = schedule != "CosineAnnealingWarmRestarts"
            assert [w.category for w in caught] == [UserWarning] * told
            rates.append(seen(optimizer))
        made.step()
        results.append([*rates, seen(optimizer)])
    np.testing.assert_allclose(*results, rtol=1e-10, atol=1e-14)


def test_restarts_within_an_epoch(torch):
    rates = []
    for library in (tg, torch):
        optimizer = optimizer_of(library)
        options = {"T_0": 3, "T_mult": 2}
        schedule = make(library, optimizer, "CosineAnnealingWarmRestarts", options)
        rates.append([])
        for i in range(60):
            schedule.step(i / 4)
            rates[-1].append(seen(optimizer))
        with pytest.raises(ValueError, match="-1"):
            schedule.step(-1)
    np.testing.assert_allclose(*rates, rtol=1e-10)


@pytest.mark.parametrize(("schedule", "options"), ROWS, ids=ids)
def test_a_group_added_later_joins_in(schedule, options):
    optimizer = optimizer_of(tg)
    made = make(tg, optimizer, schedule, options)
    optimizer.step()
    made.step()
    optimizer.add_param_group({"params": [tg.zeros(1, requires_grad=True)], "lr": 0.2})
    for _ in range(30):
        made.step()
        assert len(made.get_last_lr()) == 3
    assert made.base_lrs[2] == 0.2
    assert np.isfinite(seen(optimizer)).all()


def test_the_order_of_steps_is_watched(torch):
    for library in (tg, torch):
        optimizer = optimizer_of(library)
        schedule = make(library, optimizer, "StepLR", {"step_size": 2})
        with pytest.warns(
            UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"
        ):
            schedule.step()
        schedule.step()  # said once
        optimizer = optimizer_of(library)
        schedule = make(library, optimizer, "StepLR", {"step_size": 2})
        optimizer.step()
        schedule.step()


BAD = [
    ("LambdaLR", {"lr_lambda": [len]}, ValueError),
    ("MultiplicativeLR", {"lr_lambda": 3}, TypeError),
    ("MultiplicativeLR", {"lr_lambda": [len] * 3}, ValueError),
    ("ConstantLR", {"factor": 1.5}, ValueError),
    ("LinearLR", {"start_factor": 0.0}, ValueError),
    ("LinearLR", {"end_factor": 1.5}, ValueError),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}, ValueError),
    ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, (ValueError, TypeError)),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, ValueError),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "eta_min": "a"}, ValueError),
    ("CyclicLR", {"base_lr": [1], "max_lr": 1}, ValueError),
    ("CyclicLR", {"base_lr": 1, "max_lr": [1, 2, 3]}, ValueError),
    ("CyclicLR", {"base_lr": 1, "max_lr": 1, "mode": "sine"}, ValueError),
    ("OneCycleLR", {"max_lr": 1}, ValueError),
    ("OneCycleLR", {"max_lr": 1, "total_steps": 0}, ValueError),
    ("OneCycleLR", {"max_lr": 1, "epochs": 2, "steps_per_epoch": -1}, ValueError),
    ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "pct_start": 1.5}, ValueError),
    ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "anneal_strategy": "step"}, ValueError),
    ("OneCycleLR", {"max_lr": [1], "total_steps": 9}, ValueError),
    ("ReduceLROnPlateau", {"factor": 1.0}, ValueError),
    ("ReduceLROnPlateau", {"mode": "best"}, ValueError),
    ("ReduceLROnPlateau", {"threshold_mode": "best"}, ValueError),
    ("ReduceLROnPlateau", {"min_lr": [1]}, ValueError),
    ("SequentialLR", {"schedulers": [], "milestones": []}, ValueError),
    ("SequentialLR", {"schedulers": [3], "milestones": []}, TypeError),
]


@pytest.mark.parametrize(("schedule", "options", "error"), BAD)
def test_bad_options_raise_what_pytorch_raises(torch, schedule, options, error):
    for library in (tg, torch):
        optimizer = optimizer_of(library)
        before = str(optimizer.state_dict())
        with pytest.raises(error, match=f"^{schedule}" if library is tg else None):
            make(library, optimizer, schedule, options)
        if library is tg:
            assert str(optimizer.state_dict()) == before
        with pytest.raises(TypeError, match="Optimizer"):
            make(library, 3, "OneCycleLR", ONE_CYCLE)


def test_composed_schedules_refuse_what_they_cannot_step():
    optimizer, other = optimizer_of(tg), optimizer_of(tg)
    step = make(tg, optimizer, "StepLR", {"step_size": 2})
    plateau = make(tg, optimizer, "ReduceLROnPlateau", {})
    stranger = make(tg, other, "StepLR", {"step_size": 2})
    for schedules, message in (
        ([step, plateau], "schedule 1 is a ReduceLROnPlateau"),
        ([step, stranger], "schedule 1 is of another optimizer"),
    ):
        with pytest.raises(ValueError, match=f"^ChainedScheduler: {message}"):
            tg.optim.lr_scheduler.ChainedScheduler(schedules)
        with pytest.raises(ValueError, match=f"^SequentialLR: {message}"):
            tg.optim.lr_scheduler.SequentialLR(optimizer, schedules, [3])
    with pytest.raises(ValueError, match="2 schedules need 1 milestones, got 2"):
        tg.optim.lr_scheduler.SequentialLR(optimizer, [step, step], [3, 4])


def test_a_chain_that_raises_changes_nothing():
    optimizer = optimizer_of(tg, rate=tg.tensor)
    schedules = [
        make(tg, optimizer, "ExponentialLR", {"gamma": 0.5}),
        make(tg, optimizer, "OneCycleLR", {"max_lr": 1.0, "total_steps": 3}),
    ]
    chain = tg.optim.lr_scheduler.ChainedScheduler(schedules)
    for _ in range(3):
        optimizer.step()
        chain.step()
    before = str((chain.state_dict(), optimizer.state_dict()))
    with pytest.raises(ValueError, match="OneCycleLR: step 4 of a schedule of 3 steps"):
        chain.step()
    assert str((chain.state_dict(), optimizer.state_dict())) == before


def test_momentum_needs_an_optimizer_that_has_it(torch):
    for library in (tg, torch):
        optimizer = library.optim.Adagrad([library.zeros(1, requires_grad=True)])
        for name, options in (("OneCycleLR", ONE_CYCLE), ("CyclicLR", {"base_lr": 1, "max_lr": 2})):
            with pytest.raises(ValueError, match="momentum"):
                make(library, optimizer, name, options)
            make(library, optimizer, name, {**options, "cycle_momentum": False})


LS = tg.optim.lr_scheduler


def failing(number: float) -> float:
    raise ZeroDivisionError


MISMADE = {
    "CyclicLR, rate": lambda o: LS.CyclicLR(o, 0.1, "a"),
    "CyclicLR, scale": lambda o: LS.CyclicLR(o, 0.1, 1.0, scale_fn=failing),
    "CyclicLR, momenta": lambda o: LS.CyclicLR(o, 0.1, 1.0, base_momentum=[1, 2, 3]),
    "CyclicLR, momentum": lambda o: LS.CyclicLR(o, 0.1, 1.0, base_momentum="a"),
    "OneCycleLR, momentum": lambda o: LS.OneCycleLR(o, 0.1, 10, base_momentum="a"),
    "OneCycleLR, rate": lambda o: LS.OneCycleLR(o, [0.1, "a"], 10),
    "OneCycleLR, one step": lambda o: LS.OneCycleLR(o, 0.1, 10, last_epoch=3),
    "SWALR": lambda o: tg.optim.swa_utils.SWALR(o, 0.1, last_epoch="a"),
    "LambdaLR": lambda o: LS.LambdaLR(o, failing),
}


@pytest.mark.parametrize("name", MISMADE)
@pytest.mark.parametrize("tensor", [False, True])
def test_a_schedule_that_cannot_be_made_leaves_the_groups(name: str, tensor: bool) -> None:
    parameters = [tg.nn.Parameter(tg.ones(1)) for _ in range(2)]
    rate = tg.tensor(0.3) if tensor else 0.3
    optimizer = tg.optim.SGD([{"params": [p]} for p in parameters], lr=rate, momentum=0.5)
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises((TypeError, ValueError, KeyError, ZeroDivisionError)):
        MISMADE[name](optimizer)
    assert optimizer.param_groups == before
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.3, 0.3])
