"""A training loop that can be stopped at any moment, for those who do not want to write their own.

``Trainer`` is the loop; ``tapegrad.checkpoint.Checkpoints`` keeps a run such that it can go on, and
callbacks do the rest: they end it early, log it, or do what you write. ``train.ray`` runs a
function that trains on a cluster, and starts it anew when a machine is lost.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import ray
from .callback import Callback
from .early_stopping import EarlyStopping
from .history import History
from .logs import CSVLog, JSONLog, TensorBoard
from .progress import Progress
from .trainer import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLog",
    "Progress",
    "TensorBoard",
    "Trainer",
    "ray",
]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
