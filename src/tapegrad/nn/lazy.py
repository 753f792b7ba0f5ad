"""Layers that learn the size of their input from the first one they are given."""

from __future__ import annotations

from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling

from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, _ConvNd
from .linear import Linear
from .module import Module
from .norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _NormBase,
)
from .parameter import Uninitialized, UninitializedBuffer, UninitializedParameter
from .sizes import Size


class LazyModuleMixin(Retelling):  # as Module is: else Python could not exchange their classes
    """Base, before ``Module``, of modules whose parameters get their shapes at the first call.

    A subclass begins with ``UninitializedParameter`` or ``UninitializedBuffer`` and defines
    ``initialize_parameters(*args, **kwargs)``, which is called with what the module is called with,
    before its hooks, and materializes them. The module then becomes one of ``cls_to_become``, if
    that is a class. RuntimeError where something is left uninitialized.
    """

    cls_to_become: ClassVar[type[Module] | None] = None
    _inferred = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._inferred:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        self._infer_parameters(self, args, kwargs)
        return self(*args, **kwargs)  # by now, perhaps, of another class

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give all parameters and buffers their shapes and first values, if they have none."""
        raise NotImplementedError(f"{type(self).__name__} does not define initialize_parameters()")

    def has_uninitialized_params(self) -> bool:
        """Whether parameters or buffers of this module have no shape yet."""
        return any(isinstance(value, Uninitialized) for value in self.__dict__.values())

    def _infer_parameters(self, module: Any, args: tuple, kwargs: dict | None = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(
                f"{type(module).__name__}: initialize_parameters() left parameters or buffers "
                "uninitialized"
            )
        if module.cls_to_become is None:
            module._inferred = True
        else:
            module.__class__ = module.cls_to_become


class _LazyLayer(LazyModuleMixin):
    """A layer that is made for an input of size 0, with its parameters and buffers put off."""

    _size: ClassVar[str]  # the attribute that is found out

    def _put_off(self, kind: type[Uninitialized], device: Any, dtype: Any, *names: str) -> None:
        for name in names:
            setattr(self, name, kind(device=device, dtype=dtype))  # type: ignore[call-arg]

    def _size_of(self, input: Tensor) -> int:
        """The size that an input asks for."""
        raise NotImplementedError

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Those of the parameters and buffers, by name."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take the size from the input, and begin as a layer made for it does; of what was loaded
        from a state_dict, only see that it fits. Raises RuntimeError if it does not."""
        size = self._size_of(input)
        own = {name: (getattr(self, name), shape) for name, shape in self._shapes(size).items()}
        put_off = {name for name, (tensor, _) in own.items() if isinstance(tensor, Uninitialized)}
        for name in own.keys() - put_off:
            tensor, shape = own[name]
            if tensor is not None and tuple(tensor.shape) != shape:
                raise RuntimeError(
                    f"{type(self).__name__}: the input {tuple(input.shape)} needs a {name} of "
                    f"shape {shape}, the one that was loaded has {tuple(tensor.shape)}"
                )
        setattr(self, self._size, size)
        for name in put_off:
            tensor, shape = own[name]
            tensor.materialize(shape)
        if put_off:
            self.reset_parameters()


class LazyLinear(_LazyLayer, Linear):
    """``Linear`` for as many features as its first input has."""

    cls_to_become = Linear
    _size = "in_features"

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, out_features, False, device, dtype)
        names = ("weight", "bias") if bias else ("weight",)
        self._put_off(UninitializedParameter, device, dtype, *names)

    def _size_of(self, input: Tensor) -> int:
        return input.shape[-1]

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, size), "bias": (self.out_features,)}


# ---------------------------------------------------------------------- convolutions


class _LazyConvNd(_LazyLayer, _ConvNd):
    _size = "in_channels"

    def _size_of(self, input: Tensor) -> int:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"{type(self).__name__} expects an input of {self.dims + 1} or {self.dims + 2} "
                f"dimensions, got {tuple(input.shape)}"
            )
        channels = input.shape[-1 - self.dims]
        self._check_groups(channels)
        return channels

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"weight": self._weight_shape(size), "bias": (self.out_channels,)}


class _LazyConvolution(_LazyConvNd):
    def __init__(
        self,
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
        super().__init__(  # type: ignore[call-arg]
            0,
            out_channels,
            *(kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype),
        )
        names = ("weight", "bias") if bias else ("weight",)
        self._put_off(UninitializedParameter, device, dtype, *names)


class LazyConv1d(_LazyConvolution, Conv1d):
    """``Conv1d`` for as many channels as its first input has."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvolution, Conv2d):
    """``Conv2d`` for as many channels as its first input has."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvolution, Conv3d):
    """``Conv3d`` for as many channels as its first input has."""

    cls_to_become = Conv3d


class _LazyConvTransposeNd(_LazyConvNd):
    def __init__(
        self,
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
        super().__init__(  # type: ignore[call-arg]
            0,
            out_channels,
            *(kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode),
            *(device, dtype),
        )
        names = ("weight", "bias") if bias else ("weight",)
        self._put_off(UninitializedParameter, device, dtype, *names)


class LazyConvTranspose1d(_LazyConvTransposeNd, ConvTranspose1d):
    """``ConvTranspose1d`` for as many channels as its first input has."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeNd, ConvTranspose2d):
    """``ConvTranspose2d`` for as many channels as its first input has."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeNd, ConvTranspose3d):
    """``ConvTranspose3d`` for as many channels as its first input has."""

    cls_to_become = ConvTranspose3d


# ---------------------------------------------------------------------- normalisations


class _LazyNorm(_LazyLayer, _NormBase):
    _size = "num_features"

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, track_running_stats, device, dtype, bias=False)
        self.affine = affine
        names = ("weight", "bias") if affine and bias else ("weight",) if affine else ()
        self._put_off(UninitializedParameter, device, dtype, *names)
        if track_running_stats:
            names = ("running_mean", "running_var")
            self._put_off(UninitializedBuffer, device, dtype, *names)

    def _size_of(self, input: Tensor) -> int:
        self._check(input)
        return input.shape[self._channels_at(input)]

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (size,))


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """``BatchNorm1d`` for as many channels as its first input has."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """``BatchNorm2d`` for as many channels as its first input has."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """``BatchNorm3d`` for as many channels as its first input has."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """``InstanceNorm1d`` for as many channels as its first input has; unlike it, with ``affine``
    and ``track_running_stats`` by default, as in PyTorch."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """``InstanceNorm2d`` for as many channels as its first input has; unlike it, with ``affine``
    and ``track_running_stats`` by default, as in PyTorch."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """``InstanceNorm3d`` for as many channels as its first input has; unlike it, with ``affine``
    and ``track_running_stats`` by default, as in PyTorch."""

    cls_to_become = InstanceNorm3d
