"""The cases of a user's file, for ``tapegrad bench my_kernel.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import FunctionType

from tapegrad.custom.checkable import Checkable
from tapegrad.custom.command import names_of
from tapegrad.fusion import Fused

from .cases import Case
from .check import BenchmarkError
from .own import case
from .runner import select


def cases_of(files: Sequence[Path], wanted: Sequence[str]) -> list[Case]:
    """What the files make that can be measured: what ``case`` and ``steps`` returned, kernels and
    fused functions that no such case is about, and plain functions that ``wanted`` names. wanted:
    names or patterns of cases and groups; all by default.

    Raises BenchmarkError for a file that makes nothing of the kind, and for names that nothing has.
    """
    found: dict[str, Case] = {}
    for file in files:
        names = names_of(file)
        said = [v for v in names.values() if isinstance(v, Case)]
        about = {id(one.mine) for one in said}
        said += [
            case(value, name=name)
            for name, value in names.items()
            if (isinstance(value, (Checkable, Fused)) and id(value) not in about)
            or (isinstance(value, FunctionType) and name in wanted)
        ]
        if not said:
            functions = [n for n, v in names.items() if isinstance(v, FunctionType)]
            raise BenchmarkError(
                f"{file} makes no kernel by tg.kernel, no fused function and no tg.bench.case; its "
                f"functions, which may be named behind it, are {', '.join(functions) or 'none'}"
            )
        found.update((one.name, one) for one in said)
    return select(wanted, list(found.values()))
