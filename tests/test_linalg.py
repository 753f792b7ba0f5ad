"""Linear algebra beyond the table and PyTorch's samples: singular matrices, what is refused, and
the routines that NumPy does not have against what they must satisfy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

each_device = pytest.mark.parametrize("device", DEVICES)

SINGULAR = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]  # exactly, also in floats
REGULAR = [[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def tensor(data: Any, device: str = "cpu", **options: Any) -> tg.Tensor:
    return tg.tensor(np.asarray(data, dtype=np.float64), device=device, **options)


def host(t: tg.Tensor) -> np.ndarray:
    return t.detach().cpu().numpy()


# ---------------------------------------------------------------------- singular matrices


@each_device
@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("linalg.inv", lambda a: tg.linalg.inv(a)),
        ("linalg.inv_ex", lambda a: tg.linalg.inv_ex(a, check_errors=True)),
        ("linalg.solve", lambda a: tg.linalg.solve(a, a)),
        ("linalg.solve_ex", lambda a: tg.linalg.solve_ex(a, a, check_errors=True)),
        ("linalg.lu_factor", lambda a: tg.linalg.lu_factor(a)),
        ("linalg.matrix_power", lambda a: tg.linalg.matrix_power(a, -2)),
        ("linalg.cholesky", lambda a: tg.linalg.cholesky(a)),
        ("linalg.cholesky_ex", lambda a: tg.linalg.cholesky_ex(a, check_errors=True)),
    ],
)
def test_singular_matrix_is_named(op: str, call: Callable, device: str) -> None:
    batch = tensor([REGULAR, SINGULAR], device)
    with pytest.raises(tg.linalg.LinAlgError, match=rf"\[{op}\] batch element 1: .*(column|order)"):
        call(batch)
    with pytest.raises(RuntimeError, match=rf"\[{op}\] the "):
        call(batch[1])
    call(batch[0])


@each_device
def test_others_of_a_batch_are_right_beside_a_singular_matrix(device: str) -> None:
    batch = tensor([REGULAR, SINGULAR, np.eye(3) * 2], device)
    inverse, info = tg.linalg.inv_ex(batch)
    assert info.dtype == tg.int32
    assert [n > 0 for n in info.tolist()] == [False, True, False]
    np.testing.assert_allclose(host(inverse)[[0, 2]], np.linalg.inv(host(batch)[[0, 2]]))
    x, info = tg.linalg.solve_ex(batch, tensor(random(3, 2), device))
    assert [n > 0 for n in info.tolist()] == [False, True, False]
    np.testing.assert_allclose(host(batch)[[0, 2]] @ host(x)[[0, 2]], [random(3, 2)] * 2)


@each_device
def test_info_of_cholesky_is_the_order_of_the_minor(device: str) -> None:
    batch = np.stack([np.diag([1.0, -1.0, 1.0]), np.eye(3), np.diag([1.0, 1.0, 0.0]), REGULAR])
    factor, info = tg.linalg.cholesky_ex(tensor(batch, device))
    assert info.tolist() == [2, 0, 3, 0]
    for i in (1, 3):
        np.testing.assert_allclose(host(factor)[i] @ host(factor)[i].T, batch[i], atol=1e-15)


def cofactors(a: np.ndarray) -> np.ndarray:
    n = len(a)
    result = np.empty_like(a)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(a, i, 0), j, 1)
            result[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return result


@each_device
def test_gradient_of_the_determinant_is_the_cofactors(device: str) -> None:
    """Also where there is no inverse, and where a batch holds both kinds."""
    rank_1 = np.outer([1.0, 2.0, 3.0], [1.0, 0.5, -1.0])
    a = tensor([REGULAR, SINGULAR, rank_1, np.zeros((3, 3))], device, requires_grad=True)
    tg.linalg.det(a).sum().backward()
    expected = np.stack([cofactors(m) for m in host(a)])
    np.testing.assert_allclose(host(a.grad), expected, atol=1e-12)


def test_second_gradient_of_the_determinant_of_singular_matrices() -> None:
    a = tensor([REGULAR, SINGULAR], requires_grad=True)
    assert gradgradcheck(tg.linalg.det, [a])


def test_singular_matrices_have_logarithm_minus_infinity() -> None:
    sign, logarithm = tg.linalg.slogdet(tensor([SINGULAR, REGULAR]))
    assert sign.tolist() == [0.0, 1.0]
    assert logarithm.tolist()[0] == -math.inf
    assert math.isnan(tg.logdet(tensor(np.diag([1.0, -1.0]))).item())


def test_condition_of_a_singular_matrix_is_infinite() -> None:
    a = tensor([REGULAR, SINGULAR])
    assert np.isinf(host(tg.linalg.cond(a, 1))).tolist() == [False, True]
    assert host(tg.linalg.cond(a))[1] > 1e15


@pytest.mark.parametrize("p", [1, -1, "fro", math.inf, -math.inf])
def test_gradient_of_the_condition(p: Any) -> None:
    """(PyTorch's own fails for these norms.)"""
    assert gradcheck(lambda a: tg.linalg.cond(a, p), [tensor(REGULAR, requires_grad=True)])


@pytest.mark.parametrize("name", ["svd", "svdvals", "pinv"])
def test_numbers_that_are_not_finite_have_no_singular_values(name: str) -> None:
    with pytest.raises(tg.linalg.LinAlgError, match=r"\[linalg\.svd(vals)?\].*not finite"):
        getattr(tg.linalg, name)(tensor([[1.0, math.nan], [0.0, 1.0]]))


# ---------------------------------------------------------------------- own routines


@each_device
@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (40, 33), (33, 40), (2, 3, 17, 17), (2, 0, 3)])
def test_lu_reproduces_its_matrix(shape: tuple, device: str) -> None:
    a = random(*shape)
    P, L, U = tg.linalg.lu(tensor(a, device))
    np.testing.assert_allclose(host(P @ L @ U), a, atol=1e-13)
    assert not np.triu(host(L), 1).any()
    assert not np.tril(host(U), -1).any()
    assert np.abs(host(L)).max(initial=1) <= 1  # rows were exchanged for the largest pivot


@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_ldl_solves_indefinite_systems(n: int) -> None:
    """Zeros on the diagonal take 2-by-2 pivots."""
    a = random(2, n, n)
    a = a + a.swapaxes(-1, -2)
    if n > 1:
        a[:, range(n), range(n)] = 0
    b = random(2, n, 3)
    LD, pivots = tg.linalg.ldl_factor(tensor(a))
    assert (n == 1) == bool((pivots > 0).all())
    x = tg.linalg.ldl_solve(LD, pivots, tensor(b))
    np.testing.assert_allclose(a @ host(x), b, atol=1e-9)


@each_device
@pytest.mark.parametrize("scale", [1e-9, 1.0, 30.0])
def test_matrix_exp_inverts_itself(scale: float, device: str) -> None:
    a = random(4, 4) * scale
    a = a - a.T  # orthogonal, so that nothing grows
    y = host(tg.linalg.matrix_exp(tensor(np.stack([a, -a, 0 * a]), device)))
    np.testing.assert_allclose(y[0] @ y[1], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(y[2], np.eye(4))
    np.testing.assert_allclose(y[0].T, y[1], atol=1e-12)


def test_matrix_exp_of_what_is_not_finite_spoils_nothing_else() -> None:
    y = host(tg.linalg.matrix_exp(tensor([[[math.inf]], [[math.nan]], [[1.0]]])))
    assert not np.isfinite(y[:2]).any()
    np.testing.assert_allclose(y[2], [[math.e]])


@each_device
def test_reflections_of_a_factorisation_are_its_q(device: str) -> None:
    a = random(2, 6, 4)
    h, tau = tg.geqrf(tensor(a, device))
    q = host(tg.linalg.householder_product(h, tau))
    r = np.triu(host(h)[:, :4])
    np.testing.assert_allclose(q @ r, a, atol=1e-12)
    b = random(2, 6, 3)
    once = tg.ormqr(h, tau, tensor(b, device), transpose=True)
    np.testing.assert_allclose(host(tg.ormqr(h, tau, once)), b, atol=1e-12)


@each_device
def test_distances_of_near_points_are_accurate(device: str) -> None:
    """|a|^2 + |b|^2 - 2ab would leave no digit of float32."""
    a = np.float32(1000) + random(30, 3).astype(np.float32) * np.float32(1e-2)
    x = tg.tensor(a, device=device)
    wide = a.astype(np.float64)
    expected = np.linalg.norm(wide[:, None] - wide[None], axis=-1)
    np.testing.assert_allclose(host(tg.cdist(x, x)), expected, rtol=1e-6, atol=1e-4)


def test_distance_to_itself_has_gradient_0() -> None:
    for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        x = tensor(random(3, 2), requires_grad=True)
        y = tg.cdist(x, x.detach(), compute_mode=mode)
        (y.diag() if hasattr(y, "diag") else tg.trace(y)).sum().backward()
        assert x.grad.tolist() == [[0.0, 0.0]] * 3


DISTANCES = {
    "cdist": (
        lambda x: tg.cdist(x, x),
        lambda x: tg.cdist(x, x, 2, "donot_use_mm_for_euclid_dist"),
    ),
    "pdist": (tg.pdist, tg.pdist),  # float64 takes differences
}


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_equal_rows_leave_the_gradient_alone(name: str) -> None:
    """What rounding leaves of them would weigh as much as everything else."""
    values = random(200, 16).astype(np.float32)
    values[7] = values[3]
    gradients = []
    for function, dtype in zip(DISTANCES[name], (tg.float32, tg.float64), strict=True):
        x = tg.tensor(values, dtype=dtype, requires_grad=True)
        y = function(x)
        (y * tg.arange(y.numel(), dtype=dtype).cos().reshape(tuple(y.shape))).sum().backward()
        gradients.append(host(x.grad))
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-4)


def test_low_rank_finds_what_is_there() -> None:
    a = random(3, 8, 2) @ random(3, 2, 11, seed=1)
    U, S, V = tg.svd_lowrank(tensor(a), q=2)
    np.testing.assert_allclose((host(U) * host(S)[:, None]) @ host(V).swapaxes(-1, -2), a)
    assert tg.pca_lowrank(tensor(a)).S.shape == (3, 6)


def test_diagonal_is_a_view() -> None:
    a = tensor(np.zeros((2, 3, 3)))
    tg.linalg.diagonal(a).fill_(1)
    np.testing.assert_array_equal(host(a), np.stack([np.eye(3)] * 2))


def test_results_go_where_they_are_wanted() -> None:
    a = tensor(REGULAR)
    y = tensor(np.zeros((3, 3)))
    assert tg.linalg.inv(a, out=y) is y
    np.testing.assert_allclose(host(y), np.linalg.inv(REGULAR))
    L, info = tg.empty(0, dtype=tg.float64), tg.empty(0, dtype=tg.int32)
    assert tg.linalg.cholesky_ex(a, out=(L, info)).L is L
    np.testing.assert_allclose(host(L @ L.mT), REGULAR)
    with pytest.raises(RuntimeError, match=r"\[linalg.inv\] out= is not recorded"):
        tg.linalg.inv(a.requires_grad_(), out=y)


def test_older_names() -> None:
    a, b = tensor(REGULAR), tensor(random(3, 2))
    np.testing.assert_allclose(host(tg.cholesky(a, upper=True)), host(tg.linalg.cholesky(a)).T)
    q, r = tg.qr(b, some=False)
    np.testing.assert_allclose(host(q @ r), host(b), atol=1e-14)
    x, copy = tg.triangular_solve(b, a, upper=False, transpose=True)
    np.testing.assert_allclose(np.tril(REGULAR).T @ host(x), host(b), atol=1e-14)
    assert copy is not a
    assert copy.tolist() == a.tolist()
    lu, pivots = a.lu()
    np.testing.assert_allclose(host(tg.lu_solve(b, lu, pivots)), host(tg.linalg.solve(a, b)))
    np.testing.assert_allclose(host(tg.chain_matmul(a, a, b)), host(a @ a @ b))
    np.testing.assert_allclose(host(a.inverse()), host(tg.linalg.inv(a)))
    assert tg.vander(tg.tensor([2, 3]), 3).tolist() == [[4, 2, 1], [9, 3, 1]]
    assert tg.vander(tg.tensor([2, 3]), increasing=True).tolist() == [[1, 2], [1, 3]]


# ---------------------------------------------------------------------- bad input

Bad = tuple[Callable[[], Any], type, str]

A, HALF, INTS = tg.ones(3, 3), tg.ones(3, 3, dtype=tg.float16), tg.ones(3, 3, dtype=tg.int64)
BAD: list[Bad] = [
    (lambda: tg.linalg.inv(tg.ones(2, 3)), RuntimeError, r"\[linalg.inv\].*square.*\(2, 3\)"),
    (lambda: tg.linalg.inv(tg.ones(3)), RuntimeError, r"\[linalg.inv\].*matrices.*\(3,\)"),
    (lambda: tg.linalg.inv(HALF), RuntimeError, r"\[linalg.inv\] float16 .*float\(\)"),
    (lambda: tg.linalg.inv(INTS), RuntimeError, r"\[linalg.inv\].*int64.*float\(\)"),
    (lambda: tg.linalg.inv([[1.0]]), TypeError, r"\[linalg.inv\].*list"),
    (lambda: tg.linalg.solve(A, tg.ones(2, 2)), RuntimeError, r"\[linalg.solve\].*\(2, 2\)"),
    (lambda: tg.linalg.solve(A, A.double()), RuntimeError, r"\[linalg.solve\].*float64.*mix"),
    (lambda: tg.linalg.solve(A, tg.ones(3), left=False), RuntimeError, r"left=False.*\(3,\)"),
    (lambda: tg.linalg.solve_triangular(A, tg.ones(2, 3), upper=True), RuntimeError, r"\(2, 3\)"),
    (lambda: tg.linalg.qr(A, mode="full"), RuntimeError, r"\[linalg.qr\] mode.*'full'"),
    (lambda: tg.linalg.eigh(A, "X"), RuntimeError, r"\[linalg.eigh\] UPLO.*'X'"),
    (lambda: tg.linalg.lu(A, pivot=False), RuntimeError, r"\[linalg.lu\] pivot=False"),
    (lambda: tg.linalg.lu_solve(A, tg.ones(3), A), RuntimeError, r"pivots.*int32, got float32"),
    (lambda: tg.linalg.lu_solve(A, tg.zeros(3, dtype=tg.int32), A), RuntimeError, r"rows from 1 "),
    (lambda: tg.lu_unpack(A, tg.ones(2, dtype=tg.int32)), RuntimeError, r"\(3,\), got \(2,\)"),
    (lambda: tg.linalg.matrix_power(A, 0.5), TypeError, r"\[linalg.matrix_power\].*float"),
    (lambda: tg.linalg.tensorinv(A, 0), RuntimeError, r"\[linalg.tensorinv\] ind.*0"),
    (lambda: tg.linalg.cond(A, 3), RuntimeError, r"\[linalg.cond\] p .*3"),
    (lambda: tg.linalg.matrix_norm(A, 3), RuntimeError, r"\[linalg.matrix_norm\] ord .*3"),
    (lambda: tg.linalg.matrix_norm(A, dim=(0, 0)), RuntimeError, r"\[linalg.matrix_norm\].*twice"),
    (lambda: tg.linalg.norm(A, "nuc", 0), RuntimeError, r"\[linalg.norm\] ord 'nuc'"),
    (lambda: tg.linalg.vector_norm(INTS), RuntimeError, r"\[linalg.vector_norm\].*int64"),
    (lambda: tg.linalg.vector_norm(A, dtype=tg.float16), RuntimeError, r"float32 in float16"),
    (lambda: tg.linalg.lstsq(A, tg.ones(2, 1)), RuntimeError, r"\[linalg.lstsq\].*\(2, 1\)"),
    (lambda: tg.linalg.lstsq(A, A, driver="x"), RuntimeError, r"driver .*gelsy.*'x'"),
    (lambda: tg.linalg.multi_dot([A]), RuntimeError, r"\[linalg.multi_dot\].*2 tensors"),
    (lambda: tg.linalg.multi_dot([A, tg.ones(2, 2)]), RuntimeError, r"\(3, 3\) and \(2, 2\)"),
    (lambda: tg.linalg.cross(A, tg.ones(3, 2)), RuntimeError, r"\[linalg.cross\] .*\(3, 2\)"),
    (lambda: tg.linalg.ldl_solve(A, tg.zeros(3, dtype=tg.int32), A), RuntimeError, r"from 1 to 3"),
    (lambda: tg.linalg.householder_product(A, tg.ones(4)), RuntimeError, r"4 reflections in 3"),
    (lambda: tg.cdist(A, tg.ones(3, 2)), RuntimeError, r"\[cdist\].*\(3, 2\)"),
    (lambda: tg.cdist(A, A, p=-1), RuntimeError, r"\[cdist\] p .*-1"),
    (lambda: tg.cdist(A, A, compute_mode="x"), ValueError, r"\[cdist\] compute_mode.*'x'"),
    (lambda: tg.addmm(tg.ones(2), A, A), RuntimeError, r"\[addmm\].*\(2,\).*\(3, 3\)"),
    (lambda: tg.addr(INTS, INTS[0], INTS[0], beta=0.5), RuntimeError, r"\[addr\].*int64.*0.5"),
    (lambda: tg.addmm(A, A, A, alpha=True), RuntimeError, r"\[addmm\] alpha is a bool"),
    (lambda: tg.tensordot(A, A, 3), RuntimeError, r"\[tensordot\] dims 3"),
    (lambda: tg.tensordot(A, A, ([0], [0, 1])), RuntimeError, r"\[tensordot\].*pairs"),
    (lambda: A.bool() @ A.bool(), RuntimeError, r"\[matmul\].*bool"),
    (lambda: tg.einsum(A, [0, 60], [0]), RuntimeError, r"\[einsum\].*0 to 51"),
    (lambda: tg.trace(tg.ones(2)), RuntimeError, r"\[trace\].*\(2,\)"),
    (lambda: tg.svd_lowrank(A, q=4), ValueError, r"\[svd_lowrank\] q .*3.*4"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input(call: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_gradient_of_r_alone_says_what_to_do() -> None:
    a = tensor(REGULAR, requires_grad=True)
    r = tg.linalg.qr(a, mode="r").R
    with pytest.raises(RuntimeError, match=r"\[linalg.qr\] mode='r'.*'reduced'"):
        r.sum().backward()
    wide = tg.linalg.qr(tensor(random(4, 2), requires_grad=True), mode="complete")
    with pytest.raises(RuntimeError, match=r"\[linalg.qr\] mode='complete'.*\(4, 2\)"):
        wide.R.sum().backward()


@pytest.mark.filterwarnings("error")
def test_determinants_of_nan() -> None:
    a = tg.tensor([[math.nan, 1.0], [1.0, 2.0]])
    sign, logarithm = tg.linalg.slogdet(a)
    assert sign.item() == 0  # as in PyTorch
    assert math.isnan(logarithm.item())
    assert math.isnan(tg.linalg.det(a).item())
    assert math.isnan(tg.logdet(a).item())
