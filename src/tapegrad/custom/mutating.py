"""Which mutants of a kernel a check notices."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tapegrad.core.kernels import KernelError
from tapegrad.units import CompileError, Source

from .checkable import Checkable
from .child import Died
from .mutants import Mutant, mutants
from .runs import Runs
from .trial import Wrong

SECONDS = 1.0  # that a launch may be stuck; how long the kernel's own take is known by then


def survivors(
    kernel: Checkable,
    sources: Iterable[Source],
    prove: Callable[[dict[str, str], Callable[[str], None]], None],
    runs: Runs,
) -> tuple[int, list[str]]:
    """(how many mutants were tried, those that nothing notices). ``prove(changed, note)`` raises
    where the kernel with these texts changed is wrong."""
    tried, surviving = 0, []
    for source in sources:
        for mutant in mutants(source.text):
            outcome = _outcome(mutant, prove, runs) if _concerns(kernel, source, mutant) else ""
            tried += outcome in ("noticed", "survived")
            if outcome == "survived":
                line = source.line - 1 + mutant.line
                surviving.append(f"line {line}: {str(mutant).partition(': ')[2]}")
    return tried, surviving


def _concerns(kernel: Checkable, source: Source, mutant: Mutant) -> bool:
    """Whether the mutant is in what this kernel runs, and not in another of the file."""
    launches = [one for one in (kernel.forward, kernel.backward) if one is not None]
    own, known = {one.function.name for one in launches}, {*source.functions()}
    if not all(one.function.is_kernel for one in launches) or not own & known:
        return True
    before = source.functions(mutant.start)
    return not before or before[-1] in own or before[-1] not in known


def _outcome(mutant: Mutant, prove: Callable, runs: Runs) -> str:
    changed = {mutant.original: mutant.source()}

    def work(note: Callable[[str], None]) -> str:
        try:
            prove(changed, note)
        except CompileError:
            return "does not compile"
        except (Wrong, KernelError):
            return "noticed"
        return "survived"

    try:
        return runs.result(work, min(SECONDS, runs.seconds))
    except Died:
        return "noticed"
