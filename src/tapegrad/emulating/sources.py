"""The files of a program, rewritten into the cache: its own, and those that they include."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from tapegrad import _build

from .rewriting import no_aliases, rewrite

_INCLUDE = re.compile(r'^([ \t]*#[ \t]*include[ \t]*)(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)


def rewritten(file: Path, folders: Sequence[Path]) -> Path:
    """The file in C++, with what it includes from its own folder or ``folders``; what it includes
    from elsewhere is left to the compiler. Raises FileNotFoundError."""
    return _Rewriter(folders).file(file.resolve())


class _Rewriter:
    def __init__(self, folders: Sequence[Path]):
        self.folders = [folder.resolve() for folder in folders]
        self.known: dict[Path, Path | None] = {}
        self.aliases = no_aliases()
        self.own = _build.source_root() / "kernels" / "emulate" / "cuda" / "include"

    def file(self, path: Path) -> Path:
        self.known[path] = None  # one that includes itself again has a guard
        text = path.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("\ufeff")
        text = _INCLUDE.sub(lambda match: self._include(match, path), text)
        text = rewrite(text, self.aliases)
        name = str(path).replace("\\", "\\\\").replace('"', '\\"')
        text = f'#line 1 "{name}"\n{text}'
        content = text.encode(errors="surrogateescape")
        digest = hashlib.sha256(content).hexdigest()[:20]
        target = self.known[path] = _build.kept_text(f"{path.stem}-{digest}.cu", content)
        return target

    def _include(self, match: re.Match[str], includer: Path) -> str:
        quoted, angled = match[2], match[3]
        name = quoted or angled
        places = [*([includer.parent] if quoted else []), *self.folders]
        for path in (folder / name for folder in places):
            if path.is_file():
                path = path.resolve()
                target = self.known[path] if path in self.known else self.file(path)
                return f'{match[1]}"{target}"' if target else "//"
        # NVIDIA's headers of C++ have no suffix, by which the package knows its own files.
        own = self.own / f"cuda_{name.rpartition('/')[2]}.h"
        if name.startswith("cuda/") and own.is_file():
            return f'{match[1]}"{own}"'
        return match[0]
