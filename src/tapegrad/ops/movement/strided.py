"""Regions of memory by shape, strides and offset, and the gradients of reading and writing them.

A tensor's elements lie in memory by its *layout*: shape and strides (in elements), from offset 0.
A *region* is another shape, strides and offset over the same memory. Reading a region is linear in
the tensor, adding into one is its adjoint, and replacing one is what an in-place change of a view
does to the tensor it is a view of. Gradients have layouts of their own, so the rules lay them out
as the tensor was. (As PyTorch's as_strided_backward does: elements that share a position in memory
share its gradient evenly.)
"""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array, Region, address, layout_of, owner, region_of, window
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, sizes
from tapegrad.ops.common.ravel_index import last_written


class _Canvas:
    """Memory of its own, of zeros, that covers a layout and a region."""

    def __init__(self, xp: Any, dtype: Any, *regions: Region):
        extents = [r.extent for r in regions if 0 not in r.shape]
        self.start = min((low for low, _ in extents), default=0)
        end = max((high for _, high in extents), default=-1)
        self.xp, self.memory = xp, xp.zeros(end - self.start + 1, dtype=dtype)

    def at(self, region: Region) -> Any:
        """A view of the region's elements."""
        offset = 0 if 0 in region.shape else region.offset - self.start
        return window(self.memory, region.shape, region.strides, offset)

    def add(self, region: Region, values: Any) -> None:
        if region.overlaps_itself:
            self.xp.add_at(self.memory, self.positions(region), values.reshape(-1))
        else:
            self.at(region)[...] += values

    def share(self, layout: Region) -> None:
        """Divide each number by how many elements of the layout have its position."""
        if layout.overlaps_itself:
            xp, at = self.xp, self.positions(layout)
            count = xp.zeros(self.memory.size, dtype=self.memory.dtype)
            xp.add_at(count, at, xp.ones(at[0].size, dtype=count.dtype))
            self.memory /= xp.maximum(count, 1)

    def positions(self, region: Region) -> tuple:
        """The index of the region's elements in the memory."""
        every = self.xp.arange(self.memory.size)
        offset = region.offset - self.start
        return (window(every, region.shape, region.strides, offset).reshape(-1),)


def _lay_out(xp: Any, x: Array, layout: Region, region: Region) -> _Canvas:
    """x's elements in memory by ``layout``; where several share a position, their mean."""
    canvas = _Canvas(xp, x.dtype, layout, region)
    if layout.overlaps_itself:
        canvas.add(layout, x)
        canvas.share(layout)
    else:
        canvas.at(layout)[...] = x
    return canvas


def _part_rule(xp: Any, g: Array, region: Region, layout: Region) -> Any:
    return xp.strided_part(g, region=region, layout=layout)


def _replaced_rule(xp: Any, g: Array, region: Region, layout: Region) -> Any:
    return xp.strided_replace(g, 0.0, region=region, layout=layout)


@primitive(vjp=(_part_rule,))
def strided_sum(xp: Any, part: Array, *, region: Region, layout: Region) -> Array:
    canvas = _Canvas(xp, part.dtype, layout, region)
    canvas.add(region, part)
    canvas.share(layout)
    return xp.contiguous(canvas.at(layout))


@primitive(vjp="strided_sum")
def strided_part(xp: Any, x: Array, *, region: Region, layout: Region) -> Array:
    low, high = region.extent
    first, last = layout.extent
    if layout_of(x) == layout and first <= low and high <= last:  # it is there already
        return xp.contiguous(window(x, *region)).copy()
    return xp.contiguous(_lay_out(xp, x, layout, region).at(region))


@primitive(vjp="strided_last")
def strided_last(xp: Any, x: Array, *, region: Region) -> Array:
    """x, values for a region, with 0 for those that later ones write over."""
    canvas = _Canvas(xp, x.dtype, region)
    at = canvas.positions(region)[0].reshape(x.shape)
    return xp.where(last_written(xp.library, at, canvas.memory.size), x, 0.0)


def _written_rule(xp: Any, g: Array, region: Region, layout: Region) -> Any:
    part = xp.strided_part(g, region=region, layout=layout)
    return xp.strided_last(part, region=region) if region.overlaps_itself else part


@primitive(vjp=(_replaced_rule, _written_rule))
def strided_replace(xp: Any, x: Array, values: Array, *, region: Region, layout: Region) -> Array:
    canvas = _lay_out(xp, x, layout, region)
    if region.overlaps_itself and hasattr(values, "shape"):  # the last of several stays
        xp.store(canvas.memory, canvas.positions(region), values.reshape(-1))
    else:
        canvas.at(region)[...] = values
    return xp.contiguous(canvas.at(layout))


# ---------------------------------------------------------------------- in-place changes of views


# The values in memory are still the old ones: what these two return is wanted for its history.


@primitive(vjp=(_replaced_rule, "strided_part"))
def strided_written(xp: Any, x: Array, values: Array, *, region: Region, layout: Region) -> Array:
    return x


@primitive(view=True, vjp="strided_sum")
def strided_view(xp: Any, x: Array, *, region: Region, layout: Region) -> Array:
    return window(x, *region)


def record_region_write(base: Tensor, view: Tensor, values: Tensor) -> Tensor:
    """``base`` with ``values`` where ``view`` is."""
    region, layout = region_of(view._array, base._array), layout_of(base._array)
    return strided_written(base, values, region=region, layout=layout)


def record_region_read(base: Tensor, view: Tensor) -> Tensor:
    """What ``view`` shows, as a part of ``base``."""
    region, layout = region_of(view._array, base._array), layout_of(base._array)
    return strided_view(base, region=region, layout=layout)


# ---------------------------------------------------------------------- PyTorch's signatures


def storage_offset(x: Tensor) -> int:
    """How many elements of its memory lie before the tensor's first: an int."""
    memory = owner(x._array)
    return (address(x._array) - address(memory)) // x._array.itemsize


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the tensor's memory: element (i, j, ...) is the one at storage_offset (default:
    the tensor's own) + i * stride[0] + j * stride[1] + ... Raises RuntimeError for a region that
    reaches outside that memory, for negative numbers, and for other lengths of size and stride."""
    region = _region("as_strided", input, size, stride, storage_offset)
    return strided_view(input, region=region, layout=layout_of(input._array))


def as_strided_copy(
    input: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of what ``as_strided`` shows; raises what that does."""
    return as_strided(input, size, stride, storage_offset).clone()


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of ``input`` in which the elements that ``as_strided`` would show are ``src``,
    converted. Raises RuntimeError where src is not of shape ``size``, and what ``as_strided``
    does."""
    op = "as_strided_scatter"
    require_tensor(op, src)
    region = _region(op, input, size, stride, storage_offset)
    layout = layout_of(input._array)
    if tuple(src.shape) != region.shape:
        raise RuntimeError(
            f"[{op}] src has shape {tuple(src.shape)}, the region to replace {region.shape}"
        )
    return strided_replace(input, src.to(input.dtype), region=region, layout=layout)


def _region(op: str, x: Tensor, size: Any, stride: Any, offset: int | None) -> Region:
    """The region asked for, seen from the tensor's first element."""
    require_tensor(op, x)
    shape, strides = sizes(op, (size,)), sizes(op, (stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"[{op}] size {shape} and stride {strides} differ in length")
    if min((*shape, *strides), default=0) < 0:
        raise RuntimeError(f"[{op}] size {shape} and stride {strides} must not be negative")
    own = storage_offset(x)
    if offset is not None and offset < 0:
        raise RuntimeError(f"[{op}] storage_offset must not be negative, got {offset}")
    region = Region(shape, strides, 0 if offset is None else offset - own)
    _, last = region.extent
    held = layout_of(owner(x._array)).extent[1] + 1
    if math.prod(shape) and own + last >= held:
        raise RuntimeError(
            f"[{op}] size {shape}, stride {strides} and storage_offset "
            f"{own if offset is None else offset} reach element {own + last} of a memory of {held}"
        )
    return region
