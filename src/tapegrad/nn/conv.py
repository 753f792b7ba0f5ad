"""Convolutions and their transposes over one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from . import init
from .layer import FunctionLayer
from .parameter import Parameter
from .sizes import Size, sizes
from .weights import add_parameter, start_uniform


class _ConvNd(FunctionLayer):
    """What convolutions and their transposes share: sizes, weight and bias."""

    transposed: ClassVar[bool] = False
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    output_padding: Any = 0
    dilation: tuple[int, ...]
    weight: Parameter
    bias: Parameter | None

    def _take(self, given: dict[str, Any]) -> None:
        bias, device, dtype = (given.pop(name) for name in ("bias", "device", "dtype"))
        super()._take(given)
        self._check_groups(self.in_channels)
        self._per_dimension("kernel_size", "stride", "dilation", "output_padding")
        if not isinstance(self.padding, str):
            self._per_dimension("padding")
        add_parameter(self, "weight", self._weight_shape(self.in_channels), device, dtype)
        add_parameter(self, "bias", (self.out_channels,) if bias else None, device, dtype)
        self.reset_parameters()

    def _check_groups(self, in_channels: int) -> None:
        groups = self.groups
        if groups < 1 or in_channels % groups or self.out_channels % groups:
            raise ValueError(
                f"{type(self).__name__}: groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={self.out_channels}"
            )

    def _weight_shape(self, in_channels: int) -> tuple[int, ...]:
        channels = (self.out_channels, in_channels)
        first, second = channels[::-1] if self.transposed else channels
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        start_uniform(self, init.fan_in_and_out(self.weight)[0])

    def extra_repr(self) -> str:
        usual = {
            "padding": (0,) * self.dims,
            "dilation": (1,) * self.dims,
            "output_padding": (0,) * self.dims,
            "groups": 1,
        }
        return ", ".join(
            [
                f"{self.in_channels}, {self.out_channels}",
                f"kernel_size={self.kernel_size}, stride={self.stride}",
                *(f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v),
                *(["bias=False"] if self.bias is None else []),
                *([f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []),
            ]
        )


class _Convolution(_ConvNd):
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
        self._take(locals())

    def _take(self, given: dict[str, Any]) -> None:
        layer, padding, mode = type(self).__name__, given["padding"], given["padding_mode"]
        if mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"{layer}: padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', not "
                f"{mode!r}"
            )
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{layer}: padding must be a size, 'same' or 'valid', not {padding!r}")
        if padding == "same" and set(sizes(layer, "stride", given["stride"], self.dims)) != {1}:
            raise ValueError(f"{layer}: padding='same' needs stride 1, not {given['stride']}")
        super()._take(given)

    def _border(self) -> list[int]:
        """The padding as F.pad takes it, (before, after) of the last dimension first."""
        widths: list[int] = []
        for i in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                widths += [total // 2, total - total // 2]
            else:
                widths += [0 if self.padding == "valid" else self.padding[i]] * 2
        return widths

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(input, type(self).function)

    def _convolved(self, input: Tensor, function: Callable) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Convolution, function=F.conv1d, dims=1):
    """Slides ``out_channels`` filters over sequences of shape (N, in_channels, width); see
    ``Conv2d``."""


class Conv2d(_Convolution, function=F.conv2d, dims=2):
    """Slides ``out_channels`` filters over images of shape (N, in_channels, height, width) or
    (in_channels, height, width); the weight is (out_channels, in_channels / groups, kh, kw).

    ``padding`` is a size or "valid" or "same" (output as large as the input; stride 1 only), filled
    by ``padding_mode``: "zeros", "reflect", "replicate" or "circular". Raises ValueError for other
    words, for sizes that are not one number or one a dimension, and for groups that do not divide
    the channels. Weight and bias start uniform within 1 / sqrt(elements of a filter).
    """


class Conv3d(_Convolution, function=F.conv3d, dims=3):
    """Slides ``out_channels`` filters over volumes of shape (N, in_channels, depth, height, width);
    see ``Conv2d``."""


class _ConvTransposeNd(_ConvNd):
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
        self._take(locals())

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
        return type(self).function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._more(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd, function=F.conv_transpose1d, dims=1):
    """The transpose of ``Conv1d``; see ``ConvTranspose2d``."""


class ConvTranspose2d(_ConvTransposeNd, function=F.conv_transpose2d, dims=2):
    """The transpose of ``Conv2d``: each element of an image (N, in_channels, height, width) adds
    its filter to the output.

    The weight is (in_channels, out_channels / groups, kh, kw). Several input sizes of a strided
    convolution have one output size; ``output_padding``, or ``output_size`` in the call, says which
    one comes back. Raises ValueError for a size that none of them is, and as ``Conv2d`` does.
    """


class ConvTranspose3d(_ConvTransposeNd, function=F.conv_transpose3d, dims=3):
    """The transpose of ``Conv3d``; see ``ConvTranspose2d``."""
