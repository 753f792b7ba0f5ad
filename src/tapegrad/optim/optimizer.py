"""Optimizer: parameter groups, state, and saving both; what all optimizers share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from tapegrad.core.modes import enable_grad
from tapegrad.core.quiet import noisy, quiet
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.creation.create import as_tensor

from .steps import options_of

Params = Iterable[Tensor] | Iterable[dict[str, Any]]
Arguments = tuple[Sequence[str], dict[str, Any]]  # the state that a step uses, and more options


def zeros_like_state(parameter: Tensor) -> Tensor:
    """Zeros to keep beside a parameter, contiguous even where the parameter is not."""
    zeros = parameter._device.ops["zeros"](parameter._array.shape, dtype=parameter._array.dtype)
    return wrap(zeros, parameter._device)


# PyTorch's ways to compute the same numbers. Here there is one way to step.
_WAYS = {"foreach", "fused", "capturable", "differentiable"}


def options(given: dict[str, Any]) -> dict[str, Any]:
    """The options among the ``locals()`` of an optimizer's constructor: its signature declares
    them and what they are by default. ``foreach``, ``fused`` and ``capturable`` change nothing;
    ``differentiable=True`` raises NotImplementedError."""
    if given["differentiable"]:
        raise NotImplementedError(
            f"{type(given['self']).__name__}: differentiable=True does not exist here: write the "
            "update with operations, p - lr * g, where it shall be differentiated"
        )
    return {k: v for k, v in given.items() if k not in {"self", "params", "__class__", *_WAYS}}


def _form(x: Any) -> tuple:
    return x._array.shape, x._array.dtype, x._device


def _words(x: Any) -> str:
    return f"{x.dtype.name} {tuple(x.shape)} on {x.device}"


class Optimizer:
    """Base class. A subclass names in ``step_name`` the step that updates a parameter
    (optim/steps.py), in ``kept_arrays`` the state that has its parameter's shape, dtype and device,
    in ``not_negative`` the options that must be at least 0, and defines ``_arguments(state,
    group)``: which of ``kept_arrays`` a step uses, and the options it takes besides the group's.

    ``params`` are tensors, or dicts with the key "params" and options that replace ``defaults``
    for these. ``param_groups`` holds the options in use: change ``group["lr"]`` at any time.
    """

    step_name: str
    kept_arrays: tuple[str, ...] = ()
    not_negative: tuple[str, ...] = ()

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(
                f"{type(self).__name__}: params must be an iterable of tensors or of dicts, such "
                f"as model.parameters(), not a {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters, with options of their own, e.g. layers that were frozen."""
        owner = type(self).__name__
        given = param_group["params"]
        params = [given] if isinstance(given, Tensor) else list(given)
        seen = {id(p) for p in self._parameters()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{owner}: parameters must be tensors, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    f"{owner}: a tensor of shape {tuple(p.shape)} is the result of "
                    f"{p.grad_fn.name()}; only leaves can be optimized"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{owner}: a parameter of shape {tuple(p.shape)} was given more than once"
                )
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError if an option is out of range."""
        for option in self.not_negative:
            self._require(group, option, group[option] >= 0, "at least 0")

    def _require(self, group: dict[str, Any], option: str, valid: bool, rule: str) -> None:
        if not valid:
            raise ValueError(f"{type(self).__name__}: {option} must be {rule}, not {group[option]}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or, with ``set_to_none=False``, fill them with zeros)."""
        for p in self._parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. ``closure`` may compute the loss anew.

        Raises RuntimeError, before it changes anything, if a parameter has been given another
        shape, dtype or device than its gradient or its state.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for p in self._parameters():
            if p._grad is not None:
                self._require_alike(p)
        change = f"optim.{type(self).__name__}.step"
        update = quiet(self._update) if noisy() else self._update
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    update(p, p._grad._array, self.state[p], group)
                    p._bump(change)
        return loss

    def _require_alike(self, p: Tensor) -> None:
        """Raise RuntimeError if the gradient or the state do not fit: a kernel would write past
        the end of the smaller array, or read numbers of the wrong size."""
        state = self.state.get(p, {})
        kept = {f"its state {key!r}": state[key] for key in self.kept_arrays if key in state}
        for what, other in (("its gradient", p._grad), *kept.items()):
            if _form(other) == _form(p):
                continue
            number = next(i for i, q in enumerate(self._parameters()) if q is p)
            remedy = (
                "make the optimizer after moving or converting the model, or bring its state "
                "along with optimizer.load_state_dict(optimizer.state_dict())"
                if other is not p._grad
                else "call zero_grad() and backward() again"
            )
            raise RuntimeError(
                f"{type(self).__name__}.step: parameter {number} is {_words(p)}, but {what} is "
                f"{_words(other)}: {remedy}"
            )

    def _arguments(self, state: dict[str, Any], group: dict[str, Any]) -> Arguments:
        raise NotImplementedError(f"{type(self).__name__} does not define _arguments()")

    def _update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Call the step with the parameter, its gradient, each of ``kept_arrays`` (zeros at first;
        None where it is not used) and, by name, the options that it takes."""
        used, more = self._arguments(state, group)
        for key in used:
            if key not in state:
                state[key] = zeros_like_state(parameter)
        kept = [state[key]._array if key in used else None for key in self.kept_arrays]
        given = {**group, **more}
        chosen = {key: given[key] for key in options_of(self.step_name)}
        parameter._device.ops[self.step_name](parameter._array, gradient, *kept, **chosen)

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, parameters replaced by their position as in PyTorch."""
        position = {id(p): i for i, p in enumerate(self._parameters())}
        return {
            "state": {position[id(p)]: dict(s) for p, s in self.state.items()},
            "param_groups": [
                {**group, "params": [position[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over state and options of an optimizer of the same kind over like parameters."""
        saved_groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the groups have {sizes} parameters, "
                f"those in the state_dict {saved_sizes}"
            )
        parameters: dict[Any, Tensor] = {}
        groups = []
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            parameters.update(zip(saved["params"], group["params"], strict=True))
            groups.append({**group, **deepcopy(saved), "params": group["params"]})
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, saved_state in state_dict["state"].items():
            p = parameters[number]
            state[p] = {key: self._adopt(p, key, value) for key, value in saved_state.items()}
        self.state, self.param_groups = state, groups

    def _adopt(self, parameter: Tensor, key: str, value: Any) -> Any:
        """A saved value as this parameter's own: copied, on its device and in its dtype."""
        if key == "step":
            return int(value)
        if not isinstance(value, Tensor):
            if not hasattr(value, "__array__"):
                return deepcopy(value)
            value = as_tensor(np.asarray(value))
        if value.shape != parameter.shape:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: '{key}' has shape {tuple(value.shape)}, "
                f"its parameter {tuple(parameter.shape)}"
            )
        return value.detach().to(device=parameter.device, dtype=parameter.dtype).clone()

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            lines.append(f"  group {number}: {len(group['params'])} parameters, {options}\n")
        return f"{type(self).__name__} (\n{''.join(lines)})"
