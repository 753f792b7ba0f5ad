"""Kernels of one's own for GPUs without nvcc: NVRTC compiles the text that nvcc would. (U07)"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_nvrtc
from own_kernels import GATES, PAIR, SOURCE, gated, gather, summary, swiglu

import tapegrad as tg
from tapegrad import _build
from tapegrad.core import kernels
from tapegrad.core.devices import Device, KernelsMissing
from tapegrad.units import CompileError, Source, Unit, nvrtc, unit

# The package's own kernels are missing, too, where nobody has compiled anything.
pytestmark = pytest.mark.filterwarnings("ignore:using CuPy's functions instead")


@pytest.fixture
def without_nvcc(monkeypatch):
    """A machine with a GPU and CuPy, on which nobody has compiled anything."""

    def missing():
        raise KernelsMissing("the CUDA kernels of tapegrad are not compiled here")

    monkeypatch.delitem(kernels._loaded, "cuda", raising=False)
    monkeypatch.setattr(kernels, "_load_cuda", missing)
    monkeypatch.setattr(_build, "find_nvcc", lambda *_: None)
    if "cupy" not in sys.modules:
        import strict_cupy

        monkeypatch.setitem(sys.modules, "cupy", strict_cupy.module)
    forget_operations()
    yield
    forget_operations()


def forget_operations():
    """Which have found that there are kernels, or that there are none."""
    for device in Device._known.values():
        if device.type == "cuda":
            device._ops.clear()
            vars(device._xp).clear()
            vars(device._xp).update(_operations=device._ops)


def launched(source, name, dtype, *arguments):
    return Unit(source, "cuda")[name, dtype](*arguments, 0)


def test_it_launches(without_nvcc):
    a, b = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    y = np.empty_like(a)
    launched(swiglu.source, "swiglu", "float32", y, a, b, 100, 4, 1, 1, 32, 1, 1, 0)
    np.testing.assert_allclose(y, a * b / (1 + np.exp(-a)), rtol=1e-5)


def test_numbers_are_as_wide_as_parameters(without_nvcc):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    total, largest, at = np.empty(2, "f4"), np.empty(2, "f4"), np.empty(2, "i8")
    arguments = total, largest, at, x, 3, 2.0, 1, True
    launched(summary.source, "summary", None, *arguments, 2, 1, 1, 1, 1, 1, 0)
    assert (total.tolist(), largest.tolist(), at.tolist()) == ([-5, -23], [2, 5], [2, 2])
    parameters = swiglu.source.function("summary").parameters
    converted = [nvrtc._converter(p)(1) for p in parameters if not p.pointer]
    assert [type(v) for v in converted] == [np.int64, np.float64, np.int32, np.bool_]
    assert nvrtc._converter(parameters[0])(None) == 0


def test_shared_memory_is_asked_for_beside_shared_arrays(without_nvcc, monkeypatch):
    """Nobody has to ask for 48 KB, of which 40 are an array's here."""
    monkeypatch.setattr(strict_nvrtc.RawKernel, "max_dynamic_shared_size_bytes", 8 * 1024)
    text = """__global__ void f(float* y) {
        SHARED(fixed, float[10 * 1024]);
        DYNAMIC_SHARED(line, float);
        fixed[9999] = line[4095] = 1;
        y[0] = fixed[9999] + line[4095];
    }"""
    y = np.empty(1, np.float32)
    launched(Source(text, "f.cu", 1, "."), "f", None, y, *[1] * 6, 16 * 1024)
    assert y == 2


def test_a_text_is_another_one_where_a_header_is(without_nvcc, tmp_path, monkeypatch):
    """CuPy keeps what it has compiled by the text, and does not look at headers."""
    texts = []
    monkeypatch.setattr(nvrtc, "launcher", lambda text, *_: texts.append(text))
    (tmp_path / "f.cu").write_text('#include "own.h"\n__global__ void f(float* y) {}\n')
    source = Source((tmp_path / "f.cu").read_text(), "f.cu", 1, str(tmp_path))
    hashes = iter("aab")
    monkeypatch.setattr(_build, "headers_hash", lambda root: next(hashes))
    for own in "112":
        (tmp_path / "own.h").write_text(f"#define OWN {own}\n")
        Unit(source, "cuda")["f", None]
    hashes = iter("c")
    Unit(source, "cuda")["f", None]
    assert texts[0] == texts[1]
    assert len({*texts}) == 3


def test_what_is_refused(without_nvcc):
    with pytest.raises(tg.KernelError, match="launches kernels itself, which takes nvcc"):
        Unit(swiglu.source, "cuda")["with_stream", "float32"]
    text = SOURCE.replace("to_acc(a[i]) *", "to_ac(a[i]) *")
    broken = tg.kernel(text, PAIR, name="swiglu")(gated)
    with pytest.raises(CompileError, match=r"does not compile\n[\s\S]*<kernel swiglu>:5"):
        Unit(broken.source, "cuda")["swiglu", "float32"]
    y = np.empty(4, np.float32)
    with pytest.raises(tg.KernelError, match=r"swiglu \[grid \(0, 1, 1\), block \(32"):
        launched(swiglu.source, "swiglu", "float32", y, y, y, 4, 0, 1, 1, 32, 1, 1, 0)
    launched(swiglu.source, "swiglu", "float32", y, y, y, 4, 1, 1, 1, 32, 1, 1, 100_000)


def test_nvcc_is_taken_where_there_is_one(without_nvcc, monkeypatch):
    monkeypatch.setattr(_build, "find_nvcc", lambda *_: "nvcc")
    with pytest.raises(KernelsMissing, match="not compiled here"):
        Unit(swiglu.source, "cuda")["swiglu", "float32"]


@pytest.mark.gpu
@pytest.mark.parametrize("way", [way for way in GATES if way not in ("launcher", "elementwise")])
def test_a_declaration_is_compiled_by_nvrtc(way, without_nvcc):
    f = GATES[way]
    if getattr(sys.modules["cupy"], "RawModule", None) is strict_nvrtc.RawModule:
        f.units["cuda"] = Unit(f.source, "cuda")  # what others have compiled is not taken
    rng = np.random.default_rng(3)
    given = rng.standard_normal((2, 3, 50))
    a, b = (tg.tensor(v, dtype=tg.float32, device="cuda", requires_grad=True) for v in given)
    x, y = (tg.tensor(v, dtype=tg.float64, requires_grad=True) for v in given)
    for made, exact in zip(
        tg.autograd.grad(f(a, b).square().sum(), (a, b)),
        tg.autograd.grad(gated(x, y).square().sum(), (x, y)),
        strict=True,
    ):
        np.testing.assert_allclose(made.cpu().numpy(), exact.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_fused_kernels_are_compiled_by_nvrtc(without_nvcc, monkeypatch):
    names = []
    launcher = nvrtc.launcher
    monkeypatch.setattr(
        nvrtc, "launcher", lambda text, f, *more: names.append(f.name) or launcher(text, f, *more)
    )
    f = tg.kernel.row("a * rsqrt(mean(a * a) + 1e-6) * exp(b) + 0.125")  # of no other test
    a, b = (tg.randn(5, 300, device="cuda").requires_grad_() for _ in range(2))
    x, y = (t.detach().cpu().double().requires_grad_() for t in (a, b))
    made = [f(a, b), *tg.autograd.grad(f(a, b).sum(), (a, b))]
    exact = [f.body(x, y), *tg.autograd.grad(f.body(x, y).sum(), (x, y))]
    for got, wanted in zip(made, exact, strict=True):
        np.testing.assert_allclose(got.numpy(force=True), wanted.numpy(force=True), 1e-4, 1e-4)
    assert len(names) == 2


# ---- NVRTC itself, which needs no GPU ----


def find_nvrtc():
    """The library of NVIDIA's wheel, or None."""
    spec = importlib.util.find_spec("nvidia")
    for folder in [] if spec is None else spec.submodule_search_locations:
        for builtins in Path(folder).glob("c*/lib/libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        for found in Path(folder).glob("c*/lib/libnvrtc.so.*"):
            return ctypes.CDLL(str(found))
    return None


def say(library, text, options, name):
    """(status, what NVRTC says)."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"unit.cu", 0, None, None)
    library.nvrtcAddNameExpression(program, name.encode())
    told = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = library.nvrtcCompileProgram(program, len(options), told)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kernel", [swiglu, gather, summary], ids=lambda k: k.name)
def test_nvrtc_compiles_the_text(kernel, dtype):
    library, nvcc = find_nvrtc(), _build.find_nvcc()
    if library is None or nvcc is None:
        pytest.skip("needs NVIDIA's wheel nvidia-cuda-nvrtc, and CUDA's headers")
    own = nvrtc.options(kernel.source.folder)
    headers = f"-I{_build.toolkit(nvcc) / 'include'}"
    for launch in filter(None, (kernel.forward, kernel.backward)):
        function = launch.function
        of = dtype if function.template else None
        text = unit.unit_text(kernel.source, function, of)
        name = function.name + unit._element(of)
        assert say(library, text, (*own, headers, "-arch=sm_90"), name) == (0, "")
    text = text.replace("int64_t cols", "int64_t columns")
    status, said = say(library, text, (*own, headers, "-arch=sm_90"), name)
    assert kernel is swiglu or (status and f"{kernel.source.file}(" in said)


def test_headers_of_rows_and_fused_kernels_are_read_by_nvrtc():
    library, nvcc = find_nvrtc(), _build.find_nvcc()
    if library is None or nvcc is None:
        pytest.skip("needs NVIDIA's wheel nvidia-cuda-nvrtc, and CUDA's headers")
    headers = f"-I{_build.toolkit(nvcc) / 'include'}"
    for header in ("fused.cuh", "philox.cuh", "column_sum.cuh", "softmax.cuh"):
        text = f"""
#include "{header}"
__global__ void kernel(float* y) {{ y[0] = to_acc(y[1]); }}
"""
        assert say(library, text, (*nvrtc.options("."), headers), "kernel") == (0, "")
