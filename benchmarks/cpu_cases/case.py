"""What a case is: one computation, written once for every library that has PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

Step = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """make(lib): prepares the case with ``tapegrad`` or ``torch`` as ``lib`` and returns what is
    timed. goal: PyTorch's time by tapegrad's, at least; with two threads ``goal_of_two`` where it
    is another. calls: how many times a step does what is reported. alone: whether it is measured
    with one thread only."""

    name: str
    make: Callable[[Any], Step]
    goal: float | None = None
    goal_of_two: float | None = None
    calls: int = 1
    alone: bool = False

    def goal_with(self, threads: int) -> float | None:
        return self.goal_of_two or self.goal if threads > 1 else self.goal


def normal(lib: Any, *shape: int, grad: bool = False) -> Any:
    """The same numbers for every library: float32, of the standard normal distribution."""
    numbers = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return lib.tensor(numbers).requires_grad_(grad)


def integers(lib: Any, high: int, *shape: int) -> Any:
    """int64, at least 0 and below ``high``."""
    return lib.tensor(np.random.default_rng(0).integers(0, high, shape))


def forward(lib: Any, model: Any, *inputs: Any) -> Step:
    """The model in evaluation mode, without gradients."""
    model.eval()

    def step() -> Any:
        with lib.no_grad():
            return model(*inputs)

    return step


def there_and_back(lib: Any, model: Any, *inputs: Any) -> Step:
    """Forward, and backward from gradients that are all the same, as in a network."""
    leaves = [*model.parameters(), *(t for t in inputs if t.requires_grad)]
    seed: list[Any] = []

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = model(*inputs)
        if not seed:
            seed.append(normal(lib, *y.shape))
        y.backward(seed[0])
        return leaves[0].grad

    return step


def training(lib: Any, model: Any, x: Any, classes: Any, optimizer: str, **options: Any) -> Step:
    """A training step with cross-entropy: of logits (..., classes), or (batch, classes)."""
    steps = getattr(lib.optim, optimizer)(model.parameters(), **{"lr": 1e-3, **options})
    loss_of = lib.nn.functional.cross_entropy

    def step() -> Any:
        steps.zero_grad()
        logits = model(x)
        loss = loss_of(logits.reshape(-1, logits.shape[-1]), classes)
        loss.backward()
        steps.step()
        return loss

    return step


def both_ways(name: str, make: Callable[[Any], tuple], goal: float | None) -> Iterator[Case]:
    """The case forward and backward, and forward alone; make(lib) returns the model and inputs."""

    def made(way: Callable[..., Step], lib: Any) -> Step:
        return way(lib, *make(lib))

    yield Case(f"{name} fwd+bwd", partial(made, there_and_back), goal)
    yield Case(f"{name} inference", partial(made, forward), goal)
