"""Saving and loading tensors, the dicts and lists around them, and the objects whose states they
are: as safetensors or NumPy's npz. PyTorch's and Hugging Face's files are read, too.

Files hold plain values: nothing in a file is ever executed, nothing is unpickled, nothing is
decompressed. A save either replaces the old file completely or leaves it as it was. A file holds
the SHA-256 of each tensor and of all that says what they are; files without (other libraries') are
checked as far as their format allows. docs/checkpoints.md is the guide.
"""

from .errors import CheckpointError
from .folder import Checkpoints
from .reading import load
from .stateful import load_weights, restore
from .writing import save

__all__ = ["CheckpointError", "Checkpoints", "load", "load_weights", "restore", "save"]
