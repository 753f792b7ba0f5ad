"""Modules to other devices and dtypes: all of a module's tensors, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import setitem
from typing import TYPE_CHECKING, Any

from tapegrad.core import dtypes, formats
from tapegrad.core.commit import commit
from tapegrad.core.devices import Device
from tapegrad.core.tensor import Tensor, taking
from tapegrad.ops.creation.create import empty, empty_like
from tapegrad.ops.movement.tensor_types import to_type

from .parameter import Uninitialized
from .tables import BUFFER, MODULE, PARAMETER, TRANSIENT_BUFFER

if TYPE_CHECKING:
    from typing_extensions import Self


class Conversion:
    """The part of a module that moves and converts its parameters and buffers."""

    if TYPE_CHECKING:  # Module's

        def parameters(self) -> Iterator[Any]: ...

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Let ``fn(tensor)`` be what every parameter, its gradient and every buffer hold, of this
        module and (``recurse``) of those below it; if ``fn`` raises, nothing has changed.

        Parameters keep their identity. A tensor under several names is converted once, and one
        whose array ``fn`` returns stays as it is. Modules below that override this method convert
        themselves, and what is below them, after the others.
        """
        converted: dict[int, Tensor] = {}

        def convert(tensor: Tensor) -> Tensor:
            if id(tensor) not in converted:
                if isinstance(tensor, Uninitialized):
                    start = fn(tensor._start())
                    steps.extend(
                        taking(tensor, {"_hidden": start._array, "_device": start._device})
                    )
                    return converted.setdefault(id(tensor), tensor)
                result = fn(tensor.detach())
                converted[id(tensor)] = tensor if result._array is tensor._array else result
            return converted[id(tensor)]

        moved: dict[int, tuple[Tensor, Tensor]] = {}
        steps: list[partial] = []
        together, apart = self._parts() if recurse else ([self], [])
        for module in together:
            for _, parameter in module._registered(PARAMETER):
                if parameter is None or id(parameter) in moved:
                    continue
                after = convert(parameter)
                if after is not parameter:
                    grad = parameter.grad
                    if grad is not None and parameter.grad_dtype != parameter.dtype:
                        grad = grad.to(after._device)  # and of the dtype that was asked for
                    elif grad is not None:
                        grad = convert(grad)
                    moved[id(parameter)] = (parameter, after)
                    steps += taking(parameter, {**parameter._taking(after), "_grad": grad})
            for name, buffer in module._registered(BUFFER, TRANSIENT_BUFFER):
                if buffer is not None:
                    steps.append(partial(setitem, module.__dict__, name, convert(buffer)))
        for parameter, after in moved.values():
            for changed in (parameter, after):  # for those who saved the old memory, or the tensor
                changed._bump("Module.to")
            if parameter._aliased:
                parameter._leave_memory()
        commit(steps)
        for module in apart:
            module._apply(fn)
        return self

    def _parts(self) -> tuple[list[Any], list[Any]]:
        """The modules that are converted together, this one first; those that do it themselves."""
        together: list[Any] = []
        apart: list[Any] = []
        waiting: list[Any] = [self]
        seen = set()
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            if module is not self and module.__class__._apply is not Conversion._apply:
                apart.append(module)
                continue
            together.append(module)
            children = [child for _, child in module._registered(MODULE) if child is not None]
            waiting.extend(reversed(children))
        return together, apart

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Self:
        """Move to a device, a dtype or both: ``to("cuda")``, ``to(tg.float64)``, ``to(tensor)``;
        all of it or, if that fails, nothing.

        A dtype applies to floating-point parameters and buffers only. Parameters keep their
        identity: an optimizer made before goes on working until it has state, which does not move.
        non_blocking changes nothing. Raises TypeError for a dtype that is not floating-point and
        for two devices or dtypes, RuntimeError for a memory_format but contiguous_format and
        preserve_format.
        """
        for target in args:
            if isinstance(target, Tensor):
                device, dtype = target.device, target.dtype
            elif target is None or isinstance(target, bool):  # (non_blocking)
                continue
            elif isinstance(target, (str, Device)) and device is None:
                device = target
            elif not isinstance(target, (str, Device)) and dtype is None:
                dtype = target
            else:
                raise TypeError(f"Module.to: one device and one dtype are enough, got {args}")
        formats.check("Module.to", None, memory_format)
        device = None if device is None else Device(device)
        dtype = None if dtype is None else dtypes.dtype(dtype)
        if dtype is not None and not dtypes.is_floating(dtype):
            raise TypeError(f"Module.to: the dtype must be floating-point, not {dtype.name}")

        def moved(tensor: Tensor) -> Tensor:
            wanted = dtype if dtypes.is_floating(tensor.dtype) else None
            return tensor.to(device=device, dtype=wanted)

        return self._apply(moved)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move to a device without the values: the memory there is not written to."""
        target = Device(device)
        return self._apply(lambda tensor: empty_like(tensor, device=target), recurse)

    def cpu(self) -> Self:
        """``to("cpu")``."""
        return self.to("cpu")

    def cuda(self, device: int | str | None = None) -> Self:
        """``to("cuda")``, or to the GPU of this number."""
        return self.to(_numbered("cuda", device))

    def xpu(self, device: int | str | None = None) -> Self:
        """Raises ValueError: tapegrad has no device of this kind."""
        return self.to(_numbered("xpu", device))

    def ipu(self, device: int | str | None = None) -> Self:
        """Raises ValueError: tapegrad has no device of this kind."""
        return self.to(_numbered("ipu", device))

    def half(self) -> Self:
        """``to(float16)``."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Self:
        """``to(bfloat16)``."""
        return self.to(dtypes.bfloat16())

    def type(self, dst_type: Any) -> Self:
        """All parameters and buffers, integers too, in another dtype. Raises RuntimeError for one
        that cannot have gradients where parameters require grad."""
        target = to_type(empty(0), dst_type).dtype
        if not dtypes.is_floating(target) and any(p.requires_grad for p in self.parameters()):
            raise RuntimeError(
                f"Module.type: parameters that require grad cannot be {target.name}: call "
                "requires_grad_(False) before"
            )
        return self._apply(lambda tensor: tensor.to(dtype=target))

    def float(self) -> Self:
        """``to(float32)``."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """``to(float64)``."""
        return self.to(dtypes.float64)

    def share_memory(self) -> Self:
        """Returns the module: nothing moves to memory that other processes see. Processes made by
        ``fork`` see the values that the parameters have then, and keep their changes to
        themselves; send a ``state_dict`` to bring them back."""
        return self


def _numbered(kind: str, device: Any) -> Any:
    if device is None:
        return kind
    return f"{kind}:{device}" if isinstance(device, int) else device
