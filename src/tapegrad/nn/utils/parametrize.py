"""Parametrizations: a parameter or buffer of a module computed, whenever it is read, from others.

The module becomes an instance of a class of its own, below its class, in which the tensor's name is
a property. What the tensor is computed from, and by which modules, is in
``module.parametrizations``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any, NoReturn

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling

from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class ParametrizationList(ModuleList):
    """What one tensor of a module is computed by: these modules, one after the other, from
    ``original`` or, where the last ``right_inverse`` returns several tensors, from ``original0``,
    ``original1``, ..., which the first of the modules then takes.

    Raises ValueError if there are no modules, if a ``right_inverse`` returns anything but tensors
    (one: of the same dtype and device) and, unless ``unsafe``, if the tensor computed has another
    dtype or shape than before.
    """

    original: Tensor

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList needs at least one module")
        super().__init__(modules)
        self.unsafe = unsafe
        made: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        made = module.right_inverse(made)
        self.is_tensor = isinstance(made, Tensor)
        self.ntensors = 1 if self.is_tensor else len(_tensors(made))
        if self.is_tensor:
            _check_like("right_inverse", made, original)
            tensors = [made]
        else:
            tensors = [self._like_original(t, original) for t in made]
        if not unsafe:
            _check_unchanged(self._computed(tensors), original)
        if self.is_tensor:
            if made is not original:
                original.data = made
            tensors = [original]
        for name, tensor in zip(self._names(), tensors, strict=True):
            _register(self, name, tensor)

    @staticmethod
    def _like_original(tensor: Tensor, original: Tensor) -> Tensor:
        if isinstance(original, Parameter):
            return Parameter(tensor, original.requires_grad)
        return tensor.requires_grad_(original.requires_grad)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _computed(self, tensors: Iterable[Tensor]) -> Any:
        first, *others = self
        x = first(*tensors)
        for module in others:
            x = module(x)
        return x

    def forward(self) -> Tensor:
        """The tensor, computed anew."""
        return self._computed([getattr(self, name) for name in self._names()])

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that ``value`` is what is computed, as far as the modules'
        ``right_inverse`` can say. Raises RuntimeError where one has none, and ValueError where it
        returns tensors of another number or dtype; nothing has changed then."""
        made: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"the tensor cannot be set: its parametrization {type(module).__name__} "
                        "has no right_inverse"
                    )
                made = module.right_inverse(made)
        originals = [getattr(self, name) for name in self._names()]
        if self.is_tensor and not isinstance(made, Tensor):
            raise ValueError(f"right_inverse must return a Tensor, got {type(made).__name__}")
        tensors = [made] if self.is_tensor else _tensors(made)
        if len(tensors) != self.ntensors:
            raise ValueError(
                f"right_inverse must return {self.ntensors} tensors, got {len(tensors)}"
            )
        for name, tensor, original in zip(self._names(), tensors, originals, strict=True):
            if tensor.dtype != original.dtype:
                raise ValueError(
                    f"right_inverse returned {tensor.dtype.name} for {name}, which is "
                    f"{original.dtype.name}"
                )
        for original, tensor in zip(originals, tensors, strict=True):
            original.data = tensor


def _tensors(made: Any) -> list[Tensor]:
    if not isinstance(made, Sequence) or not all(isinstance(t, Tensor) for t in made):
        raise ValueError(
            "right_inverse must return a Tensor or a sequence of Tensors, got "
            f"{type(made).__name__}"
        )
    return list(made)


def _check_like(what: str, made: Tensor, before: Tensor) -> None:
    if made.dtype != before.dtype or made.device != before.device:
        raise ValueError(
            f"{what} must keep dtype and device: they were {before.dtype.name} on {before.device}, "
            f"it returned {made.dtype.name} on {made.device}"
        )


def _check_unchanged(computed: Any, before: Tensor, what: str = "a parametrization") -> None:
    if not isinstance(computed, Tensor):
        raise ValueError(f"{what} must return a Tensor, got {type(computed).__name__}")
    if computed.dtype != before.dtype or computed.shape != before.shape:
        raise ValueError(
            f"{what} must keep dtype and shape, unless unsafe=True: they were {before.dtype.name} "
            f"{tuple(before.shape)}, it returned {computed.dtype.name} {tuple(computed.shape)}"
        )


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


# ---------------------------------------------------------------------- the module's class


def _property(name: str) -> property:
    def computed(self: Module) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _Cache.depth:
            return parametrization()
        key = (id(self), name)
        if key not in _Cache.values:
            _Cache.values[key] = parametrization()
        return _Cache.values[key]

    def set_to(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(computed, set_to)


def _deepcopied(self: Module, memo: dict) -> Module:
    twin = type(self).__new__(type(self))
    memo[id(self)] = twin
    twin.__dict__.update(deepcopy(self.__dict__, memo))
    return twin


def _refuse_pickle(self: Module, *protocol: Any) -> NoReturn:
    raise RuntimeError(
        f"a {type(self).__name__} cannot be pickled: save its state_dict(), and load that into a "
        "module with the same parametrizations"
    )


def _set_class(module: Module, base: type, names: Iterable[str]) -> None:
    """Make the module an instance of a new class below ``base``, in which these names are
    properties; of ``base`` itself, if there are none. (A class of its own: copies keep theirs.)"""
    members: dict[str, Any] = {name: _property(name) for name in names}
    if members:
        members["__module__"] = base.__module__
        members["__reduce_ex__"] = _refuse_pickle
        if not hasattr(base, "__deepcopy__"):
            members["__deepcopy__"] = _deepcopied
        base = type(f"Parametrized{base.__name__}", (base,), members)
    module.__class__ = base


class _Cache:
    """Tensors that were computed within ``cached()``, by module and name."""

    depth = 0
    values: dict[tuple[int, str], Tensor] = {}  # noqa: RUF012 (of all modules)


@contextmanager
def cached() -> Iterator[None]:
    """Within it, a parametrized tensor is computed when it is first read, and once: also if what
    it is computed from has changed."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


# ---------------------------------------------------------------------- what users call


@retelling
def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let ``module.<tensor_name>``, a parameter or buffer, be ``parametrization`` of what it was;
    of what it is computed as, if it is parametrized already. Returns the module.

    Where the parametrization has a ``right_inverse``, the tensor starts as close to its value as
    that makes it, and can be set. The optimizer is made (again) afterwards: parameters have new
    names, and with several originals they are new ones. Raises ValueError if the module has no
    tensor of this name and, unless ``unsafe``, if its dtype or shape would change; the module is
    then as it was.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            before = getattr(module, tensor_name)
            computed = parametrization(before)
            _check_unchanged(computed, before)
            if hasattr(parametrization, "right_inverse"):
                try:
                    back = parametrization.right_inverse(computed)
                except NotImplementedError:
                    pass
                else:
                    _check_unchanged(back, before, "right_inverse")
        found = module.parametrizations[tensor_name]
        found.append(parametrization)
        found.unsafe |= unsafe
        return module
    original = module._buffers.get(tensor_name, module._parameters.get(tensor_name))
    if original is None:
        raise ValueError(
            f"{type(module).__name__} has no parameter or buffer '{tensor_name}' to parametrize"
        )
    made = ParametrizationList([parametrization], original, unsafe=unsafe)
    delattr(module, tensor_name)
    base = type_before_parametrizations(module)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _set_class(module, base, module.parametrizations)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrizations; one of this tensor, if a name is given."""
    parametrizations = getattr(module, "parametrizations", None)
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


@retelling
def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make ``module.<tensor_name>`` a parameter or buffer again, of the value that is computed now
    or, without ``leave_parametrized``, of that of ``original``. Returns the module.

    Raises ValueError if the tensor is not parametrized, or has several originals and is not to be
    left as computed.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__} has no parametrization of '{tensor_name}'")
    parametrization = module.parametrizations[tensor_name]
    if parametrization.is_tensor:
        original = parametrization.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name)
    elif leave_parametrized:
        computed = getattr(module, tensor_name)
        original = Parameter(computed) if computed.requires_grad else computed
    else:
        raise ValueError(
            f"'{tensor_name}' of {type(module).__name__} is computed from several tensors: it can "
            "only be left as computed (leave_parametrized=True)"
        )
    base = type_before_parametrizations(module)
    del module.parametrizations[tensor_name]
    _set_class(module, base, module.parametrizations)
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class, without what parametrizations have made of it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


@retelling
def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize ``to_module`` by the same modules as ``from_module``, all of its tensors or the
    one named, and share what they are computed from. A tensor that ``to_module`` lacks is added.
    Returns ``to_module``; a ``from_module`` without parametrizations changes nothing."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = from_module.parametrizations[name]
        for module in source:
            register_parametrization(to_module, name, module)
        for original in source._names():
            setattr(to_module.parametrizations[name], original, getattr(source, original))
    return to_module
