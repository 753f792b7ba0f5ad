"""MPI starts when all ranks have come, has no limit for that, and holds Python's lock meanwhile. So
a process beside each rank looks at the clock: ``python starting.py RANK SIZE SECONDS PROCESS``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

if __name__ == "__main__":  # with nothing of tapegrad: its folder is on the path
    from last_words import missing, tell  # type: ignore[import-not-found]
else:
    from .environment import Place
    from .last_words import missing, tell


@contextmanager
def limited(place: Place, seconds: float) -> Iterator[None]:
    """Within it, this rank has so many seconds; then its process is ended, and it is said who has
    not come."""
    numbers = place.rank, place.world_size, seconds, os.getpid()
    command = [sys.executable, "-S", __file__, *map(str, numbers)]
    # In a session of its own: the terminal's CTRL-C is not for it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as clock:
        try:
            yield
        finally:
            clock.kill()  # what was forked meanwhile may hold the pipe open


def _end(rank: int, size: int, seconds: float, process: int) -> None:
    waited = f"rank {rank} has waited {seconds:g} s for MPI to start with {size} ranks"
    tell(rank, [f"[init_process_group] {waited}. {missing(size)}: all ranks end"])
    os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def main() -> None:
    """End the process when the time is up, unless it has closed its end of the pipe by then."""
    rank, size, seconds, process = sys.argv[1:]
    limit = min(float(seconds), threading.TIMEOUT_MAX)
    clock = threading.Timer(limit, _end, (int(rank), int(size), limit, int(process)))
    clock.daemon = True
    clock.start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
