"""The tape of a result as a graph: which operations made it, out of which parameters."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tapegrad.core.node import Node, call_of
from tapegrad.core.tensor import Leaf, Tensor

from .tape_svg import Box, draw

_MOST = 120  # boxes that a page can show; modules are folded until there are no more


@dataclass
class TapeGraph:
    """What ``draw_tape`` found: boxes in the order of recording, and edges between their numbers.
    ``dot`` is it in Graphviz's language, ``svg`` a picture, which notebooks show."""

    boxes: list[Box]
    edges: list[tuple[int, int]]

    @property
    def modules(self) -> list[str]:
        """The modules that boxes stand in, and those around them, in order."""
        found: dict[str, None] = {}
        for box in self.boxes:
            path = box.module.split(".") if box.module else []
            for i in range(len(path)):
                found[".".join(path[: i + 1])] = None
        return list(found)

    @property
    def dot(self) -> str:
        """The graph in DOT, modules as clusters."""
        lines = ["digraph tape {", '  node [shape=box, style="rounded,filled", fillcolor=white]']
        lines += self._cluster("", "  ")
        lines += [f"  b{a} -> b{b}" for a, b in self.edges]
        return "\n".join([*lines, "}\n"])

    def _cluster(self, module: str, indent: str) -> list[str]:
        lines = []
        for i, box in enumerate(self.boxes):
            if box.module == module:
                label = _quoted("\n".join([box.title, *box.lines]))
                shape = ", shape=ellipse" if box.is_leaf else ""
                lines.append(f"{indent}b{i} [label={label}{shape}]")
        for i, inner in enumerate(self.modules):
            if inner.rpartition(".")[0] == module:
                label = _quoted(inner.rpartition(".")[2])
                lines.append(f"{indent}subgraph cluster_{i} {{")
                lines.append(f"{indent}  label={label}; style=filled; fillcolor=grey95")
                lines += self._cluster(inner, indent + "  ")
                lines.append(f"{indent}}}")
        return lines

    @property
    def svg(self) -> str:
        """The graph as a picture: by Graphviz, where the package ``graphviz`` and its program
        ``dot`` are installed, else in layers from input to result."""
        try:
            import graphviz
        except ImportError:
            return draw(self.boxes, self.edges, self.modules)
        try:
            return graphviz.Source(self.dot).pipe(format="svg", encoding="utf-8")
        except graphviz.ExecutableNotFound:
            return draw(self.boxes, self.edges, self.modules)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | os.PathLike) -> None:
        """Write the picture to a file ending in ``.svg``, or the graph to one in ``.dot``. Raises
        ValueError for other endings."""
        ending = os.fspath(path).rpartition(".")[2]
        if ending not in ("svg", "dot"):
            raise ValueError(f"[draw_tape] a file ends in .svg or .dot, got {os.fspath(path)!r}")
        text = self.svg if ending == "svg" else self.dot
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def draw_tape(result: Tensor, model: Any = None, *, depth: int | None = None) -> TapeGraph:
    """The tape that leads to a result, as a graph to look at: a box for each operation, with its
    name, the shape of what it made and the parameters it was given; edges from input to result::

        tapegrad.utils.draw_tape(loss, model).save("tape.svg")

    model: names the parameters, and groups operations by module: those that use parameters of one
    module, and those recorded between them. depth: modules as deep as this (1: right below the
    model) are drawn as one box each; by default as deep as a page of 120 boxes allows. Nothing is
    changed, or kept alive.

    Raises TypeError for what is no tensor or module, ValueError for a tensor without a tape and for
    a depth below 1.
    """
    if not isinstance(result, Tensor):
        raise TypeError(f"[draw_tape] expects a tensor, got {type(result).__name__}")
    if not isinstance(result._node, Node):
        raise ValueError(
            "[draw_tape] the tensor has no tape: it is a leaf, or was made under no_grad, or of "
            "nothing that requires grad"
        )
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ValueError(f"[draw_tape] depth must be an integer of at least 1, got {depth!r}")
    if model is not None and not hasattr(model, "named_parameters"):
        raise TypeError(f"[draw_tape] model must be a module, got {type(model).__name__}")
    names = {} if model is None else dict(parameter_names(model))
    whole = _graph(result._node, names)
    if depth is not None:
        return _folded(whole, depth)
    deepest = max((box.module.count(".") + 1 for box in whole.boxes if box.module), default=0)
    for most in range(deepest, 0, -1):
        if len(whole.boxes) <= _MOST:
            break
        whole = _folded(whole, most)
    return whole


def parameter_names(model: Any) -> Iterable[tuple[int, str]]:
    """id of a parameter's leaf -> its name."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter._node, Leaf):  # (frozen ones are not on the tape)
            yield id(parameter._node), name


def _graph(root: Node, names: dict[int, str]) -> TapeGraph:
    nodes, leaves = reached(root)
    numbers: dict[int, int] = {}
    boxes: list[Box] = []
    edges: list[tuple[int, int]] = []
    for leaf in leaves:
        if id(leaf) not in names:
            numbers[id(leaf)] = len(boxes)
            boxes.append(Box("input", [_shape(leaf)], is_leaf=True))
    for node in nodes:
        numbers[id(node)] = number = len(boxes)
        box = Box(node.primitive.name)
        owners = []
        for edge in node.edges:
            source = call_of(edge)[0]
            if id(edge) in names:
                name = names[id(edge)]
                owners.append(name.rpartition(".")[0])
                box.lines.append(f"{name.rpartition('.')[2]} {_shape(edge)}")
            elif source is not None and id(source) in numbers:
                edges.append((numbers[id(source)], number))
        if node.dtype is not None:
            box.lines.append(f"→ {_shape(node)}")
        box.module = _common(owners) if owners else "?"
        boxes.append(box)
    _place(boxes)
    return TapeGraph(boxes, list(dict.fromkeys(edges)))


def reached(root: Node) -> tuple[list[Node], list[Leaf]]:
    """Operations in the order of recording, and the ends of the tape."""
    first = call_of(root)[0]
    seen = {id(first): first}
    waiting = [first]
    while waiting:
        for edge in getattr(waiting.pop(), "edges", ()):
            source = call_of(edge)[0]
            if source is not None and id(source) not in seen:
                seen[id(source)] = source
                waiting.append(source)
    nodes = sorted((n for n in seen.values() if isinstance(n, Node)), key=lambda n: n.serial)
    return nodes, [n for n in seen.values() if isinstance(n, Leaf)]


def _place(boxes: list[Box]) -> None:
    """Put operations without parameters into the module that those before and after share."""
    after = ""
    later = []
    for box in reversed(boxes):
        later.append(after)
        after = box.module if box.module not in ("?", "") else after
    before = ""
    for box, after in zip(boxes, reversed(later), strict=True):
        if box.module == "?":
            box.module = _common([before, after])
        elif box.module:
            before = box.module


def _folded(graph: TapeGraph, depth: int) -> TapeGraph:
    """The graph with the modules of this depth as one box each, where they have several."""
    names = [".".join(box.module.split(".")[:depth]) for box in graph.boxes]
    deep = [name.count(".") + 1 == depth and name != "" for name in names]
    sizes = Counter(name for name, is_deep in zip(names, deep, strict=True) if is_deep)
    boxes: list[Box] = []
    numbers: list[int] = []
    folded: dict[str, int] = {}
    for box, name in zip(graph.boxes, names, strict=True):
        if sizes[name] < 2:
            numbers.append(len(boxes))
            boxes.append(box)
            continue
        if name not in folded:
            folded[name] = len(boxes)
            outside, _, own = name.rpartition(".")
            boxes.append(Box(own, module=outside))
        numbers.append(folded[name])
        boxes[folded[name]].lines = [f"{sizes[name]} operations", *box.lines[-1:]]
    pairs = ((numbers[a], numbers[b]) for a, b in graph.edges)
    return TapeGraph(boxes, list(dict.fromkeys((a, b) for a, b in pairs if a != b)))


def _common(names: list[str]) -> str:
    """The innermost module around all of these."""
    shared = names[0].split(".")
    for name in names[1:]:
        path = name.split(".")
        same = [a for i, a in enumerate(shared) if path[: i + 1] == shared[: i + 1]]
        shared = same
    return ".".join(shared)


def _shape(node: Any) -> str:
    return " x ".join(map(str, node.shape)) or "a number"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
