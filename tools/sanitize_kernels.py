"""Every launcher at small sizes, for a run under compute-sanitizer.

    compute-sanitizer --tool memcheck python tools/sanitize_kernels.py --device cuda

The calls are those of tests/kernel_table.py. Each array is an allocation of its own that ends where
the array ends, so that memcheck sees every access beyond it, and outputs are left uninitialised, so
that initcheck sees every read of one. The results are checked, too. Needs no pytest.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.core import kernels

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import kernel_table as table
from kernel_checks import check
from kernel_table import In, Out, Row, Scratch, Update, numpy_dtype


class Host:
    """Memory of the emulated device."""

    @staticmethod
    def allocate(size: int) -> Any:
        return np.empty(size, np.uint8)

    @staticmethod
    def write(memory: Any, offset: int, values: np.ndarray) -> None:
        memory[offset:] = values

    @staticmethod
    def read(memory: Any, offset: int) -> np.ndarray:
        return memory[offset:]

    @staticmethod
    def address(memory: Any) -> int:
        return memory.ctypes.data


class Gpu:
    """Memory of its own for each array; the blocks of CuPy's pool are larger than asked for."""

    @staticmethod
    def allocate(size: int) -> Any:
        import cupy

        cupy.cuda.set_allocator(None)
        return cupy.empty(size, np.uint8)

    @staticmethod
    def write(memory: Any, offset: int, values: np.ndarray) -> None:
        if values.size:
            memory[offset:].set(values)

    @staticmethod
    def read(memory: Any, offset: int) -> np.ndarray:
        return memory[offset:].get()

    @staticmethod
    def address(memory: Any) -> int:
        return memory.data.ptr


def run(
    library: Any, memory: Any, entry: Row, dtype: str | None, call: table.Call, shift: int
) -> None:
    """One call, its arrays moved by ``shift`` elements from where they would be aligned."""
    arguments: list[Any] = []
    outputs = []
    for argument in call:
        if not isinstance(argument, (In, Out, Update, Scratch)):
            arguments.append(0 if argument is None else argument)
            continue
        kind = np.dtype(getattr(argument, "dtype", None) or numpy_dtype(dtype or "float64"))
        if isinstance(argument, (In, Update)):
            content = np.ascontiguousarray(argument.array)
            kind, size, shape = content.dtype, content.size, content.shape
        elif isinstance(argument, Out):
            size, shape = argument.expected.size, argument.expected.shape
        else:
            size, shape = argument.size, (argument.size,)
        offset = shift * kind.itemsize
        block = memory.allocate(offset + size * kind.itemsize)
        if isinstance(argument, (In, Update)):
            memory.write(block, offset, np.frombuffer(content.tobytes(), np.uint8))
        arguments.append(memory.address(block) + offset)
        outputs.append((argument, block, offset, kind, shape))
    name = entry.launcher if dtype is None else f"{entry.launcher}_{dtype}"
    getattr(library, name)(*arguments, 0)
    for argument, block, offset, kind, shape in outputs:
        if isinstance(argument, (Out, Update)):
            actual = memory.read(block, offset)[: int(np.prod(shape)) * kind.itemsize]
            check(actual.view(kind).reshape(shape), argument.expected, entry, name)


def elements(call: table.Call) -> int:
    arrays = [
        a.expected if isinstance(a, Out) else a.array
        for a in call
        if isinstance(a, (In, Out, Update))
    ]
    return sum(a.size for a in arrays)


def calls(library: Any, dtypes: list[str], most: int) -> Iterator[tuple[Row, str | None, Any]]:
    """Of all launchers in turn, so that a run that ends early has seen each."""
    rows = [
        small_calls(library, entry, dtype, most)
        for entry in table.ROWS
        for dtype in entry.dtypes
        if dtype is None or dtype in dtypes
    ]
    for turn in itertools.zip_longest(*rows):
        yield from (found for found in turn if found is not None)


def small_calls(
    library: Any, entry: Row, dtype: str | None, most: int
) -> Iterator[tuple[Row, str | None, Any]]:
    for call in entry.calls(table.Draw(numpy_dtype(dtype or "float64"), library)):
        if elements(call) <= most:
            yield entry, dtype, call


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after about this time")
    parser.add_argument("--elements", type=int, default=20_000, help="of a call's arrays, at most")
    parser.add_argument("--dtypes", default="float32,float16", help="of the launchers")
    options = parser.parse_args()
    library = kernels.library(options.device)
    memory = Gpu if options.device == "cuda" else Host
    end = time.monotonic() + options.seconds
    done, wrong = 0, []
    for entry, dtype, call in calls(library, options.dtypes.split(","), options.elements):
        if time.monotonic() > end:
            print("stopped at the time limit")
            break
        try:
            run(library, memory, entry, dtype, call, shift=done % 2)
        except (AssertionError, RuntimeError) as error:
            wrong.append(f"{entry.launcher} {dtype}")
            print(f"{wrong[-1]}: {error}", file=sys.stderr)
        done += 1
    print(f"{done} launches, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
