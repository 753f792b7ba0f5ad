"""A small backward pass as a page to step through: values forward, then gradients node by node."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template
from typing import Any

import numpy as np

from tapegrad.autograd import grad
from tapegrad.autograd.backward import GradientEdge
from tapegrad.core.devices import to_numpy
from tapegrad.core.node import Node, call_of
from tapegrad.core.tensor import Leaf, Tensor

from .rules_in_words import in_words
from .tape_graph import parameter_names, reached

_MOST = 100  # lines that a page can show
_NUMBERS = 24  # of an array that are shown; of larger ones the range


@dataclass
class Line:
    """A tensor of the pass: what it is called, how it is made, its value (None: the tape does not
    keep it), the gradient that arrives at it, and what its rule sends to which line."""

    name: str
    call: str
    shape: tuple[int, ...]
    value: np.ndarray | None
    gradient: np.ndarray | None = None
    rule: str = ""
    sends: list[tuple[str, np.ndarray]] = field(default_factory=list)


class BackwardSteps:
    """What ``show_backward`` found. ``lines``: in the order of recording; backward they are visited
    from the last to the first. Notebooks show the page; ``save`` writes it; as text, it is the
    lines with how each was made."""

    def __init__(self, lines: Sequence[Line]):
        self.lines = list(lines)

    def __repr__(self) -> str:
        made = "\n".join(f"  {t.name} = {t.call}  {list(t.shape)}" for t in self.lines)
        return f"backward pass of {len(self.lines)} tensors; .save('steps.html') shows it\n{made}"

    @property
    def html(self) -> str:
        """The page, in one piece: nothing is loaded from elsewhere."""
        forward = [
            (f"Forward: <b>{escape(t.name)}</b> = {escape(t.call)}", i, "")
            for i, t in enumerate(self.lines)
        ]
        backward = [
            (_story(t), i, "back")
            for i, t in reversed(list(enumerate(self.lines)))
            if t.gradient is not None
        ]
        steps = "".join(
            f'<div class="step" data-line="{i}" data-back="{back}">{text}</div>'
            for text, i, back in [*forward, *backward]
        )
        return _PAGE.substitute(rows="".join(map(_row, self.lines)), steps=steps)

    def _repr_html_(self) -> str:
        return f'<iframe style="width:100%;height:32em;border:0" srcdoc="{escape(self.html)}">' + (
            "</iframe>"
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the page to a file ending in ``.html``. Raises ValueError for another ending."""
        if not os.fspath(path).endswith(".html"):
            raise ValueError(f"[show_backward] a file ends in .html, got {os.fspath(path)!r}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.html)


def show_backward(result: Tensor, model: Any = None) -> BackwardSteps:
    """The backward pass of a result with one element, to step through: first the values of all
    tensors on its tape, then, from the last to the first, the gradient that arrives at each and
    what its rule sends on, with the rule in words::

        tapegrad.utils.show_backward(loss).save("backward.html")

    model: names the leaves that are its parameters. It is for looking at small computations, of up
    to 100 operations. No ``.grad`` changes, and ``backward()`` can be called as before.

    Raises TypeError for what is no tensor or module; ValueError for a tensor without a tape, with
    several elements or with too long a tape; RuntimeError where ``backward()`` has freed it.
    """
    if not isinstance(result, Tensor):
        raise TypeError(f"[show_backward] expects a tensor, got {type(result).__name__}")
    if not isinstance(result._node, Node):
        raise ValueError(
            "[show_backward] the tensor has no tape: it is a leaf, or was made under no_grad, or "
            "of nothing that requires grad"
        )
    if result.numel() != 1:
        raise ValueError(
            f"[show_backward] the result must have one element, got shape {tuple(result.shape)}: "
            "take its sum() or mean()"
        )
    nodes, leaves = reached(result._node)
    if len(nodes) > _MOST:
        raise ValueError(
            f"[show_backward] the tape has {len(nodes)} operations, more than the {_MOST} that a "
            "page can show: use draw_tape, or a smaller case"
        )
    if model is not None and not hasattr(model, "named_parameters"):
        raise TypeError(f"[show_backward] model must be a module, got {type(model).__name__}")
    names = {id(leaf): _leaf_name(i) for i, leaf in enumerate(leaves)}
    names |= {} if model is None else dict(parameter_names(model))
    names |= {id(node): f"v{i + 1}" for i, node in enumerate(nodes)}
    names[id(None)] = "…"
    values = {**_values(nodes, leaves), id(result._node): to_numpy(result._array)}
    lines = {
        id(leaf): Line(names[id(leaf)], "a leaf", leaf.shape, values.get(id(leaf)))
        for leaf in leaves
    }
    for node in nodes:
        inputs = ", ".join(names[id(call_of(edge)[0])] for edge in node.edges)
        lines[id(node)] = Line(
            names[id(node)],
            f"{node.primitive.name}({inputs})",
            tuple(node.shape),
            values.get(id(node)),
            rule=in_words(node.primitive.name),
        )
    _walk(result, nodes, leaves, lines)
    return BackwardSteps(list(lines.values()))


def _leaf_name(index: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[index] if index < 26 else f"leaf{index + 1}"


def _values(nodes: Sequence[Node], leaves: Sequence[Leaf]) -> dict[int, np.ndarray]:
    """The arrays of leaves and nodes: what was kept, and what can be computed again from that."""
    found: dict[int, Any] = {}
    for leaf in leaves:
        t = leaf.tensor()
        if t is not None:
            found[id(leaf)] = t._array
    for node in nodes:
        if node.saved is None:
            raise RuntimeError(
                f"[show_backward] what '{node.primitive.name}' saved was freed by backward(): call "
                "show_backward before it, or backward(retain_graph=True)"
            )
        value = _value(node, found)
        if value is not None:
            found[id(node)] = value
    return {key: to_numpy(array) for key, array in found.items()}


def _value(node: Node, found: dict[int, Any]) -> Any:
    primitive, saved = node.primitive, node.saved
    if primitive.results > 1 or primitive.variadic or not isinstance(saved, tuple):
        return None
    if saved[0] is not None:
        return saved[0]
    count = len(primitive.inputs)
    given = [
        kept if edge is None else found.get(id(call_of(edge)[0]))
        for edge, kept in zip(node.edges, saved[1 : count + 1], strict=True)
    ]
    if any(array is None for array in given):
        return None
    parameters = dict(zip(primitive.parameters, saved[count + 1 :], strict=False))
    try:
        made = node.device.ops[primitive.name](*given, **parameters)
    except Exception:  # an operation that cannot be run by itself: of Function, for one
        return None
    return node.device.asarray(made[0] if primitive.extras else made)


def _walk(
    result: Tensor, nodes: Sequence[Node], leaves: Sequence[Leaf], lines: dict[int, Line]
) -> None:
    """Walk back, and note what arrives at each line and what its rule sends on."""

    def watcher(node: Node) -> Callable:
        line = lines[id(node)]

        def watch(sent: Sequence[Tensor | None], arrived: Sequence[Tensor | None]) -> None:
            if arrived[0] is not None:
                line.gradient = to_numpy(arrived[0]._array).copy()
            for edge, g in zip(node.edges, sent, strict=True):
                if g is not None:
                    to = lines[id(call_of(edge)[0])].name
                    line.sends.append((to, to_numpy(g._array).copy()))

        return watch

    handles = [node.register_hook(watcher(node)) for node in nodes]
    try:
        edges = [GradientEdge(leaf, 0) for leaf in leaves]  # their tensors may be gone
        gradients = grad(result, edges, retain_graph=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for leaf, g in zip(leaves, gradients, strict=True):
        if g is not None:
            lines[id(leaf)].gradient = to_numpy(g._array)


# ---------------------------------------------------------------------- the page


def _shown(array: np.ndarray | None) -> str:
    """An array as text: its numbers, or of a large one its range."""
    if array is None:
        return "not kept"
    if array.size > _NUMBERS:
        least, most = array.min(), array.max()
        return f"{array.size} numbers from {least:.4g} to {most:.4g}"
    with np.printoptions(precision=4, suppress=True):
        return str(array)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _row(line: Line) -> str:
    return (
        f"<tr><td><b>{escape(line.name)}</b></td><td>{escape(line.call)}</td>"
        f"<td>{_size(line.shape)}</td><td><pre>{escape(_shown(line.value))}</pre></td>"
        f"<td><pre>{escape(_shown(line.gradient)) if line.gradient is not None else ''}</pre></td>"
        "</tr>"
    )


def _story(line: Line) -> str:
    """What happens at a line when the walk comes to it."""
    arrives = f"Backward: <pre>{escape(_shown(line.gradient))}</pre> arrives at "
    text = f"{arrives}<b>{escape(line.name)}</b> = {escape(line.call)}. "
    if not line.rule:
        return text + "It is a leaf: this is its gradient."
    sent = "".join(
        f"<li><b>{escape(to)}</b> gets <pre>{escape(_shown(g))}</pre></li>" for to, g in line.sends
    )
    return f"{text}{escape(line.rule)}<ul>{sent}</ul>"


_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>A backward pass</title><style>
body { font: 15px sans-serif; margin: 1.5em; color: #222; background: #fff }
pre { display: inline-block; margin: 0; font-size: 13px; vertical-align: top }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .3em .6em;
text-align: left; vertical-align: top } tr.now { background: #fdf2e0 }
td.hidden pre { visibility: hidden }
.step { display: none; min-height: 9em } .step.now { display: block }
</style></head><body>
<p><button id="back">&larr;</button> <button id="on">&rarr;</button> <span id="where"></span>,
also by the arrow keys. An input that needs no gradient is written as &hellip;</p>
$steps
<table>
<thead><tr><th></th><th>made by</th><th>shape</th><th>value</th><th>gradient</th></tr></thead>
<tbody>$rows</tbody></table>
<script>
const steps = [...document.querySelectorAll(".step")];
const rows = [...document.querySelectorAll("tbody tr")];
let at = 0;
function show() {
  const done = new Set(steps.slice(0, at + 1).map(s => s.dataset.line + s.dataset.back));
  steps.forEach((s, i) => s.classList.toggle("now", i === at));
  rows.forEach((row, i) => {
    row.classList.toggle("now", Number(steps[at].dataset.line) === i);
    row.cells[3].classList.toggle("hidden", !done.has(String(i)));
    row.cells[4].classList.toggle("hidden", !done.has(i + "back"));
  });
  document.getElementById("where").textContent = (at + 1) + " of " + steps.length;
}
function move(by) { at = Math.min(Math.max(at + by, 0), steps.length - 1); show(); }
document.getElementById("back").onclick = () => move(-1);
document.getElementById("on").onclick = () => move(1);
document.onkeydown = e => move({ ArrowLeft: -1, ArrowRight: 1 }[e.key] || 0);
show();
</script></body></html>
""")
