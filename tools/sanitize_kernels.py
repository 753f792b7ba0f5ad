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
from tapegrad.core.devices import Device, to_numpy
from tapegrad.core.memory import address

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import kernel_table as table
from kernel_checks import check
from kernel_table import In, Out, Row, Scratch, Table, Update, numpy_dtype

ELEMENTS = 20_000  # of a call's arrays, at most
DTYPES = (None, "float32", "float16")


def run(device: Device, entry: Row, dtype: str | None, call: table.Call, shift: int) -> None:
    """One call, its arrays moved by ``shift`` elements from where they would be aligned."""
    outputs = []

    def put(argument: Any) -> Any:
        kind = np.dtype(getattr(argument, "dtype", None) or numpy_dtype(dtype or "float64"))
        given = isinstance(argument, (In, Update))
        if given:
            content = np.ascontiguousarray(argument.array)
            kind, size = content.dtype, content.size
        else:
            size = argument.expected.size if isinstance(argument, Out) else argument.size
        begin = table.place_of(argument, shift * kind.itemsize)
        block = device.library.empty(begin + size * kind.itemsize, np.uint8)
        memory = block[begin:]
        if given and size:
            memory[:] = device.receive(np.frombuffer(content.tobytes(), np.uint8))
        if isinstance(argument, (Out, Update)):
            outputs.append((memory, kind, argument.expected))
        return memory

    arguments: list[Any] = []
    in_tables: list[Any] = []  # kept until the launch
    for argument in call:
        if isinstance(argument, Table):
            arrays = [put(a) for a in argument.arrays]
            in_tables += arrays
            told = argument.told(map(address, arrays))
            arguments.append(told.array if argument.on_host else put(told))
        elif isinstance(argument, (In, Out, Update, Scratch)):
            arguments.append(put(argument))
        else:
            arguments.append(argument)
    kernels.launch(device, entry.launcher, dtype, *arguments)
    for memory, kind, expected in outputs:
        actual = to_numpy(memory).view(kind).reshape(expected.shape)
        check(actual, expected, entry, f"{entry.launcher} {dtype}")


def elements(call: table.Call) -> int:
    flat = [b for a in call for b in (a.arrays if isinstance(a, Table) else [a])]
    arrays = [a.expected if isinstance(a, Out) else getattr(a, "array", None) for a in flat]
    return sum(a.size for a in arrays if a is not None)


def calls(library: Any) -> Iterator[tuple[Row, str | None, table.Call]]:
    """Of all launchers in turn, so that a run that ends early has seen each."""
    rows = [
        small_calls(library, entry, dtype)
        for entry in table.ROWS
        for dtype in entry.dtypes
        if dtype in DTYPES
    ]
    for turn in itertools.zip_longest(*rows):
        yield from filter(None, turn)


def small_calls(
    library: Any, entry: Row, dtype: str | None
) -> Iterator[tuple[Row, str | None, table.Call]]:
    for call in entry.calls(table.Draw(numpy_dtype(dtype or "float64"), library)):
        if elements(call) <= ELEMENTS:
            yield entry, dtype, call


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after about this time")
    options = parser.parse_args()
    device = Device(options.device)
    if options.device == "cuda":  # the blocks of CuPy's pool are larger than asked for
        device.library.cuda.set_allocator(None)
    end = time.monotonic() + options.seconds
    done, wrong = 0, []
    for entry, dtype, call in calls(kernels.library(options.device)):
        if time.monotonic() > end:
            print("stopped at the time limit")
            break
        try:
            run(device, entry, dtype, call, shift=done % 2)
        except (AssertionError, RuntimeError) as error:
            wrong.append(f"{entry.launcher} {dtype}")
            print(f"{wrong[-1]}: {error}", file=sys.stderr)
        done += 1
    print(f"{done} launches, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
