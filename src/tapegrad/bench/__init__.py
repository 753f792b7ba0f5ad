"""Benchmarks that do not lie: ``tapegrad bench``, and ``tapegrad.bench`` for your own functions.

A result is checked against a float64 reference before it is timed, contestants take turns on
random inputs, what is reported is the median with its quartiles, and a difference within the
spread is a tie. ``run`` measures tapegrad's primitives, ``compare`` your own functions,
``compare_results`` compares two runs, ``plot`` draws a roofline.
"""

from . import machine
from .cases import CASES, Case
from .changes import Changes, compare_results
from .check import BenchmarkError
from .comparison import compare
from .results import Results, Row
from .roofline import plot
from .runner import run

__all__ = [
    "CASES",
    "BenchmarkError",
    "Case",
    "Changes",
    "Results",
    "Row",
    "compare",
    "compare_results",
    "machine",
    "plot",
    "run",
]
