"""Module: the base of every layer and of every network built from layers.

A module's parameters, buffers and child modules are plain attributes. The module only remembers,
in one ordered table, which of its attribute names are which; so reading ``self.weight`` in a
forward pass costs no more than reading any attribute, and nothing is stored twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from operator import itemgetter, setitem
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from tapegrad.autograd.backward import RemovableHandle, add_hook
from tapegrad.core import dtypes, formats
from tapegrad.core.commit import commit
from tapegrad.core.devices import Device
from tapegrad.core.memory import byte_range
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import check_nesting
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.common.writable import check_writable
from tapegrad.ops.creation.create import as_tensor

from .parameter import Buffer, Parameter, Uninitialized

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

# What an attribute name can be registered as.
PARAMETER = "parameter"
BUFFER = "buffer"
TRANSIENT_BUFFER = "transient buffer"  # moves with the module, stays out of its state_dict
MODULE = "module"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Retelling):
    """Base class of all layers. A subclass calls ``super().__init__()`` and defines ``forward``."""

    training: bool
    # The attributes in the repr, as in "num_features, eps=": those with "=" under their names. Of a
    # parameter it says whether there is one.
    _shown: ClassVar[str | None] = ""

    if TYPE_CHECKING:  # parameters, buffers and modules, of any name: net[0].weight

        def __getattr__(self, name: str) -> Any: ...

    _kinds: dict[str, str]
    _forward_hooks: dict[int, Callable[..., Any]]
    _forward_pre_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        self._kinds = {}
        self._forward_hooks = {}
        self._forward_pre_hooks = {}
        self.training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._forward_hooks and not self._forward_pre_hooks:
            return self.forward(*args, **kwargs)
        # Copies, so that a hook may remove itself while it runs.
        for pre_hook in tuple(self._forward_pre_hooks.values()):
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; its result, if any, replaces args."""
        return add_hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; its result may replace the output."""
        return add_hook(self._forward_hooks, hook)

    # ---- registration ---------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kinds = self.__dict__.get("_kinds")
        if isinstance(value, (Parameter, Module, Buffer)):
            kind = PARAMETER if isinstance(value, Parameter) else MODULE
            if isinstance(value, Buffer):
                kind = BUFFER if value.persistent else TRANSIENT_BUFFER
            if kinds is None:
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning the "
                    f"{kind} '{name}'"
                )
            if isinstance(value, Module):
                self._refuse_cycle(name, value)
            if kinds.get(name) != kind:
                kinds.pop(name, None)
                kinds[name] = kind
        elif kinds and name in kinds and value is not None:
            self._require_kind("assign {} to", kinds[name], name, value)
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

    register_module = add_module

    def _register(self, kind: str, name: str, value: Any) -> None:
        owner = type(self).__name__
        if "_kinds" not in self.__dict__:
            raise AttributeError(f"{owner}: call super().__init__() before adding '{name}'")
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{owner}: a {kind}'s name is a string without dots, not {name!r}")
        if name not in self._kinds and hasattr(self, name):
            raise KeyError(f"{owner} already has an attribute '{name}'")
        self._require_kind("register {} as", kind, name, value)
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
        return _Table(self, PARAMETER)

    @property
    def _buffers(self) -> MutableMapping[str, Tensor | None]:
        return _Table(self, BUFFER, TRANSIENT_BUFFER)

    @property
    def _modules(self) -> MutableMapping[str, Module | None]:
        return _Table(self, MODULE)

    def __copy__(self) -> Self:
        """Another module of the same parameters, buffers and modules, with tables of its own: what
        is then added to or removed from one does not touch the other."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for table in ("_kinds", "_forward_hooks", "_forward_pre_hooks"):
            if table in twin.__dict__:
                twin.__dict__[table] = dict(twin.__dict__[table])
        return twin

    # ---- walking --------------------------------------------------------------------------

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names."""
        seen = set() if memo is None else memo
        if remove_duplicate and id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self._registered(MODULE):
            if child is not None:
                yield from child.named_modules(seen, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return _distinct(self._registered(MODULE))

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; a shared one appears under its first name."""
        return self._named((PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named((BUFFER, TRANSIENT_BUFFER), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
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
        """The module at a dotted path, e.g. ``get_submodule("encoder.0.norm")``."""
        module = self
        for name in target.split(".") if target else ():
            if module._kinds.get(name) != MODULE:
                raise AttributeError(
                    f"{type(self).__name__} has no submodule '{target}': "
                    f"{type(module).__name__} has no child '{name}'"
                )
            module = getattr(module, name)
        return module

    def get_parameter(self, target: str) -> Parameter:
        return self._get(target, PARAMETER)

    def get_buffer(self, target: str) -> Tensor:
        return self._get(target, BUFFER, TRANSIENT_BUFFER)

    def _get(self, target: str, *kinds: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if owner._kinds.get(name) not in kinds:
            raise AttributeError(f"{type(owner).__name__} has no {kinds[0]} '{name}' ('{target}')")
        return getattr(owner, name)

    # ---- state ----------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Every parameter and persistent buffer by dotted name. The tensors share memory."""
        state: dict[str, Tensor] = {}
        for path, owner in self.named_modules(remove_duplicate=False):
            for kind in (PARAMETER, BUFFER):
                for name, value in owner._registered(kind):
                    if value is not None:
                        key = prefix + _join(path, name)
                        state[key] = value if keep_vars else value.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into this module's parameters and buffers, all of them or none, whatever
        happens meanwhile.

        Values may also be arrays, or another library's tensors on the CPU. Every problem is found
        before the first value is copied, and all are reported together in a RuntimeError.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected a dict of tensors by name, got a "
                f"{type(state_dict).__name__}"
            )
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        problems, steps = _prepared(own, state_dict)
        if strict:
            if unexpected:
                problems.insert(0, f"unexpected keys: {_quoted(unexpected)}")
            if missing:
                problems.insert(0, f"missing keys: {_quoted(missing)}")
        if problems:
            raise RuntimeError(
                f"load_state_dict: cannot load into {type(self).__name__}:\n  "
                + "\n  ".join(problems)
            )
        for key in own:
            if key in state_dict:
                own[key]._bump("load_state_dict")
        commit(steps)
        return IncompatibleKeys(missing, unexpected)

    # ---- changing all of it at once -------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below this one and last on itself, e.g. to initialise."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch layers such as dropout and batch norm to training behaviour."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Switch layers such as dropout and batch norm to evaluation behaviour."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

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
        A ``memory_format`` changes nothing (see ``core/formats.py``).
        """
        formats.check("Module.to", None, memory_format)
        for target in args:
            if isinstance(target, Tensor):
                device, dtype = target.device, target.dtype
            elif isinstance(target, (str, Device)):
                device = target
            elif target is not None:
                dtype = target
        device = None if device is None else Device(device)
        dtype = None if dtype is None else dtypes.dtype(dtype)
        if dtype is not None and not dtypes.is_floating(dtype):
            raise TypeError(f"Module.to: the dtype must be floating-point, not {dtype.name}")

        converted: dict[int, Tensor] = {}  # by id, as several names may have one tensor

        def convert(tensor: Tensor) -> Tensor:
            if id(tensor) not in converted:
                wanted = dtype if dtypes.is_floating(tensor.dtype) else None
                if isinstance(tensor, Uninitialized):
                    attributes = tensor._moved(device, wanted)
                    steps.append(partial(tensor.__dict__.update, attributes))
                    return converted.setdefault(id(tensor), tensor)
                result = tensor.detach().to(device=device, dtype=wanted)
                converted[id(tensor)] = tensor if result._array is tensor._array else result
            return converted[id(tensor)]

        moved: list[tuple[Parameter, Tensor]] = []
        steps: list[partial] = []
        for parameter in self.parameters():
            after = convert(parameter)
            if after is not parameter:
                grad = None if parameter.grad is None else convert(parameter.grad)
                moved.append((parameter, after))
                attributes = {**parameter._taking(after), "_grad": grad}
                steps.append(partial(parameter.__dict__.update, attributes))
        for module in self.modules():
            for name, buffer in module._registered(BUFFER, TRANSIENT_BUFFER):
                if buffer is not None:
                    steps.append(partial(setitem, module.__dict__, name, convert(buffer)))
        for parameter, after in moved:
            for changed in (parameter, after):  # for those who saved the old memory, or the tensor
                changed._bump("Module.to")
            if parameter._aliased:
                parameter._leave_memory()
        commit(steps)
        return self

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        return self.to("cuda" if device is None else f"cuda:{device}")

    def half(self) -> Self:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Self:
        return self.to(dtypes.bfloat16())

    def type(self, dst_type: Any) -> Self:
        """``to(dtype)``: the floating-point parameters and buffers in another floating dtype."""
        return self.to(dtypes.dtype(dst_type))

    def float(self) -> Self:
        return self.to(dtypes.float32)

    def double(self) -> Self:
        return self.to(dtypes.float64)

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

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {_indented(repr(child))}" for name, child in self._registered(MODULE)]
        if not lines:
            return f"{type(self).__name__}({extra})"
        body = "".join(f"  {line}\n" for line in ([extra] if extra else []) + lines)
        return f"{type(self).__name__}(\n{body})"


class _Table(MutableMapping):
    """A module's parameters, buffers or modules by name; changing it changes the module."""

    def __init__(self, module: Module, *kinds: str) -> None:
        self._module, self._kinds = module, kinds

    def __getitem__(self, name: str) -> Any:
        if self._module._kinds.get(name) not in self._kinds:
            raise KeyError(name)
        return self._module.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            setattr(self._module, name, value)
        else:
            self._module._register(self._kinds[0], name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        delattr(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._module._registered(*self._kinds))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


def _prepared(own: dict[str, Tensor], given: Mapping[str, Any]) -> tuple[list[str], list[partial]]:
    """What is wrong with values for the tensors of a state_dict, and the steps that copy them: to
    memory that they do not share, in its dtype and on its device."""
    problems: list[str] = []
    steps: list[partial] = []
    known = [target for target in own.values() if not isinstance(target, Uninitialized)]
    taken = _merged(byte_range(target._array) for target in known)
    for key, target in own.items():
        if key not in given or (
            isinstance(target, Uninitialized) and isinstance(given[key], Uninitialized)
        ):
            continue
        try:
            value = _as_tensor(given[key])
            shape = value.shape  # of one that is not initialized, an error
            if isinstance(target, Uninitialized):
                made = value.detach().to(device=target.device, dtype=target.dtype, copy=True)
                steps += target._becoming(made)
                continue
            check_writable(target, "load_state_dict")
        except (TypeError, ValueError, RuntimeError) as error:
            problems.append(f"cannot load '{key}': {error}")
            continue
        if shape != target.shape:
            problems.append(
                f"size mismatch for '{key}': the state_dict has {tuple(shape)}, "
                f"the module has {tuple(target.shape)}"
            )
            continue
        source = value.detach().to(device=target.device, dtype=target.dtype)._array
        if _meets(source, taken):
            source = source.copy()
        steps.append(partial(setitem, target._array, ..., source))
    return problems, steps


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges of bytes in order, as few as possible."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            first, last = merged[-1][0], max(last, merged.pop()[1])
        merged.append((first, last))
    return merged


def _meets(array: Any, ranges: list[tuple[int, int]]) -> bool:
    """Whether the array may share memory with one of these ranges of bytes."""
    first, last = byte_range(array)
    i = bisect_right(ranges, last, key=itemgetter(0)) - 1
    return i >= 0 and ranges[i][1] >= first


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    check_nesting("load_state_dict", value)
    detach = getattr(value, "detach", None)  # PyTorch's, of a parameter
    return as_tensor(detach() if callable(detach) else np.asarray(value), device="cpu")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _quoted(keys: list[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys)


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
