"""What launches one of the package's kernels, from the line that ``tg.kernel`` takes, too.

A function that calls a launcher is written for each declaration, as a call costs a few
microseconds: it makes the results and scratch memory, and hands on arrays, sizes and numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .dtypes import accumulator
from .kernels import ask, kernel, launch
from .signature import Item, Signature


def launching(
    launcher: str, text: str, *, asked: Mapping[str, str] | None = None, **dtypes: str
) -> Callable:
    """``f(device, *inputs, **numbers)``, which calls a launcher for inputs and results as the
    signature says, like ``"x[rows, cols], weight[cols] -> y[rows, cols], rstd[rows]"``, and returns
    the results, those with a ``?`` only where ``needs=(True, ...)`` says so for their place.

    The launcher gets the results, the scratch arrays, the inputs, of which any but the first, and
    those with its sizes, may be None, the inputs' sizes in their order, and the numbers in that of
    the call. Everything has the dtype of the first input, but for what ``dtypes`` names:
    ``acc="mean rstd"`` are of its accumulator, ``int64="index"`` of that dtype. Sizes that no input
    has are numbers; or they are ``asked``, of the extension's function of this name, which gets the
    inputs' sizes.

    The caller answers for shapes, dtypes and strides; but where an input with the first one's sizes
    has another shape, ``f`` returns NotImplemented.
    """
    signature = Signature(text)
    asked = asked or {}
    inputs, results = signature.inputs, signature.results
    made = (*results, *signature.scratch)
    of = {name: kind for kind, names in dtypes.items() for name in names.split()}
    first = next((i.name for i in inputs if i.name not in of), None)
    needed = any(item.optional for item in results)
    taken = ["device", *(i.name for i in inputs), *(["*", "needs"] if needed else [])]
    lines = [f"def f({', '.join(taken)}, **numbers):"]
    for item in inputs[1:]:
        if item.sizes == inputs[0].sizes:
            lines.append(
                f"    if {item.name}.shape != {inputs[0].name}.shape: return NotImplemented"
            )
    sizes = [_size(size, inputs) for size in signature.sizes]
    for size, function in asked.items():
        lines.append(f"    {size} = ask(device, {function!r}, {', '.join(sizes)})")
    lines.append("    empty = device.ops['empty']")
    for i, item in enumerate(made):
        kind = of.get(item.name)
        wanted = f"accumulator({first}.dtype)" if kind == "acc" else kind or f"{first}.dtype"
        empty = f"empty({_shape(item, inputs, asked)}, {wanted})"
        lines.append(f"    {item.name} = {empty}{f' if needs[{i}] else None' * item.optional}")
    arrays = [item.name for item in (*made, *inputs)]
    given = ", ".join([*arrays, *sizes, "*numbers.values()"])
    lines.append(
        f"    launch(device, {launcher!r}, {f'{first}.dtype' if first else None}, {given})"
    )
    lines.append(f"    return {', '.join(item.name for item in results) or None}")
    names: dict = {"launch": launch, "ask": ask, "accumulator": accumulator, "prod": math.prod}
    names |= {kind: np.dtype(kind) for kind in of.values() if kind != "acc"}
    exec("\n".join(lines), names)
    return names["f"]


def launches(
    name: str, text: str, *, asked: Mapping[str, str] | None = None, **dtypes: str
) -> None:
    """Primitive ``name`` is computed by one launch, of ``<name>_forward``, or of a gradient's own
    name: an override that is ``launching`` of these arguments. Its numbers are the primitive's
    parameters, and for other arrays than floats of one dtype its plain body runs."""
    launcher = name if name.endswith("_backward") else f"{name}_forward"
    of = " ".join(dtypes.values()).split()
    inputs = Signature(text).inputs
    floats = [i.name for i in inputs if i.name not in of]
    run = launching(launcher, text, asked=asked, **dtypes)
    elementwise = {i.sizes for i in inputs} == {("*n",)}
    kernel(name, floats=" ".join(floats), elementwise=elementwise)(run)


def _shape(item: Item, inputs: Sequence[Item], asked: Mapping[str, str]) -> str:
    if inputs and inputs[0].sizes == item.sizes:  # the others may be None
        return f"{inputs[0].name}.shape"
    parts = [s if s in asked else _place(s, inputs) for s in item.sizes or ()]
    return f"({''.join(f'*{part}, ' if ':' in part else f'{part}, ' for part in parts)})"


def _size(name: str, inputs: Sequence[Item]) -> str:
    for item in inputs:
        if item.sizes == (f"*{name}",):
            return f"{item.name}.size"
    part = _place(name, inputs)
    return f"prod({part})" if ":" in part else part


def _place(size: str, inputs: Sequence[Item]) -> str:
    """Where in an input's shape a size stands, those behind one with a star from the end; or among
    the numbers."""
    for item in inputs:
        for i, own in enumerate(item.sizes or ()):
            if own.lstrip("*") == size.lstrip("*"):
                count, star = len(item.sizes or ()), item.star
                if star == i:
                    return f"{item.name}.shape[{i}:{i + 1 - count or ''}]"
                return f"{item.name}.shape[{i if star is None or i < star else i - count}]"
    return size if size.isdigit() else f"numbers[{size!r}]"
