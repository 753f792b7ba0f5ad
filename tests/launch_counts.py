"""What one training step launches on a GPU, counted without one: of the package's kernels and of
CuPy's, by the operation and the line that asked for them, on the stand-in for CuPy.

    python tests/launch_counts.py [step ...]

The steps are those of ``STEPS``; without an argument, all of them. The last lines of each report
name CuPy's functions that compute: what has no kernel of its own yet.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import strict_cupy
import strict_ndarray

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn
from tapegrad.core import kernels

ROOT = Path(tg.__file__).parent
# What only moves or fills memory; all others of CuPy's functions compute.
MOVES = {"astype", "copy", "setitem", "getitem", "zeros", "full", "ones", "array", "concatenate",
         "reshape", "stack", "arange", "ascontiguousarray", "take", "fill", "ravel"}  # fmt: skip


class Launch(NamedTuple):
    """One kernel: whose, its name, the operation that runs, and the line that asked for it."""

    own: bool
    name: str
    operation: str
    place: str


class Counted:
    """The launches within ``counting()``, and what made the host wait for the GPU."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.waits: list[Launch] = []
        self.sizes: list[int] = []  # of the arrays that were made

    def names(self, own: bool) -> Counter:
        return Counter(launch.name for launch in self.launches if launch.own == own)

    def count(self, own: bool) -> int:
        return sum(launch.own == own for launch in self.launches)

    def report(self) -> str:
        own, of_cupy = self.count(True), self.count(False)
        lines = [f"{own + of_cupy} launches: {own} own, {of_cupy} of CuPy, {len(self.waits)} waits"]
        for whose, launches in (
            ("own", [x for x in self.launches if x.own]),
            ("CuPy", [x for x in self.launches if not x.own]),
            ("wait", self.waits),
        ):
            for launch, count in sorted(Counter(launches).items(), key=lambda kv: -kv[1]):
                name, operation, place = launch[1:]
                lines.append(f"{count:5} {whose:5}{name:26}{operation:28}{place}")
        computing = {k: n for k, n in self.names(False).items() if k not in MOVES}
        lines.append(f"      CuPy's that compute: {computing or 'none'}")
        return "\n".join(lines)


def _asked_by() -> tuple[str, str]:
    """The operation that runs, and the innermost line of the package that is of no loader."""
    frame: Any = sys._getframe(2)
    place, operation = "", ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<gradient of "):
            operation = operation or file[1:-1]
        elif file.startswith(str(ROOT)):
            path = Path(file).relative_to(ROOT).as_posix()
            if not place and path not in ("core/kernels.py", "core/launches.py", "core/devices.py"):
                place = f"{path}:{frame.f_lineno} {frame.f_code.co_name}"
            if path.endswith("<call of a primitive>"):
                operation = operation or frame.f_code.co_name
        frame = frame.f_back
    return operation, place


@contextlib.contextmanager
def counting() -> Iterator[Counted]:
    """Count within. Needs the stand-in (``strict_cupy.install()``)."""
    counted = Counted()
    library = kernels.library("cuda")
    depth = 0  # CuPy's functions that call each other are one launch

    def of_cupy(name: str, function: Callable, launches: Callable, found: str = "launches"):
        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            try:
                result = function(*args, **kwargs)
            finally:
                depth -= 1
            if not depth and launches(result, args, kwargs):
                called = args[0].__name__ if name == "apply" else name
                getattr(counted, found).append(Launch(False, called, *_asked_by()))
            return result

        return watched

    class Watched(kernels.Launchers):
        def __missing__(self, key: tuple[str, Any]) -> Callable:
            function = super().__missing__(key)

            def watched(*arguments: Any) -> Any:
                before = library.work_done()[0]
                answer = function(*arguments)
                for _ in range(library.work_done()[0] - before):
                    counted.launches.append(Launch(True, key[0], *_asked_by()))
                return answer

            self[key] = watched
            return watched

    array = strict_ndarray.ndarray
    patched = [
        (strict_cupy, "apply", "apply", lambda result, args, _: _writes(result, *args[1:])),
        (strict_ndarray, "apply", "apply", lambda result, args, _: _writes(result, *args[1:])),
        (strict_cupy.Ufunc, "_first_loop", None, _always),
        (strict_cupy, "array", "array", _writes),
        (array, "astype", "astype", _writes),
        (array, "__setitem__", "setitem", lambda result, args, kwargs: args[0][args[1]].size > 0),
        (array, "__getitem__", "getitem", _writes),
        (array, "argsort", "argsort", _always),
        (array, "sort", "sort", _always),
    ]
    waits = [
        (array, name) for name in ("get", "item", "tolist", "__int__", "__float__", "__bool__")
    ]
    made = array.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        counted.sizes.append(self.size)

    with contextlib.ExitStack() as stack:
        for place, attribute, name, launches in patched:
            function = getattr(place, attribute)
            if name is None:

                def first(self: Any, args: tuple, function: Callable = function) -> Any:
                    run = of_cupy(self.__name__, lambda: function(self, args), _always)
                    return run()

                stack.enter_context(mock.patch.object(place, attribute, first))
                continue
            watched = of_cupy(name, function, launches)
            stack.enter_context(mock.patch.object(place, attribute, watched))
        for place, attribute in waits:
            watched = of_cupy(attribute, getattr(place, attribute), _always, "waits")
            stack.enter_context(mock.patch.object(place, attribute, watched))
        stack.enter_context(mock.patch.object(array, "__init__", noting))
        stack.enter_context(mock.patch.dict(kernels.launchers, {"cuda": Watched("cuda")}))
        yield counted


def _always(result: Any, args: tuple, kwargs: dict) -> bool:
    return True


def _writes(result: Any, args: tuple, kwargs: dict) -> bool:
    """Whether a function has written: into ``out``, or into memory that it made."""
    if kwargs.get("out") is not None:
        return True
    return (
        isinstance(result, strict_ndarray.ndarray)
        and result.base is None
        and not any(result is a for a in strict_ndarray.arrays_in(args))
        and result.size > 0
    )


# ---------------------------------------------------------------------- steps


def _gpt2() -> Any:
    import runpy
    from types import SimpleNamespace

    path = Path(__file__).parents[1] / "examples" / "gpt2.py"
    return SimpleNamespace(**runpy.run_path(str(path), run_name="gpt2"))


def _random(shape: tuple, dtype: Any = np.float32, requires_grad: bool = False) -> tg.Tensor:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return tg.tensor(x, device="cuda", dtype=dtype, requires_grad=requires_grad)


def gpt2_layer(dtype: Any = tg.bfloat16, autocast: bool = False) -> Callable:
    """A layer of GPT-2, forward and backward, the input's gradient included."""
    gpt2 = _gpt2()
    layer = gpt2.Block(gpt2.TINY).to("cuda", dtype)
    x, g = _random((1, 128, 64), dtype, True), _random((1, 128, 64), dtype)

    def step() -> None:
        x.grad = None
        layer.zero_grad()
        with tg.autocast("cuda", enabled=autocast):
            y = layer(x)
        y.backward(g)

    return step


def _train(net: nn.Module, loss: Callable, clip: bool = False, **autocast: Any) -> Callable:
    optimizer = tg.optim.AdamW(net.parameters(), lr=1e-3)

    def step() -> None:
        with tg.autocast("cuda", **autocast):
            found = loss()
        found.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def gpt2_step() -> Callable:
    """A step of examples/gpt2.py, of two layers: autocast to bfloat16, clipping, AdamW."""
    gpt2 = _gpt2()
    model = gpt2.GPT2(gpt2.TINY).to("cuda")
    tokens = tg.tensor(np.arange(200) % 257, device="cuda")
    starts = tg.tensor(np.array([0, 50]), device="cuda")
    return _train(
        model, lambda: gpt2.loss_of(model, tokens, starts, 32, "bfloat16"), True, enabled=False
    )


def mlp_step() -> Callable:
    """Three linear layers, cross-entropy, AdamW."""
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                        nn.Linear(64, 10)).to("cuda")  # fmt: skip
    x, y = _random((16, 32)), tg.tensor(np.arange(16) % 10, device="cuda")
    return _train(net, lambda: F.cross_entropy(net(x), y), enabled=False)


def cnn_step() -> Callable:
    """Two convolutions with batch norm, ReLU and pooling, a linear layer, cross-entropy, AdamW."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    ).to("cuda")  # fmt: skip
    x, y = _random((4, 1, 16, 16)), tg.tensor(np.arange(4), device="cuda")
    return _train(net, lambda: F.cross_entropy(net(x), y), enabled=False)


def lstm_step() -> Callable:
    """An LSTM of 8 steps in time, a linear layer, cross-entropy, AdamW."""
    lstm, head = nn.LSTM(16, 32).to("cuda"), nn.Linear(32, 10).to("cuda")
    x, y = _random((8, 4, 16)), tg.tensor(np.arange(32) % 10, device="cuda")
    net = nn.ModuleList([lstm, head])
    return _train(net, lambda: F.cross_entropy(head(lstm(x)[0]).flatten(0, 1), y), enabled=False)


STEPS: dict[str, Callable[[], Callable]] = {
    "gpt2_layer": gpt2_layer,
    "gpt2_layer_fp32": lambda: gpt2_layer(tg.float32),
    "gpt2_layer_autocast": lambda: gpt2_layer(tg.float32, True),
    "gpt2_step": gpt2_step,
    "mlp_step": mlp_step,
    "cnn_step": cnn_step,
    "lstm_step": lstm_step,
}


def count(name: str) -> Counted:
    """The launches of a step of ``STEPS``, of its third run."""
    tg.manual_seed(0)
    step = STEPS[name]()
    step()
    step()
    with counting() as counted:
        step()
    return counted


def main() -> None:
    """Print the report of each step that is named."""
    strict_cupy.install()
    for name in sys.argv[1:] or STEPS:
        print(f"{name}: {count(name).report()}\n")


if __name__ == "__main__":
    main()
