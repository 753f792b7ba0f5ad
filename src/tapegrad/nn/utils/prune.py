"""Pruning: entries of a parameter set to 0 by a mask, and kept there while the rest is trained.

The parameter ``name`` becomes ``name_orig``, the mask is the buffer ``name_mask``, and a hook sets
the attribute ``name`` to their product before every forward. ``remove`` makes it permanent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

from tapegrad import linalg
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import ones_like, zeros_like
from tapegrad.ops.sampling.draws import rand_like

from ..module import Module
from .convert_parameters import parameters_to_vector
from .find_hook import find_hook

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """A way to choose what is pruned, and the hook that applies the mask. A subclass defines
    ``compute_mask`` and says in ``PRUNING_TYPE`` what of an already pruned tensor it is shown:
    "unstructured": the entries that are left, "structured": the channels along ``dim`` of which
    anything is left, "global": all of it.
    """

    PRUNING_TYPE: ClassVar[str]
    _tensor_name: str

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of 0 and 1 for what has the importance scores ``t``, in which what is 0 in
        ``default_mask`` stays 0."""

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor, of the mask and the parameter as they are now."""
        name = self._tensor_name
        original = getattr(module, f"{name}_orig")
        return getattr(module, f"{name}_mask").to(original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune ``module.<name>`` by this method, made of the other arguments; once more, if it is
        pruned already. Returns the hook.

        importance_scores: of the parameter's shape, to decide by instead of its values. If anything
        raises, the module is as it was.
        """
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        key = find_hook(module._forward_pre_hooks, BasePruningMethod, name, "_tensor_name")
        if key is not None:
            method = PruningContainer(*_methods(module._forward_pre_hooks[key]), method)
        current = getattr(module, name, None)
        if not isinstance(current, Tensor):
            raise AttributeError(f"[prune] {type(module).__name__} has no parameter '{name}'")
        scores = current if importance_scores is None else importance_scores
        _check_scores(scores, current)
        before = ones_like(current) if key is None else getattr(module, f"{name}_mask")
        mask = method.compute_mask(scores.detach(), default_mask=before.detach().clone())
        if key is None:
            original = module._parameters[name]
            delattr(module, name)
            module.register_parameter(f"{name}_orig", original)
        else:
            del module._forward_pre_hooks[key]
        module.register_buffer(f"{name}_mask", mask)
        method(module, ())
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """A tensor pruned by this method, without a module."""
        scores = t if importance_scores is None else importance_scores
        _check_scores(scores, t)
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor the parameter's value, and take away mask and ``name_orig``. (The
        hook itself stays: see the function ``remove``.)"""
        name = self._tensor_name
        pruned = self.apply_mask(module)
        original = module._parameters[f"{name}_orig"]
        for attribute in (name, f"{name}_orig", f"{name}_mask"):
            delattr(module, attribute)
        original.data = pruned.data  # type: ignore[union-attr]
        setattr(module, name, original)


def _check_scores(scores: Tensor, tensor: Tensor) -> None:
    if scores.shape != tensor.shape:
        raise AssertionError(
            f"[prune] importance_scores of shape {tuple(scores.shape)} for a tensor of shape "
            f"{tuple(tensor.shape)}"
        )


class PruningContainer(BasePruningMethod):
    """Several methods, one after the other, of one tensor."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add a method at the end. Raises TypeError for what is none, and ValueError for one of
        another tensor."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"[prune] {type(method).__name__} is not a BasePruningMethod")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                f"[prune] a container for '{self._tensor_name}' takes no method for "
                f"'{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask``, with more zeros where the last method puts them."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        shown = _shown_to(method, t, default_mask)
        mask[shown] = method.compute_mask(t[shown], default_mask=default_mask[shown]).to(t.dtype)
        return mask


def _shown_to(method: Any, t: Tensor, mask: Tensor) -> Any:
    """The index of what a method decides about."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return (slice(None),) * t.ndim
    if method.PRUNING_TYPE != "structured":
        raise ValueError(
            f"[prune] {type(method).__name__}.PRUNING_TYPE must be 'unstructured', 'structured' or "
            f"'global', not {method.PRUNING_TYPE!r}"
        )
    if not hasattr(method, "dim"):
        raise AttributeError(f"[prune] {type(method).__name__} is structured, but has no dim")
    dim = _dim(t, method.dim)
    others = [d for d in range(t.ndim) if d != dim]
    return (*(slice(None),) * dim, mask.sum(dim=others) != 0)


# ---------------------------------------------------------------------- the methods


class Identity(BasePruningMethod):
    """Prunes nothing, but has everything in place: mask, hook, names."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask there is."""
        return default_mask


class _Unstructured(BasePruningMethod):
    """Prunes ``amount`` entries: a number of them or, as a float, a share."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        self.amount = _checked_amount(amount)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` with as many more zeros, where the importance is least."""
        count = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            mask.view(-1)[self._importance(t).reshape(-1).topk(count, largest=False).indices] = 0
        return mask

    def _importance(self, t: Tensor) -> Tensor:
        raise NotImplementedError


class RandomUnstructured(_Unstructured):
    """Prunes ``amount`` entries, drawn at random: a number of them or, as a float, a share."""

    def _importance(self, t: Tensor) -> Tensor:
        return rand_like(t)


class L1Unstructured(_Unstructured):
    """Prunes the ``amount`` entries nearest to 0: a number of them or, as a float, a share."""

    def _importance(self, t: Tensor) -> Tensor:
        return t.abs()


class _Structured(BasePruningMethod):
    """Prunes ``amount`` channels along ``dim``: a number of them or, as a float, a share."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        self.amount, self.dim = _checked_amount(amount), dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` with all entries of as many channels 0, of those of least importance."""
        if t.ndim < 2:
            raise ValueError(
                f"[prune] channels need at least 2 dimensions, the shape is {tuple(t.shape)}"
            )
        dim = _dim(t, self.dim)
        channels = t.shape[dim]
        count = _count(self.amount, channels)
        if not count:
            return default_mask
        kept = self._importance(t, dim).topk(channels - count).indices
        mask = zeros_like(t)
        place = (*(slice(None),) * dim, kept)
        mask[place] = 1
        return mask * default_mask.to(mask.dtype)

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        raise NotImplementedError


class RandomStructured(_Structured):
    """Prunes ``amount`` channels along ``dim``, drawn at random: a number of them or, as a float, a
    share."""

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        return t.new_empty(t.shape[dim]).uniform_()


class LnStructured(_Structured):
    """Prunes the ``amount`` channels along ``dim`` whose n-norm is least: a number of them or, as a
    float, a share."""

    def __init__(self, amount: float, n: float, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        others = tuple(d for d in range(t.ndim) if d != dim)
        return linalg.vector_norm(t, self.n, dim=others)


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask of the tensor's shape is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The product of both masks."""
        if self.mask.shape != default_mask.shape:
            raise AssertionError(
                f"[prune] a mask of shape {tuple(self.mask.shape)} for a tensor of shape "
                f"{tuple(default_mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


def _checked_amount(amount: Any) -> Any:
    if not isinstance(amount, Real):
        raise TypeError(f"[prune] amount must be an int or a float, got {type(amount).__name__}")
    if float(amount) < 0 or (float(amount) > 1 and not isinstance(amount, Integral)):
        raise ValueError(
            f"[prune] amount must be a share in [0, 1], or a number of entries, got {amount}"
        )
    return amount


def _count(amount: Any, size: int) -> int:
    """How many of ``size`` are pruned."""
    count = int(amount) if isinstance(amount, Integral) else round(amount * size)
    if count > size:
        raise ValueError(f"[prune] amount is {count}, but there are only {size} to prune")
    return count


def _dim(t: Tensor, dim: int) -> int:
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(
            f"[prune] dim {dim} is out of range for a tensor of shape {tuple(t.shape)}"
        )
    return dim % t.ndim


# ---------------------------------------------------------------------- what users call


@retelling
def identity(module: Module, name: str) -> Module:
    """``Identity`` of a parameter. Returns the module."""
    Identity.apply(module, name)
    return module


@retelling
def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """``RandomUnstructured`` of a parameter. Returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


@retelling
def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """``L1Unstructured`` of a parameter. Returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


@retelling
def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """``RandomStructured`` of a parameter. Returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


@retelling
def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: float,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """``LnStructured`` of a parameter. Returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


@retelling
def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """``CustomFromMask`` of a parameter. Returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


@retelling
def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters, pairs of a module and a name, as if they were one: by an
    unstructured method, made of the other arguments, which looks at all of them together.

    importance_scores: by such pairs, to decide by instead of the values. Raises TypeError for a
    method that is not unstructured.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError(
            "[global_unstructured] parameters must be pairs of a module and a name, got a "
            f"{type(parameters).__name__}"
        )
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError(
            "[global_unstructured] importance_scores must be a dict by (module, name), got a "
            f"{type(importance_scores).__name__}"
        )
    pairs = list(parameters)
    given = importance_scores or {}
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f"[global_unstructured] {pruning_method.__name__} is {method.PRUNING_TYPE}, it takes "
            "only unstructured methods"
        )
    tensors = [getattr(module, name) for module, name in pairs]
    masks = [getattr(m, f"{n}_mask", None) for m, n in pairs]
    scores = parameters_to_vector([given.get(p, t) for p, t in zip(pairs, tensors, strict=True)])
    before = parameters_to_vector(
        [ones_like(t) if m is None else m for m, t in zip(masks, tensors, strict=True)]
    )
    method._tensor_name = ""
    mask = PruningContainer(method).compute_mask(scores.detach(), before.detach())
    parts = mask.split([t.numel() for t in tensors])
    for (module, name), t, part in zip(pairs, tensors, parts, strict=True):
        custom_from_mask(module, name, part.view_as(t))


@retelling
def remove(module: Module, name: str) -> Module:
    """Make the pruning of a parameter permanent: it is a parameter under its own name again, with
    zeros, and is trained as a whole. Returns the module; raises ValueError where it is not pruned.
    """
    key = find_hook(module._forward_pre_hooks, BasePruningMethod, name, "_tensor_name")
    if key is None:
        raise ValueError(f"[prune] the parameter '{name}' of {type(module).__name__} is not pruned")
    module._forward_pre_hooks[key].remove(module)  # type: ignore[attr-defined]
    del module._forward_pre_hooks[key]
    return module


@retelling
def is_pruned(module: Module) -> bool:
    """Whether any parameter of the module, or of one below it, is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for below in module.modules()
        for hook in below._forward_pre_hooks.values()
    )


def _methods(hook: Any) -> Iterable[BasePruningMethod]:
    return hook if isinstance(hook, PruningContainer) else (hook,)
