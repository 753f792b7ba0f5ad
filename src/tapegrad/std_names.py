"""``tapegrad.random``, ``types``, ``multiprocessing`` and ``__future__``: PyTorch's modules that
are called like Python's own. As files they would be imported in Python's place where this folder
comes first on the path, so they are made here."""

from __future__ import annotations

import multiprocessing as _processes
from typing import Any

from .core.devices import Device
from .core.dtypes import DType
from .core.formats import layout
from .core.modes import flag
from .core.tensor import Size, Tensor
from .ops.sampling import philox
from .stand_in import answering, doing_nothing, new_module, refusing

random = new_module(
    "tapegrad.random",
    "The generator of random numbers, which serves all devices.",
    {
        name: getattr(philox, name)
        for name in (
            "Generator",
            "default_generator",
            "fork_rng",
            "get_rng_state",
            "initial_seed",
            "manual_seed",
            "seed",
            "set_rng_state",
        )
    },
)
types = new_module(
    "tapegrad.types",
    "Names for annotations.",
    {
        "Device": Device | str | int | None,
        "Number": int | float | bool,
        "Size": Size,
        "Tensor": Tensor,
        "_device": Device,
        "_dtype": DType,
        "_layout": layout,
        "_size": Size | list[int] | tuple[int, ...],
    },
)
_WHY = "tensors that are sent to another process are copied"
multiprocessing = new_module(
    "tapegrad.multiprocessing",
    "Python's ``multiprocessing``: tensors that are sent to another process are copied.",
    {
        **{name: getattr(_processes, name) for name in _processes.__all__},
        **doing_nothing("set_sharing_strategy", _WHY),
        **answering("file_system", "get_sharing_strategy", _WHY),
        **answering(["file_system"], "get_all_sharing_strategies", _WHY),
        **refusing(
            "spawn start_processes",
            "training runs in one process; for others use multiprocessing.get_context('spawn')",
        ),
    },
)


_CONVERSION = "a module that is converted keeps its parameters, which get other memory"


def _fixed(name: str) -> Any:
    """The function that sets what is False, and can be nothing else."""

    def set_fixed(value: bool) -> None:
        if flag(name, "value", value):
            raise NotImplementedError(f"[{name}] True is not possible here: {_CONVERSION}")

    set_fixed.__name__ = set_fixed.__qualname__ = name
    set_fixed.__doc__ = f"Takes False. Raises NotImplementedError for True: {_CONVERSION}."
    return set_fixed


__future__ = new_module(
    "tapegrad.__future__",
    "How modules are converted.",
    {
        **answering(
            False,
            "get_overwrite_module_params_on_conversion get_swap_module_params_on_conversion",
            _CONVERSION,
        ),
        **{
            name: _fixed(name)
            for name in (
                "set_overwrite_module_params_on_conversion",
                "set_swap_module_params_on_conversion",
            )
        },
    },
)
