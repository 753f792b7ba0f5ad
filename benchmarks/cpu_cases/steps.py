"""Optimizers, and a data loader."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Case, Step, integers, normal


def parameters(lib: Any, size: int) -> list[Any]:
    """100 tensors of so many numbers, with gradients."""
    made = [normal(lib, size, grad=True) for _ in range(100)]
    for p in made:
        p.grad = p.detach() * 0.1
    return made


def optimizer(name: str, size: int, options: dict[str, Any], lib: Any) -> Step:
    return getattr(lib.optim, name)(parameters(lib, size), lr=1e-3, **options).step


def clipping(lib: Any) -> Step:
    made = parameters(lib, 100_000)
    return lambda: lib.nn.utils.clip_grad_norm_(made, 1.0)


def loader(shuffle: bool, lib: Any) -> Step:
    """One epoch over 1797 images of 8x8, as the digits' are."""
    data = lib.utils.data
    images, classes = normal(lib, 1797, 64), integers(lib, 10, 1797)
    batches = data.DataLoader(data.TensorDataset(images, classes), batch_size=64, shuffle=shuffle)

    def step() -> Any:
        return sum(len(labels) for _, labels in batches)

    return step


def _of_ten_million(name: str, optim: str, **options: Any) -> Case:
    return Case(f"{name}, 100 tensors of 100,000", partial(optimizer, optim, 100_000, options), 2.0)


CASES = [
    _of_ten_million("SGD", "SGD"),
    _of_ten_million("SGD with momentum", "SGD", momentum=0.9),
    _of_ten_million("Adam", "Adam"),
    _of_ten_million("AdamW", "AdamW"),
    _of_ten_million("RMSprop", "RMSprop"),
    Case("SGD, 100 tensors of 64", partial(optimizer, "SGD", 64, {})),
    Case("Adam, 100 tensors of 64", partial(optimizer, "Adam", 64, {})),
    Case("clip_grad_norm_, 100 tensors of 100,000", clipping, 1.0),
    Case("DataLoader 1797x64, batch 64, shuffled, an epoch", partial(loader, True)),
    Case("DataLoader 1797x64, batch 64, in order, an epoch", partial(loader, False)),
]
