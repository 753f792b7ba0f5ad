"""How tensors are shown: values, and everything that is not what a reader would assume."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import dtypes
from .devices import CPU, to_numpy


@dataclass(frozen=True)
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}
_options = _PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How ``repr`` shows tensors from now on; what is None stays as it is.

    precision: digits after the point. threshold: the largest number of elements shown in full, of
    more only ``edgeitems`` at both ends of each dimension. linewidth: in characters. sci_mode:
    numbers with exponents always or never; None: where they need it. profile: "default", "short"
    or "full" (everything), on top of which the others are set. Raises ValueError for other names
    and for negative numbers.
    """
    global _options
    if profile is not None and profile not in _PROFILES:
        raise ValueError(
            f"[set_printoptions] profile must be one of {', '.join(_PROFILES)}, got {profile!r}"
        )
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in known.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(f"[set_printoptions] {name} must be a number >= 0, got {value!r}")
    start = _options if profile is None else _PROFILES[profile]
    _options = replace(start, sci_mode=sci_mode, **known)


def show(t: Any) -> str:
    """The tensor as text, which never floods the screen."""
    host = to_numpy(t._array)
    if host.dtype.kind == "V":
        host = host.astype(np.float32)
    notes = [f"shape={tuple(t.shape)}"] if host.ndim else []
    if t.dtype not in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_):
        notes.append(f"dtype={t.dtype.name}")
    if t._device is not CPU:
        notes.append(f"device='{t._device}'")
    if not t.is_leaf:
        notes.append(f"grad_fn=<{t._node.name()}>")
    elif t.requires_grad:
        notes.append("requires_grad=True")
    return f"tensor({', '.join([_values(host, _options), *notes])})"


def _values(host: np.ndarray, options: _Options) -> str:
    # As many items at the edges as keep the whole short: many dimensions multiply them.
    most = max(options.threshold, 1)
    edges = options.edgeitems
    while host.size > most and edges and _shown(host, edges) > max(most, 2 * edges + 1):
        edges -= 1
    if host.size > most and not edges:
        return "..."
    style: dict[str, Any] = {}
    if options.sci_mode is not None:
        form = f".{options.precision}{'e' if options.sci_mode else 'f'}"
        style["formatter"] = {"float_kind": lambda value: format(value, form)}
    return np.array2string(
        host,
        separator=", ",
        precision=options.precision,
        threshold=int(min(most, host.size)),
        edgeitems=edges,
        max_line_width=options.linewidth,
        prefix="tensor(",
        **style,
    )


def _shown(host: np.ndarray, edges: int) -> int:
    return math.prod(min(n, 2 * edges + 1) for n in host.shape)
