"""What was compiled before, and whose it is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .building import build
from .compilers import find_cxx, find_nvcc
from .files import is_ours, own_folder, refuse_foreign, replacing
from .kernel_plans import plan_cuda, plan_emulated
from .native_plans import plan_loop, plan_native, plan_tape
from .plans import CHECKED, EXTENSION_SUFFIX, Plan
from .sources import source_root

CACHE_DAYS = 30  # what nobody used for so long is deleted


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
    path = _build_into_cache(plan)
    _forget_unused(cache_folder())
    return path


def build_into_package(name: str) -> Path:
    """Compile "tape" or "native" into the package, as an editable installation does."""
    output = Path(__file__).resolve().parents[1] / f"_{name}{EXTENSION_SUFFIX}"
    plan = {"tape": plan_tape, "native": plan_native}[name]
    return build(plan(find_cxx(), source_root()), output, objects_folder())


def build_loop(text: str, name: str, level: str) -> Path:
    """A loop for the CPU by itself, in the cache, compiled if it is not there yet. Raises
    BuildError."""
    source = objects_folder() / f"{name}.cpp"
    if not is_ours(source) or source.read_text(encoding="utf-8") != text:
        with replacing(source) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return built(plan_loop(source, level))


def _build_into_cache(plan: Plan) -> Path:
    path = cached_path(plan)
    own_folder(path.parent)
    return build(plan, path, objects_folder())


def objects_folder() -> Path:
    """Where the cache keeps what is compiled, which nobody else may change."""
    folder = cache_folder() / "objects"
    own_folder(folder)
    return folder


def _forget_unused(folder: Path) -> None:
    oldest = time.time() - CACHE_DAYS * 24 * 3600
    for file in (*folder.glob("objects/*"), *folder.glob(f"*/*{EXTENSION_SUFFIX}")):
        try:
            if file.stat().st_mtime < oldest:
                file.unlink()
        except OSError:
            pass  # another process was faster, or the file is not ours to delete
