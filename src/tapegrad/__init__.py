"""tapegrad: tensors with a tape. PyTorch's names, NumPy on the CPU, hand-written CUDA kernels."""

import warnings as _warnings
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

# Division by zero, overflow and log(0) give inf and nan, as on a GPU: no warnings from in here.
# (NumPy's error state would be quieter still, but costs more than an operation to switch.)
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tapegrad\.")

from . import autograd, cuda, dtypes
from ._version import __version__
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .backend import Device as device
from .dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from .kernels import KernelError
from .ops import methods as _methods
from .ops.activation import relu, sigmoid, tanh
from .ops.arithmetic import (
    add,
    allclose,
    clamp,
    div,
    equal,
    isclose,
    pow,
    round,
    sub,
    true_divide,
)
from .ops.create import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .ops.elementwise import absolute as abs
from .ops.elementwise import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    cos,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    reciprocal,
    remainder,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    trunc,
)
from .ops.elementwise import equal as eq
from .ops.elementwise import greater as gt
from .ops.elementwise import greater_equal as ge
from .ops.elementwise import less as lt
from .ops.elementwise import less_equal as le
from .ops.elementwise import multiply as mul
from .ops.elementwise import negative as neg
from .ops.elementwise import not_equal as ne
from .ops.index import (
    chunk,
    gather,
    index_select,
    masked_fill,
    narrow,
    nonzero,
    scatter,
    scatter_add,
    split,
    take_along_dim,
    unbind,
)
from .ops.index import select_where as where
from .ops.linalg import bmm, dot, einsum, matmul, mm, mv, outer
from .ops.random import (
    Generator,
    bernoulli,
    dropout,
    get_rng_state,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)
from .ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    logsumexp,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .ops.shape import (
    broadcast_to,
    cat,
    clone,
    flatten,
    flip,
    movedim,
    permute,
    reshape,
    roll,
    squeeze,
    stack,
    t,
    transpose,
    unsqueeze,
)
from .ops.softmax import log_softmax, softmax
from .tensor import Size, Tensor

if _TYPE_CHECKING:
    from . import data, nn, optim
    from .checkpoint import load, save
    from .ops.conv import avg_pool2d, conv2d, max_pool2d
    from .ops.embedding import embedding
    from .ops.norm import batch_norm, layer_norm, rms_norm

bool = dtypes.bool_
double, float, half = float64, float32, float16
long, int, short = int64, int32, int16

# What networks need is imported when it is first named: tensors alone load in half the time.
_LATER = {
    "data": ".data",
    "nn": ".nn",
    "optim": ".optim",
    "save": ".checkpoint",
    "load": ".checkpoint",
    "avg_pool2d": ".ops.conv",
    "conv2d": ".ops.conv",
    "max_pool2d": ".ops.conv",
    "embedding": ".ops.embedding",
    "batch_norm": ".ops.norm",
    "layer_norm": ".ops.norm",
    "rms_norm": ".ops.norm",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        module = _import_module(_LATER[name], __name__)
        globals()[name] = value = getattr(module, name, module)
        return value
    if name == "bfloat16":  # from an optional package
        return dtypes.bfloat16()
    raise AttributeError(f"module 'tapegrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, "bfloat16"} - {"_LATER"})
