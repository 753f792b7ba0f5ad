"""PyTorch's classes of tensors, one a dtype, as older scripts use them: ``FloatTensor([1, 2])``,
``isinstance(x, LongTensor)``, ``x.type("torch.cuda.HalfTensor")``, ``x.new(2, 3)``.

All tensors are ``Tensor``; such a class is a dtype and a kind of device under a name. Called with
sizes it makes undefined values, as ``empty`` does, called with a sequence a tensor of its numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core import dtypes, formats
from tapegrad.core.devices import CPU, Device, chosen_device, device_count, set_default_device
from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.common.arguments import named_dtype, require_tensor
from tapegrad.ops.common.refusals import retell, retelling
from tapegrad.ops.creation.create import as_tensor, empty, tensor

from .shape import view_as
from .to import to


class TensorType(type):
    """The class of these classes: ``isinstance`` asks for the dtype and the kind of device, and a
    call makes a Tensor."""

    _dtype: str
    is_cuda: bool
    layout = formats.strided

    @property
    def dtype(cls) -> np.dtype:
        """The dtype of its tensors."""
        return dtypes.dtype(cls._dtype)

    @property
    def device_type(cls) -> str:
        """ "cuda", or "cpu" for all that is in the host's memory."""
        return "cuda" if cls.is_cuda else "cpu"

    def __instancecheck__(cls, instance: Any) -> bool:
        fits = isinstance(instance, Tensor) and instance.dtype.name == cls._dtype
        return fits and instance.is_cuda == cls.is_cuda

    def __call__(cls, *args: Any, device: Any = None, **options: Any) -> Tensor:
        """``LongTensor(2, 3)``: undefined values; ``LongTensor([2, 3])``: these two. Of a tensor of
        the dtype: an alias. Raises TypeError for anything else, and RuntimeError for a device of
        another kind."""
        if cls.is_cuda and not device_count():
            raise TypeError(
                f"[cuda.{cls.__name__}] there is no usable GPU: 'tapegrad doctor' says why"
            )
        wanted = cls.device_type if device is None else device
        return _told(cls.__name__, args, options, cls.dtype, wanted, cls.device_type)

    def __repr__(cls) -> str:
        return f"<class '{type_name(cls._dtype, cls.is_cuda)}'>"


def _kind(name: str, dtype: str, on_gpu: bool = False) -> TensorType:
    kind = "GPU" if on_gpu else "CPU"
    body = {
        "__doc__": f"The tensors of {dtype} on the {kind}, under PyTorch's older name.",
        "__module__": "tapegrad.cuda" if on_gpu else "tapegrad",
        "_dtype": dtype,
        "is_cuda": on_gpu,
    }
    return TensorType(f"{name}Tensor", (), body)


# What PyTorch calls the dtypes in its classes.
NAMES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}
DoubleTensor, FloatTensor, HalfTensor, BFloat16Tensor = map(
    _kind, ("Double", "Float", "Half", "BFloat16"), ("float64", "float32", "float16", "bfloat16")
)
LongTensor, IntTensor, ShortTensor, CharTensor = map(
    _kind, ("Long", "Int", "Short", "Char"), ("int64", "int32", "int16", "int8")
)
ByteTensor, BoolTensor = map(_kind, ("Byte", "Bool"), ("uint8", "bool"))
ON_GPU = {f"{name}Tensor": _kind(name, dtype, on_gpu=True) for name, dtype in NAMES.items()}


def type_name(dtype: str, on_gpu: bool) -> str:
    """What PyTorch calls the type of a tensor: "torch.cuda.FloatTensor"."""
    name = next(name for name, known in NAMES.items() if known == dtype)
    return f"{formats.library}.{'cuda.' if on_gpu else ''}{name}Tensor"


def named_type(name: Any) -> TensorType | None:
    """The class that has such a name; None if none has."""
    if not isinstance(name, str):
        return name if isinstance(name, TensorType) else None
    root, _, rest = name.partition(".")
    if root not in ("torch", "tapegrad"):
        return None
    if rest.startswith("cuda."):
        return ON_GPU.get(rest.removeprefix("cuda."))
    return globals()[rest] if rest.removesuffix("Tensor") in NAMES else None


# ---------------------------------------------------------------------- the older constructors


def constructed(*args: Any, device: Any = None, **options: Any) -> Tensor:
    """What ``Tensor(...)`` makes, of the default dtype; of a tensor an alias, of any dtype."""
    return _told("Tensor", args, options, None, device)


def _told(
    op: str, args: tuple, options: dict, dtype: Any, device: Any, kind: str | None = None
) -> Tensor:
    """``_made``, with what goes wrong told in the name of ``op``. ``kind``: that of the device."""
    try:
        place = None if device is None else Device(device)
        if place and kind and (place.type == "cuda") is not (kind == "cuda"):
            raise RuntimeError(
                f"[{op}] makes tensors on {kind!r}, got device={str(place)!r}: use "
                f"tapegrad.tensor(data, dtype=tapegrad.{dtype.name}, device={str(place)!r})"
            )
        return _made(op, args, options, dtype, place)
    except Exception as error:
        retell(op, constructed, args, options, error)
        raise


def _made(op: str, args: tuple, options: dict, dtype: Any, place: Device | None) -> Tensor:
    if not args and options.keys() in ({"size"}, {"data"}):
        ((name, value),) = options.items()
        args, options = ((Size(value) if name == "size" else value),), {}
    if options:
        raise TypeError(
            f"[{op}] got an unexpected argument {next(iter(options))!r}: use "
            f"tapegrad.tensor(data, ...) or tapegrad.empty(sizes, ...)"
        )
    kind = dtype or dtypes.get_default_dtype()
    only = args[0] if len(args) == 1 else None
    if isinstance(only, Tensor):
        if (dtype or only.dtype) != only.dtype or (place or only.device) is not only.device:
            raise TypeError(
                f"[{op}] makes {kind.name} tensors on {place or only.device}, got one of "
                f"{only.dtype.name} on {only.device}: convert it with .to()"
            )
        return view_as(only, only)
    if isinstance(only, np.ndarray) and only.ndim and chosen_device(place) is CPU:
        return as_tensor(only, dtype=kind)  # which shares memory where it can
    if isinstance(only, (Sequence, np.ndarray)) and not isinstance(only, (str, bytes, Size)):
        numbers = only if isinstance(only, np.ndarray) else list(only)
        return tensor(numbers, dtype=kind, device=chosen_device(place))
    sizes = only if isinstance(only, Size) else args
    return empty(_sizes(op, sizes), dtype=kind, device=place)


def _sizes(op: str, given: tuple) -> tuple[int, ...]:
    sizes: tuple[int, ...] = () if given else (0,)
    for size in given:
        try:
            if isinstance(size, (bool, np.bool_)):
                raise TypeError
            sizes += (operator.index(size),)
        except TypeError:
            raise TypeError(
                f"[{op}] takes sizes, {op}(2, 3), or one sequence of numbers, {op}([2, 3]); got "
                f"{', '.join(type(v).__name__ for v in given)}"
            ) from None
    return sizes


def new(self: Tensor, *args: Any, device: Any = None, **options: Any) -> Tensor:
    """Another tensor of this one's dtype, on its device unless another is given: of undefined
    values for sizes, ``x.new(2, 3)``, else of a sequence's numbers, ``x.new([2, 3])``. Raises
    TypeError for anything else, and for a tensor of another dtype."""
    require_tensor("new", self)
    place = self.device if device is None else Device(device)
    return _made("new", args, options, self.dtype, place)


# ---------------------------------------------------------------------- conversions and defaults


def to_type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor in another dtype; one of PyTorch's classes of tensors, or its name
    ("tapegrad.cuda.FloatTensor", with "torch." as well), moves it between the host and a GPU, too.
    Without a dtype, the name of its own class, a str. Raises ValueError for another name,
    TypeError for anything but a dtype."""
    require_tensor("type", self)
    if dtype is None:
        return type_name(self.dtype.name, self.is_cuda)
    kind = named_type(dtype)
    if kind is not None:
        place = self.device if self.is_cuda is kind.is_cuda else Device(kind.device_type)
        return to(self, place, kind.dtype)
    if dtype is Tensor:
        dtype = dtypes.get_default_dtype()
    try:
        return to(self, dtype=named_dtype("type", dtype))
    except TypeError as error:
        if isinstance(dtype, str):
            raise ValueError(str(error)) from None
        raise


@retelling
def set_default_tensor_type(t: Any) -> None:
    """Set the dtype of new floating-point tensors, and whether tensors are made on the GPU, by one
    of PyTorch's classes of tensors or its name. Raises TypeError for others than those of floats,
    and for ``cuda`` where there is no GPU. (Today's way: ``set_default_dtype`` and
    ``set_default_device``.)"""
    op, kind = "set_default_tensor_type", named_type(t)
    if kind is None or not dtypes.is_floating(kind.dtype):
        raise TypeError(
            f"[{op}] takes a class of floating-point tensors, as tapegrad.DoubleTensor, got {t!r}: "
            "set_default_dtype takes dtypes"
        )
    if kind.is_cuda and not device_count():
        raise TypeError(f"[{op}] there is no usable GPU: 'tapegrad doctor' says why")
    dtypes.set_default_dtype(kind.dtype)
    set_default_device("cuda" if kind.is_cuda else None)


def typename(obj: Any) -> str:
    """The name of an object's type, with its module unless that is Python's own; of a tensor what
    ``x.type()`` says, of a class or function its own."""
    if isinstance(obj, Tensor):
        return type_name(obj.dtype.name, obj.is_cuda)
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None)
    return named.__qualname__ if module in (None, "builtins") else f"{module}.{named.__qualname__}"
