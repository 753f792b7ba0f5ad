"""Averages of a model's parameters over training, and what goes with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.nn.module import Module
from tapegrad.nn.norm import _BatchNorm
from tapegrad.ops.creation.create import tensor

from .lr_scheduler.base import LRScheduler, for_groups, prolonged
from .number import Number
from .optimizer import Optimizer

__all__ = ["AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
           "get_swa_multi_avg_fn", "update_bn"]  # fmt: skip

Average = Callable[[Tensor, Tensor, Any], Tensor]
Averages = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_swa_avg_fn() -> Average:
    """average, parameter, n -> their mean, where the average is of n so far."""

    @no_grad()
    def mean(averaged: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return averaged + (current - averaged) / (num_averaged + 1)

    return mean


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average, parameter, n -> the exponential moving average, which keeps the part ``decay``.
    Raises ValueError for a decay outside 0..1."""
    _require_decay(decay)

    @no_grad()
    def moving(averaged: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return decay * averaged + (1 - decay) * current

    return moving


def get_swa_multi_avg_fn() -> Averages:
    """``get_swa_avg_fn`` for lists of averages and parameters; the averages change in place."""
    return _each(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """``get_ema_avg_fn`` for lists of averages and parameters; the averages change in place."""
    return _each(get_ema_avg_fn(decay))


def _require_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"get_ema_avg_fn: decay must be between 0 and 1, not {decay}")


def _each(average: Average) -> Averages:
    @no_grad()
    def averages(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        for mine, other in zip(averaged, current, strict=True):
            mine.copy_(average(mine, other, num_averaged))

    return averages


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are averages: of those at all calls of
    ``update_parameters(model)``, the plain mean (Izmailov et al. 2018), or what ``avg_fn(average,
    parameter, n)`` returns, or ``multi_avg_fn(averages, parameters, n)`` makes of them in place.

    Buffers are copied at each call, or averaged too with ``use_buffers=True``; ``update_bn``
    computes those of batch normalisation anew. The first call copies; ``n_averaged`` counts them.
    Raises AssertionError if both functions are given.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model makes of the inputs."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take in the model's parameters as they are now."""
        mine: list[Any] = list(self.module.parameters())
        others: list[Any] = list(model.parameters())
        buffers = list(self.module.buffers()), list(model.buffers())
        if self.use_buffers:
            mine, others = (list(chain(a, b)) for a, b in zip((mine, others), buffers, strict=True))
        mine = [p.detach() for p in mine]
        others = [q.detach().to(p.device) for p, q in zip(mine, others, strict=True)]
        if self.n_averaged == 0:
            for p, q in zip(mine, others, strict=True):
                p.copy_(q)
        else:
            averages = self.multi_avg_fn or _each(self.avg_fn or get_swa_avg_fn())
            averages(mine, others, self.n_averaged)
        if not self.use_buffers:
            for p, q in zip(*buffers, strict=True):
                p.copy_(q.to(p.device))
        self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of all batch normalisations anew, as plain means over the
    batches of ``loader`` (inputs, or tuples and lists that begin with them)."""
    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    try:
        for module in momenta:
            module.momentum = None
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate in use to ``swa_lr`` (a number, or one for each group) in ``anneal_epochs``
    epochs, along half a cosine or a line, and then no further (Izmailov et al. 2018). Raises
    ValueError for an anneal_strategy but "cos" and "linear", and epochs that are no integer of at
    least 0."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self._require_optimizer(optimizer)
        rates = for_groups(swa_lr, optimizer, "SWALR", "swa_lr")
        for rate in rates:
            self._require_numbers(swa_lr=rate)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"SWALR: anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(
                f"SWALR: anneal_epochs must be an integer of at least 0, not {anneal_epochs!r}"
            )
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How much of the way is made after the part ``t`` of the epochs."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Number]:
        epoch = self._step_count - 1
        if self.anneal_epochs == 0:
            epoch = max(1, epoch)
        before, now = (
            self.anneal_func(min(1.0, max(0.0, t / max(1, self.anneal_epochs))))
            for t in (epoch - 1, epoch)
        )
        groups = self.optimizer.param_groups
        ends = prolonged([g["swa_lr"] for g in groups if "swa_lr" in g], groups)
        rates = []
        for group, end in zip(groups, ends, strict=True):
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
