"""Maxima over windows at random positions, for output sizes that do not divide the input's
(Graham 2014, "Fractional max-pooling")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.dtypes import accumulator
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.conv.sliding_window import Sizes, for_dimensions, ints, with_batch
from tapegrad.ops.sampling.draws import rand

from .max_pool import at, largest_at


def _starts(xp: Any, samples: Any, n: int, out: int, kernel: int) -> Any:
    """Where the windows along one dimension start: (batch, channels, out). They are (n - kernel) /
    (out - 1) apart, rounded from a random offset on, and the last one ends with the input."""
    last = xp.full((*samples.shape, 1), n - kernel)
    if out == 1:
        return last
    step = samples.dtype.type((n - kernel) / (out - 1))
    positions = (samples[..., None] + xp.arange(out - 1, dtype=samples.dtype)) * step
    starts = positions.astype("int64") - (samples[..., None] * step).astype("int64")
    return xp.library.concatenate([starts.clip(0, n - kernel), last], axis=2)


def _sizes(op: str, dims: int, x: Tensor, output_size: Any, output_ratio: Any) -> Sizes:
    if output_size is None and output_ratio is None:
        raise ValueError(f"[{op}] needs output_size or output_ratio")
    if output_size is not None:
        return ints(op, "output_size", output_size, dims)
    ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
    if len(ratios) != dims or any(not 0 < r < 1 for r in ratios):
        raise ValueError(
            f"[{op}] output_ratio must be one number or {dims} between 0 and 1, got {output_ratio}"
        )
    scaled = tuple(int(n * r) for n, r in zip(x.shape[-dims:], ratios, strict=True))
    return ints(op, "output_size", scaled, dims)


def fractional_max_pool(op: str, dims: int) -> Callable:
    def fractional_max_pool(
        input: Tensor,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        """Maxima over randomly placed windows of {images}. input: (n, c, {size}) or (c, {size});
        the result has ``output_size`` or ``output_ratio`` times the input's. return_indices: and
        where they are in each flattened input. _random_samples: for each sample and channel, one
        number in 0..1 a dimension, which places the windows; those of samples beyond the
        batch are not looked at.

        Raises ValueError for neither size nor ratio, and ratios beyond 0..1, RuntimeError for
        windows that do not fit and for other _random_samples.
        """
        x, restore = with_batch(op, dims, input)
        kernel = ints(op, "kernel_size", kernel_size, dims)
        out = _sizes(op, dims, x, output_size, output_ratio)
        size, samples = tuple(x.shape[2:]), _random_samples
        fits = all(k + o - 1 <= n for k, o, n in zip(kernel, out, size, strict=True))
        if not fits or 0 in x.shape[1:]:
            raise RuntimeError(
                f"[{op}] kernel {kernel} and output size {out} do not fit an input of shape "
                f"{tuple(x.shape)}: kernel + output - 1 may be at most its size"
            )
        if samples is None:
            samples = rand(*x.shape[:2], dims, dtype=x.dtype, device=x.device)
        batch, rest = x.shape[0], (x.shape[1], dims)
        require_tensor(op, samples)
        fits = samples.ndim == 3 and samples.shape[0] >= batch and samples.shape[1:] == rest
        if not fits or samples.dtype != x.dtype:
            raise RuntimeError(
                f"[{op}] _random_samples must be {x.dtype.name} of shape {(batch, *rest)} (more in "
                "the first dimension are not looked at), "
                f"got {samples.dtype.name} of shape {tuple(samples.shape)}"
            )
        xp, elements = x._device.xp, []
        for i in range(dims):
            # The samples of images are (width, height), those of volumes (depth, height, width).
            given = samples._array[:batch, :, 1 - i if dims == 2 else i]
            given = given.astype(accumulator(given.dtype))
            starts = _starts(xp, given, size[i], out[i], kernel[i])
            elements.append(starts + xp.arange(kernel[i]).reshape(-1, 1, 1, 1))
        position = largest_at(x, elements=elements)
        return restore((at(x, position), position) if return_indices else at(x, position))

    return fractional_max_pool


fractional_max_pool2d, fractional_max_pool3d = for_dimensions(fractional_max_pool, 2, 3)
