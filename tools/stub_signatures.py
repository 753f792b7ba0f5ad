"""Signatures of tapegrad's functions as the lines of a type stub (see write_stubs.py).

Annotations are read where they were written: a name in one is looked up in its function's module,
imported into the stub, and renamed if the stub gives it another meaning (a Tensor's method
``float`` hides the class).
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re
import sys
import textwrap
import typing
from collections import ChainMap
from collections.abc import Iterable
from inspect import Parameter, Signature
from typing import Any

WIDTH = 100


class Annotation(str):
    """An annotation as it is written in a module."""

    module: str


class Scope:
    """The names of a stub: those it defines, and what their annotations need imported."""

    def __init__(self, names: Iterable[str], known: dict[str, Any] | None = None):
        self.taken = frozenset(names)
        self.known = known or {}  # what the stub imports anyway
        self.imports: dict[str, set[str]] = {}
        self.modules: set[str] = set()

    def annotation(self, text: Any) -> str:
        """An annotation, with its names as they are called here."""
        tree = ast.parse("Any" if text is Signature.empty else text, mode="eval")
        namespace = vars(sys.modules[text.module]) if isinstance(text, Annotation) else self.known
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = self._name(node.id, namespace)
        return ast.unparse(tree)

    def _name(self, name: str, namespace: dict) -> str:
        known = ChainMap(namespace, vars(builtins), vars(typing))
        value = known.get(name) or _for_type_checkers(name)
        if self.known.get(name) is value:
            return name
        if isinstance(value, type(sys)):
            self.modules.add(f"import {value.__name__} as {name}")  # numpy as np
            return name
        home = _home(value)
        if home == "builtins" and name not in self.taken:
            return name
        local = f"_{name}" if name in self.taken else name
        self.add_import(home, name, None if local == name else local)
        return local

    def add_import(self, module: str, name: str, local: str | None = None) -> None:
        """Import a name; given a second one, as that (which, if the same, the stub exports)."""
        text = name if local is None else f"{name} as {local}"
        self.imports.setdefault(module, set()).add(text)

    def import_lines(self) -> list[str]:
        """The imports, in the order that linters want: the standard library, others', ours."""
        sections = {1: sorted(self.modules)} if self.modules else {}
        for module in sorted(self.imports, key=lambda m: (m.lstrip(".") or " ", m)):
            section = sections.setdefault(_section(module), [])
            names = sorted(self.imports[module], key=_import_order)
            if plain := [name for name in names if " as " not in name]:
                section += wrapped(f"from {module} import ", plain, "")
            section += [f"from {module} import {name}" for name in names if " as " in name]
        return [line for key in sorted(sections) for line in [*sections[key], ""]]


def _section(module: str) -> int:
    if module.startswith("."):
        return 2
    return 0 if module in sys.stdlib_module_names or module == "collections.abc" else 1


def _import_order(text: str) -> tuple:
    """Constants, classes, functions, each by the numbers in their names."""
    name = text.partition(" as ")[0]
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return kind, parts, text


def _home(value: Any) -> str:
    """The module to import a class or a special form from, as named inside the package."""
    module = value.__module__
    if module == "typing" and hasattr(builtins, value.__name__):
        return "builtins"
    return module.removeprefix("tapegrad") if module.startswith("tapegrad.") else module


def _for_type_checkers(name: str) -> Any:
    """A name that its module imports for type checkers only: one of our classes."""
    found = [
        value
        for key, module in list(sys.modules.items())
        if key.startswith("tapegrad.")
        and isinstance(value := vars(module).get(name), type)
        and value.__module__ == key
    ]
    if len(found) != 1:
        raise NameError(
            f"{name!r} in an annotation is not the class of one module of tapegrad: {found}"
        )
    return found[0]


def wrapped(start: str, parts: list[str], end: str) -> list[str]:
    """``start`` with the parts, separated by commas, on as few lines as they need."""
    line = start + ", ".join(parts) + end
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(start) - len(start.lstrip()))
    opening, closing = (start.rstrip(), end) if start.endswith("(") else (f"{start}(", f"){end}")
    lines = [""]
    for part in parts:
        if lines[-1] and len(indent) + 4 + len(f"{lines[-1]} {part},") > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{part},"
    return [opening, *(f"{indent}    {line}" for line in lines), f"{indent}{closing}"]


def signature(function: Any) -> Signature:
    """The signature of a function, whose annotations know the module that they are written in."""
    sig, module = inspect.signature(function), inspect.unwrap(function).__module__

    def located(text: Any) -> Any:
        if text is Signature.empty:
            return text
        annotation = Annotation(text)
        annotation.module = module
        return annotation

    parameters = [p.replace(annotation=located(p.annotation)) for p in sig.parameters.values()]
    return Signature(parameters, return_annotation=located(sig.return_annotation))


def parsed(text: str) -> Signature:
    """A signature written as text: ``(input: Tensor) -> Tensor``."""
    namespace: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef form{text}: ...", namespace)
    return inspect.signature(namespace["form"])


def keyword(name: str, annotation: str, default: Any = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_keywords(sig: Signature, extra: Iterable[Parameter]) -> Signature:
    """The signature with keyword-only parameters in place of its ``**options``."""
    kept = [p for p in sig.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    known = {p.name for p in kept}
    return sig.replace(parameters=[*kept, *(p for p in extra if p.name not in known)])


def without(sig: Signature, *names: str) -> Signature:
    return sig.replace(parameters=[p for p in sig.parameters.values() if p.name not in names])


def numpy_twin(sig: Signature) -> Signature | None:
    """The signature with NumPy's names, ``axis`` for ``dim`` and ``keepdims`` for ``keepdim``; what
    follows ``axis`` can then be given by name only."""
    if "dim" not in sig.parameters or "axis" in sig.parameters:
        return None
    names = {"dim": "axis", "keepdim": "keepdims"}
    parameters, after = [], False
    for p in sig.parameters.values():
        if p.name == "dim":
            after = True
            p = p.replace(default=Parameter.empty)  # or nothing tells the two forms apart
        if after:
            p = p.replace(name=names.get(p.name, p.name), kind=Parameter.KEYWORD_ONLY)
        parameters.append(p)
    return sig.replace(parameters=parameters)


def definition(
    name: str, forms: list[Signature], doc: str, scope: Scope, indent: str = "", comment: str = ""
) -> list[str]:
    """A function in a stub: its forms, overloaded where there are several; the docstring is the
    first one's."""
    lines: list[str] = []
    if len(forms) > 1:
        scope.add_import("typing", "overload")
    for i, sig in enumerate(forms):
        if len(forms) > 1:
            lines.append(f"{indent}@overload")
        body = [f'{indent}    """{doc}"""'] if doc and not i else []
        end = f") -> {scope.annotation(sig.return_annotation)}:{'' if body else ' ...'}"
        *head, last = wrapped(f"{indent}def {name}(", _parameters(sig, scope), end)
        lines += [*head, last + comment, *body]
    return lines


def _parameters(sig: Signature, scope: Scope) -> list[str]:
    texts: list[str] = []
    kinds = [p.kind for p in sig.parameters.values()]
    starred = Parameter.VAR_POSITIONAL in kinds
    for i, p in enumerate(sig.parameters.values()):
        if p.kind is Parameter.KEYWORD_ONLY and not starred:
            texts.append("*")
            starred = True
        star = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}.get(p.kind, "")
        text = star + p.name
        if p.name != "self" or p.annotation is not Signature.empty:
            text += f": {scope.annotation(p.annotation)}"
        if p.default is not Parameter.empty:
            plain = isinstance(p.default, (int, str, type(None))) or (
                isinstance(p.default, float) and abs(p.default) < float("inf")
            )
            shown = json.dumps(p.default) if isinstance(p.default, str) else repr(p.default)
            text += f" = {shown}" if plain else " = ..."
        texts.append(text)
        if p.kind is Parameter.POSITIONAL_ONLY and kinds[i + 1 : i + 2] != [p.kind]:
            texts.append("/")
    return texts


def first_line(function: Any) -> str:
    """The first sentence of a docstring, or the first line where that is long."""
    doc = inspect.getdoc(function) or ""
    paragraph = " ".join(doc.partition("\n\n")[0].split())
    sentence = paragraph.partition(". ")[0]
    if len(sentence) < len(paragraph):
        sentence += "."
    return textwrap.shorten(sentence, WIDTH - 16, placeholder=" ...").replace("\\", "\\\\")
