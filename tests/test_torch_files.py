"""Files of torch.save: read as PyTorch reads them, and nothing in them runs."""

import ast
import io
import math
import os
import pickle
import random
import re
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from torch_table import FILE, assert_same, small, states

import tapegrad as tg
from tapegrad.checkpoint import CheckpointError, budget

PACKAGE = Path(tg.__file__).parent


def test_what_pytorch_wrote_is_read_without_it():
    found = tg.load(FILE)
    assert_same(found, small(tg), tg.Tensor)
    found["base"][4] = 77
    assert found["transposed"].tolist() == [[0, 3], [1, 77], [2, 5]]  # one memory
    mapped = tg.load(FILE, mmap=True)
    mapped["base"].zero_()
    assert tg.load(FILE)["base"].tolist() == [0, 1, 2, 3, 4, 5]
    there = tg.load(FILE, map_location="emulated")
    assert {t.device.type for t in (there["base"], there["transposed"])} == {"emulated"}
    there["base"][4] = 77
    assert there["transposed"][1, 1].item() == 77


def names():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    return states(torch)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_everything_is_read_as_pytorch_reads_it(protocol):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    for name, state in names().items():
        file = io.BytesIO()
        torch.save(state, file, pickle_protocol=protocol)
        file.seek(0)
        wanted = torch.load(file, weights_only=False)
        file.seek(0)
        try:
            assert_same(tg.load(file), wanted, torch.Tensor)
        except AssertionError as error:
            raise AssertionError(name) from error


def test_a_module_and_its_optimizer_go_on_from_pytorchs_file(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)

    def made(library):
        model = library.nn.Sequential(library.nn.Linear(3, 2), library.nn.Tanh()).double()
        return model, library.optim.AdamW(model.parameters(), lr=0.1)

    def step(library, model, optimizer):
        x = library.tensor(np.arange(12.0).reshape(4, 3), dtype=library.float64)
        optimizer.zero_grad()
        (model(x) ** 3).sum().backward()
        optimizer.step()

    theirs, ours = made(torch), made(tg)
    step(torch, *theirs)
    saved = {"model": theirs[0].state_dict(), "optimizer": theirs[1].state_dict()}
    torch.save(saved, tmp_path / "last.pt")
    tg.checkpoint.restore({"model": ours[0], "optimizer": ours[1]}, tmp_path / "last.pt")
    for library, pair in ((torch, theirs), (tg, ours)):
        step(library, *pair)
    for a, b in zip(theirs[0].state_dict().values(), ours[0].state_dict().values(), strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-10)


OPTIMIZERS = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop",
              "Rprop", "ASGD", "LBFGS", "Adafactor")  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_every_optimizer_and_of_schedulers_are_read(name):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    model = torch.nn.GRU(2, 3)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)

    def loss():
        optimizer.zero_grad()
        value = model(torch.ones(4, 1, 2))[0].sum()
        value.backward()
        return value

    for _ in range(2):
        optimizer.step(loss)
        scheduler.step()
    state = {
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "model": model.state_dict(),
        "random": torch.get_rng_state(),
    }
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    assert_same(tg.load(file), state, torch.Tensor)


def anything(rng, depth=0):
    """A plain value, of the kinds that a pickle may describe here."""
    kind = rng.randrange(12 if depth < 5 else 7)
    some = range(rng.choice((0, 1, 2, 3, 4, 20)))
    if kind == 0:
        return rng.choice((None, True, False, math.inf, -0.0, rng.random()))
    if kind < 4:
        return rng.choice((1, -1)) * rng.getrandbits(rng.choice((1, 7, 8, 15, 16, 31, 32, 64, 600)))
    if kind < 7:
        return "".join(rng.choice("aé語🙂\0\n'") for _ in range(rng.choice((0, 1, 3, 300))))
    if kind < 9:
        return [anything(rng, depth + 1) for _ in some]
    if kind == 9:
        return tuple(anything(rng, depth + 1) for _ in some)
    if kind == 10:
        return {rng.choice("abc") * i: anything(rng, depth + 1) for i in some}
    return {rng.getrandbits(20) for _ in some} | {("a", i) for i in some}


def test_plain_values_are_what_the_standard_library_reads():
    rng = random.Random(0)
    for number in range(400):
        protocol = 2 + number % 4
        shared = anything(rng)
        value = [anything(rng), shared, {"again": shared}]
        if protocol < 4 and number % 8 < 4:  # written in Python, with other instructions
            file = io.BytesIO()
            pickle._Pickler(file, protocol).dump(value)
            program = file.getvalue()
        else:
            program = pickle.dumps(value, protocol)
        found = tg.load(archive(program))
        assert repr(found) == repr(pickle.loads(program))
        assert found == value
        if isinstance(shared, (list, dict)):
            assert found[1] is found[2]["again"]


# ---------------------------------------------------------------------- what is refused


def test_the_format_before_archives_is_refused_with_what_to_do(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"m\.pt: it is a pickle outside .*with torch\.save"):
        tg.load(tmp_path / "m.pt")


def archive(program, storages=(b"\0\0\x80\x3f",), compression=zipfile.ZIP_STORED, **more):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        written.writestr("m/data.pkl", program)
        for i, content in enumerate(storages):
            written.writestr(f"m/data/{i}", content)
        for name, content in more.items():
            written.writestr(f"m/{name}", content)
    file.seek(0)
    return file


class Program:
    """A pickle in the making, by its instructions."""

    def __init__(self, *parts):
        self.code = b"\x80\x02" + b"".join(parts) + b"."


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def numbers(*values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind="torch\nFloatStorage", key="0", count=1):
    return b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + number(
        count
    ) + b"tQ"  # fmt: skip


HOOKS = b"ccollections\nOrderedDict\n)R"


def tensor(offset=0, size=(1,), stride=(1,), of=None, grad=b"\x89"):
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (of or storage())
        + number(offset)
        + numbers(*size)
        + numbers(*stride)
        + grad
        + HOOKS
        + b"tR"
    )


def test_the_programs_below_are_right_but_for_what_is_wrong_with_them():
    assert tg.load(archive(Program(tensor()).code)).tolist() == [1]
    assert tg.load(archive(Program(b"}", text("w"), tensor(), b"s").code))["w"].tolist() == [1]


def run_and(names):
    """A pickle of the standard library's that would call these functions."""

    class Evil:
        def __reduce__(self):
            return names

    return [pickle.dumps(Evil(), protocol) for protocol in (2, 4)]


CALLS = {
    r"posix\.system|nt\.system": run_and((os.system, ("echo ran > ran",))),
    r"builtins?(__)?\.eval": run_and((eval, ("print(1)",))),
    r"builtins?(__)?\.exec": run_and((exec, ("print(1)",))),
    r"builtins?(__)?\.getattr": run_and((getattr, ("", "join"))),
    r"builtins?(__)?\.__import__": run_and((__import__, ("os",))),
    r"_codecs\.encode|instruction b'C' makes bytes": [pickle.dumps(b"x", p) for p in (2, 4)],
    r"numpy\S*\.(scalar|_reconstruct)": [pickle.dumps(np.float64(1), 2),
                                         pickle.dumps(np.ones(1), 2)],
    r"collections\.(defaultdict|Counter)": [pickle.dumps(__import__("collections").Counter(), 2)],
    "makes an object of a class": [Program(b"ctorch\nSize\n)\x81").code],
    "is called that is no function": [Program(b"ctorch\nfloat32\n)R").code,
                                      Program(text("x"), b")R").code],
    "attributes of an object": [Program(HOOKS, b"}", text("__class__"), number(1), b"sb").code],
    "cannot be added to": [Program(b"}", b"}b").code, Program(b")Na").code],
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS)
def test_nothing_is_called_or_imported_and_the_message_names_it(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program in CALLS[message]:
        with pytest.raises(CheckpointError, match=message) as raised:
            tg.load(archive(program))
        assert "at byte" in str(raised.value)
    assert not list(tmp_path.iterdir())


WRONG = {
    "outside of its storage": (tensor(size=(2,)), r"reaches number 1 of storage '0', which has 1"),
    "by the offset": (tensor(offset=1), "reaches number 1"),
    "by a stride": (tensor(size=(2, 1), stride=(5, 1)), "reaches number 5"),
    "far": (tensor(size=(2**40, 2**40), stride=(0, 0)), "larger than any memory"),
    "empty and outside": (tensor(offset=7, size=(0,)), "reaches number 6"),
    "negative": (tensor(offset=-1), "a tensor of size"),
    "negative stride": (tensor(size=(1,), stride=(-1,)), "a tensor of size"),
    "two lengths": (tensor(size=(1, 1)), "a tensor of size"),
    "dimensions": (tensor(size=(1,) * 65, stride=(1,) * 65), "no array has its shape"),
    "no storage": (tensor(of=b"N"), "a tensor of size"),
    "hooks": (tensor().replace(HOOKS, b"\x88"), "hooks"),
    "grad of integers": (
        tensor(of=storage("torch\nCharStorage", count=4), grad=b"\x88"),
        "int8 and requires grad",
    ),
    "another size": (tensor(of=storage(count=2)), "storage '0' is not 2 numbers of float32"),
    "a negative size": (tensor(of=storage(count=-1)), "no array has its shape"),
    "no such storage": (tensor(of=storage(key="9")), "no storage '9' in the archive"),
    "a path": (tensor(of=storage(key="../data.pkl")), "no storage"),
    "two kinds": (
        b"(" + tensor() + tensor(of=storage("torch\nIntStorage")) + b"t",
        "storage '0' is described in two ways",
    ),
    "complex": (tensor(of=storage("torch\nComplexFloatStorage")), "ComplexFloatStorage' is a kind"),
    "quantized": (b"ctorch._utils\n_rebuild_qtensor\n", "_rebuild_qtensor' is a kind of tensor"),
    "a bare storage": (storage(), "holds a storage or a function"),
    "a bare function": (b"]ctorch\nSize\na", "holds a storage or a function"),
    "no end": (b"]" + b"h\x05", "nothing in memory 5"),
    "memory": (b"]q\x05", "memory 5 comes before memory 0"),
    "two values": (b"]]", "does not describe one value"),
    "no value": (b"0", "no value"),
    "no mark": (b"]e", "no mark"),
    "unused mark": (b"](", "does not describe one value"),
    "through a mark": (b"](a", "no value"),
    "half a pair": (b"}(NNNu", "a key without a value"),
    "list as key": (b"}]Ns", "a list as the key"),
    "tuple of tuples as key": (b"}))\x86Ns", "a tuple as the key"),
    "dict in a set": (b"\x8f(}\x90", "a dict as the key of a dict or in a set"),
    "unknown": (b"\xff", "is none that pickles of tensors need"),
    "protocol 0": (b"I1\n", "is none that pickles of tensors need"),
    "protocol": (b"\x80\x07N", "protocol 7"),
    "text that is longer": (b"X\xff\xff\xff\xff", "ends too early"),
    "text that is much longer": (b"\x8d" + b"\xff" * 8, "ends too early"),
    "a number that is longer": (b"\x8b\xff\xff\xff\x7f", "a number of 2147483647 bytes"),
    "no text": (b"X\1\0\0\0\xff", "utf-8"),
    "a name without an end": (b"c" + b"x" * 999, "a name does not end"),
    "a list in itself": (b"]q\0h\0a", "nested more than 100 deep, or holds itself"),
    "a tuple in a list in itself": (b"]q\0(h\0ta", "nested more than 100 deep, or holds itself"),
    "deep": (b"]" * 200 + b"a" * 199, "nested more than 100 deep"),
    "very deep": (b"]" * 99_000 + b"a" * 98_999, "nested more than 100 deep"),
    "deep by sharing": (
        b"](" + b"".join(b"]q" + bytes([i]) + (b"h" + bytes([i - 1]) + b"a" if i else b"")
                         for i in range(150)) + b"e",
        "nested more than 100 deep",
    ),
    "many waiting": (b"}" * 200_000, "does not describe one value"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_hostile_pickles_are_refused_at_once(name):
    program, message = WRONG[name]
    file = archive(Program(program).code)
    size = len(file.getvalue())
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            tg.load(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 5
    assert peak < 2 * size + 25_000_000


# Instructions that take little and make much.
LARGE = {
    "empty lists": b"]" * 100_000,
    "empty dicts": b"}" * 100_000,
    "empty sets": b"\x8f" * 100_000,
    "ordered dicts": b"0ccollections\nOrderedDict\nq\0" + b"h\0)R" * 40_000,
    "tuples": b"N\x85" * 100_000,
    "recalled": b"0]q\0" + b"h\0" * 1_000_000,
    "floats": (b"G" + bytes(8)) * 200_000,
    "notes": b"q\0" + b"\x94" * 500_000,
    "tensors of one storage": (
        b"0" + storage() + b"q\0" + b"0ctorch._utils\n_rebuild_tensor_v2\nq\x01"
        + b"0(h\0" + number(0) + b"))\x89" + HOOKS + b"tq\2" + b"h\1h\2R" * 20_000
    ),
    "wide text": text("a" * 2_000_000 + "🙂"),
    "numbers": (b"J" + b"\1\2\3\4") * 200_000,
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_what_would_take_much_more_memory_than_the_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "FREE", 4 << 20)
    path = tmp_path / "m.pt"
    path.write_bytes(archive(Program(b"(N", LARGE[name], b"t").code).getvalue())
    with pytest.raises(
        CheckpointError, match=r"m\.pt: .*at byte \d+.* more than \d+ MiB"
    ) as raised:
        tg.load(path)
    assert "save long lists of numbers as tensors" in str(raised.value)


def test_refusing_it_takes_at_most_twice_the_file_and_a_fixed_amount(monkeypatch):
    monkeypatch.setattr(budget, "FREE", 8 << 20)
    file = archive(Program(b"(", b"]" * 100_000, b"t").code)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="more than"):
            tg.load(file)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(file.getvalue()) + budget.FREE
    assert kept < 1_000_000


def test_what_people_save_stays_far_below_that():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    for state in (
        {f"layers.{i}.weight": torch.full((3,), i) for i in range(3_000)},
        list(range(300_000)),
        tuple(range(200_000)),
        [i / 3 for i in range(300_000)],
        {f"word{i}": i for i in range(100_000)},
    ):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        assert_same(tg.load(file), state, torch.Tensor)


def test_a_structure_that_is_shared_again_and_again_takes_no_time():
    program = b"]q\0" + b"".join(b"(h%ch%clq%c" % (i, i, i + 1) for i in range(60))
    program = b"(" + program + b"t"
    assert len(tg.load(archive(Program(program).code))) == 61


def test_archives_that_could_become_large_are_refused():
    bomb = archive(
        Program(tensor(of=storage(count=2**20))).code, [bytes(2**22)], zipfile.ZIP_DEFLATED
    )
    with pytest.raises(CheckpointError, match=r"'m/data\S+ in it is compressed.*torch\.save"):
        tg.load(bomb)
    code = archive(b"", **{"constants.pkl": b""})
    with pytest.raises(CheckpointError, match="TorchScript module, which is code"):
        tg.load(code)
    with pytest.raises(CheckpointError, match="several pickles"):
        tg.load(archive(b"", **{"n/data.pkl": b""}))
    with pytest.raises(CheckpointError, match="byte order"):
        tg.load(archive(Program(tensor()).code, byteorder=b"middle"))


def test_the_other_byte_order():
    file = archive(Program(tensor()).code, [b"\x3f\x80\0\0"], byteorder=b"big")
    assert tg.load(file).tolist() == [1]


def test_every_flipped_bit_is_found_or_means_nothing():
    good, wanted = FILE.read_bytes(), small(tg)
    found = 0
    for position in range(0, len(good) * 8, 7):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        try:
            state = tg.load(io.BytesIO(bad))
        except CheckpointError:
            found += 1
        else:  # between the entries, or what no reader looks at
            assert_same(state, wanted, tg.Tensor)
    assert found > len(good) // 7


def test_damage_is_told_by_file_tensor_and_place(tmp_path):
    data = bytearray(FILE.read_bytes())
    at = data.index(np.arange(6, dtype=np.float32).tobytes())
    data[at + 5] ^= 1
    (tmp_path / "m.pt").write_bytes(data)
    message = rf"m\.pt: 'base', whose numbers are '\w+/data/0', at byte {at} is damaged"
    with pytest.raises(CheckpointError, match=message):
        tg.load(tmp_path / "m.pt")


def test_an_ordered_dict_comes_with_its_notes():
    program = (
        HOOKS + b"}" + text("_metadata") + b"}" + text("") + b"}" + text("version") + number(2)
    )
    found = tg.load(archive(Program(program, b"sssb").code))
    assert type(found) is OrderedDict
    assert found._metadata == {"": {"version": 2}}


# ---------------------------------------------------------------------- the source


UNPICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def test_nothing_in_the_package_unpickles():
    """No module of it imports what does, and NumPy is told not to. Four files send what they
    pickle from one process of the program to another, never into files: nobody but a loader, a
    check of a kernel, or who asks ranks to, names them."""
    between_processes = {
        "data": {"workers", "shared_memory"},
        "custom": {"child"},
        "distributed": {"pickled"},
    }
    for path in PACKAGE.rglob("*.py"):
        if path.stem in between_processes.get(path.parent.name, ()):
            continue
        for room, files in between_processes.items():
            named = re.search(rf"\b{room}\.({'|'.join(files)})\b", path.read_text())
            assert path.parent.name == room or not named, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {(node.module or "").partition(".")[0]} if not node.level else set()
            else:
                imported = set()
            assert not imported & UNPICKLES, f"{path}: {imported}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert options.get("allow_pickle") == "False", path


@pytest.mark.parametrize("module", ["pickle_opcodes", "torch_file"])
def test_the_reader_of_pickles_neither_imports_nor_looks_anything_up(module):
    tree = ast.parse((PACKAGE / "checkpoint" / f"{module}.py").read_text())
    called = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert not called & {"getattr", "setattr", "eval", "exec", "compile", "__import__", "globals",
                         "import_module", "importlib.import_module", "find_class"}  # fmt: skip
