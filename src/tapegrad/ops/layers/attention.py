"""Attention: scaled dot products, and the whole of a multi-head layer (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.conv.pad import pad
from tapegrad.ops.linalg.matmul import linear, transposed
from tapegrad.ops.movement.cat import cat
from tapegrad.ops.movement.shape import contiguous_tensor, transpose
from tapegrad.ops.pointwise.elementwise import where
from tapegrad.ops.reduction.reduce import mean
from tapegrad.ops.sampling.philox import current_generator

from .dropout import dropout
from .flash_attention import flash_attention, for_all_heads, has_kernel, weights_of


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + mask) value: (..., l, e), (..., s, e), (..., s, v) ->
    (..., l, v); scale is 1 / sqrt(e) by default.

    attn_mask: bool (True: may be looked at) or numbers to add, broadcast to (..., l, s).
    is_causal: position i looks at 0 to i. A query that may look at nothing gets 0. dropout_p drops
    weights. enable_gqa: each of fewer heads (dimension -3) of key and value serves several of
    query's. All of one floating dtype. In memory the result's dimensions are in the query's order.
    Raises RuntimeError for shapes and dtypes that do not go together, and for both attn_mask and
    is_causal.
    """
    op = "scaled_dot_product_attention"
    for x in (query, key, value):
        require_floating(op, x)
    shapes = [tuple(x.shape) for x in (query, key, value)]
    q, k, v = shapes
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            f"[{op}] query, key and value must have one dtype, got {query.dtype.name}, "
            f"{key.dtype.name} and {value.dtype.name}"
        )
    if min(map(len, shapes)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(
            f"[{op}] expects query (..., l, e), key (..., s, e) and value (..., s, v), got {q}, "
            f"{k} and {v}"
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"[{op}] takes attn_mask or is_causal, not both")
    if enable_gqa:
        _check_groups(op, q, k, v)
    how = (attn_mask, dropout_p, scale, is_causal)
    result = _attend(op, query, key, value, *how, groups=enable_gqa)
    array, order = result._array, query._array.strides
    if array.ndim < 3 or order[-3] >= order[-2] or array.swapaxes(-3, -2).flags.c_contiguous:
        return result
    # Heads were split off (..., l, heads, e): beside each other again, they are put together by
    # ``result.transpose(-3, -2).view(...)``, as in PyTorch.
    return transpose(contiguous_tensor(transpose(result, -3, -2)), -3, -2)


def _check_groups(op: str, query: tuple, *others: tuple) -> None:
    for shape in others:
        if len(shape) < 3 or len(query) < 3 or not shape[-3] or query[-3] % shape[-3]:
            raise RuntimeError(
                f"[{op}] enable_gqa needs heads in dimension -3, whose number in query is a "
                f"multiple of that in key and value, got {query} and {shape}"
            )


def _attend(
    op: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    p: float,
    scale: float | None,
    causal: bool = False,
    groups: bool = False,
) -> Tensor:
    """groups: each head of key and value serves several of query's."""
    alike = [query, key, value]
    if query._device.type != "cpu" and not groups:
        alike = _alike(op, *alike)
    if not has_kernel(*alike) or not 0 <= p < 1:
        return _attend_plainly(op, query, key, value, mask, p, scale, causal, groups)
    query, key, value = alike
    _check_mask(op, query, key, mask)
    number, offset = current_generator().next() if p else (0, 0)
    how = {"scale": _scale(query, scale), "causal": causal}
    return flash_attention(query, key, value, mask, **how, p=p, seed=number, offset=offset)


@compute_in_float32
def _attend_plainly(
    op: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    p: float,
    scale: float | None,
    causal: bool,
    groups: bool,
) -> Tensor:
    if groups:
        key, value = (for_all_heads(tensor_xp, x, query) for x in (key, value))
    query, key, value = _alike(op, query, key, value)
    if p:
        return _attend_and_show(op, query, key, value, mask, p, scale, causal)[0]
    _check_mask(op, query, key, mask)
    return _attention(query, key, value, mask, scale=_scale(query, scale), causal=causal)


@compute_in_float32
def _attend_and_show(
    op: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    p: float,
    scale: float | None = None,
    causal: bool = False,
) -> tuple[Tensor, Tensor]:
    """The result, and the weights that have made it."""
    _check_mask(op, query, key, mask)
    weights = weights_of(tensor_xp, query, key, mask, _scale(query, scale), causal)
    weights = dropout(weights, p) if p else weights
    return tensor_xp.matmul(weights, value), weights


def _scale(query: Tensor, scale: float | None) -> float:
    if scale is not None:
        return float(scale)
    return 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0


def _alike(op: str, *given: Tensor) -> list[Tensor]:
    """With leading dimensions that are broadcast to each other."""
    lead = [tuple(x.shape[:-2]) for x in given]
    if len(set(lead)) == 1:
        return [*given]
    try:
        common = np.broadcast_shapes(*lead)
    except ValueError as error:
        raise RuntimeError(
            f"[{op}] the leading dimensions of shapes "
            f"{', '.join(str(tuple(x.shape)) for x in given)} do not broadcast"
        ) from error
    return [x.expand((*common, *x.shape[-2:])) for x in given]


def _check_mask(op: str, query: Tensor, key: Tensor, mask: Tensor | None) -> None:
    if mask is None:
        return
    require_tensor(op, mask)
    if mask.dtype.kind != "b" and mask.dtype != query.dtype:
        raise RuntimeError(
            f"[{op}] attn_mask must be bool or {query.dtype.name}, as the query, got "
            f"{mask.dtype.name}"
        )
    shape, given = (*query.shape[:-1], key.shape[-2]), tuple(mask.shape)
    if len(given) > len(shape) or any(
        n not in (1, m) for n, m in zip(given[::-1], shape[::-1], strict=False)
    ):
        raise RuntimeError(
            f"[{op}] attn_mask of shape {given} does not broadcast to the scores' shape {shape}"
        )


# ---------------------------------------------------------------------- primitives


@array_function
def attention_backward(
    xp: Any,
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Any,
    weights: Any,
    ends: Any,
    *,
    scale: float,
    causal: bool,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of q, k, v and of a mask that is added."""
    if weights is None:
        weights = weights_of(xp, q, k, mask, scale, causal)
    slopes = xp.matmul(g, transposed(xp, v))
    slopes = xp.softmax_backward(slopes, weights, axis=weights.ndim - 1)
    return (
        xp.matmul(slopes, k) * scale if needs[0] else None,
        xp.matmul(transposed(xp, slopes), q * scale) if needs[1] else None,
        xp.matmul(transposed(xp, weights), g) if needs[2] else None,
        slopes if needs[3] else None,
    )


@primitive("attention", vjp_all="attention_backward", plain=True, extras=("weights", "ends"))
def _attention(
    xp: Any, q: Array, k: Array, v: Array, mask: Any, *, scale: float, causal: bool
) -> tuple:
    """softmax(q k^T * scale + mask) v, of equal leading dimensions. Kept for the rule: the weights,
    or, of loops that never have all of them, where each row ends: its largest score, and the sum of
    exp(score - that)."""
    weights = weights_of(xp, q, k, mask, scale, causal)
    return xp.matmul(weights, v), weights, None


# ---------------------------------------------------------------------- a whole layer


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """``nn.MultiheadAttention``'s computation, with its weights as arguments: query (l, n, e), key
    (s, n, ...) and value (s, n, ...), or all without n -> the result (l, n, e), and the attention
    weights (n, l, s), averaged over the heads or (n, heads, l, s); None without need_weights.

    in_proj_weight: the projections of query, key and value, one below the other; with
    use_separate_proj_weight, three matrices. bias_k, bias_v: a further key and value for all;
    add_zero_attn: one of zeros. Masks: True, or -inf, is not to be looked at; key_padding_mask
    (n, s), attn_mask (l, s) or (n * heads, l, s). is_causal only says that attn_mask is causal.
    Raises RuntimeError for shapes that do not go together, ValueError for weights that are missing.
    """
    op = "multi_head_attention_forward"
    batched = _check_inputs(op, query, key, value, key_padding_mask, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError(f"[{op}] is_causal says what attn_mask is: attn_mask must be given")
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, n, width = query.shape
    weights: Any
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        if in_proj_weight is None:
            raise ValueError(f"[{op}] needs in_proj_weight, or use_separate_proj_weight")
        weights = in_proj_weight.chunk(3)
    if any(w is None for w in weights):
        raise ValueError(f"[{op}] needs q_proj_weight, k_proj_weight and v_proj_weight")
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    q, k, v = (
        linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    if (bias_k is None) != (bias_v is None):
        raise ValueError(f"[{op}] takes bias_k and bias_v together or not at all")
    further = 0
    if bias_k is not None and bias_v is not None:
        k, v = (cat([x, b.expand((1, n, width))]) for x, b in ((k, bias_k), (v, bias_v)))
        further += 1
    heads = n * num_heads
    q, k, v = (x.reshape(len(x), heads, width // num_heads).transpose(0, 1) for x in (q, k, v))
    k = k if static_k is None else _static(op, "static_k", static_k, k)
    v = v if static_v is None else _static(op, "static_v", static_v, v)
    if add_zero_attn:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        further += 1
    mask = _joint_mask(op, q, k.shape[1], n, attn_mask, key_padding_mask, further)
    p = dropout_p if training else 0.0
    if need_weights:
        y, seen = _attend_and_show(op, q, k, v, mask, p)
    else:
        y = _attend(op, q, k, v, mask, p, None)
    y = linear(y.transpose(0, 1).reshape(length, n, width), out_proj_weight, out_proj_bias)
    y = y if batched else y.squeeze(1)
    if not need_weights:
        return y, None
    seen = seen.reshape(n, num_heads, length, seen.shape[-1])
    seen = mean(seen, 1) if average_attn_weights else seen
    return y, seen if batched else seen.squeeze(0)


def _check_inputs(
    op: str, query: Tensor, key: Tensor, value: Tensor, padding: Any, width: int, num_heads: int
) -> bool:
    """Whether there is a batch dimension."""
    for x in (query, key, value):
        require_floating(op, x)
    shapes = [tuple(x.shape) for x in (query, key, value)]
    q, k, v = shapes
    if len(q) not in (2, 3) or not len(q) == len(k) == len(v) or k[:-1] != v[:-1]:
        raise RuntimeError(
            f"[{op}] expects query (l, n, e), key (s, n, ...) and value (s, n, ...), or all "
            f"without n, got {q}, {k} and {v}"
        )
    if len(q) == 3 and q[1] != k[1]:
        raise RuntimeError(f"[{op}] query has batch size {q[1]}, key and value {k[1]}")
    if q[-1] != width or num_heads < 1 or width % num_heads:
        raise AssertionError(
            f"[{op}] query must have {width} features, a multiple of {num_heads} heads, got {q}"
        )
    wanted = (k[1], k[0]) if len(q) == 3 else (k[0],)
    if padding is not None and tuple(padding.shape) != wanted:
        raise AssertionError(
            f"[{op}] key_padding_mask must have shape {wanted}, got {tuple(padding.shape)}"
        )
    return len(q) == 3


def _static(op: str, name: str, given: Tensor, own: Tensor) -> Tensor:
    if given.shape[0] != own.shape[0] or given.shape[2] != own.shape[2]:
        raise RuntimeError(
            f"[{op}] {name} must have shape ({own.shape[0]}, s, {own.shape[2]}), got "
            f"{tuple(given.shape)}"
        )
    return given


def _joint_mask(
    op: str, q: Tensor, keys: int, n: int, mask: Any, padding: Any, further: int
) -> Tensor | None:
    """Both masks in one, as numbers to add to (n * heads, l, keys) scores; the ``further`` keys at
    the end can be seen by all."""
    heads, length, _ = q.shape
    if mask is not None:
        wanted = [(length, keys - further), (heads, length, keys - further)]
        if tuple(mask.shape) not in wanted:
            raise RuntimeError(
                f"[{op}] attn_mask must have shape {wanted[0]} or {wanted[1]}, got "
                f"{tuple(mask.shape)}"
            )
        mask = _widened(additive_mask(op, "attn_mask", mask, q), further)
    if padding is None:
        return mask
    padding = _widened(additive_mask(op, "key_padding_mask", padding, q), further)
    padding = padding.unsqueeze(1).unsqueeze(1).expand((n, heads // n, 1, keys))
    padding = padding.reshape(heads, 1, keys)
    return padding if mask is None else mask + padding


def _widened(mask: Any, further: int) -> Tensor:
    return pad(mask, (0, further)) if further else mask


def additive_mask(op: str, name: str, mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers of ``like``'s dtype that are added to scores: -inf where it is True. Raises
    AssertionError, as PyTorch does, for a mask of integers."""
    if mask is None:
        return None
    require_tensor(op, mask)
    if mask.dtype.kind == "b":
        zero = wrap(like._device.xp.zeros((), dtype=like.dtype), like._device)
        return where(mask, -math.inf, zero)
    if not mask.is_floating_point():
        raise AssertionError(
            f"[{op}] {name} must be bools or floats, got {mask.dtype.name} {tuple(mask.shape)}"
        )
    return mask.to(like.dtype)
