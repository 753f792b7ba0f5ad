"""Convolution over one, two or three dimensions, (batch, channels, ...), and its transpose, which
is the gradient of a convolution with respect to its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.common.precision import compute_in_float32

from .pad import constant_pad
from .primitives import convolution, convolution_input
from .sliding_window import Geometry, Sizes, Windows, for_dimensions, ints, outputs, with_batch


def _check(
    op: str,
    dims: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: Any,
    transposed: bool,
) -> None:
    same_dtype(op, x, weight, ("input", "weight"))
    if weight.ndim != dims + 2:
        order = "in, out / groups" if transposed else "out, in / groups"
        raise RuntimeError(
            f"[{op}] expects a weight ({order}, kernel sizes) of {dims + 2} dimensions, got shape "
            f"{tuple(weight.shape)}"
        )
    if not hasattr(groups, "__index__") or groups < 1:
        raise RuntimeError(f"[{op}] groups must be a positive int, got {groups!r}")
    channels = x.shape[-dims - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected or weight.shape[0] % groups or 0 in weight.shape[:1]:
        hint = ""
        if channels != expected == x.shape[-1]:
            hint = f". Are the channels last? input.movedim(-1, {-dims - 1}) moves them"
        raise RuntimeError(
            f"[{op}] input {tuple(x.shape)} has {channels} channels; weight "
            f"{tuple(weight.shape)} with groups={groups} expects {expected}, and its first size "
            f"must be a multiple of groups{hint}"
        )
    if 0 in weight.shape[2:] or (transposed and not weight.shape[1]):
        raise RuntimeError(f"[{op}] the weight must not be empty, got {tuple(weight.shape)}")
    if 0 in x.shape[-dims:]:
        raise RuntimeError(
            f"[{op}] only batch and channels may be empty, got an input of shape {tuple(x.shape)}"
        )
    if bias is not None:
        same_dtype(op, x, bias, ("input", "bias"))
        filters = weight.shape[1] * groups if transposed else weight.shape[0]
        if tuple(bias.shape) != (filters,):
            raise RuntimeError(
                f"[{op}] expected a bias of shape {(filters,)}, got {tuple(bias.shape)}"
            )


def _named_padding(
    op: str, x: Tensor, name: str, kernel: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[Tensor, Sizes]:
    if name not in ("valid", "same"):
        raise ValueError(f"[{op}] padding must be ints, 'valid' or 'same', got {name!r}")
    if name == "valid":
        return x, (0,) * len(kernel)
    if max(stride) > 1:
        raise RuntimeError(f"[{op}] padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(t % 2 for t in total):  # one more zero at the end
        x = constant_pad(x, widths=((0, 0), (0, 0), *((0, t % 2) for t in total)), value=0)
    return x, tuple(t // 2 for t in total)


def conv(op: str, dims: int, convolve: Callable = convolution) -> Callable:
    """convolve: what is made of the checked arguments, a primitive that takes what ``convolution``
    does."""

    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        """Cross-correlation of {images} with filters.

        input: (n, in, {size}) or (in, {size}); weight: (out, in / groups, {kernel}); bias: (out,)
        -> (n, out, {out}), ow = (w + 2 padding - dilation (kw - 1) - 1) // stride + 1.
        padding: ints, "valid" (none), or "same" (stride 1; an odd total pads one more at the end).
        Raises RuntimeError for shapes and dtypes that do not go together.
        """
        x, restore = with_batch(op, dims, input)
        _check(op, dims, x, weight, bias, groups, False)
        kernel = tuple(weight.shape[2:])
        stride, dilation = ints(op, "stride", stride, dims), ints(op, "dilation", dilation, dims)
        if isinstance(padding, str):
            x, padding = _named_padding(op, x, padding, kernel, stride, dilation)
        geometry = Geometry(stride, ints(op, "padding", padding, dims, least=0), dilation, groups)
        out = outputs(x.shape[2:], kernel, geometry)
        if min(out) < 1:
            raise RuntimeError(
                f"[{op}] the kernel {kernel} with dilation {dilation} is larger than the input "
                f"{tuple(x.shape[2:])} with padding {geometry.padding}"
            )
        return restore(convolve(x, weight, bias, out=out, geometry=geometry))

    return conv


conv1d, conv2d, conv3d = for_dimensions(conv, 1, 2, 3)
_conv_tbc = conv("conv_tbc", 1)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``conv1d`` with the dimensions in the order (time, batch, channels): input (w, n, in), weight
    (kw, in, out), bias (out,) -> (ow, n, out). Raises RuntimeError for other shapes."""
    for x in (input, weight):
        require_tensor("conv_tbc", x)
    if input.ndim != 3 or weight.ndim != 3:
        raise RuntimeError(
            f"[conv_tbc] expects an input (w, n, in) and a weight (kw, in, out), got "
            f"{tuple(input.shape)} and {tuple(weight.shape)}"
        )
    batches_first, filters_first = input.permute(1, 2, 0), weight.permute(2, 1, 0)
    return _conv_tbc(batches_first, filters_first, bias, padding=pad).permute(2, 0, 1)


def conv_transpose(op: str, dims: int) -> Callable:
    def conv_transpose(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Tensor:
        """The gradient of a convolution with respect to its {images}.

        input: (n, in, {size}) or (in, {size}); weight: (in, out / groups, {kernel}); bias: (out,)
        -> (n, out, {out}),
        ow = (w - 1) stride - 2 padding + dilation (kw - 1) + output_padding + 1.
        output_padding: more at the end, which the stride left out; less than stride or dilation.
        Raises RuntimeError for shapes and dtypes that do not go together. (Zeiler et al. 2010)
        """
        x, restore = with_batch(op, dims, input)
        _check(op, dims, x, weight, bias, groups, True)
        kernel = tuple(weight.shape[2:])
        stride, dilation = ints(op, "stride", stride, dims), ints(op, "dilation", dilation, dims)
        padding = ints(op, "padding", padding, dims, least=0)
        more = ints(op, "output_padding", output_padding, dims, least=0)
        if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
            raise RuntimeError(
                f"[{op}] output_padding {more} must be smaller than stride {stride} or dilation "
                f"{dilation}"
            )
        windows = map(Windows, x.shape[2:], kernel, stride, padding, dilation)
        size = tuple(w.reach - 2 * w.padding + m for w, m in zip(windows, more, strict=True))
        if min(size) < 1:
            raise RuntimeError(
                f"[{op}] padding {padding} leaves nothing of the output: its size would be {size}"
            )
        geometry = Geometry(stride, padding, dilation, groups)
        if bias is None:
            return restore(convolution_input(x, weight, size=size, geometry=geometry).contiguous())
        return restore(_with_bias(x, weight, bias, size, geometry))

    return conv_transpose


@compute_in_float32
def _with_bias(x: Tensor, weight: Tensor, bias: Tensor, size: Any, geometry: Geometry) -> Tensor:
    y = convolution_input(x, weight, size=size, geometry=geometry)
    return y + bias.reshape(-1, *(1,) * (y.ndim - 2))


conv_transpose1d, conv_transpose2d, conv_transpose3d = for_dimensions(conv_transpose, 1, 2, 3)
