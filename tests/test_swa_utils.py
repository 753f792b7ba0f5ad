"""Averages over training, against PyTorch's."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.optim import swa_utils


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)


def model_of(library):
    nn, rng = library.nn, np.random.default_rng(4)
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    with library.no_grad():
        for p in model.parameters():
            p.copy_(library.tensor(rng.standard_normal(tuple(p.shape))))
    return model


def batches(library, count=5):
    rng = np.random.default_rng(5)
    return [library.tensor(rng.standard_normal((6, 3))) for _ in range(count)]


def numbers(model):
    return np.concatenate(
        [np.asarray(x.tolist(), float).ravel() for x in model.state_dict().values()]
    )


def functions(library):
    utils = library.optim.swa_utils
    return {
        "mean": {},
        "swa": {"avg_fn": utils.get_swa_avg_fn()},
        "swa_multi": {"multi_avg_fn": utils.get_swa_multi_avg_fn()},
        "ema": {"avg_fn": utils.get_ema_avg_fn(0.8)},
        "ema_multi": {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.8)},
        "own": {"avg_fn": lambda averaged, current, n: averaged * 0.5 + current / (n + 2)},
    }


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("how", ["mean", "swa", "swa_multi", "ema", "ema_multi", "own"])
def test_averages_equal_pytorchs(torch, how, use_buffers):
    if how == "swa_multi" and use_buffers:
        pytest.skip("PyTorch's does not divide the integers among the buffers")
    results = []
    for library in (tg, torch):
        model = model_of(library)
        averaged = library.optim.swa_utils.AveragedModel(
            model, use_buffers=use_buffers, **functions(library)[how]
        )
        optimizer = library.optim.SGD(model.parameters(), lr=0.01)
        seen = []
        for x in batches(library):
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()
            averaged.update_parameters(model)
            seen.append(numbers(averaged))
        assert averaged.n_averaged.item() == 5
        assert all(p.requires_grad for p in averaged.parameters())
        library.optim.swa_utils.update_bn([(x, None) for x in batches(library, 3)], averaged)
        assert averaged.module[1].momentum == 0.1
        seen.append(numbers(averaged))
        averaged.eval()
        seen.append(np.resize(averaged(batches(library)[0]).tolist(), len(seen[0])))
        results.append(seen)
    rtol = 1e-6 if how == "swa_multi" else 1e-10  # where PyTorch divides in float32
    np.testing.assert_allclose(*results, rtol=rtol)


def test_a_mean_is_a_mean():
    model = tg.nn.Linear(2, 1)
    averaged = swa_utils.AveragedModel(model)
    for value in (1.0, 2.0, 6.0):
        with tg.no_grad():
            model.weight.fill_(value)
        averaged.update_parameters(model)
    assert averaged.module.weight.tolist() == [[3.0, 3.0]]
    assert model.weight.tolist() == [[6.0, 6.0]]
    assert averaged.state_dict().keys() == {"n_averaged", "module.weight", "module.bias"}


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 7])
def test_swalr_equals_pytorchs(torch, epochs, strategy):
    results = []
    for library in (tg, torch):
        p, q = (library.zeros(1, requires_grad=True) for _ in range(2))
        optimizer = library.optim.SGD([{"params": [p], "lr": 0.1}, {"params": [q], "lr": 0.9}])
        before = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        schedule = library.optim.swa_utils.SWALR(
            optimizer, [0.05, 0.3], anneal_epochs=epochs, anneal_strategy=strategy
        )
        seen = []
        for step in range(60):
            optimizer.step()
            (before if step < 5 else schedule).step()
            seen.append([group["lr"] for group in optimizer.param_groups])
            if step == 9:
                saved = schedule.state_dict()
                schedule = library.optim.swa_utils.SWALR(optimizer, [0.05, 0.3])
                schedule.load_state_dict(saved)
                for group, rate in zip(optimizer.param_groups, seen[-1], strict=True):
                    group["lr"] = rate
        results.append(seen)
    np.testing.assert_allclose(*results, rtol=1e-10)


def test_bad_options():
    model = tg.nn.Linear(2, 1)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(AssertionError, match="avg_fn or multi_avg_fn, not both"):
        swa_utils.AveragedModel(model, avg_fn=max, multi_avg_fn=max)
    with pytest.raises(ValueError, match=r"decay must be between 0 and 1, not 1\.5"):
        swa_utils.get_ema_multi_avg_fn(1.5)
    for options, words in (
        ({"anneal_strategy": "step"}, "anneal_strategy must be 'cos' or 'linear'"),
        ({"anneal_epochs": -1}, "anneal_epochs must be an integer of at least 0"),
        ({"anneal_epochs": 1.5}, "anneal_epochs must be an integer of at least 0"),
        ({"swa_lr": [1, 2]}, "swa_lr has 2 values, the optimizer 1 groups"),
    ):
        with pytest.raises(ValueError, match=f"^SWALR: {words}"):
            swa_utils.SWALR(optimizer, **{"swa_lr": 0.1, **options})
    with pytest.raises(TypeError, match="SWALR needs an Optimizer"):
        swa_utils.SWALR(3, 0.1)
