"""Files that are written all or nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import IO, Any

from .budget import TooMuch
from .errors import CheckpointError
from .source import Source

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove a file that is open
    fcntl = None  # type: ignore[assignment]


def replace(
    target: str, parts: Iterable[Any], check: Callable[[Source], None], like: str | None = None
) -> None:
    """Write a file such that a crash at any moment leaves the old one or the new one, with the
    rights that the old one had, or the file ``like``. ``check`` reads what was written, and raises
    if that is not what it should be: then the old file stays, and CheckpointError is raised."""
    folder, name = os.path.split(target)
    remove_leftovers(folder, re.escape(name))
    unfinished, file = _unfinished(target, target if like is None else like)
    try:
        with file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            _reread(target, file, check)
            if fcntl is not None:  # while it is locked
                os.replace(unfinished, target)
        if fcntl is None:
            os.replace(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    if os.name == "posix":  # the rename itself must reach the disk too
        descriptor = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reread(target: str, file: Any, check: Callable[[Source], None]) -> None:
    try:
        check(Source(file, mapped=True))
    except (MemoryError, OSError):
        raise
    except TooMuch as error:
        raise CheckpointError(f"save: {target}: {error}") from None
    except Exception as error:
        raise CheckpointError(
            f"save: {target}: what was written reads otherwise ({error}): is the disk damaged? The "
            "file is as it was"
        ) from error


def _unfinished(target: str, like: str) -> tuple[str, IO[bytes]]:
    """A new file beside the target, as only within one file system a rename is atomic; locked, by
    which others see that it is in use."""
    folder, name = os.path.split(target)
    try:
        old = os.stat(like)
    except FileNotFoundError:
        old = None
    opener = partial(os.open, mode=0o666 if old is None else 0o600)
    while True:
        path = os.path.join(folder, f".{name}.{os.urandom(4).hex()}{os.path.splitext(name)[1]}")
        try:
            file = open(path, "x+b", opener=opener)  # noqa: SIM115
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, "save: there is no such folder", folder) from None
        if fcntl is None:
            return path, file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        new = os.fstat(file.fileno())
        if new.st_nlink:  # else someone took it for a leftover before it was locked
            break
        file.close()
    if old is not None:
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(OSError):  # as far as we may
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
    return path, file


def remove_leftovers(folder: str, names: str) -> None:
    """Remove what killed saves to names of this pattern left behind: what nobody holds a lock
    on."""
    ours = rf"\.{names}\.[0-9a-f]{{8}}(\.\w+)?"
    with suppress(OSError):
        for found in os.listdir(folder):
            if re.fullmatch(ours, found):
                _remove_if_unused(os.path.join(folder, found))


def _remove_if_unused(path: str) -> None:
    with suppress(OSError):
        if fcntl is None:
            os.unlink(path)
            return
        with open(path, "rb", opener=_open_as_it_is) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def _open_as_it_is(path: str, flags: int) -> int:
    """Without waiting for a pipe's other end, and without following links."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
