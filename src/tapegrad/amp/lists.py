"""What autocast does to which operation, as PyTorch has it: one list for the CPU, one for GPUs (and
the emulated device, which stands for one). Operations that are not named run in the dtypes they are
given, and promote them as ever.

A name is that of a function of ``tapegrad``, of ``nn.functional`` or, with its prefix, of
``linalg``; methods and operators of the operation follow it. Where an operation is one here and
several in PyTorch, or the other way round, its rule is what PyTorch's parts come to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Inputs become the region's dtype: products, whose sums are kept in float32 while they are added.
LOWER = "lower"
# Inputs become float32: where 16 bits lose digits, or overflow.
FLOAT32 = "float32"
# The same, unless the call names a dtype.
FLOAT32_BY_DEFAULT = "float32 by default"
# Inputs of several dtypes become the widest of them.
WIDEST = "widest"
# Inputs become the dtype of the state, the last tensor of the argument ``hx``.
STATE = "the state's"
# The call raises RuntimeError, which says what to do instead.
REFUSED = "refused"

_PRODUCTS = """
    addbmm addmm baddbmm bmm chain_matmul conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d cudnn_convolution_relu einsum feed_forward linalg.multi_dot
    linalg.vecdot linear matmul mm multi_head_attention_forward prelu scaled_dot_product_attention
"""
_LOSSES = """
    binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss
    huber_loss kl_div l1_loss linear_cross_entropy margin_ranking_loss mse_loss multi_margin_loss
    multilabel_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
    triplet_margin_loss
"""

CPU = {
    LOWER: _PRODUCTS + "corrcoef cov inner rnn_relu_cell rnn_tanh_cell tensordot",
    STATE: "gru_cell lstm_cell",
    FLOAT32: _LOSSES
    + """
        adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cdist cholesky
        cholesky_inverse cholesky_solve ctc_loss fractional_max_pool2d fractional_max_pool3d geqrf
        grid_sample inverse linalg.cholesky linalg.cholesky_ex linalg.cond linalg.eigh
        linalg.eigvalsh linalg.householder_product linalg.inv_ex linalg.lstsq linalg.matrix_rank
        linalg.pinv linalg.qr linalg.solve linalg.svd linalg.svdvals linalg.tensorinv
        linalg.tensorsolve lu lu_solve masked.prod max_pool3d max_unpool1d max_unpool2d max_unpool3d
        nanquantile ormqr pad pca_lowrank pinverse prod qr quantile svd svd_lowrank trace
        triangular_solve
    """,
    WIDEST: "cat index_copy stack",
}

GPU = {
    LOWER: _PRODUCTS + "addmv addr corrcoef cov gru_cell lstm_cell mv rnn_relu_cell rnn_tanh_cell",
    FLOAT32: _LOSSES
    + """
        acos asin cdist cosh cosine_similarity dist erfinv exp expm1 group_norm gumbel_softmax
        interpolate layer_norm linalg.norm linalg.pinv log log10 log1p log2 logsumexp normalize norm
        pairwise_distance pca_lowrank pdist pow reciprocal renorm rms_norm rsqrt sinh softplus
        svd_lowrank tan triplet_margin_with_distance_loss upsample upsample_bilinear
        upsample_nearest
    """,
    FLOAT32_BY_DEFAULT: """
        cumprod cumsum linalg.matrix_norm linalg.vector_norm log_softmax prod softmax softmin sum
    """,
    WIDEST: """
        addcdiv addcmul atan2 bilinear cross dot grid_sample index_put inner linalg.cross
        scatter_add tensordot vdot
    """,
    REFUSED: "binary_cross_entropy",
}

# Recurrent layers, which are no functions here, by their modes: on the CPU PyTorch runs GRU in
# steps that end as the state began.
RECURRENT = {
    "cpu": {"GRU": STATE, "LSTM": LOWER, "RNN_RELU": LOWER, "RNN_TANH": LOWER},
    **dict.fromkeys(
        ("cuda", "emulated"), dict.fromkeys(("GRU", "LSTM", "RNN_RELU", "RNN_TANH"), LOWER)
    ),
}

LISTS = {"cpu": CPU, "cuda": GPU, "emulated": GPU}


def _mirrors_or_repeats(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> bool:
    return mode == "replicate" or (mode == "reflect" and len(pad) <= 4)


def _contracts(equation: Any, *operands: Any) -> bool:
    """Whether operands share an index that the result does not have."""
    if not isinstance(equation, str):
        return True
    terms, arrow, result = equation.replace(" ", "").partition("->")
    held = [set(term) - set(".") for term in terms.split(",")]
    shared = {i for k, term in enumerate(held) for other in held[:k] for i in term & other}
    return bool(shared - set(result) if arrow else shared)


def _of_matrices(input: Any, other: Any) -> bool:
    return min(input.ndim, other.ndim) > 0 and max(input.ndim, other.ndim) > 1


def _alone(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> bool:
    return not return_indices


# Calls that the rules of an operation are for, where they are not for all.
ONLY: dict[tuple[str, str], Callable[..., bool]] = {
    ("cpu", "einsum"): _contracts,
    ("cpu", "inner"): _of_matrices,
    ("cpu", "max_pool3d"): _alone,
    ("cpu", "pad"): _mirrors_or_repeats,
}

INSTEAD = {
    "binary_cross_entropy": "its logarithms lose all digits of 16-bit probabilities: use "
    "binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss) on what goes into the sigmoid, or "
    "call it within autocast(..., enabled=False) on float32"
}
