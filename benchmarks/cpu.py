"""tapegrad against PyTorch on the CPU, in one run: ``python benchmarks/cpu.py``.

The two libraries take turns within each case (A B A B ...), so that a noisy machine is noisy for
both; a row shows both medians and the median, and quartiles, of the ratio turn by turn. Peak
memory is that of a fresh process for each library, less what it had after its imports. Results go
to a JSON file and, as a table, to ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- benchmarks/cpu.py: start -->", "<!-- benchmarks/cpu.py: end -->"

Step = Callable[[], Any]


# ---------------------------------------------------------------------- cases
# Each builds the same computation with either library: the names are the same.


def chain(lib: Any) -> Step:
    """20 operations on 4x4 tensors, forward and backward."""
    random = np.random.default_rng(0)
    x, w = (
        lib.tensor(random.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
        for _ in "xw"
    )

    def step() -> Any:
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


def mlp(lib: Any, batch: int, *widths: int) -> Step:
    """A training step of a ReLU network with cross-entropy and Adam."""
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [lib.nn.Linear(a, b), lib.nn.ReLU()]
    return _training(lib, lib.nn.Sequential(*layers[:-1]), (batch, widths[0]), widths[-1])


def convnet(lib: Any) -> Step:
    """A training step of the demo's network on 64 images of 8x8."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(512, 10),
    )  # fmt: skip
    return _training(lib, model, (64, 1, 8, 8), 10)


def conv(lib: Any, channels: int) -> Step:
    """conv2d 3x3 to 64 channels on 32 images of 32x32, forward and backward."""
    random = np.random.default_rng(0)
    x = lib.tensor(random.standard_normal((32, channels, 32, 32)).astype(np.float32))
    x.requires_grad_(channels > 3)  # the first layer of a network needs no gradient of its input
    layer = lib.nn.Conv2d(channels, 64, 3, padding=1)

    def step() -> Any:
        layer.zero_grad()
        x.grad = None
        layer(x).sum().backward()
        return layer.weight.grad

    return step


def _training(lib: Any, model: Any, shape: tuple[int, ...], classes: int) -> Step:
    random = np.random.default_rng(0)
    x = lib.tensor(random.standard_normal(shape).astype(np.float32))
    y = lib.tensor(random.integers(0, classes, shape[0]))
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


CASES: dict[str, tuple[Callable[[Any], Step], float | None]] = {
    # name: (maker, the goal for the ratio)
    "20-op chain, 4x4": (chain, 1.5),
    "MLP 784-128-10, batch 64": (lambda lib: mlp(lib, 64, 784, 128, 10), 0.75),
    "MLP 784-512-512-10, batch 128": (lambda lib: mlp(lib, 128, 784, 512, 512, 10), 1.0),
    "MLP 1024-2048-2048-1000, batch 512": (
        lambda lib: mlp(lib, 512, 1024, 2048, 2048, 1000), 0.7),
    "demo convnet, batch 64": (convnet, None),
    "conv2d 3->64, 32 images 32x32": (lambda lib: conv(lib, 3), 0.35),
    "conv2d 64->64, 32 images 32x32": (lambda lib: conv(lib, 64), 0.35),
}  # fmt: skip
ANOMALY_CASES = ("MLP 784-128-10, batch 64", "MLP 784-512-512-10, batch 128")
MEMORY_CASES = ("MLP 784-512-512-10, batch 128", "MLP 1024-2048-2048-1000, batch 512",
                "demo convnet, batch 64")  # fmt: skip


# ---------------------------------------------------------------------- measuring


def compare(make: Callable[[Any], Step], seconds: float) -> dict:
    """Time the case with both libraries in turns."""
    import torch

    import tapegrad

    return in_turns("tapegrad", make(tapegrad), "torch", make(torch), seconds)


def compare_anomaly(make: Callable[[Any], Step], seconds: float) -> dict:
    """Time the case under ``detect_anomaly`` and without it, in turns."""
    import tapegrad

    step = make(tapegrad)

    def watched() -> Any:
        with tapegrad.autograd.detect_anomaly():
            return step()

    return in_turns("usual", step, "watched", watched, seconds)


def in_turns(name: str, mine: Step, other: str, theirs: Step, seconds: float) -> dict:
    """Median times, and the median and quartiles of theirs / mine, turn by turn."""
    for _ in range(3):
        mine(), theirs()
    once = max(_time(mine, 1), _time(theirs, 1), 1e-5)
    repeats = max(1, int(0.02 / once))
    rounds = max(7, min(60, int(seconds / (2 * repeats * once))))
    pairs = []
    for i in range(rounds):  # who goes first changes every round
        first, second = (mine, theirs) if i % 2 else (theirs, mine)
        a, b = _time(first, repeats), _time(second, repeats)
        pairs.append((a, b) if i % 2 else (b, a))
    ratios = sorted(theirs_s / mine_s for mine_s, theirs_s in pairs)
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        f"{name}_ms": statistics.median(p[0] for p in pairs) * 1e3,
        f"{other}_ms": statistics.median(p[1] for p in pairs) * 1e3,
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [quartiles[0], quartiles[2]],
        "rounds": rounds,
    }


def _time(step: Step, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def compare_imports(rounds: int = 15) -> dict:
    """``import tapegrad`` against ``import numpy``, each in a fresh process, less an empty one."""
    pairs = []
    for _ in range(rounds + 1):
        bare, numpy, mine = (_run_seconds(code) for code in
                             ("pass", "import numpy", "import tapegrad"))  # fmt: skip
        pairs.append((mine - bare, numpy - bare))
    pairs = pairs[1:]  # the first fills caches
    return {
        "tapegrad_ms": statistics.median(p[0] for p in pairs) * 1e3,
        "numpy_ms": statistics.median(p[1] for p in pairs) * 1e3,
        "ratio": statistics.median(a / b for a, b in pairs),
        "rounds": rounds,
    }


def _run_seconds(code: str) -> float:
    # Both packages compiled to bytecode, as an installation leaves them.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)
    return time.perf_counter() - start


def peak_memory(case: str) -> dict:
    """Peak resident memory of ten steps, in megabytes above what the process had after its imports
    and a small step, in a process each (Linux: the kernel's own high-water mark)."""
    result = {}
    for library in ("tapegrad", "torch"):
        output = subprocess.run(
            [sys.executable, __file__, "--peak", library, case],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        result[f"{library}_mb"] = float(output)
    result["ratio"] = result["tapegrad_mb"] / result["torch_mb"]
    return result


def _print_peak(library: str, case: str) -> None:
    lib = __import__(library)
    _warm(lib)
    Path("/proc/self/clear_refs").write_text("5")  # the mark starts again from here
    before = _status("VmRSS")
    step = CASES[case][0](lib)
    for _ in range(10):
        step()
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """A field of this process's memory status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def _warm(lib: Any) -> None:
    """A small step, so that thread pools and work buffers count as imports."""
    step = mlp(lib, 4, 8, 8)
    for _ in range(3):
        step()


# ---------------------------------------------------------------------- reporting


def machine() -> dict:
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "date": date.today().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def table(results: dict) -> str:
    m = results["machine"]
    lines = [
        f"Measured on {m['date']}: {m['processor']}, {m['cores']} cores, Python {m['python']}, "
        f"NumPy {m['numpy']}, PyTorch {m['torch']} ({m['torch_threads']} threads).",
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
    if "import" in results:
        r = results["import"]
        lines += [
            "",
            f"`import tapegrad` takes {r['tapegrad_ms']:.0f} ms, `import numpy` "
            f"{r['numpy_ms']:.0f} ms: {r['ratio']:.2f} times as long (goal: at most 1.5).",
        ]
    if "anomaly" in results:
        costs = ", ".join(
            f"{r['ratio']:.2f} times as long for {name}" for name, r in results["anomaly"].items()
        )
        lines += ["", f"Under `autograd.detect_anomaly()` a training step takes {costs}."]
    if "memory" in results:
        lines += ["", "| Peak memory of a training step | tapegrad | PyTorch | ratio (goal: 1.1) |",
                  "|---|---:|---:|---:|"]  # fmt: skip
        lines += [
            f"| {name} | {r['tapegrad_mb']:.0f} MB | {r['torch_mb']:.0f} MB | {r['ratio']:.2f} |"
            for name, r in results["memory"].items()
        ]
    return "\n".join(lines)


def write_page(text: str, page: Path) -> None:
    """Put the table between the page's two markers."""
    before, _, rest = page.read_text().partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="run the cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each case")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--page", type=Path, help="put the table into this Markdown page")
    parser.add_argument("--peak", nargs=2, metavar=("LIBRARY", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        _print_peak(*options.peak)
        return
    results: dict = {"machine": machine(), "speed": {}}
    for name, (make, _) in CASES.items():
        if not options.only or options.only in name:
            results["speed"][name] = compare(make, options.seconds)
            print(name, json.dumps(results["speed"][name]), flush=True)
    if not options.only:
        results["import"] = compare_imports()
        results["anomaly"] = {
            name: compare_anomaly(CASES[name][0], options.seconds) for name in ANOMALY_CASES
        }
        results["memory"] = {name: peak_memory(name) for name in MEMORY_CASES}
    text = table(results)
    print(f"\n{text}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.page:
        write_page(text, options.page)


if __name__ == "__main__":
    main()
