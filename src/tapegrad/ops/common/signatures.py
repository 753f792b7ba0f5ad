"""How public operations are called: numbers and flags are what the signature says they are, and
some arguments have a second name.

PyTorch's parser does this for all its functions at once. Without it ``x.sum(0, 1)`` would take 1
for ``keepdim``, and ``leaky_relu(x, np.float64(0.1))`` would make float32 float64.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.core.caller import registry
from tapegrad.core.primitive import signature
from tapegrad.core.quiet import noisy, quiet
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retell

from . import old_calls
from .arguments import tensors_in
from .in_c import in_c
from .out import write_out


def published(function: Any, op: str) -> Any:
    """What users call: the function with its ``bool``, ``int`` and ``float`` arguments (by
    annotation) checked, NumPy scalars and 0-d tensors among them made Python's numbers, the second
    names of its arguments, and ``out=``. ``op`` is the operation's name in errors."""
    if isinstance(function, type):
        return function
    positional, keywords, variadic = signature(function)
    makes_tensors = is_factory(function)
    if makes_tensors:
        positional = positional[2:]  # its device and dtype come by name
    names = {*positional, *keywords}
    kinds = {n: kind for n, kind in kinds_of(function).items() if n in names}
    seconds = second_names(function)
    places = [
        (i, n, kinds[n]) for i, n in enumerate(positional[: -1 if variadic else None]) if n in kinds
    ]
    first = places[0][0] if places else len(positional)
    composed = registry.get(function.__name__) is not function  # else it looks itself, and is new

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        out = None
        if options:
            if not makes_tensors:
                out = options.pop("out", None)
            for second, n in seconds.items():
                if second in options:
                    if n in options:
                        raise TypeError(f"[{op}] {n}= and {second}= are one argument: give one")
                    options[n] = options.pop(second)
            for n, value in options.items():
                if n in kinds and value.__class__ is not kinds[n][0]:
                    options[n] = fitting(op, n, value, *kinds[n])
        if len(args) > first:
            for i, n, kind in places:
                if i < len(args) and args[i].__class__ is not kind[0]:
                    args = (*args[:i], fitting(op, n, args[i], *kind), *args[i + 1 :])
        try:
            if composed:
                result = (quiet(function) if noisy() else function)(*args, **options)
                if result.__class__ is not Tensor or result._base is not None:
                    _leave_temporaries(result, args, options)
            else:
                result = function(*args, **options)
            return result if out is None else write_out(op, result, out)
        except Exception as error:
            old = isinstance(error, TypeError) and old_calls.named(called.__name__, args, options)
            if not old:
                retell(op, function, args, options, error)
                raise
        return called(**old, **({} if out is None else {"out": out}))

    return in_c(called, function, function_cell(called))


def _leave_temporaries(result: Any, args: Any, options: Any) -> None:
    """Let results that are views of what nobody else has ever seen be no views."""
    results = result if isinstance(result, tuple) else (result,)
    first = args[0] if args else None
    for t in results:
        base = getattr(t, "_base", None)
        # The usual case, a view of the first argument, is found out at once.
        if base is not None and first is not base and getattr(first, "_base", None) is not base:
            given = (args, options)
            seen = [*tensors_in(given), *(other for other in tensors_in(results) if other is not t)]
            if not any(x is t or x is base or x._base is base for x in seen):
                t._base = None


def is_factory(function: Any) -> bool:
    """Whether it makes a tensor from nothing (see ``creation.create.factory``), which takes care of
    ``out=`` itself."""
    return signature(function)[0][:2] == ["device", "dtype"]


def second_names(function: Any) -> dict[str, str]:
    """Second name -> argument, of those it has."""
    positional, keywords, _ = signature(function)
    names = {*positional, *keywords}
    return {second: n for second, n in _SECOND_NAMES.items() if n in names and second not in names}


# NumPy's names, and that of matrices: PyTorch's pages say A where its parser takes input alone.
_SECOND_NAMES = {"axis": "dim", "keepdims": "keepdim", "input": "A"}


_KINDS = {"bool": bool, "int": int, "float": float}


def kinds_of(function: Any) -> dict[str, tuple[type, bool]]:
    """Argument -> its kind, and whether it may be None instead, of those annotated with one."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    found = {}
    for name, annotation in function.__annotations__.items():
        kind = _KINDS.get(str(annotation).removesuffix(" | None"))
        if kind is not None and name != "return":
            found[name] = (kind, annotation.endswith(" | None"))
    return found


def fitting(op: str, name: str, value: Any, kind: type, optional: bool) -> Any:
    """The value as a Python number of its kind (an int may stand for a float)."""
    if value is None and optional:
        return None
    if isinstance(value, Tensor) and value.ndim == 0 and kind is not bool:
        if value.requires_grad:
            raise TypeError(f"[{op}] {name} has no gradient: pass {name}.item()")
        value = value.item()
    if kind is bool:
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
    elif kind is int:
        if not isinstance(value, bool):
            with suppress(TypeError):
                return operator.index(value)
    elif isinstance(value, (int, float)) and not isinstance(value, np.floating):
        return value
    elif isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    several = ": name several dimensions in a tuple" if name in ("keepdim", "unbiased") else ""
    what = {bool: "True or False", int: "an int", float: "a number"}[kind]
    raise TypeError(f"[{op}] {name} must be {what}, got {_shown(value)}{several}")


def _shown(value: Any) -> str:
    kind = type(value).__name__
    return f"{kind} {value!r}" if isinstance(value, (int, float, str)) else kind


def function_cell(called: Any) -> Any:
    """Where what ``published`` returned has the function that it runs, for autocast to exchange."""
    called = getattr(called, "plain", called)
    return called.__closure__[called.__code__.co_freevars.index("function")]
