"""Chains of 20 operations on ten million numbers: fused, as they are, in PyTorch, compiled by it.

    python benchmarks/fuse.py --threads 2

All take turns in one process, by wall time; PyTorch's columns are there where it is installed.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.bench.timing import CpuClock, interleave

SIZE, ROUNDS = 10_000_000, 4


def activations(x: Any) -> Any:
    """Five operations, four times over, of which one is a tanh."""
    for _ in range(ROUNDS):
        x = ((x * 1.01 + 0.1).tanh() - 0.5).relu()
    return x


def arithmetic(x: Any) -> Any:
    """Operations of one instruction each."""
    for _ in range(ROUNDS):
        x = ((x * 1.01 + 0.1).abs() - 0.5).relu()
    return x


def functions(x: Any) -> Any:
    """Of every two operations, one is a function of many instructions."""
    for _ in range(ROUNDS - 2):
        x = (x.sin() + 1.5).log() * 0.5
        x = (x.sigmoid() * 2).exp() - 1.0
        x = x.cos()
    return x * 0.5 + 0.1


CHAINS = (activations, arithmetic, functions)


def contestants(chain: Callable, threads: int) -> dict[str, tuple[Callable, Any]]:
    """The function, and what makes a tensor, of each way to compute it."""
    tg.set_num_threads(threads)
    found: dict[str, tuple[Callable, Any]] = {
        "fused": (tg.fuse(chain), tg.tensor),
        "unfused": (chain, tg.tensor),
    }
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(threads)
    found["PyTorch"] = chain, torch.tensor
    found["torch.compile"] = torch.compile(chain), torch.tensor
    return found


def main() -> None:
    """Print the times forward, and forward and backward, and how many times the fused one's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="for each of the rows")
    options = parser.parse_args()
    numbers = np.random.default_rng(0).standard_normal(SIZE, dtype=np.float32)
    for chain, backward in itertools.product(CHAINS, (False, True)):
        calls = {}
        for name, (function, make) in contestants(chain, options.threads).items():
            x = make(numbers, requires_grad=backward)
            seed = make(numbers)

            def call(turn: int, f: Callable = function, x: Any = x, seed: Any = seed) -> Any:
                y = f(x)
                if x.requires_grad:
                    x.grad = None
                    y.backward(seed)
                return y

            calls[name] = call
        times = interleave(calls, CpuClock(), options.seconds)
        best = times["fused"].median
        row = ", ".join(
            f"{n} {1e3 * t.median:.1f} ms ({t.median / best:.2f})" for n, t in times.items()
        )
        way = "forward and backward" if backward else "forward"
        print(f"{chain.__name__}, {way}: {row}", flush=True)


if __name__ == "__main__":
    main()
