"""tapegrad: tensors with a tape. PyTorch's names, NumPy on the CPU, hand-written CUDA kernels."""

from importlib import import_module as _import_module
from typing import Any as _Any

from numpy import dtype

from . import autograd, cuda
from ._version import __version__
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .core import dtypes
from .core.devices import Device as device
from .core.devices import get_default_device, set_default_device
from .core.dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .core.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from .core.heap import keep_freed_memory as _keep_freed_memory
from .core.kernels import KernelError
from .core.tensor import Size, Tensor
from .ops import methods as _methods
from .ops.catalog import doors as _doors
from .ops.common.hints import UnknownName as _UnknownName

_keep_freed_memory()

e, inf, nan, pi, newaxis = 2.718281828459045, float("inf"), float("nan"), 3.141592653589793, None
bool = dtypes.bool_
double, float, half = float64, float32, float16
long, int, short = int64, int32, int16

# Everything else is imported when it is first named: first the rooms, then the operations, which
# ``ops/catalog.py`` lists.
_LATER = {
    name: module
    for module, names in {
        ".ops.common.type_info": "can_cast finfo get_device iinfo is_complex is_conj "
        "is_floating_point is_inference is_neg is_nonzero is_same_size is_signed is_tensor numel "
        "promote_types result_type",
        ".core.printing": "set_printoptions",
        ".ops.movement.storage": "is_storage",
        ".ops.movement.tensor_types": "BFloat16Tensor BoolTensor ByteTensor CharTensor "
        "DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor "
        "set_default_tensor_type typename",
        ".amp": "GradScaler amp autocast",
        ".amp.settings": "autocast_decrement_nesting autocast_increment_nesting "
        "clear_autocast_cache get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype "
        "is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled "
        "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled "
        "set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype",
        ".checkpoint": "checkpoint load save",
        ".accelerator": "accelerator",
        ".backends": "are_deterministic_algorithms_enabled backends get_deterministic_debug_mode "
        "get_float32_matmul_precision set_deterministic_debug_mode set_float32_matmul_precision "
        "set_flush_denormal use_deterministic_algorithms",
        ".autograd.anomaly": "is_anomaly_enabled",
        ".autograd.batched": "vmap",
        ".bench": "bench",
        ".compiler": "compile compiler",
        ".cpu": "cpu",
        ".cuda.memory": "OutOfMemoryError",
        ".custom": "kernel",
        ".data": "data",
        ".distributions": "distributions",
        ".distributed": "distributed",
        ".export": "export",
        ".func": "func",
        ".functional": "functional",
        ".fusion": "fuse",
        ".fx": "fx",
        ".hub": "hub",
        ".jit": "jit",
        ".linalg": "linalg",
        ".masked": "masked",
        ".metrics": "metrics",
        ".mps": "mps",
        ".nn": "nn",
        ".onnx": "onnx",
        ".ops.sampling.philox": "default_generator",
        ".optim": "optim",
        ".profiler": "profiler",
        ".serialization": "serialization",
        ".settings": "get_device_module get_num_interop_threads get_num_threads "
        "is_warn_always_enabled set_num_interop_threads set_num_threads set_warn_always",
        ".signal": "signal",
        ".special": "special",
        ".std_names": "multiprocessing random types",
        ".storage": "TypedStorage UntypedStorage storage",
        ".testing": "testing",
        ".train": "train",
        ".utils": "utils",
        ".version": "version",
        ".xpu": "xpu",
    }.items()
    for name in names.split()
}

_UNLISTED = {
    "__config__": ".__config__",
    "__future__": ".std_names",
    "_dynamo": "._dynamo",
    "_inductor": "._inductor",
}


def __getattr__(name: str) -> _Any:
    if name in _doors["tg"]:
        value = _doors["tg"][name].load()
    elif name.endswith("_") and name[:-1] in _doors["tg_"]:
        value = getattr(Tensor, name)
    elif home := _LATER.get(name) or _UNLISTED.get(name):
        module = _import_module(home, __name__)
        value = module if home == f".{name}" else getattr(module, name, module)
    elif name == "bfloat16":  # from an optional package
        try:
            return dtypes.bfloat16()
        except ImportError as error:
            raise AttributeError(str(error)) from error
    else:
        raise _UnknownName("module 'tapegrad'", name, __dir__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    in_place = (f"{name}_" for name in _doors["tg_"])
    return sorted({*globals(), *_doors["tg"], *in_place, *_LATER, "bfloat16"} - {"_LATER"})
