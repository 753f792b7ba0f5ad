"""On a device with kernels, a step of all parameters of one dtype is one launch."""

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import kernels

OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}, "sgd_step"),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, "sgd_momentum_step"),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}, "sgd_momentum_step"),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}, "adam_step"),
    ("Adam", {"lr": 0.1, "amsgrad": True}, "amsgrad_step"),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}, "adam_step"),
    ("RMSprop", {"lr": 0.1}, "rmsprop_step"),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}, "rmsprop_momentum_step"),
    ("RMSprop", {"lr": 0.1, "centered": True}, "rmsprop_centered_step"),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.9}, "rmsprop_centered_momentum_step"),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1}, "adagrad_step"),
    ("Adadelta", {"weight_decay": 0.1}, "adadelta_step"),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}, "adamax_step"),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}, "nadam_step"),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1}, "radam_step"),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 2, "weight_decay": 0.1}, "asgd_step"),
    ("Rprop", {"lr": 0.1}, "rprop_step"),
    ("Lion", {"lr": 0.1, "weight_decay": 0.1}, "lion_step"),
    ("AdEMAMix", {"lr": 0.1, "weight_decay": 0.1, "beta3_warmup": 5}, "ademamix_step"),
    ("ScheduleFreeAdamW", {"lr": 0.1, "weight_decay": 0.1}, "schedule_free_step"),
]
SHAPES = [(), (0,), (3, 0), (5000,), *[(n, 7) for n in range(1, 17)]]
STEPS = 7  # RAdam divides by the root of the squares from the sixth on
KERNELS = ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def launched(monkeypatch):
    """The names of the launchers that were called."""
    names = []

    class Watched(kernels.Launchers):
        def __missing__(self, key):
            function = super().__missing__(key)

            def watched(*arguments):
                names.append(key[0])
                return function(*arguments)

            self[key] = watched
            return watched

    for device_type in kernels.launchers:
        monkeypatch.setitem(kernels.launchers, device_type, Watched(device_type))
    return names


def parameters(device, dtype="float64", shapes=SHAPES):
    draw = np.random.default_rng(5)
    return [
        tg.tensor(draw.standard_normal(s), dtype=dtype, device=device, requires_grad=True)
        for s in shapes
    ]


def set_gradients(params, seed):
    draw = np.random.default_rng(seed)
    for p in params:
        values = draw.standard_normal(p.shape)
        p.grad = tg.tensor(values, dtype=p.dtype, device=p.device)


def numbers(params):
    return np.concatenate([p.detach().cpu().double().numpy().reshape(-1) for p in params])


@pytest.mark.parametrize("device", KERNELS)
@pytest.mark.parametrize(("name", "options", "launcher"), OPTIONS)
def test_a_step_is_one_launch(name, options, launcher, device, launched):
    """The plain bodies give the same numbers."""
    params, plain = parameters(device), parameters("cpu")
    optimizer, reference = (getattr(tg.optim, name)(ps, **options) for ps in (params, plain))
    for seed in range(STEPS):
        for ps in (params, plain):
            set_gradients(ps, seed)
        launched.clear()
        optimizer.step()
        copies = "cast_to_float64"  # of parameters, with which states begin
        assert launched[-1] == launcher
        assert {*launched[:-1]} <= ({copies} if seed == 0 else set())
        reference.step()
    np.testing.assert_allclose(numbers(params), numbers(plain), rtol=1e-12, atol=1e-12)
    for p, q in zip(params, plain, strict=True):
        for key, kept in reference.state[q].items():
            np.testing.assert_allclose(
                np.asarray(tg.as_tensor(optimizer.state[p][key]).cpu()),
                np.asarray(tg.as_tensor(kept)),
                rtol=1e-12,
                atol=1e-12,
                err_msg=key,
            )


@pytest.mark.parametrize("device", KERNELS)
@pytest.mark.parametrize(("name", "options", "launcher"), OPTIONS)
def test_what_is_no_number_or_infinite_ends_as_in_the_plain_bodies(name, options, launcher, device):
    made = []
    for where in (device, "cpu"):
        p = tg.tensor([1.0, -1.0, math.inf, 2.0, 0.0, 3.0], device=where, requires_grad=True)
        optimizer = getattr(tg.optim, name)([p], **options)
        for grad in ([1.0, -1.0, 1.0, 0.0, 0.0, 1.0], [math.nan, -math.inf, 1.0, -0.0, 0.0, 1e30]):
            p.grad = tg.tensor([*grad], device=where)
            optimizer.step()
        made.append((p, optimizer.state[p]))
    (p, state), (q, plain) = made
    np.testing.assert_allclose(numbers([p]), numbers([q]), rtol=1e-5)
    for key in optimizer.kept_arrays:
        if key in plain:
            x, y = numbers([state[key]]), numbers([plain[key]])
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("device", ["cpu", *KERNELS])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Rprop", {"lr": 0.1}),
        ("Rprop", {"lr": 0.1, "maximize": True}),
        ("Adam", {"lr": 0.1, "amsgrad": True}),
        ("Adamax", {"lr": 0.1}),
    ],
)
def test_gradients_that_are_no_numbers_or_infinite_end_as_in_pytorch(name, options, device):
    """Every sequence of three of them."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch")
    some = [1.0, -1.0, 0.0, math.nan, math.inf, -math.inf]
    grads = np.array(np.meshgrid(some, some, some)).reshape(3, -1)
    p = tg.ones(grads.shape[1], dtype=tg.float64, device=device, requires_grad=True)
    q = torch.ones(grads.shape[1], dtype=torch.float64, requires_grad=True)
    ours = getattr(tg.optim, name)([p], **options)
    theirs = getattr(torch.optim, name)([q], **options)
    for grad in grads:
        p.grad, q.grad = tg.tensor(grad, device=device), torch.tensor(grad)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(numbers([p]), q.detach().numpy(), rtol=1e-12)
    for key in {*ours.kept_arrays} - {"exp_avg"}:  # a mean with inf in it is inf, of theirs nan
        expected = theirs.state[q].get(key)
        if expected is not None:
            np.testing.assert_allclose(numbers([ours.state[p][key]]), expected, err_msg=key)


def test_groups_and_parameters_of_other_step_counts_are_in_the_same_launch(launched):
    params, plain = parameters("emulated"), parameters("cpu")
    made = []
    for ps in (params, plain):
        made.append(tg.optim.Adam([{"params": ps[:9]}, {"params": ps[9:], "lr": 0.5}], lr=0.1))
        set_gradients(ps, 1)
        ps[3].grad = None
        made[-1].step()
        set_gradients(ps, 2)
    launched.clear()
    for optimizer in made:
        optimizer.step()
    assert launched == ["adam_step"]
    np.testing.assert_allclose(numbers(params), numbers(plain), rtol=1e-12)
    assert made[0].state[params[3]]["step"] == 1
    assert made[0].state[params[4]]["step"] == 2


def test_each_dtype_is_a_launch_and_what_is_not_contiguous_takes_none(launched):
    transposed = tg.ones(3, 2, device="emulated").t().requires_grad_()
    half = parameters("emulated", "float16")
    params = [*parameters("emulated", "float32"), *half, transposed]
    set_gradients(params, 1)
    before = numbers([transposed])
    launched.clear()
    tg.optim.SGD(params, lr=0.5).step()
    assert launched == ["sgd_step"] * 2
    moved = before - 0.5 * numbers([transposed.grad])
    np.testing.assert_allclose(numbers([transposed]), moved, rtol=1e-6)
    expected = np.concatenate([numbers([p]) for p in parameters("cpu", "float16")])
    expected -= 0.5 * numbers([p.grad for p in half])
    np.testing.assert_allclose(numbers(half), expected, rtol=1e-3, atol=1e-3)


def test_parameters_without_elements_are_counted(launched):
    params = parameters("emulated", shapes=[(0,), (3, 0)])
    set_gradients(params, 1)
    optimizer = tg.optim.Adam(params)
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in params] == [1, 1]


def test_a_launch_that_is_refused_changes_no_state(monkeypatch):
    params = parameters("emulated")
    optimizer = tg.optim.Adam(params, lr=0.1)
    set_gradients(params, 1)
    before = numbers(params)

    def refuse(*arguments):
        raise kernels.KernelError("[adam_step] refused")

    dtype = params[0]._array.dtype
    with monkeypatch.context() as patched:
        patched.setitem(kernels.launchers["emulated"], ("adam_step", dtype), refuse)
        with pytest.raises(kernels.KernelError, match="refused"):
            optimizer.step()
    np.testing.assert_array_equal(numbers(params), before)
    assert not any(optimizer.state[p] for p in params)
    optimizer.step()
    assert optimizer.state[params[0]]["step"] == 1


@pytest.mark.parametrize("device", KERNELS)
def test_clipping_a_step_and_zeroing_are_four_launches(device, launched):
    params, plain = parameters(device, "float32"), parameters("cpu", "float32")
    for ps in (params, plain):
        optimizer = tg.optim.AdamW(ps, lr=0.1)
        set_gradients(ps, 1)
        launched.clear()
        norm = tg.nn.utils.clip_grad_norm_(ps, 0.5)
        optimizer.step()
        optimizer.zero_grad()
        if ps is params:
            launched.remove("squares_sums")  # which is the host's
            assert launched == ["squares", "root_of_sum", "scale_to_norm", "adam_step"]
            found = float(norm)
    assert found == pytest.approx(float(norm), rel=1e-6)
    np.testing.assert_allclose(numbers(params), numbers(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device", KERNELS)
def test_gradients_of_any_number_dtype_and_layout_are_clipped(device, launched):
    found = []
    for where in (device, "cpu"):
        params = [
            *parameters(where, "float32", [(3,)] * 170),
            *parameters(where, "float16"),
            tg.ones(3, 2, device=where).t().requires_grad_(),
            tg.ones(4, 6, device=where)[:, ::2].detach().requires_grad_(),
        ]
        set_gradients(params, 3)
        params[-1].grad = tg.arange(24.0, device=where).reshape(4, 6)[:, ::2]
        norms = [tg.nn.utils.clip_grad_norm_(params, most) for most in (1e6, 1.0)]
        found.append([*map(float, norms), *numbers([p.grad for p in params])])
        assert {p.grad._version for p in params} == {params[0].grad._version}
    np.testing.assert_allclose(*found, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", *KERNELS])
@pytest.mark.parametrize("number", [0.0, 1e-30, 1e30, 3e38, math.inf, math.nan])
def test_norms_that_leave_the_range_of_squares_are_clipped(number, device):
    p = tg.zeros(3, device=device, requires_grad=True)
    p.grad = tg.tensor([number, 0.0, 0.0], device=device)
    norm = float(tg.nn.utils.clip_grad_norm_([p], 1.0))
    assert norm == pytest.approx(number, rel=1e-6, nan_ok=True)
    if math.isfinite(number):
        assert float(p.grad[0]) == pytest.approx(min(number, 1.0), rel=1e-5)
    else:
        assert math.isnan(float(p.grad[0]))
