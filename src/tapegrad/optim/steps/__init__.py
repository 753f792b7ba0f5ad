"""Optimizer steps: one call updates a parameter and its state in place. A file has a family's
formulas; chunks.py runs them, tape.py records them, kernels.py and loops.py replace some on GPUs
and on the CPU."""

from . import descent, kernels, loops, matrices, moments, squares
from .chunks import options_of

__all__ = ["options_of", "descent", "kernels", "loops", "matrices", "moments", "squares"]
