"""Benchmarks that do not lie: ``tapegrad bench``, and ``tapegrad.bench`` for your own functions.

A result is checked against a float64 reference before it is timed, contestants take turns on
random inputs that are new at every call, what is reported is the median with its quartiles, and a
difference within the spread is a tie; then the result is checked again. ``run`` measures tapegrad's
primitives, ``compare`` your own functions, ``case`` and ``steps`` say how a file's are measured,
``compare_results`` compares two runs, ``plot`` draws a roofline.
"""

from . import machine
from .cases import CASES, Case
from .changes import Changes, compare_results
from .check import BenchmarkError
from .comparison import compare
from .own import case
from .results import Results
from .roofline import plot
from .row import Row
from .runner import run
from .steps import steps

__all__ = [
    "CASES",
    "BenchmarkError",
    "Case",
    "Changes",
    "Results",
    "Row",
    "case",
    "compare",
    "compare_results",
    "machine",
    "plot",
    "run",
    "steps",
]
