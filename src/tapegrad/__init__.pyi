"""tapegrad: tensors with a tape. PyTorch's names, NumPy on the CPU, hand-written CUDA kernels."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy import dtype as _dtype
from numpy import dtype as dtype

from . import accelerator as accelerator
from . import amp as amp
from . import autograd as autograd
from . import backends as backends
from . import bench as bench
from . import checkpoint as checkpoint
from . import compiler as compiler
from . import core as core
from . import cpu as cpu
from . import cuda as cuda
from . import data as data
from . import distributed as distributed
from . import distributions as distributions
from . import export as export
from . import func as func
from . import functional as functional
from . import fx as fx
from . import hub as hub
from . import jit as jit
from . import linalg as linalg
from . import masked as masked
from . import metrics as metrics
from . import mps as mps
from . import nn as nn
from . import onnx as onnx
from . import ops as ops
from . import optim as optim
from . import profiler as profiler
from . import serialization as serialization
from . import signal as signal
from . import special as special
from . import storage as storage
from . import testing as testing
from . import train as train
from . import utils as utils
from . import version as version
from . import xpu as xpu
from ._version import __version__ as __version__
from .amp import GradScaler as GradScaler
from .amp import autocast as autocast
from .amp.settings import autocast_decrement_nesting as autocast_decrement_nesting
from .amp.settings import autocast_increment_nesting as autocast_increment_nesting
from .amp.settings import clear_autocast_cache as clear_autocast_cache
from .amp.settings import get_autocast_cpu_dtype as get_autocast_cpu_dtype
from .amp.settings import get_autocast_dtype as get_autocast_dtype
from .amp.settings import get_autocast_gpu_dtype as get_autocast_gpu_dtype
from .amp.settings import is_autocast_cache_enabled as is_autocast_cache_enabled
from .amp.settings import is_autocast_cpu_enabled as is_autocast_cpu_enabled
from .amp.settings import is_autocast_enabled as is_autocast_enabled
from .amp.settings import set_autocast_cache_enabled as set_autocast_cache_enabled
from .amp.settings import set_autocast_cpu_dtype as set_autocast_cpu_dtype
from .amp.settings import set_autocast_cpu_enabled as set_autocast_cpu_enabled
from .amp.settings import set_autocast_dtype as set_autocast_dtype
from .amp.settings import set_autocast_enabled as set_autocast_enabled
from .amp.settings import set_autocast_gpu_dtype as set_autocast_gpu_dtype
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import is_inference_mode_enabled as is_inference_mode_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from .autograd.batched import vmap as vmap
from .backends import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from .backends import get_deterministic_debug_mode as get_deterministic_debug_mode
from .backends import get_float32_matmul_precision as get_float32_matmul_precision
from .backends import set_deterministic_debug_mode as set_deterministic_debug_mode
from .backends import set_float32_matmul_precision as set_float32_matmul_precision
from .backends import set_flush_denormal as set_flush_denormal
from .backends import use_deterministic_algorithms as use_deterministic_algorithms
from .checkpoint import load as load
from .checkpoint import save as save
from .compiler import compile as compile
from .core import dtypes as dtypes
from .core.devices import Device
from .core.devices import get_default_device as get_default_device
from .core.devices import set_default_device as set_default_device
from .core.dtypes import float16 as float16
from .core.dtypes import float32 as float32
from .core.dtypes import float64 as float64
from .core.dtypes import get_default_dtype as get_default_dtype
from .core.dtypes import int8 as int8
from .core.dtypes import int16 as int16
from .core.dtypes import int32 as int32
from .core.dtypes import int64 as int64
from .core.dtypes import set_default_dtype as set_default_dtype
from .core.dtypes import uint8 as uint8
from .core.formats import channels_last as channels_last
from .core.formats import channels_last_3d as channels_last_3d
from .core.formats import contiguous_format as contiguous_format
from .core.formats import layout as layout
from .core.formats import memory_format as memory_format
from .core.formats import preserve_format as preserve_format
from .core.formats import strided as strided
from .core.kernels import KernelError as KernelError
from .core.printing import set_printoptions as set_printoptions
from .core.tensor import Size as Size
from .core.tensor import Tensor as Tensor
from .cuda.memory import OutOfMemoryError as OutOfMemoryError
from .custom import kernel as kernel
from .fusion import fuse as fuse
from .ops.common.type_info import can_cast as can_cast
from .ops.common.type_info import finfo as finfo
from .ops.common.type_info import get_device as get_device
from .ops.common.type_info import iinfo as iinfo
from .ops.common.type_info import is_complex as is_complex
from .ops.common.type_info import is_conj as is_conj
from .ops.common.type_info import is_floating_point as is_floating_point
from .ops.common.type_info import is_inference as is_inference
from .ops.common.type_info import is_neg as is_neg
from .ops.common.type_info import is_nonzero as is_nonzero
from .ops.common.type_info import is_same_size as is_same_size
from .ops.common.type_info import is_signed as is_signed
from .ops.common.type_info import is_tensor as is_tensor
from .ops.common.type_info import numel as numel
from .ops.common.type_info import promote_types as promote_types
from .ops.common.type_info import result_type as result_type
from .ops.indexing.take_along import Picked
from .ops.linalg.det import SignAndLog
from .ops.linalg.eigh_svd import SVDTransposed
from .ops.linalg.lu import PLU
from .ops.linalg.qr import QR, Reflections
from .ops.linalg.solve_triangular import TriangularSolution
from .ops.movement.storage import is_storage as is_storage
from .ops.movement.tensor_types import BFloat16Tensor as BFloat16Tensor
from .ops.movement.tensor_types import BoolTensor as BoolTensor
from .ops.movement.tensor_types import ByteTensor as ByteTensor
from .ops.movement.tensor_types import CharTensor as CharTensor
from .ops.movement.tensor_types import DoubleTensor as DoubleTensor
from .ops.movement.tensor_types import FloatTensor as FloatTensor
from .ops.movement.tensor_types import HalfTensor as HalfTensor
from .ops.movement.tensor_types import IntTensor as IntTensor
from .ops.movement.tensor_types import LongTensor as LongTensor
from .ops.movement.tensor_types import ShortTensor as ShortTensor
from .ops.movement.tensor_types import set_default_tensor_type as set_default_tensor_type
from .ops.movement.tensor_types import typename as typename
from .ops.pointwise.floating_point import Frexp
from .ops.reduction.histogram import Histogram
from .ops.reduction.minmax import MinMax
from .ops.sampling.philox import Generator as Generator
from .ops.sampling.philox import default_generator as default_generator
from .settings import get_device_module as get_device_module
from .settings import get_num_interop_threads as get_num_interop_threads
from .settings import get_num_threads as get_num_threads
from .settings import is_warn_always_enabled as is_warn_always_enabled
from .settings import set_num_interop_threads as set_num_interop_threads
from .settings import set_num_threads as set_num_threads
from .settings import set_warn_always as set_warn_always
from .std_names import multiprocessing as multiprocessing
from .std_names import random as random
from .std_names import types as types
from .storage import TypedStorage as TypedStorage
from .storage import UntypedStorage as UntypedStorage

bfloat16: _dtype[Any]
bool: _dtype[Any]
device = Device
double: _dtype[Any]
e: _float
float: _dtype[Any]
half: _dtype[Any]
inf: _float
int: _dtype[Any]
long: _dtype[Any]
nan: _float
newaxis: None
pi: _float
short: _dtype[Any]

def abs(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """|input|."""
def abs_(input: Tensor, /) -> Tensor:
    """``input.abs_(...)``"""
def absolute(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """|input|."""
def acos(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of cos."""
def acos_(input: Tensor, /) -> Tensor:
    """``input.acos_(...)``"""
def acosh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of cosh."""
def acosh_(input: Tensor, /) -> Tensor:
    """``input.acosh_(...)``"""
def adaptive_avg_pool1d(input: Tensor, output_size: Any, *, out: Tensor | None = None) -> Tensor:
    """Means over windows that divide sequences into ``output_size``."""
def add(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha * other, broadcast and promoted."""
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta * input + alpha * the sum over all matrices of batch1 @ batch2: (batch, m, ..."""
def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Tensor | None = None,
) -> Tensor:
    """input + value * tensor1 / tensor2, broadcast and promoted."""
def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Tensor | None = None,
) -> Tensor:
    """input + value * tensor1 * tensor2, broadcast and promoted."""
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2): (m, k) and (k, n) -> (m, n), to which the ..."""
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta * input + alpha * (mat @ vec): (m, k) and (k,) -> (m,); otherwise as ``addmm``."""
def addmv_(input: Tensor, /, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``input.addmv_(...)``"""
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2): (m,) and (n,) -> (m, n), to which the ..."""
def adjoint(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m): ..."""
def alias_copy(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``alias`` shows; raises what that does."""
@overload
def all(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """Whether all elements over ``dim`` (one, several, or all by default) are not 0 ..."""
@overload
def all(
    input: Tensor, *, axis: Any, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
def allclose(
    input: Tensor, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08,
    equal_nan: _bool = False,
) -> _bool:
    """Whether all elements are close, as ``isclose`` tells."""
def alpha_dropout(
    input: Tensor, p: _float = 0.5, training: _bool = False, inplace: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """Floats set with probability p to selu's least value, and all scaled and shifted ..."""
@overload
def amax(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """The largest elements over ``dim`` (one, several, or all by default), or nan; ..."""
@overload
def amax(
    input: Tensor, *, axis: Any, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
@overload
def amin(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """The smallest elements over ``dim``; shares gradients and raises as ``amax`` does."""
@overload
def amin(
    input: Tensor, *, axis: Any, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
@overload
def aminmax(
    input: Tensor, *, dim: _int | None = None, keepdim: _bool = False, out: Any = None,
) -> MinMax:
    """(min, max): ``amin`` and ``amax`` over one dimension, or all."""
@overload
def aminmax(
    input: Tensor, *, axis: _int | None, keepdims: _bool = False, out: Any = None,
) -> MinMax: ...
def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """pi below 0, else 0; nan for nan."""
@overload
def any(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """Whether any element over ``dim`` (one, several, or all by default) is not 0 (nan ..."""
@overload
def any(
    input: Tensor, *, axis: Any, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """start, start + step, ..."""
def arccos(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of cos."""
def arccos_(input: Tensor, /) -> Tensor:
    """``input.arccos_(...)``"""
def arccosh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of cosh."""
def arccosh_(input: Tensor, /) -> Tensor:
    """``input.arccosh_(...)``"""
def arcsin(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of sin."""
def arcsin_(input: Tensor, /) -> Tensor:
    """``input.arcsin_(...)``"""
def arcsinh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of sinh."""
def arcsinh_(input: Tensor, /) -> Tensor:
    """``input.arcsinh_(...)``"""
def arctan(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of tan."""
def arctan2(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The angle, from -pi to pi, of the point with abscissa other and ordinate input."""
def arctan_(input: Tensor, /) -> Tensor:
    """``input.arctan_(...)``"""
def arctanh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of tanh."""
def arctanh_(input: Tensor, /) -> Tensor:
    """``input.arctanh_(...)``"""
@overload
def argmax(
    input: Tensor, dim: _int | None = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """The int64 index of the (first) largest element, or nan, along ``dim``; in the ..."""
@overload
def argmax(
    input: Tensor, *, axis: _int | None, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
@overload
def argmin(
    input: Tensor, dim: _int | None = None, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """The int64 index of the (first) smallest element, or nan, along ``dim``; in the ..."""
@overload
def argmin(
    input: Tensor, *, axis: _int | None, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
@overload
def argsort(
    input: Tensor, dim: _int = -1, descending: _bool = False, stable: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """The int64 indices that sort the tensor along ``dim``, as ``sort`` does."""
@overload
def argsort(
    input: Tensor, *, axis: _int, descending: _bool = False, stable: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def argwhere(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``nonzero`` under NumPy's name: (n, ndim)."""
def as_strided(
    input: Tensor, size: Any, stride: Any, storage_offset: _int | None = None, *,
    out: Tensor | None = None,
) -> Tensor:
    """A view of the tensor's memory: element (i, j, ...) is the one at storage_offset ..."""
def as_strided_(
    input: Tensor, /, size: Any, stride: Any, storage_offset: _int | None = None,
) -> Tensor:
    """``input.as_strided_(...)``"""
def as_strided_copy(
    input: Tensor, size: Any, stride: Any, storage_offset: _int | None = None, *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``as_strided`` shows; raises what that does."""
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: _int | None = None, *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which the elements that ``as_strided`` would show are ..."""
def as_tensor(
    data: Any, dtype: Any = None, device: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """``data`` as a tensor, without a copy where none is needed."""
def asarray(
    data: Any, dtype: Any = None, device: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """``data`` as a tensor, without a copy where none is needed."""
def asin(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of sin."""
def asin_(input: Tensor, /) -> Tensor:
    """``input.asin_(...)``"""
def asinh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of sinh."""
def asinh_(input: Tensor, /) -> Tensor:
    """``input.asinh_(...)``"""
def atan(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of tan."""
def atan2(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The angle, from -pi to pi, of the point with abscissa other and ordinate input."""
def atan_(input: Tensor, /) -> Tensor:
    """``input.atan_(...)``"""
def atanh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of tanh."""
def atanh_(input: Tensor, /) -> Tensor:
    """``input.atanh_(...)``"""
@overload
def atleast_1d(tensors: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """Views of tensors (one, several, or a list, for which there is a tuple) with at ..."""
@overload
def atleast_1d(*tensors: Any, out: Any = None) -> Any: ...
@overload
def atleast_2d(tensors: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """``atleast_1d`` with at least two dimensions: a vector (n) becomes a row (1, n)."""
@overload
def atleast_2d(*tensors: Any, out: Any = None) -> Any: ...
@overload
def atleast_3d(tensors: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """``atleast_1d`` with at least three dimensions: (n) becomes (1, n, 1) and (m, n) ..."""
@overload
def atleast_3d(*tensors: Any, out: Any = None) -> Any: ...
def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: _bool = False,
    count_include_pad: _bool = True, *, out: Tensor | None = None,
) -> Tensor:
    """The mean of every window of sequences."""
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix: (batch, m, k) and ..."""
def bartlett_window(
    window_length: _int, periodic: _bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``windows.bartlett``, periodic by default."""
def bernoulli(
    input: Tensor, p: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
) -> Tensor:
    """1 with the probability that ``input`` gives for each element (or with ..."""
def bilinear(
    input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None, *,
    out: Tensor | None = None,
) -> Tensor:
    """sum_ij input1_i weight_kij input2_j + bias_k: (..., m), (..., n), (out, m, n) ..."""
def bincount(
    input: Tensor, weights: Tensor | None = None, minlength: _int = 0, *, out: Tensor | None = None,
) -> Tensor:
    """How often each of 0, 1, ..."""
def bitwise_and(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input & other, of integers or bools."""
def bitwise_left_shift(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The integers' bits moved to the left by ``other`` positions, broadcast and promoted."""
def bitwise_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """~input, of integers or bools."""
def bitwise_or(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input | other, of integers or bools."""
def bitwise_right_shift(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The integers' bits moved to the right by ``other`` positions, broadcast and ..."""
def bitwise_xor(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input ^ other, of integers or bools."""
def blackman_window(
    window_length: _int, periodic: _bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``windows.blackman``, periodic by default."""
def block_diag(*tensors: Any, out: Tensor | None = None) -> Tensor:
    """Matrices (a vector is a row, a number a 1x1 matrix) along the diagonal of a ..."""
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of matrices, one by one: (batch, m, k) @ (batch, k, n) -> (batch, ..."""
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which all shapes (an int is that of a vector) broadcast."""
def broadcast_tensors(*tensors: Any, out: Any = None) -> tuple[Tensor, ...]:
    """Views of all tensors (several, or a list), expanded to the shape to which all of ..."""
def broadcast_to(input: Tensor, size: Any, *, out: Tensor | None = None) -> Tensor:
    """``expand`` to ``size`` under another name; raises what that does."""
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: _bool = False, right: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The number of the bucket between sorted boundaries, a vector, that each number ..."""
def cartesian_prod(*tensors: Tensor, out: Tensor | None = None) -> Tensor:
    """All choices of one element from each of k vectors, as rows of k, the last ..."""
@overload
def cat(tensors: Any, dim: Any = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors joined along dimension ``dim``, the only one in which their shapes may ..."""
@overload
def cat(tensors: Any, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
def cdist(
    x1: Tensor, x2: Tensor, p: _float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary", *, out: Tensor | None = None,
) -> Tensor:
    """The p-norms of all differences of rows: (..., m, k) and (..., n, k) -> (..., m, ..."""
def ceil(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smallest integer >= input, of input's dtype."""
def ceil_(input: Tensor, /) -> Tensor:
    """``input.ceil_(...)``"""
def celu(
    input: Tensor, alpha: _float = 1.0, inplace: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """x where positive, alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017)."""
def celu_(
    input: Tensor, alpha: _float = 1.0, inplace: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """In-place version of ``celu``: returns the tensor."""
def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of matrices, (m, k), (k, l), ..., (p, n) -> (m, n), in the order ..."""
def channel_shuffle(input: Tensor, groups: _int, *, out: Tensor | None = None) -> Tensor:
    """(n, c, ...) with the channels of several groups dealt out in turn (Zhang et al."""
def cholesky(input: Tensor, upper: _bool = False, *, out: Tensor | None = None) -> Tensor:
    """``linalg.cholesky`` under its older name: L of (..., n, n) matrices."""
def cholesky_inverse(L: Tensor, upper: _bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A = L L^T (upper: L^T L) from its factor, (..., n, n) -> (..., n, n)."""
def cholesky_solve(
    B: Tensor, L: Tensor, upper: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """The solution X of A X = B from the factor of A = L L^T (upper: L^T L): B (..., ..."""
@overload
def chunk(input: Tensor, chunks: _int, dim: _int = 0, *, out: Any = None) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
@overload
def chunk(input: Tensor, chunks: _int, *, axis: _int, out: Any = None) -> tuple[Tensor, ...]: ...
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Elements below ``min`` raised to it, elements above ``max`` lowered to it ..."""
def clamp_(input: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """``input.clamp_(...)``"""
def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """``clamp`` from above: elements above ``max`` (a number or a tensor) lowered to it."""
def clamp_max_(input: Tensor, /, max: Any) -> Tensor:
    """``input.clamp_max_(...)``"""
def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """``clamp`` from below: elements below ``min`` (a number or a tensor) raised to it."""
def clamp_min_(input: Tensor, /, min: Any) -> Tensor:
    """``input.clamp_min_(...)``"""
def clip(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Elements below ``min`` raised to it, elements above ``max`` lowered to it ..."""
def clip_(input: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """``input.clip_(...)``"""
def clone(input: Tensor, *, memory_format: Any = None, out: Tensor | None = None) -> Tensor:
    """A copy, its elements in row-major order in memory; gradients flow through it."""
def column_stack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Tensors side by side: joined along dim 1, vectors and numbers as columns."""
def combinations(
    input: Tensor, r: _int = 2, with_replacement: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """All choices of r elements of a vector, in its order, as rows of r; ..."""
@overload
def concat(tensors: Any, dim: Any = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors joined along dimension ``dim``, the only one in which their shapes may ..."""
@overload
def concat(tensors: Any, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
@overload
def concatenate(tensors: Any, dim: Any = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors joined along dimension ``dim``, the only one in which their shapes may ..."""
@overload
def concatenate(tensors: Any, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
def conj(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
def conj_physical_(input: Tensor, /) -> Tensor:
    """``input.conj_physical_(...)``"""
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """Cross-correlation of sequences with filters."""
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """Cross-correlation of images with filters."""
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """Cross-correlation of volumes with filters."""
def conv_tbc(
    input: Tensor, weight: Tensor, bias: Tensor, pad: _int = 0, *, out: Tensor | None = None,
) -> Tensor:
    """``conv1d`` with the dimensions in the order (time, batch, channels): input (w, ..."""
def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: _int = 1, dilation: Any = 1, *, out: Tensor | None = None,
) -> Tensor:
    """The gradient of a convolution with respect to its sequences."""
def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: _int = 1, dilation: Any = 1, *, out: Tensor | None = None,
) -> Tensor:
    """The gradient of a convolution with respect to its images."""
def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: _int = 1, dilation: Any = 1, *, out: Tensor | None = None,
) -> Tensor:
    """The gradient of a convolution with respect to its volumes."""
def copysign(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """|input| with the sign of ``other`` (a tensor or a number, -0.0 has one), ..."""
def corrcoef(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Pearson's correlation coefficients of the rows of a matrix, their covariances ..."""
def cos(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """cos(input)."""
def cos_(input: Tensor, /) -> Tensor:
    """``input.cos_(...)``"""
def cosh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """cosh(input)."""
def cosh_(input: Tensor, /) -> Tensor:
    """``input.cosh_(...)``"""
@overload
def cosine_similarity(
    x1: Tensor, x2: Tensor, dim: _int = 1, eps: _float = 1e-08, *, out: Tensor | None = None,
) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, x1 ."""
@overload
def cosine_similarity(
    x1: Tensor, x2: Tensor, *, axis: _int, eps: _float = 1e-08, out: Tensor | None = None,
) -> Tensor: ...
@overload
def count_nonzero(input: Tensor, dim: Any = None, *, out: Tensor | None = None) -> Tensor:
    """How many elements over ``dim`` (one, several, or all by default) are not 0 (nan ..."""
@overload
def count_nonzero(input: Tensor, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
def cov(
    input: Tensor, *, correction: _float = 1, fweights: Tensor | None = None,
    aweights: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:
    """The covariance matrix of the rows of a matrix: (n variables, m observations) -> ..."""
@overload
def cross(
    input: Tensor, other: Tensor, dim: _int | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The vector products along ``dim``, or along the first dimension of size 3: ..."""
@overload
def cross(
    input: Tensor, other: Tensor, *, axis: _int | None, out: Tensor | None = None,
) -> Tensor: ...
def cudnn_convolution_relu(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    groups: _int, *, out: Tensor | None = None,
) -> Tensor:
    """``relu(conv2d(input, weight, bias, stride, padding, dilation, groups))``, or ..."""
@overload
def cummax(input: Tensor, dim: _int, *, out: Any = None) -> Picked:
    """(values, indices) of the largest element so far along ``dim``, or nan; of equal ..."""
@overload
def cummax(input: Tensor, *, axis: _int, out: Any = None) -> Picked: ...
@overload
def cummin(input: Tensor, dim: _int, *, out: Any = None) -> Picked:
    """(values, indices) of the smallest element so far along ``dim``, or nan; of equal ..."""
@overload
def cummin(input: Tensor, *, axis: _int, out: Any = None) -> Picked: ...
@overload
def cumprod(input: Tensor, dim: _int, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """y[i] = x[0] * ..."""
@overload
def cumprod(
    input: Tensor, *, axis: _int, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def cumsum(input: Tensor, dim: _int, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """y[i] = x[0] + ..."""
@overload
def cumsum(
    input: Tensor, *, axis: _int, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: _int = -1,
    out: Tensor | None = None,
) -> Tensor:
    """The integrals from the first sample to each later one, one fewer than samples, ..."""
@overload
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, axis: _int, out: Tensor | None = None,
) -> Tensor: ...
def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees as radians."""
def deg2rad_(input: Tensor, /) -> Tensor:
    """``input.deg2rad_(...)``"""
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinants of (..., n, n) matrices, (...)."""
def detach(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A view of the whole tensor that is off the tape: no gradient flows through it."""
def detach_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``detach`` shows; raises what that does."""
def diag(input: Tensor, diagonal: _int = 0, *, out: Tensor | None = None) -> Tensor:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix as a ..."""
def diag_embed(
    input: Tensor, offset: _int = 0, dim1: _int = -2, dim2: _int = -1, *, out: Tensor | None = None,
) -> Tensor:
    """Zeros but for the last dimension's elements, which stand on the diagonals over ..."""
def diagflat(input: Tensor, offset: _int = 0, *, out: Tensor | None = None) -> Tensor:
    """All elements, in row-major order, as the diagonal of a matrix of zeros."""
def diagonal(
    input: Tensor, offset: _int = 0, dim1: _int = 0, dim2: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """A view of the diagonals over two dims, as the last dimension: (m, n, b) gives ..."""
def diagonal_copy(
    input: Tensor, offset: _int = 0, dim1: _int = 0, dim2: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``diagonal`` shows; raises what that does."""
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: _int = 0, dim1: _int = 0, dim2: _int = 1, *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which ``diagonal(offset, dim1, dim2)`` is ``src``."""
@overload
def diff(
    input: Tensor, n: _int = 1, dim: _int = -1, prepend: Tensor | None = None,
    append: Tensor | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The n-th differences x[i + 1] - x[i] along ``dim``, whose size becomes smaller ..."""
@overload
def diff(
    input: Tensor, n: _int = 1, *, axis: _int, prepend: Tensor | None = None,
    append: Tensor | None = None, out: Tensor | None = None,
) -> Tensor: ...
def digamma(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative of lgamma(input)."""
def dist(input: Tensor, other: Tensor, p: _float = 2, *, out: Tensor | None = None) -> Tensor:
    """The p-norm of the (broadcast) difference of two tensors, over all elements: a ..."""
def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None,
) -> Tensor:
    """input / other in floating point, broadcast; with ``rounding_mode`` rounded ..."""
def divide(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None,
) -> Tensor:
    """input / other in floating point, broadcast; with ``rounding_mode`` rounded ..."""
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors: (n,) and (n,) -> ()."""
def dropout(
    input: Tensor, p: _float = 0.5, training: _bool = True, inplace: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """Floats set to 0 with probability p, the others scaled by 1 / (1 - p)."""
def dsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """``tensor_split`` along dim 2, where a number of parts must divide the size."""
def dstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Tensors behind each other: joined along dim 2, after ``atleast_3d``."""
def einsum(equation: Any, *operands: Any, out: Tensor | None = None) -> Tensor:
    """``einsum("bij,bjk->bik", a, b)``, with ``...`` for leading dimensions that ..."""
@overload
def empty(
    *size: Any, memory_format: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Undefined values, of these sizes and the default dtype."""
@overload
def empty(
    *, size: Any, memory_format: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, memory_format: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``empty`` of the tensor's shape, and of its dtype and device by default."""
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Undefined values with the shape ``size``, of the default dtype."""
def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """Undefined values with the shape ``size`` and the strides ``stride``, in ..."""
def eq(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input == other, as bools."""
def equal(input: Tensor, other: Tensor) -> _bool:
    """Whether two tensors have the same shape and elements."""
def erf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """2 / sqrt(pi) times the integral of exp(-t ** 2) from 0 to input."""
def erf_(input: Tensor, /) -> Tensor:
    """``input.erf_(...)``"""
def erfc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 - erf(input), with all digits where it is small."""
def erfc_(input: Tensor, /) -> Tensor:
    """``input.erfc_(...)``"""
def erfinv(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of erf; nan where |input| > 1."""
def exp(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input)."""
def exp2(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """2 ** input."""
def exp2_(input: Tensor, /) -> Tensor:
    """``input.exp2_(...)``"""
def exp_(input: Tensor, /) -> Tensor:
    """``input.exp_(...)``"""
def expand_copy(
    input: Tensor, *sizes: Any, size: Any = None, implicit: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``expand`` shows; raises what that does."""
def expm1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input) - 1, exact near 0."""
def expm1_(input: Tensor, /) -> Tensor:
    """``input.expm1_(...)``"""
def eye(
    n: _int, m: _int | None = None, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """An n x m matrix (m = n by default) with ones on the diagonal, zeros elsewhere."""
def feature_alpha_dropout(
    input: Tensor, p: _float = 0.5, training: _bool = False, inplace: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """``alpha_dropout`` of whole channels of (n, c, ...)."""
def fill(input: Tensor, value: Any, *, out: Tensor | None = None) -> Tensor:
    """A tensor like ``input`` whose elements are all ``value``, a number or a 0-d ..."""
def fill_(self: Tensor, value: Any, *, out: Tensor | None = None) -> Tensor:
    """Set every element to ``value``, a number or a 0-d tensor; returns and raises ..."""
def fix(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input rounded towards 0, of input's dtype."""
def fix_(input: Tensor, /) -> Tensor:
    """``input.fix_(...)``"""
def flatten(
    input: Tensor, start_dim: _int = 0, end_dim: _int = -1, *, out: Tensor | None = None,
) -> Tensor:
    """Dimensions start_dim to end_dim as one: all by default, as (n); a 0-d tensor ..."""
def flip(input: Tensor, *order: Any, dims: Any = None, out: Tensor | None = None) -> Tensor:
    """A copy with the elements in reverse order along ``dims``."""
def fliplr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``flip`` of the columns, dim 1."""
def flipud(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``flip`` of the rows, dim 0."""
def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent, computed and returned in float64; one may be a number."""
def floor(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The largest integer <= input, of input's dtype."""
def floor_(input: Tensor, /) -> Tensor:
    """``input.floor_(...)``"""
def floor_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input / other, rounded down."""
def fmax(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The larger of two numbers; the other one where one is nan."""
def fmin(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smaller of two numbers; the other one where one is nan."""
def fmod(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input - other * trunc(input / other), broadcast and promoted: the remainder that ..."""
def frac(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The fraction: input - trunc(input), of the input's sign."""
def frac_(input: Tensor, /) -> Tensor:
    """``input.frac_(...)``"""
def frexp(input: Tensor, *, out: Any = None) -> Frexp:
    """(mantissa, exponent): input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1; ..."""
def from_dlpack(data: Any, *, out: Tensor | None = None) -> Tensor:
    """A tensor that shares the memory of another library's, through the DLPack ..."""
def from_numpy(array: np.ndarray, *, out: Tensor | None = None) -> Tensor:
    """A tensor that shares the array's memory."""
def frombuffer(
    buffer: Any, *, dtype: Any, count: _int = -1, offset: _int = 0, requires_grad: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """A tensor of one dimension that shares the memory of an object with Python's ..."""
def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """One number (or what a tensor of one element holds) everywhere, in the shape ..."""
def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    memory_format: Any = None, out: Tensor | None = None,
) -> Tensor:
    """``full`` of the tensor's shape, and of its dtype and device by default."""
@overload
def gather(
    input: Tensor, dim: _int, index: Tensor, *, sparse_grad: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``result[i][j][k] = input[index[i][j][k]][j][k]`` for dim 0, and so on: the ..."""
@overload
def gather(
    input: Tensor, *, axis: _int, index: Tensor, sparse_grad: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def gcd(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The greatest common divisor of integers, never negative, broadcast and promoted."""
def gcd_(input: Tensor, /, other: Tensor) -> Tensor:
    """``input.gcd_(...)``"""
def ge(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input >= other, as bools."""
def geqrf(input: Tensor, *, out: Any = None) -> Reflections:
    """(a, tau): LAPACK's form of the QR factorisation of (..., m, n) matrices."""
def ger(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of all pairs: (m,) and (n,) -> (m, n)."""
def get_rng_state(*, out: Tensor | None = None) -> Tensor:
    """The default generator's state, as ``Generator.get_state`` gives it."""
@overload
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: _int = 1, out: Any = None,
) -> tuple[Tensor, ...]:
    """The slopes along each of ``dim`` (all), in the input's shape: central ..."""
@overload
def gradient(
    input: Tensor, *, spacing: Any = 1, axis: Any, edge_order: _int = 1, out: Any = None,
) -> tuple[Tensor, ...]: ...
def greater(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input > other, as bools."""
def greater_equal(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input >= other, as bools."""
def group_norm(
    input: Tensor, num_groups: _int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: _float = 1e-05, *, out: Tensor | None = None,
) -> Tensor:
    """Normalise (n, c, ...) over groups of c / num_groups consecutive channels; then ..."""
def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The next state of a gated recurrent unit (Cho et al."""
def gt(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input > other, as bools."""
def hamming_window(
    window_length: _int, periodic: _bool = True, alpha: _float = 0.54, beta: _float = 0.46, *,
    dtype: Any = None, device: Any = None, requires_grad: _bool = False, layout: Any = None,
    pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """alpha - beta cos(x), x from 0 to 2 pi; periodic by default."""
def hann_window(
    window_length: _int, periodic: _bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``windows.hann``, periodic by default."""
def hardshrink(input: Tensor, lambd: _float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """0 where -lambd <= x <= lambd, x elsewhere."""
def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 below 0, 1 above, and ``values`` (which broadcast) at 0."""
def histc(
    input: Tensor, bins: _int = 100, min: _float = 0, max: _float = 0, *, out: Tensor | None = None,
) -> Tensor:
    """How many elements fall into each of ``bins`` equal bins from min to max (if they ..."""
def histogram(
    input: Tensor, bins: Any, *, range: Sequence[_float] | None = None,
    weight: Tensor | None = None, density: _bool = False, out: Any = None,
) -> Histogram:
    """(hist, bin_edges): how many elements, or what weight, falls into each bin."""
def histogramdd(
    input: Tensor, bins: Any, *, range: Sequence[_float] | None = None,
    weight: Tensor | None = None, density: _bool = False, out: Any = None,
) -> Histogram:
    """(hist, bin_edges) of points, whose k coordinates are the last dimension: hist ..."""
def hsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """``tensor_split`` along dim 1 (of a vector, 0), where a number of parts must ..."""
def hstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Tensors side by side: joined along dim 1, vectors and numbers along dim 0."""
def hypot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sqrt(input ** 2 + other ** 2), without overflow on the way."""
def i0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """I_0(input), a Bessel function in the notation of DLMF 10."""
def i0_(input: Tensor, /) -> Tensor:
    """``input.i0_(...)``"""
def igamma(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """P(input, other): the integral of t ** (input - 1) exp(-t) over 0 < t < other, ..."""
def igammac(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 - igamma(input, other), with all digits where it is small."""
@overload
def index_add(
    input: Tensor, dim: _int, index: Tensor, source: Tensor, *, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with alpha * source[i] added to slice index[i] along ..."""
@overload
def index_add(
    input: Tensor, *, axis: _int, index: Tensor, source: Tensor, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def index_copy(
    input: Tensor, dim: _int, index: Tensor, source: Tensor, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with slice index[i] along ``dim`` replaced by source[i]; ..."""
@overload
def index_copy(
    input: Tensor, *, axis: _int, index: Tensor, source: Tensor, out: Tensor | None = None,
) -> Tensor: ...
@overload
def index_fill(
    input: Tensor, dim: _int, index: Tensor, value: Any, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with the slices that the 1-d int64 ``index`` names along ..."""
@overload
def index_fill(
    input: Tensor, *, axis: _int, index: Tensor, value: Any, out: Tensor | None = None,
) -> Tensor: ...
def index_put(
    input: Tensor, indices: Any, values: Tensor, accumulate: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with ``input[indices] = values``, or ``+= values``: a tuple ..."""
def index_put_(input: Tensor, /, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
    """``input.index_put_(...)``"""
@overload
def index_reduce(
    input: Tensor, dim: _int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: _bool = True, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which each slice that ``index`` names along ``dim`` is ..."""
@overload
def index_reduce(
    input: Tensor, *, axis: _int, index: Tensor, source: Tensor, reduce: str,
    include_self: _bool = True, out: Tensor | None = None,
) -> Tensor: ...
@overload
def index_select(input: Tensor, dim: _int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of the slices of ``input`` along ``dim`` that the 1-d ``index`` (int64 or ..."""
@overload
def index_select(
    input: Tensor, *, axis: _int, index: Tensor, out: Tensor | None = None,
) -> Tensor: ...
def initial_seed() -> _int:
    """The default generator's seed."""
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sums of products over the last dimension of both: (a..., k) and (b..., k) -> ..."""
def inverse(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverses of (..., n, n) matrices."""
def isclose(
    input: Tensor, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08,
    equal_nan: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """|input - other| <= atol + rtol |other|, element by element: bools, of the ..."""
def isfinite(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is neither infinite nor nan."""
def isin(
    elements: Any, test_elements: Any, *, assume_unique: _bool = False, invert: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Whether each of ``elements`` is among ``test_elements`` (with ``invert``: is ..."""
def isinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is infinite."""
def isnan(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is nan."""
def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is -inf."""
def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is inf."""
def isreal(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """True for each element: tensors are of real numbers."""
def kaiser_window(
    window_length: _int, periodic: _bool = True, beta: _float = 12.0, *, dtype: Any = None,
    device: Any = None, requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``windows.kaiser``, periodic by default."""
def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product: each element of ``input`` times the whole of ``other``, ..."""
@overload
def kthvalue(
    input: Tensor, k: _int, dim: _int = -1, keepdim: _bool = False, *, out: Any = None,
) -> Picked:
    """(values, indices) of the k-th smallest elements along ``dim``, counted from 1; ..."""
@overload
def kthvalue(
    input: Tensor, k: _int, *, axis: _int, keepdims: _bool = False, out: Any = None,
) -> Picked: ...
def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: _float = 1e-05, *, out: Tensor | None = None,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions, ..."""
def lcm(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The least common multiple of integers, never negative, broadcast and promoted."""
def lcm_(input: Tensor, /, other: Tensor) -> Tensor:
    """``input.lcm_(...)``"""
def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * 2 ** other, broadcast; of input's dtype where that is floating-point and ..."""
def ldexp_(input: Tensor, /, other: Tensor) -> Tensor:
    """``input.ldexp_(...)``"""
def le(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input <= other, as bools."""
def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight * (end - input), exact at both ends; the weight is a number or a ..."""
def less(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input < other, as bools."""
def less_equal(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input <= other, as bools."""
def lgamma(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(|gamma(input)|)."""
def linspace(
    start: Any, end: Any, steps: _int, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``steps`` evenly spaced numbers from start to end, both included."""
def log(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The natural logarithm."""
def log10(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The logarithm to base 10."""
def log10_(input: Tensor, /) -> Tensor:
    """``input.log10_(...)``"""
def log1p(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(1 + input), exact near 0."""
def log1p_(input: Tensor, /) -> Tensor:
    """``input.log1p_(...)``"""
def log2(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The logarithm to base 2."""
def log2_(input: Tensor, /) -> Tensor:
    """``input.log2_(...)``"""
def log_(input: Tensor, /) -> Tensor:
    """``input.log_(...)``"""
@overload
def log_softmax(
    input: Tensor, dim: _int | None = None, dtype: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps."""
@overload
def log_softmax(
    input: Tensor, *, axis: _int | None, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
def logaddexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
def logaddexp2(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log2(2 ** input + 2 ** other), without overflow."""
@overload
def logcumsumexp(input: Tensor, dim: _int, *, out: Tensor | None = None) -> Tensor:
    """y[i] = log(exp(x[0]) + ..."""
@overload
def logcumsumexp(input: Tensor, *, axis: _int, out: Tensor | None = None) -> Tensor: ...
def logdet(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The logarithms of the determinants of (..., n, n) matrices, (...): nan where ..."""
def logical_and(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether both are not 0."""
def logical_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is 0."""
def logical_or(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether one or both are not 0."""
def logical_xor(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether one of the two, and only one, is not 0."""
def logit(input: Tensor, eps: _float | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(x / (1 - x)), element by element; integers become the default float dtype."""
def logit_(input: Tensor, /, eps: _float | None = None) -> Tensor:
    """``input.logit_(...)``"""
def logspace(
    start: Any, end: Any, steps: _int, base: _float = 10.0, *, dtype: Any = None,
    device: Any = None, requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """base ** x for ``steps`` evenly spaced x from start to end, both included."""
@overload
def logsumexp(
    input: Tensor, dim: Any, keepdim: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """log(sum(exp(input))) over ``dim``, without overflow; -inf for an empty input."""
@overload
def logsumexp(
    input: Tensor, *, axis: Any, keepdims: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None, *, out: Any = None,
) -> tuple[Tensor, Tensor]:
    """The next state and cell of long short-term memory (Hochreiter & Schmidhuber ..."""
def lt(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input < other, as bools."""
def lu(input: Tensor, pivot: _bool = True, get_infos: _bool = False, *, out: Any = None) -> Any:
    """(LU, pivots) as by ``linalg.lu_factor``, which raises LinAlgError if a matrix is ..."""
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The solution of A x = b from ``lu(A)``: ``linalg.lu_solve`` under its older name."""
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: _bool = True, unpack_pivots: _bool = True, *,
    out: Any = None,
) -> PLU:
    """(P, L, U), as by ``linalg.lu``, of what ``linalg.lu_factor`` returned; empty ..."""
def manual_seed(seed: _int) -> Generator:
    """Seed the default generator, which serves all devices, and return it."""
def masked_fill(input: Tensor, mask: Tensor, value: Any, *, out: Tensor | None = None) -> Tensor:
    """``input`` with ``value``, a number or a 0-d tensor, where the bool ``mask`` is ..."""
def masked_scatter(
    input: Tensor, mask: Tensor, source: Tensor, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with the elements of ``source``, in row-major order, where ..."""
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where the bool ``mask`` is True, both broadcast to one shape, in ..."""
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; vectors are a row on the left and a column on the right, ..."""
def matrix_exp(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The exponential of (..., n, n) matrices: the sum of A^k / k! over all k from 0 on."""
def matrix_power(A: Tensor, n: _int, *, out: Tensor | None = None) -> Tensor:
    """The product of n times the (..., n, n) matrix A; for negative n, of its inverse; ..."""
@overload
def max(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The largest element, or nan; with a dimension, (values, indices) along it, of ..."""
@overload
def max(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Picked: ...
@overload
def max(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def max(input: Tensor, *, axis: _int, keepdims: _bool = False, out: Any = None) -> Picked: ...
@overload
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: Literal[False] = False, *, out: Tensor | None = None,
) -> Tensor:
    """The largest element of every window of sequences."""
@overload
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: _bool = False, *, out: Any = None,
) -> Any: ...
@overload
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: Literal[False] = False, *, out: Tensor | None = None,
) -> Tensor:
    """The largest element of every window of images."""
@overload
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: _bool = False, *, out: Any = None,
) -> Any: ...
@overload
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: Literal[False] = False, *, out: Tensor | None = None,
) -> Tensor:
    """The largest element of every window of volumes."""
@overload
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: _bool = False, return_indices: _bool = False, *, out: Any = None,
) -> Any: ...
def maximum(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The larger of two numbers; nan where one is nan."""
@overload
def mean(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The arithmetic mean over ``dim`` (one, several, or all by default); nan for an ..."""
@overload
def mean(
    input: Tensor, *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def median(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The median (the lower one of two), or nan if there is one; with a dimension, ..."""
@overload
def median(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Picked: ...
@overload
def median(input: Tensor, *, axis: _int, keepdims: _bool = False, out: Any = None) -> Picked: ...
def meshgrid(*tensors: Any, indexing: str = "ij", out: Any = None) -> tuple[Tensor, ...]:
    """Vectors (or numbers) as coordinates of a grid: the i-th result holds the i-th ..."""
@overload
def min(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smallest element, or nan; with a dimension, (values, indices) along it, of ..."""
@overload
def min(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Picked: ...
@overload
def min(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def min(input: Tensor, *, axis: _int, keepdims: _bool = False, out: Any = None) -> Picked: ...
def minimum(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smaller of two numbers; nan where one is nan."""
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product (m, k) @ (k, n) -> (m, n)."""
@overload
def mode(input: Tensor, dim: _int = -1, keepdim: _bool = False, *, out: Any = None) -> Picked:
    """(values, indices) of the most frequent elements along ``dim``; of several the ..."""
@overload
def mode(input: Tensor, *, axis: _int, keepdims: _bool = False, out: Any = None) -> Picked: ...
def moveaxis(input: Tensor, source: Any, destination: Any, *, out: Tensor | None = None) -> Tensor:
    """``movedim`` under NumPy's name; raises what that does."""
def movedim(input: Tensor, source: Any, destination: Any, *, out: Tensor | None = None) -> Tensor:
    """A view with the ``source`` dimensions at the ``destination`` positions; the ..."""
def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The values of ``sort`` along the first dimension."""
def mul(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * other."""
def multinomial(
    input: Tensor, num_samples: _int, replacement: _bool = False, *, generator: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``num_samples`` class indices (int64) for each row of weights, drawn with or ..."""
def multiply(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * other."""
def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix and a vector: (m, k) @ (k,) -> (m,)."""
def mvlgamma(input: Tensor, p: _int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, element by ..."""
def nan_to_num(
    input: Tensor, nan: _float | None = None, posinf: _float | None = None,
    neginf: _float | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """nan replaced by ``nan`` (0 by default), the infinities by ``posinf`` and ..."""
def nan_to_num_(
    input: Tensor, /, nan: _float | None = None, posinf: _float | None = None,
    neginf: _float | None = None,
) -> Tensor:
    """``input.nan_to_num_(...)``"""
@overload
def nanmean(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``mean`` of the elements that are not nan, or nan if there are none."""
@overload
def nanmean(
    input: Tensor, *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def nanmedian(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``median`` of the elements that are not nan, or nan if there are none."""
@overload
def nanmedian(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Picked: ...
@overload
def nanmedian(input: Tensor, *, axis: _int, keepdims: _bool = False, out: Any = None) -> Picked: ...
@overload
def nanquantile(
    input: Tensor, q: Any, dim: _int | None = None, keepdim: _bool = False, *,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor:
    """``quantile`` of the elements that are not nan, or nan if there are none."""
@overload
def nanquantile(
    input: Tensor, q: Any, *, axis: _int | None, keepdims: _bool = False,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor: ...
@overload
def nansum(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``sum`` of the elements that are not nan."""
@overload
def nansum(
    input: Tensor, *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def narrow(
    input: Tensor, dim: _int, start: Any, length: _int, *, out: Tensor | None = None,
) -> Tensor:
    """A view of ``length`` elements along ``dim``, from ``start`` (an int or a 0-d ..."""
@overload
def narrow(
    input: Tensor, *, axis: _int, start: Any, length: _int, out: Tensor | None = None,
) -> Tensor: ...
@overload
def narrow_copy(
    input: Tensor, dim: _int, start: Any, length: _int, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``narrow`` shows; raises what that does."""
@overload
def narrow_copy(
    input: Tensor, *, axis: _int, start: Any, length: _int, out: Tensor | None = None,
) -> Tensor: ...
def ne(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input != other, as bools."""
def neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-input."""
def neg_(input: Tensor, /) -> Tensor:
    """``input.neg_(...)``"""
def negative(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-input."""
def negative_(input: Tensor, /) -> Tensor:
    """``input.negative_(...)``"""
def nextafter(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The next number of the dtype after input in the direction of other."""
@overload
def nonzero(
    input: Tensor, *, as_tuple: Literal[False] = False, out: Tensor | None = None,
) -> Tensor:
    """The int64 indices of the elements that are not 0 (nan is not), in row-major ..."""
@overload
def nonzero(input: Tensor, *, as_tuple: _bool = False, out: Any = None) -> Any: ...
def nonzero_static(
    input: Tensor, *, size: _int, fill_value: _int = -1, out: Tensor | None = None,
) -> Tensor:
    """``nonzero`` in exactly ``size`` rows: the first ones, then rows of ``fill_value``."""
@overload
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: _bool = False, dtype: Any = None, *,
    out: Tensor | None = None,
) -> Tensor:
    """The p-norm, (sum |x|^p)^(1/p), over ``dim`` (all of it by default), computed in ..."""
@overload
def norm(
    input: Tensor, p: Any = "fro", *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: _bool = False, layout: Any = None,
    pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """Normal numbers with the means and standard deviations given: two numbers and a ..."""
def not_equal(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input != other, as bools."""
@overload
def ones(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """Ones, of these sizes and the default dtype."""
@overload
def ones(
    *, size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, memory_format: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``ones`` of the tensor's shape, and of its dtype and device by default."""
def orgqr(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first n columns of H_1 ..."""
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: _bool = True, transpose: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """Q other, Q^T other (transpose), other Q or other Q^T (left=False), where Q is ..."""
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of all pairs: (m,) and (n,) -> (m, n)."""
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: _float = 2.0, eps: _float = 1e-06, keepdim: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension: (..., n) and (..., n) -> ..."""
def pca_lowrank(
    A: Tensor, q: _int | None = None, center: _bool = True, niter: _int = 2, *, out: Any = None,
) -> Any:
    """``svd_lowrank`` of A, (..., m, n), with the mean of its rows subtracted ..."""
def pdist(input: Tensor, p: _float = 2.0, *, out: Tensor | None = None) -> Tensor:
    """The p-norms of the differences of rows i < j of an (n, k) matrix, a vector of n ..."""
def permute(input: Tensor, *order: Any, dims: Any = None, out: Tensor | None = None) -> Tensor:
    """A view with the dimensions in another order: dimension i of the result is ..."""
def permute_copy(input: Tensor, *order: Any, dims: Any = None, out: Tensor | None = None) -> Tensor:
    """A copy of what ``permute`` shows; raises what that does."""
def pinverse(input: Tensor, rcond: _float = 1e-15, *, out: Tensor | None = None) -> Tensor:
    """``linalg.pinv`` under its older name: the Moore-Penrose inverses of (..., m, n) ..."""
def pixel_shuffle(input: Tensor, upscale_factor: _int, *, out: Tensor | None = None) -> Tensor:
    """(..., c r^2, h, w) -> (..., c, h r, w r): every r^2 channels become r x r pixels ..."""
def pixel_unshuffle(input: Tensor, downscale_factor: _int, *, out: Tensor | None = None) -> Tensor:
    """(..., c, h r, w r) -> (..., c r^2, h, w): the inverse of ``pixel_shuffle``."""
def poisson(
    input: Tensor, generator: Generator | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """Numbers of events with the means ``input``, in its shape and dtype."""
def polygamma(n: _int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of ``digamma``, element by element; integers become the ..."""
def positive(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """+input: the tensor itself."""
def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent, broadcast and promoted."""
def prelu(input: Tensor, weight: Tensor, *, out: Tensor | None = None) -> Tensor:
    """x where positive, weight * x elsewhere (He et al."""
@overload
def prod(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The product over ``dim`` (one, several, or all by default); 1 for an empty input."""
@overload
def prod(
    input: Tensor, *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
def put(
    input: Tensor, index: Tensor, source: Tensor, accumulate: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with ``source`` written (or added) at int64 positions in the ..."""
def qr(input: Tensor, some: _bool = True, *, out: Any = None) -> QR:
    """``linalg.qr`` under its older name: mode "reduced", or "complete" (some=False)."""
@overload
def quantile(
    input: Tensor, q: Any, dim: _int | None = None, keepdim: _bool = False, *,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor:
    """The q-th quantiles (0 <= q <= 1, a number or a vector, whose dimension comes ..."""
@overload
def quantile(
    input: Tensor, q: Any, *, axis: _int | None, keepdims: _bool = False,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor: ...
def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians as degrees."""
def rad2deg_(input: Tensor, /) -> Tensor:
    """``input.rad2deg_(...)``"""
@overload
def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Random numbers uniform in [0, 1), of the default dtype."""
@overload
def rand(
    *, size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def rand_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, memory_format: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``rand`` of the tensor's shape, and of its dtype and device by default."""
def randint(
    low: Any = 0, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: _bool = False, layout: Any = None,
    pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """Random integers in [low, high), int64 by default: randint(high, size) or ..."""
def randint_like(
    input: Tensor, low: Any = 0, high: Any = None, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    memory_format: Any = None, out: Tensor | None = None,
) -> Tensor:
    """``randint`` of the tensor's shape, and of its dtype and device by default: ..."""
@overload
def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Random numbers of the standard normal distribution, of the default dtype."""
@overload
def randn(
    *, size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def randn_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, memory_format: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``randn`` of the tensor's shape, and of its dtype and device by default."""
def randperm(
    n: _int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The integers 0 to n - 1 in random order, int64 by default."""
def range(
    start: Any, end: Any, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """start, start + step, ..."""
def ravel(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All elements in one dimension, in row-major order; a view of a contiguous ..."""
def real(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
def reciprocal(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 / input."""
def reciprocal_(input: Tensor, /) -> Tensor:
    """``input.reciprocal_(...)``"""
def relu(input: Tensor, inplace: _bool = False, *, out: Tensor | None = None) -> Tensor:
    """max(x, 0); slope 0 at 0."""
def relu_(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """In-place version of ``relu``: returns the tensor."""
def remainder(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input - other * floor(input / other), which has the sign of ``other``."""
@overload
def renorm(
    input: Tensor, p: _float, dim: _int, maxnorm: _float, *, out: Tensor | None = None,
) -> Tensor:
    """The slices along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it; the ..."""
@overload
def renorm(
    input: Tensor, p: _float, *, axis: _int, maxnorm: _float, out: Tensor | None = None,
) -> Tensor: ...
@overload
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: _int | None = None, *, output_size: _int | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Each slice along ``dim`` (each element, without one) repeated: a number of ..."""
@overload
def repeat_interleave(
    input: Tensor, repeats: Any = None, *, axis: _int | None, output_size: _int | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
def reshape(input: Tensor, *sizes: Any, shape: Any = None, out: Tensor | None = None) -> Tensor:
    """The same elements, in row-major order, in another shape (one size may be -1: ..."""
def resize_as_(
    self: Tensor, other: Tensor, memory_format: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """``resize_`` to another tensor's shape."""
def resolve_conj(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
def resolve_neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: _float | None = None,
    *, out: Tensor | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang & Sennrich ..."""
def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """``rnn_tanh_cell`` with relu in tanh's place."""
def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The next state of a recurrent unit (Elman 1990): tanh(W_ih x + b_ih + W_hh h + ..."""
def roll(input: Tensor, shifts: Any, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """A copy with the elements moved by ``shifts[i]`` along ``dims[i]`` (without dims, ..."""
def rot90(input: Tensor, k: _int = 1, dims: Any = ..., *, out: Tensor | None = None) -> Tensor:
    """Turned k times by 90 degrees, from the first of two ``dims`` towards the second."""
def round(input: Tensor, *, decimals: _int = 0, out: Tensor | None = None) -> Tensor:
    """To the nearest integer, halves to even; with ``decimals`` to so many digits ..."""
def round_(input: Tensor, /, *, decimals: _int = 0) -> Tensor:
    """``input.round_(...)``"""
def row_stack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Tensors below each other: joined along dim 0, vectors and numbers as rows."""
def rrelu(
    input: Tensor, lower: _float = 0.125, upper: _float = 0.3333333333333333,
    training: _bool = False, inplace: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """x where positive; elsewhere x times a slope: random in lower..upper for each ..."""
def rrelu_(
    input: Tensor, lower: _float = 0.125, upper: _float = 0.3333333333333333,
    training: _bool = False, inplace: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """In-place version of ``rrelu``: returns the tensor."""
def rsqrt(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 / sqrt(input)."""
def rsqrt_(input: Tensor, /) -> Tensor:
    """``input.rsqrt_(...)``"""
def rsub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """other - alpha * input: ``sub`` with the operands exchanged."""
def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """A 0-d tensor that holds the number ``s``, of the default dtype."""
@overload
def scatter(
    input: Tensor, dim: _int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` with ``src[i][j][k]`` (or a number) at ..."""
@overload
def scatter(
    input: Tensor, *, axis: _int, index: Tensor, src: Any = None, value: Any = None,
    reduce: str | None = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def scatter_add(
    input: Tensor, dim: _int, index: Tensor, src: Tensor, *, out: Tensor | None = None,
) -> Tensor:
    """``scatter`` that adds the values of ``src``, in a fixed order; raises what that ..."""
@overload
def scatter_add(
    input: Tensor, *, axis: _int, index: Tensor, src: Tensor, out: Tensor | None = None,
) -> Tensor: ...
@overload
def scatter_reduce(
    input: Tensor, dim: _int, index: Tensor, src: Tensor, reduce: str, *,
    include_self: _bool = True, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which each element that ``index`` names along ``dim`` is ..."""
@overload
def scatter_reduce(
    input: Tensor, *, axis: _int, index: Tensor, src: Tensor, reduce: str,
    include_self: _bool = True, out: Tensor | None = None,
) -> Tensor: ...
def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: _bool = False, right: _bool = False,
    side: str | None = None, sorter: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:
    """The first position in the (last dimension of the) sorted sequence before which ..."""
def seed() -> _int:
    """Seed the default generator with a number of the operating system's, and return it."""
@overload
def select(input: Tensor, dim: _int, index: Any, *, out: Tensor | None = None) -> Tensor:
    """A view of slice ``index`` (an int; a negative one counts from the end) along ..."""
@overload
def select(input: Tensor, *, axis: _int, index: Any, out: Tensor | None = None) -> Tensor: ...
@overload
def select_copy(input: Tensor, dim: _int, index: Any, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``select`` shows; raises what that does."""
@overload
def select_copy(input: Tensor, *, axis: _int, index: Any, out: Tensor | None = None) -> Tensor: ...
@overload
def select_scatter(
    input: Tensor, src: Tensor, dim: _int, index: _int, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which ``select(dim, index)`` is ``src``."""
@overload
def select_scatter(
    input: Tensor, src: Tensor, *, axis: _int, index: _int, out: Tensor | None = None,
) -> Tensor: ...
def selu(input: Tensor, inplace: _bool = False, *, out: Tensor | None = None) -> Tensor:
    """scale * elu(x, alpha), with the constants for which mean 0 and variance 1 are a ..."""
def selu_(input: Tensor, inplace: _bool = False, *, out: Tensor | None = None) -> Tensor:
    """In-place version of ``selu``: returns the tensor."""
def set_rng_state(state: Tensor) -> None:
    """Put the default generator back into a state of ``get_rng_state``."""
def sgn(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-1, 0 or 1, of input's dtype."""
def sigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 / (1 + exp(-x)); integers become floats."""
def sigmoid_(input: Tensor, /) -> Tensor:
    """``input.sigmoid_(...)``"""
def sign(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-1, 0 or 1, of input's dtype."""
def signbit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether input is below 0, or -0.0."""
def sin(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(input)."""
def sin_(input: Tensor, /) -> Tensor:
    """``input.sin_(...)``"""
def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(pi input) / (pi input), and 1 at 0."""
def sinc_(input: Tensor, /) -> Tensor:
    """``input.sinc_(...)``"""
def sinh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sinh(input)."""
def sinh_(input: Tensor, /) -> Tensor:
    """``input.sinh_(...)``"""
@overload
def slice(
    input: Tensor, dim: _int = 0, start: _int | None = None, end: _int | None = None,
    step: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """The view input[..., start:end:step, ...] along ``dim``; start and end are ..."""
@overload
def slice(
    input: Tensor, *, axis: _int, start: _int | None = None, end: _int | None = None,
    step: _int = 1, out: Tensor | None = None,
) -> Tensor: ...
@overload
def slice_copy(
    input: Tensor, dim: _int = 0, start: _int | None = None, end: _int | None = None,
    step: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``slice`` shows; raises what that does."""
@overload
def slice_copy(
    input: Tensor, *, axis: _int, start: _int | None = None, end: _int | None = None,
    step: _int = 1, out: Tensor | None = None,
) -> Tensor: ...
@overload
def slice_scatter(
    input: Tensor, src: Tensor, dim: _int = 0, start: _int | None = None, end: _int | None = None,
    step: _int = 1, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of ``input`` in which ``input[..., start:end:step, ...]`` along ``dim`` ..."""
@overload
def slice_scatter(
    input: Tensor, src: Tensor, *, axis: _int, start: _int | None = None, end: _int | None = None,
    step: _int = 1, out: Tensor | None = None,
) -> Tensor: ...
def slogdet(A: Tensor, *, out: Any = None) -> SignAndLog:
    """(sign, logabsdet) of (..., n, n) matrices, (...) each: the signs of the ..."""
@overload
def softmax(
    input: Tensor, dim: _int | None = None, dtype: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, of floats."""
@overload
def softmax(
    input: Tensor, *, axis: _int | None, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def sort(
    input: Tensor, dim: _int = -1, descending: _bool = False, stable: _bool = False, *,
    out: Any = None,
) -> Picked:
    """(values, indices) in ascending or descending order along ``dim``, indices in int64."""
@overload
def sort(
    input: Tensor, *, axis: _int, descending: _bool = False, stable: _bool = False, out: Any = None,
) -> Picked: ...
@overload
def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: _int = 0, *, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be ..."""
@overload
def split(
    tensor: Tensor, split_size_or_sections: Any = None, *, axis: _int, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def split_copy(
    tensor: Tensor, split_size_or_sections: Any = None, dim: _int = 0, *, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """A copy of what ``split`` shows; raises what that does."""
@overload
def split_copy(
    tensor: Tensor, split_size_or_sections: Any = None, *, axis: _int, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def split_with_sizes(
    input: Tensor, split_sizes: Any, dim: _int = 0, *, out: Any = None,
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces of the sizes given along ``dim``."""
@overload
def split_with_sizes(
    input: Tensor, split_sizes: Any, *, axis: _int, out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def split_with_sizes_copy(
    input: Tensor, split_sizes: Any, dim: _int = 0, *, out: Any = None,
) -> tuple[Tensor, ...]:
    """A copy of what ``split_with_sizes`` shows; raises what that does."""
@overload
def split_with_sizes_copy(
    input: Tensor, split_sizes: Any, *, axis: _int, out: Any = None,
) -> tuple[Tensor, ...]: ...
def sqrt(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sqrt(input)."""
def sqrt_(input: Tensor, /) -> Tensor:
    """``input.sqrt_(...)``"""
def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * input; int64 for bools."""
def square_(input: Tensor, /) -> Tensor:
    """``input.square_(...)``"""
@overload
def squeeze(input: Tensor, dim: Any = None, *, out: Tensor | None = None) -> Tensor:
    """A view without the dimensions of size 1: all of them, or those of them that ..."""
@overload
def squeeze(input: Tensor, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
@overload
def squeeze_copy(input: Tensor, dim: Any = None, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``squeeze`` shows; raises what that does."""
@overload
def squeeze_copy(input: Tensor, *, axis: Any, out: Tensor | None = None) -> Tensor: ...
@overload
def stack(tensors: Any, dim: _int = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors of one shape joined along a new dimension ``dim``: two of (n) give (2, n)."""
@overload
def stack(tensors: Any, *, axis: _int, out: Tensor | None = None) -> Tensor: ...
@overload
def std(
    input: Tensor, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
    correction: _float | None = None, out: Tensor | None = None,
) -> Tensor:
    """The standard deviation over ``dim``: the square root of ``var``, with its ..."""
@overload
def std(
    input: Tensor, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
    correction: _float | None = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def std_mean(
    input: Tensor, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
    correction: _float | None = None, out: Any = None,
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over ``dim``: ``std``, with its arguments, and ..."""
@overload
def std_mean(
    input: Tensor, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
    correction: _float | None = None, out: Any = None,
) -> tuple[Tensor, Tensor]: ...
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other, broadcast and promoted."""
def subtract(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other, broadcast and promoted."""
@overload
def sum(
    input: Tensor, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The sum over ``dim`` (one, several, or all by default); 0 for an empty input."""
@overload
def sum(
    input: Tensor, *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
def svd(
    input: Tensor, some: _bool = True, compute_uv: _bool = True, *, out: Any = None,
) -> SVDTransposed:
    """``linalg.svd`` under its older name: (U, S, V) of (..., m, n) matrices, A = U ..."""
def svd_lowrank(
    A: Tensor, q: _int | None = 6, niter: _int | None = 2, M: Tensor | None = None, *,
    out: Any = None,
) -> SVDTransposed:
    """(U, S, V) with A (or A - M) about U diag(S) V^T: A, M (..., m, n), U (..., m, ..."""
def swapaxes(input: Tensor, axis0: _int, axis1: _int, *, out: Tensor | None = None) -> Tensor:
    """``transpose`` under NumPy's name."""
def swapdims(input: Tensor, dim0: _int, dim1: _int, *, out: Tensor | None = None) -> Tensor:
    """A view with two dimensions exchanged."""
def t(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A matrix (m, n) as its transpose (n, m), a view; vectors and 0-d tensors as they ..."""
def t_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``t`` shows; raises what that does."""
def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at int64 positions in the flattened tensor (negative ones count ..."""
@overload
def take_along_dim(
    input: Tensor, indices: Tensor, dim: _int | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """``gather`` with int64 indices (negative ones count from the end) and tensor ..."""
@overload
def take_along_dim(
    input: Tensor, indices: Tensor, *, axis: _int | None, out: Tensor | None = None,
) -> Tensor: ...
def tan(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """tan(input)."""
def tan_(input: Tensor, /) -> Tensor:
    """``input.tan_(...)``"""
def tanh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The hyperbolic tangent; integers become floats."""
def tanh_(input: Tensor, /) -> Tensor:
    """``input.tanh_(...)``"""
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """A new tensor with a copy of ``data``: a number, nested lists of numbers (or of ..."""
@overload
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: _int = 0, *, indices: Any = None,
    sections: Any = None, out: Any = None,
) -> tuple[Tensor, ...]:
    """Views of parts along ``dim``: cut before the positions given, or into so many ..."""
@overload
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, *, axis: _int, indices: Any = None,
    sections: Any = None, out: Any = None,
) -> tuple[Tensor, ...]: ...
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, *, out: Tensor | None = None) -> Tensor:
    """Sums of products over pairs of dimensions: the last ``dims`` of a with the first ..."""
def threshold(
    input: Tensor, threshold: _float, value: _float, inplace: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """x where above the threshold, ``value`` elsewhere."""
def threshold_(
    input: Tensor, threshold: _float, value: _float, inplace: _bool = False, *,
    out: Tensor | None = None,
) -> Tensor:
    """In-place version of ``threshold``: returns the tensor."""
def tile(input: Tensor, *counts: Any, dims: Any = None, out: Tensor | None = None) -> Tensor:
    """``repeat``, with counts of 1 for the first dimensions where there are too few."""
@overload
def topk(
    input: Tensor, k: _int, dim: _int = -1, largest: _bool = True, sorted: _bool = True, *,
    out: Any = None,
) -> Picked:
    """(values, indices) of the k largest (or smallest) elements along ``dim``, whose ..."""
@overload
def topk(
    input: Tensor, k: _int, *, axis: _int, largest: _bool = True, sorted: _bool = True,
    out: Any = None,
) -> Picked: ...
def trace(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The sum of a matrix's diagonal, (m, n) -> (); integers add up in int64."""
def transpose(input: Tensor, dim0: _int, dim1: _int, *, out: Tensor | None = None) -> Tensor:
    """A view with two dimensions exchanged."""
def transpose_copy(input: Tensor, dim0: _int, dim1: _int, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``transpose`` shows; raises what that does."""
@overload
def trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: _int = -1,
    out: Tensor | None = None,
) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule: the sum of (y[i] + y[i + 1]) ..."""
@overload
def trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, axis: _int, out: Tensor | None = None,
) -> Tensor: ...
@overload
def trapz(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: _int = -1,
    out: Tensor | None = None,
) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule: the sum of (y[i] + y[i + 1]) ..."""
@overload
def trapz(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, axis: _int, out: Tensor | None = None,
) -> Tensor: ...
def triangular_solve(
    b: Tensor, A: Tensor, upper: _bool = True, transpose: _bool = False,
    unitriangular: _bool = False, *, out: Any = None,
) -> TriangularSolution:
    """(solution, A) of A x = b, or of A^T x = b (transpose), for b (..., n, k) and ..."""
def tril(input: Tensor, diagonal: _int = 0, *, out: Tensor | None = None) -> Tensor:
    """A copy of matrices (..., m, n) that is 0 above a diagonal (0: the main one, 1: ..."""
def tril_indices(
    row: _int, col: _int, offset: _int = 0, *, dtype: Any = None, device: Any = None,
    layout: Any = None, out: Tensor | None = None,
) -> Tensor:
    """Rows and columns of the elements that ``tril`` keeps of a (row, col) matrix: (2, ..."""
def triu(input: Tensor, diagonal: _int = 0, *, out: Tensor | None = None) -> Tensor:
    """A copy of matrices (..., m, n) that is 0 below a diagonal (0: the main one, 1: ..."""
def triu_indices(
    row: _int, col: _int, offset: _int = 0, *, dtype: Any = None, device: Any = None,
    layout: Any = None, out: Tensor | None = None,
) -> Tensor:
    """Rows and columns of the elements that ``triu`` keeps of a (row, col) matrix: (2, ..."""
def true_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input / other in floating point, broadcast; integers become the default float dtype."""
def trunc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input rounded towards 0, of input's dtype."""
def trunc_(input: Tensor, /) -> Tensor:
    """``input.trunc_(...)``"""
@overload
def unbind(input: Tensor, dim: _int = 0, *, out: Any = None) -> tuple[Tensor, ...]:
    """Views of all slices along ``dim``, without that dimension."""
@overload
def unbind(input: Tensor, *, axis: _int, out: Any = None) -> tuple[Tensor, ...]: ...
@overload
def unbind_copy(input: Tensor, dim: _int = 0, *, out: Any = None) -> tuple[Tensor, ...]:
    """A copy of what ``unbind`` shows; raises what that does."""
@overload
def unbind_copy(input: Tensor, *, axis: _int, out: Any = None) -> tuple[Tensor, ...]: ...
@overload
def unflatten(input: Tensor, dim: _int, sizes: Any, *, out: Tensor | None = None) -> Tensor:
    """A view with dimension ``dim`` of size n as several of ``sizes``, whose product ..."""
@overload
def unflatten(input: Tensor, *, axis: _int, sizes: Any, out: Tensor | None = None) -> Tensor: ...
def unfold_copy(
    input: Tensor, dimension: _int, size: _int, step: _int, *, out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``unfold`` shows; raises what that does."""
@overload
def unique(
    input: Tensor, sorted: _bool = True, return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False, dim: _int | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The different elements (with ``dim``, the different slices along it), ``sorted`` ..."""
@overload
def unique(
    input: Tensor, sorted: _bool = True, return_inverse: _bool = False,
    return_counts: _bool = False, dim: _int | None = None, *, out: Any = None,
) -> Any: ...
@overload
def unique(
    input: Tensor, sorted: _bool = True, return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False, *, axis: _int | None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def unique(
    input: Tensor, sorted: _bool = True, return_inverse: _bool = False,
    return_counts: _bool = False, *, axis: _int | None, out: Any = None,
) -> Any: ...
@overload
def unique_consecutive(
    input: Tensor, return_inverse: Literal[False] = False, return_counts: Literal[False] = False,
    dim: _int | None = None, *, out: Tensor | None = None,
) -> Tensor:
    """The elements (with ``dim``, the slices along it) without those that equal the ..."""
@overload
def unique_consecutive(
    input: Tensor, return_inverse: _bool = False, return_counts: _bool = False,
    dim: _int | None = None, *, out: Any = None,
) -> Any: ...
@overload
def unique_consecutive(
    input: Tensor, return_inverse: Literal[False] = False, return_counts: Literal[False] = False, *,
    axis: _int | None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def unique_consecutive(
    input: Tensor, return_inverse: _bool = False, return_counts: _bool = False, *,
    axis: _int | None, out: Any = None,
) -> Any: ...
def unravel_index(indices: Tensor, shape: Any, *, out: Any = None) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of ``shape``, of elements counted in row-major ..."""
@overload
def unsafe_chunk(
    input: Tensor, chunks: _int, dim: _int = 0, *, out: Any = None,
) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
@overload
def unsafe_chunk(
    input: Tensor, chunks: _int, *, axis: _int, out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def unsafe_split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: _int = 0, *, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be ..."""
@overload
def unsafe_split(
    tensor: Tensor, split_size_or_sections: Any = None, *, axis: _int, split_size: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def unsafe_split_with_sizes(
    input: Tensor, split_sizes: Any, dim: _int = 0, *, out: Any = None,
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces of the sizes given along ``dim``."""
@overload
def unsafe_split_with_sizes(
    input: Tensor, split_sizes: Any, *, axis: _int, out: Any = None,
) -> tuple[Tensor, ...]: ...
@overload
def unsqueeze(input: Tensor, dim: _int, *, out: Tensor | None = None) -> Tensor:
    """A view with a new dimension of size 1 at position ``dim`` of the result."""
@overload
def unsqueeze(input: Tensor, *, axis: _int, out: Tensor | None = None) -> Tensor: ...
@overload
def unsqueeze_copy(input: Tensor, dim: _int, *, out: Tensor | None = None) -> Tensor:
    """A copy of what ``unsqueeze`` shows; raises what that does."""
@overload
def unsqueeze_copy(input: Tensor, *, axis: _int, out: Tensor | None = None) -> Tensor: ...
def vander(
    x: Tensor, N: _int | None = None, increasing: _bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """(n,) -> (n, N): the powers of each element, falling to x^0 (increasing: rising ..."""
@overload
def var(
    input: Tensor, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
    correction: _float | None = None, out: Tensor | None = None,
) -> Tensor:
    """The variance over ``dim`` (one, several, or all by default): the sum of the ..."""
@overload
def var(
    input: Tensor, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
    correction: _float | None = None, out: Tensor | None = None,
) -> Tensor: ...
@overload
def var_mean(
    input: Tensor, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
    correction: _float | None = None, out: Any = None,
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over ``dim``: ``var``, with its arguments, and ``mean``; raises ..."""
@overload
def var_mean(
    input: Tensor, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
    correction: _float | None = None, out: Any = None,
) -> tuple[Tensor, Tensor]: ...
def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors, (n,) and (n,) -> (), as by ``dot``."""
def view_copy(
    input: Tensor, *sizes: Any, size: Any = None, dtype: Any = None, out: Tensor | None = None,
) -> Tensor:
    """A copy of what ``view`` shows; raises what that does."""
def vsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """``tensor_split`` along dim 0, where a number of parts must divide the size."""
def vstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Tensors below each other: joined along dim 0, vectors and numbers as rows."""
@overload
def where(condition: Tensor, *, out: Any = None) -> tuple[Tensor, ...]:
    """``input`` where the condition (bool or uint8) is True, ``other`` elsewhere, ..."""
@overload
def where(condition: Tensor, input: Any, other: Any, *, out: Tensor | None = None) -> Tensor: ...
def xlogy(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * log(other); 0 where input is 0, unless other is nan."""
def xlogy_(input: Tensor, /, other: Any) -> Tensor:
    """``input.xlogy_(...)``"""
def zero_(self: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Set every element to 0 and return the tensor."""
@overload
def zeros(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor:
    """Zeros, of these sizes and the default dtype."""
@overload
def zeros(
    *, size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, out: Tensor | None = None,
) -> Tensor: ...
def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
    layout: Any = None, pin_memory: _bool = False, memory_format: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``zeros`` of the tensor's shape, and of its dtype and device by default."""
