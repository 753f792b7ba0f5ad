"""Which bits a device's tensor cores give, and whether they are those that are written down beside
this file (tensor_core_bits.json): the emulated device's, as long as no GPU has run it.

``python benchmarks/tensor_core_probe.py --device cuda`` prints how many of each instruction's sums
are the same; ``--write`` writes the bits down. Products cancel, round, are subnormal, infinite and
NaN, and are added to a sum of others, larger or smaller. What is probed are the package's own
kernels that add to float32.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.core import kernels

FILE = Path(__file__).with_name("tensor_core_bits.json")
SIDE = 64  # 4096 sums
DEPTH = 16  # along k, of one instruction: the second adds to what the first gave
DEPTHS = (DEPTH, 2 * DEPTH)
# What adds, its dtypes, and whether it takes a workspace.
INSTRUCTIONS: dict[str, tuple[tuple[str, ...], bool]] = {
    "matmul_tensor_wide": (("float16", "bfloat16"), True),  # mma.sync m16n8k16
    "matmul_hopper_wide": (("float16", "bfloat16"), False),  # wgmma m64n128k16
}


def inputs(kind: str, depth: int) -> list[Any]:
    """a and b. Rows of a differ in what they show: sizes that are alike, that are far apart,
    products that cancel, sums that begin far above and below, subnormal numbers, infinities and
    NaN."""
    random = np.random.default_rng(depth)
    a = random.standard_normal((SIDE, depth))
    b = random.standard_normal((SIDE, depth))
    a[8:24] *= 2.0 ** random.integers(-8, 9, (16, depth))
    a[24:32, 1:DEPTH:2], b[:, 1:DEPTH:2] = -a[24:32, :DEPTH:2], b[:, :DEPTH:2]
    a[32:40, :DEPTH] *= 2.0 ** np.arange(-12, 12, 3)[:, None]
    a[40:48] *= 2.0**-20  # of float16: subnormal
    a[48, 3], a[49, 4], a[50, 5], a[50, 6], a[51, 6] = np.inf, np.nan, np.inf, -np.inf, 6e4
    if kind == "bfloat16":
        a[52:56] *= 2.0**120
        a[56:60] *= 2.0**-126
    dtype = tg.bfloat16 if kind == "bfloat16" else tg.float16
    return [tg.tensor(x.astype("float32")).to(dtype) for x in (a, b)]


def sums(device: tg.device, name: str, kind: str, depth: int) -> np.ndarray:
    """The bits of a b."""
    c = tg.zeros(SIDE, SIDE, device=device)._array
    a, b = (x.to(device)._array for x in inputs(kind, depth))
    scratch = [None] if INSTRUCTIONS[name][1] else []
    lying = (0, 0, 0, 0, depth, depth, False, True)
    kernels.launch(device, name, a.dtype, c, a, b, *scratch, 1, 1, SIDE, SIDE, depth, *lying)
    found = c if isinstance(c, np.ndarray) else c.get()
    return found.view("uint32")


def probe(device: tg.device) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each instruction, dtype and depth: how many sums are those that are written down, and the
    bits, compressed, in base 64."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name, (kinds, _) in INSTRUCTIONS.items():
        if "hopper" in name and device.type == "cuda" and not kernels.runs_hopper(device):
            continue
        for kind in kinds:
            for depth in DEPTHS:
                title = f"{name}, {kind}, k of {depth}"
                found = sums(device, name, kind, depth)
                is_same = found == unpacked(known.get(title, ""))
                rows = np.flatnonzero(~is_same.all(1)).tolist()
                yield (
                    title,
                    {
                        "sums": found.size,
                        "same": int(is_same.sum()),
                        "rows_that_differ": rows,
                        "bits": base64.b64encode(zlib.compress(found.tobytes(), 9)).decode(),
                    },
                )


def unpacked(bits: str) -> np.ndarray:
    raw = zlib.decompress(base64.b64decode(bits)) if bits else b"\0" * 4 * SIDE * SIDE
    return np.frombuffer(raw, "uint32").reshape(SIDE, SIDE)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", action="store_true", help=f"write the bits into {FILE.name}")
    options = parser.parse_args(argv)
    found = dict(probe(tg.device(options.device)))
    for name, one in found.items():
        print(f"{name}: {one['same']} of {one['sums']} sums have the bits that are written down")
    if options.write:
        bits = {name: one["bits"] for name, one in found.items()}
        FILE.write_text(json.dumps(bits, indent=1) + "\n")
        return 0
    return int(any(one["same"] != one["sums"] for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
