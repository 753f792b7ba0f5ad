"""The training loop. It does what a bare loop does, in this order, and survives being stopped."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from tapegrad.amp import GradScaler, autocast
from tapegrad.checkpoint import Checkpoints
from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.nn import Module
from tapegrad.nn.utils import clip_grad_norm_, clip_grad_value_
from tapegrad.ops.common.arguments import positive
from tapegrad.optim.lr_scheduler import ReduceLROnPlateau

from . import together
from .batches import batch_size, length, moved
from .callback import Callback, close_all
from .checks import check_loader, check_options, check_parts, check_result, check_row_names, limit
from .history import History
from .position import Position, set_random_state
from .progress import Progress
from .reports import Reporting
from .signals import Signals


class Trainer(Reporting):
    """Trains a model::

        trainer = tg.train.Trainer(
            model, nn.CrossEntropyLoss(), optimizer,
            metrics={"accuracy": tg.metrics.Accuracy()}, monitor="val_accuracy", mode="max",
            checkpoints=tg.checkpoint.Checkpoints("runs/digits", keep_last=2),
            callbacks=[tg.train.EarlyStopping(patience=5)],
        )
        history = trainer.fit(loader, epochs=20, validation=unseen, resume=True)

    loss: a function of the model's output and the target, the mean over a batch. metrics: by name,
    objects with ``update(output, target)``, ``compute()`` and ``reset()``. scheduler: steps once an
    ``schedule="epoch"`` or once a "step"; a ReduceLROnPlateau steps at every report, on the
    monitored value. monitor: a column of the reports, by default the validation's loss, else the
    training's; mode: whether less ("min") or more ("max") of it is better.

    accumulate: so many batches make one step, with the gradient of the mean over all their samples,
    however many the last batches of an epoch have. clip_norm, clip_value: bounds of the gradients'
    joint norm and of each element. amp_dtype: float16 or bfloat16 for ``autocast``; float16 brings
    a GradScaler, unless ``scaler`` is given. non_finite: what a loss of inf or nan does, "raise" or
    "skip" the step. checkpoints: a folder in which the run is saved, at every report and every
    ``save_every`` steps; that of the best report is kept, too. progress: a line for every report,
    and a bar where tqdm is there and someone watches.

    A batch is a pair (input, target), which is moved to the model's device; for anything else a
    subclass overrides ``compute``. Raises TypeError and ValueError for what does not fit.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Tensor],
        optimizer: Any,
        *,
        metrics: Mapping[str, Any] | None = None,
        scheduler: Any = None,
        schedule: str = "epoch",
        monitor: str | None = None,
        mode: str = "min",
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        amp_dtype: Any = None,
        scaler: GradScaler | None = None,
        non_finite: str = "raise",
        checkpoints: Checkpoints | None = None,
        save_every: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> None:
        check_parts(model, loss, optimizer, metrics or {}, callbacks)
        check_options(optimizer, scheduler, scaler, amp_dtype, checkpoints, save_every, monitor)
        for name, value, known in (
            ("schedule", schedule, ("epoch", "step")),
            ("mode", mode, ("min", "max")),
            ("non_finite", non_finite, ("raise", "skip")),
        ):
            if value not in known:
                raise ValueError(f"[Trainer] {name} must be one of {known}, got {value!r}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = dict(metrics or {})
        self.scheduler, self.schedule = scheduler, schedule
        self.mode, self._monitor = mode, monitor
        self.accumulate = positive("[Trainer] accumulate", accumulate)
        self.clip_norm = limit("clip_norm", clip_norm)
        self.clip_value = limit("clip_value", clip_value)
        self.amp_dtype, self.non_finite = amp_dtype, non_finite
        if scaler is None:
            kind = self.device.type
            scaler = GradScaler(kind, enabled=amp_dtype == dtypes.float16)
        self.scaler = scaler
        self.checkpoints = checkpoints
        self.save_every = save_every
        self.callbacks = [*callbacks, *([Progress()] if progress else [])]

        self.history = History()
        self.epoch = 0  # epochs completed
        self.step = 0  # steps made in all of them, those left out included
        self.skipped = 0  # steps left out, where the loss was inf or nan
        self.last_loss = math.nan
        self.resuming = False  # whether fit was told to go on with a saved run
        self.stopped = ""  # why the run is complete before its end
        self.best: float | None = None  # the monitored value
        self.best_step = 0  # of which report it is
        self.steps_in_epoch: int | None = None
        self._validated = False
        self._total, self._samples = 0.0, 0.0  # of the loss since the last report
        self._position: Position | None = None
        self._resume_at: dict[str, Any] | None = None
        self._report_due = False  # whether a signal came while a report was made
        self._random: dict[str, Any] | None = None  # to be set when the loaders are known
        self._signals = Signals()
        self._fitting = False

    # ------------------------------------------------------------------ for subclasses

    def compute(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """The loss of a batch, and what the metrics compare: the model's output, and the target. A
        subclass overrides this for batches that are no pairs and models that return more."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            parts = f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else ""
            raise TypeError(
                f"[Trainer] a batch must be a pair (input, target), got {type(batch).__name__}"
                f"{parts}: let the dataset return pairs, or override compute()"
            )
        input, target = batch
        output = self.model(input)
        try:
            return self.loss(output, target), output, target
        except Exception as error:
            if isinstance(output, Tensor):
                raise
            raise TypeError(
                f"[Trainer] the model returned {type(output).__name__}, which the loss does not "
                "take: return a Tensor, or override compute()"
            ) from error

    def stop(self, reason: str) -> None:
        """End the run after this step, on all ranks."""
        self.stopped = reason

    @property
    def device(self) -> Device:
        """Where the model is."""
        first = next(iter(self.model.parameters()), None)
        return Device("cpu") if first is None else first.device

    @property
    def monitor(self) -> str:
        """The column of the reports by which a model is better than another."""
        return self._monitor or ("val_loss" if self._validated else "loss")

    # ------------------------------------------------------------------ the loop

    def fit(
        self,
        loader: Iterable,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        validation: Iterable | None = None,
        report_every: int | None = None,
        resume: Any = False,
    ) -> History:
        """Train until there were so many epochs, or steps, since the very beginning, whichever is
        first, and return the history: a row for every epoch, or every ``report_every`` steps. Warns
        where there were so many before.

        validation: batches that are evaluated at every report. resume: go on from the last save in
        ``checkpoints``, if there is one (True), or from a file (a path). A run that is killed and
        resumed ends with the same bits as one that is not.

        SIGINT (CTRL-C) and SIGTERM: after the current step the state is saved, the program's own
        handlers are put back, and the signal is handed on to them: KeyboardInterrupt, SystemExit. A
        second CTRL-C ends at once.

        Raises ValueError for a loader without batches, and a monitor that no report has;
        FileExistsError where ``checkpoints`` has another run; FloatingPointError, before the step,
        for a loss of inf or nan (``non_finite="raise"``); NotImplementedError for ``checkpoints``
        of what several ranks have divided (fully_shard, ZeroRedundancyOptimizer): these are for
        distributed.checkpoint.
        """
        if self._fitting:
            raise RuntimeError("[Trainer] fit is running already: use another Trainer in it")
        if epochs is None and steps is None:
            raise ValueError("[Trainer] fit needs epochs, or steps: how long to train")
        for name, value in (("epochs", epochs), ("steps", steps), ("report_every", report_every)):
            if value is not None:
                positive(f"[Trainer] {name}", value)
        loaders = [loader] if validation is None else [loader, validation]
        check_loader("loader", loader)
        if validation is not None:
            check_loader("validation", validation)
        self._validated = validation is not None
        check_row_names(self.monitor, self.metrics, self._validated)
        self.stopped, self.resuming = "", resume is not False
        self._begin(resume)
        self._position = Position(*loaders)
        if self._random is not None:
            set_random_state(self._random, self._position.generators)
            self._random = None
        batches = length(loader)
        self.steps_in_epoch = None if batches is None else -(-batches // self.accumulate)
        if not self.model.training:
            self.model.train()

        def complete() -> bool:
            enough = epochs is not None and self.epoch >= epochs
            return enough or bool(self.stopped) or (steps is not None and self.step >= steps)

        if complete() and not resume and not self._report_due:
            warnings.warn(
                f"[Trainer] nothing is left to do: the run has {self.epoch} epochs and {self.step} "
                "steps, and both count from its beginning; "
                f"fit(epochs={self.epoch + 1}) trains another epoch",
                stacklevel=2,
            )
        self._fitting = True
        try:
            with Signals() as self._signals:
                self._tell("on_start")
                if self.history and self.best_step == self.step == self.history[-1]["step"]:
                    self._save(best=True)  # it may have been killed between the two files
                if self._report_due:
                    self._report(validation)
                while not complete() and not self._signals.caught:
                    self._train_epoch(validation, report_every, complete)
                if self._samples and not self._signals.caught:
                    self._report(validation)
                self._save()
                self._share_signals()
                if not self._signals.caught:
                    self._tell("on_end")
            self._resume_at = self._position.state_dict()
        except BaseException:
            self._resume_at = self._position.state_dict(exact=False)
            raise
        finally:
            self._fitting = False
            close_all(self.callbacks)
        self._signals.deliver()
        return self.history

    def _train_epoch(
        self, validation: Any, report_every: int | None, complete: Callable[[], bool]
    ) -> None:
        """The rest of an epoch, or as much of it as there is time for."""
        position: Any = self._position
        state, self._resume_at = self._resume_at, None
        batches = position.batches(state, self.epoch)
        while group := list(islice(batches, self.accumulate)):
            self._train_step(group)
            self._tell("on_step")
            if report_every and self.step % report_every == 0:
                self._report(validation)
            elif self.save_every and self.step % self.save_every == 0:
                self._save()
            if complete() or self._signals.caught:
                return
        position.ended = True
        if not position.taken:
            raise ValueError(
                f"[Trainer] the loader gave no batch in epoch {self.epoch + 1}: an iterator or "
                "generator can be read once only; pass a DataLoader or a list"
            )
        self._end_epoch(validation, report=not report_every)

    def _train_step(self, group: list[Any]) -> None:
        """One step of the optimizer, from one batch or several."""
        sizes = [batch_size(batch) for batch in group]
        own = sum(sizes)
        self.optimizer.zero_grad()
        losses, counts, seen = [], [], []
        for number, (batch, size) in enumerate(zip(group, sizes, strict=True), 1):
            last = number == len(group)
            with nullcontext() if last else getattr(self.model, "no_sync", nullcontext)():
                loss, output, target = self._computed(batch)
                mean, count = self._agreed(loss.item(), size)
                if not math.isfinite(mean):
                    self._skip(mean)
                    self._count(group)
                    return
                part = loss if size == own else loss * (size / own)
                self.scaler.scale(part).backward()
            losses.append(mean)
            counts.append(count)
            seen.append((output, target))
        total = sum(counts)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.clip_norm is not None or self.clip_value is not None:
            self.scaler.unscale_(self.optimizer)
            if self.clip_norm is not None:
                clip_grad_norm_(parameters, self.clip_norm)
            if self.clip_value is not None:
                clip_grad_value_(parameters, self.clip_value)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._count(group)
        if self.schedule == "step" and self.scaler.get_scale() >= scale:
            self._move_schedule()
        self.last_loss = sum(x * count for x, count in zip(losses, counts, strict=True)) / total
        self._total += self.last_loss * total
        self._samples += total
        with no_grad():
            for output, target in seen:
                for metric in self.metrics.values():
                    metric.update(output, target)

    def _agreed(self, loss: float, size: int) -> tuple[float, float]:
        """The mean loss of the samples of all ranks in a batch, and how many they are. Where one
        has noted a signal, all get it here, so that they stop after the same step."""
        if not together.are_several():
            return loss, size
        total, samples, noted = together.added(loss * size, size, self._signals.noted is not None)
        self._signals.share(noted)
        return total / samples, samples

    def _share_signals(self) -> None:
        """Wait for all ranks: one that ended before would end the others in the midst of a save. A
        signal that one of them has noted since the last step, all get here."""
        if together.are_several():
            (noted,) = together.added(self._signals.noted is not None)
            self._signals.share(noted)

    def _skip(self, loss: float) -> None:
        self.optimizer.zero_grad()
        if self.non_finite == "raise":
            raise FloatingPointError(
                f"[Trainer] the loss is {loss} at step {self.step + 1}, in epoch {self.epoch + 1}; "
                "no parameter was changed by it: try a lower learning rate, clip_norm=1.0, or "
                "non_finite='skip' to leave such steps out"
            )
        self.skipped += 1
        self.last_loss = loss

    def _count(self, group: list[Any]) -> None:
        """A step is made, of these batches: whatever raises from here on, it is not made again."""
        position: Any = self._position
        self.step, position.taken = self.step + 1, position.taken + len(group)

    def _computed(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """``compute`` on the model's device, in the dtype of amp."""
        device = self.device
        region: Any = nullcontext()
        if self.amp_dtype is not None:
            region = autocast(device.type, self.amp_dtype)
        with region:
            result = self.compute(moved(batch, device))
        check_result(result)
        return result

    def _end_epoch(self, validation: Any, report: bool) -> None:
        row = self._row(validation) if report else None
        if report and row is None:  # a signal came: a resumed run is here again
            return
        if self.schedule == "epoch":
            self._move_schedule()
        position: Any = self._position
        self.epoch, position.taken = self.epoch + 1, 0
        if row is not None:
            self._publish(row)

    def _move_schedule(self) -> None:
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
