"""Losses over many classes that include the layer which scores them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tapegrad.core.tensor import Tensor
from tapegrad.ops.loss.linear_cross_entropy import LinearCrossEntropyOptions
from tapegrad.ops.movement.cat import cat

from . import functional as F
from .container import ModuleList, Sequential
from .layer import check_kinds
from .linear import Linear
from .loss import CrossEntropyLoss
from .module import Module


class LinearCrossEntropyLoss(CrossEntropyLoss):
    """A linear layer and the cross-entropy of its scores: (N, in_features) and classes (N,), or
    (N, *out_features) where the scores are (N, num_classes, *out_features).

    ``weight``, ``ignore_index`` and ``label_smoothing`` as in CrossEntropyLoss. ``options`` are
    LinearCrossEntropyOptions: with them the scores of all rows need not be in memory at once.
    Raises ValueError unless label_smoothing is between 0 and 1, RuntimeError unless the weight has
    one number a class.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: Sequence[int] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"LinearCrossEntropyLoss: weight must have shape ({num_classes},), got "
                f"{tuple(weight.shape)}"
            )
        super().__init__(weight, reduction=reduction, label_smoothing=label_smoothing)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.options = ignore_index, options
        rows = num_classes * math.prod(self.out_features)
        self.linear = Linear(in_features, rows, bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        shape, bias = (self.num_classes, *self.out_features), self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        linear = self.linear
        return (
            f"in_features={linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )


class Scored(NamedTuple):
    """What AdaptiveLogSoftmaxWithLoss returns: the log-probability of each target, and minus its
    mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over classes sorted by frequency, of which rare ones cost little (Grave et al.
    2017).

    The classes below ``cutoffs[0]`` are scored directly, those between later cutoffs as clusters:
    the head scores the cluster, and a narrow layer of its own, ``div_value`` times narrower for
    each further one, the classes in it. Raises ValueError unless the cutoffs are increasing ints
    between 1 and n_classes - 1.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        ends = list(cutoffs)
        if not ends or ends != sorted({*ends}) or ends[0] < 1 or ends[-1] >= n_classes:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs must be increasing ints between 1 and "
                f"n_classes - 1 = {n_classes - 1}, not {cutoffs}"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*ends, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = ends[0], len(ends)
        self.head_size = self.shortlist_size + self.n_clusters
        made = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width, size = int(in_features // div_value ** (i + 1)), self._size(i)
            narrow = Linear(in_features, width, bias=False, **made)
            self.tail.append(Sequential(narrow, Linear(width, size, bias=False, **made)))

    def _size(self, cluster: int) -> int:
        return self.cutoffs[cluster + 1] - self.cutoffs[cluster]

    def reset_parameters(self) -> None:
        for layer in self.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> Scored:
        """(N, in_features) and (N,), or (in_features,) and a 0-d target."""
        if target.ndim > 1 or tuple(input.shape[:-1]) != tuple(target.shape):
            raise RuntimeError(
                "AdaptiveLogSoftmaxWithLoss expects (N, in_features) and a target (N,), or "
                f"(in_features,) and a 0-d target, got {tuple(input.shape)} and "
                f"{tuple(target.shape)}"
            )
        x = input if target.ndim else input.unsqueeze(0)
        classes = target.reshape(-1)
        if target.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < self.n_classes:
            raise RuntimeError(
                f"AdaptiveLogSoftmaxWithLoss: targets must be classes 0 to {self.n_classes - 1}, "
                f"got {int(classes.min())} to {int(classes.max())}"
            )
        head = F.log_softmax(self.head(x), 1)
        order, pieces = [], []
        for i, (start, end) in enumerate(zip([0, *self.cutoffs], self.cutoffs, strict=False)):
            (rows,) = ((classes >= start) & (classes < end)).nonzero(as_tuple=True)
            if not rows.numel():
                continue
            inside = (classes[rows] - start).unsqueeze(1)
            if i == 0:
                pieces.append(head[rows].gather(1, inside).squeeze(1))
            else:
                own = F.log_softmax(self.tail[i - 1](x[rows]), 1).gather(1, inside).squeeze(1)
                pieces.append(own + head[rows, self.shortlist_size + i - 1])
            order.append(rows)
        output = cat(pieces)[cat(order).argsort()] if pieces else head[:, 0]
        return Scored(output if target.ndim else output.squeeze(0), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            column = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(cluster(input), 1) + column)
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row."""
        return self.log_prob(input).argmax(1)
