"""An optimizer's state as a dict, and from one, in PyTorch's layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np

from tapegrad.core.dtypes import accumulator, is_low_precision
from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import as_tensor

from .hooks import Hooked
from .number import counted, is_number, kept_number

MASTER = "master_param"  # a 16-bit parameter in float32, in its state: apex's name for it


def keeps_master(p: Tensor, group: dict[str, Any]) -> bool:
    """Whether steps update a float32 master of this parameter, which it follows, rounded."""
    return bool(group.get("master_weights")) and is_low_precision(p.dtype)


class Saved(Hooked):
    """What has ``param_groups`` and ``state``, and saves and loads both."""

    kept_arrays: tuple[str, ...] = ()
    kept_numbers: tuple[str, ...] = ()
    counts_steps = False
    defaults: dict[str, Any]
    state: defaultdict[Any, dict[str, Any]]
    param_groups: list[dict[str, Any]]

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError if an option is not what it may be."""

    def _used(self, group: dict[str, Any]) -> Sequence[str]:
        """Which of ``kept_arrays`` a step uses."""
        return self.kept_arrays

    def _dtype(self, p: Tensor, group: dict[str, Any]) -> Any:
        """Of what is kept: the parameter's, or its master's."""
        return accumulator(p.dtype) if keeps_master(p, group) else p.dtype

    @property
    def like_parameters(self) -> tuple[str, ...]:
        """The keys of arrays in a state that have their parameter's shape, or what ``_shape``
        says."""
        return (*self.kept_arrays, MASTER)

    def _shape(self, key: str, p: Tensor) -> Sequence[int] | None:
        """Of the array that is kept as ``key``; None if there is none for this parameter."""
        return p.shape

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, parameters replaced by their position as in PyTorch."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        position = {id(p): i for i, p in enumerate(self._parameters())}
        result = {
            "state": {
                position[id(p)] if isinstance(p, Tensor) else p: dict(s) if type(s) is dict else s
                for p, s in self.state.items()
                if s or not isinstance(p, Tensor)
            },
            "param_groups": [
                {**group, "params": [position[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and options of an optimizer of the same kind over like parameters, one of
        PyTorch's too; all of it or nothing. Masters are taken over where the parameters are of
        16 bits and ``master_weights`` is on; else a parameter in float32 is its own.

        Raises ValueError, which names group and key, before it changes anything: for other groups,
        options out of range, a state that is none of these parameters', lacks what a step needs, or
        holds an array of another shape than its parameter. What a step does not know may have any
        shape.
        """
        owner = f"{type(self).__name__}.load_state_dict"
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = copy(state_dict)
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        for key, kind in (("state", Mapping), ("param_groups", Sequence)):
            if not isinstance(state_dict, Mapping) or not isinstance(state_dict.get(key), kind):
                raise ValueError(f"{owner} takes what state_dict() gives: '{key}' is missing")
        groups, parameters = self._load_groups(owner, state_dict["param_groups"])
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, saved in state_dict["state"].items():
            if number in parameters:
                i, p, group = parameters[number]
                state[p] = self._load_state(
                    f"{owner}: group {i}, parameter {number}", p, group, saved
                )
            elif isinstance(number, int):
                raise ValueError(
                    f"{owner}: there is a state of parameter {number}, which no group names"
                )
            else:  # what a subclass keeps for itself
                state[number] = deepcopy(saved)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _load_groups(self, owner: str, saved_groups: Any) -> tuple[list, dict]:
        """The groups as they will be, and by saved number: group's index, parameter and group."""
        for i, saved in enumerate(saved_groups):
            if not isinstance(saved, Mapping) or not isinstance(saved.get("params"), (list, tuple)):
                raise ValueError(f"{owner}: group {i} has no list 'params'")
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise ValueError(
                f"{owner}: the groups have {sizes} parameters, those in the state_dict "
                f"{saved_sizes}"
            )
        groups, parameters = [], {}
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            options = {key: _option(x) for key, x in saved.items() if key != "params"}
            loaded = {**group, **options, "params": group["params"]}
            try:
                self._check(loaded)
            except ValueError as error:
                raise ValueError(f"{owner}: group {i}: {error}") from None
            for number, p in zip(saved["params"], group["params"], strict=True):
                if number in parameters:
                    raise ValueError(f"{owner}: group {i} names parameter {number} again")
                parameters[number] = i, p, loaded
            groups.append(loaded)
        return groups, parameters

    def _load_state(self, where: str, p: Tensor, group: dict[str, Any], saved: Any) -> dict:
        """A saved state as this parameter's own: copied, on its device and in its dtype."""
        if not isinstance(saved, Mapping):
            raise ValueError(f"{where}: the state must be a dict, got {type(saved).__name__}")
        state: dict[str, Any] = {}
        for key, value in saved.items():
            if key == "step" and self.counts_steps:
                state[key] = counted(_count(where, value))
            elif key in self.kept_numbers:
                state[key] = kept_number(_number(where, key, value))
            elif key not in self.like_parameters:
                state[key] = adopted(p, value, p.dtype)
            elif value is not None and (key != MASTER or keeps_master(p, group)):
                # (None is what PyTorch keeps of what was not needed yet)
                state[key] = self._load_array(where, p, key, value, self._dtype(p, group))
        if self.counts_steps:
            arrays = [key for key in self._used(group) if self._shape(key, p) is not None]
            for key in ("step", *self.kept_numbers, *arrays):
                if key not in state:
                    raise ValueError(f"{where}: '{key}' is missing")
        return state

    def _load_array(self, where: str, p: Tensor, key: str, value: Any, dtype: Any) -> Tensor:
        shape = p.shape if key == MASTER else self._shape(key, p)
        array = adopted(p, value, dtype)
        if not isinstance(array, Tensor):
            raise ValueError(f"{where}: '{key}' is no tensor, but a {type(value).__name__}")
        if shape is None or array.shape != tuple(shape):
            wanted = "has none" if shape is None else tuple(shape)
            raise ValueError(
                f"{where}: '{key}' has shape {tuple(array.shape)}, its parameter {wanted}"
            )
        return array.to(dtype)


def _option(value: Any) -> Any:
    """A copy; another library's tensor of one element, a learning rate's, as a tensor here."""
    if _is_foreign(value):
        return as_tensor(_on_host(value)).clone()
    if isinstance(value, (list, tuple)) and any(map(_is_foreign, value)):
        return type(value)(map(_option, value))
    return deepcopy(value)


def _is_foreign(value: Any) -> bool:
    return (
        hasattr(value, "__array__")
        and not isinstance(value, (Tensor, np.generic, np.ndarray))
        and hasattr(value, "detach")
    )


def _on_host(value: Any) -> Any:
    """Another library's tensor, as NumPy can read it: detached, on the CPU, no bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    return np.asarray(value)


def _number(where: str, key: str, value: Any) -> float:
    """Raises ValueError for anything but a number."""
    value = value if is_number(value) else np.asarray(_on_host(value))
    if not is_number(value) and (value.size != 1 or value.dtype.kind not in "iuf"):
        raise ValueError(f"{where}: '{key}' must be a number, not {value!r}")
    return float(value.item() if hasattr(value, "item") else value)


def _count(where: str, value: Any) -> int:
    """A number of steps. Raises ValueError for anything else."""
    array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not (array >= 0).all() or array % 1:
        raise ValueError(f"{where}: 'step' must be a number of steps, not {value!r}")
    return int(array.item())


def adopted(p: Tensor, value: Any, dtype: Any) -> Any:
    """A copy; of tensors, arrays, and another library's tensors, on the parameter's device and, if
    they are floats, of this dtype."""
    if isinstance(value, Mapping):
        return {key: adopted(p, x, dtype) for key, x in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(adopted(p, x, dtype) for x in value)
    if not isinstance(value, Tensor):
        if not hasattr(value, "__array__") or isinstance(value, np.generic):
            return deepcopy(value)
        value = as_tensor(_on_host(value))
    if not value.is_floating_point():
        dtype = value.dtype
    return value.detach().to(device=p.device, dtype=dtype).clone()
