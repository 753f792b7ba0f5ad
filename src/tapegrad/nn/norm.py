"""Normalisation over batches, channels, groups and last dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

from tapegrad.core import dtypes
from tapegrad.core.modes import no_grad
from tapegrad.core.quiet import noisy, quiet
from tapegrad.core.tensor import Tensor
from tapegrad.distributed.groups import get_world_size, is_initialized
from tapegrad.distributed.nn.functional import all_reduce
from tapegrad.ops.creation.create import ones, zeros
from tapegrad.ops.layers.norm import batch_norm_counted
from tapegrad.ops.movement.cat import cat

from . import functional as F
from . import init
from .layer import FunctionLayer, check_kinds
from .module import Module
from .parameter import Parameter


class _Affine(Module):
    """A weight that starts with ones and a bias that starts with zeros, as far as there are any."""

    weight: Parameter | None
    bias: Parameter | None

    def _affine(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any
    ) -> None:
        for name, wanted, start in (("weight", weight, ones), ("bias", bias, zeros)):
            made = Parameter(start(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, made)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _NormBase(_Affine):
    """Normalises each of ``num_features`` channels, and can remember its statistics in
    running_mean and running_var, which evaluation uses."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    shapes: ClassVar[dict[int, str]]  # what the input may look like, by number of dimensions
    _version = 2  # the first one had no num_batches_tracked
    _shown = "num_features, eps=, momentum=, affine=, bias=, track_running_stats="

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._affine((num_features,), affine, affine and bias, device, dtype)
        mean = variance = batches = None
        if track_running_stats:
            mean = zeros(num_features, device=device, dtype=dtype)
            variance = ones(num_features, device=device, dtype=dtype)
            batches = zeros((), device=device, dtype=dtypes.int64)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.register_buffer("num_batches_tracked", batches)

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1."""
        if self.running_mean is not None:
            self.running_mean.zero_()
        if self.running_var is not None:
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    def _channels_at(self, input: Tensor) -> int:
        """The dimension of the channels."""
        return 1

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *lists: Any
    ) -> None:
        counter = prefix + "num_batches_tracked"
        if (local_metadata.get("version") or 1) < 2 and self.num_batches_tracked is not None:
            state_dict.setdefault(counter, self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *lists)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.shapes:
            raise ValueError(
                f"{type(self).__name__} expects an input of shape "
                f"{' or '.join(self.shapes.values())}, got {tuple(input.shape)}"
            )


class _BatchNorm(_NormBase):
    """Training uses the batch's own statistics and averages them into running_mean and running_var
    (``momentum=None``: a plain average over all batches); evaluation uses those."""

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        counter = self.num_batches_tracked if self.training else None
        own = self.training or self.running_mean is None
        normalize = quiet(batch_norm_counted) if noisy() else batch_norm_counted
        return normalize(
            input,
            (self.running_mean, self.running_var, counter),
            self.weight,
            self.bias,
            own,
            self.momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Normalises each channel of (N, C) or (N, C, L) over the batch and the length; see
    ``BatchNorm2d``."""

    shapes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias for each channel of (N, C, H, W), over
    batch and image (Ioffe & Szegedy 2015).

    Training uses the batch's own mean and variance, and moves running_mean and running_var towards
    them by ``momentum`` (None: their plain average over all batches); evaluation uses those, unless
    ``track_running_stats=False``. Raises ValueError for other dimensions, and in training for one
    value per channel.
    """

    shapes: ClassVar = {4: "(N, C, H, W)"}


class BatchNorm3d(_BatchNorm):
    """Normalises each channel of (N, C, D, H, W) over batch and volume; see ``BatchNorm2d``."""

    shapes: ClassVar = {5: "(N, C, D, H, W)"}


class SyncBatchNorm(_BatchNorm):
    """``BatchNorm1d`` to ``3d`` in one: normalises each channel of (N, C, ...), in training over
    the batches of all ranks of ``process_group`` (None: of all; without a group this process's).
    All of them call it equally often. Raises ValueError for fewer than two dimensions."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(
                f"SyncBatchNorm expects an input of shape (N, C, ...), got {tuple(input.shape)}"
            )

    def forward(self, input: Tensor) -> Tensor:
        own = self.training or self.running_mean is None
        alone = not is_initialized() or get_world_size(self.process_group) == 1
        if alone or not own:
            return super().forward(input)
        self._check(input)
        return self._over_ranks(input)

    def _over_ranks(self, input: Tensor) -> Tensor:
        """Normalise with the mean and variance of all ranks' inputs, in two sums over the ranks:
        one sum of squares would lose what the squares have in common with the mean's."""
        wide = input.to(dtypes.accumulator(input.dtype))
        dims = [d for d in range(input.ndim) if d != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        here = input.numel() // input.shape[1]
        total = all_reduce(
            cat([wide.sum(dims), wide.new_full((1,), here)]), group=self.process_group
        )
        count = total[-1].detach()
        mean = total[:-1] / count
        centered = wide - mean.reshape(shape)
        variance = all_reduce((centered * centered).sum(dims), group=self.process_group) / count
        if self.training and self.running_mean is not None and self.running_var is not None:
            unbiased = variance.detach() * (count / (count - 1))
            share = self._share()
            with no_grad():
                self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), share)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        y = centered * (variance + self.eps).rsqrt().reshape(shape)
        if self.weight is not None:
            y = y * self.weight.reshape(shape)
        if self.bias is not None:
            y = y + self.bias.reshape(shape)
        return y.to(input.dtype)

    def _share(self) -> float:
        """Of a batch in the running statistics."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with SyncBatchNorm in place of each BatchNorm in it, of the same parameters
        and buffers."""
        result = module
        if isinstance(module, _BatchNorm):
            result = cls.__new__(cls)
            result.__dict__.update(copy(module).__dict__)
            result.process_group = process_group
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


class _InstanceNorm(_NormBase):
    """Uses each sample's own statistics; if it tracks them, only while training."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _channels_at(self, input: Tensor) -> int:
        return 0 if input.ndim == min(self.shapes) else 1

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        unbatched = self._channels_at(input) == 0
        x = input.unsqueeze(0) if unbatched else input
        if x.shape[1] != self.num_features:
            message = (
                f"{type(self).__name__}: the input {tuple(input.shape)} has {x.shape[1]} channels, "
                f"num_features is {self.num_features}"
            )
            if self.affine:
                raise ValueError(message)
            warnings.warn(f"{message}, which affine=False does not use", stacklevel=2)
        own = self.training or not self.track_running_stats
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.squeeze(0) if unbatched else y


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample of (N, C, L) or (C, L); see ``InstanceNorm2d``."""

    shapes: ClassVar = {2: "(C, L)", 3: "(N, C, L)"}


class InstanceNorm2d(_InstanceNorm):
    """(x - mean) / sqrt(variance + eps) for each channel of each sample of (N, C, H, W) or (C, H,
    W) (Ulyanov et al. 2016); with ``affine``, times a weight plus a bias for each channel.

    With ``track_running_stats`` evaluation uses running averages, as ``BatchNorm2d`` does. Raises
    ValueError for other dimensions, and with ``affine`` for another number of channels than
    ``num_features``; without, that is a warning.
    """

    shapes: ClassVar = {3: "(C, H, W)", 4: "(N, C, H, W)"}


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each sample of (N, C, D, H, W) or (C, D, H, W); see
    ``InstanceNorm2d``."""

    shapes: ClassVar = {4: "(C, D, H, W)", 5: "(N, C, D, H, W)"}


class GroupNorm(_Affine):
    """(x - mean) / sqrt(variance + eps) over ``num_groups`` groups of channels of (N, C, ...); then
    a weight and a bias for each channel (Wu & He 2018). Raises ValueError unless num_groups divides
    num_channels."""

    _shown = "num_groups, num_channels, eps=, affine=, bias="

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._affine((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class LocalResponseNorm(FunctionLayer, function=F.local_response_norm):
    """x / (k + alpha * mean of the squares of ``size`` neighbouring channels)^beta, for (N, C, ...)
    of at least 3 dimensions (Krizhevsky et al. 2012)."""

    _shown = "size, alpha=, beta=, k="

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self._take(locals())


class CrossMapLRN2d(LocalResponseNorm):
    """``LocalResponseNorm`` of images (N, C, H, W), over as many neighbours before a channel as
    after it: ``size`` of them if that is odd, else one less. ValueError for other dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ValueError(
                f"CrossMapLRN2d expects an input of shape (N, C, H, W), got {tuple(input.shape)}"
            )
        window = self.size - 1 + self.size % 2
        alpha = self.alpha * window / self.size
        return F.local_response_norm(input, window, alpha, self.beta, self.k)


class LayerNorm(_Affine):
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions, whose sizes are
    ``normalized_shape``, as are weight's and bias's (Ba et al. 2016). An input of other last sizes
    is a RuntimeError."""

    _shown = "normalized_shape, eps=, elementwise_affine=, bias="

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        with_bias = elementwise_affine and bias
        self._affine(self.normalized_shape, elementwise_affine, with_bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(FunctionLayer, function=F.rms_norm):
    """x / sqrt(mean(x²) + eps) * weight over the last dimensions, whose sizes are
    ``normalized_shape`` (Zhang & Sennrich 2019); no mean is subtracted.

    ``eps=None`` means the smallest step of the input's dtype.
    """

    weight: Parameter | None
    _options = ("normalized_shape", "weight", "eps")
    _shown = "normalized_shape, eps=, elementwise_affine="

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.normalized_shape = shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        made = Parameter(ones(shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", made)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    one = not isinstance(normalized_shape, Sequence)
    return (normalized_shape,) if one else tuple(normalized_shape)  # type: ignore
