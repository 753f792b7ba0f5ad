"""Functions of tensors that run as one kernel: ``tapegrad.fuse``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache, update_wrapper
from types import FunctionType, MethodType
from typing import Any

from tapegrad.amp.regions import regions
from tapegrad.core.commit import fork_safe_lock
from tapegrad.core.dtypes import get_default_dtype
from tapegrad.core.modes import recording
from tapegrad.core.tape import is_recording, own_primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.writable import check_writable

from .arguments import check_apart, read
from .plain import as_written
from .plans import CannotFuse, Plan
from .tracing import TracingDevice

MOST_PLANS = 256  # shapes and other arguments that one function remembers
Call = tuple[Plan, list[float]]  # and the numbers that the plan has left open


def fuse(function: Callable) -> Fused:
    """``function`` as one kernel forward and one backward: for functions of tensors that compute
    element by element, with broadcasting, and reduce over the last dimension (softmax, norms).

    The result is called like the function, and is on the tape like any operation; gradients of
    gradients go through the function itself. It is traced once for each choice of device, shapes,
    dtypes and other arguments, and compiled once for each form of computation: for ``cpu`` by the
    C++ compiler into a loop of vectors, for ``emulated`` and ``cuda`` into a CUDA kernel; what was
    compiled is kept in the user's cache. Without a compiler the function runs as it is.

    Tensors must be arguments, or in them: in lists, tuples, dicts, attributes of objects, such as
    the ``self`` of a method; ``fuse(module)`` and ``fuse(module.forward)`` have it, too. Where
    something is computed that cannot be part of such a kernel (a matrix product, a sort, indexing,
    random numbers, a decision by a tensor's values), the call raises CannotFuse, which names it and
    the line.

        @tapegrad.fuse
        def swiglu(a, b):
            return F.silu(a) * b
    """
    if not callable(function):
        raise TypeError(f"[fuse] expects a function of tensors, got {type(function).__name__}")
    return Fused(function)


class Fused:
    """What ``fuse`` makes of a function."""

    def __init__(self, function: Callable):
        update_wrapper(self, function)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function, self._owner = _unbound(function)
        self._plans: dict[Any, list[Plan]] = {}
        self._made: deque[Any] = deque()  # the key of each plan
        self._making = fork_safe_lock()

    def __repr__(self) -> str:
        return f"<fused {getattr(self._function, '__qualname__', self._function)}>"

    def __reduce__(self) -> str:
        return getattr(self, "__qualname__", self.__name__)  # by name, as functions are

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _Method(self, instance)

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        args = (*self._owner, *args)
        tensors: list[Tensor] = []
        numbers: list[float] = []
        key = self._read((args, options), tensors, numbers)
        if as_written.get() or not tensors or _is_empty(tensors):
            return self._function(*args, **options)
        if isinstance(tensors[0]._device, TracingDevice):  # a part of another fused function
            return self._function(*args, **options)
        plan = self._plan(key, (args, options), tensors, numbers)
        if not plan.runs:
            return self._function(*args, **options)
        if plan.changed:
            return self._change(plan, tensors, numbers)
        call = _caller(self.__name__, len(tensors), plan.count)
        made = call(*tensors, call=(plan, numbers))
        needs = tuple([t._node is not None for t in tensors])
        recorded = plan.recorded(needs, numbers) if True in needs and recording.get() else ()
        if plan.is_one and False not in recorded:
            return made
        results = made if plan.count > 1 else [made]
        if False in recorded:
            results = [t if r else t.detach() for t, r in zip(results, recorded, strict=True)]
        return plan.returned(tensors, results)

    def plan(self, args: tuple, options: dict) -> tuple[Plan, list[float]]:
        """What was made of the function for arguments like these, and the numbers among them."""
        args = (*self._owner, *args)
        tensors: list[Tensor] = []
        numbers: list[float] = []
        key = self._read((args, options), tensors, numbers)
        return self._plan(key, (args, options), tensors, numbers), numbers

    def _read(self, given: Any, tensors: list[Tensor], numbers: list[float]) -> Any:
        try:
            key = read(given, tensors, numbers)
            hash(key)
        except TypeError as error:
            names = [type(a).__name__ for a in (*given[0], *given[1].values())]
            raise CannotFuse(
                f"[fuse] arguments of {self.__name__} must be tensors, values that can be compared "
                "(hashable), or lists, tuples, dicts and attributes of objects of those, got "
                f"{', '.join(names)} ({error})"
            ) from None
        except RecursionError:
            raise CannotFuse(
                f"[fuse] arguments of {self.__name__} are nested without end: does one of the "
                "lists or dicts contain itself?"
            ) from None
        return key, get_default_dtype(), *regions.get().active.items()

    def _plan(
        self, key: Any, given: tuple[tuple, dict], tensors: list[Tensor], numbers: list[float]
    ) -> Plan:
        for plan in self._plans.get(key, ()):
            if plan.fits(numbers):
                return plan
        device = tensors[0]._device
        if any(t._device is not device for t in tensors):
            where = ", ".join(str(t._device) for t in tensors)
            raise RuntimeError(
                f"[{self.__name__}] all tensors must be on one device, got {where}: move them with "
                ".to(device)"
            )
        plan = self._new_plan(given, tensors, numbers)
        with self._making:
            self._plans.setdefault(key, []).append(plan)
            self._made.append(key)
            if len(self._made) > MOST_PLANS:
                oldest = self._made.popleft()
                self._plans[oldest] = self._plans[oldest][1:]
                if not self._plans[oldest]:
                    del self._plans[oldest]
        return plan

    def _new_plan(
        self, given: tuple[tuple, dict], tensors: list[Tensor], numbers: list[float]
    ) -> Plan:
        """With numbers left open, if the function can do with what stands for them."""
        if numbers:
            try:
                return Plan(self._function, given, tensors, numbers, leave_open=True)
            except Exception:  # whatever the function says of them; or of itself, again
                pass
        return Plan(self._function, given, tensors, numbers, leave_open=False)

    def _change(self, plan: Plan, tensors: list[Tensor], numbers: list[float]) -> Any:
        """Let the function change its arguments in place, all or none of them."""
        for i in plan.changed:
            check_writable(tensors[i], self.__name__)
        if is_recording(*tensors):
            raise CannotFuse(
                f"[fuse] {self.__name__} changes arguments in place, which no gradient can be "
                "taken through: call it under no_grad()"
            )
        arrays = [t._array for t in tensors]
        check_apart(self.__name__, arrays, plan.changed)
        into = {k: arrays[i] for k, i in enumerate(plan.changed)}
        made = plan.forward(arrays, numbers, into)
        for i in plan.changed:
            tensors[i]._bump(self.__name__)
        device = tensors[0]._device
        return plan.returned(tensors, [wrap(a, device) for a in made[len(plan.changed) :]])


def _unbound(function: Callable) -> tuple[Callable, tuple]:
    """The function of a bound method, or of an object that is called, and the object."""
    if isinstance(function, MethodType) and not isinstance(function.__self__, type):
        return function.__func__, (function.__self__,)
    called = getattr(type(function), "__call__", None)  # noqa: B004
    if isinstance(called, FunctionType) and not isinstance(function, (Fused, _Method)):
        return called, (function,)
    return function, ()


@lru_cache(1024)
def _caller(name: str, inputs: int, results: int) -> Callable:
    """The function of Tensors that runs plans of so many inputs and results: all of one name."""

    def body(xp: Any, *arrays: Any, call: Call) -> Any:
        plan, numbers = call
        made = plan.forward(arrays, numbers)
        return tuple(made) if results > 1 else made[0]

    def plain(*tensors: Tensor, call: Call) -> Any:
        plan, numbers = call
        made = plan.listed(plan.call(tensors, numbers))
        return tuple(made) if results > 1 else made[0]

    def gradient(xp: Any, arrays: tuple, g: Any, needs: Any, call: Call) -> Sequence[Any]:
        plan, numbers = call
        return plan.backward(arrays, g if results > 1 else [g], needs, numbers)

    asked = ["g", "needs", "call"]
    return own_primitive(name, inputs, "call", body, gradient, asked, plain, results)[1]


class _Method:
    """A fused method, bound."""

    def __init__(self, fused: Fused, instance: Any):
        self._fused, self._instance = fused, instance

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        return self._fused(self._instance, *args, **options)


def _is_empty(tensors: list[Tensor]) -> bool:
    return any(t._array.size == 0 for t in tensors)
