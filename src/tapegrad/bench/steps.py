"""``tapegrad.bench.steps``: whole steps of a training as a case."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.fusion import plain_bodies
from tapegrad.ops.sampling.philox import fork_rng, manual_seed

from .arrays import on_host
from .cases import Case
from .check import BenchmarkError
from .own import named
from .ways import Way

_CHECKED = 3  # steps whose losses are compared

Make = Callable[..., Callable[[], Any]]


def steps(
    make: Make,
    *others: Make,
    name: str | None = None,
    group: str = "",
    torch: Make | None = None,
    jax: Make | None = None,
    rtol: float = 1e-3,
) -> Case:
    """How whole steps of a training are measured by ``tapegrad bench FILE.py`` and ``run([...])``.

    make: a function that makes a model and its optimizer (of the device, if it has an argument, as
    a string), and returns the function ``step()``, which trains once and returns the loss. It is
    called after ``manual_seed(0)``, as often as a new start is needed. others, torch, jax: the same
    for other trainings, which must begin with the same numbers.

    The losses of the first three steps must be those that come where kernels of your own and fused
    functions are computed by their plain bodies, up to ``rtol`` of their size, in a new training
    after the timing as well; and no two may be equal, as they are where nothing is learned. That
    training, with the plain bodies, takes turns as the peer "body".
    """
    functions = named(make, *others, name=name)
    label = next(iter(functions))
    ways = {other: _way(function) for other, function in functions.items()}
    ways |= {n: _way(f, counts=n) for n, f in (("torch", torch), ("jax", jax)) if f is not None}
    ways["body"] = _way(make, as_written=True)
    return Case(
        label,
        "",
        {size: [()] for size in ("tiny", "small", "large")},
        lambda draw: (str(draw.device),),
        make,
        lambda: 0.0,
        reference=lambda ops, device: _losses(_begun(make, device, True)),
        bytes=lambda itemsize: 0.0,
        dtypes=("float32",),
        label=label,
        ways={other: partial(_whatever_the_device, way) for other, way in ways.items()},
        rivals=tuple(functions)[1:],
        rtol=rtol,
        group=group,
        sets=1,
    )


def _whatever_the_device(way: Way, device: Device) -> Way:
    return way


def _way(make: Make, as_written: bool = False, counts: str = "tapegrad") -> Way:
    """A training of which a call is a step; each time that it is asked for, a new one."""
    return Way(
        lambda step: step(),
        lambda values: [_begun(make, values[0], as_written)],
        check=_losses,
        counts=counts,
    )


def _begun(make: Make, device: str, as_written: bool) -> Callable[[], Any]:
    with plain_bodies() if as_written else nullcontext(), fork_rng():
        manual_seed(0)
        step = make(device) if inspect.signature(make).parameters else make()
    if not callable(step):
        raise BenchmarkError(
            f"[steps] {getattr(make, '__name__', make)} must return the function that trains once, "
            f"got {type(step).__name__}"
        )
    if not as_written:
        return step

    def plain_step() -> Any:
        with plain_bodies():
            return step()

    return plain_step


def _losses(step: Callable[[], Any]) -> np.ndarray:
    """Those of the first steps. Raises BenchmarkError where they are no numbers, or equal."""
    losses = []
    for _ in range(_CHECKED):
        loss = step()
        host = on_host(loss)
        losses.append(np.asarray(loss if host is None else host, np.float64))
    found = np.array(losses).reshape(_CHECKED, -1)
    if found.shape[1] != 1 or not np.isfinite(found).all() or len(np.unique(found)) < _CHECKED:
        raise BenchmarkError(
            f"[steps] a step must return its loss, another number each time, got "
            f"{', '.join(map(str, losses))}"
        )
    return found.reshape(-1)
