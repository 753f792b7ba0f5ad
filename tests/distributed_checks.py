"""What test_distributed.py looks at, as ranks: ``tapegrad launch -n N distributed_checks.py FOLDER
BACKEND CHECKS...``. Each check runs on all ranks; what has become of them is written to FOLDER."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tapegrad.distributed.checkpoint as dcp
from tapegrad.distributed.fsdp import fully_shard
from tapegrad.distributed.optim import ZeroRedundancyOptimizer

import tapegrad as tg
import tapegrad.distributed as dist
import tapegrad.distributed.nn.functional as DF
import tapegrad.nn as nn
from tapegrad.distributed import ReduceOp
from tapegrad.distributed.backend import Backend
from tapegrad.nn.parallel import DistributedDataParallel

RANK, SIZE = 0, 1
FOLDER = Path()
CHECKS: dict[str, Callable[[], None]] = {}
OPERATIONS = {
    ReduceOp.SUM: lambda parts: sum(parts[1:], parts[0]),
    ReduceOp.AVG: lambda parts: sum(parts[1:], parts[0]) / len(parts),
    ReduceOp.PRODUCT: np.multiply.reduce,
    ReduceOp.MIN: np.minimum.reduce,
    ReduceOp.MAX: np.maximum.reduce,
    ReduceOp.BAND: np.bitwise_and.reduce,
    ReduceOp.BOR: np.bitwise_or.reduce,
    ReduceOp.BXOR: np.bitwise_xor.reduce,
}


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def raises(
    kind: type[BaseException], words: str, call: Callable, *args: Any, **options: Any
) -> None:
    message = f"no {kind.__name__}"
    try:
        call(*args, **options)
    except kind as error:
        message = str(error)
    assert words in message, message


def array(rank: int, shape: Any = (3, 5), dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """What a rank has."""
    drawn = np.random.default_rng([seed, rank]).normal(size=shape) * 4
    return np.asarray(drawn.astype("float32") if dtype == "bfloat16" else drawn.astype(dtype))


def all_arrays(*args: Any, **options: Any) -> list[np.ndarray]:
    return [array(rank, *args, **options) for rank in range(SIZE)]


def tensor(rank: int, *args: Any, dtype: str = "float32", **options: Any) -> tg.Tensor:
    return tg.tensor(array(rank, *args, dtype=dtype, **options)).to(getattr(tg, dtype))


def same(found: Any, wanted: Any) -> None:
    found = found.cpu().numpy() if isinstance(found, tg.Tensor) else found
    wanted = wanted.cpu() if isinstance(wanted, tg.Tensor) else wanted
    np.testing.assert_array_equal(found, np.asarray(wanted))


# ---------------------------------------------------------------------- collectives


@check
def reductions_of_all_operations_and_dtypes() -> None:
    for op, reduced in OPERATIONS.items():
        for dtype in ("float64", "float32", "int32", "uint8", "bool"):
            is_float = dtype[0] == "f"
            if not is_float if op is ReduceOp.AVG else is_float and op.name[0] == "B":
                raises(TypeError, op.name, dist.all_reduce, tensor(0, dtype=dtype), op)
                continue
            for count in (0, 1, 7, 40_003):  # the last one is reduced in parts
                parts = [
                    np.abs(a) if dtype == "uint8" else a for a in all_arrays((count,), "float32")
                ]
                parts = [a.astype(dtype) for a in parts]
                x = tg.tensor(parts[RANK].copy())
                dist.all_reduce(x, op)
                same(x, reduced(parts).astype(dtype))


@check
def sixteen_bit_floats_are_added_in_float32_and_rounded_once() -> None:
    for dtype in ("float16", "bfloat16"):
        for count in (5, 50_001):
            parts = [tensor(r, (count,), dtype=dtype) for r in range(SIZE)]
            wanted = sum((p.float() for p in parts[1:]), parts[0].float()) / SIZE
            x = parts[RANK].clone()
            dist.all_reduce(x, ReduceOp.AVG)
            assert x.dtype == parts[0].dtype
            same(x.float(), wanted.to(x.dtype).float())


@check
def the_order_is_that_of_the_ranks() -> None:
    """Whatever the length, and wherever in it an element is: sums of floats depend on the order."""
    small = np.float32(1e-8) * np.float32(1 + RANK)
    value = np.float32(1) if RANK == 0 else small
    wanted = np.float32(1)
    for rank in range(1, SIZE):
        wanted = wanted + np.float32(1e-8) * np.float32(1 + rank)
    for count in (1, 100_000):
        x = tg.full((count,), float(value))
        dist.all_reduce(x)
        assert (x.cpu().numpy() == wanted).all()


@check
def tensors_that_are_not_contiguous() -> None:
    base = tensor(RANK, (6, 4))
    dist.all_reduce(base.t()[::2])
    parts = all_arrays((6, 4))
    same(base[:, ::2], sum(parts[1:], parts[0])[:, ::2])
    same(base[:, 1::2], array(RANK, (6, 4))[:, 1::2])
    x = tensor(RANK, (6, 4))[1:4, 1:3]
    dist.broadcast(x, SIZE - 1)
    same(x, array(SIZE - 1, (6, 4))[1:4, 1:3])


@check
def from_one_to_all_and_back() -> None:
    for root in {0, SIZE - 1}:
        x = tensor(RANK)
        dist.broadcast(x, root)
        same(x, array(root))
        x = tensor(RANK)
        dist.reduce(x, root, ReduceOp.SUM)
        parts = all_arrays()
        same(x, sum(parts[1:], parts[0]) if root == RANK else parts[RANK])
        found = [tg.zeros(3, 5) for _ in range(SIZE)] if root == RANK else None
        dist.gather(tensor(RANK), found, dst=root)
        for got, wanted in zip(found or [], parts, strict=False):
            same(got, wanted)
        x = tg.zeros(3, 5)
        dist.scatter(
            x, [tensor(r, seed=root + 3) for r in range(SIZE)] if root == RANK else None, root
        )
        same(x, array(RANK, seed=root + 3))


@check
def from_all_to_all() -> None:
    parts = all_arrays()
    found = [tg.zeros(3, 5) for _ in range(SIZE)]
    dist.all_gather(found, tensor(RANK))
    for got, wanted in zip(found, parts, strict=True):
        same(got, wanted)
    for shape in ((SIZE * 3, 5), (SIZE, 3, 5)):
        x = tg.zeros(*shape)
        dist.all_gather_into_tensor(x, tensor(RANK))
        same(x, np.concatenate(parts).reshape(shape))
    x = tg.zeros(SIZE * 3, 5)
    own = x[3 * RANK : 3 * RANK + 3]
    own.copy_(tensor(RANK))
    dist.all_gather_into_tensor(x, own)  # in place
    same(x, np.concatenate(parts))
    x = tg.zeros(2, 5)
    whole = all_arrays((SIZE * 2, 5))
    dist.reduce_scatter_tensor(x, tensor(RANK, (SIZE * 2, 5)), ReduceOp.AVG)
    same(x, (sum(whole[1:], whole[0]) / SIZE)[2 * RANK : 2 * RANK + 2])
    x = tg.zeros(2, 5)
    dist.reduce_scatter(x, [tensor(RANK, (SIZE * 2, 5))[2 * r : 2 * r + 2] for r in range(SIZE)])
    same(x, sum(whole[1:], whole[0])[2 * RANK : 2 * RANK + 2])
    found = [tg.zeros(r + 1) for r in range(SIZE)]
    dist.all_to_all(found, [tg.full((RANK + 1,), 10.0 * RANK + r) for r in range(SIZE)])
    for r, got in enumerate(found):
        same(got, np.full(r + 1, 10 * r + RANK))
    x = tg.zeros(SIZE * 2)
    dist.all_to_all_single(x, tg.arange(SIZE * 2.0) + 100 * RANK)
    same(x, np.concatenate([np.arange(2 * RANK, 2 * RANK + 2) + 100 * r for r in range(SIZE)]))
    sizes = [r + 1 for r in range(SIZE)]
    x = tg.zeros(SIZE * (RANK + 1), 2)
    dist.all_to_all_single(x, tg.full((sum(sizes), 2), float(RANK)), [RANK + 1] * SIZE, sizes)
    same(x, np.repeat(np.arange(SIZE), RANK + 1)[:, None].repeat(2, 1))


@check
def between_two_ranks() -> None:
    right, left = (RANK + 1) % SIZE, (RANK - 1) % SIZE
    x, y = tensor(RANK), tg.zeros(3, 5)
    if dist.get_backend() == "mpi":  # NCCL would let the first ones wait for each other
        for work in (dist.isend(x, right, tag=3), dist.irecv(y, left, tag=3)):
            assert work.wait()
        same(y, array(left))
    if RANK == 0:
        dist.send(tg.tensor([1.0, 2.0]), 1)
        dist.send(tg.tensor([5.0]), 1, tag=7)
    if RANK == 1:
        x, y = tg.zeros(1), tg.zeros(2)
        if dist.get_backend() == "mpi":  # tags are ways of their own
            assert dist.recv(x, 0, tag=7) == 0
            dist.recv(y, 0)
        else:
            dist.recv(y, 0)
            dist.recv(x, 0, tag=7)
        same(x, [5])
        same(y, [1, 2])
    y = tg.zeros(3, 5)
    made = [dist.P2POp(dist.irecv, y, left), dist.P2POp(dist.isend, tensor(RANK), right)]
    for work in dist.batch_isend_irecv(made):
        work.wait()
    same(y, array(left))
    raises(ValueError, "this rank itself", dist.send, x, RANK)
    raises(ValueError, "tag must be", dist.send, x, right, tag=-1)


@check
def many_at_a_time_in_any_order() -> None:
    xs = [tensor(RANK, (20_000 + i,), seed=i) for i in range(8)]
    works = [dist.all_reduce(x, async_op=True) for x in xs]
    order = range(8) if RANK % 2 else reversed(range(8))
    for i in order:
        works[i].wait()
        assert works[i].is_completed()
        parts = all_arrays((20_000 + i,), seed=i)
        same(xs[i], sum(parts[1:], parts[0]))


@check
def objects() -> None:
    value = {
        "rank": RANK,
        3: [None, True, 1.5, "ä"],
        "pair": (1, np.arange(RANK + 1)),
        "t": tg.ones(2),
    }
    found: list[Any] = []
    dist.all_gather_object(found, value)
    assert [each["rank"] for each in found] == [*range(SIZE)]
    assert all(each[3] == value[3] and each["pair"][0] == 1 for each in found)
    same(found[-1]["pair"][1], np.arange(SIZE))
    same(found[0]["t"], np.ones(2))
    listed = [RANK, "x" * RANK]
    dist.broadcast_object_list(listed, SIZE - 1)
    assert listed == [SIZE - 1, "x" * (SIZE - 1)]
    gathered: list[Any] = []
    dist.gather_object(RANK, gathered if RANK == 0 else None)
    assert gathered == ([*range(SIZE)] if RANK == 0 else [])
    got: list[Any] = [None]
    dist.scatter_object_list(got, [r * 2 for r in range(SIZE)] if RANK == 1 else None, src=1)
    assert got == [2 * RANK]
    states = [network(RANK).state_dict()]
    dist.broadcast_object_list(states, 0)
    assert [*states[0]] == [*network().state_dict()]
    same(states[0]["0.bias"], network(0).state_dict()["0.bias"])
    if RANK == 0:
        raises(ValueError, "object_gather_list", dist.gather_object, 1)
    raises(TypeError, "allow_pickle", dist.all_gather_object, found, {1, 2})
    dist.all_gather_object(found, {RANK}, allow_pickle=True)
    assert found == [{r} for r in range(SIZE)]


@check
def groups() -> None:
    chosen = [0, SIZE - 1]
    group = dist.new_group(chosen)
    x = tensor(RANK)
    if RANK in chosen:
        assert (dist.get_rank(group), dist.get_world_size(group)) == (chosen.index(RANK), 2)
        assert getattr(group.host, "_mail", None) is None  # the group of all has one for messages
        assert dist.get_process_group_ranks(group) == chosen
        assert dist.get_global_rank(group, 1) == SIZE - 1
        assert dist.get_group_rank(group, SIZE - 1) == 1
        dist.all_reduce(x, group=group)
        same(x, array(0) + array(SIZE - 1))
        dist.broadcast(x, SIZE - 1, group=group)
        dist.broadcast(x, group=group, group_src=0)
        dist.destroy_process_group(group)
    else:
        assert (dist.get_rank(group), dist.get_world_size(group)) == (-1, -1)
        assert dist.all_reduce(x, group=group) is None
        same(x, array(RANK))
    raises(ValueError, "different ones", dist.new_group, [0, 0])
    raises(RuntimeError, "already", dist.init_process_group)
    assert dist.is_initialized()
    assert dist.get_backend() == sys.argv[2]
    dist.barrier()
    dist.monitored_barrier(timeout=30)


@check
def wrong_sizes_are_refused_before_anything_is_sent() -> None:
    x = tg.ones(3)
    raises(ValueError, "tensor_list", dist.all_gather, [x] * (SIZE + 1), x)
    raises(ValueError, "times", dist.all_gather_into_tensor, tg.ones(3 * SIZE + 1), x)
    raises(ValueError, "input_list", dist.reduce_scatter, x, [tg.ones(4)] * SIZE)
    raises(ValueError, "cut into", dist.all_to_all_single, x, tg.ones(SIZE * 2 + 1))
    raises(ValueError, "one rank", dist.broadcast, x)
    raises(TypeError, "expects Tensors", dist.all_reduce, np.ones(3))


@check
def messages_that_are_too_short_are_refused() -> None:
    if sys.argv[2] != "mpi":
        return
    if RANK == 0:
        dist.send(tg.ones(4), 1)
    if RANK == 1:
        work = dist.irecv(tg.zeros(8), 0)
        for call in (work.wait, work.is_completed, work.wait):  # it stays so, and ends nothing else
            words = "[irecv] rank 1: there came 16 bytes from rank 0 where 32 were expected"
            raises(dist.DistBackendError, words, call)
    dist.barrier()


class Least(Backend):
    """A backend that has no more than it must."""

    name = "least"

    def __init__(self, inner: Backend):
        self.rank, self.size, self.exchange = inner.rank, inner.size, inner.exchange  # type: ignore


@check
def a_backend_needs_no_more_than_exchange() -> None:
    least = Least(dist.groups.world().host)
    tag = 2**13
    for steps in (
        lambda x: iter([least.broadcast(x, 1, tag)]),
        lambda x: least.all_reduce(np, x, ReduceOp.SUM, tag),
    ):
        for count in (3, 30_000):
            x = array(RANK, (count,))
            for pending in steps(x):
                while not pending.done():
                    pass
            parts = all_arrays((count,))
            wanted = [parts[1], sum(parts[1:], parts[0])]
            assert any((x == w).all() for w in wanted)


# ---------------------------------------------------------------------- gradients


@check
def gradients_through_collectives() -> None:
    """Of the sum of what all ranks have, each weighted by its rank."""
    weights = [tensor(r, seed=9) for r in range(SIZE)]
    total = sum((w.double() for w in weights[1:]), weights[0].double())

    def leaf() -> tg.Tensor:
        return tensor(RANK, dtype="float64").requires_grad_()

    own = weights[RANK].double()
    x = leaf()
    (DF.all_reduce(x) * own).sum().backward()
    same(x.grad, total)
    x = leaf()
    (DF.broadcast(x, 1) * own).sum().backward()
    same(x.grad, total if RANK == 1 else np.zeros((3, 5)))
    x = leaf()
    (DF.reduce(x, 0) * own).sum().backward()
    same(x.grad, weights[0].double())
    x = leaf()
    gathered = DF.all_gather(x)
    (sum(g * (i + 1) for i, g in enumerate(gathered)) * own).sum().backward()
    same(
        x.grad,
        sum(((RANK + 1) * w.double() for w in weights[1:]), (RANK + 1) * weights[0].double()),
    )
    xs = [leaf() for _ in range(SIZE)]
    (DF.reduce_scatter(None, xs) * own).sum().backward()
    for w, x in zip(weights, xs, strict=True):
        same(x.grad, w.double())
    xs = [leaf() for _ in range(SIZE)]
    got = DF.all_to_all([tg.empty(3, 5)] * SIZE, xs)
    sum(g * own for g in got).sum().backward()
    for w, x in zip(weights, xs, strict=True):
        same(x.grad, w.double())
    x = leaf()
    (sum(DF.gather(x, 0)) * own).sum().backward()
    same(x.grad, weights[0].double())
    xs = [leaf() for _ in range(SIZE)]
    (DF.scatter(xs, 0) * own).sum().backward()
    for w, x in zip(weights, xs, strict=True):
        same(x.grad, w.double() if RANK == 0 else np.zeros((3, 5)))
    raises(NotImplementedError, "SUM and AVG", DF.all_reduce, x, ReduceOp.MAX)


# ---------------------------------------------------------------------- training


def network(seed: int = 5) -> nn.Module:
    tg.manual_seed(seed)
    layers = [nn.Linear(6, 17), nn.GELU(), nn.LayerNorm(17), nn.Linear(17, 17), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(17, 3)).double()


def batch(step: int, share: bool = True) -> tuple[tg.Tensor, tg.Tensor]:
    """Of 8 samples, or this rank's share of them."""
    rng = np.random.default_rng(step)
    x, y = rng.normal(size=(8, 6)), rng.integers(0, 3, 8)
    own = slice(RANK * 8 // SIZE, (RANK + 1) * 8 // SIZE) if share else slice(None)
    return tg.tensor(x[own]), tg.tensor(y[own])


def trained(
    model: nn.Module, optimizer: Any, steps: range = range(6), share: bool = True
) -> np.ndarray:
    for step in steps:
        x, y = batch(step, share)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return weights(model)


def weights(model: nn.Module) -> np.ndarray:
    return np.concatenate([dist.full_tensor(p).cpu().numpy().ravel() for p in model.parameters()])


def adam(model: nn.Module) -> Any:
    return tg.optim.AdamW(model.parameters(), lr=0.05)


def reference(steps: range = range(6)) -> np.ndarray:
    model = network()
    return trained(model, adam(model), steps, share=False)


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "small buckets": {"bucket_cap_mb": 1e-4},
    "views": {"gradient_as_bucket_view": True},
    "views in small buckets": {"gradient_as_bucket_view": True, "bucket_cap_mb": 1e-4},
    "unused": {"find_unused_parameters": True},
    "static": {"static_graph": True},
}


@check
def one_batch_on_any_number_of_ranks() -> None:
    """agrees to rounding, and to the bit between all ways to send it, and between runs."""
    alone, bits = reference(), set()
    for options in [*WAYS.values(), {}]:
        model = DistributedDataParallel(network(RANK), **options)
        tg.manual_seed(5)
        with tg.no_grad():  # all begin with rank 0's, which must be the reference's here
            for p, q in zip(model.parameters(), network().parameters(), strict=True):
                p.copy_(q)
        found = trained(model, adam(model))
        assert np.abs(found - alone).max() < 1e-12
        bits.add(found.tobytes())
    model = DistributedDataParallel(network())
    sharded = ZeroRedundancyOptimizer(model.parameters(), tg.optim.AdamW, lr=0.05)
    bits.add(trained(model, sharded).tobytes())
    model = network()
    for layer in model:
        if [*layer.parameters()]:
            fully_shard(layer)
    bits.add(trained(model, adam(model)).tobytes())
    model = network()
    fully_shard(model[0])
    fully_shard(model, reshard_after_forward=False)
    bits.add(trained(model, adam(model)).tobytes())
    everyones: list[Any] = []
    dist.all_gather_object(everyones, [np.frombuffer(b, np.uint8) for b in bits])
    assert {b.tobytes() for each in everyones for b in each} == bits
    assert len(bits) == 1


class GPT(nn.Module):
    """A small one: 2 layers of 2 heads, for 12 tokens of 20."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 16), nn.Embedding(12, 16)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList(
            [nn.TransformerEncoderLayer(16, 2, 32, **options) for _ in "12"]
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 20)

    def forward(self, tokens: tg.Tensor) -> tg.Tensor:
        x = self.words(tokens) + self.places.weight
        mask = nn.Transformer.generate_square_subsequent_mask(12).to(x)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.head(self.norm(x)).transpose(1, 2)


def digits() -> tuple[nn.Module, tg.Tensor, tg.Tensor]:
    """A network for images of digits, images, and which digits they are."""
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10)]
    images, labels = tg.data.digits()
    return nn.Sequential(*layers), images.double(), labels


def text() -> tuple[nn.Module, tg.Tensor, tg.Tensor]:
    """A GPT, the tokens of this file's letters, and those that follow them."""
    letters = np.frombuffer(Path(__file__).read_bytes(), np.uint8).astype(np.int64) % 20
    return GPT(), *[tg.tensor(letters[i : i + 12 * 400].reshape(-1, 12)) for i in (0, 1)]


def losses(make: Callable, share: bool) -> list[float]:
    """Of ten steps on batches of 32 samples, or on this rank's share of each."""
    tg.manual_seed(1)
    model, x, y = make()
    if share:
        model = DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model.double()))
    optimizer = tg.optim.AdamW(model.double().parameters(), lr=0.01)
    found = []
    for whole in range(0, 320, 32):
        batch = slice(whole, whole + 32)
        if share:
            batch = slice(whole + RANK * 32 // SIZE, whole + (RANK + 1) * 32 // SIZE)
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss = loss.detach()
        if share:
            dist.all_reduce(loss, ReduceOp.AVG)
        found.append(loss.item())
    return found


@check
def digits_and_text_have_the_losses_of_one_rank() -> None:
    """in each step, to rounding: so they are equal on 2 and 4 ranks, too. And both learn."""
    for make in (digits, text):
        alone, together = losses(make, share=False), losses(make, share=True)
        np.testing.assert_allclose(together, alone, rtol=1e-12, err_msg=make.__name__)
        assert alone[-1] < 0.9 * alone[0], alone


@check
def all_begin_with_the_first_ones_parameters() -> None:
    model = DistributedDataParallel(network(RANK))
    same(weights(model), weights(network(0)))
    model = network(RANK)
    fully_shard(model)
    same(weights(model), weights(network(0)))
    other = nn.Linear(3 + (RANK == 1), 2)
    raises(RuntimeError, "another module", DistributedDataParallel, other)
    raises(RuntimeError, "no parameter", DistributedDataParallel, nn.ReLU())


@check
def gradients_added_up_without_sync() -> None:
    wanted = network()
    for step in range(3):
        x, y = batch(step, share=False)
        nn.functional.cross_entropy(wanted(x), y).backward()
    for options in WAYS.values():
        model = DistributedDataParallel(network(), **options)
        for step in range(3):
            x, y = batch(step)
            if step < 2:
                with model.no_sync():
                    nn.functional.cross_entropy(model(x), y).backward()
            else:
                nn.functional.cross_entropy(model(x), y).backward()
        for p, q in zip(model.parameters(), wanted.parameters(), strict=True):
            np.testing.assert_allclose(
                p.grad.cpu().numpy(), q.grad.cpu().numpy(), rtol=0, atol=1e-12
            )
        before = [p.grad.clone() for p in model.parameters()]  # a second sync adds, too
        nn.functional.cross_entropy(model(batch(2)[0]), batch(2)[1]).backward()
        x, y = batch(2, share=False)
        again = network()
        nn.functional.cross_entropy(again(x), y).backward()
        for p, q, b in zip(model.parameters(), again.parameters(), before, strict=True):
            np.testing.assert_allclose(
                p.grad.cpu().numpy(), (q.grad + b).cpu().numpy(), rtol=0, atol=1e-12
            )


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.never = nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, x: tg.Tensor, first: bool) -> tg.Tensor:
        return (self.a if first else self.b)(x)


@check
def parameters_without_a_gradient() -> None:
    x = tg.ones(1, 2)
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    model(x, RANK == 0).sum().backward()
    same(model.module.a.weight.grad, np.full((1, 2), 1 / SIZE))
    same(model.module.b.weight.grad, np.full((1, 2), (SIZE - 1) / SIZE))
    assert model.module.never.weight.grad is None
    strict = DistributedDataParallel(Branches())
    raises(RuntimeError, "find_unused_parameters", strict(x, True).sum().backward)
    static = DistributedDataParallel(Branches(), static_graph=True)
    for _ in range(2):
        static.zero_grad()
        static(x, True).sum().backward()
        same(static.module.a.weight.grad, np.ones((1, 2)))
        assert static.module.b.weight.grad is None


@check
def gradients_are_sent_while_the_walk_goes_on() -> None:
    seen = []
    model = DistributedDataParallel(network(), bucket_cap_mb=1e-4)
    first = model.module[0]
    first.register_full_backward_pre_hook(
        lambda module, grad: seen.append(sum(b.work is not None for b in model._reducer.buckets))
    )
    x, y = batch(0)
    nn.functional.cross_entropy(model(x), y).backward()
    assert seen[0] >= 3, seen


@check
def memory_is_kept_once_a_dtype() -> None:
    free = dist.groups.world().host.__dict__.setdefault("_free", {})
    for count in range(1, 40):
        dist.all_reduce(tg.ones(count))
        dist.all_reduce(tg.ones(40_000 + count))
    assert [array.dtype.name for array in free.values()].count("float32") == 1


@check
def hooks_on_gradients_come_before_the_average() -> None:
    model = DistributedDataParallel(nn.Linear(2, 1, bias=False))
    model.module.weight.register_hook(lambda g: g * (RANK + 1))
    model(tg.ones(1, 2)).sum().backward()
    same(model.module.weight.grad, np.full((1, 2), (SIZE + 1) / 2, np.float32))


@check
def sixteen_bit_gradients() -> None:
    for dtype in (tg.float16, tg.bfloat16):
        model = DistributedDataParallel(nn.Linear(4, 3).to(dtype))
        x = tensor(RANK, (2, 4)).to(dtype)
        model(x).sum().backward()
        alone = []
        for rank in range(SIZE):
            layer = nn.Linear(4, 3).to(dtype)
            layer(tensor(rank, (2, 4)).to(dtype)).sum().backward()
            alone.append(layer.weight.grad.float())
        wanted = (sum(alone[1:], alone[0]) / SIZE).to(dtype)
        same(model.module.weight.grad.float(), wanted.float())


@check
def buffers_are_those_of_the_first() -> None:
    model = DistributedDataParallel(nn.BatchNorm1d(3))
    model(tensor(RANK, (4, 3)))
    model.eval()
    model(tensor(RANK, (4, 3)))
    alone = nn.BatchNorm1d(3)
    alone(tensor(0, (4, 3)))
    same(model.module.running_mean, alone.running_mean.cpu().numpy())
    assert model.module.num_batches_tracked.item() == 1
    with tg.no_grad():
        model(tensor(RANK, (4, 3)))
        for rank in range(SIZE):  # they are alike still: nobody is waited for
            if rank == RANK:
                model(tensor(RANK, (4, 3)))
            dist.barrier()


@check
def batch_statistics_of_all_ranks() -> None:
    for shape in ((8, 3), (8, 3, 5), (8, 3, 4, 4)):
        x = array(0, shape, "float64")
        w = tg.tensor(array(1, shape, "float64"))
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
        for momentum in (0.1, None):
            own = slice(RANK * 8 // SIZE, (RANK + 1) * 8 // SIZE)
            whole, share = tg.tensor(x, requires_grad=True), tg.tensor(x[own], requires_grad=True)
            plain = kind(3, momentum=momentum).double()
            sync = nn.SyncBatchNorm.convert_sync_batchnorm(kind(3, momentum=momentum).double())
            for _ in range(2):
                y, z = plain(whole), sync(share)
                np.testing.assert_allclose(
                    z.detach().cpu().numpy(), y.detach().cpu().numpy()[own], atol=1e-12
                )
            (y * w).sum().backward()
            (z * w[own]).sum().backward()
            np.testing.assert_allclose(
                share.grad.cpu().numpy(), whole.grad.cpu().numpy()[own], atol=1e-12
            )
            np.testing.assert_allclose(
                sync.running_var.cpu().numpy(), plain.running_var.cpu().numpy(), 1e-12
            )
            np.testing.assert_allclose(
                sync.running_mean.cpu().numpy(), plain.running_mean.cpu().numpy(), 1e-12
            )


@check
def samplers_divide_the_samples() -> None:
    sampler = tg.data.DistributedSampler(range(11), seed=3)
    assert (sampler.rank, sampler.num_replicas) == (RANK, SIZE)
    found: list[Any] = []
    dist.all_gather_object(found, [*sampler])
    assert {i for each in found for i in each} == {*range(11)}
    assert len({len(each) for each in found}) == 1


@check
def sharded_parameters_are_whole_only_while_they_are_used() -> None:
    model = network()
    count = sum(p.numel() for p in model.parameters())
    fully_shard(model[0])
    fully_shard(model)
    assert sum(p.numel() for p in model.parameters()) <= count // SIZE + 20
    from tapegrad.nn.parallel.fully_shard import _Unit

    alive, gather = [], _Unit.gather
    import weakref

    def watched(unit: _Unit) -> Any:
        wholes = gather(unit)
        alive.extend(weakref.ref(np.ndarray.__getitem__(w, ...).base) for w in wholes)
        return wholes

    _Unit.gather = watched  # type: ignore[method-assign]
    try:
        x, y = batch(0)
        loss = nn.functional.cross_entropy(model(x), y)
        assert alive
        assert all(ref() is None for ref in alive)  # the tape does not keep them
        loss.backward()
        assert len(alive) > len([*model.parameters()])  # gathered again
        assert all(ref() is None for ref in alive)
    finally:
        _Unit.gather = gather  # type: ignore[method-assign]
    raises(ValueError, "sharded already", fully_shard, model)


@check
def the_norm_of_sharded_gradients_is_that_of_all() -> None:
    plain, sharded = network(), network()
    fully_shard(sharded)
    for model, share in ((plain, False), (sharded, True)):
        x, y = batch(0, share)
        nn.functional.cross_entropy(model(x), y).backward()
    for kind in (2.0, 1.0, float("inf")):
        found = nn.utils.get_total_norm([p.grad for p in plain.parameters()], kind).item()
        got = nn.utils.clip_grad_norm_(sharded.parameters(), 1e9, kind).item()
        assert abs(got - found) < 1e-12, (kind, got, found)


@check
def what_is_inf_on_one_rank_is_left_out_on_all() -> None:
    model = network().float()
    fully_shard(model)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    scaler = tg.amp.GradScaler("cpu", init_scale=8.0)
    before = weights(model)
    scaler.scale(model(tg.ones(2, 6)).sum()).backward()
    if RANK == 1:
        next(model.parameters()).grad.fill_(float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 4
    same(weights(model), before)


class StopsLast(tg.train.Callback):
    def on_step(self, trainer: Any) -> None:
        if RANK == SIZE - 1 and trainer.step == 2:
            trainer.stop("enough")


@check
def one_that_stops_stops_all() -> None:
    model = DistributedDataParallel(network())
    trainer = tg.train.Trainer(
        model, nn.functional.cross_entropy, adam(model), callbacks=[StopsLast()], progress=False
    )
    trainer.fit([batch(step) for step in range(4)], epochs=1)
    assert trainer.step == 2
    assert trainer.stopped == ("enough" if RANK == SIZE - 1 else "another rank has stopped")


# ---------------------------------------------------------------------- checkpoints


def to_save(way: str, seed: int) -> dict[str, Any]:
    model = network(seed)
    model.append(nn.BatchNorm1d(3).double())
    if way == "zero 3":
        fully_shard(model[0])
        fully_shard(model)
    elif way == "zero 1":
        model = DistributedDataParallel(model)
    if way == "zero 1":
        optimizer = ZeroRedundancyOptimizer(model.parameters(), tg.optim.AdamW, lr=0.05)
    else:
        optimizer = tg.optim.AdamW(model.parameters(), lr=0.05)
    schedule = tg.optim.lr_scheduler.StepLR(optimizer, 2)
    inner = model.module if way == "zero 1" else model
    return {
        "model": inner,
        "optimizer": optimizer,
        "schedule": schedule,
        "epoch": seed,
        "x": [1, "a"],
    }


def goes_on(state: dict[str, Any], steps: range) -> np.ndarray:
    """Trained with the same batch on all ranks, which so is the same on any number of them."""
    for step in steps:
        x, y = batch(step, share=False)
        state["optimizer"].zero_grad()
        nn.functional.cross_entropy(state["model"](x), y).backward()
        state["optimizer"].step()
        state["schedule"].step()
    return weights(state["model"])


@check
def checkpoints_load_into_any_division() -> None:
    for way in ("plain", "zero 1", "zero 3"):
        folder = FOLDER / f"{way}-{SIZE}"
        state = to_save(way, 5)
        goes_on(state, range(3))
        dcp.save(state, folder)
        dcp.save(state, folder)  # the second takes the first one's place
        assert len([*folder.iterdir()]) == SIZE + 1
        wanted = goes_on(state, range(3, 5))
        if RANK == 0:
            np.save(FOLDER / f"{way}-{SIZE}.npy", wanted)
        for other in ("plain", "zero 1", "zero 3"):
            again = to_save(other, 6)
            dcp.load(again, folder)
            assert (again["epoch"], again["x"]) == (5, [1, "a"])
            same(goes_on(again, range(3, 5)), wanted)
    raises(tg.checkpoint.CheckpointError, "no save has ended", dcp.load, {}, FOLDER / "none")
    raises(
        tg.checkpoint.CheckpointError, "no state of", dcp.load, {"other": nn.Linear(1, 1)}, folder
    )


@check
def a_trainer_does_not_save_what_is_divided() -> None:
    for way in ("zero 1", "zero 3"):
        state = to_save(way, 5)
        saves = tg.checkpoint.Checkpoints(FOLDER / "trainer")
        parts = state["model"], nn.functional.cross_entropy, state["optimizer"]
        trainer = tg.train.Trainer(*parts, checkpoints=saves, progress=False)
        raises(NotImplementedError, "distributed.checkpoint", trainer.fit, [batch(0)], steps=1)
        raises(NotImplementedError, "distributed.checkpoint", trainer.state_dict)
        tg.train.Trainer(*parts, progress=False).fit([batch(0)], steps=1)


@check
def checkpoints_of_other_numbers_of_ranks() -> None:
    for saved in FOLDER.glob("*.npy"):
        state = to_save("zero 3", 6)
        dcp.load(state, saved.with_suffix(""))
        np.testing.assert_allclose(goes_on(state, range(3, 5)), np.load(saved), rtol=0, atol=1e-12)


def main() -> None:
    global RANK, SIZE, FOLDER
    FOLDER, backend, *names = Path(sys.argv[1]), *sys.argv[2:]
    if backend == "nccl" and not tg.cuda.is_available():
        import strict_nccl

        strict_nccl.install()
    dist.init_process_group(backend)
    if backend == "nccl":
        tg.set_default_device("cuda")
    RANK, SIZE = dist.get_rank(), dist.get_world_size()
    results = {}
    for name, function in CHECKS.items():
        if names and name not in names:
            continue
        try:
            function()
            results[name] = ""
        except dist.DistError:
            raise  # ranks are no longer together
        except Exception:
            results[name] = traceback.format_exc()
        dist.barrier()
    (FOLDER / f"results-{SIZE}-{RANK}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
