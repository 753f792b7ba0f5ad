"""The GPUs, under the names of ``torch.cuda``.

Without a GPU, questions have answers (``is_available()`` is False, ``memory_allocated()`` 0) and
what sets or frees something does nothing where PyTorch's does nothing; what needs a GPU raises
RuntimeError, which says what is missing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager as _Context
from contextlib import nullcontext as _nullcontext
from importlib import import_module as _import_module
from types import SimpleNamespace as _SimpleNamespace
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.core import devices as _devices
from tapegrad.core.devices import Device as _Device
from tapegrad.ops.common.arguments import require_tensor as _require_tensor
from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.later import later as _later
from tapegrad.ops.common.refusals import retelling as _retelling

if _TYPE_CHECKING:
    from tapegrad.core.tensor import Tensor


def is_available() -> bool:
    """Whether device 'cuda' can be used: CuPy, a driver and a GPU are present."""
    return _devices.device_count() > 0


def device_count() -> int:
    """The number of usable GPUs."""
    return _devices.device_count()


def _gpu(op: str, device: Any = None) -> _Device:
    """The GPU that is meant: a number, a name, a Device, or for None the current one.

    Raises ValueError for a device that is no GPU, RuntimeError for one that is not there.
    """
    try:
        if device is None or isinstance(device, int):
            found = _Device("cuda", device)
        else:
            found = _Device(device)
        if found.type != "cuda":
            raise ValueError(f"needs a GPU, got device {str(found)!r}")
        found.library  # noqa: B018  (says what is missing)
    except (TypeError, ValueError, RuntimeError) as error:
        raise type(error)(f"[{op}] {error}") from error
    return found


def synchronize(device: Any = None) -> None:
    """Wait until the GPU (the current one, or ``device``) has finished all its work.

    Raises RuntimeError where there is no GPU, and what its kernels have noted (see core/deferred).
    """
    _devices.synchronize(_gpu("synchronize", device))


# ---------------------------------------------------------------------- which GPU


def init() -> None:
    """Load CuPy now instead of when the GPU is first used. Raises RuntimeError without a GPU."""
    _gpu("init")


def is_initialized() -> bool:
    """Whether there is a GPU: it needs no preparation before its first use."""
    return is_available()


def current_device() -> int:
    """The number of the GPU that "cuda" means. Raises RuntimeError without one."""
    return _gpu("current_device").index or 0


def set_device(device: Any) -> None:
    """Let "cuda" mean this GPU, in this thread; nothing for a negative number. Raises RuntimeError
    for one that is not there, ValueError for a device that is no GPU."""
    if not isinstance(device, int) or device >= 0:
        _devices.set_current_gpu(_gpu("set_device", device).index or 0)


class device:
    """``with cuda.device(1):`` lets "cuda" mean this GPU within; None and negative numbers change
    nothing. Raises what ``set_device`` does."""

    def __init__(self, device: Any):
        self.device = device

    def __enter__(self) -> None:
        self._before = _devices.current_gpu()
        if self.device is not None:
            set_device(self.device)

    def __exit__(self, *exception: Any) -> None:
        _devices.set_current_gpu(self._before)


def device_of(tensor: Tensor) -> _Context:
    """``cuda.device`` of a tensor's GPU; nothing for one that is elsewhere."""
    _require_tensor("device_of", tensor)
    return device(tensor.get_device()) if tensor.is_cuda else _nullcontext()


# ---------------------------------------------------------------------- what a GPU is


def get_device_properties(device: Any = None) -> _SimpleNamespace:
    """Name, memory in bytes and capability of a GPU. Raises RuntimeError without it."""
    found = _gpu("get_device_properties", device)
    given = found.library.cuda.runtime.getDeviceProperties(found.index or 0)
    return _SimpleNamespace(
        name=given["name"].decode(),
        major=given["major"],
        minor=given["minor"],
        total_memory=given["totalGlobalMem"],
        multi_processor_count=given["multiProcessorCount"],
        L2_cache_size=given["l2CacheSize"],
    )


def get_device_name(device: Any = None) -> str:
    """What its maker calls the GPU. Raises RuntimeError without it."""
    _gpu("get_device_name", device)
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability, (9, 0) for an H200. Raises RuntimeError without it."""
    _gpu("get_device_capability", device)
    properties = get_device_properties(device)
    return properties.major, properties.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU for tensors of bfloat16; with its own instructions (capability 8 or
    above), unless ``including_emulation``."""
    if not is_available():
        return False
    return including_emulation or get_device_properties().major >= 8


def get_arch_list() -> list[str]:
    """The architecture for which kernels are compiled, that of the GPU; [] without one."""
    return ["sm_{}{}".format(*get_device_capability())] if is_available() else []


def is_tf32_supported() -> bool:
    """False: float32 is computed in float32."""
    return False


# ---------------------------------------------------------------------- random numbers


def _philox() -> Any:
    return _import_module("tapegrad.ops.sampling.philox")


def manual_seed(seed: int) -> None:
    """``tapegrad.manual_seed``: the random numbers of all devices come from one seed."""
    _philox().manual_seed(seed)


def seed() -> None:
    """Seed the one generator with a number of the operating system's."""
    _philox().seed()


manual_seed_all, seed_all = manual_seed, seed


def initial_seed() -> int:
    """The seed of the one generator."""
    return _philox().initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of the one generator, which serves all devices."""
    return _philox().get_rng_state()


@_retelling
def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Put the one generator back into a state."""
    _philox().set_rng_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """The one generator's state, for each GPU."""
    return [get_rng_state() for _ in range(device_count())]


@_retelling
def set_rng_state_all(new_states: list[Tensor]) -> None:
    """Put the one generator back into the last of some states."""
    for state in new_states:
        set_rng_state(state)


_files(
    __name__,
    {
        "random": "get_rng_state get_rng_state_all initial_seed manual_seed manual_seed_all seed "
        "seed_all set_rng_state set_rng_state_all"
    },
)


def empty_cache() -> None:
    """Give the memory that is kept for reuse back to the GPU's driver. Does nothing without one."""
    if is_available():
        _gpu("empty_cache").library.get_default_memory_pool().free_all_blocks()


if not _TYPE_CHECKING:
    _find, __dir__ = _later(
        __name__,
        {
            "amp": "amp",
            "graphs": "CUDAGraph CaptureError graph graph_pool_handle graphs "
            "is_current_stream_capturing make_graphed_callables make_graphed_step",
            "memory": "OutOfMemoryError ipc_collect max_memory_allocated max_memory_cached "
            "max_memory_reserved mem_get_info memory memory_allocated memory_cached "
            "memory_reserved memory_stats memory_summary reset_accumulated_memory_stats "
            "reset_max_memory_allocated reset_max_memory_cached reset_peak_memory_stats "
            "set_per_process_memory_fraction",
            "nvtx": "nvtx",
            "streams": "Event Stream current_stream default_stream set_stream stream streams",
        },
    )

    def __getattr__(name: str) -> Any:
        if name.endswith("Tensor"):
            types = _import_module("tapegrad.ops.movement.tensor_types").ON_GPU
            if name in types:
                return types[name]
        return _find(name)
