"""``tapegrad.fuse``: functions of tensors as one kernel forward and one backward.

``traced`` writes down what a function and its gradient rules compute; ``plan`` finds the space that
a kernel walks, and its passes; ``loops`` and ``launches`` write it in C++ and CUDA, with
``functions``; ``run`` runs it; ``behind`` is what array functions do with its results; ``fused`` is
the function that users call, and ``as_written`` lets it run as it is.
"""

from .as_written import as_written, plain_bodies
from .computation import Computation
from .fused import Fused, fuse
from .plans import CannotFuse
from .run import Launched

__all__ = ["CannotFuse", "Computation", "Fused", "Launched", "as_written", "fuse", "plain_bodies"]
