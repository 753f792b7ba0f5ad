"""What one training step launches on a GPU, counted without one, on the stand-in for CuPy: of the
package's kernels, of CuPy's, and what the driver fills with zeros or copies from the host.

    python tests/launch_counts.py              # a table of all steps
    python tests/launch_counts.py "cnn autocast" gpt2_layer    # by operation, and by the line

The steps are those of ``STEPS``. What CuPy launches has no kernel of its own yet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
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
# What launches no kernel: CuPy lets the driver set memory to 0, and copy it from the host.
MOVED = {"zeros", "array"}


class Launch(NamedTuple):
    """One kernel: whose, its name, the operation that runs, and the line that asked for it."""

    whose: str  # "own", "CuPy" or "moved"
    name: str
    operation: str
    place: str


class Counted:
    """The launches within ``counting()``, and what made the host wait for the GPU."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.waits: list[Launch] = []
        self.sizes: list[int] = []  # of the arrays that were made

    def names(self, whose: str) -> Counter:
        return Counter(launch.name for launch in self.launches if launch.whose == whose)

    def count(self, whose: str) -> int:
        return sum(launch.whose == whose for launch in self.launches)

    def report(self) -> str:
        counts = [f"{self.count(whose)} {whose}" for whose in ("own", "CuPy", "moved")]
        lines = [f"{', '.join(counts)}, {len(self.waits)} waits"]
        for launches in (self.launches, self.waits):
            for launch, count in sorted(Counter(launches).items(), key=lambda kv: -kv[1]):
                whose, name, operation, place = launch
                whose = "wait" if launches is self.waits else whose
                lines.append(f"{count:5} {whose:6}{name:26}{operation:28}{place}")
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
                whose = "moved" if called in MOVED else "CuPy"
                getattr(counted, found).append(Launch(whose, called, *_asked_by()))
            return result

        return watched

    class Watched(kernels.Launchers):
        def __missing__(self, key: tuple[str, Any]) -> Callable:
            function = super().__missing__(key)

            def watched(*arguments: Any) -> Any:
                before = library.work_done()[0]
                answer = function(*arguments)
                for _ in range(library.work_done()[0] - before):
                    counted.launches.append(Launch("own", key[0], *_asked_by()))
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


# The steps of the table: what makes a network, the shape of its input, and its classes. Each is a
# forward pass, cross-entropy, a backward pass and AdamW.


class _Residual(nn.Module):
    """As in a ResNet: two convolutions with batch norm beside a way past them."""

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters),
            nn.ReLU(), nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
        )  # fmt: skip
        self.past = nn.Sequential(
            nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
        )

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return F.relu(self.body(x) + self.past(x))


class _Sequence(nn.Module):
    """A recurrent layer, and a linear one for each of its steps."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(32, 10)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.layer(x)[0]).flatten(0, 1)


class _Text(nn.Module):
    """GPT-2 of two layers, with heads of 32 numbers, as the logits of all tokens."""

    def __init__(self) -> None:
        super().__init__()
        gpt2 = _gpt2()
        self.model = gpt2.GPT2(dataclasses.replace(gpt2.TINY, n_head=2))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.model(x).flatten(0, 1)


def _mlp() -> nn.Module:
    """Three linear layers."""
    layers = (nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(*layers)


def _cnn() -> nn.Module:
    """A convolution with a bias, batch norm, ReLU and pooling, two residual blocks, the mean of
    each channel, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        _Residual(8, 16, 1), _Residual(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "mlp": (_mlp, (16, 32), 16),
    "cnn": (_cnn, (4, 3, 16, 16), 4),
    "lstm": (lambda: _Sequence(nn.LSTM(16, 32)), (8, 4, 16), 32),
    "gru": (lambda: _Sequence(nn.GRU(16, 32)), (8, 4, 16), 32),
    "gpt": (_Text, (2, 32), 64),
}
PRECISIONS = ("float32", "bfloat16", "autocast")


def network_step(name: str, precision: str) -> Callable:
    """A step of ``NETWORKS``, in a dtype, or in float32 with autocast to bfloat16."""
    make, shape, rows = NETWORKS[name]
    dtype = tg.bfloat16 if precision == "bfloat16" else tg.float32
    net = make().to("cuda", dtype)
    x = _random(shape, dtype)
    if name == "gpt":
        x = tg.tensor(np.arange(math.prod(shape)).reshape(shape) % 257, device="cuda")
    y = tg.tensor(np.arange(rows) % 10, device="cuda")
    settings = {"dtype": tg.bfloat16, "enabled": precision == "autocast"}
    return _train(net, lambda: F.cross_entropy(net(x), y), **settings)


STEPS: dict[str, Callable[[], Callable]] = {
    "gpt2_layer": gpt2_layer,
    "gpt2_layer_autocast": lambda: gpt2_layer(tg.float32, True),
    "gpt2_step": gpt2_step,
} | {
    f"{name} {precision}": partial(network_step, name, precision)
    for name in NETWORKS
    for precision in PRECISIONS
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


def table() -> str:
    """How many launches each step takes."""
    lines = [f"{'step':24}{'own':>6}{'CuPy':>6}{'moved':>7}{'waits':>7}  CuPy's by name"]
    for name in STEPS:
        c = count(name)
        names = ", ".join(f"{n} {k}" for k, n in c.names("CuPy").most_common()) or "-"
        numbers = c.count("own"), c.count("CuPy"), c.count("moved"), len(c.waits)
        own, of_cupy, moved, waits = numbers
        lines.append(f"{name:24}{own:6}{of_cupy:6}{moved:7}{waits:7}  {names}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or the report of each step that is named."""
    strict_cupy.install()
    if len(sys.argv) < 2:
        print(table())
    for name in sys.argv[1:]:
        print(f"{name}: {count(name).report()}\n")


if __name__ == "__main__":
    main()
