"""``tapegrad.bench.case``: functions of your own as cases, measured like the package's."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.autograd import grad
from tapegrad.core.devices import CPU, EMULATED, Device
from tapegrad.core.dtypes import is_floating
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.signature import Sizes
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.custom.checkable import Checkable
from tapegrad.custom.elements import Elementwise
from tapegrad.custom.trial import draw as draw_inputs
from tapegrad.fusion import Fused, fuse
from tapegrad.ops.sampling.philox import fork_rng, manual_seed
from tapegrad.utils.flops import count_flops

from .arrays import memory, on_host
from .cases import Case, Draw
from .cases.case import Shape, several, shape_of
from .check import FLOATS, BenchmarkError
from .peers import jax_way, torch_compiled, torch_gradient, torch_way
from .translated import translated
from .ways import Way

_DEPTH = 1 << 12  # how long the sums are cannot be told from outside
_PLACES = {"tiny": 1 << 10, "small": 1 << 22, "large": 1 << 26}  # elements, unless sizes are said


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

    Raises TypeError for what is no function, BenchmarkError where numbers are missing.
    """
    functions = named(f, *others)
    if name is not None:
        functions = {name: f, **{n: g for n, g in functions.items() if g is not f}}
    peers = {"torch": torch, "cupy": cupy, "jax": jax}
    own_case = Own(functions, inputs, sizes, dict(numbers or {}), reference, peers, group)
    return own_case.case(rtol, flops, bytes)


def named(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Functions by the names that they have, numbered where two have the same."""
    found: dict[str, Callable[..., Any]] = {}
    for number, one in enumerate(functions):
        if not callable(one):
            raise TypeError(f"[bench] expects functions of tensors, got {type(one).__name__}")
        name = str(getattr(one, "__name__", type(one).__name__))
        name = one.name if isinstance(one, Checkable) else name
        found[name if name not in found else f"{name} {number + 1}"] = one
    return found


def listed(inputs: Any) -> list[Any]:
    """The inputs, where one of them stands for itself."""
    return list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]


@dataclass
class Own:
    """Functions of tensors, the first of which the case is about. See ``case``."""

    functions: dict[str, Callable]
    inputs: Any = None
    sizes: Sequence[Any] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    reference: Any = None
    peers: Mapping[str, Callable | None] = field(default_factory=dict)
    group: str = ""
    others_inputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.first = next(iter(self.functions.items()))
        self.body: Callable | None = None
        if isinstance(self.first, Checkable):
            self.body = self.first.body
            self.numbers = {**self.first.numbers, **self.numbers}
        elif isinstance(self.first, Fused):
            self.body = self.first.__wrapped__  # type: ignore[attr-defined]
        missing = [n for n, v in self.numbers.items() if v is inspect.Parameter.empty]
        if missing:
            raise BenchmarkError(
                f"[{self.name}] needs numbers: say tg.bench.case({self.name}, "
                f"numbers={{'{missing[0]}': ...}})"
            )

    @property
    def is_given(self) -> bool:
        """Whether there is one set of inputs, of one shape."""
        return self.inputs is not None and not callable(self.inputs)

    # ---- as a case ----

    def case(self, rtol: Any = None, flops: Any = None, bytes: Any = None) -> Case:
        told = _function_of_sizes(flops)
        moved = _function_of_sizes(bytes)
        return Case(
            self.name,
            "",
            self._sizes(),
            self._drawn,
            self.first,
            told or (lambda *shape: 0.0),
            reference=self._expected,
            bytes=moved and (lambda itemsize, *shape: moved(*shape)),
            depth=lambda *shape: _DEPTH,
            dtypes=self._dtypes(),
            label=self.name,
            ways=self._ways(),
            rivals=tuple(self.functions)[1:],
            rtol=rtol,
            group=self.group,
            work=None if told else self._work,
            gradient=None if self.others_inputs else partial(self._gradient_case, rtol),
        )

    def _sizes(self) -> dict[str, Sequence[Shape]]:
        if self.is_given:
            return {size: [()] for size in _PLACES}
        if self.sizes is not None:
            return {size: list(map(shape_of, self.sizes)) for size in _PLACES}
        return {name: [self._usual(elements)] for name, elements in _PLACES.items()}

    def _usual(self, elements: int) -> Shape:
        """About so many elements, where nobody said which sizes."""
        count = len(self.first.signature.sizes) if isinstance(self.first, Checkable) else 1
        return tuple([max(1, round(elements ** (1 / count)))] * count)

    def _dtypes(self) -> tuple[str, ...]:
        if isinstance(self.first, Checkable):
            kinds = [item.dtype for item in self.first.forward.inputs]
            floats = [k for k in kinds if k in FLOATS]
            if "T" not in kinds:
                return (floats[0] if floats else "float32",)
        return FLOATS

    def _drawn(self, draw: Draw, *shape: int) -> tuple:
        """The inputs: of a given tuple as they are, else arrays on the device."""
        device, seed = draw.device, zlib.crc32(f"{self.name} {shape}".encode())
        if self.is_given:
            values = listed(self.inputs)
        elif self.inputs is not None:
            with fork_rng(), device, no_grad():
                manual_seed(seed)
                values = [_moved(v, device, draw.dtype) for v in several(self.inputs(*shape))]
        elif isinstance(self.first, Checkable):
            sizes, random = self._named(self.first, shape), np.random.default_rng(seed)
            arrays = draw_inputs(self.first, sizes, draw.dtype, random, self.first.draws)
            values = [device.receive(a) for a in arrays]
        else:
            values = [draw.normal(*shape) for _ in range(self._arity())]
        self._taken = len(values)
        return tuple(values)

    def _named(self, kernel: Checkable, shape: Shape) -> Sizes:
        """The sizes of a kernel's signature: each has one number, a star all that are left."""
        names = kernel.signature.sizes
        stars = {s[1:] for i in kernel.signature.inputs for s in i.sizes or () if s[0] == "*"}
        star = next((n for n in names if n in stars), None)
        extra = len(shape) - len(names)
        if extra < 0 or (extra > 0 and star is None):
            raise BenchmarkError(
                f"[{self.name}] has the sizes {', '.join(names)}, got "
                f"{'x'.join(map(str, shape)) or 'none'}: write {'x'.join(names)}"
            )
        sizes: Sizes = {}
        left = list(shape)
        for name in names:
            if name == star:
                sizes[name], left = tuple(left[: 1 + extra]), left[1 + extra :]
            else:
                value = left.pop(0)
                sizes[name] = (value,) if name in stars else value
        return sizes

    def _arity(self) -> int:
        try:
            parameters = inspect.signature(self.first).parameters.values()
        except (TypeError, ValueError):
            parameters = None
        if parameters is None or any(p.kind == p.VAR_POSITIONAL for p in parameters):
            raise BenchmarkError(
                f"[{self.name}] does not say how many tensors it takes: give it inputs="
            )
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return sum(p.kind in positional and p.default is p.empty for p in parameters)

    # ---- who computes it ----

    def _ways(self) -> dict[str, Callable[[Device], Way | None]]:
        ways: dict[str, Callable[[Device], Way | None]] = {}
        plain = self.body or self.first
        if self.body is not None:
            ways["body"] = partial(self._tensor_way, self.body, None)
        # (An expression is computed by functions of tapegrad's.)
        is_text = isinstance(plain, FunctionType) and not isinstance(self.first, Elementwise)
        if self.peers.get("torch") or is_text:
            ways["torch"] = lambda device: torch_way(self._torch(plain), device)
            ways["torch.compile"] = lambda device: torch_way(
                torch_compiled(self._torch(plain)), device
            )
        if (jax := self.peers.get("jax")) is not None:
            ways["jax"] = lambda device: jax_way(partial(jax, **self.numbers))
        if (cupy := self.peers.get("cupy")) is not None:
            call = partial(cupy, **self.numbers)
            ways["cupy"] = lambda device: Way(call, _memories, counts="tapegrad")
        for name, function in self.functions.items():
            ways[name] = partial(self._tensor_way, function, self.others_inputs.get(name))
        return ways

    def _torch(self, plain: Callable) -> Callable:
        given = self.peers.get("torch")
        return partial(given if given is not None else translated(plain), **self.numbers)

    def _tensor_way(self, function: Callable, inputs: Sequence[Any] | None, device: Device) -> Way:
        take = list if self.is_given else partial(_tensors, device)
        return Way(partial(function, **self.numbers), take, inputs=inputs, counts="tapegrad")

    def _expected(self, ops: Any, *values: Any) -> Any:
        if self.reference is not None:
            hosts = [v if (host := on_host(v)) is None else host for v in values]
            returned = self.reference(*hosts) if callable(self.reference) else self.reference
            return [ops.library.asarray(r) for r in several(returned)]
        device = CPU if ops.library is np else Device("cuda")
        with no_grad():
            return [memory(y) for y in several(self._plain(*_tensors(device, values)))]

    def _plain(self, *tensors: Any) -> Any:
        return (self.body or self.first)(*tensors, **self.numbers)

    def _work(self, values: Sequence[Any]) -> float:
        """The operations of the body for these inputs, each of an element counted as one; where it
        is more than such, those of products of matrices. 0 where neither can be told."""
        try:
            arrays = [EMULATED.ops["empty"](v.shape, v.dtype) for v in values]
            tensors = _tensors(EMULATED, arrays)
            kernel = fuse(self.body or self.first).plan(tuple(tensors), self.numbers, tensors)
            return float(sum(prod(s.shape) for s in kernel.forward.kernel.steps if _computes(s)))
        except Exception:  # it may do anything
            pass
        try:
            made = count_flops(
                self._plain, *_tensors(CPU, [v if (h := on_host(v)) is None else h for v in values])
            )
            return float(sum(made.values()))
        except Exception:
            return 0.0

    # ---- the gradients ----

    def _gradient_case(self, rtol: Any) -> Case:
        """The case of the gradients, without the forward pass. Its inputs are those of the function
        and, behind them, the gradients of its results."""
        name = f"{self.name} backward"

        def inputs(draw: Draw, *shape: int) -> tuple:
            values = [_moved(v, draw.device, draw.dtype) for v in self._drawn(draw, *shape)]
            results = self._graph(self._plain, draw.device, values)[0]
            return (*values, *(draw.normal(*y.shape, dtype=y.dtype) for y in results))

        def way(function: Callable, device: Device) -> Way:
            call = partial(function, **self.numbers)
            return Way(_gradients, partial(self._graph, call, device), counts="tapegrad")

        def reference(ops: Any, *values: Any) -> list[Any]:
            return [memory(g) for g in _gradients(*self._graph(self._plain, CPU, values))]

        def torch(compiled: bool, device: Device) -> Way:
            function = self._torch(self.body or self.first)
            return torch_gradient(function, device, self._taken, compiled)

        functions = {name: self.first, **dict(list(self.functions.items())[1:])}
        if self.body is not None:
            functions["body"] = self.body
        ways: dict[str, Callable[[Device], Way | None]] = {
            other: partial(way, function) for other, function in functions.items()
        }
        if "torch" in self._ways():
            ways["torch"], ways["torch.compile"] = partial(torch, False), partial(torch, True)
        return replace(
            self.case(rtol),
            name=name,
            inputs=inputs,
            reference=reference,
            ways=ways,
            label=name,
            work=None,
            gradient=None,
        )

    def _graph(self, function: Callable, device: Device, values: Sequence[Any]) -> list[Any]:
        """The results that have a history, what they are made of, and the gradients that arrive."""
        tensors, seeds = values[: self._taken], values[self._taken :]
        given = [t.detach() if isinstance(t, Tensor) else t for t in _tensors(device, tensors)]
        leaves = [t.requires_grad_() for t in given if isinstance(t, Tensor) and _is_float(t)]
        with enable_grad():
            results = [y for y in several(function(*given)) if y.requires_grad]
        return [results, leaves, _tensors(device, seeds)]


def _gradients(results: list, leaves: list, seeds: list) -> tuple:
    return grad(results, leaves, seeds, retain_graph=True, materialize_grads=True)


def _is_float(t: Tensor) -> bool:
    return is_floating(t.dtype)


def _computes(step: Any) -> bool:
    return step.op not in ("input", "number", "view")


def _function_of_sizes(value: Any) -> Callable[..., float] | None:
    return value if value is None or callable(value) else lambda *shape: float(value)


def _tensors(device: Device, values: Sequence[Any]) -> list[Any]:
    """Arrays as tensors in the same memory; what is none is left as it is."""
    return [wrap(v, device) if isinstance(v, device.array_type) else v for v in values]


def _memories(values: Sequence[Any]) -> list[Any]:
    return [v if (array := memory(v)) is None else array for v in values]


def _moved(value: Any, device: Device, dtype: Any) -> Any:
    """An input on the device, as an array; a float in this dtype."""
    array = memory(value)
    if array is None:
        return value
    array = device.receive(array)
    return array.astype(dtype) if is_floating(array.dtype) else array
