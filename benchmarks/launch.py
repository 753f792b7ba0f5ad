"""What a launch costs before the kernel does anything: launchers called with n = 0 on the emulated
device, beside an empty Python function and NumPy's add of empty arrays; and whole calls on a tensor
of one element: of the package, of a kernel of one's own, and of an expression.

    python benchmarks/launch.py

All take turns, and the quickest of their rounds counts: it is the one that nothing disturbed.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np

import tapegrad as tg
from tapegrad.core.kernels import launch

ROUNDS, CALLS = 15, 10_000
EMULATED = tg.device("emulated")
SOURCE = """
template <class T>
__global__ void product(T* y, const T* a, const T* b, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        y[i] = a[i] * b[i];
    }
}
"""


def empty(*arguments: object) -> None:
    pass


def contestants() -> dict[str, Callable[[], object]]:
    x = np.empty(0, np.float32)
    found: dict[str, Callable[[], object]] = {
        "an empty Python function": lambda: empty(EMULATED, "relu_forward", x.dtype, x, x, 0),
        "np.add of empty arrays": lambda: np.add(x, x, x),
    }
    for name in ("float32", "float16", "bfloat16"):
        y = np.empty(0, tg.zeros(0, dtype=name).dtype)
        found[f"relu_forward, {name}"] = lambda y=y: launch(  # type: ignore[misc]
            EMULATED, "relu_forward", y.dtype, y, y, 0
        )
    one = tg.ones(1, device="emulated")
    own = tg.kernel(SOURCE, "a[*n], b[*n] -> y[*n]", name="product", threads=1)(lambda a, b: a * b)
    fused = tg.kernel.elementwise("a * b")
    found |= {
        "gelu of one element": lambda: tg.nn.functional.gelu(one),
        "a kernel of one's own": lambda: own(one, one),
        "an expression": lambda: fused(one, one),
    }
    found["adam_step, no tensors"] = lambda: launch(
        EMULATED, "adam_step", x.dtype, None, 0, 0, 4096
    )
    return found


def measure() -> dict[str, float]:
    """Microseconds a call."""
    timers = {name: timeit.Timer(call) for name, call in contestants().items()}
    rounds = [{name: t.timeit(CALLS) for name, t in timers.items()} for _ in range(ROUNDS)]
    return {name: min(r[name] for r in rounds) / CALLS * 1e6 for name in timers}


def main() -> None:
    found = measure()
    python, numpy = list(found.values())[:2]
    print(f"{'':26} {'us':>6} {'x Python':>9} {'x NumPy':>8}")
    for name, us in found.items():
        print(f"{name:26} {us:6.2f} {us / python:9.1f} {us / numpy:8.1f}")


if __name__ == "__main__":
    main()
