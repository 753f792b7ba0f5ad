"""What modules save and load: ``state_dict`` and ``load_state_dict``, the methods that a layer
overrides to keep its state in another form, and their hooks."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import itemgetter, setitem
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tapegrad.autograd.backward import RemovableHandle, add_hook
from tapegrad.core.commit import commit
from tapegrad.core.memory import byte_range
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import check_nesting
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.common.writable import check_writable
from tapegrad.ops.creation.create import as_tensor

from .hooks import LaterTable
from .parameter import Parameter, Uninitialized
from .tables import BUFFER, MODULE, PARAMETER

Hook = Callable[..., Any]
_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class State(Retelling):
    """The part of a module that saves and loads."""

    _version: int = 1  # of the form of its own state, which is saved with it
    _state_dict_pre_hooks = LaterTable()
    _state_dict_hooks = LaterTable()
    _load_state_dict_pre_hooks = LaterTable()
    _load_state_dict_post_hooks = LaterTable()
    _hooks_with_module = LaterTable()

    if TYPE_CHECKING:  # Module's

        def _registered(self, *kinds: str) -> Iterator[tuple[str, Any]]: ...

    # ---- saving ---------------------------------------------------------------------------

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Every parameter and persistent buffer by dotted name, and what ``get_extra_state``
        returns. The tensors share memory; they are off the tape unless ``keep_vars``.

        destination: a dict to add them to. The dict's ``_metadata`` has each module's ``_version``.
        (All three as positional arguments are accepted with a FutureWarning.)
        """
        if args:
            warnings.warn(
                "state_dict: give destination, prefix and keep_vars by name",
                FutureWarning,
                stacklevel=2,
            )
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given.get("destination") if destination is None else destination
            prefix, keep_vars = prefix or given.get("prefix", ""), keep_vars or len(args) > 2
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        own = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = own
        for hook in tuple(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._registered(MODULE):
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for number, hook in tuple(self._state_dict_hooks.items()):
            changed = hook(self, destination, prefix, own)
            if changed is not None and number in self._hooks_with_module:
                raise RuntimeError(
                    f"{type(self).__name__}: a state_dict post hook returns None and changes the "
                    f"dict that it is given, got {type(changed).__name__}"
                )
            destination = destination if changed is None else changed
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Add this module's own state, without its children's. For layers to override."""
        for name, value in self._persistent():
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def _persistent(self) -> Iterator[tuple[str, Tensor]]:
        for kind in (PARAMETER, BUFFER):
            for name, value in self._registered(kind):
                if value is not None:
                    yield name, value

    def get_extra_state(self) -> Any:
        """What ``state_dict`` keeps beside the tensors, for a subclass to define together with
        ``set_extra_state``. Raises RuntimeError where it does not."""
        raise RuntimeError(f"{type(self).__name__} does not define get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` had returned. Raises RuntimeError where a subclass
        does not define it."""
        raise RuntimeError(f"{type(self).__name__} does not define set_extra_state()")

    # ---- loading --------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into this module's parameters and buffers, all of them or none, whatever
        happens meanwhile.

        Values may also be arrays, or another library's tensors on the CPU. Every problem is found
        before the first value is copied, and all are reported together in a RuntimeError: values
        of other shapes and, if ``strict``, missing and unexpected keys. With ``assign`` the values
        themselves become the parameters and buffers, with their dtypes and devices. Keys of a
        module that was compiled, "_orig_mod.weight", are those of the module.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected a dict of tensors by name, got a "
                f"{type(state_dict).__name__}"
            )
        plan = _Plan()
        keys = IncompatibleKeys([], [])
        given, metadata = dict(state_dict), getattr(state_dict, "_metadata", None)
        if any(_COMPILED in str(key) for key in given):
            given, metadata = _uncompiled(given), metadata and _uncompiled(metadata)
        visited = _ask(self, given, "", metadata, assign, plan, keys)
        hooked = any(module._load_state_dict_post_hooks for module in visited)
        if plan or not hooked:  # (a hook may settle what is missing)
            _refuse(self, plan, keys, strict)
        undo = plan.undo() if hooked and strict and any(keys) else []
        plan.carry_out()
        for module in visited:
            for hook in tuple(module._load_state_dict_post_hooks.values()):
                if hook(module, keys) is not None:
                    raise RuntimeError(
                        f"{type(module).__name__}: a load_state_dict post hook returns None and "
                        "changes the lists that it is given"
                    )
        try:
            _refuse(self, plan, keys, strict)
        except RuntimeError:
            commit(undo)
            raise
        return keys

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own state, whose keys begin with ``prefix``, without its children's.
        For layers to override, which rename or reshape entries of ``state_dict`` and go on here.

        What does not fit is added to the lists. Called by ``load_state_dict``, which gives a list
        of its own as ``error_msgs``, this notes what is to be copied, and all modules' values are
        copied after the last has agreed; called with any other list, it copies at once.
        """
        for number, hook in tuple(self._load_state_dict_pre_hooks.items()):
            first = (self,) if number in self._hooks_with_module else ()
            hook(
                *first, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                error_msgs,
            )  # fmt: skip
        plan = error_msgs if isinstance(error_msgs, _Plan) else _Plan()
        own = dict(self._persistent())
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                assign = local_metadata.get("assign_to_params_buffers", False)
                plan.take(self, name, key, target, state_dict[key], assign)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA
        if type(self).set_extra_state is not State.set_extra_state:
            if extra in state_dict:
                plan.extra.append((self, state_dict[extra]))
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            children = {name for name, _ in self._registered(MODULE)}
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    name, dot, _ = key[len(prefix) :].partition(".")
                    if name not in (children if dot else own):
                        unexpected_keys.append(key)
        if plan is not error_msgs:
            error_msgs.extend(plan)
            if not plan:
                plan.carry_out()

    # ---- hooks ----------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's state is collected."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` once this module's state and
        that of those below it is in ``state_dict``, to change it in place."""
        return add_hook(self._state_dict_hooks, hook, self._hooks_with_module)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """The same, with a hook that may return another dict."""
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` before this module takes its state from ``state_dict``,
        which the hook may change: it is a copy."""
        return add_hook(self._load_state_dict_pre_hooks, hook, self._hooks_with_module)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        """The same; the hook is given the module only if ``with_module``."""
        flags = [self._hooks_with_module] if with_module else []
        return add_hook(self._load_state_dict_pre_hooks, hook, *flags)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` once the values have been copied; what it
        removes from the lists of missing and unexpected keys is no error any more."""
        return add_hook(self._load_state_dict_post_hooks, hook)


_COMPILED = "_orig_mod"  # where PyTorch's compiled modules have the module


def _uncompiled(named: Mapping[str, Any]) -> dict[str, Any]:
    def stripped(key: Any) -> Any:
        parts = key.split(".") if isinstance(key, str) else ()
        return ".".join(part for part in parts if part != _COMPILED) if parts else key

    return {stripped(key): value for key, value in named.items()}


def _ask(
    module: Any,
    given: dict[str, Any],
    prefix: str,
    metadata: Any,
    assign: bool,
    plan: _Plan,
    keys: IncompatibleKeys,
) -> list[Any]:
    """Have a module and those below it look at what they are given; all of them, children first."""
    local = dict(metadata.get(prefix[:-1], {})) if metadata else {}
    if assign:
        local["assign_to_params_buffers"] = True
    module._load_from_state_dict(given, prefix, local, True, *keys, plan)
    children = {name: child for name, child in module._registered(MODULE) if child is not None}
    parts: dict[str, dict[str, Any]] = {name: {} for name in children}
    for key, value in given.items():
        if key.startswith(prefix):
            name, dot, _ = key[len(prefix) :].partition(".")
            if dot and name in parts:
                parts[name][key] = value
    visited = []
    for name, child in children.items():
        visited += _ask(child, parts[name], f"{prefix}{name}.", metadata, assign, plan, keys)
    return [*visited, module]


def _refuse(module: Any, plan: _Plan, keys: IncompatibleKeys, strict: bool) -> None:
    """Raise for what does not fit."""
    problems = list(plan)
    if strict and keys.unexpected_keys:
        problems.insert(0, f"unexpected keys: {_quoted(keys.unexpected_keys)}")
    if strict and keys.missing_keys:
        problems.insert(0, f"missing keys: {_quoted(keys.missing_keys)}")
    if problems:
        raise RuntimeError(
            f"load_state_dict: cannot load into {type(module).__name__}:\n  "
            + "\n  ".join(problems)
        )


class _Plan(list):
    """The problems of loading, as messages; and what is to be done if there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[Tensor, Tensor]] = []  # into a tensor, from another
        self.assigned: list[tuple[Any, str, Tensor]] = []  # to a module's attribute
        self.made: list[tuple[Any, Tensor]] = []  # of what was not initialized
        self.extra: list[tuple[Any, Any]] = []  # a module, its extra state

    def take(
        self, module: Any, name: str, key: str, target: Tensor, given: Any, assign: bool
    ) -> None:
        """Note that ``target``, a module's attribute, is to have the value that was given under
        ``key``."""
        uninitialized = isinstance(target, Uninitialized)
        if uninitialized and isinstance(given, Uninitialized):
            return
        try:
            value = _as_tensor(given)
            shape = value.shape  # of one that is not initialized, an error
            if uninitialized:
                made = value.detach().to(device=target.device, dtype=target.dtype, copy=True)
                self.made.append((target, made))
                return
            if not assign:
                check_writable(target.detach(), "load_state_dict")
        except (TypeError, ValueError, RuntimeError) as error:
            self.append(f"cannot load '{key}': {error}")
            return
        if target.ndim == 0 and shape == (1,):
            value = value.reshape(())
        if value.shape != target.shape:
            self.append(
                f"size mismatch for '{key}': the state_dict has {tuple(value.shape)}, "
                f"the module has {tuple(target.shape)}"
            )
        elif not assign:
            if value._device is not target._device or value.dtype != target.dtype:
                value = value.detach().to(device=target.device, dtype=target.dtype)
            self.copies.append((target, value))
        elif not isinstance(target, Parameter):
            self.assigned.append((module, name, value))
        elif target.requires_grad and not value.is_floating_point():
            self.append(f"cannot load '{key}': {value.dtype.name} values cannot require grad")
        else:
            fits = isinstance(value, Parameter) and value.requires_grad is target.requires_grad
            made = value if fits else Parameter(value, target.requires_grad)
            self.assigned.append((module, name, made))

    def carry_out(self) -> None:
        """Do it: the extra states first, as what they do may fail, and then the tensors at once."""
        taken = _merged(byte_range(target._array) for target, _ in self.copies)
        steps = []
        for target, value in self.copies:
            source = value._array.copy() if _meets(value._array, taken) else value._array
            steps.append(partial(setitem, target._array, ..., source))
        for module, name, value in self.assigned:
            steps.append(partial(setitem, module.__dict__, name, value))
        for target, value in self.made:
            steps += target._becoming(value)
        _set_extra_states(self.extra)
        for target, _ in self.copies:
            target._bump("load_state_dict")
        commit(steps)

    def undo(self) -> list[partial]:
        """The steps back to how it is now."""
        steps = [partial(setitem, t._array, ..., t._array.copy()) for t, _ in self.copies]
        steps += [partial(setitem, m.__dict__, n, m.__dict__[n]) for m, n, _ in self.assigned]
        for target, _ in self.made:
            steps += target._becoming_again()
        for module, before in _extra_states_of([module for module, _ in self.extra]):
            steps.append(partial(module.set_extra_state, before))
        return steps


def _extra_states_of(modules: list[Any]) -> list[tuple[Any, Any]]:
    """The extra states that modules have now, of those that can tell."""
    telling = [m for m in modules if type(m).get_extra_state is not State.get_extra_state]
    return [(module, module.get_extra_state()) for module in telling]


def _set_extra_states(states: list[tuple[Any, Any]]) -> None:
    """Set them all; if one fails, those before it are as they were."""
    done: list[tuple[Any, Any]] = []
    try:
        for module, state in states:
            done += _extra_states_of([module])
            module.set_extra_state(state)
    except BaseException:
        for module, before in done:
            module.set_extra_state(before)
        raise


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges of bytes in order, as few as possible."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            first, last = merged[-1][0], max(last, merged.pop()[1])
        merged.append((first, last))
    return merged


def _meets(array: Any, ranges: list[tuple[int, int]]) -> bool:
    """Whether the array may share memory with one of these ranges of bytes."""
    first, last = byte_range(array)
    i = bisect_right(ranges, last, key=itemgetter(0)) - 1
    return i >= 0 and ranges[i][1] >= first


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    check_nesting("load_state_dict", value)
    detach = getattr(value, "detach", None)  # PyTorch's, of a parameter
    return as_tensor(detach() if callable(detach) else np.asarray(value), device="cpu")


def _quoted(keys: list[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys)
