"""How notebooks show a tensor: its text, what it is, and a histogram of its values."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from .devices import to_numpy
from .printing import show

_BINS, _WIDTH, _HEIGHT = 32, 256, 48  # the picture, in pixels
_MOST = 1 << 20  # values in the histogram: evenly spaced ones of more
_FEW = 8  # values that are looked at themselves


def html(t: Any) -> str:
    """The tensor as HTML."""
    host = to_numpy(t._array)
    if host.dtype.kind == "V":
        host = host.astype(np.float32)
    facts = [
        f"{t.dtype.name} {tuple(t.shape)} on {t._device}",
        f"{t.nbytes:,} bytes",
        "requires grad" if t.requires_grad else "",
        _range(host),
    ]
    words = escape(" · ".join(filter(None, facts)))
    return f"<div><pre>{escape(show(t))}</pre><div><small>{words}</small></div>{_bars(host)}</div>"


def _finite(host: np.ndarray) -> np.ndarray:
    return host[np.isfinite(host)] if host.dtype.kind == "f" else host.reshape(-1)


def _range(host: np.ndarray) -> str:
    """Least, largest, mean and standard deviation of the finite values, and how many are not."""
    if not host.size:
        return "empty"
    if host.dtype.kind == "b":
        return f"{np.count_nonzero(host):,} of {host.size:,} are True"
    values = _finite(host)
    facts = []
    if values.size:
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        facts.append(f"{values.min():.4g} to {values.max():.4g}")
        facts.append(f"mean {mean:.4g}, standard deviation {deviation:.4g}")
    if host.dtype.kind == "f":
        for name, found in (("nan", np.isnan(host)), ("infinite", np.isinf(host))):
            if count := np.count_nonzero(found):
                facts.append(f"{count:,} {name}")
    return " · ".join(facts)


def _bars(host: np.ndarray) -> str:
    values = _finite(host)
    if host.dtype.kind == "b" or values.size <= _FEW:
        return ""
    step = -(-values.size // _MOST)
    values = values[::step].astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not low < high or not np.isfinite(high - low):
        return ""
    counts, _ = np.histogram(values, _BINS, (low, high))
    width, tallest = _WIDTH / _BINS, counts.max()
    bars = "".join(
        f'<rect x="{i * width:g}" y="{_HEIGHT - height:.1f}" width="{width - 1:g}" '
        f'height="{height:.1f}"><title>{low + i * (high - low) / _BINS:.4g} to '
        f"{low + (i + 1) * (high - low) / _BINS:.4g}: {n * step:,}</title></rect>"
        for i, n in enumerate(counts.tolist())
        if (height := n / tallest * _HEIGHT)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT + 14}" '
        f'font-size="10" fill="#4a7ebb">{bars}<g fill="#777"><text y="{_HEIGHT + 11}">{low:.4g}'
        f'</text><text x="{_WIDTH}" y="{_HEIGHT + 11}" text-anchor="end">{high:.4g}</text>'
        "</g></svg>"
    )
