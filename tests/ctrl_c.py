"""How soon CTRL-C ends a call, for programs that tests run."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable

SOON = 0.2  # seconds
TRIES = range(3, 20)  # at least, and at most where the machine has more to do


def served(call: Callable[[], object], after: float) -> float:
    """Seconds from CTRL-C, which comes so long ``after`` the call has begun, to its end by
    KeyboardInterrupt: the least of some tries, and of more where none was served soon."""
    times: list[float] = []
    while len(times) < TRIES.start or (min(times) >= SOON and len(times) < TRIES.stop):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            time.sleep(after)
            os.write(tell, struct.pack("d", time.monotonic()))
            os.kill(os.getppid(), signal.SIGINT)
            os._exit(0)
        try:
            call()
        except KeyboardInterrupt:
            ended = time.monotonic()
        os.waitpid(child, 0)
        times.append(ended - struct.unpack("d", os.read(told, 8))[0])
        os.close(told)
        os.close(tell)
    return min(times)
