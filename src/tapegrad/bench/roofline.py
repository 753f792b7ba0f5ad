"""The roofline of a run (Williams et al. 2009): how fast each case computes, over how much it
computes with each byte, below what the machine's memory and arithmetic allow."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from .check import BenchmarkError
from .results import Results, Row

# Colours that also colour-blind readers tell apart (Okabe & Ito 2008).
_STYLES: dict[str, dict[str, Any]] = {
    "numpy": {"marker": "v", "color": "#777777"},
    "cupy": {"marker": "^", "color": "#009E73"},
    "torch": {"marker": "s", "color": "#0072B2"},
    "torch.compile": {"marker": "D", "color": "#56B4E9"},
}
_MINE = {"marker": "o", "color": "#D55E00"}
_WIDTH, _HEIGHT = 12.0, 7.5  # inches, of a panel
_LABEL_SIZE = 7.5  # points


def plot(results: Results, path: str | os.PathLike[str]) -> None:
    """Draw the roofline into a file whose ending says the format (.png, .svg, .pdf): a panel for
    each dtype, a marker for each library, tapegrad's filled and named.

    Raises BenchmarkError without matplotlib (the extra viz), or where there is nothing to draw.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in results.rows if row.timing and row.flops and row.bytes]
    names = list(dict.fromkeys(row.dtype for row in rows))
    if not rows or not results.ceilings.get("copy"):
        raise BenchmarkError("there is nothing to draw: no row was timed that computes anything")
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        _draw(panel, results, name, [row for row in rows if row.dtype == name])
    # The layout must be final before labels are placed by their size on the canvas.
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for panel, name in zip(figure.axes, names, strict=True):
        _label(panel, [row for row in rows if row.dtype == name])
    figure.savefig(path, dpi=150)


def require_matplotlib() -> None:
    """Raise BenchmarkError, with what to do, where matplotlib is missing."""
    if not find_spec("matplotlib"):
        raise BenchmarkError("a plot needs matplotlib: pip install 'tapegrad[viz]'")


def _intensity(row: Row) -> float:
    return row.flops / row.bytes


def _draw(panel: Any, results: Results, dtype: str, rows: Sequence[Row]) -> None:
    copy = results.ceilings["copy"]
    peak = results.ceilings["matmul"].get(dtype) or 0.0
    unit, prefix = (1e12, "T") if max(peak, copy) >= 1e12 else (1e9, "G")
    spots = [(row, name, _intensity(row), row.flops / timing.median / unit)
             for row in rows for name, timing in row.times.items()]  # fmt: skip
    left = min(x for _, _, x, _ in spots) / 2
    right = 2 * max(*(x for _, _, x, _ in spots), 2 * peak / copy)
    bottom = min(y for _, _, _, y in spots) / 2
    top = 2.5 * max(*(y for _, _, _, y in spots), peak / unit)
    panel.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    panel.grid(True, which="major", color="#e6e6e6", linewidth=0.6)
    panel.set_axisbelow(True)

    roof = [copy * x / unit for x in (left, right)]
    if peak:
        ridge = peak / copy
        panel.plot([left, ridge, right], [roof[0], peak / unit, peak / unit], color="black", lw=1.3)
        panel.annotate(
            f"matrix product {peak / unit:.3g} {prefix}FLOP/s", (right, peak / unit), (-4, 4),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
    else:
        panel.plot([left, right], roof, color="black", lw=1.3)
    panel.annotate(
        f"copy {copy / 1e9:.3g} GB/s", (left, roof[0]), (10, 14), textcoords="offset points",
        rotation=_slope(panel), rotation_mode="anchor", fontsize=9,
    )  # fmt: skip

    for row in rows:  # the points of a case stand on one line
        speeds = [y for other, _, _, y in spots if other is row]
        panel.plot([_intensity(row)] * 2, [min(speeds), max(speeds)], color="#dddddd", lw=0.8,
                   zorder=1.5)  # fmt: skip
    mine = next(iter(rows[0].times))
    for name in dict.fromkeys(name for _, name, _, _ in spots):
        xs, ys = zip(*((x, y) for _, n, x, y in spots if n == name), strict=True)
        if name == mine:
            panel.plot(xs, ys, ls="", ms=7, mec="white", mew=0.7, zorder=4, label=name, **_MINE)
        else:
            style = _STYLES.get(name, {"marker": "x", "color": "#CC79A7"})
            panel.plot(xs, ys, ls="", ms=5.5, mfc="none", alpha=0.85, zorder=3, label=name, **style)
    gpu = results.machine.get("gpu", {}).get("name")
    meaningless = "; times mean nothing" if results.settings.get("device") == "emulated" else ""
    panel.set_title(
        f"{dtype} on {gpu or results.machine.get('processor')} ({results.settings.get('device')}"
        f"{meaningless}), {results.date[:10]}", loc="left", fontsize=11,
    )  # fmt: skip
    panel.set_xlabel("arithmetic intensity, FLOP per byte")
    panel.set_ylabel(f"{prefix}FLOP/s")
    panel.legend(loc="lower right", frameon=True, fontsize=9)


def _slope(panel: Any) -> float:
    """The angle of the line y = x on the page, in degrees."""
    (x0, x1), (y0, y1) = panel.get_xlim(), panel.get_ylim()
    box = panel.get_position()
    per_x = box.width * _WIDTH / math.log10(x1 / x0)
    per_y = box.height * _HEIGHT / math.log10(y1 / y0)
    return math.degrees(math.atan2(per_y, per_x))


# ---------------------------------------------------------------------- labels


def _label(panel: Any, rows: Sequence[Row]) -> None:
    """Name tapegrad's points, each label as near to its point as there is room: positions on
    growing rings around the point are tried until one is free."""
    renderer = panel.figure.canvas.get_renderer()
    unit = 1e12 if panel.get_ylabel().startswith("T") else 1e9
    to_page = panel.transData.transform
    page = panel.get_window_extent(renderer)
    scale = renderer.points_to_pixels(1)
    points = [to_page((_intensity(row), row.flops / timing.median / unit))
              for row in rows for timing in row.times.values()]  # fmt: skip
    margin = 4 * scale
    taken = [(x - margin, y - margin, x + margin, y + margin) for x, y in points]
    taken += [t.get_window_extent(renderer).extents for t in panel.texts]
    taken.append(panel.get_legend().get_window_extent(renderer).extents)
    several = {row.case for row in rows if sum(r.case == row.case for r in rows) > 1}
    for row in sorted(rows, key=lambda r: (_intensity(r), r.flops_per_second)):
        point = (_intensity(row), (row.flops_per_second or 0.0) / unit)
        shape = f" {'x'.join(map(str, row.shape))}" if row.case in several else ""
        text = panel.annotate(
            row.case + shape, point, (0, 0), textcoords="offset points", fontsize=_LABEL_SIZE,
            va="center", color="#333333", zorder=5,
        )  # fmt: skip
        extent = text.get_window_extent(renderer)
        x, y = to_page(point)
        for radius, angle in itertools.product(range(6, 150, 4), range(0, 360, 30)):
            dx, dy = (f(math.radians(angle)) * radius * scale for f in (math.cos, math.sin))
            start = x + dx - (extent.width if math.cos(math.radians(angle)) < -0.1 else 0)
            box = (start, y + dy - extent.height / 2, start + extent.width,
                   y + dy + extent.height / 2)  # fmt: skip
            inside = (page.x0 < box[0] and box[2] < page.x1 and page.y0 < box[1]
                      and box[3] < page.y1)  # fmt: skip
            if inside and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        text.set_position(((start - x) / scale, dy / scale))
        if radius > 10:  # a thin line to the point
            end = start + (extent.width if start + extent.width < x else 0)
            inverse = panel.transData.inverted().transform
            panel.plot(*zip(point, inverse((end, y + dy)), strict=True), color="#bbbbbb", lw=0.5,
                       zorder=1.6)  # fmt: skip


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
