"""Less memory for more time: a part of a program keeps its inputs instead of all that its gradients
need, and runs again in the backward pass (Chen et al. 2016, "Training deep nets with sublinear
memory cost")."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from tapegrad.amp.regions import regions, within
from tapegrad.autograd.backward import backward, walk
from tapegrad.autograd.function import Function
from tapegrad.autograd.graph import saved_tensors_hooks
from tapegrad.autograd.saved_tensors import Hooks, Kept, active
from tapegrad.core.fields import serials
from tapegrad.core.modes import enable_grad, flag, holds, is_grad_enabled
from tapegrad.core.tensor import Storage, Tensor
from tapegrad.ops.common.hints import unknown_names
from tapegrad.ops.sampling.philox import get_rng_state, set_rng_state

from .selective import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "SAC_IGNORED_OPS",
    "SelectiveCheckpointContext",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

Contexts = tuple[AbstractContextManager, AbstractContextManager]


class CheckpointError(RuntimeError):
    """What ran again has kept other tensors than it did the first time."""


def noop_context_fn() -> Contexts:
    """The contexts of a checkpoint that needs none."""
    return nullcontext(), nullcontext()


# What overrides the arguments ``early_stop`` and ``debug`` in this thread.
_early_stop: ContextVar[bool | None] = ContextVar("early stop", default=None)
_debug: ContextVar[bool | None] = ContextVar("debug", default=None)


def set_checkpoint_early_stop(enable: bool) -> AbstractContextManager:
    """A context in which checkpoints stop running again as soon as all that they kept is there, or
    do not (``enable=False``), whatever their argument ``early_stop``."""
    return holds(_early_stop, enable)


def set_checkpoint_debug_enabled(enabled: bool | None) -> AbstractContextManager:
    """A context in which checkpoints have ``debug=enabled``; None: as their argument says."""
    return holds(_debug, enabled)


class _State:
    """What a function's results depend on beside its arguments: random numbers, and autocast."""

    def __init__(self, random: bool):
        self._random = get_rng_state() if random else None
        self._regions = regions.get().changed(cache=None)  # (casts of weights are not kept)

    @contextmanager
    def again(self) -> Iterator[None]:
        """As it was, until the end of the context."""
        now = get_rng_state()
        try:
            if self._random is not None:
                set_rng_state(self._random)
            with within(self._regions):
                yield
        finally:
            if self._random is not None:
                set_rng_state(now)


# ---------------------------------------------------------------------- by hooks


class _Stop(BaseException):
    """Ends a function that runs again, once it has made all that is asked for."""


class _Argument:
    """A tensor that a function was called with, kept until it runs again: by the hooks that are
    around the checkpoint, if there are any, so that checkpoints may be nested."""

    def __init__(self, tensor: Tensor):
        if tensor._storage is None:
            tensor._storage = Storage()
        self._storage, self._since, self._shape = tensor._storage, next(serials), tensor.shape
        hooks = active()
        keeping = Hooks(lambda t: t, lambda t: t) if hooks is None else hooks
        self._kept = Kept(keeping, tensor, tensor._node)
        self._checked = hooks is None

    def open(self) -> Tensor:
        """The tensor. Raises RuntimeError where it was changed in place since."""
        if self._checked and self._storage.changed_at > self._since:
            raise RuntimeError(
                f"[checkpoint] an argument of shape {tuple(self._shape)} was changed in place by "
                f"'{self._storage.changed_by}' since the checkpoint: the function cannot run again "
                "on what it was; clone() it before the change"
            )
        return self._kept.open()


def _described(tensor: Tensor) -> tuple:
    return tuple(tensor.shape), tensor.dtype.name, str(tensor._device)


class _Frame:
    """One call of a function whose tensors are not kept, and how to make them again."""

    def __init__(self, run: Callable[[], Any], early_stop: bool, check: bool, debug: bool):
        self.run, self.early_stop, self.check, self.debug = run, early_stop, check, debug
        self.likes: list[tuple] = []  # the shapes, dtypes and devices of each
        self.complete = False
        self.values: dict[int, Tensor] = {}  # made again, and not yet asked for

    def pack(self, tensor: Tensor) -> int:
        """What stands on the tape for a tensor: its number."""
        self.likes.append(_described(tensor))
        return len(self.likes) - 1

    def unpack(self, number: int) -> Tensor:
        if number not in self.values:
            self._run_again()
        return self.values.pop(number)

    def _run_again(self) -> None:
        """Fill ``values``. Raises CheckpointError where other tensors are kept than before."""
        found: list[tuple] = []
        self.values.clear()

        def keep(tensor: Tensor) -> Tensor:
            place = len(found)
            found.append(_described(tensor))
            if place < len(self.likes):
                self.values[place] = tensor.detach()
            elif self.complete:
                raise CheckpointError(
                    f"[checkpoint] the function keeps more than the {len(self.likes)} tensors that "
                    f"it kept before, now that it runs again: {_shown(found[-1])}. {_ADVICE}"
                )
            if self.early_stop and self.complete and len(found) == len(self.likes):
                raise _Stop
            return tensor.detach()

        try:
            with saved_tensors_hooks(keep, lambda tensor: tensor), enable_grad():
                self.run()
        except _Stop:
            pass
        if len(found) < len(self.likes) and self.complete:
            raise CheckpointError(
                f"[checkpoint] the function kept {len(self.likes)} tensors before and "
                f"{len(found)} now that it runs again. {_ADVICE}{self._listed(found)}"
            )
        for i, (before, now) in enumerate(zip(self.likes, found, strict=False)):
            if self.check and before != now:
                raise CheckpointError(
                    f"[checkpoint] tensor {i} of the {len(self.likes)} that the function keeps was "
                    f"{_shown(before)} before and is {_shown(now)} now that it runs again. "
                    f"{_ADVICE}{self._listed(found)}"
                )

    def _listed(self, found: list) -> str:
        if not self.debug:
            return ""
        lists = zip(("before", "now"), (self.likes, found), strict=True)
        return "".join(f"\n{when}: {'; '.join(map(_shown, kept))}" for when, kept in lists)


_ADVICE = (
    "It must do the same each time: let it depend on its arguments, on parameters and on "
    "tapegrad's random numbers alone (with preserve_rng_state=True)"
)


def _shown(like: tuple) -> str:
    shape, dtype, device = like
    return f"{dtype} {shape} on {device}"


def _by_hooks(
    function: Callable,
    args: tuple,
    kwargs: dict,
    contexts: Contexts,
    random: bool,
    frame: partial[_Frame],
) -> Any:
    forward, again = contexts
    if not is_grad_enabled():
        return function(*args, **kwargs)
    state = _State(random)
    kept = [_Argument(a) if isinstance(a, Tensor) else a for a in args]
    named = {n: _Argument(a) if isinstance(a, Tensor) else a for n, a in kwargs.items()}

    def run() -> None:
        given = [a.open() if isinstance(a, _Argument) else a for a in kept]
        options = {n: a.open() if isinstance(a, _Argument) else a for n, a in named.items()}
        with state.again(), again:
            function(*given, **options)

    made = frame(run)
    with saved_tensors_hooks(made.pack, made.unpack), forward:
        result = function(*args, **kwargs)
    made.complete = True
    return result


# ---------------------------------------------------------------------- by a Function


class CheckpointFunction(Function):
    """The older form: the function runs unrecorded, and its backward is a backward pass of its
    own."""

    @staticmethod
    def forward(ctx: Any, function: Callable, random: bool, *args: Any) -> Any:
        """The function's results."""
        ctx.function, ctx.state = function, _State(random)
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Runs the function again and back. Raises RuntimeError under ``autograd.grad`` and
        ``inputs=``, and where no result requires grad."""
        this = walk.get()
        if this is not None and this.chosen:
            raise RuntimeError(
                "[checkpoint] with use_reentrant=True gradients go to .grad of all leaves, so "
                "neither autograd.grad() nor backward(inputs=...) can be used: pass "
                "use_reentrant=False"
            )
        args = list(ctx.args)
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with ctx.state.again(), enable_grad():
            returned = ctx.function(*args)
        results = returned if isinstance(returned, (tuple, list)) else (returned,)
        pairs = [
            (y, g)
            for y, g in zip(results, grads, strict=True)
            if isinstance(y, Tensor) and y.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "[checkpoint] no result of the function requires grad when it runs again, so there "
                "is nothing to go back over: call the function without a checkpoint"
            )
        backward([y for y, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a._grad if isinstance(a, Tensor) else None for a in args])


# ---------------------------------------------------------------------- what users call


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, keeping its arguments only: the backward pass runs it once
    more to have what its gradients need.

    use_reentrant=False: any arguments and results, nested, with ``autograd.grad``; the function
    ends early when it runs again and all is there (early_stop), and what is kept must have the
    shapes, dtypes and devices it had (determinism_check="default"; "none": not looked at).
    context_fn returns the contexts of the first run and of the next; debug lists all that was kept
    in errors. use_reentrant=True, the default, which warns: the function runs unrecorded, and
    only tensors among ``args`` themselves (not in lists) get gradients, by ``backward`` alone.
    preserve_rng_state=True, among ``kwargs``: the next run draws the numbers of the first.

    Raises TypeError for what cannot be called and for flags that are none, ValueError for arguments
    that the form does not take, CheckpointError in the backward pass where the function does not do
    the same again, and RuntimeError where an argument was changed in place since.
    """
    _require_callable("checkpoint", function)
    reentrant = _form("checkpoint", use_reentrant)
    random = flag("checkpoint", "preserve_rng_state", kwargs.pop("preserve_rng_state", True))
    debug = flag("checkpoint", "debug", debug)
    early_stop = flag("checkpoint", "early_stop", early_stop)
    if reentrant:
        if kwargs:
            raise ValueError(
                f"[checkpoint] unexpected keyword arguments {', '.join(kwargs)}: with "
                "use_reentrant=True the function's arguments are positional"
            )
        if context_fn is not noop_context_fn or debug:
            raise ValueError("[checkpoint] context_fn and debug need use_reentrant=False")
        if is_grad_enabled() and not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            warnings.warn(
                "[checkpoint] no argument requires grad, so neither does the result: parameters "
                "that the function uses get no gradients with use_reentrant=True",
                stacklevel=2,
            )
        return CheckpointFunction.apply(function, random, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"[checkpoint] determinism_check is 'default' or 'none', got {determinism_check!r}"
        )
    asked = [setting.get() for setting in (_early_stop, _debug)]
    stop, lists = (
        given if a is None else a for a, given in zip(asked, (early_stop, debug), strict=True)
    )
    frame = partial(_Frame, early_stop=stop, check=determinism_check == "default", debug=lists)
    return _by_hooks(function, args, kwargs, context_fn(), random, frame)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a ``nn.Sequential``, or a list of functions, in as many segments, each but the last a
    checkpoint: the input of each is kept, and what is within the one that runs again.

    Raises TypeError for what cannot be called and for segments that are no int, ValueError for
    keyword arguments other than preserve_rng_state, and for segments that are more than the
    functions, or fewer than one.
    """
    op = "checkpoint_sequential"
    reentrant = _form(op, use_reentrant)
    random = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(
            f"[checkpoint_sequential] unexpected keyword arguments {', '.join(kwargs)}"
        )
    several = hasattr(functions, "children") or isinstance(functions, Iterable)
    if not several or isinstance(functions, Tensor):
        raise TypeError(
            f"[{op}] functions are a Sequential or a list, got {type(functions).__name__}"
        )
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    for step in steps:
        _require_callable(op, step)
    if isinstance(segments, bool) or not isinstance(segments, int):
        raise TypeError(f"[{op}] segments must be an int, got {type(segments).__name__}")
    if not 1 <= segments <= len(steps):
        raise ValueError(
            f"[checkpoint_sequential] {len(steps)} functions make 1 to {len(steps)} segments, "
            f"got {segments}"
        )
    size = len(steps) // segments
    last = size * (segments - 1)
    for start in range(0, last, size):
        part = partial(_in_turn, steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=reentrant, preserve_rng_state=random)
    return _in_turn(steps[last:], input)


def _in_turn(steps: Sequence[Callable], input: Any) -> Any:
    for step in steps:
        input = step(input)
    return input


def _require_callable(op: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"[{op}] a function must be callable, got {type(function).__name__}")


def _form(op: str, use_reentrant: bool | None) -> bool:
    """Which form is meant: the older one, with a warning, where nothing is said."""
    if use_reentrant is not None:
        return flag(op, "use_reentrant", use_reentrant)
    warnings.warn(
        f"[{op}] pass use_reentrant explicitly: use_reentrant=False is the better form, True is "
        "what is used now, as in PyTorch",
        stacklevel=3,
    )
    return True


if not TYPE_CHECKING:
    __getattr__ = unknown_names(__name__)
