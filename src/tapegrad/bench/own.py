"""``tapegrad.bench.case``: functions of your own as cases, measured like the package's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.autograd import grad
from tapegrad.core.devices import CPU, Device
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.custom.checkable import Checkable
from tapegrad.custom.elements import Elementwise
from tapegrad.fusion import Fused

from .arrays import memory, of_memories, on_host
from .cases import Case, Draw
from .cases.case import several
from .check import BenchmarkError
from .drawing import Drawing, moved
from .peers import jax_way, torch_compiled, torch_gradient, torch_way
from .translated import translated
from .ways import Way
from .work import operations

_DEPTH = 1 << 12  # how long the sums are cannot be told from outside


def case(
    f: Callable[..., Any],
    *others: Callable[..., Any],
    name: str | None = None,
    group: str = "",
    inputs: Any = None,
    sizes: Sequence[Any] | None = None,
    numbers: Mapping[str, Any] | None = None,
    reference: Any = None,
    torch: Callable[..., Any] | None = None,
    cupy: Callable[..., Any] | None = None,
    jax: Callable[..., Any] | None = None,
    rtol: float | None = None,
    flops: Callable[..., float] | float | None = None,
    bytes: Callable[..., float] | float | None = None,
) -> Case:
    """How a function of tensors is measured by ``tapegrad bench FILE.py``, where a variable of the
    file holds this, and by ``run([...])``.

    f: a kernel by ``tg.kernel``, a function that ``tg.fuse`` made, or any function of tensors.
    others: functions of the same tensors that must give the same and take turns with it.
    group: a name for several cases, by which the command finds them.
    inputs: a function of the sizes that returns the tensors or arrays, by default normal numbers:
    for a kernel of the shapes in its signature, for another function of one shape. Floats become of
    the dtype that is measured. sizes: the shapes, like ``(4096, 512)`` or ``"4096x512"``: a number
    for each size in a kernel's signature (one with a star takes those that are left), else what
    ``inputs`` is called with. numbers: keyword arguments of all functions.
    reference: the right results in float64: a function of the inputs as NumPy arrays in float64, or
    arrays; by default the kernel's plain body, or the function itself, in float64 on the CPU.
    torch, cupy, jax: how these compute it, as functions of their arrays. PyTorch's is the plain
    body with PyTorch in place of tapegrad, unless it is said.
    rtol: the largest error accepted, as a part of |expected| + rms(expected). flops, bytes: what a
    call computes and moves, numbers or functions of the sizes; by default the operations of the
    body, where they can be told, and the bytes of all inputs and results.

    Raises TypeError for what is no function.
    """
    functions = named(f, *others, name=name)
    own = Own(
        functions,
        Drawing(next(iter(functions)), f, inputs, sizes),
        numbers=numbers,
        reference=reference,
        peers={"torch": torch, "cupy": cupy, "jax": jax},
    )
    return own.case(group, rtol, flops, bytes)


def named(*functions: Callable[..., Any], name: str | None = None) -> dict[str, Callable]:
    """Functions by the names that they have, numbered where two have the same. name: of the first.
    Raises TypeError for what is no function."""
    found: dict[str, Callable] = {}
    for number, one in enumerate(functions):
        if not callable(one):
            raise TypeError(f"[bench] expects functions of tensors, got {type(one).__name__}")
        own = str(getattr(one, "__name__", type(one).__name__))
        own = one.name if isinstance(one, Checkable) else own
        own = name if name and number == 0 else own
        found[own if own not in found else f"{own} {number + 1}"] = one
    return found


class Own:
    """Functions of tensors, the first of which the case is about. See ``case``; inputs_of: those of
    functions that take others than the first."""

    def __init__(
        self,
        functions: dict[str, Callable],
        drawing: Drawing,
        *,
        numbers: Mapping[str, Any] | None = None,
        reference: Any = None,
        peers: Mapping[str, Callable | None] | None = None,
        inputs_of: Mapping[str, Sequence[Any]] | None = None,
    ):
        self.functions, self.drawing = functions, drawing
        self.said, self.reference = dict(numbers or {}), reference
        self.peers, self.inputs_of = peers or {}, inputs_of or {}
        self.name, self.first = next(iter(functions.items()))
        self.body: Callable | None = None
        self.numbers = dict(self.said)
        if isinstance(self.first, Checkable):
            self.body = self.first.body
            self.numbers = {**self.first.numbers, **self.said}
        elif isinstance(self.first, Fused):
            self.body = self.first.__wrapped__  # type: ignore[attr-defined]
        self.plain = self.body or self.first

    # ---- as a case ----

    def case(self, group: str = "", rtol: Any = None, flops: Any = None, bytes: Any = None) -> Case:
        told, moves = _function_of_sizes(flops), _function_of_sizes(bytes)
        return Case(
            self.name,
            "",
            self.drawing.sizes(),
            self._drawn,
            self.first,
            told or (lambda *shape: 0.0),
            reference=self._expected,
            bytes=moves and (lambda itemsize, *shape: moves(*shape)),
            depth=lambda *shape: _DEPTH,
            dtypes=self.drawing.dtypes(),
            label=self.name,
            ways=self._ways(),
            rivals=tuple(self.functions)[1:],
            rtol=rtol,
            group=group,
            work=None if told else partial(operations, self.plain, self.numbers),
            gradient=None if self.inputs_of else partial(self._gradient_case, group, rtol),
        )

    def _drawn(self, draw: Draw, *shape: int) -> tuple:
        missing = [n for n, v in self.numbers.items() if v is inspect.Parameter.empty]
        if missing:
            raise BenchmarkError(
                f"[{self.name}] needs numbers: say tg.bench.case({self.name}, "
                f"numbers={{'{missing[0]}': ...}})"
            )
        return self.drawing(draw, *shape)

    # ---- who computes it ----

    def _ways(self) -> dict[str, Callable[[Device], Way | None]]:
        ways: dict[str, Callable[[Device], Way | None]] = {}
        if self.body is not None:
            ways["body"] = partial(self._tensor_way, self.body, None)
        if self._has_torch:
            ways["torch"] = lambda device: torch_way(self._torch, device)
            ways["torch.compile"] = lambda device: torch_way(torch_compiled(self._torch), device)
        if (jax := self.peers.get("jax")) is not None:
            ways["jax"] = lambda device: jax_way(partial(jax, **self.numbers))
        if (cupy := self.peers.get("cupy")) is not None:
            call = partial(cupy, **self.numbers)
            ways["cupy"] = lambda device: Way(
                call, partial(of_memories, lambda m: m), counts="tapegrad"
            )
        for name, function in self.functions.items():
            ways[name] = partial(self._tensor_way, function, self.inputs_of.get(name))
        return ways

    @property
    def _has_torch(self) -> bool:
        # (An expression is computed by functions of tapegrad's.)
        is_text = isinstance(self.plain, FunctionType) and not isinstance(self.first, Elementwise)
        return self.peers.get("torch") is not None or is_text

    @cached_property
    def _torch(self) -> Callable:
        given = self.peers.get("torch")
        return partial(translated(self.plain) if given is None else given, **self.numbers)

    def _tensor_way(self, function: Callable, inputs: Sequence[Any] | None, device: Device) -> Way:
        take = list if self.drawing.is_given else partial(_tensors, device)
        return Way(self._with_numbers(function), take, inputs=inputs, counts="tapegrad")

    def _with_numbers(self, function: Callable) -> Callable:
        """The function as it is called: with the numbers that were said, as a user would."""
        return partial(function, **self.said) if self.said else function

    def _expected(self, ops: Any, *values: Any) -> Any:
        if self.reference is not None:
            hosts = [v if (host := on_host(v)) is None else host for v in values]
            returned = self.reference(*hosts) if callable(self.reference) else self.reference
            return [ops.library.asarray(r) for r in several(returned)]
        with no_grad():
            made = self._with_numbers(self.plain)(*_tensors(_device_of(ops), values))
        return [memory(y) for y in several(made)]

    # ---- the gradients ----

    def _gradient_case(self, group: str, rtol: Any) -> Case:
        """The case of the gradients, without the forward pass. Its inputs are those of the function
        and, behind them, the gradients of its results."""
        name = f"{self.name} backward"
        plain = self._with_numbers(self.plain)
        taken = 0  # how many inputs the function has: known once they are drawn

        def inputs(draw: Draw, *shape: int) -> tuple:
            nonlocal taken
            values = [moved(v, draw.device, draw.dtype) for v in self._drawn(draw, *shape)]
            taken = len(values)
            results = _graph(plain, draw.device, values, taken)[0]
            return (*values, *(draw.normal(*y.shape, dtype=y.dtype) for y in results))

        def way(function: Callable, device: Device) -> Way:
            call = self._with_numbers(function)

            def take(values: Sequence[Any]) -> list[Any]:
                return _graph(call, device, values, taken)

            return Way(_gradients, take, counts="tapegrad")

        def reference(ops: Any, *values: Any) -> list[Any]:
            return [memory(g) for g in _gradients(*_graph(plain, _device_of(ops), values, taken))]

        def torch(compiled: bool, device: Device) -> Way:
            return torch_gradient(self._torch, device, taken, compiled)

        def work(values: Sequence[Any]) -> float:
            return operations(self.plain, self.numbers, values[:taken], backward=True)

        functions = {name: self.first, **dict(list(self.functions.items())[1:])}
        if self.body is not None:
            functions["body"] = self.body
        ways: dict[str, Callable[[Device], Way | None]] = {
            other: partial(way, function) for other, function in functions.items()
        }
        if self._has_torch:
            ways["torch"], ways["torch.compile"] = partial(torch, False), partial(torch, True)
        return replace(
            self.case(group, rtol),
            name=name,
            inputs=inputs,
            reference=reference,
            ways=ways,
            label=name,
            work=work,
            gradient=None,
        )


def _graph(function: Callable, device: Device, values: Sequence[Any], count: int) -> list[Any]:
    """The results of so many inputs that have a history, the floats among these, and the gradients
    that arrive, which stand behind them."""
    given = [t.detach() if isinstance(t, Tensor) else t for t in _tensors(device, values[:count])]
    leaves = [t.requires_grad_() for t in given if isinstance(t, Tensor) and t.is_floating_point()]
    with enable_grad():
        results = [y for y in several(function(*given)) if y.requires_grad]
    return [results, leaves, _tensors(device, values[count:])]


def _gradients(results: list, leaves: list, seeds: list) -> tuple:
    return grad(results, leaves, seeds, retain_graph=True, materialize_grads=True)


def _device_of(ops: Any) -> Device:
    """Where a reference is computed by these operations."""
    return CPU if ops.library is np else Device("cuda")


def _function_of_sizes(value: Any) -> Callable[..., float] | None:
    return value if value is None or callable(value) else lambda *shape: float(value)


def _tensors(device: Device, values: Sequence[Any]) -> list[Any]:
    """Arrays as tensors in the same memory; what is none is left as it is."""
    return [wrap(v, device) if isinstance(v, device.array_type) else v for v in values]
