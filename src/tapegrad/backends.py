"""The switches that scripts set under PyTorch's names, and that switch nothing here:
every operation is deterministic, and float32 is computed in float32. Setting them changes nothing.

The parts, as ``backends.cudnn``, are modules: ``import tapegrad.backends.cudnn as cudnn``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import cuda as _cuda

__path__: list[str] = []  # for imports of the parts, which are all here


def _answer(value: Any) -> Callable[..., Any]:
    """A function that always says so."""

    def answer(*args: Any, **options: Any) -> Any:
        return value

    return answer


@contextmanager
def _flags(*args: Any, **options: Any) -> Iterator[None]:
    """Switches for a while; changes nothing."""
    yield


def _part(name: str, doc: str, **switches: Any) -> Any:
    module = ModuleType(f"{__name__}.{name}", doc)
    module.__dict__.update(switches, __getattr__=_unknown_names(module.__name__))
    sys.modules[module.__name__] = module
    return module


_never, _always, _ignored = _answer(False), _answer(True), _answer(None)
cudnn = _part(
    "cudnn",
    "cuDNN, which is not used: kernels are this package's own, and deterministic.",
    enabled=False,
    deterministic=True,
    benchmark=False,
    benchmark_limit=10,
    allow_tf32=False,
    is_available=_never,
    version=_ignored,
    flags=_flags,
    is_acceptable=_never,
)
mps = _part("mps", "Apple's GPUs, which are not used.", is_available=_never, is_built=_never)
cuda = _part(
    "cuda",
    "How products are computed on a GPU: in their own dtype.",
    matmul=SimpleNamespace(
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=False,
        allow_bf16_reduced_precision_reduction=False,
    ),
    is_built=lambda: _cuda.is_available(),
    sdp_kernel=_flags,
    preferred_linalg_library=_ignored,
    cufft_plan_cache=SimpleNamespace(),
    **{f"enable_{kind}_sdp": _ignored for kind in ("flash", "mem_efficient", "cudnn")},
    **{f"{kind}_sdp_enabled": _never for kind in ("flash", "mem_efficient", "cudnn")},
    enable_math_sdp=_ignored,
    math_sdp_enabled=_always,
)
mkl = _part("mkl", "Intel's MKL: NumPy brings its own BLAS.", is_available=_never)
mkldnn = _part(
    "mkldnn", "oneDNN, which is not used.", enabled=False, is_available=_never, flags=_flags
)
openmp = _part("openmp", "OpenMP, which is not used.", is_available=_never)
opt_einsum = _part(
    "opt_einsum",
    "The order of einsum's products, which is chosen without the package of that name.",
    enabled=False,
    strategy=None,
    is_available=_never,
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
