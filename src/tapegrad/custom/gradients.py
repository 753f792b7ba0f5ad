"""Gradients of a kernel that are functions of tensors, and those of its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.autograd import gradcheck, gradgradcheck
from tapegrad.core.devices import CPU, EMULATED
from tapegrad.core.tensor import wrap

from .checkable import Checkable
from .launch import FLOATS
from .samples import Draws, dimensions, draw
from .trial import body_gradients, rms, wide


def wrong_rule(
    kernel: Checkable, sample: Mapping[str, int], dtype: Any, numbers: Mapping, draws: Draws
) -> str:
    """The name of an input of which the rule's gradient is not the body's in float64; else ""."""
    random = np.random.default_rng(sum(sample.values()))
    inputs = draw(kernel, dimensions(kernel, sample), dtype, random, draws)
    needs = [a.dtype.name in FLOATS for a in inputs]
    results = kernel.run_body([wrap(a, CPU) for a in inputs], numbers)
    arrived = [random.standard_normal(y.shape).astype(y.dtype) for y in results]
    given = [wrap(a, EMULATED) for a in (*arrived, *inputs)]
    got = kernel.tensor_gradient(given, numbers, needs)
    exact = body_gradients(kernel, wide(arrived), wide(inputs), numbers, needs)
    for i, wanted in zip(np.flatnonzero(needs).tolist(), exact, strict=True):
        gradient = got[i]
        made = np.zeros_like(wanted) if gradient is None else gradient.numpy()
        if not np.allclose(made, wanted, 1e-3, 1e-3 * rms(wanted), equal_nan=True):
            return kernel.signature.inputs[i].name
    return ""


def why_no_differences(kernel: Checkable) -> str:
    """Why gradients cannot be compared with differences; "" where they can."""
    ends = (kernel.forward.inputs, "go in"), (kernel.forward.results, "come out")
    for items, where in ends:
        if not any(i.dtype in ("T", "acc", *FLOATS) for i in items):
            return f"there is none, as no floats {where}"
    if any(i.dtype in FLOATS and i.dtype != "float64" for i in kernel.forward.inputs):
        return "differences need a kernel of float64, too"
    return ""


def differences(
    kernel: Checkable, sample: Mapping[str, int], dtype: Any, numbers: Mapping, draws: Draws
) -> list[str]:
    """What ``gradcheck`` and ``gradgradcheck`` say of the kernel on the emulated device."""
    arrays = draw(kernel, dimensions(kernel, sample), dtype, np.random.default_rng(5), draws)
    tensors = [wrap(a, EMULATED) for a in arrays]
    for t in tensors:
        if t.is_floating_point():
            t.requires_grad_()

    def call(*given: Any) -> Any:
        return kernel(*given, **numbers)

    problems = []
    for test in (gradcheck, gradgradcheck):
        try:
            test(call, tuple(tensors))
        except Exception as error:
            problems.append(f"{test.__name__}: {error}")
    return problems
