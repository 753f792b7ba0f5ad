"""The training loop: what it computes, what it writes, what it refuses."""

from __future__ import annotations

import io
import math
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES
from train_run import At, Run

import tapegrad as tg
from tapegrad import nn
from tapegrad.checkpoint import Checkpoints
from tapegrad.train import Callback, CSVLog, EarlyStopping, History, TensorBoard, Trainer

X = tg.randn(10, 3, generator=tg.Generator().manual_seed(1), dtype=tg.float64)
Y = (X.sum(1) > 0).long()
LOADER = [(X[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8)]  # 4, 4 and 2 samples


def linear() -> nn.Module:
    tg.manual_seed(0)
    return nn.Linear(3, 2, dtype=tg.float64)


def trainer(model: nn.Module | None = None, loss: Any = None, **options: Any) -> Trainer:
    model = linear() if model is None else model
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    options = {"progress": False, **options}
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, **options)


def weights(model: nn.Module) -> list[float]:
    return [x for p in model.parameters() for x in p.flatten().tolist()]


# ---------------------------------------------------------------------- what it computes


def bare(batches: list, clip: Callable | None = None, epochs: int = 2) -> list[float]:
    """The loop that one writes."""
    model = linear()
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            if clip:
                clip(model.parameters())
            optimizer.step()
    return weights(model)


CLIPS: dict[str, tuple[dict, Callable]] = {
    "none": ({}, lambda parameters: None),
    "norm": ({"clip_norm": 0.1}, lambda p: nn.utils.clip_grad_norm_(p, 0.1)),
    "value": ({"clip_value": 0.05}, lambda p: nn.utils.clip_grad_value_(p, 0.05)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_it_is_the_bare_loop_to_the_last_bit(name: str) -> None:
    options, clip = CLIPS[name]
    t = trainer(**options)
    t.fit(LOADER, epochs=2)
    assert weights(t.model) == bare(LOADER, clip)


def test_accumulated_batches_are_one_batch_also_where_they_are_incomplete() -> None:
    """Groups of 4 + 4 samples, and of 2 alone; of 4 + 4 + 2."""
    for accumulate, groups in ((2, [slice(0, 8), slice(8, 10)]), (5, [slice(0, 10)])):
        t = trainer(accumulate=accumulate)
        t.fit(LOADER, epochs=2)
        np.testing.assert_allclose(
            weights(t.model), bare([(X[g], Y[g]) for g in groups]), rtol=1e-12
        )
        assert t.step == 2 * len(groups)


def test_reports_are_means_over_samples() -> None:
    t = trainer(metrics={"accuracy": tg.metrics.Accuracy()})
    t.optimizer.param_groups[0]["lr"] = 0.0
    loss = nn.functional.cross_entropy(t.model(X), Y).item()
    right = (t.model(X).argmax(1) == Y).float().mean().item()
    t.fit(LOADER, epochs=1, validation=LOADER)
    (row,) = t.history
    assert list(row) == ["epoch", "step", "lr", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert (row["epoch"], row["step"], row["lr"]) == (1, 3, 0.0)
    np.testing.assert_allclose([row["loss"], row["val_loss"]], loss)
    np.testing.assert_allclose([row["accuracy"], row["val_accuracy"]], right)
    assert t.evaluate(LOADER) == {"loss": row["val_loss"], "accuracy": row["val_accuracy"]}


def test_evaluation_is_in_evaluation_mode_and_leaves_the_modes_alone() -> None:
    model = nn.Sequential(linear(), nn.Dropout(0.9), nn.BatchNorm1d(2, dtype=tg.float64))
    model[2].eval()  # frozen
    t = trainer(model)
    assert t.evaluate(LOADER) == t.evaluate(LOADER)  # without dropout
    t.fit(LOADER, epochs=1, validation=LOADER)
    assert [m.training for m in model] == [True, True, False]
    assert model[2].num_batches_tracked == 0
    model.eval()
    t.fit(LOADER, epochs=2)
    assert all(m.training for m in model)  # all was in evaluation mode: it was not meant so


def test_epochs_and_steps_count_from_the_beginning() -> None:
    t = trainer()
    t.fit(LOADER, steps=4)
    assert (t.step, t.epoch, t.history.column("step")) == (4, 1, [3, 4])
    t.fit(LOADER, epochs=2)
    assert (t.step, t.epoch) == (6, 2)
    assert weights(t.model) == bare(LOADER)
    with pytest.warns(UserWarning, match=r"nothing is left .* 2 epochs and 6 .*fit\(epochs=3\)"):
        t.fit(LOADER, epochs=2)
    assert t.step == 6
    t.fit(LOADER, epochs=100, steps=8)
    assert t.step == 8


def test_schedules() -> None:
    def rates(steps: int, kind: str, **options: Any) -> list[float]:
        model = linear()
        optimizer = tg.optim.SGD(model.parameters(), lr=1.0)
        make = getattr(tg.optim.lr_scheduler, kind)
        scheduler = make(optimizer, **({"gamma": 0.5} if kind == "ExponentialLR" else options))
        t = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optimizer,
            scheduler=scheduler,
            schedule="step" if steps else "epoch",
            progress=False,
            monitor="loss",
            mode="max",
        )
        t.fit(LOADER, epochs=2)
        return [*t.history.column("lr"), optimizer.param_groups[0]["lr"]]

    assert rates(0, "ExponentialLR") == [1, 0.5, 0.25]
    assert rates(1, "ExponentialLR") == [1 / 8, 1 / 64, 1 / 64]
    plateau = rates(0, "ReduceLROnPlateau", mode="max", patience=0, factor=0.1)
    assert plateau[:2] == [1, 1]
    assert plateau[2] == pytest.approx(0.1)  # the loss fell, which is worse here


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16], ids=["float16", "bfloat16"])
def test_mixed_precision(dtype: Any) -> None:
    seen: list[Any] = []

    class Watched(Trainer):
        def compute(self, batch: Any) -> Any:
            loss, output, target = super().compute(batch)
            seen.append(output.dtype)
            return loss, output, target

    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5)
    t = Watched(model, nn.CrossEntropyLoss(), optimizer, amp_dtype=dtype, progress=False)
    assert t.scaler.is_enabled() == (dtype == tg.float16)
    batches = [(x.float(), y) for x, y in LOADER]
    t.fit(batches, epochs=20, validation=batches)
    assert set(seen) == {dtype}
    assert {p.dtype for p in model.parameters()} == {tg.float32}
    assert t.history[-1]["val_loss"] < 0.2 < t.history[0]["val_loss"]


def test_a_step_that_the_scaler_leaves_out_does_not_move_the_schedule() -> None:
    model = linear().float()
    optimizer = tg.optim.SGD(model.parameters(), lr=1.0)
    scaler = tg.amp.GradScaler("cpu", init_scale=2.0**120)
    t = Trainer(
        model,
        lambda output, target: 1e6 * output.sum(),
        optimizer,
        scheduler=tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5),
        schedule="step",
        scaler=scaler,
        progress=False,
    )
    before = weights(model)
    t.fit([(X.float(), Y)], steps=1)
    assert (weights(model), scaler.get_scale()) == (before, 2.0**119)
    assert optimizer.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize("device", DEVICES)
def test_batches_are_moved_to_the_models_device(device: str) -> None:
    class Nested(Trainer):
        def compute(self, batch: Any) -> Any:
            assert {t.device.type for t in (batch["x"], *batch["more"])} == {device}
            assert batch["name"] == "kept"
            return super().compute((batch["x"], batch["more"][0]))

    model = nn.Linear(3, 2).to(device)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    t = Nested(model, nn.CrossEntropyLoss(), optimizer, progress=False)
    history = t.fit([{"name": "kept", "x": X.float(), "more": (Y,)}], epochs=2)
    assert history[1]["loss"] < history[0]["loss"]


# ---------------------------------------------------------------------- inf and nan


def diverging(at: int) -> Callable:
    calls = iter(range(1, 100))
    return lambda output, target: (
        nn.functional.cross_entropy(output, target) * (math.nan if next(calls) == at else 1.0)
    )


def test_a_loss_that_is_nan_ends_the_run_before_the_step() -> None:
    t = trainer(loss=diverging(at=2), clip_norm=1.0)
    after_one = trainer(clip_norm=1.0)
    after_one.fit(LOADER, steps=1)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 2, in epoch 1; no param"):
        t.fit(LOADER, epochs=1)
    assert weights(t.model) == weights(after_one.model)
    assert t.step == 1


def test_or_the_step_is_left_out() -> None:
    t = trainer(loss=diverging(at=2), non_finite="skip", metrics={"a": tg.metrics.Accuracy()})
    t.fit(LOADER, epochs=1)
    assert (t.step, t.skipped) == (3, 1)
    assert weights(t.model) == bare([LOADER[0], LOADER[2]], epochs=1)
    assert math.isfinite(t.history[0]["loss"])


# ---------------------------------------------------------------------- ending early, the best


# (mode, min_delta, patience, values, the report that ends it, the best one)
STOPPING = [
    ("min", 0.0, 2, [3, 2, 2, 2, 1], 3, 1),
    ("max", 0.0, 1, [1, 2, 3, 3, 4], 3, 2),
    ("min", 0.5, 2, [3, 2.6, 2.55, 1, 1], 2, 0),
    ("min", 0.0, 2, [math.nan, math.nan, 1], 1, None),
    ("min", 0.0, 2, [math.nan, 3, math.nan, 2, math.nan, math.nan], 5, 3),
    ("max", 0.0, 3, [1, 2, 3, 4], None, 3),
    ("min", 0.0, 2, [math.inf, math.inf, 1.0, 1.0, 1.0], 4, 2),
]


@pytest.mark.parametrize("row", STOPPING)
def test_early_stopping(row: Any) -> None:
    mode, min_delta, patience, values, end, best = row
    stopping = EarlyStopping(patience, min_delta=min_delta)
    reasons: list[str] = []
    model = nn.Linear(1, 1)
    fake = SimpleNamespace(monitor="x", mode=mode, model=model, stop=reasons.append)
    ended = None
    for i, value in enumerate(values):
        model.bias.data.fill_(i)
        stopping.on_report(fake, {"x": value})
        if reasons:
            ended = i
            break
    assert ended == end
    stopping.on_end(fake)
    assert model.bias.item() == (ended if best is None else best)
    if reasons:
        assert "x has not become better than" in reasons[0]


def test_the_best_weights_come_back_and_are_those_of_the_best_save(tmp_path: Path) -> None:
    run = Run(tmp_path, patience=2, monitor="val_accuracy", mode="max")
    history = run.fit(epochs=40)
    assert run.trainer.stopped
    assert len(history) < 40
    best = max(history.column("val_accuracy"))
    saved = tg.load(Checkpoints(tmp_path).best)
    assert saved["history"][-1]["val_accuracy"] == best
    for name, value in saved["model"].items():
        np.testing.assert_array_equal(value, run.model.state_dict()[name])
    assert tg.load(Checkpoints(tmp_path).latest)["history"] == list(history)


def test_a_callback_ends_the_run() -> None:
    told: list[str] = []

    class Told(Callback):
        def on_start(self, trainer: Any) -> None:
            told.append(f"start {trainer.step}")

        def on_step(self, trainer: Any) -> None:
            told.append("step")
            if trainer.step == 4:
                trainer.stop("enough")

        def on_report(self, trainer: Any, row: dict) -> None:
            assert row is trainer.history[-1]
            told.append("report")

        def on_end(self, trainer: Any) -> None:
            told.append("end")

        def close(self) -> None:
            told.append("close")

    t = trainer(callbacks=[Told()])
    t.fit(LOADER, epochs=5)
    assert " ".join(told) == "start 0 step step step report step report end close"
    assert t.stopped == "enough"
    told.clear()
    t.loss = diverging(at=1)
    with pytest.raises(FloatingPointError):
        t.fit(LOADER, epochs=5)
    assert told == ["start 4", "close"]


def test_a_hook_that_nothing_calls_is_named() -> None:
    class Other(Callback):
        def on_epoch_end(self, trainer: Any) -> None: ...

    with pytest.warns(
        UserWarning, match=r"nothing calls Other.on_epoch_end: .* on_report"
    ) as found:
        trainer(callbacks=[Other()])
    assert found[0].filename == __file__


# ---------------------------------------------------------------------- what is seen


def test_a_line_for_every_report(capsys: pytest.CaptureFixture) -> None:
    t = trainer(progress=True)
    t.fit(LOADER, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"epoch 2  step 6  lr 0.5  loss {t.history[1]['loss']:.4g}")
    t.stop("")
    t.fit(LOADER, epochs=3)
    assert capsys.readouterr().out.startswith("going on after step 6, epoch 2\nepoch 3")


def test_a_bar_for_who_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="needs the extra train")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    trainer(progress=True, accumulate=2).fit(LOADER, epochs=2)
    shown = screen.getvalue()
    assert "epoch 1" in shown
    assert "epoch 2" in shown
    assert "/2 [" in shown  # two steps of three batches


def test_csv_follows_new_columns(tmp_path: Path) -> None:
    t = trainer(callbacks=[CSVLog(tmp_path / "log.csv")])
    t.fit(LOADER, epochs=1)
    t.fit(LOADER, epochs=2, validation=LOADER)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,lr,loss,val_loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]
    assert lines[1].endswith(",")


def test_tensorboard(tmp_path: Path) -> None:
    proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs the extra train")
    t = trainer(callbacks=[TensorBoard(tmp_path)])
    t.fit(LOADER, epochs=2)
    (file,) = tmp_path.iterdir()
    found = [
        (value.tag, event.step, value.simple_value)
        for event in map(proto.Event.FromString, records(file.read_bytes()))
        for value in event.summary.value
        if value.tag == "loss"
    ]
    expected = [("loss", row["step"], pytest.approx(row["loss"])) for row in t.history]
    assert found == expected


def records(data: bytes) -> Iterator[bytes]:
    """The records of an event file: length, checksum, content, checksum."""
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + size]
        data = data[16 + size :]


def test_the_learning_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    t = trainer(metrics={"accuracy": tg.metrics.Accuracy()})
    t.fit(LOADER, epochs=2, validation=LOADER).plot(tmp_path / "curve.png")
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert t.history._repr_png_() == picture  # in notebooks
    assert History()._repr_png_() is None
    with pytest.raises(KeyError, match="no column 'acc', it has"):
        t.history.column("acc")
    with pytest.raises(ValueError, match="no reports to draw"):
        History().plot(tmp_path / "none.png")


# ---------------------------------------------------------------------- wrong calls


class Returning(nn.Module):
    """A model that returns something."""

    def __init__(self, make: Callable) -> None:
        super().__init__()
        self.weight, self.make = nn.Parameter(tg.ones(1, dtype=tg.float64)), make

    def forward(self, x: Any) -> Any:
        return self.make(x * self.weight)


class Shapes:
    """A metric that computes no number."""

    def update(self, output: Any, target: Any) -> None: ...

    def reset(self) -> None: ...

    def compute(self) -> Any:
        return tg.zeros(2, 2)


class Alone(Trainer):
    """A trainer that forgets what metrics compare."""

    def compute(self, batch: Any) -> Any:
        return super().compute(batch)[0]

    @classmethod
    def fitted(cls) -> None:
        model = linear()
        optimizer = tg.optim.SGD(model.parameters())
        cls(model, nn.CrossEntropyLoss(), optimizer, progress=False).fit(LOADER, epochs=1)


def fit(loader: Any, options: dict | None = None, **given: Any) -> History:
    return trainer(**(options or {})).fit(loader, **{"epochs": 1, **given})


EMPTY = tg.data.DataLoader(tg.data.TensorDataset(tg.zeros(0, 3)), 4)
SMALL = tg.data.DataLoader(tg.data.TensorDataset(tg.zeros(3, 3)), 4, drop_last=True)
WRONG: dict[str, tuple[Callable, type, str]] = {
    "no batches": (lambda: fit(EMPTY), ValueError, "loader has no batches"),
    "all dropped": (lambda: fit(SMALL), ValueError, "smaller than a batch while drop_last=True"),
    "no validation batches": (
        lambda: fit(LOADER, validation=EMPTY), ValueError, "validation has no batches"
    ),
    "read once": (
        lambda: fit(iter(LOADER), epochs=2), ValueError, "no batch in epoch 2: an iterator"
    ),
    "no loader": (lambda: fit(X), TypeError, "loader must give batches, as a DataLoader does"),
    "no pair": (lambda: fit([X]), TypeError, "a batch must be a pair .* got Tensor"),
    "three": (lambda: fit([(X, X, Y)]), TypeError, "got tuple of 3: let the dataset return"),
    "dict": (lambda: fit([{"x": X, "y": Y}]), TypeError, "got dict of 2"),
    "tuple returned": (
        lambda: trainer(Returning(lambda x: (x, x))).fit(LOADER, epochs=1),
        TypeError,
        r"the model returned tuple, which the loss does not take: return a Tensor, or override",
    ),
    "loss of many": (
        lambda: trainer(loss=nn.CrossEntropyLoss(reduction="none")).fit(LOADER, epochs=1),
        TypeError,
        r"must be a float Tensor of one element, got float64 \(4,\): take the mean",
    ),
    "loss is a number": (
        lambda: trainer(loss=lambda o, t: 1.0).fit(LOADER, epochs=1),
        TypeError,
        "of one element, got float:",
    ),
    "compute": (lambda: Alone.fitted(), TypeError, r"must return \(loss, output, target\)"),
    "unknown monitor": (
        lambda: fit(LOADER, {"monitor": "val_acc", "metrics": {"accuracy": tg.metrics.Accuracy()}},
                    validation=LOADER),
        ValueError,
        r"'val_acc' is none of \['loss', 'accuracy', 'val_loss', 'val_accuracy'\]",
    ),
    "monitor without validation": (
        lambda: fit(LOADER, {"monitor": "val_loss"}), ValueError, "fit has no validation"
    ),
    "metric of many": (
        lambda: fit(LOADER, {"metrics": {"x": Shapes()}}),
        TypeError,
        r"metric 'x' computes a Tensor of shape \(2, 2\)",
    ),
    "metric class": (
        lambda: trainer(metrics={"x": tg.metrics.Accuracy}), TypeError, "as metrics.Accuracy"
    ),
    "metric function": (
        lambda: trainer(metrics={"x": tg.metrics.accuracy}), TypeError, "must have update, comp"
    ),
    "metric name": (
        lambda: trainer(metrics={"loss": tg.metrics.Accuracy()}), ValueError, "be named 'loss'"
    ),
    "metrics": (lambda: trainer(metrics=[1]), TypeError, "must be a dict by name"),
    "model": (
        lambda: Trainer(len, len, None), TypeError, "model must be a Module, got builtin"
    ),
    "loss": (lambda: trainer(loss=1), TypeError, "loss must be a function"),
    "optimizer": (
        lambda: Trainer(linear(), len, 3), TypeError, "optimizer must be an Optimizer, got int"
    ),
    "another's parameters": (
        lambda: Trainer(linear(), len, tg.optim.SGD(linear().parameters())),
        ValueError,
        "none of the model's parameters",
    ),
    "lbfgs": (
        lambda: Trainer(m := linear(), len, tg.optim.LBFGS(m.parameters())),
        TypeError,
        "LBFGS computes the loss several times",
    ),
    "schedulers": (
        lambda: trainer(scheduler=[1]), TypeError, "must have step.., got list: several are one by"
    ),
    "folder": (
        lambda: trainer(checkpoints="x"), TypeError, r"must be checkpoint.Checkpoints\('x'\)"
    ),
    "callbacks": (lambda: trainer(callbacks=3), TypeError, "must be a list of Callbacks, got int"),
    "one callback": (
        lambda: trainer(callbacks=EarlyStopping()), TypeError, "list of Callbacks, got Early"
    ),
    "save_every alone": (
        lambda: trainer(save_every=5), ValueError, "save_every=5 saves nothing without checkpoints"
    ),
    "column": (
        lambda: fit(LOADER, {})["loss"], TypeError, r"history.column\('loss'\) is .* 'lr', 'loss'\]"
    ),
    "column of nothing": (lambda: History()["loss"], TypeError, r"it has \[\]"),
    "callback": (lambda: trainer(callbacks=[print]), TypeError, "callbacks must be Callbacks"),
    "schedule": (lambda: trainer(schedule="batch"), ValueError, "schedule must be one of"),
    "mode": (lambda: trainer(mode="best"), ValueError, "mode must be one of"),
    "non_finite": (lambda: trainer(non_finite="no"), ValueError, "non_finite must be one of"),
    "accumulate": (lambda: trainer(accumulate=0), ValueError, "accumulate must be a positive"),
    "how long": (lambda: trainer().fit(LOADER), ValueError, "fit needs epochs, or steps"),
    "epochs": (lambda: fit(LOADER, epochs=0), ValueError, "epochs must be a positive integer"),
    "resume": (lambda: fit(LOADER, resume=True), ValueError, "needs checkpoints"),
    "patience": (lambda: EarlyStopping(0), ValueError, "patience must be a positive"),
    "min_delta": (lambda: EarlyStopping(1, min_delta=-1), ValueError, "min_delta must not be"),
    "scheduler": (lambda: trainer(scheduler=3), TypeError, r"scheduler must have step\(\), got"),
    "another's scheduler": (
        lambda: trainer(
            scheduler=tg.optim.lr_scheduler.StepLR(tg.optim.SGD(linear().parameters()), 1)
        ),
        ValueError,
        "the scheduler is one of another optimizer",
    ),
    "scaler": (lambda: trainer(scaler=3), TypeError, "scaler must be a GradScaler, got int"),
    "amp_dtype": (
        lambda: trainer(amp_dtype=tg.float32), ValueError, "amp_dtype must be float16 or bfloat16"
    ),
    "amp_dtype's name": (
        lambda: trainer(amp_dtype="half"), ValueError, "must be float16 or bfloat16, got 'half'"
    ),
    "checkpoints": (
        lambda: trainer(checkpoints="runs"), TypeError, r"must be checkpoint.Checkpoints\("
    ),
    "monitor": (lambda: trainer(monitor=3), TypeError, "must be the name of a column, got 3"),
    "clip_norm": (
        lambda: trainer(clip_norm=math.nan), ValueError, "clip_norm must be a number of at least 0"
    ),
    "clip_value": (lambda: trainer(clip_value="1"), ValueError, "clip_value must be a number"),
    "no state": (
        lambda: trainer().load_state_dict([1]), ValueError, "no state of a Trainer"  # type: ignore
    ),
    "save_every": (lambda: trainer(save_every=0), ValueError, "save_every must be a positive"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_say_what_is_wrong(name: str) -> None:
    call, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        call()


def test_a_wrong_monitor_is_found_before_anything_is_trained() -> None:
    t = trainer(monitor="nothing")
    with pytest.raises(ValueError, match="monitor='nothing' is none of"):
        t.fit(LOADER, epochs=1)
    assert weights(t.model) == weights(linear())


def test_an_error_in_a_callback_passes_as_it_is() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match=r"^disk full$"):
        trainer(callbacks=[At(1, fail)]).fit(LOADER, epochs=1)


def test_a_step_whose_metric_raises_is_not_made_again() -> None:
    class Failing(tg.metrics.Accuracy):
        calls = 0

        def update(self, input: Any, target: Any) -> None:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("no")
            super().update(input, target)

    t = trainer(metrics={"accuracy": Failing()})
    with pytest.raises(RuntimeError, match=r"^no$"):
        t.fit(LOADER, epochs=2)
    assert t.step == 2
    t.fit(LOADER, epochs=2)
    assert t.step == 6
    assert weights(t.model) == bare(LOADER)


def test_all_callbacks_are_closed_where_some_raise() -> None:
    closed = []

    class Closing(Callback):
        def close(self) -> None:
            closed.append(self)
            raise OSError("in close")

    def fail() -> None:
        raise ValueError("in a step")

    with pytest.raises(OSError, match="in close") as raised:
        trainer(callbacks=[Closing(), Closing(), At(1, fail)]).fit(LOADER, epochs=1)
    assert len(closed) == 2
    assert isinstance(raised.value.__context__.__context__, ValueError)


def test_fit_in_itself_is_refused() -> None:
    t = trainer(callbacks=[At(1, lambda: t.fit(LOADER, epochs=1))])
    with pytest.raises(RuntimeError, match="fit is running already"):
        t.fit(LOADER, epochs=1)


def test_a_loader_may_be_its_own_validation(tmp_path: Path) -> None:
    """The place in the pass that is trained on is saved, not that in the validation's."""

    def run(folder: str, *ends: int) -> list[float]:
        for end in ends:
            tg.manual_seed(end)
            t = trainer(checkpoints=Checkpoints(tmp_path / folder))
            data = tg.data.DataLoader(tg.data.TensorDataset(X, Y), 2, True)
            tg.manual_seed(3)
            t.fit(data, steps=end, validation=data, report_every=2, resume=True)
        return weights(t.model)

    assert run("stopped", 4, 9) == run("whole", 9)
