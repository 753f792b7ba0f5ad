"""Files that are replaced in one step, and that nobody else may change: what is in the cache is
executed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .sources import BuildError

# What is in the cache is executed, and TAPEGRAD_CACHE may be a folder that all may write into.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(path: Path) -> bool:
    """Whether it is a file that no other user has made or may change."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & OTHERS_WRITE


def own_folder(folder: Path) -> None:
    """Make a folder into which nobody else may write. Raises BuildError for another user's, and
    where none can be made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"what is compiled cannot be kept in {folder} ({error.strerror}): name a folder of "
            "your own in TAPEGRAD_CACHE"
        ) from error
    refuse_foreign(folder)
    if hasattr(os, "getuid") and folder.stat().st_mode & OTHERS_WRITE:
        folder.chmod(0o700)


def refuse_foreign(path: Path) -> None:
    """Raise BuildError for what belongs to another user."""
    found = path.lstat()
    if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), 0):
        raise BuildError(
            f"{path} belongs to another user (number {found.st_uid}) and is not used: remove it, "
            "or name a folder of your own in TAPEGRAD_CACHE"
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file to be written, which replaces ``path`` at the end in one step: it is in
    the same folder, as only within one file system a rename is atomic. The new file has the rights
    of the old one. What a killed build left behind a day ago is removed."""
    for leftover in path.parent.glob(f".{path.name}.????????{path.suffix}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 86_400:
                leftover.unlink()
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        rights = (path if path.exists() else temporary).stat().st_mode
        temporary.chmod(stat.S_IMODE(rights) & ~OTHERS_WRITE)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
