"""The GPUs that nvcc generates code for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .compilers import Compiler, output_of
from .sources import BuildError


@dataclass(frozen=True)
class Architectures:
    """What nvcc generates: machine code for the GPUs in ``real``, and PTX, which the driver of any
    later GPU can compile, for those in ``ptx``. Names as in sm_90a, without the sm_."""

    real: tuple[str, ...]
    ptx: tuple[str, ...]

    def flags(self) -> list[str]:
        flags = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in self.real]
        return flags + [f"-gencode=arch=compute_{a},code=compute_{a}" for a in self.ptx]

    def __str__(self) -> str:
        return " ".join([*self.real, *(f"{a}+PTX" for a in self.ptx)])


def parse_architectures(text: str) -> Architectures:
    """Reads ``TAPEGRAD_CUDA_ARCHS``: names such as 80, 8.0, sm_80 or 90a with spaces, commas or
    semicolons between them; "+PTX" behind a name adds PTX for it."""
    real: dict[str, None] = {}
    ptx: dict[str, None] = {}
    for word in re.split(r"[\s,;]+", text.strip()):
        match = re.fullmatch(r"(?:sm_|compute_)?(\d+)\.?(\d[af]?)(\+ptx)?", word.lower())
        if not match:
            raise BuildError(
                f"TAPEGRAD_CUDA_ARCHS: {word!r} is not an architecture; write for example "
                "'80 90a 120+PTX'"
            )
        name = match[1] + match[2]
        real[name] = None
        if match[3]:
            ptx[name] = None
    return Architectures(tuple(real), tuple(ptx))


def choose_architectures(nvcc: Compiler, environ: Mapping[str, str] = os.environ) -> Architectures:
    """``TAPEGRAD_CUDA_ARCHS``, else the GPUs of this machine, else 80 and 90a, with PTX of 80.

    PTX runs on every later GPU than its own, so that of 80 serves them all (90a's runs on 90
    alone); and nvcc makes it on the way to the machine code for 80: that of a third architecture
    took a sixth of the time.
    """
    if environ.get("TAPEGRAD_CUDA_ARCHS"):
        return parse_architectures(environ["TAPEGRAD_CUDA_ARCHS"])
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    found = sorted(set(re.findall(r"^(\d+\.\d)$", output_of(query), re.MULTILINE)))
    if found:
        names = [cap.replace(".", "") for cap in found]
        return Architectures(tuple("90a" if a == "90" else a for a in names), ())
    if "compute_90" not in output_of([*nvcc.command, "--list-gpu-arch"]):
        return Architectures(("80",), ("80",))
    return Architectures(("80", "90a"), ("80",))
