"""What an installation builds."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .compilers import Compiler
from .kernel_plans import plan_cuda, plan_emulated
from .native_plans import plan_native, plan_tape
from .plans import Plan
from .sources import BuildError


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Choice:
    """Plans to carry out, and for each extension left out the reason."""

    plans: tuple[Plan, ...]
    left_out: dict[str, str]
    cuda_required: bool


def choose_extensions(
    cxx: Compiler | None, nvcc: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ
) -> Choice:
    """What to build here. Raises BuildError where ``TAPEGRAD_CUDA=on`` cannot be met."""
    setting = environ.get("TAPEGRAD_CUDA", "auto").lower()
    if setting not in ("auto", "on", "off"):
        raise BuildError(f"TAPEGRAD_CUDA must be auto, on or off, not {setting!r}")
    plans: list[Plan] = []
    left_out: dict[str, str] = {}
    of_host = (("emulated", plan_emulated), ("tape", plan_tape), ("native", plan_native))
    for name, plan in of_host:
        try:
            plans.append(plan(cxx, root, environ))
        except BuildError as error:
            left_out[name] = str(error)
    if setting == "off":
        left_out["cuda"] = "TAPEGRAD_CUDA=off"
    elif setting == "auto" and nvcc and not environ.get("TAPEGRAD_CUDA_ARCHS") and not has_driver():
        left_out["cuda"] = (
            "there is nvcc, but no driver of a GPU: to compile for others, which takes minutes, "
            "install with TAPEGRAD_CUDA=on"
        )
    else:
        try:
            plans.append(plan_cuda(nvcc, cxx, root, environ))
        except BuildError as error:
            if setting == "on":
                raise BuildError(f"TAPEGRAD_CUDA=on, but {error}") from error
            left_out["cuda"] = str(error)
    return Choice(tuple(plans), left_out, setting == "on")
