"""A training step of a perceptron: steps a second beside PyTorch's, and how many hand-written
kernels it launches."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from cpu_cases.networks import perceptron

import tapegrad as tg
from tapegrad.bench.peers import absent
from tapegrad.core import kernels


def training_step(device: str, seconds: float) -> dict[str, Any]:
    """Steps a second of a perceptron, against PyTorch's where it has the device, in turns."""
    on_gpu = device == "cuda"
    widths, batch = ((784, 512, 512, 10), 128) if on_gpu else ((12, 8, 10), 4)
    library = kernels.library(device)
    counter = Counter(library)

    def step_of(lib: Any) -> Callable[[], Any]:
        return perceptron("AdamW", batch, widths, lib, device)

    step = step_of(tg)
    step()
    load(counter, device)
    try:
        step()
    finally:
        load(library, device)
    contestants = {"tapegrad": (step, tg.cuda.synchronize if on_gpu else lambda: None)}
    if on_gpu and not absent("torch", tg.device(device)):
        import torch

        contestants["torch"] = (step_of(torch), torch.cuda.synchronize)
    rates = in_turns(contestants, seconds)
    ratios = [a / b for a, b in zip(rates["tapegrad"], rates.get("torch", ()), strict=False)]
    found: dict[str, Any] = {
        "name": f"MLP {'-'.join(map(str, widths))}, batch {batch}, AdamW",
        "kernel_launches": counter.launches,
        "text": f"{counter.launches} launches of hand-written kernels a step",
    }
    if on_gpu:
        found["steps_per_second"] = {name: median(values) for name, values in rates.items()}
        found["text"] += f", {found['steps_per_second']['tapegrad']:.4g} steps/s"
    if ratios:
        found["ratio_to_torch"] = median(ratios)
        found["text"] += f", {median(ratios):.2f} times PyTorch's rate"
    return found


def load(library: Any, device: str) -> None:
    """From now on, launch from this extension."""
    kernels._loaded[device] = library
    kernels.launchers[device].clear()


class Counter:
    """The extension, counting the launches: the calls that answer nothing, but for those that tell
    it what memory there is. (What is asked of it, such as a size of scratch memory, it answers.)"""

    def __init__(self, library: Any):
        self.library, self.launches = library, 0

    def __getattr__(self, name: str) -> Callable:
        function = getattr(self.library, name)

        def counted(*arguments: Any) -> Any:
            answer = function(*arguments)
            self.launches += answer is None
            return answer

        launches = callable(function) and name not in ("watch", "forget")
        return counted if launches else function


def in_turns(
    contestants: dict[str, tuple[Callable, Callable]], seconds: float
) -> dict[str, list[float]]:
    """Steps a second, round by round, the contestants one after another in each."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    count, end = 1, time.perf_counter() + seconds
    while time.perf_counter() < end or not rates["tapegrad"]:
        for name, (step, wait) in contestants.items():
            wait()
            started = time.perf_counter()
            for _ in range(count):
                step()
            wait()
            rates[name].append(count / (time.perf_counter() - started))
        count = max(1, int(rates["tapegrad"][-1] * seconds / 40))
    return {name: values[2:] or values for name, values in rates.items()}  # but for the warm-up
