"""The functions behind the layers, under PyTorch's names. They live in ``ops``, by family."""

from __future__ import annotations

from tapegrad.ops.activation.activation import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    leaky_relu,
    leaky_relu_,
    relu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from tapegrad.ops.activation.activation import relu as relu
from tapegrad.ops.activation.gated import (
    glu,
    gumbel_softmax,
    logsigmoid,
    mish,
    softmin,
    softsign,
    tanhshrink,
)
from tapegrad.ops.activation.piecewise import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    prelu,
    relu6,
    rrelu,
    rrelu_,
    softshrink,
    threshold,
    threshold_,
)
from tapegrad.ops.activation.softmax import log_softmax, softmax
from tapegrad.ops.common.signatures import check_arguments
from tapegrad.ops.conv.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from tapegrad.ops.conv.fold import fold, unfold
from tapegrad.ops.conv.pad import pad
from tapegrad.ops.layers.attention import multi_head_attention_forward, scaled_dot_product_attention
from tapegrad.ops.layers.channel_norm import group_norm, instance_norm, local_response_norm
from tapegrad.ops.layers.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from tapegrad.ops.layers.embedding import embedding, one_hot
from tapegrad.ops.layers.embedding_bag import embedding_bag
from tapegrad.ops.layers.norm import batch_norm, layer_norm, rms_norm
from tapegrad.ops.linalg.matmul import linear
from tapegrad.ops.linalg.products import bilinear
from tapegrad.ops.loss.cdist import pdist
from tapegrad.ops.loss.classification import cross_entropy, linear_cross_entropy, nll_loss
from tapegrad.ops.loss.ctc import ctc_loss
from tapegrad.ops.loss.elementwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from tapegrad.ops.loss.margin import (
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
)
from tapegrad.ops.loss.pairs import (
    cosine_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from tapegrad.ops.loss.similarity import cosine_similarity, normalize, pairwise_distance
from tapegrad.ops.pooling.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from tapegrad.ops.pooling.avg_pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from tapegrad.ops.pooling.fractional_pool import fractional_max_pool2d, fractional_max_pool3d
from tapegrad.ops.pooling.max_pool import max_pool1d, max_pool2d, max_pool3d
from tapegrad.ops.pooling.max_unpool import max_unpool1d, max_unpool2d, max_unpool3d
from tapegrad.ops.vision.grid_sample import affine_grid, grid_sample
from tapegrad.ops.vision.interpolate import (
    interpolate,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from tapegrad.ops.vision.pixel_shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "celu_", "channel_shuffle", "conv1d", "conv2d",
    "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "embedding_bag",
    "feature_alpha_dropout", "fold", "fractional_max_pool2d", "fractional_max_pool3d",
    "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_",
    "linear", "linear_cross_entropy", "local_response_norm", "log_softmax", "logsigmoid",
    "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d", "max_pool2d",
    "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "mish", "mse_loss",
    "multi_head_attention_forward", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance",
    "pdist", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6",
    "relu_", "rms_norm", "rrelu", "rrelu_", "scaled_dot_product_attention", "selu", "selu_",
    "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "threshold_",
    "triplet_margin_loss", "triplet_margin_with_distance_loss", "unfold", "upsample",
    "upsample_bilinear", "upsample_nearest",
]  # fmt: skip

for _name in __all__:
    globals()[_name] = check_arguments(globals()[_name], _name)
