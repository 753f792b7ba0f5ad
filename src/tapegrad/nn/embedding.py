"""Embedding and EmbeddingBag: a table of vectors looked up by index."""

from __future__ import annotations

from typing import Any, ClassVar

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import empty

from . import functional as F
from . import init
from .layer import FunctionLayer
from .parameter import Parameter

# The options that a repr leaves out.
_USUAL = {
    "padding_idx": None,
    "max_norm": None,
    "norm_type": 2.0,
    "scale_grad_by_freq": False,
    "sparse": False,
}


class _Table(FunctionLayer):
    """What both have in common: the table, and what is done to its rows."""

    _listed: ClassVar[tuple[str, ...]]  # what a repr says, in PyTorch's order

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        _weight: Tensor | None,
        _freeze: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"{name}: padding_idx={padding_idx} is outside a table of {num_embeddings} rows"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        if _weight is None:
            table = empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
        elif tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ValueError(
                f"{name}: the table must have shape ({num_embeddings}, {embedding_dim}), got "
                f"{tuple(_weight.shape)}"
            )
        else:
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **options: Any) -> Any:
        """A table holding the rows of ``embeddings``, (rows, features), fixed unless
        ``freeze=False``; options as for the layer, by keyword."""
        if embeddings.ndim != 2:
            raise ValueError(
                f"{cls.__name__}.from_pretrained needs 2 dimensions, got {tuple(embeddings.shape)}"
            )
        table: Any = cls
        return table(*embeddings.shape, _weight=embeddings, _freeze=freeze, **options)

    def extra_repr(self) -> str:
        own = {name: getattr(self, name) for name in self._listed}
        parts = [f"{k}={v!r}" for k, v in own.items() if k not in _USUAL or v != _USUAL[k]]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *parts])


class Embedding(_Table, function=F.embedding):
    """Row i of a trainable table for every index i in the input: ints (...) -> (...,
    embedding_dim).

    The row at ``padding_idx`` starts at zero and never receives a gradient; ValueError if there is
    no such row. For ``max_norm`` and the other options see ``nn.functional.embedding``.
    """

    _options = ("weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")
    _listed = ("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, _weight, _freeze, device, dtype
        )
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse


class EmbeddingBag(_Table, function=F.embedding_bag):
    """Sums, means or maxima (``mode``) of bags of rows: ints (bags, n), or (n,) with the bags'
    ``offsets``, -> (bags, embedding_dim); see ``nn.functional.embedding_bag``."""

    _options = (
        "weight",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "mode",
        "sparse",
        "include_last_offset",
        "padding_idx",
    )
    _listed = ("max_norm", "norm_type", "scale_grad_by_freq", "mode", "padding_idx")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        _freeze: bool = False,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, _weight, _freeze, device, dtype
        )
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        return F.embedding_bag(
            input, offsets=offsets, per_sample_weights=per_sample_weights, **self._chosen()
        )
