"""The functions behind the layers, under PyTorch's names. They live in ``ops``, by family."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from collections.abc import Callable
from typing import Any, Literal, overload

from ..core.tensor import Tensor
from ..ops.loss.linear_cross_entropy import LinearCrossEntropyOptions

def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that divide sequences into ``output_size``."""
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that divide images into ``output_size``."""
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that divide volumes into ``output_size``."""
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = False,
) -> Tensor:
    """Maxima over windows that divide sequences into ``output_size``."""
@overload
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = False,
) -> Tensor:
    """Maxima over windows that divide images into ``output_size``."""
@overload
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any: ...
@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = False,
) -> Tensor:
    """Maxima over windows that divide volumes into ``output_size``."""
@overload
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any: ...
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The points that affine maps send an output's pixels to, for ``grid_sample``."""
def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
) -> Tensor:
    """Floats set with probability p to selu's least value, and all scaled and shifted ..."""
def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of sequences."""
def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of images."""
def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of volumes."""
def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-05,
) -> Tensor:
    """Normalise each channel of (n, c, ...) over the batch (Ioffe & Szegedy 2015)."""
def bias_gelu(input: Tensor, bias: Tensor, approximate: str = "none") -> Tensor:
    """``gelu(input + bias, approximate)`` in one pass over memory: what follows the ..."""
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """sum_ij input1_i weight_kij input2_j + bias_k: (..., m), (..., n), (out, m, n) ..."""
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """-[t log x + (1 - t) log(1 - x)] of probabilities x; logarithms are cut off at -100."""
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:
    """-[t log s(x) + (1 - t) log(1 - s(x))], s the sigmoid: in one expression that ..."""
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017)."""
def celu_(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """In-place version of ``celu``: returns the tensor."""
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(n, c, ...) with the channels of several groups dealt out in turn (Zhang et al."""
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:
    """Cross-correlation of sequences with filters."""
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with filters."""
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:
    """Cross-correlation of volumes with filters."""
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``conv1d`` with the dimensions in the order (time, batch, channels): input (w, ..."""
def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:
    """The gradient of a convolution with respect to its sequences."""
def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:
    """The gradient of a convolution with respect to its images."""
def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:
    """The gradient of a convolution with respect to its volumes."""
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """1 - cos where the label is 1, max(0, cos - margin) where it is -1, of the angles ..."""
@overload
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, x1 ."""
@overload
def cosine_similarity(x1: Tensor, x2: Tensor, *, axis: int, eps: float = 1e-08) -> Tensor: ...
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of logits, -sum(q log softmax(input)) with q the target."""
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:
    """The negative log probability of the target sequences (Graves et al."""
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Floats set to 0 with probability p, the others scaled by 1 / (1 - p)."""
def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
) -> Tensor:
    """Whole channels of (n, c, length) or (c, length) set to 0, as ``dropout`` sets ..."""
def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
) -> Tensor:
    """Whole channels of (n, c, ...) set to 0, as ``dropout`` sets elements; as in ..."""
def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
) -> Tensor:
    """Whole channels of (n, c, d, h, w) or (c, d, h, w) set to 0, as ``dropout`` sets ..."""
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x) - 1) elsewhere (Clevert et al."""
def elu_(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """In-place version of ``elu``: returns the tensor."""
def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:
    """weight[input]: (...) -> (..., columns)."""
def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of ``weight`` in each bag: (bags, columns)."""
def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
) -> Tensor:
    """``alpha_dropout`` of whole channels of (n, c, ...)."""
def feed_forward(
    input: Tensor, weight1: Tensor, bias1: Tensor | None, weight2: Tensor, bias2: Tensor | None,
    approximate: str = "none",
) -> Tensor:
    """``linear(gelu(linear(input, weight1, bias1), approximate), weight2, bias2)``, in ..."""
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Images of ``output_size`` from columns, (n, c * kh * kw, windows) or without the ..."""
@overload
def fractional_max_pool2d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: Literal[False] = False, _random_samples: Tensor | None = None,
) -> Tensor:
    """Maxima over randomly placed windows of images."""
@overload
def fractional_max_pool2d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any: ...
@overload
def fractional_max_pool3d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: Literal[False] = False, _random_samples: Tensor | None = None,
) -> Tensor:
    """Maxima over randomly placed windows of volumes."""
@overload
def fractional_max_pool3d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any: ...
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-06,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of normal distributions: (log v + (x - t)^2 / v) / 2 ..."""
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), with the normal distribution's Phi (Hendrycks & Gimpel 2016): exact ..."""
@overload
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), where a and b are the halves of the input along ``dim`` (Dauphin ..."""
@overload
def glu(input: Tensor, *, axis: int) -> Tensor: ...
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The images at the points of a grid: input (n, c, h, w), grid (n, oh, ow, 2) of ..."""
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Normalise (n, c, ...) over groups of c / num_groups consecutive channels; then ..."""
@overload
def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1,
) -> Tensor:
    """A random sample, near to one-hot for small ``tau``, of which the logits are the ..."""
@overload
def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, *, axis: int,
) -> Tensor: ...
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where -lambd <= x <= lambd, x elsewhere."""
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x relu6(x + 3) / 6 (Howard et al."""
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False,
) -> Tensor:
    """x clipped to min_val..max_val, with slope 0 on the bounds as well."""
def hardtanh_(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False,
) -> Tensor:
    """In-place version of ``hardtanh``: returns the tensor."""
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """x where the label is 1, max(0, margin - x) where it is -1, of distances x."""
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 for differences |d| up to delta, delta (|d| - delta / 2) beyond (Huber ..."""
def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-05,
) -> Tensor:
    """Normalise each channel of each sample of (n, c, ...) by itself (Ulyanov et al."""
def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input`` (batch, channels, ...) with its 1, 2 or 3 last dimensions resized to ..."""
def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence t (log t - x) of log-probabilities x from ..."""
def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference."""
def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions, ..."""
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, negative_slope * x elsewhere."""
def leaky_relu_(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """In-place version of ``leaky_relu``: returns the tensor."""
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias: (..., in), (out, in) and (out,) -> (..., out); a weight ..."""
def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """``cross_entropy`` of the logits ``linear(input, linear_weight, linear_bias)``."""
def local_response_norm(
    input: Tensor, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0,
) -> Tensor:
    """x / (k + alpha * mean of the squares of ``size`` neighbouring channels)^beta, ..."""
@overload
def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps."""
@overload
def log_softmax(input: Tensor, *, axis: int | None, dtype: Any = None) -> Tensor: ...
def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), without overflow."""
def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False,
) -> Tensor:
    """The norm of every window of sequences: (sum of x ** p) ** (1 / p) with p = ..."""
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False,
) -> Tensor:
    """The norm of every window of images: (sum of x ** p) ** (1 / p) with p = norm_type."""
def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False,
) -> Tensor:
    """The norm of every window of volumes: (sum of x ** p) ** (1 / p) with p = norm_type."""
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin): label 1 wants x1 larger, -1 wants x2 larger."""
@overload
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window of sequences."""
@overload
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any: ...
@overload
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window of images."""
@overload
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any: ...
@overload
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: Literal[False] = False,
) -> Tensor:
    """The largest element of every window of volumes."""
@overload
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any: ...
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of sequences at ``indices`` into each flattened output, ..."""
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of images at ``indices`` into each flattened output, as ..."""
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of volumes at ``indices`` into each flattened output, as ..."""
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)) (Misra 2019)."""
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:
    """The squared difference."""
def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None, static_v: Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """``nn.MultiheadAttention``'s computation, with its weights as arguments: query ..."""
def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """sum over i != t of w[t] max(0, margin - x[t] + x[i])^p / classes, for scores (n, ..."""
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum of max(0, 1 - x[t] + x[i]) / classes over the right classes t and the wrong ..."""
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """-[t log s(x) + (1 - t) log s(-x)], s the sigmoid, averaged over the last ..."""
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """-input[target]: the negative log likelihood, of log-probabilities (n, classes, ...)."""
@overload
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along ``dim``, eps), floats of any shape."""
@overload
def normalize(input: Tensor, p: float = 2.0, *, axis: Any, eps: float = 1e-12) -> Tensor: ...
def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes): 1 at the position that each class names, else 0."""
def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """``input`` with borders: ``pad`` lists (before, after) of the last dimension, ..."""
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False,
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension: (..., n) and (..., n) -> ..."""
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of rows i < j of an (n, k) matrix, a vector of n ..."""
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r^2, h, w) -> (..., c, h r, w r): every r^2 channels become r x r pixels ..."""
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., c, h r, w r) -> (..., c r^2, h, w): the inverse of ``pixel_shuffle``."""
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
    size_average: bool | None = None, eps: float = 1e-08, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under Poisson distributions with means ..."""
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, weight * x elsewhere (He et al."""
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); slope 0 at 0."""
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
def relu_(input: Tensor) -> Tensor:
    """In-place version of ``relu``: returns the tensor."""
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang & Sennrich ..."""
def rrelu(
    input: Tensor, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where positive; elsewhere x times a slope: random in lower..upper for each ..."""
def rrelu_(
    input: Tensor, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """In-place version of ``rrelu``: returns the tensor."""
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + mask) value: (..., l, e), (..., s, e), (..., s, v) ..."""
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * elu(x, alpha), with the constants for which mean 0 and variance 1 are a ..."""
def selu_(input: Tensor, inplace: bool = False) -> Tensor:
    """In-place version of ``selu``: returns the tensor."""
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)); integers become floats."""
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) for differences |d| < beta, |d| - beta / 2 beyond (Girshick 2015)."""
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)), without overflow, of scores x and labels t, 1 or -1."""
@overload
def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, of floats."""
@overload
def softmax(input: Tensor, *, axis: int | None, dtype: Any = None) -> Tensor: ...
@overload
def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
@overload
def softmin(input: Tensor, *, axis: int | None, dtype: Any = None) -> Tensor: ...
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x exceeds the threshold."""
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where that would pass it."""
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent; integers become floats."""
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above the threshold, ``value`` elsewhere."""
def threshold_(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """In-place version of ``threshold``: returns the tensor."""
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-06, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), with d the p-norm of ..."""
def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with any distance of two tensors; ``pairwise_distance`` ..."""
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1,
) -> Tensor:
    """The patches of images as columns: (n, c, h, w) -> (n, c * kh * kw, windows), or ..."""
def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate`` under its former name, without its last two arguments."""
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Bilinear ``interpolate`` of images (n, c, h, w), with aligned corners."""
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` of (batch, channels, ...) by the nearest elements."""
