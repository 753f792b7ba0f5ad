"""Hooks: functions of the user's that modules call around forward and backward.

Hooks of one module are registered with its methods, hooks of all modules with the functions
``register_module_*`` at the end of this file, and are called first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from tapegrad.autograd.backward import RemovableHandle, add_hook
from tapegrad.autograd.function import Function
from tapegrad.core.devices import Device
from tapegrad.core.modes import is_grad_enabled
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import Retelling

from .tables import BUFFER, MODULE, PARAMETER

Hook = Callable[..., Any]

# The tables of hooks, dicts by the hooks' numbers: those that every call looks at, and others.
CALL_TABLES = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
TABLES = (
    *CALL_TABLES, "_state_dict_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_hooks_with_kwargs", "_hooks_always_called", "_hooks_with_module",
)  # fmt: skip


class LaterTable:
    """A table that a module has once it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> dict[int, Any]:
        if module is None:
            raise AttributeError(self.name)
        return module.__dict__.setdefault(self.name, {})


_everywhere: dict[int, bool] = {}  # the numbers of all hooks of all modules


class Hooks(Retelling):
    """The part of a module that keeps hooks and calls them around ``forward``."""

    _forward_pre_hooks: dict[int, Hook]
    _forward_hooks: dict[int, Hook]
    _backward_pre_hooks: dict[int, Hook]
    _backward_hooks: dict[int, Hook]
    _hooks_with_kwargs = LaterTable()
    _hooks_always_called = LaterTable()

    def __init__(self) -> None:
        self.__dict__.update(
            _forward_pre_hooks={}, _forward_hooks={}, _backward_pre_hooks={}, _backward_hooks={}
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _everywhere
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _is_just(self, kind: type) -> bool:
        """Whether a call does what the class ``kind`` says, and nobody looks on."""
        return type(self) is kind and not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _everywhere
            or "forward" in self.__dict__
        )

    def _call_with_hooks(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        result = None
        to_call = dict(_of_all_and("_forward_hooks", self))
        try:
            # Copies of the tables, so that a hook may remove itself while it runs.
            backward_hooks = [hook for _, hook in _of_all_and("_backward_hooks", self)]
            backward_pre_hooks = [hook for _, hook in _of_all_and("_backward_pre_hooks", self)]
            for key, hook in _of_all_and("_forward_pre_hooks", self):
                args, kwargs = self._before(key, hook, args, kwargs)
            call = None
            if backward_hooks or backward_pre_hooks:
                call = _WatchedCall(self, backward_hooks, backward_pre_hooks)
                args = call.enter(args)
            result = self.forward(*args, **kwargs)
            for key, hook in _of_all_and("_forward_hooks", self):
                to_call.pop(key, None)
                changed = self._after(key, hook, args, kwargs, result)
                result = result if changed is None else changed
            return result if call is None else call.leave(result)
        except Exception:
            for key, hook in to_call.items():
                if key in self._hooks_always_called or key in for_all._hooks_always_called:
                    try:
                        changed = self._after(key, hook, args, kwargs, result)
                        result = result if changed is None else changed
                    except Exception as error:
                        warnings.warn(
                            f"{type(self).__name__}: a forward hook with always_call=True raised "
                            f"{type(error).__name__} ({error}) after another error, which is the "
                            "one that is raised",
                            stacklevel=3,
                        )
            raise

    def _before(self, key: int, hook: Hook, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if key not in self._hooks_with_kwargs:
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
            return args, kwargs
        changed = hook(self, args, kwargs)
        if changed is None:
            return args, kwargs
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise RuntimeError(
                f"{type(self).__name__}: a forward pre hook with_kwargs returns None or (args, "
                f"kwargs), got {type(changed).__name__}"
            )
        return changed

    def _after(self, key: int, hook: Hook, args: tuple, kwargs: dict, result: Any) -> Any:
        if key in self._hooks_with_kwargs or key in for_all._hooks_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    # ---- registration ---------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; its result, if any, replaces args.

        prepend: before this module's other hooks. with_kwargs: call ``hook(module, args, kwargs)``,
        whose result is None or (args, kwargs); RuntimeError, in the call, for another one.
        """
        flags = [self._hooks_with_kwargs] if with_kwargs else []
        return add_hook(self._forward_pre_hooks, hook, *flags, prepend=prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; its result may replace the output.

        prepend: before this module's other hooks. with_kwargs: call
        ``hook(module, args, kwargs, output)``. always_call: also if forward, or another hook,
        raises; the output is then None if there is none yet.
        """
        flags = [self._hooks_with_kwargs] if with_kwargs else []
        flags += [self._hooks_always_called] if always_call else []
        return add_hook(self._forward_hooks, hook, *flags, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the module's results are known,
        a tuple with None for what has none; a tuple that it returns replaces them.

        Raises RuntimeError, in backward, for one of another length.
        """
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the module's
        positional arguments are known, a tuple with zeros for Tensors that get none and None for
        what is no Tensor; a tuple that it returns replaces ``grad_input``.

        Where no argument requires grad it is called when those of the results are known, with a
        warning. Raises RuntimeError, in backward, for a tuple of another length.
        """
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """``register_full_backward_hook``: of modules of several operations, PyTorch's old hooks
        see the gradients of the last operation's inputs, which are not the module's."""
        return self.register_full_backward_hook(hook)


for_all = Hooks()  # the hooks of all modules


def _of_all_and(table: str, module: Hooks) -> Iterator[tuple[int, Hook]]:
    yield from tuple(getattr(for_all, table).items())
    yield from tuple(getattr(module, table).items())


# ---------------------------------------------------------------------- backward


class _Boundary(Function):
    """Tensors as they are; in backward, ``seen`` is shown their gradients and returns others."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[tuple], tuple], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        return None, *ctx.seen(grads)


class _WatchedCall:
    """One call of a module with backward hooks: a boundary before it and one behind it."""

    def __init__(self, module: Hooks, hooks: list[Hook], pre_hooks: list[Hook]) -> None:
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.inputs: list[int] = []  # which arguments a gradient is wanted of
        self.grad_output: tuple | None = None  # from the boundary behind to that before

    def enter(self, args: tuple) -> tuple:
        self.arity = len(args)
        self.inputs = _wanting(args)
        self.like = {
            i: (a._array.shape, a._array.dtype, a._device)
            for i, a in enumerate(args)
            if isinstance(a, Tensor)
        }
        return self._bounded(args, self.inputs, self._at_inputs)

    def leave(self, result: Any) -> Any:
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                f"{type(self.module).__name__}: backward hooks are called for results that are a "
                f"Tensor or a tuple of Tensors, not {type(result).__name__}",
                stacklevel=4,
            )
            return result
        results = result if isinstance(result, tuple) else (result,)
        outputs = _wanting(results)

        def seen(grads: tuple) -> tuple:
            return self._at_outputs(grads, outputs, len(results))

        bounded = self._bounded(results, outputs, seen)
        return bounded if isinstance(result, tuple) else bounded[0]

    def _bounded(self, values: tuple, where: list[int], seen: Callable[[tuple], tuple]) -> tuple:
        if not where:
            return values
        passed = _Boundary.apply(seen, *(values[i] for i in where))
        behind = list(values)
        for i, value in zip(where, passed, strict=True):
            behind[i] = value
        kind = type(values)
        return kind(*behind) if hasattr(values, "_fields") else tuple(behind)

    def _at_outputs(self, grads: tuple, outputs: list[int], count: int) -> tuple:
        self.grad_output = _spread(grads, outputs, count)
        for hook in self.pre_hooks:
            changed = hook(self.module, self.grad_output)
            if changed is not None:
                self.grad_output = self._checked("pre hook", "grad_output", changed, count)
        at_outputs: tuple = self.grad_output
        if not self.inputs and self.hooks:
            warnings.warn(
                f"{type(self.module).__name__}: no argument requires grad, so a full backward hook "
                "is called when the gradients of the results are known",
                stacklevel=2,
            )
            for hook in self.hooks:
                changed = hook(self.module, (None,) * self.arity, self.grad_output)
                if changed is not None and any(g is not None for g in changed):
                    raise RuntimeError(
                        f"{type(self.module).__name__}: no argument requires grad, so a backward "
                        "hook cannot return gradients: return None"
                    )
            self.grad_output = None
        return tuple(at_outputs[i] for i in outputs)

    def _at_inputs(self, grads: tuple) -> tuple:
        if self.grad_output is None:  # backward did not come through the results
            return grads
        grad_input = _spread(grads, self.inputs, self.arity)
        grad_input = tuple(
            _zeros(*self.like[i]) if g is None and i in self.like else g
            for i, g in enumerate(grad_input)
        )
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = self._checked("hook", "grad_input", changed, self.arity)
        self.grad_output = None
        return tuple(grad_input[i] for i in self.inputs)

    def _checked(self, what: str, name: str, changed: Any, count: int) -> tuple:
        changed = (changed,) if isinstance(changed, Tensor) else tuple(changed)
        if len(changed) != count:
            raise RuntimeError(
                f"{type(self.module).__name__}: a backward {what} returned {len(changed)} "
                f"gradients for the {count} of {name}"
            )
        return changed


def _wanting(values: tuple) -> list[int]:
    """The positions of the tensors that gradients are wanted of."""
    if not is_grad_enabled():
        return []
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _zeros(shape: tuple[int, ...], dtype: Any, device: Device) -> Tensor:
    return wrap(device.ops["zeros"](shape, dtype=dtype), device)


def _spread(grads: tuple, positions: list[int], count: int) -> tuple:
    spread: list[Tensor | None] = [None] * count
    for i, g in zip(positions, grads, strict=True):
        spread[i] = g
    return tuple(spread)


# ---------------------------------------------------------------------- of all modules

registration_hooks: dict[str, dict[int, Hook]] = {PARAMETER: {}, BUFFER: {}, MODULE: {}}


def replaced(module: Any, kind: str, name: str, value: Any) -> Any:
    """What hooks make of a parameter, buffer or module that is about to be registered."""
    for hook in tuple(registration_hooks.get(kind, registration_hooks[BUFFER]).values()):
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """``register_forward_pre_hook`` of all modules: ``hook(module, args)``."""
    return add_hook(for_all._forward_pre_hooks, hook, _everywhere)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """``register_forward_hook`` of all modules: ``hook(module, args, output)``."""
    flags = [for_all._hooks_with_kwargs] if with_kwargs else []
    flags += [for_all._hooks_always_called] if always_call else []
    return add_hook(for_all._forward_hooks, hook, _everywhere, *flags)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """``register_full_backward_pre_hook`` of all modules: ``hook(module, grad_output)``."""
    return add_hook(for_all._backward_pre_hooks, hook, _everywhere)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """``register_full_backward_hook`` of all modules: ``hook(module, grad_input, grad_output)``."""
    return add_hook(for_all._backward_hooks, hook, _everywhere)


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """``register_module_full_backward_hook``, as ``Module.register_backward_hook`` is one."""
    return register_module_full_backward_hook(hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` whenever a parameter is registered with any module;
    its result, if any, is registered instead."""
    return add_hook(registration_hooks[PARAMETER], hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` whenever a buffer is registered with any module; its
    result, if any, is registered instead."""
    return add_hook(registration_hooks[BUFFER], hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, child)`` whenever a module is registered with any other; its
    result, if any, is registered instead."""
    return add_hook(registration_hooks[MODULE], hook)
