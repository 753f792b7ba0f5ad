"""Whole runs on disk: objects and their states, files in parts, folders of checkpoints, files of
other libraries, and what happens when saving or loading fails."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.checkpoint import CheckpointError, Checkpoints, load_weights, restore

ROOT = Path(__file__).resolve().parent.parent


def run(seed=0):
    """The objects of a run, and a step of it."""
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    optimizer = tg.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = tg.optim.lr_scheduler.StepLR(optimizer, 2)
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "generator": tg.Generator().manual_seed(seed),
        "step": 0,
        "config": {"lr": 0.1, "name": "é"},
    }


def step(state):
    x = tg.randn(8, 4, generator=state["generator"])
    state["optimizer"].zero_grad()
    (state["model"](x) ** 2).sum().backward()
    state["optimizer"].step()
    state["scheduler"].step()
    state["step"] += 1


def bits(state):
    """All numbers of a run."""
    return {
        **{name: t.numpy().tobytes() for name, t in state["model"].state_dict().items()},
        "moments": [
            {k: v.numpy().tobytes() if isinstance(v, tg.Tensor) else v for k, v in s.items()}
            for s in state["optimizer"].state_dict()["state"].values()
        ],
        "lr": state["optimizer"].param_groups[0]["lr"],
        "schedule": state["scheduler"].state_dict()["last_epoch"],
        "generator": state["generator"].get_state().tolist(),
        "step": state["step"],
    }


@pytest.mark.parametrize("name", ["run.safetensors", "run.npz", "run.pt"])
@pytest.mark.parametrize("most", [None, 200])
def test_a_run_goes_on_bit_for_bit(tmp_path, name, most):
    if most is not None and name.endswith("npz"):
        with pytest.raises(ValueError, match="max_shard_size splits safetensors files"):
            tg.save(run(), tmp_path / name, max_shard_size=most)
        return
    first = run()
    for _ in range(3):
        step(first)
    tg.save(first, tmp_path / name, max_shard_size=most)
    second = restore(run(seed=1), tmp_path / name)
    assert second["config"] == first["config"]
    assert bits(second) == bits(first)
    for state in (first, second):
        step(state)
    assert bits(second) == bits(first)


def test_what_is_restored_may_be_nested_or_one_object_and_the_rest_is_returned(tmp_path):
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    tg.save({"nets": [a, (b,)], "epoch": 3, "more": {"x": [1]}}, tmp_path / "m.safetensors")
    c, d = nn.Linear(2, 2), nn.Linear(2, 2)
    result = restore({"nets": [c, (d,)], "epoch": 0, "new": 5}, tmp_path / "m.safetensors")
    assert result == {"nets": [c, (d,)], "epoch": 3, "more": {"x": [1]}, "new": 5}
    assert c.weight.tolist() == a.weight.tolist()
    assert d.bias.tolist() == b.bias.tolist()
    tg.save(a.state_dict(), tmp_path / "a.safetensors")
    assert restore(d, tmp_path / "a.safetensors") is d
    assert d.weight.tolist() == a.weight.tolist()
    assert tg.load(tmp_path / "m.safetensors")["nets"][0].keys() == a.state_dict().keys()


# ---------------------------------------------------------------------- all or nothing


class Stubborn:
    """What takes no state but its own first, and is half-way there when it notices."""

    def __init__(self):
        self.state = {"n": 0}

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        self.state = {**state}
        if state["n"] != 0:
            raise ValueError("n must be 0")


def test_a_checkpoint_of_others_changes_nothing_and_one_message_has_all_that_is_wrong(tmp_path):
    other = {
        "model": nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 2, bias=False)),
        "stubborn": Stubborn(),
    }
    other["model"].register_buffer("more", tg.ones(1))
    other["stubborn"].state["n"] = 1
    other["optimizer"] = tg.optim.AdamW(other["model"].parameters())
    other["generator"] = tg.Generator()
    tg.save(other, tmp_path / "m.safetensors")
    mine = {**run(), "stubborn": Stubborn()}
    step(mine)
    before = bits(mine)
    with pytest.raises(CheckpointError) as raised:
        restore(mine, tmp_path / "m.safetensors")
    for part in (
        r"m.safetensors: nothing was changed",
        "'scheduler' is not in it",
        "'model': load_state_dict: cannot load into Sequential",
        "missing keys: '2.bias'",
        "unexpected keys: 'more'",
        "size mismatch for '0.weight': the state_dict has (3, 5), the module has (3, 4)",
        "'optimizer': AdamW.load_state_dict: the groups have [6] parameters",
        "'stubborn': n must be 0",
    ):
        assert part in str(raised.value)
    assert bits(mine) == before
    assert mine["stubborn"].state == {"n": 0}


def test_an_interrupt_while_restoring_undoes_it(tmp_path):
    class Interrupted(Stubborn):
        def load_state_dict(self, state):
            if state["n"] == 1:
                raise KeyboardInterrupt
            raise ValueError

    saved = Stubborn()
    saved.state["n"] = 1
    tg.save({**run(), "last": saved}, tmp_path / "m.npz")
    mine = {**run(seed=2), "last": Interrupted()}
    before = bits(mine)
    with pytest.raises(KeyboardInterrupt):
        restore(mine, tmp_path / "m.npz")
    assert bits(mine) == before


# ---------------------------------------------------------------------- weights by name


def network():
    return nn.Sequential(OrderedDict(embed=nn.Embedding(5, 4), head=nn.Linear(4, 2)))


def test_weights_are_loaded_by_name_with_a_map(tmp_path):
    model, path = network(), tmp_path / "model.safetensors"
    theirs = {f"transformer.{k}": v for k, v in network().state_dict().items()}
    theirs["lm_head.weight"] = tg.ones(1)
    tg.save(theirs, path)
    with pytest.raises(CheckpointError, match=r"missing keys: 'embed\.weight', .*\n.*'transformer"):
        load_weights(model, path)
    maps = (
        {"transformer.": "", "lm_head.weight": None},
        lambda name: None if name.startswith("lm") else name.removeprefix("transformer."),
    )
    for key_map in maps:
        model = network()
        assert load_weights(model, path, key_map=key_map) == ([], [])
        assert model.head.weight.tolist() == theirs["transformer.head.weight"].tolist()
    del theirs["transformer.head.bias"]
    tg.save(theirs, path)
    keys = load_weights(model, path, strict=False, key_map={"transformer.": ""})
    assert keys == (["head.bias"], ["lm_head.weight"])
    with pytest.raises(ValueError, match=r"makes 'x' of both '\S+' and '\S+'"):
        load_weights(model, path, key_map=lambda name: "x")
    with pytest.raises(ValueError, match=r"begins with \['transformers\.'\], which key_map has"):
        load_weights(model, path, key_map={"transformers.": ""})


def test_weights_inside_something_else_are_pointed_at(tmp_path):
    tg.save({"model": network(), "epoch": 1}, tmp_path / "m.npz")
    with pytest.raises(CheckpointError, match=r"it has dicts in \['model'\]"):
        load_weights(network(), tmp_path / "m.npz")
    tg.save([1], tmp_path / "m.npz")
    with pytest.raises(CheckpointError, match="no dict of tensors by name"):
        load_weights(network(), tmp_path / "m.npz")


def hugging_face(folder, state, parts=2):
    """A folder as other libraries write it: parts without checksums, and an index."""
    library = pytest.importorskip("safetensors.numpy", reason="writes as others do")
    names, where = sorted(state), {}
    for i in range(parts):
        file = f"model-{i + 1:05}-of-{parts:05}.safetensors"
        own = {name: state[name].numpy() for name in names[i::parts]}
        library.save_file(own, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(own, file))
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def test_folders_of_hugging_face_are_loaded(tmp_path):
    state = network().state_dict()
    hugging_face(tmp_path, state)
    index = tmp_path / "model.safetensors.index.json"
    for path in (tmp_path, index, tmp_path / "model.safetensors", str(tmp_path)):
        model = network()
        load_weights(model, path)
        assert model.head.weight.tolist() == state["head.weight"].tolist()
    assert tg.load(index, mmap=True, map_location="emulated")["head.bias"].device.type == "emulated"


def test_folders_of_pytorchs_parts_are_loaded(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    where = {}
    for i in (1, 2):
        torch.save({f"w{i}": torch.full((2,), float(i))}, tmp_path / f"pytorch_model-{i}.bin")
        where[f"w{i}"] = f"pytorch_model-{i}.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    assert {k: v.tolist() for k, v in tg.load(tmp_path).items()} == {"w1": [1, 1], "w2": [2, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda i: i["weight_map"].update(x="../model-00001-of-00002.safetensors"),
            "no file beside",
        ),
        (lambda i: i["weight_map"].update(x=".."), "no file beside it"),
        (lambda i: i["weight_map"].update(x=3), "no file beside it"),
        (lambda i: i["weight_map"].update(x="gone.safetensors"), "gone.safetensors, .* is missing"),
        (
            lambda i: i["weight_map"].update(x="model-00001-of-00002.safetensors"),
            "no 'x' in model-00001",
        ),
        (lambda i: i.update(weight_map=[]), "index.json"),
        (lambda i: i.pop("weight_map"), "index.json"),
    ],
)
def test_wrong_indices_are_refused(tmp_path, change, message):
    index = hugging_face(tmp_path, network().state_dict())
    change(index)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        tg.load(tmp_path)


def test_a_folder_without_a_model_says_what_it_has(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(CheckpointError, match=r"without model\.safetensors .*\(a\.txt\)"):
        tg.load(tmp_path)


def test_ours_load_in_pytorchs_safetensors(tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    library = pytest.importorskip("safetensors.torch", reason="reads as others do")
    state = {
        d: tg.tensor([[1, 0], [3, 4]]).to(d)
        for d in (
            "float64",
            "float32",
            "float16",
            "int64",
            "int32",
            "int16",
            "int8",
            "uint8",
            "bool",
        )
    }
    state |= {"empty": tg.zeros(0, 2), "scalar": tg.tensor(3.5), 'a "name"/é': tg.ones(1)}
    state["bfloat16"] = tg.ones(3).to(tg.bfloat16)
    tg.save(state, tmp_path / "m.safetensors")
    loaded = library.load_file(tmp_path / "m.safetensors")
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert str(loaded[name].dtype) == f"torch.{tensor.dtype.name}"
        assert loaded[name].tolist() == tensor.tolist()
    tg.save(state, tmp_path / "p.safetensors", max_shard_size=64)
    index = json.loads((tmp_path / "p.safetensors.index.json").read_text())
    for file in set(index["weight_map"].values()):
        for name, tensor in library.load_file(tmp_path / file).items():
            assert index["weight_map"][name] == file
            assert tensor.tolist() == state[name].tolist()


# ---------------------------------------------------------------------- parts


def test_parts_hold_what_the_index_says_and_are_no_larger_than_wanted(tmp_path):
    path = tmp_path / "m.safetensors"
    state = {f"w{i}": tg.full((100,), float(i)) for i in range(10)} | {"large": tg.ones(600)}
    tg.save(state, path, max_shard_size="1KB")
    index = json.loads((tmp_path / "m.safetensors.index.json").read_text())
    assert list(index["weight_map"]) == list(state)
    assert index["metadata"]["total_size"] == 6400
    parts = [p for p in tmp_path.iterdir() if p.suffix == ".safetensors"]
    assert len(parts) == 6  # five of two tensors, and the large one
    loaded = tg.load(path)
    assert list(loaded) == list(state)
    assert all(loaded[k].tolist() == state[k].tolist() for k in state)
    tg.save({"w": tg.ones(300)}, path, max_shard_size="0.5KiB")
    assert len(list(tmp_path.iterdir())) == 2
    tg.save({"w": tg.ones(3)}, path, max_shard_size="1MB")  # one file is enough
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    for wrong in ("5XB", "much", 0, -3):
        with pytest.raises(ValueError, match="max_shard_size is a number of bytes"):
            tg.save(state, path, max_shard_size=wrong)


def test_every_kind_of_damage_to_parts_is_found(tmp_path):
    path = tmp_path / "m.safetensors"
    state = {"a": tg.arange(3), "b": [tg.ones(5), 7]}
    tg.save(state, path, max_shard_size=25)
    for file in sorted(tmp_path.iterdir()):
        good = file.read_bytes()
        for position in range(0, len(good) * 8, 11):
            bad = bytearray(good)
            bad[position // 8] ^= 1 << position % 8
            file.write_bytes(bad)
            with pytest.raises(CheckpointError, match=r"index\.json"):
                tg.load(path)
        file.write_bytes(good)
    old = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    tg.save({"a": tg.arange(3) + 1, "b": [tg.ones(5), 7]}, path, max_shard_size=25)
    new = sorted(p.name for p in tmp_path.iterdir())
    parts = [name for name in sorted(old) if name.endswith("rs")]
    (tmp_path / new[0]).write_bytes(old[parts[0]])  # a part of the save before
    with pytest.raises(CheckpointError, match=f"{new[0]}: it is of another save than the index"):
        tg.load(path)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_rights_stay_whether_in_parts_or_not(tmp_path):
    path = tmp_path / "m.safetensors"
    tg.save({"w": tg.ones(9)}, path)
    path.chmod(0o600)
    for most in (8, 8, 1000, 8):
        tg.save({"w": tg.ones(9), "v": tg.ones(1)}, path, max_shard_size=most)
        assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    with pytest.raises(IsADirectoryError, match="a folder"):
        tg.save({}, tmp_path)


def test_parts_of_a_renamed_index_stay(tmp_path):
    tg.save({"w": tg.ones(9)}, tmp_path / "m.safetensors", max_shard_size=8)
    (tmp_path / "m.safetensors.index.json").rename(tmp_path / "kept.safetensors.index.json")
    tg.save({"w": tg.zeros(9)}, tmp_path / "m.safetensors", max_shard_size=8)
    assert tg.load(tmp_path / "kept.safetensors")["w"].sum().item() == 9
    (tmp_path / "kept.safetensors.index.json").write_text("{")
    tg.save({"w": tg.zeros(9)}, tmp_path / "m.safetensors", max_shard_size=8)
    assert len(list(tmp_path.iterdir())) == 5  # while one cannot be read, all parts stay


# ---------------------------------------------------------------------- folders of checkpoints


def numbers(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("most", [None, 64])
def test_a_folder_keeps_the_last_and_the_best(tmp_path, most):
    checkpoints = Checkpoints(tmp_path / "run", keep_last=2, max_shard_size=most)
    state = run()
    assert checkpoints.restore(state) is None
    assert checkpoints.latest is checkpoints.best is None
    assert not tmp_path.joinpath("run").exists()
    for n in range(1, 6):
        step(state)
        path = checkpoints.save(state, n * 10, best=n == 2)
    assert checkpoints.steps() == [40, 50]
    assert checkpoints.latest == path == tmp_path / "run" / "step-00000050.safetensors"
    if most is None:
        assert numbers(tmp_path / "run") == ["best.safetensors", "step-00000040.safetensors",
                                             path.name]  # fmt: skip
    assert tg.load(checkpoints.best)["step"] == 2
    again = Checkpoints(tmp_path / "run").restore(run(seed=3))
    assert bits(again) == bits(state)


def test_a_damaged_last_checkpoint_is_passed_over_and_removed_in_its_turn(tmp_path):
    checkpoints, state = Checkpoints(tmp_path, keep_last=2), run()
    for n in (1, 2):
        step(state)
        path = checkpoints.save(state, n)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert checkpoints.latest.name == "step-00000001.safetensors"
    with pytest.warns(
        RuntimeWarning, match=r"step-00000002\.safetensors is damaged: going on from"
    ):
        state = checkpoints.restore(run(seed=1))
    assert state["step"] == 1
    step(state)
    checkpoints.save(state, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoints.restore(run())["step"] == 2
    for name in numbers(tmp_path):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read"):
        checkpoints.restore(run())


def test_what_a_killed_save_left_in_a_folder_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    (tmp_path / ".step-00000001.safetensors.0123abcd.safetensors").touch()
    checkpoints.save({"w": tg.ones(1)}, 2)
    assert numbers(tmp_path) == ["step-00000002.safetensors"]


def test_going_back_to_an_earlier_step_removes_no_later_one(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    checkpoints.save({}, 30)
    checkpoints.save({}, 10)
    checkpoints.save({}, 20)
    assert checkpoints.steps() == [20, 30]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_only_regular_files_are_opened(tmp_path):
    """A named pipe that nobody writes to would be waited for for ever."""
    checkpoints = tg.checkpoint.Checkpoints(tmp_path)
    checkpoints.save({"n": 1}, 1)
    os.symlink(tmp_path / "step-00000001.safetensors", tmp_path / "step-00000002.safetensors")
    os.mkfifo(tmp_path / "step-00000003.safetensors")
    os.mkfifo(tmp_path / "step-00000004.safetensors.index.json")
    (tmp_path / "step-00000005.safetensors").mkdir()
    os.mkfifo(tmp_path / "best.safetensors")
    assert checkpoints.steps() == [1, 2]
    assert checkpoints.latest == tmp_path / "step-00000002.safetensors"
    assert checkpoints.best is None
    assert checkpoints.restore({"n": 0}) == {"n": 1}
    for path, error, message in (
        (tmp_path / "step-00000003.safetensors", OSError, "a named pipe, where a regular file"),
        (tmp_path / "step-00000004.safetensors", OSError, "a named pipe, where a regular file"),
        ("/dev/null", OSError, "a socket or device, where a regular file is needed: '/dev/null'"),
        (tmp_path / "step-00000005.safetensors", CheckpointError, "is a folder without"),
    ):
        with pytest.raises(error, match=message):
            tg.load(path)
        with pytest.raises(error, match=message):
            tg.checkpoint.load_weights(tg.nn.Linear(1, 1), path)
    for path in (tmp_path / "step-00000003.safetensors", "/dev/null"):
        with pytest.raises(OSError, match="where a regular file is needed"):
            tg.save({"n": 1}, path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_parts_and_indices_that_are_pipes_are_not_opened(tmp_path):
    state = {"a": tg.ones(100), "b": tg.ones(100)}
    tg.save(state, tmp_path / "m.safetensors", max_shard_size=400)
    part = next(tmp_path.glob("m-*-00001-of-00002.safetensors"))
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(CheckpointError, match=r"m-.*, which the index names, is no part: .*pipe"):
        tg.load(tmp_path / "m.safetensors")
    os.mkfifo(tmp_path / "other.safetensors.index.json")
    tg.save(state, tmp_path / "m.safetensors", max_shard_size=400)
    assert set(tg.load(tmp_path / "m.safetensors")) == {"a", "b"}


def test_wrong_arguments_of_a_folder(tmp_path):
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="keep_last must be at least 1"):
            Checkpoints(tmp_path, keep_last=wrong)
    for wrong in (-1, 1.0, "1"):
        with pytest.raises(ValueError, match="step must be a number of steps"):
            Checkpoints(tmp_path).save({}, wrong)


# ---------------------------------------------------------------------- disks, rights, processes

LARGE = {"v": tg.ones(10_000), "w": tg.ones(100_000)}


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
@pytest.mark.parametrize("most", [None, 100_000])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, name, most):
    """As a limit on the size of files: the same error at the same place."""
    if most and name.endswith("npz"):
        return
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    path = tmp_path / name
    old = {"w": tg.zeros(40_000), "v": tg.zeros(20_000)}
    tg.save(old, path, max_shard_size=most)
    files = numbers(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            tg.save(LARGE, path, max_shard_size=most)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert raised.value.errno == errno.EFBIG
    assert numbers(tmp_path) == files
    assert tg.load(path)["w"].sum().item() == 0


def test_a_file_that_reads_back_wrong_never_takes_the_place_of_a_good_one(tmp_path, monkeypatch):
    """A disk that loses a bit between writing and reading."""
    for path, most in ((tmp_path / "m.safetensors", None), (tmp_path / "m.npz", None),
                       (tmp_path / "p.safetensors", 4)):  # fmt: skip
        tg.save({"w": tg.zeros(2), "v": tg.ones(1)}, path, max_shard_size=most)
        real = os.fsync

        def lossy(descriptor, real=real):
            real(descriptor)
            if os.fstat(descriptor).st_size > 200:  # not the folder
                size = os.fstat(descriptor).st_size
                os.pwrite(descriptor, b"?", size // 2)

        before = numbers(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lossy)
            with pytest.raises(CheckpointError):
                tg.save({"w": tg.ones(2), "v": tg.ones(1)}, path, max_shard_size=most)
        assert numbers(tmp_path) == before
        assert tg.load(path)["w"].tolist() == [0, 0]


@pytest.mark.skipif(os.name != "posix", reason="rights")
def test_a_folder_without_rights_is_told_and_keeps_its_file(tmp_path):
    """In a process without root's rights."""
    tmp_path.chmod(0o755)
    tg.save({"w": tg.ones(1)}, tmp_path / "m.npz")
    tmp_path.chmod(0o555)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                tg.save({"w": tg.zeros(1)}, tmp_path / "m.npz")
            except PermissionError as error:
                code = 0 if str(tmp_path) in str(error) else 2
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    tmp_path.chmod(0o755)
    assert status == 0
    assert tg.load(tmp_path / "m.npz")["w"].item() == 1
    assert numbers(tmp_path) == ["m.npz"]


@pytest.mark.skipif(os.name != "posix", reason="processes that fork")
@pytest.mark.parametrize("most", [None, 10_000])
def test_processes_that_save_to_one_name_leave_one_whole_file(tmp_path, most):
    path = tmp_path / "m.safetensors"

    def save(value):
        w = tg.full((4000,), value)
        tg.save({"w": w, "v": w + 1}, path, max_shard_size=most)

    save(0.0)
    children = []
    for value in (1.0, 2.0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(25):
                    save(value)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for _ in range(50):
        found = tg.load(path)
        assert found["w"].unique().tolist() == [found["v"][0].item() - 1]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    found = tg.load(path)
    assert found["w"].unique().tolist() in ([1], [2])
    assert found["v"].tolist() == (found["w"] + 1).tolist()
    assert len(numbers(tmp_path)) == (1 if most is None else 3)


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_loading_allocates_the_file_once_and_mapping_it_nothing(tmp_path, name):
    path = tmp_path / name
    tg.save({f"w{i}": tg.ones(250_000) for i in range(8)}, path)
    size = path.stat().st_size
    peaks = []
    for mmap in (False, True):
        tracemalloc.start()
        try:
            loaded = tg.load(path, mmap=mmap)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        loaded["w0"].zero_()
        assert loaded["w7"].sum().item() == 250_000
    assert size <= peaks[0] < 1.2 * size + 1_100_000
    assert peaks[1] < 1_500_000
    assert tg.load(path)["w0"].sum().item() == 250_000  # the file is as it was


def test_damage_is_told_by_file_tensor_and_place(tmp_path):
    for name in ("m.safetensors", "m.npz"):
        path = tmp_path / name
        tg.save({"a": tg.ones(3), "layer.b": tg.full((5,), 7.0)}, path)
        data = bytearray(path.read_bytes())
        at = data.index(np.full(5, 7, np.float32).tobytes())
        data[at + 9] ^= 16
        path.write_bytes(data)
        with pytest.raises(
            CheckpointError, match=rf"{name}: 'layer\.b\S*' at byte (\d+)"
        ) as raised:
            tg.load(path)
        place = int(str(raised.value).partition("at byte ")[2].split()[0])
        assert at - 128 <= place <= at  # (of npz, where the entry begins)


@pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
def test_torture_in_short():
    """tools/torture_checkpoints.py, which is to be run whole before a release."""
    command = [sys.executable, str(ROOT / "tools" / "torture_checkpoints.py")]
    done = subprocess.run(
        [*command, "--mutations", "700", "--kills", "12", "--seed", "5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "700 files" in done.stdout
    assert "12 saves: 0 problems" in done.stdout
