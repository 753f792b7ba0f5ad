"""Optimizers that PyTorch does not have, against their papers' formulas in NumPy; and what holds
for all of them."""

import math

import numpy as np
import pytest

import tapegrad as tg

SHAPES = [(4, 3), (5,), ()]


def lion(p, g, s, lr, betas, weight_decay):
    m = s.setdefault("m", np.zeros_like(p))
    update = np.sign(betas[0] * m + (1 - betas[0]) * g)
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * (update + weight_decay * p)


def adam_moments(g, s, betas):
    s["t"] = s.get("t", 0) + 1
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    return s["m"] / (1 - betas[0] ** s["t"]), s["v"] / (1 - betas[1] ** s["t"])


def lamb(p, g, s, lr, betas, weight_decay, eps=1e-6):
    m, v = adam_moments(g, s, betas)
    r = m / (np.sqrt(v) + eps) + weight_decay * p
    size, step = np.sqrt((p * p).sum()), np.sqrt((r * r).sum())
    return p - lr * r * (size / step if size > 0 and step > 0 else 1)


def ademamix(p, g, s, lr, betas, weight_decay, alpha=5.0, warmup=None, eps=1e-8):
    m, v = adam_moments(g, s, betas)
    beta3 = betas[2]
    if warmup:
        part = s["t"] / warmup
        alpha = min(part * alpha, alpha)
        a, b = math.log(betas[0]), math.log(betas[2])
        if part < 1:
            beta3 = min(math.exp(a * b / ((1 - part) * b + part * a)), beta3)
    s["slow"] = beta3 * s.get("slow", 0) + (1 - beta3) * g
    return p - lr * ((m + alpha * s["slow"]) / (np.sqrt(v) + eps) + weight_decay * p)


def schedule_free(p, g, s, lr, betas, weight_decay, warmup=0, eps=1e-8):
    """With x, the average, kept as it is; p is y."""
    t = s["t"] = s.get("t", 0) + 1
    x, z = s.get("x", p), s.get("z", p)
    rate = lr * min(1, t / warmup) if warmup else lr
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    z = z - rate * (g / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps) + weight_decay * p)
    s["largest"] = max(rate, s.get("largest", 0))
    s["weights"] = s.get("weights", 0) + s["largest"] ** 2
    part = s["largest"] ** 2 / s["weights"]
    s["x"], s["z"] = (1 - part) * x + part * z, z
    return betas[0] * s["x"] + (1 - betas[0]) * s["z"]


BETAS = (0.9, 0.99)
ROWS = [
    ("Lion", lion, {"betas": BETAS, "weight_decay": 0.1}, {}),
    ("Lion", lion, {"betas": (0.5, 0.8), "weight_decay": 0.0}, {}),
    ("LAMB", lamb, {"betas": BETAS, "weight_decay": 0.1}, {}),
    ("LAMB", lamb, {"betas": BETAS, "weight_decay": 0.0}, {}),
    ("AdEMAMix", ademamix, {"betas": (*BETAS, 0.999), "weight_decay": 0.1}, {}),
    ("AdEMAMix", ademamix, {"betas": (*BETAS, 0.999), "weight_decay": 0.0, "alpha": 3.0},
     {"warmup": ("alpha_warmup", "beta3_warmup", 20)}),
    ("ScheduleFreeAdamW", schedule_free, {"betas": BETAS, "weight_decay": 0.1}, {}),
    ("ScheduleFreeAdamW", schedule_free, {"betas": BETAS, "weight_decay": 0.0},
     {"warmup": ("warmup_steps", 10)}),
]  # fmt: skip


def arrays(seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def made(name, params, options, more):
    named = {key: value for *keys, value in more.values() for key in keys}
    return getattr(tg.optim, name)(params, lr=0.01, **options, **named)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("device", ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(("name", "formula", "options", "more"), ROWS)
def test_thirty_steps_are_the_papers(name, formula, options, more, maximize, device, dtype, rtol):
    params = [tg.tensor(a, device=device).requires_grad_() for a in arrays(0, dtype)]
    optimizer = made(name, params, {**options, "maximize": maximize}, more)
    expected, states = arrays(0), [{} for _ in SHAPES]
    warm = {key: values[-1] for key, values in more.items()}
    for step in range(30):
        gradients = arrays(100 + step)
        for p, g in zip(params, gradients, strict=True):
            p.grad = tg.tensor(g.astype(dtype), device=device)
        optimizer.step()
        expected = [
            formula(p, -g if maximize else g, s, 0.01, **options, **warm)
            for p, g, s in zip(expected, gradients, states, strict=True)
        ]
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q, rtol=rtol, atol=rtol)


def test_schedule_free_turns_to_the_average_and_back():
    params = [tg.tensor(a).requires_grad_() for a in arrays(0)]
    optimizer = tg.optim.ScheduleFreeAdamW(params, lr=0.01)
    expected, states = arrays(0), [{} for _ in SHAPES]
    optimizer.train()
    for step in range(5):
        gradients = arrays(100 + step)
        for p, g in zip(params, gradients, strict=True):
            p.grad = tg.tensor(g)
        optimizer.step()
        expected = [
            schedule_free(p, g, s, 0.01, (0.9, 0.999), 0.0)
            for p, g, s in zip(expected, gradients, states, strict=True)
        ]
    optimizer.eval()
    optimizer.eval()
    for p, s in zip(params, states, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), s["x"], rtol=1e-10)
    with pytest.raises(RuntimeError, match=r"^ScheduleFreeAdamW.step: call train\(\) first"):
        optimizer.step()
    saved = optimizer.state_dict()
    other = tg.optim.ScheduleFreeAdamW(params)
    other.load_state_dict(saved)
    other.train()
    for p, y in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), y, rtol=1e-10)


def test_lamb_of_nothing_moves_by_the_rate():
    p = tg.zeros(3, requires_grad=True)
    p.grad = tg.ones(3)
    tg.optim.LAMB([p], lr=0.5, weight_decay=0.0).step()
    np.testing.assert_allclose(p.tolist(), [-0.5] * 3, rtol=1e-5)
    p.grad = tg.zeros(3)
    q = tg.ones(3, requires_grad=True)
    q.grad = tg.zeros(3)
    tg.optim.LAMB([q], weight_decay=0.0).step()
    assert q.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Lion", {"lr": -1}, "lr must be at least 0"),
        ("Lion", {"betas": (0.9, 1.0)}, "betas must be two numbers"),
        ("LAMB", {"eps": -1}, "eps must be at least 0"),
        ("AdEMAMix", {"betas": (0.9, 0.999)}, "betas must be three numbers"),
        ("AdEMAMix", {"alpha_warmup": -1}, "alpha_warmup must be None or a number of steps"),
        ("ScheduleFreeAdamW", {"warmup_steps": -1}, "warmup_steps must be at least 0"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        getattr(tg.optim, name)([tg.zeros(1, requires_grad=True)], **options)
