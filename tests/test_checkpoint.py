"""State dicts on disk: round trips, damage, and interrupted writes."""

import os

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.checkpoint import CheckpointError

SUFFIXES = [".npz", ".safetensors"]
DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors", reason="an optional format")
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
    pytest.importorskip("safetensors", reason="an optional format")
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


def test_no_single_flipped_bit_is_loaded_silently(path):
    state = {"w": tg.tensor([1.0, 2.0, 3.0]), "n": tg.tensor(7)}
    tg.save(state, path)
    data = path.read_bytes()
    for position in range(0, len(data) * 8, 7):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            loaded = tg.load(path)
        except CheckpointError:
            continue
        # A flip where nothing of ours is stored (a zip's time stamps, a name) may go unnoticed,
        # as long as every value that has its old name is right.
        for name, tensor in loaded.items():
            if name in state:
                assert tensor.dtype == state[name].dtype, position
                assert tensor.tolist() == state[name].tolist(), position


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
    for length in range(0, len(data), 13):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            tg.load(path)


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", w=np.array([object()], dtype=object))
    with pytest.raises(CheckpointError, match=r"evil\.npz"):
        tg.load(tmp_path / "evil.npz")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .safetensors or .npz, not '.*model.pt'"):
        tg.save({}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="ends in"):
        tg.load(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="'lr' is a float"):
        tg.save({"lr": 0.1}, tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match="has a name npz reserves"):
        tg.save({"file": tg.ones(1)}, tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "missing.npz")
    assert not list(tmp_path.iterdir())


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


def test_without_safetensors_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'tapegrad\[io\]'; a name ending in .npz"):
        tg.save({"w": tg.ones(1)}, tmp_path / "w.safetensors")
