"""Compiles a source and what launches its functions, and loads it: for the emulated device by the
C++ compiler, for GPUs by nvcc, or by NVRTC where there is no nvcc. What compilers made is kept in
the user's cache, by content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tapegrad import _build
from tapegrad.core.commit import fork_safe_lock
from tapegrad.core.devices import KernelsMissing
from tapegrad.core.kernels import KernelError, library

from . import nvrtc
from .source import Function, Source, blank_comments

# Grid, block and bytes of shared memory, as a launcher that is written here takes them.
SHAPE = ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared_bytes")
_C_TYPES = {"float32": "float", "float64": "double", "float16": "half", "bfloat16": "bfloat16"}


# What nvcc knows and the emulated device does not, and how it is written for both.
_BOTH = {
    "__shared__": "shared memory is SHARED(name, float[32]), "
    "or by shared= DYNAMIC_SHARED(name, float)",
    "<<<": "a launch is LAUNCH(kernel, blocks, threads, shared_bytes, stream, arguments...)",
}
_GENERATED = "<the launcher of"  # how compilers name the lines that are written here


class CompileError(KernelError):
    """A kernel does not compile: the compiler's message, with the file and line that you wrote."""


class Unit:
    """(function, dtype) -> what launches it on one type of device; compiled when first needed, for
    that dtype alone. checked: with a look at every access that it makes (None: where the package's
    kernels are run so)."""

    def __init__(self, source: Source, device_type: str, checked: bool | None = None):
        self.source, self.device_type, self.checked = source, device_type, checked
        self._known: dict[tuple[str, str | None, bool], Callable] = {}
        self._lock = fork_safe_lock()

    def __getitem__(self, key: tuple[str, Any]) -> Callable:
        home = self._home()
        checked = hasattr(home, "checks_accesses") if self.checked is None else self.checked
        name, dtype = key
        found = self._known.get((name, dtype, checked))
        if found is None:
            with self._lock:
                found = self._known.get((name, dtype, checked))  # another thread's, meanwhile
                if found is None:
                    found = self._compile(home, name, dtype, checked)
                    self._known[name, dtype, checked] = found
        return found

    def _home(self) -> Any:
        """The extension that loads what is compiled; None where CuPy does, as there is neither
        that nor nvcc."""
        try:
            return library(self.device_type)
        except KernelsMissing:
            if self.device_type != "cuda" or _build.find_nvcc() is not None:
                raise
            return None

    def _compile(self, home: Any, name: str, dtype: str | None, checked: bool) -> Callable:
        function = self.source.function(name)
        text = unit_text(self.source, function, dtype)
        if home is None:
            try:
                headers = _build.headers_hash(_build.source_root())
                known = with_included(text, self.source.folder, headers)
                return nvrtc.launcher(known, function, _element(dtype), self.source.folder)
            except nvrtc.Refused as error:
                raise CompileError(self._said(name, str(error), {})) from None
        emulates = hasattr(home, "set_schedule")  # as does what stands in for a GPU in tests
        try:
            path = compiled(
                text, name, "emulated" if emulates else "cuda", self.source.folder, checked
            )
        except _build.CompilerError as error:
            hints = _BOTH if emulates else {}
            raise CompileError(self._said(name, error.output, hints)) from None
        except _build.BuildError as error:
            raise KernelsMissing(f"[{name}] {error}") from None
        try:
            functions = home.load(str(path))
        except ImportError as error:
            raise KernelsMissing(
                f"[{name}] {error}: if the file is damaged, remove it, and it is compiled again"
            ) from None
        return functions[name if dtype is None else f"{name}_{dtype}"]

    def _said(self, name: str, output: str, hints: Mapping[str, str]) -> str:
        """What is wrong: the compiler's output, with the lines of a string, which no compiler can
        read, and hints by the words in it; or, where it is about the lines that were written here,
        what it comes from."""
        written = self.source.text.split("\n")
        lines = [f"[{name}] does not compile"]
        first = next((line for line in output.split("\n") if re.search(r"\berror\b", line)), "")
        if first.startswith(_GENERATED):
            plain = blank_comments(self.source.text)
            ends_within = plain.count("{") > plain.count("}")
            return f"{lines[0]}: " + (
                "the text ends within a function, a '}' is missing"
                if ends_within
                else f"{name!r} is the name of something else, too, or stands in a namespace: give "
                "the function a name of its own"
            )
        for line in output.split("\n"):
            lines.append(line)
            place = re.match(re.escape(self.source.file) + r"[:(](\d+)[:)]", line)
            if place and not Path(self.source.file).is_file():
                index = int(place[1]) - self.source.line
                lines += [f"    {written[index]}"] if 0 <= index < len(written) else []
        said = "\n".join(lines)
        return "\n".join([said, *(f"{w}: {hint}" for w, hint in hints.items() if w in said)])


def unit_text(source: Source, function: Function, dtype: str | None) -> str:
    """The file that is compiled: the vocabulary, the source as it is, what launches one of its
    functions, and the list of that."""
    given = ", ".join(p.name for p in function.parameters)
    element = _element(dtype)
    launcher = f"{function.name}{element}"
    generated = []
    if function.is_kernel:
        head = f"template <class {function.template}>\n" if function.template else ""
        called = f"{function.name}<{function.template}>" if function.template else function.name
        shape = ", ".join(f"int64_t tapegrad_{name}" for name in SHAPE)
        first, last = (", ".join(f"tapegrad_{n}_{i}" for i in "xyz") for n in ("grid", "block"))
        generated.append(
            f"{head}static void tapegrad_launch({function.declaration}"
            f"{', ' if given else ''}{shape}, cudaStream_t tapegrad_stream) {{\n"
            f'    LAUNCH_AS("{function.name}", {called}, Extent({first}), Extent({last}), '
            f"tapegrad_shared_bytes, tapegrad_stream{', ' if given else ''}{given});\n}}"
        )
        launcher = f"tapegrad_launch{element}"
    told = f'"{dtype}"' if dtype else "nullptr"
    generated.append(
        f"static const Registration tapegrad_registration{{\n"
        f'    Adapter<&{launcher}>::launcher("{function.name}", {told})}};'
    )
    file = source.file.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        [
            '#include "row.cuh"',
            f'#line {source.line} "{file}"',
            source.text,
            "#ifndef __CUDACC_RTC__",
            f'#line 1 "{_GENERATED} {function.name}>"',
            *generated,
            '#include "unit.h"',
            "#endif",
            "",
        ]
    )


def _element(dtype: str | None) -> str:
    return f"<{_C_TYPES[dtype]}>" if dtype else ""


def compiled(text: str, name: str, device_type: str, folder: str, checked: bool) -> Path:
    """The shared library for this text, compiled if it is not in the cache yet. Several processes
    may ask at once. Raises BuildError."""
    text = with_included(text, folder)
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    source = _build.kept_text(f"{name}-{digest}.cu", text.encode())
    plan = _build.plan_unit(device_type, source, folder, checked=checked)
    return _build.built(plan)


def with_included(text: str, folder: str, more: str = "") -> str:
    """The text, and a line that is another one where the files of the folder that it includes have
    changed, or ``more`` has: caches of compiled texts know a text by what stands in itself."""
    own = "".join([*_included(text, Path(folder), set()), more])
    return text + f"// with {hashlib.sha256(own.encode()).hexdigest()}\n" if own else text


def _included(text: str, folder: Path, seen: set[Path]) -> list[str]:
    """What the files of the folder contain that a text includes, and those that these include."""
    found = []
    for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.MULTILINE):
        path = folder / name
        if path.is_file() and path not in seen:
            seen.add(path)
            found.append(path.read_text(encoding="utf-8", errors="replace"))
            found += _included(found[-1], path.parent, seen)
    return found
