"""Optimizer: parameter groups, state, and saving both; what all optimizers share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.modes import enable_grad
from tapegrad.core.quiet import noisy, quiet
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import as_tensor

from .steps import options_of

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
Number = float | Tensor  # of one element


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


def is_number(x: Any) -> bool:
    """Whether it can be an option: a number, no flag, or a tensor of one element."""
    if isinstance(x, Tensor):
        return x.numel() == 1 and x.dtype.kind != "b"
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def plain(option: Any) -> Any:
    """An option as the steps want it: tensors, and NumPy's numbers, as Python's."""
    return option.item() if isinstance(option, (Tensor, np.generic)) else option


def _alike(x: Tensor, y: Tensor) -> bool:
    a, b = x._array, y._array
    return a.shape == b.shape and a.dtype == b.dtype and x._device is y._device


def _words(x: Any) -> str:
    return f"{x.dtype.name} {tuple(x.shape)} on {x.device}"


class Optimizer(Retelling):
    """Base class. A subclass names in ``step_name`` the step that updates a parameter
    (optim/steps.py), in ``kept_arrays`` the state that has its parameter's shape, dtype and device,
    in ``not_negative`` the options that must be at least 0, says in ``counts_steps`` whether its
    state has a "step", and in ``_used(group)`` which of ``kept_arrays`` a step uses.

    ``params`` are tensors, pairs of name and tensor, or dicts with the key "params" and options
    that replace ``defaults`` for these. ``param_groups`` holds the options in use: change
    ``group["lr"]`` at any time. Numbers may be tensors of one element.
    """

    step_name: str
    kept_arrays: tuple[str, ...] = ()
    not_negative: tuple[str, ...] = ()
    counts_steps = False

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
        names = [p[0] for p in params if isinstance(p, tuple) and len(p) == 2]
        named = [*self.param_groups, *([{"param_names": ()}] if names else [{}])]
        if len(names) not in (0, len(params)) or len({"param_names" in g for g in named}) > 1:
            raise ValueError(f"{owner}: all parameters must have names, or none")
        if names:
            params = [p for _, p in params]
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
        if names:
            group["param_names"] = names
        self._check(group)
        self.param_groups.append(group)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError if an option is out of range, or not of the kind that the constructor's
        annotation says."""
        for option, kind in type(self).__init__.__annotations__.items():
            if option not in group:
                continue
            value = group[option]
            if kind in ("bool", bool):
                self._require(group, option, isinstance(value, (bool, np.bool_)), "True or False")
            elif option in self.not_negative:
                valid = is_number(value) and bool(value >= 0)
                self._require(group, option, valid, "at least 0")
            elif kind in ("float", float):
                self._require(group, option, is_number(value), "a number")

    def _require(self, group: dict[str, Any], option: str, valid: bool, rule: str) -> None:
        if not valid:
            value = group[option]
            shown = _words(value) if isinstance(value, Tensor) and value.ndim else repr(value)
            raise ValueError(f"{type(self).__name__}: {option} must be {rule}, not {shown}")

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
        work = []
        for group in self.param_groups:
            mine = [(p, self.state[p]) for p in group["params"] if p._grad is not None]
            for p, state in mine:
                self._require_alike(p, state)
            if mine:
                numbers = {k: x if x.__class__ is float else plain(x) for k, x in group.items()}
                work.append((mine, self._used(numbers), self._options(numbers)))
        change = f"optim.{type(self).__name__}.step"
        update = quiet(self._update) if noisy() else self._update
        for mine, used, options in work:
            for p, state in mine:
                p._bump(change)
                update(p, state, used, options)
        return loss

    def _require_alike(self, p: Tensor, state: dict[str, Any]) -> None:
        """Raise RuntimeError if the gradient or the state do not fit: a kernel would write past
        the end of the smaller array, or read numbers of the wrong size."""
        if p._grad is None or not _alike(p._grad, p):
            self._refuse(p, "its gradient", p._grad, "call zero_grad() and backward() again")
        for key in self.kept_arrays:
            if key in state and not _alike(state[key], p):
                self._refuse(
                    p,
                    f"its state {key!r}",
                    state[key],
                    "make the optimizer after moving or converting the model, or bring its state "
                    "along with optimizer.load_state_dict(optimizer.state_dict())",
                )

    def _refuse(self, p: Tensor, what: str, other: Any, remedy: str) -> None:
        number = next(i for i, q in enumerate(self._parameters()) if q is p)
        raise RuntimeError(
            f"{type(self).__name__}.step: parameter {number} is {_words(p)}, but {what} is "
            f"{_words(other)}: {remedy}"
        )

    def _used(self, group: dict[str, Any]) -> Sequence[str]:
        """Which of ``kept_arrays`` a step uses."""
        return self.kept_arrays

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        """The options that a step takes, of which ``step`` and ``first_step`` are its own."""
        given = {"step": 0, "first_step": False, **group}
        return {key: given[key] for key in options_of(self.step_name)}

    def _update(
        self, p: Tensor, state: dict[str, Any], used: Sequence[str], options: dict[str, Any]
    ) -> None:
        """Call the step with the parameter, its gradient, each of ``kept_arrays`` (zeros at first;
        None where it is not used) and the options. What is new in the state comes with the step."""
        assert p._grad is not None
        new: dict[str, Any] = {}
        kept: list[Any] = []
        for key in self.kept_arrays:
            if key in used and key not in state:
                new[key] = zeros_like_state(p)
            kept.append((new if key in new else state)[key]._array if key in used else None)
        if "first_step" in options:
            options = {**options, "first_step": bool(new)}
        if self.counts_steps:
            new["step"] = state.get("step", 0) + 1
            if "step" in options:
                options = {**options, "step": new["step"]}
        then = partial(state.update, new) if new else None
        p._device.ops[self.step_name](p._array, p._grad._array, *kept, then=then, **options)

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, parameters replaced by their position as in PyTorch."""
        position = {id(p): i for i, p in enumerate(self._parameters())}
        return {
            "state": {
                position[id(p)] if isinstance(p, Tensor) else p: dict(s) if type(s) is dict else s
                for p, s in self.state.items()
                if s or not isinstance(p, Tensor)
            },
            "param_groups": [
                {**group, "params": [position[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and options of an optimizer of the same kind over like parameters, all of
        it or nothing.

        Raises ValueError, which names group and key, before it changes anything: for other groups,
        options out of range, a state that is none of these parameters', lacks what a step needs, or
        holds an array of another shape than its parameter. What a step does not know may have any
        shape.
        """
        owner = f"{type(self).__name__}.load_state_dict"
        for key, kind in (("state", Mapping), ("param_groups", Sequence)):
            if not isinstance(state_dict, Mapping) or not isinstance(state_dict.get(key), kind):
                raise ValueError(f"{owner} takes what state_dict() gives: '{key}' is missing")
        groups, parameters = self._load_groups(owner, state_dict["param_groups"])
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, saved in state_dict["state"].items():
            if number in parameters:
                i, p, group = parameters[number]
                state[p] = self._load_state(
                    f"{owner}: group {i}, parameter {number}", p, group, saved
                )
            elif isinstance(number, int):
                raise ValueError(
                    f"{owner}: there is a state of parameter {number}, which no group names"
                )
            else:  # what a subclass keeps for itself
                state[number] = deepcopy(saved)
        vars(self).update(state=state, param_groups=groups)

    def _load_groups(self, owner: str, saved_groups: Any) -> tuple[list, dict]:
        """The groups as they will be, and by saved number: group's index, parameter and group."""
        for i, saved in enumerate(saved_groups):
            if not isinstance(saved, Mapping) or not isinstance(saved.get("params"), (list, tuple)):
                raise ValueError(f"{owner}: group {i} has no list 'params'")
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise ValueError(
                f"{owner}: the groups have {sizes} parameters, those in the state_dict "
                f"{saved_sizes}"
            )
        groups, parameters = [], {}
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            options = deepcopy({key: x for key, x in saved.items() if key != "params"})
            loaded = {**group, **options, "params": group["params"]}
            try:
                self._check(loaded)
            except ValueError as error:
                raise ValueError(f"{owner}: group {i}: {error}") from None
            for number, p in zip(saved["params"], group["params"], strict=True):
                if number in parameters:
                    raise ValueError(f"{owner}: group {i} names parameter {number} again")
                parameters[number] = i, p, loaded
            groups.append(loaded)
        return groups, parameters

    def _load_state(self, where: str, p: Tensor, group: dict[str, Any], saved: Any) -> dict:
        """A saved state as this parameter's own: copied, on its device and in its dtype."""
        if not isinstance(saved, Mapping):
            raise ValueError(f"{where}: the state must be a dict, got {type(saved).__name__}")
        state: dict[str, Any] = {}
        for key, value in saved.items():
            if key == "step" and self.counts_steps:
                state[key] = _count(where, value)
            elif key not in self.kept_arrays:
                state[key] = _adopted(p, value)
            elif value is not None:  # (as PyTorch keeps what was not needed yet)
                array = _adopted(p, value)
                if not isinstance(array, Tensor):
                    raise ValueError(f"{where}: '{key}' is no tensor, but a {type(value).__name__}")
                if array.shape != p.shape:
                    raise ValueError(
                        f"{where}: '{key}' has shape {tuple(array.shape)}, its parameter "
                        f"{tuple(p.shape)}"
                    )
                state[key] = array.to(p.dtype)
        needed = ("step", *self._used(group)) if self.counts_steps else ()
        for key in needed:
            if key not in state:
                raise ValueError(f"{where}: '{key}' is missing")
        return state

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            options = ", ".join(
                f"{k}={v}" for k, v in group.items() if k not in ("params", "param_names")
            )
            lines.append(f"  group {number}: {len(group['params'])} parameters, {options}\n")
        return f"{type(self).__name__} (\n{''.join(lines)})"


def _count(where: str, value: Any) -> int:
    """A number of steps. Raises ValueError for anything else."""
    array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not (array >= 0).all() or array % 1:
        raise ValueError(f"{where}: 'step' must be a number of steps, not {value!r}")
    return int(array)


def _adopted(p: Tensor, value: Any) -> Any:
    """A copy; of tensors, arrays, and another library's tensors, on the parameter's device and, if
    they are floats, in its dtype."""
    if isinstance(value, Mapping):
        return {key: _adopted(p, x) for key, x in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_adopted(p, x) for x in value)
    if not isinstance(value, Tensor):
        if not hasattr(value, "__array__") or isinstance(value, np.generic):
            return deepcopy(value)
        value = as_tensor(np.asarray(value))
    dtype = p.dtype if value.is_floating_point() else value.dtype
    return value.detach().to(device=p.device, dtype=dtype).clone()
