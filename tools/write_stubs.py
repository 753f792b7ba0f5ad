"""Write the type stubs of the package: what ``tapegrad`` and its Tensors can do, for editors and
type checkers, which do not see functions and methods that are looked up in tables when first named.

    python tools/write_stubs.py

``__init__.pyi`` has tapegrad's functions; ``_operations.pyi`` the operators, methods and properties
of Tensor, which inherits them as far as type checkers can tell. Both are read off the functions
themselves; ``test_stubs.py`` fails while they are not what this script writes.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from stub_signatures import (
    Scope,
    definition,
    first_line,
    keyword,
    numpy_twin,
    parsed,
    signature,
    with_keywords,
    without,
)

import tapegrad
from tapegrad.autograd.backward import METHODS
from tapegrad.ops import methods
from tapegrad.ops.catalog import doors, in_place
from tapegrad.ops.common.signatures import is_factory, second_names
from tapegrad.ops.creation.create import OPTIONS

PACKAGE = Path(tapegrad.__file__).parent
HEAD = '''"""{}"""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
'''


def _stub(doc: str | None, *lines: str) -> str:
    return HEAD.format(doc) + "\n".join([*lines, ""])


# What the makers of tensors take by name, all of them, and those that are like another tensor.
FACTORY = [option for option in OPTIONS if option.name != "out"]
LIKE = [*FACTORY, keyword("memory_format", "Any")]
OUT = keyword("out", "Tensor | None")

# Functions whose results depend on how they are called: the forms they have ...
_ONE = "(input: Tensor) -> Tensor"
_ALONG = "(input: Tensor, dim: int, keepdim: bool = False) -> Picked"
_BETWEEN = "(input: Tensor, other: Tensor) -> Tensor"
FORMS = {
    "max": (_ONE, _ALONG, _BETWEEN),
    "min": (_ONE, _ALONG, _BETWEEN),
    "median": (_ONE, _ALONG),
    "nanmedian": (_ONE, _ALONG),
    "select_where": (
        "(condition: Tensor) -> tuple[Tensor, ...]",
        "(condition: Tensor, input: Any, other: Any) -> Tensor",
    ),
    "to_type": (
        "(self: Tensor) -> str",
        "(self: Tensor, dtype: Any, non_blocking: bool = False) -> Tensor",
    ),
    **dict.fromkeys(
        ("atleast_1d", "atleast_2d", "atleast_3d"),
        ("(tensors: Tensor, /) -> Tensor", "(*tensors: Any) -> Any"),
    ),
    **{
        name: (f"(*size: Any{more}) -> Tensor", f"(*, size: Any{more}) -> Tensor")
        for name, more in (
            ("zeros", ""),
            ("ones", ""),
            ("rand", ", generator: Generator | None = None"),
            ("randn", ", generator: Generator | None = None"),
            ("empty", ", memory_format: Any = None"),
        )
    },
}
# ... or the flags that ask for more than one tensor.
FLAGS = {
    "nonzero": ("as_tuple",),
    "unique": ("return_inverse", "return_counts"),
    "unique_consecutive": ("return_inverse", "return_counts"),
    **{
        f"{kind}max_pool{n}d": ("return_indices",)
        for kind, dims in (("", (1, 2, 3)), ("adaptive_", (1, 2, 3)), ("fractional_", (2, 3)))
        for n in dims
    },
}

SELF = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)


def _forms(name: str, function: Any) -> list[Signature]:
    """The ways to call a function of the surface, without ``out=``."""
    sig = signature(function)
    options = LIKE if name.endswith("_like") else FACTORY
    made = is_factory(function) or "options" in sig.parameters
    sig = without(sig, "parameters")  # a primitive's catch-all, which takes nothing more
    sigs = [parsed(text) for text in FORMS.get(function.__name__, ())] or [sig]
    if made:
        sigs = [with_keywords(s, options) for s in sigs]
    if function.__name__ in FLAGS:
        sigs = [_unflagged(sig, FLAGS[function.__name__]), sig]
    if "axis" in second_names(function):
        sigs += [twin for s in sigs if (twin := numpy_twin(s))]
    return sigs


def _unflagged(sig: Signature, flags: tuple[str, ...]) -> Signature:
    """The signature with the flags False: the result is one tensor."""
    parameters = [
        p.replace(annotation="Literal[False]") if p.name in flags else p
        for p in sig.parameters.values()
    ]
    return sig.replace(parameters=parameters, return_annotation="Tensor")


def _with_out(sig: Signature) -> Signature:
    """Every function takes ``out=``, and several tensors where it returns several."""
    result = str(sig.return_annotation)
    if result in ("bool", "int", "None", "Generator", "Size", "str"):
        return sig
    kind = "Tensor | None" if result == "Tensor" else "Any"
    return with_keywords(sig, [keyword("out", kind)])


def _as_method(sig: Signature, result: str = "") -> Signature:
    """The form with the tensor as ``self``, and without ``out=``, which is the functions'."""
    first, *rest = without(sig, "out").parameters.values()
    if first.kind is Parameter.VAR_POSITIONAL:
        rest = [first, *rest]
    result = result or sig.return_annotation
    return sig.replace(parameters=[SELF, *rest], return_annotation=result)


# ---------------------------------------------------------------------- Tensor


def _method(name: str, function: Callable) -> list[Signature]:
    if not name.startswith("new_"):
        return list(map(_as_method, _forms(name, function)))
    made = name.removeprefix("new_")
    forms = [without(form, "out") for form in _forms(made, doors["tg"][made].load())]
    return [form.replace(parameters=[SELF, *form.parameters.values()]) for form in forms]


def operations() -> str:
    """The stub of what Tensor inherits: its operators, methods and properties."""
    doc = "What is attached to Tensor when tapegrad is imported, or when it is first named."
    names = {*doors["x"], *doors["property"], *METHODS}
    scope = Scope(names)
    body: list[str] = []
    for name, operation in sorted(doors["property"].items()):
        function = operation.load()
        body += ["    @property", *_define(name, _method(name, function), function, scope)]
    operators = {name: operation.declared() for name, operation in doors["operator"].items()}
    for name in sorted({*operators, *methods.OWN, *doors["reflected"], "__eq__", "__ne__"}):
        body += _operator(name, operators.get(name, methods.OWN.get(name)), scope)
    for name in methods.INPLACE_OPERATORS:
        body += _operator(name, None, scope)
    for name, function in METHODS.items():
        body += _define(name, [_as_method(signature(function))], function, scope)
    for name in sorted({*doors["x"], *in_place}):
        if name in in_place:
            form = _as_method(_forms(name[:-1], in_place[name].load())[0], "Tensor")
            body += definition(name, [form], f"In-place version of ``{name[:-1]}``.", scope, "    ")
        else:
            function = doors["x"][name].load()
            body += _define(name, _method(name, function), function, scope)
    return _stub(doc, *scope.import_lines(), "class Operations:", *body)


def _define(name: str, forms: list[Signature], function: Any, scope: Scope) -> list[str]:
    return definition(name, forms, first_line(function), scope, "    ")


def _operator(name: str, function: Callable | None, scope: Scope) -> list[str]:
    """An operator: it takes numbers, arrays and tensors alike."""
    if function is not None and name in ("__getitem__", "__setitem__", "__contains__", "__iter__"):
        sig = _as_method(signature(function))
    else:
        unary = name in ("__neg__", "__pos__", "__abs__", "__invert__")
        sig = parsed("(self) -> Tensor" if unary else "(self, other: Any) -> Tensor")
    other = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
    return definition(name, [sig], "", scope, "    ", other)


# ---------------------------------------------------------------------- tapegrad


def public_names() -> list[str]:
    """What ``dir(tapegrad)`` names before any operation has been used, but for private names."""
    code = "import tapegrad; print(*[n for n in dir(tapegrad) if n[0] != '_'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [*done.stdout.split(), "__version__"]


def _imported() -> dict[str, tuple[str, str]]:
    """Names that ``__init__.py`` takes from other modules, at once or later: (module, name)."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            for alias in node.names:
                found[alias.asname or alias.name] = (home, alias.name)
    for name, home in tapegrad._LATER.items():
        found[name] = (".", name) if home == f".{name}" else (home, name)
    return found


def functions() -> str:
    """The stub of ``tapegrad`` itself."""
    changing = {f"{name}_" for name in doors["tg_"]}
    names = [name for name in public_names() if name not in doors["tg"]]
    imported = _imported()
    own = {
        name: value
        for name in (*names, "Generator")
        if isinstance(value := getattr(tapegrad, name), type)
    }
    scope = Scope([*names, *doors["tg"]], own)
    values: list[str] = []
    for name in sorted({*names} - changing):
        value = getattr(tapegrad, name)
        if isinstance(value, ModuleType):
            scope.add_import(imported.get(name, (".",))[0], name, name)
        elif name in imported:
            module, original = imported[name]
            scope.add_import(module, original, name if name == original else None)
            if name != original:  # "import Device as device" is not for others to see, in a stub
                values.append(f"{name} = {original}")
        else:
            values.append(f"{name}: {_kind(value)}")
    scope.add_import("builtins", "float", "_float")
    scope.add_import("numpy", "dtype", "_dtype")
    body: list[str] = []
    for name in sorted({*doors["tg"], *changing}):
        body += _function(name, scope)
    return _stub(tapegrad.__doc__, *scope.import_lines(), *values, "", *body)


def _kind(value: Any) -> str:
    if isinstance(value, np.dtype):
        return "_dtype[Any]"
    return {float: "_float", type(None): "None"}[type(value)]


def _function(name: str, scope: Scope) -> list[str]:
    if name not in doors["tg"]:  # tapegrad.exp_(x) is x.exp_()
        sig = without(_forms(name[:-1], in_place[name].load())[0], "out")
        first, *rest = sig.parameters.values()
        first = first.replace(name="input", kind=Parameter.POSITIONAL_ONLY, annotation="Tensor")
        form = sig.replace(parameters=[first, *rest], return_annotation="Tensor")
        return definition(name, [form], f"``input.{name}(...)``", scope)
    return _exported(name, doors["tg"][name].load(), scope, out=True)


def _exported(name: str, function: Any, scope: Scope, out: bool) -> list[str]:
    """A function of a module; a class, such as an exception, is imported."""
    if isinstance(function, type):
        scope.add_import(function.__module__.removeprefix("tapegrad"), function.__name__, name)
        return []
    forms = _forms(name, function)
    if out:
        forms = list(map(_with_out, forms))
    return definition(name, forms, first_line(function), scope)


def namespace(name: str) -> str:
    """The stub of a module of nothing but functions, many of which are declared as tables' rows."""
    module = import_module(f"tapegrad.{name}")
    scope = Scope(module.__all__)
    body: list[str] = []
    for function in sorted(module.__all__):
        out = name in ("linalg", "special")
        body += _exported(function, getattr(module, function), scope, out)
    dots = "." * module.__name__.count(".")
    imports = [line.replace("from .", f"from {dots}") for line in scope.import_lines()]
    return _stub(module.__doc__.partition("\n")[0], *imports, *body)


STUBS = {
    "__init__.pyi": functions,
    "_operations.pyi": operations,
    "linalg.pyi": lambda: namespace("linalg"),
    "special.pyi": lambda: namespace("special"),
    "nn/functional.pyi": lambda: namespace("nn.functional"),
    "signal/windows.pyi": lambda: namespace("signal.windows"),
}

if __name__ == "__main__":
    for file, write in STUBS.items():
        (PACKAGE / file).write_text(write())
        print(f"written: {PACKAGE / file}")
