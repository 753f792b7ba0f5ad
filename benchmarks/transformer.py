"""A training step of a transformer encoder of four layers: steps a second, beside PyTorch's.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/transformer.py --seconds 30

Both libraries take turns in one process; the ratio is the median over the rounds. PyTorch is told
to use as many threads as OMP_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from training_step import in_turns

import tapegrad as tg

LAYERS, WIDTH, HEADS, HIDDEN, BATCH, LENGTH = 4, 256, 8, 1024, 16, 64


def step_of(library: Any, dropout: float, causal: bool) -> Callable[[], float]:
    """One step of SGD on the mean square of the output."""
    nn = library.nn
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout, batch_first=True)
    net = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    optimizer = library.optim.SGD(net.parameters(), lr=1e-3)
    numbers = np.random.default_rng(0).standard_normal((BATCH, LENGTH, WIDTH))
    x = library.tensor(numbers.astype(np.float32))
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH) if causal else None

    def step() -> float:
        optimizer.zero_grad()
        loss = net(x, mask=mask).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    """Print the rates with and without dropout, and with a causal mask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="for each of the three rows")
    seconds = parser.parse_args().seconds
    try:
        import torch
    except ImportError:
        torch = None
    for dropout, causal in ((0.0, False), (0.1, False), (0.1, True)):
        libraries = {"tapegrad": tg, **({} if torch is None else {"torch": torch})}
        steps = {name: step_of(library, dropout, causal) for name, library in libraries.items()}
        for step in steps.values():
            step()
        rates = in_turns({name: (step, lambda: None) for name, step in steps.items()}, seconds)
        text = ", ".join(f"{name} {median(values):.3g} steps/s" for name, values in rates.items())
        if torch is not None:
            ratios = [a / b for a, b in zip(rates["tapegrad"], rates["torch"], strict=True)]
            text += f", {median(ratios):.2f} times PyTorch's rate"
        print(f"dropout {dropout}{', causal mask' if causal else ''}: {text}")


if __name__ == "__main__":
    main()
