"""What was compiled before, and whose it is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from .building import build
from .compilers import find_cxx, find_nvcc
from .files import is_ours, own_folder, refuse_foreign, replacing
from .kernel_plans import plan_cuda, plan_emulated
from .native_plans import plan_loop, plan_native, plan_tape
from .plans import CHECKED, EXTENSION_SUFFIX, Plan
from .sources import source_root

CACHE_DAYS = 30  # what nobody used for so long is deleted
HEADER_DAYS = 3  # of headers compiled beforehand, which take 20 to 40 MB each


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    if environ.get("TAPEGRAD_CACHE"):
        return Path(environ["TAPEGRAD_CACHE"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tapegrad"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "tapegrad"


def plan_for(device: str) -> Plan:
    root = source_root()
    if device in ("emulated", CHECKED):
        return plan_emulated(find_cxx(), root, checked=device == CHECKED)
    return plan_cuda(find_nvcc(), find_cxx(), root)


def cached_path(plan: Plan) -> Path:
    return cache_folder() / plan.key / f"_{plan.device}{EXTENSION_SUFFIX}"


def cached(plan: Plan) -> Path | None:
    """The extension in the cache, if it is there. Raises BuildError for another user's."""
    path = cached_path(plan)
    if not os.path.lexists(path):
        return None
    for place in (path.parent, path):
        refuse_foreign(place)
    return path if is_ours(path) else None


def built(plan: Plan) -> Path:
    """What is planned, from the cache, or compiled into it. Raises BuildError."""
    return cached(plan) or _build_into_cache(plan)


def build_into_cache(device: str) -> Path:
    """The extension for the sources as they are now, compiled if it is not in the cache yet."""
    plan = plan_for(device)
    path = cached(plan)
    if path is not None:
        os.utime(path)
        return path
    return _build_into_cache(plan)


def build_into_package(name: str) -> Path:
    """Compile "tape" or "native" into the package, as an editable installation does."""
    output = Path(__file__).resolve().parents[1] / f"_{name}{EXTENSION_SUFFIX}"
    plan = {"tape": plan_tape, "native": plan_native}[name]
    return build(plan(find_cxx(), source_root()), output, objects_folder())


def build_loop(text: str, name: str, level: str) -> Path:
    """A loop for the CPU by itself, in the cache, compiled if it is not there yet. Raises
    BuildError."""
    return built(plan_loop(kept_text(f"{name}.cpp", text.encode()), level))


def _build_into_cache(plan: Plan) -> Path:
    path = cached_path(plan)
    own_folder(path.parent)
    build(plan, path, objects_folder())
    _forget_unused(cache_folder())
    return path


def kept_text(name: str, content: bytes) -> Path:
    """A file of the cache with this content, written if it is not there yet."""
    path = objects_folder() / name
    if not is_ours(path) or path.read_bytes() != content:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path


def objects_folder() -> Path:
    """Where the cache keeps what is compiled, which nobody else may change."""
    folder = cache_folder() / "objects"
    own_folder(folder)
    return folder


@lru_cache  # once a process: to look at thousands of files takes a quarter of a small compilation
def _forget_unused(folder: Path) -> None:
    now = time.time()
    for file in (*folder.glob("objects/*"), *folder.glob(f"*/*{EXTENSION_SUFFIX}")):
        days = HEADER_DAYS if file.suffix == ".gch" else CACHE_DAYS
        try:
            if now - file.stat().st_mtime > days * 24 * 3600:
                file.unlink()
        except OSError:
            pass  # another process was faster, or the file is not ours to delete
