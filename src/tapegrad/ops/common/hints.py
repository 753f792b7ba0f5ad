"""Names that are not here: what was probably meant, where it is, or what to use for PyTorch's."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

# Door -> the names behind it, and what is before a name there. The catalogue of operations, which
# is above this room, puts its own doors here.
doors: dict[str, Collection[str]] = {}
_ADDRESSES = {
    "tg": "tapegrad.{}",
    "x": "Tensor.{}",
    "F": "tapegrad.nn.functional.{}",
    "linalg": "tapegrad.linalg.{}",
    "special": "tapegrad.special.{}",
    "masked": "tapegrad.masked.{}",
    "windows": "tapegrad.signal.windows.{}",
}

# PyTorch's names of which there is nothing here, and what to use.
_ABSENT = {
    r"(rpc|futures)": "training runs in one process, on one device",
    r"(\w*[Ss]cript\w*|functionalize|dynamo|trace)": "call the function: nothing is compiled",
    r"(fft|i?stft|i?r?fft\w*|view_as_(real|complex)|polar|angle|imag|real|eig|eigvals|complex\w*"
    r"|cfloat|cdouble|chalf|conj_physical\w*)": "there are no complex numbers",
    r"\w*(sparse|coalesce)\w*|to_dense|SparseAdam": "tensors are dense",
    r"\w*(quant|qint|QInt|QUInt|q_scale|q_zero)\w*|ao": "tensors are not quantized",
    r"\w*Storage": "ask x.storage() or x.untyped_storage(), assign to x.data",
    r"(package|monitor|overrides|nested|library|mtia)": "there is nothing like it here",
    "Variable": "tensors record themselves: use tapegrad.tensor(data, requires_grad=True)",
    r"NestedIOFunction": "give Function.apply its tensors one by one",
    r"(IterDataPipe|MapDataPipe)": "subclass data.Dataset or IterableDataset",
}


class UnknownName(AttributeError):
    """An attribute that does not exist. What might help is looked for when it is printed, since
    most of these errors are only caught (``hasattr``)."""

    def __init__(self, owner: str, name: str, known: Callable[[], Collection[str]] = tuple):
        super().__init__(f"{owner} has no attribute {name!r}")
        self.asked, self.known = name, known

    def __str__(self) -> str:
        hint = "" if self.asked.startswith("_") else _hint(self.asked, self.known())
        return f"{self.args[0]}{hint}"

    def __reduce__(self) -> tuple:
        return AttributeError, (str(self),)


def _hint(name: str, known: Collection[str]) -> str:
    for door, names in doors.items():
        if name in names and name not in known and door in _ADDRESSES:
            return f": it is {_ADDRESSES[door].format(name)}"
    if name[:1].isupper() and name not in known:
        layers = import_module("tapegrad.nn")
        if name in layers.__all__:
            return f": it is tapegrad.nn.{name}"
    for pattern, advice in _ABSENT.items():
        if re.fullmatch(pattern, name):
            return f": PyTorch's {name} does not exist here; {advice}"
    from difflib import get_close_matches

    named = sorted(n for n in known if not n.startswith("_"))
    meant = {n.lower(): n for n in named}
    close = get_close_matches(name, named, 1, 0.7)
    close = close or [meant[n] for n in get_close_matches(name.lower(), meant, 1, 0.7)]
    return f": did you mean {close[0]!r}?" if close else ""


def unknown_names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that has all its names: it raises UnknownName."""

    def refuse(name: str) -> Any:
        def known() -> Collection[str]:
            public: Collection[str] = getattr(sys.modules[module], "__all__", ())
            return public or dir(sys.modules[module])

        raise UnknownName(f"module {module!r}", name, known)

    return refuse
