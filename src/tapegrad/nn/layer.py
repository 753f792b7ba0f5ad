"""The mould of most layers: one call of one function, with options that are attributes."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar

from tapegrad.core.primitive import signature
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.signatures import fitting, kinds_of

from .module import Module
from .sizes import sizes


def check_kinds(layer: Module, given: dict[str, Any]) -> dict[str, Any]:
    """The numbers and flags among a constructor's ``locals()`` that are not what its annotations
    say, made so: NumPy's numbers and 0-d tensors become Python's, as functions do by theirs. Raises
    TypeError for others."""
    names = given.keys() - {"self", "__class__"}
    constructors = [vars(c).get("__init__") for c in type(layer).__mro__]
    kinds = [
        kinds_of(f)
        for f in constructors
        if isinstance(f, FunctionType) and names <= {*signature(f)[0], *signature(f)[1]}
    ]
    return {
        name: fitting(type(layer).__name__, name, given[name], kind, optional)
        for name, (kind, optional) in (kinds[-1] if kinds else {}).items()  # not a subclass's
        if name in given and given[name].__class__ is not kind
    }


class FunctionLayer(Module):
    """Calls ``function`` with the input and, by name, with the attributes in ``_options``.

    A constructor begins with ``self._take(locals())``: its arguments become attributes, and are
    the options where the class names no others. What tells the members of a family apart stands
    in the class statement, and becomes attributes of the class::

        class MaxUnpool2d(_MaxUnpoolNd, function=F.max_unpool2d, dims=2): ...
    """

    function: ClassVar[Callable[..., Any]]
    dims: ClassVar[int]  # how many dimensions a window or a border has
    _options: tuple[str, ...] = ()
    _shown: ClassVar[str | None] = None  # all options, by name
    _buffer_options: ClassVar[tuple[str, ...]] = ()  # the arguments that are tensors, or None

    def __init_subclass__(cls, **constants: Any) -> None:
        super().__init_subclass__()
        for name, value in constants.items():
            setattr(cls, name, value)

    def _take(self, given: dict[str, Any]) -> None:
        """Begin as a Module with a constructor's ``locals()`` as attributes."""
        super().__init__()
        taken = {name: x for name, x in given.items() if name not in ("self", "__class__")}
        taken |= check_kinds(self, taken)
        for name, value in taken.items():
            if name in self._buffer_options:
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self._options = self._options or tuple(taken)

    def _per_dimension(self, *names: str) -> None:
        """Make these attributes one number for each of ``dims``; ValueError where they are not."""
        for name in names:
            value = sizes(type(self).__name__, name, getattr(self, name), self.dims)
            setattr(self, name, value)

    def _chosen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._options}

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, **self._chosen())

    def extra_repr(self) -> str:
        if self._shown is not None:
            return super().extra_repr()
        return ", ".join(self._describe(f"{name}=") for name in self._options)
