"""Optimizer: parameter groups and their steps; what all optimizers share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.caller import tensor_xp
from tapegrad.core.capture import capturing, refuse
from tapegrad.core.devices import CPU, bodies
from tapegrad.core.modes import enable_grad
from tapegrad.core.quiet import noisy, quiet
from tapegrad.core.tensor import Tensor, wrap

from .hooks import register_optimizer_step_post_hook, register_optimizer_step_pre_hook, with_hooks
from .number import counted, is_number, kept_number, plain
from .saved import MASTER, Saved, keeps_master
from .steps import options_of
from .steps.chunks import Prepared, Then, together
from .steps.kernels import record_step
from .steps.loops import add_all

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class _Required:
    """What a default may be that has none: each group must give the option."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def full_state(p: Tensor, shape: Sequence[int], value: float = 0.0, dtype: Any = None) -> Tensor:
    """An array to keep beside a parameter, of its dtype or another, contiguous even where the
    parameter is not."""
    array = p._device.ops["zeros"](tuple(shape), dtype=dtype or p._array.dtype)
    if value:
        array.fill(value)
    return wrap(array, p._device)


def options(given: dict[str, Any]) -> dict[str, Any]:
    """The options among the ``locals()`` of an optimizer's constructor: its signature declares
    them and what they are by default. ``foreach``, ``fused`` and ``capturable`` are PyTorch's ways
    to compute the same numbers: here there is one, and they change nothing. ``master_weights``,
    which PyTorch has not, is one where it is True. Raises RuntimeError for two that exclude each
    other."""
    if given.get("fused"):
        for other in ("foreach", "differentiable"):
            if given.get(other):
                raise RuntimeError(
                    f"{type(given['self']).__name__}: fused and {other} cannot both be True"
                )
    left_out = {"self", "params", "__class__"}
    if given.get("master_weights") is False:
        left_out.add("master_weights")
    return {k: v for k, v in given.items() if k not in left_out}


def alike(x: Tensor, y: Tensor, dtype: Any, shape: Sequence[int] | None = None) -> bool:
    """Whether ``x`` has this dtype, the device of ``y``, and its shape, or this one."""
    wanted = y._array.shape if shape is None else tuple(shape)
    return x._array.shape == wanted and x._array.dtype == dtype and x._device is y._device


def _words(x: Any) -> str:
    return f"{x.dtype.name} {tuple(x.shape)} on {x.device}"


class Optimizer(Saved):
    """Base class. A subclass names in ``step_name`` the step that updates a parameter
    (optim/steps), in ``kept_arrays`` the state that has its parameter's shape (or what ``_shape``
    says), dtype and device, in ``kept_numbers`` that which is a number, in ``not_negative`` the
    options that must be at least 0, in ``beta_count`` how many betas there are, says in
    ``counts_steps`` whether its state has a "step", and in ``_used(group)`` which of
    ``kept_arrays`` a step uses.

    ``params`` are tensors, pairs of name and tensor, or dicts with the key "params" and options
    that replace ``defaults`` for these. ``param_groups`` holds the options in use: change
    ``group["lr"]`` at any time. Numbers may be tensors of one element.

    With ``differentiable=True`` a step is recorded: gradients flow through it to what the
    parameters were, to their gradients, the state, and options that are tensors. Its parameters
    must not be leaves that require grad: give clones.

    With ``master_weights=True`` a step updates 16-bit parameters in float32, so that what is too
    small for their digits is not lost: the state has a copy in float32, "master_param", and all
    else in float32; the parameter gets the copy's values, rounded. What it computes is, to the bit,
    the step of a float32 parameter. Where something else changes the parameter (``load_state_dict``
    of a model, ``copy_``), the master follows. Its gradient may be float32, too (``grad_dtype``).
    """

    step_name: str
    not_negative: tuple[str, ...] = ()
    beta_count = 0

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(
                f"{type(self).__name__}: params must be an iterable of tensors or of dicts, such "
                f"as model.parameters(), not a {type(params).__name__}"
            )
        self.__setstate__({"defaults": defaults, "state": defaultdict(dict), "param_groups": []})
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
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{owner}: a group must be a dict, got {type(param_group).__name__}")
        given = param_group["params"]
        if isinstance(given, (set, frozenset)):
            raise TypeError(f"{owner}: parameters need an order: give a list, not a set")
        params = [given] if isinstance(given, Tensor) else list(given)
        names = [p[0] for p in params if isinstance(p, tuple) and len(p) == 2]
        named = [*self.param_groups, *([{"param_names": ()}] if names else [{}])]
        if len(names) not in (0, len(params)) or len({"param_names" in g for g in named}) > 1:
            raise ValueError(f"{owner}: all parameters must have names, or none")
        if names:
            params = [p for _, p in params]
        group = {**self.defaults, **param_group, "params": params}
        seen = {id(p) for p in self._parameters()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{owner}: parameters must be tensors, got {type(p).__name__}: give "
                    "model.parameters(), those of two models as [*a.parameters(), *b.parameters()]"
                )
            if not (p.is_leaf or p.retains_grad or group.get("differentiable")):
                raise ValueError(
                    f"{owner}: a tensor of shape {tuple(p.shape)} is the result of "
                    f"{p.grad_fn.name()}; only leaves can be optimized"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{owner}: a parameter of shape {tuple(p.shape)} was given more than once"
                )
            seen.add(id(p))
        for option, value in group.items():
            if value is required:
                raise ValueError(f"{owner}: the group does not say what its {option} is")
        if names:
            group["param_names"] = names
        self._check(group)
        self.param_groups.append(group)

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
        if self.beta_count:
            self._require_betas(group)
        if group.get("master_weights"):
            exclusive = not group.get("differentiable")
            self._require(group, "master_weights", exclusive, "False with differentiable=True")

    def _require(self, group: dict[str, Any], option: str, valid: bool, rule: str) -> None:
        if not valid:
            value = group[option]
            shown = _words(value) if isinstance(value, Tensor) and value.ndim else repr(value)
            raise ValueError(f"{type(self).__name__}: {option} must be {rule}, not {shown}")

    def _require_betas(self, group: dict[str, Any]) -> None:
        """Raise ValueError for anything but ``beta_count`` numbers, at least 0 and below 1."""
        betas = group["betas"]
        self._require(
            group,
            "betas",
            isinstance(betas, Sequence)
            and len(betas) == self.beta_count
            and all(is_number(beta) and 0 <= beta < 1 for beta in betas),
            f"{('two', 'three')[self.beta_count - 2]} numbers, at least 0 and below 1",
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or, with ``set_to_none=False``, fill them with zeros)."""
        for p in self._parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach().zero_()

    @with_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient: all of them, or, if anything raises, none
        (with ``differentiable``, which steps on the tape, one by one). ``closure`` may compute the
        loss anew.

        Raises RuntimeError if a parameter has been given another shape, dtype or device than its
        gradient or its state, or is in read-only memory, and for a leaf that requires grad where
        steps are differentiable; NotImplementedError for a class that has no step.
        """
        if not hasattr(self, "step_name"):
            raise NotImplementedError(f"{type(self).__name__} defines neither step() nor step_name")
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = []
        for number, group in enumerate(self.param_groups):
            mine = [(p, p._grad) for p in group["params"] if p._grad is not None]
            for p, _ in mine:
                self._require_alike(p, self.state[p], group)
                if group.get("differentiable") and p.is_leaf and p.requires_grad:
                    raise RuntimeError(
                        f"{type(self).__name__}.step: a parameter of shape {tuple(p.shape)} is a "
                        "leaf that requires grad: with differentiable=True optimize p.clone()"
                    )
            if mine:
                work.append((number, mine))
        recording = capturing()
        if recording is not None:
            states = [self.state[p] for _, mine in work for p, _ in mine]
            record_step(recording, partial(self._prepare, work), states)
            return loss
        prepared = self._prepare(work)
        (quiet(prepared.make) if noisy() else prepared.make)()
        return loss

    def _prepare(self, work: list[tuple[int, list]]) -> Prepared:
        """The steps of the parameters of these groups, by number, with the gradients beside them,
        which nothing has made yet (but those that are recorded on the tape)."""
        change = f"optim.{type(self).__name__}.step"
        update = quiet(self._update) if noisy() else self._update
        ready: list[tuple] = []
        for number, mine in work:
            group = self.param_groups[number]
            recorded = bool(group.get("differentiable"))
            numbers = group if recorded else _plain(group)
            ready.append((mine, recorded, self._used(numbers), self._options(numbers), numbers))
        with together() as prepared:
            for mine, recorded, *how in ready:
                if recorded:
                    with enable_grad():
                        for p, _ in mine:
                            self._update_on_tape(p, self.state[p], *how)
                    continue
                for p, _ in mine:
                    p._bump(change)
                for p, grad in self._update_in_loops(prepared, mine, *how):
                    update(p, grad, self.state[p], *how)
        return prepared

    def _require_alike(self, p: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Raise RuntimeError if the gradient or the state do not fit: a kernel would write past
        the end of the smaller array, or read numbers of the wrong size."""
        kept = self._dtype(p, group)
        grad = p._grad
        if grad is None or not any(alike(grad, p, dtype) for dtype in (p.dtype, kept)):
            self._refuse(
                p,
                "its gradient",
                grad,
                "call zero_grad() and backward() again, or, where a 16-bit parameter has a float32 "
                "gradient, make the optimizer with master_weights=True",
            )
        if not getattr(p._array.flags, "writeable", True):  # (CuPy has no such flag)
            raise RuntimeError(
                f"{type(self).__name__}.step: a parameter of shape {tuple(p.shape)} shares the "
                "memory of a read-only array: make it of a copy"
            )
        for key in self.like_parameters:
            if key in state and not self._fits(key, state[key], p, kept):
                self._refuse(
                    p,
                    f"its state {key!r}",
                    state[key],
                    "make the optimizer after moving or converting the model, or bring its state "
                    "along with optimizer.load_state_dict(optimizer.state_dict())",
                )

    def _fits(self, key: str, value: Tensor, p: Tensor, dtype: Any) -> bool:
        """Whether what is kept as ``key`` has the shape, dtype and device that it should."""
        return alike(value, p, dtype)

    def _refuse(self, p: Tensor, what: str, other: Any, remedy: str) -> None:
        number = next(i for i, q in enumerate(self._parameters()) if q is p)
        raise RuntimeError(
            f"{type(self).__name__}.step: parameter {number} is {_words(p)}, but {what} is "
            f"{_words(other)}: {remedy}"
        )

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        """The options that a step takes. ``first_step``, and what ``_count`` tells, come later."""
        given = group
        if "betas" in group:
            given = {**group, **{f"beta{i}": beta for i, beta in enumerate(group["betas"], 1)}}
        return {key: given.get(key) for key in options_of(self.step_name)}

    def _fresh(self, key: str, p: Tensor, group: dict[str, Any]) -> Tensor | None:
        """The array that is kept as ``key``, before the first step; None if there is none."""
        shape = self._shape(key, p)
        return None if shape is None else full_state(p, shape)

    def _count(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[dict, dict]:
        """What a step is told of how many there were (``state`` has the numbers alone, and as
        Python's), and the numbers that its state has then."""
        step = {"step": state.get("step", 0) + 1}
        return step, step

    def _numbers(self, state: dict[str, Any]) -> dict[str, Any]:
        """The numbers that a state has."""
        if "step" not in state:
            return {}
        numbers: dict[str, Any] = {"step": int(state["step"])}
        for key in self.kept_numbers:
            value = state[key]
            numbers[key] = (
                value if isinstance(value, Tensor) and value.requires_grad else plain(value)
            )
        return numbers

    def _prepared(
        self, p: Tensor, state: dict, used: Sequence[str], options: dict, group: dict
    ) -> tuple[list, dict, dict]:
        """Each of ``kept_arrays`` (None where it is not used), the options, and what is new in the
        state."""
        new: dict[str, Any] = {}
        kept: list[Any] = []
        for key in self.kept_arrays:
            value = state.get(key) if key in used else None
            if value is None and key in used:
                value = self._fresh(key, p, group)
                if value is not None:
                    new[key] = value
            kept.append(value)
        _refuse_state(new)
        if "first_step" in options:
            options = {**options, "first_step": bool(new)}
        if self.counts_steps:
            told, numbers = self._count(self._numbers(state), group)
            options = dict(options)
            for key, value in told.items():
                if key in options:
                    options[key] = value
            for key, value in numbers.items():
                new[key] = counted(value) if key == "step" else kept_number(value)
        return kept, options, new

    def _update_in_loops(
        self, prepared: Prepared, mine: list, used: Sequence[str], options: dict, group: dict
    ) -> list:
        """Prepare the steps of all parameters at once, where none has options of its own, nor a
        master, and the CPU's loops make them; the parameters and states that are left."""
        if self.counts_steps or any(
            p._device is not CPU or keeps_master(p, group) for p, _ in mine
        ):
            return mine
        kept = tuple([key if key in used else None for key in self.kept_arrays])
        try:
            rows = [
                (p._array, grad._array, *[self.state[p][key]._array for key in kept if key])
                for p, grad in mine
            ]
        except KeyError:  # a first step
            return mine
        if "first_step" in options:
            options = {**options, "first_step": False}
        return [mine[i] for i in add_all(prepared, self.step_name, rows, kept, options)]

    def _update(
        self, p: Tensor, grad: Tensor, state: dict, used: Sequence[str], options: dict, group: dict
    ) -> None:
        """Call the step with the parameter or its master, its gradient, the arrays that it keeps
        and the options. What is new in the state comes with the step."""
        new: dict[str, Any] = {}
        stepped, copy = p, None
        if keeps_master(p, group):
            if MASTER not in state:
                new[MASTER] = p.detach().to(self._dtype(p, group))
                _refuse_state(new)
            stepped, copy = {**state, **new}[MASTER], p._array
        kept, options, more = self._prepared(stepped, state, used, options, group)
        new.update(more)
        then = Then(partial(state.update, new) if new else None, stepped._array, copy)
        arrays = [None if x is None else x._array for x in kept]
        p._device.ops[self.step_name](stepped._array, grad._array, *arrays, then=then, **options)

    def _update_on_tape(self, p: Tensor, state: dict[str, Any], *how: Any) -> None:
        kept, options, new = self._prepared(p, state, *how)
        then = Then(partial(state.update, new) if new else None)
        bodies[self.step_name](tensor_xp, p, p._grad, *kept, then=then, **options)

    def __repr__(self) -> str:
        groups = []
        for number, group in enumerate(self.param_groups):
            options = (f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
            groups.append(f"\nParameter Group {number}\n{''.join(options)}")
        return f"{type(self).__name__} ({''.join(groups)})"


def _refuse_state(new: dict[str, Any]) -> None:
    """Raise CaptureError where arrays of a state are made while work is recorded."""
    if new and capturing() is not None:
        refuse("an optimizer makes its state at the first step: call step() once before")


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """The group's options, tensors among them as numbers."""
    return {
        key: x if x.__class__ is float else plain(x)
        for key, x in group.items()
        if key not in ("params", "param_names")
    }
