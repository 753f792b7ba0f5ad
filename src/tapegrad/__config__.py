"""``torch.__config__``: what this package was built with."""

from __future__ import annotations

from ._version import __version__
from .cuda import is_available
from .doctor import numpy_and_blas
from .settings import get_num_threads

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The versions of this package, of NumPy and its BLAS, and whether there is a GPU, as text;
    ``tapegrad doctor`` says more."""
    return (
        f"tapegrad {__version__}\n"
        f"  - NumPy {numpy_and_blas()}\n"
        f"  - a GPU that can be used: {'yes' if is_available() else 'no'}\n"
    )


def parallel_info() -> str:
    """How many threads compute, as text."""
    return f"threads of NumPy's matrix products: {get_num_threads()}\n"
