"""Bad input, as a table: what is called, which exception it raises, what its message says.

Every row runs on every device. A refused call leaves all its operands as they were, gradients and
versions included.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn

F = nn.functional


@dataclass
class Maker:
    """Makes the operands of a row on one device, and remembers them."""

    device: str
    made: list = field(default_factory=list)

    def t(self, data: Any, **options: Any) -> tg.Tensor:
        self.made.append(tg.tensor(data, device=self.device, **options))
        return self.made[-1]

    def f(self, *shape: int, **options: Any) -> tg.Tensor:
        """Floats 1, 2, 3, ..."""
        return self.t(np.arange(1.0, np.prod(shape) + 1).reshape(shape), dtype="float32", **options)

    def i(self, *shape: int) -> tg.Tensor:
        """Integers 0, 1, 2, ..."""
        return self.t(np.arange(np.prod(shape, dtype=int)).reshape(shape))

    def b(self, *shape: int) -> tg.Tensor:
        return self.t(np.ones(shape, dtype=bool))

    def elsewhere(self, *shape: int) -> tg.Tensor:
        """On another device."""
        other = "emulated" if self.device == "cpu" else "cpu"
        self.made.append(tg.ones(shape, device=other))
        return self.made[-1]


Call = Callable[[Maker], Any]
Row = tuple[Call, type, str]


def leaf_with_result(m: Maker) -> tg.Tensor:
    return m.f(2, requires_grad=True) * 2


# ---------------------------------------------------------------------- shapes that do not fit

SHAPES: list[Row] = [
    (lambda m: m.f(2, 3) + m.f(2), RuntimeError, r"\[add\].*\(2, 3\).*\(2,\)"),
    (lambda m: m.f(4) * m.f(3), RuntimeError, r"\[multiply\].*\(4,\).*\(3,\)"),
    (lambda m: tg.maximum(m.f(2, 2), m.f(3)), RuntimeError, r"\[maximum\].*\(2, 2\).*\(3,\)"),
    (lambda m: m.f(4) > m.f(3), RuntimeError, r"\[greater\].*\(4,\).*\(3,\)"),
    (lambda m: tg.where(m.b(2), m.f(3), m.f(2)), RuntimeError, r"\[where\].*\(2,\), \(3,\)"),
    (lambda m: m.f(2, 3) @ m.f(2, 3), RuntimeError, r"\[matmul\].*\(2, 3\).*inner sizes 3 and 2"),
    (lambda m: m.f(3) @ m.f(4), RuntimeError, r"\[matmul\].*3 and 4"),
    (lambda m: m.f(2, 2, 3) @ m.f(3, 3, 2), RuntimeError, r"\[matmul\].*leading.*\(2, 2, 3\)"),
    (lambda m: m.f() @ m.f(2), RuntimeError, r"\[matmul\].*1 dimension.*\*"),
    (lambda m: tg.mm(m.f(2), m.f(2)), RuntimeError, r"\[mm\].*2.*\(2,\)"),
    (lambda m: tg.bmm(m.f(2, 2, 3), m.f(1, 3, 2)), RuntimeError, r"\[bmm\].*batch.*\(1, 3, 2\)"),
    (lambda m: tg.dot(m.f(2, 2), m.f(2)), RuntimeError, r"\[dot\].*\(2, 2\)"),
    (lambda m: F.linear(m.f(2, 3), m.f(4, 2)), RuntimeError, r"\[linear\].*\(2, 3\).*\(4, 2\)"),
    (lambda m: F.linear(m.f(2, 3), m.f(4, 3), m.f(3)), RuntimeError, r"\[linear\].*bias \(3,\)"),
    (lambda m: tg.einsum("ij,jk->ik", m.f(2, 3), m.f(2, 3)), RuntimeError, r"'j'.*sizes 3 and 2"),
    (lambda m: tg.einsum("ij,jk->ik", m.f(2, 3)), RuntimeError, r"2 operands, got 1"),
    (lambda m: tg.einsum("ijk->i", m.f(2, 3)), RuntimeError, r"3 labels for shape \(2, 3\)"),
    (lambda m: tg.einsum("ij->ik", m.f(2, 3)), RuntimeError, r"'ik' repeats or invents"),
    (lambda m: tg.einsum("i1->i", m.f(2, 3)), RuntimeError, r"letters"),
    (lambda m: m.f(2, 3).reshape(4), RuntimeError, r"\[reshape\].*\(2, 3\).*6.*\(4,\)"),
    (lambda m: m.f(2, 3).reshape(-1, -1), RuntimeError, r"only one size may be -1"),
    (lambda m: m.f(2, 3).reshape(4, -1), RuntimeError, r"6 elements.*do not divide.*\(4, -1\)"),
    (lambda m: m.f(0, 3).reshape(0, -1), RuntimeError, r"\[reshape\].*\(0, -1\)"),
    (lambda m: m.f(2, 3).T.view(6), RuntimeError, r"\[view\] strides.*reshape"),
    (lambda m: m.f(2, 3).flatten(1, 0), RuntimeError, r"\[flatten\] start_dim 1.*end_dim 0"),
    (lambda m: m.f(2, 3).permute(0, 0), RuntimeError, r"\[permute\].*\(0, 0\)"),
    (lambda m: m.f(2, 3, 4).t(), RuntimeError, r"\[t\].*2 dimensions, got 3"),
    (lambda m: m.f(2, 3).movedim((0, 1), 0), RuntimeError, r"\[movedim\]"),
    (lambda m: m.f(2).expand(3), RuntimeError, r"\[expand\].*\(2,\).*\(3,\)"),
    (lambda m: m.f(2, 1).expand(3), RuntimeError, r"\[expand\].*\(2, 1\).*\(3,\)"),
    (lambda m: m.f(2, 2).repeat(2), RuntimeError, r"\[repeat\].*2 dimensions.*\(2,\)"),
    (lambda m: tg.cat([m.f(2, 3), m.f(2, 2)]), RuntimeError, r"\[cat\].*\(2, 3\), \(2, 2\)"),
    (lambda m: tg.cat([m.f(), m.f()]), RuntimeError, r"\[cat\] 0-d.*stack"),
    (lambda m: tg.cat([]), ValueError, r"\[cat\].*at least one"),
    (lambda m: tg.stack([m.f(2), m.f(3)]), RuntimeError, r"\[stack\].*\(2,\), \(3,\)"),
    (lambda m: m.f(5).split([2, 2]), RuntimeError, r"\[split\].*\[2, 2\].*5"),
    (lambda m: m.f(5).split(0), RuntimeError, r"\[split\].*0"),
    (lambda m: m.f(5).chunk(0), RuntimeError, r"\[chunk\].*0"),
    (lambda m: m.f().unbind(), IndexError, r"\[unbind\] a 0-d"),
    (lambda m: m.f(2, 2).flip(0, 0), RuntimeError, r"\[flip\].*twice"),
    (lambda m: m.f(2, 2).roll((1, 2), 0), RuntimeError, r"\[roll\] 2 shifts for 1 dims"),
    (lambda m: m.f(2, 3).gather(1, m.i(2)), RuntimeError, r"\[gather\].*1 dimensions.*2"),
    (lambda m: m.f(2, 3).gather(0, m.t([[0] * 4])), RuntimeError, r"\[gather\].*\(1, 4\).*dim 1"),
    (lambda m: m.f(2, 3).scatter(1, m.t([[0, 1]]), m.f(1, 1)), RuntimeError,
     r"\[scatter\].*source"),
    (lambda m: m.f(2).masked_fill(m.b(3), 0.0), RuntimeError, r"\(3,\).*\(2,\)|\(2,\).*\(3,\)"),
    (lambda m: m.f(2).masked_fill(m.b(2), m.f(2)), RuntimeError, r"\[masked_fill\].*0-d.*\(2,\)"),
    (lambda m: m.f(2, 3).__setitem__(0, m.f(2)), RuntimeError, r"\[setitem\].*\(2,\).*\(3,\)"),
    (lambda m: leaf_with_result(m).__setitem__(0, m.f(2)), RuntimeError, r"\[setitem\].*\(2,\)"),
    (lambda m: tg.add(m.f(2), m.f(2), out=m.f(1).expand(2)), RuntimeError, r"\[add\].*expanded"),
    (lambda m: m.f(2).add_(m.f(3, 2)), RuntimeError, r"\[add_\].*\(3, 2\).*\(2,\)"),
    (lambda m: m.f(2).copy_(m.f(3)), RuntimeError, r"\(3,\).*\(2,\)"),
    (lambda m: F.conv2d(m.f(1, 2, 4, 4), m.f(3, 1, 2, 2)), RuntimeError, r"\[conv2d\].*2 channels"),
    (lambda m: F.conv2d(m.f(2, 4), m.f(3, 1, 2, 2)), RuntimeError, r"\[conv2d\].*\(2, 4\)"),
    (lambda m: F.conv2d(m.f(1, 1, 2, 2), m.f(1, 1, 3, 3)), RuntimeError,
     r"\(3, 3\).*larger.*\(2, 2\)"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(2, 1, 2, 2), m.f(3)), RuntimeError,
     r"\[conv2d\].*bias"),
    (lambda m: F.max_pool2d(m.f(4, 4), 2), RuntimeError, r"\[max_pool2d\].*\(4, 4\)"),
    (lambda m: F.max_pool2d(m.f(1, 1, 2, 2), 3), RuntimeError, r"\[max_pool2d\]"),
    (lambda m: F.max_pool2d(m.f(1, 1, 4, 4), 2, padding=2), RuntimeError,
     r"\[max_pool2d\].*padding"),
    (lambda m: F.layer_norm(m.f(2, 3), (2,)), RuntimeError, r"\[layer_norm\].*\(2,\).*\(2, 3\)"),
    (lambda m: F.layer_norm(m.f(2, 3), (3,), m.f(2)), RuntimeError,
     r"\[layer_norm\].*\(3,\).*\(2,\)"),
    (lambda m: F.rms_norm(m.f(2, 3), 4), RuntimeError, r"\[rms_norm\].*\(4,\)"),
    (lambda m: F.batch_norm(m.f(3), None, None, training=True), RuntimeError,
     r"\[batch_norm\].*\(3,\)"),
    (lambda m: F.batch_norm(m.f(2, 3), m.f(2), m.f(3)), RuntimeError,
     r"running_mean.*\(3,\).*\(2,\)"),
    (lambda m: F.batch_norm(m.f(2, 3), None, None), RuntimeError, r"\[batch_norm\].*running_mean"),
    (lambda m: F.batch_norm(m.f(1, 3), None, None, training=True), ValueError,
     r"more than 1 value"),
    (lambda m: F.embedding(m.i(2), m.f(3)), RuntimeError, r"\[embedding\].*2-d.*\(3,\)"),
    (lambda m: leaf_with_result(m).backward(m.f(3)), RuntimeError, r"\[backward\].*\(2,\).*\(3,\)"),
]  # fmt: skip

# ---------------------------------------------------------------------- losses

LOSSES: list[Row] = [
    (lambda m: F.mse_loss(m.f(4, 1), m.f(4)), ValueError, r"\[mse_loss\].*\(4, 1\).*\(4,\)"),
    (lambda m: F.mse_loss(m.f(4), m.f(4, 1)), ValueError, r"\[mse_loss\].*\(4,\).*\(4, 1\)"),
    (lambda m: F.l1_loss(m.f(4, 1), m.f(4)), ValueError, r"\[l1_loss\].*\(4, 1\).*\(4,\)"),
    (lambda m: F.l1_loss(m.f(4), m.f(3)), ValueError, r"\[l1_loss\].*\(4,\).*\(3,\)"),
    (lambda m: F.binary_cross_entropy_with_logits(m.f(4, 1), m.f(4)), ValueError,
     r"\[binary_cross_entropy_with_logits\].*\(4, 1\).*\(4,\)"),
    (lambda m: F.binary_cross_entropy_with_logits(m.f(3), m.f(3), weight=m.f(3, 1)), ValueError,
     r"\[binary_cross_entropy_with_logits\] weight.*\(3, 1\).*\(3,\)"),
    (lambda m: F.binary_cross_entropy_with_logits(m.f(3), m.f(3), pos_weight=m.f(3, 1)), ValueError,
     r"\[binary_cross_entropy_with_logits\] pos_weight.*\(3, 1\).*\(3,\)"),
    (lambda m: F.binary_cross_entropy_with_logits(m.f(3), m.f(3), weight=m.f(2)), ValueError,
     r"\[binary_cross_entropy_with_logits\] weight.*\(2,\).*\(3,\)"),
    (lambda m: F.mse_loss(m.f(2), m.f(2), reduction="total"), ValueError, r"reduction.*'total'"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.i(2), reduction=None), ValueError, r"reduction.*None"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.i(3)), ValueError,
     r"\[cross_entropy\] .*one batch size.*\(2, 3\) and \(3,\)"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.f(2)), RuntimeError, r"integer class.*float32 \(2,\)"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.f(2, 4)), RuntimeError, r"\(2, 3\).*\(2, 4\)"),
    (lambda m: F.cross_entropy(m.i(2, 3), m.i(2)), RuntimeError, r"floating-point.*int64"),
    (lambda m: F.cross_entropy(m.f(), m.i()), RuntimeError, r"\[cross_entropy\]"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.i(2), m.f(2)), RuntimeError, r"3 classes.*\(2,\)"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.i(2), label_smoothing=1.5), ValueError,
     r"0\.\.1.*1\.5"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.t([0, 3])), IndexError, r"class 3.*3 classes.*0 to 2"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.t([-1, 0])), IndexError,
     r"class -1.*ignore_index=-100"),
    (lambda m: F.cross_entropy(m.f(2, 3, requires_grad=True), m.t([0, 2**40])), IndexError,
     r"class 1099511627776"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.t([0, 7]), reduction="none"), IndexError, r"class 7"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.t([0, 7]), m.f(3), label_smoothing=0.1), IndexError,
     r"class 7"),
    (lambda m: F.nll_loss(m.f(2, 3), m.t([0, 3])), IndexError, r"\[nll_loss\] class 3.*3 classes"),
    (lambda m: F.nll_loss(m.f(2, 3), m.i(3)), ValueError, r"\[nll_loss\].*\(2, 3\) and \(3,\)"),
    (lambda m: F.nll_loss(m.f(2, 3), m.i(2), m.f(2)), RuntimeError, r"\[nll_loss\].*3.*\(2,\)"),
]  # fmt: skip

# ---------------------------------------------------------------------- indices out of range

INDICES: list[Row] = [
    (lambda m: m.f(2, 3)[2], IndexError, r"\[getitem\] index 2.*dim 0 of size 2"),
    (lambda m: m.f(2, 3)[0, -4], IndexError, r"index -4.*dim 1 of size 3"),
    (lambda m: m.f().data[0], IndexError, r"shape \(\): 1; x.item\(\) is the number"),
    (lambda m: m.f(2, 3)[0, 0, 0], IndexError, r"too many indices.*\(2, 3\)"),
    (lambda m: m.f(2, 3)[[0, 2]], IndexError, r"index 2.*size 2"),
    (lambda m: m.f(2, 3)[:, m.t([0, -4])], IndexError, r"index -4.*dim 1 of size 3"),
    (lambda m: m.f(2, 3)[..., m.t([[3]])], IndexError, r"index 3.*dim 1"),
    (lambda m: m.f(0, 3)[0], IndexError, r"index 0.*size 0"),
    (lambda m: m.f(2, 3)[..., ...], IndexError, r"\[getitem\] only one \.\.\."),
    (lambda m: m.f(2, 3)[m.b(3)], IndexError, r"bool index of shape \(3,\).*\(2,\)"),
    (lambda m: m.f(2, 3)[m.f(2)], IndexError, r"integer or bool.*float32"),
    (lambda m: m.f(2, 3)[1.5], IndexError, r"integer or bool.*float"),
    (lambda m: m.f(2, 3)["a"], IndexError, r"\[getitem\].*str"),
    (lambda m: m.f(2, 3)[::-1], ValueError, r"step.*positive.*-1"),
    (lambda m: m.f(2, 3)[::0], ValueError, r"step.*positive.*0"),
    (lambda m: m.f(2, 3)[m.t([0, 1]), m.t([0, 1, 2])], IndexError,
     r"\[getitem\].*\(2,\), \(3,\)"),
    (lambda m: m.f(2, 3).__setitem__(5, 0.0), IndexError, r"\[setitem\] index 5"),
    (lambda m: m.f(2, 3).size(2), IndexError, r"\[size\] dim 2 .*\(2, 3\)"),
    (lambda m: m.f(2, 0).__setitem__([1, 1], m.f(2, 2, 2, 0)), RuntimeError, r"\[setitem\].*fit"),
    (lambda m: m.f(2, 3).__setitem__(m.t([0, 2]), 0.0), IndexError, r"\[setitem\] index 2"),
    (lambda m: leaf_with_result(m).__setitem__(5, 0.0), IndexError, r"\[setitem\] index 5"),
    (lambda m: m.f(2, 3).__setitem__(0, "a"), TypeError, r"\[setitem\].*str"),
    (lambda m: m.f(2, 3).gather(1, m.t([[3]])), IndexError, r"\[gather\] index 3.*size 3"),
    (lambda m: m.f(2, 3).gather(1, m.t([[-1]])), IndexError, r"\[gather\] index -1.*0 to 2"),
    (lambda m: m.f(2, 3).gather(1, m.f(1, 1)), RuntimeError, r"\[gather\].*integer.*float32"),
    (lambda m: m.f(2, 3).gather(2, m.t([[0]])), IndexError, r"\[gather\] dim 2.*-2 to 1"),
    (lambda m: m.f(2, 3).scatter(0, m.t([[2]]), 0.0), IndexError, r"\[scatter\] index 2"),
    (lambda m: m.f(2, 3).scatter_add(0, m.t([[9]]), m.f(1, 1)), IndexError, r"\[scatter_add\].*9"),
    (lambda m: m.f(2, 3).scatter_(0, m.t([[2]]), 0.0), IndexError, r"\[scatter\] index 2"),
    (lambda m: m.f(2, 3).index_select(0, m.t([2])), IndexError, r"\[index_select\] index 2"),
    (lambda m: m.f(2, 3).index_select(0, m.t([[0]])), IndexError, r"1-d.*\(1, 1\)"),
    (lambda m: m.f(2, 3).index_select(0, m.f(1)), RuntimeError, r"int64 or int32.*float32"),
    (lambda m: m.f(2, 3).take_along_dim(m.t([[5]]), 1), IndexError, r"index 5"),
    (lambda m: m.f(2, 3).narrow(0, 1, 2), RuntimeError, r"\[narrow\] start 1 and length 2.*size 2"),
    (lambda m: m.f(2, 3).narrow(0, 0, -1), RuntimeError, r"\[narrow\].*-1"),
    (lambda m: F.embedding(m.t([0, 3]), m.f(3, 2)), IndexError, r"\[embedding\] index 3.*3 rows"),
    (lambda m: F.embedding(m.t([-1]), m.f(3, 2)), IndexError, r"\[embedding\] index -1.*0 to 2"),
    (lambda m: F.embedding(m.t(2**40), m.f(3, 2)), IndexError, r"index 1099511627776"),
    (lambda m: F.embedding(m.t([0]), m.f(0, 2)), IndexError, r"index 0.*0 rows"),
    (lambda m: F.embedding(m.t([0]), m.f(3, 2), padding_idx=3), IndexError, r"padding_idx 3.*3"),
    (lambda m: F.embedding(m.f(2), m.f(3, 2)), RuntimeError, r"\[embedding\].*integers.*float32"),
    (lambda m: m.f(2, 3).sum(2), IndexError, r"\[sum\] dim 2.*2 dimensions.*-2 to 1"),
    (lambda m: m.f(2, 3).mean((0, -2)), RuntimeError, r"\[mean\].*twice"),
    (lambda m: m.f(2, 3).sum("a"), TypeError, r"\[sum\].*int.*str"),
    (lambda m: m.f(2, 3).sum(1.0), TypeError, r"\[sum\].*int.*float"),
    (lambda m: m.f(2, 3).softmax(2), IndexError, r"\[softmax\] dim 2"),
    (lambda m: m.f(2, 3).softmax(None), TypeError, r"\[softmax\].*dim=-1"),
    (lambda m: m.f(2, 3).transpose(0, 2), IndexError, r"\[transpose\] dim 2"),
    (lambda m: m.f(2, 3).unsqueeze(4), IndexError, r"\[unsqueeze\] dim 4"),
    (lambda m: m.f(2, 3).squeeze(-3), IndexError, r"\[squeeze\] dim -3"),
    (lambda m: m.f(2, 3).size(2), IndexError, r"dim 2|out of range"),
]  # fmt: skip

# ---------------------------------------------------------------------- parts and positions

PARTS: list[Row] = [
    (lambda m: m.f(2, 3).index_add(1, m.t([3]), m.f(2, 1)), IndexError, r"\[index_add\] index 3"),
    (lambda m: m.f(2, 3).index_add(0, m.t([0]), m.f(3)), RuntimeError, r"\(2, 3\).*\(3,\).*source"),
    (lambda m: m.f(2, 3).index_add(0, m.t([0]), m.f(2, 3)), RuntimeError, r"1 slices.*\(1, 3\)"),
    (lambda m: m.i(2, 3).index_add(0, m.t([0]), m.i(1, 3), alpha=0.5), RuntimeError, r"alpha 0.5"),
    (lambda m: m.f(2, 3).index_copy(0, m.t([-1]), m.f(1, 3)), IndexError, r"\[index_copy\].*-1"),
    (lambda m: m.f(2, 3).index_fill(0, m.t([-3]), 0), IndexError, r"index -3.*-2 to 1"),
    (lambda m: m.f(2, 3).index_fill_(0, m.t([0]), m.f(2)), RuntimeError, r"\[index_fill\].*\(2,\)"),
    (lambda m: m.f(2, 3).index_reduce(0, m.t([0]), m.f(1, 3), "sum"), RuntimeError, r"'sum'"),
    (lambda m: m.f(2, 3).index_reduce(0, m.t([2]), m.f(1, 3), "amax"), IndexError, r"index 2"),
    (lambda m: m.f(2).scatter_reduce(0, m.t([0]), m.f(1), "max"), RuntimeError, r"'max'"),
    (lambda m: m.f(2).scatter_reduce(0, m.t([2]), m.f(1), "sum"), IndexError, r"index 2"),
    (lambda m: m.f(2).scatter(0, m.t([0])), TypeError, r"\[scatter\] missing argument"),
    (lambda m: m.f(2).scatter(0, m.t([0]), m.f(1), reduce="mul"), RuntimeError, r"reduce.*'mul'"),
    (lambda m: m.f(2).scatter(0, m.t([0]), m.elsewhere(1)), RuntimeError, r"the source on"),
    (lambda m: m.f(2).take(m.t([2])), IndexError, r"\[take\] index 2.*-2 to 1"),
    (lambda m: m.f(2).take(m.i(1).int()), RuntimeError, r"\[take\].*int64.*int32"),
    (lambda m: m.f(2, 2).put(m.t([4]), m.f(1)), IndexError, r"\[put\] index 4"),
    (lambda m: m.f(2, 2).put_(m.t([0, 1]), m.f(1)), RuntimeError, r"\[put\].*1 elements.*2"),
    (lambda m: m.f(2).index_put((m.t([2]),), m.f(1)), IndexError, r"index 2"),
    (lambda m: m.f(2).index_put((m.t([2]),), m.f(1), True), IndexError, r"\[index_put\] index 2"),
    (lambda m: m.f(2).index_put(m.t([0]), m.f(1)), TypeError, r"\[index_put\].*tuple.*Tensor"),
    (lambda m: m.f(2).masked_select(m.i(2)), RuntimeError, r"\[masked_select\].*bool.*int64"),
    (lambda m: m.f(2).masked_scatter(m.b(2), m.f(1)), RuntimeError, r"2 True.*only 1"),
    (lambda m: m.f(2).masked_scatter_(m.b(3), m.f(3)), RuntimeError, r"\(3,\).*\(2,\)"),
    (lambda m: m.f(2).masked_fill(m.b(2), m.t([1])), RuntimeError, r"0-d.*\(1,\)"),
    (lambda m: m.f(2).masked_fill(m.b(2), None), TypeError, r"\[masked_fill\] expects a number"),
    (lambda m: m.i(2).masked_fill(m.b(2), float("nan")), RuntimeError, r"int64 does not hold nan"),
    (lambda m: m.i(2).byte().fill_(256), RuntimeError, r"\[fill_\] uint8 does not hold 256"),
    (lambda m: m.f(2).__setitem__(0, 1e300), RuntimeError, r"\[setitem\] float32 does not hold 1e"),
    (lambda m: m.f(2).half().scatter(0, m.t([0]), 1e5), RuntimeError, r"float16 does not hold"),
    (lambda m: m.f(2, 3).select(1, 3), IndexError, r"\[select\] index 3.*dim 1.*size 3"),
    (lambda m: m.f().select(0, 0), IndexError, r"\[select\] a 0-d"),
    (lambda m: m.f(2).narrow(0, 3, 0), IndexError, r"\[narrow\] start 3"),
    (lambda m: m.f(2, 3).select_scatter(m.f(2), 0, 0), RuntimeError, r"\[select_scatter\].*\(3,\)"),
    (lambda m: m.f(2, 3).slice_scatter(m.f(1, 3), 0, 0, 2), RuntimeError, r"\(1, 3\).*\(2, 3\)"),
    (lambda m: m.f(2, 3).slice_scatter(m.f(2, 3), step=0), RuntimeError, r"step must be positive"),
    (lambda m: m.f(2, 3).diagonal_scatter(m.f(3)), RuntimeError, r"\(3,\).*\(2,\)"),
    (lambda m: m.f(2, 3).diagonal(0, 1, -1), RuntimeError, r"\[diagonal\].*two dims.*1 and -1"),
    (lambda m: m.f(2).diagonal(), IndexError, r"\[diagonal\] dim 1"),
    (lambda m: m.f(2, 2, 2).diag(), RuntimeError, r"\[diag\].*3 dimensions"),
    (lambda m: m.f(2).tril(), RuntimeError, r"\[tril\] needs matrices.*1"),
    (lambda m: tg.tril_indices(-1, 2), RuntimeError, r"\[tril_indices\].*-1"),
    (lambda m: tg.triu_indices(2, 2, dtype=tg.int16), RuntimeError, r"int32 or int64.*int16"),
    (lambda m: m.f(3).unfold(0, 4, 1), RuntimeError, r"\[unfold\] size 4.*size 3"),
    (lambda m: m.f(3).unfold(0, 1, 0), RuntimeError, r"\[unfold\] step must be positive"),
    (lambda m: m.f(3).unflatten(0, (2, -1)), RuntimeError, r"\[unflatten\] 3 elements.*\(2, -1\)"),
    (lambda m: m.f(3).unflatten(0, ()), RuntimeError, r"\[unflatten\] sizes"),
    (lambda m: m.f(3).tile(-1), RuntimeError, r"\[tile\].*non-negative.*-1"),
    (lambda m: m.f(3).repeat_interleave(-1), RuntimeError, r"\[repeat_interleave\].*negative.*-1"),
    (lambda m: m.f(3).repeat_interleave(m.t([1, 2])), RuntimeError, r"3 slices.*\(2,\)"),
    (lambda m: m.f(3).repeat_interleave(m.t([1, 2, -1])), RuntimeError, r"must not be negative"),
    (lambda m: m.f(3).repeat_interleave(m.i(3), output_size=2), RuntimeError, r"2.*add up to 3"),
    (lambda m: tg.meshgrid(m.f(2, 2)), RuntimeError, r"\[meshgrid\].*\(2, 2\)"),
    (lambda m: tg.meshgrid(m.f(2), m.i(2)), RuntimeError, r"float32.*int64"),
    (lambda m: tg.meshgrid(m.f(2), indexing="yx"), RuntimeError, r"'yx'"),
    (lambda m: tg.broadcast_tensors(m.f(2), m.f(3)), RuntimeError, r"\(2,\), \(3,\)"),
    (lambda m: tg.broadcast_shapes((2,), (3,)), RuntimeError, r"\(2,\), \(3,\)"),
    (lambda m: tg.block_diag(m.f(1, 1, 1)), RuntimeError, r"\[block_diag\].*3 dimensions"),
    (lambda m: m.f(2, 3).hsplit(2), RuntimeError, r"\[hsplit\] size 3.*2 parts"),
    (lambda m: m.f(2).tensor_split(0), RuntimeError, r"\[tensor_split\].*positive.*0"),
    (lambda m: m.f(2, 2).rot90(1, (0, 0)), RuntimeError, r"\[rot90\].*twice"),
    (lambda m: m.f(2, 2).squeeze((0, -2)), RuntimeError, r"\[squeeze\].*twice"),
    (lambda m: m.f(3).H, RuntimeError, r"\[H\].*1 dimensions"),
    (lambda m: tg.nonzero_static(m.f(3), size=-1), RuntimeError, r"\[nonzero_static\].*-1"),
]  # fmt: skip

# ---------------------------------------------------------------------- dtypes and types

TYPES: list[Row] = [
    (lambda m: m.f(2) @ m.t([1, 2]), RuntimeError, r"\[matmul\].*float32.*int64"),
    (lambda m: m.f(2, 2) @ m.f(2, 2).double(), RuntimeError, r"\[matmul\].*float32.*float64"),
    (lambda m: F.linear(m.f(2, 2), m.f(2, 2).half()), RuntimeError, r"\[linear\].*float16"),
    (lambda m: F.conv2d(m.f(1, 1, 2, 2), m.f(1, 1, 1, 1).double()), RuntimeError,
     r"\[conv2d\].*float64"),
    (lambda m: m.i(3).mean(), RuntimeError, r"\[mean\].*floating-point.*int64.*float\(\)"),
    (lambda m: m.b(3).var(), RuntimeError, r"\[var\].*floating-point.*bool"),
    (lambda m: m.i(3).softmax(0), RuntimeError, r"\[softmax\].*floating-point.*int64"),
    (lambda m: tg.full((2,), 2**70, device=m.device), RuntimeError, r"\[full\] int64.*1180591"),
    (lambda m: tg.full_like(m.i(2), 2**70), RuntimeError, r"\[full\] int64.*1180591"),
    (lambda m: m.b(3).argmax(), RuntimeError, r"\[argmax\].*bool"),
    (lambda m: m.b(3) % m.b(3), RuntimeError, r"\[remainder\].*bool.*\.int\(\)"),
    (lambda m: m.b(3) // True, RuntimeError, r"\[floor_divide\].*bool.*\.int\(\)"),
    (lambda m: tg.div(m.b(3), m.b(3), rounding_mode="trunc"), RuntimeError, r"\[div\].*bool"),
    (lambda m: m.i(3) // m.i(3), RuntimeError, r"\[floor_divide\] integer division by zero"),
    (lambda m: m.i(3) // 0, RuntimeError, r"\[floor_divide\] integer division by zero"),
    (lambda m: 7 // m.i(3), RuntimeError, r"\[floor_divide\] integer division by zero"),
    (lambda m: m.i(3) % 0, RuntimeError, r"\[remainder\] integer division by zero"),
    (lambda m: 7 % m.i(3), RuntimeError, r"\[remainder\] integer division by zero"),
    (lambda m: m.i(3).remainder_(0), RuntimeError, r"\[remainder\] integer division by zero"),
    (lambda m: tg.div(m.i(3), 0, rounding_mode="trunc"), RuntimeError, r"\[div\].*by zero"),
    (lambda m: tg.div(m.i(3), m.i(3), rounding_mode="floor"), RuntimeError, r"by zero"),
    (lambda m: tg.dropout(m.i(3)), RuntimeError, r"\[dropout\].*floating-point.*int64"),
    (lambda m: F.layer_norm(m.i(3), (3,)), RuntimeError, r"\[layer_norm\].*floating-point.*int64"),
    (lambda m: m.b(2) - m.b(2), TypeError, r"\[subtract\].*bool"),
    (lambda m: -m.b(2), TypeError, r"\[negative\].*bool"),
    (lambda m: ~m.f(2), TypeError, r"\[bitwise_not\] of float32 \(2,\): .*\.bool\(\)"),
    (lambda m: m.f(2) & m.f(2), TypeError, r"\[bitwise_and\] .* and float32 \(2,\): .*\.bool\(\)"),
    (lambda m: m.f(2) << 1, RuntimeError, r"\[bitwise_left_shift\].*integer.*float32"),
    (lambda m: tg.gcd(m.b(2), m.b(2)), RuntimeError, r"\[gcd\].*integer.*bool"),
    (lambda m: tg.gcd(m.i(2), 3), TypeError, r"\[gcd\] expects two Tensors, got int"),
    (lambda m: tg.maximum(m.f(2), 0), TypeError, r"\[maximum\] expects two Tensors, got int"),
    (lambda m: tg.eq(2, m.f(2)), TypeError, r"\[eq\] expects a Tensor, got int"),
    (lambda m: tg.hypot(m.i(2), m.i(2)), RuntimeError, r"\[hypot\] .*floating-point.*int64"),
    (lambda m: m.i(2).frac(), RuntimeError, r"\[frac\].*int64.*float\(\)"),
    (lambda m: tg.nextafter(m.i(2), m.i(2)), RuntimeError, r"\[nextafter\].*int64"),
    (lambda m: tg.add(m.i(2), m.i(2), alpha=1.5), RuntimeError, r"\[add\] alpha.*1\.5"),
    (lambda m: tg.addcmul(m.i(2), m.i(2), m.i(2), value=0.5), RuntimeError, r"\[addcmul\].*0\.5"),
    (lambda m: tg.addcdiv(m.f(2), m.i(2), m.i(2)), RuntimeError, r"\[addcdiv\].*int64"),
    (lambda m: tg.lerp(m.f(2), m.f(2).double(), 0.5), RuntimeError, r"\[lerp\].*float64"),
    (lambda m: tg.heaviside(m.f(2), m.i(2)), RuntimeError, r"\[heaviside\].*float32.*int64"),
    (lambda m: tg.isclose(m.f(2), m.i(2)), RuntimeError, r"\[isclose\].*float32.*int64"),
    (lambda m: tg.isclose(m.f(2), m.f(2), rtol=-1), RuntimeError, r"\[isclose\] rtol.*-1"),
    (lambda m: tg.fmod(m.i(3), m.i(3)), RuntimeError, r"\[fmod\] integer division by zero"),
    (lambda m: tg.atan2(m.f(2), m.f(3)), RuntimeError, r"\[atan2\] shapes \(2,\) and \(3,\)"),
    (lambda m: tg.xlogy(m.f(2), m.f(3)), RuntimeError, r"\[xlogy\] shapes \(2,\) and \(3,\)"),
    (lambda m: m.f(2).clamp(m.f(3)), RuntimeError, r"\[clamp\] shapes \(2,\), \(3,\)"),
    (lambda m: tg.polygamma(-1, m.f(2)), RuntimeError, r"\[polygamma\].*-1"),
    (lambda m: tg.mvlgamma(m.f(2), 0), RuntimeError, r"\[mvlgamma\] p must be.*0"),
    (lambda m: tg.igamma(m.i(2), m.i(2)), RuntimeError, r"\[igamma\].*int64"),
    (lambda m: tg.diff(m.f(2), -1), RuntimeError, r"\[diff\].*-1"),
    (lambda m: tg.diff(m.f(2), prepend=m.f(1, 1)), RuntimeError, r"\[diff\].*\(1, 1\)"),
    (lambda m: tg.trapezoid(m.f(3), m.f(2)), RuntimeError, r"\[trapezoid\].*2 for 3"),
    (lambda m: tg.trapezoid(m.f(3), m.f(3), dx=1), TypeError, r"\[trapezoid\].*x or dx"),
    (lambda m: tg.gradient(m.f(1)), RuntimeError, r"\[gradient\] needs at least 2.*\(1,\)"),
    (lambda m: tg.gradient(m.f(3), dim=2), IndexError, r"\[gradient\] dim 2"),
    (lambda m: m.i(2) ** -1, RuntimeError, r"\[pow\].*integers.*float\(\)"),
    (lambda m: tg.where(m.f(2), m.f(2), m.f(2)), RuntimeError, r"\[where\].*bool"),
    (lambda m: tg.where([True, False], m.f(2), m.f(2)), RuntimeError, r"\[where\].*bool tensor"),
    (lambda m: m.f(2).masked_fill(m.i(2), 0.0), RuntimeError, r"\[masked_fill\].*bool"),
    (lambda m: m.f(2, 2).scatter(0, m.t([[0]]), m.t([[1]])), RuntimeError, r"float32.*int64"),
    (lambda m: m.i(2).add_(1.5), RuntimeError, r"\[add_\].*float32.*int64"),
    (lambda m: m.i(2).div_(2), RuntimeError, r"\[div_\].*float32.*int64"),
    (lambda m: m.i(2).uniform_(), RuntimeError, r"\[uniform_\].*int64"),
    (lambda m: m.i(2).requires_grad_(), RuntimeError, r"floating-point.*int64"),
    (lambda m: m.t([1, 2], requires_grad=True), RuntimeError, r"floating-point.*int64"),
    (lambda m: m.f(2) + None, TypeError, r"\[add\].*NoneType"),
    (lambda m: m.f(2) * "a", TypeError, r"\[multiply\].*str"),
    (lambda m: "a" + m.f(2), TypeError, r"str"),
    (lambda m: m.f(2) + 1j, TypeError, r"\[add\].*complex"),
    (lambda m: m.f(2) + [1.0, 2.0], TypeError, r"\[add\].*list"),
    (lambda m: m.f(2) < None, TypeError, r"\[less\].*NoneType"),
    (lambda m: m.f(2) + np.array(["a", "b"]), TypeError, r"\[add\]"),
    (lambda m: m.f(2) + np.array([1j, 2]), TypeError, r"\[add\].*complex"),
    (lambda m: m.f(2) + object(), TypeError, r"\[add\].*object"),
    (lambda m: m.f(2) @ np.ones(2), TypeError, r"\[matmul\].*ndarray"),
    (lambda m: tg.exp(1.0), TypeError, r"\[exp\].*float"),
    (lambda m: tg.exp(None), TypeError, r"\[exp\].*NoneType"),
    (lambda m: tg.sum([1, 2]), TypeError, r"\[sum\].*list"),
    (lambda m: F.relu(np.ones(2)), TypeError, r"\[relu\].*ndarray"),
    (lambda m: F.gelu(None), TypeError, r"\[gelu\].*NoneType"),
    (lambda m: tg.reshape([1, 2], (2,)), TypeError, r"\[reshape\].*list"),
    (lambda m: F.softmax([1.0], 0), TypeError, r"\[softmax\].*list"),
    (lambda m: F.mse_loss(m.f(2), 1.0), TypeError, r"\[mse_loss\].*float"),
    (lambda m: F.cross_entropy(m.f(2, 3), [0, 1]), TypeError, r"\[cross_entropy\].*list"),
    (lambda m: F.cross_entropy([0.0, 1.0], m.i()), TypeError, r"\[cross_entropy\].*list"),
    (lambda m: F.embedding([0, 1], m.f(3, 2)), TypeError, r"\[embedding\].*list"),
    (lambda m: m.f(2, 3).gather(0, [[0]]), TypeError, r"\[gather\].*list"),
    (lambda m: m.f(2).copy_([1.0, 2.0]), TypeError, r"\[copy_\].*list"),
    (lambda m: tg.cat(m.f(2)), TypeError, r"\[cat\].*list of tensors.*Tensor"),
    (lambda m: tg.cat([m.f(2), [1.0]]), TypeError, r"\[cat\].*list"),
    (lambda m: tg.stack([m.f(2), None]), TypeError, r"\[stack\].*NoneType"),
    (lambda m: tg.einsum("i->i", [1.0]), TypeError, r"\[einsum\].*float|\[einsum\].*list"),
    (lambda m: m.f(2, 3).reshape("a"), TypeError, r"\[reshape\].*ints.*'a'"),
    (lambda m: m.f(2, 3).reshape(2.0, 3), TypeError, r"\[reshape\].*ints.*2\.0"),
    (lambda m: m.f(2, 3).expand(None), TypeError, r"\[expand\].*ints"),
    (lambda m: m.f(2).to("nowhere"), ValueError, r"unknown device 'nowhere'"),
    (lambda m: m.f(2).to(complex), TypeError, r"unsupported dtype"),
    (lambda m: m.f(2).to(3.0), TypeError, r"\[to\] unsupported dtype 3"),
    (lambda m: tg.from_numpy(np.ones(1, complex)), TypeError, r"complex128"),
]  # fmt: skip

# ---------------------------------------------------------------------- making tensors

MAKING: list[Row] = [
    (lambda m: tg.zeros(-1, device=m.device), RuntimeError, r"\[zeros\].*negative.*\(-1,\)"),
    (lambda m: tg.ones(2, -3, device=m.device), RuntimeError, r"\[ones\].*negative"),
    (lambda m: tg.empty((2, -3), device=m.device), RuntimeError, r"\[empty\].*negative"),
    (lambda m: tg.full((-2,), 1.0, device=m.device), RuntimeError, r"\[full\].*negative"),
    (lambda m: tg.rand(-2, device=m.device), RuntimeError, r"\[rand\].*negative"),
    (lambda m: tg.eye(-1, device=m.device), RuntimeError, r"\[eye\].*negative"),
    (lambda m: tg.linspace(0, 1, -1, device=m.device), RuntimeError, r"\[linspace\].*negative"),
    (lambda m: tg.randperm(-1, device=m.device), RuntimeError, r"\[randperm\].*negative"),
    (lambda m: tg.zeros("a"), TypeError, r"\[zeros\].*ints.*'a'"),
    (lambda m: tg.zeros(2.5), TypeError, r"\[zeros\].*ints.*2\.5"),
    (lambda m: tg.zeros(None), TypeError, r"\[zeros\].*ints.*None"),
    (lambda m: tg.zeros(2, dtype="complex64"), TypeError, r"unsupported dtype 'complex64'"),
    (lambda m: tg.zeros(2, device="gpu"), ValueError, r"unknown device 'gpu'.*'cuda:N'"),
    (lambda m: tg.zeros(2, device="cpu:1"), ValueError, r"only one 'cpu'.*1"),
    (lambda m: tg.zeros(2, device="cuda:x"), ValueError, r"unknown device 'cuda:x'"),
    (lambda m: tg.zeros(2, device=3.5), ValueError, r"unknown device 3\.5"),
    (lambda m: tg.device("cuda", -1), ValueError, r"unknown device|negative"),
    (lambda m: tg.arange(0, 5, 0), RuntimeError, r"\[arange\].*0 to 5 by 0"),
    (lambda m: tg.arange(5, 0), RuntimeError, r"\[arange\].*5 to 0 by 1"),
    (lambda m: tg.arange(float("nan")), RuntimeError, r"\[arange\].*nan"),
    (lambda m: tg.arange(float("inf")), RuntimeError, r"\[arange\].*inf"),
    (lambda m: tg.arange(0, 1, float("nan")), RuntimeError, r"\[arange\].*nan"),
    (lambda m: tg.arange("a"), TypeError, r"\[arange\].*str"),
    (lambda m: tg.tensor([[1, 2], [3]]), ValueError, r"\[tensor\]"),
    (lambda m: tg.tensor("12"), TypeError, r"\[tensor\].*str.*real number"),
    (lambda m: tg.tensor(["a"]), TypeError, r"\[tensor\].*list.*real number"),
    (lambda m: tg.tensor(None), TypeError, r"\[tensor\].*NoneType"),
    (lambda m: tg.tensor([1.0, None]), TypeError, r"\[tensor\].*list"),
    (lambda m: tg.tensor(1j), TypeError, r"\[tensor\].*complex"),
    (lambda m: tg.tensor({"a": 1}), TypeError, r"\[tensor\].*dict"),
    (lambda m: tg.tensor(object()), TypeError, r"\[tensor\].*object"),
    (lambda m: tg.tensor(np.array([None])), TypeError, r"\[tensor\].*ndarray.*'O'"),
    (lambda m: tg.tensor(np.zeros(2, dtype="uint16")), TypeError, r"uint16"),
    (lambda m: tg.tensor(2**63), ValueError, r"\[tensor\].*int too large"),
    (lambda m: tg.tensor(300, dtype="uint8"), ValueError, r"\[tensor\].*uint8.*300"),
    (lambda m: tg.tensor(float("nan"), dtype="int64"), ValueError, r"\[tensor\].*(NaN|nan)"),
    (lambda m: tg.from_numpy([1.0]), TypeError, r"\[from_numpy\].*list"),
    (lambda m: tg.from_numpy(np.array(["a"])), TypeError, r"unsupported dtype"),
    (lambda m: tg.full((2,), "a"), TypeError, r"real number.*str"),
    (lambda m: tg.full((2,), 1j), TypeError, r"real number.*complex"),
    (lambda m: tg.rand(2, dtype="int64"), RuntimeError, r"\[rand\].*floating-point.*int64"),
    (lambda m: tg.randn_like(m.i(2)), RuntimeError, r"\[randn\].*floating-point.*int64"),
    (lambda m: tg.randint(5, 5, (2,)), RuntimeError, r"\[randint\].*low < high.*5 and 5"),
    (lambda m: tg.randint(0, 300, (2,), dtype="uint8"), RuntimeError, r"\[randint\].*uint8.*299"),
    (lambda m: tg.randint(3, (-2,)), RuntimeError, r"\[randint\].*negative"),
    (lambda m: tg.bernoulli(m.t([0.5, 1.5])), RuntimeError, r"\[bernoulli\].*0\.\.1"),
    (lambda m: tg.bernoulli(m.t([0.5, float("nan")])), RuntimeError, r"\[bernoulli\].*0\.\.1"),
    (lambda m: m.f(2).uniform_(3, 2), RuntimeError, r"\[uniform_\].*3 and 2"),
    (lambda m: m.f(2).normal_(0, -1), RuntimeError, r"\[normal_\].*negative.*-1"),
    (lambda m: tg.dropout(m.f(2), 1.5), ValueError, r"\[dropout\].*0\.\.1.*1\.5"),
    (lambda m: tg.dropout(m.f(2), float("nan")), ValueError, r"\[dropout\].*nan"),
    (lambda m: m.b(2).clamp(max=True), RuntimeError, r"\[clamp\].*bool.*int\(\)"),
    (lambda m: m.f(2).clamp(), RuntimeError, r"\[clamp\].*min, max"),
    (lambda m: m.f(2).div(2, rounding_mode="up"), RuntimeError, r"rounding_mode.*'up'"),
    (lambda m: F.bias_gelu(m.f(2, 3), m.f(2)), RuntimeError, r"\[bias_gelu\].*\(2, 3\).*\(2,\)"),
    (lambda m: F.bias_gelu(m.f(), m.f(1)), RuntimeError, r"\[bias_gelu\] input \(\)"),
    (lambda m: F.bias_gelu(m.f(2), m.i(2)), RuntimeError, r"float32 of input and int64 of bias"),
    (lambda m: F.bias_gelu(m.i(2), m.i(2)), RuntimeError, r"\[bias_gelu\].*int64"),
    (lambda m: F.bias_gelu(m.f(2), 1.0), TypeError, r"\[bias_gelu\].*float as bias"),
    (lambda m: F.bias_gelu(m.f(2), m.f(2), "exact"), RuntimeError, r"bias_gelu.*'exact'"),
    (lambda m: tg.cudnn_convolution_relu(m.f(1, 2, 4, 4), m.f(3, 1, 2, 2), None, 1, 0, 1, 1),
     RuntimeError, r"\[cudnn_convolution_relu\].*2 channels"),
    (lambda m: tg.cudnn_convolution_relu(m.f(1, 2), m.f(3, 1), None, 1, 0, 1, 1),
     RuntimeError, r"\[cudnn_convolution_relu\].*3 to 5 dimensions.*\(3, 1\)"),
    (lambda m: tg.cudnn_convolution_relu(m.f(1, 1, 4), None, None, 1, 0, 1, 1),
     TypeError, r"\[cudnn_convolution_relu\]"),
    (lambda m: F.feed_forward(m.f(2, 3), m.f(4, 3), None, m.f(2, 5), None), RuntimeError,
     r"\[feed_forward\] input \(2, 3\), weight1 \(4, 3\), bias1 None, weight2 \(2, 5\)"),
    (lambda m: F.feed_forward(m.f(2, 3), m.f(4, 3), m.f(3), m.f(2, 4), None), RuntimeError,
     r"\[feed_forward\].*bias1 \(3,\).*expected"),
    (lambda m: F.feed_forward(m.f(3), m.f(4, 3), None, m.i(2, 4), None), RuntimeError,
     r"\[feed_forward\].*int64 of weight2"),
    (lambda m: F.feed_forward(m.i(3), m.i(4, 3), None, m.i(2, 4), None), RuntimeError,
     r"\[feed_forward\].*int64"),
    (lambda m: F.feed_forward(m.f(3), None, None, m.f(2, 4), None), TypeError,
     r"\[feed_forward\].*weight1"),
    (lambda m: F.feed_forward(m.f(3), m.f(4, 3), None, m.f(2, 4), None, "exact"), RuntimeError,
     r"\[feed_forward\].*'exact'"),
    (lambda m: F.gelu(m.f(2), approximate="exact"), (ValueError, RuntimeError), r"gelu.*'exact'"),
    (lambda m: F.conv2d(m.f(2, 8, 8, 3), m.f(4, 3, 3, 3)), RuntimeError,
     r"input \(2, 8, 8, 3\) has 8 channels.* expects 3.*movedim\(-1, -3\)"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4).half(), m.f(1, 1, 2, 2)), RuntimeError,
     r"float16 of input and float32 of weight"),
    (lambda m: F.linear(m.f(4, 8), m.f(5, 10), m.f(5)), RuntimeError,
     r"\[linear\].*\(4, 8\).*\(5, 10\).*last size is 8, not 10"),
    (lambda m: F.linear(m.f(4, 8).double(), m.f(5, 8)), RuntimeError,
     r"\[linear\].*float64 of input and float32 of weight.*\.to\(\)"),
    (lambda m: F.linear(np.ones((4, 8)), m.f(5, 8)), TypeError,
     r"\[linear\].*ndarray as input.*as_tensor"),
    (lambda m: tg.where(m.f(2), 1.0, 0.0), RuntimeError, r"\[where\].*bool tensor, got float32"),
    (lambda m: F.cross_entropy(m.i(4), m.f(4, 3)), RuntimeError,
     r"\[cross_entropy\] the logits come first.*int64 \(4,\) and float32 \(4, 3\)"),
    (lambda m: nn.MSELoss(m.f(2), m.f(2)), TypeError, r"MSELoss\(\)\(input, target\).*Tensor"),
    (lambda m: nn.Sequential([nn.ReLU()]), TypeError, r"Sequential\(\*modules\)"),
    (lambda m: tg.cat(m.f(2), m.f(2)), TypeError, r"\[cat\].*list.*got Tensor.*brackets"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), stride=0), RuntimeError, r"stride.*0"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), padding=-1), RuntimeError,
     r"padding.*-1"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), padding="full"), ValueError, r"'full'"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), groups=0), RuntimeError, r"groups"),
    (lambda m: F.max_pool2d(m.f(1, 1, 4, 4), 0), RuntimeError, r"\[max_pool2d\].*kernel"),
    (lambda m: F.avg_pool2d(m.f(1, 1, 4, 4), 2, divisor_override=0), RuntimeError, r"divisor"),
]  # fmt: skip

# ---------------------------------------------------------------------- nothing to reduce

EMPTY: list[Row] = [
    (lambda m: m.f(0, 3).max(), RuntimeError, r"\[max\].*\(0, 3\)"),
    (lambda m: m.f(0, 3).aminmax(), RuntimeError, r"\[aminmax\].*\(0, 3\)"),
    (lambda m: m.f(0, 3).aminmax(dim=0), IndexError, r"\[aminmax\].*dim 0.*\(0, 3\)"),
    (lambda m: m.f(0, 3).median(0), IndexError, r"\[median\].*dim 0.*\(0, 3\)"),
    (lambda m: m.i(0).median(), RuntimeError, r"\[median\].*\(0,\)"),
    (lambda m: m.f(3, 0).mode(), IndexError, r"\[mode\].*dim 1.*\(3, 0\)"),
    (lambda m: m.f(3, 0).kthvalue(1), IndexError, r"\[kthvalue\].*dim 1.*\(3, 0\)"),
    (lambda m: m.f(0).quantile(0.5), RuntimeError, r"\[quantile\].*\(0,\)"),
    (lambda m: m.f(0).norm(float("inf")), RuntimeError, r"\[norm\].*inf.*\(0,\)"),
    (lambda m: m.f(0, 2).unique(dim=1), RuntimeError, r"\[unique\].*\(0, 2\).*size 0"),
    (lambda m: m.f(0, 3).amin(0), IndexError, r"\[amin\].*\(0, 3\)"),
    (lambda m: m.f(3, 0).max(1), IndexError, r"\[\w*max\].*\(3, 0\)"),
    (lambda m: m.f(0).argmax(), IndexError, r"\[argmax\].*\(0,\)"),
    (lambda m: m.f(0, 3).argmin(0), IndexError, r"\[argmin\].*\(0, 3\)"),
    (lambda m: m.f(0).item(), RuntimeError, r"one element.*\(0,\)"),
]  # fmt: skip

# ---------------------------------------------------------------------- ranks, bins, statistics

RANKS: list[Row] = [
    (lambda m: m.f(2, 3).sort(2), IndexError, r"\[sort\] dim 2"),
    (lambda m: tg.sort([2.0, 1.0]), TypeError, r"\[sort\].*list"),
    (lambda m: m.f(2, 3).argsort("0"), TypeError, r"\[argsort\] dim.*str"),
    (lambda m: m.f(2, 3).topk(4), RuntimeError, r"\[topk\] k must be 0 to 3.*4"),
    (lambda m: m.f(2, 3).topk(-1, 0), RuntimeError, r"\[topk\] k must be 0 to 2.*-1"),
    (lambda m: m.f(2, 3).kthvalue(0), RuntimeError, r"\[kthvalue\] k must be 1 to 3.*0"),
    (lambda m: m.f(2, 3).kthvalue(3, 0), RuntimeError, r"\[kthvalue\] k must be 1 to 2.*3"),
    (lambda m: m.f(3).quantile(1.5), RuntimeError, r"\[quantile\] q must be 0 to 1.*1.5"),
    (lambda m: m.f(3).quantile(float("nan")), RuntimeError, r"\[quantile\] q.*nan"),
    (lambda m: m.i(3).quantile(0.5), RuntimeError, r"\[quantile\].*int64"),
    (lambda m: m.f(3).quantile(m.t([0.5], dtype="float64")), RuntimeError,
     r"\[quantile\] q.*float32.*float64"),
    (lambda m: m.f(3).quantile(m.f(1, 1)), RuntimeError, r"\[quantile\] q.*\(1, 1\)"),
    (lambda m: m.f(3).nanquantile(0.5, interpolation="cubic"), RuntimeError,
     r"\[nanquantile\] interpolation.*'cubic'"),
    (lambda m: tg.searchsorted(m.f(2, 3), m.f(3, 3)), RuntimeError,
     r"\[searchsorted\].*\(2, 3\).*\(3, 3\)"),
    (lambda m: tg.searchsorted(m.f(3), m.i(3)), RuntimeError,
     r"\[searchsorted\].*float32.*int64"),
    (lambda m: tg.searchsorted(m.f(3), m.f(3), side="up"), RuntimeError,
     r"\[searchsorted\] side.*'up'"),
    (lambda m: tg.searchsorted(m.f(3), m.f(3), right=True, side="left"), RuntimeError,
     r"\[searchsorted\].*contradict"),
    (lambda m: tg.searchsorted(m.f(3), m.f(3), sorter=m.t([0, 1, 3])), IndexError,
     r"\[searchsorted\].*sorter.*0 to 2"),
    (lambda m: tg.searchsorted(m.f(3), m.f(3), sorter=m.i(2)), RuntimeError,
     r"\[searchsorted\].*sorter.*\(2,\)"),
    (lambda m: tg.bucketize(m.f(3), m.f(3, 1)), RuntimeError, r"\[bucketize\].*\(3, 1\)"),
    (lambda m: tg.bincount(m.t([0, -1])), RuntimeError, r"\[bincount\].*negative"),
    (lambda m: tg.bincount(m.f(3)), RuntimeError, r"\[bincount\].*float32"),
    (lambda m: tg.bincount(m.i(3), m.f(2)), RuntimeError, r"\[bincount\].*weight.*\(2,\)"),
    (lambda m: m.f(3).histc(0), RuntimeError, r"\[histc\].*positive.*0"),
    (lambda m: m.f(3).histc(3, 2, 1), RuntimeError, r"\[histc\] min.*2 and 1"),
    (lambda m: m.t([1.0, float("inf")]).histc(3), RuntimeError, r"\[histc\].*finite.*inf"),
    (lambda m: m.f(3).histogram(m.f(1)), RuntimeError, r"\[histogram\] edges.*\(1,\)"),
    (lambda m: m.f(3).histogram(2, range=(0,)), RuntimeError, r"\[histogram\] range needs 2"),
    (lambda m: tg.histogramdd(m.f(3, 2), [2]), RuntimeError, r"\[histogramdd\].*1.*2"),
    (lambda m: m.f(3).cumsum(1), IndexError, r"\[cumsum\] dim 1"),
    (lambda m: m.f(3).cumprod(None), TypeError, r"\[cumprod\] dim"),
    (lambda m: m.i(3).norm(), RuntimeError, r"\[norm\].*int64"),
    (lambda m: m.f(3).norm("max"), RuntimeError, r"\[norm\] p.*'max'"),
    (lambda m: m.f(2, 2).renorm(0, 0, 1.0), RuntimeError, r"\[renorm\].*p > 0"),
    (lambda m: m.f(2, 3).sum_to_size(2, 2), RuntimeError, r"\[sum_to_size\].*\(2, 2\).*\(2, 3\)"),
    (lambda m: tg.masked.sum(m.f(3), mask=m.b(1, 3)), IndexError, r"\[masked.sum\].*mask"),
    (lambda m: tg.masked.mean(m.i(3)), ValueError, r"\[masked.mean\].*int64"),
    (lambda m: tg.masked.median(m.i(2), 0, mask=m.t([False, False])), ValueError,
     r"\[masked.median\].*nan"),
]  # fmt: skip

# ---------------------------------------------------------------------- devices that differ

DEVICES_DIFFER: list[Row] = [
    (lambda m: m.f(2) + m.elsewhere(2), RuntimeError, r"\[add\].*one device.*to\(device\)"),
    (lambda m: m.f(2).double() + m.elsewhere(2), RuntimeError, r"\[add\].*one device"),
    (lambda m: m.f(2) < m.elsewhere(2), RuntimeError, r"\[less\].*one device"),
    (lambda m: m.f(2, 2) @ m.elsewhere(2, 2), RuntimeError, r"\[matmul\].*one device"),
    (lambda m: F.linear(m.f(2, 2), m.elsewhere(2, 2)), RuntimeError, r"\[linear\].*one device"),
    (lambda m: tg.cat([m.f(2), m.elsewhere(2)]), RuntimeError, r"\[concatenate\].*one device"),
    (lambda m: tg.where(m.b(2), m.f(2), m.elsewhere(2)), RuntimeError, r"\[where\].*one device"),
    (lambda m: tg.where(m.elsewhere(2) > 0, m.f(2), m.f(2)), RuntimeError,
     r"\[where\].*one device"),
    (lambda m: m.f(2, 2).gather(0, m.elsewhere(1, 1).long()), RuntimeError,
     r"\[gather\].*index on"),
    (lambda m: m.f(2).index_select(0, m.elsewhere(1).long()), RuntimeError,
     r"\[index_select\].*on"),
    (lambda m: tg.searchsorted(m.f(2), m.elsewhere(2)), RuntimeError, r"\[searchsorted\].*on"),
    (lambda m: m.f(2).quantile(m.elsewhere(2)), RuntimeError, r"\[quantile\].*q on"),
    (lambda m: tg.bincount(m.i(2), m.elsewhere(2)), RuntimeError, r"\[bincount\].*weights"),
    (lambda m: m.f(2).histogram(m.elsewhere(2)), RuntimeError, r"\[histogram\].*bins on"),
    (lambda m: m.f(2).__setitem__(0, m.elsewhere(1)), RuntimeError, r"\[setitem\].*values on"),
    (lambda m: m.f(2).add_(m.elsewhere(2)), RuntimeError, r"\[add\].*one device"),
    (lambda m: F.mse_loss(m.f(2), m.elsewhere(2)), RuntimeError, r"one device"),
    (lambda m: F.cross_entropy(m.f(2, 3), m.elsewhere(2).long()), RuntimeError,
     r"\[cross_entropy\].*one device"),
    (lambda m: F.embedding(m.elsewhere(2).long(), m.f(3, 2)), RuntimeError,
     r"\[embedding\].*one device"),
    (lambda m: F.layer_norm(m.f(2, 3), (3,), m.elsewhere(3)), RuntimeError, r"one device"),
    (lambda m: F.batch_norm(m.f(2, 3), None, None, m.elsewhere(3), training=True), RuntimeError,
     r"one device"),
    (lambda m: leaf_with_result(m).backward(m.elsewhere(2)), RuntimeError, r"\[backward\].*on"),
    (lambda m: setattr(m.f(2), "grad", m.elsewhere(2)), RuntimeError, r"gradient is on"),
]  # fmt: skip

# ---------------------------------------------------------------------- gradients

GRADIENTS: list[Row] = [
    (lambda m: leaf_with_result(m).backward(), RuntimeError, r"scalars.*\(2,\).*gradient="),
    (lambda m: tg.autograd.grad(leaf_with_result(m), m.made[0]), RuntimeError, r"scalars.*\(2,\)"),
    (lambda m: m.f().backward(), RuntimeError, r"\[backward\].*does not require grad"),
    (lambda m: tg.autograd.grad(m.f(), m.f()), RuntimeError, r"\[grad\].*does not require grad"),
    (lambda m: tg.autograd.grad(leaf_with_result(m).sum(), m.f(2)), RuntimeError,
     r"requires? grad"),
    (lambda m: leaf_with_result(m).sum().backward(inputs=[m.f(2)]), RuntimeError, r"requires grad"),
    (lambda m: leaf_with_result(m).sum().backward(inputs=[]), RuntimeError, r"not be empty"),
    (lambda m: leaf_with_result(m).backward(1.0), RuntimeError,
     r"gradient must be a Tensor.*float"),
    (lambda m: leaf_with_result(m).backward(np.ones(2)), RuntimeError,
     r"gradient must be a Tensor"),
    (lambda m: tg.autograd.backward([leaf_with_result(m)], [m.f(2)] * 2), RuntimeError,
     r"2 grad.*1"),
    (lambda m: tg.autograd.backward(["a"]), TypeError, r"\[backward\].*Tensors.*str"),
    (lambda m: m.f(2).register_hook(print), RuntimeError, r"\[register_hook\].*require grad"),
    (lambda m: m.f(2).register_post_accumulate_grad_hook(print), RuntimeError, "require grad"),
    (lambda m: (m.f(2).requires_grad_() * 2).register_post_accumulate_grad_hook(print),
     RuntimeError, r"\[register_post_accumulate_grad_hook\] only leaves"),
    (lambda m: leaf_with_result(m).register_hook("a"), TypeError, r"\[register_hook\].*call.*str"),
    (lambda m: m.f(2).retain_grad(), RuntimeError, r"\[retain_grad\].*require grad"),
    (lambda m: leaf_with_result(m).numpy(), RuntimeError, r"detach\(\)"),
    (lambda m: setattr(m.f(2), "grad", 1.0), TypeError, r"grad must be a Tensor.*float"),
]  # fmt: skip

# ---------------------------------------------------------------------- functions of networks

NETWORKS: list[Row] = [
    (lambda m: F.celu(m.f(2), 0.0), RuntimeError, r"\[celu\] alpha.*0"),
    (lambda m: F.mish(m.i(2)), RuntimeError, r"\[mish\].*floating-point.*int64"),
    (lambda m: F.hardtanh(m.f(2), 1.0, -1.0), ValueError, r"\[hardtanh\].*1\.0.*-1\.0"),
    (lambda m: F.relu6(m.b(2)), RuntimeError, r"\[hardtanh\] bool"),
    (lambda m: F.threshold(m.b(2), 1, 0), RuntimeError, r"\[threshold\].*bool"),
    (lambda m: F.softshrink(m.f(2), -1.0), RuntimeError, r"\[softshrink\].*-1\.0"),
    (lambda m: F.prelu(m.f(2, 3), m.f(2)), RuntimeError, r"\[prelu\].*2 elements.*3 channels"),
    (lambda m: F.prelu(m.f(2, 3), m.f(3, 1)), RuntimeError, r"\[prelu\].*\(3, 1\)"),
    (lambda m: F.prelu(m.f(2), m.t([1.0], dtype="float64")), RuntimeError, r"float32.*float64"),
    (lambda m: F.rrelu(m.f(2), 0.3, 0.1), RuntimeError, r"\[rrelu\].*0\.3.*0\.1"),
    (lambda m: F.glu(m.f(2, 3)), RuntimeError, r"\[glu\].*even.*\(2, 3\)"),
    (lambda m: F.glu(m.f()), RuntimeError, r"\[glu\].*0-d"),
    (lambda m: F.gumbel_softmax(m.f(3), 0.0), ValueError, r"\[gumbel_softmax\].*tau.*0\.0"),
    (lambda m: F.dropout2d(m.f(3)), RuntimeError, r"\[dropout2d\].*\(3,\)"),
    (lambda m: F.dropout1d(m.f(2, 3, 1, 1)), RuntimeError, r"\[dropout1d\].*\(2, 3, 1, 1\)"),
    (lambda m: F.alpha_dropout(m.f(3), 1.5, True), ValueError, r"\[alpha_dropout\].*1\.5"),
    (lambda m: F.group_norm(m.f(2, 3), 2), RuntimeError, r"\[group_norm\].*2.*3 channels"),
    (lambda m: F.group_norm(m.f(2, 4), 2, m.f(2)), RuntimeError, r"\[group_norm\] weight.*\(4,\)"),
    (lambda m: F.group_norm(m.f(1, 2), 2), ValueError, r"\[group_norm\].*more than 1"),
    (lambda m: F.instance_norm(m.f(2, 3, 1)), ValueError, r"\[instance_norm\].*more than 1"),
    (lambda m: F.instance_norm(m.f(3)), RuntimeError, r"\[instance_norm\].*\(3,\)"),
    (lambda m: F.batch_norm(m.f(2, 3), m.f(3), m.f(3), eps=-1.0), ValueError, r"eps.*-1\.0"),
    (lambda m: F.local_response_norm(m.f(2, 3), 2), ValueError, r"at least 3.*\(2, 3\)"),
    (lambda m: F.local_response_norm(m.f(1, 2, 3), 0), RuntimeError, r"size.*0"),
    (lambda m: F.cosine_similarity(m.i(2, 3), m.i(2, 3)), RuntimeError, r"floating-point.*int64"),
    (lambda m: F.cosine_similarity(m.f(2, 3), m.f(2, 4)), RuntimeError, r"\(2, 3\) and \(2, 4\)"),
    (lambda m: F.l1_loss(m.f(4, 1), m.f(4)), ValueError, r"\[l1_loss\].*\(4, 1\).*\(4,\)"),
    (lambda m: F.huber_loss(m.f(4, 1), m.f(4)), ValueError, r"\[huber_loss\].*\(4, 1\)"),
    (lambda m: F.smooth_l1_loss(m.f(4, 1), m.f(4)), ValueError, r"\[smooth_l1_loss\].*\(4, 1\)"),
    (lambda m: F.soft_margin_loss(m.f(4, 1), m.f(4)), ValueError, r"\[soft_margin_loss\]"),
    (lambda m: F.huber_loss(m.f(2), m.f(2), delta=0), RuntimeError, r"\[huber_loss\] delta.*0"),
    (lambda m: F.smooth_l1_loss(m.f(2), m.f(2), beta=-1), RuntimeError, r"beta.*-1"),
    (lambda m: F.mse_loss(m.f(2), m.f(2), weight=m.f(3)), ValueError, r"weight.*\(2,\).*\(3,\)"),
    (lambda m: F.mse_loss(m.f(2), m.f(2), "sum"), TypeError, r"\[mse_loss\] size_average.*'sum'"),
    (lambda m: F.binary_cross_entropy(m.f(2), m.f(2)), RuntimeError, r"0\.\.1, got 2.*with_logits"),
    (lambda m: F.binary_cross_entropy(m.f(2, 1), m.f(2)), ValueError, r"\(2, 1\) and \(2,\)"),
    (lambda m: F.gaussian_nll_loss(m.f(2), m.f(2), m.f(2) - 2), ValueError, r"negative.*-1"),
    (lambda m: F.gaussian_nll_loss(m.f(2, 3), m.f(2, 3), m.f(3, 3)), ValueError, r"\(3, 3\)"),
    (lambda m: F.multi_margin_loss(m.f(2, 3), m.t([0, 3])), IndexError, r"class 3.*3 classes"),
    (lambda m: F.multilabel_margin_loss(m.f(1, 3), m.t([[0, 3, -1]])), IndexError, r"class 3"),
    (lambda m: F.multilabel_margin_loss(m.f(1, 3), m.t([[0, -2, 1]])), IndexError, r"class -2"),
    (lambda m: F.triplet_margin_loss(m.f(2), m.f(2), m.f(2), 0.0), ValueError, r"margin.*0\.0"),
    (lambda m: F.cosine_embedding_loss(m.f(3), m.f(3), m.f(1)), RuntimeError, r"\(3,\).*\(1,\)"),
    (lambda m: F.linear_cross_entropy(m.f(2, 3), m.f(4, 2), m.i(2)), RuntimeError, r"\(4, 2\)"),
    (lambda m: F.ctc_loss(m.f(4, 1, 3), m.t([[1, 3]]), (4,), (2,)), RuntimeError, r"class 3"),
    (lambda m: F.ctc_loss(m.f(4, 1, 3), m.t([[1, 2]]), (5,), (2,)), RuntimeError, r"4 time steps"),
    (lambda m: F.ctc_loss(m.f(4, 1, 3), m.t([[1, 2]]), (4,), (3,)), RuntimeError, r"\(1, 2\)"),
    (lambda m: F.ctc_loss(m.f(4, 2, 3), m.t([1, 2, 1]), (4, 4), (2, 2)), RuntimeError, r"\[2, 2\]"),
    (lambda m: F.ctc_loss(m.f(4, 2, 3), m.i(2, 1), (4,), (1, 1)), RuntimeError, r"input_lengths"),
    (lambda m: F.ctc_loss(m.f(4, 1, 3), m.i(1, 1), (4,), (1,), 3), RuntimeError, r"blank 3"),
    (lambda m: F.one_hot(m.i(4), 3), RuntimeError, r"\[one_hot\] class 3.*0 to 2"),
    (lambda m: F.one_hot(m.t([-1, 0])), RuntimeError, r"\[one_hot\] class -1"),
    (lambda m: F.one_hot(m.i(0)), RuntimeError, r"\[one_hot\].*num_classes"),
    (lambda m: F.one_hot(m.f(2)), RuntimeError, r"\[one_hot\].*float32"),
    (lambda m: F.embedding(m.i(4), m.f(3, 2), max_norm=1.0), IndexError, r"index 3.*3 rows"),
    (lambda m: F.embedding_bag(m.i(4), m.f(3, 2), m.t([0])), IndexError, r"index 3.*3 rows"),
    (lambda m: F.embedding_bag(m.i(3), m.f(3, 2), m.t([0]), mode="last"), ValueError, r"'last'"),
    (lambda m: F.embedding_bag(m.i(3), m.f(3, 2)), ValueError, r"\[embedding_bag\].*offsets"),
    (lambda m: F.embedding_bag(m.i(3), m.f(3, 2), m.t([1])), RuntimeError, r"start at 0.*\[1\]"),
    (lambda m: F.embedding_bag(m.i(3), m.f(3, 2), m.t([0, 2, 1])), RuntimeError, r"not decrease"),
    (lambda m: F.embedding_bag(m.i(3), m.f(3, 2), m.t([0, 4])), RuntimeError, r"3 indices"),
    (lambda m: F.embedding_bag(m.i(1, 3), m.f(3, 2), per_sample_weights=m.f(1, 3)),
     NotImplementedError, r"'sum'.*'mean'"),
    (lambda m: F.scaled_dot_product_attention(m.f(2, 3), m.f(4, 2), m.f(4, 2)), RuntimeError,
     r"\(2, 3\), \(4, 2\)"),
    (lambda m: F.scaled_dot_product_attention(m.f(2, 3), m.f(4, 3), m.f(4, 3), m.i(2, 4)),
     RuntimeError, r"attn_mask.*bool or float32.*int64"),
    (lambda m: F.scaled_dot_product_attention(m.f(2, 3), m.f(4, 3), m.f(4, 3), m.b(3, 4)),
     RuntimeError, r"attn_mask.*\(3, 4\).*\(2, 4\)"),
    (lambda m: F.scaled_dot_product_attention(m.f(2, 3), m.f(4, 3), m.f(4, 3), m.b(2, 4),
                                              is_causal=True), RuntimeError, r"not both"),
    (lambda m: nn.MultiheadAttention(4, 2, device=m.device)(m.f(3, 4), m.f(2, 4), m.f(3, 4)),
     RuntimeError, r"\(3, 4\), \(2, 4\) and \(3, 4\)"),
    (lambda m: nn.MultiheadAttention(4, 2, device=m.device)(*[m.f(3, 4)] * 3, m.b(4)),
     AssertionError, r"key_padding_mask.*\(3,\).*\(4,\)"),
    (lambda m: nn.MultiheadAttention(4, 3), AssertionError, r"embed_dim=4.*num_heads=3"),
    (lambda m: nn.GroupNorm(2, 3), ValueError, r"num_groups=2.*num_channels=3"),
    (lambda m: nn.BatchNorm1d(3)(m.f(3)), ValueError, r"\(N, C\) or \(N, C, L\), got \(3,\)"),
    (lambda m: nn.InstanceNorm2d(3, affine=True)(m.f(2, 4, 4)), ValueError, r"2 channels.*3"),
]  # fmt: skip

# ---------------------------------------------------------------------- images

IMAGES: list[Row] = [
    (lambda m: F.conv1d(m.f(3), m.f(1, 3, 2)), RuntimeError, r"\[conv1d\].*1 further.*\(3,\)"),
    (lambda m: F.conv3d(m.f(1, 2, 3, 3, 3), m.f(2, 2, 2, 2)), RuntimeError, r"\[conv3d\].*5 dim"),
    (lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), stride=1.5), TypeError, r"stride.*1\.5"),
    (
        lambda m: F.conv2d(m.f(1, 1, 4, 4), m.f(1, 1, 2, 2), stride=2, padding="same"),
        RuntimeError,
        r"\[conv2d\].*'same'.*\(2, 2\)",
    ),
    (
        lambda m: F.conv_transpose2d(m.f(1, 2, 3, 3), m.f(3, 1, 2, 2)),
        RuntimeError,
        r"\[conv_transpose2d\].*2 channels.*expects 3",
    ),
    (
        lambda m: F.conv_transpose2d(m.f(1, 2, 3, 3), m.f(2, 1, 2, 2), output_padding=1),
        RuntimeError,
        r"output_padding \(1, 1\).*smaller",
    ),
    (
        lambda m: F.conv_transpose1d(m.f(1, 2, 3), m.f(2, 1, 2), padding=3),
        RuntimeError,
        r"padding \(3,\) leaves nothing.*\(-2,\)",
    ),
    (lambda m: tg.conv_tbc(m.f(3, 1), m.f(1, 1, 1), m.f(1)), RuntimeError, r"conv_tbc.*\(3, 1\)"),
    (lambda m: F.max_pool3d(m.f(1, 1, 2, 2, 2), 3), RuntimeError, r"\[max_pool3d\].*does not fit"),
    (lambda m: F.max_pool2d(m.f(1, 1, 4, 4), "2"), TypeError, r"\[max_pool2d\] kernel_size.*'2'"),
    (lambda m: F.avg_pool1d(m.f(1, 1, 4), 2, 0), RuntimeError, r"\[avg_pool1d\] stride.*0"),
    (lambda m: F.adaptive_avg_pool2d(m.f(1, 1, 4, 4), (2, -1)), RuntimeError, r"negative.*-1"),
    (lambda m: F.adaptive_avg_pool2d(m.i(1, 1, 4, 4), 2), RuntimeError, r"floating.*int64"),
    (lambda m: F.adaptive_max_pool2d(m.f(1, 1, 0, 4), 2), RuntimeError, r"\(1, 1, 0, 4\)"),
    (
        lambda m: F.max_unpool2d(m.f(1, 1, 2, 2), m.i(1, 1, 2, 3), 2),
        RuntimeError,
        r"\[max_unpool2d\].*\(1, 1, 2, 3\).*\(1, 1, 2, 2\)",
    ),
    (
        lambda m: F.max_unpool2d(m.f(1, 1, 2, 2), m.t([[[[1, 2], [3, 16]]]]), 2),
        RuntimeError,
        r"\[max_unpool2d\] index 16.*0 to 15",
    ),
    (
        lambda m: F.max_unpool2d(m.f(1, 1, 2, 2), m.t([[[[1, 2], [3, -1]]]]), 2),
        RuntimeError,
        r"\[max_unpool2d\] index -1.*0 to 15",
    ),
    (
        lambda m: F.max_unpool2d(m.f(1, 1, 2, 2), m.i(1, 1, 2, 2), 2, output_size=(8, 8)),
        ValueError,
        r"output_size \(8, 8\).*\(4, 4\)",
    ),
    (lambda m: F.fractional_max_pool2d(m.f(1, 1, 4, 4), 2, 4), RuntimeError, r"do not fit"),
    (lambda m: F.fractional_max_pool2d(m.f(1, 1, 4, 4), 2, output_ratio=2), ValueError, r"ratio"),
    (lambda m: F.unfold(m.f(1, 1, 2, 2), 3), RuntimeError, r"\[unfold\].*\(3, 3\).*\(2, 2\)"),
    (lambda m: F.fold(m.f(1, 4, 5), (3, 3), 2), RuntimeError, r"\[fold\].*\(2, 2\).*\(1, 4, 5\)"),
    (lambda m: tg.pixel_shuffle(m.f(1, 3, 2, 2), 2), RuntimeError, r"3 channels.*4"),
    (lambda m: tg.pixel_unshuffle(m.f(1, 3, 2), 2), RuntimeError, r"\(1, 3, 2\).*2"),
    (lambda m: tg.channel_shuffle(m.f(1, 3, 2), 2), RuntimeError, r"3 channels.*2 groups"),
    (lambda m: F.interpolate(m.f(1, 1, 4)), ValueError, r"either size or scale_factor"),
    (lambda m: F.interpolate(m.f(1, 1, 4), 3, mode="bilinear"), NotImplementedError, r"4 dim"),
    (lambda m: F.interpolate(m.f(1, 1, 4), 3, mode="cubic"), NotImplementedError, r"'cubic'"),
    (lambda m: F.interpolate(m.f(1, 1, 4), 0), RuntimeError, r"at least 1.*\(0,\)"),
    (lambda m: F.interpolate(m.f(1, 1, 4), scale_factor=float("nan")), ValueError, r"finite.*nan"),
    (lambda m: F.interpolate(m.i(1, 1, 4), 3, mode="linear"), RuntimeError, r"int64"),
    (lambda m: F.interpolate(m.f(1, 1, 4), 3, align_corners=True), ValueError, r"align_corners"),
    (lambda m: F.grid_sample(m.f(1, 1, 4, 4), m.f(1, 2, 2, 3)), RuntimeError, r"\(1, 2, 2, 3\)"),
    (lambda m: F.grid_sample(m.f(1, 1, 4, 4), m.f(1, 2, 2, 2), "cubic"), ValueError, r"'cubic'"),
    (lambda m: F.grid_sample(m.f(1, 1, 4, 4), m.f(1, 2, 2, 2).double()), RuntimeError, r"float64"),
    (lambda m: F.affine_grid(m.f(1, 2, 3), (2, 1, 2, 2)), ValueError, r"theta's 1.*\(2, 1, 2, 2\)"),
    (lambda m: F.pad(m.f(2, 3), (-2, -2)), RuntimeError, r"\[pad\].*\(-2, -2\).*\(2, 3\)"),
    (lambda m: F.pad(m.f(2, 3), (3, 0), "reflect"), RuntimeError, r"'reflect'.*\(3, 0\).*3"),
    (lambda m: F.pad(m.f(2, 3), (1, 1), "mirror"), NotImplementedError, r"'mirror'"),
    (lambda m: F.pad(m.f(2, 3), 1), TypeError, r"\[pad\].*int"),
]

TABLE: list[Row] = [
    *SHAPES, *LOSSES, *INDICES, *PARTS, *TYPES, *MAKING, *EMPTY, *RANKS, *DEVICES_DIFFER,
    *GRADIENTS, *NETWORKS, *IMAGES,
]  # fmt: skip


def test_the_table_is_long() -> None:
    assert len(TABLE) >= 250


def and_wait(device: str, called: Any) -> None:
    """What a GPU's kernel found wrong in a call is raised when it has been waited for."""
    if device == "cuda":
        tg.cuda.synchronize()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("call", "error", "words"), TABLE)
def test_bad_input(call: Call, error: Any, words: str, device: str) -> None:
    m = Maker(device)
    before: list = []
    make = m.t

    def remembered(*args: Any, **options: Any) -> tg.Tensor:
        t = make(*args, **options)
        before.append(t.detach().cpu().numpy().copy())
        return t

    m.t = remembered  # type: ignore[method-assign]
    with pytest.raises(error, match=words):
        and_wait(device, call(m))
    made = [t for t in m.made if str(t.device.type) == device]
    for t, values in zip(made, before, strict=True):
        np.testing.assert_array_equal(t.detach().cpu().numpy(), values)
        assert t.grad is None
        assert t._version == 0
    assert tg.is_grad_enabled()


# ---------------------------------------------------------------------- what is no tensor

PUBLIC = {
    f"{name}.{key}": getattr(space, key)
    for name, space in (("tg", tg), ("F", F), ("special", tg.special))
    for key in dir(space)
    if not key.startswith(("_", "set_", "manual_"))
    and key not in ("promote_types", "save", "load", "bfloat16")  # which may lack ml_dtypes
    and inspect.isfunction(getattr(space, key))
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.filterwarnings("ignore:.range. range.start, end. is deprecated:UserWarning")
def test_no_function_stumbles_over_what_is_no_tensor(name: str) -> None:
    """Junk in any required place works, or is refused in words: never with the AttributeError,
    KeyError or NameError of code that went on regardless."""
    function = PUBLIC[name]
    required = [
        p for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    for place in range(len(required)):
        for junk in (None, [1.0], "a", 1j, object(), np.ones((2, 2))):
            arguments: list = [tg.ones(2, 2) for _ in required]
            arguments[place] = junk
            try:
                function(*arguments)
            except (TypeError, ValueError, RuntimeError, IndexError) as error:
                assert str(error)  # noqa: PT017


# ---------------------------------------------------------------------- and afterwards


@pytest.mark.parametrize("device", DEVICES)
def test_after_a_refused_index_everything_still_works(device: str) -> None:
    """Kernels see the bad index on the device: they must touch nothing, and be ready again."""
    table = tg.ones(3, 2, device=device, requires_grad=True)
    logits = tg.zeros(2, 3, device=device, requires_grad=True)
    for _ in range(3):
        with pytest.raises(IndexError):
            and_wait(device, F.embedding(tg.tensor([0, 1, 99], device=device), table))
        with pytest.raises(IndexError):
            and_wait(device, F.cross_entropy(logits, tg.tensor([0, -7], device=device)))
    F.embedding(tg.tensor([0, 2, 2], device=device), table).sum().backward()
    assert table.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    F.cross_entropy(logits, tg.tensor([0, 1], device=device)).backward()
    np.testing.assert_allclose(logits.grad.cpu().numpy().sum(1), 0, atol=1e-7)


@pytest.mark.skipif(tg.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_says_what_is_missing() -> None:
    for ask in (
        lambda: tg.zeros(2, device="cuda"),
        lambda: tg.ones(2).cuda(),
        lambda: tg.ones(2).to("cuda:1"),
        lambda: nn.Linear(2, 2).to("cuda"),
        lambda: tg.cuda.synchronize(),
        lambda: tg.rand(2, device="cuda"),
    ):
        with pytest.raises(RuntimeError, match=r"(?s)cuda.*(pip install|driver).*tapegrad doctor"):
            ask()
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    assert str(tg.device("cuda:3")) == "cuda:3"  # a name is only a name


def test_cuda_without_cupy_says_how_to_get_it() -> None:
    code = """
import sys
sys.modules["cupy"] = None
import tapegrad as tg
try:
    tg.zeros(2, device="cuda")
except RuntimeError as error:
    text = str(error)
    assert "CuPy" in text and "tapegrad[cuda13]" in text and "tapegrad doctor" in text, text
else:
    raise AssertionError("no error")
assert not tg.cuda.is_available()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_an_optimizer_refuses_a_model_on_two_devices_only_where_they_meet() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="emulated"))
    with pytest.raises(RuntimeError, match=r"\[linear\].*cpu.*emulated"):
        model(tg.ones(1, 2))


def test_gradcheck_takes_no_nan_for_right() -> None:
    x = tg.tensor([0.0, 1.0], dtype="float64", requires_grad=True)
    for f in (lambda x: x * float("nan"), lambda x: (x * x).sqrt(), lambda x: x.log()):
        with pytest.raises(RuntimeError, match=r"(?s)\[gradcheck\].*nan"):
            tg.autograd.gradcheck(f, x)


@pytest.mark.parametrize("device", DEVICES)
def test_non_finite_numbers_pass_through_and_are_not_errors(device: str) -> None:
    """inf and nan are numbers like others: what a kernel makes of them is what the formula does."""
    inf, nan = float("inf"), float("nan")
    x = tg.tensor([[1.0, nan, 2.0], [inf, 1.0, 0.0], [-inf, 0.0, 1.0]], device=device)
    assert np.isnan(x.softmax(1).cpu().numpy()).any(1).tolist() == [True, True, False]
    assert x.softmax(1).tolist()[2][0] == 0.0
    loss = F.cross_entropy(x, tg.tensor([0, 0, 1], device=device), reduction="none").tolist()
    assert np.isnan(loss).tolist() == [True, True, False]
    assert np.isnan(F.layer_norm(x, (3,)).cpu().numpy()).any(1).tolist() == [True, True, True]
    assert tg.relu(x).tolist()[2] == [0.0, 0.0, 1.0]
    assert np.isnan(tg.relu(x).tolist()[0][1])
    assert np.isnan((x @ x).tolist()).any()
