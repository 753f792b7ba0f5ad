"""Convolutions and their transposes over one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import empty

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import Size, sizes


class _Filters(Module):
    """What convolutions and their transposes share: sizes, weight and bias."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        layer, dims = type(self).__name__, self.dims
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{layer}: groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={out_channels}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes(layer, "kernel_size", kernel_size, dims)
        self.stride = sizes(layer, "stride", stride, dims)
        self.padding: Any = (
            padding if isinstance(padding, str) else sizes(layer, "padding", padding, dims)
        )
        self.dilation = sizes(layer, "dilation", dilation, dims)
        self.output_padding = sizes(layer, "output_padding", output_padding, dims)
        self.groups = groups
        self.padding_mode = padding_mode
        first, second = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        fan_in, _ = init.fan_in_and_out(self.weight)
        bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0,) * self.dims:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.dims:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.dims:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Convolution(_Filters):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        layer = type(self).__name__
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"{layer}: padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', not "
                f"{padding_mode!r}"
            )
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{layer}: padding must be a size, 'same' or 'valid', not {padding!r}")
        if padding == "same" and set(sizes(layer, "stride", stride, self.dims)) != {1}:
            raise ValueError(f"{layer}: padding='same' needs stride 1, not {stride}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _border(self) -> list[int]:
        """The padding as F.pad takes it, (before, after) of the last dimension first."""
        widths: list[int] = []
        for i in reversed(range(self.dims)):
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                before = total // 2 if self.padding == "same" else 0
                widths += [before, total - before if self.padding == "same" else 0]
            else:
                widths += [self.padding[i]] * 2
        return widths

    def forward(self, input: Tensor) -> Tensor:
        convolve = getattr(F, f"conv{self.dims}d")
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Convolution):
    """Slides ``out_channels`` filters over sequences of shape (N, in_channels, width); see
    ``Conv2d``."""

    dims = 1


class Conv2d(_Convolution):
    """Slides ``out_channels`` filters over images of shape (N, in_channels, height, width).

    ``padding`` is a size or "valid" or "same" (output as large as the input; stride 1 only), filled
    by ``padding_mode``: "zeros", "reflect", "replicate" or "circular".
    """

    dims = 2


class Conv3d(_Convolution):
    """Slides ``out_channels`` filters over volumes of shape (N, in_channels, depth, height, width);
    see ``Conv2d``."""

    dims = 3


class _Transpose(_Filters):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(
                f"{type(self).__name__}: padding_mode must be 'zeros', not {padding_mode!r}"
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _more(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output_padding that gives the size asked for."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)
        if len(wanted) == input.ndim:
            wanted = wanted[-self.dims :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self.dims :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        if len(wanted) != self.dims or any(
            not 0 <= w - n < s for w, n, s in zip(wanted, least, self.stride, strict=True)
        ):
            most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
            raise ValueError(
                f"{type(self).__name__}: output_size {tuple(output_size)} must be {self.dims} "
                f"sizes between {least} and {most} for an input of shape {tuple(input.shape)}"
            )
        return tuple(w - n for w, n in zip(wanted, least, strict=True))

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        transpose = getattr(F, f"conv_transpose{self.dims}d")
        more = self._more(input, output_size)
        return transpose(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            more,
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_Transpose):
    """The transpose of ``Conv1d``; see ``ConvTranspose2d``."""

    dims = 1


class ConvTranspose2d(_Transpose):
    """The transpose of ``Conv2d``: each element of an image (N, in_channels, height, width) adds
    its filter to the output.

    Several input sizes of a strided convolution have one output size; ``output_padding``, or
    ``output_size`` in the call, says which one comes back.
    """

    dims = 2


class ConvTranspose3d(_Transpose):
    """The transpose of ``Conv3d``; see ``ConvTranspose2d``."""

    dims = 3
