"""tapegrad against PyTorch and NumPy on the CPU, in one run: ``python benchmarks/cpu.py``.

The libraries take turns within each case (A B A B ..., see ``tapegrad.bench.timing``), so that a
noisy machine is noisy for all; a row shows the medians and the median, and quartiles, of the ratio
turn by turn. Peak memory is that of a fresh process for each library, less what it had after its
imports. Results go to a JSON file, from which ``performance_page.py`` writes docs/performance.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad
from tapegrad.bench import machine
from tapegrad.bench.timing import Call, CpuClock, Timing, interleave
from tapegrad.demo import network

# Seconds of one library before the next has its turn. Threads that wait for work spin for a while,
# on the cores that the next one computes on, so turns must be long beside that: for the perceptron
# 784-128-10 the ratio is 0.77 where each library has a process of its own, 0.84 in turns of 0.3 s,
# 1.43 in turns of 0.02 s. (Letting them sleep, as tapegrad bench does, makes short steps in PyTorch
# take twice as long.)
TURN = 0.3

# ---------------------------------------------------------------------- cases
# Each builds the same computation with either library: the names are the same.


def chain(lib: Any) -> Call:
    """20 operations on 4x4 tensors, forward and backward."""
    random = np.random.default_rng(0)
    x, w = (
        lib.tensor(random.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
        for _ in "xw"
    )

    def step(turn: int) -> Any:
        x.grad = w.grad = None
        y = x
        for _ in range(5):
            y = y * w
            y = y + x
            y = y.tanh()
            y = y - w
        y.sum().backward()
        return x.grad

    return step


def mlp(lib: Any, batch: int, *widths: int, device: str = "cpu", optimizer: str = "Adam") -> Call:
    """A training step of a ReLU network with cross-entropy."""
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [lib.nn.Linear(a, b), lib.nn.ReLU()]
    model = lib.nn.Sequential(*layers[:-1]).to(device)
    return _training(lib, model, (batch, widths[0]), widths[-1], optimizer)


def convnet(lib: Any) -> Call:
    """A training step of the demo's network on 64 images of 8x8."""
    return _training(lib, network(lib.nn), (64, 1, 8, 8), 10)


def conv(lib: Any, channels: int) -> Call:
    """conv2d 3x3 to 64 channels on 32 images of 32x32, forward and backward."""
    random = np.random.default_rng(0)
    x = lib.tensor(random.standard_normal((32, channels, 32, 32)).astype(np.float32))
    x.requires_grad_(channels > 3)  # the first layer of a network needs no gradient of its input
    layer = lib.nn.Conv2d(channels, 64, 3, padding=1)

    def step(turn: int) -> Any:
        layer.zero_grad()
        x.grad = None
        layer(x).sum().backward()
        return layer.weight.grad

    return step


def lstm(lib: Any) -> Call:
    """An LSTM of 256 units over 64 steps of 32 sequences, forward and backward."""
    x = np.random.default_rng(0).standard_normal((64, 32, 256)).astype(np.float32)
    x, layer = lib.tensor(x, requires_grad=True), lib.nn.LSTM(256, 256)

    def step(turn: int) -> Any:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].sum().backward()
        return layer.weight_hh_l0.grad

    return step


def steps(lib: Any, optimizer: str) -> Call:
    """An optimizer's step on 10 million numbers in 100 tensors."""
    random = np.random.default_rng(0)
    params = [
        lib.tensor(random.standard_normal(100_000).astype(np.float32), requires_grad=True)
        for _ in range(100)
    ]
    for p in params:
        p.grad = p.detach() * 0.1
    made = getattr(lib.optim, optimizer)(params, lr=1e-3)

    def step(turn: int) -> Any:
        made.step()
        return params[0]

    return step


def _training(
    lib: Any, model: Any, shape: tuple[int, ...], classes: int, optimizer: str = "Adam"
) -> Call:
    random, device = np.random.default_rng(0), next(iter(model.parameters())).device
    x = lib.tensor(random.standard_normal(shape).astype(np.float32), device=device)
    y = lib.tensor(random.integers(0, classes, shape[0]), device=device)
    steps = getattr(lib.optim, optimizer)(model.parameters(), lr=1e-3)

    def step(turn: int) -> Any:
        steps.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        steps.step()
        return loss

    return step


def small() -> dict[str, tuple[Call, Call]]:
    """Operations on 4x4 tensors, recorded, and the same in NumPy, as one would write it."""
    functional = tapegrad.nn.functional
    random = np.random.default_rng(0)
    a, c, d, e = (random.standard_normal(s).astype(np.float32) for s in ((4, 4), (4, 4), 4, 4))
    x, w, b, g = (tapegrad.tensor(array, requires_grad=True) for array in (a, c, d, e))

    def softmax(turn: int) -> Any:
        y = np.exp(a - a.max(-1, keepdims=True))
        return y / y.sum(-1, keepdims=True)

    def layer_norm(turn: int) -> Any:
        centred = a - a.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-5) * e + d

    return {
        "x + w": (lambda turn: x + w, lambda turn: a + c),
        "x @ w": (lambda turn: x @ w, lambda turn: a @ c),
        "linear": (lambda turn: functional.linear(x, w, b), lambda turn: a @ c.T + d),
        "softmax": (lambda turn: functional.softmax(x, -1), softmax),
        "layer_norm": (lambda turn: functional.layer_norm(x, (4,), g, b), layer_norm),
    }


CASES: dict[str, tuple[Callable[[Any], Call], float | None]] = {
    # name: (maker, the goal for the ratio)
    "20-op chain, 4x4": (chain, 1.6),
    "MLP 784-128-10, batch 64": (lambda lib: mlp(lib, 64, 784, 128, 10), 0.75),
    "MLP 784-512-512-10, batch 128": (lambda lib: mlp(lib, 128, 784, 512, 512, 10), 1.0),
    "MLP 1024-2048-2048-1000, batch 512": (lambda lib: mlp(lib, 512, 1024, 2048, 2048, 1000), 0.7),
    "demo convnet, batch 64": (convnet, None),
    "conv2d 3->64, 32 images 32x32": (lambda lib: conv(lib, 3), 0.35),
    "conv2d 64->64, 32 images 32x32": (lambda lib: conv(lib, 64), 0.35),
    "LSTM 256, batch 32, 64 steps": (lstm, 0.7),
    "AdamW step, 100 tensors of 100,000": (lambda lib: steps(lib, "AdamW"), 1.0),
}
SMALL = "small operations, recorded"
SMALL_GOALS = {
    # 2.5 microseconds where x + w has 0.7, and half of what it was before, beside NumPy's
    "x + w": "-",
    "x @ w": "overhead 3.6",
    "linear": "overhead 3.6",
    "softmax": "time 1.0",
    "layer_norm": "time 2.0",
}
ANOMALY_CASES = ("MLP 784-128-10, batch 64", "MLP 784-512-512-10, batch 128")
MEMORY_CASES = (
    "MLP 784-512-512-10, batch 128",
    "MLP 1024-2048-2048-1000, batch 512",
    "demo convnet, batch 64",
    "LSTM 256, batch 32, 64 steps",
)


# ---------------------------------------------------------------------- measuring


def compare(make: Callable[[Any], Call], seconds: float) -> dict:
    """Time the case with both libraries in turns."""
    import torch

    return in_turns({"tapegrad": make(tapegrad), "torch": make(torch)}, seconds)


def compare_anomaly(make: Callable[[Any], Call], seconds: float) -> dict:
    """Time the case under ``detect_anomaly`` and without it, in turns."""
    step = make(tapegrad)

    def watched(turn: int) -> Any:
        with tapegrad.autograd.detect_anomaly():
            return step(turn)

    return in_turns({"usual": step, "watched": watched}, seconds)


def in_turns(contestants: dict[str, Call], seconds: float) -> dict:
    """Median times, and the median and quartiles of the second's by the first's, turn by turn."""
    times = interleave(contestants, CpuClock(TURN), seconds)
    mine, theirs = map(rounds, times.values())
    ratio = Timing.of(theirs / mine)
    return {
        **{f"{name}_ms": timing.median * 1e3 for name, timing in times.items()},
        "ratio": ratio.median,
        "ratio_quartiles": [ratio.low, ratio.high],
        "rounds": len(ratio.samples),
    }


def rounds(timing: Timing) -> np.ndarray:
    """Seconds for one call, round by round."""
    return np.array(timing.samples)


def overheads(seconds: float) -> dict:
    """What recording a small operation costs beside NumPy's own call, all of them in turns."""
    contestants = {
        f"{library} {name}": call
        for name, calls in small().items()
        for library, call in zip(("tapegrad", "numpy"), calls, strict=True)
    }
    times = interleave(contestants, CpuClock(), seconds)
    us = {name: 1e6 * rounds(timing) for name, timing in times.items()}
    found = {}
    for name in SMALL_GOALS:
        mine, theirs = us[f"tapegrad {name}"], us[f"numpy {name}"]
        extra = Timing.of(mine - theirs)
        found[name] = {
            "tapegrad_us": np.median(mine),
            "numpy_us": np.median(theirs),
            "overhead_us": extra.median,
            "overhead_us_quartiles": [extra.low, extra.high],
            "overhead_ratio": np.median(extra.samples / (us["tapegrad x + w"] - us["numpy x + w"])),
            "ratio": np.median(mine / theirs),
        }
    return found


def compare_imports(seconds: float) -> dict:
    """``import tapegrad`` against ``import numpy``, each in a fresh process, less an empty one."""
    # Both packages compiled to bytecode, as an installation leaves them.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def running(code: str) -> Call:
        command = [sys.executable, "-c", code]
        return lambda turn: subprocess.run(command, check=True, env=environ)

    codes = ("pass", "import numpy", "import tapegrad")
    times = interleave({code: running(code) for code in codes}, CpuClock(), seconds)
    bare, numpy, mine = map(rounds, times.values())
    return {
        "tapegrad_ms": np.median(mine - bare) * 1e3,
        "numpy_ms": np.median(numpy - bare) * 1e3,
        "ratio": np.median((mine - bare) / (numpy - bare)),
        "rounds": len(bare),
    }


def peak_memory(case: str) -> dict:
    """Peak resident memory of ten steps, in megabytes above what the process had after its imports
    and a small step, in a process each (Linux: the kernel's own high-water mark)."""
    result = {}
    for library in ("tapegrad", "torch"):
        command = [sys.executable, __file__, "--peak", library, case]
        result[f"{library}_mb"] = float(subprocess.check_output(command))
    result["ratio"] = result["tapegrad_mb"] / result["torch_mb"]
    return result


def _print_peak(library: str, case: str) -> None:
    lib = __import__(library)
    _repeat(mlp(lib, 4, 8, 8), 3)  # so that thread pools and work buffers count as imports
    Path("/proc/self/clear_refs").write_text("5")  # the mark starts again from here
    before = _status("VmRSS")
    _repeat(CASES[case][0](lib), 10)
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """A field of this process's memory status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def _repeat(step: Call, times: int) -> None:
    for turn in range(times):
        step(turn)


# ---------------------------------------------------------------------- reporting


def table(results: dict) -> str:
    m = results["machine"]
    lines = [
        f"Measured on {m['date']}: {m['processor']}, {m['cores']} cores, Python {m['python']}, "
        f"NumPy {m['numpy']}, PyTorch {m['torch']} ({m['threads']['torch']} threads).",
        "",
        "| Case | tapegrad | PyTorch | PyTorch's time / tapegrad's (quartiles) | goal |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, r in results["speed"].items():
        low, high = r["ratio_quartiles"]
        goal = CASES[name][1]
        lines.append(
            f"| {name} | {r['tapegrad_ms']:.3g} ms | {r['torch_ms']:.3g} ms | "
            f"{r['ratio']:.2f} ({low:.2f}-{high:.2f}) | {goal or '-'} |"
        )
    if "overhead" in results:
        lines += [
            "",
            f"| {SMALL.capitalize()}, 4x4 | tapegrad | NumPy | overhead (quartiles) | "
            "overhead / that of x + w | time / NumPy's | goal, at most |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for name, r in results["overhead"].items():
            low, high = r["overhead_us_quartiles"]
            lines.append(
                f"| {name} | {r['tapegrad_us']:.2f} us | {r['numpy_us']:.2f} us | "
                f"{r['overhead_us']:.2f} us ({low:.2f}-{high:.2f}) | "
                f"{r['overhead_ratio']:.2f} | {r['ratio']:.2f} | {SMALL_GOALS[name]} |"
            )
    if "import" in results:
        r = results["import"]
        lines += [
            "",
            f"`import tapegrad` takes {r['tapegrad_ms']:.0f} ms, `import numpy` "
            f"{r['numpy_ms']:.0f} ms: {r['ratio']:.2f} times as long (goal: at most 1.3).",
        ]
    if "anomaly" in results:
        costs = ", ".join(
            f"{r['ratio']:.2f} times as long for {name}" for name, r in results["anomaly"].items()
        )
        lines += ["", f"Under `autograd.detect_anomaly()` a training step takes {costs}."]
    if "memory" in results:
        lines += [
            "",
            "| Peak memory of a training step | tapegrad | PyTorch | ratio (goal: 1.1) |",
            "|---|---:|---:|---:|",
        ]
        lines += [
            f"| {name} | {r['tapegrad_mb']:.0f} MB | {r['torch_mb']:.0f} MB | {r['ratio']:.2f} |"
            for name, r in results["memory"].items()
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="run the cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each case")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--peak", nargs=2, metavar=("LIBRARY", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        _print_peak(*options.peak)
        return
    import torch

    facts = {"date": date.today().isoformat(), **machine.describe(), "torch": torch.__version__}
    results: dict = {"machine": facts, "speed": {}}
    for name, (make, _) in CASES.items():
        if not options.only or options.only in name:
            results["speed"][name] = compare(make, options.seconds)
            print(name, json.dumps(results["speed"][name]), flush=True)
    if not options.only or options.only in SMALL:
        results["overhead"] = overheads(options.seconds)
    if not options.only:
        results["import"] = compare_imports(options.seconds)
        results["anomaly"] = {
            name: compare_anomaly(CASES[name][0], options.seconds) for name in ANOMALY_CASES
        }
        results["memory"] = {name: peak_memory(name) for name in MEMORY_CASES}
    text = table(results)
    print(f"\n{text}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
