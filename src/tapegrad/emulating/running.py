"""Compiles a CUDA program for the CPU, runs it in a process of its own, and tells what was seen."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tapegrad import _build
from tapegrad.core.kernels import KernelError
from tapegrad.core.schedules import Schedule

from .sources import rewritten

PATIENCE = 30.0
_HEAD = struct.Struct("=QQ240s")


@dataclass(frozen=True)
class Outcome:
    """How a run went. status: the program's own (128 + the signal that ended it); reports: what is
    wrong, each with the places in the program; remarks: what is worth knowing."""

    status: int
    launches: int
    threads: int
    running: str  # the kernel in which the process ended; "": none
    reports: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.status == 0 and self.launches > 0 and not self.reports


@dataclass(frozen=True)
class Program:
    """A compiled program. checked: every access to memory is looked at."""

    file: Path
    executable: Path
    checked: bool

    def run(
        self,
        arguments: Sequence[str] = (),
        *,
        schedule: str = "ascending",
        timeout: float | None = None,
        patience: float | None = None,
        stdout: int | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Outcome:
        """Run it to its end, or for ``timeout`` seconds. schedule: the order in which blocks and
        threads get their turn, as for ``tg.kernel.check``: ``ascending``, ``descending``,
        ``random:7``, ``random:7:40-42``. patience: how many seconds of
        processor time a kernel may run in which no thread ends or meets others, before it counts
        as endless (30 by default; 0: for ever). stdout: as ``subprocess`` takes it. Raises
        ValueError for what is no schedule, and no time."""
        if timeout is not None and not timeout > 0:
            raise ValueError(f"[emulate] the timeout must be more than 0 seconds, got {timeout:g}")
        if patience is not None and not patience >= 0:
            raise ValueError(f"[emulate] patience must not be negative, got {patience:g}")
        order = " ".join(map(str, tuple(Schedule.parse(schedule))))
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder, "journal")
            own = {
                "JOURNAL": str(journal),
                "SCHEDULE": order,
                "PATIENCE": str(PATIENCE if patience is None else patience),
            }
            process = subprocess.Popen(
                [str(self.executable), *arguments],
                stdout=stdout,
                env={**environ, **{f"TAPEGRAD_EMULATE_{k}": v for k, v in own.items()}},
            )
            status, in_time = _ended(process, timeout)
            content = journal.read_bytes() if journal.is_file() else b""
        launches, threads, running = _HEAD.unpack(content[: _HEAD.size].ljust(_HEAD.size, b"\0"))
        records = content[_HEAD.size :].decode(errors="replace").split("\0")
        if not in_time:
            records.append(f"!did not end within {timeout:g} s")
        return Outcome(
            status if status >= 0 else 128 - status,
            launches,
            threads,
            running.rstrip(b"\0").decode(errors="replace"),
            tuple(record[1:] for record in records if record.startswith("!")),
            tuple(record[1:] for record in records if record.startswith("-")),
        )


def _ended(process: subprocess.Popen, timeout: float | None) -> tuple[int, bool]:
    """The process's status when it has ended, and whether in time; interrupted where the time is up
    or we are."""
    try:
        return process.wait(timeout), True
    except (KeyboardInterrupt, subprocess.TimeoutExpired) as error:
        # A terminal has interrupted it as well, which asks it to say where it is.
        in_time = isinstance(error, KeyboardInterrupt)
        if not in_time:
            process.send_signal(signal.SIGINT)
        for step in (signal.SIGINT, signal.SIGKILL):
            with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                return process.wait(0.5), in_time
            process.send_signal(step)
        return process.wait(), in_time


def compile_program(
    file: Path,
    *,
    checked: bool = True,
    folders: Sequence[Path] = (),
    defines: Sequence[str] = (),
    standard: str = "c++17",
) -> Program:
    """Compile a ``.cu`` file with a ``main``; what was compiled before comes from the cache.

    folders, defines: as the compiler's ``-I`` and ``-D``; standard: of C++. Raises KernelError with
    the compiler's message, in which files and lines are the program's own.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}")
    options = [f"-std={standard}", *(f"-D{name}" for name in defines)]
    options += [f"-I{folder.resolve()}" for folder in (file.resolve().parent, *folders)]
    try:
        plan = _build.plan_program(rewritten(file, folders), options, checked=checked)
        executable = _build.built(plan)
    except _build.CompilerError as error:
        if re.search(r"undefined (reference to|symbol:?) [`'\"]?_?main\b", error.output):
            raise KernelError(
                f"{file} has no main, which a program begins with: kernels alone are declared by "
                "tg.kernel, and checked by 'tapegrad check'"
            ) from None
        raise KernelError(f"{file} does not compile\n{error.output}{_hint(error.output)}") from None
    except _build.BuildError as error:
        raise KernelError(f"{file}: {error}") from None
    return Program(file, executable, checked)


def _hint(output: str) -> str:
    """What a program needs that is not emulated, where the compiler's message is about that."""
    library = re.search(r"fatal error: '?(thrust|cu(?:blas|b|rand|fft|sparse|solver|dnn))", output)
    of_ptx = re.search(r"Assembler messages|\basm\b", output)
    what = f"the library {library[1]}" if library else "inline PTX" if of_ptx else ""
    return f"\n{what} is not emulated" if what else ""


def tell(outcome: Outcome, program: Program) -> None:
    """Print the outcome for a person, on stderr."""
    lines = [f"- {remark}" for remark in outcome.remarks]
    for number, report in enumerate(outcome.reports, 1):
        lines.append(f"{number}. {report}")
    if outcome.status > 128:
        name = _signal_name(outcome.status - 128)
        lines.append(f"ended by {name}" + (f" in {outcome.running}" if outcome.running else ""))
    if outcome.launches == 0 and not outcome.running:
        lines.append("launched no kernel: nothing was checked")
    else:
        how = "every access checked" if program.checked else "accesses not checked"
        found = f"{len(outcome.reports)} report{'s' * (len(outcome.reports) != 1)}"
        lines.append(
            f"{_count(outcome.launches, 'launch', 'launches')}, "
            f"{_count(outcome.threads, 'thread', 'threads')}, {how}: "
            + (found if outcome.reports else "nothing to report")
        )
    sys.stdout.flush()
    for line in lines:
        print(f"tapegrad: {line}", file=sys.stderr)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
