"""What is saved by ``torch.save`` and read again, in tests: a table, and the committed file of it,
for those without PyTorch. ``python tests/torch_table.py`` writes the file where PyTorch is."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "files" / "torch.pt"
DTYPES = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)


def states(torch):
    """What people save, by name."""
    base = torch.arange(12.0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    deep = torch.ones(1)
    for _ in range(90):
        deep = [deep]
    return {
        "module": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "training": {"model": model.state_dict(), "epoch": 3, "best": 0.5, "note": "é 語"},
        "dtypes": {d: torch.tensor([1, 0, 3]).to(getattr(torch, d)) for d in DTYPES},
        "shapes": [torch.tensor(3.5), torch.zeros(0, 3), torch.ones(1, 1, 1, 2), torch.tensor([])],
        "views": [base, base.view(3, 4).t(), base[2:5], base[::3], base[4], base[12:]],
        "expanded": torch.tensor([2.0]).expand(100, 100),
        "twice": [base, {"again": base}],
        "grad": torch.ones(2, requires_grad=True),
        "containers": {
            "list": [1, [2, ()]],
            "tuple": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
            "set": {1, "a", None},
            "empty": [{}, [], set(), OrderedDict()],
            (1, "key"): True,
            5: False,
            None: 0,
            0.5: 1,
        },
        "numbers": [0, 255, 65535, -1, 2**31, -(2**63), 10**40, 1.5, float("inf"), 2 - 3j, None],
        "types": [
            torch.Size([2, 3]),
            torch.Size([]),
            torch.float16,
            torch.bool,
            torch.device("cpu"),
            torch.device("cuda", 1),
        ],
        "long": list(range(3000)) + ["x" * 300],
        "many": {f"layer.{i}": torch.full((2,), float(i)) for i in range(300)},
        "deep": deep,
        "nothing": {},
    }


def small(library):
    """What the committed file holds."""
    base = library.arange(6.0)
    return {
        "base": base,
        "transposed": base.view(2, 3).t(),
        "halves": library.tensor([1, 0.5]).to(library.float16),
        "steps": library.tensor(7),
        "params": [{"lr": 0.1, "betas": (0.9, 0.999), "names": {"a"}}],
    }


def assert_same(found, wanted, tensor):
    """What was read is what the other library reads; ``tensor`` is that library's class."""
    if isinstance(wanted, tensor):
        assert found.dtype.name == str(wanted.dtype).rpartition(".")[2]
        assert tuple(found.shape) == tuple(wanted.shape)
        if wanted.numel():
            assert found.stride() == tuple(wanted.stride())
            assert found.storage_offset() == wanted.storage_offset()
        assert found.requires_grad == wanted.requires_grad
        assert found.is_leaf
        np.testing.assert_array_equal(found.tolist(), wanted.tolist())
    elif isinstance(wanted, dict):
        assert type(found) is type(wanted)
        assert list(found) == list(wanted)
        assert getattr(found, "_metadata", None) == getattr(wanted, "_metadata", None)
        for key in wanted:
            assert_same(found[key], wanted[key], tensor)
    elif isinstance(wanted, (list, tuple)):
        assert type(found).__name__ == type(wanted).__name__
        assert len(found) == len(wanted)
        for x, y in zip(found, wanted, strict=True):
            assert_same(x, y, tensor)
    elif type(wanted).__module__ == "torch":  # a dtype, a device
        assert str(found) == str(wanted).removeprefix("torch.")
    else:
        assert type(found) is type(wanted)
        assert found == wanted


if __name__ == "__main__":
    import torch

    FILE.parent.mkdir(exist_ok=True)
    torch.save(small(torch), FILE)
