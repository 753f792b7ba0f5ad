"""Matrix products in the layouts that training needs, sums of columns, and convolutions."""

from __future__ import annotations

from typing import Any

from tapegrad import autograd
from tapegrad.core.tensor import wrap
from tapegrad.nn.functional import conv2d
from tapegrad.ops.conv.sliding_window import Geometry

from .case import Case, Draw, TorchGradient, of_primitive

_SQUARES = {
    "tiny": [(33, 65, 17)],
    "small": [(512, 512, 512)],
    "large": [(n, n, n) for n in (2048, 4096, 8192)],
}


# GPT-2's feed-forward layer: tokens, hidden features, features. Of 16 bits, as tensor cores' kernel
# alone does more with its sums than to store them.
_HIDDEN = {"tiny": [(33, 65, 17)], "small": [(512, 1024, 256)], "large": [(65536, 3072, 768)]}
_LOW = ("float16", "bfloat16")


def _and_sums(x: Any) -> tuple:
    return x, x.sum(0)


def _gelu(t: Any, x: Any) -> tuple:
    return t.nn.functional.gelu(x, approximate="tanh"), x


def _terms(*shape: int) -> int:
    """The length of the sums: the last number of a shape."""
    return shape[-1]


def _product(name: str, left: bool, right: bool) -> Case:
    """(m, k) @ (k, n), with the operands stored transposed where asked for."""

    def inputs(draw: Draw, m: int, n: int, k: int) -> tuple:
        return (
            draw.normal(*((k, m) if left else (m, k))),
            draw.normal(*((n, k) if right else (k, n))),
        )

    def views(a: Any, b: Any) -> tuple:
        return a.T if left else a, b.T if right else b

    return Case(
        name,
        "matmul",
        _SQUARES,
        inputs,
        lambda ops, a, b: ops["matmul"](*views(a, b)),
        lambda m, n, k: 2 * m * n * k,
        lambda t, a, b: t.matmul(*views(a, b)),
        depth=_terms,
    )


def _images(draw: Draw, n: int, c: int, size: int, out: int) -> tuple:
    return draw.normal(n, c, size, size), draw.normal(out, c, 3, 3)


def _images_backward(draw: Draw, n: int, c: int, size: int, out: int) -> tuple:
    return *_images(draw, n, c, size, out), draw.normal(n, out, size, size)


_GEOMETRY = Geometry((1, 1), (1, 1), (1, 1))


def _convolution(ops: Any, x: Any, w: Any) -> Any:
    return ops["convolution"](x, w, None, out=x.shape[2:], geometry=_GEOMETRY)


def _convolution_backward(ops: Any, x: Any, w: Any, g: Any) -> tuple:
    return (
        ops["convolution_input"](g, w, size=x.shape[2:], geometry=_GEOMETRY),
        ops["convolution_weight"](x, g, kernel=w.shape[2:], geometry=_GEOMETRY),
    )


def _my_convolution_backward(ops: Any, x: Any, w: Any, g: Any) -> tuple:
    device = ops.device
    a, b = (wrap(v, device).requires_grad_() for v in (x, w))
    gradients = autograd.grad(conv2d(a, b, padding=1), (a, b), wrap(g, device))
    return tuple(d._array for d in gradients if d is not None)


_CONVOLUTIONS = {"tiny": [(2, 3, 7, 5)], "small": [(8, 32, 32, 64)], "large": [(64, 128, 56, 128)]}

CASES = [
    _product("matmul", False, False),
    _product("matmul_left_transposed", True, False),
    _product("matmul_right_transposed", False, True),
    of_primitive(
        "matmul_batched",
        {"tiny": [(3, 17, 9, 33)], "small": [(32, 128, 128, 64)], "large": [(256, 512, 512, 64)]},
        lambda draw, batch, m, n, k: (draw.normal(batch, m, k), draw.normal(batch, k, n)),
        2,
        lambda t, a, b: t.matmul(a, b),
        "matmul",
        depth=_terms,
    ),
    of_primitive(
        "matmul_into",
        _SQUARES,
        lambda draw, m, n, k: (draw.normal(m, n), draw.normal(m, k), draw.normal(k, n)),
        2,
        lambda t, out, a, b: t.matmul(a, b, out=out),
        depth=_terms,
        changes=(0,),
    ),
    of_primitive(
        "linear",
        {
            "tiny": [(9, 21, 35)],
            "small": [(256, 512, 512)],
            "large": [(8192, 4096, 1024), (65536, 2304, 768)],
        },
        lambda draw, m, n, k: (draw.normal(m, k), draw.normal(n, k), draw.normal(n)),
        2,
        lambda t, x, w, b: t.nn.functional.linear(x, w, b),
        depth=_terms,
    ),
    of_primitive(
        "linear_gelu",
        _HIDDEN,
        lambda draw, m, n, k: (draw.normal(m, k), draw.normal(n, k), draw.normal(n)),
        2,
        lambda t, x, w, b: _gelu(t, t.nn.functional.linear(x, w, b)),
        parameters={"approximate": "tanh"},
        depth=_terms,
        dtypes=_LOW,
    ),
    of_primitive(
        "matmul_gelu_backward",
        _HIDDEN,
        lambda draw, m, n, k: (draw.normal(m, k), draw.normal(k, n), draw.normal(m, n)),
        2,
        lambda t, g, w, x: t.ops.aten.gelu_backward(g @ w, x, approximate="tanh"),
        parameters={"approximate": "tanh"},
        depth=_terms,
        dtypes=_LOW,
    ),
    of_primitive(
        "matmul_gelu_backward_sums",  # of factors that need no copies
        _HIDDEN | {"tiny": [(33, 64, 16)]},
        lambda draw, m, n, k: (draw.normal(m, k), draw.normal(k, n), draw.normal(m, n)),
        2,
        lambda t, g, w, x: _and_sums(t.ops.aten.gelu_backward(g @ w, x, approximate="tanh")),
        parameters={"approximate": "tanh"},
        depth=lambda m, n, k: m + k,
        dtypes=_LOW,
    ),
    of_primitive(
        "addmm",
        {"tiny": [(33, 65, 17)], "small": [(256, 512, 1024)], "large": [(8192, 768, 3072)]},
        lambda draw, m, n, k: (draw.normal(m, n), draw.normal(m, k), draw.normal(k, n)),
        2,
        lambda t, x, a, b: t.addmm(x, a, b),
        depth=_terms,
        dtypes=_LOW,
    ),
    of_primitive(
        "matmul_wide",
        {"tiny": [(33, 65, 17)], "small": [(256, 512, 1024)], "large": [(3072, 768, 65536)]},
        lambda draw, m, n, k: (draw.normal(m, k), draw.normal(k, n)),
        2,
        lambda t, a, b: t.matmul(a.float(), b.float()),
        depth=_terms,
        dtypes=_LOW,
    ),
    of_primitive(
        "column_sum",
        {
            "tiny": [(65, 33)],
            "small": [(1024, 1024)],
            "large": [(65536, 768), (65536, 3072), (16384, 4096)],
        },
        lambda draw, rows, columns: (draw.normal(rows, columns),),
        1,
        lambda t, x: x.sum(0),
        depth=lambda rows, columns: rows,
    ),
    Case(
        "conv2d",
        "conv2d",
        _CONVOLUTIONS,
        _images,
        lambda ops, x, w: conv2d(wrap(x, ops.device), wrap(w, ops.device), padding=1)._array,
        lambda n, c, size, out: 2.0 * 9 * n * c * out * size * size,
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1),
        reference=_convolution,
        depth=lambda n, c, size, out: 9 * c,
    ),
    Case(
        "conv2d_and_backward",
        "conv2d",
        _CONVOLUTIONS,
        _images_backward,
        _my_convolution_backward,
        lambda n, c, size, out: 3 * 2.0 * 9 * n * c * out * size * size,
        TorchGradient(lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1), (0, 1), along=2),
        reference=_convolution_backward,
        depth=lambda n, c, size, out: n * size * size,
    ),
]
