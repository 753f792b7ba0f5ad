"""Module: the base of every layer and of every network built from layers.

A module's parameters, buffers and child modules are plain attributes. The module only remembers,
in one ordered table, which of its attribute names are which; so reading ``self.weight`` in a
forward pass costs no more than reading any attribute, and nothing is stored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tapegrad.core.tensor import Tensor

from .conversion import Conversion
from .hooks import CALL_TABLES, TABLES, Hooks, replaced
from .parameter import Buffer, Parameter
from .state import IncompatibleKeys as IncompatibleKeys
from .state import State
from .tables import BUFFER, MODULE, PARAMETER, TRANSIENT_BUFFER, Table

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Module(Hooks, State, Conversion):
    """Base class of all layers. A subclass calls ``super().__init__()`` and defines ``forward``.

    What it keeps and how it is walked stand here; what it calls beside ``forward`` is ``Hooks``,
    what it saves ``State``, where it moves ``Conversion``.
    """

    training: bool
    # The attributes in the repr, as in "num_features, eps=": those with "=" under their names. Of a
    # parameter it says whether there is one.
    _shown: ClassVar[str | None] = ""

    if TYPE_CHECKING:  # parameters, buffers and modules, of any name: net[0].weight

        def __getattr__(self, name: str) -> Any: ...

    _kinds: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self._kinds = {}
        self.training = True

    # ---- registration ---------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kinds = self.__dict__.get("_kinds")
        if isinstance(value, (Parameter, Module, Buffer)):
            kind = MODULE if isinstance(value, Module) else PARAMETER
            if isinstance(value, Buffer):
                kind = BUFFER if value.persistent else TRANSIENT_BUFFER
            if kinds is None:
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning the "
                    f"{kind} '{name}'"
                )
            if isinstance(getattr(type(self), name, None), property):
                object.__setattr__(self, name, value)
                return
            if kind == MODULE and (kinds or {}).get(name) == PARAMETER:
                self._require_kind("assign {} to", PARAMETER, name, value)
            value = replaced(self, kind, name, value)
            if isinstance(value, Module):
                self._refuse_cycle(name, value)
            if kinds.get(name) != kind:
                kinds.pop(name, None)
                kinds[name] = kind
        elif kinds and name in kinds and value is not None:
            self._require_kind("assign {} to", kinds[name], name, value)
            if kinds[name] in (BUFFER, TRANSIENT_BUFFER):
                value = replaced(self, kinds[name], name, value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; None keeps the name for one (as in ``bias=False``)."""
        self._register(PARAMETER, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is not trained."""
        self._register(BUFFER if persistent else TRANSIENT_BUFFER, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``."""
        self._register(MODULE, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """``add_module``."""
        self.add_module(name, module)

    def _register(self, kind: str, name: str, value: Any) -> None:
        owner = type(self).__name__
        if "_kinds" not in self.__dict__:
            raise AttributeError(f"{owner}: call super().__init__() before adding '{name}'")
        if not isinstance(name, str):
            raise TypeError(f"{owner}: a {kind}'s name is a string, not {name!r}")
        if not name or "." in name:
            raise KeyError(f"{owner}: a {kind}'s name is a string without dots, not {name!r}")
        if self._kinds.get(name, kind) != kind or (name not in self._kinds and hasattr(self, name)):
            raise KeyError(f"{owner} already has an attribute '{name}'")
        self._require_kind("register {} as", kind, name, value)
        value = replaced(self, kind, name, value)
        if kind == MODULE:
            self._refuse_cycle(name, value)
        self._kinds.pop(name, None)
        self._kinds[name] = kind
        object.__setattr__(self, name, value)

    def _require_kind(self, action: str, kind: str, name: str, value: Any) -> None:
        expected = {PARAMETER: Parameter, MODULE: Module}.get(kind, Tensor)
        if value is not None and not isinstance(value, expected):
            raise TypeError(
                f"cannot {action.format(type(value).__name__)} the {kind} '{name}' of "
                f"{type(self).__name__}: expected a {expected.__name__} or None"
            )

    def _refuse_cycle(self, name: str, module: Module | None) -> None:
        below = {} if module is None else {id(module): module}
        while below:
            _, one = below.popitem()
            if one is self:
                raise ValueError(
                    f"{type(self).__name__}: a module cannot contain itself, as it would with "
                    f"'{name}'"
                )
            for child, kind in one.__dict__.get("_kinds", {}).items():
                if kind == MODULE and (found := one.__dict__[child]) is not None:
                    below[id(found)] = found

    def _registered(self, *kinds: str) -> Iterator[tuple[str, Any]]:
        for name, kind in tuple(self._kinds.items()):
            if kind in kinds:
                yield name, self.__dict__[name]

    @property
    def _parameters(self) -> MutableMapping[str, Parameter | None]:
        return Table(self, PARAMETER)

    @property
    def _buffers(self) -> MutableMapping[str, Tensor | None]:
        return Table(self, BUFFER, TRANSIENT_BUFFER)

    @property
    def _modules(self) -> MutableMapping[str, Module | None]:
        return Table(self, MODULE)

    @property
    def _non_persistent_buffers_set(self) -> set[str]:
        return {name for name, _ in self._registered(TRANSIENT_BUFFER)}

    def __copy__(self) -> Self:
        """Another module of the same parameters, buffers and modules, with tables of its own: what
        is then added to or removed from one does not touch the other."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for table in ("_kinds", *TABLES):
            if table in twin.__dict__:
                twin.__dict__[table] = dict(twin.__dict__[table])
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes of a copied or unpickled module; tables that an older one lacks are
        empty."""
        self.__dict__.update({name: {} for name in CALL_TABLES if name not in state})
        self.__dict__.update(state)

    # ---- walking --------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names. ``memo`` are those to
        leave out, and those met are added to it."""
        seen = set() if memo is None else memo
        if remove_duplicate and self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, child in self._registered(MODULE):
            if child is not None:
                yield from child.named_modules(seen, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once unless ``remove_duplicate`` is False."""
        named = self.named_modules(remove_duplicate=remove_duplicate)
        return (module for _, module in named)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each once, with their names."""
        return _distinct(self._registered(MODULE))

    def children(self) -> Iterator[Module]:
        """The modules right below this one, each once."""
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; a shared one appears under its first name."""
        return self._named((PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, once; without ``recurse`` only this module's own."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name; a shared one appears under its first name."""
        return self._named((BUFFER, TRANSIENT_BUFFER), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, once; without ``recurse`` only this module's own."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, kinds: tuple[str, ...], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        members = (
            (_join(path, name), value)
            for path, owner in owners
            for name, value in owner._registered(*kinds)
        )
        return _distinct(members, remove_duplicate)

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path, e.g. ``get_submodule("encoder.0.norm")``. Raises
        AttributeError where there is none."""
        module = self
        for name in target.split(".") if target else ():
            child = getattr(module, name, None)
            if not isinstance(child, Module):
                raise AttributeError(
                    f"{type(self).__name__} has no submodule '{target}': "
                    f"{type(module).__name__} has no child '{name}'"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path, in place of the one there; the last name may be new
        unless ``strict``. Raises ValueError for an empty path and for what is no module, and
        AttributeError where a module on the path is missing, or the last name is something else."""
        path, _, name = target.rpartition(".")
        owner = type(self).__name__
        if not name:
            raise ValueError(f"{owner}.set_submodule needs the name of a module, got {target!r}")
        if not isinstance(module, Module):
            raise ValueError(
                f"{owner}.set_submodule: expected a Module for '{target}', got a "
                f"{type(module).__name__}"
            )
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{owner}.set_submodule: there is no '{target}' to replace")
        if not isinstance(getattr(parent, name, module), Module):
            raise AttributeError(f"{owner}.set_submodule: '{target}' is not a module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path. Raises AttributeError where there is none."""
        return self._get(target, PARAMETER)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path. Raises AttributeError where there is none."""
        return self._get(target, BUFFER, TRANSIENT_BUFFER)

    def _get(self, target: str, *kinds: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if owner._kinds.get(name) not in kinds or getattr(owner, name) is None:
            raise AttributeError(f"{type(owner).__name__} has no {kinds[0]} '{name}' ('{target}')")
        return getattr(owner, name)

    # ---- changing all of it at once -------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below this one and last on itself, e.g. to initialise."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch layers such as dropout and batch norm to training behaviour. Raises ValueError
        for a mode that is not True or False."""
        if not isinstance(mode, bool):
            raise ValueError(
                f"{type(self).__name__}.train: mode must be True or False, got {mode!r}"
            )
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch layers such as dropout and batch norm to evaluation behaviour."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask (or stop asking) for gradients of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters or, without ``set_to_none``, fill them with 0."""
        for parameter in self.parameters():
            grad = parameter.grad
            if grad is not None and not set_to_none:
                grad = grad.requires_grad_(False) if grad.is_leaf else grad.detach()
                parameter.grad = grad.zero_()
            else:
                parameter.grad = None

    def compile(self, *args: Any, **kwargs: Any) -> Self:
        """Returns the module: calls go on as before. Nothing is compiled, whatever is asked for."""
        return self

    # ---- repr -----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr: ``_shown``, unless overridden."""
        entries = self._shown.split(", ") if self._shown else ()
        return ", ".join(self._describe(entry) for entry in entries)

    def _describe(self, entry: str) -> str:
        name = entry.rstrip("=")
        value = getattr(self, name)
        if self._kinds.get(name) == PARAMETER:
            value = value is not None
        text = repr(value) if isinstance(value, str) else str(value)
        return text if name == entry else entry + text

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        name = self._get_name()
        extra = self.extra_repr()
        lines = [f"({name}): {_indented(repr(child))}" for name, child in self._registered(MODULE)]
        if not lines:
            return f"{name}({extra})"
        body = "".join(f"  {line}\n" for line in ([extra] if extra else []) + lines)
        return f"{name}(\n{body})"

    def _repr_html_(self) -> str:
        """What notebooks show: the tree of modules, to fold and unfold."""
        from . import notebook

        return notebook.html(self)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _distinct(
    members: Iterator[tuple[str, T]], remove_duplicate: bool = True
) -> Iterator[tuple[str, T]]:
    """Leave out None and, by identity, what was seen already."""
    seen: set[int] = set()
    for name, value in members:
        if value is None or (remove_duplicate and id(value) in seen):
            continue
        seen.add(id(value))
        yield name, value
