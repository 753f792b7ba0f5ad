"""Special functions under the names of ``torch.special``: ``tapegrad.special``.

Bessel's, Airy's and Hurwitz' functions, the incomplete gamma functions and some more are SciPy's,
and need the extra ``special``: ``pip install 'tapegrad[special]'``.
"""

from importlib import import_module as _import_module

from .ops.common.out import takes_out
from .ops.common.signatures import check_arguments

# The public names by module of ``tapegrad.ops``; ``name=function`` has another name there.
_NAMES = {
    "activation.activation": "expit=sigmoid",
    "pointwise.arithmetic": "round",
    "pointwise.elementwise": "expm1 log1p",
    "pointwise.exponential": "entr exp2 logit xlog1py xlogy",
    "reduction.reduce": "logsumexp",
    "activation.softmax": "log_softmax softmax",
    "special.error_function": "erf erfc erfinv ndtr",
    "special.gamma": """
        digamma gammainc=igamma gammaincc=igammac gammaln=lgamma multigammaln=mvlgamma polygamma
        psi=digamma
    """,
    "special.orthogonal_polynomials": """
        chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
        hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
        shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u
        shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
    """,
    "special.scipy_functions": """
        airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx i0 i0e i1 i1e log_ndtr
        modified_bessel_i0=i0 modified_bessel_i1=i1 modified_bessel_k0 modified_bessel_k1 ndtri
        scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0 zeta
    """,
    "pointwise.trigonometry": "sinc",
}

for _module, _words in _NAMES.items():
    for _word in _words.split():
        _name, _, _function = _word.partition("=")
        _value = getattr(_import_module(f".ops.{_module}", __package__), _function or _name)
        globals()[_name] = takes_out(check_arguments(_value, _name), f"special.{_name}")

__all__ = sorted(w.partition("=")[0] for words in _NAMES.values() for w in words.split())
