"""A kernel, its gradient and its body out of one expression of elements."""

from __future__ import annotations

import sys

from tapegrad.core.signature import Signature

from .declared import Kernel
from .expression import Expression
from .launch import Grid
from .loops import Loops
from .source import Source

# A thread computes a pack of 16 bytes at a time, as kernels/activation.cu does.
_KERNEL = """
template <class T>
__global__ void {name}({parameters}) {{
    using A = acc_t<T>;
    constexpr int size = Pack<T>::size;
    const bool aligned = aligned_for_packs({arrays});
{numbers}    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {{
{loads}        for (int j = 0; j < size; ++j) {{
{elements}        }}
{stores}    }}
}}
"""

_TAKEN = {"A", "T", "aligned", "i", "j", "n", "size"}


def elementwise(expression: str, *, name: str = "elementwise", **numbers: float) -> Kernel:
    """A function of tensors of one shape, from an expression of their elements in Python's syntax.

    expression: such as ``"a * b / (1 + exp(-a))"``, ``"a if a > 0 else slope * a"``; names are
    inputs, in the order in which they first stand there, but for those of ``numbers``, keyword
    arguments with these defaults. Functions: abs, cos, erf, exp, expm1, log, log1p, max, min, relu,
    rsqrt, sigmoid, sin, sqrt, square, tanh; constants: pi, e, inf. At ties and kinks slopes are
    PyTorch's.

    The kernel, that of the gradient, and the plain body are made from it; 16-bit floats are
    computed in float32 and rounded once. The inputs have the same shape: expand them
    first, which the tape records. Raises SyntaxError or ValueError for what is no such expression.

        >>> swiglu = tg.kernel.elementwise("a * b / (1 + exp(-a))")
        >>> swiglu(tg.ones(2), tg.tensor([1.0, 2.0]))
        tensor([0.7311, 1.4621])
    """
    if not name.isidentifier():
        raise ValueError(f"name={name!r} must be a name, as it is that of a function in CUDA")
    read = Expression(expression, list(numbers))
    own = {*read.inputs, *numbers, *(f"d{i}" for i in read.inputs)}
    if own & _TAKEN:
        raise ValueError(
            f"{sorted(own & _TAKEN)} in {expression!r} mean something else here: rename"
        )
    result = next(r for r in ("y", "out", "result_") if not own & {r, f"d{r}"})
    text = _forward(name, read, result) + _backward(f"{name}_backward", read, result)
    arrays = ", ".join(f"{i}[*n]" for i in read.inputs)
    body = read.body()(**numbers)
    body.__name__ = body.__qualname__ = name
    body.__module__ = sys._getframe(1).f_globals["__name__"]  # where pickles look for it
    body.__doc__ = f"``{expression}``, element by element."
    return Kernel(
        body,
        Source(text, f"<kernel {name}: {expression}>", 1, "."),
        Signature(f"{arrays} -> {result}[*n]"),
        name=name,
        gradient=f"{name}_backward",
        on_cpu=Loops(name, read),
        grid=Grid(blocks=lambda n, itemsize: min(-(-n * itemsize // 4096), 16384)),
    )


def _forward(name: str, read: Expression, result: str) -> str:
    statements, value = read.code()
    return _kernel(name, read, [*read.inputs], [result], statements, {result: value})


def _backward(name: str, read: Expression, result: str) -> str:
    statements, gradients = read.gradient_code(f"v_d{result}")
    made = {f"d{i}": code for i, code in gradients.items()}
    return _kernel(name, read, [f"d{result}", *read.inputs], [*made], statements, made)


def _kernel(
    name: str,
    read: Expression,
    inputs: list[str],
    results: list[str],
    statements: list[str],
    values: dict[str, str],
) -> str:
    arrays = [*results, *inputs]
    parameters = [f"T* {r}" for r in results] + [f"const T* {i}" for i in inputs] + ["int64_t n"]
    parameters += [f"double {number}" for number in read.numbers]
    loads = [f"        const Pack<T> p_{i} = load_pack({i}, i, n, aligned);" for i in inputs]
    loads.append(f"        Pack<T> {', '.join(f'p_{r}' for r in results)};")
    elements = [f"            const A v_{i} = to_acc(p_{i}[j]);" for i in inputs]
    elements += [f"            {statement}" for statement in statements]
    elements += [f"            p_{r}[j] = from_acc<T>(A({values[r]}));" for r in results]
    stores = [f"        store_pack({r}, p_{r}, i, n, aligned);" for r in results]
    return _KERNEL.format(
        name=name,
        parameters=", ".join(parameters),
        arrays=", ".join(arrays),
        numbers="".join(f"    const A v_{number} = A({number});\n" for number in read.numbers),
        loads="\n".join(loads) + "\n",
        elements="\n".join(elements) + "\n",
        stores="\n".join(stores) + "\n",
    )
