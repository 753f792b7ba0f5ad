"""Several functions as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.ops.common.refusals import Retelling


class Compose(Retelling):
    """Calls its functions one after the other, each on the result of the one before."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        for function in transforms:
            if not callable(function):
                raise TypeError(
                    f"Compose: transforms are functions, got {type(function).__name__}; "
                    "functools.partial(function, argument=...) makes one of a call"
                )
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"
