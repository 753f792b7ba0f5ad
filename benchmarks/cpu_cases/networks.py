"""Training steps and inference of whole networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from .case import Case, Step, forward, integers, normal, training

PERCEPTRONS = ((64, (784, 128, 10)), (128, (784, 512, 512, 10)), (512, (1024, 2048, 2048, 1000)))


@cache
def models(lib: Any) -> SimpleNamespace:
    """The networks' classes, as each library has a class Module of its own."""
    nn, functional = lib.nn, lib.nn.functional

    class Residual(nn.Module):
        """A block of ResNet (He et al. 2016): two convolutions beside a shortcut."""

        def __init__(self, given: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(given, channels, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(channels)
            shortcut = [nn.Conv2d(given, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)]
            self.shortcut = nn.Sequential(*(shortcut if stride > 1 else []))

        def forward(self, x: Any) -> Any:
            y = functional.relu(self.norm1(self.conv1(x)))
            return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))

    class Block(nn.Module):
        """A block of GPT-2 (Radford et al. 2019), with attention by heads of 32 or 64."""

        def __init__(self, width: int, heads: int, dropout: float) -> None:
            super().__init__()
            self.heads, self.dropout = heads, dropout
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.drop = nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            n, length, width = x.shape
            parts = self.attend(self.norm1(x)).view(n, length, 3, self.heads, width // self.heads)
            q, k, v = parts.permute(2, 0, 3, 1, 4)
            p = self.dropout if self.training else 0.0
            y = functional.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
            x = x + self.drop(self.project(y.transpose(1, 2).reshape(n, length, width)))
            return x + self.drop(self.narrow(functional.gelu(self.widen(self.norm2(x)))))

    class GPT(nn.Module):
        def __init__(self, width: int, length: int, heads: int, words: int, dropout: float) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(4)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, indices: Any) -> Any:
            return self.head(self.norm(self.blocks(self.words(indices) + self.places.weight)))

    return SimpleNamespace(Residual=Residual, GPT=GPT)


def perceptron(
    optimizer: str, batch: int, widths: tuple[int, ...], lib: Any, device: str = "cpu"
) -> Step:
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [lib.nn.Linear(a, b), lib.nn.ReLU()]
    model = lib.nn.Sequential(*layers[:-1]).to(device)
    return _trained(lib, model, (batch, widths[0]), widths[-1], optimizer, device)


def _trained(
    lib: Any, model: Any, shape: tuple, classes: int, optimizer: str, device: str = "cpu"
) -> Step:
    x = normal(lib, *shape).to(device)
    if optimizer == "inference":
        return forward(lib, model, x)
    return training(lib, model, x, integers(lib, classes, shape[0]).to(device), optimizer)


def regression(lib: Any) -> Step:
    """A step of SGD on a network of 8-16-16-1 with the mean square as its loss."""
    nn = lib.nn
    layers = [nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)]
    model = nn.Sequential(*layers)
    x, y = normal(lib, 16, 8), normal(lib, 16, 1)
    optimizer = lib.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def watched(lib: Any) -> Step:
    step = perceptron("Adam", *PERCEPTRONS[0], lib)

    def under_anomaly_mode() -> Any:
        with lib.autograd.detect_anomaly(check_nan=True):
            return step()

    return under_anomaly_mode


def lenet(optimizer: str, lib: Any) -> Step:
    """LeNet-5 (LeCun et al. 1998) with ReLU and maxima, on 64 images of 28x28."""
    nn = lib.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    return _trained(lib, model, (64, 1, 28, 28), 10, optimizer)


def resnet(optimizer: str, lib: Any) -> Step:
    """ResNet-18 for 32 images of 32x32: its first layer 3x3, without pooling behind it."""
    nn, block = lib.nn, models(lib).Residual
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [block(channels, width, stride), block(width, width, 1)]
        channels = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return _trained(lib, model, (32, 3, 32, 32), 10, optimizer)


def gpt(mode: str, width: int, length: int, batch: int, dropout: float, lib: Any) -> Step:
    """Four blocks and 65 words."""
    model = models(lib).GPT(width, length, 4 if width == 128 else 6, 65, dropout)
    indices = integers(lib, 65, batch, length)
    if mode == "inference":
        return forward(lib, model, indices)
    return training(lib, model, indices, integers(lib, 65, batch * length), "AdamW")


def lstm(lib: Any) -> Step:
    """An LSTM of 256 units over 64 steps of 32 sequences, forward and backward."""
    x, layer = normal(lib, 64, 32, 256, grad=True), lib.nn.LSTM(256, 256)

    def step() -> Any:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].sum().backward()
        return layer.weight_hh_l0.grad

    return step


def _perceptrons() -> Iterator[Case]:
    for batch, widths in PERCEPTRONS:
        for way in ("SGD", "Adam", "AdamW", "inference"):
            name = f"MLP {'-'.join(map(str, widths))}, batch {batch}, {way}"
            goal = None if way == "inference" else 1.5
            yield Case(name, partial(perceptron, way, batch, widths), goal)


CASES = [
    Case("tiny MLP 8-16-16-1, batch 16, SGD step", regression, 3.0, alone=True),
    Case(
        "MLP 64-64-64-10, batch 64, Adam step",
        partial(perceptron, "Adam", 64, (64, 64, 64, 10)),
        1.5,
        alone=True,
    ),
    *_perceptrons(),
    Case("MLP 784-128-10, batch 64, Adam, detect_anomaly", watched),
    Case("LeNet, batch 64, SGD", partial(lenet, "SGD"), 2.0, 1.3),
    Case("LeNet, batch 64, inference", partial(lenet, "inference")),
    Case("ResNet-18 CIFAR, batch 32, SGD", partial(resnet, "SGD"), 1.0, 0.95),
    Case("ResNet-18 CIFAR, batch 32, inference", partial(resnet, "inference"), 1.0, 0.95),
    Case("GPT 4x128, ctx 64, batch 8, AdamW", partial(gpt, "step", 128, 64, 8, 0.0), 1.5),
    Case("GPT 4x128, ctx 256, batch 8, AdamW", partial(gpt, "step", 128, 256, 8, 0.0), 1.5),
    Case("GPT 4x384, ctx 64, batch 8, AdamW", partial(gpt, "step", 384, 64, 8, 0.0), 1.5),
    Case("GPT 4x384, ctx 256, batch 8, AdamW", partial(gpt, "step", 384, 256, 8, 0.0), 1.5),
    Case(
        "GPT 4x384, ctx 256, batch 8, dropout 0.1, AdamW",
        partial(gpt, "step", 384, 256, 8, 0.1),
        1.5,
    ),
    Case("GPT 4x384, ctx 256, batch 8, inference", partial(gpt, "inference", 384, 256, 8, 0.0)),
    Case("GPT 4x128, ctx 64, batch 1, inference", partial(gpt, "inference", 128, 64, 1, 0.0)),
    Case("LSTM 256, batch 32, length 64 fwd+bwd", lstm, 1.2),
]
