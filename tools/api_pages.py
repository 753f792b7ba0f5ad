"""The site's API reference: a page for each public module, from its docstrings, and no file of it
in the repository. mkdocs calls the functions that begin with ``on_`` (see tools/mkdocs.yml)."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from write_names import module
from write_operations import NAMESPACES, public_names

import tapegrad as tg
from tapegrad.ops.catalog import doors

BESIDES = ["data", "checkpoint", "distributions", "distributions.transforms", "utils"]
MODULES = sorted({*NAMESPACES, *BESIDES} - {"amp"}) + ["amp"]


def reference(home: str, name: str) -> str:
    """What makes the entry of a name: of its own module where the public one has a module, too,
    that is called so."""
    place = f"tapegrad.{home}".rstrip(".")
    value = getattr(module(home) if home else tg, name)
    if f"{place}.{name}" in sys.modules:
        place = value.__module__
    return f"::: {place}.{name}\n"


def pages() -> dict[str, str]:
    """The text of each page, by its name."""
    found = {
        "tensor": "# Tensor\n\nMethods that are functions, too, are on the page of these.\n\n"
        "::: tapegrad.Tensor\n",
        "functions": "# Functions\n\n" + "\n".join(reference("", n) for n in sorted(doors["tg"])),
    }
    for home in MODULES:
        names = public_names(module(home))
        if home == "nn.functional":
            names = [name for name in names if name not in doors["tg"]]
        listed = [reference(home, name) for name in names if callable(getattr(module(home), name))]
        introduction = f"# {home}\n\n{inspect.getdoc(module(home)) or ''}\n\n"
        found[home] = introduction + "\n".join(listed)
    return found


def unwrap(home: Any, names: list[str]) -> None:
    """The reference looks for functions where the innermost that they wrap was made: of these, the
    public one is meant, with the signature of the inner one."""
    for name in names:
        function = getattr(home, name)
        if hasattr(function, "__wrapped__"):
            function.__signature__ = inspect.signature(function)
            del function.__wrapped__


def on_config(config: Any) -> Any:
    unwrap(tg, sorted(doors["tg"]))
    unwrap(tg.Tensor, sorted({*doors["x"], *doors["x_"]} & set(dir(tg.Tensor))))
    for home in MODULES:
        unwrap(module(home), public_names(module(home)))
    config.nav.append({"API": [{name: f"api/{name}.md"} for name in pages()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    for name, text in pages().items():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files outside of the guide are their names only."""
    return re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", markdown)
