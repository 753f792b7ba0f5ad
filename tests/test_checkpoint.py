"""State dicts on disk: round trips, damage, and interrupted writes."""

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from test_all_or_nothing import interrupted_everywhere

import tapegrad as tg
from tapegrad import nn
from tapegrad.checkpoint import CheckpointError, budget

SUFFIXES = [".npz", ".safetensors"]
DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    return tmp_path / f"model{request.param}"


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_a_module_comes_back(path):
    saved, restored = network(), network()
    tg.save(saved.state_dict(), path)
    restored.load_state_dict(tg.load(path))
    for a, b in zip(saved.state_dict().values(), restored.state_dict().values(), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tolist() == b.tolist()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape(path, dtype):
    base = np.arange(6).reshape(2, 3).astype(dtype)
    arrays = {"matrix": base, "transposed": base.T, "scalar": base[1, 2], "empty": base[:0],
              "a name/with.any signs": base[::-1, ::2]}  # fmt: skip
    tg.save({name: tg.tensor(array) for name, array in arrays.items()}, path)
    loaded = tg.load(path)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == dtype
        np.testing.assert_array_equal(loaded[name].numpy(), array)
    loaded["matrix"].zero_()  # what was loaded is writable and its own


def test_bfloat16_needs_safetensors(tmp_path):
    pytest.importorskip("ml_dtypes", reason="an optional dtype")
    state = {"w": tg.tensor([1.0, -2.5]).to(tg.bfloat16)}
    tg.save(state, tmp_path / "w.safetensors")
    loaded = tg.load(tmp_path / "w.safetensors")["w"]
    assert loaded.dtype == tg.bfloat16
    assert loaded.tolist() == [1, -2.5]
    with pytest.raises(CheckpointError, match=r"'w', which is bfloat16: save as .safetensors"):
        tg.save(state, tmp_path / "w.npz")


def test_onto_a_device(path):
    tg.save({"w": tg.ones(2, device="emulated")}, path)
    assert str(tg.load(path)["w"].device) == "cpu"
    assert str(tg.load(path, map_location="emulated")["w"].device) == "emulated"


def test_safetensors_files_are_read_by_others_and_theirs_by_us(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="an optional format")
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    tg.save({"w": tg.arange(3)}, ours)
    assert library.load_file(ours)["w"].tolist() == [0, 1, 2]
    library.save_file({"w": np.arange(3)}, theirs)
    assert tg.load(theirs)["w"].tolist() == [0, 1, 2]


def flipped(path):
    """Flip each bit of a file, one at a time; yields where."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position in range(len(data) * 8):
            at, bit = divmod(position, 8)
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
            yield position
            file.seek(at)
            file.write(data[at : at + 1])


@pytest.mark.parametrize(
    "state",
    [
        {"ä": tg.tensor([1.0, 2.0]), "n": tg.zeros(0, 2)},
        {"a": tg.tensor(1, dtype=tg.int8), "c": tg.tensor(2, dtype=tg.int8)},
        {},
    ],
    ids=["several", "names one bit apart", "nothing"],
)
def test_every_single_flipped_bit_is_found(path, state):
    """(R06)"""
    tg.save(state, path)
    missed = []
    for position in flipped(path):
        try:
            tg.load(path)
        except CheckpointError:
            continue
        missed.append(position)
    assert not missed


def written_before(path):
    """What was written while each tensor had a checksum of its own (and npz those of zip)."""
    arrays = {"a": np.arange(3.0), "c": np.ones((2, 1), np.int8)}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        library = pytest.importorskip("safetensors.numpy", reason="an optional format")
        digests = {}
        for name, array in arrays.items():
            described = f"{array.dtype.name} {list(array.shape)} ".encode() + array.tobytes()
            digests[f"sha256.{name}"] = hashlib.sha256(described).hexdigest()
        library.save_file(arrays, path, metadata={"format": "pt", **digests})
    return arrays


def test_files_without_a_checksum_of_the_whole_are_loaded(path):
    arrays = written_before(path)
    loaded = tg.load(path)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_damage_to_values_and_names_of_older_files_is_found(path):
    """(R06)"""
    arrays = written_before(path)
    for position in flipped(path):
        try:
            loaded = tg.load(path)
        except CheckpointError:
            continue
        assert loaded.keys() == arrays.keys(), position
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype, position
            np.testing.assert_array_equal(loaded[name].numpy(), array, err_msg=str(position))


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\xff" * 64, b"\x10" + b"\0" * 7 + b"[1, 2, 3, 4, 5] "]
)
def test_other_files_are_refused_by_name(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=path.name):
        tg.load(path)


def test_truncated_files_are_refused(path):
    tg.save({"w": tg.ones(100)}, path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            tg.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError):
        tg.load(path)


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", w=np.array([object()], dtype=object))
    with pytest.raises(CheckpointError, match=r"evil\.npz"):
        tg.load(tmp_path / "evil.npz")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(
        CheckpointError,
        match=r"'loss\.f' is of type function, which no checkpoint holds: .*state_dict",
    ):
        tg.save({"loss": {"f": lambda: 0}}, tmp_path / "a.npz")
    with pytest.raises(TypeError, match=r"a Linear is code and numbers, .* pass its state_dict"):
        tg.save(nn.Linear(1, 1), tmp_path / "a.pt")
    endless = {}
    endless["self"] = endless
    with pytest.raises(CheckpointError, match="nested more than 100 deep, or holds itself"):
        tg.save(endless, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="has a name npz reserves"):
        tg.save({"file": tg.ones(1)}, tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "missing.npz")
    with pytest.raises(FileNotFoundError, match=r"save: there is no such folder: .*runs'$"):
        tg.save({"a": tg.ones(1)}, tmp_path / "runs" / "a.pt")
    assert not list(tmp_path.iterdir())


STRUCTURES = {
    "training": lambda: {
        "model": network().state_dict(),
        "optimizer": {
            "state": {0: {"step": 3, "exp_avg": tg.ones(2)}},
            "param_groups": [{"lr": 0.1}],
        },
        "epoch": 7,
        "best": float("-inf"),
        "name": "é",
    },
    "list": lambda: [tg.ones(2), (tg.zeros(1), None, True), tg.Size([2, 3])],
    "tensor": lambda: tg.arange(3),
    "number": lambda: 3.5,
    "names": lambda: {"file": tg.ones(1), "a": {"b": tg.ones(2)}, "a.b": tg.ones(3), 1: tg.ones(4)},
    "numpy": lambda: {"lr": np.float32(0.5), "dtype": tg.float16, "device": tg.device("cpu")},
    "long": lambda: {"x" * 5000: [tg.ones(1)]},
}


def assert_equal(a, b):
    if isinstance(a, tg.Tensor):
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".pth", ".ckpt", ""])
def test_structures_come_back_under_any_name(structure, suffix, tmp_path):
    """(P04)"""
    saved = structure()
    tg.save(saved, tmp_path / f"last{suffix}")
    assert_equal(saved, tg.load(tmp_path / f"last{suffix}", map_location="cpu", weights_only=True))
    buffer = io.BytesIO()
    tg.save(saved, buffer)
    buffer.seek(0)
    assert_equal(saved, tg.load(buffer))


def test_no_length_of_a_header_is_taken_for_another_format():
    first = set()
    for length in (*range(0, 600, 8), *range(18_500, 19_400, 8)):
        file = io.BytesIO()
        tg.save({"note": "x" * length, "w": tg.ones(1)}, file)
        first.add(file.getvalue()[:2])
        file.seek(0)
        assert len(tg.load(file)["note"]) == length
    assert b"PK" in first
    assert any(two[:1] == b"\x80" for two in first)


def test_a_tensor_that_is_there_twice_stays_one(tmp_path):
    w = tg.ones(2)
    tg.save([w, {"again": w}], tmp_path / "m.npz")
    a, b = tg.load(tmp_path / "m.npz")
    assert a is b["again"]


def test_every_flipped_bit_of_a_structure_is_found(path):
    tg.save({"a": [1, None, tg.ones(1)]}, path)
    good = path.read_bytes()
    for i in range(8 * len(good)):
        bad = bytearray(good)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises(CheckpointError):
            tg.load(io.BytesIO(bad))


def test_a_wrong_device_is_no_damage(path):
    tg.save({}, path)
    with pytest.raises(ValueError, match="gpu"):
        tg.load(path, map_location="gpu")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    tg.save({"w": tg.ones(2)}, path)

    def fail(descriptor):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            tg.save({"w": tg.zeros(2)}, path)
    assert tg.load(path)["w"].tolist() == [1, 1]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_stays_a_link(path):
    link = path.with_name(f"latest{path.suffix}")
    link.symlink_to(path.name)
    tg.save({"w": tg.ones(1)}, link)
    assert link.is_symlink()
    assert tg.load(path)["w"].tolist() == [1]


def test_nothing_but_numpy_is_needed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    tg.save({"w": tg.ones(1)}, path)
    assert tg.load(path)["w"].tolist() == [1]


# ---------------------------------------------------------------------- what save refuses


NAMES = ["__metadata__", "a.npy", "a", "", "a\0b", "\ud800", "a\ud800", "a/b\\c", "x" * 70_000, "ä",
         "sha256", "tapegrad", '"sha256":"' + "0" * 64 + '"', "sha256.w", "format", "../w", "/w/",
         "arr_0", "self", "args", "\n", " tapegrad"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_loaded_again_or_refused_before_anything_is_written(path, name):
    """(F05, F06, R16)"""
    tg.save({"good": tg.ones(1)}, path)
    state = {name: tg.tensor([1, 2]), f"{name}.npy": tg.tensor(3), "w": tg.tensor(4.0)}
    try:
        tg.save(state, path)
    except CheckpointError:
        assert tg.load(path)["good"].tolist() == [1]
    else:
        loaded = tg.load(path)
        assert loaded.keys() == state.keys()
        for key, tensor in state.items():
            assert loaded[key].tolist() == tensor.tolist()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_names_one_format_holds_and_the_other_does_not(tmp_path):
    """(F05, F06)"""
    with pytest.raises(CheckpointError, match="'__metadata__', which is a name safetensors res"):
        tg.save({"__metadata__": tg.ones(1)}, tmp_path / "m.safetensors")
    tg.save({"__metadata__": tg.ones(1)}, tmp_path / "m.npz")
    assert list(tg.load(tmp_path / "m.npz")) == ["__metadata__"]
    tg.save({"a": tg.tensor(1.0), "a.npy": tg.tensor(2.0)}, tmp_path / "m.npz")
    assert tg.load(tmp_path / "m.npz")["a.npy"].item() == 2
    with pytest.raises(CheckpointError, match="name that zip"):
        tg.save({"a\0b": tg.ones(1)}, tmp_path / "m.npz")
    for wrong in ([object()], {1: {2}}, b"w", 1j):
        with pytest.raises(CheckpointError, match="which no checkpoint holds"):
            tg.save(wrong, tmp_path / "m.npz")


def test_numpy_reads_our_npz(tmp_path):
    tg.save({"w": tg.arange(3), "b": tg.ones(2, 2)}, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        assert file["w"].tolist() == [0, 1, 2]
        assert sorted(file.files) == ["b", "w"]


# ---------------------------------------------------------------------- what load refuses


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)


def overlapping(path):
    """An archive whose directory lists the same bytes a thousand times."""
    archive(path, [("a.npy", npy(np.zeros(10_000)))])
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    start = data.index(b"PK\1\2")
    entry, count = data[start:end], 1000
    entries = b"".join(entry.replace(b"a.npy", b"%c.npy" % (97 + k % 26)) for k in range(count))
    words = [len(entries).to_bytes(4, "little"), start.to_bytes(4, "little"), b"\0\0"]
    number = count.to_bytes(2, "little")
    path.write_bytes(data[:start] + entries + data[end : end + 8] + number * 2 + b"".join(words))


def lying(header):
    text = repr(header).encode() if isinstance(header, dict) else header
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + b"\0" * 8


HUGE = {"descr": "<f8", "fortran_order": False, "shape": (1 << 27,)}
BOMBS = {
    "bz2": lambda p: archive(p, [("w.npy", npy(np.zeros(20_000_000)))], zipfile.ZIP_BZIP2),
    "deflate": lambda p: archive(p, [("w.npy", npy(np.zeros(5_000_000)))], zipfile.ZIP_DEFLATED),
    "overlap": overlapping,
    "shape": lambda p: archive(p, [("w.npy", lying(HUGE))]),
    "overflow": lambda p: archive(p, [("w.npy", lying({**HUGE, "shape": (2**40, 2**40, 0)}))]),
    "negative": lambda p: archive(p, [("w.npy", lying({**HUGE, "shape": (-1, -1)}))]),
    "object": lambda p: archive(p, [("w.npy", lying({**HUGE, "descr": "|O", "shape": (1,)}))]),
    "nested": lambda p: archive(p, [("w.npy", lying(b"-" * 9000 + b"1"))]),
    "brackets": lambda p: archive(p, [("w.npy", lying(b"[" * 9000))]),
    "twice": lambda p: archive(p, [("w.npy", npy(np.ones(1))), ("v.npy", npy(np.ones(1)))]),
    "no array": lambda p: archive(p, [("w", npy(np.ones(1)))]),
}


@pytest.mark.parametrize("name", BOMBS)
def test_archives_that_could_become_large_are_refused_before_they_do(tmp_path, name):
    """(R13)"""
    path = tmp_path / "w.npz"
    BOMBS[name](path)
    if name == "twice":
        path.write_bytes(path.read_bytes().replace(b"v.npy", b"w.npy"))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"w\.npz"):
            tg.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * size + 4_000_000


def tensors_file(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS = {
    "overlap": {f"w{k}": F32 for k in range(1000)},
    "shape": {"w": {**F32, "shape": [1 << 30]}},
    "gap": {"w": {**F32, "data_offsets": [4, 8]}},
    "too short": {"w": {**F32, "shape": [0], "data_offsets": [0, 0]}},
    "beyond": {"w": {**F32, "shape": [4], "data_offsets": [0, 16]}},
    "negative": {"w": {**F32, "shape": [-1, -1]}},
    "no ints": {"w": {**F32, "shape": [1.0]}},
    "bools": {"w": {**F32, "shape": [True]}},
    "backwards": {"w": {**F32, "data_offsets": [4, 0]}},
    "more": {"w": {**F32, "more": 1}},
    "less": {"w": {"dtype": "F32", "shape": [1]}},
    "complex": {"w": {**F32, "dtype": "C64"}},
    "list": [F32],
    "surrogate": b'{"\\ud800":' + json.dumps(F32).encode() + b"}",
    "twice": b'{"w":' + json.dumps(F32).encode() + b',"w":' + json.dumps(F32).encode() + b"}",
    "nested": b"[" * 100_000,
    "utf-16": json.dumps({"w": F32}).encode("utf-16"),
    "metadata": {"w": F32, "__metadata__": 3},
}


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors_that_are_none_are_refused(tmp_path, name):
    """(R13, R16)"""
    path = tmp_path / "w.safetensors"
    tensors_file(path, HEADERS[name], b"\0" * 4)
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        tg.load(path)


def test_a_header_longer_than_its_file_is_refused(tmp_path):
    """(R13)"""
    for length in (1 << 62, 1 << 40, 10):
        (tmp_path / "w.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
        with pytest.raises(CheckpointError, match="header is longer"):
            tg.load(tmp_path / "w.safetensors")


SMALL_PARTS = {
    "m.safetensors": lambda p: tensors_file(p, b'{"w":[' + b"[]," * 5000 + b"0]}"),
    "m.safetensors.index.json": lambda p: p.write_bytes(
        b'{"weight_map":{},"metadata":{"a":[' + b"{}," * 5000 + b"0]}}"
    ),
    "m.npz": lambda p: archive(p, [(str(i), b"") for i in range(2000)]),
    "m.pt": lambda p: archive(p, [("m/data.pkl", b""), *((str(i), b"") for i in range(2000))]),
}


@pytest.mark.parametrize("name", SMALL_PARTS)
def test_small_parts_may_not_take_much_more_memory_than_the_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "FREE", 200_000)
    SMALL_PARTS[name](tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: what it describes would take more than"):
        tg.load(tmp_path / name)


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_what_could_not_be_loaded_is_not_saved(name, tmp_path, monkeypatch):
    tg.save({"n": 1}, tmp_path / name)
    monkeypatch.setattr(budget, "FREE", 100_000)
    with pytest.raises(CheckpointError, match=rf"save: .*{name}: what it .*numbers as tensors"):
        tg.save({"n": [[i] for i in range(2000)]}, tmp_path / name)
    assert tg.load(tmp_path / name) == {"n": 1}


@pytest.mark.parametrize("kind", [">f4", "<f4", ">i8", "|b1", ">f2"])
def test_arrays_of_any_byte_order_and_layout_are_loaded(tmp_path, kind):
    """(R16)"""
    base = np.arange(6).reshape(2, 3).astype(kind)
    np.savez(tmp_path / "w.npz", w=base, t=base.T, scalar=base[1, 1], empty=base[:0])
    loaded = tg.load(tmp_path / "w.npz")
    np.testing.assert_array_equal(loaded["w"].numpy(), base)
    np.testing.assert_array_equal(loaded["t"].numpy(), base.T)
    assert loaded["scalar"].item() == base[1, 1]
    assert loaded["empty"].shape == (0, 3)
    assert loaded["w"].numpy().dtype.isnative
    loaded["w"].zero_()


def test_running_out_of_memory_is_reported_as_that(path, monkeypatch):
    """(R16)"""
    tg.save({"w": tg.ones(2)}, path)

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "read_magic", fail)
        patch.setattr(json, "loads", fail)
        with pytest.raises((MemoryError, CheckpointError)) as raised:
            tg.load(path)
    assert raised.type is (CheckpointError if path.suffix == ".npz" else MemoryError)
    monkeypatch.setattr(hashlib, "sha256", fail)
    with pytest.raises(MemoryError):
        tg.load(path)


# ---------------------------------------------------------------------- rights and leftovers


@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o666])
def test_a_file_keeps_its_mode(path, mode):
    """(R14)"""
    tg.save({"w": tg.ones(1)}, path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(mode)
    tg.save({"w": tg.zeros(1)}, path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert tg.load(path)["w"].item() == 0


@pytest.mark.skipif(os.name != "posix", reason="signals and locks")
def test_what_a_killed_save_left_is_removed_by_the_next(path):
    """(R14)"""
    tg.save({"w": tg.ones(1)}, path)
    code = (
        "import os, time, tapegrad as tg; os.fsync = lambda _: (print(flush=True), time.sleep(60));"
        f"tg.save({{'w': tg.zeros(1)}}, {str(path)!r})"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    other.stdout.readline()
    assert len(list(path.parent.iterdir())) == 2
    tg.save({"w": tg.ones(1) * 2}, path)  # of another process that still writes: left alone
    assert len(list(path.parent.iterdir())) == 2
    other.send_signal(signal.SIGKILL)
    other.communicate()
    (path.parent / f".other{path.suffix}").touch()
    tg.save({"w": tg.ones(1) * 3}, path)
    assert sorted(f.name for f in path.parent.iterdir()) == [f".other{path.suffix}", path.name]
    assert tg.load(path)["w"].item() == 3


def test_saves_of_several_threads_do_not_disturb_each_other(path):
    errors = []

    def work(value):
        try:
            for _ in range(20):
                tg.save({"w": tg.full((100,), value)}, path)
                assert tg.load(path)["w"][0].item() in (1.0, 2.0, 3.0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(v,)) for v in (1.0, 2.0, 3.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.filterwarnings(  # the file an interrupt left open, closed when it is collected
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_an_interrupt_leaves_the_old_file_or_the_new(path):
    value = 0.0

    def run():
        tg.save({"w": tg.full((2,), value + 1)}, path)

    def check(done):
        nonlocal value
        assert len(list(path.parent.iterdir())) < 4
        found = tg.load(path)["w"][0].item()
        assert found in ((value + 1,) if done else (value, value + 1))
        value = found

    tg.save({"w": tg.zeros(2)}, path)
    assert interrupted_everywhere(run, check) > 20
    run()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_names_keep_their_order(path):
    state = {name: tg.ones(1, dtype=dtype) for name, dtype in
             (("weight", tg.float32), ("bias", tg.float64), ("a", tg.int64))}  # fmt: skip
    tg.save(state, path)
    assert list(tg.load(path)) == ["weight", "bias", "a"]


def test_a_device_that_is_not_there_is_no_damage(path):
    tg.save({"w": tg.ones(1)}, path)
    if not tg.cuda.is_available():
        with pytest.raises(RuntimeError, match="cuda") as caught:
            tg.load(path, map_location="cuda")
        assert not isinstance(caught.value, CheckpointError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
def test_a_full_disk_is_an_error_of_save_to_an_open_file() -> None:
    with suppress(OSError), open("/dev/full", "wb") as file, pytest.raises(OSError, match="space"):
        tg.save({"w": tg.ones(3)}, file)
