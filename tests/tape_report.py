"""What random programs leave on the tape, in words: the same, whether the tape runs in C or in
Python. ``python tests/tape_report.py FILE`` reports on the programs in a file, for another process.
"""

from __future__ import annotations

import json
import pickle
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
from fuzz_ops import OPERATIONS

import tapegrad as tg
from tapegrad.core.fields import serials
from tapegrad.core.tensor import Leaf


def digest(array: Any) -> str:
    # (Along a dimension of size 1 NumPy leaves any stride.)
    strides = [step for step, size in zip(array.strides, array.shape, strict=True) if size != 1]
    return f"{array.dtype} {array.shape} {strides} " + sha256(array.tobytes()).hexdigest()[:12]


def kept(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(kept, value))})"
    if isinstance(value, tg.Tensor):
        return f"Tensor {kept(value._array)}"
    return digest(value) if isinstance(value, np.ndarray) else repr(value)


def told_of(tensor: tg.Tensor, tensors: list, start: int) -> str:
    """Its numbers, its memory, and its node."""
    base = next((i for i, t in enumerate(tensors) if t is tensor._base), tensor._base is None)
    words = [digest(tensor._array), f"version {tensor._version}", f"base {base}"]
    words.append(f"aliased {tensor._aliased}, requires_grad {tensor.requires_grad}")
    node = tensor._node
    if node is not None and type(node) is not Leaf:
        edges = [e if e is None else e.name() for e in node.edges]
        words += [f"{node.name()} at {node.serial - start}", f"{edges} {node.shape} {node.dtype}"]
        words += [f"saved {kept(node.saved)}", f"inputs {kept(node.inputs)}"]
    return "; ".join(words)


def report(steps: list[fuzz.Step]) -> list[str]:
    """A line for each step, and for each gradient."""
    tensors: list[Any] = []
    leaves: list[Any] = []
    lines: list[str] = []
    start = next(serials)
    for step in steps:
        try:
            if step.name == "leaf":
                leaf, result = fuzz.make_leaf(tg, step.arguments)
                leaves.append(leaf)
            else:
                given = [tensors[i] for i in step.operands]
                result = OPERATIONS[step.name].run(tg, given, step.arguments)
        except Exception as error:
            lines.append(f"{step.name}: {type(error).__name__}: {error}")
            continue
        if step.name != "leaf" and OPERATIONS[step.name].writes:
            lines += [f"{step.name}: {told_of(t, tensors, start)}" for t in tensors]
        else:
            tensors.append(result)
            lines.append(f"{step.name}: {told_of(result, tensors, start)}")
    try:
        sum(t.double().sum() for t in tensors).backward()
    except Exception as error:
        lines.append(f"backward: {type(error).__name__}: {error}")
    return [*lines, *("no .grad" if x.grad is None else digest(x.grad._array) for x in leaves)]


if __name__ == "__main__":
    print(json.dumps([report(steps) for steps in pickle.loads(Path(sys.argv[1]).read_bytes())]))
