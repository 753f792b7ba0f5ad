"""Write docs/operations.md: every public name by family, from ``ops/catalog.py`` and the modules.

    python tools/write_operations.py

``test_operations_page.py`` fails while the page is not what this script writes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import tapegrad as tg
from tapegrad.ops import methods
from tapegrad.ops.catalog import doors, in_place

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"

INTRODUCTION = """# What there is

<!-- Written by tools/write_operations.py. -->

The names and their arguments are PyTorch's; [differences.md](differences.md) lists what is not.
Operations that are a function and a method are written `exp`; `exp(_)` exists in place as well, as
the method `exp_`; `cat()` is a function only, `.view` a method only. These functions take `out=`,
and those with a `dim` NumPy's `axis` and `keepdims` as well. An editor lists the same names, with
their arguments: the package has type stubs.
"""

# The public modules besides ``tapegrad`` itself.
NAMESPACES = [
    "nn",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "linalg",
    "special",
    "masked",
    "signal.windows",
    "func",
    "autograd",
    "autograd.functional",
    "autograd.graph",
    "amp",
    "optim",
    "optim.lr_scheduler",
    "optim.swa_utils",
    "data",
    "checkpoint",
    "utils.checkpoint",
    "cuda",
    "bench",
]


def entries() -> dict[str, list[str]]:
    """The words for the operations of each family: its module, and how they may be called."""
    families: dict[str, list[str]] = {}
    for name in sorted({*doors["tg"], *doors["x"]}):
        operation = doors["tg"].get(name) or doors["x"][name]
        word = f".{name}" if name not in doors["tg"] else name
        if name not in doors["x"]:
            word += "()"
        elif f"{name}_" in in_place:
            word += "(_)"
        families.setdefault(operation.module, []).append(word)
    for name, operation in doors["property"].items():
        families.setdefault(operation.module, []).append(f".{name}")
    return families


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: ``__all__``, or else its own functions and classes."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = module.__name__
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == own
    )


def summary(module: ModuleType) -> str:
    """The first sentence of a module's docstring."""
    paragraph = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
    sentence, dot, _ = paragraph.partition(". ")
    return (sentence + dot).strip()


def names(words: list[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def page() -> str:
    """The whole page."""
    changing = sum(name.endswith("_") and name[:2] != "__" for name in dir(tg.Tensor))
    operators = {*doors["operator"], *doors["reflected"], *methods.INPLACE_OPERATORS}
    operators |= {"__eq__", "__ne__", *methods.OWN}
    lines = [
        INTRODUCTION,
        f"There are {len(doors['tg'])} functions, {len(doors['x'])} methods, and "
        f"{changing} methods that work in place.\n",
        "## Functions and methods\n",
    ]
    for module, words in sorted(entries().items()):
        lines += [
            f"**[{module}](../src/tapegrad/ops/{module.replace('.', '/')}.py)** "
            f"{summary(import_module(f'tapegrad.ops.{module}'))}\n",
            names(words) + "\n",
        ]
    own = [name for name in vars(tg.Tensor) if not name.startswith("_")]
    attached = {*doors["x"], *doors["property"]}
    own = sorted(n for n in own if n not in attached and n.removesuffix("_") not in attached)
    lines += [
        "## A tensor itself\n",
        "What a Tensor is and how it leaves tapegrad, and its place on the tape:\n",
        names([f".{name}" for name in own]) + "\n",
        "Operators:\n",
        names(sorted(operators)) + "\n",
        "In place, as functions of a tensor too:\n",
        names(sorted(f"{name}_" for name in doors["tg_"])) + "\n",
        "## Besides operations\n",
        names(sorted(_constants())) + "\n",
    ]
    for name in NAMESPACES:
        module = import_module(f"tapegrad.{name}")
        lines += [
            f"## tapegrad.{name}\n",
            summary(module) + "\n",
            names(public_names(module)) + "\n",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _constants() -> set[str]:
    """Public names of ``tapegrad`` that are neither operations nor modules."""
    return {
        name
        for name in dir(tg)
        if not name.startswith("_")
        and name not in doors["tg"]
        and name[:-1] not in doors["tg_"]
        and not isinstance(getattr(tg, name), ModuleType)
    }


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
