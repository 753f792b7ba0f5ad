"""What is attached to Tensor when tapegrad is imported, or when it is first named."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from builtins import type as _type
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, overload

from .autograd.backward import RemovableHandle
from .core.tensor import Tensor
from .ops.indexing.take_along import Picked
from .ops.linalg.det import SignAndLog
from .ops.linalg.eigh_svd import SVDTransposed
from .ops.linalg.qr import QR, Reflections
from .ops.linalg.solve_triangular import TriangularSolution
from .ops.movement.storage import TypedStorage, UntypedStorage
from .ops.pointwise.floating_point import Frexp
from .ops.reduction.histogram import Histogram
from .ops.reduction.minmax import MinMax
from .ops.sampling.philox import Generator

class Operations:
    @property
    def H(self) -> Tensor:
        """A matrix (m, n) as its transpose (n, m), a view; conjugating changes no real number."""
    @property
    def T(self) -> Tensor:
        """A view with the dimensions in reverse order: (l, m, n) becomes (n, m, l)."""
    @property
    def mH(self) -> Tensor:
        """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m): ..."""
    @property
    def mT(self) -> Tensor:
        """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m)."""
    @property
    def real(self) -> Tensor:
        """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
    def __abs__(self) -> Tensor: ...
    def __add__(self, other: Any) -> Tensor: ...
    def __and__(self, other: Any) -> Tensor: ...
    def __contains__(self, value: Any) -> _bool: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __floordiv__(self, other: Any) -> Tensor: ...
    def __ge__(self, other: Any) -> Tensor: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def __gt__(self, other: Any) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __le__(self, other: Any) -> Tensor: ...
    def __lshift__(self, other: Any) -> Tensor: ...
    def __lt__(self, other: Any) -> Tensor: ...
    def __matmul__(self, other: Any) -> Tensor: ...
    def __mod__(self, other: Any) -> Tensor: ...
    def __mul__(self, other: Any) -> Tensor: ...
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: Any) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, other: Any) -> Tensor: ...
    def __radd__(self, other: Any) -> Tensor: ...
    def __rand__(self, other: Any) -> Tensor: ...
    def __rdiv__(self, other: Any) -> Tensor: ...
    def __rfloordiv__(self, other: Any) -> Tensor: ...
    def __rlshift__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __rmod__(self, other: Any) -> Tensor: ...
    def __rmul__(self, other: Any) -> Tensor: ...
    def __ror__(self, other: Any) -> Tensor: ...
    def __rpow__(self, other: Any) -> Tensor: ...
    def __rrshift__(self, other: Any) -> Tensor: ...
    def __rshift__(self, other: Any) -> Tensor: ...
    def __rsub__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __rxor__(self, other: Any) -> Tensor: ...
    def __setitem__(self, index: Any, value: Any) -> None: ...
    def __sub__(self, other: Any) -> Tensor: ...
    def __truediv__(self, other: Any) -> Tensor: ...
    def __xor__(self, other: Any) -> Tensor: ...
    def __iadd__(self, other: Any) -> Tensor: ...
    def __isub__(self, other: Any) -> Tensor: ...
    def __imul__(self, other: Any) -> Tensor: ...
    def __itruediv__(self, other: Any) -> Tensor: ...
    def __ipow__(self, other: Any) -> Tensor: ...
    def __imod__(self, other: Any) -> Tensor: ...
    def __ifloordiv__(self, other: Any) -> Tensor: ...
    def __iand__(self, other: Any) -> Tensor: ...
    def __ior__(self, other: Any) -> Tensor: ...
    def __ixor__(self, other: Any) -> Tensor: ...
    def __ilshift__(self, other: Any) -> Tensor: ...
    def __irshift__(self, other: Any) -> Tensor: ...
    def backward(
        self, gradient: Tensor | None = None, retain_graph: _bool | None = None,
        create_graph: _bool = False, inputs: Any = None,
    ) -> None:
        """``tapegrad.autograd.backward`` of this tensor."""
    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` whenever this tensor's gradient has been computed; a ..."""
    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` whenever ``backward`` has added to this leaf's ``.grad``: ..."""
    def retain_grad(self) -> None:
        """Keep this non-leaf tensor's gradient in ``.grad`` too."""
    def abs(self) -> Tensor:
        """|input|."""
    def abs_(self) -> Tensor:
        """In-place version of ``abs``."""
    def absolute(self) -> Tensor:
        """|input|."""
    def absolute_(self) -> Tensor:
        """In-place version of ``absolute``."""
    def acos(self) -> Tensor:
        """The inverse of cos."""
    def acos_(self) -> Tensor:
        """In-place version of ``acos``."""
    def acosh(self) -> Tensor:
        """The inverse of cosh."""
    def acosh_(self) -> Tensor:
        """In-place version of ``acosh``."""
    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """input + alpha * other, broadcast and promoted."""
    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of ``add``."""
    def addbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * the sum over all matrices of batch1 @ batch2: (batch, m, ..."""
    def addbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of ``addbmm``."""
    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        """input + value * tensor1 / tensor2, broadcast and promoted."""
    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        """In-place version of ``addcdiv``."""
    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        """input + value * tensor1 * tensor2, broadcast and promoted."""
    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        """In-place version of ``addcmul``."""
    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (mat1 @ mat2): (m, k) and (k, n) -> (m, n), to which the ..."""
    def addmm_(self, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of ``addmm``."""
    def addmv(self, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (mat @ vec): (m, k) and (k,) -> (m,); otherwise as ``addmm``."""
    def addmv_(self, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of ``addmv``."""
    def addr(self, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * outer(vec1, vec2): (m,) and (n,) -> (m, n), to which the ..."""
    def addr_(self, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of ``addr``."""
    def adjoint(self) -> Tensor:
        """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m): ..."""
    @overload
    def all(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        """Whether all elements over ``dim`` (one, several, or all by default) are not 0 ..."""
    @overload
    def all(self, *, axis: Any, keepdims: _bool = False) -> Tensor: ...
    def allclose(
        self, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08, equal_nan: _bool = False,
    ) -> _bool:
        """Whether all elements are close, as ``isclose`` tells."""
    @overload
    def amax(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        """The largest elements over ``dim`` (one, several, or all by default), or nan; ..."""
    @overload
    def amax(self, *, axis: Any, keepdims: _bool = False) -> Tensor: ...
    @overload
    def amin(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        """The smallest elements over ``dim``; shares gradients and raises as ``amax`` does."""
    @overload
    def amin(self, *, axis: Any, keepdims: _bool = False) -> Tensor: ...
    @overload
    def aminmax(self, *, dim: _int | None = None, keepdim: _bool = False) -> MinMax:
        """(min, max): ``amin`` and ``amax`` over one dimension, or all."""
    @overload
    def aminmax(self, *, axis: _int | None, keepdims: _bool = False) -> MinMax: ...
    def angle(self) -> Tensor:
        """pi below 0, else 0; nan for nan."""
    @overload
    def any(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        """Whether any element over ``dim`` (one, several, or all by default) is not 0 (nan ..."""
    @overload
    def any(self, *, axis: Any, keepdims: _bool = False) -> Tensor: ...
    def apply_(self, callable: Callable[[Any], Any]) -> Tensor:
        """Replace each element by what a function of Python's makes of it, off the tape ..."""
    def arccos(self) -> Tensor:
        """The inverse of cos."""
    def arccos_(self) -> Tensor:
        """In-place version of ``arccos``."""
    def arccosh(self) -> Tensor:
        """The inverse of cosh."""
    def arccosh_(self) -> Tensor:
        """In-place version of ``arccosh``."""
    def arcsin(self) -> Tensor:
        """The inverse of sin."""
    def arcsin_(self) -> Tensor:
        """In-place version of ``arcsin``."""
    def arcsinh(self) -> Tensor:
        """The inverse of sinh."""
    def arcsinh_(self) -> Tensor:
        """In-place version of ``arcsinh``."""
    def arctan(self) -> Tensor:
        """The inverse of tan."""
    def arctan2(self, other: Tensor) -> Tensor:
        """The angle, from -pi to pi, of the point with abscissa other and ordinate input."""
    def arctan2_(self, other: Tensor) -> Tensor:
        """In-place version of ``arctan2``."""
    def arctan_(self) -> Tensor:
        """In-place version of ``arctan``."""
    def arctanh(self) -> Tensor:
        """The inverse of tanh."""
    def arctanh_(self) -> Tensor:
        """In-place version of ``arctanh``."""
    @overload
    def argmax(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """The int64 index of the (first) largest element, or nan, along ``dim``; in the ..."""
    @overload
    def argmax(self, *, axis: _int | None, keepdims: _bool = False) -> Tensor: ...
    @overload
    def argmin(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """The int64 index of the (first) smallest element, or nan, along ``dim``; in the ..."""
    @overload
    def argmin(self, *, axis: _int | None, keepdims: _bool = False) -> Tensor: ...
    @overload
    def argsort(self, dim: _int = -1, descending: _bool = False, stable: _bool = False) -> Tensor:
        """The int64 indices that sort the tensor along ``dim``, as ``sort`` does."""
    @overload
    def argsort(
        self, *, axis: _int, descending: _bool = False, stable: _bool = False,
    ) -> Tensor: ...
    def argwhere(self) -> Tensor:
        """``nonzero`` under NumPy's name: (n, ndim)."""
    def as_strided(self, size: Any, stride: Any, storage_offset: _int | None = None) -> Tensor:
        """A view of the tensor's memory: element (i, j, ...) is the one at storage_offset ..."""
    def as_strided_(self, size: Any, stride: Any, storage_offset: _int | None = None) -> Tensor:
        """In-place version of ``as_strided``."""
    def as_strided_copy(self, size: Any, stride: Any, storage_offset: _int | None = None) -> Tensor:
        """A copy of what ``as_strided`` shows; raises what that does."""
    def as_strided_scatter(
        self, src: Tensor, size: Any, stride: Any, storage_offset: _int | None = None,
    ) -> Tensor:
        """A copy of ``input`` in which the elements that ``as_strided`` would show are ..."""
    def asin(self) -> Tensor:
        """The inverse of sin."""
    def asin_(self) -> Tensor:
        """In-place version of ``asin``."""
    def asinh(self) -> Tensor:
        """The inverse of sinh."""
    def asinh_(self) -> Tensor:
        """In-place version of ``asinh``."""
    def atan(self) -> Tensor:
        """The inverse of tan."""
    def atan2(self, other: Tensor) -> Tensor:
        """The angle, from -pi to pi, of the point with abscissa other and ordinate input."""
    def atan2_(self, other: Tensor) -> Tensor:
        """In-place version of ``atan2``."""
    def atan_(self) -> Tensor:
        """In-place version of ``atan``."""
    def atanh(self) -> Tensor:
        """The inverse of tanh."""
    def atanh_(self) -> Tensor:
        """In-place version of ``atanh``."""
    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (batch1 @ batch2), matrix by matrix: (batch, m, k) and ..."""
    def baddbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of ``baddbmm``."""
    def bernoulli(self, p: Any = None, *, generator: Generator | None = None) -> Tensor:
        """1 with the probability that ``input`` gives for each element (or with ..."""
    def bernoulli_(self, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Set the elements to 1 with probability p (a number or a tensor that broadcasts), ..."""
    def bfloat16(self, memory_format: Any = None) -> Tensor:
        """The tensor as bfloat16: itself if it is that, else a copy."""
    def bincount(self, weights: Tensor | None = None, minlength: _int = 0) -> Tensor:
        """How often each of 0, 1, ..."""
    def bitwise_and(self, other: Any) -> Tensor:
        """input & other, of integers or bools."""
    def bitwise_and_(self, other: Any) -> Tensor:
        """In-place version of ``bitwise_and``."""
    def bitwise_left_shift(self, other: Any) -> Tensor:
        """The integers' bits moved to the left by ``other`` positions, broadcast and promoted."""
    def bitwise_left_shift_(self, other: Any) -> Tensor:
        """In-place version of ``bitwise_left_shift``."""
    def bitwise_not(self) -> Tensor:
        """~input, of integers or bools."""
    def bitwise_not_(self) -> Tensor:
        """In-place version of ``bitwise_not``."""
    def bitwise_or(self, other: Any) -> Tensor:
        """input | other, of integers or bools."""
    def bitwise_or_(self, other: Any) -> Tensor:
        """In-place version of ``bitwise_or``."""
    def bitwise_right_shift(self, other: Any) -> Tensor:
        """The integers' bits moved to the right by ``other`` positions, broadcast and ..."""
    def bitwise_right_shift_(self, other: Any) -> Tensor:
        """In-place version of ``bitwise_right_shift``."""
    def bitwise_xor(self, other: Any) -> Tensor:
        """input ^ other, of integers or bools."""
    def bitwise_xor_(self, other: Any) -> Tensor:
        """In-place version of ``bitwise_xor``."""
    def bmm(self, mat2: Tensor) -> Tensor:
        """The products of matrices, one by one: (batch, m, k) @ (batch, k, n) -> (batch, ..."""
    def bool(self, memory_format: Any = None) -> Tensor:
        """The tensor as bool: itself if it is that, else a copy."""
    def broadcast_to(self, size: Any) -> Tensor:
        """``expand`` to ``size`` under another name; raises what that does."""
    def byte(self, memory_format: Any = None) -> Tensor:
        """The tensor as uint8: itself if it is that, else a copy."""
    def cauchy_(
        self, median: _float = 0.0, sigma: _float = 1.0, *, generator: Any = None,
    ) -> Tensor:
        """Set the elements to random numbers of a Cauchy distribution: median + sigma ..."""
    def ceil(self) -> Tensor:
        """The smallest integer >= input, of input's dtype."""
    def ceil_(self) -> Tensor:
        """In-place version of ``ceil``."""
    def char(self, memory_format: Any = None) -> Tensor:
        """The tensor as int8: itself if it is that, else a copy."""
    def cholesky(self, upper: _bool = False) -> Tensor:
        """``linalg.cholesky`` under its older name: L of (..., n, n) matrices."""
    def cholesky_inverse(self, upper: _bool = False) -> Tensor:
        """The inverse of A = L L^T (upper: L^T L) from its factor, (..., n, n) -> (..., n, n)."""
    def cholesky_solve(self, L: Tensor, upper: _bool = False) -> Tensor:
        """The solution X of A X = B from the factor of A = L L^T (upper: L^T L): B (..., ..."""
    @overload
    def chunk(self, chunks: _int, dim: _int = 0) -> tuple[Tensor, ...]:
        """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    @overload
    def chunk(self, chunks: _int, *, axis: _int) -> tuple[Tensor, ...]: ...
    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Elements below ``min`` raised to it, elements above ``max`` lowered to it ..."""
    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """In-place version of ``clamp``."""
    def clamp_max(self, max: Any) -> Tensor:
        """``clamp`` from above: elements above ``max`` (a number or a tensor) lowered to it."""
    def clamp_max_(self, max: Any) -> Tensor:
        """In-place version of ``clamp_max``."""
    def clamp_min(self, min: Any) -> Tensor:
        """``clamp`` from below: elements below ``min`` (a number or a tensor) raised to it."""
    def clamp_min_(self, min: Any) -> Tensor:
        """In-place version of ``clamp_min``."""
    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """Elements below ``min`` raised to it, elements above ``max`` lowered to it ..."""
    def clip_(self, min: Any = None, max: Any = None) -> Tensor:
        """In-place version of ``clip``."""
    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy, its elements in row-major order in memory; gradients flow through it."""
    def conj(self) -> Tensor:
        """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
    def conj_physical(self) -> Tensor:
        """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
    def conj_physical_(self) -> Tensor:
        """In-place version of ``conj_physical``."""
    def contiguous(self, memory_format: Any = None) -> Tensor:
        """The tensor itself if its elements lie in row-major order in memory, else a copy ..."""
    def copy_(self, source: Any, non_blocking: _bool = False) -> Tensor:
        """Copy ``source`` (a tensor, broadcast, converted, from any device; or a number) ..."""
    def copysign(self, other: Any) -> Tensor:
        """|input| with the sign of ``other`` (a tensor or a number, -0.0 has one), ..."""
    def copysign_(self, other: Any) -> Tensor:
        """In-place version of ``copysign``."""
    def corrcoef(self) -> Tensor:
        """Pearson's correlation coefficients of the rows of a matrix, their covariances ..."""
    def cos(self) -> Tensor:
        """cos(input)."""
    def cos_(self) -> Tensor:
        """In-place version of ``cos``."""
    def cosh(self) -> Tensor:
        """cosh(input)."""
    def cosh_(self) -> Tensor:
        """In-place version of ``cosh``."""
    @overload
    def count_nonzero(self, dim: Any = None) -> Tensor:
        """How many elements over ``dim`` (one, several, or all by default) are not 0 (nan ..."""
    @overload
    def count_nonzero(self, *, axis: Any) -> Tensor: ...
    def cov(
        self, *, correction: _float = 1, fweights: Tensor | None = None,
        aweights: Tensor | None = None,
    ) -> Tensor:
        """The covariance matrix of the rows of a matrix: (n variables, m observations) -> ..."""
    def cpu(self, memory_format: Any = None) -> Tensor:
        """The tensor on the CPU: itself if it is there, else a copy."""
    @overload
    def cross(self, other: Tensor, dim: _int | None = None) -> Tensor:
        """The vector products along ``dim``, or along the first dimension of size 3: ..."""
    @overload
    def cross(self, other: Tensor, *, axis: _int | None) -> Tensor: ...
    def cuda(
        self, device: Any = None, non_blocking: _bool = False, memory_format: Any = None,
    ) -> Tensor:
        """The tensor on a GPU, the first by default: itself if it is there, else a copy."""
    @overload
    def cummax(self, dim: _int) -> Picked:
        """(values, indices) of the largest element so far along ``dim``, or nan; of equal ..."""
    @overload
    def cummax(self, *, axis: _int) -> Picked: ...
    @overload
    def cummin(self, dim: _int) -> Picked:
        """(values, indices) of the smallest element so far along ``dim``, or nan; of equal ..."""
    @overload
    def cummin(self, *, axis: _int) -> Picked: ...
    @overload
    def cumprod(self, dim: _int, *, dtype: Any = None) -> Tensor:
        """y[i] = x[0] * ..."""
    @overload
    def cumprod(self, *, axis: _int, dtype: Any = None) -> Tensor: ...
    def cumprod_(self, dim: _int, *, dtype: Any = None) -> Tensor:
        """In-place version of ``cumprod``."""
    @overload
    def cumsum(self, dim: _int, *, dtype: Any = None) -> Tensor:
        """y[i] = x[0] + ..."""
    @overload
    def cumsum(self, *, axis: _int, dtype: Any = None) -> Tensor: ...
    def cumsum_(self, dim: _int, *, dtype: Any = None) -> Tensor:
        """In-place version of ``cumsum``."""
    def deg2rad(self) -> Tensor:
        """Degrees as radians."""
    def deg2rad_(self) -> Tensor:
        """In-place version of ``deg2rad``."""
    def det(self) -> Tensor:
        """The determinants of (..., n, n) matrices, (...)."""
    def diag(self, diagonal: _int = 0) -> Tensor:
        """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix as a ..."""
    def diag_embed(self, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor:
        """Zeros but for the last dimension's elements, which stand on the diagonals over ..."""
    def diagflat(self, offset: _int = 0) -> Tensor:
        """All elements, in row-major order, as the diagonal of a matrix of zeros."""
    def diagonal(self, offset: _int = 0, dim1: _int = 0, dim2: _int = 1) -> Tensor:
        """A view of the diagonals over two dims, as the last dimension: (m, n, b) gives ..."""
    def diagonal_scatter(
        self, src: Tensor, offset: _int = 0, dim1: _int = 0, dim2: _int = 1,
    ) -> Tensor:
        """A copy of ``input`` in which ``diagonal(offset, dim1, dim2)`` is ``src``."""
    @overload
    def diff(
        self, n: _int = 1, dim: _int = -1, prepend: Tensor | None = None,
        append: Tensor | None = None,
    ) -> Tensor:
        """The n-th differences x[i + 1] - x[i] along ``dim``, whose size becomes smaller ..."""
    @overload
    def diff(
        self, n: _int = 1, *, axis: _int, prepend: Tensor | None = None,
        append: Tensor | None = None,
    ) -> Tensor: ...
    def digamma(self) -> Tensor:
        """The derivative of lgamma(input)."""
    def digamma_(self) -> Tensor:
        """In-place version of ``digamma``."""
    def dist(self, other: Tensor, p: _float = 2) -> Tensor:
        """The p-norm of the (broadcast) difference of two tensors, over all elements: a ..."""
    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """input / other in floating point, broadcast; with ``rounding_mode`` rounded ..."""
    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """In-place version of ``div``."""
    def divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """input / other in floating point, broadcast; with ``rounding_mode`` rounded ..."""
    def divide_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """In-place version of ``divide``."""
    def dot(self, tensor: Tensor) -> Tensor:
        """The inner product of two vectors: (n,) and (n,) -> ()."""
    def double(self, memory_format: Any = None) -> Tensor:
        """The tensor as float64: itself if it is that, else a copy."""
    def dsplit(
        self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    ) -> tuple[Tensor, ...]:
        """``tensor_split`` along dim 2, where a number of parts must divide the size."""
    def eq(self, other: Any) -> Tensor:
        """input == other, as bools."""
    def eq_(self, other: Any) -> Tensor:
        """In-place version of ``eq``."""
    def equal(self, other: Tensor) -> _bool:
        """Whether two tensors have the same shape and elements."""
    def erf(self) -> Tensor:
        """2 / sqrt(pi) times the integral of exp(-t ** 2) from 0 to input."""
    def erf_(self) -> Tensor:
        """In-place version of ``erf``."""
    def erfc(self) -> Tensor:
        """1 - erf(input), with all digits where it is small."""
    def erfc_(self) -> Tensor:
        """In-place version of ``erfc``."""
    def erfinv(self) -> Tensor:
        """The inverse of erf; nan where |input| > 1."""
    def erfinv_(self) -> Tensor:
        """In-place version of ``erfinv``."""
    def exp(self) -> Tensor:
        """exp(input)."""
    def exp2(self) -> Tensor:
        """2 ** input."""
    def exp2_(self) -> Tensor:
        """In-place version of ``exp2``."""
    def exp_(self) -> Tensor:
        """In-place version of ``exp``."""
    def expand(self, *sizes: Any, size: Any = None, implicit: _bool = False) -> Tensor:
        """A view in a larger shape: dimensions of size 1, and new ones at the front, are ..."""
    def expand_as(self, other: Tensor) -> Tensor:
        """``expand`` to the shape of ``other``; raises what that does."""
    def expm1(self) -> Tensor:
        """exp(input) - 1, exact near 0."""
    def expm1_(self) -> Tensor:
        """In-place version of ``expm1``."""
    def exponential_(self, lambd: _float = 1.0, *, generator: Any = None) -> Tensor:
        """Set the elements to random numbers with density lambd exp(-lambd x), x > 0."""
    def fill_(self, value: Any) -> Tensor:
        """Set every element to ``value``, a number or a 0-d tensor; returns and raises ..."""
    def fill_diagonal_(self, fill_value: Any, wrap: _bool = False) -> Tensor:
        """In-place version of ``fill_diagonal``."""
    def fix(self) -> Tensor:
        """input rounded towards 0, of input's dtype."""
    def fix_(self) -> Tensor:
        """In-place version of ``fix``."""
    def flatten(self, start_dim: _int = 0, end_dim: _int = -1) -> Tensor:
        """Dimensions start_dim to end_dim as one: all by default, as (n); a 0-d tensor ..."""
    def flip(self, *order: Any, dims: Any = None) -> Tensor:
        """A copy with the elements in reverse order along ``dims``."""
    def fliplr(self) -> Tensor:
        """``flip`` of the columns, dim 1."""
    def flipud(self) -> Tensor:
        """``flip`` of the rows, dim 0."""
    def float(self, memory_format: Any = None) -> Tensor:
        """The tensor as float32: itself if it is that, else a copy."""
    def float_power(self, exponent: Any) -> Tensor:
        """input ** exponent, computed and returned in float64; one may be a number."""
    def float_power_(self, exponent: Any) -> Tensor:
        """``float_power``, written over a float64 tensor."""
    def floor(self) -> Tensor:
        """The largest integer <= input, of input's dtype."""
    def floor_(self) -> Tensor:
        """In-place version of ``floor``."""
    def floor_divide(self, other: Any) -> Tensor:
        """input / other, rounded down."""
    def floor_divide_(self, other: Any) -> Tensor:
        """In-place version of ``floor_divide``."""
    def fmax(self, other: Tensor) -> Tensor:
        """The larger of two numbers; the other one where one is nan."""
    def fmin(self, other: Tensor) -> Tensor:
        """The smaller of two numbers; the other one where one is nan."""
    def fmod(self, other: Any) -> Tensor:
        """input - other * trunc(input / other), broadcast and promoted: the remainder that ..."""
    def fmod_(self, other: Any) -> Tensor:
        """In-place version of ``fmod``."""
    def frac(self) -> Tensor:
        """The fraction: input - trunc(input), of the input's sign."""
    def frac_(self) -> Tensor:
        """In-place version of ``frac``."""
    def frexp(self) -> Frexp:
        """(mantissa, exponent): input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1; ..."""
    @overload
    def gather(self, dim: _int, index: Tensor, *, sparse_grad: _bool = False) -> Tensor:
        """``result[i][j][k] = input[index[i][j][k]][j][k]`` for dim 0, and so on: the ..."""
    @overload
    def gather(self, *, axis: _int, index: Tensor, sparse_grad: _bool = False) -> Tensor: ...
    def gcd(self, other: Tensor) -> Tensor:
        """The greatest common divisor of integers, never negative, broadcast and promoted."""
    def gcd_(self, other: Tensor) -> Tensor:
        """In-place version of ``gcd``."""
    def ge(self, other: Any) -> Tensor:
        """input >= other, as bools."""
    def ge_(self, other: Any) -> Tensor:
        """In-place version of ``ge``."""
    def geometric_(self, p: _float, *, generator: Any = None) -> Tensor:
        """Set the elements to the number of trials (1, 2, ...) until one succeeds, each ..."""
    def geqrf(self) -> Reflections:
        """(a, tau): LAPACK's form of the QR factorisation of (..., m, n) matrices."""
    def ger(self, vec2: Tensor) -> Tensor:
        """The products of all pairs: (m,) and (n,) -> (m, n)."""
    def greater(self, other: Any) -> Tensor:
        """input > other, as bools."""
    def greater_(self, other: Any) -> Tensor:
        """In-place version of ``greater``."""
    def greater_equal(self, other: Any) -> Tensor:
        """input >= other, as bools."""
    def greater_equal_(self, other: Any) -> Tensor:
        """In-place version of ``greater_equal``."""
    def gt(self, other: Any) -> Tensor:
        """input > other, as bools."""
    def gt_(self, other: Any) -> Tensor:
        """In-place version of ``gt``."""
    def half(self, memory_format: Any = None) -> Tensor:
        """The tensor as float16: itself if it is that, else a copy."""
    def hardshrink(self, lambd: _float = 0.5) -> Tensor:
        """0 where -lambd <= x <= lambd, x elsewhere."""
    def heaviside(self, values: Tensor) -> Tensor:
        """0 below 0, 1 above, and ``values`` (which broadcast) at 0."""
    def heaviside_(self, values: Tensor) -> Tensor:
        """In-place version of ``heaviside``."""
    def histc(self, bins: _int = 100, min: _float = 0, max: _float = 0) -> Tensor:
        """How many elements fall into each of ``bins`` equal bins from min to max (if they ..."""
    def histogram(
        self, bins: Any, *, range: Sequence[_float] | None = None, weight: Tensor | None = None,
        density: _bool = False,
    ) -> Histogram:
        """(hist, bin_edges): how many elements, or what weight, falls into each bin."""
    def hsplit(
        self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    ) -> tuple[Tensor, ...]:
        """``tensor_split`` along dim 1 (of a vector, 0), where a number of parts must ..."""
    def hypot(self, other: Tensor) -> Tensor:
        """sqrt(input ** 2 + other ** 2), without overflow on the way."""
    def hypot_(self, other: Tensor) -> Tensor:
        """In-place version of ``hypot``."""
    def i0(self) -> Tensor:
        """I_0(input), a Bessel function in the notation of DLMF 10."""
    def i0_(self) -> Tensor:
        """In-place version of ``i0``."""
    def igamma(self, other: Tensor) -> Tensor:
        """P(input, other): the integral of t ** (input - 1) exp(-t) over 0 < t < other, ..."""
    def igamma_(self, other: Tensor) -> Tensor:
        """In-place version of ``igamma``."""
    def igammac(self, other: Tensor) -> Tensor:
        """1 - igamma(input, other), with all digits where it is small."""
    def igammac_(self, other: Tensor) -> Tensor:
        """In-place version of ``igammac``."""
    @overload
    def index_add(self, dim: _int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
        """A copy of ``input`` with alpha * source[i] added to slice index[i] along ..."""
    @overload
    def index_add(self, *, axis: _int, index: Tensor, source: Tensor, alpha: Any = 1) -> Tensor: ...
    def index_add_(self, dim: _int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
        """In-place version of ``index_add``."""
    @overload
    def index_copy(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """A copy of ``input`` with slice index[i] along ``dim`` replaced by source[i]; ..."""
    @overload
    def index_copy(self, *, axis: _int, index: Tensor, source: Tensor) -> Tensor: ...
    def index_copy_(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """In-place version of ``index_copy``."""
    @overload
    def index_fill(self, dim: _int, index: Tensor, value: Any) -> Tensor:
        """A copy of ``input`` with the slices that the 1-d int64 ``index`` names along ..."""
    @overload
    def index_fill(self, *, axis: _int, index: Tensor, value: Any) -> Tensor: ...
    def index_fill_(self, dim: _int, index: Tensor, value: Any) -> Tensor:
        """In-place version of ``index_fill``."""
    def index_put(self, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
        """A copy of ``input`` with ``input[indices] = values``, or ``+= values``: a tuple ..."""
    def index_put_(self, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
        """In-place version of ``index_put``."""
    @overload
    def index_reduce(
        self, dim: _int, index: Tensor, source: Tensor, reduce: str, *, include_self: _bool = True,
    ) -> Tensor:
        """A copy of ``input`` in which each slice that ``index`` names along ``dim`` is ..."""
    @overload
    def index_reduce(
        self, *, axis: _int, index: Tensor, source: Tensor, reduce: str, include_self: _bool = True,
    ) -> Tensor: ...
    def index_reduce_(
        self, dim: _int, index: Tensor, source: Tensor, reduce: str, *, include_self: _bool = True,
    ) -> Tensor:
        """In-place version of ``index_reduce``."""
    @overload
    def index_select(self, dim: _int, index: Tensor) -> Tensor:
        """A copy of the slices of ``input`` along ``dim`` that the 1-d ``index`` (int64 or ..."""
    @overload
    def index_select(self, *, axis: _int, index: Tensor) -> Tensor: ...
    def inner(self, other: Tensor) -> Tensor:
        """Sums of products over the last dimension of both: (a..., k) and (b..., k) -> ..."""
    def int(self, memory_format: Any = None) -> Tensor:
        """The tensor as int32: itself if it is that, else a copy."""
    def inverse(self) -> Tensor:
        """The inverses of (..., n, n) matrices."""
    def is_pinned(self, device: Any = None) -> _bool:
        """False: no memory of the host is pinned."""
    def is_shared(self) -> _bool:
        """Whether other processes may see this memory: on a GPU only."""
    def isclose(
        self, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08, equal_nan: _bool = False,
    ) -> Tensor:
        """|input - other| <= atol + rtol |other|, element by element: bools, of the ..."""
    def isfinite(self) -> Tensor:
        """Whether input is neither infinite nor nan."""
    def isinf(self) -> Tensor:
        """Whether input is infinite."""
    def isnan(self) -> Tensor:
        """Whether input is nan."""
    def isneginf(self) -> Tensor:
        """Whether input is -inf."""
    def isposinf(self) -> Tensor:
        """Whether input is inf."""
    def isreal(self) -> Tensor:
        """True for each element: tensors are of real numbers."""
    def kron(self, other: Tensor) -> Tensor:
        """The Kronecker product: each element of ``input`` times the whole of ``other``, ..."""
    @overload
    def kthvalue(self, k: _int, dim: _int = -1, keepdim: _bool = False) -> Picked:
        """(values, indices) of the k-th smallest elements along ``dim``, counted from 1; ..."""
    @overload
    def kthvalue(self, k: _int, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    def lcm(self, other: Tensor) -> Tensor:
        """The least common multiple of integers, never negative, broadcast and promoted."""
    def lcm_(self, other: Tensor) -> Tensor:
        """In-place version of ``lcm``."""
    def ldexp(self, other: Tensor) -> Tensor:
        """input * 2 ** other, broadcast; of input's dtype where that is floating-point and ..."""
    def ldexp_(self, other: Tensor) -> Tensor:
        """In-place version of ``ldexp``."""
    def le(self, other: Any) -> Tensor:
        """input <= other, as bools."""
    def le_(self, other: Any) -> Tensor:
        """In-place version of ``le``."""
    def lerp(self, end: Tensor, weight: Any) -> Tensor:
        """input + weight * (end - input), exact at both ends; the weight is a number or a ..."""
    def lerp_(self, end: Tensor, weight: Any) -> Tensor:
        """In-place version of ``lerp``."""
    def less(self, other: Any) -> Tensor:
        """input < other, as bools."""
    def less_(self, other: Any) -> Tensor:
        """In-place version of ``less``."""
    def less_equal(self, other: Any) -> Tensor:
        """input <= other, as bools."""
    def less_equal_(self, other: Any) -> Tensor:
        """In-place version of ``less_equal``."""
    def lgamma(self) -> Tensor:
        """log(|gamma(input)|)."""
    def lgamma_(self) -> Tensor:
        """In-place version of ``lgamma``."""
    def log(self) -> Tensor:
        """The natural logarithm."""
    def log10(self) -> Tensor:
        """The logarithm to base 10."""
    def log10_(self) -> Tensor:
        """In-place version of ``log10``."""
    def log1p(self) -> Tensor:
        """log(1 + input), exact near 0."""
    def log1p_(self) -> Tensor:
        """In-place version of ``log1p``."""
    def log2(self) -> Tensor:
        """The logarithm to base 2."""
    def log2_(self) -> Tensor:
        """In-place version of ``log2``."""
    def log_(self) -> Tensor:
        """In-place version of ``log``."""
    def log_normal_(
        self, mean: _float = 1.0, std: _float = 2.0, *, generator: Any = None,
    ) -> Tensor:
        """Set the elements to exp(z), z normal with this mean and standard deviation."""
    @overload
    def log_softmax(self, dim: _int | None = None, dtype: Any = None) -> Tensor:
        """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps."""
    @overload
    def log_softmax(self, *, axis: _int | None, dtype: Any = None) -> Tensor: ...
    def logaddexp(self, other: Tensor) -> Tensor:
        """log(exp(input) + exp(other)), without overflow."""
    def logaddexp2(self, other: Tensor) -> Tensor:
        """log2(2 ** input + 2 ** other), without overflow."""
    @overload
    def logcumsumexp(self, dim: _int) -> Tensor:
        """y[i] = log(exp(x[0]) + ..."""
    @overload
    def logcumsumexp(self, *, axis: _int) -> Tensor: ...
    def logdet(self) -> Tensor:
        """The logarithms of the determinants of (..., n, n) matrices, (...): nan where ..."""
    def logical_and(self, other: Tensor) -> Tensor:
        """Whether both are not 0."""
    def logical_and_(self, other: Tensor) -> Tensor:
        """In-place version of ``logical_and``."""
    def logical_not(self) -> Tensor:
        """Whether input is 0."""
    def logical_not_(self) -> Tensor:
        """In-place version of ``logical_not``."""
    def logical_or(self, other: Tensor) -> Tensor:
        """Whether one or both are not 0."""
    def logical_or_(self, other: Tensor) -> Tensor:
        """In-place version of ``logical_or``."""
    def logical_xor(self, other: Tensor) -> Tensor:
        """Whether one of the two, and only one, is not 0."""
    def logical_xor_(self, other: Tensor) -> Tensor:
        """In-place version of ``logical_xor``."""
    def logit(self, eps: _float | None = None) -> Tensor:
        """log(x / (1 - x)), element by element; integers become the default float dtype."""
    def logit_(self, eps: _float | None = None) -> Tensor:
        """In-place version of ``logit``."""
    @overload
    def logsumexp(self, dim: Any, keepdim: _bool = False) -> Tensor:
        """log(sum(exp(input))) over ``dim``, without overflow; -inf for an empty input."""
    @overload
    def logsumexp(self, *, axis: Any, keepdims: _bool = False) -> Tensor: ...
    def long(self, memory_format: Any = None) -> Tensor:
        """The tensor as int64: itself if it is that, else a copy."""
    def lt(self, other: Any) -> Tensor:
        """input < other, as bools."""
    def lt_(self, other: Any) -> Tensor:
        """In-place version of ``lt``."""
    def lu(self, pivot: _bool = True, get_infos: _bool = False) -> Any:
        """(LU, pivots) as by ``linalg.lu_factor``, which raises LinAlgError if a matrix is ..."""
    def lu_solve(self, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
        """The solution of A x = b from ``lu(A)``: ``linalg.lu_solve`` under its older name."""
    def map_(self, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
        """Replace each element by what a function of Python's makes of it and the element ..."""
    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """``input`` with ``value``, a number or a 0-d tensor, where the bool ``mask`` is ..."""
    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        """In-place version of ``masked_fill``."""
    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """A copy of ``input`` with the elements of ``source``, in row-major order, where ..."""
    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        """In-place version of ``masked_scatter``."""
    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where the bool ``mask`` is True, both broadcast to one shape, in ..."""
    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product; vectors are a row on the left and a column on the right, ..."""
    def matrix_exp(self) -> Tensor:
        """The exponential of (..., n, n) matrices: the sum of A^k / k! over all k from 0 on."""
    def matrix_power(self, n: _int) -> Tensor:
        """The product of n times the (..., n, n) matrix A; for negative n, of its inverse; ..."""
    @overload
    def max(self) -> Tensor:
        """The largest element, or nan; with a dimension, (values, indices) along it, of ..."""
    @overload
    def max(self, dim: _int, keepdim: _bool = False) -> Picked: ...
    @overload
    def max(self, other: Tensor) -> Tensor: ...
    @overload
    def max(self, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    def maximum(self, other: Tensor) -> Tensor:
        """The larger of two numbers; nan where one is nan."""
    @overload
    def mean(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        """The arithmetic mean over ``dim`` (one, several, or all by default); nan for an ..."""
    @overload
    def mean(self, *, axis: Any, keepdims: _bool = False, dtype: Any = None) -> Tensor: ...
    @overload
    def median(self) -> Tensor:
        """The median (the lower one of two), or nan if there is one; with a dimension, ..."""
    @overload
    def median(self, dim: _int, keepdim: _bool = False) -> Picked: ...
    @overload
    def median(self, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    @overload
    def min(self) -> Tensor:
        """The smallest element, or nan; with a dimension, (values, indices) along it, of ..."""
    @overload
    def min(self, dim: _int, keepdim: _bool = False) -> Picked: ...
    @overload
    def min(self, other: Tensor) -> Tensor: ...
    @overload
    def min(self, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    def minimum(self, other: Tensor) -> Tensor:
        """The smaller of two numbers; nan where one is nan."""
    def mm(self, mat2: Tensor) -> Tensor:
        """The matrix product (m, k) @ (k, n) -> (m, n)."""
    @overload
    def mode(self, dim: _int = -1, keepdim: _bool = False) -> Picked:
        """(values, indices) of the most frequent elements along ``dim``; of several the ..."""
    @overload
    def mode(self, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """``movedim`` under NumPy's name; raises what that does."""
    def movedim(self, source: Any, destination: Any) -> Tensor:
        """A view with the ``source`` dimensions at the ``destination`` positions; the ..."""
    def msort(self) -> Tensor:
        """The values of ``sort`` along the first dimension."""
    def mul(self, other: Any) -> Tensor:
        """input * other."""
    def mul_(self, other: Any) -> Tensor:
        """In-place version of ``mul``."""
    def multinomial(
        self, num_samples: _int, replacement: _bool = False, *, generator: Any = None,
    ) -> Tensor:
        """``num_samples`` class indices (int64) for each row of weights, drawn with or ..."""
    def multiply(self, other: Any) -> Tensor:
        """input * other."""
    def multiply_(self, other: Any) -> Tensor:
        """In-place version of ``multiply``."""
    def mv(self, vec: Tensor) -> Tensor:
        """The product of a matrix and a vector: (m, k) @ (k,) -> (m,)."""
    def mvlgamma(self, p: _int) -> Tensor:
        """The logarithm of the multivariate gamma function of dimension p, element by ..."""
    def mvlgamma_(self, p: _int) -> Tensor:
        """In-place version of ``mvlgamma``."""
    def nan_to_num(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None,
    ) -> Tensor:
        """nan replaced by ``nan`` (0 by default), the infinities by ``posinf`` and ..."""
    def nan_to_num_(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None,
    ) -> Tensor:
        """In-place version of ``nan_to_num``."""
    @overload
    def nanmean(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        """``mean`` of the elements that are not nan, or nan if there are none."""
    @overload
    def nanmean(self, *, axis: Any, keepdims: _bool = False, dtype: Any = None) -> Tensor: ...
    @overload
    def nanmedian(self) -> Tensor:
        """``median`` of the elements that are not nan, or nan if there are none."""
    @overload
    def nanmedian(self, dim: _int, keepdim: _bool = False) -> Picked: ...
    @overload
    def nanmedian(self, *, axis: _int, keepdims: _bool = False) -> Picked: ...
    @overload
    def nanquantile(
        self, q: Any, dim: _int | None = None, keepdim: _bool = False, *,
        interpolation: str = "linear",
    ) -> Tensor:
        """``quantile`` of the elements that are not nan, or nan if there are none."""
    @overload
    def nanquantile(
        self, q: Any, *, axis: _int | None, keepdims: _bool = False, interpolation: str = "linear",
    ) -> Tensor: ...
    @overload
    def nansum(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        """``sum`` of the elements that are not nan."""
    @overload
    def nansum(self, *, axis: Any, keepdims: _bool = False, dtype: Any = None) -> Tensor: ...
    @overload
    def narrow(self, dim: _int, start: Any, length: _int) -> Tensor:
        """A view of ``length`` elements along ``dim``, from ``start`` (an int or a 0-d ..."""
    @overload
    def narrow(self, *, axis: _int, start: Any, length: _int) -> Tensor: ...
    @overload
    def narrow_copy(self, dim: _int, start: Any, length: _int) -> Tensor:
        """A copy of what ``narrow`` shows; raises what that does."""
    @overload
    def narrow_copy(self, *, axis: _int, start: Any, length: _int) -> Tensor: ...
    def ne(self, other: Any) -> Tensor:
        """input != other, as bools."""
    def ne_(self, other: Any) -> Tensor:
        """In-place version of ``ne``."""
    def neg(self) -> Tensor:
        """-input."""
    def neg_(self) -> Tensor:
        """In-place version of ``neg``."""
    def negative(self) -> Tensor:
        """-input."""
    def negative_(self) -> Tensor:
        """In-place version of ``negative``."""
    def new(
        self, *args: Any, device: Any = None, dtype: Any = None, requires_grad: _bool = False,
        layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """Another tensor of this one's dtype, on its device unless another is given: of ..."""
    @overload
    def new_empty(
        self, *size: Any, memory_format: Any = None, dtype: Any = None, device: Any = None,
        requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """``empty`` of this tensor's dtype and device by default."""
    @overload
    def new_empty(
        self, *, size: Any, memory_format: Any = None, dtype: Any = None, device: Any = None,
        requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor: ...
    def new_empty_strided(
        self, size: Any, stride: Any, *, dtype: Any = None, device: Any = None,
        requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """``empty_strided`` of this tensor's dtype and device by default."""
    def new_full(
        self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
        requires_grad: _bool = False, layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """``full`` of this tensor's dtype and device by default."""
    @overload
    def new_ones(
        self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
        layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """``ones`` of this tensor's dtype and device by default."""
    @overload
    def new_ones(
        self, *, size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
        layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor: ...
    def new_tensor(
        self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
        pin_memory: _bool = False,
    ) -> Tensor:
        """``tensor`` of this tensor's dtype and device by default."""
    @overload
    def new_zeros(
        self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
        layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor:
        """``zeros`` of this tensor's dtype and device by default."""
    @overload
    def new_zeros(
        self, *, size: Any, dtype: Any = None, device: Any = None, requires_grad: _bool = False,
        layout: Any = None, pin_memory: _bool = False,
    ) -> Tensor: ...
    def nextafter(self, other: Tensor) -> Tensor:
        """The next number of the dtype after input in the direction of other."""
    def nextafter_(self, other: Tensor) -> Tensor:
        """In-place version of ``nextafter``."""
    @overload
    def nonzero(self, *, as_tuple: Literal[False] = False) -> Tensor:
        """The int64 indices of the elements that are not 0 (nan is not), in row-major ..."""
    @overload
    def nonzero(self, *, as_tuple: _bool = False) -> Any: ...
    def nonzero_static(self, *, size: _int, fill_value: _int = -1) -> Tensor:
        """``nonzero`` in exactly ``size`` rows: the first ones, then rows of ``fill_value``."""
    @overload
    def norm(
        self, p: Any = "fro", dim: Any = None, keepdim: _bool = False, dtype: Any = None,
    ) -> Tensor:
        """The p-norm, (sum |x|^p)^(1/p), over ``dim`` (all of it by default), computed in ..."""
    @overload
    def norm(
        self, p: Any = "fro", *, axis: Any, keepdims: _bool = False, dtype: Any = None,
    ) -> Tensor: ...
    def normal_(self, mean: _float = 0.0, std: _float = 1.0, *, generator: Any = None) -> Tensor:
        """Set the elements to random numbers of a normal distribution."""
    def not_equal(self, other: Any) -> Tensor:
        """input != other, as bools."""
    def not_equal_(self, other: Any) -> Tensor:
        """In-place version of ``not_equal``."""
    def orgqr(self, tau: Tensor) -> Tensor:
        """The first n columns of H_1 ..."""
    def ormqr(
        self, tau: Tensor, other: Tensor, left: _bool = True, transpose: _bool = False,
    ) -> Tensor:
        """Q other, Q^T other (transpose), other Q or other Q^T (left=False), where Q is ..."""
    def outer(self, vec2: Tensor) -> Tensor:
        """The products of all pairs: (m,) and (n,) -> (m, n)."""
    def permute(self, *order: Any, dims: Any = None) -> Tensor:
        """A view with the dimensions in another order: dimension i of the result is ..."""
    def pin_memory(self, device: Any = None) -> Tensor:
        """The tensor itself: a copy to a GPU is complete when the call returns, from any ..."""
    def pinverse(self, rcond: _float = 1e-15) -> Tensor:
        """``linalg.pinv`` under its older name: the Moore-Penrose inverses of (..., m, n) ..."""
    def polygamma(self, n: _int) -> Tensor:
        """``polygamma`` with its arguments exchanged: the n-th derivative of ``digamma``."""
    def polygamma_(self, n: _int) -> Tensor:
        """In-place version of ``polygamma``."""
    def positive(self) -> Tensor:
        """+input: the tensor itself."""
    def pow(self, exponent: Any) -> Tensor:
        """input ** exponent, broadcast and promoted."""
    def pow_(self, exponent: Any) -> Tensor:
        """In-place version of ``pow``."""
    def prelu(self, weight: Tensor) -> Tensor:
        """x where positive, weight * x elsewhere (He et al."""
    @overload
    def prod(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        """The product over ``dim`` (one, several, or all by default); 1 for an empty input."""
    @overload
    def prod(self, *, axis: Any, keepdims: _bool = False, dtype: Any = None) -> Tensor: ...
    def put(self, index: Tensor, source: Tensor, accumulate: _bool = False) -> Tensor:
        """A copy of ``input`` with ``source`` written (or added) at int64 positions in the ..."""
    def put_(self, index: Tensor, source: Tensor, accumulate: _bool = False) -> Tensor:
        """In-place version of ``put``."""
    def qr(self, some: _bool = True) -> QR:
        """``linalg.qr`` under its older name: mode "reduced", or "complete" (some=False)."""
    @overload
    def quantile(
        self, q: Any, dim: _int | None = None, keepdim: _bool = False, *,
        interpolation: str = "linear",
    ) -> Tensor:
        """The q-th quantiles (0 <= q <= 1, a number or a vector, whose dimension comes ..."""
    @overload
    def quantile(
        self, q: Any, *, axis: _int | None, keepdims: _bool = False, interpolation: str = "linear",
    ) -> Tensor: ...
    def rad2deg(self) -> Tensor:
        """Radians as degrees."""
    def rad2deg_(self) -> Tensor:
        """In-place version of ``rad2deg``."""
    def random_(self, low: Any = 0, high: Any = None, *, generator: Any = None) -> Tensor:
        """Set the elements to random integers in [low, high): ``random_(high)``, or by ..."""
    def ravel(self) -> Tensor:
        """All elements in one dimension, in row-major order; a view of a contiguous ..."""
    def reciprocal(self) -> Tensor:
        """1 / input."""
    def reciprocal_(self) -> Tensor:
        """In-place version of ``reciprocal``."""
    def record_stream(self, stream: Any) -> None:
        """Let this memory not be used again before the work is done that was sent to ..."""
    def relu(self, inplace: _bool = False) -> Tensor:
        """max(x, 0); slope 0 at 0."""
    def relu_(self) -> Tensor:
        """In-place version of ``relu``: returns the tensor."""
    def remainder(self, other: Any) -> Tensor:
        """input - other * floor(input / other), which has the sign of ``other``."""
    def remainder_(self, other: Any) -> Tensor:
        """In-place version of ``remainder``."""
    @overload
    def renorm(self, p: _float, dim: _int, maxnorm: _float) -> Tensor:
        """The slices along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it; the ..."""
    @overload
    def renorm(self, p: _float, *, axis: _int, maxnorm: _float) -> Tensor: ...
    def renorm_(self, p: _float, dim: _int, maxnorm: _float) -> Tensor:
        """In-place version of ``renorm``."""
    def repeat(self, *counts: Any, repeats: Any = None) -> Tensor:
        """The tensor laid side by side, counts[i] times along dimension i: a copy."""
    @overload
    def repeat_interleave(
        self, repeats: Any = None, dim: _int | None = None, *, output_size: _int | None = None,
    ) -> Tensor:
        """Each slice along ``dim`` (each element, without one) repeated: a number of ..."""
    @overload
    def repeat_interleave(
        self, repeats: Any = None, *, axis: _int | None, output_size: _int | None = None,
    ) -> Tensor: ...
    def reshape(self, *sizes: Any, shape: Any = None) -> Tensor:
        """The same elements, in row-major order, in another shape (one size may be -1: ..."""
    def reshape_as(self, other: Tensor) -> Tensor:
        """``reshape`` to the shape of ``other``; raises what that does."""
    def resize_(self, *sizes: Any, memory_format: Any = None) -> Tensor:
        """Give this tensor another shape, its elements in order in memory from its first ..."""
    def resize_as_(self, other: Tensor, memory_format: Any = None) -> Tensor:
        """``resize_`` to another tensor's shape."""
    def resolve_conj(self) -> Tensor:
        """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
    def resolve_neg(self) -> Tensor:
        """The tensor itself, not a copy: tensors are real, so it is its own conjugate and ..."""
    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """A copy with the elements moved by ``shifts[i]`` along ``dims[i]`` (without dims, ..."""
    def rot90(self, k: _int = 1, dims: Any = ...) -> Tensor:
        """Turned k times by 90 degrees, from the first of two ``dims`` towards the second."""
    def round(self, *, decimals: _int = 0) -> Tensor:
        """To the nearest integer, halves to even; with ``decimals`` to so many digits ..."""
    def round_(self, *, decimals: _int = 0) -> Tensor:
        """In-place version of ``round``."""
    def rsqrt(self) -> Tensor:
        """1 / sqrt(input)."""
    def rsqrt_(self) -> Tensor:
        """In-place version of ``rsqrt``."""
    def rsub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """other - alpha * input: ``sub`` with the operands exchanged."""
    @overload
    def scatter(
        self, dim: _int, index: Tensor, src: Any = None, *, value: Any = None,
        reduce: str | None = None,
    ) -> Tensor:
        """A copy of ``input`` with ``src[i][j][k]`` (or a number) at ..."""
    @overload
    def scatter(
        self, *, axis: _int, index: Tensor, src: Any = None, value: Any = None,
        reduce: str | None = None,
    ) -> Tensor: ...
    def scatter_(
        self, dim: _int, index: Tensor, src: Any = None, *, value: Any = None,
        reduce: str | None = None,
    ) -> Tensor:
        """In-place version of ``scatter``."""
    @overload
    def scatter_add(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """``scatter`` that adds the values of ``src``, in a fixed order; raises what that ..."""
    @overload
    def scatter_add(self, *, axis: _int, index: Tensor, src: Tensor) -> Tensor: ...
    def scatter_add_(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """In-place version of ``scatter_add``."""
    @overload
    def scatter_reduce(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True,
    ) -> Tensor:
        """A copy of ``input`` in which each element that ``index`` names along ``dim`` is ..."""
    @overload
    def scatter_reduce(
        self, *, axis: _int, index: Tensor, src: Tensor, reduce: str, include_self: _bool = True,
    ) -> Tensor: ...
    def scatter_reduce_(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True,
    ) -> Tensor:
        """In-place version of ``scatter_reduce``."""
    @overload
    def select(self, dim: _int, index: Any) -> Tensor:
        """A view of slice ``index`` (an int; a negative one counts from the end) along ..."""
    @overload
    def select(self, *, axis: _int, index: Any) -> Tensor: ...
    @overload
    def select_scatter(self, src: Tensor, dim: _int, index: _int) -> Tensor:
        """A copy of ``input`` in which ``select(dim, index)`` is ``src``."""
    @overload
    def select_scatter(self, src: Tensor, *, axis: _int, index: _int) -> Tensor: ...
    def set_(
        self, source: Tensor | UntypedStorage | None = None, storage_offset: _int = 0,
        size: Any = None, stride: Any = None,
    ) -> Tensor:
        """Let this tensor be another's memory, or a part of a storage: ``size`` elements, ..."""
    def sgn(self) -> Tensor:
        """-1, 0 or 1, of input's dtype."""
    def sgn_(self) -> Tensor:
        """In-place version of ``sgn``."""
    def share_memory_(self) -> Tensor:
        """On a GPU, the tensor."""
    def short(self, memory_format: Any = None) -> Tensor:
        """The tensor as int16: itself if it is that, else a copy."""
    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)); integers become floats."""
    def sigmoid_(self) -> Tensor:
        """In-place version of ``sigmoid``."""
    def sign(self) -> Tensor:
        """-1, 0 or 1, of input's dtype."""
    def sign_(self) -> Tensor:
        """In-place version of ``sign``."""
    def signbit(self) -> Tensor:
        """Whether input is below 0, or -0.0."""
    def sin(self) -> Tensor:
        """sin(input)."""
    def sin_(self) -> Tensor:
        """In-place version of ``sin``."""
    def sinc(self) -> Tensor:
        """sin(pi input) / (pi input), and 1 at 0."""
    def sinc_(self) -> Tensor:
        """In-place version of ``sinc``."""
    def sinh(self) -> Tensor:
        """sinh(input)."""
    def sinh_(self) -> Tensor:
        """In-place version of ``sinh``."""
    @overload
    def slice_scatter(
        self, src: Tensor, dim: _int = 0, start: _int | None = None, end: _int | None = None,
        step: _int = 1,
    ) -> Tensor:
        """A copy of ``input`` in which ``input[..., start:end:step, ...]`` along ``dim`` ..."""
    @overload
    def slice_scatter(
        self, src: Tensor, *, axis: _int, start: _int | None = None, end: _int | None = None,
        step: _int = 1,
    ) -> Tensor: ...
    def slogdet(self) -> SignAndLog:
        """(sign, logabsdet) of (..., n, n) matrices, (...) each: the signs of the ..."""
    @overload
    def softmax(self, dim: _int | None = None, dtype: Any = None) -> Tensor:
        """exp(x) / sum(exp(x)) along ``dim``, of floats."""
    @overload
    def softmax(self, *, axis: _int | None, dtype: Any = None) -> Tensor: ...
    @overload
    def sort(self, dim: _int = -1, descending: _bool = False, stable: _bool = False) -> Picked:
        """(values, indices) in ascending or descending order along ``dim``, indices in int64."""
    @overload
    def sort(self, *, axis: _int, descending: _bool = False, stable: _bool = False) -> Picked: ...
    @overload
    def split(
        self, split_size_or_sections: Any = None, dim: _int = 0, *, split_size: Any = None,
    ) -> tuple[Tensor, ...]:
        """Views of consecutive pieces along ``dim``: of one size (the last may be ..."""
    @overload
    def split(
        self, split_size_or_sections: Any = None, *, axis: _int, split_size: Any = None,
    ) -> tuple[Tensor, ...]: ...
    @overload
    def split_with_sizes(self, split_sizes: Any, dim: _int = 0) -> tuple[Tensor, ...]:
        """Views of consecutive pieces of the sizes given along ``dim``."""
    @overload
    def split_with_sizes(self, split_sizes: Any, *, axis: _int) -> tuple[Tensor, ...]: ...
    def sqrt(self) -> Tensor:
        """sqrt(input)."""
    def sqrt_(self) -> Tensor:
        """In-place version of ``sqrt``."""
    def square(self) -> Tensor:
        """input * input; int64 for bools."""
    def square_(self) -> Tensor:
        """In-place version of ``square``."""
    @overload
    def squeeze(self, dim: Any = None) -> Tensor:
        """A view without the dimensions of size 1: all of them, or those of them that ..."""
    @overload
    def squeeze(self, *, axis: Any) -> Tensor: ...
    def squeeze_(self, dim: Any = None) -> Tensor:
        """In-place version of ``squeeze``."""
    @overload
    def std(
        self, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
        correction: _float | None = None,
    ) -> Tensor:
        """The standard deviation over ``dim``: the square root of ``var``, with its ..."""
    @overload
    def std(
        self, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
        correction: _float | None = None,
    ) -> Tensor: ...
    def storage(self) -> TypedStorage:
        """The whole memory that this tensor is in, with its views and whatever it is a ..."""
    def storage_offset(self) -> _int:
        """How many elements of its memory lie before the tensor's first: an int."""
    def storage_type(self) -> _type:
        """The class of ``storage()``."""
    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """input - alpha * other, broadcast and promoted."""
    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of ``sub``."""
    def subtract(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """input - alpha * other, broadcast and promoted."""
    def subtract_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of ``subtract``."""
    @overload
    def sum(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        """The sum over ``dim`` (one, several, or all by default); 0 for an empty input."""
    @overload
    def sum(self, *, axis: Any, keepdims: _bool = False, dtype: Any = None) -> Tensor: ...
    def sum_to_size(self, *size: Any) -> Tensor:
        """The sum over the dimensions that broadcasting from shape ``size`` would have ..."""
    def svd(self, some: _bool = True, compute_uv: _bool = True) -> SVDTransposed:
        """``linalg.svd`` under its older name: (U, S, V) of (..., m, n) matrices, A = U ..."""
    def swapaxes(self, axis0: _int, axis1: _int) -> Tensor:
        """``transpose`` under NumPy's name."""
    def swapaxes_(self, axis0: _int, axis1: _int) -> Tensor:
        """In-place version of ``swapaxes``."""
    def swapdims(self, dim0: _int, dim1: _int) -> Tensor:
        """A view with two dimensions exchanged."""
    def swapdims_(self, dim0: _int, dim1: _int) -> Tensor:
        """In-place version of ``swapdims``."""
    def t(self) -> Tensor:
        """A matrix (m, n) as its transpose (n, m), a view; vectors and 0-d tensors as they ..."""
    def t_(self) -> Tensor:
        """In-place version of ``t``."""
    def take(self, index: Tensor) -> Tensor:
        """The elements at int64 positions in the flattened tensor (negative ones count ..."""
    @overload
    def take_along_dim(self, indices: Tensor, dim: _int | None = None) -> Tensor:
        """``gather`` with int64 indices (negative ones count from the end) and tensor ..."""
    @overload
    def take_along_dim(self, indices: Tensor, *, axis: _int | None) -> Tensor: ...
    def tan(self) -> Tensor:
        """tan(input)."""
    def tan_(self) -> Tensor:
        """In-place version of ``tan``."""
    def tanh(self) -> Tensor:
        """The hyperbolic tangent; integers become floats."""
    def tanh_(self) -> Tensor:
        """In-place version of ``tanh``."""
    @overload
    def tensor_split(
        self, indices_or_sections: Any = None, dim: _int = 0, *, indices: Any = None,
        sections: Any = None,
    ) -> tuple[Tensor, ...]:
        """Views of parts along ``dim``: cut before the positions given, or into so many ..."""
    @overload
    def tensor_split(
        self, indices_or_sections: Any = None, *, axis: _int, indices: Any = None,
        sections: Any = None,
    ) -> tuple[Tensor, ...]: ...
    def tile(self, *counts: Any, dims: Any = None) -> Tensor:
        """``repeat``, with counts of 1 for the first dimensions where there are too few."""
    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, copy: _bool = False,
        non_blocking: _bool = False, memory_format: Any = None, other: Any = None,
    ) -> Tensor:
        """The tensor with another dtype, on another device, or like another tensor: ..."""
    @overload
    def topk(self, k: _int, dim: _int = -1, largest: _bool = True, sorted: _bool = True) -> Picked:
        """(values, indices) of the k largest (or smallest) elements along ``dim``, whose ..."""
    @overload
    def topk(
        self, k: _int, *, axis: _int, largest: _bool = True, sorted: _bool = True,
    ) -> Picked: ...
    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal, (m, n) -> (); integers add up in int64."""
    def transpose(self, dim0: _int, dim1: _int) -> Tensor:
        """A view with two dimensions exchanged."""
    def transpose_(self, dim0: _int, dim1: _int) -> Tensor:
        """In-place version of ``transpose``."""
    def triangular_solve(
        self, A: Tensor, upper: _bool = True, transpose: _bool = False,
        unitriangular: _bool = False,
    ) -> TriangularSolution:
        """(solution, A) of A x = b, or of A^T x = b (transpose), for b (..., n, k) and ..."""
    def tril(self, diagonal: _int = 0) -> Tensor:
        """A copy of matrices (..., m, n) that is 0 above a diagonal (0: the main one, 1: ..."""
    def tril_(self, diagonal: _int = 0) -> Tensor:
        """In-place version of ``tril``."""
    def triu(self, diagonal: _int = 0) -> Tensor:
        """A copy of matrices (..., m, n) that is 0 below a diagonal (0: the main one, 1: ..."""
    def triu_(self, diagonal: _int = 0) -> Tensor:
        """In-place version of ``triu``."""
    def true_divide(self, other: Any) -> Tensor:
        """input / other in floating point, broadcast; integers become the default float dtype."""
    def true_divide_(self, other: Any) -> Tensor:
        """In-place version of ``true_divide``."""
    def trunc(self) -> Tensor:
        """input rounded towards 0, of input's dtype."""
    def trunc_(self) -> Tensor:
        """In-place version of ``trunc``."""
    @overload
    def type(self) -> str:
        """The tensor in another dtype; one of PyTorch's classes of tensors, or its name ..."""
    @overload
    def type(self, dtype: Any, non_blocking: _bool = False) -> Tensor: ...
    def type_as(self, other: Tensor) -> Tensor:
        """The tensor with the dtype and device of ``other``: itself if it has them, else a ..."""
    @overload
    def unbind(self, dim: _int = 0) -> tuple[Tensor, ...]:
        """Views of all slices along ``dim``, without that dimension."""
    @overload
    def unbind(self, *, axis: _int) -> tuple[Tensor, ...]: ...
    @overload
    def unflatten(self, dim: _int, sizes: Any) -> Tensor:
        """A view with dimension ``dim`` of size n as several of ``sizes``, whose product ..."""
    @overload
    def unflatten(self, *, axis: _int, sizes: Any) -> Tensor: ...
    def unfold(self, dimension: _int, size: _int, step: _int) -> Tensor:
        """A view of all windows of ``size`` elements along a dimension, ``step`` apart: ..."""
    def uniform_(self, low: _float = 0.0, high: _float = 1.0, *, generator: Any = None) -> Tensor:
        """Set the elements to random numbers uniform in [low, high)."""
    @overload
    def unique(
        self, sorted: _bool = True, return_inverse: Literal[False] = False,
        return_counts: Literal[False] = False, dim: _int | None = None,
    ) -> Tensor:
        """The different elements (with ``dim``, the different slices along it), ``sorted`` ..."""
    @overload
    def unique(
        self, sorted: _bool = True, return_inverse: _bool = False, return_counts: _bool = False,
        dim: _int | None = None,
    ) -> Any: ...
    @overload
    def unique(
        self, sorted: _bool = True, return_inverse: Literal[False] = False,
        return_counts: Literal[False] = False, *, axis: _int | None,
    ) -> Tensor: ...
    @overload
    def unique(
        self, sorted: _bool = True, return_inverse: _bool = False, return_counts: _bool = False, *,
        axis: _int | None,
    ) -> Any: ...
    @overload
    def unique_consecutive(
        self, return_inverse: Literal[False] = False, return_counts: Literal[False] = False,
        dim: _int | None = None,
    ) -> Tensor:
        """The elements (with ``dim``, the slices along it) without those that equal the ..."""
    @overload
    def unique_consecutive(
        self, return_inverse: _bool = False, return_counts: _bool = False, dim: _int | None = None,
    ) -> Any: ...
    @overload
    def unique_consecutive(
        self, return_inverse: Literal[False] = False, return_counts: Literal[False] = False, *,
        axis: _int | None,
    ) -> Tensor: ...
    @overload
    def unique_consecutive(
        self, return_inverse: _bool = False, return_counts: _bool = False, *, axis: _int | None,
    ) -> Any: ...
    @overload
    def unsafe_chunk(self, chunks: _int, dim: _int = 0) -> tuple[Tensor, ...]:
        """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    @overload
    def unsafe_chunk(self, chunks: _int, *, axis: _int) -> tuple[Tensor, ...]: ...
    @overload
    def unsafe_split(
        self, split_size_or_sections: Any = None, dim: _int = 0, *, split_size: Any = None,
    ) -> tuple[Tensor, ...]:
        """Views of consecutive pieces along ``dim``: of one size (the last may be ..."""
    @overload
    def unsafe_split(
        self, split_size_or_sections: Any = None, *, axis: _int, split_size: Any = None,
    ) -> tuple[Tensor, ...]: ...
    @overload
    def unsafe_split_with_sizes(self, split_sizes: Any, dim: _int = 0) -> tuple[Tensor, ...]:
        """Views of consecutive pieces of the sizes given along ``dim``."""
    @overload
    def unsafe_split_with_sizes(self, split_sizes: Any, *, axis: _int) -> tuple[Tensor, ...]: ...
    @overload
    def unsqueeze(self, dim: _int) -> Tensor:
        """A view with a new dimension of size 1 at position ``dim`` of the result."""
    @overload
    def unsqueeze(self, *, axis: _int) -> Tensor: ...
    def unsqueeze_(self, dim: _int) -> Tensor:
        """In-place version of ``unsqueeze``."""
    def untyped_storage(self) -> UntypedStorage:
        """The whole memory that this tensor is in, in bytes."""
    @overload
    def var(
        self, dim: Any = None, unbiased: _bool = True, keepdim: _bool = False, *,
        correction: _float | None = None,
    ) -> Tensor:
        """The variance over ``dim`` (one, several, or all by default): the sum of the ..."""
    @overload
    def var(
        self, *, axis: Any, unbiased: _bool = True, keepdims: _bool = False,
        correction: _float | None = None,
    ) -> Tensor: ...
    def vdot(self, other: Tensor) -> Tensor:
        """The inner product of two vectors, (n,) and (n,) -> (), as by ``dot``."""
    def view(self, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
        """``reshape`` that never copies: raises RuntimeError where strides do not allow a ..."""
    def view_as(self, other: Tensor) -> Tensor:
        """``view`` in the shape of ``other``; raises what that does."""
    def vsplit(
        self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None,
    ) -> tuple[Tensor, ...]:
        """``tensor_split`` along dim 0, where a number of parts must divide the size."""
    def where(self, condition: Tensor, other: Any) -> Tensor:
        """This tensor's elements where ``condition`` is True, else those of ``other``: ..."""
    def xlogy(self, other: Any) -> Tensor:
        """input * log(other); 0 where input is 0, unless other is nan."""
    def xlogy_(self, other: Any) -> Tensor:
        """In-place version of ``xlogy``."""
    def zero_(self) -> Tensor:
        """Set every element to 0 and return the tensor."""
