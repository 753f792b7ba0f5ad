"""The roofline of a run (Williams et al. 2009): how fast each case computes, over how much it
computes with each byte, below what the machine's memory and arithmetic allow."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .check import BenchmarkError
from .results import Results
from .row import Row
from .shown import rate_text

# Colours that also colour-blind readers tell apart (Okabe & Ito 2008).
_STYLES: dict[str, dict[str, Any]] = {
    "numpy": {"marker": "v", "color": "#777777"},
    "cupy": {"marker": "^", "color": "#009E73"},
    "torch": {"marker": "s", "color": "#0072B2"},
    "torch.compile": {"marker": "D", "color": "#56B4E9"},
}
_MINE = {"marker": "o", "color": "#D55E00"}
_WIDTH, _HEIGHT = 13.0, 9.0  # inches, of a panel
_LABEL_SIZE = 7.5  # points
# Where a label may stand beside its point, in degrees, the better places first.
_ANGLES = (0, 180, 20, -20, 160, 200, 45, -45, 135, 225, 70, -70, 110, 250, 90, 270)


def plot(results: Results, path: str | os.PathLike[str]) -> None:
    """Draw the roofline into a file, in the format of its ending (.png, .svg, .pdf): a panel for
    each dtype, a marker for each library, tapegrad's filled and named.

    Raises BenchmarkError without matplotlib (the extra viz), for an ending that it does not know,
    or where there is nothing to draw.
    """
    require_format(path)
    draw(results).savefig(path)


def draw(results: Results) -> Any:
    """The same as a matplotlib Figure. Raises BenchmarkError as ``plot`` does."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in results.rows if row.timing and row.flops and row.bytes]
    names = list(dict.fromkeys(row.dtype for row in rows))
    if not rows or not results.ceilings.get("copy"):
        raise BenchmarkError("there is nothing to draw: no row was timed that computes anything")
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(names)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        _fill(panel, results, name, [row for row in rows if row.dtype == name])
    # The layout must be final before labels are placed by their size on the canvas.
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for panel, name in zip(figure.axes, names, strict=True):
        _name_roof(panel, results, name)
        _label(panel, [row for row in rows if row.dtype == name])
    return figure


def require_matplotlib() -> None:
    """Raise BenchmarkError, with what to do, where matplotlib is missing."""
    if not find_spec("matplotlib"):
        raise BenchmarkError("a plot needs matplotlib: pip install 'tapegrad[viz]'")


def require_format(path: str | os.PathLike[str]) -> None:
    """Raise BenchmarkError where matplotlib has no format for the ending of ``path``."""
    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise BenchmarkError(
            f"a plot cannot be written to {path}: end its name in .png or .svg "
            f"(matplotlib knows {', '.join(known)})"
        )


def _intensity(row: Row) -> float:
    return row.flops / row.bytes


def _fill(panel: Any, results: Results, dtype: str, rows: Sequence[Row]) -> None:
    copy = results.ceilings["copy"]
    peak = results.ceilings["matmul"].get(dtype) or 0.0
    unit, prefix = (1e12, "T") if max(peak, copy) >= 1e12 else (1e9, "G")
    spots = [
        (row, name, _intensity(row), row.flops / timing.median / unit)
        for row in rows
        for name, timing in row.times.items()
    ]
    left = min(x for _, _, x, _ in spots) / 2
    right = 2 * max(*(x for _, _, x, _ in spots), 2 * peak / copy)
    bottom = min(y for _, _, _, y in spots) / 2
    top = 2.5 * max(*(y for _, _, _, y in spots), peak / unit)
    panel.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    panel.grid(True, which="major", color="#e6e6e6", linewidth=0.6)
    panel.set_axisbelow(True)

    ridge = min(peak / copy or right, right)
    panel.plot([left, ridge, right], [copy * x / unit for x in (left, ridge, ridge)], "k", lw=1.3)
    for row in rows:  # the points of a case stand on one line
        speeds = [y for other, _, _, y in spots if other is row]
        panel.plot(
            [_intensity(row)] * 2, [min(speeds), max(speeds)], color="#dddddd", lw=0.8, zorder=1.5
        )
    mine = next(iter(rows[0].times))
    for name in dict.fromkeys(name for _, name, _, _ in spots):
        xs, ys = zip(*((x, y) for _, n, x, y in spots if n == name), strict=True)
        if name == mine:
            panel.plot(xs, ys, ls="", ms=6.5, mec="white", mew=0.7, zorder=4, label=name, **_MINE)
        else:
            style = _STYLES.get(name, {"marker": "x", "color": "#CC79A7"})
            panel.plot(xs, ys, ls="", ms=4.5, mfc="none", alpha=0.85, zorder=3, label=name, **style)
    gpu = results.machine.get("gpu", {}).get("name")
    meaningless = "; times mean nothing" if results.settings.get("device") == "emulated" else ""
    panel.set_title(
        f"{dtype} on {gpu or results.machine.get('processor')} ({results.settings.get('device')}"
        f"{meaningless}), {results.date[:10]}",
        loc="left",
        fontsize=11,
    )
    panel.set_xlabel("arithmetic intensity, FLOP per byte")
    panel.set_ylabel(f"{prefix}FLOP/s")
    panel.legend(loc="upper left", fontsize=9)


# ---------------------------------------------------------------------- labels


def _name_roof(panel: Any, results: Results, dtype: str) -> None:
    """Say what the two parts of the roof are, along them."""
    copy, peak = results.ceilings["copy"], results.ceilings["matmul"].get(dtype)
    name = partial(panel.annotate, textcoords="offset points", fontsize=9)
    left, ridge, right = panel.lines[0].get_xydata()
    (x0, y0), (x1, y1) = panel.transData.transform([left, ridge])
    slope = math.degrees(math.atan2(y1 - y0, x1 - x0))
    text = f"copy {rate_text(copy)}B/s"
    name(text, left, (16, 22), rotation=slope, rotation_mode="anchor")
    if peak:
        name(f"matrix product {rate_text(peak)}FLOP/s", right, (-4, 4), ha="right")


def _label(panel: Any, rows: Sequence[Row]) -> None:
    """Name tapegrad's points, each label as near to its point as there is room: positions on
    growing rings around the point are tried until one is free."""
    from matplotlib.patheffects import withStroke

    renderer = panel.figure.canvas.get_renderer()
    unit = 1e12 if panel.get_ylabel().startswith("T") else 1e9
    to_page = panel.transData.transform
    page = panel.get_window_extent(renderer)
    scale = renderer.points_to_pixels(1)
    points = [
        to_page((_intensity(row), row.flops / timing.median / unit))
        for row in rows
        for timing in row.times.values()
    ]
    roof = to_page(panel.lines[0].get_xydata())
    points += [a + (b - a) * i / 100 for a, b in itertools.pairwise(roof) for i in range(101)]
    margin = 4 * scale
    taken = [(x - margin, y - margin, x + margin, y + margin) for x, y in points]
    taken += [t.get_window_extent(renderer).extents for t in panel.texts]
    taken.append(panel.get_legend().get_window_extent(renderer).extents)
    several = {row.case for row in rows if sum(r.case == row.case for r in rows) > 1}
    halo = [withStroke(linewidth=2, foreground="white")]
    for row in sorted(rows, key=lambda r: (_intensity(r), r.flops_per_second)):
        point = (_intensity(row), (row.flops_per_second or 0.0) / unit)
        name = row.case.replace("_backward", "_bwd") + (_shape(row) if row.case in several else "")
        text = panel.annotate(
            name,
            point,
            (0, 0),
            textcoords="offset points",
            fontsize=_LABEL_SIZE,
            va="center",
            color="#333333",
            zorder=5,
            path_effects=halo,
        )
        extent = text.get_window_extent(renderer)
        width, half = extent.width, extent.height / 2
        x, y = to_page(point)
        for radius, angle in itertools.product(range(6, 200, 4), _ANGLES):
            dx, dy = (f(math.radians(angle)) * radius * scale for f in (math.cos, math.sin))
            start = x + dx - (width if abs(angle) > 90 else 0)
            box = (start, y + dy - half, start + width, y + dy + half)
            inside = page.x0 < box[0] and box[2] < page.x1 and page.y0 < box[1] < page.y1
            if inside and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        text.set_position(((start - x) / scale, dy / scale))
        if radius > 10:  # a thin line to the point
            near = min(max(x, start), start + width), y + dy
            line = zip(point, panel.transData.inverted().transform(near), strict=True)
            panel.plot(*line, color="#999999", lw=0.6, zorder=1.6)


def _shape(row: Row) -> str:
    sizes = row.shape[:1] if len(set(row.shape)) == 1 else row.shape
    return f" {'x'.join(map(str, sizes))}"


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
