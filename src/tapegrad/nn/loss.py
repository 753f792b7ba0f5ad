"""Losses as modules: of numbers and of classes. ``reduction`` is "mean", "sum" or "none"; the flags
``size_average`` and ``reduce`` are PyTorch's older way to say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from warnings import warn

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.signatures import fitting
from tapegrad.ops.loss.size_average import FLAGS, reduction_of

from . import functional as F
from .layer import FunctionLayer


class Loss(FunctionLayer):
    """A loss, called with its function's tensors, by position or by name. A 0-d Tensor, or with
    ``reduction="none"`` one loss an element (or a row, where a row is one prediction).

    Raises ValueError for another reduction, and TypeError where it is made with the tensors that
    it is to be called with.
    """

    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")
    _shown = ""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        self._take(locals())

    def _take(self, given: dict[str, Any]) -> None:
        name = type(self).__name__
        flags = [given.pop(flag, None) for flag in FLAGS]
        if any(isinstance(flag, Tensor) for flag in flags):
            raise TypeError(
                f"{name} is made first and called then, {name}()(input, target); got Tensors where "
                "its options are"
            )
        if flags != [None, None]:
            for flag, value in zip(FLAGS, flags, strict=True):
                fitting(name, flag, value, bool, True)
            given["reduction"] = reduction_of(name, *flags)
        if given["reduction"] not in self.reductions:
            raise ValueError(
                f"{name}: reduction must be one of {self.reductions}, not {given['reduction']!r}"
            )
        super()._take(given)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return type(self).function(*inputs, **named, **self._chosen())


class MSELoss(Loss, function=F.mse_loss):
    """The mean of (input - target)², of two tensors of one shape."""


class L1Loss(Loss, function=F.l1_loss):
    """The mean of |input - target|, of two tensors of one shape."""


class SmoothL1Loss(Loss, function=F.smooth_l1_loss):
    """(input - target)² / (2 beta) where the difference is below beta, |input - target| - beta / 2
    beyond (Girshick 2015)."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        self._take(locals())


class HuberLoss(Loss, function=F.huber_loss):
    """(input - target)² / 2 where the difference is below delta, delta (|input - target| - delta /
    2) beyond (Huber 1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self._take(locals())


class SoftMarginLoss(Loss, function=F.soft_margin_loss):
    """log(1 + exp(-target * input)), for targets 1 and -1 of the input's shape."""


class HingeEmbeddingLoss(Loss, function=F.hinge_embedding_loss):
    """The input where the target is 1, max(0, margin - input) where it is -1."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())


class KLDivLoss(Loss, function=F.kl_div):
    """target * (log(target) - input): the Kullback-Leibler divergence of log-probabilities, the
    input, from probabilities (or with ``log_target`` their logarithms). ``reduction="batchmean"``
    is its mathematical definition."""

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        self._take(locals())


class PoissonNLLLoss(Loss, function=F.poisson_nll_loss):
    """The negative log likelihood of counts, exp(input) - target * input; with ``log_input=False``
    the input is the mean, not its logarithm, and ``eps`` keeps its logarithm finite. ``full`` adds
    Stirling's approximation of log(target!)."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())


class GaussianNLLLoss(Loss, function=F.gaussian_nll_loss):
    """loss(input, target, var): (log(var) + (input - target)² / var) / 2, the negative log
    likelihood of targets, with variances of at least ``eps`` (Nix & Weigend 1994). ``full`` adds
    log(2 pi) / 2."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        self._take(locals())


# ---------------------------------------------------------------------- with weights


class WeightedLoss(Loss):
    weight: Tensor | None
    _buffer_options: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())


class NLLLoss(WeightedLoss, function=F.nll_loss):
    """-weight[target] * input[target]: minus the log-probability of the right class. (N, C, ...)
    from LogSoftmax and classes (N, ...), of which ``ignore_index`` counts for nothing; "mean" is
    weighted."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())


class NLLLoss2d(NLLLoss):
    """``NLLLoss``, which takes images too. Deprecated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        warn("NLLLoss2d is deprecated: NLLLoss does the same", FutureWarning, stacklevel=2)
        super().__init__(*args, **options)


class CrossEntropyLoss(WeightedLoss, function=F.cross_entropy):
    """Log-softmax and NLLLoss in one: scores (N, C, ...), and classes (N, ...) or probabilities
    (N, C, ...). ``label_smoothing`` mixes the targets with equal probabilities (Szegedy et al.
    2015); ValueError unless it is between 0 and 1."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self._take(locals())
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"{type(self).__name__}: label_smoothing must be between 0 and 1, not "
                f"{label_smoothing}"
            )


class BCELoss(WeightedLoss, function=F.binary_cross_entropy):
    """-(target * log(input) + (1 - target) * log(1 - input)), of probabilities."""


class BCEWithLogitsLoss(WeightedLoss, function=F.binary_cross_entropy_with_logits):
    """Sigmoid and BCELoss in one, stable for large logits. ``pos_weight`` multiplies the part of
    the positive targets."""

    pos_weight: Tensor | None
    _buffer_options = ("weight", "pos_weight")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        self._take(locals())


class MultiMarginLoss(WeightedLoss, function=F.multi_margin_loss):
    """The sum over wrong classes i of max(0, margin - input[target] + input[i])^p / C: scores
    (N, C) and classes (N,). Raises ValueError unless p is 1 or 2."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, not {p}")


class MultiLabelSoftMarginLoss(WeightedLoss, function=F.multilabel_soft_margin_loss):
    """BCEWithLogitsLoss averaged over the last dimension: (N, C) and 0 or 1 for each -> (N,),
    then reduced."""


class MultiLabelMarginLoss(Loss, function=F.multilabel_margin_loss):
    """The sum over right classes t and wrong ones i of max(0, 1 - input[t] + input[i]) / C: scores
    (N, C) and for each row its right classes, closed by -1, (N, C)."""


class CTCLoss(Loss, function=F.ctc_loss):
    """loss(log_probs, targets, input_lengths, target_lengths): minus the log-probability of all
    alignments of a target with its input (Graves et al. 2006).

    log_probs: (T, N, C) or (T, C) from LogSoftmax; targets: classes (N, S), or one after the other.
    ``zero_infinity``: where no alignment exists, the loss is 0 instead of inf.
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        self._take(locals())


# ---------------------------------------------------------------------- of pairs and triplets


class CosineEmbeddingLoss(Loss, function=F.cosine_embedding_loss):
    """loss(x1, x2, target): 1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin)
    where it is -1: two (N, D) and (N,)."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())


class MarginRankingLoss(CosineEmbeddingLoss, function=F.margin_ranking_loss):
    """loss(x1, x2, target): max(0, -target * (x1 - x2) + margin): x1 is to be larger where the
    target is 1, x2 where it is -1."""


class TripletMarginLoss(Loss, function=F.triplet_margin_loss):
    """loss(anchor, positive, negative): max(0, |anchor - positive| - |anchor - negative| + margin)
    in the p-norm, of three (N, D) -> (N,), then reduced. ``swap``: the negative's distance is the
    smaller of those from anchor and positive (Balntas et al. 2016). Raises ValueError unless
    margin > 0."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())
        _require_margin(self)


class TripletMarginWithDistanceLoss(Loss, function=F.triplet_margin_with_distance_loss):
    """TripletMarginLoss with your own distance, a function or a module of two tensors; by default
    PairwiseDistance."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        self._take(locals())
        _require_margin(self)


def _require_margin(loss: Any) -> None:
    if not loss.margin > 0:
        raise ValueError(f"{type(loss).__name__}: margin must be positive, not {loss.margin}")
