"""Special functions under the names of ``torch.special``: ``tapegrad.special``.

Bessel's, Airy's and Hurwitz' functions, the incomplete gamma functions and some more are SciPy's,
and need the extra ``special``: ``pip install 'tapegrad[special]'``.
"""

from .ops.catalog import publish as _publish

__getattr__, __dir__, __all__ = _publish(__name__, "special")
