"""What a rank says as it ends. The pipes by which mpiexec hands on what ranks write are gone when
it ends all of them, and so may be the reason: so ``tapegrad launch`` names a file for it. (rank.py
imports this by itself: nothing of tapegrad is needed here.)"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

FILE = "TAPEGRAD_LAST_WORDS"


def tell(rank: int | str, lines: list[str]) -> None:
    """Write lines, each with the rank before it, where the launcher will read them; on another
    machine than its own, and without one, to stderr."""
    text = "".join(f"[rank {rank}] {line}\n" for line in lines)
    sys.stdout.flush()
    try:
        file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND)
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
