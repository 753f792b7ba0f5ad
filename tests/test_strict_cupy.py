"""The stand-in for CuPy refuses what CuPy refuses: or it would find nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cupy_surface
import numpy as np
import pytest
from strict_cupy import module as cupy

ml_dtypes = pytest.importorskip("ml_dtypes", reason="CuPy has bfloat16 from ml_dtypes")


def test_the_surface_is_that_of_the_installed_cupy() -> None:
    real = pytest.importorskip("cupy", reason="compares with the real CuPy, which needs no GPU")
    lines = cupy_surface.FILE.read_text().splitlines()
    if real is cupy or lines[0] != f"version {real.__version__}":
        pytest.skip("cupy_surface.txt was written from another version of CuPy")
    assert list(cupy_surface.describe()) == lines


def zeros(*shape: int, dtype: Any = float) -> Any:
    return cupy.zeros(shape, dtype)


REFUSED: dict[str, tuple[Callable[[], Any], type]] = {
    "NumPy made of an array": (lambda: np.asarray(zeros(2)), TypeError),
    "sum with a NumPy array": (lambda: zeros(2) + np.zeros(2), TypeError),
    "NumPy array in front": (lambda: np.zeros(2) + zeros(2), TypeError),
    "function of a NumPy array": (lambda: cupy.exp(np.zeros(2)), TypeError),
    "list of NumPy arrays": (lambda: cupy.stack([np.zeros(2)]), TypeError),
    "in place": (lambda: zeros(2).__iadd__(np.zeros(2)), TypeError),
    "argument that CuPy lacks": (lambda: cupy.add(zeros(2), 1, where=True), TypeError),
    "argument of a method": (lambda: zeros(2).sum(initial=1), TypeError),
    "casting": (lambda: zeros(2).astype(int, casting="unsafe"), TypeError),
    "function that CuPy lacks": (lambda: cupy.busday_count, AttributeError),
    "attribute": (lambda: zeros(2).ctypes, AttributeError),
    "flag": (lambda: zeros(2).flags.writeable, AttributeError),
    "reduction": (lambda: cupy.maximum.reduce(zeros(2)), NotImplementedError),
    "sorting": (lambda: zeros(2).argsort(kind="quicksort"), ValueError),
    "sorting bfloat16": (
        lambda: zeros(2).astype(ml_dtypes.bfloat16).argsort(),
        NotImplementedError,
    ),
    "addition of int64 at": (lambda: cupy.add.at(zeros(2, dtype="int64"), [0], 1), TypeError),
    "values of a basic index": (lambda: zeros(2).__setitem__(slice(None), [1, 2]), ValueError),
    "index": (lambda: [1, 2][zeros(1, dtype=int)[0]], TypeError),
    "text": (lambda: cupy.asarray("a"), ValueError),
    "other device": (lambda: elsewhere(zeros(2)) + 1, ValueError),
}


def elsewhere(x: Any) -> Any:
    with cupy.cuda.Device(1):
        return cupy.array(x)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error = REFUSED[name]
    with pytest.raises(error):
        call()


def test_results_are_arrays_and_views_have_a_base() -> None:
    x = cupy.arange(6.0).reshape(2, 3)
    for y in (x.sum(), x[0, 0], x.max(axis=(0, 1)), cupy.sqrt(x[1, 1])):
        assert (type(y), y.shape) == (cupy.ndarray, ())
    assert x.T[1:].base is x.base
    assert (x + 1).base is None
    assert x.reshape(-1).base is x.base
    assert x.T.reshape(-1).base is None  # a copy
    assert x.astype(float, copy=False) is x


def test_loops_are_cupys() -> None:
    """Where NumPy has float64 and int64."""
    mask = cupy.ones(2, bool)
    assert [(mask * 1.5).dtype.name, (mask * 2).dtype.name] == ["float16", "int8"]
    assert (mask + cupy.ones(2, "int8")).dtype.name == "int8"
    assert (cupy.ones(2, "int32") * 1.5).dtype.name == "float64"
    assert cupy.where(mask, 1.0, 0.0).dtype.name == "float16"
    narrow = cupy.ones(2, ml_dtypes.bfloat16)
    assert cupy.where(mask, narrow, narrow).dtype.name == "float32"


def test_indices_wrap_around() -> None:
    x = cupy.arange(3)
    assert x[cupy.asarray([3, -4])].tolist() == [0, 2]
    x[[4]] = 7
    assert x.tolist() == [0, 7, 2]


FORK = """
import multiprocessing, strict_cupy
strict_cupy.install()
import tapegrad as tg
x = tg.ones(3, device="cuda")
x + x

def child(queue):
    assert not tg.cuda.is_available()
    uses = (lambda: x + x, lambda: x.exp(), lambda: x.cpu(), lambda: tg.ones(2, device="cuda:1"))
    for use in uses:
        try:
            use()
            queue.put("nothing")
        except RuntimeError as error:
            queue.put(str(error))

context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
for _ in range(4):
    print(queue.get(timeout=60))
process.join()
assert (x + x).sum().item() == 6
"""


def test_a_fork_after_the_first_use_of_cuda_is_told_to_spawn() -> None:
    path = os.pathsep.join([os.path.abspath(p) for p in sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", FORK], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "before this process was forked" in line
        assert "spawn" in line


def test_fresh_memory_is_no_zeros() -> None:
    assert np.isnan(cupy.empty((2, 3)).get()).all()
    assert np.isnan(cupy.empty_like(cupy.zeros((2, 3))).get()).all()


def test_the_pool_counts_what_lives() -> None:
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.zeros(1000)
    y = x[10:]
    assert pool.used_bytes() - before == 8192
    del x
    assert pool.used_bytes() - before == 8192
    del y
    assert pool.used_bytes() == before
    pool.set_limit(before + 1024)
    try:
        with pytest.raises(MemoryError, match="8,192 bytes"):
            cupy.zeros(1000)
    finally:
        pool.set_limit(0)


def _copy_to(x: Any) -> None:
    x.set(np.zeros(3))


# What the capture of a stream refuses: whatever waits, and what the driver would not see.
NOT_CAPTURED: dict[str, Callable[[Any], Any]] = {
    "get": lambda x: x.get(),
    "set": _copy_to,
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "bool": lambda x: bool(x[0]),
    "int": lambda x: int(x[0]),
    "float": lambda x: float(x[0]),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: cupy.where(x),
    "mask": lambda x: x[x > 0],
    "list of indices": lambda x: x[[0, 1]],
    "argsort": lambda x: x.argsort(),
    "sort": lambda x: cupy.sort(x),
    "unique": lambda x: cupy.unique(x),
    "copy from the host": lambda x: cupy.asarray([1.0, 2.0]),
    "device": lambda x: cupy.cuda.runtime.deviceSynchronize(),
    "stream": lambda x: cupy.cuda.Stream().synchronize(),
    "event": lambda x: cupy.cuda.Event().done,
}


@pytest.mark.parametrize("name", NOT_CAPTURED)
def test_what_waits_is_refused_while_a_stream_is_captured(name: str) -> None:
    x, stream, pool = zeros(3), cupy.cuda.Stream(), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
                NOT_CAPTURED[name](x)
        finally:
            stream.end_capture()


def test_memory_of_a_capture_comes_from_its_own_pool() -> None:
    x, stream, pool = zeros(3), cupy.cuda.Stream(), cupy.cuda.MemoryPool()
    with stream:
        stream.begin_capture()
        try:
            with pytest.raises(RuntimeError, match="memory outside the graph's pool"):
                x + 1
        finally:
            stream.end_capture()
        with cupy.cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            y = x + 1
            x += y
            graph = stream.end_capture()
    assert pool.used_bytes() == 512
    assert x.get().tolist() == [0, 0, 0]
    x[...] = 5
    graph.launch()
    assert (x.get().tolist(), y.get().tolist()) == ([11, 11, 11], [6, 6, 6])
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()
