"""Optimizers and learning rate schedules."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.later import later as _later

from . import lr_scheduler
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .ademamix import AdEMAMix
from .asgd import ASGD
from .lamb import LAMB
from .lbfgs import LBFGS
from .lion import Lion
from .muon import Muon
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedule_free import ScheduleFreeAdamW
from .sgd import SGD

__all__ = [
    "ASGD",
    "AdEMAMix",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LAMB",
    "LBFGS",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "ScheduleFreeAdamW",
    "lr_scheduler",
    "swa_utils",
]

_files(__name__, {"adamw": "AdamW"})

if _TYPE_CHECKING:
    from . import swa_utils
else:  # (Averages need modules.)
    __getattr__, __dir__ = _later(__name__, {"swa_utils": "swa_utils"})
