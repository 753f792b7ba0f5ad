"""What shows only on a GPU. ``pytest -m gpu`` runs it with the ``cuda`` rows of the other tests.

With ``--cupy=strict`` what needs no real GPU runs on the stand-in, so that these tests are known to
work before one is at hand.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.core import devices, kernels

pytestmark = pytest.mark.gpu
F = nn.functional


@pytest.fixture
def cupy() -> Any:
    import cupy

    return cupy


@pytest.fixture
def real(request: pytest.FixtureRequest) -> bool:
    """Whether a GPU is behind it."""
    return request.config.getoption("--cupy") == "real"


@pytest.fixture
def gpu(cupy: Any, real: bool) -> Any:
    """CuPy, where a GPU is behind it."""
    if not real:
        pytest.skip("needs a real GPU")
    return cupy


def host(x: tg.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def assert_same(
    on_gpu: tg.Tensor, on_cpu: tg.Tensor, rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    assert on_gpu.device.type == "cuda"
    assert on_gpu.dtype == on_cpu.dtype
    np.testing.assert_allclose(host(on_gpu), host(on_cpu), rtol=rtol, atol=atol)


# ---------------------------------------------------------------------- training


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.LayerNorm(32), nn.Dropout(0.3),
                         nn.Linear(32, 5))  # fmt: skip


def convolutional() -> nn.Module:
    return nn.Sequential(
        # A bias before batch norm has gradient 0, up to rounding, which Adam would enlarge.
        Images(), nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


class Images(nn.Module):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x.reshape(-1, 1, 4, 5)


class Words(nn.Module):
    """Rows of 20 numbers, rounded, are looked up; softmax weighs the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 16)
        self.norm = nn.RMSNorm(16)
        self.out = nn.Linear(16, 5)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        h = self.norm(self.table((x.abs() * 3).clamp(0, 6).long()))
        weight = F.softmax(h @ h.mT / 4, -1)
        return self.out((weight @ h).mean(1))


OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda p: tg.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: tg.optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: tg.optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: tg.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}


def trained(make: Callable[[], nn.Module], optimizer: Callable, device: str) -> tuple[list, dict]:
    tg.manual_seed(3)
    model = make().to(device)
    step = optimizer(model.parameters())
    x, y = tg.randn(16, 20, device=device), tg.randint(5, (16,), device=device)
    losses = []
    for _ in range(5):
        step.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        step.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [perceptron, convolutional, Words], ids=lambda m: m.__name__)
def test_training_is_that_on_the_cpu(make: Callable[[], nn.Module], optimizer: str) -> None:
    losses, state = trained(make, OPTIMIZERS[optimizer], "cuda")
    expected, expected_state = trained(make, OPTIMIZERS[optimizer], "cpu")
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert state.keys() == expected_state.keys()
    for name, tensor in state.items():
        assert_same(tensor, expected_state[name], rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------- random numbers


DRAWS: dict[str, Callable[[str, int], tg.Tensor]] = {
    **{
        f"{name} {dtype}": lambda device, n, f=name, d=dtype: getattr(tg, f)(
            n, dtype=d, device=device)
        for name in ("rand", "randn") for dtype in ("float64", "float32", "float16")
    },
    "randint": lambda device, n: tg.randint(-7, 10**12, (n,), device=device),
    "randperm": lambda device, n: tg.randperm(n, device=device),
    "bernoulli": lambda device, n: tg.bernoulli(tg.full((n,), 0.3, device=device)),
    "dropout": lambda device, n: F.dropout(tg.arange(n, device=device).float() + 1, 0.4),
    "normal_": lambda device, n: tg.empty(n, device=device).normal_(2, 3),
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, 2**63 + 11])
@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_have_the_bits_of_the_cpu(name: str, seed: int) -> None:
    for n in (1, 5, 1000, 100_003):
        drawn = []
        for device in ("cuda", "cpu"):
            tg.manual_seed(seed)
            DRAWS[name](device, 3)  # so that the offset is not 0
            drawn.append(host(DRAWS[name](device, n)).tobytes())
        assert drawn[0] == drawn[1]


# ---------------------------------------------------------------------- streams


def computed(device: str) -> tuple[tg.Tensor, tg.Tensor]:
    tg.manual_seed(1)
    x = tg.randn(300, 70, device=device, requires_grad=True)
    w = tg.randn(50, 70, device=device, requires_grad=True)
    F.cross_entropy(F.gelu(F.linear(x, w)), tg.arange(300, device=device) % 50).backward()
    return x.grad, w.grad


def test_side_streams_give_the_same_results(cupy: Any) -> None:
    expected = computed("cpu")
    device = tg.device("cuda")
    for _ in range(20):
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            assert devices.current_stream(device) == stream.ptr
            found = computed("cuda")
        stream.synchronize()
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    assert devices.current_stream(device) != stream.ptr


def test_kernels_are_launched_on_the_current_stream(gpu: Any) -> None:
    """What is launched on a stream that captures does not run, but becomes part of a graph."""
    x = tg.randn(1000, device="cuda")
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        F.gelu(x)  # loads the kernel
        stream.synchronize()
        stream.begin_capture()
        y = F.gelu(x)
        graph = stream.end_capture()
    x.fill_(1.5)
    tg.cuda.synchronize()
    graph.launch(stream)
    stream.synchronize()
    assert_same(y, F.gelu(tg.full((1000,), 1.5)))


# ---------------------------------------------------------------------- memory


@pytest.fixture
def pool(cupy: Any) -> Iterator[Any]:
    gc.collect()
    found = cupy.get_default_memory_pool()
    yield found
    found.set_limit(size=0)


def message_of(call: Callable[[], Any]) -> str:
    """Of the MemoryError that it raises; nothing of it lives on."""
    try:
        call()
    except MemoryError as error:
        return str(error)
    return "no error"


def test_memory_is_given_back_after_out_of_memory(pool: Any) -> None:
    x = tg.randn(1 << 18, device="cuda", requires_grad=True)
    pool.free_all_blocks()
    before = pool.used_bytes()
    pool.set_limit(size=pool.total_bytes() + (10 << 20))

    def too_much() -> None:
        y = x
        for _ in range(20):  # a MB each
            y = (y * 1.5).exp()
        y.sum().backward()

    for _ in range(100):
        assert "1,048,576 bytes" in message_of(too_much)
        assert pool.used_bytes() == before
        assert x.grad is None
    assert f"{1 << 40:,} bytes" in message_of(lambda: tg.empty(1 << 38, device="cuda"))
    (x * 2).sum().backward()
    assert (host(x.grad) == 2).all()


def test_more_than_the_gpu_has_is_an_error_that_names_the_bytes(gpu: Any, pool: Any) -> None:
    _, total = gpu.cuda.runtime.memGetInfo()
    size = 2 * total // 512 * 512
    before = pool.used_bytes()
    assert f"{size:,} bytes" in message_of(lambda: tg.empty(size, dtype="uint8", device="cuda"))
    assert pool.used_bytes() == before


def test_training_keeps_no_memory(pool: Any, real: bool) -> None:
    """A thousand steps, without the garbage collector, need not a byte more than fifty."""
    tg.manual_seed(0)
    model = perceptron().to("cuda")
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = tg.randn(64, 20, device="cuda"), tg.randint(5, (64,), device="cuda")

    def steps(count: int) -> tuple[int, int]:
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return pool.used_bytes(), pool.total_bytes()

    gc.collect()
    gc.disable()
    try:
        before = steps(50)
        assert steps(1000 if real else 50) == before
    finally:
        gc.enable()


# ---------------------------------------------------------------------- errors


def test_a_launch_that_fails_raises_and_the_next_one_works(gpu: Any) -> None:
    """A stream whose capture was broken off refuses launches until the capture is ended."""
    x = tg.ones(10, device="cuda")
    F.relu(x)
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        out = gpu.empty(10, np.float32)
        stream.begin_capture(gpu.cuda.runtime.streamCaptureModeGlobal)
        with pytest.raises(gpu.cuda.runtime.CUDARuntimeError):
            gpu.cuda.runtime.streamSynchronize(stream.ptr)  # not allowed: breaks the capture off
        with pytest.raises(kernels.KernelError, match=r"\[grid.*capture"):
            kernels.launch(tg.device("cuda"), "relu_forward", "float32", out, x._array, 10)
        with pytest.raises(gpu.cuda.runtime.CUDARuntimeError):
            stream.end_capture()
    assert F.relu(x).sum().item() == 10


ILLEGAL_ACCESS = """
import tapegrad as tg
from tapegrad.core import kernels
device = tg.device("cuda")
x = tg.ones(4, device=device)
kernels.launch(device, "relu_forward", "float32", None, None, 1000)
try:
    tg.cuda.synchronize()
except Exception as error:
    print("synchronize:", error)
try:
    x.relu()
    tg.cuda.synchronize()
except Exception as error:
    print("next:", error)
"""


def test_a_kernel_that_fails_is_reported_and_so_is_the_lost_context(gpu: Any) -> None:
    ran = in_a_process(ILLEGAL_ACCESS)
    lines = ran.stdout.splitlines()
    assert len(lines) == 2, ran.stdout + ran.stderr
    assert all("llegal" in line for line in lines)  # cudaErrorIllegalAddress


FORK = """
import multiprocessing
import tapegrad as tg
x = tg.ones(3, device="cuda")
y = x + x

def child(queue):
    uses = (lambda: x + x, lambda: x.relu(), lambda: x.cpu(), lambda: tg.ones(2, device="cuda"))
    for use in uses:
        try:
            use()
            queue.put("nothing")
        except RuntimeError as error:
            queue.put(str(error))

context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
for _ in range(4):
    print(queue.get(timeout=60))
process.join(10)
assert (x + x).sum().item() == 6
"""


def test_a_forked_process_is_told_to_spawn(gpu: Any) -> None:
    ran = in_a_process(FORK)
    lines = ran.stdout.splitlines()
    assert len(lines) == 4, ran.stderr
    assert all("before this process was forked" in line for line in lines)
    assert ran.returncode == 0, ran.stderr


def in_a_process(code: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip


# ---------------------------------------------------------------------- several GPUs


def test_two_devices(cupy: Any) -> None:
    if tg.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    for first, second in (("cuda:1", "cuda:0"), ("cuda:0", "cuda:1")):
        x = tg.arange(12, dtype="float32", device=first).reshape(3, 4).requires_grad_()
        y = F.softmax(x @ x.T, -1).log().sum() + tg.randn(2, device=first).sum()
        tg.ones(3, device=second) * 2  # is current now
        y.backward()
        assert y.device is x.grad.device is tg.device(first)
        z = tg.arange(12, dtype="float32").reshape(3, 4).requires_grad_()
        F.softmax(z @ z.T, -1).log().sum().backward()
        assert_same(x.grad, z.grad, rtol=1e-4, atol=1e-4)

        moved = x.to(second)
        assert moved.device is tg.device(second)
        np.testing.assert_array_equal(host(moved), host(x))
        w = tg.ones(4, device=second, requires_grad=True)
        x.grad = None
        ((moved * w).sum() + (moved * 3).sum()).backward()  # through the copy, back to the first
        np.testing.assert_array_equal(host(x.grad), np.full((3, 4), 4))
        np.testing.assert_array_equal(host(w.grad), host(x).sum(0))
        with pytest.raises(RuntimeError, match=r"cuda:[01].*cuda:[01]"):
            moved + x


def test_training_on_the_second_device(cupy: Any) -> None:
    if tg.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    losses, _ = trained(perceptron, OPTIMIZERS["AdamW"], "cuda:1")
    expected, _ = trained(perceptron, OPTIMIZERS["AdamW"], "cpu")
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert (tg.ones(3, device="cuda:0") * 2).sum().item() == 6  # and back


# ---------------------------------------------------------------------- limits of the grid

# The y and z dimensions of a grid end at 65,535: no number of rows, columns or matrices may.
EDGE = (65_535, 65_536, 65_537)

BY_COUNT: dict[str, Callable[[str, int], tg.Tensor]] = {
    "relu": lambda device, n: F.relu(numbers(device, n)),
    "softmax": lambda device, n: F.softmax(numbers(device, n, 3), 1),
    "log_softmax along dim 0": lambda device, n: F.log_softmax(numbers(device, n, 3), 0),
    "layer_norm": lambda device, n: F.layer_norm(numbers(device, n, 3), (3,)),
    "layer_norm of long rows": lambda device, n: F.layer_norm(numbers(device, 3, n), (n,)),
    "rms_norm": lambda device, n: F.rms_norm(numbers(device, n, 3), (3,)),
    "cross_entropy": lambda device, n: F.cross_entropy(
        numbers(device, n, 3), tg.arange(n, device=device) % 3, reduction="none"),
    "cross_entropy of many classes": lambda device, n: F.cross_entropy(
        numbers(device, 3, n), tg.arange(3, device=device)),
    "embedding": lambda device, n: F.embedding(
        tg.arange(n, device=device) % 7, numbers(device, 7, 3)),
    "matmul, rows": lambda device, n: numbers(device, n, 3) @ numbers(device, 3, 2),
    "matmul, columns": lambda device, n: numbers(device, 2, 3) @ numbers(device, 3, n),
    "matmul, depth": lambda device, n: numbers(device, 2, n) @ numbers(device, n, 2) / n,
    "matmul, batch": lambda device, n: numbers(device, n, 2, 3) @ numbers(device, n, 3, 2),
    "linear": lambda device, n: F.linear(numbers(device, 2, 3), numbers(device, n, 3),
                                         numbers(device, n)),
    "dropout": lambda device, n: F.dropout(numbers(device, n), 0.5),
}  # fmt: skip


def numbers(device: str, *shape: int) -> tg.Tensor:
    x = tg.randn(*shape, device=device, requires_grad=True)
    leaves.append(x)
    return x


leaves: list[tg.Tensor] = []


@pytest.mark.parametrize("n", EDGE)
@pytest.mark.parametrize("name", BY_COUNT)
def test_no_count_ends_at_the_limits_of_the_grid(name: str, n: int, real: bool) -> None:
    if not real:
        n -= 65_280  # a thread takes the stand-in as long as a thousand take a GPU
    results = []
    for device in ("cuda", "cpu"):
        tg.manual_seed(9)
        leaves.clear()
        y = BY_COUNT[name](device, n)
        seed = tg.randn(tuple(y.shape), device=device)
        y.backward(seed)
        results.append([y, *(x.grad for x in leaves)])
    leaves.clear()
    for a, b in zip(*results, strict=True):
        scale = max(float(np.abs(host(b)).max()), 1.0)
        assert_same(a, b, rtol=1e-4, atol=1e-5 * scale)


# ---------------------------------------------------------------------- 2^31 elements

AROUND_2_31 = (2**31 - 1, 2**31, 2**31 + 1)


@pytest.mark.large
@pytest.mark.parametrize("n", AROUND_2_31)
@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_elements_beyond_32_bits(dtype: str, n: int, gpu: Any) -> None:
    """Zeros but for the ends, where an index of 32 bits would write or read elsewhere."""
    x = tg.zeros(n, dtype=dtype, device="cuda")
    x[:2], x[-2:] = -3, 5
    results = {"relu": F.relu(x), "add": x + x, "cast": x.to("float32"), "where": (x > 0)}
    expected = {"relu": (0, 5), "add": (-6, 10), "cast": (-3, 5), "where": (False, True)}
    for name, y in results.items():
        ends = (*y[:2].tolist(), y[2].item(), y[-3].item(), *y[-2:].tolist())
        first, last = expected[name]
        assert ends == (first, first, 0, 0, last, last), name
    assert x.long().sum().item() == 4 if dtype == "int8" else x.float().sum().item() == 4


@pytest.mark.large
@pytest.mark.parametrize("n", AROUND_2_31)
def test_kernels_beyond_32_bits(n: int, gpu: Any) -> None:
    tg.manual_seed(0)
    x = tg.ones(n, dtype="float16", device="cuda")
    y = F.dropout(x, 0.5)
    words = tg.device("cuda").ops["philox"](n=n, seed=0, offset=0)
    kept = (words[-1000:] >> np.uint32(8)) >= np.uint32(2**23)
    assert ((y._array[-1000:] > 0) == kept).all()
    del words, y
    rows = x[: n // 64 * 64].reshape(-1, 64)
    assert_same(F.softmax(rows, 1)[-3:].float(), tg.full((3, 64), 1 / 64), rtol=1e-3)
