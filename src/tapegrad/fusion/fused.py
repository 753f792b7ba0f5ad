"""Functions of tensors that run as one kernel: ``tapegrad.fuse``."""

from __future__ import annotations

import linecache
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import update_wrapper
from itertools import count
from typing import Any

import numpy as np

from tapegrad.amp.regions import regions, within
from tapegrad.autograd import grad
from tapegrad.core.caller import compile_caller
from tapegrad.core.devices import Device, bodies
from tapegrad.core.dtypes import get_default_dtype
from tapegrad.core.modes import enable_grad, no_grad, recording
from tapegrad.core.primitive import Primitive
from tapegrad.core.tensor import Tensor, wrap

from .as_written import as_written
from .behind import replay, whole
from .plan import make_kernel
from .run import Runner, runner
from .traced import Axis, Step, Traced, TracingDevice, Unfusable, unite

MOST_PLANS = 256  # shapes and numbers that one function remembers
_serials = count()


class CannotFuse(TypeError):
    """A function does what no fused kernel can; the message names the operation and the line."""


def fuse(function: Callable) -> Fused:
    """``function`` as one kernel forward and one backward: for functions of tensors that compute
    element by element, with broadcasting, and reduce over the last dimension (softmax, norms).

    The result is called like the function, and is on the tape like any operation; gradients of
    gradients go through the function itself. It is traced once for each choice of device, shapes,
    dtypes and other arguments, and compiled once for each form of computation: for ``cpu`` by the
    C++ compiler into a loop of vectors, for ``emulated`` and ``cuda`` into a CUDA kernel; what was
    compiled is kept in the user's cache. Without a compiler the function runs as it is.

    Tensors must be arguments. Where something is computed that cannot be part of such a kernel (a
    matrix product, a sort, indexing, random numbers, a decision by a tensor's values), the call
    raises CannotFuse, which names it and the line.

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
        self._function = function
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._callers: dict[tuple[int, int], Callable] = {}

    def __repr__(self) -> str:
        return f"<fused {getattr(self._function, '__qualname__', self._function)}>"

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _Method(self, instance)

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        tensors = [a for a in (*args, *options.values()) if isinstance(a, Tensor)]
        if not tensors or isinstance(tensors[0]._device, TracingDevice) or _is_rare(tensors):
            return self._function(*args, **options)
        if as_written.get():
            return self._function(*args, **options)
        plan = self.plan(args, options, tensors)
        if not plan.runs:
            return self._function(*args, **options)
        made = self._caller(len(tensors), len(plan.results))(*tensors, plan=plan)
        needs = tuple([t._node is not None for t in tensors])
        recorded = plan.recorded(needs) if True in needs and recording.get() else ()
        if plan.kind is None and False not in recorded:
            return made
        results = _listed(made)
        if False in recorded:
            results = [t if r else t.detach() for t, r in zip(results, recorded, strict=True)]
        return results[0] if plan.kind is None else plan.kind(results)

    def plan(self, args: tuple, options: dict, tensors: list[Tensor]) -> Plan:
        """What was made of the function for arguments like these, ``tensors`` those among them."""
        try:
            kinds = tuple(_key(a) for a in (*args, *options.values()))
            key = kinds, *options, get_default_dtype(), *regions.get().active.items()
            plan = self._plans.get(key)
        except TypeError:
            names = [type(a).__name__ for a in (*args, *options.values())]
            raise CannotFuse(
                f"[fuse] arguments of {self.__name__} must be tensors or values that can be "
                f"compared (hashable), got {', '.join(names)}"
            ) from None
        if plan is None:
            device = tensors[0]._device
            if any(t._device is not device for t in tensors):
                where = ", ".join(str(t._device) for t in tensors)
                raise RuntimeError(f"[fuse] all tensors must be on one device, got {where}")
            plan = Plan(self._function, args, options, tensors)
            self._plans[key] = plan
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return plan

    def _caller(self, inputs: int, results: int) -> Callable:
        """The caller of the primitive for so many inputs and results."""
        known = self._callers.get((inputs, results))
        if known is None:
            known = self._callers[inputs, results] = self._declare(inputs, results)
        return known

    def _declare(self, inputs: int, results: int) -> Callable:
        names = [f"x{i}" for i in range(inputs)]
        key = f"{self.__name__}#fused{next(_serials)}"

        def body(xp: Any, *arrays: Any, plan: Plan) -> Any:
            made = plan.forward(arrays)
            return tuple(made) if results > 1 else made[0]

        def plain(*tensors: Tensor, plan: Plan) -> Any:
            made = plan.call(tensors)
            return made if results > 1 else _listed(made)[0]

        def gradient(xp: Any, g: Any, needs: Any, plan: Plan, arrays: tuple) -> Sequence[Any]:
            return plan.backward(arrays, g if results > 1 else [g], needs)

        # Rules are told what they need by the names of their arguments.
        source = f"lambda xp, g, needs, plan, {', '.join(names)}: f(xp, g, needs, plan, " + (
            f"({', '.join(names)},))"
        )
        rule = eval(source, {"f": gradient})
        bodies[key] = body
        declared = Primitive(key, names, ["plan"], vjp_all=rule, plain=plain, results=results)
        apply = compile_caller(declared)
        declared.name = self.__name__  # what the tape shows
        return apply


class _Method:
    """A fused method, bound."""

    def __init__(self, fused: Fused, instance: Any):
        self._fused, self._instance = fused, instance

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        return self._fused(self._instance, *args, **options)


def _is_rare(tensors: list[Tensor]) -> bool:
    return any(t._array.size == 0 for t in tensors)


def _key(argument: Any) -> Any:
    """What one plan is for. Numbers are told apart by their types and signs, too: 2, 2.0 and True
    are equal, and so are 0.0 and -0.0."""
    if isinstance(argument, Tensor):
        return argument._array.shape, argument._array.dtype, argument._device
    if isinstance(argument, tuple):
        return type(argument), *map(_key, argument)
    hash(argument)
    zero = isinstance(argument, (float, complex, np.number)) and argument == 0
    return type(argument), repr(argument) if zero else argument


def _listed(made: Any) -> Sequence[Any]:
    return made if isinstance(made, (tuple, list)) else (made,)


class Plan:
    """A function for one choice of shapes, dtypes and other arguments: traced, and compiled where
    it runs."""

    def __init__(self, function: Callable, args: tuple, options: dict, tensors: Sequence[Tensor]):
        self._function, self._options = function, [*options]
        self._name = getattr(function, "__name__", type(function).__name__)
        self._arguments = [
            None if isinstance(a, Tensor) else (a,) for a in (*args, *options.values())
        ]
        self._positional = len(args)
        self._device: Device = tensors[0]._device
        self._shapes = [(t._array.shape, t._array.dtype) for t in tensors]
        self._backward: dict[Any, Computation] = {}
        self._recorded: dict[tuple[bool, ...], list[bool]] = {}
        self._regions = regions.get()
        inputs, tracing = self._inputs()
        with no_grad():
            made = self._trace([wrap(x, tracing) for x in inputs])
        self.kind = list if isinstance(made, list) else tuple if isinstance(made, tuple) else None
        self.results = [self._result(t) for t in _listed(made)]
        self.forward = self._computation([t.step for t in self.results], inputs)
        self.runs = self.forward.runs
        if unfused := [s for s in self.forward.behind if s.op not in ("sum", "view")]:
            raise self._refusal(
                Unfusable(f"'{unfused[0].op}' behind a sum over other dimensions than the last")
            )

    def call(self, tensors: Sequence[Tensor]) -> Any:
        """The function, with other tensors in the places of those it was made for, and in the
        regions of autocast in which it was first called."""
        given = iter(tensors)
        values = [next(given) if a is None else a[0] for a in self._arguments]
        options = dict(zip(self._options, values[self._positional :], strict=True))
        with within(self._regions):
            return self._function(*values[: self._positional], **options)

    def recorded(self, needs: tuple[bool, ...]) -> list[bool]:
        """Which of the results have a history, where these inputs have one."""
        known = self._recorded.get(needs)
        if known is None:
            made = self._record(needs)[-1]
            known = self._recorded[needs] = [t.requires_grad for t in made]
        return known

    def backward(self, arrays: Sequence[Any], g: Sequence[Any], needs: Sequence[bool]) -> tuple:
        """The gradients of the inputs that need one, from those of the results; or None."""
        known = self.backward_for(needs, [one is not None for one in g])
        made = iter(known([*arrays, *(one for one in g if one is not None)]))
        return tuple(next(made) if wanted else None for wanted in known.wanted)

    def backward_for(self, needs: Sequence[bool], arrived: Sequence[bool]) -> Computation:
        """What computes the gradients of the inputs that need one, where those of some results
        arrive."""
        key = tuple(needs), tuple(arrived)
        known = self._backward.get(key)
        if known is None:
            known = self._backward[key] = self._trace_backward(*key)
        return known

    def _inputs(self) -> tuple[list[Traced], TracingDevice]:
        tracing = TracingDevice(self._device.type)
        return [new_input(shape, dtype) for shape, dtype in self._shapes], tracing

    def _trace(self, tensors: Sequence[Tensor]) -> Any:
        before = [t._array.step for t in tensors]
        try:
            made = self.call(tensors)
            if [t._array.step for t in tensors] != before:
                raise Unfusable("a change in place of an argument")
            return made
        except Unfusable as error:
            raise self._refusal(error) from None
        except RuntimeError as error:
            if "must be on one device" not in str(error):
                raise
            captured = Unfusable("a tensor that is no argument: make it one")
            captured.__traceback__ = error.__traceback__
            raise self._refusal(captured) from None

    def _computation(self, steps: Sequence[Step], inputs: Sequence[Traced]) -> Computation:
        try:
            return Computation(self._device, steps, [x.step for x in inputs])
        except Unfusable as error:
            raise self._refusal(error) from None

    def _result(self, t: Any) -> Traced:
        if not isinstance(t, Tensor) or not isinstance(t._array, Traced):
            what = "a tensor made of none of them" if isinstance(t, Tensor) else type(t).__name__
            raise CannotFuse(
                f"[fuse] {self._name} must return a tensor, or a tuple of some, made of its "
                f"arguments; got {what}"
            )
        return t._array

    def _record(self, needs: tuple[bool, ...]) -> tuple[list[Traced], list[Tensor], Sequence]:
        """The arrays of inputs, the tensors around them, and what is made of them on the tape."""
        inputs, tracing = self._inputs()
        tensors = [wrap(x, tracing) for x in inputs]
        for t, wanted in zip(tensors, needs, strict=True):
            if wanted:
                t.requires_grad_(True)
        with enable_grad():
            return inputs, tensors, _listed(self._trace(tensors))

    def _trace_backward(self, needs: tuple[bool, ...], arrived: tuple[bool, ...]) -> Computation:
        inputs, tensors, made = self._record(needs)
        roots, seeds = [], []
        for y, there in zip(made, arrived, strict=True):
            if there:
                seed = Traced("input", (), y._array.dtype, y._array.axes)
                seeds.append(seed)
                if y.requires_grad:
                    roots.append((y, wrap(seed, tensors[0]._device)))
        asked = [t for t in tensors if t.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(asked)
        if roots:
            ys, gs = zip(*roots, strict=True)
            try:
                found = grad(list(ys), asked, list(gs), allow_unused=True)
            except Unfusable as error:
                raise self._refusal(error) from None
        given = iter(found)
        gradients = [next(given) if wanted else None for wanted in needs]
        for g, x in zip(gradients, inputs, strict=True):
            if g is not None:
                for one, two in zip(g._array.axes, x.axes, strict=True):
                    unite(one, two)
        steps = [g._array.step for g in gradients if g is not None]
        computation = self._computation(steps, [*inputs, *seeds])
        computation.wanted = [g is not None for g in gradients]
        return computation

    def _refusal(self, error: Unfusable) -> CannotFuse:
        """What cannot be fused, in which operation, in which line."""
        own = self._function.__code__.co_filename if hasattr(self._function, "__code__") else ""
        place, line = own, 0
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == own:
                place, line = own, trace.tb_lineno
            trace = trace.tb_next
        text = linecache.getline(place, line).strip() if line else ""
        where = f"\n  {place}:{line}: {text}" if line else ""
        asked = error.operation
        operation = f" (in {asked})" if asked and asked != error.what else ""
        return CannotFuse(
            f"[fuse] {self._name} cannot be one kernel: {error.what}{operation}; "
            f"compute that outside of the fused function{where}"
        )


class Computation:
    """Arrays from arrays: the kernel, and what array functions do behind it."""

    wanted: Sequence[bool] = ()

    def __init__(self, device: Device, steps: Sequence[Step], inputs: Sequence[Step]):
        self._device, self._inputs = device, inputs
        self.kernel, self.behind, self.steps = make_kernel(steps, inputs)
        self.run = runner(device, self.kernel) if self.kernel.results else None
        self.runs = self.run is not None or not self.kernel.results
        self._given = [inputs.index(step) for step in self.kernel.inputs]
        self._is_all = self.steps == self.kernel.results  # the kernel's results, in order

    def __call__(self, arrays: Sequence[Any], run: Runner | None = None) -> Sequence[Any]:
        """run: what runs the kernel, if another than usual does."""
        run = run or self.run
        made = [] if run is None else run([arrays[i] for i in self._given])
        if self._is_all:
            return made
        known = {id(step): a for step, a in zip(self._inputs, arrays, strict=True)}
        known.update((id(s), a) for s, a in zip(self.kernel.results, made, strict=True))
        for step in self.behind:
            known[id(step)] = replay(self._device, step, known)
        return tuple(whole(self._device, step, known) for step in self.steps)


def new_input(shape: Sequence[int], dtype: np.dtype) -> Traced:
    """An input whose dimensions are like no others, until it is combined with others."""
    return Traced("input", (), dtype, [(Axis(n),) if n != 1 else () for n in shape])
