"""What CuPy offers of NumPy's names, in ``cupy_surface.txt``: one line a name.

    same NAME                      the very object of NumPy
    function NAME PARAMETERS       ("x=" has a default, "*" begins the keyword-only ones)
    method NAME PARAMETERS         of cupy.ndarray
    ufunc NAME METHODS LOOPS       (METHODS: those of at, reduce, ... that it has, or "-")
    special NAME LOOPS             a ufunc of cupyx.scipy.special

``python tests/cupy_surface.py`` writes the file from the CuPy that is installed, which takes no
GPU. ``strict_cupy.py`` reads it, so that a call that CuPy would refuse is refused without CuPy.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("cupy_surface.txt")
MODULES = ("", "linalg.", "fft.", "lib.stride_tricks.")
UFUNC_METHODS = {
    "at": (None, None),
    "reduce": (None,),
    "reduceat": (None, None),
    "accumulate": (None,),
    "outer": (None, None),
}


def describe() -> Iterator[str]:
    """The lines of the file, from the installed CuPy."""
    import cupy
    import cupyx.scipy.special

    yield f"version {cupy.__version__}"
    for prefix in MODULES:
        here, there = _inside(cupy, prefix), _inside(np, prefix)
        for name in sorted(set(dir(here)) & set(dir(there))):
            value = getattr(here, name)
            if name.startswith("_") or inspect.ismodule(value):
                continue
            if value is getattr(there, name):
                yield f"same {prefix}{name}"
            elif isinstance(value, cupy.ufunc):
                yield f"ufunc {prefix}{name} {_methods(value)} {' '.join(value.types)}"
            elif callable(value) and not inspect.isclass(value):
                yield f"function {prefix}{name} {_parameters(value)}".rstrip()
    for name, value in sorted(vars(cupyx.scipy.special).items()):
        if isinstance(value, cupy.ufunc):
            yield f"special {name} {' '.join(value.types)}"
    for name in sorted(dir(cupy.ndarray)):
        value = getattr(cupy.ndarray, name)
        if not name.startswith("_") and callable(value):
            yield f"method {name} {_parameters(value)}".rstrip()


def _inside(module: Any, prefix: str) -> Any:
    for part in prefix.split(".")[:-1]:
        module = getattr(module, part)
    return module


def _parameters(function: Any) -> str:
    try:
        text = str(inspect.signature(function))
    except ValueError:  # Cython writes the signature into the docstring's first line
        text = (function.__doc__ or "").partition("\n")[0]
    inner = text[text.index("(") + 1 : text.rindex(")")]
    inner = re.sub(r"<[^>]*>", "", inner)  # defaults that are classes
    words = []
    for part in _split(inner):
        name, default, _ = part.partition("=")
        name = name.partition(":")[0].split()[-1]
        if name != "self":
            words.append(name + default)
    return " ".join(words)


def _split(text: str) -> list[str]:
    """At the commas outside brackets and quotes."""
    return [p.strip() for p in re.split(r",(?![^\[\](]*[\])])(?![^']*',)", text) if p.strip()]


def _methods(ufunc: Any) -> str:
    names = []
    for name, arguments in UFUNC_METHODS.items():
        try:
            getattr(ufunc, name)(*arguments)
        except NotImplementedError:
            continue
        except Exception:  # it would work with arrays
            pass
        names.append(name)
    return ",".join(names) or "-"


def signature(words: list[str]) -> inspect.Signature:
    """The parameters of a line as a signature, to bind arguments to."""
    kinds = inspect.Parameter
    kind, result = kinds.POSITIONAL_OR_KEYWORD, []
    for word in words:
        name, optional = word.rstrip("="), word.endswith("=")
        if name == "/":
            continue
        if name == "*":
            kind = kinds.KEYWORD_ONLY
        elif name.startswith("**"):
            result.append(kinds(name[2:], kinds.VAR_KEYWORD))
        elif name.startswith("*"):
            result.append(kinds(name[1:], kinds.VAR_POSITIONAL))
            kind = kinds.KEYWORD_ONLY
        else:
            result.append(kinds(name, kind, default=None if optional else kinds.empty))
    return inspect.Signature(result)


def read() -> dict[tuple[str, str], list[str]]:
    """(kind, name) -> the other words of the line."""
    lines = (line.split() for line in FILE.read_text().splitlines())
    return {(kind, name): words for kind, name, *words in lines}


if __name__ == "__main__":
    FILE.write_text("\n".join(describe()) + "\n")
