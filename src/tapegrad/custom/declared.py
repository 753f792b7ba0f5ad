"""A kernel as a function of tensors: a primitive, its body, its gradient, what launches them."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, update_wrapper
from numbers import Number
from typing import Any

import numpy as np

from tapegrad.amp.regions import regions, within
from tapegrad.core.devices import Device, bodies
from tapegrad.core.kernels import kernel as declare_override
from tapegrad.core.memory import layout_of, memory
from tapegrad.core.modes import no_grad
from tapegrad.core.signature import Item, Signature, Sizes, read_items
from tapegrad.core.tape import own_primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.fusion import as_written
from tapegrad.fusion.tracing import TracingDevice
from tapegrad.units import Source, Unit

from .checkable import Checkable
from .launch import FLOATS, Grid, Launch, Planned, actual
from .samples import check_draws

_PLAIN = (float, int, bool)
Described = tuple[tuple[tuple[int, ...], Any], ...]  # the shape and the dtype of each array


class Kernel(Checkable):
    """A function of tensors that a kernel of your own computes on ``cuda`` and ``emulated``, and
    its plain body elsewhere. Made by ``tg.kernel``.

    Inputs are tensors on one device, of the dtypes that the kernel's parameters say; numbers are
    keyword arguments. Raises TypeError for other kinds and dtypes, ValueError for shapes that do
    not agree with the signature, RuntimeError for tensors on several devices, and KernelError
    where the kernel does not compile or fails.
    """

    def __init__(
        self,
        body: Callable,
        source: Source,
        signature: Signature,
        *,
        name: str,
        gradient: str | Callable | None,
        grid: Grid,
        draws: Mapping[str, Callable] | None = None,
        loops: Any = None,
    ):
        """loops: as a Unit, what computes the same for ``cpu``, in place of the body."""
        update_wrapper(self, body)
        self.body, self.source, self.signature, self.name = body, source, signature, name
        if not signature.inputs or not signature.results:
            raise ValueError(f"[{name}] signature {signature.text!r} needs an input and a result")
        if any(item.optional for item in (*signature.results, *signature.scratch)):
            raise ValueError(f"[{name}] '?' is for gradients, not in {signature.text!r}")
        self.numbers = keyword_numbers(body, signature, name)
        made = {item.name for item in (*signature.results, *signature.scratch)}
        twice = {*signature.sizes, *made} & {*self.numbers} | {"itemsize"} & {*signature.sizes}
        if twice:
            raise ValueError(
                f"[{name}] {sorted(twice)} would mean two things: arrays, sizes, numbers and "
                "'itemsize' need names of their own"
            )
        self.forward = Launch(
            source.function(name),
            signature,
            signature.inputs,
            signature.results,
            [*self.numbers],
            grid,
            signature.scratch,
        )
        self.backward: Launch | None = None
        self.rule = gradient if callable(gradient) else None
        if isinstance(gradient, str):
            self.backward = self._gradient_launch(gradient, grid)
        elif self.rule is not None:
            self._check_rule(self.rule)
        elif gradient is not None:
            raise TypeError(
                f"[{name}] gradient= is the name of a function in the source, a function of "
                f"tensors, or None for the body's own gradient, got {type(gradient).__name__}"
            )
        self.units: dict[str, Any] = {d: Unit(source, d) for d in ("cuda", "emulated")}
        if loops is not None:
            self.units["cpu"] = loops
        self.draws = dict(draws or {})
        check_draws(name, signature, self.draws)
        self._call = inspect.Signature(
            [
                *(
                    inspect.Parameter(item.name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                    for item in signature.inputs
                ),
                *(
                    inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default)
                    for n, default in self.numbers.items()
                ),
            ]
        )
        needed = [n for n, v in self.numbers.items() if v is inspect.Parameter.empty]
        self._needed, self._known = frozenset(needed), self.numbers.keys()
        self.understood = lru_cache(256)(self._understood)
        self._plan = lru_cache(256)(self._planned)
        self._apply = self._declare()

    def __repr__(self) -> str:
        return f"<kernel {self.name}: {self.signature.text}>"

    def __reduce__(self) -> str:
        return self.body.__qualname__  # by name, as the function that it stands for

    def __call__(self, *tensors: Any, **numbers: Any) -> Any:
        said = numbers.keys()
        if len(tensors) == len(self.signature.inputs) and self._needed <= said <= self._known:
            numbers = {**self.numbers, **numbers}
        else:
            tensors, numbers = self._bound(tensors, numbers)
        for name, value in numbers.items():
            if type(value) not in _PLAIN:
                numbers[name] = self._plain_number(name, value)
        self._check(tensors)
        if as_written.get():
            return self._plain(tensors, numbers)
        return self._apply(*tensors, numbers=numbers)

    # ---- what is asked of the arguments ----

    def _bound(self, tensors: tuple, numbers: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments of any other call than the usual one, in order. Raises TypeError."""
        try:
            bound = self._call.bind(*tensors, **numbers)
        except TypeError as error:
            raise TypeError(f"[{self.name}] {error}: it takes {self._call}") from None
        bound.apply_defaults()
        count = len(self.signature.inputs)
        given = list(bound.arguments.values())
        return tuple(given[:count]), dict(zip(self.numbers, given[count:], strict=True))

    def _check(self, tensors: Sequence[Any]) -> None:
        items = self.forward.inputs
        for item, t in zip(items, tensors, strict=True):
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"[{self.name}] {item.name} must be a Tensor, got {type(t).__name__}"
                )
        device = tensors[0]._device
        if any([t._device is not device for t in tensors]):
            where = ", ".join(
                f"{i.name} on {t.device}" for i, t in zip(items, tensors, strict=True)
            )
            raise RuntimeError(f"[{self.name}] tensors must be on one device, got {where}")
        self.understood(_described([t._array for t in tensors]))

    def _understood(self, given: Described) -> tuple[Any, Sizes]:
        """The element type and the sizes of inputs of these shapes and dtypes. Raises TypeError and
        ValueError."""
        dtype = self.dtype_of([dtype for _, dtype in given])
        return dtype, self.signature.match(self.name, [shape for shape, _ in given])

    def dtype_of(self, given: Sequence[Any]) -> Any:
        """The element type T of inputs of these dtypes, None where the kernel has none. Raises
        TypeError where they do not fit the parameters."""
        items = self.forward.inputs
        common = None
        for item, dtype in zip(items, given, strict=True):
            if item.dtype == "T":
                common = dtype if common is None else common
                if dtype != common:
                    kinds = ", ".join(f"{i.name} {d}" for i, d in zip(items, given, strict=True))
                    raise TypeError(
                        f"[{self.name}] {item.name} must be of the first's dtype, "
                        f"got {kinds}: convert with .to()"
                    )
        if common is not None and str(common) not in FLOATS:
            raise TypeError(
                f"[{self.name}] takes {', '.join(FLOATS)}, got {common}: convert with .float()"
            )
        for item, dtype in zip(items, given, strict=True):
            wanted = actual(item.dtype, common)
            if wanted is not None and dtype != wanted:
                raise TypeError(
                    f"[{self.name}] {item.name} must be {wanted}, got {dtype}: convert with .to()"
                )
        return common

    def _plain_number(self, name: str, value: Any) -> Any:
        if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
            value = value.item()
        if not isinstance(value, (bool, int, float)):
            raise TypeError(f"[{self.name}] {name} must be a number, got {type(value).__name__}")
        return value

    # ---- its declaration as a primitive ----

    def _declare(self) -> Callable:
        """The compiled caller of a primitive of its own: inputs x0, x1, ..., parameter numbers."""
        count = len(self.signature.results)
        me: Any = weakref.proxy(self)  # what tables hold must keep no kernel that is declared again

        def body(xp: Any, *arrays: Any, numbers: dict) -> Any:
            device = xp._operations.device
            has_memory = not isinstance(device, TracingDevice)
            given = [_unchangeable(a) for a in arrays] if has_memory else arrays
            with no_grad():
                y = me.run_body([wrap(a, device) for a in given], numbers)
            made = [t._array for t in y]
            made = _apart(made, arrays) if has_memory else made
            return tuple(made) if count > 1 else made[0]

        def gradient(xp: Any, *arrays: Any, numbers: dict, needs: tuple) -> tuple:
            device = xp._operations.device
            tensors = [None if a is None else wrap(a, device) for a in arrays]
            found = me.tensor_gradient(tensors, numbers, needs)
            return tuple(None if t is None else t._array for t in found)

        def forward(device: Device, *arrays: Any, numbers: dict) -> Any:
            plan = me._plan(me.forward, _described(arrays), _key(numbers))
            made = [*plan.run(device, me.units, me._named(arrays)).values()][:count]
            return tuple(made) if count > 1 else made[0]

        def backward(device: Device, *arrays: Any, numbers: dict, needs: tuple) -> tuple:
            return me._launch_backward(device, arrays, numbers, needs)

        saves = self.backward is not None and self._asks_for_results()

        def call(
            xp: Any, arrays: tuple, g: Any, needs: tuple, numbers: dict, y: Any = None
        ) -> tuple:
            gradients = tuple(g) if count > 1 else (g,)
            results = () if y is None else tuple(y) if count > 1 else (y,)
            given = (*gradients, *arrays, *results)
            return getattr(xp, f"{key}_backward")(*given, numbers=numbers, needs=needs)

        key, apply = own_primitive(
            self.name,
            len(self.signature.inputs),
            "numbers",
            body,
            call,
            ["g", "needs", "numbers", *["y"] * saves],
            lambda *tensors, numbers: self._plain(tensors, numbers),
            count,
            owner=self,
        )
        bodies[f"{key}_backward"] = gradient
        types = [*self.units]
        declare_override(key, floats="", types=types)(forward)
        if self.backward is not None:
            declare_override(f"{key}_backward", floats="", types=types)(backward)
        return apply

    def _planned(
        self, launch: Launch, given: Described, numbers: tuple, without: tuple[str, ...] = ()
    ) -> Planned:
        dtype, sizes = self.understood(given)
        told = {name: value for name, value, *_ in numbers}
        return launch.planned(dtype, sizes, told, without)

    def run_body(self, tensors: Sequence[Tensor], numbers: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """As Checkable's; and for inputs that the kernel takes, results must have the shapes,
        dtypes and device of the kernel's. Raises TypeError, ValueError and RuntimeError."""
        described = _described([t._array for t in tensors])
        try:
            self.understood(described)
        except TypeError:  # a check computes in float64 what a kernel of float32 does
            return super().run_body(tensors, numbers)
        plan = self._plan(self.forward, described, _key(numbers))
        here = regions.get()
        # Of autocast kernels know nothing.
        with within(here.without(here.enabled)) if here.enabled else nullcontext():
            results = super().run_body(tensors, numbers)
        for item, t, made in zip(self.signature.results, results, plan.results, strict=False):
            _, shape, dtype, _ = made
            array = t._array
            if array.shape != shape:
                raise ValueError(
                    f"{self._of_body(item)} must be of shape {shape}, got {array.shape}"
                )
            if array.dtype != dtype:
                raise TypeError(
                    f"{self._of_body(item)} must be {dtype}, as the kernel's, got {t.dtype}"
                )
            if t._device is not tensors[0]._device:
                where = f"{tensors[0].device}, as its inputs, got {t.device}"
                raise RuntimeError(f"{self._of_body(item)} must be on {where}")
        return results

    def _of_body(self, item: Item) -> str:
        return f"[{self.name}] the body's {item}"

    def _check_rule(self, rule: Callable) -> None:
        """Raise TypeError where a gradient that is a function cannot be called as one."""
        given = [f"d{item.name}" for item in self.signature.results]
        given += [item.name for item in self.signature.inputs]
        try:
            inspect.signature(rule).bind(*given, **self.numbers)
        except TypeError as error:
            numbers = [f"{n}={n}" for n in self.numbers]
            raise TypeError(
                f"[{self.name}] gradient= is called as rule({', '.join([*given, *numbers])}): "
                f"{error}"
            ) from None

    def _plain(self, tensors: Sequence[Tensor], numbers: Mapping[str, Any]) -> Any:
        results = self.run_body(tensors, numbers)
        return results if len(results) > 1 else results[0]

    # ---- what check asks ----

    def sources(self, dtype: Any, sizes: Sizes, numbers: Mapping[str, Any]) -> list[Source]:
        return [self.source]

    def compiled(self, checked: bool, changed: Mapping[str, str] | None = None) -> dict[str, Unit]:
        text = (changed or {}).get(self.source.text, self.source.text)
        return {"emulated": Unit(replace(self.source, text=text), "emulated", checked)}

    def loops(self) -> dict[str, Any] | None:
        return {"cpu": self.units["cpu"]} if "cpu" in self.units else None

    # ---- the gradient's kernel ----

    def _gradient_launch(self, text: str, grid: Grid) -> Launch:
        """The function that ``gradient="f"`` or ``"f -> dx, dw? = 0; scratch[rows]"`` names."""
        name, _, said = (part.strip() for part in text.partition("->"))
        if not name:
            raise ValueError(
                f"[{self.name}] gradient={text!r} names no function of the source: write it like "
                "'backward', or 'backward -> dx, dw = 0'"
            )
        function = self.source.function(name)
        whole = {item.name: item for item in (*self.signature.inputs, *self.signature.results)}
        said, _, scratch = said.partition(";")
        taken = {*whole} & {f"d{n}" for n in whole}
        if taken:
            raise ValueError(
                f"[{self.name}] {sorted(taken)} would be gradients, too: give these arrays names "
                "without a 'd' before another's"
            )
        told = {item.name: item for item in (*read_items(said), *read_items(scratch))}
        parameters = [p.name for p in function.parameters]
        given = [item for item in whole.values() if item.name in parameters]
        given += [
            Item(f"d{item.name}", item.sizes)
            for item in self.signature.results
            if f"d{item.name}" in parameters
        ]
        made = []
        for item in self.signature.inputs:
            own = told.pop(f"d{item.name}", None)
            if f"d{item.name}" in parameters:
                own = own or Item(f"d{item.name}", None)
                made.append(replace(own, sizes=item.sizes))
        for item in told.values():
            if item.sizes is None:
                raise ValueError(
                    f"[{self.name}] {item.name} in gradient={text!r} is no input's gradient: give "
                    f"it sizes, like '{item.name}[{self.signature.sizes[0]}]'"
                )
            made.append(item)
        launch = Launch(function, self.signature, given, made, [*self.numbers], grid)
        forward = self.forward.inputs
        absent = [
            i.name
            for i in forward
            if actual(i.dtype, np.dtype("float32")).kind == "f" and f"d{i.name}" not in parameters
        ]
        if absent:
            raise ValueError(
                f"[{self.name}] {name} writes no gradient of {', '.join(absent)}: give it a "
                f"parameter 'd{absent[0]}', or make gradient= a function of tensors that returns "
                "None for what has no gradient"
            )
        return launch

    def _asks_for_results(self) -> bool:
        assert self.backward is not None
        names = {item.name for item in self.backward.inputs}
        return any(item.name in names for item in self.signature.results)

    def _launch_backward(
        self, device: Device, arrays: Sequence[Any], numbers: Mapping, needs: Sequence[bool]
    ) -> tuple:
        """arrays: the results' gradients (None: zeros), the inputs, then the results if kept."""
        assert self.backward is not None
        count, items = len(self.signature.results), self.forward.inputs
        inputs = arrays[count : count + len(items)]
        results = arrays[count + len(items) :]
        described = _described(inputs)
        dtype, sizes = self.understood(described)
        named = self._named(inputs)
        named |= {i.name: a for i, a in zip(self.signature.results, results, strict=False)}
        for item, g in zip(self.forward.results, arrays[:count], strict=True):
            of = actual(item.dtype, dtype)
            if g is None:
                g = device.ops["zeros"](self.signature.shape(item, sizes), dtype=of)
            named[f"d{item.name}"] = g if g.dtype == of else g.astype(of)
        optional = {item.name for item in self.backward.results if item.optional}
        names = [f"d{item.name}" for item in items]
        without = [d for d, n in zip(names, needs, strict=True) if d in optional and not n]
        plan = self._plan(self.backward, described, _key(numbers), tuple(without))
        made = plan.run(device, self.units, named)
        return tuple(map(made.get, names))

    def _named(self, arrays: Sequence[Any]) -> dict[str, Any]:
        return {i.name: a for i, a in zip(self.signature.inputs, arrays, strict=True)}


def _described(arrays: Sequence[Any]) -> Described:
    return tuple([(a.shape, a.dtype) for a in arrays])


def _unchangeable(array: Any) -> Any:
    """A view of an input for a body, which may change it no more than a kernel. (CuPy's arrays know
    no such thing.)"""
    view = array.view()
    if isinstance(view, np.ndarray):
        view.flags.writeable = False
    return view


def _apart(made: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """A body's results, which like a kernel's are no views."""
    if len(made) == 1 and made[0].base is None:
        return [*made]
    found: list[Any] = []
    for array in made:
        shared = any(memory(array) is memory(other) for other in (*inputs, *found))
        shared = shared or layout_of(array).overlaps_itself
        found.append(array.copy() if shared else array)
    return found


def _key(numbers: Mapping[str, Any]) -> tuple:
    """Numbers as a key of plans, which tells 2 from 2.0, and 0.0 from -0.0."""
    return tuple([(n, v, type(v), v or repr(v)) for n, v in numbers.items()])


def name_of(body: Any, name: Any) -> str:
    """What a kernel is called: as was said, or like its body. Raises TypeError."""
    if not callable(body) or isinstance(body, type):
        raise TypeError(
            f"[{name or 'kernel'}] what is declared is a function of tensors, which says what the "
            f"kernel computes, got {body!r}"
        )
    own = getattr(body, "__name__", None) if name is None else name
    if not isinstance(own, str):
        raise TypeError(f"[kernel] name= must be the name of a function of the source, got {own!r}")
    return own


def keyword_numbers(body: Callable, signature: Signature, name: str) -> dict[str, Any]:
    """The body's keyword arguments with their defaults. Raises TypeError where its other arguments
    are not the signature's inputs."""
    parameters = inspect.signature(body).parameters.values()
    positional = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
    inputs = [item.name for item in signature.inputs]
    odd = [str(p) for p in parameters if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if positional != inputs or odd:
        raise TypeError(
            f"[{name}] the body takes ({', '.join([*positional, *odd])}), but the signature's "
            f"inputs are ({', '.join(inputs)}): they must be the same, and numbers stand behind a "
            f"'*', like def {name}({', '.join(inputs)}, *, eps=1e-5)"
        )
    numbers = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
    for n, default in numbers.items():
        if default is not inspect.Parameter.empty and not isinstance(default, (Number, np.generic)):
            raise TypeError(
                f"[{name}] {n}={default!r} stands behind a '*', so it must be a number: what a "
                "kernel computes depends on nothing else than its inputs and numbers"
            )
    return numbers
