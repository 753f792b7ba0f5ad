"""What scripts begin with: ``import torch`` in tapegrad's name, the modules that they import, and
the habits of older ones."""

from __future__ import annotations

import copy
import importlib
import inspect
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import write_names

import tapegrad as tg
from tapegrad import settings, stand_in, torch_names
from tapegrad.nn import modules
from tapegrad.ops.movement import tensor_types

F = tg.nn.functional
PLAIN = Path(__file__).parent / "scripts" / "plain"
DIGITS = Path(tg.__file__).parent / "data" / "digits.npz"


def run(*command: Any, **options: Any) -> subprocess.CompletedProcess:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)


# ---------------------------------------------------------------------- whole scripts

SCRIPTS = [
    ("mnist.py", (DIGITS, "--double")),
    ("language_model.py", ("--double",)),
    ("gan.py", (DIGITS, "--double")),
]
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]\d+)?")


@pytest.mark.parametrize(("script", "arguments"), SCRIPTS)
def test_a_script_prints_what_it_prints_with_pytorch(
    script: str, arguments: tuple, torch: Any
) -> None:
    expected = run("-W", "ignore", PLAIN / script, *arguments)
    assert expected.returncode == 0, expected.stderr
    got = run("-m", "tapegrad.run", PLAIN / script, *arguments)
    assert got.returncode == 0, got.stderr
    assert "'import torch' means tapegrad in this process" in got.stderr
    assert NUMBER.sub("#", got.stdout) == NUMBER.sub("#", expected.stdout)
    numbers = [[float(n) for n in NUMBER.findall(done.stdout)] for done in (got, expected)]
    assert len(numbers[0]) > 30
    np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1.5e-5)  # of what is printed


@pytest.mark.parametrize(("script", "arguments"), SCRIPTS)
def test_a_script_runs_in_the_default_dtype(script: str, arguments: tuple) -> None:
    more = ("--dry-run",) if script == "mnist.py" else ()
    done = run("-m", "tapegrad.run", PLAIN / script, *arguments[:-1], *more)
    assert done.returncode == 0, done.stderr
    assert "nan" not in done.stdout


# ---------------------------------------------------------------------- import torch

IMPORTS = """
import sys
import tapegrad.torch_names; tapegrad.torch_names.install()
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.backends.cudnn as cudnn
import torch.multiprocessing as mp
import torch.cuda.memory, torch.jit, torch._dynamo, torch.utils.tensorboard
from torch import Tensor, optim
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair
from torch.nn.parameter import Parameter
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import Optimizer
from torch.random import fork_rng
from torch.types import Number
from torch.utils.data import DataLoader
from torch.utils.data.sampler import SubsetRandomSampler
import tapegrad as tg

assert torch is tg and nn is tg.nn and F is tg.nn.functional and torch.optim is optim
assert isinstance(nn.BatchNorm2d(1), _BatchNorm) and _pair(3) == (3, 3)
assert torch.__spec__.name == "tapegrad" and nn.__spec__.name == "tapegrad.nn"
assert torch.__version__ >= "2.2" and torch.__version__ >= (1, 10), torch.__version__
assert not torch.__version__ < "2.2" and torch.__version__.split(".")[0] == "2"
assert torch.version.cuda is None and torch.version.__version__ == torch.__version__
assert torch.ones(1).type() == "torch.FloatTensor"
assert repr(torch.ones(1).shape) == "torch.Size([1])"
for line in sys.stdin.read().splitlines():
    try:
        exec(line)
    except ImportError as error:
        print(type(error).__name__, error)
tapegrad.torch_names.uninstall()
assert not hasattr(F, "__path__") and tg.ones(1).type() == "tapegrad.FloatTensor"
assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
assert tg.__version__ == tg._version.__version__ == tg.version.__version__
"""
UNKNOWN = {
    "import torch.fft": "ModuleNotFoundError cannot import 'fft' from 'torch', which is tapegrad "
    "in this process: PyTorch's fft does not exist here; there are no complex numbers",
    "import torch.nn.fuctional": "ModuleNotFoundError .*'torch.nn'.* did you mean 'functional'",
    "import torch.cuda.nothing.at_all": "ModuleNotFoundError .*'nothing' from 'torch.cuda'",
    "from torch import sofmax": "ImportError .*'sofmax' from 'torch',.* did you mean 'softmax'",
    "from torch.nn.functional import crossentropy": "ImportError .*did you mean 'cross_entropy'",
    "from torch.utils.data import Dataloader": "ImportError .*did you mean 'DataLoader'",
    "from torch.nn.modules.conv import _Conv3": "ImportError .*'torch.nn.modules.conv'",
    "from torch.optim import SparseAdam": "ImportError .*tensors are dense",
}


def test_imports_of_torch_give_tapegrad_until_it_is_undone() -> None:
    done = run("-c", IMPORTS, input="\n".join(UNKNOWN))
    assert done.returncode == 0, done.stderr
    (said,) = done.stderr.splitlines()
    assert re.fullmatch(r"tapegrad [\d.]+: 'import torch' means tapegrad in this process", said)
    answers = done.stdout.splitlines()
    assert len(answers) == len(UNKNOWN)
    for answer, (line, expected) in zip(answers, UNKNOWN.items(), strict=True):
        assert re.match(expected, answer), (line, answer)


def test_pytorch_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    with pytest.raises(RuntimeError, match=r"\[torch_names.install\] PyTorch is imported already"):
        torch_names.install()
    assert torch_names._names not in sys.meta_path


def test_a_second_install_does_nothing() -> None:
    code = (
        "import tapegrad.torch_names as t; t.install(); t.install(); t.uninstall(); t.uninstall()"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("import torch") == 1


PROGRAM = """
import pickle, sys, torch
class Point:
    x = 1
print(sys.argv[1:], __name__, pickle.loads(pickle.dumps(Point())).x, torch.ones(2).sum().item())
sys.exit(3)
"""


def test_run_is_python_for_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import torch\nlibrary = torch.nn.Module.__module__\n")
    (tmp_path / "main.py").write_text(f"import helper\nprint(helper.library)\n{PROGRAM}")
    for command in (("main.py",), ("-m", "main")):
        done = run("-m", "tapegrad.run", *command, "-a", "b", cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        assert done.stdout.split("\n")[:2] == [
            "tapegrad.nn.module", "['-a', 'b'] __main__ 1 2.0"
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [((), 2, "tapegrad.run script.py"), (("no.py",), 2, "no file 'no.py'"), (("-h",), 0, "")],
)
def test_run_says_what_it_wants(arguments: tuple, status: int, said: str) -> None:
    done = run("-m", "tapegrad.run", *arguments)
    assert done.returncode == status
    assert said in done.stderr


def test_the_page_is_what_the_script_writes() -> None:
    assert write_names.PAGE.read_text() == write_names.page(), "run python tools/write_names.py"


# ---------------------------------------------------------------------- the older constructors

MADE: list[Callable[[Any], Any]] = [
    lambda t: t.Tensor(),
    lambda t: t.Tensor(2, 3),
    lambda t: t.Tensor(t.ones(2, 3).size()),
    lambda t: t.Tensor(t.tensor(2), np.int64(3)),
    lambda t: t.Tensor(0, device="cpu"),
    lambda t: t.Tensor(size=(2, 3)),
    lambda t: t.DoubleTensor(3, 2),
    lambda t: t.BFloat16Tensor(1, 2),
    lambda t: t.ones(2, dtype=t.int16).new(2, 3),
    lambda t: t.ones(2).new(),
    lambda t: t.ones(2).new(t.ones(4, 5).size()),
]
FILLED: list[Callable[[Any], Any]] = [
    lambda t: t.Tensor([2, 3]),
    lambda t: t.Tensor((2, 3)),
    lambda t: t.Tensor(range(3)),
    lambda t: t.Tensor([[1, 2], [3, 4]]),
    lambda t: t.Tensor([t.tensor(1.0), t.ones(1, 1), 2]),
    lambda t: t.tensor([t.ones(1), t.ones(1)]),
    lambda t: t.Tensor([]),
    lambda t: t.Tensor(data=[1.5]),
    lambda t: t.Tensor(np.arange(3)),
    lambda t: t.Tensor(np.float32([1.5, 2.5])),
    lambda t: t.Tensor(t.tensor([1, 2])),
    lambda t: t.Tensor(t.tensor(3)),
    lambda t: t.LongTensor([2.5, -2.5]),
    lambda t: t.LongTensor(np.array([1.5])),
    lambda t: t.BoolTensor([1, 0, 2]),
    lambda t: t.ByteTensor([1, 255]),
    lambda t: t.HalfTensor([1.5]),
    lambda t: t.CharTensor(t.tensor([1], dtype=t.int8)),
    lambda t: t.ones(2, dtype=t.int64).new([3.7, 4]),
    lambda t: t.ones(2, dtype=t.float64).new(np.ones(3, "float32")),
    lambda t: t.ones(2).new(t.tensor([5.0])),
    lambda t: t.ones(2).type("torch.LongTensor"),
    lambda t: t.ones(2).type(t.ShortTensor),
    lambda t: t.ones(2).type(t.float16),
    lambda t: t.ones(2, dtype=t.int64).type(t.Tensor),
    lambda t: t.arange(4).resize_(2, 2),
    lambda t: t.arange(6).resize_(2, 2),
    lambda t: t.arange(6)[2:].resize_(3),
    lambda t: t.arange(6).resize_as_(t.ones(3, 2)),
    lambda t: t.ones(3).apply_(lambda v: v + 1),
    lambda t: t.ones(2, 2).map_(t.tensor([1.0, 2.0]), lambda a, b: a - b),
]
REFUSED: list[Callable[[Any], Any]] = [
    lambda t: t.Tensor(3.5),
    lambda t: t.Tensor(True),
    lambda t: t.Tensor(None),
    lambda t: t.Tensor("a"),
    lambda t: t.Tensor({1: 2}),
    lambda t: t.Tensor(-1),
    lambda t: t.Tensor(2, "a"),
    lambda t: t.Tensor([1], [2]),
    lambda t: t.Tensor([[1, 2], [3]]),
    lambda t: t.Tensor([t.ones(2)]),
    lambda t: t.Tensor(2, dtype=t.float64),
    lambda t: t.Tensor(2, requires_grad=True),
    lambda t: t.FloatTensor(2, device="cuda"),
    lambda t: t.LongTensor(t.tensor([1.0])),
    lambda t: t.ones(2).new(t.tensor([1])),
    lambda t: t.ones(2).new(1.5),
    lambda t: t.ones(2).type("LongTensr"),
    lambda t: t.ones(2).type(3),
    lambda t: t.set_default_tensor_type(t.LongTensor),
    lambda t: t.set_default_tensor_type(t.float32),
    lambda t: t.arange(4).resize_(-2),
    lambda t: t.ones(2, requires_grad=True).resize_(1),
    lambda t: t.ones(2).map_(t.ones(3), max),
    lambda t: t.set_num_threads("a"),
    lambda t: t.set_num_threads(0),
    lambda t: t.set_num_interop_threads(0),
    lambda t: t.cuda.set_device("cpu"),
    lambda t: t.nn.MSELoss(t.ones(2), t.ones(2)),
]
OURS = (TypeError, ValueError, RuntimeError)


def described(x: Any, values: bool) -> tuple:
    name = str(x.dtype).rpartition(".")[2]
    return name, tuple(x.shape), x.float().tolist() if values else None


@pytest.mark.parametrize("call", MADE + FILLED)
def test_tensors_are_made_as_by_pytorch(call: Callable, torch: Any) -> None:
    pytest.importorskip("ml_dtypes", reason="an optional dtype")
    values = call in FILLED
    assert described(call(tg), values) == described(call(torch), values)


@pytest.mark.parametrize("call", REFUSED)
def test_wrong_calls_raise_what_pytorch_raises(call: Callable, torch: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as expected:  # noqa: PT011
            call(torch)
    with pytest.raises(OURS) as got:
        call(tg)
    if expected.type in OURS and call is not REFUSED[-1]:
        assert isinstance(got.value, expected.type)
    assert re.match(r"\[[\w.]+\] |MSELoss is made first", str(got.value))


def test_tensor_of_a_tensor_shares_its_memory_and_history() -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    z = tg.Tensor(y)
    z.mul_(3)
    assert y.tolist() == z.tolist() == [6, 6]
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]
    array = np.ones(2, "float32")
    assert tg.Tensor(array).data_ptr() == array.ctypes.data
    assert copy.deepcopy(tg.Tensor([1.0])).tolist() == [1.0]


class Own(tg.Tensor):
    pass


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_tensor_on_a_device(device: str) -> None:
    assert tg.Tensor([1, 2], device=device).device == tg.device(device)
    x = tg.ones(1, device=device)
    assert x.new(2).device is x.device
    assert x.new([2.0]).device is x.device
    assert isinstance(x, tg.FloatTensor)
    assert x.type(tg.LongTensor).device is x.device
    assert x.is_cpu
    assert type(Own([1, 2])) is Own


@pytest.mark.parametrize("name", [*tensor_types.NAMES])
def test_a_class_is_a_dtype_on_a_kind_of_device(name: str) -> None:
    if name == "BFloat16":
        pytest.importorskip("ml_dtypes", reason="an optional dtype")
    kind = getattr(tg, f"{name}Tensor")
    on_gpu = getattr(tg.cuda, f"{name}Tensor")
    x = tg.zeros(2, dtype=kind.dtype)
    assert [n for n in tensor_types.NAMES if isinstance(x, getattr(tg, f"{n}Tensor"))] == [name]
    assert isinstance(tg.nn.Parameter(x, requires_grad=False), kind)
    assert not isinstance(x, on_gpu)
    assert not isinstance(x.numpy(), kind)
    assert (
        x.type()
        == tg.typename(x)
        == f"tapegrad.{name}Tensor"
        == f"{kind.__module__}.{kind.__name__}"
    )
    assert repr(on_gpu) == f"<class 'tapegrad.cuda.{name}Tensor'>"
    assert (on_gpu.dtype, on_gpu.is_cuda, kind.is_cuda) == (kind.dtype, True, False)


def test_the_default_type_of_tensors() -> None:
    before = tg.get_default_dtype()
    try:
        for kind in ("torch.DoubleTensor", tg.HalfTensor, "tapegrad.FloatTensor"):
            tg.set_default_tensor_type(kind)
            assert isinstance(tg.Tensor([1]), tensor_types.named_type(kind))
            assert tg.zeros(1).dtype == tg.get_default_dtype()
    finally:
        tg.set_default_dtype(before)


def test_storages_are_the_memory_of_all_views() -> None:
    x = tg.arange(6, dtype=tg.int16).reshape(2, 3)
    storage = x[1].storage()
    assert (storage.size(), len(storage), storage.nbytes(), storage.dtype) == (6, 6, 12, tg.int16)
    assert storage.data_ptr() == x.data_ptr() != x[1].data_ptr()
    assert storage.tolist() == [*storage] == [0, 1, 2, 3, 4, 5]
    assert (storage[1], storage[:2], storage.type()) == (1, [0, 1], "tapegrad.ShortStorage")
    untyped = x.t().untyped_storage()
    assert (untyped.size(), untyped.element_size(), untyped[2]) == (12, 1, 1)
    assert untyped.data_ptr() == storage.untyped().data_ptr()
    assert tg.is_storage(untyped)
    assert not tg.is_storage(x)
    with pytest.raises(NotImplementedError, match=r"x\.data = "):
        untyped.resize_(0)


WRITTEN: list[Callable[[Any, Any], Any]] = [
    lambda t, s: s.__setitem__(0, 5),
    lambda t, s: s.__setitem__(slice(1, 3), 5),
    lambda t, s: s.__setitem__(-1, 2.5),
    lambda t, s: s.fill_(3),
    lambda t, s: s.copy_(t.ones(6).storage()),
    lambda t, s: s.untyped().fill_(0),
    lambda t, s: s.__setitem__(7, 1),
    lambda t, s: s.__setitem__(0, "a"),
    lambda t, s: s.copy_(t.ones(5).storage()),
]


@pytest.mark.parametrize("write", WRITTEN)
@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_what_is_written_to_a_storage_is_in_its_tensors(
    write: Callable, device: str, torch: Any
) -> None:
    def written(t: Any) -> Any:
        x = t.arange(6.0, device=device if t is tg else "cpu").view(2, 3)
        try:
            write(t, x[1].storage())
        except (IndexError, TypeError, RuntimeError) as error:
            return x.tolist(), type(error)
        return x.tolist()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert written(tg) == written(torch)


def test_what_is_written_to_a_storage_counts_as_a_change() -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * x
    x.storage()[0] = 3
    with pytest.raises(RuntimeError, match="has changed it in place"):
        y.sum().backward()


SET: list[Callable[[Any, Any], Any]] = [
    lambda t, x: x.set_(t.arange(4.0)),
    lambda t, x: x.set_(t.arange(4.0).storage()),
    lambda t, x: x.set_(t.arange(4.0).storage(), 1, (2,), (1,)),
    lambda t, x: x.set_(t.arange(4.0).untyped_storage(), 1, (2, 2), (1, 1)),
    lambda t, x: x.set_(t.arange(4.0), 2, (2,)),
    lambda t, x: x.set_(t.arange(4.0).storage(), 0, (2, 2)),
    lambda t, x: x.set_(),
    lambda t, x: x.set_(t.arange(4)),
    lambda t, x: x.set_(t.arange(4).storage()),
    lambda t, x: x.set_(t.arange(4.0).storage(), -1, (2,), (1,)),
    lambda t, x: x.requires_grad_().set_(t.arange(4.0)),
    lambda t, x: x.set_(3),
]


@pytest.mark.parametrize("change", SET)
def test_a_tensor_may_be_set_to_other_memory(change: Callable, torch: Any) -> None:
    def changed(t: Any) -> Any:
        x = t.ones(3)
        try:
            assert change(t, x) is x
        except (TypeError, RuntimeError) as error:
            return x.tolist(), type(error)
        return x.tolist(), x.stride() if x.numel() else None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert changed(tg) == changed(torch)


def test_a_tensor_that_was_set_shares_the_memory() -> None:
    x, y = tg.zeros(4), tg.ones(2)
    y.set_(x.storage(), 1, (2,))
    y.fill_(7)
    assert x.tolist() == [0, 7, 7, 0]
    z = tg.ones(1, requires_grad=True)
    with tg.no_grad():
        assert z.set_(x).requires_grad
    (z * 2).sum().backward()
    assert z.grad.shape == (4,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("meta", "tensors without data are not here"),
        ("mps:0", "Apple's GPUs are not used"),
        ("xpu", "Intel's GPUs are not used"),
        ("xla", "TPUs are not used"),
    ],
)
def test_devices_of_others_are_refused_with_what_to_use(name: str, said: str) -> None:
    for refused in (tg.device, tg.ones(1).to, lambda device: tg.nn.Linear(1, 1, device=device)):
        with pytest.raises(ValueError, match=f"unknown device '{name}': {said}; use 'cpu', 'cuda'"):
            refused(name)


def test_where_memory_is() -> None:
    x = tg.ones(2)
    assert x.pin_memory() is x
    assert not x.is_pinned()
    assert not x.is_shared()
    with pytest.raises(NotImplementedError, match=r"\[share_memory_\] processes do not share"):
        x.share_memory_()


BUFFERS: list[Callable[[Any], Any]] = [
    lambda t: t.frombuffer(bytearray(range(6)), dtype=t.uint8),
    lambda t: t.frombuffer(bytearray(range(9)), dtype=t.int16, count=2, offset=1),
    lambda t: t.frombuffer(np.float32([1, 2]).data, dtype=t.float32, requires_grad=True),
]


@pytest.mark.parametrize("call", BUFFERS)
def test_buffers_are_read_as_by_pytorch(call: Callable, torch: Any) -> None:
    got, expected = call(tg), call(torch)
    assert described(got, True) == described(expected, True)
    assert got.requires_grad == expected.requires_grad


def test_a_buffer_is_shared_and_checked() -> None:
    buffer = bytearray(4)
    tg.frombuffer(buffer, dtype=tg.uint8).fill_(7)
    assert buffer == b"\7" * 4
    for wrong in ({"dtype": tg.int64}, {"dtype": tg.uint8, "offset": 5}):
        with pytest.raises(ValueError, match=r"\[frombuffer\]"):
            tg.frombuffer(buffer, **wrong)
    with pytest.raises(TypeError, match=r"\[frombuffer\]"):
        tg.frombuffer(3, dtype=tg.uint8)


def test_checkpoints_are_read_as_scripts_say(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    tg.save({"w": tg.ones(2)}, path)
    places = (None, "cpu", tg.device("cpu"), {"cuda:0": "cpu"}, lambda storage, loc: storage)
    for place in places:
        for only in (True, False):
            state = tg.load(path, map_location=place, weights_only=only)
            assert state["w"].tolist() == [1, 1]
    assert tg.load(path, map_location={"cpu": "emulated"})["w"].device == tg.device("emulated")
    with pytest.raises(TypeError, match="map_location must return the storage"):
        tg.load(path, map_location=lambda storage, loc: 3)


# ---------------------------------------------------------------------- losses

LOSSES = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cross_entropy", "hinge_embedding_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
]  # fmt: skip
FLAGS = [(False, None), (True, None), (None, False), (None, True), (False, False), (False, True)]


def operands(lib: Any, loss: str) -> list:
    rng = np.random.default_rng(5)
    a, b, c = (lib.tensor(rng.uniform(0.1, 0.9, (4, 3))) for _ in range(3))
    classes, signs = lib.tensor([0, 2, 1, 1]), lib.tensor([1, -1, 1, -1])
    if loss in ("cross_entropy", "nll_loss", "multi_margin_loss"):
        return [a, classes]
    if loss == "multilabel_margin_loss":
        return [a, lib.tensor([[0, -1, 0], [1, 2, -1], [-1, 0, 0], [2, 1, 0]])]
    if loss in ("hinge_embedding_loss", "soft_margin_loss"):
        return [a, (b > 0.5).to(a.dtype) * 2 - 1]
    if loss == "cosine_embedding_loss":
        return [a, b, signs]
    if loss == "margin_ranking_loss":
        return [a[:, 0], b[:, 0], signs]
    return [a, b, c] if loss == "triplet_margin_loss" else [a, b]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("loss", LOSSES)
def test_size_average_and_reduce_mean_what_they_mean_in_pytorch(
    loss: str, flags: tuple, torch: Any
) -> None:
    given = dict(zip(("size_average", "reduce"), flags, strict=True))
    with pytest.warns(UserWarning, match="reduction="):
        expected = getattr(torch.nn.functional, loss)(*operands(torch, loss), **given)
    with pytest.warns(UserWarning, match=rf"\[{loss}\] .*reduction='") as warned:
        got = getattr(F, loss)(*operands(tg, loss), **given)
    assert warned[0].filename == __file__
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_take_their_arguments_in_pytorchs_order(loss: str, torch: Any) -> None:
    """By position: the flags stand before ``reduction``, and are not it."""
    names = [*inspect.signature(getattr(torch.nn.functional, loss)).parameters]
    assert [*inspect.signature(getattr(F, loss)).parameters] == names
    own = next(
        n
        for n in tg.nn.modules.loss.__all__
        if vars(getattr(tg.nn, n)).get("function") is getattr(F, loss)
    )
    theirs = [*inspect.signature(getattr(torch.nn, own).__init__).parameters]
    assert [*inspect.signature(getattr(tg.nn, own).__init__).parameters] == theirs


def test_flags_of_loss_modules() -> None:
    x, t = tg.randn(3, 4), tg.tensor([0, 1, 2])
    for flags, reduction in (((False,), "sum"), ((True, -100, False), "none"), ((True,), "mean")):
        with pytest.warns(UserWarning, match=rf"\[CrossEntropyLoss\].*'{reduction}'") as warned:
            loss = tg.nn.CrossEntropyLoss(None, *flags)
        assert warned[0].filename == __file__
        assert loss.reduction == reduction
        assert loss(x, t).tolist() == F.cross_entropy(x, t, reduction=reduction).tolist()
    with pytest.raises(TypeError, match=r"CrossEntropyLoss is made first and called then"):
        tg.nn.CrossEntropyLoss(x, t)
    with pytest.raises(TypeError, match=r"\[MSELoss\] size_average must be True or False"):
        tg.nn.MSELoss("sum")


# ---------------------------------------------------------------------- modules by other addresses


@pytest.mark.parametrize("file", modules._FILES)
def test_layers_are_where_pytorchs_files_have_them(file: str, torch: Any) -> None:
    theirs = importlib.import_module(f"torch.nn.modules.{file}")
    ours = importlib.import_module(f"tapegrad.nn.modules.{file}")
    assert getattr(tg.nn.modules, file) is ours
    expected = {
        name
        for name, value in vars(theirs).items()
        if isinstance(value, type) and value.__module__ == theirs.__name__ and hasattr(tg.nn, name)
    }
    assert expected <= {*ours.__all__}
    for name in ours.__all__:
        assert getattr(ours, name) is getattr(tg.nn, name)
    assert {*modules._PRIVATE.get(file, ())} <= {*dir(theirs)}


def test_bases_that_scripts_ask_for() -> None:
    m = tg.nn.modules
    assert isinstance(tg.nn.BatchNorm1d(2), m.batchnorm._BatchNorm)
    assert not isinstance(tg.nn.InstanceNorm1d(2), m.batchnorm._BatchNorm)
    assert isinstance(tg.nn.Conv2d(1, 1, 1), m.conv._ConvNd)
    assert isinstance(tg.nn.ConvTranspose2d(1, 1, 1), m.conv._ConvTransposeNd)
    assert isinstance(tg.nn.MSELoss(), m.loss._Loss)
    assert isinstance(tg.nn.Dropout2d(), m.dropout._DropoutNd)
    assert m.utils._triple(2) == (2, 2, 2)
    assert m.utils._ntuple(4)((1, 2)) == (1, 2)
    assert tg.utils.data.dataset is tg.data.dataset
    assert importlib.import_module("tapegrad.utils.data.sampler") is tg.data.sampler


# ---------------------------------------------------------------------- stand-ins


def test_what_is_compiled_is_returned() -> None:
    model = tg.nn.Linear(1, 1)
    assert tg.compile(model, mode="max-autotune") is model
    assert tg.jit.trace(model, tg.ones(1, 1)) is model
    assert tg.jit.trace_module(model, {"forward": tg.ones(1, 1)}) is model

    def double(x: Any) -> Any:
        return 2 * x

    importlib.import_module("tapegrad._dynamo")
    for decorator in (
        tg.jit.script, tg.jit.ignore(drop=True), tg.jit.unused, tg.compile(fullgraph=True),
        tg.compiler.disable(recursive=False), tg._dynamo.optimize("inductor"), tg._dynamo.disable,
    ):  # fmt: skip
        assert decorator(double) is double
    assert not tg.jit.is_scripting()
    assert tg.jit.annotate(int, 3) == 3
    assert tg.jit.wait(tg.jit.fork(double, 2)) == 4

    class Scripted(tg.jit.ScriptModule):
        pass

    assert isinstance(Scripted(), tg.nn.Module)
    assert not isinstance(model, tg.jit.ScriptModule)
    with tg.profiler.record_function("forward"), tg.jit.optimized_execution(False):
        pass


STANDING = [
    (home, name, value.stand_in)
    for home in write_names.STAND_INS
    for name in write_names.public_names(write_names.module(home))
    if hasattr(value := getattr(write_names.module(home), name), "stand_in")
]


@pytest.mark.parametrize(("home", "name", "kind"), STANDING)
def test_stand_ins_do_what_the_page_says(home: str, name: str, kind: stand_in.Kind) -> None:
    function, given = getattr(write_names.module(home), name), object()
    if kind.does == stand_in.REFUSED:
        with pytest.raises(NotImplementedError) as error:
            function(given)
        assert re.match(rf"\[[\w.]+\.{name}\] there is nothing like it here: ", str(error.value))
        assert kind.why in str(error.value)
    elif kind.does == stand_in.RETURNS:
        assert function(given) is given
    elif kind.does == stand_in.NOTHING:
        assert isinstance(function(given), stand_in.Nothing)
    else:
        assert kind.does == f"{stand_in.ANSWERS}, {function(given)!r}"


def test_what_is_refused_under_a_capital_is_a_class() -> None:
    """Scripts ask ``isinstance(model, FSDP)``, and derive from it, before anything is called."""
    wrapper = importlib.import_module("tapegrad.distributed.fsdp").FullyShardedDataParallel

    class Mine(wrapper):
        pass

    assert not isinstance(tg.nn.Linear(1, 1), wrapper)
    with pytest.raises(NotImplementedError, match=r"distributed\.FullyShardedDataParallel\] there"):
        Mine(tg.nn.Linear(1, 1), device_id=0)


def test_attention_is_computed_in_one_way() -> None:
    kinds = tg.nn.attention.SDPBackend
    with tg.nn.attention.sdpa_kernel([kinds.MATH, kinds.FLASH_ATTENTION], set_priority=True):
        pass
    with pytest.raises(TypeError, match=r"\[sdpa_kernel\] takes SDPBackends, got str"):
        tg.nn.attention.sdpa_kernel("math").__enter__()


def test_safe_globals_are_refused_with_the_reason() -> None:
    with pytest.raises(NotImplementedError, match=r"tapegrad\.load unpickles nothing"):
        tg.serialization.add_safe_globals([set])


SWITCHES = """
import torch.backends.cudnn as cudnn
cudnn.benchmark, cudnn.deterministic, cudnn.enabled = True, True, True
assert torch.backends.cudnn is cudnn
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cuda.enable_flash_sdp(False)
with cudnn.flags(enabled=False), torch.backends.mkldnn.flags(enabled=False):
    pass
assert cudnn.version() is None and not cudnn.is_available()
assert not torch.backends.mps.is_available() and not torch.backends.mps.is_built()
torch.backends.openmp.is_available(), torch.backends.mkl.is_available()
torch.use_deterministic_algorithms(True)
torch.set_deterministic_debug_mode("default")
torch.set_warn_always(False)
assert not torch.is_warn_always_enabled()
torch.set_num_interop_threads(2)
assert torch.get_num_interop_threads() == 2 and torch.get_num_threads() >= 1
assert torch.get_device_module() is torch.cpu and torch.get_device(torch.ones(1)) == -1
assert torch.cpu.is_available() and torch.cpu.current_device() == "cpu"
torch.cpu.synchronize()
assert not torch.xpu.is_available() and torch.mps.device_count() == 0
assert not torch.distributed.is_initialized()
assert torch.ones(1).is_same_size(torch.zeros(1)) and torch.is_signed(torch.ones(1))
assert not (torch.is_conj(torch.ones(1)) or torch.is_neg(torch.ones(1)))
x = torch.ones(1, 2, 3, 4).to(memory_format=torch.channels_last)
assert x.contiguous(memory_format=torch.channels_last).shape == (1, 2, 3, 4)
assert x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).is_contiguous(
    memory_format=torch.channels_last
)
torch.manual_seed(3)
first = torch.rand(2).tolist()
with torch.random.fork_rng():
    torch.manual_seed(8)
    torch.rand(5)
second = torch.rand(2).tolist()
torch.manual_seed(3)
assert [torch.rand(2).tolist() for _ in range(2)] == [first, second]
assert torch.initial_seed() == 3 == torch.default_generator.initial_seed()
"""


@pytest.mark.parametrize("library", ["tapegrad", "torch"])
def test_switches_that_scripts_set(library: str) -> None:
    if library == "torch":
        pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    name = "import torch\n"
    if library == "tapegrad":
        name = "import tapegrad.torch_names; tapegrad.torch_names.install()\n" + name
    done = run("-W", "ignore", "-c", name + SWITCHES)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- GPUs, and none


ASKED = [
    "memory_allocated()", "max_memory_allocated()", "memory_reserved()", "max_memory_reserved()",
    "is_bf16_supported()", "is_initialized()", "is_available()", "device_count()",
    "empty_cache()", "manual_seed(1)", "manual_seed_all(1)", "set_device(-1)",
    "get_rng_state_all()", "set_rng_state_all([])", "seed()", "seed_all()",
]  # fmt: skip
NEEDED = [
    "current_device()", "set_device(0)", "get_device_name()", "get_device_properties(0)",
    "get_device_capability()", "mem_get_info()", "current_stream()", "default_stream()",
    "Event(enable_timing=True)", "Stream()", "synchronize()", "init()",
    "set_per_process_memory_fraction(0.5)", "device(0).__enter__()", "FloatTensor([1.0])",
]  # fmt: skip


@pytest.mark.skipif(tg.cuda.is_available(), reason="this machine has a GPU")
class TestWithoutGPU:
    @pytest.mark.parametrize("call", ASKED)
    def test_questions_have_pytorchs_answers(self, call: str, torch: Any) -> None:
        if torch.cuda.is_available():
            pytest.skip("PyTorch sees a GPU")
        assert eval(f"c.{call}", {"c": tg.cuda}) == eval(f"c.{call}", {"c": torch.cuda})

    @pytest.mark.parametrize("call", NEEDED)
    def test_what_needs_a_gpu_says_so(self, call: str) -> None:
        kind = TypeError if "Tensor" in call else RuntimeError
        with pytest.raises(kind, match=r"^\[[\w.]+\] .*(CuPy|GPU)"):
            eval(f"c.{call}", {"c": tg.cuda})

    def test_nothing_is_freed_or_reset(self) -> None:
        tg.cuda.reset_peak_memory_stats()
        tg.cuda.ipc_collect()
        assert tg.cuda.memory_stats() == {}
        assert issubclass(tg.cuda.OutOfMemoryError, RuntimeError)
        assert tg.OutOfMemoryError is tg.cuda.OutOfMemoryError
        with tg.cuda.stream(None), tg.cuda.device(None), tg.cuda.device_of(tg.ones(1)):
            pass

    def test_there_is_no_accelerator(self) -> None:
        assert not tg.accelerator.is_available()
        assert tg.accelerator.current_accelerator() is None
        assert tg.accelerator.device_count() == 0
        with pytest.raises(RuntimeError, match=r"\[synchronize\]"):
            tg.accelerator.synchronize()


@pytest.mark.gpu
class TestWithGPU:
    def test_memory_is_counted(self) -> None:
        tg.cuda.reset_peak_memory_stats()
        before = tg.cuda.memory_allocated()
        x = tg.zeros(1 << 20, device="cuda")
        assert tg.cuda.memory_allocated() - before == x.nbytes
        del x
        assert tg.cuda.memory_allocated() == before
        assert tg.cuda.max_memory_allocated() - before >= 4 << 20
        assert tg.cuda.max_memory_reserved() >= tg.cuda.max_memory_allocated()
        assert "allocated_bytes.all.peak" in tg.cuda.memory_summary()
        free, total = tg.cuda.mem_get_info()
        assert 0 < free <= total

    def test_a_gpu_is_described(self) -> None:
        assert tg.cuda.get_device_name()
        assert tg.cuda.get_device_capability() >= (5, 0)
        properties = tg.cuda.get_device_properties(tg.device("cuda:0"))
        assert properties.total_memory > 0
        assert tg.accelerator.current_accelerator() == tg.device("cuda")
        assert tg.cuda.is_bf16_supported()

    def test_cuda_is_the_gpu_that_was_set(self) -> None:
        last = tg.cuda.device_count() - 1
        assert tg.cuda.current_device() == 0
        with tg.cuda.device(last):
            assert tg.cuda.current_device() == last
            assert tg.ones(1, device="cuda").device == tg.device(f"cuda:{last}")
        assert tg.device("cuda").index == 0
        tg.cuda.set_device(last)
        assert tg.device("cuda").index == last
        tg.cuda.set_device(0)
        with pytest.raises(RuntimeError, match=r"\[set_device\] .*does not exist"):
            tg.cuda.set_device(last + 1)

    def test_streams_and_events(self) -> None:
        stream = tg.cuda.Stream()
        start, end = (tg.cuda.Event(enable_timing=True) for _ in range(2))
        with tg.cuda.stream(stream):
            assert tg.cuda.current_stream() == stream
            start.record()
            y = tg.ones(100, device="cuda").exp().sum()
            end.record()
        assert tg.cuda.current_stream() == tg.cuda.default_stream() != stream
        tg.cuda.current_stream().wait_stream(stream)
        end.synchronize()
        assert start.elapsed_time(end) >= 0
        assert end.query()
        assert y.item() == pytest.approx(100 * np.e, rel=1e-5)

    def test_tensors_of_its_classes(self) -> None:
        x = tg.cuda.FloatTensor([1, 2])
        assert isinstance(x, tg.cuda.FloatTensor)
        assert not isinstance(x, tg.FloatTensor)
        assert x.type() == "tapegrad.cuda.FloatTensor"
        assert x.type("torch.LongTensor").type() == "tapegrad.LongTensor"
        assert tg.ones(1).type(tg.cuda.HalfTensor).type() == "tapegrad.cuda.HalfTensor"
        assert x.storage().tolist()[:2] == [1, 2]
        with pytest.raises(RuntimeError, match=r"\[pin_memory\]"):
            x.pin_memory()


# ---------------------------------------------------------------------- optional packages


def test_threads_are_set_through_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    pools = [{"user_api": "blas", "num_threads": 3}, {"user_api": "openmp", "num_threads": 9}]
    stub = types.ModuleType("threadpoolctl")
    stub.threadpool_info = lambda: pools  # type: ignore[attr-defined]
    stub.threadpool_limits = lambda **given: limits.append(given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "threadpoolctl", stub)
    assert tg.get_num_threads() == 3
    tg.set_num_threads(2)
    assert limits == [{"limits": 2}]


def test_threads_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in settings._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert tg.get_num_threads() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert tg.get_num_threads() == 5
    with pytest.raises(ImportError, match=r"\[set_num_threads\] .*'tapegrad\[train\]'"):
        tg.set_num_threads(2)


def test_threads_are_really_set() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra train")
    with threadpoolctl.threadpool_limits():
        tg.set_num_threads(1)
        assert tg.get_num_threads() == 1


def test_logs_get_arrays_for_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Writer:
        logdir = "here"

        def __init__(self, *args: Any):
            calls.append(args)

        def add_scalar(self, *args: Any, **options: Any) -> None:
            calls.append((args, options))

        def close(self) -> None:
            calls.append("closed")

    stub = types.ModuleType("tensorboardX")
    stub.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", stub)
    with tg.utils.tensorboard.SummaryWriter(Path("logs"), flush_secs=5) as writer:
        writer.add_scalar("loss", tg.ones(2, requires_grad=True), global_step=3)
        writer.add_scalar("all", {"a": [tg.ones(1, dtype=tg.float16)]})
        assert writer.get_logdir() == writer.log_dir == "here"
    assert calls[0] == ("logs", "", None, 10, 5, "")
    (tag, array), options = calls[1]
    assert (tag, type(array), options) == ("loss", np.ndarray, {"global_step": 3})
    assert calls[2][0][1]["a"][0].dtype == np.float32
    assert calls[3:] == ["closed"]
    with pytest.raises(NotImplementedError, match="no graph"):
        writer.add_graph(tg.nn.Linear(1, 1))


def test_logs_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"\[SummaryWriter\] .*'tapegrad\[train\]'"):
        tg.utils.tensorboard.SummaryWriter()


def test_logs_are_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the extra train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that package's own
        with tg.utils.tensorboard.SummaryWriter(tmp_path) as writer:
            writer.add_scalar("loss", tg.tensor(0.5), 1)
            writer.add_histogram("weights", tg.ones(5))
    assert any(p.stat().st_size > 50 for p in tmp_path.glob("events*"))


def test_memory_through_dlpack() -> None:
    x = tg.ones(2)
    array = np.from_dlpack(x)
    assert tg.utils.dlpack.from_dlpack(array).data_ptr() == x.data_ptr()
    assert "dltensor" in repr(tg.utils.dlpack.to_dlpack(x))


# ---------------------------------------------------------------------- data


def test_data_is_divided_and_joined_as_by_pytorch(torch: Any) -> None:
    def shares(lib: Any) -> list:
        data = lib.utils.data
        found = []
        for drop_last in (False, True):
            for rank in range(3):
                sampler = data.distributed.DistributedSampler(
                    range(10), 3, rank, False, 0, drop_last
                )
                sampler.set_epoch(2)
                found.append((len(sampler), sampler.total_size, [*sampler]))
        found.append([*data.distributed.DistributedSampler(range(2), 5, 4, shuffle=False)])

        class Stream(data.IterableDataset):
            def __iter__(self) -> Any:
                return iter(range(3))

            def __len__(self) -> int:
                return 3

        chain = Stream() + Stream()
        found.append((type(chain).__name__, [*chain], len(chain)))
        stacks = data.StackDataset(range(3), "abc"), data.StackDataset(a=range(2), b=[5, 6])
        found.append([(len(stack), stack[1]) for stack in stacks])
        found.append([batch.tolist() for batch in data.DataLoader(chain, batch_size=4)])
        return found

    assert shares(tg) == shares(torch)


def test_data_under_wrong_conditions() -> None:
    data = tg.utils.data
    with pytest.raises(RuntimeError, match="say num_replicas and rank"):
        data.DistributedSampler(range(3))
    with pytest.raises(ValueError, match="rank must be between 0 and 1, not 2"):
        data.DistributedSampler(range(3), 2, 2)
    with pytest.raises(TypeError, match="chains IterableDatasets, got range"):
        [*data.ChainDataset([range(3)])]
    for args, named in (((), {}), ((range(2),), {"a": range(2)}), ((range(2), range(3)), {})):
        with pytest.raises(ValueError, match="StackDataset"):
            data.StackDataset(*args, **named)


def test_shuffled_shares_are_all_indices_once() -> None:
    orders = []
    for epoch in (0, 1):
        shares = [tg.data.DistributedSampler(range(12), 3, rank, seed=4) for rank in range(3)]
        for share in shares:
            share.set_epoch(epoch)
        orders.append([index for share in shares for index in share])
    assert sorted(orders[0]) == sorted(orders[1]) == [*range(12)]
    assert orders[0] != orders[1]


def test_samples_are_converted_one_by_one(torch: Any) -> None:
    def converted(lib: Any) -> Any:
        sample = {"x": np.arange(2), "y": [np.float32(1.5), "text"], "z": (3, np.ones(1))}
        made = lib.utils.data.default_convert(sample)
        assert isinstance(made["y"][0], lib.Tensor)
        return made["x"].tolist(), made["y"][0].item(), made["y"][1], made["z"][0], type(made["z"])

    assert converted(tg) == converted(torch)
    array = np.zeros(2)
    assert tg.data.default_convert(array).data_ptr() == array.ctypes.data
    assert tg.data.get_worker_info() is None
    assert importlib.import_module("tapegrad.utils.data._utils.collate").default_collate


def test_what_datasets_hold_may_be_annotated() -> None:
    class Pairs(tg.data.Dataset[tuple[tg.Tensor, int]]):
        pass

    assert issubclass(Pairs, tg.data.Dataset)
    assert tg.data.DataLoader[tg.Tensor] is tg.data.DataLoader
    assert tg.data.Sampler[int] is tg.data.Sampler


def test_a_number_is_a_gpu() -> None:
    assert tg.device(1) is tg.device("cuda:1")
    with pytest.raises(ValueError, match="unknown device"):
        tg.device(-1)


def test_a_memory_format_changes_nothing_of_a_module() -> None:
    model = tg.nn.Linear(1, 1)
    assert model.to(memory_format=tg.channels_last) is model
    with pytest.raises(RuntimeError, match=r"\[Module.to\] memory_format"):
        model.to(memory_format="rows")
