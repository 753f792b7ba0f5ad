"""MultiheadAttention."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from . import functional as F
from . import init
from .layer import check_kinds
from .linear import Linear
from .module import Module
from .parameter import Parameter
from .sdpa import SDPBackend as SDPBackend  # at PyTorch's address, nn.attention
from .sdpa import sdpa_kernel as sdpa_kernel
from .weights import add_parameter


class MultiheadAttention(Module):
    """Attention of ``num_heads`` heads between projections of query, key and value.

    Inputs are (length, batch, features), (batch, length, features) with ``batch_first``, or
    (length, features). Keys and values may have other numbers of features, ``kdim`` and ``vdim``
    (Vaswani et al. 2017). Raises ValueError for sizes below 1, AssertionError, as PyTorch does,
    unless num_heads divides embed_dim.
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            kind = ValueError if min(embed_dim, num_heads) < 1 else AssertionError
            raise kind(
                f"MultiheadAttention: embed_dim={embed_dim} must be a positive multiple of "
                f"num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim

        def parameter(name: str, *shape: int, wanted: bool = True) -> None:
            add_parameter(self, name, shape if wanted else None, device, dtype)

        for letter, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            parameter(
                f"{letter}_proj_weight", embed_dim, width, wanted=not self._qkv_same_embed_dim
            )
        parameter("in_proj_weight", 3 * embed_dim, embed_dim, wanted=self._qkv_same_embed_dim)
        parameter("in_proj_bias", 3 * embed_dim, wanted=bias)
        parameter("bias_k", 1, 1, embed_dim, wanted=add_bias_kv)
        parameter("bias_v", 1, 1, embed_dim, wanted=add_bias_kv)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, and the attention weights if wanted; see
        ``nn.functional.multi_head_attention_forward`` for masks and shapes."""
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        y, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (y.transpose(0, 1) if swapped else y), weights
