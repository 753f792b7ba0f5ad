"""Tensor: one array, its device, and its node on the tape.

This file holds what a Tensor *is*; what it can *do* is attached by the rooms above: gradients by
``autograd``, operations by ``ops.methods``. Nothing here computes.
"""

from __future__ import annotations

import operator
import warnings
import weakref
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import dtypes, formats, printing
from .commit import commit
from .devices import Device, before_reading, has_waited, to_numpy
from .fields import FIELDS, StorageFields, TensorFields
from .memory import address, byte_range, stretch, within
from .modes import flag

if TYPE_CHECKING:  # what ops.methods and autograd attach: see tools/write_stubs.py
    from tapegrad._operations import Operations

    class _Base(Operations, TensorFields): ...
else:
    _Base = TensorFields


class Size(tuple):
    """A shape: a tuple of ints that prints like PyTorch's and knows its number of elements."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements: the product of the sizes."""
        product = 1
        for extent in self:
            product *= extent
        return product

    def __repr__(self) -> str:
        return f"{formats.library}.Size({list(self)})"


class Alias(weakref.ref):
    """A base or a view, known to its storage, and the bytes it shows (once they were asked for)."""

    __slots__ = ("_bytes",)
    _bytes: tuple[int, int]

    def bytes(self, tensor: Tensor) -> tuple[int, int]:
        """The addresses of its first and last element."""
        try:
            return self._bytes
        except AttributeError:
            self._bytes = byte_range(tensor._array)
            return self._bytes


class Storage(StorageFields):
    """What all aliases of one memory share: when it was last changed in place, and by which op."""

    __slots__ = ()

    changed_at: int
    changed_by: str
    version: int
    aliases: list[Alias]  # a base and its views on the tape
    detached: bool  # whether a base has left the tape, and its views have not
    whole: Whole  # once one of its tensors was copied or pickled

    def add_view(self, base: Tensor, view: Tensor) -> None:
        """Note that two tensors are seen to share this memory."""
        if len(self.aliases) > 16 and len(self.aliases) & (len(self.aliases) - 1) == 0:
            self.aliases = [ref for ref in self.aliases if ref() is not None]  # at powers of two
        if not base._aliased:
            base._aliased = True
            self.aliases.append(Alias(base))
        view._aliased = True
        view._base = base if base._base is None else base._base
        self.aliases.append(Alias(view))

    def others(self, tensor: Tensor) -> list[Tensor]:
        """The base and the views still in use, without this one."""
        known = [ref() for ref in self.aliases]
        return [other for other in known if other is not None and other is not tensor]

    def to_renew(self, base: Tensor, changed: Tensor) -> list[Tensor]:
        """The views of ``base`` whose history an in-place change of ``changed`` renews: those that
        may show a part of it, and those that had none."""
        first, last = byte_range(changed._array)
        found = []
        for ref in self.aliases:
            view = ref()
            if view is None or view._base is not base or view is changed:
                continue
            low, high = ref.bytes(view)
            if view._node is None or (low <= last and first <= high):
                found.append(view)
        return found

    def detach_views(self) -> None:
        """Take the views of a base that has left the tape off it, too: they show a change that was
        not recorded, and their history leads to other values."""
        self.detached = False
        for ref in self.aliases:
            view = ref()
            if view is None or view._base is None or view._base._node is not None:
                continue
            if type(view._node) is not Leaf:
                view._node, view._retains_grad = None, False


class Leaf:
    """The end of the tape at a tensor that requires grad: where its gradient is delivered.

    It refers to its tensor weakly, so that the two are no cycle; a gradient for a tensor that is
    gone is dropped. Its serial 0 is older than every node's, so leaves are served last.
    """

    __slots__ = (
        *("__weakref__", "aside", "device", "dtype", "earlier", "hooks", "later_hooks", "of"),
        *("shape", "tensor", "watched"),
    )
    serial = 0
    next_functions = ()

    def __init__(self, tensor: Tensor):
        self.tensor = weakref.ref(tensor)
        self.shape = tensor._array.shape
        self.of = self.dtype = tensor._array.dtype  # the tensor's, and its gradient's
        self.device = tensor._device
        self.hooks: dict | None = None
        self.later_hooks: dict | None = None  # called once .grad has the gradient
        self.aside: Any = None  # a node_hooks.Aside, where the leaf itself has hooks
        self.watched = False
        # Of the same tensor, when it had another shape, dtype or device; what still leads there.
        self.earlier: weakref.WeakSet[Leaf] | None = None

    @property
    def variable(self) -> Tensor | None:
        """The tensor, or None if it is gone."""
        return self.tensor()

    def changed(self) -> str:
        """What is wrong where the tape still leads here, and the tensor has become another."""
        tensor = self.tensor()
        now = tensor if tensor is not None else self
        shape, dtype, device = now.shape, now.dtype, now.device
        return (
            f"a leaf of shape {tuple(self.shape)}, {self.of.name} on {self.device} in the "
            f"forward pass has become one of shape {tuple(shape)}, {dtype.name} on {device} since: "
            "go forward again after changing it"
        )

    def name(self) -> str:
        """What the ends of the tape are called."""
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class Tensor(_Base):
    """A multi-dimensional array that can record what is done to it.

    Make one with ``tapegrad.tensor(data)``; operations live in ``tapegrad`` and as methods.
    """

    _array: Any
    _device: Device
    _node: Any  # the Node that made this tensor, or its Leaf; None: requires no grad
    _resting: Leaf | None = None  # what _node was before requires_grad was switched off
    _grad: Tensor | None
    _storage: Storage | None
    _retains_grad: bool
    _aliased: bool  # whether its storage lists it (see Storage.aliases)
    _base: Tensor | None  # of a view: the tensor whose memory, and history, it shares
    _copies_grad: bool = True  # whether a deep copy has a gradient

    # NumPy must not broadcast over a Tensor: `ndarray * Tensor` is left to Tensor.__rmul__.
    __array_priority__ = 1000

    # Attached by ops.methods: the tensor that the arguments of the constructor ask for.
    _constructed: ClassVar[Callable[..., Tensor]]

    def __init__(self, *args: Any, **options: Any) -> None:
        """As older scripts write it: ``Tensor(2, 3)`` has these sizes and undefined values, as
        ``tapegrad.empty(2, 3)``; ``Tensor([2, 3])`` holds these numbers in the default dtype;
        ``Tensor(x)`` is an alias of a tensor. New code says ``tapegrad.tensor`` or ``empty``.

        Raises TypeError for anything else, RuntimeError for a negative size.
        """
        made = self._constructed(*args, **options)
        commit(taking(self, {name: getattr(made, name) for name in FIELDS}))
        if made._base is not None and made._storage is not None:
            made._storage.add_view(made._base, self)

    # ------------------------------------------------------------------ what it is

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self._array.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the elements, which is a NumPy dtype."""
        return self._array.dtype

    @property
    def device(self) -> Device:
        """Where the elements are."""
        return self._device

    @property
    def layout(self) -> formats.layout:
        """``tapegrad.strided``, always."""
        return formats.strided

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a GPU."""
        return self._device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether it is in the host's memory: on the CPU or the emulated device."""
        return self._device.type != "cuda"

    # Kinds of devices and of tensors that there are none of.
    is_xpu, is_mps, is_meta, is_ipu, is_xla, is_mtia, is_maia, is_vulkan = (False,) * 8
    is_sparse, is_sparse_csr, is_quantized, is_mkldnn, is_nested = (False,) * 5
    name: None = None

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension. Raises IndexError for one that is not there."""
        if dim is None:
            return self.shape
        return _at(self, "size", self._array.shape, dim)

    def dim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return int(self._array.size)

    nelement, ndimension = numel, dim

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Strides in elements (NumPy counts bytes)."""
        strides = tuple(s // self._array.itemsize for s in self._array.strides)
        return strides if dim is None else _at(self, "stride", strides, dim)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps; for ``channels_last`` with the
        channels behind the others. Raises RuntimeError for anything but a memory format."""
        array = self._array
        if memory_format is not None:
            formats.check("is_contiguous", None, memory_format)
            if memory_format.startswith("channels_last") and array.ndim > 2:
                array = array.transpose((0, *range(2, array.ndim), 1))
        return bool(array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the dtype is float64, float32, float16 or bfloat16."""
        return dtypes.is_floating(self._array.dtype)

    def is_complex(self) -> bool:
        """False: there are no complex tensors."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers: all but uint8 and bool."""
        return self._array.dtype.kind in "fiV"

    def is_conj(self) -> bool:
        """False: nothing is conjugated later."""
        return False

    def is_neg(self) -> bool:
        """False: nothing is negated later."""
        return False

    def is_inference(self) -> bool:
        """False: tensors made in inference mode are like others."""
        return False

    def is_same_size(self, other: Tensor) -> bool:
        """Whether both have one shape. Raises TypeError for anything but a Tensor."""
        if not isinstance(other, Tensor):
            raise TypeError(f"[is_same_size] other must be a Tensor, got {type(other).__name__}")
        return self._array.shape == other._array.shape

    def get_device(self) -> int:
        """The GPU's number; -1 on the CPU devices."""
        return -1 if self._device.index is None else self._device.index

    def data_ptr(self) -> int:
        """The address of the first element, on the GPU or in the host's memory."""
        return self._array.ctypes.data if self._device.type != "cuda" else self._array.data.ptr

    # ------------------------------------------------------------------ its node on the tape

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded. Setting it is ``requires_grad_``."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask (or stop asking) for gradients of this leaf. Raises RuntimeError for a dtype without
        gradients (integers, bool), and if it is to be switched off for anything but a leaf."""
        if requires_grad.__class__ is not bool:
            requires_grad = flag("requires_grad_", "requires_grad", requires_grad)
        if requires_grad and not self.is_floating_point():
            raise RuntimeError(
                "[requires_grad_] only floating-point tensors can require gradients, this one is "
                f"{self.dtype.name}"
            )
        if not self.is_leaf:
            if not requires_grad:
                raise RuntimeError(
                    "requires_grad can be switched off on leaves only; "
                    f"this tensor is the result of {self._node.name()}: use .detach()"
                )
            return self
        if requires_grad != self.requires_grad:  # else a graph may lead to the Leaf there is
            if not requires_grad:
                self._resting, self._node = self._node, None
            elif self._resting is None:
                self._node = Leaf(self)
            else:  # with its hooks and its gradient's dtype
                self._node = self._resting
                self._renew_leaf()
        return self

    @property
    def is_leaf(self) -> bool:
        """True unless the tape recorded how this tensor was made."""
        return self._node is None or type(self._node) is Leaf

    @property
    def grad_fn(self) -> Any:
        """The tape's node that made this tensor; None for leaves."""
        return None if self.is_leaf else self._node

    @property
    def grad(self) -> Tensor | None:
        """What ``backward`` has added up: of the tensor's shape, device and ``grad_dtype``; None at
        first. Warns of a tensor that is no leaf and keeps none, which stays None.

        Setting it raises TypeError for anything but a Tensor or None, and RuntimeError for another
        shape, dtype or device, or the tensor itself.
        """
        grad = self._grad
        node = self._node
        if grad is None and node is not None and node.__class__ is not Leaf:
            if self._retains_grad:
                return None
            warnings.warn(
                f"[grad] this tensor is no leaf but the result of {node.name()}: backward() "
                "leaves its .grad None; call retain_grad() on it before, or read that of a leaf",
                stacklevel=2,
            )
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, got {type(value).__name__}")
            if value is self:
                raise RuntimeError("a tensor cannot be its own gradient")
            dtype = self.grad_dtype if self.is_leaf else self.dtype
            if value.shape != self.shape or value.dtype != dtype:
                raise RuntimeError(
                    f"a gradient has its tensor's shape and dtype {tuple(self.shape)} "
                    f"{dtype.name}; got {tuple(value.shape)} {value.dtype.name}"
                )
            if value._device is not self._device:
                raise RuntimeError(
                    f"the gradient is on {value._device}, its tensor on {self._device}"
                )
        self._grad = value

    @property
    def grad_dtype(self) -> Any:
        """The dtype of this leaf's gradient: its own, or a float dtype that is set here, such as
        float32 for a 16-bit parameter whose gradients are added up over many batches. Those of
        linear layers' weights come in float32 then, the others are converted.

        Raises RuntimeError for tensors that are no leaves, and, where it is set, for those that
        require no gradient, for a dtype that has none, and beside a ``.grad`` of another one.
        """
        if not self.is_leaf:
            raise RuntimeError("[grad_dtype] only leaves have one: set it where the tensor is made")
        leaf = self._resting if self._node is None else self._node
        return self.dtype if leaf is None or leaf.dtype == leaf.of else leaf.dtype

    @grad_dtype.setter
    def grad_dtype(self, value: Any) -> None:
        dtype, leaf = dtypes.dtype(value), self._node
        if type(leaf) is not Leaf:
            raise RuntimeError(
                "[grad_dtype] only leaves that require grad have one to be set: call "
                "requires_grad_() before"
            )
        if not dtypes.is_floating(dtype):
            raise RuntimeError(f"[grad_dtype] gradients are floats, not {dtype.name}")
        if self._grad is not None and self._grad.dtype != dtype:
            raise RuntimeError(
                f"[grad_dtype] there is a .grad of {self._grad.dtype.name}: set it to None before "
                f"gradients become {dtype.name}"
            )
        leaf.dtype = dtype

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was asked of this tensor."""
        return self._retains_grad

    @property
    def _version(self) -> int:
        """How often this memory was changed in place, through any alias."""
        return self._storage.version if self._storage is not None else 0

    def _alias(self, array: Any) -> Tensor:
        """A new tensor over (part of) this one's memory, sharing its version counter."""
        if self._storage is None:
            self._storage = Storage()
        result = wrap(array, self._device)
        result._storage = self._storage
        return result

    def _bump(self, op: str, values: bool = True) -> None:
        """Note that ``op`` has changed this memory in place; ``values``: not only this tensor's
        shape."""
        if self._storage is None:
            self._storage = Storage()
        self._storage.change(op)
        if values and self._storage.detached:
            self._storage.detach_views()

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        return self._alias(self._array)

    def detach_(self) -> Tensor:
        """Take this tensor itself off the tape; it becomes a leaf that requires no grad. Raises
        RuntimeError for a view."""
        if self._base is not None:
            raise RuntimeError("[detach_] a view cannot be detached in place: use detach()")
        if self._retains_grad and self._node is not None:
            self._node.retained_by = None
        self._node, self._retains_grad = None, False
        if self._aliased and self._storage is not None:
            self._storage.detached = True
        return self

    @property
    def data(self) -> Tensor:
        """A detached alias; changes through it still count as in-place changes.

        Setting it lets the tensor share another's memory. Raises TypeError for anything but a
        Tensor, and RuntimeError for integers or bools where the tensor requires grad.
        """
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, got {type(value).__name__}")
        if self.requires_grad and not value.is_floating_point():
            raise RuntimeError(f"a tensor that requires grad cannot hold {value.dtype.name} data")
        self._bump("Tensor.data = ...")  # for those who saved the old memory
        self._leave_memory()
        commit(taking(self, self._taking(value)))
        self._bump("Tensor.data = ...")  # for those who saved this tensor

    def _taking(self, value: Tensor) -> dict[str, Any]:
        """What this tensor's attributes are once it shares the memory of another, and nothing else
        is left to do."""
        if value._storage is None:
            value._storage = Storage()
        attributes = {name: getattr(value, name) for name in ("_array", "_device", "_storage")}
        if type(self._node) is Leaf:
            attributes["_node"] = self._leaf_over(value)
        return {**attributes, "_base": None, "_aliased": False}

    def _renew_leaf(self) -> None:
        """A new end of the tape after a change of shape, dtype or device; what was recorded before
        leads to the old one."""
        if type(self._node) is Leaf:
            self._node = self._leaf_over(self)

    def _leaf_over(self, value: Tensor) -> Leaf:
        before, now = self._node, (value._array.shape, value._array.dtype, value._device)
        if (before.shape, before.of, before.device) == now:
            return before
        leaf = Leaf(value)
        if before.dtype != before.of:
            leaf.dtype = before.dtype
        leaf.tensor = weakref.ref(self)
        leaf.hooks, leaf.watched = before.hooks, before.watched
        leaf.later_hooks, leaf.aside = before.later_hooks, before.aside
        leaf.earlier = weakref.WeakSet([before, *(before.earlier or ())])
        return leaf

    def _leave_memory(self) -> None:
        """Get ready for other memory: views of this tensor are views of what it was."""
        if self._aliased and self._storage is not None:
            others = self._storage.others(self)
            self._storage.aliases = [Alias(t) for t in others]
            was = wrap(self._array, self._device)
            was._storage, was._node = self._storage, self._node
            for view in others:
                if view._base is self:
                    self._storage.add_view(was, view)
        self._storage, self._base, self._aliased = None, None, False

    # ------------------------------------------------------------------ leaving tapegrad

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The array itself on the CPU devices: shared memory, not a copy. ``force``: of any tensor,
        detached and copied as needed.

        Raises, unless forced, RuntimeError if it requires grad, and TypeError on a GPU.
        """
        if flag("numpy", "force", force):
            return to_numpy(self._array)
        if self.requires_grad:
            raise RuntimeError(
                "numpy() of a tensor that requires grad would drop its history: "
                "use tensor.detach().numpy()"
            )
        if self._device.type == "cuda":
            raise TypeError(f"numpy() of a tensor on {self._device}: use tensor.cpu().numpy()")
        return self._array

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number, after waiting for the GPU. Raises
        RuntimeError for more or fewer elements."""
        if self._array.size != 1:
            raise RuntimeError(
                f"[item] needs a tensor of one element, this one has shape {tuple(self.shape)}"
            )
        before_reading(self._array)
        value = self._array.item()
        if self._device.type == "cuda":
            has_waited()
        # ml_dtypes' scalars stay their own type in item(); Python users expect a float.
        return float(value) if self._array.dtype.kind == "V" else value

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; a number for a 0-d tensor."""
        host = to_numpy(self._array)
        return (host.astype(np.float32) if host.dtype.kind == "V" else host).tolist()

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """The result of a function of NumPy's as a tensor, where its dtype is one of tensors."""
        try:
            dtypes.dtype(array.dtype)
        except TypeError:
            return array
        return wrap(np.asarray(array), self._device)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """A capsule that shares this memory with another library (DLPack). Raises BufferError for
        tensors that require grad, and for dtypes that the array library cannot pass on."""
        if self.requires_grad:
            raise BufferError("a tensor that requires grad is not shared: use tensor.detach()")
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number of the kind of device, and which one."""
        return self._array.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict:
        """The memory on a GPU, for other libraries; an AttributeError on the CPU devices."""
        if self._device.type != "cuda":
            raise AttributeError(f"a tensor on {self._device} has no __cuda_array_interface__")
        if self.requires_grad:
            raise RuntimeError("a tensor that requires grad is not shared: use tensor.detach()")
        return self._array.__cuda_array_interface__

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise RuntimeError(
                f"the truth value of a tensor of shape {tuple(self.shape)} is ambiguous: "
                "use .any() or .all()"
            )
        return bool(self.item())

    def is_nonzero(self) -> bool:
        """Whether the one element is not 0. Raises RuntimeError for more or fewer elements."""
        return bool(self)

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        if dtypes.is_floating(self._array.dtype):
            raise TypeError("only integer tensors of a single element can be used as an index")
        return int(self.item())

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __format__(self, spec: str) -> str:
        if self._array.ndim == 0:
            return format(self.item(), spec)
        if spec:
            raise TypeError(
                f"the format {spec!r} is for numbers, this tensor has shape {tuple(self.shape)}"
            )
        return repr(self)

    # Tensors are equal element by element, so they hash by identity.
    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return printing.show(self)

    def _repr_html_(self) -> str:
        """What notebooks show: the values, their range and a histogram."""
        from . import notebook

        return notebook.html(self)

    # ------------------------------------------------------------------ copies and pickles

    def __copy__(self) -> Tensor:
        """Another tensor over the same memory, with the same history."""
        shared = self._alias(self._array)
        result = wrap(shared._array, shared._device, type(self))
        result._storage = shared._storage
        result._node = Leaf(result) if type(self._node) is Leaf else self._node
        result.__dict__.update(self._attributes())
        return result

    def __deepcopy__(self, memo: dict) -> Tensor:
        """A leaf over a copy of the memory, shared with the copies (in ``memo``) of the tensors
        that share this one's. Raises RuntimeError for anything but a leaf."""
        whole, place = self._whole("deep-copied")
        result = deepcopy(whole, memo).tensor(type(self), *place)
        memo[id(self)] = result
        result.__dict__.update(deepcopy(self._attributes(), memo))
        if self._copies_grad:
            result._grad = deepcopy(self._grad, memo)
        result.requires_grad_(self.requires_grad)
        if type(self._node) is Leaf:
            result._node.dtype = self._node.dtype
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle: a leaf, without its gradient. Tensors that share memory and are pickled
        together share it again. Raises RuntimeError for anything but a leaf."""
        whole, place = self._whole("pickled")
        return _unpickled, (whole, type(self), *place, self.requires_grad), self._attributes()

    def _attributes(self) -> dict[str, Any]:
        """What users have set on it."""
        return {name: v for name, v in self.__dict__.items() if name not in FIELDS}

    def _whole(self, done: str) -> tuple[Whole, tuple]:
        """The memory this tensor is in, and where in it."""
        if not self.is_leaf:
            raise RuntimeError(
                f"only leaves can be {done}, this tensor is the result of "
                f"{self._node.name()}: use .detach().clone(), and in a module "
                "nn.utils.parametrizations.weight_norm in the place of nn.utils.weight_norm"
            )
        whole = getattr(self._storage, "whole", None)
        if whole is None or not whole.holds(self._array):
            whole = Whole((self if self._base is None else self._base)._array, self._device)
            if self._storage is not None:
                self._storage.whole = whole
        return whole, whole.place(self._array)


def taking(tensor: Tensor, attributes: dict[str, Any]) -> list[partial]:
    """The steps (see ``commit``) by which a tensor takes these values for its attributes."""
    return [partial(object.__setattr__, tensor, name, v) for name, v in attributes.items()]


class Whole:
    """The memory that the tensors of one storage share, as copies and pickles take it along: once.
    They hold all of it, from the first to the last element of ``array``."""

    __slots__ = ("array", "device", "storage")

    def __init__(self, array: Any, device: Device):
        on_host = isinstance(array, (np.ndarray, np.generic))
        self.array = device.receive(array) if on_host and device.type == "cuda" else array
        self.device = device
        self.storage: Storage | None = None

    def __deepcopy__(self, memo: dict) -> Whole:
        return Whole(stretch(self.array).copy(), self.device)

    def __reduce__(self) -> tuple:
        return _unpickled_whole, (to_numpy(stretch(self.array)), self.device)

    def holds(self, array: Any) -> bool:
        """Whether all elements of the array are in this memory."""
        first, last = byte_range(self.array)
        low, high = byte_range(array)
        return first <= low and high + array.itemsize <= last + self.array.itemsize

    def place(self, array: Any) -> tuple:
        """The array's dtype, shape, strides and offset in this memory; the last two in bytes."""
        start = address(array) - byte_range(self.array)[0] if array.size else 0
        return array.dtype, array.shape, array.strides, start

    def tensor(self, kind: type, dtype: Any, shape: tuple, strides: tuple, start: int) -> Tensor:
        """A tensor at such a place in this memory."""
        if self.storage is None:
            self.storage = Storage()
        array = within(stretch(self.array), dtype, shape, strides, start)
        result = wrap(array, self.device, kind)
        result._storage = self.storage
        return result


def _unpickled(
    whole: Whole, kind: type, dtype: Any, shape: tuple, strides: tuple, start: int, grad: bool
) -> Tensor:
    return whole.tensor(kind, dtypes.dtype(dtype), shape, strides, start).requires_grad_(grad)


def _unpickled_whole(array: np.ndarray, device: Device) -> Whole:
    own = dtypes.dtype(array.dtype)  # of equal dtypes the hot path knows one
    return Whole(array.view(own), device)


def _at(tensor: Tensor, op: str, extents: tuple[int, ...], dim: Any) -> int:
    """The entry of one dimension."""
    try:
        return extents[operator.index(dim)]
    except TypeError:
        raise TypeError(f"[{op}] dim must be an int, got {type(dim).__name__}") from None
    except IndexError:
        raise IndexError(
            f"[{op}] dim {dim} is out of range for a tensor of shape {tensor._array.shape}"
        ) from None


def wrap(array: Any, device: Device, kind: type[Tensor] = Tensor) -> Tensor:
    """A Tensor around an array of ``device``, without a copy and off the tape."""
    result = kind.__new__(kind)
    result._array = array
    result._device = device
    return result


def wrap_result(value: Any, device: Device) -> Tensor:
    """A Tensor around what the array library returned. (NumPy gives 0-d results as scalars.)"""
    return wrap(value if value.__class__ is device.array_type else device.asarray(value), device)
