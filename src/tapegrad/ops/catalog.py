"""Every operation, once: which module it is in, and the doors that lead to it.

Modules are loaded when one of their operations is first named, so ``import tapegrad`` costs the
same however many there are. A word ``name`` is a function of its module; ``name=function`` is one
that has another name there. Whichever door one takes, the function is the same: the module's, with
its arguments checked and with ``out=``. The doors:

    tg        ``tapegrad.name``
    x         the method ``x.name``
    x_        ``x.name_``: computed, then written over x
    x_linear  the same, of an operation whose gradient does not ask what x was
    x_view    ``x.name_`` of a view: only the shape and strides of x change
    tg_       ``tapegrad.name_(x)``, which is ``x.name_()``
    property  ``x.name`` without a call
    operator  ``x.__name__``, as its module has it: nothing stands before the arithmetic
    reflected ``x.__name__`` with the operands exchanged
    F         ``tapegrad.nn.functional.name``
    linalg, special, masked, windows (of ``tapegrad.signal``)
    xp        what bodies and rules call it: a primitive or array function that the module declares
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from tapegrad.core import devices

from .common import hints
from .common.hints import UnknownName
from .common.in_c import in_c
from .common.signatures import published

# fmt: off
OPERATIONS: dict[str, dict[str, str]] = {
    "activation.activation": {
        "tg x x_ tg_ F": "sigmoid tanh",
        "tg x F": "relu relu_",
        "tg F": "celu celu_ selu selu_",
        "F": "elu elu_ gelu leaky_relu leaky_relu_ silu softplus",
        "special": "expit=sigmoid",
        "xp": """
            elu elu_backward gelu gelu_backward gelu_tanh gelu_tanh_backward leaky_relu
            leaky_relu_backward relu relu_backward sigmoid sigmoid_backward silu silu_backward
            softplus softplus_backward tanh tanh_backward
        """,
    },
    "activation.bias_gelu": {"F": "bias_gelu", "xp": "bias_gelu bias_gelu_backward"},
    "activation.gated": {
        "F": "glu gumbel_softmax logsigmoid mish softsign tanhshrink",
        "xp": "logsigmoid mish mish_backward softsign",
    },
    "activation.piecewise": {
        "tg x F": "hardshrink prelu",
        "tg F": "rrelu rrelu_ threshold threshold_",
        "F": "hardsigmoid hardswish hardtanh hardtanh_ relu6 softshrink",
        "xp": "hardshrink hardsigmoid hardswish hardtanh prelu softshrink threshold",
    },
    "activation.implicit_dim": {"F": "log_softmax softmax softmin"},
    "activation.softmax": {
        "tg x special": "log_softmax softmax",
        "xp": "log_softmax log_softmax_backward softmax softmax_backward",
    },
    "conv.conv": {
        "tg F": "conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d",
    },
    "conv.conv_relu": {"tg": "cudnn_convolution_relu", "xp": "convolution_relu"},
    "conv.fold": {"F": "fold unfold", "xp": "columns_to_image image_to_columns"},
    "conv.pad": {"F": "pad", "xp": "constant_pad"},
    "conv.primitives": {"xp": "convolution convolution_input convolution_weight matmul_into"},
    "creation.create": {
        "tg": """
            as_tensor asarray=as_tensor empty empty_like from_dlpack from_numpy frombuffer full
            full_like ones ones_like tensor zeros zeros_like
        """,
        "x": "new_empty new_full new_ones new_tensor new_zeros",
    },
    "creation.ranges": {
        "tg": "arange empty_permuted empty_strided eye linspace logspace range scalar_tensor",
        "x": "new_empty_strided",
    },
    "creation.resize": {"tg x": "resize_as_", "x": "resize_"},
    "movement.to": {
        "x": """
            bfloat16=to_bfloat16 bool=to_bool byte=to_byte char=to_char cpu cuda double=to_double
            float=to_float half=to_half int=to_int long=to_long short=to_short to type_as
        """,
        "xp": "transfer",
    },
    "creation.window_functions": {
        "tg": "bartlett_window blackman_window hamming_window hann_window kaiser_window",
        "windows": """
            bartlett blackman cosine exponential gaussian general_cosine general_hamming hamming
            hann kaiser nuttall
        """,
    },
    "indexing.gather": {"tg x": "gather index_select take take_along_dim"},
    "common.index": {
        "xp": """
            add_at getitem getitem_backward index_add_at index_put last_only least_and_most store
        """,
    },
    "indexing.index_ops": {"tg x x_": "index_add index_copy index_fill index_reduce"},
    "indexing.inplace": {
        "operator": "__setitem__=setitem",
        "tg x": "fill_ zero_",
        "x": "copy_ float_power_",
        "xp": "add_scaled",
    },
    "indexing.nonzero": {
        "tg x": "argwhere masked_select nonzero nonzero_static",
        "tg x x_": "masked_scatter",
        "xp": "nonzero_rows",
    },
    "indexing.put": {"tg x x_": "put", "tg x x_ tg_": "index_put"},
    "indexing.scatter": {"tg x x_": "scatter scatter_add scatter_reduce"},
    "indexing.segment_reduce": {"xp": "reduce_at"},
    "indexing.subscript": {"operator": "__getitem__=subscript"},
    "indexing.take_along": {"xp": "put_along take_along"},
    "indexing.where": {
        "tg": "fill where=select_where",
        "tg x x_": "masked_fill",
        "x": "where=where_method",
        "x_": "fill_diagonal",
    },
    "layers.attention": {
        "F": "multi_head_attention_forward scaled_dot_product_attention",
        "xp": "attention attention_backward",
    },
    "layers.channel_norm": {
        "tg F": "group_norm",
        "F": "instance_norm local_response_norm",
        "xp": "group_norm group_norm_backward window_sum",
    },
    "layers.dropout": {
        "tg F": "alpha_dropout dropout feature_alpha_dropout",
        "F": "dropout1d dropout2d dropout3d",
        "xp": "alpha_dropout dropout",
    },
    "layers.embedding": {
        "F": "embedding one_hot",
        "xp": "add_rows embedding embedding_backward scale_gradient",
    },
    "layers.embedding_bag": {"F": "embedding_bag", "xp": "bag_maxima"},
    "layers.feed_forward": {
        "F": "feed_forward",
        "xp": "feed_forward linear_gelu matmul_gelu_backward matmul_gelu_backward_sums",
    },
    "layers.flash_attention": {"xp": "flash_attention flash_attention_backward"},
    "layers.norm": {
        "tg F": "layer_norm rms_norm",
        "F": "batch_norm",
        "xp": """
            batch_moments batch_norm batch_norm_backward folding layer_norm layer_norm_backward
            rms_norm rms_norm_backward scale_channels scale_channels_backward
        """,
    },
    "layers.recurrence": {
        "xp": """
            gru_layer gru_layer_backward gru_steps gru_steps_backward lstm_layer lstm_layer_backward
            lstm_steps lstm_steps_backward rnn_layer rnn_layer_backward
        """,
    },
    "layers.recurrent": {"tg": "gru_cell lstm_cell rnn_relu_cell rnn_tanh_cell"},
    "linalg.addmm": {"tg x x_": "addbmm addmm addr baddbmm", "tg x x_ tg_": "addmv"},
    "linalg.cholesky": {
        "tg x": "cholesky=torch_cholesky cholesky_inverse cholesky_solve",
        "linalg": "cholesky cholesky_ex",
        "xp": "cholesky cholesky_inverse cholesky_solve",
    },
    "linalg.covariance": {"tg x": "corrcoef cov"},
    "linalg.det": {"tg x": "logdet", "tg x linalg": "det slogdet", "xp": "det slogdet"},
    "linalg.eigh_svd": {
        "tg x": "svd=torch_svd",
        "linalg": "eigh eigvalsh svd svdvals",
        "xp": "eigh eigvalsh svd svdvals",
    },
    "linalg.einsum": {"tg": "einsum"},
    "linalg.ldl": {"linalg": "ldl_factor ldl_factor_ex ldl_solve"},
    "linalg.lowrank": {"tg": "pca_lowrank svd_lowrank"},
    "linalg.lu": {
        "tg": "lu_unpack",
        "tg x": "lu=torch_lu lu_solve=torch_lu_solve",
        "linalg": "lu lu_factor lu_factor_ex lu_solve",
        "xp": "lu_factor rows_exchanged",
    },
    "linalg.matmul": {
        "operator": "__matmul__=matmul",
        "tg x": "bmm dot mm mv",
        "tg x linalg": "matmul",
        "F": "linear",
        "xp": "addmm column_sum linear matmul matmul_wide",
    },
    "linalg.matrices": {"linalg": "LinAlgError"},
    "linalg.matrix_exp": {"tg x linalg": "matrix_exp", "xp": "matrix_exp"},
    "linalg.norms": {
        "tg x": "dist norm=p_norm",
        "tg x x_": "renorm",
        "linalg": "matrix_norm norm vector_norm",
        "xp": "vector_norm",
    },
    "linalg.pinv": {
        "tg x": "pinverse",
        "linalg": "cond lstsq matrix_rank pinv",
        "xp": "pseudoinverse",
    },
    "linalg.products": {
        "tg": "chain_matmul tensordot vander=torch_vander",
        "tg x": "cross ger=outer inner kron outer trace vdot",
        "tg F": "bilinear",
        "linalg": "cross=linalg_cross multi_dot vander vecdot",
    },
    "linalg.qr": {
        "tg x": "geqrf orgqr=householder_product ormqr qr=torch_qr",
        "linalg": "householder_product qr",
        "xp": "qr",
    },
    "linalg.solve": {
        "tg x": "inverse=inv",
        "tg x linalg": "matrix_power",
        "linalg": "inv inv_ex solve solve_ex tensorinv tensorsolve",
        "xp": "inv solve",
    },
    "linalg.solve_triangular": {
        "tg x": "triangular_solve",
        "linalg": "solve_triangular",
        "xp": "solve_triangular",
    },
    "loss.cdist": {"tg": "cdist", "tg F": "pdist", "xp": "distances euclidean_distances"},
    "loss.classification": {
        "F": "cross_entropy nll_loss",
        "xp": """
            check_classes cross_entropy cross_entropy_backward divide_or_zero nll nll_backward
            per_weight target_weight
        """,
    },
    "loss.ctc": {"F": "ctc_loss", "xp": "ctc_backward ctc_loss"},
    "loss.elementwise": {
        "F": """
            binary_cross_entropy binary_cross_entropy_with_logits gaussian_nll_loss
            hinge_embedding_loss huber_loss kl_div l1_loss mse_loss poisson_nll_loss smooth_l1_loss
            soft_margin_loss
        """,
        "xp": """
            absolute_distance absolute_distance_backward bce_of_logits bce_of_two
            bce_of_two_backward binary_cross_entropy clamp_min_straight_through huber huber_distance
            huber_distance_backward kl_of_logarithms kl_of_logarithms_backward squared_distance
            squared_distance_backward
        """,
    },
    "loss.linear_cross_entropy": {
        "F": "linear_cross_entropy",
        "xp": "chunked_cross_entropy chunked_cross_entropy_backward",
    },
    "loss.margin": {"F": "multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss"},
    "loss.pairs": {
        "F": """
            cosine_embedding_loss margin_ranking_loss triplet_margin_loss
            triplet_margin_with_distance_loss
        """,
    },
    "loss.similarity": {"tg F": "cosine_similarity pairwise_distance", "F": "normalize"},
    "movement.axes": {
        "tg": "atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors unravel_index",
        "tg x": "adjoint moveaxis movedim ravel unflatten",
        "tg x x_view": "swapaxes",
        "property": "H T mH=adjoint",
    },
    "movement.cat": {
        "tg": """
            block_diag cat column_stack concat=cat concatenate=cat dstack hstack row_stack=vstack
            stack vstack
        """,
        "xp": "concatenate stack",
    },
    "movement.diagonal": {
        "tg x": "diag diag_embed diagflat diagonal diagonal_scatter",
        "linalg": "diagonal=matrix_diagonal",
        "xp": "diagonal diagonal_embedded diagonal_scatter",
    },
    "movement.flip": {"tg x": "flip fliplr flipud roll rot90", "xp": "flip roll"},
    "movement.meshgrid": {"tg": "cartesian_prod combinations meshgrid", "xp": "choices"},
    "movement.repeat": {"tg x": "repeat_interleave tile", "x": "repeat", "xp": "numbered"},
    "movement.shape": {
        "tg x": "broadcast_to clone flatten permute reshape",
        "tg x x_view": "squeeze swapdims=transpose t transpose unsqueeze",
        "x": "contiguous=contiguous_tensor expand expand_as reshape_as view view_as",
        "property": "mT",
        "xp": "alias broadcast_to contiguous copy reshape transpose",
    },
    "movement.split": {
        "tg": "slice",
        "tg x": """
            chunk dsplit hsplit narrow select split split_with_sizes tensor_split unbind
            unsafe_chunk=chunk unsafe_split=split unsafe_split_with_sizes=split_with_sizes vsplit
        """,
    },
    "movement.strided": {
        "tg x": "as_strided_copy as_strided_scatter",
        "tg x x_view tg_": "as_strided",
        "x": "storage_offset",
        "xp": "strided_last strided_part strided_replace strided_sum strided_view strided_written",
    },
    "movement.storage": {
        "x": """
            apply_ is_pinned is_shared map_ pin_memory record_stream set_ share_memory_ storage
            storage_type untyped_storage
        """,
    },
    "movement.tensor_types": {"x": "new type=to_type"},
    "movement.tril_triu": {
        "tg": "tril_indices triu_indices",
        "tg x x_": "tril triu",
        "xp": "triangle_indices tril triu",
    },
    "movement.unfold": {"x": "unfold", "xp": "sliding sliding_sum"},
    "movement.view_copies": {
        "tg": """
            alias_copy detach detach_copy diagonal_copy expand_copy permute_copy select_copy
            slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy
            unbind_copy unfold_copy unsqueeze_copy view_copy
        """,
        "tg x": "narrow_copy select_scatter slice_scatter",
    },
    "pointwise.arithmetic": {
        "operator": "__pow__=pow",
        "reflected": "__rpow__=pow",
        "tg x": "rsub",
        "tg x x_": "div divide=div fmod pow subtract=sub true_divide",
        "tg x x_ tg_": "clamp clamp_max clamp_min clip=clamp",
        "tg x x_ tg_ special": "round",
        "tg x x_linear": "add sub",
        "xp": "clamp div_floor div_trunc fmod",
    },
    "pointwise.bitwise": {
        "tg x x_": "bitwise_left_shift bitwise_right_shift",
        "tg x x_ tg_": "gcd lcm",
        "operator": "__lshift__=bitwise_left_shift __rshift__=bitwise_right_shift",
        "reflected": "__rlshift__=bitwise_left_shift __rrshift__=bitwise_right_shift",
        "xp": "bitwise_left_shift bitwise_right_shift gcd lcm",
    },
    "pointwise.comparison": {
        "tg": "isin",
        "tg x": "allclose equal fmax fmin isclose maximum minimum",
        "tg x x_": """
            eq ge greater=gt greater_equal=ge gt le less=lt less_equal=le logical_and logical_or
            logical_xor lt ne not_equal=ne
        """,
        "xp": "fmax fmin isin",
    },
    "pointwise.elementwise": {
        "operator": """
            __abs__=absolute __add__=add __and__=bitwise_and __floordiv__=floor_divide
            __ge__=greater_equal __gt__=greater __invert__=bitwise_not __le__=less_equal __lt__=less
            __mod__=remainder __mul__=multiply __neg__=negative __or__=bitwise_or
            __sub__=subtract __truediv__=divide __xor__=bitwise_xor
        """,
        "reflected": """
            __radd__=add __rand__=bitwise_and __rdiv__=divide __rfloordiv__=floor_divide
            __rmod__=remainder __rmul__=multiply __ror__=bitwise_or
            __rsub__=subtract __rtruediv__=divide __rxor__=bitwise_xor
        """,
        "tg x": "isfinite isinf isnan",
        "tg x x_": """
            absolute bitwise_and bitwise_not bitwise_or bitwise_xor floor_divide logical_not
            mul=multiply multiply remainder sgn=sign sign
        """,
        "tg x x_ tg_": """
            abs=absolute ceil cos exp fix=trunc floor log negative reciprocal rsqrt sin sqrt square
            trunc
        """,
        "tg x x_ tg_ special": "expm1 log1p",
        "tg x x_linear tg_": "neg=negative",
        "xp": """
            absolute accumulate add bitwise_and bitwise_not bitwise_or bitwise_xor cast ceil clip
            cos divide equal exp expm1 floor floor_divide greater greater_equal isfinite isinf isnan
            less less_equal log log1p logical_and logical_not logical_or logical_xor maximum minimum
            multiply negative no_slope not_equal number_power power reciprocal remainder rint rsqrt
            sign sin sqrt square subtract trunc where write
        """,
    },
    "pointwise.exponential": {
        "tg x": "logaddexp logaddexp2",
        "tg x x_ tg_": "log10 log2",
        "tg x x_ tg_ special": "exp2 logit xlogy",
        "special": "entr xlog1py",
        "xp": "entr exp2 log10 log2 logaddexp logaddexp2 logit xlog1py xlogy",
    },
    "pointwise.floating_point": {
        "tg x": """
            conj=itself frexp isneginf isposinf isreal positive resolve_conj=itself
            resolve_neg=itself signbit
        """,
        "tg x x_": "copysign heaviside nextafter",
        "tg x x_ tg_": "conj_physical=itself frac ldexp nan_to_num",
        "tg property": "real=itself",
        "xp": """
            copysign exponent heaviside isneginf isposinf mantissa nan_to_num nextafter signbit
        """,
    },
    "pointwise.lerp": {
        "tg x": "float_power",
        "tg x x_": "addcdiv addcmul lerp",
    },
    "pointwise.trigonometry": {
        "tg x": "angle",
        "tg x x_": "arctan2=atan2 atan2 hypot",
        "tg x x_ tg_": """
            acos acosh arccos=acos arccosh=acosh arcsin=asin arcsinh=asinh arctan=atan arctanh=atanh
            asin asinh atan atanh cosh deg2rad rad2deg sinh tan
        """,
        "tg x x_ tg_ special": "sinc",
        "xp": """
            acos acosh angle asin asinh atan atan2 atanh cosh deg2rad hypot rad2deg sinc sinh tan
        """,
    },
    "pooling.adaptive_pool": {
        "tg F": "adaptive_avg_pool1d",
        "F": """
            adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
            adaptive_max_pool3d
        """,
    },
    "pooling.avg_pool": {
        "tg F": "avg_pool1d",
        "F": "avg_pool2d avg_pool3d lp_pool1d lp_pool2d lp_pool3d",
        "xp": "avg_pool avg_pool_backward",
    },
    "pooling.fractional_pool": {"F": "fractional_max_pool2d fractional_max_pool3d"},
    "pooling.max_pool": {
        "tg F": "max_pool1d max_pool2d max_pool3d",
        "xp": """
            largest_at max_along max_along_backward max_along_pick max_pool max_pool_backward
            max_pool_pick
        """,
    },
    "pooling.max_unpool": {"F": "max_unpool1d max_unpool2d max_unpool3d"},
    "reduction.calculus": {
        "tg": "cumulative_trapezoid gradient trapezoid trapz=trapezoid",
        "tg x": "diff",
    },
    "reduction.cumulative": {
        "tg x": "cummax cummin logcumsumexp",
        "tg x x_": "cumprod cumsum",
        "xp": "cumprod cumsum last_largest last_smallest logcumsumexp recurrence",
    },
    "reduction.histogram": {"tg": "histogramdd", "tg x": "bincount histc histogram"},
    "masked": {
        "masked": """
            amax amin argmax argmin cumprod cumsum log_softmax logaddexp logsumexp mean median norm
            normalize prod softmax softmin std sum var
        """,
    },
    "reduction.joint_norm": {"xp": "joint_norm scale_to_norm"},
    "reduction.minmax": {
        "tg x": "amax amin aminmax argmax argmin max min",
        "xp": "amax amin argmax argmin",
    },
    "reduction.moments": {
        "tg": "std_mean var_mean",
        "tg x": "std var",
        "xp": "std var",
    },
    "reduction.quantile": {"tg x": "median mode nanmedian nanquantile quantile"},
    "reduction.reduce": {
        "tg x": "all any count_nonzero mean nanmean nansum prod sum",
        "tg x special": "logsumexp",
        "x": "sum_to_size",
        "xp": "all any logsumexp mean prod sum",
    },
    "reduction.searchsorted": {"tg": "bucketize searchsorted"},
    "reduction.sort": {"tg x": "argsort kthvalue msort sort topk", "xp": "order top"},
    "reduction.unique": {"tg x": "unique unique_consecutive"},
    "sampling.distributions": {
        "tg": "normal poisson",
        "tg x": "bernoulli multinomial",
        "x": "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_",
    },
    "sampling.draws": {"tg": "rand rand_like randint randint_like randn randn_like randperm"},
    "sampling.gamma": {"xp": "dirichlet standard_gamma"},
    "sampling.implicit": {"xp": "dirichlet_slope standard_gamma_slope"},
    "sampling.philox": {
        "tg": "Generator get_rng_state initial_seed manual_seed seed set_rng_state",
        "xp": "integers_below normal philox uniform",
    },
    "special.error_function": {
        "tg x x_ tg_ special": "erf erfc",
        "tg x x_ special": "erfinv",
        "special": "ndtr",
        "xp": "erf erfc erfinv ndtr",
    },
    "special.gamma": {
        "tg x x_": "igamma igammac lgamma mvlgamma",
        "tg x x_ special": "digamma",
        "tg special": "polygamma",
        "x x_": "polygamma=polygamma_method",
        "special": """
            gammainc=igamma gammaincc=igammac gammaln=lgamma multigammaln=mvlgamma psi=digamma
        """,
        "xp": "digamma igamma igammac lgamma polygamma",
    },
    "special.orthogonal_polynomials": {
        "special": """
            chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v
            chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l
            legendre_polynomial_p shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u
            shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
        """,
    },
    "special.scipy_functions": {
        "tg x x_ tg_ special": "i0",
        "special": """
            airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx i0e i1 i1e log_ndtr
            modified_bessel_i0=i0 modified_bessel_i1=i1 modified_bessel_k0 modified_bessel_k1 ndtri
            scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0 zeta
        """,
        "xp": """
            airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx i0 i0e i1 i1e log_ndtr
            modified_bessel_k0 modified_bessel_k1 ndtri scaled_modified_bessel_k0
            scaled_modified_bessel_k1 spherical_bessel_j0 zeta
        """,
    },
    "pooling.flat_pixels": {"xp": "add_positions last_positions read_positions write_positions"},
    "vision.grid_sample": {"F": "affine_grid grid_sample"},
    "vision.interpolate": {"F": "interpolate upsample upsample_bilinear upsample_nearest"},
    "vision.pixel_shuffle": {"tg F": "channel_shuffle pixel_shuffle pixel_unshuffle"},
    "pooling.resample": {"xp": "resample"},
}
# fmt: on


class Operation(NamedTuple):
    """A function of a module of ``tapegrad.ops``, under one of its public names."""

    module: str
    function: str

    def declared(self) -> Any:
        """The function as its module has it."""
        return getattr(import_module(f"..{self.module}", __name__), self.function)

    def operator(self) -> Any:
        """The same, for an operator."""
        function = self.declared()
        return in_c(function, function)

    def load(self) -> Any:
        """The public function: its arguments checked, and with ``out=``."""
        function = loaded.get(self)
        if function is None:
            function = loaded[self] = published(self.declared(), _called[self])
            if self in _homes and not isinstance(function, type):
                function.__module__, function.__qualname__ = _homes[self]
            for tell in when_loaded:
                tell(self)
        return function


loaded: dict[Operation, Any] = {}  # the public functions so far
when_loaded: list[Callable[[Operation], None]] = []  # called with each operation that is
_called: dict[Operation, str] = {}  # what errors call an operation
_homes: dict[Operation, tuple[str, str]] = {}  # where pickle finds it: module and name
_MODULES = {
    "tg": "tapegrad",
    "F": "tapegrad.nn.functional",
    "windows": "tapegrad.signal.windows",
    **{door: f"tapegrad.{door}" for door in ("linalg", "special", "masked")},
}


def _read() -> dict[str, dict[str, Operation]]:
    found: dict[str, dict[str, Operation]] = {}
    for module, families in OPERATIONS.items():
        for given, words in families.items():
            for word in words.split():
                name, _, function = word.partition("=")
                operation = Operation(module, function or name)
                for door in given.split():
                    if door in ("linalg", "masked"):
                        _called[operation] = f"{door}.{name}"
                    _called.setdefault(operation, name)
                    if door in _MODULES:
                        _homes.setdefault(operation, (_MODULES[door], name))
                    if found.setdefault(door, {}).setdefault(name, operation) != operation:
                        raise ValueError(f"operation {name!r} is listed twice for {door!r}")
    return found


doors = _read()  # door -> name -> operation
hints.doors.update(doors)
in_place = {
    f"{name}_": operation
    for door in ("x_", "x_linear", "x_view")
    for name, operation in doors[door].items()
}


def publish(module: str, door: str) -> tuple[Callable, Callable, list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a module that offers the operations behind a
    door, each loaded when it is first named."""
    operations = doors[door]

    def load(name: str) -> Any:
        if name not in operations:
            raise UnknownName(f"module {module!r}", name, names)
        value = operations[name].load()
        setattr(sys.modules[module], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *operations})

    return load, names, sorted(operations)


def _load_primitive(name: str) -> None:
    if name in doors["xp"]:
        import_module(f"..{doors['xp'][name].module}", __name__)


devices.load_primitive = _load_primitive
