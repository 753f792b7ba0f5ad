"""Functions that are called around an optimizer's steps, and around saving and loading it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from itertools import chain
from typing import Any

from tapegrad.autograd.backward import RemovableHandle, add_hook
from tapegrad.ops.common.refusals import Retelling

Hooks = OrderedDict[int, Callable]

_REGISTRIES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)
_before_all_steps: Hooks = OrderedDict()
_after_all_steps: Hooks = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """As ``Optimizer.register_step_pre_hook``, for all optimizers."""
    return add_hook(_before_all_steps, hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """As ``Optimizer.register_step_post_hook``, for all optimizers."""
    return add_hook(_after_all_steps, hook)


def with_hooks(step: Callable) -> Callable:
    """A class's ``step``, which calls the hooks. Where a class's own step calls its base's, only
    the first of them does."""

    @wraps(step)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self).step is not called:
            return step(self, *args, **kwargs)
        given: tuple = (self, *args)
        for hook in chain(_before_all_steps.values(), self._optimizer_step_pre_hooks.values()):
            changed = hook(self, given, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"{type(self).__name__}.step: a pre hook must return None or new args and "
                        f"kwargs, got {changed!r}"
                    )
                given, kwargs = changed
        result = step(*given, **kwargs)
        self._opt_called = True  # schedules ask
        for hook in chain(self._optimizer_step_post_hooks.values(), _after_all_steps.values()):
            hook(self, given, kwargs)
        return result

    return called


class Hooked(Retelling):
    """What can be told of its steps, of saving and of loading."""

    _optimizer_step_pre_hooks: Hooks
    _optimizer_step_post_hooks: Hooks
    _optimizer_state_dict_pre_hooks: Hooks
    _optimizer_state_dict_post_hooks: Hooks
    _optimizer_load_state_dict_pre_hooks: Hooks
    _optimizer_load_state_dict_post_hooks: Hooks

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = with_hooks(vars(cls)["step"])  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in _REGISTRIES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        missing: dict[str, Any] = {
            name: OrderedDict() for name in _REGISTRIES if name not in vars(self)
        }
        vars(self).update(missing, **state)

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step, with what the step was given,
        the optimizer first; it may return a tuple of other args and kwargs. Returns a handle whose
        ``remove()`` removes the hook, as all of these do; they raise TypeError for a hook that
        cannot be called."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``; before earlier hooks with ``prepend``."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before ``state_dict`` returns: it may change the
        dict, or return another."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before ``load_state_dict``, with a shallow copy of
        what is to be loaded: it may change that, or return another."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after ``load_state_dict``."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)
