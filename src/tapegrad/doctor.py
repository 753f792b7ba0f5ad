"""``tapegrad doctor``: what is installed, what is missing, and the one next step.

Nothing here may fail, whatever state the machine is in: packages are looked up without importing
them, the driver is asked through its own library, extension modules are loaded in a process of
their own.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from . import _build
from .core import accelerator, native

EXTRAS = {
    "data": ("pyarrow", "PIL"),
    "io": ("ml_dtypes",),
    "mpi": ("mpi4py",),
    "ray": ("ray",),
    "special": ("scipy",),
    "train": ("tensorboardX", "threadpoolctl", "tqdm"),
    "viz": ("matplotlib", "graphviz"),
}
_SUCCESS = 0
_CUPY = 14  # the first major version with bfloat16
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass
class Gpu:
    name: str
    memory: int
    capability: str  # "9.0"


@dataclass
class Driver:
    cuda: str = ""  # the newest CUDA version it supports, "" without a driver
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


@dataclass
class Extension:
    architectures: str  # "" where it is not built or cannot be loaded
    text: str
    toolkit: str = ""  # of the CUDA compiler that built it: "13.0"


def doctor() -> str:
    """The report, ready to print."""
    driver = find_driver()
    cupy = package_version("cupy-cuda13x", "cupy-cuda12x", "cupy")
    nvcc, cxx = _build.find_nvcc(), _build.find_cxx()
    cuda, emulated = find_extension("cuda"), find_extension("emulated")
    rows = [
        ("tapegrad", package_version("tapegrad") or "not installed, running from its sources"),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("NumPy", numpy_and_blas()),
        ("OpenBLAS", blas_status()),
        ("CuPy", cupy or "not installed"),
        ("driver", f"supports CUDA {driver.cuda}" if driver.cuda else driver.problem),
        *(
            (f"GPU {number}", f"{gpu.name}, {gpu.memory >> 20:,} MiB, sm_{gpu.capability}")
            for number, gpu in enumerate(driver.gpus)
        ),
        *([] if driver.gpus else [("GPUs", "none found")]),
        ("CUDA C++", str(nvcc or "no nvcc found")),
        ("C++", str(cxx or "no compiler found")),
        ("_cuda", cuda.text),
        ("_emulated", emulated.text),
        ("_tape", accelerator.status),
        ("_native", native.status),
        *((f"[{extra}]", extra_status(extra)) for extra in EXTRAS),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    return "\n".join([*lines, "", f"next: {next_step(driver, cupy, nvcc is not None, cuda)}"])


def next_step(driver: Driver, cupy: str, nvcc: bool, cuda: Extension) -> str:
    """The first thing in the way of using this machine fully; else the demo."""
    if not driver.gpus:
        return "tapegrad demo"
    major = driver.cuda.partition(".")[0]
    extra = f"pip install 'tapegrad[cuda{'13' if int(major) >= 13 else '12'}]'"
    if not cupy:
        return extra
    if int(cupy.partition(".")[0]) < _CUPY:
        return f"{extra} (CuPy {cupy} has no bfloat16, {_CUPY}.0 is the first that has)"
    # A driver serves what was built with its major version and with older ones.
    if cuda.toolkit and int(cuda.toolkit.partition(".")[0]) > int(major):
        return (
            f"a driver for CUDA {cuda.toolkit}, by which _cuda was built (this one is for "
            f"{driver.cuda}); or pip install 'cuda-toolkit[nvcc,cudart,cccl]=={major}.*', then "
            "python -m tapegrad._build cuda"
        )
    uncovered = [gpu for gpu in driver.gpus if not covers(cuda.architectures, gpu.capability)]
    if uncovered and not nvcc:
        return f"pip install 'cuda-toolkit[nvcc,cudart,cccl]=={major}.*'"
    if uncovered:
        return "python -m tapegrad._build cuda"
    return "tapegrad demo --device cuda"


def covers(architectures: str, capability: str) -> bool:
    """Whether code built for ``architectures`` ("80 90a 80+PTX") runs on a GPU of ``capability``
    ("90"): machine code within one major version and upwards, 90a on 90 only, PTX upwards."""
    gpu = int(capability)

    def runs(name: str) -> bool:
        built = int(re.sub(r"\D", "", name))
        if name.endswith("+PTX"):
            return name[:-4].isdigit() and built <= gpu
        if name.isdigit():
            return built // 10 == gpu // 10 and built <= gpu
        return built == gpu

    return any(runs(name) for name in architectures.split())


def find_driver() -> Driver:
    """Ask NVIDIA's driver itself, without CuPy and without a context on any GPU."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cu = ctypes.CDLL(library)
    except OSError:
        return Driver(problem="not found")
    number = ctypes.c_int()
    if cu.cuDriverGetVersion(ctypes.byref(number)) != _SUCCESS:
        return Driver(problem="found, but it does not answer")
    cuda = cuda_version(number.value)
    if cu.cuInit(0) != _SUCCESS or cu.cuDeviceGetCount(ctypes.byref(number)) != _SUCCESS:
        return Driver(cuda)
    return Driver(cuda, tuple(_gpu(cu, device) for device in range(number.value)))


def cuda_version(number: int) -> str:
    """13000 -> "13.0" """
    return f"{number // 1000}.{number % 1000 // 10}"


def _gpu(cu: ctypes.CDLL, device: int) -> Gpu:
    name = ctypes.create_string_buffer(256)
    memory = ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    cu.cuDeviceGetName(name, len(name), device)
    cu.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    cu.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    cu.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return Gpu(name.value.decode(errors="replace"), memory.value, f"{major.value}{minor.value}")


def package_version(*names: str) -> str:
    """The version of the first of these packages that is installed, or ""."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def extra_status(extra: str) -> str:
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if not missing:
        return "installed"
    return f"{', '.join(missing)} not installed: pip install 'tapegrad[{extra}]'"


def numpy_and_blas() -> str:
    import numpy

    try:
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{numpy.__version__} with {blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return f"{numpy.__version__} with an unknown BLAS"


def blas_kernel() -> str:
    """The processor whose kernels NumPy's OpenBLAS runs, as "SkylakeX"; "" for another BLAS."""
    try:
        from numpy.linalg import _umath_linalg

        library = ctypes.CDLL(_umath_linalg.__file__)  # symbols of what it is linked with, too
    except (ImportError, OSError):
        return ""
    for name in _CORE_NAMES:
        if hasattr(library, name):
            asked = library[name]
            asked.restype = ctypes.c_char_p
            return str(asked().decode(errors="replace"))
    return ""


# Of OpenBLAS's own function; those in NumPy's wheels have a prefix, those with 64-bit integers a
# suffix.
_CORE_NAMES = [
    f"{prefix}openblas_get_corename{suffix}"
    for prefix in ("scipy_", "")
    for suffix in ("64_", "_64", "")
]


def blas_status() -> str:
    """What ``blas_kernel`` says, and what it would say if the environment did not choose."""
    kernel = blas_kernel()
    if not kernel:
        return "not found: NumPy computes matrix products by another library"
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    if not chosen:
        return f"kernels for {kernel}"
    environ = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    # (As tapegrad was found: it may be running from its sources.)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    ask = [sys.executable, "-c", "from tapegrad.doctor import blas_kernel; print(blas_kernel())"]
    try:
        run = subprocess.run(ask, env=environ, capture_output=True, text=True, timeout=60)
        free = run.stdout.strip() or "unknown"
    except (OSError, subprocess.SubprocessError):
        free = "unknown"
    told = f"kernels for {kernel}, as OPENBLAS_CORETYPE={chosen} says"
    if free == kernel:
        return f"{told}, and as they would be without it"
    return f"{told}: without it they would be those for {free}; unset it unless you need it"


# Loads a module without importing tapegrad, so that it may crash without harm.
_ASK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(dict(module.build_info())))
"""


def find_extension(device: str) -> Extension:
    """Whether an extension module is there, and what it says about how it was built."""
    name = f"_{device}"
    try:
        path = _installed_or_cached(device)
    except _build.BuildError as error:
        return Extension("", "not built" if device == "cuda" else f"not built: {error}")
    if path is None:
        later = "compiled on first use" if device == "emulated" else "not built"
        return Extension("", later)
    try:
        command = [sys.executable, "-c", _ASK, name, str(path)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        info = json.loads(run.stdout)
        built, compiler = info["architectures"], info["compiler"]
        toolkit = re.match(r"nvcc (\d+\.\d+)", compiler)
        return Extension(built, f"{built}, by {compiler}", toolkit[1] if toolkit else "")
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return Extension("", f"{path} cannot be loaded: run python -m tapegrad._build {device}")


def _installed_or_cached(device: str) -> Path | None:
    """Where it is. Raises BuildError where it is not, and cannot be compiled either."""
    installed = find_spec(f"tapegrad._{device}")
    if installed is not None and installed.origin is not None:
        return Path(installed.origin)
    return _build.cached(_build.plan_for(device))
