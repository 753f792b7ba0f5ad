"""What ``check`` judges kernels by: the function of tensors that says what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad.autograd import grad
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.signature import Item, Signature, Sizes
from tapegrad.core.tensor import Tensor
from tapegrad.units import Function, Source


class Launching:
    """One launch: its inputs and results, with their dtypes ("T": any float, the same for all)."""

    function: Function
    inputs: Sequence[Item]
    results: Sequence[Item]

    def __call__(
        self,
        device: Any,
        units: Any,
        dtype: Any,
        arrays: Mapping[str, Any],
        sizes: Sizes,
        numbers: Mapping[str, Any],
        new: Callable | None = None,
    ) -> dict[str, Any]:
        """Launch it on contiguous arrays, by name; returns the results by theirs, for which
        ``new(name, shape, dtype, zero)`` has made arrays. units: what ``compiled`` returned."""
        raise NotImplementedError


class Checkable:
    """A function of tensors that launches kernels, beside its plain body.

    numbers: the body's keyword arguments, with their defaults. rule: the gradient, where it is a
    function of tensors. draws: how inputs are drawn that may not be just any.
    """

    name: str
    body: Callable
    signature: Signature
    numbers: Mapping[str, Any]
    forward: Launching
    backward: Launching | None = None
    rule: Callable | None = None
    draws: Mapping[str, Callable] = {}

    def sources(self, dtype: Any, sizes: Sizes, numbers: Mapping[str, Any]) -> list[Source]:
        """What is compiled for these inputs."""
        raise NotImplementedError

    def compiled(self, checked: bool, changed: Mapping[str, str] | None = None) -> Any:
        """The units of the emulated device. checked: every access is looked at. changed: for texts
        of sources, others that are compiled instead."""
        raise NotImplementedError

    def loops(self) -> Any:
        """The units of ``cpu``, as ``compiled``'s; None where the body runs there."""
        return None

    def __call__(self, *tensors: Any, **numbers: Any) -> Any:
        raise NotImplementedError

    def run_body(self, tensors: Sequence[Tensor], numbers: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """What the body makes of tensors, checked. Raises TypeError for other things than the
        results of the signature."""
        made = self.body(*tensors, **numbers)
        results = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        items = self.signature.results
        if len(results) != len(items) or not all(isinstance(t, Tensor) for t in results):
            kinds = ", ".join(type(t).__name__ for t in results)
            raise TypeError(
                f"[{self.name}] the body must return {len(items)} Tensor"
                f"{'s' * (len(items) > 1)} ({', '.join(map(str, items))}), "
                f"got ({kinds})"
            )
        return results

    def tensor_gradient(
        self, tensors: Sequence[Tensor | None], numbers: Mapping[str, Any], needs: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        """The rule's gradients, or the body's own. tensors: the results' gradients, inputs."""
        count = len(self.signature.results)
        gradients, inputs = tensors[:count], tensors[count : count + len(needs)]
        if self.rule is not None:
            with no_grad():
                found = self.rule(*gradients, *inputs, **numbers)
            found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
            if len(found) != len(needs):
                raise TypeError(
                    f"[{self.name}] the gradient must return one tensor (or None) for "
                    f"each of {len(needs)} inputs, got {len(found)}"
                )
            for item, t in zip(self.signature.inputs, found, strict=True):
                if t is not None and not isinstance(t, Tensor):
                    raise TypeError(
                        f"[{self.name}] the gradient of {item.name} must be a Tensor or None, "
                        f"got {type(t).__name__}"
                    )
            return found
        return self.body_gradient(gradients, inputs, numbers, needs)

    def body_gradient(
        self,
        gradients: Sequence[Tensor | None],
        inputs: Sequence[Any],
        numbers: Mapping[str, Any],
        needs: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of the plain body where these arrive at its results."""
        with enable_grad():
            leaves = [t.detach() for t in inputs]
            wanted = [t.requires_grad_() for t, n in zip(leaves, needs, strict=True) if n]
            results = self.run_body(leaves, numbers)
        arrived = [
            (y, g)
            for y, g in zip(results, gradients, strict=True)
            if g is not None and y.requires_grad
        ]
        if not arrived:
            return [None] * len(needs)
        roots, seeds = [y for y, _ in arrived], [g for _, g in arrived]
        found = iter(grad(roots, wanted, seeds, allow_unused=True))
        return [next(found) if n else None for n in needs]
