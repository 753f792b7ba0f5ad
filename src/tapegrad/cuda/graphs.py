"""Whole steps as one launch: what a function launches is recorded once, and replayed.

All launches of a replay are one call of the host. It runs the same kernels on the
same memory: inputs are copied into the tensors that were there when it was recorded, and results
appear in those that were made then. Numbers that change, those of optimizers and the key of random
numbers, are read from the device's memory, which each replay brings up to date first
(core/capture.py). How a device records: recorders.py.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

import tapegrad
from tapegrad.autograd.tree import flatten, structure
from tapegrad.core.capture import Capture, CaptureError, capturing, set_capturing
from tapegrad.core.devices import EMULATED, Device, get_default_device
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import retelling
from tapegrad.stand_in import publish, refusing

from . import _gpu, is_available
from .recorders import OnEmulated, OnGpu

__getattr__, __all__ = publish(
    __name__, refusing("make_graphed_callables", "make_graphed_step records a whole training step")
)
__all__ += ["CUDAGraph", "CaptureError", "graph", "graph_pool_handle"]
__all__ += ["is_current_stream_capturing", "make_graphed_step"]


def is_current_stream_capturing() -> bool:
    """Whether this thread is recording."""
    return capturing() is not None


def graph_pool_handle() -> None:
    """None: a graph that is given no pool makes one."""


class CUDAGraph:
    """What was launched on a device between ``capture_begin`` and ``capture_end`` (``graph`` calls
    them), to be replayed. ``device``: a GPU or "emulated"; by default the current GPU where there
    is one, else "emulated". ``keep_graph`` changes nothing.

    The graph keeps the memory that was allocated while it was recorded. What was allocated before
    must stay where it is: keep the tensors, and change them in place. Raises RuntimeError without
    the device, ValueError for "cpu", which has no launches.
    """

    @retelling
    def __init__(self, keep_graph: bool = False, *, device: Any = None) -> None:
        if device is None:
            device = "cuda" if is_available() else EMULATED
        self.device = Device(device)
        if self.device.type == "cpu":
            raise ValueError(
                "[CUDAGraph] device 'cpu' has no launches to record: call the function itself, or "
                "use device='emulated', which records what a GPU would"
            )
        if self.device.type == "cuda":
            self.device = _gpu("CUDAGraph", self.device)
        self._recorder: OnGpu | OnEmulated | None = None
        self._capture: Capture | None = None
        self._is_recorded = False

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Record from here on, in this thread; no other may compute on the device meanwhile.
        ``pool`` is another graph's, to share its memory: then the two must be replayed in the order
        in which they were recorded. ``capture_error_mode`` changes nothing. Raises RuntimeError
        where something is recorded already, or was by this graph."""
        if capturing() is not None:
            raise RuntimeError("[CUDAGraph] another recording is being made")
        if self._recorder is not None:
            raise RuntimeError(
                "[CUDAGraph] this graph is recorded already: reset() it, or make another"
            )
        recorder = (OnGpu if self.device.type == "cuda" else OnEmulated)(self.device, pool)
        self._capture = recorder.begin()
        self._recorder = recorder
        set_capturing(self._capture)

    def capture_end(self) -> None:
        """End it. Raises RuntimeError where nothing is recorded."""
        if self._capture is None or capturing() is not self._capture or self._recorder is None:
            raise RuntimeError("[CUDAGraph] capture_end() without capture_begin() in this thread")
        set_capturing(None)
        try:
            for call in self._capture.at_end:
                call()
        finally:
            self._capture.shared.clear()
            self._recorder.end()
        self._is_recorded = True

    def replay(self) -> None:
        """Run what was recorded, on the current stream, without waiting for it. Raises RuntimeError
        before anything is, and CaptureError if a parameter's memory is another one by now. Where it
        raises, no step was counted and no random number taken."""
        if not self._is_recorded or self._recorder is None or self._capture is None:
            raise RuntimeError("[CUDAGraph] there is nothing to replay: record it first")
        taken: list[Callable[[], Any]] = []
        try:
            for prepare in self._capture.before_each:
                back = prepare()
                if back is not None:
                    taken.append(back)
            self._recorder.replay()
        except BaseException:
            for back in reversed(taken):
                back()
            raise

    def reset(self) -> None:
        """Forget what was recorded, and give its memory back."""
        self._recorder, self._capture, self._is_recorded = None, None, False

    def pool(self) -> Any:
        """The memory of what was recorded, for ``capture_begin`` of another graph."""
        return None if self._recorder is None else self._recorder.pool


class graph:
    """``with cuda.graph(g):`` records into a CUDAGraph what is launched within, without running it;
    ``g.replay()`` does. Run the same before, twice or so: kernels are compiled and optimizers make
    their state at the first call. ``stream`` and ``capture_error_mode`` change nothing: there is a
    stream for each graph.

    Raises CaptureError, which names the operation and the line, for what cannot be recorded: what
    needs a number of the device's on the host (``item()``, ``if`` of a tensor, ``nonzero``,
    ``x[mask]``), and tensors made of the host's numbers.
    """

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Any = None,
        stream: Any = None,
        capture_error_mode: str = "global",
    ) -> None:
        if not isinstance(cuda_graph, CUDAGraph):
            raise TypeError(f"[graph] takes a CUDAGraph, got {type(cuda_graph).__name__}")
        self.cuda_graph, self._pool = cuda_graph, pool

    def __enter__(self) -> None:
        self.cuda_graph.capture_begin(self._pool)

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.cuda_graph.capture_end()
        except Exception:
            if error is None:
                raise
        if error is not None:
            self.cuda_graph.reset()
            if isinstance(error, CaptureError) or _is_of_capture(error):
                raise CaptureError(_located(error, traceback)) from error


def _is_of_capture(error: BaseException) -> bool:
    """Whether CUDA, or CuPy, refused something because work is being recorded."""
    return isinstance(error, RuntimeError) and "captur" in str(error).lower()


_OURS = str(Path(tapegrad.__file__).parent)
_WRAPPERS = ("called", "_run_quietly")  # around an operation


def _located(error: BaseException, traceback: TracebackType | None) -> str:
    """The error's text, with the last operation that the program called, and the line that did."""
    operation, place = "graph", ""
    caller: tuple[str, int] | None = None  # unless it is ours
    for frame, line in walk_tb(traceback):
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if not file.startswith((_OURS, "<")):
            caller = file, line
        elif caller is not None and name not in _WRAPPERS:
            operation, place = name, f"{caller[0]}:{caller[1]}: {linecache.getline(*caller)}"
            caller = None
    return f"[{operation}] cannot be recorded: {error}" + (f" ({place.strip()})" if place else "")


# ---------------------------------------------------------------------- steps


@retelling
def make_graphed_step(
    step: Callable[..., Any], warmup: int = 3, *, device: Any = None, pool: Any = None
) -> Callable[..., Any]:
    """``step``, which is recorded at its call number ``warmup`` + 1 and replayed from then on: each
    call does what a call of ``step`` does, to the bit.

    Arguments are tensors on the device, in tuples, lists and dicts, whose shapes and dtypes stay
    the same, or what is equal in every call. A replay copies them into those of the recording, and
    returns its results, without history: the same tensors every time, so ``clone()`` what is to be
    kept. ``device`` is that of the first tensor unless given; on the CPU every call is one of
    ``step``. ``pool``: see CUDAGraph. Rates may be changed between calls, and schedules be stepped
    there; what else is Python's in ``step`` runs no more once it is recorded.

    Raises CaptureError as ``graph``, TypeError for what is no function, ValueError where arguments
    are no longer like those of the recording.
    """
    if not callable(step):
        raise TypeError(f"[make_graphed_step] expects a function, got {type(step).__name__}")
    return _GraphedStep(step, warmup, None if device is None else Device(device), pool)


class _GraphedStep:
    def __init__(self, step: Callable, warmup: int, device: Device | None, pool: Any) -> None:
        self.step, self.device, self._pool = step, device, pool
        self._left = warmup
        self.graph: CUDAGraph | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, build = flatten((args, kwargs))
        if self.device is None:
            devices = (x._device for x in leaves if isinstance(x, Tensor))
            self.device = next(devices, get_default_device())
        device = self.device
        if device.type == "cpu":
            return self.step(*args, **kwargs)
        if self._left > 0:
            self._left -= 1
            return self.step(*args, **kwargs)
        if self.graph is None:
            self._record(device, (args, kwargs), leaves, build)
        else:
            self._copy((args, kwargs), leaves)
        assert self.graph is not None
        self.graph.replay()
        return self._results

    def _record(self, device: Device, tree: Any, leaves: list, build: Callable) -> None:
        for x in leaves:
            if isinstance(x, Tensor) and x._device is not device:
                raise ValueError(
                    f"[make_graphed_step] an argument of shape {tuple(x.shape)} is on {x._device}, "
                    f"the step is recorded on {device}: move it first"
                )
        self._inputs = [
            wrap(device.ops["array"](x._array), device) if isinstance(x, Tensor) else x
            for x in leaves
        ]
        for x, given in zip(self._inputs, leaves, strict=True):
            if isinstance(x, Tensor):
                x.requires_grad_(given.requires_grad)
        self._structure = structure(tree)
        graphed = CUDAGraph(device=device)
        args, kwargs = build(self._inputs)
        with graph(graphed, self._pool):
            results = self.step(*args, **kwargs)
        leaves, build = flatten(results)
        self._results = build([x.detach() if isinstance(x, Tensor) else x for x in leaves])
        self.graph = graphed

    def _copy(self, tree: Any, leaves: list) -> None:
        if structure(tree) != self._structure:
            raise ValueError(
                "[make_graphed_step] there are other arguments than were recorded, or they are "
                "nested in another way: make another step for them"
            )
        for mine, given in zip(self._inputs, leaves, strict=True):
            if not isinstance(mine, Tensor):
                if mine is not given and mine != given:
                    raise ValueError(
                        f"[make_graphed_step] {mine!r} was recorded, got {given!r}: only tensors "
                        "may change"
                    )
            elif mine is not given:
                _require_alike(mine, given)
                mine.detach().copy_(given.detach())


def _require_alike(mine: Tensor, given: Any) -> None:
    if not isinstance(given, Tensor):
        raise ValueError(f"[make_graphed_step] expects a tensor, got {type(given).__name__}")
    for what in ("shape", "dtype", "device"):
        a, b = getattr(mine, what), getattr(given, what)
        if a != b:
            if what == "shape":
                a, b = tuple(a), tuple(b)
            raise ValueError(
                f"[make_graphed_step] a tensor of {what} {a} was recorded, got {what} {b}: make "
                "another step for it"
            )
