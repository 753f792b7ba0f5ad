"""Random programs, run by tapegrad and PyTorch side by side.

``python tests/fuzz.py --programs 200000 --seed 0`` runs many; a mismatch is shrunk and printed as a
program, with its seed. A program is a list of steps, each data: leaves (numbers, strides, dtype)
and operations of ``fuzz_ops``. After every step values, shapes and dtypes must agree; at the end
first and (for some programs) second gradients. What PyTorch refuses we must refuse, unless we can
do it.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_ops import FLOATS, OPERATIONS

import tapegrad as tg

TOLERANCE = {"float64": 1e-8, "float32": 2e-4, "float16": 4e-2, "bfloat16": 0.2}
# Values beyond are not taken further: differences would grow without a cause.
LARGEST, LARGEST_16_BIT = 1e3, 10.0

# What PyTorch refuses and tapegrad does: writing to one of several views made at once, or from a
# view of the same memory; dtypes that PyTorch has no CPU kernel for.
DONE_ALL_THE_SAME = (
    "multi-view",
    "not implemented for",
    "output of a function that returns multiple",
    "single memory location",
    "Index put requires the source and destination dtypes match",
    "Can't detach views in-place",  # of what is none here
    "a leaf Variable that requires grad",  # of a view of what has only now got a history
)
# Where PyTorch's backward pass stops: at what has had another shape, history or memory since.
NOT_THEIRS = ("returned an invalid gradient", "with .detach_()", "setStorage: ")
# What writes to parts of its tensor, each time after it has read a part of the other.
WRITES_PARTS = ("setitem", "setitem_ints", "view_add_", "view_of_view_mul_", "index_put_")
# What tapegrad refuses and PyTorch does: to write to a tensor whose elements share memory.
REFUSED_ALL_THE_SAME = "(expanded, or unfolded) share one memory"


@dataclass
class Step:
    """A leaf (operands empty) or an operation on earlier results."""

    name: str
    operands: tuple[int, ...]
    arguments: tuple

    def __str__(self) -> str:
        return f"{self.name}{self.operands} {self.arguments if self.arguments else ''}"


class Mismatch(Exception):
    pass


class Skip(Exception):
    """The program leads to where small differences grow: not compared any further."""


# ---------------------------------------------------------------------- leaves


def draw_leaf(random: np.random.Generator) -> Step:
    shape = tuple(int(n) for n in random.integers(1, 5, int(random.integers(0, 4))))
    if not random.integers(12):
        shape = (*shape, 0)
    kind = str(
        random.choice(
            ["float64"] * 7 + ["float32"] * 3 + ["float16"] * 2 + ["bfloat16", "int64", "bool"]
        )
    )
    strides = str(random.choice(["contiguous", "transposed", "stepped", "expanded", "itself"]))
    return Step("leaf", (), (shape, kind, strides, int(random.integers(2**31))))


def make_leaf(lib: Any, arguments: tuple) -> Any:
    shape, kind, strides, seed = arguments
    random = np.random.default_rng(seed)
    stored = shape
    if strides == "transposed":
        stored = shape[::-1]
    elif strides == "stepped":
        stored = (*shape, 2)
    elif strides == "expanded" and shape:
        stored = (1, *shape[1:])
    values = random.uniform(-2, 2, stored)
    data = np.asarray(values if kind in FLOATS else np.round(values).astype(kind))
    t = lib.tensor(data.tolist(), dtype=getattr(lib, kind)) if data.size else lib.zeros(
        stored, dtype=getattr(lib, kind))  # fmt: skip
    if kind in FLOATS and seed % 4:
        t.requires_grad_()
    if strides == "transposed":
        return t, t.permute(*range(len(shape) - 1, -1, -1)) if shape else t * 1
    if strides == "stepped":
        return t, t[..., 0]
    if strides == "expanded" and shape:
        return t, t.expand(shape)
    return t, t * 1 if kind in FLOATS and strides != "itself" else t


# ---------------------------------------------------------------------- running


def numbers(t: Any) -> np.ndarray:
    return (t.detach().float() if kind_of(t) == "bfloat16" else t).numpy(force=True)


def kind_of(t: Any) -> str:
    return str(t.dtype).removeprefix("torch.")


def loosest(kinds: Any) -> float:
    return max((TOLERANCE.get(k, 0.0) for k in kinds), default=0.0)


class Pair:
    """One program's tensors in both libraries, and how far they may differ."""

    def __init__(self) -> None:
        self.mine: list[Any] = []
        self.theirs: list[Any] = []
        self.leaves: list[tuple[Any, Any]] = []
        self.slack: list[float] = []  # the tolerance of each tensor: that of its least exact source
        self.first_only = False  # where PyTorch's second gradients are wrong
        self.has_detached = False
        self.has_data = self.unnoticed = False  # changes of x.data, which are noticed here

    def step(self, step: Step) -> bool:
        """Run a step with both; False if PyTorch refuses it (and so do we)."""
        if step.name == "leaf":
            (a, x), (b, y) = make_leaf(tg, step.arguments), make_leaf(torch, step.arguments)
            self.leaves.append((a, b))
            return self._add(x, y, TOLERANCE.get(kind_of(y), 0.0))
        op = OPERATIONS[step.name]
        # PyTorch takes the history of a detached tensor's views, too, once it has changed.
        self.unnoticed |= self.has_detached and op.writes
        self.has_detached |= step.name == "detach_"
        self.has_data |= step.name == "data"
        self.unnoticed |= (self.has_data and op.writes) or step.name == "set_data"
        mine = [self.mine[i] for i in step.operands]
        theirs = [self.theirs[i] for i in step.operands]
        slack = max(self.slack[i] for i in step.operands)
        if op.steps and not is_stable(op, theirs, step.arguments, slack):
            raise Skip
        if step.name == "sinc" and kind_of(theirs[0]) == "float32":
            self.first_only = True  # 1.3% off at 0.001, where everything cancels
        before = [numbers(t).copy() for t in theirs[:1]] if op.writes else []
        try:
            y = op.run(torch, theirs, step.arguments)
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            self._must_refuse(op, mine, step, error, before)
            return False
        try:
            x = op.run(tg, mine, step.arguments)
        except Exception as error:
            if REFUSED_ALL_THE_SAME in str(error):
                raise Skip from error
            raise Mismatch(f"{step}: {type(error).__name__}: {error}") from error
        slack = max(slack, TOLERANCE.get(kind_of(y), 0.0))
        if not op.writes:
            return self._add(x, y, slack)
        for i, (a, b) in enumerate(zip(self.mine, self.theirs, strict=True)):
            self.slack[i] = max(self.slack[i], slack)
            self._compare(a, b, self.slack[i], f"tensor {i} after {step}")
        return True

    def _must_refuse(self, op: Any, mine: list, step: Step, error: Exception, before: list) -> None:
        try:
            op.run(tg, mine, step.arguments)
        except (RuntimeError, TypeError, IndexError, ValueError):
            if before and not np.array_equal(numbers(mine[0]), before[0], equal_nan=True) and (
                self.slack[step.operands[0]] == 0):  # fmt: skip
                raise Mismatch(f"{step}: refused, and changed all the same") from None
            return
        if any(words in str(error) for words in DONE_ALL_THE_SAME):
            raise Skip
        raise Mismatch(f"{step}: PyTorch refuses it: {error}")

    def _add(self, x: Any, y: Any, slack: float) -> bool:
        self._compare(x, y, slack, f"tensor {len(self.mine)}")
        self.mine.append(x)
        self.theirs.append(y)
        self.slack.append(slack)
        return True

    def _compare(self, x: Any, y: Any, slack: float, what: str) -> None:
        if kind_of(x) != kind_of(y) or tuple(x.shape) != tuple(y.shape):
            raise Mismatch(
                f"{what}: {kind_of(x)} {tuple(x.shape)}, PyTorch {kind_of(y)} {tuple(y.shape)}"
            )
        if y.requires_grad and not y.dtype.is_floating_point:
            raise Skip  # PyTorch gives integers a history, too, when floats are copied into them
        if x.requires_grad != y.requires_grad and self.has_detached:
            raise Skip  # PyTorch forgets at once what a view is, or its history leads nowhere
        if x.requires_grad != y.requires_grad:
            raise Mismatch(f"{what}: requires_grad {x.requires_grad}, PyTorch {y.requires_grad}")
        assert_near(numbers(x), numbers(y), slack, what)

    def gradients(self, second: bool, seed: int) -> None:
        """Compare gradients of a weighted sum of all results with respect to the leaves."""
        if self.unnoticed:
            return  # PyTorch may have gone on with what was changed
        random = np.random.default_rng(seed)
        weights = [random.standard_normal(tuple(t.shape)) for t in self.theirs]
        slack = 10 * max(self.slack, default=0.0)
        try:
            theirs = differentiate(torch, self.theirs, [b for _, b in self.leaves], weights, second)
        except RuntimeError as error:
            if "modified" in str(error) and "inplace" in str(error):
                return  # (we may have kept a copy, and have no views that may not be changed)
            if any(words in str(error) for words in NOT_THEIRS):
                return
            raise
        try:
            mine = differentiate(tg, self.mine, [a for a, _ in self.leaves], weights, second)
        except Exception as error:
            if second and "has changed it in place since" in str(error):
                return  # gradients of gradients of a fused operation need its inputs
            if self.has_detached and "has changed it in place since" in str(error):
                return  # of what PyTorch detaches with its base
            if "'Tensor.data = ...' has changed it in place since" in str(error):
                return  # PyTorch goes on with what it saved, or with the new data
            if "in the forward pass has become one of" in str(error):
                return  # a leaf that has another shape since; PyTorch hands on the old one's
            if "'hypot' saved its input" in str(error):
                return  # where PyTorch saves the result, which overflows in float16
            if "'matmul' saved its input" in str(error):
                return  # of which PyTorch may have saved a folded copy
            raise Mismatch(f"backward: {type(error).__name__}: {error}") from error
        if self.first_only and second:
            mine, theirs = (found[: len(found) // 2] for found in (mine, theirs))
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            if a is None or b is None:
                known = a if b is None else b
                if known is not None and not np.allclose(known, 0, atol=slack):
                    raise Mismatch(f"gradient {i}: one is missing, the other {known}")
                continue
            assert_near(a, b, slack, f"gradient {i}", scale=True)


def differentiate(lib: Any, tensors: list, leaves: list, weights: list, second: bool) -> list:
    wanted = [t for t in leaves if t.requires_grad]
    total = None
    for t, w in zip(tensors, weights, strict=True):
        if t.requires_grad:
            term = (t.double() * lib.tensor(w)).sum()
            total = term if total is None else total + term
    if total is None or not wanted:
        return []
    first = lib.autograd.grad(total, wanted, create_graph=second, allow_unused=True)
    found = list(first)
    again = [g for g in first if g is not None and g.requires_grad] if second else []
    squares = sum((g.double() * g.double()).sum() for g in again)
    if again and squares.requires_grad:
        found += lib.autograd.grad(squares, wanted, allow_unused=True)
    else:
        found += [None] * len(wanted)
    return [None if g is None else numbers(g) for g in found]


def assert_near(x: np.ndarray, y: np.ndarray, slack: float, what: str, scale: bool = False) -> None:
    if y.dtype.kind != "f":
        if not np.array_equal(x, y):
            raise Mismatch(f"{what}: {x.tolist()}, PyTorch {y.tolist()}")
        return
    a, b = x.astype(np.float64), y.astype(np.float64)
    size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    largest = LARGEST_16_BIT if slack >= TOLERANCE["float16"] else LARGEST
    if size > largest**2 or not np.isfinite(b).all():
        raise Skip
    if not np.allclose(a, b, rtol=slack, atol=slack * max(1.0, size if scale else 1.0)):
        raise Mismatch(f"{what}: {a.tolist()}, PyTorch {b.tolist()}")
    if size > largest:
        raise Skip


def is_stable(op: Any, tensors: list, arguments: tuple, slack: float) -> bool:
    """Whether the result, and its gradient, are the same for slightly other numbers, for zeros in
    the place of what may be rounding noise, and for equal numbers in that of nearly equal ones: not
    at a step, a tie or a kink."""
    outcomes = []
    near = 1e-5 + 20 * slack
    for size in (0.0, 1.0, -1.0, None):
        random = np.random.default_rng(0)  # as far to one side as to the other
        moved: list[Any] = []
        for i, t in enumerate(tensors):
            data = t.detach().clone()
            if kind_of(t) in FLOATS and data.numel():
                wide, noise = data.double(), torch.tensor(random.uniform(-1, 1, tuple(t.shape)))
                if size is None:
                    wide[wide.abs() < 0.1 * near] = 0
                    smaller = [u for u in tensors[i + 1 :] if u.numel() < t.numel()]
                    wide = meet(wide, moved[:1] + smaller, near)
                else:
                    wide += noise * size * near * (wide.abs() + 0.1)
                data = wide.to(t.dtype).requires_grad_()
            moved.append(data)
        try:
            with torch.enable_grad():
                y = op.run(torch, [m * 1 if m.requires_grad else m for m in moved], arguments)
        except (RuntimeError, TypeError, IndexError, ValueError):
            return True  # the step itself will say so
        outcome = [y.detach().double()]
        if y.requires_grad:
            grads = torch.autograd.grad(y.double().sum(), [m for m in moved if m.requires_grad],
                                        allow_unused=True)  # fmt: skip
            outcome += [g.double() for g in grads if g is not None]
        outcomes.append(outcome)
    room = min(0.05 + 100 * slack, 0.4)
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=room, atol=room)
        for other in outcomes[1:]
        for a, b in zip(outcomes[0], other, strict=True)
    )


def meet(x: Any, others: list, near: float) -> Any:
    """x with the numbers of another tensor in the place of those nearly equal to them."""
    for other in others:
        try:
            shape = torch.broadcast_shapes(x.shape, other.shape)
        except RuntimeError:
            continue
        if shape == x.shape:  # else several of x's numbers would have to be one
            y = other.detach().double()
            x = torch.where((x - y).abs() < near * (y.abs() + 0.1), y, x)
    return x


# ---------------------------------------------------------------------- programs


def draw_program(seed: int) -> tuple[list[Step], Mismatch | None]:
    """Draw a program step by step, running it; stops at a mismatch."""
    random = np.random.default_rng(seed)
    pair, steps = Pair(), []
    length = int(random.integers(3, 16))
    names = list(OPERATIONS)
    try:
        for _ in range(int(random.integers(1, 4))):
            steps.append(draw_leaf(random))
            pair.step(steps[-1])
        tries = 0
        while length > 0 and tries < 60:
            tries += 1
            op = OPERATIONS[names[int(random.integers(len(names)))]]
            last = len(pair.mine)
            operands = tuple(
                int(last - 1 - min(int(random.geometric(0.5)) - 1, last - 1)) if i == 0
                else int(random.integers(last))
                for i in range(op.arity)
            )  # fmt: skip
            theirs = [pair.theirs[i] for i in operands]
            if sum(t.numel() for t in theirs) > 400:
                continue
            if op.writes and any(overwrites(op, theirs[0], t) for t in theirs[1:]):
                continue  # PyTorch reads what it has written already
            shapes, kinds = [tuple(t.shape) for t in theirs], [kind_of(t) for t in theirs]
            arguments = op.draw(random, shapes, kinds)
            if arguments is None:
                continue
            step = Step(op.name, operands, arguments)
            steps.append(step)
            try:
                kept = pair.step(step)
            except Skip:
                if op.writes or not _agrees(pair):
                    return steps, None
                kept = False
            if kept:
                length -= 1
            else:
                steps.pop()
        pair.gradients(second=seed % 5 == 0, seed=seed)
    except Skip:
        return steps, None
    except Mismatch as mismatch:
        return steps, mismatch
    return steps, None


def overwrites(op: Any, target: Any, source: Any) -> bool:
    """Whether an operation may write to memory that it reads at another place."""
    if target.untyped_storage().data_ptr() != source.untyped_storage().data_ptr():
        return False
    views = [(t.shape, t.stride(), t.data_ptr()) for t in (target, source)]
    return views[0] != views[1] or op.name in WRITES_PARTS


def _agrees(pair: Pair) -> bool:
    return len(pair.mine) == len(pair.theirs)


def replay(steps: list[Step], seed: int) -> str | None:
    """What goes wrong when a program is run again; None: nothing."""
    pair = Pair()
    try:
        for step in steps:
            pair.step(step)
        pair.gradients(second=seed % 5 == 0, seed=seed)
    except Mismatch as mismatch:
        return str(mismatch)
    except Exception:  # a part of a program that cannot run
        return None
    return None


def shrink(steps: list[Step], seed: int) -> tuple[list[Step], str]:
    """Leave out steps as long as something still goes wrong."""
    wrong = replay(steps, seed) or "(not repeated)"
    removed = True
    while removed:
        removed = False
        for i in reversed(range(len(steps))):
            shorter = without(steps, i)
            again = replay(shorter, seed) if shorter else None
            if again:
                steps, wrong, removed = shorter, again, True
                break
    return steps, wrong


def without(steps: list[Step], i: int) -> list[Step]:
    """The program without step i and what needs its result. (Steps that write have no result.)"""
    numbers_of: dict[int, int] = {}  # step -> the number of its result
    results = 0
    for k, step in enumerate(steps):
        if step.name == "leaf" or not OPERATIONS[step.name].writes:
            numbers_of[k] = results
            results += 1
    gone, renumbered, kept, count = {numbers_of.get(i)}, {}, [], 0
    for k, step in enumerate(steps):
        if k == i or any(o in gone for o in step.operands):
            gone.add(numbers_of.get(k))
            continue
        kept.append(Step(step.name, tuple(renumbered[o] for o in step.operands), step.arguments))
        if k in numbers_of:
            renumbered[numbers_of[k]] = count
            count += 1
    return kept


def check(seed: int) -> str | None:
    """Run the program of a seed; a report if the libraries differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps, mismatch = draw_program(seed)
        if mismatch is None:
            return None
        first = str(mismatch)
        steps, wrong = shrink(steps, seed)
    listing = "\n".join(f"  {step}" for step in steps)
    return f"seed {seed}: {wrong}\n{listing}\n  (at first: {first})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--stop-after", type=int, default=10, help="mismatches")
    options = parser.parse_args()
    found = 0
    for seed in range(options.seed, options.seed + options.programs):
        report = check(seed)
        if report:
            found += 1
            print(report, flush=True)
        if found >= options.stop_after:
            break
        if seed % 10_000 == 9_999:
            print(f"... {seed + 1 - options.seed} programs", flush=True)
    print(f"{seed - options.seed + 1} programs from seed {options.seed}: {found} mismatches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
