"""The files that the extensions are compiled from, and what tells whether they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


class BuildError(RuntimeError):
    """An extension cannot be built; the message says why and what would help."""


class CompilerError(BuildError):
    """A compiler refused; ``output`` is what it said."""

    def __init__(self, message: str, output: str):
        super().__init__(message)
        self.output = output


def source_root() -> Path:
    """The folder with kernels/ and csrc/: the checkout, or the copy in the installed package."""
    here = Path(__file__).resolve().parents[1]
    for root in (here.parents[1], here / "_sources"):
        if (root / "kernels" / "device.cuh").is_file() and (root / "csrc").is_dir():
            return root
    raise BuildError(
        f"the kernel sources are neither beside {here} nor in it; install tapegrad again"
    )


def source_files(root: Path) -> list[Path]:
    """Every file that an extension is made of, headers included."""
    suffixes = {".cu", ".cuh", ".h", ".cpp"}
    files = (*root.glob("kernels/**/*"), *root.glob("csrc/**/*"))
    return sorted(file for file in files if file.suffix in suffixes)


def tape_files(root: Path) -> list[Path]:
    return sorted(file for file in root.glob("csrc/tape/*") if file.suffix in {".h", ".cpp"})


def native_files(root: Path) -> list[Path]:
    """What ``_native`` is made of besides the kernels' headers that know nothing of CUDA."""
    return sorted(file for file in root.glob("csrc/native/**/*") if file.suffix in {".h", ".cpp"})


def kernel_files(root: Path) -> list[Path]:
    """What the extensions with kernels are made of."""
    others = {*tape_files(root), *native_files(root)}
    return [file for file in source_files(root) if file not in others]


def source_hash(root: Path) -> str:
    """Of what the extensions with kernels are made of."""
    return hash_files(root, kernel_files(root))


def headers_hash(root: Path) -> str:
    """Of what kernels may include, and of the emulator's files, which include each other."""
    return hash_files(
        root, (f for f in kernel_files(root) if f.suffix in (".h", ".cuh") or _is_emulators(f))
    )


def _is_emulators(file: Path) -> bool:
    return file.suffix == ".cpp" and "emulate" in file.parts


def hash_files(root: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()
