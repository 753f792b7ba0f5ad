"""The operations of which distributions are made: what ``tapegrad.`` offers of them, for the files
of this room, which call it ``tg`` as users do. (The package itself is above all rooms.)"""

from typing import TYPE_CHECKING, Any

from tapegrad import autograd, linalg, special
from tapegrad.core.dtypes import bool_ as bool
from tapegrad.core.dtypes import float64, get_default_dtype, int64
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.ops.catalog import publish
from tapegrad.ops.common.type_info import finfo

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise AttributeError

else:
    __getattr__, __dir__, _ = publish(__name__, "tg")

__all__ = [
    "autograd",
    "bool",
    "enable_grad",
    "finfo",
    "float64",
    "get_default_dtype",
    "int64",
    "linalg",
    "no_grad",
    "special",
]
