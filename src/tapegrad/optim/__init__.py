"""Optimizers and learning rate schedules."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.hints import unknown_names as _unknown_names

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
_refuse = _unknown_names(__name__)

if _TYPE_CHECKING:
    from . import swa_utils
else:

    def __getattr__(name: str) -> _Any:
        if name == "swa_utils":  # which needs modules: loaded when it is first named
            return _import_module(f"{__name__}.{name}")
        return _refuse(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
