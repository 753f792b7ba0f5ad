"""What was measured on: names, versions, threads, and how warm and busy it was meanwhile."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad._build import cores, output_of
from tapegrad._version import __version__
from tapegrad.core.devices import Device
from tapegrad.doctor import cuda_version, find_driver, numpy_and_blas, package_version

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_GPU_STATE = {
    "clocks.sm": "sm_clock_mhz",
    "clocks.mem": "memory_clock_mhz",
    "temperature.gpu": "temperature_c",
    "power.draw": "power_w",
    "utilization.gpu": "utilization_percent",
    "clocks_throttle_reasons.active": "throttle_reasons",
}


def describe(device: Any = "cpu") -> dict[str, Any]:
    """The machine and its software, as JSON can hold it. Nothing here fails: what cannot be found
    out is left out."""
    device = Device(device)
    facts: dict[str, Any] = {
        "device": str(device),
        "processor": processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "tapegrad": __version__,
        "numpy": np.__version__,
        "numpy_blas": numpy_and_blas(),
        "threads": threads(),
    }
    if torch := sys.modules.get("torch"):
        facts["torch"] = torch.__version__
    if device.type == "cuda":
        facts["gpu"] = gpu(device)
        facts["cupy"] = package_version("cupy-cuda13x", "cupy-cuda12x", "cupy")
    return facts


def state(device: Any = "cpu") -> dict[str, Any]:
    """What changes while it runs: load, clocks, temperature."""
    device = Device(device)
    found: dict[str, Any] = {}
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    if clock := _cpu_mhz():
        found["cpu_clock_mhz"] = clock
    if degrees := _cpu_temperature():
        found["cpu_temperature_c"] = degrees
    if device.type == "cuda":
        found.update(_nvidia_smi(device))
    return found


def processor() -> str:
    """The processor's name."""
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def threads() -> dict[str, Any]:
    """How many threads each library computes with; NumPy's are those of its BLAS, everything else
    in it uses one."""
    found: dict[str, Any] = {name: os.environ[name] for name in _THREADS if name in os.environ}
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_num_threads()
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return found
    for pool in threadpool_info():
        if "numpy" in str(pool.get("filepath")):
            found["numpy_blas"] = pool["num_threads"]
    return found


def gpu(device: Device) -> dict[str, Any]:
    """Name, memory, L2 and versions of one GPU, asked through CuPy."""
    cuda = device.library.cuda
    properties = cuda.runtime.getDeviceProperties(device.index)
    return {
        "name": _text(properties["name"]),
        "capability": f"{properties['major']}{properties['minor']}",
        "memory_bytes": int(properties["totalGlobalMem"]),
        "l2_bytes": int(properties["l2CacheSize"]),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "driver_cuda": find_driver().cuda,
        "runtime_cuda": cuda_version(cuda.runtime.runtimeGetVersion()),
        "driver": _nvidia_smi(device, {"driver_version": "driver"}).get("driver"),
    }


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _nvidia_smi(device: Device, fields: dict[str, str] = _GPU_STATE) -> dict[str, Any]:
    """What nvidia-smi answers for this GPU, found by its PCI address: CUDA may number otherwise."""
    address = _text(device.library.cuda.Device(device.index).pci_bus_id)
    query = [f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", f"--id={address}"]
    values = output_of(["nvidia-smi", *query]).split(",")
    return dict(zip(fields.values(), map(_number, values), strict=False)) if any(values) else {}


def _number(text: str) -> Any:
    text = text.strip()
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _cpu_mhz() -> int | None:
    clocks = [
        float(line.split(":")[1]) for line in _lines("/proc/cpuinfo") if line.startswith("cpu MHz")
    ]
    return round(max(clocks)) if clocks else None


def _cpu_temperature() -> float | None:
    degrees = [
        int(line) / 1000
        for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp")
        for line in _lines(zone)
        if line.lstrip("-").isdigit()
    ]
    return max(degrees) if degrees else None


def _lines(path: Any) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except (OSError, ValueError):
        return []
