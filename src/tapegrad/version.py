"""``torch.version``: this package's version, and that it is no build for one CUDA or ROCm."""

from ._version import __version__ as __version__

cuda: None = None  # what 'tapegrad doctor' says is CuPy's
hip: None = None
debug = False
