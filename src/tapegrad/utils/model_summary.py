"""What a model is made of, and what a call of it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.core import caller
from tapegrad.core.memory import memory as memory_of
from tapegrad.core.modes import enable_grad
from tapegrad.core.node import Node
from tapegrad.core.tensor import Tensor
from tapegrad.ops.sampling.philox import fork_rng

from .flops import counting
from .table import Table
from .units import count, memory


@dataclass
class Row:
    """A module, with all that is below it; numbers are those of all its calls."""

    name: str  # dotted; "" is the model
    kind: str  # its class
    depth: int
    parameters: int  # each counted once
    trainable: int
    calls: int = 0
    input: str = ""  # shapes, of the last call
    output: str = ""
    flops: int = 0
    activations: int = 0  # bytes that the tape keeps


@dataclass
class Summary:
    """What ``summary`` found: ``rows``, parents first, of which the first is the whole model.
    Printed, and shown in notebooks, it is a table."""

    rows: list[Row] = field(default_factory=list)
    by_primitive: dict[str, int] = field(default_factory=dict)  # FLOPs
    parameter_bytes: int = 0
    buffer_bytes: int = 0
    depth: int | None = None

    @property
    def parameters(self) -> int:
        """The number of all parameters."""
        return self.rows[0].parameters

    @property
    def flops(self) -> int:
        """The floating-point operations of one call of the model."""
        return self.rows[0].flops

    @property
    def activations(self) -> int:
        """The bytes that the tape keeps for the way back, beside parameters, buffers and input."""
        return self.rows[0].activations

    def _table(self) -> Table:
        head = ["Layer", "Input", "Output", "Parameters", "FLOPs", "Activations"]
        rows = []
        for row in self.rows:
            if self.depth is not None and row.depth > self.depth:
                continue
            own = row.name.rpartition(".")[2]
            label = f"{'  ' * row.depth}{own}{': ' if own else ''}{row.kind}"
            if row.calls > 1:
                label += f" (called {row.calls} times)"
            called = [count(row.flops), memory(row.activations)] if row.calls else ["", ""]
            rows.append([label, row.input, row.output, count(row.parameters), *called])
        return Table(head, rows, below=self._totals(), ruled=True)

    def _totals(self) -> list[str]:
        whole = self.rows[0]
        frozen = whole.parameters - whole.trainable
        return [
            f"Parameters: {whole.parameters:,}"
            + (f", of which {frozen:,} are frozen" if frozen else "")
            + f" ({memory(self.parameter_bytes)})"
            + (f"; buffers: {memory(self.buffer_bytes)}" if self.buffer_bytes else ""),
            f"Forward: {count(whole.flops)} FLOPs; kept for the way back: "
            f"{memory(whole.activations)}",
        ]

    def __str__(self) -> str:
        return self._table().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table().html()


def summary(model: Any, *inputs: Any, depth: int | None = None, **options: Any) -> Summary:
    """Layers, shapes, parameters, FLOPs and activation memory of ``model(*inputs, **options)``.

    The model is called once, in evaluation mode, and left as it was; so are the random numbers.
    FLOPs are those of matrix products, convolutions and recurrent layers, two for a multiplication
    and the addition of its product (see ``count_flops``). Activations are the bytes that the tape
    keeps until ``backward``, parameters, buffers and inputs left out; what several layers keep
    counts where it was kept first. depth: of the rows that are printed; None: all.

    Raises TypeError for what is no module; errors of the model are its own.
    """
    if not hasattr(model, "named_modules"):
        raise TypeError(f"[summary] expects a module and its inputs, got {type(model).__name__}")
    for given in (*inputs, *options.values()):
        if isinstance(given, tuple) and given and all(isinstance(n, int) for n in given):
            raise TypeError(
                f"[summary] the model is called with what it takes, not with a shape: pass "
                f"tapegrad.zeros{tuple(given)} in place of {tuple(given)}, batch size included"
            )
    named = list(model.named_modules())
    rows = {id(module): _row(name, module) for name, module in named}
    found = Summary(list(rows.values()), depth=depth)
    found.parameter_bytes = sum(p.nbytes for p in model.parameters())
    found.buffer_bytes = sum(b.nbytes for b in model.buffers())
    spans: dict[int, list[tuple[int, int]]] = {}
    with ExitStack() as stack:
        counted = stack.enter_context(counting())
        for one in (enable_grad(), fork_rng(), _evaluating(named)):
            stack.enter_context(one)
        for _, module in named:
            watch = _Watch(rows[id(module)], counted, spans.setdefault(id(module), []))
            stack.enter_context(module.register_forward_pre_hook(watch.before, prepend=True))
            stack.enter_context(module.register_forward_hook(watch.after, with_kwargs=True))
        result = model(*inputs, **options)
    found.by_primitive = dict(counted.most_common())
    known = [*model.parameters(), *model.buffers(), *_tensors((inputs, options))]
    kept = _kept(_tensors(result), known)
    for key, row in rows.items():
        row.activations = sum(
            size for serial, size in kept if any(a < serial < b for a, b in spans[key])
        )
    return found


class _Watch:
    """The hooks of one module."""

    def __init__(self, row: Row, counted: Any, spans: list[tuple[int, int]]) -> None:
        self.row, self.counted, self.spans = row, counted, spans
        self.open: list[tuple[int, int]] = []

    def before(self, module: Any, args: Any) -> None:
        self.open.append((next(caller.serials), self.counted.total()))

    def after(self, module: Any, args: Any, options: Any, result: Any) -> None:
        serial, flops = self.open.pop()
        row = self.row
        row.calls += 1
        row.input, row.output = _shapes((args, options)), _shapes(result)
        if not self.open:  # (A module that calls itself is counted once.)
            row.flops += self.counted.total() - flops
            self.spans.append((serial, next(caller.serials)))


def _row(name: str, module: Any) -> Row:
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return Row(
        name,
        module._get_name(),
        name.count(".") + 1 if name else 0,
        sum(n for n, _ in sizes),
        sum(n for n, wanted in sizes if wanted),
    )


@contextmanager
def _evaluating(named: list[tuple[str, Any]]) -> Iterator[None]:
    """Within this all modules are in evaluation mode."""
    before = [(module, module.training) for _, module in named]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in containers and in objects' attributes, in order."""
    found: list[Tensor] = []
    waiting, seen = [value], {}
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            found.append(value)
            continue
        if isinstance(value, Mapping):
            parts = list(value.values())
        elif isinstance(value, (tuple, list)):
            parts = list(value)
        else:
            parts = list(getattr(value, "__dict__", {}).values())
        if parts and id(value) not in seen:  # an object may hold itself
            seen[id(value)] = value
            waiting += reversed(parts)
    return found


def _shapes(value: Any) -> str:
    shapes = [str(tuple(t.shape)) for t in _tensors(value)]
    return ", ".join(shapes[:3]) + (", ..." if len(shapes) > 3 else "")


def _kept(results: list[Tensor], known: list[Tensor]) -> list[tuple[int, int]]:
    """(serial, bytes) of the memory that nodes keep, in the order of recording, each once."""
    nodes: dict[int, Node] = {}
    waiting = [t._node for t in results]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and node.serial not in nodes:
            nodes[node.serial] = node
            waiting += node.edges
    seen = {id(memory_of(t._array)): t for t in known}
    found: list[tuple[int, int]] = []
    held: list[Any] = []  # so that no address is used again
    for serial in sorted(nodes):
        for array in _arrays(nodes[serial].saved):
            whole = memory_of(array)
            if id(whole) not in seen:
                seen[id(whole)] = array
                held.append(whole)
                found.append(
                    (serial, whole.nbytes if isinstance(whole, np.ndarray) else whole.size)
                )
    return found


def _arrays(value: Any) -> list[Any]:
    """The arrays of one dimension or more, in tuples, too."""
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in _arrays(part)]
    is_array = hasattr(value, "__array_interface__") or hasattr(value, "__cuda_array_interface__")
    return [value] if is_array and not isinstance(value, (np.generic, Tensor)) else []
