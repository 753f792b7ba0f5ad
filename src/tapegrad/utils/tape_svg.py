"""A graph as an SVG picture: boxes in layers, from top to bottom (Sugiyama et al. 1981).

Each box stands a layer below the last of what it is made from; an edge over several layers goes
through a place in each of them, so that it passes beside the boxes there. In a layer, boxes stand
in the order of what they are connected with above and below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

_LETTER, _LINE, _GAP, _STEP = 7.2, 15, 24, 34  # pixels
_SWEEPS = 8
_COLOURS = ("#e8f1fb", "#eaf6ea", "#fdf2e0", "#f5e9f7", "#e6f5f5", "#fbe9e9")


Frame = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass
class Box:
    """An operation, a folded module, or an end of the tape that is no parameter."""

    title: str
    lines: list[str] = field(default_factory=list)  # parameters, and the shape of the result
    module: str = ""  # the dotted name of what it stands in
    is_leaf: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of its picture."""
        lines = [self.title, *self.lines]
        return max(map(len, lines)) * _LETTER + 16, len(lines) * _LINE + 8


def draw(boxes: list[Box], edges: list[tuple[int, int]], modules: list[str]) -> str:
    """The picture, an ``<svg>`` element: of edges, which lead from earlier boxes to later ones, and
    of the modules that boxes stand in."""
    # (Of folded modules an edge may lead back: it is drawn down, too.)
    layers, chains = _layers(len(boxes), sorted({(min(edge), max(edge)) for edge in edges}))
    _order(layers, chains)
    sizes = [box.size for box in boxes]
    centres, heights = _positions(layers, chains, sizes)
    frames = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(centres, sizes, strict=False)
    ]
    fields = _fields(boxes, modules, frames)
    labels = [(right + len(name) * _LETTER, top) for name, (_, top, right, _) in fields]
    xs = [x for x, _ in [*centres, *labels]] + [f[i] for _, f in fields for i in (0, 2)]
    xs += [frame[i] for frame in frames for i in (0, 2)]
    ys = [y for frame in [*frames, *(f for _, f in fields)] for y in frame[1::2]]
    left, right, top, bottom = min(xs) - 8, max(xs) + 8, min(ys) - 8, max(ys) + 8
    parts = [_field(name, *frame, i) for i, (name, frame) in enumerate(fields)]
    parts += [_edge(chain, centres, heights) for chain in chains]
    parts += [_box(box, *frame) for box, frame in zip(boxes, frames, strict=True)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{right - left:.0f}" '
        f'viewBox="{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}" '
        f'font-family="monospace" font-size="12" fill="#222">{"".join(parts)}</svg>'
    )


def _layers(count: int, edges: list[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """The boxes of each layer with the places that edges pass through, numbered after the boxes;
    and each edge as the chain of those on its way."""
    depth = [0] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):  # (an edge leads to a later box)
        depth[b] = max(depth[b], depth[a] + 1)
    below: dict[int, int] = {}
    for a, b in edges:
        below[a] = min(below.get(a, depth[b]), depth[b])
    for i in below.keys() - {b for _, b in edges}:  # stands right above what it leads to
        depth[i] = below[i] - 1
    layers: list[list[int]] = [[] for _ in range(max(depth, default=0) + 1)]
    for i, layer in enumerate(depth):
        layers[layer].append(i)
    chains, number = [], count
    for a, b in edges:
        chain = [a]
        for layer in range(depth[a] + 1, depth[b]):
            layers[layer].append(number)
            chain.append(number)
            number += 1
        chains.append([*chain, b])
    return layers, chains


def _order(layers: list[list[int]], chains: list[list[int]]) -> None:
    """Sort each layer by the mean place of its neighbours in the layer before, down and up."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in chains:
        for a, b in pairwise(chain):
            above.setdefault(b, []).append(a)
            below.setdefault(a, []).append(b)
    for sweep in range(_SWEEPS):
        neighbours, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for fixed, layer in pairwise(order):
            place = {number: i for i, number in enumerate(fixed)}

            keys = {}
            for i, number in enumerate(layer):
                found = [place[n] for n in neighbours.get(number, ()) if n in place]
                keys[number] = sum(found) / len(found) if found else i
            layer.sort(key=keys.__getitem__)


def _positions(
    layers: list[list[int]], chains: list[list[int]], sizes: list[tuple[float, float]]
) -> tuple[list[tuple[float, float]], list[float]]:
    """The centre of each box and place, and the height of its layer."""
    total = sum(map(len, layers))
    xs, ys, heights = [0.0] * total, [0.0] * total, [0.0] * total
    neighbours: dict[int, list[int]] = {}
    for chain in chains:
        for a, b in pairwise(chain):
            neighbours.setdefault(b, []).append(a)
    top = 0.0
    for layer in layers:
        widths = [sizes[n][0] if n < len(sizes) else 10.0 for n in layer]
        height = max((sizes[n][1] for n in layer if n < len(sizes)), default=10.0)
        wanted = []
        x = 0.0
        for number, width in zip(layer, widths, strict=True):
            above = [xs[n] for n in neighbours.get(number, ())]
            centre = sum(above) / len(above) if above else x + width / 2
            wanted.append(centre)
            xs[number] = max(centre, x + width / 2)
            x = xs[number] + width / 2 + _GAP
        shift = sum(w - xs[n] for w, n in zip(wanted, layer, strict=True)) / max(len(layer), 1)
        for number in layer:  # as near to what was wanted on the left as on the right
            xs[number] += shift
            ys[number], heights[number] = top + height / 2, height
        top += height + _STEP
    return list(zip(xs, ys, strict=True)), heights


def _edge(chain: list[int], centres: list[tuple[float, float]], heights: list[float]) -> str:
    (x, y), points = centres[chain[0]], []
    y += heights[chain[0]] / 2
    points.append(f"M{x:.0f} {y:.0f}")
    for number in chain[1:]:
        to_x, to_y = centres[number]
        half = heights[number] / 2
        middle = (y + to_y - half) / 2
        points.append(f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y - half:.0f}")
        if number != chain[-1]:
            points.append(f"V{to_y + half:.0f}")
        x, y = to_x, to_y + half
    return f'<path d="{"".join(points)}" fill="none" stroke="#888"/>'


def _box(box: Box, left: float, top: float, right: float, bottom: float) -> str:
    radius = (bottom - top) / 2 if box.is_leaf else 4
    middle = (left + right) / 2
    lines = [f'<tspan font-weight="bold">{escape(box.title)}</tspan>']
    lines += [f'<tspan x="{middle:.0f}" dy="{_LINE}">{escape(line)}</tspan>' for line in box.lines]
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" '
        f'height="{bottom - top:.0f}" rx="{radius:.0f}" fill="white" stroke="#444"/>'
        f'<text x="{middle:.0f}" y="{top + _LINE:.0f}" text-anchor="middle">{"".join(lines)}</text>'
    )


def _fields(boxes: list[Box], modules: list[str], frames: list[Frame]) -> list[tuple[str, Frame]]:
    """A field around the boxes of each module, outer ones first; of several modules around the same
    boxes, the innermost one's."""
    around: dict[tuple[int, ...], str] = {}
    for name in sorted(modules, key=lambda name: name.count(".")):
        within = [box.module == name or box.module.startswith(f"{name}.") for box in boxes]
        around[tuple([i for i, inside in enumerate(within) if inside])] = name
    deepest = max((name.count(".") for name in modules), default=0)
    found = []
    for inside, name in around.items():
        border = 6 + 5 * (deepest - name.count("."))
        left, top = (min(frames[i][k] for i in inside) - border for k in (0, 1))
        right, bottom = (max(frames[i][k] for i in inside) + border for k in (2, 3))
        found.append((name, (left, top, right, bottom)))
    return found


def _field(name: str, left: float, top: float, right: float, bottom: float, number: int) -> str:
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" '
        f'height="{bottom - top:.0f}" rx="6" fill="{_COLOURS[number % len(_COLOURS)]}" '
        f'stroke="#ccc"/><text x="{right + 4:.0f}" y="{top + 10:.0f}" fill="#777">'
        f"{escape(name)}</text>"
    )
