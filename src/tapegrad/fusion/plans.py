"""What is made of a function for one choice of shapes, dtypes and other arguments."""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from tapegrad.amp.regions import regions, within
from tapegrad.autograd import grad
from tapegrad.autograd.tree import flatten
from tapegrad.core.devices import Device
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.tensor import Tensor, wrap

from .arguments import PLACE, changed, contents, rebuilt
from .axes import INPUT, VIEW, Axis, Step, Unfusable, unite
from .computation import Computation
from .functions import REDUCTIONS
from .open_numbers import Conditions, Values
from .traced import Traced
from .tracing import TracingDevice

_MOST_VARIANTS = 8  # of a backward pass, for numbers that one after the other are none's
RESULT, NOTHING = -1, -2  # what is returned, where it is no argument


class CannotFuse(TypeError):
    """A function does what no fused kernel can; the message names the operation and the line."""


class Plan:
    """A function for one choice of arguments: traced, and compiled where it runs.

    ``changed``: the tensors that the function changes in place, by their indices; ``forward``
    computes their values, and then the results; ``fits``: whether the plan is good for other
    numbers among the arguments (all are pinned, unless they are to be left open).
    """

    def __init__(
        self,
        function: Callable,
        given: tuple[tuple, dict],
        tensors: Sequence[Tensor],
        numbers: Values,
        leave_open: bool,
    ):
        self._function = function
        self._name = getattr(function, "__name__", type(function).__name__)
        self._given = rebuilt(given, repeat(PLACE), iter(numbers))
        self._leaves_open = leave_open
        self._device: Device = tensors[0]._device
        self._shapes = [(t._array.shape, t._array.dtype) for t in tensors]
        self._backward: dict[Any, list[tuple[Callable, Computation]]] = {}
        self._recorded: dict[tuple[bool, ...], list[bool]] = {}
        self._regions = regions.get()
        conditions = self._conditions(numbers)
        inputs, tracing = self._inputs()
        before = [x.step for x in inputs]
        with no_grad():
            made = self._trace([wrap(x, tracing) for x in inputs], conditions)
        self.changed = [i for i, x in enumerate(inputs) if x.step is not before[i]]
        results = self._read_results(made, inputs)
        steps = [*(inputs[i].step for i in self.changed), *(x.step for x in results)]
        self.forward = self._computation(steps, before, dict(enumerate(self.changed)))
        self.fits = conditions.compiled()
        if unfused := [s for s in self.forward.behind if not self._is_little(s)]:
            raise self._refusal(
                Unfusable(f"'{unfused[0].op}' behind a sum over other dimensions than the last")
            )

    def _is_little(self, behind: Step) -> bool:
        """Whether array functions may compute a step: a view, or less than half of what is read."""
        largest = max(math.prod(shape) for shape, _ in self._shapes)
        return behind.op in (*REDUCTIONS, VIEW) or 2 * math.prod(behind.shape) <= largest

    @property
    def runs(self) -> bool:
        """Whether there is a compiler for it."""
        return self.forward.runs

    def call(self, tensors: Sequence[Tensor], numbers: Sequence[Any]) -> Any:
        """The function, with other tensors and numbers in the places of those it was made for, and
        in the regions of autocast in which it was first called."""
        return self._called(*rebuilt(self._given, iter(tensors), iter(numbers)))

    def _called(self, args: Sequence[Any], options: dict) -> Any:
        with within(self._regions):
            return self._function(*args, **options)

    def returned(self, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> Any:
        """What the function returns, made of its results, or of arguments it has changed."""
        if self.is_one:
            return results[0]
        made = iter(results)
        return self._build(
            [next(made) if i == RESULT else None if i == NOTHING else tensors[i] for i in self._of]
        )

    def listed(self, made: Any) -> list[Tensor]:
        """The results in what the function returned."""
        leaves = flatten(made)[0]
        return [t for t, i in zip(leaves, self._of, strict=True) if i == RESULT]

    def recorded(self, needs: tuple[bool, ...], numbers: Values) -> list[bool]:
        """Which of the results have a history, where these inputs have one."""
        known = self._recorded.get(needs)
        if known is None:
            made = self._record(needs, self._conditions(numbers))[-1]
            known = self._recorded[needs] = [t.requires_grad for t in made]
        return known

    def backward(
        self, arrays: Sequence[Any], g: Sequence[Any], needs: Sequence[bool], numbers: Values
    ) -> tuple:
        """The gradients of the inputs that need one, from those of the results; or None."""
        known = self.backward_for(needs, [one is not None for one in g], numbers)
        made = iter(known([*arrays, *(one for one in g if one is not None)], numbers))
        return tuple(next(made) if wanted else None for wanted in known.wanted)

    def backward_for(
        self, needs: Sequence[bool], arrived: Sequence[bool], numbers: Values
    ) -> Computation:
        """What computes the gradients of the inputs that need one, where those of some results
        arrive."""
        variants = self._backward.setdefault((tuple(needs), tuple(arrived)), [])
        for fits, known in variants:
            if fits(numbers):
                return known
        conditions = self._conditions(numbers)
        made = self._trace_backward(tuple(needs), tuple(arrived), conditions)
        variants.append((conditions.compiled(), made))
        del variants[:-_MOST_VARIANTS]
        return made

    # ---- tracing

    def _conditions(self, numbers: Values) -> Conditions:
        return Conditions(numbers, self._leaves_open)

    def _inputs(self) -> tuple[list[Traced], TracingDevice]:
        tracing = TracingDevice(self._device.type)
        return [new_input(shape, dtype) for shape, dtype in self._shapes], tracing

    def _trace(self, tensors: Sequence[Tensor], conditions: Conditions) -> Any:
        args, options = rebuilt(self._given, iter(tensors), iter(conditions.numbers))
        code = getattr(self._function, "__code__", None)
        names = code.co_varnames[: code.co_argcount] if code else ()
        given = {names[i] if i < len(names) else f"{i}": a for i, a in enumerate(args)} | options
        before = {name: contents(a) for name, a in given.items()}
        try:
            made = self._called(args, options)
        except Unfusable as error:
            raise self._refusal(error) from None
        except RuntimeError as error:
            if "must be on one device" not in str(error):
                raise
            captured = Unfusable("a tensor that is no argument: make it one")
            captured.__traceback__ = error.__traceback__
            raise self._refusal(captured) from None
        if which := changed(given, before):
            raise CannotFuse(
                f"[fuse] {self._name} changes its argument '{which}', of which it has a copy while "
                "it is traced: let it return what is to be there, and put it there outside of it"
            )
        return made

    def _read_results(self, made: Any, inputs: Sequence[Traced]) -> list[Traced]:
        leaves, self._build = flatten(made)
        self.is_one = leaves == [made] and isinstance(made, Tensor)
        places = {id(inputs[i]): i for i in self.changed}
        self._of, results = [], []
        for t in leaves:
            if t is None and self.changed:
                self._of.append(NOTHING)
            elif isinstance(t, Tensor) and isinstance(t._array, Traced):
                self._of.append(places.get(id(t._array), RESULT))
                if self._of[-1] == RESULT:
                    results.append(t._array)
            else:
                what = (
                    "a tensor made of none of them" if isinstance(t, Tensor) else type(t).__name__
                )
                raise CannotFuse(
                    f"[fuse] {self._name} must return tensors made of its arguments (one, or "
                    f"lists, tuples and dicts of some), or change arguments; got {what}"
                )
        if not leaves:
            raise CannotFuse(f"[fuse] {self._name} must return a tensor; got {made!r}")
        self.is_one = self.is_one and self._of == [RESULT]
        self.count = len(results)
        return results

    def _computation(
        self, steps: Sequence[Step], inputs: Sequence[Step], changed: dict[int, int] | None = None
    ) -> Computation:
        try:
            return Computation(self._device, steps, inputs, changed)
        except Unfusable as error:
            raise self._refusal(error) from None

    def _record(
        self, needs: tuple[bool, ...], conditions: Conditions
    ) -> tuple[list[Traced], list[Tensor], list[Tensor]]:
        """The arrays of inputs, the tensors around them, and what is made of them on the tape."""
        inputs, tracing = self._inputs()
        tensors = [wrap(x, tracing) for x in inputs]
        for t, wanted in zip(tensors, needs, strict=True):
            if wanted:
                t.requires_grad_(True)
        with enable_grad():
            return inputs, tensors, self.listed(self._trace(tensors, conditions))

    def _trace_backward(
        self, needs: tuple[bool, ...], arrived: tuple[bool, ...], conditions: Conditions
    ) -> Computation:
        inputs, tensors, made = self._record(needs, conditions)
        roots, seeds = [], []
        for y, there in zip(made, arrived, strict=True):
            if there:
                seed = Traced(INPUT, (), y._array.dtype, y._array.axes)
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
        computation = self._computation(steps, [x.step for x in (*inputs, *seeds)])
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


def new_input(shape: Sequence[int], dtype: np.dtype) -> Traced:
    """An input whose dimensions are like no others, until it is combined with others."""
    return Traced(INPUT, (), dtype, [(Axis(n),) if n != 1 else () for n in shape])
