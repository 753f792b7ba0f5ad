"""Schedules along a cosine."""

from __future__ import annotations

import math

from ..number import Number
from ..optimizer import Optimizer
from .base import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """eta_min + (rate - eta_min) * (1 + cos(pi * epoch / T_max)) / 2: along half a cosine down to
    ``eta_min`` in ``T_max`` epochs, and up again (Loshchilov & Hutter 2016); each step multiplies
    the rate's distance from eta_min by what that grows. Raises ValueError for a T_max below 1,
    TypeError for what is no number."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self._require_numbers(T_max=T_max, eta_min=eta_min, last_epoch=last_epoch)
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, not {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self) -> list[Number]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from eta_min: distance 0
            first = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base - self.eta_min) * first
                for lr, base in zip(rates, self.base_lrs, strict=True)
            ]
        growth = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [growth * (lr - self.eta_min) + self.eta_min for lr in rates]

    def _get_closed_form_lr(self) -> list[Number]:
        height = self._height(self.last_epoch) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """eta_min + (rate - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, where T_cur counts the epochs
    since the last restart: after ``T_0`` epochs it starts again, and each stretch T_i is ``T_mult``
    times as long as the one before (Loshchilov & Hutter 2016).

    ``step(epoch)`` takes fractions, to step within an epoch. Raises ValueError for a T_0 or T_mult
    that is no integer of at least 1, for an eta_min that is no number, and a negative epoch.
    """

    _takes_epochs = True

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: {name} must be an integer of at least 1, not "
                    f"{value!r}"
                )
        if not isinstance(eta_min, (float, int)):
            raise ValueError(
                f"CosineAnnealingWarmRestarts: eta_min must be a number, not {eta_min!r}"
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _advance(self, epoch: float | None) -> None:
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
            return
        epoch = 0 if epoch is None else epoch
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch must be at least 0, not {epoch}")
        self.last_epoch = math.floor(epoch)
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def get_lr(self) -> list[Number]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]
