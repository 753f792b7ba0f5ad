"""``tapegrad.fuse``: functions of tensors as one kernel forward and one backward.

``traced`` and ``tracing`` write down what a function and its gradient rules compute, as steps along
``axes``, ``open_numbers`` what of numbers; ``plan`` finds the space that a kernel walks, and its
passes, ``groups`` the loops of a pass; ``loops`` and ``launches`` write it in C++ and CUDA, with
``functions`` and ``called_loops``; ``run`` runs it, and ``behind`` is what array functions do with
its results: both are a ``computation``. ``plans`` are what is made of a function for ``arguments``
of one kind; ``fused`` is the function that users call, and ``plain`` lets it run
as it is written.
"""

from .computation import Computation
from .fused import Fused, fuse
from .plain import as_written, plain_bodies
from .plans import CannotFuse

__all__ = ["CannotFuse", "Computation", "Fused", "as_written", "fuse", "plain_bodies"]
