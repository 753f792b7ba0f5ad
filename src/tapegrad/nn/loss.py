"""Losses as modules: of numbers and of classes. ``reduction`` is "mean", "sum" or "none"; PyTorch's
older ``size_average`` and ``reduce`` are not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .module import Module


class Loss(Module):
    """A loss whose further options are attributes, under the names that its function has. It is
    called with that function's tensors, by place or by name."""

    function: ClassVar[Callable[..., Tensor]]
    options: tuple[str, ...] = ()
    reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(self, *misplaced: Any, reduction: str = "mean") -> None:
        super().__init__()
        if misplaced:
            name = type(self).__name__
            raise TypeError(
                f"{name} is made first and called then, {name}()(input, target), and takes its "
                f"options by name; got {', '.join(type(x).__name__ for x in misplaced)}"
            )
        if reduction not in self.reductions:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {self.reductions}, "
                f"not {reduction!r}"
            )
        self.reduction = reduction

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        own = {name: getattr(self, name) for name in self.options}
        return type(self).function(*inputs, **named, **own, reduction=self.reduction)


class MSELoss(Loss):
    """The mean of (input - target)²."""

    function = F.mse_loss


class L1Loss(Loss):
    """The mean of |input - target|."""

    function = F.l1_loss


class SmoothL1Loss(Loss):
    """(input - target)² / (2 beta) where the difference is below beta, linear beyond."""

    function, options = F.smooth_l1_loss, ("beta",)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta


class HuberLoss(Loss):
    """(input - target)² / 2 where the difference is below delta, linear beyond."""

    function, options = F.huber_loss, ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class SoftMarginLoss(Loss):
    """log(1 + exp(-target * input)), for targets 1 and -1."""

    function = F.soft_margin_loss


class HingeEmbeddingLoss(Loss):
    """The input where the target is 1, max(0, margin - input) where it is -1."""

    function, options = F.hinge_embedding_loss, ("margin",)

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence of log-probabilities from probabilities; "batchmean" is its
    mathematical definition."""

    function, options = F.kl_div, ("log_target",)
    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target


class PoissonNLLLoss(Loss):
    """The negative log likelihood of counts, of means or (log_input) their logarithms."""

    function, options = F.poisson_nll_loss, ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full, self.eps = log_input, full, eps


class GaussianNLLLoss(Loss):
    """The negative log likelihood of targets, of means and variances: loss(input, target, var)."""

    function, options = F.gaussian_nll_loss, ("full", "eps")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps


# ---------------------------------------------------------------------- with weights


class WeightedLoss(Loss):
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)


class NLLLoss(WeightedLoss):
    """Minus the log-probability of the right class; the input comes from LogSoftmax."""

    function, options = F.nll_loss, ("weight", "ignore_index")

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index


class CrossEntropyLoss(WeightedLoss):
    """Log-softmax and NLLLoss in one; the target holds class indices or probabilities."""

    function, options = F.cross_entropy, ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be between 0 and 1, not {label_smoothing}"
            )
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing


class BCELoss(WeightedLoss):
    """Binary cross-entropy of probabilities."""

    function, options = F.binary_cross_entropy, ("weight",)


class BCEWithLogitsLoss(WeightedLoss):
    """Sigmoid and binary cross-entropy in one, stable for large logits."""

    function, options = F.binary_cross_entropy_with_logits, ("weight", "pos_weight")
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.register_buffer("pos_weight", pos_weight)


class MultiMarginLoss(WeightedLoss):
    """How far wrong classes come within a margin of the right one's score."""

    function, options = F.multi_margin_loss, ("p", "margin", "weight")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction=reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, not {p}")
        self.p, self.margin = p, margin


class MultiLabelSoftMarginLoss(WeightedLoss):
    """Binary cross-entropy with logits, averaged over the last dimension."""

    function, options = F.multilabel_soft_margin_loss, ("weight",)


class MultiLabelMarginLoss(Loss):
    """How far wrong classes come within a margin of the right ones, which each row lists."""

    function = F.multilabel_margin_loss


class CTCLoss(Loss):
    """loss(log_probs, targets, input_lengths, target_lengths): connectionist temporal
    classification."""

    function, options = F.ctc_loss, ("blank", "zero_infinity")

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity


# ---------------------------------------------------------------------- of pairs and triplets


class CosineEmbeddingLoss(Loss):
    """loss(x1, x2, target): small angles where the target is 1, large ones where it is -1."""

    function, options = F.cosine_embedding_loss, ("margin",)

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin


class MarginRankingLoss(CosineEmbeddingLoss):
    """loss(x1, x2, target): x1 is to be larger where the target is 1, x2 where it is -1."""

    function = F.margin_ranking_loss


class TripletMarginLoss(Loss):
    """loss(anchor, positive, negative): the positive is to be nearer, by a margin."""

    function, options = F.triplet_margin_loss, ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap


class TripletMarginWithDistanceLoss(Loss):
    """TripletMarginLoss with a distance of one's own: a function or a module."""

    function = F.triplet_margin_with_distance_loss
    options = ("distance_function", "margin", "swap")

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function: Any = distance_function
        self.margin, self.swap = margin, swap
