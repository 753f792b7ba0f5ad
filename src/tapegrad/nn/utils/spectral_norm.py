"""Spectral normalisation (Miyato et al. 2018): a weight divided by its largest singular value,
which power iteration follows, a step with every forward in training. This is the old form, by a
hook; the new one is in ``parametrizations``."""

from __future__ import annotations

from typing import Any, TypeVar

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling

from .. import functional as F
from ..conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import Parameter
from .find_hook import find_hook

M = TypeVar("M", bound=Module)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(..., n, ...) -> (n, everything else), with n the size of ``dim``."""
    return weight.movedim(dim, 0).flatten(1)


def output_dim(module: Module) -> int:
    """Which dimension of a layer's weight is that of its outputs."""
    transposed = isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d))
    return 1 if transposed else 0


def unit_vector(like: Tensor, size: int, eps: float) -> Tensor:
    """A random direction."""
    return F.normalize(like.new_empty(size).normal_(0, 1), dim=0, eps=eps)


@no_grad()
def iterate(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """Steps of power iteration towards the singular vectors, left and right, of the largest
    singular value, in place."""
    for _ in range(times):
        u.copy_(F.normalize(matrix.mv(v), dim=0, eps=eps))
        v.copy_(F.normalize(matrix.T.mv(u), dim=0, eps=eps))


def check_iterations(n_power_iterations: int) -> None:
    """Raise ValueError unless the number is positive."""
    if n_power_iterations <= 0:
        raise ValueError(
            f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}"
        )


class SpectralNorm:
    """The hook: computes ``name`` from ``name_orig`` and the singular vectors ``name_u`` and
    ``name_v`` before every forward."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        check_iterations(n_power_iterations)
        self.name, self.n_power_iterations = name, n_power_iterations
        self.dim, self.eps = dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight, after more steps of power iteration if that is wanted."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            iterate(matrix.T, v, u, self.n_power_iterations, self.eps)
            u, v = u.clone(), v.clone()  # the next step changes them in place
        return weight / u.dot(matrix.mv(v))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


class _Version:
    """The hook that notes, in what a module saves, that its vectors are saved too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, state_dict: Any, prefix: str, metadata: dict) -> None:
        metadata.setdefault("spectral_norm", {})[f"{self.name}.version"] = 1


@retelling
def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Replace the parameter ``name`` by ``name_orig`` and let the weight be that, divided by the
    largest singular value of it as a matrix whose rows are the outputs (``dim``; by default 0, and
    1 for transposed convolutions). Returns the module.

    Raises RuntimeError where it has been done before, KeyError for a name that is no parameter, and
    ValueError if the parameter is None or ``n_power_iterations`` not positive.
    """
    if find_hook(module._forward_pre_hooks, SpectralNorm, name) is not None:
        raise RuntimeError(f"{type(module).__name__} has a spectral_norm of '{name}' already")
    hook = SpectralNorm(name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    if name not in module._parameters:
        raise KeyError(f"spectral_norm: {type(module).__name__} has no parameter '{name}'")
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"spectral_norm: the parameter '{name}' is None")
    rows, columns = as_matrix(weight.detach(), hook.dim).shape
    u, v = unit_vector(weight, rows, eps), unit_vector(weight, columns, eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    module._register_state_dict_hook(_Version(name))
    return module


@retelling
def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter again, of its value now. Returns the module; raises ValueError
    where there is no spectral_norm."""
    key = find_hook(module._forward_pre_hooks, SpectralNorm, name)
    if key is None:
        raise ValueError(f"{type(module).__name__} has no spectral_norm of '{name}'")
    hook: Any = module._forward_pre_hooks[key]
    with no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    for attribute in (name, f"{name}_u", f"{name}_v", f"{name}_orig"):
        delattr(module, attribute)
    module.register_parameter(name, Parameter(weight))
    del module._forward_pre_hooks[key]
    version = find_hook(module._state_dict_hooks, _Version, name)
    if version is not None:
        del module._state_dict_hooks[version]
    return module
