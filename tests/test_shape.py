"""What values alone do not show of changes of shape: shared memory, keywords, sizes in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

each_device = pytest.mark.parametrize("device", DEVICES)

# x has shape (2, 3, 4).
VIEWS: list[Callable] = [
    lambda x: x.reshape(6, 4),
    lambda x: x.mT.reshape(24),
    lambda x: x.mT.reshape(2, 1, 4, 3),
    lambda x: x.view(2, 3, 2, 2),
    lambda x: x.mT.view(1, 2, 4, 3),
    lambda x: x.flatten(),
    lambda x: x.mT.flatten(1),
    lambda x: x.ravel(),
    lambda x: x.mT.ravel(),
    lambda x: x.unflatten(2, (2, 2)),
    lambda x: x[:1].squeeze(),
    lambda x: x.unsqueeze(1),
    lambda x: x.permute(2, 0, 1),
    lambda x: x.transpose(0, 2),
    lambda x: x.movedim(0, 2),
    lambda x: x.mT,
    lambda x: x[0].T,
    lambda x: x[0].H,
    lambda x: x[0].t(),
    lambda x: x.expand(5, 2, 3, 4),
    lambda x: x[:, :1].expand(2, 3, 4),
    lambda x: x.narrow(1, 1, 2),
    lambda x: x.select(1, -1),
    lambda x: x.unfold(2, 2, 1),
    lambda x: x.diagonal(1, 0, 2),
    lambda x: x.split(1, 1)[2],
    lambda x: x.tensor_split(2)[1],
    lambda x: x.chunk(2, 2)[1],
    lambda x: x.unbind(1)[1],
    lambda x: x.hsplit(3)[0],
    lambda x: x.as_strided((2, 2), (4, 1), 3),
    lambda x: x.contiguous(),
    lambda x: x.mT.contiguous(),
    lambda x: x.clone(),
    lambda x: x.repeat(1, 1, 1),
    lambda x: x.tile(1),
    lambda x: x.repeat_interleave(1, 0),
    lambda x: x.flip(0),
    lambda x: x.roll(0),
    lambda x: x.rot90(0),
    lambda x: x.rot90(4),
    lambda x: x.tril(9),
    lambda x: x[0].diag(),
    lambda x: x.narrow_copy(0, 0, 2),
    lambda x: x.index_select(0, x[0, 0, :1].long() * 0),
    lambda x: x.type_as(x),
    lambda x: x.detach(),
]


def starts_inside(part: Any, whole: Any) -> bool:
    """Whether the first element lies in the memory of the whole."""
    first = whole.data_ptr()
    return first <= part.data_ptr() < first + whole.numel() * whole.element_size()


@each_device
@pytest.mark.parametrize("view", VIEWS, ids=range(len(VIEWS)))
def test_views_where_pytorch_has_views(view: Callable, device: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    data = np.arange(24.0).reshape(2, 3, 4)
    x, own = tg.tensor(data, device=device), torch.tensor(data)
    mine, theirs = view(x), view(own)
    assert starts_inside(mine, x) == starts_inside(theirs, own)
    np.testing.assert_array_equal(mine.cpu().numpy(), theirs.numpy())
    if starts_inside(mine, x) and 0 not in mine.stride():
        overlapping = len(set(mine.reshape(-1).tolist())) < mine.numel()
        if not overlapping:
            mine.mul_(-1)
            theirs.mul_(-1)
            np.testing.assert_array_equal(x.cpu().numpy(), own.numpy())


@each_device
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("view", VIEWS, ids=range(len(VIEWS)))
def test_views_count_changes_of_their_memory(view: Callable, order: str, device: str) -> None:
    """Whatever the memory's owner looks like: a change of the whole is a change of its views."""
    x = tg.zeros(2, 3, 4, device=device)
    if order == "F":
        x._array = x._device.library.asfortranarray(x._array)
    part = view(x)
    before = part._version
    x.add_(1)
    assert (part._version > before) == starts_inside(part, x)


@each_device
def test_keywords(device: str) -> None:
    x = tg.arange(6, device=device).reshape(2, 3)
    same = [
        (tg.reshape(input=x, shape=(3, 2)), x.reshape(3, 2)),
        (x.view(size=(3, 2)), x.view(3, 2)),
        (tg.permute(x, dims=(1, 0)), x.permute(1, 0)),
        (x[:1].expand(size=(4, 3)), x[:1].expand(4, 3)),
        (tg.flip(x, dims=[0]), x.flip(0)),
        (tg.roll(x, shifts=1, dims=0), x.roll(1, 0)),
        (tg.cat(tensors=[x, x], dim=1), tg.cat([x, x], axis=1)),
        (tg.tile(x, dims=(2,)), x.tile(2)),
        (x.split(split_size=2, dim=1)[0], tg.split(x, 2, 1)[0]),
        (tg.tensor_split(x, sections=2)[1], x.tensor_split(indices=[1])[1]),
        (tg.squeeze(x[:1], dim=0), x[0]),
        (tg.gather(input=x, dim=0, index=x[:1] * 0, sparse_grad=True), x[:1]),
        (x.scatter(0, x[:1] * 0, value=7), x.index_fill(0, x[0, :1], 7)),
    ]
    for a, b in same:
        assert a.tolist() == b.tolist()


@each_device
def test_resize_keeps_the_elements_in_order_in_memory(device: str) -> None:
    x = tg.arange(6, device=device)
    part = x[:2].resize_(2, 2)
    assert part.tolist() == [[0, 1], [2, 3]]
    part[1, 1] = 9
    assert x.tolist() == [0, 1, 2, 9, 4, 5]
    part = x[:2].resize_(3, 3)  # more than there is: new memory
    assert part.shape == (3, 3)
    assert part.reshape(-1)[:6].tolist() == [0, 1, 2, 9, 4, 5]
    part.zero_()
    assert x.tolist() == [0, 1, 2, 9, 4, 5]
    assert part.resize_as_(x).shape == (6,)


@each_device
def test_resized_tensors_are_stale_for_who_saved_them(device: str) -> None:
    x = tg.ones(2, device=device)
    w = tg.ones(2, device=device, requires_grad=True)
    y = w * x
    x.resize_(1)
    with pytest.raises(RuntimeError, match=r"'resize_' has changed it"):
        y.sum().backward()


@each_device
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(wrap: bool, device: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    for shape in [(3, 3), (7, 3), (3, 5), (2, 2, 2), (0, 3), (3, 0)]:
        mine = tg.zeros(shape, device=device).fill_diagonal_(2, wrap)
        assert mine.tolist() == torch.zeros(shape).fill_diagonal_(2, wrap).tolist()
    x = tg.ones(2, 2, device=device, requires_grad=True)
    (x * 1).fill_diagonal_(5).sum().backward()
    assert x.grad.tolist() == [[0, 1], [1, 0]]


@each_device
def test_shape_in_place(device: str) -> None:
    x = tg.arange(6.0, device=device).reshape(1, 2, 3)
    whole = x.view(-1)
    assert x.squeeze_().shape == (2, 3)
    assert x.t_().unsqueeze_(0).swapaxes_(0, 1).shape == (3, 1, 2)
    assert x.swapdims_(0, 2).transpose_(0, 1).squeeze_(0).tolist() == [[0, 1, 2], [3, 4, 5]]
    x[0, 0] = 9
    assert whole[0].item() == 9
    w = tg.ones(2, 3, device=device, requires_grad=True)
    y = (w * x).t_()
    (y * tg.arange(2.0, device=device)).sum().backward()
    assert w.grad.tolist() == [[0, 0, 0], [3, 4, 5]]


@each_device
def test_fill_with_a_tensor_passes_its_gradient(device: str) -> None:
    x = tg.ones(3, device=device, requires_grad=True)
    value = tg.tensor(2.0, device=device, requires_grad=True)
    y = x * 1
    y[:2].fill_(value)
    (y * tg.arange(3.0, device=device)).sum().backward()
    assert value.grad.item() == 1
    assert x.grad.tolist() == [0, 0, 2]
    assert tg.zeros(2, device=device).fill_(value).requires_grad
    with pytest.raises(RuntimeError, match=r"0-d"):
        (x * 1).fill_(x)
