"""autocast: every operation's result has the dtype that PyTorch gives it, gradients arrive in the
parameters' dtype, and nothing is asked for where there is no region."""

from __future__ import annotations

import itertools
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from test_saved_tensors_hooks import steps_of

import tapegrad as tg
from tapegrad.amp import casting
from tapegrad.amp.lists import FLOAT32, FLOAT32_BY_DEFAULT, LISTS, LOWER, REFUSED, WIDEST
from tapegrad.amp.regions import is_used

F = tg.nn.functional
pytest.importorskip("ml_dtypes", reason="bfloat16 is what the CPU's regions use")

# ---------------------------------------------------------------------- PyTorch's database

# (entry, what is given) whose results have another dtype here: why.
_BETTER = "PyTorch's result is a product of what was found in float32; here it is all of float32"
UNLIKE = {
    "linalg.matrix_power": "one operation here, which is on no list",
    "linalg.pinv": _BETTER,
    "linalg.pinv/hermitian": _BETTER,
    "masked.prod": "PyTorch's dtype depends on whether there is a mask",
    "nn.functional.linear_cross_entropy/chunked": "the loss is float32 here in all modes",
    "nn.functional.linear_cross_entropy/chunked_none": "the loss is float32 here in all modes",
    "pca_lowrank": _BETTER,
    "svd_lowrank": _BETTER,
    "tensordot": "of sizes that are 1 PyTorch makes no product",
}


@pytest.mark.filterwarnings("ignore")
def test_result_dtypes_of_pytorchs_database() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    pytest.importorskip("expecttest")
    import op_db as db

    unlike, tried = set(), 0
    for op, dtype in itertools.product(db.PRESENT, (torch.float32, torch.bfloat16)):
        if op.variant_test_name == "in_place" or dtype not in op.dtypes:
            continue
        for sample in itertools.islice(db.samples(op, dtype), 5):
            try:
                with torch.autocast("cpu"):
                    expected = db.run_theirs(op.op, sample)
                with tg.autocast("cpu"):
                    got = db.run_ours(db.find(op), sample, db.Translator())
            except (RuntimeError, TypeError, ValueError, db.Untranslatable):
                continue  # whether calls are refused is tests/test_op_db.py's subject
            tried += 1
            ours = [t.dtype.name for t in db.flat(got) if isinstance(t, tg.Tensor)]
            theirs = [
                str(t.dtype).removeprefix("torch.")
                for t in db.flat(expected)
                if isinstance(t, torch.Tensor)
            ]
            if ours != theirs:
                unlike.add(db.label(op))
    assert unlike == set(UNLIKE)
    assert tried > 3000


# What PyTorch has rules for, as its dispatcher says, and there is nothing of here, or under another
# name.
_ELSEWHERE = {
    "cross_entropy_loss": "cross_entropy",
    "fft": None,
    "frobenius_norm": "linalg.norm",
    "grid_sampler": "grid_sample",
    "linalg_eig": None,
    "linalg_eigvals": None,
    "linear_cross_entropy": None,
    "max_pool3d_with_indices": None,
    "nuclear_norm": "linalg.norm",
    "orgqr": "linalg.householder_product",
    "polar": None,
    "reflection_pad": "pad",
    "replication_pad": "pad",
    "stft": None,
    "upsample": "interpolate",
    "view_as_complex": None,
    "grid_sampler_2d": None,
    "grid_sampler_3d": None,
    "multilabel_margin_loss_forward": None,
    "nll_loss2d": "nll_loss",
    "mkldnn_rnn_layer": None,
    "native_layer_norm": "layer_norm",
    "cudnn_convolution": None,
    "cudnn_convolution_transpose": None,
    "convolution": None,
    "fake_quantize_per_tensor_affine": None,
    "lstm_cell": None,
    "rnn_relu_cell": None,
    "rnn_tanh_cell": None,
}


@pytest.mark.parametrize(("kind", "key"), [("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")])
def test_all_that_pytorch_lists_is_listed(kind: str, key: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    listed = {name for names in LISTS[kind].values() for name in names.split()}
    missing = set()
    for full in torch._C._dispatch_get_all_op_names():
        if not torch._C._dispatch_has_kernel_for_dispatch_key(full, key):
            continue
        name = full.removeprefix("aten::").partition(".")[0]
        if name.startswith(("_", "fft_")):
            continue
        for old, new in _ELSEWHERE.items():
            if name == old or (new and name.startswith(old)):
                name = new or ""
        name = name.replace("linalg_", "linalg.")
        if name and name not in listed:
            missing.add(name)
    # linalg.inv is tapegrad.inverse, which is listed.
    assert missing <= {"linalg.inv"}


def rules(kind: str) -> dict[str, str]:
    return {name: rule for rule, names in LISTS[kind].items() for name in names.split()}


def moved(value: Any, device: str) -> Any:
    """Tensors, also in lists and dicts, on a device."""
    if isinstance(value, tg.Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(moved(v, device) for v in value)
    if isinstance(value, dict):
        return {key: moved(v, device) for key, v in value.items()}
    return value


@pytest.mark.filterwarnings("ignore")
def test_result_dtypes_of_the_lists_for_gpus() -> None:
    """PyTorch's database on the emulated device: the results have the dtypes of the rules."""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    pytest.importorskip("expecttest")
    import op_db as db

    expected = {LOWER: "float16", FLOAT32: "float32", FLOAT32_BY_DEFAULT: "float32"}
    rule_of, tried = rules("emulated"), set()
    for op, dtype in itertools.product(db.PRESENT, (torch.float32, torch.float16)):
        name = op.name.removeprefix("nn.functional.")
        if rule_of.get(name) not in expected or op.variant_test_name or dtype not in op.dtypes:
            continue
        for sample in itertools.islice(db.samples(op, dtype), 2):

            def call(*args: Any, op: Any = op, **options: Any) -> Any:
                return db.find(op)(*moved(args, "emulated"), **moved(options, "emulated"))

            if sample.kwargs.get("dtype") is not None:
                continue
            try:
                with tg.autocast("emulated"):
                    results = db.flat(db.run_ours(call, sample, db.Translator()))
            except (RuntimeError, TypeError, ValueError, db.Untranslatable):
                continue
            floats = {t.dtype.name for t in results if t.is_floating_point()}
            assert floats == {expected[rule_of[name]]}, (db.label(op), floats)
            tried.add(name)
    assert len(tried) > 75


def test_lists_name_operations() -> None:
    assert len(casting.listed()) > 100
    for operation, rules in casting.listed().items():
        assert callable(operation.declared())
        assert rules


# ---------------------------------------------------------------------- one operation of each rule


def given(dtype: Any, device: str, *shape: int) -> Any:
    return tg.full(shape, 0.25, dtype=dtype, device=device)


CALLS = {
    # name on a list: a call with x, a matrix of the dtype that is tried
    "linear": lambda x: F.linear(x, x),
    "matmul": lambda x: x @ x,
    "conv2d": lambda x: F.conv2d(x[None, None], x[None, None]),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "einsum": lambda x: tg.einsum("ij,jk->ik", x, x),
    "bmm": lambda x: tg.bmm(x[None], x[None]),
    "addmm": lambda x: tg.addmm(x, x, x),
    "mv": lambda x: x.mv(x[0]),
    "pow": lambda x: (x**2, 2**x, x.pow(x)),
    "exp": lambda x: x.exp(),
    "layer_norm": lambda x: F.layer_norm(x, (3,)),
    "softmax": lambda x: (x.softmax(-1), F.softmax(x, -1), tg.softmax(x, -1)),
    "sum": lambda x: x.sum(),
    "prod": lambda x: x.prod(),
    "mse_loss": lambda x: (F.mse_loss(x, x), tg.nn.MSELoss()(x, x)),
    "cross_entropy": lambda x: F.cross_entropy(x, tg.tensor([0, 1, 2], device=x.device)),
    "nll_loss": lambda x: F.nll_loss(x, tg.tensor([0, 1, 2], device=x.device)),
    "quantile": lambda x: x.quantile(0.5),
    "cat": lambda x: tg.cat([x, x.float()]),
    "stack": lambda x: tg.stack([x, x.float()]),
    "atan2": lambda x: tg.atan2(x, x.float()),
    "chain_matmul": lambda x: tg.chain_matmul(x, x, x),
    "conv_tbc": lambda x: tg.conv_tbc(x[None], x[None], x[0]),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True),
    "addcmul": lambda x: tg.addcmul(x, x.float(), x),
}


@pytest.mark.parametrize("device", ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("region", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CALLS)
def test_dtype_of_results(name: str, region: str, dtype: str, device: str) -> None:
    rule = rules(device).get(name)
    x = given(getattr(tg, dtype), device, 3, 3)
    try:
        outside = CALLS[name](x)
    except RuntimeError:
        if rule is None:
            pytest.skip("refused, and on no list")
        outside = None  # of two dtypes
    with tg.autocast(device, getattr(tg, region)):
        found = CALLS[name](x)
    results = found if isinstance(found, tuple) else (found,)
    if dtype == "float64" or rule is None:
        plain = outside if isinstance(outside, tuple) else (outside,)
        expected = [t.dtype.name for t in plain]
    elif rule == LOWER:
        expected = [region]
    else:
        assert rule in (FLOAT32, FLOAT32_BY_DEFAULT, WIDEST)
        expected = ["float32"]
    assert {t.dtype.name for t in results} == set(expected)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_dtype_that_is_asked_for_is_given(device: str) -> None:
    x = given(tg.bfloat16, device, 3)
    with tg.autocast(device, tg.bfloat16):
        for y in (x.sum(dtype=tg.bfloat16), F.softmax(x, 0, dtype=tg.bfloat16)):
            assert y.dtype == tg.bfloat16
        assert tg.softmax(x, 0, tg.float64).dtype == tg.float64
        assert x.sum(dtype="float64").dtype == tg.float64


def test_what_writes_in_place_and_into_out_keeps_its_dtype() -> None:
    x = given(tg.float32, "emulated", 3, 3)
    low = x.bfloat16()
    out = tg.empty(3, 3, device="emulated")
    with tg.autocast("emulated"):
        assert low.exp_().dtype == tg.bfloat16
        x.addmm_(x * 1.001, x)  # in float32, as outside
        assert tg.mm(x, x, out=out) is out
        x **= 2
    assert (x.dtype, out.dtype) == (tg.float32, tg.float32)
    y = given(tg.float32, "emulated", 3, 3)
    y.addmm_(y * 1.001, y)
    np.testing.assert_array_equal(x.numpy(), (y**2).numpy())


def test_numbers_are_those_of_explicit_casts() -> None:
    tg.manual_seed(0)
    x, w = tg.randn(4, 5), tg.randn(5, 3)
    with tg.autocast("cpu"):
        y = x @ w
    np.testing.assert_array_equal(y.float().numpy(), (x.bfloat16() @ w.bfloat16()).float().numpy())
    with tg.autocast("emulated", tg.float16):
        z = x.to("emulated") @ w.to("emulated")
    exact = x.half().double().numpy() @ w.half().double().numpy()
    np.testing.assert_allclose(z.double().numpy(), exact, rtol=2**-10, atol=1e-4)


# ---------------------------------------------------------------------- training


def train(lib: Any, steps: int = 30) -> list[float]:
    lib.manual_seed(0)
    rng = np.random.default_rng(0)

    def data(*shape: int) -> Any:
        return lib.tensor(rng.standard_normal(shape).astype(np.float32))

    nn = lib.nn
    model = nn.Sequential(
        nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.Linear(36, 16),
        nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4),
    )  # fmt: skip
    with lib.no_grad():
        for p in model.parameters():
            p.copy_(data(*p.shape) * (0.3 if p.dim() > 1 else 0.1))
    optimizer = lib.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, target = data(16, 3, 8), lib.tensor(rng.integers(0, 4, 16))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with lib.autocast("cpu", dtype=lib.bfloat16):
            y = model(x)
            assert y.dtype == lib.bfloat16
            loss = nn.functional.cross_entropy(y, target)
        assert loss.dtype == lib.float32
        loss.backward()
        assert all(p.grad.dtype == p.dtype == lib.float32 for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_is_pytorchs_within_bfloat16() -> None:
    got = train(tg)
    assert got[-1] < 0.5 * got[0]
    torch = pytest.importorskip("torch", exc_type=ImportError)
    np.testing.assert_allclose(got, train(torch), rtol=0.05, atol=0.02)


LAYERS = {
    "Linear": (lambda nn: nn.Linear(4, 2), (3, 4)),
    "Conv2d": (lambda nn: nn.Conv2d(3, 2, 2), (2, 3, 4, 4)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(3, 2, 2), (2, 3, 4)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(3), (2, 3, 4, 4)),
    "LayerNorm": (lambda nn: nn.LayerNorm(4), (2, 3, 4)),
    "GroupNorm": (lambda nn: nn.GroupNorm(3, 3), (2, 3, 4)),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(3, affine=True), (2, 3, 4)),
    "RMSNorm": (lambda nn: nn.RMSNorm(4), (2, 4)),
    "PReLU": (lambda nn: nn.PReLU(), (2, 4)),
    "MultiheadAttention": (lambda nn: nn.MultiheadAttention(4, 2, batch_first=True), (2, 3, 4)),
}


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_whose_weights_are_float32(name: str, dtype: str) -> None:
    """Inputs of both kinds are taken; results and gradients have PyTorch's dtypes."""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    make, shape = LAYERS[name]

    def dtypes(lib: Any) -> list[str]:
        layer = make(lib.nn)
        x = lib.ones(*shape).to(getattr(lib, dtype)).requires_grad_()
        with lib.autocast("cpu"):
            results = layer(x, x, x) if name == "MultiheadAttention" else (layer(x),)
        results[0].float().sum().backward()
        found = [*results, x.grad, *(p.grad for p in layer.parameters())]
        return [str(t.dtype).removeprefix("torch.") for t in found]

    assert dtypes(tg) == dtypes(torch)


# ---------------------------------------------------------------------- weights


def casts_of(loss: Any) -> int:
    """The casts on the tape."""
    seen, stack, count = set(), [loss.grad_fn], 0
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen or not hasattr(node, "edges"):
            continue
        seen.add(id(node))
        count += node.primitive.name == "cast"
        stack.extend(node.edges)
    return count


@pytest.mark.parametrize(("cached", "casts"), [(True, 1), (False, 3)])
def test_a_weight_is_cast_once_for_the_outermost_region(cached: bool, casts: int) -> None:
    w, x = tg.ones(2, 2, requires_grad=True), tg.ones(2, 2).bfloat16()
    with tg.autocast("cpu", cache_enabled=cached):
        y = x @ w
        with tg.autocast("cpu", cache_enabled=cached):
            y = y @ w
        y = y @ w
    assert casts_of(y) == casts
    y.float().sum().backward()
    assert w.grad.tolist() == [[24.0, 24.0]] * 2
    with tg.autocast("cpu"):
        assert tg.is_autocast_cache_enabled()
        with tg.no_grad():
            w *= 2
        assert (x @ w)[0, 0].item() == 4  # another region, another cast


def test_a_weight_that_changes_within_a_region_is_cast_again() -> None:
    w, x = tg.ones(2, 2, requires_grad=True), tg.ones(2, 2)
    with tg.autocast("cpu"):
        with tg.no_grad():
            assert (x @ w)[0, 0].item() == 2
            w *= 2
        y = x @ w  # which is recorded, as what was cast under no_grad is not
    assert y[0, 0].item() == 4
    y.float().sum().backward()
    assert w.grad.tolist() == [[2.0, 2.0]] * 2


# ---------------------------------------------------------------------- regions


def dtype_now(device: str = "cpu") -> str:
    x = tg.ones(2, 2, device=device)
    return (x @ x).dtype.name


def test_regions_within_regions() -> None:
    seen = []
    outer = tg.autocast("cpu")
    with outer:
        seen.append(dtype_now())
        with tg.autocast("cpu", enabled=False):
            seen.append(dtype_now())
            with tg.autocast("cpu", tg.float16), tg.autocast("emulated"):
                seen += [dtype_now(), dtype_now("emulated")]
            with outer:  # once more
                seen.append(dtype_now())
            seen.append(dtype_now())
        seen.append(dtype_now())
        seen.append(dtype_now("emulated"))
    seen.append(dtype_now())
    low, full = "bfloat16", "float32"
    assert seen == [low, full, "float16", "float16", low, full, low, full, full]
    assert not is_used()


def test_what_is_in_place_outside_of_regions() -> None:
    """The same methods as before, and public functions that run what their modules have."""
    _ = tg.ones(2, 2).exp_() @ tg.ones(2, 2) ** 2
    before = [tg.Tensor.__dict__[n] for n in ("__matmul__", "__pow__", "exp_")]
    assert F.mse_loss
    with tg.autocast("cpu"):
        assert tg.Tensor.__dict__["__matmul__"] is not before[0]
        assert F.l1_loss(tg.ones(2), tg.ones(2)).item() == 0  # perhaps loaded here first
        assert before[2] is not tg.Tensor.__dict__["exp_"]
    names = ("__matmul__", "__pow__", "exp_")
    assert [tg.Tensor.__dict__[n] for n in names] == before
    for cell, as_is, _ in casting._public:
        assert cell.cell_contents is as_is
    assert dtype_now() == "float32"


def test_exceptions_leave_regions() -> None:
    with pytest.raises(ZeroDivisionError), tg.autocast("cpu"):
        raise ZeroDivisionError
    assert dtype_now() == "float32"
    with tg.autocast("cpu"):
        with pytest.raises(RuntimeError, match="inner sizes"):
            _ = tg.ones(2, 3) @ tg.ones(2, 3)
        assert dtype_now() == "bfloat16"


def test_as_a_decorator() -> None:
    @tg.autocast("cpu", dtype=tg.float16)
    def inner(depth: int) -> list[str]:
        """Of its own."""
        return [dtype_now(), *(inner(depth - 1) if depth else [])]

    assert inner(2) == ["float16"] * 3
    assert inner.__doc__ == "Of its own."
    assert dtype_now() == "float32"


def test_regions_are_their_threads() -> None:
    seen = []

    def other() -> None:
        seen.append(dtype_now())
        with tg.autocast("cpu", tg.float16):
            seen.append(dtype_now())
        seen.append(tg.is_autocast_enabled("cpu"))

    with tg.autocast("cpu"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen.append(dtype_now())
    assert seen == ["float32", "float16", False, "bfloat16"]


def test_settings() -> None:
    assert not tg.is_autocast_enabled("cpu")
    assert not tg.is_autocast_enabled()
    assert tg.get_autocast_dtype("cpu") == tg.get_autocast_cpu_dtype() == tg.bfloat16
    assert tg.get_autocast_dtype("cuda") == tg.get_autocast_gpu_dtype() == tg.float16
    with tg.autocast("cpu", tg.float16, cache_enabled=False):
        assert tg.is_autocast_cpu_enabled()
        assert tg.get_autocast_dtype("cpu") == tg.float16
        assert not tg.is_autocast_cache_enabled()
        tg.set_autocast_enabled("cpu", False)
        assert dtype_now() == "float32"
        tg.set_autocast_cpu_enabled(True)
        assert dtype_now() == "float16"
        tg.set_autocast_cpu_dtype(tg.bfloat16)
        assert dtype_now() == "bfloat16"
        tg.set_autocast_cache_enabled(True)
        assert tg.autocast_increment_nesting() == 2
        assert tg.autocast_decrement_nesting() == 1
        tg.clear_autocast_cache()
    assert (tg.get_autocast_dtype("cpu"), tg.is_autocast_cache_enabled()) == (tg.bfloat16, True)
    tg.set_autocast_enabled("cpu", True)  # for good
    tg.set_autocast_dtype("cpu", tg.float16)
    try:
        assert dtype_now() == "float16"
    finally:
        tg.set_autocast_enabled("cpu", False)
        tg.set_autocast_dtype("cpu", tg.bfloat16)
    tg.set_autocast_enabled(True)  # of GPUs
    assert tg.is_autocast_enabled()
    tg.set_autocast_enabled(False)
    assert [tg.amp.is_autocast_available(k) for k in ("cpu", "cuda", "emulated", "tpu")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert not is_used()


def test_backward_under_a_region_is_that_of_the_forward_pass() -> None:
    x = tg.ones(2, 2, requires_grad=True)
    y = (x @ x).exp().sum()
    with tg.autocast("cpu"):
        y.backward()
    once = x.grad.clone()
    x.grad = None
    (x @ x).exp().sum().backward()
    np.testing.assert_array_equal(once.numpy(), x.grad.numpy())


# ---------------------------------------------------------------------- Functions of one's own


class Product(tg.autograd.Function):
    seen: list = []  # noqa: RUF012

    @staticmethod
    @tg.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    @tg.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        Product.seen.append((grad @ b.t()).dtype.name)
        return (grad @ b.t()).float(), (a.t() @ grad).float()


class InFloat32(tg.autograd.Function):
    @staticmethod
    @tg.amp.custom_fwd(device_type="cpu", cast_inputs=tg.float32)
    def forward(ctx: Any, a: Any, pair: Any, name: str) -> Any:
        ctx.save_for_backward(a)
        assert (a.dtype, pair[0].dtype, name) == (tg.float32, tg.float32, "n")
        return a @ a + pair[0] * 0

    @staticmethod
    @tg.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Any) -> Any:
        (a,) = ctx.saved_tensors
        assert dtype_now() == "float32"
        return grad @ a.t() + a.t() @ grad, None, None


def test_functions_of_ones_own() -> None:
    a, b = (tg.ones(2, 2, requires_grad=True) for _ in "ab")
    with tg.autocast("cpu"):
        y = Product.apply(a, b)
    assert y.dtype == tg.bfloat16
    y.float().sum().backward()  # outside, as it was inside
    Product.apply(a, b).sum().backward()
    assert Product.seen == ["bfloat16", "float32"]
    assert a.grad.tolist() == [[4.0, 4.0]] * 2
    with tg.autocast("cpu"):
        y = InFloat32.apply(a.bfloat16(), (b.bfloat16(),), "n")
        assert y.dtype == tg.float32
        y.sum().backward()


# ---------------------------------------------------------------------- errors and old names


def refused() -> Any:
    x = tg.full((2,), 0.5, device="emulated")
    with tg.autocast("emulated"):
        F.binary_cross_entropy(x, x)


ERRORS = [
    (refused, RuntimeError, r"\[binary_cross_entropy\] is refused.*binary_cross_entropy_with_log"),
    (lambda: tg.autocast("tpu"), RuntimeError, "no device_type 'tpu' here: use 'cpu'"),
    (lambda: tg.autocast(tg.device("cpu")), ValueError, "of a device it is device.type"),
    (lambda: tg.autocast("cpu")(3), TypeError, "decorates functions, got int"),
    (lambda: tg.autocast("cpu", enabled="yes"), TypeError, "enabled must be True or False"),
    (lambda: tg.set_autocast_enabled("cpu", 3), TypeError, "enabled must be True or False"),
    (lambda: tg.is_autocast_enabled("gpu"), RuntimeError, "no device_type 'gpu'"),
    (lambda: tg.get_autocast_dtype(3), ValueError, "device_type must be one of 'cpu', 'cuda'"),
    (lambda: tg.amp.is_autocast_available(3), TypeError, "must be a str, got int"),
    (lambda: tg.autocast_decrement_nesting(), RuntimeError, "in no region"),
    (lambda: tg.amp.custom_fwd(device_type=None), ValueError, "got NoneType"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
    assert not is_used()


def test_warnings_and_device_names() -> None:
    with pytest.warns(UserWarning, match="its dtype is float16 or bfloat16, got float32"):
        region = tg.autocast("cpu", dtype=tg.float32)
    with region:
        assert dtype_now() == "float32"
    if not tg.cuda.is_available():
        with pytest.warns(UserWarning, match="no usable GPU"):
            tg.autocast("cuda:0")
    assert tg.autocast("cuda", enabled=False).device == "cuda"


def test_old_names_warn_and_work() -> None:
    with pytest.warns(FutureWarning, match=r"use tapegrad.amp.autocast\('cpu'\)"):
        region = tg.cpu.amp.autocast()
    with region:
        assert dtype_now() == "bfloat16"
    assert isinstance(region, tg.autocast)
    with pytest.warns(FutureWarning, match=r"use tapegrad.amp.GradScaler\('cpu'\)"):
        scaler = tg.cpu.amp.GradScaler(init_scale=8.0)
    assert scaler.get_scale() == 8
    assert pickle.loads(pickle.dumps(scaler)).get_scale() == 8
    with pytest.warns(FutureWarning, match="old name"):
        region = tg.cuda.amp.autocast(enabled=False)
    assert region.device == "cuda"
    with pytest.warns(FutureWarning, match="old name"):
        assert not tg.cuda.amp.GradScaler(enabled=False).is_enabled()
    for decorate in (tg.cuda.amp.custom_fwd, tg.cuda.amp.custom_bwd):
        with pytest.warns(FutureWarning, match="old name"):
            assert callable(decorate(lambda ctx: None))


def test_regions_cost_nothing_outside() -> None:
    """It takes not one instruction of Python's more than before the first."""
    x = tg.ones(4, 4)

    def compute() -> None:
        F.softmax(x @ x, -1).pow_(2)

    compute()
    before = steps_of(compute)
    with tg.autocast("cpu"):
        assert steps_of(compute) > before
    assert steps_of(compute) == before
    assert rules("cuda")["binary_cross_entropy"] == REFUSED
