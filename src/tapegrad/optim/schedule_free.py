"""Schedule-free AdamW."""

from __future__ import annotations

from typing import Any

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor

from .number import Number, plain
from .optimizer import Optimizer, Params, options
from .saved import MASTER


class ScheduleFreeAdamW(Optimizer):
    """AdamW without a schedule, whose end need not be known: steps are made at z, gradients are
    taken at y, between z and x, and x, the average of all z, is the answer (Defazio et al. 2024,
    "The Road Less Scheduled").

    The parameters are y while training. Call ``eval()`` before they are evaluated or saved: they
    become x; and ``train()`` before training goes on. betas[0] is how near y is to x.
    ``warmup_steps`` let lr grow evenly from 0. Step t counts in the average with the weight
    t ** ``r`` * (largest lr so far) ** ``weight_lr_power``. ``maximize`` goes up. Raises ValueError
    for options that are negative, and for betas outside 0..1; RuntimeError for a step after
    ``eval()``. PyTorch has no such optimizer.
    """

    step_name = "schedule_free_step"
    counts_steps = True
    kept_arrays = ("z", "exp_avg_sq")
    kept_numbers = ("weight_sum", "lr_max")
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay", "warmup_steps")

    def __init__(
        self,
        params: Params,
        lr: Number = 2.5e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()) | {"train_mode": True})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not plain(group["betas"][0]):
            raise ValueError("ScheduleFreeAdamW: betas[0] must be above 0: eval() divides by it")

    def _fresh(self, key: str, p: Tensor, group: dict[str, Any]) -> Tensor | None:
        if key == "z":
            return (p if group["differentiable"] else p.detach()).clone()
        return super()._fresh(key, p, group)

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        if not group["train_mode"]:
            raise RuntimeError("ScheduleFreeAdamW.step: call train() first")
        return super()._options(group)

    def _count(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[dict, dict]:
        step, rate = state.get("step", 0) + 1, group["lr"]
        if step < group["warmup_steps"]:
            rate = rate * (step / group["warmup_steps"])
        largest = max(rate, state.get("lr_max", 0.0))
        weight = step ** group["r"] * largest ** group["weight_lr_power"]
        total = state.get("weight_sum", 0.0) + weight
        part = weight / total if total else 0.0
        numbers = {"step": step, "weight_sum": total, "lr_max": largest}
        return {"step": step, "rate": rate, "part": part}, numbers

    def eval(self) -> None:
        """Make the parameters the averages x, for evaluation and for saving."""
        self._turn(False)

    def train(self) -> None:
        """Make the parameters y again, for training."""
        self._turn(True)

    @no_grad()
    def _turn(self, training: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] == training:
                continue
            beta = plain(group["betas"][0])
            part = 1 - beta if training else 1 - 1 / beta  # of the way from here to z
            for p in group["params"]:
                state = self.state[p]
                if "z" in state:
                    y = state.get(MASTER, p)
                    y.lerp_(state["z"], part)
                    if y is not p:
                        p.copy_(y)
            group["train_mode"] = training
