"""The mould of most layers: one call of one function, with options that are attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor

from .module import Module


class FunctionLayer(Module):
    """Calls ``function`` with the input and, by name, with the attributes in ``_options``.

    What tells the members of a family apart stands in the class statement::

        class MaxPool2d(_MaxPoolNd, function=F.max_pool2d, dims=2): ...
    """

    function: ClassVar[Callable[..., Any]]
    dims: ClassVar[int]  # how many dimensions a window or a border has
    _options: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls, *, function: Callable[..., Any] | None = None, dims: int | None = None, **more: Any
    ) -> None:
        super().__init_subclass__(**more)
        if function is not None:
            cls.function = function
        if dims is not None:
            cls.dims = dims

    def _chosen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._options}

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, **self._chosen())
