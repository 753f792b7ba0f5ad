"""Weight normalisation (Salimans & Kingma 2016): a weight's length and direction as parameters of
their own, w = g v / |v|. This is the old form, by a hook; the new one is in
``parametrizations``."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from tapegrad import linalg
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis as one_axis
from tapegrad.ops.common.refusals import retelling

from ..module import Module
from ..parameter import Parameter
from .find_hook import find_hook

M = TypeVar("M", bound=Module)


def lengths(v: Tensor, dim: int) -> Tensor:
    """The lengths of v's parts, one for each index along ``dim``, in v's number of dimensions; of
    all of it, 0-d, if ``dim`` is -1."""
    if dim == -1:
        return linalg.vector_norm(v)
    dim = one_axis("weight_norm", dim, v.ndim)
    others = tuple(d for d in range(v.ndim) if d != dim)
    return linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()


def of_length(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """v with its parts along ``dim`` made of the lengths g."""
    return v * (g / lengths(v, dim))


class WeightNorm:
    """The hook: computes ``name`` from ``name_g`` and ``name_v`` before every forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight, of ``name_g`` and ``name_v`` as they are now."""
        v, g = (getattr(module, f"{self.name}_{part}") for part in "vg")
        return of_length(v, g, self.dim)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


@retelling
def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replace the parameter ``name`` by its lengths ``name_g`` (one for each index along ``dim``;
    one for all if that is None) and its directions ``name_v``. Returns the module.

    Deprecated as in PyTorch, with a FutureWarning: use ``parametrizations.weight_norm``. Raises
    RuntimeError where it has been done before, AttributeError for a name that is no parameter.
    """
    warnings.warn(
        "nn.utils.weight_norm is deprecated: use nn.utils.parametrizations.weight_norm",
        FutureWarning,
        stacklevel=3,
    )
    if find_hook(module._forward_pre_hooks, WeightNorm, name) is not None:
        raise RuntimeError(f"{type(module).__name__} has a weight_norm of '{name}' already")
    hook = WeightNorm(name, dim)
    weight = module._parameters.get(name)
    if weight is None:
        raise AttributeError(f"[weight_norm] {type(module).__name__} has no parameter '{name}'")
    g, v = Parameter(lengths(weight.detach(), hook.dim)), Parameter(weight.data)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", g)
    module.register_parameter(f"{name}_v", v)
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


@retelling
def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter again, of its value now. Returns the module; raises ValueError
    where there is no weight_norm."""
    key = find_hook(module._forward_pre_hooks, WeightNorm, name)
    if key is None:
        raise ValueError(f"{type(module).__name__} has no weight_norm of '{name}'")
    hook: Any = module._forward_pre_hooks[key]
    weight = hook.compute_weight(module)
    for attribute in (name, f"{name}_g", f"{name}_v"):
        delattr(module, attribute)
    setattr(module, name, Parameter(weight.data))
    del module._forward_pre_hooks[key]
    return module
