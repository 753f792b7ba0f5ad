"""Gradients that vanish and explode, made visible, with their cures: writes a page of plots.

    python examples/vanishing_gradients.py          # vanishing_gradients.html; needs the extra viz

Each network has 20 layers and reads digits; a plot shows how long the gradient of each layer's
result is before the first step, and the page how far each network came in ten epochs.
"""

import argparse
import io
import math
from pathlib import Path

from matplotlib.figure import Figure

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--out", type=Path, default=Path("vanishing_gradients.html"))
parser.add_argument("--tiny", action="store_true", help="one epoch, to see that it runs")
options = parser.parse_args()
EPOCHS, DEPTH, WIDTH = (1 if options.tiny else 10), 20, 32


class Residual(nn.Module):
    """What a layer says is added to what it was told."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


def network(activation, spread=1.0, norm=False, residual=False):
    """20 layers whose weights have ``spread`` times the deviation 1 / sqrt(width)."""
    layers = [nn.Flatten(), nn.Linear(64, WIDTH)]
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(linear.weight, std=spread / math.sqrt(WIDTH))
        nn.init.zeros_(linear.bias)
        layer = nn.Sequential(linear, *([nn.BatchNorm1d(WIDTH)] if norm else []), activation())
        layers.append(Residual(layer) if residual else layer)
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


NETWORKS = {
    "sigmoid: vanishes": (dict(activation=nn.Sigmoid), "the slope of a sigmoid is at most 1/4"),
    "tanh, weights too small: vanishes": (
        dict(activation=nn.Tanh, spread=0.5),
        "every layer halves what comes back",
    ),
    "ReLU, weights too large: explodes": (
        dict(activation=nn.ReLU, spread=3.0),
        "every layer doubles what comes back",
    ),
    "cure: ReLU, weights by He": (
        dict(activation=nn.ReLU, spread=math.sqrt(2)),
        "half of the slopes are 0, so the weights are larger by sqrt(2): nn.init.kaiming_normal_",
    ),
    "cure: batch norm": (
        dict(activation=nn.Sigmoid, norm=True, spread=4.0),
        "what arrives at each sigmoid has mean 0 and deviation 1",
    ),
    "cure: residual connections": (
        dict(activation=nn.Tanh, spread=0.5, residual=True),
        "the gradient has a way on which nothing multiplies it",
    ),
}

images, labels = tg.data.digits()
training, test = slice(0, 1500), slice(1500, None)
figure = Figure(figsize=(12, 6), layout="constrained")
rows = []
plots = figure.subplots(2, 3).flat
for axes, (name, (arguments, why)) in zip(plots, NETWORKS.items(), strict=True):
    tg.manual_seed(0)
    model = network(**arguments)
    results = [images[:256]]
    for layer in model:
        results.append(layer(results[-1]))
    loss = F.cross_entropy(results[-1], labels[:256])
    norms = [gradient.norm().item() for gradient in tg.autograd.grad(loss, results[2:])]
    axes.semilogy(norms, marker=".")
    axes.set(title=name, xlabel="layer", ylabel="norm of the gradient", ylim=(1e-14, 1e8))

    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for i in tg.randperm(1500).split(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[i]), labels[i])
            loss.backward()
            optimizer.step()
    model.eval()
    with tg.no_grad():
        accuracy = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
    ratio = norms[-2] / norms[0]
    rows.append((name, f"{ratio:.1e}", f"{accuracy:.0%}", why))
    print(f"{name:36} last gradient / first {ratio:8.1e}, test {accuracy:.0%}")

picture = io.StringIO()
figure.savefig(picture, format="svg")
table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
options.out.write_text(
    f"""<!doctype html><meta charset="utf-8"><title>Vanishing gradients</title>
<style>body {{ font: 16px sans-serif; margin: 2em auto; max-width: 75em }}
td, th {{ padding: 0.3em 1em; text-align: left; border-bottom: 1px solid #ccc }}</style>
<h1>Vanishing and exploding gradients, and their cures</h1>
<p>On the way back every layer multiplies the gradient by its weights and by the slope of its
activation. Twenty factors below one leave nothing, twenty above one have no end.</p>
{picture.getvalue()[picture.getvalue().index("<svg") :]}
<table><tr><th>20 layers<th>gradient of the last layer / of the first<th>unseen digits read
after {EPOCHS} epochs<th>why</tr>{table}</table>
""",
    encoding="utf-8",
)
print(f"the plots: {options.out}")
