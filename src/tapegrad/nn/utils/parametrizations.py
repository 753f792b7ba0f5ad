"""Parametrizations that keep weights normalised or orthogonal."""

from __future__ import annotations

from typing import Any

from tapegrad import linalg
from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.common.type_info import finfo
from tapegrad.ops.creation.create import zeros_like
from tapegrad.ops.creation.ranges import eye
from tapegrad.ops.linalg.qr import geqrf
from tapegrad.ops.movement.cat import cat

from .. import functional as F
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, check_iterations, iterate, output_dim, unit_vector
from .weight_norm import lengths, of_length

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return of_length(v, g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return lengths(weight, self.dim), weight


class _OldNames:
    """The hook that loads what the old form of weight_norm has saved."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{self.name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                new = f"{prefix}parametrizations.{self.name}.original{i}"
                state_dict[new] = state_dict.pop(key)


@retelling
def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let ``module.<name>`` be g v / |v|, with its lengths g (one for each index along ``dim``; one
    for all if that is None) and directions v as parameters (Salimans & Kingma 2016). Returns the
    module, which also loads what the old form, ``nn.utils.weight_norm``, has saved.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module._register_load_state_dict_pre_hook(_OldNames(name))
    return module


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"spectral_norm: dim {dim} is out of range for a weight of {weight.ndim} dimensions"
            )
        check_iterations(n_power_iterations)
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            self.register_buffer("_u", unit_vector(weight, matrix.shape[0], eps))
            self.register_buffer("_v", unit_vector(weight, matrix.shape[1], eps))
            iterate(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:  # its singular value is its length
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        u, v = self._u.clone(), self._v.clone()  # the next step changes them in place
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value  # may differ from it by a factor


@retelling
def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Let ``module.<name>`` be divided by its largest singular value, as a matrix whose rows are
    the outputs (``dim``; by default 0, and 1 for transposed convolutions). Power iteration follows
    the value, ``n_power_iterations`` steps with each read in training (Miyato et al. 2018).
    Returns the module.

    Raises ValueError if it has no such tensor, or ``n_power_iterations`` is not positive, and
    IndexError for a ``dim`` that is not there.
    """
    weight = _tensor("spectral_norm", module, name)
    dim = output_dim(module) if dim is None else dim
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )


def _tensor(op: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{op}: {type(module).__name__} has no parameter or buffer '{name}'")
    return weight


# ---------------------------------------------------------------------- orthogonal

_MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    """X -> Q with orthonormal columns (rows, if there are fewer of them). With ``base`` it is
    base @ Q(X), and starts at base (Lezcano-Casado 2019)."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        self.trivialized = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = X.shape[-2] < X.shape[-1]
        tall = X.mT if wide else X
        Q = self._reflected(tall) if self.orthogonal_map == "householder" else self._turned(tall)
        if self.trivialized:
            Q = self.base @ Q  # type: ignore[operator]
        return Q.mT if wide else Q

    def _turned(self, X: Tensor) -> Tensor:
        """By a map of skew-symmetric matrices: exp(A), or Cayley's (1 - A / 2)^-1 (1 + A / 2)."""
        n, k = X.shape[-2:]
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros(*X.shape[:-2], n, n - k)], dim=-1)
        A = X - X.mT
        if self.orthogonal_map == "matrix_exp":
            Q = linalg.matrix_exp(A)
        else:
            one = eye(n, dtype=A.dtype, device=A.device)
            Q = linalg.solve(one - A / 2, one + A / 2)
        return Q[..., :k]

    def _reflected(self, X: Tensor) -> Tensor:
        """By Householder reflections along X's columns; the signs on its diagonal are the
        columns'."""
        A = X.tril(-1)
        Q = linalg.householder_product(A, 2.0 / (1.0 + (A * A).sum(dim=-2)))
        return Q * X.diagonal(dim1=-2, dim2=-1).detach().trunc().unsqueeze(-2)

    @no_grad()
    def right_inverse(self, Q: Tensor) -> Tensor:
        if Q.shape != self.shape:
            raise ValueError(
                f"orthogonal: the weight has shape {tuple(self.shape)}, not {tuple(Q.shape)}"
            )
        wide = Q.shape[-2] < Q.shape[-1]
        tall = Q.mT if wide else Q
        if self.trivialized:
            self.base = _completed(tall)
            start = zeros_like(Q)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
            return start
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: a weight cannot be set through the map {self.orthogonal_map} without "
                "use_trivialization=True"
            )
        A, tau = geqrf(tall)
        diagonal = A.diagonal(dim1=-2, dim2=-1)
        diagonal.sign_()
        diagonal[tau == 0.0] *= -1  # (there, nothing was reflected)
        return A.mT if wide else A


def _completed(Q: Tensor) -> Tensor:
    """An orthogonal matrix with Q's columns, made orthonormal, as its first."""
    n, k = Q.shape[-2:]
    if n == k and _is_orthogonal(Q):
        return Q.clone()
    if n != k:
        Q = cat([Q, Q.new_empty(*Q.shape[:-2], n, n - k).normal_()], dim=-1)
    X, tau = geqrf(Q)
    return linalg.householder_product(X, tau) * X.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def _is_orthogonal(Q: Tensor) -> bool:
    n = Q.shape[-1]
    one = eye(n, dtype=Q.dtype, device=Q.device)
    return bool((Q.mT @ Q - one).abs().max() <= 10.0 * n * finfo(Q.dtype).eps) if n else True


@retelling
def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Let ``module.<name>``, a matrix or a batch of matrices (..., n, k), have orthonormal columns,
    or rows where there are fewer of them. Returns the module.

    orthogonal_map: "matrix_exp" (default for square matrices), "cayley" or "householder" (default
    for others). use_trivialization: a buffer ``base`` of shape (..., n, n) moves along, with which
    the weight starts close to its value and can be set, for all maps. Raises ValueError if there is
    no such tensor, for fewer than two dimensions, and for another map.
    """
    weight = _tensor("orthogonal", module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"orthogonal needs a matrix or a batch of matrices, '{name}' has shape "
            f"{tuple(weight.shape)}"
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f"orthogonal: orthogonal_map must be one of {', '.join(_MAPS)}, got {orthogonal_map!r}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
