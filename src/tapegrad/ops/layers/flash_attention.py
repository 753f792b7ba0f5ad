"""Attention that makes no array of scores, by the package's own kernels (kernels/attention.cu), on
devices with tensor cores; and what it is in plain operations, for devices without kernels and for
gradients of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.devices import Device, bodies
from tapegrad.core.dtypes import accumulator
from tapegrad.core.kernels import has_tensor_cores, kernel, launch
from tapegrad.core.memory import Array, Region, has_values, owner, region_of, window
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.linalg.matmul import transposed
from tapegrad.ops.linalg.matmul_kernels import lies_in_packs, with_gaps
from tapegrad.ops.sampling.philox import Seed, start_of

MOST = 256  # the largest dimension of a head
# The smallest of float32: tensor cores cut what they add, and where that is little, the composition
# is nearer.
LEAST = 32


def served(q: Array, k: Array, v: Array) -> bool:
    """Whether there is a kernel for these: (batch, heads, queries, dim), or fewer leading
    dimensions, of floats of 16 bits, or of 32 bits where dim is 32 or more; ``heads`` may be a
    multiple of those of k and v."""
    dim = q.shape[-1]
    return (
        2 <= q.ndim <= 4
        and q.itemsize <= 4
        and (LEAST if q.itemsize == 4 else 1) <= dim == v.shape[-1] <= MOST
        and q.ndim == k.ndim
        and k.shape[:-1] == v.shape[:-1]
        and q.shape[:-3] == k.shape[:-3]
        and min(q.size, k.size) > 0
    )


def has_kernel(q: Tensor, k: Tensor, v: Tensor) -> bool:
    device = q._device
    return (
        device.type != "cpu" and served(q._array, k._array, v._array) and has_tensor_cores(device)
    )


# ---------------------------------------------------------------------- in plain operations


def for_all_heads(xp: Any, x: Any, q: Any) -> Any:
    """x with each head (dimension -3) repeated until there are as many as in q."""
    shape, heads = tuple(x.shape), q.shape[-3] if q.ndim > 2 else 1
    if len(shape) < 3 or shape[-3] == heads:
        return x
    times = heads // shape[-3]
    spread = xp.reshape(x, shape=(*shape[:-2], 1, *shape[-2:]))
    spread = xp.broadcast_to(spread, shape=(*shape[:-2], times, *shape[-2:]))
    return xp.reshape(spread, shape=(*shape[:-3], heads, *shape[-2:]))


def weights_of(xp: Any, q: Any, k: Any, mask: Any, scale: float, causal: bool) -> Any:
    """Of arrays or of Tensors. Rows in which all is masked are 0."""
    scores = xp.matmul(q * scale, transposed(xp, k))
    last = scores.ndim - 1
    if causal:
        mask = _earlier(xp, q, k)
    if mask is None:
        return xp.softmax(scores, axis=last)
    given = mask._array if isinstance(mask, Tensor) else mask
    if given.dtype.kind == "b":
        seen, scores = given, xp.where(mask, scores, -math.inf)
    else:
        seen, scores = given > -math.inf, scores + mask
    some = (seen if seen.ndim else seen.reshape(1)).any(axis=-1, keepdims=True)
    if has_values(some) and some.all():  # a GPU would be waited for
        return xp.softmax(scores, axis=last)
    alive = wrap(some, scores._device) if isinstance(scores, Tensor) else some
    # Softmax of what is -inf throughout would be nan, backward as well as forward.
    return xp.where(alive, xp.softmax(xp.where(alive, scores, 0.0), axis=last), 0.0)


def _earlier(xp: Any, q: Any, k: Any) -> Any:
    """(l, s): True where a key is not behind the query."""
    if isinstance(q, Tensor):
        return wrap(_earlier(q._device.xp, q._array, k._array), q._device)
    arange = xp.library.arange
    return arange(k.shape[-2]) <= arange(q.shape[-2])[:, None]


def _dropped(xp: Any, x: Any, p: float, seed: int, offset: int) -> Any:
    if not p:
        return x
    y = xp.dropout(x, p=p, seed=seed, offset=offset)
    return y if isinstance(x, Tensor) else y[0]


@compute_in_float32
def _composed(*inputs: Any, **parameters: Any) -> Tensor:
    """The body, on tensors."""
    return bodies["flash_attention"](tensor_xp, *inputs, **parameters)[0]


# ---------------------------------------------------------------------- primitives


@array_function
@in_float32
def flash_attention_backward(
    xp: Any,
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Any,
    result: Array,
    ends: Any,
    *,
    scale: float,
    causal: bool,
    p: float,
    seed: Seed,
    offset: int,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of q, k, v and of a mask that is added."""
    keys, values = for_all_heads(xp, k, q), for_all_heads(xp, v, q)
    weights = weights_of(xp, q, keys, mask, scale, causal)
    slopes = _dropped(xp, xp.matmul(g, transposed(xp, values)), p, seed, offset)
    slopes = xp.softmax_backward(slopes, weights, axis=weights.ndim - 1)
    weights = _dropped(xp, weights, p, seed, offset)
    dk = xp.matmul(transposed(xp, slopes), q * scale) if needs[1] else None
    dv = xp.matmul(transposed(xp, weights), g) if needs[2] else None
    return (
        xp.matmul(slopes, keys) * scale if needs[0] else None,
        _sum_of_heads(dk, k),
        _sum_of_heads(dv, v),
        slopes if needs[3] else None,
    )


def _sum_of_heads(gradient: Any, x: Any) -> Any:
    """What arrives at each head of x from all that it serves."""
    if gradient is None or gradient.shape == x.shape:
        return gradient
    return gradient.reshape(*x.shape[:-2], -1, *x.shape[-2:]).sum(axis=-3)


@primitive("flash_attention", vjp_all="flash_attention_backward", plain=_composed, extras=("ends",))
@in_float32
def flash_attention(
    xp: Any,
    q: Array,
    k: Array,
    v: Array,
    mask: Any,
    *,
    scale: float,
    causal: bool,
    p: float,
    seed: Seed,
    offset: int,
) -> tuple:
    """dropout(softmax(q k^T * scale + mask)) v; each head of k and v serves several of q. Kept for
    the rule, by kernels: where each row ends, its largest score, times log2(e), and the inverse of
    its sum of exp(score - that)."""
    weights = weights_of(xp, q, for_all_heads(xp, k, q), mask, scale, causal)
    weights = _dropped(xp, weights, p, seed, offset)
    return xp.matmul(weights, for_all_heads(xp, v, q)), None


# ---------------------------------------------------------------------- kernels


def _in_packs(device: Device, x: Array) -> Array:
    return x if lies_in_packs(x) else with_gaps(device, x)


def _steps(x: Array) -> list[int]:
    """Strides in elements, of four dimensions: 0 where there is one."""
    own = [s // x.itemsize if n > 1 else 0 for s, n in zip(x.strides, x.shape, strict=True)]
    return [0] * (4 - x.ndim) + own


def _strides(*arrays: Array | None) -> list[int]:
    """Of batch, head and row of each."""
    return [s for x in arrays for s in ([0, 0, 0] if x is None else _steps(x)[:3])]


def _masks(q: Array, mask: Any) -> tuple | None:
    """(bools, numbers, their four strides), one of them None; None for what kernels do not read."""
    if mask is None:
        return None, None, 0, 0, 0, 0
    if mask.dtype != q.dtype and mask.dtype.kind != "b":
        return None
    return (mask, None, *_steps(mask)) if mask.dtype.kind == "b" else (None, mask, *_steps(mask))


def _sizes(q: Array, k: Array) -> list[int]:
    """(batch, heads, heads of k, queries, keys, dim)"""
    batch, heads = ([1, 1] + [*q.shape[:-2]])[-2:]
    return [batch, heads, k.shape[-3] if k.ndim > 2 else 1, q.shape[-2], k.shape[-2], q.shape[-1]]


def _like(device: Device, x: Array) -> Array:
    """A new array, whose dimensions are in memory in the order of x's; where x is broadcast, which
    has none, in row-major order."""
    spread = any(s == 0 and n > 1 for s, n in zip(x.strides, x.shape, strict=True))
    return device.library.empty_like(x, order="C" if spread else "K")


def _like_all(device: Device, arrays: Sequence[Array]) -> list[Array]:
    """New arrays for the gradients of these: where they are the parts of one array, parts of one,
    too, so that it is that array's gradient without a copy."""
    whole = owner(arrays[0])
    places = [region_of(x, whole) for x in arrays]
    starts = sorted(place.offset for place in places)
    shape, strides, _ = places[0]
    apart = starts[1] - starts[0]
    together = Region((len(arrays), *shape), (apart, *strides), starts[0])
    if (
        whole.flags.c_contiguous
        and all(owner(x) is whole and x.dtype == whole.dtype for x in arrays)
        and all(place[:2] == (shape, strides) for place in places)
        and starts == [starts[0] + i * apart for i in range(len(arrays))]
        and not together.overlaps_itself
        and whole.size == together.extent[1] + 1 == math.prod(together.shape)
    ):
        memory = device.ops["empty"](whole.shape, whole.dtype)
        made = [window(memory, *place) for place in places]
        if all(map(lies_in_packs, made)):
            return made
    return [_like(device, x) for x in arrays]


@kernel("flash_attention", floats="q k v", contiguous="")
def _forward(
    device: Device,
    q: Array,
    k: Array,
    v: Array,
    mask: Any,
    *,
    scale: float,
    causal: bool,
    p: float,
    seed: Seed,
    offset: int,
) -> Any:
    masks = _masks(q, mask)
    if masks is None or not served(q, k, v) or not has_tensor_cores(device):
        return NotImplemented
    q, k, v = (_in_packs(device, x) for x in (q, k, v))
    o = _like(device, q)
    ends = device.ops["empty"]((*q.shape[:-1], 2), accumulator(q.dtype))
    lying = (*_sizes(q, k), *_strides(o, q, k, v), *masks[2:])
    start, seed = start_of(seed)
    numbers = (float(scale), causal, float(p), seed, offset)
    arrays = (o, ends, q, k, v, *masks[:2], start)
    launch(device, "attention_forward", q.dtype, *arrays, *lying, *numbers)
    return o, ends


@kernel("flash_attention_backward", floats="g q k v result", contiguous="ends")
def _backward(
    device: Device,
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Any,
    result: Array,
    ends: Any,
    *,
    scale: float,
    causal: bool,
    p: float,
    seed: Seed,
    offset: int,
    needs: tuple[bool, ...],
) -> Any:
    masks = _masks(q, mask)
    if masks is None or ends is None or needs[3]:  # a mask's gradient is that of the scores
        return NotImplemented
    g, q, k, v = (_in_packs(device, x) for x in (g, q, k, v))
    if all(needs[:3]):
        made = _like_all(device, (q, k, v))
    else:
        made = [_like(device, x) if n else None for x, n in zip((q, k, v), needs, strict=False)]
    if result.strides[-1] != result.itemsize:  # hooks may bring back what is saved in any order
        result = device.ops["contiguous"](result)
    deltas = device.ops["empty"](q.shape[:-1], ends.dtype)
    lying = (*_sizes(q, k), *_strides(*made, g, result, q, k, v), *masks[2:])
    start, seed = start_of(seed)
    numbers = (float(scale), causal, float(p), seed, offset)
    arrays = (*made, deltas, g, result, ends, q, k, v, *masks[:2], start)
    launch(device, "attention_backward", q.dtype, *arrays, *lying, *numbers)
    return (*made, None)
