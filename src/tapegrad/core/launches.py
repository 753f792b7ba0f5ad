"""Overrides that launch one kernel, from the same line that ``tg.kernel`` takes."""

from __future__ import annotations

import math
from collections.abc import Callable

from .dtypes import accumulator
from .kernels import kernel, launch
from .signature import Item, Signature


def launches(name: str, text: str, acc: str = "") -> Callable:
    """Primitive ``name`` is computed by a kernel that takes and makes what the signature says, like
    ``"x[rows, cols], weight[cols] -> y[rows, cols], rstd[rows]"``.

    The launcher (``<name>_forward``, or a backward's own name) gets the results, the inputs, the
    sizes in their order, and the primitive's parameters. Everything has the inputs' dtype; the
    results ``acc`` (their names with spaces between) that of its accumulator. Where an input with
    the first one's sizes has another shape, the plain body runs; for all else the primitive
    answers, as in a ``@kernel``, which this writes.
    """
    signature = Signature(text)
    inputs, results = signature.inputs, signature.results
    first = inputs[0].name
    lines = [f"def f(device, {', '.join(i.name for i in inputs)}, **parameters):"]
    for item in inputs[1:]:
        if item.sizes == inputs[0].sizes:
            lines.append(f"    if {item.name}.shape != {first}.shape: return NotImplemented")
    lines.append("    empty = device.ops['empty']")
    for item in results:
        dtype = f"accumulator({first}.dtype)" if item.name in acc.split() else f"{first}.dtype"
        lines.append(f"    {item.name} = empty({_shape(item, inputs)}, {dtype})")
    arrays = [item.name for item in (*results, *inputs)]
    sizes = [_size(size, inputs) for size in signature.sizes]
    given = ", ".join([*arrays, *sizes, "*parameters.values()"])
    launcher = name if name.endswith("_backward") else f"{name}_forward"
    lines.append(f"    launch(device, {launcher!r}, {first}.dtype, {given})")
    lines.append(f"    return {', '.join(item.name for item in results)}")
    names: dict = {"launch": launch, "accumulator": accumulator, "prod": math.prod}
    exec("\n".join(lines), names)
    return kernel(name)(names["f"])


def _shape(item: Item, inputs: tuple[Item, ...]) -> str:
    for other in inputs:
        if other.sizes == item.sizes:
            return f"{other.name}.shape"
    parts = [_place(size, inputs) for size in item.sizes or ()]
    return f"({''.join(f'*{part}, ' if ':' in part else f'{part}, ' for part in parts)})"


def _size(name: str, inputs: tuple[Item, ...]) -> str:
    for item in inputs:
        if item.sizes == (f"*{name}",):
            return f"{item.name}.size"
    part = _place(name, inputs)
    return f"prod({part})" if ":" in part else part


def _place(size: str, inputs: tuple[Item, ...]) -> str:
    """Where in an input's shape a size stands, those behind one with a star from the end."""
    for item in inputs:
        for i, own in enumerate(item.sizes or ()):
            if own.lstrip("*") == size.lstrip("*"):
                count, star = len(item.sizes or ()), item.star
                if star == i:
                    return f"{item.name}.shape[{i}:{i + 1 - count or ''}]"
                return f"{item.name}.shape[{i if star is None or i < star else i - count}]"
    return size
