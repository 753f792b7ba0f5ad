"""Checkpoints that keep the results of some operations: a policy says of which, and those are not
computed again.

A policy is asked between an operation's function of Tensors and what computes it, so it sees what
the tape records, as PyTorch's sees what its dispatcher does: the parts of a composed function, not
the function. What operations compute is kept as copies, by operation and number of the call.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, NamedTuple

from tapegrad.core import caller
from tapegrad.core.commit import Users
from tapegrad.core.devices import Device, load_primitive, to_numpy
from tapegrad.core.memory import shares
from tapegrad.core.modes import flag, holds
from tapegrad.core.tensor import Tensor, wrap_result
from tapegrad.ops.catalog import doors, loaded


class CheckpointPolicy(enum.Enum):
    """What becomes of an operation's result: it is kept, or computed again, or kept in the host's
    memory. MUST and PREFER are one here, as nothing overrides a preference."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy is told beside the operation: its result, as ``op_output``. ``is_recompute`` is
    False, as only the first run asks."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


SAC_IGNORED_OPS: set[Any] = set()  # of which policies are not asked: none here

_SAVED = {CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE}
_OFFLOADED = {CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD}

_DOORS = ("tg", "F", "linalg", "special")

# Functions that are one call of another operation, with checks of their own.
_RUN_AS = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot"), ("matmul",)),
    **dict.fromkeys(("addmm", "baddbmm"), ("matmul", "addmm")),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), ("convolution",)),
    "cudnn_convolution_relu": ("convolution_relu",),
}


@cache
def _function(name: str) -> Callable:
    """The function that a policy is given for an operation: the public one of that name, else that
    of the tape."""
    for door in _DOORS:
        if name in doors[door]:
            return doors[door][name].load()
    return caller.registry[name]


def _primitives(function: Any) -> list[str]:
    """The names under which the tape runs a public function, of which some devices have their own;
    none for one made of several, and for anything else."""
    for op, public in loaded.items():
        if public is function:
            names = [n for door in _DOORS for n, other in doors[door].items() if other == op]
            found = {*[run for n in names for run in _RUN_AS.get(n, ())], op.function, *names}
            for name in found:
                load_primitive(name)
            if run := [name for name in found if name in caller.registry]:
                return run
    own = getattr(function, "__name__", "")
    return [own] if own and caller.registry.get(own) is function else []


def _chosen(functions: list) -> Callable:
    """The policy that keeps the results of these. Raises ValueError for what is no operation of the
    tape."""
    names = [_primitives(function) for function in functions]
    for function, own in zip(functions, names, strict=True):
        if not own:
            raise ValueError(
                "[create_selective_checkpoint_contexts] a list names operations of the tape, such "
                f"as tapegrad.matmul, and {getattr(function, '__name__', repr(function))} is none, "
                "or made of several: a policy function that prints its argument op tells which "
                "there are"
            )
    chosen = {_function(name) for own in names for name in own}
    return lambda ctx, op, *args, **kwargs: op in chosen


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Callable | list, allow_cache_entry_mutation: bool = False
) -> tuple[AbstractContextManager, AbstractContextManager]:
    """The two contexts of a checkpoint that keeps the results of some operations::

        def policy(ctx, op, *args, **kwargs):
            return op is tapegrad.matmul

        contexts = partial(create_selective_checkpoint_contexts, policy)
        checkpoint(function, x, use_reentrant=False, context_fn=contexts)

    ``policy(ctx, op, *args, **kwargs)`` is called in the first run with each operation that has
    run: ``op`` is its function (``tapegrad.matmul``, ``nn.functional.linear``; ``op.__name__`` is
    its name), the arguments are its inputs, off the tape, and its parameters by name. It returns a
    CheckpointPolicy, or a bool: whether the result is kept. A list names the operations whose
    results are. ``mm``, ``bmm``, ``addmm`` and their like run as ``matmul`` (where kernels add,
    ``addmm`` and ``baddbmm`` as ``addmm``), and ``conv2d`` as ``convolution``; other functions made
    of several operations are seen in their parts. Of views no
    policy is asked: they are made again.

    Results are kept as copies, so changing them in place does no harm, and
    ``allow_cache_entry_mutation`` changes nothing. Each is handed out once: a second backward pass
    over the checkpoint raises RuntimeError, and so does a function that runs other operations than
    before. Raises ValueError for what is no operation, TypeError for anything but a function or a
    list, and for a policy that returns neither a CheckpointPolicy nor a bool.
    """
    op = "create_selective_checkpoint_contexts"
    flag(op, "allow_cache_entry_mutation", allow_cache_entry_mutation)
    if isinstance(policy_fn_or_list, list):
        policy = _chosen(policy_fn_or_list)
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError(
            f"[{op}] expects a policy function or a list of operations, got "
            f"{type(policy_fn_or_list).__name__}"
        )
    kept: dict[tuple[str, int], Any] = {}
    return _First(policy, kept), _Again(kept)


# ---------------------------------------------------------------------- between operations


_RECOMPUTED, _HANDED_OUT = object(), object()

_current: ContextVar[_Context | None] = ContextVar("selective checkpoint", default=None)


def _looking(name: str, device: Device, implementation: Callable) -> Callable:
    def run(*arrays: Any, **parameters: Any) -> Any:
        context = _current.get()
        if context is None:
            return implementation(*arrays, **parameters)
        return context.run(_Call(name, device, implementation, arrays, parameters))

    return run


# Operations look for contexts while there are any in some thread.
_users = Users(partial(caller.interpose, _looking))


def _exchange(context: _Context | None) -> None:
    change = (context is not None) - (_current.get() is not None)
    _users.change(change, partial(_current.set, context))


class _Call(NamedTuple):
    """What computes an operation's result, and of what."""

    name: str
    device: Device
    implementation: Callable
    arrays: tuple
    parameters: dict[str, Any]

    def makes_a_view(self, results: tuple) -> bool:
        """Whether some result shares the memory of an input."""
        kind = self.device.array_type
        inputs = [x for x in self.arrays if isinstance(x, kind)]
        return any(shares(y, x) for y in results if isinstance(y, kind) for x in inputs)


class _Context:
    """Stands between this thread's operations and what computes them."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._before: list[_Context | None] = []

    def __enter__(self) -> None:
        self._calls.clear()
        self._before.append(_current.get())
        try:
            _exchange(self)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        _exchange(self._before.pop())

    def run(self, call: _Call) -> Any:
        """The result of a call."""
        key = call.name, self._calls[call.name]
        self._calls[call.name] += 1
        outer = self._before[-1]
        compute = partial(call.implementation, *call.arrays, **call.parameters)
        return self.result(key, call, compute if outer is None else partial(outer.run, call))

    def result(self, key: tuple[str, int], call: _Call, compute: Callable) -> Any:
        """The result of a call, by the operation's name and the call's number, which ``compute``
        computes."""
        raise NotImplementedError


class _First(_Context):
    """The first run, in which the policy says what is kept."""

    def __init__(self, policy: Callable, kept: dict) -> None:
        super().__init__()
        self._policy, self._kept = policy, kept

    def result(self, key: tuple[str, int], call: _Call, compute: Callable) -> Any:
        """What is computed, of which a copy may be kept."""
        value = compute()
        self._kept[key] = _RECOMPUTED
        if call.makes_a_view(value if isinstance(value, tuple) else (value,)):
            return value
        answer = self._ask(call, value)
        if answer is True or answer in _SAVED:
            self._kept[key] = _each(lambda a: a.copy(), value)
        elif answer in _OFFLOADED:
            self._kept[key] = _each(partial(_Offloaded, call.device), value)
        return value

    def _ask(self, call: _Call, value: Any) -> bool | CheckpointPolicy:
        def shown(array: Any) -> Tensor:
            return wrap_result(array, call.device)

        told = SelectiveCheckpointContext(is_recompute=False, op_output=_each(shown, value))
        inputs = [_each(shown, x) for x in call.arrays]
        with holds(_current, None):  # what the policy computes is its own affair
            answer = self._policy(told, _function(call.name), *inputs, **call.parameters)
        if not isinstance(answer, (bool, CheckpointPolicy)):
            raise TypeError(
                "[create_selective_checkpoint_contexts] the policy must return a CheckpointPolicy "
                f"or a bool, got {type(answer).__name__}"
            )
        return answer


class _Again(_Context):
    """The next run, in which what was kept is handed out."""

    def __init__(self, kept: dict) -> None:
        super().__init__()
        self._kept = kept

    def result(self, key: tuple[str, int], call: _Call, compute: Callable) -> Any:
        """What was kept, or what is computed. Raises RuntimeError for a call that there was not,
        and where it has been handed out."""
        value = self._kept.get(key)
        if value is None:
            raise RuntimeError(
                f"[checkpoint] the function calls '{key[0]}' {key[1] + 1} times now that it runs "
                f"again, and called it {key[1]} times before: it must do the same each time"
            )
        if value is _HANDED_OUT:
            raise RuntimeError(
                "[checkpoint] a second backward pass over a selective checkpoint: what it had kept "
                "was handed out in the first one; use a checkpoint without a policy"
            )
        if value is _RECOMPUTED:
            return compute()
        self._kept[key] = _HANDED_OUT
        return _each(_back, value)


def _each(function: Callable, value: Any) -> Any:
    """The value with a function applied to the arrays in it."""
    if isinstance(value, (tuple, list)):
        return type(value)([_each(function, v) for v in value])
    return function(value) if hasattr(value, "dtype") else value


class _Offloaded:
    """An array that is kept in the host's memory."""

    dtype = None  # (it stands for an array)

    def __init__(self, device: Device, array: Any) -> None:
        self._device = device
        self._array = to_numpy(array).copy()

    def back(self) -> Any:
        """The array, on its device."""
        return self._device.asarray(self._array)


def _back(value: Any) -> Any:
    return value.back() if isinstance(value, _Offloaded) else value
