"""Special functions under the names of ``torch.special``: ``tapegrad.special``."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from typing import Any, overload

from .core.tensor import Tensor

def airy_ai(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Ai(input), the Airy function of DLMF 9."""
def bessel_j0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """J_0(input), a Bessel function in the notation of DLMF 10."""
def bessel_j1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """J_1(input), a Bessel function in the notation of DLMF 10."""
def bessel_y0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Y_0(input), a Bessel function in the notation of DLMF 10."""
def bessel_y1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Y_1(input), a Bessel function in the notation of DLMF 10."""
def chebyshev_polynomial_t(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """T_n(input), the Chebyshev polynomial of degree n."""
def chebyshev_polynomial_u(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """U_n(input), the Chebyshev polynomial of degree n."""
def chebyshev_polynomial_v(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """V_n(input), the Chebyshev polynomial of degree n."""
def chebyshev_polynomial_w(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """W_n(input), the Chebyshev polynomial of degree n."""
def digamma(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative of lgamma(input)."""
def entr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-input * log(input); 0 at 0 and -inf below."""
def erf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """2 / sqrt(pi) times the integral of exp(-t ** 2) from 0 to input."""
def erfc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 - erf(input), with all digits where it is small."""
def erfcx(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input ** 2) erfc(input), without overflow."""
def erfinv(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of erf; nan where |input| > 1."""
def exp2(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """2 ** input."""
def expit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 / (1 + exp(-x)); integers become floats."""
def expm1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input) - 1, exact near 0."""
def gammainc(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """P(input, other): the integral of t ** (input - 1) exp(-t) over 0 < t < other, ..."""
def gammaincc(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 - igamma(input, other), with all digits where it is small."""
def gammaln(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(|gamma(input)|)."""
def hermite_polynomial_h(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """H_n(input), the Hermite polynomial of degree n."""
def hermite_polynomial_he(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """He_n(input), the Hermite polynomial of degree n."""
def i0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """I_0(input), a Bessel function in the notation of DLMF 10."""
def i0e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(-|input|) I_0(input), a Bessel function in the notation of DLMF 10."""
def i1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """I_1(input), a Bessel function in the notation of DLMF 10."""
def i1e(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(-|input|) I_1(input), a Bessel function in the notation of DLMF 10."""
def laguerre_polynomial_l(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """L_n(input), the Laguerre polynomial of degree n."""
def legendre_polynomial_p(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """P_n(input), the Legendre polynomial of degree n."""
def log1p(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(1 + input), exact near 0."""
def log_ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the probability of a standard normal number below input."""
@overload
def log_softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps."""
@overload
def log_softmax(
    input: Tensor, *, axis: int | None, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(x / (1 - x)), element by element; integers become the default float dtype."""
@overload
def logsumexp(
    input: Tensor, dim: Any, keepdim: bool = False, *, out: Tensor | None = None,
) -> Tensor:
    """log(sum(exp(input))) over ``dim``, without overflow; -inf for an empty input."""
@overload
def logsumexp(
    input: Tensor, *, axis: Any, keepdims: bool = False, out: Tensor | None = None,
) -> Tensor: ...
def modified_bessel_i0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """I_0(input), a Bessel function in the notation of DLMF 10."""
def modified_bessel_i1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """I_1(input), a Bessel function in the notation of DLMF 10."""
def modified_bessel_k0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """K_0(input), a Bessel function in the notation of DLMF 10."""
def modified_bessel_k1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """K_1(input), a Bessel function in the notation of DLMF 10."""
def multigammaln(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, element by ..."""
def ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The probability that a standard normal number is below input."""
def ndtri(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The number below which a standard normal one lies with probability input."""
def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of ``digamma``, element by element; integers become the ..."""
def psi(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative of lgamma(input)."""
def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """To the nearest integer, halves to even; with ``decimals`` to so many digits ..."""
def scaled_modified_bessel_k0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input) K_0(input), a Bessel function in the notation of DLMF 10."""
def scaled_modified_bessel_k1(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(input) K_1(input), a Bessel function in the notation of DLMF 10."""
def shifted_chebyshev_polynomial_t(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """T_n(input), the Shifted Chebyshev polynomial of degree n."""
def shifted_chebyshev_polynomial_u(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """U_n(input), the Shifted Chebyshev polynomial of degree n."""
def shifted_chebyshev_polynomial_v(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """V_n(input), the Shifted Chebyshev polynomial of degree n."""
def shifted_chebyshev_polynomial_w(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
    """W_n(input), the Shifted Chebyshev polynomial of degree n."""
def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(pi input) / (pi input), and 1 at 0."""
@overload
def softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, out: Tensor | None = None,
) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, of floats."""
@overload
def softmax(
    input: Tensor, *, axis: int | None, dtype: Any = None, out: Tensor | None = None,
) -> Tensor: ...
def spherical_bessel_j0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(input) / input, and 1 at 0."""
def xlog1py(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * log(1 + other); 0 where input is 0, unless other is nan."""
def xlogy(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * log(other); 0 where input is 0, unless other is nan."""
def zeta(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Hurwitz' zeta function: the sum of (k + other) ** -input over k = 0, 1, ..."""
