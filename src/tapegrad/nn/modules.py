"""``torch.nn.modules``: the layers at the addresses that PyTorch's files have,
``nn.modules.batchnorm.BatchNorm2d``, and the bases that scripts ask for there,
``nn.modules.batchnorm._BatchNorm``.

A file of PyTorch's is a pattern for the names of ``tapegrad.nn`` that are in it: what ``nn`` has,
they have.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import tapegrad.nn as nn
from tapegrad.ops.common.hints import UnknownName

from . import conv, dropout, hooks, loss, norm, pooling

__path__: list[str] = []  # for imports of the files, which are made here

_FILES = {
    "activation": "CELU|ELU|GELU|GLU|Hard(shrink|sigmoid|swish|tanh)|LeakyReLU|LogSigmoid"
    "|(Log)?Softmax(2d)?|Mish|MultiheadAttention|[PR]?ReLU6?|RReLU|SELU|SiLU|Sigmoid"
    "|Soft(min|plus|shrink|sign)|Tanh(shrink)?|Threshold",
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": r"(Lazy)?BatchNorm\dd|SyncBatchNorm",
    "channelshuffle": "ChannelShuffle",
    "container": "Container|Sequential|(Module|Parameter|Buffer)(List|Dict)",
    "conv": r"(Lazy)?Conv(Transpose)?\dd",
    "distance": "CosineSimilarity|PairwiseDistance",
    "dropout": r"\w*Dropout\w*",
    "flatten": "Flatten|Unflatten",
    "fold": "Fold|Unfold",
    "instancenorm": r"(Lazy)?InstanceNorm\dd",
    "lazy": "",
    "linear": "Bilinear|Identity|(Lazy)?Linear",
    "linear_cross_entropy_options": "LinearCrossEntropyOptions",
    "loss": r"\w+Loss(2d)?",
    "module": "Module",
    "normalization": "CrossMapLRN2d|GroupNorm|LayerNorm|LocalResponseNorm|RMSNorm",
    "padding": r"\w+Pad\dd",
    "pixelshuffle": "Pixel(Uns|S)huffle",
    "pooling": r"\w*(Pool|Unpool)\dd",
    "rnn": r"(RNN|LSTM|GRU)(Base|Cell|CellBase)?",
    "sparse": "Embedding(Bag)?",
    "transformer": r"Transformer\w*",
    "upsampling": r"Upsampl\w+",
    "utils": "",
}


_OWN = {file.name for file in iter_modules(nn.__path__)}  # this package's files


def _of_each(count: int) -> Callable[[Any], tuple]:
    def repeated(x: Any) -> tuple:
        return tuple(x) if hasattr(x, "__iter__") else (x,) * count

    return repeated


# What scripts take from the files besides layers.
_PRIVATE: dict[str, dict[str, Any]] = {
    "batchnorm": {"_BatchNorm": norm._BatchNorm, "_NormBase": norm._NormBase},
    "conv": {"_ConvNd": conv._ConvNd, "_ConvTransposeNd": conv._ConvTransposeNd},
    "dropout": {"_DropoutNd": dropout._DropoutNd},
    "instancenorm": {"_InstanceNorm": norm._InstanceNorm},
    "linear": {"NonDynamicallyQuantizableLinear": nn.Linear},
    "loss": {"_Loss": loss.Loss, "_WeightedLoss": loss.WeightedLoss},
    "module": {
        name: function
        for name, function in vars(hooks).items()
        if name.startswith("register_module_")
    },
    "pooling": {
        name: getattr(pooling, name)
        for name in ("_MaxPoolNd", "_AvgPoolNd", "_AdaptiveAvgPoolNd", "_AdaptiveMaxPoolNd")
    },
    "utils": {
        "_ntuple": lambda n, name="": _of_each(n),
        "_single": _of_each(1),
        "_pair": _of_each(2),
        "_triple": _of_each(3),
        "_quadruple": _of_each(4),
    },
}


def _file(name: str, pattern: str) -> ModuleType:
    full = f"{__name__}.{name}"
    names = [layer for layer in nn.__all__ if re.fullmatch(pattern, layer)]
    module = ModuleType(full, f"The layers of PyTorch's file nn/modules/{name}.py.")

    def find(asked: str) -> Any:
        """What else is in this package's own file of that name: module's hooks, for example."""
        if name in _OWN and asked[:2] != "__":
            own = import_module(f"tapegrad.nn.{name}")
            if hasattr(own, asked):
                return getattr(own, asked)
        raise UnknownName(f"module {full!r}", asked, lambda: names)

    module.__dict__.update({layer: getattr(nn, layer) for layer in names})
    module.__dict__.update(_PRIVATE.get(name, {}), __all__=names, __getattr__=find)
    sys.modules[full] = module
    return module


globals().update({name: _file(name, pattern) for name, pattern in _FILES.items()})
_LAYERS = {n: v for n, v in vars(nn).items() if n in nn.__all__ and isinstance(v, type)}
globals().update(_LAYERS)
__all__ = [*_LAYERS]


def __getattr__(name: str) -> Any:
    raise UnknownName(f"module {__name__!r}", name, lambda: [*_FILES, *_LAYERS])
