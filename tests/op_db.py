"""PyTorch's operator database (``op_db``) as an oracle: its entries, and its samples as ours.

``python tests/op_db.py`` lists the entries that tapegrad does not have.
"""

from __future__ import annotations

import builtins
import dataclasses
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import tapegrad as tg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch's, that packages for its own tests are missing
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo import core
    from torch.testing._internal.opinfo.core import OpInfo, SampleInput


def _seed(number: int = common_utils.SEED) -> None:
    torch.default_generator.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


# For each sample PyTorch looks for a TestCase, of which there are none here, in the source of every
# function on the stack, and writes the stack down three times, for the seeds of GPUs that may come:
# under pytest that takes longer than what is tested.
common_utils.extract_test_fn = core.extract_test_fn = lambda: None
common_utils.set_rng_seed = _seed

# Entries that are no part of a library of real, dense tensors, by name or by the start of it.
NOT_OURS = {
    "_": "internal",
    "torch.": "internal",
    "jiterator_": "compiles CUDA source at run time",
    "native_": "internal",
    "grid_sampler_": "internal; nn.functional.grid_sample",
    "max_pool2d_with_indices_backward": "internal",
    "constant_pad_nd": "internal; nn.functional.pad",
    "hash_tensor": "internal",
    "sparse.": "sparse tensors",
    "to_sparse": "sparse tensors",
    "fft.": "complex results",
    "stft": "complex results",
    "istft": "complex input",
    "cdouble": "complex",
    "cfloat": "complex",
    "chalf": "complex",
    "complex": "complex",
    "polar": "complex",
    "view_as_complex": "complex",
    "view_as_real": "complex",
    "imag": "complex",
    "linalg.eig": "complex results (linalg.eigh is ours)",
    "linalg.eigvals": "complex results (linalg.eigvalsh is ours)",
}
_WHOLE_NAMES = {"complex", "imag", "linalg.eig", "linalg.eigvals"}


# The database differentiates with respect to the first argument: here the table, not the indices.
TABLES = {"nn.functional.embedding", "nn.functional.embedding_bag"}


class Untranslatable(Exception):
    """A sample that uses what tapegrad does not have: complex numbers, memory formats."""


def is_ours(op: OpInfo) -> bool:
    """Whether the entry is one that tapegrad could have."""
    if op.name.startswith("__"):
        return True
    return not any(
        op.name == start if start in _WHOLE_NAMES else op.name.startswith(start)
        for start in NOT_OURS
    )


def label(op: OpInfo) -> str:
    return f"{op.name}/{op.variant_test_name}" if op.variant_test_name else op.name


ENTRIES: list[OpInfo] = [op for op in op_db if is_ours(op)]


def _table_first(function: Callable) -> Callable:
    return lambda weight, indices, **options: function(indices, weight, **options)


def _of_low_rank(function: Callable) -> Callable:
    return lambda a, b, **options: function(a @ b.mT, **options)


# Entries whose samples are the arguments of a function of the database's own around ours.
ADAPTED: dict[str, Callable] = {
    "einsum": lambda f: lambda tensors, equation: f(equation, tensors),
    "linalg.lstsq/grad_oriented": lambda f: lambda a, b, driver: f(a, b, driver=driver)[:2],
    "linalg.pinv/singular": _of_low_rank,
    "pca_lowrank": _of_low_rank,
    "svd_lowrank": _of_low_rank,
}


def _order_first(function: Callable) -> Callable:
    return lambda tensor, n: function(n, tensor)


def _on_a_copy(function: Callable) -> Callable:
    return lambda tensor, *args: function(tensor.clone(), *args)


def find(op: OpInfo) -> Callable | None:
    """tapegrad's function for an entry: the function of that name, else the method, which may
    exist in place only."""
    if op.variant_test_name == "in_place":
        return method(op.name + "_")
    if op.name.endswith("_") and not op.name.endswith("__") and "." not in op.name:
        found = method(op.name)
        return found and _on_a_copy(found)
    if op.name == "where":  # the entry's first argument is what the method belongs to
        return method(op.name)
    place: Any = tg
    for part in op.name.split("."):
        place = getattr(place, part, None)
        if place is None:
            break
    if callable(place) and not isinstance(place, np.dtype):
        if label(op) in ADAPTED:
            return ADAPTED[label(op)](place)
        if op.name.endswith("polygamma"):
            return _order_first(place)
        return _table_first(place) if op.name in TABLES else place
    return method(op.name) or method(op.name + "_")


def method(name: str) -> Callable | None:
    """The Tensor's method (or property, as a function) of that name."""
    found = getattr(tg.Tensor, name, None) if "." not in name else None
    if isinstance(found, property):
        return found.fget
    return found if callable(found) else None


PRESENT = [op for op in ENTRIES if find(op) is not None]
MISSING = [op for op in ENTRIES if find(op) is None]


def sample_dtypes(op: OpInfo) -> list[torch.dtype]:
    """Both floats and int64, as far as the entry takes them."""
    return [d for d in (torch.float64, torch.float32, torch.int64) if d in op.dtypes]


def samples(op: OpInfo, dtype: torch.dtype, requires_grad: bool = False) -> Iterator[SampleInput]:
    _seed(0)
    yield from op.sample_inputs("cpu", dtype, requires_grad=requires_grad)


class Translator:
    """Makes PyTorch's arguments ours; remembers which of our tensors stands for which of theirs."""

    def __init__(self, device: str = "cpu"):
        self.device = device
        self.pairs: dict[int, tuple[torch.Tensor, tg.Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in self.pairs:
                self.pairs[id(value)] = (value, self._tensor(value))
            return self.pairs[id(value)][1]
        if isinstance(value, torch.dtype):
            return self._dtype(value)
        if isinstance(value, torch.device):
            return self.device
        if isinstance(value, (torch.memory_format, torch.layout)):
            if value in (torch.contiguous_format, torch.preserve_format, torch.strided):
                return getattr(tg, str(value).removeprefix("torch."))
            raise Untranslatable(str(value))
        if isinstance(value, torch.nn.PairwiseDistance):
            return tg.nn.PairwiseDistance(value.norm, value.eps, value.keepdim)
        if isinstance(value, torch.nn.LinearCrossEntropyOptions):
            return tg.nn.LinearCrossEntropyOptions(*self(dataclasses.astuple(value)))
        if isinstance(value, complex):
            raise Untranslatable("complex number")
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, (tuple, list)):
            return type(value)([self(v) for v in value])
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        return value

    def leaves(self) -> tuple[list[torch.Tensor], list[tg.Tensor]]:
        """Their tensors that require grad, and ours."""
        asked = [(t, mine) for t, mine in self.pairs.values() if t.requires_grad]
        return [t for t, _ in asked], [mine for _, mine in asked]

    def _dtype(self, dtype: torch.dtype) -> Any:
        found = getattr(tg, str(dtype).removeprefix("torch."), None)
        if found is None:
            raise Untranslatable(str(dtype))
        return found

    def _tensor(self, t: torch.Tensor) -> tg.Tensor:
        self._dtype(t.dtype)
        if t.device.type != "cpu":
            raise Untranslatable(str(t.device))
        if t.layout != torch.strided:
            raise Untranslatable(str(t.layout))
        if t.ndim > 64:
            raise Untranslatable("NumPy's arrays have at most 64 dimensions")
        if t.dtype == torch.bfloat16:
            mine = tg.tensor(t.detach().float().numpy(), device=self.device).to(tg.bfloat16)
        elif self.device == "cpu":  # with its strides
            mine = tg.from_numpy(_with_its_memory(t))
        else:
            mine = tg.tensor(t.detach().numpy(), device=self.device)
        return mine.requires_grad_(t.requires_grad)


def _with_its_memory(t: torch.Tensor) -> np.ndarray:
    """The tensor's array as a view of all of its storage."""
    t = t.detach()
    size = t.untyped_storage().nbytes() // t.element_size()
    if t.is_contiguous() and t.numel() == size:
        return t.numpy()
    memory = t.as_strided((size,), (1,), 0).numpy()
    start, step = t.storage_offset() * t.element_size(), t.element_size()
    return np.ndarray(tuple(t.shape), memory.dtype, memory, start, [s * step for s in t.stride()])


def run_theirs(function: Callable, sample: SampleInput) -> Any:
    return function(sample.input, *sample.args, **sample.kwargs)


def run_ours(function: Callable, sample: SampleInput, translate: Translator) -> Any:
    return function(translate(sample.input), *translate(sample.args), **translate(sample.kwargs))


def flat(result: Any) -> list:
    """Everything in a result, in order: tensors, numbers, sizes."""
    if isinstance(result, (torch.Size, tg.Size)):
        return [builtins.tuple(result)]
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in flat(part)]
    return [result]


def numbers(t: Any) -> np.ndarray:
    """A tensor of either library as an array; bfloat16 as float32."""
    t = t.detach().cpu()
    t = t.float() if str(t.dtype).endswith("bfloat16") else t
    return t.numpy(force=True) if isinstance(t, torch.Tensor) else t.numpy()


def acceptable(expected: Any) -> tuple:
    """PyTorch's exception type; where that is RuntimeError, a more specific one too."""
    given = expected if isinstance(expected, tuple) else (expected,)
    return (*given, TypeError, ValueError, IndexError) if RuntimeError in given else given


def main() -> None:
    print(f"{len(PRESENT)} of {len(ENTRIES)} entries are present; missing:")
    for op in MISSING:
        print("  ", label(op))


if __name__ == "__main__":
    main()
