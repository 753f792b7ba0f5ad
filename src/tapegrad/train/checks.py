"""What a Trainer is given, looked at before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from tapegrad.amp import GradScaler
from tapegrad.checkpoint import Checkpoints
from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.tensor import Tensor
from tapegrad.nn import Module
from tapegrad.ops.common.arguments import positive
from tapegrad.optim import LBFGS
from tapegrad.optim.optimizer import Optimizer
from tapegrad.optim.zero_redundancy import ZeroRedundancyOptimizer

from .batches import length
from .callback import Callback

_TAKEN = ("epoch", "step", "lr", "loss")


def check_parts(
    model: Any, loss: Any, optimizer: Any, metrics: Mapping, callbacks: Sequence
) -> None:
    """Raise TypeError and ValueError for parts that do not do what a loop asks of them."""
    if not isinstance(model, Module):
        raise TypeError(f"[Trainer] model must be a Module, got {type(model).__name__}")
    if not callable(loss):
        raise TypeError(
            f"[Trainer] loss must be a function of output and target, got {type(loss).__name__}"
        )
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"[Trainer] optimizer must be an Optimizer, got {type(optimizer).__name__}")
    if isinstance(optimizer, LBFGS):
        raise TypeError(
            "[Trainer] LBFGS computes the loss several times a step: write its loop yourself"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "[Trainer] the optimizer has none of the model's parameters: make it of "
            "model.parameters(), of this model"
        )
    if not isinstance(metrics, Mapping):
        raise TypeError(f"[Trainer] metrics must be a dict by name, got {type(metrics).__name__}")
    for name, metric in metrics.items():
        if not isinstance(name, str) or name in _TAKEN or name.startswith("val_"):
            raise ValueError(f"[Trainer] a metric cannot be named {name!r}, which reports have")
        if isinstance(metric, type) or not all(
            callable(getattr(metric, method, None)) for method in ("update", "compute", "reset")
        ):
            raise TypeError(
                f"[Trainer] metric {name!r} must have update, compute and reset, as "
                f"metrics.Accuracy() has, got {metric!r}"
            )
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(
            f"[Trainer] callbacks must be a list of Callbacks, got {type(callbacks).__name__}"
        )
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"[Trainer] callbacks must be Callbacks, got {callback!r}")
        for name in dir(callback):
            if name.startswith("on_") and not hasattr(Callback, name):
                warnings.warn(
                    f"[Trainer] nothing calls {type(callback).__name__}.{name}: the hooks are "
                    "on_start, on_step, on_report (of an epoch, or of report_every steps), on_end",
                    stacklevel=4,  # where the Trainer is made
                )


def check_whole(model: Module, optimizer: Any) -> None:
    """Raise NotImplementedError where this rank has only a part of the state, which the first one
    would save alone."""
    if isinstance(optimizer, ZeroRedundancyOptimizer):
        what = "a ZeroRedundancyOptimizer has on each rank a part of its state"
    elif any(hasattr(p, "sharding") for p in model.parameters()):
        what = "fully_shard leaves each rank a part of each parameter"
    else:
        return
    raise NotImplementedError(
        f"[Trainer] {what}, and one rank saves for all: train without checkpoints=, and save and "
        "load model and optimizer by distributed.checkpoint, on all ranks"
    )


def check_options(
    optimizer: Any,
    scheduler: Any,
    scaler: Any,
    amp_dtype: Any,
    checkpoints: Any,
    save_every: Any,
    monitor: Any,
) -> None:
    """Raise TypeError and ValueError for what would fail, or do nothing, only when it is used."""
    if scheduler is not None:
        if isinstance(scheduler, type) or not callable(getattr(scheduler, "step", None)):
            raise TypeError(
                f"[Trainer] scheduler must have step(), got {type(scheduler).__name__}: several "
                "are one by lr_scheduler.ChainedScheduler or SequentialLR"
            )
        if getattr(scheduler, "optimizer", optimizer) is not optimizer:
            raise ValueError(
                "[Trainer] the scheduler is one of another optimizer, and would change nothing "
                "here: make it of this one"
            )
    if scaler is not None and not isinstance(scaler, GradScaler):
        raise TypeError(f"[Trainer] scaler must be a GradScaler, got {type(scaler).__name__}")
    narrow = isinstance(amp_dtype, np.dtype) and is_low_precision(amp_dtype)
    if amp_dtype is not None and not narrow:
        raise ValueError(f"[Trainer] amp_dtype must be float16 or bfloat16, got {amp_dtype!r}")
    if isinstance(checkpoints, (str, PathLike)):
        raise TypeError(
            f"[Trainer] checkpoints must be checkpoint.Checkpoints({str(checkpoints)!r}), got the "
            "folder alone"
        )
    if checkpoints is not None and not isinstance(checkpoints, Checkpoints):
        raise TypeError(
            "[Trainer] checkpoints must be checkpoint.Checkpoints(folder), got "
            f"{type(checkpoints).__name__}"
        )
    if save_every is not None:
        positive("[Trainer] save_every", save_every)
        if checkpoints is None:
            raise ValueError(
                f"[Trainer] save_every={save_every} saves nothing without checkpoints: pass "
                "checkpoints=checkpoint.Checkpoints(folder)"
            )
    if monitor is not None and not isinstance(monitor, str):
        raise TypeError(f"[Trainer] monitor must be the name of a column, got {monitor!r}")


def check_loader(name: str, loader: Any) -> None:
    """Raise TypeError for what gives no batches, ValueError where there are none."""
    if not isinstance(loader, Iterable) or isinstance(loader, (str, bytes, Tensor)):
        raise TypeError(
            f"[Trainer] {name} must give batches, as a DataLoader does, got {type(loader).__name__}"
        )
    if length(loader) == 0:
        raise ValueError(
            f"[Trainer] {name} has no batches: its dataset is empty, or smaller than a batch while "
            "drop_last=True"
        )


def check_row_names(monitor: str, metrics: Iterable[str], validated: bool) -> None:
    """Raise ValueError for a monitored name that no report will have."""
    known = ["loss", *metrics]
    known += [f"val_{name}" for name in known] if validated else []
    if monitor not in known:
        hint = "" if validated or not monitor.startswith("val_") else "; fit has no validation"
        raise ValueError(f"[Trainer] monitor={monitor!r} is none of {known}{hint}")


def check_result(result: Any) -> None:
    """Raise TypeError for what is no (loss, output, target)."""
    if not isinstance(result, tuple) or len(result) != 3:
        raise TypeError("[Trainer] compute() must return (loss, output, target)")
    loss = result[0]
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
        got = type(loss).__name__
        if isinstance(loss, Tensor):
            got = f"{loss.dtype.name} {tuple(loss.shape)}"
        raise TypeError(
            f"[Trainer] the loss must be a float Tensor of one element, got {got}: take the mean "
            "over the batch"
        )


def limit(name: str, value: Any) -> Any:
    """A bound that is a number of at least 0, or None. Raises ValueError for anything else."""
    real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (real and value >= 0):
        raise ValueError(f"[Trainer] {name} must be a number of at least 0, got {value!r}")
    return value


def values_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What metrics compute, as numbers. Raises TypeError for what is none."""
    values = {}
    for name, metric in metrics.items():
        value = metric.compute()
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, (int, float)):
            kind = type(value).__name__
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            raise TypeError(
                f"[Trainer] metric {name!r} computes a {kind}{shape}, where a report needs a "
                "number: average it, or compute it in a callback"
            )
        values[name] = float(value)
    return values
