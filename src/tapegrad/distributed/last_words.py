"""What ranks say where they cannot speak to each other: as they end, or before MPI has started.

The pipes by which mpiexec hands on what ranks write are gone when it ends all of them, and so may
be the reason: so ``tapegrad launch`` names a folder for it. (rank.py and starting.py import this by
itself: nothing of tapegrad is needed here.)
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any

FOLDER = "TAPEGRAD_LAUNCH"
SAID = "said"  # the file in it of what ranks say
STARTED = "has started, and has not come to init_process_group"


def tell(rank: int | str, lines: list[str]) -> None:
    """Write lines, each with the rank before it, where the launcher will read them; on another
    machine than its own, and without one, to stderr."""
    text = "".join(f"[rank {rank}] {line}\n" for line in lines)
    sys.stdout.flush()
    try:
        file = os.open(os.path.join(os.environ[FOLDER], SAID), os.O_WRONLY | os.O_APPEND)
    except (KeyError, OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
    else:
        os.write(file, text.encode(errors="replace"))
        os.close(file)


def tell_error(rank: int | str, kind: type[BaseException], error: BaseException, at: Any) -> None:
    """Write an error with its traceback."""
    lines = "".join(traceback.format_exception(kind, error, at)).splitlines()
    tell(rank, [*lines, f"rank {rank} has raised {kind.__name__}: all ranks end"])


def note(rank: int | str, where: str = "") -> None:
    """Let others on the launcher's machine know where this rank is: nothing, if it has come to
    ``init_process_group``."""
    with suppress(KeyError, OSError), open(_note(rank), "w", encoding="utf-8") as file:
        file.write(where)


def missing(size: int) -> str:
    """Who of so many ranks has not come to ``init_process_group``, as far as this one knows."""
    if os.environ.get("WORLD_SIZE") != str(size) or not os.path.isdir(os.environ.get(FOLDER, "")):
        return "Missing: those that do not say so, too"
    lines = []
    for rank in range(size):
        try:
            with open(_note(rank), encoding="utf-8") as file:
                where = file.read()
        except OSError:
            where = "was not started on this machine"
        if where:
            lines.append(f"rank {rank} {where}")
    return f"Missing: {'; '.join(lines) or 'nobody, all have come'}"


def _note(rank: int | str) -> str:
    return os.path.join(os.environ[FOLDER], f"rank-{rank}")
