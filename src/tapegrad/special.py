"""Special functions under the names of ``torch.special``: ``tapegrad.special``.

Those that NumPy does not have are computed in float64, from expansions, to about 1e-13; see
``ops/error_function.py``, ``gamma.py``, ``igamma.py``, ``bessel.py`` and ``polynomials.py``.
"""

from .ops.activation.activation import sigmoid as expit
from .ops.activation.softmax import log_softmax, softmax
from .ops.common.out import takes_out
from .ops.common.signatures import check_arguments
from .ops.pointwise.arithmetic import round
from .ops.pointwise.elementwise import erf, expm1, log1p
from .ops.pointwise.exponential import entr, exp2, logit, xlog1py, xlogy
from .ops.pointwise.trigonometry import sinc
from .ops.reduction.reduce import logsumexp
from .ops.special.bessel import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    i0,
    i0e,
    i1,
    i1e,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from .ops.special.bessel import i0 as modified_bessel_i0
from .ops.special.bessel import i1 as modified_bessel_i1
from .ops.special.error_function import erfc, erfcx, erfinv, log_ndtr, ndtr, ndtri
from .ops.special.gamma import digamma, polygamma, zeta
from .ops.special.gamma import digamma as psi
from .ops.special.gamma import lgamma as gammaln
from .ops.special.gamma import mvlgamma as multigammaln
from .ops.special.igamma import igamma as gammainc
from .ops.special.igamma import igammac as gammaincc
from .ops.special.orthogonal_polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
    "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma",
    "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc",
    "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e",
    "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py",
    "xlogy", "zeta",
]  # fmt: skip

for _name in __all__:
    globals()[_name] = takes_out(check_arguments(globals()[_name], _name), f"special.{_name}")
