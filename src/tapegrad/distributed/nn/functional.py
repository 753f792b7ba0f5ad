"""Collectives that gradients flow through: each returns new tensors, and its gradient is the
collective that goes the other way. All ranks go backward through them in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.autograd.function import Function
from tapegrad.core.tensor import Tensor
from tapegrad.ops.movement.cat import cat

from .. import collectives
from ..groups import get_group_rank, group_of, world
from ..reductions import ReduceOp

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]


def _size(group: Any) -> int:
    own = group_of(group)
    if own is None:
        raise ValueError("[distributed.nn.functional] this rank is not in the group")
    return own.size()


def _is(rank: int, group: Any) -> bool:
    own = group_of(group) or world()
    return get_group_rank(own, rank) == own.rank()


def _new(like: Tensor, shape: Sequence[int] | None = None) -> Tensor:
    return like.new_empty(tuple(like.shape if shape is None else shape))


def _linear(name: str, op: ReduceOp) -> None:
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise NotImplementedError(
            f"[{name}] gradients flow through ReduceOp.SUM and AVG, not through {op.name}"
        )


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: ReduceOp, group: Any, tensor: Tensor) -> Tensor:
        ctx.op, ctx.group = op, group
        result = tensor.clone().contiguous()
        collectives.all_reduce(result, op, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grad)


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        result = tensor.clone().contiguous()
        collectives.broadcast(result, src, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        reduced = _Reduce.apply(ctx.src, ReduceOp.SUM, ctx.group, grad)
        return None, None, reduced if _is(ctx.src, ctx.group) else grad.new_zeros(grad.shape)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, op: ReduceOp, group: Any, tensor: Tensor) -> Tensor:
        ctx.dst, ctx.op, ctx.group = dst, op, group
        result = tensor.clone().contiguous()
        collectives.reduce(result, dst, op, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        whole = _Broadcast.apply(ctx.dst, ctx.group, grad)
        return None, None, None, whole / _size(ctx.group) if ctx.op is ReduceOp.AVG else whole


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        results = [_new(tensor) for _ in range(_size(group))]
        collectives.all_gather(results, tensor, group)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, _ReduceScatter.apply(ReduceOp.SUM, ctx.group, *grads)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, op: ReduceOp, group: Any, *tensors: Tensor) -> Tensor:
        ctx.op, ctx.group = op, group
        result = _new(tensors[0])
        collectives.reduce_scatter(result, [*tensors], op, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grads = _AllGather.apply(ctx.group, grad)
        if ctx.op is ReduceOp.AVG:
            grads = tuple([g / _size(ctx.group) for g in grads])
        return None, None, *grads


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, shapes: Any, group: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.shapes, ctx.group = [tuple(t.shape) for t in tensors], group
        results = [_new(tensors[0], shape) for shape in shapes]
        collectives.all_to_all(results, [*tensors], group)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, *_AllToAll.apply(ctx.shapes, ctx.group, *grads)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.dst, ctx.group = dst, group
        results = [tensor.new_zeros(tensor.shape) for _ in range(_size(group))]
        collectives.gather(tensor, results if _is(dst, group) else None, dst, group)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, _Scatter.apply(ctx.dst, ctx.group, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, *tensors: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        result = _new(tensors[0])
        collectives.scatter(result, [*tensors] if _is(src, group) else None, src, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, *_Gather.apply(ctx.src, ctx.group, grad)


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Tensor:
    """What the tensors of all ranks reduce to; the gradient is reduced likewise. Raises
    NotImplementedError for other operations than SUM and AVG."""
    _linear("all_reduce", op)
    return _AllReduce.apply(op, group, tensor)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of rank ``src``, which gets the sum of all gradients; the others' get zeros."""
    return _Broadcast.apply(src, group, tensor)


def reduce(tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Tensor:
    """On rank ``dst``, what the tensors of all ranks reduce to, elsewhere the tensor; all get the
    gradient of ``dst``. Raises NotImplementedError for other operations than SUM and AVG."""
    _linear("reduce", op)
    return _Reduce.apply(dst, op, group, tensor)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all ranks; each rank gets the sum of the gradients of its own."""
    return _AllGather.apply(group, tensor)


def reduce_scatter(
    output: Tensor | None,
    input_list: Sequence[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
) -> Tensor:
    """What all ranks' ``input_list[rank]`` reduce to. (``output`` is PyTorch's: it is not written
    to.) Raises NotImplementedError for other operations than SUM and AVG."""
    _linear("reduce_scatter", op)
    return _ReduceScatter.apply(op, group, *input_list)


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """What all ranks send to this one, of the shapes of ``output_tensor_list``; gradients go back
    the same ways."""
    shapes = [tuple(t.shape) for t in output_tensor_list]
    return _AllToAll.apply(shapes, group, *input_tensor_list)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
) -> Tensor:
    """``all_to_all`` of parts along the first dimension, put together in the order of the ranks."""
    size = _size(group)
    outs = [*(output_split_sizes or [output.shape[0] // size] * size)]
    ins = [*(input_split_sizes or [input.shape[0] // size] * size)]
    shapes = [(n, *output.shape[1:]) for n in outs]
    parts = _AllToAll.apply(shapes, group, *input.split(ins))
    return cat(parts)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """On rank ``dst``, the tensors of all ranks, elsewhere zeros; gradients go back from there."""
    return _Gather.apply(dst, group, tensor)


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """The tensor of this rank among those of rank ``src``, which gets all gradients."""
    return _Scatter.apply(src, group, *tensors)
