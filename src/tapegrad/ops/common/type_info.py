"""What dtypes can hold, and questions about values, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling, retelling

from .arguments import require_tensor


class finfo(Retelling):
    """The limits of a floating-point dtype (the default one): ``bits``, ``eps`` (the step after 1),
    ``max``, ``min``, ``tiny`` (the smallest normal number), ``resolution``, ``dtype``.

    Raises TypeError for other dtypes.
    """

    def __init__(self, dtype: Any = None):
        kind = dtypes.get_default_dtype() if dtype is None else dtypes.dtype(dtype)
        if not dtypes.is_floating(kind):
            raise TypeError(f"[finfo] {kind.name} is not floating-point: use iinfo")
        if kind.kind == "V":
            import ml_dtypes

            known: Any = ml_dtypes.finfo(kind)
        else:
            known = np.finfo(kind)
        self.dtype, self.bits = kind.name, int(known.bits)
        self.eps, self.max, self.min = float(known.eps), float(known.max), float(known.min)
        self.tiny = self.smallest_normal = float(known.tiny)
        self.resolution = 10.0 ** -int(known.precision)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo(Retelling):
    """The limits of an integer dtype: ``bits``, ``max``, ``min``, ``dtype``.

    Raises TypeError for other dtypes.
    """

    def __init__(self, dtype: Any):
        kind = dtypes.dtype(dtype)
        if kind.kind not in "iu":
            raise TypeError(f"[iinfo] {kind.name} is not an integer dtype: use finfo")
        known = np.iinfo(kind)
        self.dtype, self.bits = kind.name, int(known.bits)
        self.max, self.min = int(known.max), int(known.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


@retelling
def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


@retelling
def is_floating_point(input: Tensor) -> bool:
    """Whether the tensor's dtype is floating-point."""
    require_tensor("is_floating_point", input)
    return input.is_floating_point()


@retelling
def is_complex(input: Tensor) -> bool:
    """False: there are no complex tensors."""
    require_tensor("is_complex", input)
    return input.is_complex()


@retelling
def is_signed(input: Tensor) -> bool:
    """Whether the tensor's dtype has negative numbers: all but uint8 and bool."""
    require_tensor("is_signed", input)
    return input.is_signed()


@retelling
def is_conj(input: Tensor) -> bool:
    """False: nothing is conjugated later."""
    require_tensor("is_conj", input)
    return input.is_conj()


@retelling
def is_neg(input: Tensor) -> bool:
    """False: nothing is negated later."""
    require_tensor("is_neg", input)
    return input.is_neg()


@retelling
def is_inference(input: Tensor) -> bool:
    """False: tensors made in inference mode are like others."""
    require_tensor("is_inference", input)
    return input.is_inference()


@retelling
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both tensors have one shape."""
    require_tensor("is_same_size", input)
    require_tensor("is_same_size", other)
    return input.is_same_size(other)


@retelling
def get_device(input: Tensor) -> int:
    """The GPU's number; -1 on the CPU devices."""
    require_tensor("get_device", input)
    return input.get_device()


@retelling
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element of a tensor is not 0. Raises RuntimeError for more or fewer."""
    require_tensor("is_nonzero", input)
    return bool(input)


@retelling
def numel(input: Tensor) -> int:
    """The number of elements, an int."""
    require_tensor("numel", input)
    return input.numel()


@retelling
def result_type(tensor1: Any, tensor2: Any) -> np.dtype:
    """The dtype of an operation on two operands, tensors or numbers, by PyTorch's rules: a 0-d
    tensor counts less than one with dimensions, and a number less than a tensor."""
    given = (tensor1, tensor2)
    tensors = [(t.dtype, t.ndim) for t in given if isinstance(t, Tensor)]
    return dtypes.result_type(
        tensors, [dtypes.scalar_dtype(v) for v in given if not isinstance(v, Tensor)]
    )


@retelling
def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The smallest dtype of the higher category that holds both, as in PyTorch: an integer and a
    float give that float, float16 and bfloat16 give float32. Raises TypeError for anything that
    names no dtype."""
    return dtypes.promote_types(dtypes.dtype(type1), dtypes.dtype(type2))


@retelling
def can_cast(from_: Any, to: Any) -> bool:
    """Whether values of one dtype may be stored as another: floats not as integers, and only bools
    as bools. Raises TypeError for anything that names no dtype."""
    return dtypes.can_cast(dtypes.dtype(from_), dtypes.dtype(to))
