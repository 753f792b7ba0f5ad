"""Carrying out a plan."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from .compilers import cores, run
from .files import is_ours, replacing
from .plans import Plan, Unit
from .sources import CompilerError


def build(plan: Plan, output: Path, objects: Path) -> Path:
    """Compiles what is not yet in the folder ``objects`` and links it into ``output``.

    Several processes may do so at once: every file is written under a temporary name and then
    renamed, which replaces it in one step.
    """
    objects.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = [objects / f"{unit.source.stem}-{unit.key}.o" for unit in plan.units]
    # What takes longest goes first: the bindings, with pybind11's templates, then by size.
    jobs = sorted(
        zip(plan.units, paths, strict=True),
        key=lambda job: (job[0].source.suffix == ".cu", -job[0].source.stat().st_size),
    )
    with ThreadPoolExecutor(cores()) as executor:
        for result in [executor.submit(_compile, unit, path) for unit, path in jobs]:
            result.result()
    with replacing(output) as temporary:
        run([*plan.link, "-o", str(temporary), *map(str, paths)], f"linking {output.name}")
    return output


def _compile(unit: Unit, path: Path) -> None:
    if is_ours(path):
        os.utime(path)  # still in use
        return
    header = unit.header
    with replacing(path) as temporary:
        if isinstance(header, Unit):
            # Included by the name of its file, without the last suffix.
            made = path.parent / f"{header.source.stem}-{header.key}.h"
            with suppress(CompilerError):
                _compile(header, made.with_suffix(".h.gch"))
            try:
                _run(unit, made, temporary)
                return
            except CompilerError as error:
                if made.name not in error.output:
                    raise
            # It could not be made, or the compiler cannot use it.
            header = header.source
        _run(unit, header, temporary)


def _run(unit: Unit, header: Path | None, output: Path) -> None:
    included = ["-include", str(header)] if header else []
    command = [*unit.command, *included, "-c", str(unit.source), "-o", str(output)]
    run(command, f"compiling {unit.source.name}")
