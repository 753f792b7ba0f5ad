"""Steps as one hand-written kernel each, which reads and writes each array once. (Of SGD and Adam;
the others run their plain bodies on every device.)"""

from __future__ import annotations

from functools import partial
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel, prepared_launch
from tapegrad.core.memory import Array

from .chunks import Then, make, options_of


def _launch_step(name: str) -> None:
    """kernels/optimizer.cu: <name>(param, grad, state..., n, options...)."""

    @kernel(name, contiguous="grad")
    def step(
        device: Device, param: Array, grad: Array, *state: Any, then: Then = None, **given: Any
    ) -> Array:
        kept = [a for a in (param, *state) if a is not None]
        if not all(a.shape == grad.shape and a.flags.c_contiguous for a in kept):
            return NotImplemented
        arrays = (param, grad, *state)
        options = [given[key] for key in options_of(name)]
        run = prepared_launch(device, name, param.dtype, *arrays, param.size, *options)
        make(map(partial.__call__, (run,)), then)
        return None


for _name in ("sgd_step", "adam_step"):
    _launch_step(_name)
