"""The tape's nodes and edges, hooks on what the tape keeps, and hooks on several gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tapegrad.core.devices import Device
from tapegrad.core.node import Node, call_of
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.hints import unknown_names

from .backward import GradientEdge, RemovableHandle, walk
from .saved_tensors import Hooks, active, current, exchange

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """Within it, ``pack_hook(tensor)`` is called with each tensor that the tape keeps for the
    backward pass, which keeps what that returns in the tensor's place; ``unpack_hook`` makes a
    tensor of it when the backward pass asks, as often as it asks.

    Inputs are shown as they are, results and what operations keep beside them off the tape. What
    was written to disk, compressed or moved must come back with the same shape and dtype, on the
    same device; whether it has been changed in place since is not checked. Of several contexts,
    the innermost counts. Operations called by ``pack_hook`` are not recorded.

    Raises TypeError for hooks that cannot be called, and, when entered, RuntimeError within
    ``disable_saved_tensors_hooks``. ``pack_hook`` must not change its tensor in place
    (RuntimeError), ``unpack_hook`` must return a Tensor (TypeError).
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        for name, hook in (("pack_hook", pack_hook), ("unpack_hook", unpack_hook)):
            if not callable(hook):
                raise TypeError(
                    f"[saved_tensors_hooks] {name} must be callable, got {type(hook).__name__}"
                )
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self._before: list[Hooks | None] = []

    def __enter__(self) -> None:
        before = current.get()
        if before is not None and before.refused is not None:
            raise RuntimeError(before.refused)
        self._before.append(before)
        try:
            exchange(Hooks(self.pack_hook, self.unpack_hook))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        exchange(self._before.pop())


class save_on_cpu(saved_tensors_hooks):
    """Within it, the tape keeps what it needs in the host's memory, and brings it back to the GPU
    for the backward pass: less of the GPU's memory for more time. ``pin_memory`` and
    ``device_type`` are accepted; pinned memory is not used."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Tensor) -> tuple[Device, Tensor]:
            return tensor.device, tensor.cpu()

        def unpack(packed: tuple[Device, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device)

        super().__init__(pack, unpack)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within it, ``saved_tensors_hooks`` raises RuntimeError with this message: for what does not
    work with hooks. Raises so itself where hooks are set."""
    if active() is not None:
        raise RuntimeError(error_message)
    before = exchange(Hooks(_nothing, _nothing, error_message))
    try:
        yield
    finally:
        exchange(before)


def _nothing(value: Any) -> Any:
    """Stands for the hooks where there may be none."""


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """Within it, tensors that the tape keeps may be changed in place before the backward pass,
    which computes with what they were. (A copy is made of each when it is kept, where PyTorch makes
    one when it is changed: more memory, the same gradients.)"""
    with saved_tensors_hooks(lambda tensor: tensor.detach().clone(), lambda tensor: tensor):
        yield


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where on the tape the gradient of a tensor arrives: ``autograd.grad`` and ``backward`` take
    it in the tensor's place, whose memory need not be kept for that. Raises TypeError for anything
    but a Tensor, RuntimeError for one that does not require grad."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"[get_gradient_edge] expects a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise RuntimeError(
            f"[get_gradient_edge] the tensor of shape {tuple(tensor.shape)} does not require grad, "
            "so no gradient arrives anywhere"
        )
    return GradientEdge(*call_of(tensor._node), tensor._node)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Note that these tensors were changed in place by code that the tape does not see: backward
    then refuses what was kept of them before. Raises TypeError for anything but Tensors."""
    for t in _tensors("increment_version", [tensor] if isinstance(tensor, Tensor) else tensor):
        t._bump("increment_version")


def _tensors(op: str, values: Any) -> list[Tensor]:
    """What ``op`` was given, if it is several Tensors; else TypeError."""
    if not isinstance(values, Iterable):
        raise TypeError(f"[{op}] expects Tensors, got {type(values).__name__}")
    tensors = list(values)
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"[{op}] expects Tensors, got {type(t).__name__}")
    return tensors


class _Handles(RemovableHandle):
    """Removes the hooks of several tensors at once."""

    def __init__(self, handles: Sequence[RemovableHandle]):
        self._handles = handles

    def remove(self) -> None:
        """Remove the hooks; once more changes nothing."""
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> RemovableHandle:
    """Call ``fn`` once in each backward pass that reaches some of these tensors.

    mode="all": with the list of their gradients, None for those that the pass does not reach, when
    the walk has reached them all and no ``.grad`` has changed yet. mode="any": with the first
    gradient that arrives. What ``fn`` returns is ignored. Raises ValueError for another mode,
    TypeError for anything but Tensors, and as ``Tensor.register_hook`` does.
    """
    if not isinstance(mode, str) or mode not in ("all", "any"):
        raise ValueError(f"[register_multi_grad_hook] mode is 'all' or 'any', got {mode!r}")
    if not callable(fn):
        raise TypeError(f"[register_multi_grad_hook] fn must be callable, got {type(fn).__name__}")
    given = _tensors("register_multi_grad_hook", tensors)
    arrived: dict[int, Tensor] = {}
    seen: Any = None  # the walk in which those have arrived

    def end() -> None:
        fn([arrived.get(i) for i in range(len(given))])

    def hook(i: int, gradient: Tensor) -> None:
        nonlocal seen
        this: Any = walk.get()
        first = this is not seen
        if first:
            seen = this
            arrived.clear()
        arrived[i] = gradient
        if first and mode == "any":
            fn(gradient)
        elif first:
            this.at_end.append(end)

    return _Handles([t.register_hook(functools.partial(hook, i)) for i, t in enumerate(given)])


if not TYPE_CHECKING:
    __getattr__ = unknown_names(__name__)
