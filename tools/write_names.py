"""Write docs/names.md: what a script that was written for PyTorch may name, and what each name does
here, from the modules themselves.

    python tools/write_names.py

``test_torch_names.py`` fails while the page is not what this script writes.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from write_operations import names, public_names

import tapegrad as tg
from tapegrad.nn import modules
from tapegrad.ops.catalog import doors
from tapegrad.ops.common import files as other_files
from tapegrad.ops.common import hints
from tapegrad.ops.movement import tensor_types

PAGE = Path(__file__).resolve().parents[1] / "docs" / "names.md"

INTRODUCTION = """# What a script may name

<!-- Written by tools/write_names.py. -->

A script that was written for PyTorch runs as it is with

    python -m tapegrad.run script.py arguments...

or with one line at its top, before PyTorch is imported:

    import tapegrad.torch_names; tapegrad.torch_names.install()

Then `import torch`, `from torch.utils.data import DataLoader` and all their like give tapegrad's
modules, which a line on stderr says; `torch.nn is tapegrad.nn`. `torch.__version__` is that of the
PyTorch whose names these are, with tapegrad's behind it. A name that is not here fails at its
import with what to use instead, or with the nearest names. Python processes that the script starts
by `spawn` are processes of their own, in which `import torch` is PyTorch.

Operations and methods are on [operations.md](operations.md); what differs on purpose is on
[differences.md](differences.md). This page has the names around them. What needs something that
there is none of raises NotImplementedError when it is called, never when it is imported.
"""

# Modules whose names do what PyTorch's do, and that are not on operations.md.
AS_IN_PYTORCH = ["nn.parameter", "utils.data", "testing", "random", "types"]
# Modules of which each name is told.
TOLD = ["cuda", "accelerator", "cpu", "backends", "storage", "utils.tensorboard", "utils.dlpack"]
STAND_INS = [
    "compiler",
    "jit",
    "_dynamo",
    "_inductor",
    "fx",
    "export",
    "onnx",
    "hub",
    "utils.model_zoo",
    "utils.cpp_extension",
    "utils.benchmark",
    "serialization",
    "profiler",
    "autograd.profiler",
    "cuda.graphs",
    "cuda.nvtx",
    "distributed",
    "nn.parallel",
    "__future__",
    "multiprocessing",
    "mps",
    "xpu",
]
TENSOR = [
    "new",
    "type",
    "resize_",
    "resize_as_",
    "set_",
    "storage",
    "untyped_storage",
    "storage_type",
    "pin_memory",
    "is_pinned",
    "share_memory_",
    "is_shared",
    "record_stream",
    "apply_",
    "map_",
    "is_cpu",
    "is_cuda",
    "is_conj",
    "is_neg",
    "is_inference",
    "is_same_size",
    "get_device",
]


def sentence(value: Any, paragraph: int = 0, which: int = 0) -> str:
    """A sentence, by default the first, of what is said of a module, class or function."""
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[paragraph].split())
    return re.split(r"(?<=[.)])\s(?=[A-Z(])", text)[which].replace("``", "`")


def module(name: str) -> Any:
    found: Any = tg
    for part in name.split("."):
        value = vars(found).get(part) or getattr(found, part, None)
        found = value or import_module(f"{found.__name__}.{part}")
    return found


def told(owner: Any, listed: list[str]) -> list[str]:
    """One line for each name, or for several of which the same is said."""
    lines: dict[str, list[str]] = {}
    for name in listed:
        value = inspect.getattr_static(owner, name, None) or getattr(owner, name)
        if isinstance(value, ModuleType) or hasattr(value, "stand_in"):
            continue
        if not inspect.getdoc(value) or inspect.getdoc(value) == inspect.getdoc(type(value)):
            value = getattr(owner, name)
        lines.setdefault(sentence(value), []).append(name)
    return [f"- {names(found)}: {text}" for text, found in lines.items()]


def stand_ins(home: ModuleType, listed: list[str]) -> list[str]:
    """Of a module's names those that stand where there is nothing to do, by what they do."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for name in listed:
        kind = getattr(getattr(home, name), "stand_in", None)
        if kind is not None:
            kinds.setdefault(tuple(kind), []).append(name)
    return [
        f"- {does[:1].upper()}{does[1:]} ({why}): {names(found)}"
        for (does, why), found in kinds.items()
    ]


def absent() -> list[str]:
    """PyTorch's names that are an AttributeError, and what it says."""
    lines = []
    for pattern, advice in hints._ABSENT.items():
        shown = re.sub(r"\\w[*+]", "*", pattern)
        whole = re.fullmatch(r"\(((?:[^()]|\([^()]*\))*)\)", shown)
        words = re.findall(r"(?:[^|()]|\([^()]*\))+", whole[1] if whole else shown)
        lines.append(f"- {names(words)}: {advice}.")
    return lines


def offered(home: ModuleType) -> list[str]:
    """The names of a module: ``__all__``, or what is its own of all that ``dir`` lists."""
    if hasattr(home, "__all__"):
        return public_names(home)
    own = []
    for name in dir(home):
        value = getattr(home, name)
        place = (
            value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        )
        if name[0] != "_" and str(place).startswith(home.__name__):
            own.append(name)
    return own


def page() -> str:
    """The whole page."""
    besides = [
        name
        for name in dir(tg)
        if name[0] != "_"
        and name not in doors["tg"]
        and name.removesuffix("_") not in doors["tg_"]
        and not isinstance(getattr(tg, name), ModuleType)
    ]
    classes = [name for name in besides if isinstance(getattr(tg, name), type(tg.FloatTensor))]
    values = (str, np.dtype, float, type(None), tg.Generator)
    plain = [n for n in besides if isinstance(getattr(tg, n), values) or n == "dtype"]
    functions = [n for n in besides if n not in (*plain, *classes, "Tensor")]
    never = sorted(n for n, v in vars(tg.Tensor).items() if v is False and n[0] != "_")
    lines = [
        INTRODUCTION,
        "## tapegrad\n",
        f"Dtypes, layouts, numbers and the generator: {names(plain)}\n",
        *told(tg, functions),
        *stand_ins(tg, functions),
        "\n## Tensors\n",
        f"- `Tensor`: {sentence(tg.Tensor.__init__)}",
        f"- {names(classes)}, and in `cuda` those of a GPU: {sentence(tensor_types, 1)} "
        f"{sentence(tensor_types, 1, 1)}",
        *told(tg.Tensor, TENSOR),
        f"- {names(never)}: always False.",
        "\n## As in PyTorch\n",
        "- All losses take `size_average=` and `reduce=` where PyTorch's do, and warn: say "
        "`reduction=`.",
        "- The modules on [operations.md](operations.md), of which `data` is `utils.data`, too, "
        "with its files `dataset`, `sampler` and `dataloader`.",
    ]
    for name in AS_IN_PYTORCH:
        lines.append(f"- **{name}**: {names(public_names(module(name)))}")
    files = [
        f"`{name}`"
        + (f" (also {names(sorted(own))})" if (own := modules._PRIVATE.get(name)) else "")
        for name in modules._FILES
    ]
    lines.append(
        "- **nn.attention**: `SDPBackend`, and `sdpa_kernel`, in which attention is computed as "
        "outside."
    )
    lines.append(f"- **nn.modules**, the classes of `nn` by PyTorch's files: {', '.join(files)}")
    for name in ("amp", "autograd", "cpu.amp", "cuda.amp", "optim", *TOLD, *STAND_INS):
        module(name)
    held = sorted(name.removeprefix("tapegrad.") for name in other_files.made)
    lines.append(
        f"- Names may be imported from PyTorch's files {names(held)}, too, and from those that "
        "have the same name here, as `nn.utils.rnn`."
    )
    for name in TOLD:
        home = module(name)
        listed = offered(home)
        lines += [f"\n## {name}\n", sentence(home) + "\n"]
        lines += [*told(home, listed), *stand_ins(home, listed)]
        for inner, part in vars(home).items():
            if isinstance(part, ModuleType) and part.__name__ == f"tapegrad.backends.{inner}":
                held = [n for n in vars(part) if n[0] != "_"]
                lines.append(f"- `{inner}`: {sentence(part)} {names(held)}")
    lines.append("\n## Stand-ins\n")
    for name in STAND_INS:
        home = module(name)
        lines += [f"**{name}**\n", *stand_ins(home, public_names(home)), ""]
    lines += [
        "## What is not here\n",
        "Asked for, these are an AttributeError that says what to use:\n",
        *absent(),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
