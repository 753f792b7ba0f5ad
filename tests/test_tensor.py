"""What a tensor shows of itself, and how it meets Python and NumPy."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.ops.catalog import doors

each_device = pytest.mark.parametrize("device", DEVICES)


def python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# ---------------------------------------------------------------------- properties


@each_device
def test_properties(device: str) -> None:
    x = tg.zeros(2, 3, 4, dtype="float64", device=device)
    assert isinstance(x, tg.Tensor)
    assert x.shape == (2, 3, 4) == x.size()
    assert x.shape.numel() == 24 == x.numel()
    assert repr(x.shape) == "tapegrad.Size([2, 3, 4])"
    assert (x.size(0), x.size(-1), x.ndim, x.dim()) == (2, 4, 3, 3)
    assert (x.dtype, x.itemsize, x.element_size(), x.nbytes) == (tg.float64, 8, 8, 192)
    assert x.device == tg.device(device)
    assert x.is_cuda is (device == "cuda")
    assert x.stride() == (12, 4, 1)
    assert x.stride(1) == 4
    assert x.is_contiguous()
    assert not x.mT.is_contiguous()
    assert x.is_floating_point()
    assert not x.long().is_floating_point()
    assert x[1].data_ptr() == x.data_ptr() + 96
    assert x.mT.shape == (2, 4, 3)
    assert x[0].T.shape == (4, 3)


def test_devices() -> None:
    assert tg.device("cpu") is tg.zeros(1).device
    assert tg.device("cuda:1") is tg.device("cuda", 1)
    assert tg.device("cuda") is tg.device("cuda:0")
    assert tg.device("cpu") is not tg.device("emulated")
    assert tg.device(tg.device("emulated")) is tg.device("emulated")
    assert (str(tg.device("cuda:2")), repr(tg.device("cpu"))) == ("cuda:2", "device('cpu')")
    assert pickle.loads(pickle.dumps(tg.device("cuda:1"))) is tg.device("cuda:1")
    assert (tg.device("cuda:1").type, tg.device("cuda:1").index) == ("cuda", 1)


@each_device
def test_moving_between_devices(device: str) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.to(device)
    assert str(y.device.type) == device
    assert (y is x) is (device == "cpu")
    assert x.to(device, tg.float64).dtype == tg.float64
    assert x.to(tg.zeros(1, device=device, dtype="int32")).dtype == tg.int32
    assert x.to("half").dtype == tg.float16
    assert x.to(device, copy=True) is not x
    back = (y * 3).cpu()
    back.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert x.grad.device == tg.device("cpu")
    if device != "cpu":
        y.detach().zero_()  # a copy: the original is as it was
        assert x.tolist() == [1.0, 2.0]


# ---------------------------------------------------------------------- repr

SHOWN: dict[str, tuple[Callable[[], tg.Tensor], str]] = {
    "floats": (lambda: tg.tensor([1.0, 2.5]), "[1. , 2.5], shape=(2,)"),
    "integers": (lambda: tg.tensor([[1, 2], [3, 4]]), "[[1, 2],\n        [3, 4]], shape=(2, 2)"),
    "a bool": (lambda: tg.tensor(True), "True"),
    "another dtype": (lambda: tg.tensor(1.0, dtype="float16"), "1., dtype=float16"),
    "bfloat16": (lambda: tg.tensor(1.5, dtype="bfloat16"), "1.5, dtype=bfloat16"),
    "another device": (lambda: tg.ones((), device="emulated"), "1., device='emulated'"),
    "a leaf": (lambda: tg.ones((), requires_grad=True), "1., requires_grad=True"),
    "a result": (lambda: tg.ones((), requires_grad=True) + 1, "2., grad_fn=<AddBackward>"),
    "nothing": (lambda: tg.zeros(0, 3), "[], shape=(0, 3)"),
    "0-d": (lambda: tg.tensor(1.5), "1.5"),
    "special values":
        (lambda: tg.tensor([float("nan"), float("inf"), -0.0]), "[nan, inf, -0.], shape=(3,)"),
    "precision": (lambda: tg.tensor([1 / 3]), "[0.3333], shape=(1,)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_repr(name: str) -> None:
    make, expected = SHOWN[name]
    assert repr(make()) == f"tensor({expected})"
    assert str(make()) == repr(make())


def test_repr_of_a_parameter_says_what_it_is() -> None:
    text = repr(tg.nn.Parameter(tg.tensor(1.0)))
    assert text == "Parameter containing:\ntensor(1., requires_grad=True)"


@pytest.mark.parametrize(
    "shape", [(1_000_000,), (300, 300, 300), (9,) * 5, (2,) * 16, (1, 5000, 1)]
)
def test_repr_never_floods(shape: tuple) -> None:
    text = repr(tg.zeros(shape))
    assert len(text) < 20_000
    assert "..." in text
    assert f"shape={shape}" in text


def test_printoptions() -> None:
    x = tg.tensor([1.23456789, -2.0, 1e6])

    def shown(tensor: tg.Tensor = x, **options: Any) -> str:
        try:
            tg.set_printoptions(**options)
            return repr(tensor)
        finally:
            tg.set_printoptions(profile="default")

    assert "[1.23e+00, -2.00e+00, 1.00e+06]" in shown(precision=2, sci_mode=True)
    assert "[1.235, -2.000, 1000000.000]" in shown(precision=3, sci_mode=False)
    assert "[0, ..., 8]" in shown(tg.arange(9), threshold=2, edgeitems=1)
    assert "..." not in shown(tg.arange(2000), profile="full")
    assert "[0, 1, ..., 7, 8]" in shown(tg.arange(9), profile="short", threshold=5)
    assert len(shown(tg.arange(100), linewidth=20).split("\n")) > 20
    assert "..." in repr(tg.arange(2000))
    for bad in ({"precision": -1}, {"threshold": float("nan")}, {"profile": "long"}):
        with pytest.raises(ValueError, match=r"\[set_printoptions\]"):
            tg.set_printoptions(**bad)


def test_format() -> None:
    x = tg.tensor(3.14159)
    assert f"{x:.2f}" == "3.14"
    assert f"{x}"[:4] == "3.14"
    assert f"{tg.tensor(7):>4d}" == "   7"
    assert f"{tg.ones(2)}" == repr(tg.ones(2))
    with pytest.raises(TypeError, match=r"\(2,\)"):
        f"{tg.ones(2):.2f}"


# ---------------------------------------------------------------------- to and from Python


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1.5, float), (3, int), (True, bool), (np.float16(1.5), float), (np.int8(3), int)],
)
def test_items_are_pythons(value: Any, kind: type) -> None:
    for x in (tg.tensor(value), tg.tensor([[value]])):
        assert type(x.item()) is kind
        assert x.item() == value
        assert bool(x) is True
        assert float(x) == float(value)
        assert int(x) == int(value)
    assert type(tg.tensor(1.5, dtype="bfloat16").item()) is float
    assert tg.tensor([1.5, 2], dtype="bfloat16").tolist() == [1.5, 2.0]


def test_lists() -> None:
    assert tg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert tg.tensor(5).tolist() == 5
    assert tg.zeros(2, 0).tolist() == [[], []]
    assert tg.tensor([True]).tolist() == [True]
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert x.tolist() == [1.0, 2.0]
    assert tg.tensor([x[0], x[1] * 2]).tolist() == [1.0, 4.0]


def test_sequences() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert 3.0 in x
    assert 5.0 not in x
    assert list(tg.zeros(0)) == []
    for f in (len, iter, list):
        with pytest.raises(TypeError, match="0-d"):
            f(tg.tensor(1.0))


def test_indices() -> None:
    letters = "abcd"
    assert letters[tg.tensor(2)] == "c"
    assert list(range(tg.tensor([3]))) == [0, 1, 2]
    with pytest.raises(TypeError, match="integer"):
        letters[tg.tensor(1.0)]


@pytest.mark.parametrize("x", [tg.zeros(0), tg.ones(2), tg.zeros(2, 2)])
def test_the_truth_of_many_is_not_defined(x: tg.Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"ambiguous|no value"):
        bool(x)
    with pytest.raises(RuntimeError, match="one element"):
        x.item()


def test_tensors_hash_by_identity() -> None:
    x, y = tg.ones(2), tg.ones(2)
    table = {x: "x", y: "y"}
    assert table[x] == "x"
    assert len({x, y, x}) == 2
    assert hash(x) == hash(x)


def test_equality_is_elementwise_or_python_s() -> None:
    x = tg.tensor([1.0, 2.0])
    assert (x == tg.tensor([1.0, 3.0])).tolist() == [True, False]
    assert (x != 2.0).tolist() == [True, False]
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert (x == "text") is False
    assert tg.equal(x, tg.tensor([1.0, 2.0]))
    assert not tg.equal(x, tg.ones(3))


# ---------------------------------------------------------------------- NumPy


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_numpy_shares_memory(device: str) -> None:
    x = tg.zeros(3, device=device)
    a = x.numpy()
    a[1] = 5.0
    assert x.tolist() == [0.0, 5.0, 0.0]
    assert np.shares_memory(np.asarray(x), a)
    assert not np.shares_memory(np.array(x), a)
    assert np.asarray(x, dtype="float64").dtype == np.float64


def test_numpy_of_what_requires_grad_is_refused() -> None:
    x = tg.ones(2, requires_grad=True)
    for f in (lambda: x.numpy(), lambda: np.asarray(x), lambda: (x * 2).numpy()):
        with pytest.raises(RuntimeError, match=r"detach\(\)\.numpy\(\)"):
            f()
    assert x.detach().numpy().tolist() == [1.0, 1.0]


def test_from_numpy_shares_memory_and_tensor_copies() -> None:
    a = np.zeros(3)
    shared, alike, copied = tg.from_numpy(a), tg.as_tensor(a), tg.tensor(a)
    a[0] = 7.0
    assert [t.tolist()[0] for t in (shared, alike, copied)] == [7.0, 7.0, 0.0]
    shared.add_(1)
    assert a.tolist() == [8.0, 1.0, 1.0]
    assert tg.as_tensor(shared) is shared
    assert tg.as_tensor([1, 2]).tolist() == [1, 2]
    assert tg.as_tensor(a, dtype="float32").dtype == tg.float32
    matrix = tg.from_numpy(a.reshape(1, -1).view(np.matrix))
    assert type(matrix.numpy()) is np.ndarray
    assert (matrix * matrix).shape == matrix.shape
    assert np.shares_memory(matrix.numpy(), a)
    backwards = tg.from_numpy(np.arange(3.0)[::-1])
    assert (backwards * 2).tolist() == [4.0, 2.0, 0.0]


def test_a_read_only_array_is_not_written_to() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    x = tg.from_numpy(a)
    with pytest.raises(RuntimeError, match="add_"):
        x.add_(1)
    assert (x + 1).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "operator",
    [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
        lambda a, b: a // b, lambda a, b: a % b, lambda a, b: a**b, lambda a, b: a == b,
        lambda a, b: a < b, lambda a, b: a >= b, lambda a, b: a != b,
    ],
)  # fmt: skip
def test_arrays_and_tensors_make_tensors(operator: Callable) -> None:
    """On either side: NumPy must not take a tensor apart, element by element."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 2.0])
    expected = operator(a, b)
    for mine in (operator(a, tg.tensor(b)), operator(tg.tensor(a), b)):
        assert isinstance(mine, tg.Tensor)
        np.testing.assert_array_equal(mine.numpy(), expected)
    x = tg.tensor(b, requires_grad=True)
    assert isinstance(operator(np.float64(2.0), x), tg.Tensor)
    assert isinstance(operator(a[0], x), tg.Tensor)


def test_gradients_flow_beside_arrays() -> None:
    x = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    (np.array([3.0, 4.0]) * x).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    a = np.array([1.0, 2.0])
    a = a * x
    assert a.requires_grad


# ---------------------------------------------------------------------- views

VIEWS: dict[str, Callable[[tg.Tensor], tg.Tensor]] = {
    "getitem": lambda x: x[1:], "row": lambda x: x[0], "None": lambda x: x[None],
    "reshape": lambda x: x.reshape(6, 2), "view": lambda x: x.view(-1), "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(0, 1), "permute": lambda x: x.permute(1, 0),
    "flatten": lambda x: x.flatten(), "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "expand": lambda x: x[:, :1].expand(3, 4), "narrow": lambda x: x.narrow(1, 1, 2),
    "split": lambda x: x.split(2)[1], "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind(0)[2], "detach": lambda x: x.detach(), "data": lambda x: x.data,
    "movedim": lambda x: x.movedim(0, 1), "of a view": lambda x: x.T[1:].T[1],
}  # fmt: skip
COPIES: dict[str, Callable[[tg.Tensor], tg.Tensor]] = {
    "clone": lambda x: x.clone(), "list": lambda x: x[[0, 1]], "mask": lambda x: x[x > 0],
    "flip": lambda x: x.flip(0), "repeat": lambda x: x.repeat(1, 1), "roll": lambda x: x.roll(0),
    "reshape of T": lambda x: x.T.reshape(-1), "contiguous of T": lambda x: x.T.contiguous(),
    "cat": lambda x: tg.cat([x]), "tensor": lambda x: tg.tensor(x), "add": lambda x: x + 0,
    "abs": lambda x: x.abs(), "float": lambda x: x.double(), "max": lambda x: x.max(1).values,
    "where": lambda x: tg.where(x > 0, x, x), "dropout": lambda x: tg.dropout(x, 0.5),
    "relu": lambda x: x.relu(), "clamp": lambda x: x.clamp(0, 99), "stack": lambda x: tg.stack([x]),
    "gather": lambda x: x.gather(0, tg.zeros(1, 1, dtype=int)), "round": lambda x: x.round(),
    "index_select": lambda x: x.index_select(0, tg.tensor([0, 1, 2])),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0), "softmax": lambda x: x.softmax(0),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
@each_device
def test_views_share_memory_and_version(name: str, device: str) -> None:
    x = tg.arange(12, dtype="float32", device=device).reshape(3, 4).clone()
    y = VIEWS[name](x)
    if device != "cuda":
        assert np.shares_memory(x.numpy(), y.numpy())
    before = y._version
    x.fill_(-7.0)
    assert (y == -7.0).all()
    assert y._version == before + 1


@pytest.mark.parametrize("name", COPIES)
@each_device
def test_copies_share_nothing(name: str, device: str) -> None:
    if device != "cpu" and name in ("gather", "index_select"):
        pytest.skip("the index is on the CPU")
    x = tg.arange(12, dtype="float32", device=device).reshape(3, 4).clone()
    y = COPIES[name](x)
    before = y.tolist()
    x.fill_(-7.0)
    assert y.tolist() == before


def test_integer_steps_copy_too() -> None:
    """Functions that leave integers as they are return a new tensor, not the old one's memory."""
    x = tg.tensor([1, 2])
    for name in ("floor", "ceil", "trunc", "round", "abs", "clone", "relu"):
        assert not np.shares_memory(getattr(x, name)().numpy(), x.numpy()), name


# ---------------------------------------------------------------------- calm


def test_nothing_warns() -> None:
    """Division by zero and overflow give inf and nan, silently, as on a GPU."""
    code = """
import warnings
warnings.simplefilter("default")
import tapegrad as tg
x = tg.tensor([1.0, 0.0, -1.0], requires_grad=True)
y = x / 0
z = [x.log(), x.sqrt(), 1 / x, x ** -1.5, (x * 1e30) * 1e30, x.exp() ** 100, x % 0.0,
     tg.zeros(0).mean(), tg.ones(1).var(), x.half() * 1e5, (x * 1e30).half(),
     tg.tensor([float("inf")]) - float("inf"), x.rsqrt(), x.log1p(), tg.tensor([1, 0]) / 0,
     y.nan_to_num(), x.acos(), (x * 1e30).sinh(), x.lgamma(), (x * 1e30).exp2(), x.logit()]
for t in z:
    if t.requires_grad:
        t.sum().backward()
print(y.tolist()[0], z[0].tolist()[1])
"""
    ran = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True,
                         text=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout == "inf -inf\n"


def test_functions_in_place() -> None:
    """Those that PyTorch has: each is the method, and changes its first argument."""
    changing = {f"{name}_" for name in doors["tg_"]}
    changing |= {name for name in doors["tg"] if name.endswith("_") and name in doors["x"]}
    assert len(changing) == 63
    for name in changing:
        assert getattr(tg, name) is getattr(tg.Tensor, name)
        assert name in dir(tg)
    x = tg.ones(2)
    assert tg.exp_(x) is x
    assert tg.clamp_(x, max=2.0).tolist() == [2.0, 2.0]
    with pytest.raises(TypeError, match=r"\[exp_\] expects a Tensor, got int"):
        tg.exp_(2)


def test_numpys_own_warnings_stay_the_users() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        np.array([1.0]) / np.array([0.0])
    assert [w.category for w in seen] == [RuntimeWarning]


def test_import_brings_in_nothing_heavy() -> None:
    python("""
import sys
import tapegrad as tg
x = tg.ones(2, requires_grad=True)
(x * 2).sum().backward()
heavy = {"cupy", "torch", "ml_dtypes", "matplotlib", "safetensors", "pybind11", "setuptools",
         "tqdm"}
loaded = heavy & set(sys.modules)
assert not loaded, loaded
""")


def test_everything_public_is_there() -> None:
    for name in ("tensor", "zeros", "nn", "optim", "data", "autograd", "cuda", "no_grad", "save",
                 "load", "Tensor", "float32", "bool", "__version__"):  # fmt: skip
        assert hasattr(tg, name)
    with pytest.raises(AttributeError, match="no_such_thing"):
        tg.no_such_thing  # noqa: B018


@pytest.mark.parametrize("kind", [">f4", ">f8", ">f2", ">i4", ">i8", ">i2"])
def test_numbers_of_the_other_byte_order_are_converted_or_refused(kind):
    swapped = kind if sys.byteorder == "little" else kind.replace(">", "<")
    array = np.array([1, 2, 300], dtype=swapped)
    for make in (tg.tensor, tg.as_tensor, lambda a: tg.tensor(a, dtype=a.dtype)):
        x = make(array)
        assert x.dtype.isnative
        assert x.tolist() == [1, 2, 300]
    assert tg.as_tensor(array, dtype=tg.float64).tolist() == [1, 2, 300]
    assert tg.tensor(array[0]).dtype.isnative
    assert tg.zeros(2, dtype=np.dtype(swapped)).dtype.isnative
    with pytest.raises(TypeError, match=r"\[from_numpy\].*byte order.*astype"):
        tg.from_numpy(array)


@each_device
def test_the_deviation_of_equal_numbers_has_slope_0(device: str) -> None:
    for data, dim in (([3.0, 3.0, 3.0], None), ([[1.0, 1.0], [1.0, 2.0]], 1)):
        x = tg.tensor(data, dtype="float64", device=device, requires_grad=True)
        y = x.std(dim)
        (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
        (gg,) = tg.autograd.grad((g * g).sum(), x)
        assert g.isfinite().all()
        assert gg.isfinite().all()
        assert g.reshape(-1)[0].item() == 0
    assert tg.tensor([1.0]).std().isnan()


@each_device
def test_gradients_of_products_with_zeros_take_no_table(device: str) -> None:
    """Of all numbers but one, for each: n x n of them."""
    n = 8000
    for zeros in ([], [5], [5, 7], [5, 7, 11]):
        data = np.random.default_rng(0).uniform(0.5, 1.5, n) ** 0.1
        data[zeros] = 0
        x = tg.tensor(data, device=device, requires_grad=True)
        tracemalloc.start()
        (g,) = tg.autograd.grad(x.prod(), x, create_graph=True)
        (gg,) = tg.autograd.grad(g.sum(), x)
        plain = tg.tensor(data, device=device, requires_grad=True)
        plain.prod().backward()
        assert tracemalloc.get_traced_memory()[1] < 100 * data.nbytes
        tracemalloc.stop()
        rest = np.prod(data[data != 0])
        expected = np.zeros(n)
        if not zeros:
            expected = rest / data
        elif len(zeros) == 1:
            expected[zeros] = rest
        np.testing.assert_allclose(g.tolist(), expected, rtol=1e-12)
        np.testing.assert_allclose(plain.grad.tolist(), expected, rtol=1e-12)
        if len(zeros) == 2:
            assert np.flatnonzero(gg.tolist()).tolist() == zeros
            np.testing.assert_allclose(gg[zeros].tolist(), rest, rtol=1e-12)


@each_device
def test_detach_in_place(device: str) -> None:
    x = tg.ones(2, device=device, requires_grad=True)
    hidden = x * 2
    loss = (hidden * 3).sum()
    hidden.retain_grad()
    assert hidden.detach_() is hidden
    assert hidden.is_leaf
    assert not hidden.requires_grad
    loss.backward()
    assert x.grad.tolist() == [6, 6]
    assert hidden.grad is None
    assert not (hidden + 1).requires_grad
    with pytest.raises(RuntimeError, match=r"\[detach_\] a view"):
        (x * 2)[0].detach_()
    assert tg.detach(x).data_ptr() == x.data_ptr()
    assert not x.detach_().requires_grad
