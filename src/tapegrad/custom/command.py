"""``tapegrad check my_kernel.py``."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .checkable import Checkable
from .checking import check


def check_files(files: Sequence[Path], only: Sequence[str] | None = None, **options: Any) -> int:
    """Check the kernels that Python files make, and print what was found; returns the exit status:
    1 where a kernel is wrong, or there is none. options: those of ``check``."""
    status = 0
    for file in files:
        kernels = kernels_of(file)
        chosen = [k for k in kernels if only is None or k.name in only]
        if not chosen:
            there = ", ".join(k.name for k in kernels) or "none"
            print(f"{file} makes no kernel by tg.kernel to check ({there})", file=sys.stderr)
            status = 1
        for kernel in chosen:
            report = check(kernel, **options)
            print(report, flush=True)
            if report.again is not None:
                print(f"again: {report.again.command(str(file), kernel.name)}", flush=True)
            status |= not report.ok
    return int(status)


def kernels_of(file: Path) -> list[Checkable]:
    """The kernels among the names of a Python file."""
    return list(dict.fromkeys(v for v in names_of(file).values() if isinstance(v, Checkable)))


def names_of(file: Path) -> dict[str, Any]:
    """The names that a Python file makes, which is run as a module is imported.

    What it raises that the command line does not say in a line is a RuntimeError, whose message is
    the traceback from the file on.
    """
    if file.suffix in (".cu", ".cuh"):
        raise ValueError(
            f"{file} is CUDA: name the Python file that declares its kernels (a program "
            "with a main is run by 'tapegrad emulate')"
        )
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name the Python file that declares the kernels")
    folder, before = str(file.resolve().parent), sys.argv
    sys.path.insert(0, folder)
    sys.argv = [str(file)]
    try:
        return runpy.run_path(str(file), run_name=file.stem)
    except (RuntimeError, ValueError, OSError):
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(file):
            trace = trace.tb_next  # none is left of a file that does not compile
        lines = traceback.format_exception(type(error), error, trace)
        raise RuntimeError(f"{file} does not run\n{''.join(lines).rstrip()}") from error
    finally:
        sys.path.remove(folder)
        sys.argv = before
