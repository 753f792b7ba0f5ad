"""Regions of a program in which autocast chooses dtypes: thread by thread."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.commit import Users
from tapegrad.core.devices import TYPES, device_count
from tapegrad.core.modes import flag, recording
from tapegrad.core.tape import tensor_xp
from tapegrad.core.tensor import Tensor

# The dtype of a region that is not told one.
_USUAL = {"cpu": "bfloat16", "cuda": "float16", "emulated": "float16"}


class Regions:
    """Where autocast is on in a thread, and with which dtypes. Never changed, but for its cache."""

    __slots__ = ("_off", "active", "cache", "caches", "dtypes", "enabled", "nesting")

    def __init__(
        self,
        enabled: frozenset[str] = frozenset(),
        chosen: dict[str, Any] | None = None,
        caches: bool = True,
        nesting: int = 0,
        cache: dict | None = None,
    ):
        self.enabled, self.dtypes, self.caches, self.nesting = (
            enabled,
            chosen or {},
            caches,
            nesting,
        )
        self.active = {kind: self.dtype(kind) for kind in enabled}  # device type -> its dtype
        # Casts of weights, each with the number of changes to its memory at the time.
        self.cache: dict[tuple[int, Any], tuple[Tensor, int, Tensor]] = (
            {} if cache is None else cache
        )
        self._off: dict[frozenset[str], Regions] = {}

    def dtype(self, kind: str) -> Any:
        """The dtype for devices of this type."""
        chosen = self.dtypes.get(kind)
        return _named(_USUAL[kind]) if chosen is None else chosen

    def changed(self, **changes: Any) -> Regions:
        """These regions with another value of some arguments."""
        values = {
            "enabled": self.enabled,
            "chosen": self.dtypes,
            "caches": self.caches,
            "nesting": self.nesting,
            "cache": self.cache if self.nesting else None,
        }
        return Regions(**{**values, **changes})

    def switched(self, kind: str, on: bool, dtype: Any = None, **changes: Any) -> Regions:
        """With autocast on or off for devices of a type."""
        enabled = self.enabled | {kind} if on else self.enabled - {kind}
        chosen = self.dtypes if dtype is None else {**self.dtypes, kind: dtype}
        return self.changed(enabled=enabled, chosen=chosen, **changes)

    def without(self, kinds: frozenset[str]) -> Regions:
        """These regions as the functions that autocast has served see them."""
        off = self._off.get(kinds)
        if off is None:
            off = self._off[kinds] = self.changed(enabled=self.enabled - kinds)
        return off

    def cast(self, tensor: Tensor, dtype: Any) -> Tensor:
        """The tensor in another dtype; of a weight one cast serves the whole outermost region,
        unless it has changed since."""
        array = tensor._array
        if array.dtype == dtype:
            return tensor
        lasting = self.caches and self.nesting and array.dtype == dtypes.float32
        if (
            not lasting
            or not tensor.requires_grad
            or not tensor.is_leaf
            or tensor._base is not None
        ):
            return tensor_xp.cast(tensor, dtype=dtype)
        key = (id(tensor), dtype)
        found = self.cache.get(key)
        if found is not None:
            weight, version, result = found
            same = weight is tensor and version == tensor._version
            if same and (result.requires_grad or not recording.get()):
                return result
        result = tensor_xp.cast(tensor, dtype=dtype)
        self.cache[key] = (tensor, tensor._version, result)
        return result


regions: ContextVar[Regions] = ContextVar("autocast", default=Regions())  # noqa: B039  (never changed)

# Called with whether any thread has a region, when that changes: casting.py exchanges functions.
when_used: list[Callable[[bool], None]] = []
_users = Users(lambda on: [tell(on) for tell in when_used])


def exchange(new: Regions) -> Regions:
    """Set the regions of this thread; returns those that were set."""
    before = regions.get()
    _users.change(bool(new.active) - bool(before.active), functools.partial(regions.set, new))
    return before


@contextmanager
def within(saved: Regions) -> Iterator[None]:
    """The regions of another time, without what they had cached."""
    before = exchange(saved.changed(cache=None))
    try:
        yield
    finally:
        exchange(before)


def is_used() -> bool:
    """Whether any thread has a region."""
    return bool(_users)


def _named(name: str) -> Any:
    return dtypes.bfloat16() if name == "bfloat16" else dtypes.dtype(name)


def device_type(op: str, kind: Any) -> str:
    """A device type that autocast knows. Raises ValueError for what is no name, RuntimeError for
    another."""
    if not isinstance(kind, str):
        raise ValueError(
            f"[{op}] device_type must be one of {', '.join(map(repr, TYPES))}, got "
            f"{type(kind).__name__}: of a device it is device.type"
        )
    name = kind.partition(":")[0]
    if name not in TYPES:
        raise RuntimeError(
            f"[{op}] there is no device_type {kind!r} here: use 'cpu', 'cuda' or 'emulated'"
        )
    return name


def chosen_dtype(op: str, dtype: Any) -> Any:
    """A dtype. Raises TypeError, in the name of ``op``, for what is none."""
    try:
        return dtypes.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"[{op}] {error}") from None


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows this device type: 'cpu', 'cuda' and 'emulated'. Raises TypeError for
    anything but a string."""
    if not isinstance(device_type, str):
        raise TypeError(
            f"[is_autocast_available] device_type must be a str, got {type(device_type).__name__}"
        )
    return device_type in TYPES


class autocast:
    """Within it, operations on floats of up to 32 bits run in the dtype that suits them: products
    (linear layers, convolutions, attention) in ``dtype``, what needs digits or range in float32.
    ``amp/lists.py`` says which; parameters and gradients keep their own dtype.

    device_type: 'cpu', 'cuda' or 'emulated', whose tensors are concerned. dtype: float16 (usual for
    GPUs) or bfloat16 (usual for the CPU; it needs the extra ``io``). enabled=False: a region
    without autocast, within another. cache_enabled: whether the casts of a weight are kept until
    the end of the outermost region (usual). Also a decorator; for its thread alone; the backward
    pass runs in the dtypes of the forward pass.

    Raises ValueError and RuntimeError for a device type that there is not. Warns, and stays off,
    where there is no GPU, and for a dtype of other than 16 bits.
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        self.device = _device_type("autocast", device_type)
        now = regions.get()
        self.fast_dtype = (
            now.dtype(self.device) if dtype is None else chosen_dtype("autocast", dtype)
        )
        self._caches = (
            now.caches
            if cache_enabled is None
            else flag("autocast", "cache_enabled", cache_enabled)
        )
        self._enabled = flag("autocast", "enabled", enabled)
        why = ""
        if not dtypes.is_low_precision(self.fast_dtype):
            why = f"its dtype is float16 or bfloat16, got {self.fast_dtype.name}"
        elif self.device == "cuda" and device_count() == 0:
            why = "there is no usable GPU; device_type='emulated' is for the emulated device"
        if self._enabled and why:
            warnings.warn(f"[autocast] for {self.device!r} is off: {why}", stacklevel=2)
            self._enabled = False
        self._before: list[Regions] = []

    def __enter__(self) -> autocast:
        now = regions.get()
        self._before.append(now)
        try:
            exchange(
                now.switched(
                    self.device,
                    self._enabled,
                    self.fast_dtype,
                    caches=self._caches,
                    nesting=now.nesting + 1,
                )
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if not self._before:
            raise RuntimeError("[autocast] left without having been entered")
        exchange(self._before.pop())

    def __call__(self, function: Callable) -> Callable:
        """The function, run in such a region."""
        if not callable(function):
            raise TypeError(f"[autocast] decorates functions, got {type(function).__name__}")

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return within

    def _again(self) -> autocast:
        """Another one, for a call: calls may overlap in threads."""
        another = object.__new__(type(self))
        another.__dict__.update(self.__dict__, _before=[])
        return another


_device_type = device_type  # (an argument has its name)
