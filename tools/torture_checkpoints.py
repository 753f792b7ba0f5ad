"""Damage checkpoints in every way, and kill saves: nothing may be lost or changed without a word.

    python tools/torture_checkpoints.py                                 # 20,000 files, 300 kills
    python tools/torture_checkpoints.py --mutations 500 --kills 10      # as the tests do

Damaged files: bits flipped, pieces cut off, moved, repeated and overwritten, in files of every
format that have checksums. Each is refused with CheckpointError, or what is loaded is bit for bit
what was saved. Hostile files: headers and pickles made wrong by their grammar, with checksums that
are right; sizes and shapes that lie; entries that are compressed. Each is refused, or gives no more
than is in the file. In both, no file takes a second (of this process's time), and none makes Python
and NumPy allocate more than twice its size and ROOM (as tracemalloc counts; the address space is
limited, too).

Kills: a process that saves is killed (SIGKILL) at a random moment. Whatever the moment, the old
state or the new one is loaded, and the next save leaves nothing else in the folder.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.checkpoint import CheckpointError

PT = Path(__file__).resolve().parents[1] / "tests" / "files" / "torch.pt"
ROOM = 1_000_000  # bytes, for the interpreter's own objects
SECONDS = 1.0
ADDRESS_SPACE = 8 << 30
Change = Callable[[random.Random, bytes], bytes]


def state() -> dict[str, Any]:
    """What is saved: tensors of all kinds, and things around them."""
    rng = np.random.default_rng(0)
    return {
        "weights": tg.tensor(rng.standard_normal((100, 200)).astype(np.float32)),
        "half": tg.tensor(rng.standard_normal(33).astype(np.float16)),
        "flags": tg.tensor(rng.random(11) < 0.5),
        "count": tg.tensor(7),
        "empty": tg.zeros(0, 3),
        "options": [{"lr": 0.1, "betas": (0.9, 0.999)}, "é", None, float("inf")],
    }


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal to the last bit."""
    if isinstance(a, tg.Tensor) or isinstance(b, tg.Tensor):
        alike = type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        return alike and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return type(a) is type(b) and [*a] == [*b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# ---------------------------------------------------------------------- damage


def flip(rng: random.Random, data: bytes) -> bytes:
    """One to three bits."""
    bad = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    return bytes(bad)


def truncate(rng: random.Random, data: bytes) -> bytes:
    """What a write that broke off leaves."""
    return data[: rng.randrange(len(data))]


def extend(rng: random.Random, data: bytes) -> bytes:
    """More behind the end."""
    return data + rng.randbytes(rng.randint(1, 99))


def overwrite(rng: random.Random, data: bytes) -> bytes:
    """A piece that became zeros, or noise, as of a lost sector."""
    start, length = rng.randrange(len(data)), rng.randint(1, 512)
    piece = data[start : start + length]
    return data[:start] + rng.choice((bytes, rng.randbytes))(len(piece)) + data[start + length :]


def move(rng: random.Random, data: bytes) -> bytes:
    """A piece that is elsewhere, or there twice, or gone."""
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    at, piece = rng.randrange(len(data)), data[a : min(b, a + 300)]
    without = data[:a] + data[a + len(piece) :] if rng.random() < 0.5 else data
    return without if rng.random() < 0.3 else without[:at] + piece + without[at:]


def digits(rng: random.Random, data: bytes) -> bytes:
    """A number in the text became another."""
    places = [i for i, c in enumerate(data) if 48 <= c < 58]
    at = rng.choice(places)
    return data[:at] + rng.choice((b"0", b"9", b"-1", b"1e9", b"99999999999")) + data[at + 1 :]


DAMAGE = (flip, truncate, extend, overwrite, move, digits)


# ---------------------------------------------------------------------- hostile files

# fmt: off
_TOKENS = ('"', ":", ",", "{", "}", "[", "]", "null", "1e400", "-1", "true", '"F64"', '"shape"',
           " ", "[" * 200, "9" * 40, str(2**64), '"__metadata__":{"a":1},', "\\ud800", "\0")
_VALUES = (0, 1, -1, 2, 3, 7, 2**31, 2**32, 2**62, 2**63, 2**64, 10**30, 1.5, True, None, "1", [],
           {}, "F32", "BOOL", "C64", [0, 0], [2**40, 2**40, 0], [1] * 99)
_SHAPES = (0, 1, 2, 3, -1, 2**31, 2**62, 10**30)
_DTYPES = ("<f4", "<f8", "|b1", ">i4", "|O", "<c8", "<U9", "V3", [("a", "<f4")], "junk")
_CODES = bytes({*b".(0123NKMJGXTUVQRScbhjqrtlaeudsi)]}", *range(0x80, 0x97)})
_GLOBALS = (b"cos\nsystem\n", b"ctorch\nSize\n", b"c__builtin__\neval\n",
            b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch\nDoubleStorage\n", b"c__builtin__\nset\n")
# fmt: on


def _wrong_value(rng: random.Random, value: Any) -> Any:
    """A JSON value with one part exchanged."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice([*value])
        changed = {**value, key: _wrong_value(rng, value[key])}
        if rng.random() < 0.1:
            changed[rng.choice(("", "__metadata__", "é", "x" * 999))] = changed.pop(key)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _wrong_value(rng, value[at]), *value[at + 1 :]]
    return rng.choice(_VALUES)


def header(rng: random.Random, data: bytes) -> bytes:
    """A safetensors file without checksums, whose header is wrong."""
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__")
    if rng.random() < 0.6:
        text = json.dumps(_wrong_value(rng, entries))
    else:
        text = json.dumps(entries)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(_TOKENS) + text[at + rng.randint(0, 2) :]
    raw = text.encode("utf-8", "replace")
    said = len(raw) if rng.random() < 0.9 else rng.choice((0, 7, len(raw) * 2, 2**40, 2**64 - 1))
    return said.to_bytes(8, "little") + raw + data[8 + length :]


def _archive(entries: list[tuple[str, bytes]], compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def array_header(rng: random.Random, data: bytes) -> bytes:
    """An npz without a checksum of the whole, with a header that is wrong, or compressed, or of a
    size that lies."""
    shape = tuple(rng.choice(_SHAPES) for _ in range(rng.choice((1, 2, 70))))
    descr = rng.choice(_DTYPES)
    said = {"descr": descr, "fortran_order": rng.random() < 0.5, "shape": shape}
    text = repr(said) if rng.random() < 0.7 else _broken(rng, repr(said))
    raw = text.encode() + b"\n"
    content = b"\x93NUMPY" + bytes([rng.choice((1, 1, 1, 2, 3, 9)), 0])
    content += len(raw).to_bytes(2, "little") + raw + bytes(rng.choice((0, 4, 8, 24, 300_000)))
    compression = rng.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    return _lying(rng, _archive([("w.npy", content), ("v.npy", content)], compression))


def _broken(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(("(", "[" * 99, "-" * 999, "'", "\0", "9" * 99)) + text[at + 1 :]


def _lying(rng: random.Random, data: bytes) -> bytes:
    """Now and then, a size in the archive's directory that is another."""
    if rng.random() < 0.7:
        return data
    bad, at = bytearray(data), data.index(b"PK\1\2")
    place = at + rng.choice((16, 20, 24, 28, 30, 32, 42))
    bad[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\1\0\0\0"))
    return bytes(bad)


def program(rng: random.Random, data: bytes) -> bytes:
    """A file of torch.save's, whose pickle is wrong and whose checksums are right."""
    entries = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            content = archive.read(info)
            if info.filename.endswith("data.pkl"):
                content = _wrong_program(rng, content)
            elif rng.random() < 0.05:
                content = content[: rng.randrange(len(content) + 1)] or bytes(10_000)
            entries.append((info.filename, content))
    compression = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    return _lying(rng, _archive(entries, compression))


def _wrong_program(rng: random.Random, content: bytes) -> bytes:
    bad = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(2, len(bad))
        kind = rng.randrange(6)
        if kind == 0:
            bad[at] = rng.choice(_CODES)
        elif kind == 1:
            bad[at] = rng.randrange(256)
        elif kind == 2:
            bad[at:at] = rng.choice(_GLOBALS) + rng.choice((b"", b")R", b"(K\1tR"))
        elif kind == 3:
            bad[at:at] = bytes([rng.choice(_CODES)]) * rng.choice((1, 2, 300))
        elif kind == 4:
            del bad[at : at + rng.randint(1, 9)]
        else:  # numbers of one byte: sizes, strides, offsets
            places = [i for i in range(2, len(bad) - 1) if bad[i] == ord("K")]
            if places:
                place = rng.choice(places)
                number = rng.choice((2**31 - 1, -1, 0, 1, 7, 255))
                bad[place : place + 2] = b"J" + (number & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(bad)


# ---------------------------------------------------------------------- running them


def amount(value: Any, seen: set[int]) -> int:
    """How many bytes of memory the tensors of a state keep."""
    if isinstance(value, tg.Tensor):
        memory = value.untyped_storage()
        if memory.data_ptr() in seen:
            return 0
        seen.add(memory.data_ptr())
        return memory.nbytes()
    if isinstance(value, dict):
        return sum(amount(v, seen) for v in value.values())
    return sum(amount(v, seen) for v in value) if isinstance(value, (list, tuple, set)) else 0


def judge(data: bytes, wanted: Any, path: Path | None) -> tuple[str, str, int]:
    """What became of a file: a word, what is wrong with that, and how many bytes were allocated."""
    if path is not None:
        path.write_bytes(data)
    tracemalloc.clear_traces()
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.process_time()
    loaded: Any = None
    try:
        loaded = tg.load(io.BytesIO(data) if path is None else path, mmap=path is not None)
        outcome, wrong = "loaded", ""
    except CheckpointError:
        outcome, wrong = "refused", ""
    except BaseException as error:
        outcome, wrong = "crashed", f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1] - before
    if outcome == "loaded" and wanted is not None and not same(loaded, wanted):
        wrong = "loaded something else than was saved"
    if outcome == "loaded" and wanted is None and amount(loaded, set()) > len(data):
        wrong = "loaded more than is in the file"
    if seconds > SECONDS:
        wrong = f"took {seconds:.2f} s"
    if peak > 2 * len(data) + ROOM:
        wrong = f"allocated {peak} bytes for a file of {len(data)}"
    return outcome, wrong, peak


def mutate(count: int, seed: int) -> list[str]:
    """Make and load so many bad files; what went wrong."""
    rng = random.Random(seed)
    files: dict[str, tuple[bytes, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("safetensors", "npz"):
            path = Path(folder, f"state.{suffix}")
            tg.save(state(), path)
            files[suffix] = path.read_bytes(), tg.load(path)
        files["pt"] = PT.read_bytes(), tg.load(PT)
        kinds: list[tuple[str, Change, Any]] = [
            (form, change, files[form][1]) for form in files for change in DAMAGE
        ]
        hostile = (("safetensors", header), ("npz", array_header), ("pt", program))
        kinds += [(form, change, None) for form, change in hostile for _ in DAMAGE]
        counts: Counter[tuple[str, str, str]] = Counter()
        problems = []
        slowest, most, start = 0.0, 0, time.perf_counter()
        tracemalloc.start()
        for number in range(count):
            form, change, wanted = kinds[number % len(kinds)]
            data = files[form][0]
            while data == files[form][0]:
                data = change(rng, data)
            begun = time.process_time()
            path = Path(folder, f"bad.{form}") if number % 2 else None
            outcome, wrong, peak = judge(data, wanted, path)
            slowest = max(slowest, time.process_time() - begun)
            most = max(most, peak - 2 * len(data))
            counts[form, change.__name__, outcome] += 1
            if wrong:
                problems.append(f"{form} {change.__name__} number {number} (seed {seed}): {wrong}")
        tracemalloc.stop()
    for (form, change_name, outcome), times in sorted(counts.items()):
        print(f"{form:12} {change_name:13} {outcome:8} {times:6}")
    print(
        f"{sum(counts.values())} files in {time.perf_counter() - start:.0f} s, slowest "
        f"{slowest:.3f} s, at most {most} bytes allocated beyond twice the file's size: "
        f"{len(problems)} problems"
    )
    return problems


def _killed(save: Callable[[], None], seconds: float) -> str:
    """Save in a process that is killed after some time; whether it was done by then."""
    child = os.fork()
    if child == 0:
        try:
            save()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else "done"


def kill(count: int, seed: int) -> list[str]:
    """Kill so many saves; what went wrong."""
    rng = random.Random(seed)
    problems = []
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        ways = (("one", "m.safetensors", None), ("npz", "m.npz", None), ("parts", "p", 10**6))
        for way, name, most in ways:
            path = Path(folder, way, name)
            path.parent.mkdir()

            def save(version: int, path: Path = path, most: int | None = most) -> None:
                w = tg.full((1 << 19,), float(version))
                tg.save({"w": w, "v": [w + 1, version]}, path, max_shard_size=most)

            save(0)
            start = time.perf_counter()
            save(0)
            longest, version = 2 * (time.perf_counter() - start), 0
            for _ in range(count // len(ways)):
                ended = _killed(lambda: save(version + 1), rng.uniform(0, longest))  # noqa: B023
                try:
                    found = tg.load(path)
                    now = found["v"][1]
                    whole = bool((found["w"] == now).all() and (found["v"][0] == now + 1).all())
                except Exception as error:
                    problems.append(f"{way}: not readable after a kill: {error}")
                    continue
                allowed = (version + 1,) if ended == "done" else (version, version + 1)
                if not whole or now not in allowed:
                    problems.append(f"{way}: {now} after {version}, {ended}, whole: {whole}")
                outcomes[f"{way}: {ended}, {'new' if now > version else 'old'} state"] += 1
                longest *= 0.9 if now > version else 1.1  # so that half of them are too late
                version = now
            save(version + 1)
            left = sorted(p.name for p in path.parent.iterdir())
            if len(left) != (1 if most is None else 3):
                problems.append(f"{way}: the folder holds {left}")
    for outcome, times in sorted(outcomes.items()):
        print(f"{outcome:32} {times:6}")
    print(f"{sum(outcomes.values())} saves: {len(problems)} problems")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.RLIM_INFINITY))
    problems = mutate(options.mutations, options.seed) + kill(options.kills, options.seed)
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
