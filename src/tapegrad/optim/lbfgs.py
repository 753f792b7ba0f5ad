"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.creation.create import zeros
from tapegrad.ops.movement.cat import cat

from .line_search import Point, strong_wolfe
from .number import Number, is_number, plain
from .optimizer import Optimizer, Params, options


class LBFGS(Optimizer):
    """Newton's steps, with the inverse of the curvature estimated from the last ``history_size``
    steps and changes of the gradient (Liu & Nocedal 1989). For full batches: ``step(closure)``
    calls ``closure``, which must compute the gradients and return the loss, several times.

    A step makes at most ``max_iter`` iterations and about ``max_eval`` calls (by default
    max_iter * 5 / 4), and ends where no gradient is above ``tolerance_grad`` or nothing changes by
    more than ``tolerance_change``. Each iteration goes ``lr`` times the direction, or as far as the
    line search finds with ``line_search_fn="strong_wolfe"``. It keeps 2 * history_size + 3 numbers
    for each number of the parameters. All parameters are one group, on one device. If the closure
    raises, parameters and state are what they were before the step. Raises ValueError for more
    groups and for options that are negative, RuntimeError for another line search.
    """

    not_negative = ("lr", "max_iter", "max_eval", "history_size")

    def __init__(
        self,
        params: Params,
        lr: Number = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None and is_number(max_iter):
            max_eval = max_iter * 5 // 4
        super().__init__(params, options(locals()))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Of which there is one: raises ValueError for the second."""
        if self.param_groups:
            raise ValueError("LBFGS: all parameters must be in one group")
        super().add_param_group(param_group)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(
                "LBFGS: line_search_fn must be None or 'strong_wolfe', not "
                f"{group['line_search_fn']!r}"
            )

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """One search for the minimum; returns the first loss."""
        params = self.param_groups[0]["params"]
        before = [p.detach().clone() for p in params]
        state = dict(self.state[params[0]])
        try:
            loss = self._search(params, state, enable_grad()(closure))
        except BaseException:
            for p, x in zip(params, before, strict=True):
                p.copy_(x)
            raise
        self.state[params[0]].update(state)
        return loss

    def _search(self, params: list[Tensor], state: dict[str, Any], closure: Callable) -> Any:
        option = {k: plain(x) for k, x in self.param_groups[0].items() if k != "params"}
        lr, tolerance = option["lr"], option["tolerance_change"]
        first_loss = closure()
        loss, gradient = float(first_loss), _flat_gradient(params)
        state.setdefault("n_iter", 0)
        state["func_evals"] = state.get("func_evals", 0) + 1
        if float(gradient.abs().max()) <= option["tolerance_grad"]:
            return first_loss
        calls = 1
        for iteration in range(1, option["max_iter"] + 1):
            state["n_iter"] += 1
            t = lr
            if state["n_iter"] == 1:
                state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1)
                t = min(1.0, 1.0 / float(gradient.abs().sum())) * lr
            else:
                _remember(state, gradient, option["history_size"])
                state["d"] = _direction(state, gradient)
            d = state["d"]
            state.update(t=t, prev_flat_grad=gradient, prev_loss=loss)
            slope = float(gradient.dot(d))
            if slope > -tolerance:
                break
            made, before = 0, loss
            if option["line_search_fn"]:
                start = [p.clone() for p in params]

                def evaluate(t: float, start: list = start, d: Tensor = d) -> Point:
                    _move(params, start, t, d)
                    loss, gradient = float(closure()), _flat_gradient(params)
                    return Point(t, loss, gradient, float(gradient.dot(d)))

                found, made = strong_wolfe(
                    evaluate,
                    Point(0.0, loss, gradient, slope),
                    t,
                    float(d.abs().max()),
                    limit=option["max_eval"] - calls,
                )
                t, loss, gradient, _ = found
                state["t"] = t
                _move(params, start, t, d)
            else:
                _move(params, params, t, d)
                if iteration != option["max_iter"]:
                    loss, gradient = float(closure()), _flat_gradient(params)
                    made = 1
            calls += made
            state["func_evals"] += made
            if (
                calls >= option["max_eval"]
                or float(gradient.abs().max()) <= option["tolerance_grad"]
                or float((d * t).abs().max()) <= tolerance
                or abs(loss - before) < tolerance
            ):
                break
        return first_loss


def _flat_gradient(params: list[Tensor]) -> Tensor:
    return cat(
        [
            zeros(p.numel(), dtype=p.dtype, device=p.device)
            if p.grad is None
            else p.grad.detach().reshape(-1)
            for p in params
        ]
    )


def _move(params: list[Tensor], start: list[Tensor], t: float, d: Tensor) -> None:
    """To ``start`` + t * d."""
    offset = 0
    for p, x in zip(params, start, strict=True):
        p.copy_(x + t * d[offset : offset + p.numel()].reshape(p.shape))
        offset += p.numel()


def _remember(state: dict[str, Any], gradient: Tensor, size: int) -> None:
    """The last step and what it changed the gradient by, unless the curvature was not positive."""
    y, s = gradient - state["prev_flat_grad"], state["d"] * plain(state["t"])
    curvature = float(y.dot(s))
    if curvature > 1e-10:
        for key, new in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
            kept = state[key]
            state[key] = [*(kept[1:] if len(kept) == size else kept), new]
        state["H_diag"] = curvature / float(y.dot(y))


def _direction(state: dict[str, Any], gradient: Tensor) -> Tensor:
    """The estimated inverse curvature times the gradient, downwards, by the two loops over the
    history of Nocedal (1980). On arrays: there are hundreds of small operations."""
    narrow = is_low_precision(gradient.dtype)
    dtype = np.dtype("float32") if narrow else gradient.dtype
    history = [
        (y._array.astype(dtype, copy=False), s._array.astype(dtype, copy=False), plain(r))
        for y, s, r in zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True)
    ]
    d, parts = -gradient._array.astype(dtype), []
    for y, s, r in reversed(history):
        parts.append(r * float(s.dot(d)))
        d -= parts[-1] * y
    d *= plain(state["H_diag"])
    for (y, s, r), part in zip(history, reversed(parts), strict=True):
        d += (part - r * float(y.dot(d))) * s
    return wrap(d, gradient._device).to(gradient.dtype)
