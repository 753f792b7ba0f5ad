"""What a path leads to, before it is opened."""

from __future__ import annotations

import errno
import os
import stat


def require_regular_file(path: str | os.PathLike[str]) -> None:
    """Raise OSError for what is there and no regular file (through links). Opening a named pipe
    waits until something is written to it, and devices have no end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, where a file is needed", os.fspath(path))
    if not stat.S_ISREG(mode):
        kind = "named pipe" if stat.S_ISFIFO(mode) else "socket or device"
        what = f"a {kind}, where a regular file is needed"
        raise OSError(errno.EINVAL, what, os.fspath(path))
