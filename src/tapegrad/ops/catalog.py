"""The public operations by name: which module each is in, and in what forms it exists.

Modules are loaded when one of their operations is first named, so ``import tapegrad`` costs the
same however many there are. A word ``name`` is a function of its module; ``name=function`` is one
that has another name there; a trailing ``_`` (``exp_``) says that it exists in place as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from tapegrad.core import devices

# Functions that are methods of the same name too: ``tapegrad.f(x, ...)`` is ``x.f(...)``.
SHARED = {
    "linalg.vector_norms": "dist norm renorm_",
    "activation.activation": "relu_ sigmoid_ tanh_",
    "pointwise.arithmetic": """
        add_ clamp_ clamp_max_ clamp_min_ clip_=clamp div_ divide_=div fmod_ pow_ round_ rsub sub_
        subtract_=sub true_divide_
    """,
    "pointwise.lerp": "addcdiv_ addcmul_ float_power lerp_",
    "reduction.calculus": "diff",
    "pointwise.comparison": """
        allclose eq_ equal fmax fmin ge_ greater_=gt greater_equal_=ge gt_ isclose le_ less_=lt
        less_equal_=le logical_and_ logical_or_ logical_xor_ lt_ maximum minimum ne_ not_equal_=ne
    """,
    "pointwise.elementwise": """
        abs_=absolute absolute_ bitwise_and_ bitwise_not_ bitwise_or_ bitwise_xor_ ceil_ cos_
        exp_ expm1_ fix_=trunc floor_ floor_divide_ isfinite isinf isnan log_ log1p_ logical_not_
        mul_=multiply multiply_ neg_=negative negative_ reciprocal_ remainder_ rsqrt_ sgn_=sign
        sign_ sin_ sqrt_ square_ trunc_
    """,
    "special.error_function": "erf_ erfc_ erfinv_",
    "pointwise.exponential": "exp2_ log10_ log2_ logaddexp logaddexp2 logit_ xlogy_",
    "special.gamma": "digamma_ igamma_ igammac_ lgamma_ mvlgamma_",
    "special.scipy_functions": "i0_",
    "movement.axes": "adjoint moveaxis movedim ravel swapaxes unflatten",
    "movement.view_copies": "narrow_copy select_scatter slice_scatter",
    "movement.diagonal": "diag diag_embed diagflat diagonal diagonal_scatter",
    "movement.flip": "flip fliplr flipud roll rot90",
    "indexing.gather": "gather index_select take take_along_dim",
    "pointwise.bitwise": "bitwise_left_shift_ bitwise_right_shift_ gcd_ lcm_",
    "activation.piecewise": "hardshrink prelu",
    "linalg.matmul": "bmm dot matmul mm mv",
    "pointwise.floating_point": """
        conj=itself conj_physical_=itself copysign_ frac_ frexp heaviside_ isneginf isposinf isreal
        ldexp_ nan_to_num_ nextafter_ positive resolve_conj=itself resolve_neg=itself
        signbit
    """,
    "linalg.cholesky": "cholesky=torch_cholesky cholesky_inverse cholesky_solve",
    "linalg.det": "det logdet slogdet",
    "linalg.lu": "lu=torch_lu lu_solve=torch_lu_solve",
    "linalg.matrix_exp": "matrix_exp",
    "linalg.qr": "geqrf ormqr orgqr=householder_product qr=torch_qr",
    "linalg.pinv": "pinverse",
    "linalg.solve": "inverse=inv matrix_power",
    "linalg.eigh_svd": "svd=torch_svd",
    "linalg.solve_triangular": "triangular_solve",
    "linalg.addmm": "addbmm_ addmm_ addmv_ addr_ baddbmm_",
    "linalg.products": "cross ger=outer inner kron outer trace vdot",
    "sampling.distributions": "bernoulli multinomial",
    "reduction.minmax": "amax amin aminmax argmax argmin max min",
    "reduction.histogram": "bincount histc histogram",
    "reduction.quantile": "median mode nanmedian nanquantile quantile",
    "reduction.reduce": "all any count_nonzero logsumexp mean nanmean nansum prod sum",
    "reduction.cumulative": "cummax cummin cumprod_ cumsum_ logcumsumexp",
    "reduction.sort": "argsort kthvalue msort sort topk",
    "reduction.moments": "corrcoef cov std var",
    "reduction.unique": "unique unique_consecutive",
    "indexing.nonzero": "argwhere masked_scatter_ masked_select nonzero nonzero_static",
    "indexing.put": "index_put_ put_",
    "indexing.index_ops": "index_add_ index_copy_ index_fill_ index_reduce_",
    "indexing.scatter": "scatter_ scatter_add_ scatter_reduce_",
    "indexing.where": "masked_fill_",
    "movement.shape": """
        broadcast_to clone flatten permute reshape squeeze swapdims=transpose t transpose unsqueeze
    """,
    "activation.softmax": "log_softmax softmax",
    "movement.split": """
        chunk dsplit hsplit narrow select split split_with_sizes tensor_split unbind
        unsafe_chunk=chunk unsafe_split=split unsafe_split_with_sizes=split_with_sizes vsplit
    """,
    "movement.strided": "as_strided as_strided_copy as_strided_scatter",
    "movement.repeat": "repeat_interleave tile",
    "movement.tril_triu": "tril_ triu_",
    "pointwise.trigonometry": """
        acos_ acosh_ angle arccos_=acos arccosh_=acosh arcsin_=asin arcsinh_=asinh arctan_=atan
        arctan2_=atan2 arctanh_=atanh asin_ asinh_ atan_ atan2_ atanh_ cosh_ deg2rad_ hypot_
        rad2deg_ sinc_ sinh_ tan_
    """,
}

# Functions that are no methods.
FUNCTIONS = {
    "pointwise.floating_point": "real=itself",
    "reduction.calculus": "cumulative_trapezoid gradient trapezoid trapz=trapezoid",
    "creation.window_functions": """
        bartlett_window blackman_window hamming_window hann_window kaiser_window
    """,
    "special.gamma": "polygamma",
    "pointwise.comparison": "isin",
    "reduction.histogram": "histogramdd",
    "reduction.searchsorted": "bucketize searchsorted",
    "reduction.moments": "std_mean var_mean",
    "creation.create": """
        as_tensor asarray=as_tensor empty empty_like from_dlpack from_numpy full full_like ones
        ones_like tensor zeros zeros_like
    """,
    "movement.axes": """
        atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors unravel_index
    """,
    "movement.view_copies": """
        alias_copy detach detach_copy diagonal_copy expand_copy permute_copy select_copy slice_copy
        split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy
        unsqueeze_copy view_copy
    """,
    "movement.meshgrid": "cartesian_prod combinations meshgrid",
    "movement.cat": """
        block_diag cat column_stack concat=cat concatenate=cat dstack hstack row_stack=vstack stack
        vstack
    """,
    "activation.activation": "celu selu",
    "layers.channel_norm": "group_norm",
    "loss.similarity": "cosine_similarity pairwise_distance",
    "linalg.einsum": "einsum",
    "loss.cdist": "cdist pdist",
    "linalg.lowrank": "pca_lowrank svd_lowrank",
    "linalg.lu": "lu_unpack",
    "linalg.products": "bilinear chain_matmul tensordot vander=torch_vander",
    "layers.norm": "layer_norm rms_norm",
    "creation.ranges": """
        arange empty_permuted empty_strided eye linspace logspace scalar_tensor
    """,
    "sampling.distributions": "normal poisson",
    "layers.dropout": "alpha_dropout dropout feature_alpha_dropout",
    "activation.piecewise": "rrelu threshold",
    "sampling.philox": "Generator get_rng_state initial_seed manual_seed seed set_rng_state",
    "layers.recurrent": "gru_cell",
    "sampling.draws": "rand rand_like randint randint_like randn randn_like randperm",
    "indexing.where": "fill where=select_where",
    "movement.split": "slice",
    "movement.tril_triu": "tril_indices triu_indices",
    "conv.conv": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc",
    "pooling.max_pool": "max_pool1d max_pool2d max_pool3d",
    "pooling.avg_pool": "avg_pool1d",
    "pooling.adaptive_pool": "adaptive_avg_pool1d",
    "vision.pixel_shuffle": "channel_shuffle pixel_shuffle pixel_unshuffle",
}

# Methods that are no functions.
METHODS = {
    "pointwise.lerp": "float_power_=float_power_in_place",
    "special.gamma": "polygamma=polygamma_method polygamma_=polygamma_in_place",
    "reduction.reduce": "sum_to_size",
    "creation.to": """
        type
        to cpu cuda type_as double=to_double float=to_float half=to_half bfloat16=to_bfloat16
        long=to_long int=to_int short=to_short char=to_char byte=to_byte bool=to_bool
    """,
    "creation.create": "new_empty new_full new_ones new_tensor new_zeros",
    "creation.ranges": "new_empty_strided",
    "pointwise.bitwise": """
        __ilshift__=left_shift_in_place __irshift__=right_shift_in_place
        __lshift__=bitwise_left_shift __rlshift__=reflected_left_shift
        __rrshift__=reflected_right_shift __rshift__=bitwise_right_shift
    """,
    "movement.diagonal": "fill_diagonal_",
    "indexing.inplace": "copy_ fill_ zero_",
    "sampling.distributions": """
        bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_
    """,
    "indexing.where": "where=where_method",
    "movement.shape": "contiguous=contiguous_tensor expand expand_as reshape_as view view_as",
    "movement.strided": "storage_offset",
    "movement.repeat": "repeat",
    "creation.resize": "resize_ resize_as_",
    "movement.unfold": "unfold",
}

# Views whose in-place twin changes the tensor's shape and strides and leaves its memory alone.
RESTRIDED = "as_strided squeeze swapaxes swapdims t transpose unsqueeze"

# Methods in place that are functions too, as in PyTorch: ``tapegrad.exp_(x)`` is ``x.exp_()``.
CHANGING = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_
    asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_
    erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_
    log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ resize_as_ round_
    rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
"""

# Properties of a Tensor.
PROPERTIES = {
    "movement.axes": "H T mH=adjoint",
    "pointwise.floating_point": "real=itself",
    "movement.shape": "mT",
}

# The primitives and array functions of each module, by the names that ``xp`` gives them. A module
# is loaded when a body or a rule first asks for one of its names.
PRIMITIVES = {
    "activation.activation": """
        elu elu_backward gelu gelu_backward gelu_tanh gelu_tanh_backward leaky_relu
        leaky_relu_backward relu relu_backward sigmoid sigmoid_backward silu silu_backward softplus
        softplus_backward tanh tanh_backward
    """,
    "activation.gated": "logsigmoid mish mish_backward",
    "activation.piecewise": "hardshrink hardsigmoid hardswish hardtanh prelu softshrink threshold",
    "activation.softmax": "log_softmax log_softmax_backward softmax softmax_backward",
    "conv.fold": "columns_to_image image_to_columns",
    "conv.pad": "constant_pad",
    "conv.primitives": "convolution convolution_input convolution_weight matmul_into",
    "creation.to": "transfer",
    "indexing.index": "add_at getitem getitem_backward index_add_at index_put store",
    "indexing.nonzero": "nonzero_rows",
    "indexing.segment_reduce": "reduce_at",
    "indexing.take_along": "put_along take_along",
    "layers.channel_norm": "window_sum",
    "layers.dropout": "alpha_dropout dropout",
    "layers.embedding": "embedding embedding_backward scale_gradient",
    "layers.norm": """
        batch_moments batch_norm batch_norm_backward layer_norm layer_norm_backward rms_norm
        rms_norm_backward
    """,
    "layers.recurrent": "gru_cell_backward",
    "linalg.cholesky": "cholesky cholesky_inverse cholesky_solve",
    "linalg.det": "det slogdet",
    "linalg.eigh_svd": "eigh eigvalsh svd svdvals",
    "linalg.lu": "lu_factor rows_exchanged",
    "linalg.matmul": "column_sum linear matmul",
    "linalg.matrices": "diagonal_part lower_part matrix_of_diagonal upper_part",
    "linalg.matrix_exp": "matrix_exp",
    "linalg.pinv": "pseudoinverse",
    "linalg.qr": "qr",
    "linalg.solve": "inv solve",
    "linalg.solve_triangular": "solve_triangular",
    "linalg.vector_norms": "vector_norm",
    "loss.cdist": "euclidean_distances",
    "loss.classification": "cross_entropy cross_entropy_backward",
    "loss.ctc": "ctc_backward ctc_loss",
    "loss.elementwise": "binary_cross_entropy clamp_min_straight_through huber",
    "movement.cat": "concatenate",
    "movement.diagonal": "diagonal diagonal_embedded diagonal_scatter",
    "movement.flip": "flip roll",
    "movement.meshgrid": "choices",
    "movement.repeat": "numbered",
    "movement.shape": "alias broadcast_to contiguous copy reshape transpose",
    "movement.strided": "strided_part strided_replace strided_sum strided_view strided_written",
    "movement.tril_triu": "triangle_places tril triu",
    "movement.unfold": "sliding sliding_sum",
    "pointwise.arithmetic": "clamp div_floor div_trunc floor_divide fmod power remainder",
    "pointwise.bitwise": "bitwise_left_shift bitwise_right_shift",
    "pointwise.comparison": "fmax fmin isin",
    "pointwise.elementwise": """
        absolute add bitwise_and bitwise_not bitwise_or bitwise_xor cast clip cos divide equal exp
        expm1 floor_divide greater greater_equal isfinite isinf isnan less less_equal log log1p
        logical_and logical_not logical_or logical_xor maximum minimum multiply negative no_slope
        not_equal power reciprocal remainder rsqrt sign sin sqrt square subtract where
    """,
    "pointwise.exponential": "entr exp2 log10 log2 logaddexp logaddexp2 logit xlog1py xlogy",
    "pointwise.floating_point": "copysign exponent heaviside mantissa nextafter signbit",
    "pointwise.trigonometry": "angle atan2 cosh deg2rad hypot rad2deg sinc sinh tan",
    "pooling.avg_pool": "avg_pool avg_pool_backward",
    "pooling.max_pool": "largest_at max_along max_along_backward max_along_pick",
    "reduction.cumulative": "cumprod cumsum logcumsumexp recurrence",
    "reduction.minmax": "amax amin argmax argmin",
    "reduction.moments": "std var",
    "reduction.reduce": "all any logsumexp mean prod sum",
    "sampling.philox": "normal philox uniform",
    "special.error_function": "erf erfc erfinv ndtr",
    "special.gamma": "digamma igamma igammac lgamma",
    "special.scipy_functions": """
        airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx i0 i0e i1 i1e log_ndtr
        modified_bessel_k0 modified_bessel_k1 ndtri scaled_modified_bessel_k0
        scaled_modified_bessel_k1 spherical_bessel_j0 zeta
    """,
    "vision.flat_pixels": "add_places read_places write_places",
    "vision.resample": "resample",
}


class Entry(NamedTuple):
    """Where an operation is: a function of a module of ``tapegrad.ops``."""

    module: str
    function: str
    in_place: bool = False


def _read(*tables: dict[str, str], marks: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for table in tables:
        for module, words in table.items():
            for word in words.split():
                name, _, function = word.partition("=")
                in_place = marks and name.endswith("_")
                name = name[:-1] if in_place else name
                if name in entries:
                    raise ValueError(f"operation {name!r} is listed twice")
                entries[name] = Entry(module, function or name, in_place)
    return entries


changing = frozenset(CHANGING.split())
functions = _read(SHARED, FUNCTIONS, marks=True)
methods = _read(SHARED, marks=True) | _read(METHODS, marks=False)
properties = _read(PROPERTIES, marks=False)
homes = {name: module for module, names in PRIMITIVES.items() for name in names.split()}


def _load_primitive(name: str) -> None:
    if name in homes:
        import_module(f"..{homes[name]}", __name__)


devices.load_primitive = _load_primitive
