"""Transformers: stacks of attention and feed-forward layers (Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tapegrad.core.modes import recording
from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import full
from tapegrad.ops.layers.attention import additive_mask

from . import functional as F
from . import init
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .feed_forward import feed_forward, is_feed_forward
from .layer import check_kinds
from .linear import Linear
from .module import Module
from .norm import LayerNorm

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {"relu": F.relu, "gelu": F.gelu}
_GELU = GELU()


def _activation(layer: Module, given: str | Activation) -> Activation:
    if not isinstance(given, str):
        return given
    if given not in _ACTIVATIONS:
        raise RuntimeError(
            f"{type(layer).__name__}: activation must be 'relu', 'gelu' or a function, not "
            f"{given!r}"
        )
    return _ACTIVATIONS[given]


class _Residual(Module):
    """What encoder and decoder layers share: blocks whose results are added to their input, with a
    normalisation before the block (``norm_first``; Xiong et al. 2020) or after the sum."""

    norm_first: bool
    activation: Activation

    def _add(self, x: Tensor, norm: Module, block: Callable[[Tensor], Tensor]) -> Tensor:
        return x + block(norm(x)) if self.norm_first else norm(x + block(x))

    def _sa_block(
        self, x: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        return self.dropout1(
            _attended(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal)
        )

    def _hidden(self, x: Tensor) -> Tensor:
        """The feed-forward network of two layers."""
        if x._device.type != "cpu" and self.dropout._is_just(Dropout):
            drops = self.dropout.training and self.dropout.p > 0
            activation = _GELU if self.activation is F.gelu else self.activation
            three = (self.linear1, activation, self.linear2)
            if not drops and is_feed_forward(*three):
                return feed_forward(x, *three)
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Residual):
    """Self-attention and a feed-forward network, each added to its input and normalised: (length,
    batch, d_model), with ``batch_first`` (batch, length, d_model), or (length, d_model).

    ``activation`` is "relu", "gelu" or a function; RuntimeError for other words.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, batch_first=batch_first, **made
        )
        self.linear1 = Linear(d_model, dim_feedforward, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **made)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **made)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation(self, activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """``src`` after both blocks; for the masks see ``nn.Transformer``."""
        x = self._add(
            src,
            self.norm1,
            lambda x: self._sa_block(x, src_mask, src_key_padding_mask, is_causal=is_causal),
        )
        return self._add(x, self.norm2, self._ff_block)

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout2(self._hidden(x))


class TransformerDecoderLayer(_Residual):
    """Self-attention, attention to the encoder's result, and a feed-forward network, each added to
    its input and normalised. Arguments and shapes as for ``TransformerEncoderLayer``."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        attention: dict[str, Any] = {"dropout": dropout, "batch_first": batch_first, **made}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **made)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **made)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, **made)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(self, activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """``tgt`` after the three blocks, of which the second looks at ``memory``; for the masks
        see ``nn.Transformer``."""
        x = self._add(
            tgt,
            self.norm1,
            lambda x: self._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal),
        )
        x = self._add(
            x,
            self.norm2,
            lambda x: self._mha_block(
                x, memory, memory_mask, memory_key_padding_mask, memory_is_causal
            ),
        )
        return self._add(x, self.norm3, self._ff_block)

    def _mha_block(
        self, x: Tensor, mem: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        y = _attended(self.multihead_attn, x, mem, attn_mask, key_padding_mask, is_causal)
        return self.dropout2(y)

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout3(self._hidden(x))


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, one after the other, then ``norm``. The copies
    start with equal parameters.

    As in PyTorch, evaluation that records nothing makes the result 0 (before ``norm``) at padded
    positions, where the layers are ``TransformerEncoderLayer`` with ``batch_first`` that normalise
    last, the only mask is a src_key_padding_mask with its padding on the right, and
    ``enable_nested_tensor`` is not switched off. (``mask_check=False`` promises that the padding is
    on the right.)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.layers = _copies(self, encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check
        self.use_nested_tensor = enable_nested_tensor and _skips_padding(encoder_layer)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """``src`` after all layers; for the masks see ``nn.Transformer``. ``is_causal`` says that
        ``mask`` is causal; None: that is found out."""
        op = "TransformerEncoder"
        padding = additive_mask(op, "src_key_padding_mask", src_key_padding_mask, src)
        mask = additive_mask(op, "mask", mask, src)
        cleared = padding is not None and mask is None and self._clears(src, padding)
        is_causal = _is_causal(mask, is_causal, _length(src, self.layers[0]))
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=is_causal, src_key_padding_mask=padding)
        if cleared and padding is not None:
            x = x.masked_fill((padding < 0).unsqueeze(-1), 0.0)
        return x if self.norm is None else self.norm(x)

    def _clears(self, src: Tensor, padding: Tensor) -> bool:
        """Whether padded positions are to become 0."""
        if not self.use_nested_tensor or self.layers[0].training or src.ndim != 3:
            return False
        if recording.get() and (
            src.requires_grad or any(p.requires_grad for p in self.layers[0].parameters())
        ):
            return False
        padded = padding < 0
        return not self.mask_check or not bool((padded[:, :-1] & ~padded[:, 1:]).any())


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, one after the other, then ``norm``. The copies
    start with equal parameters."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.layers = _copies(self, decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """``tgt`` after all layers, each of which looks at ``memory``; for the masks see
        ``nn.Transformer``."""
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, self.layers[0]))
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder: a source (S, N, d_model) and a target (T, N, d_model) -> (T, N,
    d_model); (N, S, d_model) and so on with ``batch_first``, and all without N.

    ``custom_encoder`` and ``custom_decoder`` replace those made here. Weights of two or more
    dimensions start Xavier-uniform. Raises RuntimeError for other numbers of features and for
    batches of two sizes.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        layer = (
            *(d_model, nhead, dim_feedforward, dropout, activation),
            *(layer_norm_eps, batch_first, norm_first),
        )
        if custom_encoder is None:
            custom_encoder = TransformerEncoder(
                TransformerEncoderLayer(*layer, **made),
                num_encoder_layers,
                LayerNorm(d_model, layer_norm_eps, **made),
            )
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(
                TransformerDecoderLayer(*layer, **made),
                num_decoder_layers,
                LayerNorm(d_model, layer_norm_eps, **made),
            )
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's result for ``tgt``, given the encoder's for ``src``.

        Masks are bools, of which True is not to be looked at, or numbers that are added to the
        scores: src_mask (S, S), tgt_mask (T, T), memory_mask (T, S), or with N * nhead in front;
        those of keys that are padding, (N, S) and (N, T), or (S,) and (T,) without N. The hints
        ``*_is_causal`` say that a mask is causal (None: that is found out), which changes nothing
        here; RuntimeError for a hint without a mask.
        """
        op = "Transformer"
        shapes = f"{tuple(src.shape)} and {tuple(tgt.shape)}"
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(f"[{op}] src and tgt have two batch sizes: {shapes}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(
                f"[{op}] src and tgt must have d_model={self.d_model} features, got {shapes}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): -inf above the diagonal, else 0."""
        return full((sz, sz), -float("inf"), device=device, dtype=dtype).triu(1)


def _attended(
    attention: Module, x: Tensor, memory: Tensor, mask: Any, padding: Any, is_causal: bool
) -> Tensor:
    y, _ = attention(
        x,
        memory,
        memory,
        attn_mask=mask,
        key_padding_mask=padding,
        need_weights=False,
        is_causal=is_causal,
    )
    return y


def _copies(stack: Module, layer: Module, count: int) -> ModuleList:
    if not isinstance(layer, Module):
        raise TypeError(
            f"{type(stack).__name__} needs a layer, a Module, to copy; got a {type(layer).__name__}"
        )
    return ModuleList([deepcopy(layer) for _ in range(count)])


def _length(x: Tensor, layer: Module) -> int:
    """How long the sequences are."""
    return x.shape[1 if x.ndim == 3 and layer.self_attn.batch_first else 0]


def _is_causal(mask: Tensor | None, given: bool | None, length: int) -> bool:
    if given is not None or mask is None:
        return given is True
    if tuple(mask.shape) != (length, length):
        return False
    causal = Transformer.generate_square_subsequent_mask(length, mask.device, mask.dtype)
    return bool((mask == causal).all())


def _skips_padding(layer: Module) -> bool:
    """Whether PyTorch has a way for such layers that leaves out the padded positions."""
    if not isinstance(layer, TransformerEncoderLayer):
        return False
    attention, activation = layer.self_attn, layer.activation
    return (
        attention.batch_first
        and not layer.norm_first
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and (activation in (F.relu, F.gelu) or isinstance(activation, (ReLU, GELU)))
        and layer.norm1.eps == layer.norm2.eps
        and attention.num_heads % 2 == 0
    )
