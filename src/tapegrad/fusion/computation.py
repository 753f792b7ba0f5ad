"""Arrays from arrays: kernels, and what array functions do behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tapegrad.core.devices import Device

from .axes import INPUT, NUMBER, Step
from .behind import replay, whole
from .kernel import Kernel, make_kernel, own_axes, unconnected
from .open_numbers import Values, is_open
from .run import Runner, runners


class Computation:
    """What computes ``steps`` from ``inputs``. What is not connected by any step is of kernels of
    its own; those of one text run at once."""

    wanted: Sequence[bool] = ()

    def __init__(
        self,
        device: Device,
        steps: Sequence[Step],
        inputs: Sequence[Step],
        changed: Mapping[int, int] | None = None,
    ):
        """changed: which steps, by index, are the values from now on of which inputs."""
        self._device, self._inputs = device, inputs
        self.kernels: list[Kernel] = []
        self.behind: list[Step] = []
        found: dict[int, Step] = {}
        for part in unconnected(steps):
            kernel, behind, made = make_kernel([steps[i] for i in part], inputs)
            found.update(zip(part, made, strict=True))
            self.behind += behind
            if kernel.results:
                self.kernels.append(kernel)
        self.steps = [found[i] for i in range(len(steps))]
        self._again = [i for i, s in enumerate(self.steps) if any(s is t for t in self.steps[:i])]
        self._pin()
        self._changed = {i: inputs[k] for i, k in (changed or {}).items()}
        if not self.behind:
            self._mark_changed()
        found_runners = runners(device, self.kernels)
        self.runs = found_runners is not None
        self.runners: Sequence[Runner] = found_runners or ()
        # Whether what one kernel makes is all there is, in order.
        self._is_all = len(self.kernels) == 1 and self.steps == self.kernels[0].results
        self._given = [self._places(kernel) for kernel in self.kernels]

    def _places(self, kernel: Kernel) -> list[int]:
        """Where the kernel's inputs are among all."""
        return [next(i for i, t in enumerate(self._inputs) if t is x) for x in kernel.inputs]

    def _pin(self) -> None:
        """Numbers that no kernel is told are those of this call."""
        outside = [step for step in self.steps if step.op == NUMBER]
        for step in self.behind:
            outside += [step, *(t for t in step.inputs if isinstance(t, Step) and t.op == NUMBER)]
        for step in outside:
            step.inputs = tuple(t.pin() if is_open(t) else t for t in step.inputs)

    def _mark_changed(self) -> None:
        """Results that may be written where the inputs lie that they are the values of from now on:
        each element is read and written once, by one thread, and no other kernel reads it."""
        for i, x in self._changed.items():
            step = self.steps[i]
            for kernel in self.kernels:
                axes = own_axes(step)
                if any(step is r for r in kernel.results) and set(axes) == set(kernel.space.axes):
                    read_here = any(x is t for t in kernel.inputs)
                    if read_here and axes == own_axes(x) and step.dtype == x.dtype:
                        kernel.changed[id(step)] = id(x)

    def __call__(
        self,
        arrays: Sequence[Any],
        numbers: Values = (),
        into: Mapping[int, Any] | None = None,
        run: Any = None,
    ) -> Sequence[Any]:
        """numbers: those that the trace has left open; into: the arrays, by the indices of steps,
        that are to be changed; run: what runs the one kernel, if another than usual does."""
        if self._is_all and not into:
            run = run or partial(self.runners[0].alone, values=numbers)
            return run([arrays[i] for i in self._given[0]])
        known = {id(step): a for step, a in zip(self._inputs, arrays, strict=True)}
        targets = {id(self.steps[i]): a for i, a in (into or {}).items()}
        copies = {
            i: whole(self._device, step, known)
            for i, step in enumerate(self.steps)
            if step.op in (NUMBER, INPUT)
        }
        if run is not None:
            found = run([arrays[i] for i in self._given[0]])
            known.update((id(s), a) for s, a in zip(self.kernels[0].results, found, strict=True))
        else:
            for runner in self.runners:
                runner(known, numbers, targets)
        for step in self.behind:
            known[id(step)] = replay(self._device, step, known)
        made = [copies[i] if i in copies else known[id(step)] for i, step in enumerate(self.steps)]
        for i in self._again:
            made[i] = made[i].copy()
        for i, target in (into or {}).items():
            if made[i] is not target:
                target[...] = made[i]
        return made
