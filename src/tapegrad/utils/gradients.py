"""Whether gradients reach all layers of a model, and in what size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tapegrad.ops.linalg.norms import vector_norm

from .table import Table

# A layer's gradient is compared with its weights: at 100 a step of SGD with a learning rate of 0.01
# changes weights by as much as they are. And with the other layers', with which it has the loss in
# common.
_VANISHED = 1e-8
_BEHIND = 1e-4
_EXPLODED = 100.0

REMEDIES = {
    "vanishing": "ReLU or GELU instead of sigmoid and tanh; nn.init.kaiming_normal_ (of tanh: "
    "xavier_normal_); BatchNorm or LayerNorm; residual connections; LSTM or GRU instead of RNN",
    "exploding": "nn.utils.clip_grad_norm_; a smaller learning rate, or warm-up; BatchNorm or "
    "LayerNorm; smaller initial weights",
    "not finite": "autograd.detect_anomaly() names the operation; with float16 amp.GradScaler, or "
    "bfloat16; then as for exploding",
    "dead units": "LeakyReLU, ELU or GELU instead of ReLU; a smaller learning rate; inputs of mean "
    "0 and variance 1; no bias that is large and negative",
    "no gradient": "call backward() first; give the loss a path to these parameters, without "
    "detach() and no_grad(); or leave them out of the optimizer",
}


@dataclass
class Layer:
    """A module's own parameters. ratio: the norm of their gradient divided by their own. dead: the
    share of units whose weights and bias all have gradient 0 (None: there are no units)."""

    name: str
    kind: str
    parameters: int
    weight_norm: float
    gradient_norm: float
    ratio: float
    dead: float | None
    problems: list[str] = field(default_factory=list)


@dataclass
class GradientReport:
    """What ``gradient_report`` found: ``layers``, from first to last, and ``problems``, which maps
    each kind of problem to the names of its layers. Printed, and shown in notebooks, it is a table
    with remedies below."""

    layers: list[Layer]

    @property
    def problems(self) -> dict[str, list[str]]:
        """Problem -> the layers that have it."""
        found: dict[str, list[str]] = {}
        for layer in self.layers:
            for problem in layer.problems:
                found.setdefault(problem, []).append(layer.name)
        return found

    def _table(self) -> Table:
        head = ["Layer", "Parameters", "Weights", "Gradient", "Ratio", "Dead", "Problem"]
        rows = [
            [
                f"{layer.name or '(model)'}: {layer.kind}",
                f"{layer.parameters:,}",
                f"{layer.weight_norm:.2e}",
                f"{layer.gradient_norm:.2e}",
                f"{layer.ratio:.1e}",
                "" if layer.dead is None else f"{layer.dead:.0%}",
                ", ".join(layer.problems),
            ]
            for layer in self.layers
        ]
        return Table(head, rows, below=self._advice(), ruled=True)

    def _advice(self) -> list[str]:
        return [
            f"{problem} ({_some(names)}): {REMEDIES[problem]}"
            for problem, names in self.problems.items()
        ] or ["No problem: gradients reach all layers in sizes that steps can use."]

    def __str__(self) -> str:
        return self._table().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table().html()


def gradient_report(model: Any) -> GradientReport:
    """The gradients of a model after ``backward()``, layer by layer: their norm, its ratio to that
    of the weights, units without gradient, and what is wrong with them.

    vanishing: the ratio is below 1e-8, or below 1e-4 times the largest layer's. exploding: above
    100. not finite: inf or nan, of gradients or weights. dead units: half of a layer's units or
    more have gradient 0 in this batch (an output of a linear or convolution layer; not of
    embeddings, whose rows wait for their tokens). no gradient: ``grad`` is None though it is asked
    for, or all 0.

    Raises TypeError for what is no module, ValueError for one without parameters to train.
    """
    if not hasattr(model, "named_modules"):
        raise TypeError(f"[gradient_report] expects a module, got {type(model).__name__}")
    layers = [
        _layer(name, module, own)
        for name, module in model.named_modules()
        if (own := [p for p in module.parameters(recurse=False) if p.requires_grad])
    ]
    if not layers:
        raise ValueError("[gradient_report] the model has no parameters that require grad")
    largest = max((x.ratio for x in layers if math.isfinite(x.ratio)), default=0.0)
    for layer in layers:
        layer.problems = _problems(layer, largest)
    return GradientReport(layers)


def _layer(name: str, module: Any, own: list[Any]) -> Layer:
    weights = _norm(own)
    gradients = _norm([p.grad for p in own if p.grad is not None])
    return Layer(
        name,
        module._get_name(),
        sum(p.numel() for p in own),
        weights,
        gradients,
        gradients / weights if weights else (math.inf if gradients else 0.0),
        _dead(module),
    )


def _problems(layer: Layer, largest: float) -> list[str]:
    if not (math.isfinite(layer.gradient_norm) and math.isfinite(layer.weight_norm)):
        return ["not finite"]
    if not layer.gradient_norm:
        return ["no gradient"]
    found = []
    if layer.ratio < max(_VANISHED, _BEHIND * largest):
        found.append("vanishing")
    elif layer.ratio > _EXPLODED and layer.weight_norm:
        found.append("exploding")
    if layer.dead is not None and layer.dead >= 0.5:
        found.append("dead units")
    return found


def _dead(module: Any) -> float | None:
    weight: Any = getattr(module, "weight", None)
    if getattr(weight, "ndim", 0) < 2 or hasattr(module, "num_embeddings"):
        return None
    if not weight.is_leaf or weight.grad is None:  # (One that is parametrized is made of others.)
        return None
    gradient = weight.grad.detach()
    if getattr(module, "transposed", False):  # (in, out, ...)
        gradient = gradient.transpose(0, 1)
    alive = (gradient != 0).flatten(1).any(1)
    bias: Any = getattr(module, "bias", None)
    if getattr(bias, "grad", None) is not None and bias.shape == alive.shape:
        alive = alive | (bias.grad != 0)  # (Only the inputs of such a unit are 0.)
    return 1 - alive.float().mean().item() if len(alive) else None


def _norm(tensors: list[Any]) -> float:
    return math.hypot(*(vector_norm(t.detach().double()).item() for t in tensors))


def _some(names: list[str]) -> str:
    shown = ", ".join(name or "the model" for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
