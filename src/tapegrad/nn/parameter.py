"""Tensors that a module owns: parameters, which an optimiser changes, and buffers; and what stands
in for both until their shapes are known."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tapegrad.core import dtypes
from tapegrad.core.commit import commit
from tapegrad.core.tensor import Leaf, Storage, Tensor, taking
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import empty

if TYPE_CHECKING:
    from typing_extensions import Self


class Parameter(Tensor):
    """A leaf that requires grad and registers itself with the module it is assigned to.

    It shares its memory with ``data`` (None: with an empty tensor) but not the history of ``data``.
    A deep copy has no gradient, as in PyTorch.
    """

    _copies_grad = False

    @retelling
    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        _share(self, data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that registers itself as a buffer with the module it is assigned to: part of the
    module's state (and of its state_dict, if ``persistent``), and not trained. It shares its
    memory with ``data`` (None: with an empty tensor)."""

    persistent = True

    @retelling
    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        _share(self, data)
        self.requires_grad_(data is not None and data.requires_grad)
        self.persistent = persistent


def _share(tensor: Tensor, data: Tensor | None) -> None:
    """Let a tensor that is being made have the memory of another."""
    if data is None:
        data = empty(0)
    if not isinstance(data, Tensor):
        raise TypeError(f"{type(tensor).__name__} needs a Tensor, got {type(data).__name__}")
    shared = data.detach()
    tensor._array, tensor._device, tensor._storage = shared._array, shared._device, shared._storage


class UninitializedError(ValueError, RuntimeError):
    """A tensor without a shape was used. (PyTorch raises a ValueError where an operation is asked
    for, and a RuntimeError where the shape is.)"""


class Uninitialized(Tensor):
    """What ``UninitializedParameter`` and ``UninitializedBuffer`` share: a dtype and a device, but
    no shape and no numbers. ``materialize(shape)`` makes them what they stand in for, in place;
    until then all but moving them raises UninitializedError, a ValueError."""

    cls_to_become: ClassVar[type[Tensor]]
    _wanted: bool  # whether it will require grad
    _hidden: Any  # an array of no elements, from which the dtype is known

    def _begin(self, requires_grad: bool, device: Any, dtype: Any) -> None:
        start = empty(0, device=device, dtype=dtype)
        self._hidden = start._array
        self._device = start._device
        self.requires_grad_(requires_grad)

    @property
    def _array(self) -> Any:  # type: ignore[override]
        """Found by whatever computes with a tensor, until the class changes."""
        raise UninitializedError(
            f"{type(self).__name__}: it has no shape and no numbers yet. Call the module once with "
            "an input, or load a state_dict into it, before its parameters and buffers are used"
        )

    def materialize(
        self, shape: int | tuple[int, ...], device: Any = None, dtype: Any = None
    ) -> None:
        """Become a tensor of this shape, with numbers that are not yet set, on the same device and
        of the same dtype unless others are given."""
        commit(self._becoming(self._empty(shape, device, dtype)))

    def _becoming(self, value: Tensor) -> list[partial]:
        """The steps by which it becomes a tensor over the memory of ``value``."""
        value._storage = value._storage or Storage()
        leaf = Leaf(value) if self._wanted else None
        if leaf is not None:
            leaf.tensor = weakref.ref(self)
        taken = {"_array": value._array, "_storage": value._storage, "_node": leaf}
        return [
            partial(self.__dict__.pop, "_wanted", None),
            partial(self.__dict__.pop, "_hidden", None),
            partial(setattr, self, "__class__", self.cls_to_become),
            *taking(self, {**taken, "_device": value._device}),
        ]

    def _becoming_again(self) -> list[partial]:
        """The steps back to what it is now, from the tensor that it will be."""
        return [
            partial(object.__delattr__, self, "_array"),
            *taking(self, {n: getattr(self, n) for n in ("_storage", "_node", "_device")}),
            partial(self.__dict__.clear),
            partial(self.__dict__.update, dict(self.__dict__)),
            partial(setattr, self, "__class__", type(self)),
        ]

    def _start(self) -> Tensor:
        """A tensor of no elements, of its dtype and on its device."""
        return self._empty(0, None, None)

    def _empty(self, shape: int | tuple[int, ...], device: Any, dtype: Any) -> Tensor:
        device = self._device if device is None else device
        return empty(shape, device=device, dtype=self.dtype if dtype is None else dtype)

    @property
    def dtype(self) -> Any:
        """The dtype that the elements will have."""
        return self._hidden.dtype

    def is_floating_point(self) -> bool:
        """Whether the dtype is one of floats."""
        return dtypes.is_floating(self.dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it will be recorded."""
        return self._wanted

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask (or stop asking) for gradients, once it has numbers. Raises RuntimeError for a dtype
        without gradients."""
        if requires_grad and not self.is_floating_point():
            raise RuntimeError(
                f"[requires_grad_] only floating-point tensors can require gradients, this one is "
                f"of {self.dtype.name}"
            )
        self._wanted = requires_grad
        return self

    def detach(self) -> Self:
        """Itself: it has no history, and a state_dict holds it as it is."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self) -> Self:
        return type(self)(self._wanted, self._device, self.dtype)  # type: ignore[call-arg]

    def __deepcopy__(self, memo: dict) -> Self:
        memo[id(self)] = self.__copy__()
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self._wanted, self._device, self.dtype)


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape is not known yet."""

    cls_to_become = Parameter

    @retelling
    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        self._begin(requires_grad, device, dtype)


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer whose shape is not known yet."""

    cls_to_become = Tensor

    @retelling
    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        self._begin(requires_grad, device, dtype)
        self.persistent = persistent
