"""What a kernel for some steps looks like: the space it walks, its passes over a row, and what is
left for array functions to do behind it.

All arrays of a kernel lie in one space, whose dimensions are the axes of its steps. The last of
them, over which the kernel reduces, are its columns, the others its rows. A step is of a row, if
none of its axes is a column, or of an element. A reduction over the columns is known after a pass
over them, and what depends on it is computed in the next pass: again from the inputs, since reading
those costs more time than arithmetic does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .axes import INPUT, NUMBER, VIEW, Axis, Step, Unfusable, parts_of
from .functions import REDUCTIONS
from .open_numbers import text_of


@dataclass
class Space:
    """The axes that a kernel walks, from the outermost on; the last ``columns`` are its columns."""

    axes: list[Axis]
    columns: int

    def rows(self) -> list[Axis]:
        return self.axes[: len(self.axes) - self.columns]

    def column_axes(self) -> list[Axis]:
        return self.axes[len(self.axes) - self.columns :]


@dataclass
class Kernel:
    """``steps`` in the order of computation; ``results``: what is written; ``passes``: of each
    reduction and result, by its id, the pass that makes it; ``changed``: of results that may be
    written where an input lies, by their ids, the input's."""

    space: Space
    inputs: list[Step]
    steps: list[Step]
    results: list[Step]
    passes: dict[int, int] = field(default_factory=dict)
    of_elements: set[int] = field(default_factory=set)
    changed: dict[int, int] = field(default_factory=dict)

    @property
    def last_pass(self) -> int:
        return max(self.passes.values(), default=0)


def ordered(results: Iterable[Step]) -> tuple[list[Step], list[Step]]:
    """All steps that lead to the results, each behind its inputs; and the results themselves. Equal
    steps become one."""
    results = list(results)
    done: dict[int, Step] = {}
    known: dict[tuple, Step] = {}
    order: list[Step] = []
    stack = [(t, False) for t in reversed(results)]
    while stack:
        step, ready = stack.pop()
        if id(step) in done:
            continue
        if not ready:
            stack.append((step, True))
            stack += [(t, False) for t in reversed(step.inputs) if isinstance(t, Step)]
            continue
        same = step
        if step.op != INPUT:
            step.inputs = tuple(done[id(t)] if isinstance(t, Step) else t for t in step.inputs)
            same = known.setdefault(_key(step), step)
        done[id(step)] = same
        if same is step:
            order.append(step)
    return order, [done[id(t)] for t in results]


def _key(step: Step) -> tuple:
    inputs = tuple(
        id(t)
        if isinstance(t, Step)
        else tuple(map(id, parts_of([t])))
        if isinstance(t, tuple)
        else (type(t), text_of(t))
        for t in step.inputs
    )
    return step.op, inputs, step.dtype, tuple(tuple(map(id, parts_of([a]))) for a in step.axes)


def unconnected(results: Sequence[Step]) -> list[list[int]]:
    """The results, by their indices, in groups that have no step in common."""
    groups: list[tuple[set[int], list[int]]] = []
    for i, result in enumerate(results):
        steps, which = {id(t) for t in ordered([result])[0] if t.op != NUMBER}, [i]
        for group in [g for g in groups if g[0] & steps]:
            groups.remove(group)
            steps, which = steps | group[0], sorted(which + group[1])
        groups.append((steps, which))
    return [which for _, which in groups]


def own_axes(step: Step) -> list[Axis]:
    return parts_of(step.axes)


def split_sums(step: Step, columns: Sequence[Axis]) -> Step:
    """A sum over more than the columns, as the sum of sums over the columns."""
    x, over = step.inputs
    found = parts_of([over])
    inner = tuple(a for a in found if a in columns)
    outer = tuple(a for a in found if a not in columns)
    if not inner or not outer:
        return step
    between = [tuple(p for p in parts_of([a]) if p not in inner) for a in x.axes]
    step.inputs = (Step(step.op, (x, inner), step.dtype, between), outer)
    return step


def make_space(steps: Sequence[Step], wanted: Sequence[Step]) -> Space:
    """The axes of all steps, in the order of the largest of the wanted ones, if none is larger. The
    columns are the axes of the first reduction that other steps depend on; or of one over the last
    axes; or the last axis."""
    spaces = map(own_axes, [*wanted, *steps])  # none, where no input has a gradient
    axes = max(spaces, key=lambda axes: math.prod(a.size for a in axes), default=[])
    for step in steps:
        own = own_axes(step)
        for i, axis in enumerate(own):
            if axis not in axes:  # in front of what follows it there
                behind = [axes.index(a) for a in own[i + 1 :] if a in axes]
                axes.insert(min(behind, default=len(axes)), axis)
    reductions = [step for step in steps if step.op in REDUCTIONS]
    within = _asked_again(steps)
    for step in reductions:
        if id(step) in within:
            over = parts_of([step.inputs[1]])
            return Space([*(a for a in axes if a not in over), *over], len(over))
    for step in reductions:
        over = parts_of([step.inputs[1]])
        if len(over) < len(axes) and set(over) == set(axes[len(axes) - len(over) :]):
            return Space(axes, len(over))
    return Space(axes, min(1, len(axes)))


def _asked_again(steps: Sequence[Step]) -> set[int]:
    """The steps that others depend on which are not just sums or views of them."""
    within: set[int] = set()
    for step in reversed(steps):
        if step.op not in ("sum", VIEW) or id(step) in within:
            within |= {id(t) for t in step.inputs if isinstance(t, Step)}
    return within


def make_kernel(
    wanted: Sequence[Step], inputs: Sequence[Step]
) -> tuple[Kernel, list[Step], list[Step]]:
    """The kernel that leads to the wanted steps; the steps behind it, in order, which array
    functions compute from its results; and the wanted steps, which are among both."""
    steps, wanted = ordered(wanted)
    space = make_space(steps, wanted)
    for step in steps:
        if step.op in REDUCTIONS:
            split_sums(step, space.column_axes())
    steps, wanted = ordered(wanted)
    columns = set(space.column_axes())
    behind: list[Step] = []
    outside: set[int] = set()
    for step in steps:
        given = [t for t in step.inputs if isinstance(t, Step)]
        rows_reduced = step.op in REDUCTIONS and not set(parts_of([step.inputs[1]])) <= columns
        if rows_reduced or any(id(t) in outside for t in given):
            outside.add(id(step))
            behind.append(step)
    needed = [t for s in behind for t in s.inputs if isinstance(t, Step) and id(t) not in outside]
    results = list(
        {id(t): t for t in [*needed, *(w for w in wanted if id(w) not in outside)]}.values()
    )
    results = [t for t in results if t.op not in (NUMBER, INPUT)]
    steps, _ = ordered(results)
    inputs = [t for t in inputs if any(t is step for step in steps)]
    kernel = Kernel(space, inputs, steps, results)
    if not any(step.op in REDUCTIONS for step in steps):
        widen_columns(space, [*inputs, *results])
    _place(kernel)
    return kernel, behind, wanted


def _place(kernel: Kernel) -> None:
    """Find out which steps are of elements, and in which passes reductions and results are made."""
    columns = set(kernel.space.column_axes())
    known_after: dict[int, int] = {}  # of steps of rows: how many passes come before
    needs: dict[int, int] = {}  # of steps of elements: how many passes must have come before
    for step in kernel.steps:
        given = [t for t in step.inputs if isinstance(t, Step)]
        before = max((known_after.get(id(t), needs.get(id(t), 0)) for t in given), default=0)
        if step.op in REDUCTIONS:
            if id(given[0]) in needs:
                kernel.passes[id(step)] = before
                before += 1
            else:
                raise Unfusable(f"a reduction ({step.op}) of what is the same in all columns")
            known_after[id(step)] = before
        elif columns & set(own_axes(step)) or not kernel.space.axes:
            needs[id(step)] = before
            kernel.of_elements.add(id(step))
        else:
            known_after[id(step)] = before
    last = max(
        [0, *kernel.passes.values(), *(needs[id(r)] for r in kernel.results if id(r) in needs)]
    )
    for result in kernel.results:
        kernel.passes.setdefault(id(result), last)


@dataclass
class Layout:
    """How a kernel's arrays lie: the sizes of the rows' axes, neighbours joined where all arrays
    allow, how many columns there are, and for each array its strides along both."""

    rows: list[int]
    columns: int
    row_strides: list[list[int]]
    column_strides: list[int]

    @property
    def row_count(self) -> int:
        return math.prod(self.rows)


def layout(space: Space, arrays: Sequence[Step]) -> Layout:
    """The layout of arrays that are contiguous, each of its own shape. One element is a column, as
    kernels of more elements have them."""
    if not space.axes:
        return Layout([], 1, [[] for _ in arrays], [1 for _ in arrays])
    strides = [contiguous_strides(t) for t in arrays]
    sizes, joined, _ = _joined(space.rows(), strides)
    columns, along, _ = _joined(space.column_axes(), strides)
    if len(columns) > 1:
        raise Unfusable("a reduction over dimensions that another array has in another order")
    return Layout(
        sizes, columns[0] if columns else 1, joined, [own[0] if own else 0 for own in along]
    )


def widen_columns(space: Space, arrays: Sequence[Step]) -> None:
    """Where nothing is reduced: make columns of as many axes as lie one behind the other."""
    strides = [contiguous_strides(t) for t in arrays]
    _, _, lengths = _joined(space.axes, strides)
    space.columns = lengths[-1] if lengths else 0


def _joined(
    axes: Sequence[Axis], strides: Sequence[dict[Axis, int]]
) -> tuple[list[int], list[list[int]], list[int]]:
    """The sizes of groups of axes, each array's strides along them, how many axes each joins."""
    sizes: list[int] = []
    lengths: list[int] = []
    joined: list[list[int]] = [[] for _ in strides]
    for axis in axes:
        steps = [own.get(axis, 0) for own in strides]
        follows = zip(joined, steps, strict=True)
        if sizes and all(own[-1] == step * axis.size for own, step in follows):
            sizes[-1] *= axis.size
            lengths[-1] += 1
            for own, step in zip(joined, steps, strict=True):
                own[-1] = step
        else:
            sizes.append(axis.size)
            lengths.append(1)
            for own, step in zip(joined, steps, strict=True):
                own.append(step)
    return sizes, joined, lengths


def contiguous_strides(step: Step) -> dict[Axis, int]:
    """The strides, in elements, of a contiguous array of the step's shape."""
    strides: dict[Axis, int] = {}
    distance = 1
    for axis in reversed(own_axes(step)):
        strides[axis] = distance
        distance *= axis.size
    return strides
