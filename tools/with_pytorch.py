"""Run an example with PyTorch in tapegrad's place, for the score that its header names:
python tools/with_pytorch.py examples/vae.py

The examples use names of PyTorch's; of tapegrad's own, the digits, the folds and the metrics are
put beside them here. Random numbers are tapegrad's, too, so that both libraries begin with the same
weights and draw the same batches, masks and noise: what differs is the rounding. (Not covered: the
dropout between the layers of PyTorch's LSTM.)
"""

from __future__ import annotations

import runpy
import sys
import types
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import safetensors.torch
import torch

import tapegrad
from tapegrad.nn.functional import dropout as our_dropout

THE_SAME = "nn nn.functional nn.utils.rnn optim optim.swa_utils utils.data distributions"
_set_default_dtype = torch.set_default_dtype


def as_ours(value: Any) -> Any:
    """PyTorch's tensors and dtypes, also in lists, tuples and dicts, as tapegrad's."""
    if isinstance(value, torch.Tensor):
        return tapegrad.from_numpy(value.detach().numpy())
    if isinstance(value, torch.dtype):
        return getattr(tapegrad, str(value).removeprefix("torch."))
    if isinstance(value, dict):
        return {key: as_ours(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(as_ours(entry) for entry in value)
    return value


def as_theirs(value: Any) -> Any:
    """What a function of ours returns, as PyTorch's."""
    return torch.from_numpy(value.numpy()) if isinstance(value, tapegrad.Tensor) else value


def converting(function: Callable) -> Callable:
    """A function of ours, of PyTorch's tensors. It draws from the one generator there is."""

    def converted(*args: Any, generator: Any = None, device: Any = None, **options: Any) -> Any:
        if args and isinstance(args[0], torch.Size):
            args = (tuple(args[0]), *args[1:])
        return as_theirs(function(*as_ours(args), **as_ours(options)))

    return converted


def filling(name: str) -> Callable:
    """A method that fills a tensor with random numbers."""

    def method(self: Any, *args: Any, generator: Any = None, **options: Any) -> Any:
        ours = tapegrad.empty(tuple(self.shape), dtype=as_ours(self.dtype))
        getattr(ours, name)(*args, **options)
        with torch.no_grad():
            return self.copy_(as_theirs(ours))

    return method


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if not training or p == 0:
        return input
    ones = tapegrad.ones(tuple(input.shape), dtype=as_ours(input.dtype))
    return input * as_theirs(our_dropout(ones, p))


def normal(mean: Any, std: Any, *args: Any, **options: Any) -> Any:
    if isinstance(mean, torch.Tensor):
        return mean + std * torch.randn(mean.shape)
    return converting(tapegrad.normal)(mean, std, *args, **options)


def order(sampler: Any) -> Iterator[int]:
    """The random order of our DataLoader. It draws from the one generator there is."""
    items = range(len(sampler.data_source))
    return iter(tapegrad.data.DataLoader(items, batch_size=None, shuffle=True))


def set_default_dtype(dtype: torch.dtype) -> None:
    _set_default_dtype(dtype)
    tapegrad.set_default_dtype(as_ours(dtype))


def draw_our_numbers() -> None:
    """Let PyTorch's random functions draw tapegrad's numbers."""
    for name in ("rand", "randn", "randint", "randperm", "multinomial", "bernoulli"):
        setattr(torch, name, converting(getattr(tapegrad, name)))
    for name in ("rand", "randn"):
        draw = getattr(torch, name)
        setattr(torch, f"{name}_like", lambda x, draw=draw, **_: draw(x.shape, dtype=x.dtype))
    for name in ("uniform_", "normal_", "bernoulli_", "exponential_"):
        setattr(torch.Tensor, name, filling(name))
    torch.normal, torch.manual_seed = normal, tapegrad.manual_seed
    torch.nn.functional.dropout = dropout
    torch.utils.data.RandomSampler.__iter__ = order
    torch.set_default_dtype = set_default_dtype


class Theirs(types.ModuleType):
    """PyTorch's module, with some names of ours."""

    def __init__(self, name: str, module: Any, **ours: Any) -> None:
        super().__init__(name)
        self.module = module
        vars(self).update(ours)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


class Converting:
    """A module of ours whose functions take PyTorch's tensors."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable:
        return converting(getattr(self._module, name))


def main(script: str, *arguments: str) -> None:
    digits = tuple(as_theirs(t) for t in tapegrad.data.digits())
    data = Theirs("tapegrad.data", torch.utils.data, digits=lambda: digits)
    data.k_fold = tapegrad.data.k_fold
    files = {"save": safetensors.torch.save_file, "load": safetensors.torch.load_file}
    metrics = Converting(tapegrad.metrics)
    modules = {
        "tapegrad": Theirs("tapegrad", torch, data=data, metrics=metrics, **files),
        "tapegrad.data": data,
    }
    for name in THE_SAME.split():
        modules[f"tapegrad.{name}"] = import_module(f"torch.{name}")
    draw_our_numbers()
    sys.modules.update(modules)
    sys.argv = [script, *arguments]
    print(f"with PyTorch {torch.__version__}")
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
