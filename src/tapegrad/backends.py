"""The switches that scripts set under PyTorch's names, and that switch nothing here:
every operation is deterministic, and float32 is computed in float32. Setting them changes nothing.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import cuda as _cuda


def _never() -> bool:
    """This backend does not exist here."""
    return False


cudnn = SimpleNamespace(
    enabled=False, deterministic=True, benchmark=False, allow_tf32=False, is_available=_never
)
mps = SimpleNamespace(is_available=_never, is_built=_never)
cuda = SimpleNamespace(
    matmul=SimpleNamespace(allow_tf32=False), is_built=lambda: _cuda.is_available()
)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Does nothing: every operation gives the same bits each time."""


def are_deterministic_algorithms_enabled() -> bool:
    """True, always."""
    return True


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


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
