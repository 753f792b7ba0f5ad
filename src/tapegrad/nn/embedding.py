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
    padding_idx: int | None

    def _take(self, given: dict[str, Any]) -> None:
        names = ("_weight", "_freeze", "device", "dtype")
        table, freeze, device, dtype = (given.pop(name) for name in names)
        super()._take(given)
        layer, rows = type(self).__name__, self.num_embeddings
        shape = (rows, self.embedding_dim)
        if self.padding_idx is not None:
            if not -rows <= self.padding_idx < rows:
                raise ValueError(
                    f"{layer}: padding_idx={self.padding_idx} is outside a table of {rows} rows"
                )
            self.padding_idx %= rows
        if table is None:
            self.weight = Parameter(empty(shape, device=device, dtype=dtype), not freeze)
            self.reset_parameters()
        elif tuple(table.shape) != shape:
            raise ValueError(
                f"{layer}: the table must have shape {shape}, got {tuple(table.shape)}"
            )
        else:
            self.weight = Parameter(table, not freeze)

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
        self._take(locals())


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
        self._take(locals())

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        return F.embedding_bag(
            input, offsets=offsets, per_sample_weights=per_sample_weights, **self._chosen()
        )
