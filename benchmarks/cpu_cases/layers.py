"""Layers and functions at the sizes that networks have them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .case import Case, both_ways, integers, normal, there_and_back

IMAGES = (32, 64, 32, 32)

# The layer's class and arguments, and the shape of its input.
CONVOLUTIONS: dict[str, tuple[str, tuple, dict[str, Any], tuple[int, ...]]] = {
    "conv2d 3->64 3x3, 32x32": ("Conv2d", (3, 64, 3), {"padding": 1}, (32, 3, 32, 32)),
    "conv2d 64->64 3x3, 32x32": ("Conv2d", (64, 64, 3), {"padding": 1}, IMAGES),
    "conv2d 64->128 3x3 stride 2, 32x32": (
        *("Conv2d", (64, 128, 3)),
        *({"padding": 1, "stride": 2}, IMAGES),
    ),
    "conv2d 64->256 1x1, 16x16": ("Conv2d", (64, 256, 1), {}, (32, 64, 16, 16)),
    "conv2d 256->256 3x3, 8x8": ("Conv2d", (256, 256, 3), {"padding": 1}, (32, 256, 8, 8)),
    "conv2d 512->512 3x3, 4x4": ("Conv2d", (512, 512, 3), {"padding": 1}, (32, 512, 4, 4)),
    "conv2d 64->64 3x3 in 4 groups, 32x32": (
        *("Conv2d", (64, 64, 3)),
        *({"padding": 1, "groups": 4}, IMAGES),
    ),
    "conv2d depthwise 64 3x3, 32x32": (
        *("Conv2d", (64, 64, 3)),
        *({"padding": 1, "groups": 64}, IMAGES),
    ),
    "conv1d 64->64 5, length 256": ("Conv1d", (64, 64, 5), {"padding": 2}, (32, 64, 256)),
    "conv3d 8->16 3x3x3, 8x16x16": ("Conv3d", (8, 16, 3), {"padding": 1}, (8, 8, 8, 16, 16)),
    "conv_transpose2d 64->32 4x4 stride 2, 16x16": (
        *("ConvTranspose2d", (64, 32, 4)),
        *({"stride": 2, "padding": 1}, (32, 64, 16, 16)),
    ),
}
NORMS_AND_POOLS: dict[str, tuple[str, tuple, dict[str, Any], tuple[int, ...]]] = {
    "batch norm 64, 32x32": ("BatchNorm2d", (64,), {}, IMAGES),
    "group norm 8 of 64, 32x32": ("GroupNorm", (8, 64), {}, IMAGES),
    "instance norm 64, 32x32": ("InstanceNorm2d", (64,), {"affine": True}, IMAGES),
    "RMS norm 2048x384": ("RMSNorm", (384,), {}, (2048, 384)),
    "max pool 2x2, 64x32x32": ("MaxPool2d", (2,), {}, IMAGES),
    "max pool 3x3 stride 2, 64x32x32": ("MaxPool2d", (3, 2, 1), {}, IMAGES),
    "average pool 2x2, 64x32x32": ("AvgPool2d", (2,), {}, IMAGES),
    "adaptive average pool 1, 512x4x4": ("AdaptiveAvgPool2d", (1,), {}, (32, 512, 4, 4)),
    "layer norm 2048x384": ("LayerNorm", (384,), {}, (2048, 384)),
    "softmax 2048x1024": ("Softmax", (-1,), {}, (2048, 1024)),
    "GELU 2048x1536": ("GELU", (), {}, (2048, 1536)),
    "dropout 2048x384": ("Dropout", (0.1,), {}, (2048, 384)),
}


def of_layer(entry: tuple[str, tuple, dict[str, Any], tuple[int, ...]], lib: Any) -> tuple:
    name, arguments, options, shape = entry
    # The first layer of a network needs no gradient of its input.
    return getattr(lib.nn, name)(*arguments, **options), normal(lib, *shape, grad=shape[1] > 3)


def embedding(lib: Any) -> tuple:
    return lib.nn.Embedding(50257, 128), integers(lib, 50257, 32, 64)


def function(compute: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[Any], tuple]:
    """compute(lib, *tensors) as a layer, its inputs normal numbers with gradients."""

    def make(lib: Any) -> tuple:
        class Layer(lib.nn.Module):
            def forward(self, *tensors: Any) -> Any:
                return compute(lib, *tensors)

        return Layer(), *(normal(lib, *shape, grad=True) for shape in shapes)

    return make


def attention(causal: bool, lib: Any, q: Any, k: Any, v: Any) -> Any:
    return lib.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def cross_entropy(rows: int, classes: int, lib: Any) -> Any:
    targets = integers(lib, classes, rows)

    class Loss(lib.nn.Module):
        def forward(self, logits: Any) -> Any:
            return lib.nn.functional.cross_entropy(logits, targets)

    return there_and_back(lib, Loss(), normal(lib, rows, classes, grad=True))


def _layers() -> Iterator[Case]:
    for name, entry in {**CONVOLUTIONS, **NORMS_AND_POOLS}.items():
        yield from both_ways(name, partial(of_layer, entry), 1.0)
    yield from both_ways("embedding 50257x128, 32x64", embedding, 1.0)
    heads = [(8, 6, 256, 64)] * 3
    for name, causal in (("attention", False), ("causal attention", True)):
        made = function(partial(attention, causal), *heads)
        yield from both_ways(f"{name} 8x6x256x64", made, 1.0)
    for rows, classes in ((512, 1000), (2048, 50257)):
        make = partial(cross_entropy, rows, classes)
        yield Case(f"cross-entropy {rows}x{classes} fwd+bwd", make, 1.0)


CASES = list(_layers())
