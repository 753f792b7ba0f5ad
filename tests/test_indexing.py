"""Brackets against PyTorch: random indices of every kind, read, differentiated and written.

An index is a function of its seed; a failure names both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import gradcheck

torch = pytest.importorskip("torch", exc_type=ImportError)

# PyTorch's, about uint8 masks and about lists that stand for tuples.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

each_device = pytest.mark.parametrize("device", DEVICES)
SEEDS = {"cpu": 800, "emulated": 200, "cuda": 200}
REFUSED = (IndexError, RuntimeError, TypeError, ValueError)


class Given(np.ndarray):
    """An array that becomes a tensor of the library under test."""


def given(array: Any) -> Given:
    return np.asarray(array).view(Given)


def made(index: Any, tensor: Any) -> Any:
    """The index with tensors of one library."""
    if isinstance(index, Given):
        return tensor(np.asarray(index))
    if isinstance(index, (tuple, list)):
        return type(index)([made(i, tensor) for i in index])
    if isinstance(index, slice):
        return slice(made(index.start, tensor), made(index.stop, tensor), index.step)
    return index


class Indices:
    """Draws indices: mostly ones that fit, sometimes ones out of range or of other shapes."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.shape = tuple(self.pick([0, 1, 2, 3, 3, 4]) for _ in range(self.pick(range(5))))
        # Index arrays must broadcast with each other: those of one index are alike.
        self.common = self.pick([(), (1,), (2,), (2,), (3,), (0,), (2, 1), (1, 3), (2, 2)])

    def pick(self, values: Any) -> Any:
        return values[self.random.integers(len(values))]

    def position(self, n: int, shape: Any = ()) -> np.ndarray:
        out = self.random.random() < 0.01
        if n == 0 and not out:
            return np.zeros(shape if 0 in shape else (0,), dtype=np.int64)
        return np.asarray(self.random.integers(-n - out, n + out, shape))

    def end(self, n: int) -> Any:
        end = self.pick([None, None, *range(-n - 1, n + 2)])
        return given(end) if end is not None and self.random.random() < 0.2 else end

    def mask(self, shape: tuple) -> np.ndarray:
        mask = self.random.random(shape) < 0.6
        if len(self.common) == 1 and mask.size >= self.common[0] > 1:  # as many as other arrays
            mask[...] = False
            mask.reshape(-1)[: self.common[0]] = True
        return mask

    def part(self, dims: tuple) -> tuple[Any, int]:
        """One part of an index for the leading dimensions, and how many of them it uses."""
        n = dims[0]
        kind = self.pick(
            ["int", "int", "number", "slice", "slice", "slice", "none", "array", "tensor", "tensor",
             "small", "list", "range", "mask", "mask", "bools", "bytes", "bool"]
        )  # fmt: skip
        if kind == "none":
            return None, 0
        if kind == "bool":
            return self.pick([True, True, False, given(True)]), 0
        if kind == "slice":
            return slice(self.end(n), self.end(n), self.pick([None, None, 1, 2, 3])), 1
        if kind in ("int", "number") and n:
            value = self.position(n)
            return int(value) if kind == "int" else self.pick([np.int64(value), given(value)]), 1
        if kind in ("mask", "bools", "bytes"):
            width = self.pick(range(1, len(dims) + 1)) if kind == "mask" else 1
            mask = self.mask(dims[:width])
            if kind == "bools" and mask.size:
                return mask.tolist(), width
            return given(mask if kind == "mask" else mask.astype(np.uint8)), width
        if kind == "range":
            return range(min(n, self.common[-1] if self.common else 1)), 1
        array = self.position(n, self.common)
        if kind == "small":
            return given(array.astype(np.int32)), 1
        if kind == "list" and array.ndim:
            return array.tolist(), 1
        return array if kind == "array" and array.ndim else given(array), 1

    def index(self) -> Any:
        """An index for a tensor of ``shape``: from the left, and behind ``...`` from the right."""
        parts, dims = [], self.shape
        while dims and self.random.random() < 0.8:
            part, used = self.part(dims)
            parts.append(part)
            dims = dims[used:]
            if self.random.random() < 0.15 and not any(p is Ellipsis for p in parts):
                parts.append(...)
                dims = dims[self.pick(range(len(dims) + 1)) :]
        if self.random.random() < 0.05:
            parts.append(self.pick([None, True, ..., 0]))
        if sum(p is Ellipsis for p in parts) > 1:  # PyTorch lets a second ... pass, NumPy does not
            del parts[-1]
        return parts[0] if len(parts) == 1 and self.random.random() < 0.7 else tuple(parts)


def numbers(shape: tuple, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def cases(device: str) -> Any:
    for seed in range(SEEDS[device]):
        drawn = Indices(seed)
        yield seed, drawn.shape, drawn.index()


def shares_memory(part: Any, whole: Any) -> bool:
    if isinstance(part, torch.Tensor):
        return part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    return bool(np.shares_memory(part._array, whole._array))


def out_of_range(error: Exception) -> bool:
    """PyTorch does not look at the indices where the result is empty; we do."""
    return "out of range" in str(error)


@each_device
def test_reading(device: str) -> None:
    """Values, shapes and gradients; views where PyTorch gives views; refused where it refuses."""
    refused = 0
    for seed, shape, index in cases(device):
        about = f"seed {seed}: shape {shape}, index {index}"
        data = numbers(shape)
        x = tg.tensor(data, device=device, requires_grad=True)
        own = torch.tensor(data, requires_grad=True)
        place = made(index, lambda a: tg.tensor(a, device=device))
        try:
            theirs = own[made(index, torch.tensor)]
        except REFUSED:
            refused += 1
            with pytest.raises(REFUSED, match=r"\[getitem\]"):
                x[place]
            continue
        try:
            mine = x[place]
        except IndexError as error:
            if theirs.numel() or not out_of_range(error):
                raise
            continue
        assert tuple(mine.shape) == tuple(theirs.shape), about
        np.testing.assert_array_equal(mine.detach().cpu().numpy(), theirs.detach().numpy(), about)
        if device == "cpu" and mine.numel():
            assert shares_memory(mine, x) == shares_memory(theirs, own), about
        g = numbers(tuple(theirs.shape), 1)
        mine.backward(tg.tensor(g, device=device))
        theirs.backward(torch.tensor(g))
        same_gradients(x, own, about)
    assert 0 < refused < SEEDS[device] / 4


def same_gradients(mine: Any, theirs: Any, about: str) -> None:
    a = mine.grad.cpu().numpy()
    b = np.zeros_like(a) if theirs.grad is None else theirs.grad.numpy()  # of nothing, it has none
    np.testing.assert_allclose(a, b, 1e-12, 1e-12, err_msg=about)


def some_values(seed: int, shape: tuple) -> np.ndarray:
    """Values that broadcast to a shape: with sizes of 1, fewer dimensions, or more of size 1."""
    random = np.random.default_rng(seed)
    sizes = [1 if random.random() < 0.2 else n for n in shape]
    sizes = sizes[random.integers(len(sizes) + 1) :] if random.random() < 0.3 else sizes
    sizes = [1] * random.integers(2) + sizes if random.random() < 0.2 else sizes
    if random.random() < 0.03:
        sizes = [*sizes, 5]
    return numbers(tuple(sizes), seed)


@each_device
@pytest.mark.parametrize("recorded", [False, True])
def test_writing(device: str, recorded: bool) -> None:
    """The tensor after ``x[index] = values``, and with the tape the gradients of both."""
    compared = 0
    for seed, shape, index in cases(device):
        about = f"seed {seed}: shape {shape}, index {index}"
        data, places = numbers(shape), torch.arange(int(np.prod(shape))).reshape(shape)
        theirs_at = made(index, torch.tensor)
        try:
            named = places[theirs_at]
        except REFUSED:
            continue
        if named.unique().numel() != named.numel():  # which value stays is not defined
            continue
        values = some_values(seed, tuple(named.shape))
        if seed % 5 == 0:
            values = values.reshape(-1)[:1].reshape(())[()] if values.size else np.float64(2)
        x = tg.tensor(data, device=device, requires_grad=recorded)
        own = torch.tensor(data, requires_grad=recorded)
        number = not isinstance(values, np.ndarray)
        v = float(values) if number else tg.tensor(values, device=device, requires_grad=recorded)
        w = float(values) if number else torch.tensor(values, requires_grad=recorded)
        y, z = x * 1, own * 1
        place = made(index, lambda a: tg.tensor(a, device=device))
        try:
            z[theirs_at] = w
        except REFUSED as error:
            if "only supports boolean masks" in str(error):  # of bytes and a number: an oversight
                continue
            with pytest.raises(REFUSED, match=r"\[setitem\]"):
                y[place] = v
            np.testing.assert_array_equal(y.detach().cpu().numpy(), data, about)
            continue
        try:
            y[place] = v
        except IndexError as error:
            if named.numel() or not out_of_range(error):
                raise
            continue
        compared += 1
        np.testing.assert_array_equal(y.detach().cpu().numpy(), z.detach().numpy(), about)
        if recorded:
            g = numbers(shape, 1)
            y.backward(tg.tensor(g, device=device))
            z.backward(torch.tensor(g))
            same_gradients(x, own, about)
            if not number:
                same_gradients(v, w, about)
    assert compared > SEEDS[device] / 3


@each_device
def test_lists_of_parts_are_tuples(device: str) -> None:
    x = tg.arange(12, device=device).reshape(3, 4)
    assert x[[[0, 1], [1, 0]]].tolist() == [1, 4]
    assert x[[0, slice(1, 3)]].tolist() == [1, 2]
    assert x[[tg.tensor(2, device=device), None]].tolist() == [[8, 9, 10, 11]]
    assert x[[0, 2]].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]


@each_device
def test_indices_on_the_cpu_serve_every_device(device: str) -> None:
    x = tg.arange(6, device=device)
    assert x[tg.tensor([0, 5])].tolist() == [0, 5]
    x[tg.tensor([False, True] * 3)] = 9
    assert x.tolist() == [0, 9, 2, 9, 4, 9]
    if device == "cpu":
        with pytest.raises(RuntimeError, match=r"\[getitem\].*index tensor on emulated"):
            x[tg.tensor([0], device="emulated")]


@each_device
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax"])
def test_gradient_of_a_source_larger_than_its_index(reduce: str, device: str) -> None:
    """PyTorch has none."""
    x, source = (tg.tensor(numbers((2, 3), i), device=device, requires_grad=True) for i in (0, 1))
    index = tg.tensor([[1, 1], [0, 2]], device=device)
    assert gradcheck(lambda x, s: x.scatter_reduce(1, index, s, reduce), (x, source))


@each_device
def test_extremes_share_gradients_with_what_is_reduced_only(device: str) -> None:
    """Without ``include_self``, a tensor that happens to hold the extreme has no part in it.
    (PyTorch gives it half the gradient and then drops that.)"""
    x = tg.tensor([2.0, 5.0], device=device, requires_grad=True)
    source = tg.tensor([2.0, 1.0], device=device, requires_grad=True)
    index = tg.tensor([0, 0], device=device)
    x.scatter_reduce(0, index, source, "amax", include_self=False).sum().backward()
    assert x.grad.tolist() == [0, 1]
    assert source.grad.tolist() == [1, 0]


@each_device
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_integers_are_added_and_reduced_at_positions(dtype: str, device: str) -> None:
    random = np.random.default_rng(0)
    kind = getattr(torch, dtype)
    for size, count in ((5, 40), (1, 7), (9, 0), (0, 0)):
        data, values = (random.integers(0, 5, n) for n in (size, count))
        index = random.integers(0, max(size, 1), count)
        x, source = (tg.tensor(a, device=device).to(dtype) for a in (data, values))
        own, theirs = (torch.tensor(a).to(kind) for a in (data, values))
        i, j = tg.tensor(index, device=device), torch.tensor(index)
        pairs = [
            (x.index_add(0, i, source), own.index_add(0, j, theirs)),
            (x.scatter_add(0, i, source), own.scatter_add(0, j, theirs)),
            (x.put(i, source, accumulate=True), own.put(j, theirs, accumulate=True)),
        ]
        if dtype != "bool":
            pairs += [
                (x.scatter_reduce(0, i, source, how), own.scatter_reduce(0, j, theirs, how))
                for how in ("sum", "prod", "mean", "amax", "amin")
            ]
        for mine, expected in pairs:
            assert mine.dtype == x.dtype
            np.testing.assert_array_equal(mine.cpu().numpy(), expected.numpy())


@each_device
def test_sums_at_positions_are_the_same_every_time(device: str) -> None:
    values = tg.randn(20000, device=device)
    index = tg.tensor(np.random.default_rng(0).integers(0, 7, 20000), device=device)
    for how in ("sum", "prod", "mean"):
        first, again = (
            tg.ones(7, device=device).scatter_reduce(0, index, values, how) for _ in range(2)
        )
        assert first.tolist() == again.tolist()


@each_device
def test_of_several_values_for_one_place_the_last_stays(device: str) -> None:
    """On a GPU as well, where the library leaves open which."""
    count = 5000
    random = np.random.default_rng(0)
    index = random.integers(-7, 7, count)
    values = numbers((count, 3))
    expected = np.zeros((7, 3))
    expected[index] = values
    x, i = tg.zeros(7, 3, dtype=tg.float64, device=device), tg.tensor(index, device=device)
    v = tg.tensor(values, device=device)
    written = x.clone()
    written[i] = v
    across = x.T.clone()
    across[:, i] = v.T
    wrapped = i.remainder(7)
    for result in (
        written,
        across.T,
        x.index_put((i,), v),
        x.index_copy(0, wrapped, v),
        x.scatter(0, wrapped.unsqueeze(1).expand(count, 3), v),
        (x * 1).requires_grad_().clone().index_copy_(0, wrapped, v).detach(),
    ):
        np.testing.assert_array_equal(result.cpu().numpy(), expected)


def test_small_integer_indices_reach_far_dimensions() -> None:
    """300 does not fit into their 8 bits."""
    x = tg.zeros(300, requires_grad=True)
    index = tg.tensor([-1, -1, 3], dtype=tg.int8)
    x[index].sum().backward()
    assert (x.grad[-1].item(), x.grad[3].item(), x.grad.sum().item()) == (2, 1, 3)
    y = tg.zeros(300).index_put((index,), tg.ones(3), accumulate=True)
    assert (y[-1].item(), y[3].item()) == (2, 1)


def test_gathering_nothing_is_a_copy() -> None:
    """As gathering something is: a change of it in place leaves the input as it was."""
    x = tg.zeros(0, requires_grad=True) * 1
    y = x.tanh().abs()
    nothing = tg.zeros(0, dtype=tg.int64)
    for z in (y.gather(0, nothing), y.cummax(0).values, y.take_along_dim(nothing, 0)):
        assert z._base is None
        z.square_()
    y.sum().backward()


# Writes of which a later one writes over an earlier: x of 4 elements, v of 3.
_TWICE = [2, 0, 2]
OVERWRITES = {
    "index_put": lambda x, v, i: x.index_put((i,), v),
    "setitem": lambda x, v, i: _with(x, i, v),
    "setitem, two arrays": lambda x, v, i: _with(x.reshape(1, 4), (i * 0, i), v),
    "setitem behind a slice": lambda x, v, i: _with(x.reshape(2, 2), (slice(0, 2), i // 2), v),
    "setitem beside an int": lambda x, v, i: _with(x.reshape(1, 4), (0, i), v),
    "setitem of one value": lambda x, v, i: _with(x, i, v[0]),
    "scatter": lambda x, v, i: x.scatter(0, i, v),
    "scatter_": lambda x, v, i: x.clone().scatter_(0, i, v),
    "index_copy": lambda x, v, i: x.index_copy(0, i, v),
    "put": lambda x, v, i: x.put(i, v),
    "masked_scatter": lambda x, v, i: x.masked_scatter(x < 1.5, v),
    "as_strided_scatter": lambda x, v, i: x.as_strided_scatter(
        v.reshape(3, 1).expand(3, 2), (3, 2), (1, 1)
    ),
    "max_unpool1d": lambda x, v, i: tg.nn.functional.max_unpool1d(
        v.reshape(1, 3), i.reshape(1, 3), 2, 1
    ),
}


def _with(x: tg.Tensor, index: object, values: tg.Tensor) -> tg.Tensor:
    y = x.clone()
    y[index] = values
    return y


@pytest.mark.parametrize("name", OVERWRITES)
@pytest.mark.parametrize("device", DEVICES)
def test_what_is_written_over_has_gradient_0(name: str, device: str) -> None:
    """(F48) First and second gradients are those of finite differences."""
    x = tg.tensor([0.0, 1.0, 2.0, 3.0], dtype=tg.float64, device=device, requires_grad=True)
    v = tg.tensor([0.5, 1.5, 2.5], dtype=tg.float64, device=device, requires_grad=True)
    i = tg.tensor(_TWICE, device=device)
    assert tg.autograd.gradcheck(lambda x, v: OVERWRITES[name](x, v, i), (x, v))
    assert tg.autograd.gradgradcheck(lambda x, v: OVERWRITES[name](x, v, i) ** 3, (x, v))


def test_of_values_written_to_one_position_the_last_has_the_gradient() -> None:
    """(F48)"""
    y = tg.tensor([1.0, 2.0], requires_grad=True)
    tg.zeros(3).index_put((tg.tensor([0, 0]),), y).sum().backward()
    assert y.grad.tolist() == [0, 1]
