"""The switches that scripts set under PyTorch's names, and that switch nothing here:
every operation is deterministic, and float32 is computed in float32. Setting them changes nothing.

The parts, as ``backends.cudnn``, are modules: ``import tapegrad.backends.cudnn as cudnn``.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import cuda as _cuda
from .stand_in import answering as _answering
from .stand_in import doing_nothing as _doing_nothing
from .stand_in import new_module as _new_module

__path__: list[str] = []  # for imports of the parts, which are all here


_SWITCH = "a switch that switches nothing"


def _part(name: str, doc: str, false: str, nothing: str = "", **others: Any) -> ModuleType:
    names = {**others, **_answering(False, false, _SWITCH), **_doing_nothing(nothing, _SWITCH)}
    return _new_module(f"{__name__}.{name}", doc, names)


cudnn = _part(
    "cudnn",
    "cuDNN, which is not used: kernels are this package's own, and deterministic.",
    "is_acceptable is_available",
    "flags",
    **_answering(None, "version", "cuDNN is not used"),
    enabled=False,
    deterministic=True,
    benchmark=False,
    benchmark_limit=10,
    allow_tf32=False,
)
mps = _part("mps", "Apple's GPUs, which are not used.", "is_available is_built")
cuda = _part(
    "cuda",
    "How products are computed on a GPU: in their own dtype.",
    "cudnn_sdp_enabled flash_sdp_enabled mem_efficient_sdp_enabled",
    "enable_cudnn_sdp enable_flash_sdp enable_math_sdp enable_mem_efficient_sdp sdp_kernel",
    **_answering(True, "math_sdp_enabled", _SWITCH),
    **_answering(None, "preferred_linalg_library", _SWITCH),
    is_built=lambda: _cuda.is_available(),
    matmul=SimpleNamespace(
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=False,
        allow_bf16_reduced_precision_reduction=False,
    ),
    cufft_plan_cache=SimpleNamespace(),
)
mkl = _part("mkl", "Intel's MKL: NumPy brings its own BLAS.", "is_available")
mkldnn = _part("mkldnn", "oneDNN, which is not used.", "is_available", "flags", enabled=False)
openmp = _part("openmp", "OpenMP, which is not used.", "is_available")
opt_einsum = _part(
    "opt_einsum",
    "The order of einsum's products, which is chosen without the package of that name.",
    "is_available",
    enabled=False,
    strategy=None,
)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Does nothing: every operation gives the same bits each time."""


def are_deterministic_algorithms_enabled() -> bool:
    """True, always."""
    return True


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Does nothing: every operation gives the same bits each time."""


def get_deterministic_debug_mode() -> int:
    """Always 2, PyTorch's number for an error where something were not deterministic."""
    return 2


def set_float32_matmul_precision(precision: str) -> None:
    """Does nothing: products of float32 are computed in float32, the "highest" precision.

    Raises ValueError for any word but "highest", "high" and "medium".
    """
    if not isinstance(precision, str) or precision not in ("highest", "high", "medium"):
        raise ValueError(
            "[set_float32_matmul_precision] precision must be 'highest', 'high' or 'medium', not "
            f"{precision!r}"
        )


def get_float32_matmul_precision() -> str:
    """Always "highest"."""
    return "highest"


def set_flush_denormal(mode: bool) -> bool:
    """False: the processor's mode is not changed, and small numbers stay what they are."""
    return False


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
