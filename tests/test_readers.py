"""Datasets of files: what they read, what they refuse and where they say it is."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.data import (
    ArrowDataset,
    CharacterBlocks,
    CSVDataset,
    DataLoader,
    ImageFolder,
    NpyDataset,
    NpzDataset,
    ParquetDataset,
    TextLines,
    TokenBlocks,
    read_image,
)

PEOPLE = 'name,age,height\nAnn,31,1.70\n\n"O\'Neil, ""Bob""",28,NA\nZoë,45,1.62\n'


def write(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def shown(value: Any) -> Any:
    """A sample as plain Python."""
    if isinstance(value, (tuple, list)):
        return tuple(map(shown, value))
    if isinstance(value, dict):
        return {name: shown(v) for name, v in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


READERS: dict[str, Callable[[Path], Any]] = {
    "csv": CSVDataset,
    "parquet": ParquetDataset,
    "arrow": ArrowDataset,
    "npy": NpyDataset,
    "npz": NpzDataset,
    "text": TextLines,
    "tokens": lambda path: TokenBlocks(path, 2),
    "image": read_image,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("name", READERS)
def test_only_regular_files_are_opened(name: str, tmp_path: Path) -> None:
    """A named pipe that nobody writes to would be waited for for ever."""
    if name in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    if name == "image":
        pytest.importorskip("PIL")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"a named pipe, where a regular file is needed: .*pipe"):
        READERS[name](tmp_path / "pipe")
    with pytest.raises(IsADirectoryError, match="a folder, where a file is needed"):
        READERS[name](tmp_path)
    with pytest.raises(OSError, match="a socket or device, where"):
        READERS[name](Path("/dev/null"))


# ---- CSV ---------------------------------------------------------------------------------------


def test_a_csv_file_is_rows_of_typed_columns(tmp_path: Path) -> None:
    people = CSVDataset(write(tmp_path, PEOPLE))
    assert people.columns == ["name", "age", "height"]
    assert len(people) == 3
    assert shown(people[0]) == {"name": "Ann", "age": 31, "height": 1.7}
    assert people[0]["age"].dtype == np.int64
    assert people[1]["name"] == 'O\'Neil, "Bob"'
    assert np.isnan(people[1]["height"])
    assert people[-1]["name"] == "Zoë"
    assert [sample["age"] for sample in people.__getitems__([2, 0])] == [45, 31]
    (batch,) = DataLoader(people, batch_size=3)
    assert batch["name"] == ["Ann", 'O\'Neil, "Bob"', "Zoë"]
    assert batch["age"].dtype == tg.int64


def test_features_and_target_of_a_csv_file(tmp_path: Path) -> None:
    path = write(tmp_path, PEOPLE)
    x, y = CSVDataset(path, target="name", missing=0)[1]
    assert (x.dtype, x.tolist(), y) == (tg.float32, [28, 0], 1)
    people = CSVDataset(path, features="age", target="height")
    assert shown(people[0]) == ([31], np.float32(1.7).item())
    (x, y), *_ = DataLoader(people, batch_size=2)
    assert (x.shape, y.dtype) == ((2, 1), tg.float32)
    assert CSVDataset(path, features=["age"])[2].tolist() == [45]
    named = CSVDataset(path, target="name", classes=["Zoë", "Ann"], missing=0)
    assert named[2][1] == 0
    with pytest.raises(ValueError, match=r"people.csv, line 4, column 'name': .* none of the cla"):
        named[1]


def test_ways_to_write_csv(tmp_path: Path) -> None:
    semicolons = write(tmp_path, "\ufeffa;b\r\n007;1e3\r\n010;-inf\r\n")
    data = CSVDataset(semicolons, delimiter=";", types={"a": str})
    assert shown(data[0]) == {"a": "007", "b": 1000.0}
    bare = write(tmp_path, "1,2\n3,4", "bare.csv")
    assert shown(CSVDataset(bare, header=False)[1]) == {"0": 3, "1": 4}
    assert shown(CSVDataset(bare, header=["a", "b"])[0]) == {"a": 1, "b": 2}
    latin = write(tmp_path, "a\ncafé\n".encode("latin-1"), "latin.csv")
    assert CSVDataset(latin, encoding="latin-1")[0] == {"a": "café"}
    large = write(tmp_path, f"a,b\n{2**63},1_0\n", "large.csv")
    assert shown(CSVDataset(large)[0]) == {"a": 2.0**63, "b": "1_0"}
    assert len(CSVDataset(write(tmp_path, "a,b\n", "header.csv"))) == 0


def test_types_hold_for_a_whole_column(tmp_path: Path) -> None:
    """However late the word comes that decides it."""
    rows = [f"{i},{i},{i},x" for i in range(20000)]
    rows[19000], rows[19001] = "1.5,NA,word,1", "007,2,,2"
    text = "a,b,c,d\n" + "\n".join(rows)
    data = CSVDataset(write(tmp_path, text))
    assert [type(data[5][name]).__name__ for name in "abcd"] == ["float64", "float64", "str", "str"]
    assert shown(data[19001]) == {"a": 7.0, "b": 2.0, "c": "", "d": "2"}
    assert (data[5]["c"], data[19999]["a"]) == ("5", 19999.0)
    with pytest.raises(ValueError, match=r"line 19002, column 'a': '1.5' is not an integer"):
        CSVDataset(tmp_path / "people.csv", types={"a": int})
    with pytest.raises(ValueError, match=r"line 19002, column 'c': 'word' is not a number"):
        CSVDataset(tmp_path / "people.csv", features=["c"])


BAD_CSV: list[tuple[str | bytes, dict[str, Any], type, str]] = [
    ("", {}, ValueError, r"is empty"),
    ("a,b\n1,2\n3\n", {}, ValueError, r"line 3: 1 fields, where there are 2 columns: \['a', 'b'\]"),
    ("a,a\n1,2\n", {}, ValueError, r"two columns are called 'a'"),
    ("a\nx\n", {"features": "a"}, ValueError, r"line 2, column 'a': 'x' is not a number"),
    (
        "a,b\n1,2\n,3\n",
        {"target": "b", "missing": None},
        ValueError,
        r"line 3, column 'a': '' is m",
    ),
    ("a\n1.5\n", {"types": {"a": int}}, ValueError, r"line 2, column 'a': '1.5' is not an integer"),
    ("a\n1\n", {"types": {"b": int}}, ValueError, r"types= names columns .* got 'b'"),
    ("a\n1\n", {"types": {"a": bool}}, ValueError, r"types= .* with int, float or str"),
    ("a\n1\n", {"features": ["b", "c"]}, ValueError, r"no column 'b', 'c': its columns are 'a'"),
    ("a\n1\n", {"target": "a", "classes": ["1"]}, ValueError, r"classes= .* target that is text"),
    ('a\n"x\n', {}, ValueError, r"line 2: unexpected end of data"),
    (b"a\nb\n\xff\n", {}, ValueError, r"after line \d: bytes that are not utf-8-sig"),
    ("1,2\n", {"header": None}, TypeError, r"header is True, False .no line has names. or the"),
]


@pytest.mark.parametrize(("text", "options", "error", "message"), BAD_CSV)
def test_what_is_wrong_in_a_csv_file_is_said_with_its_place(
    tmp_path: Path, text: str | bytes, options: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=r"^\[CSVDataset\] .*people.csv.*" + message + "|" + message):
        CSVDataset(write(tmp_path, text), **options)


# ---- Arrow and Parquet -------------------------------------------------------------------------


def table(pa: Any) -> Any:
    return pa.table(
        {
            "id": pa.array(range(10), pa.uint16()),
            "x": pa.array([i / 4 for i in range(10)], pa.float32()),
            "gap": pa.array([None if i == 7 else i for i in range(10)], pa.int32()),
            "word": pa.array(["a", "b", None, "a", "b"] * 2),
            "view": pa.array(["c", None] * 5, pa.string_view()),
            "kind": pa.array(["u", "v"] * 5).dictionary_encode(),
            "pair": pa.array([[i, -i] for i in range(10)], pa.list_(pa.int64())),
            "flag": pa.array([i == 3 for i in range(10)]),
        }
    )


def write_parquet(pa: Any, value: Any, path: Path) -> None:
    pytest.importorskip("pyarrow.parquet").write_table(value, path, row_group_size=4)


def write_arrow(pa: Any, value: Any, path: Path) -> None:
    with pa.ipc.new_file(path, value.schema) as file:
        file.write_table(value, max_chunksize=4)


def write_stream(pa: Any, value: Any, path: Path) -> None:
    with pa.ipc.new_stream(path, value.schema) as file:
        file.write_table(value, max_chunksize=4)


KINDS = [
    pytest.param(ParquetDataset, write_parquet, id="parquet"),
    pytest.param(ArrowDataset, write_arrow, id="arrow"),
    pytest.param(ArrowDataset, write_stream, id="stream"),
]


@pytest.fixture
def pa() -> Any:
    return pytest.importorskip("pyarrow", reason="Arrow's files are read by pyarrow")


@pytest.mark.parametrize(("kind", "save"), KINDS)
def test_a_table_in_groups_is_read_at_any_row(
    pa: Any, tmp_path: Path, kind: Callable, save: Callable
) -> None:
    save(pa, table(pa), tmp_path / "t")
    data = kind(tmp_path / "t")
    assert len(data) == 10
    sample = data[-1]
    assert shown(sample) == {
        "id": 9, "x": 2.25, "gap": 9.0, "word": "b", "view": "", "kind": "v", "pair": [9, -9],
        "flag": False,
    }  # fmt: skip
    assert (sample["id"].dtype, sample["x"].dtype) == (np.int32, np.float32)
    assert data[0]["gap"].dtype == np.float64  # as in the group where one is missing
    assert np.isnan(data[7]["gap"])
    assert data[7]["word"] == ""
    order = [9, 0, 5, 5, 1, 8]
    assert [row["id"] for row in data.__getitems__(order)] == order
    assert data.__getitems__([]) == []
    x, y = kind(tmp_path / "t", ["x", "gap"], "kind", missing=-1)[7]
    assert (x.tolist(), y) == ([1.75, -1], 1)
    numbers = kind(tmp_path / "t", columns=["id", "flag"], target="flag")
    assert shown(numbers[3]) == ([3], True)
    again = pickle.loads(pickle.dumps(data))
    assert shown(again[3]) == shown(data[3])


@pytest.mark.parametrize(("kind", "save"), KINDS)
def test_what_is_wrong_in_a_table_is_said_with_its_place(
    pa: Any, tmp_path: Path, kind: Callable, save: Callable
) -> None:
    path = tmp_path / "t"
    save(pa, table(pa), path)
    with pytest.raises(ValueError, match=r"has no column 'z': its columns are 'id', "):
        kind(path, columns=["z"])
    with pytest.raises(ValueError, match=r"t, row 7, column 'gap': the value is missing"):
        kind(path, ["gap"], missing=None)[5]
    with pytest.raises(ValueError, match=r"column 'word' of .* is text: features are numbers"):
        kind(path, ["word"])
    with pytest.raises(IndexError, match=r"there is no row 10: .*t has 10"):
        kind(path)[10]
    save(pa, pa.table({"when": pa.array([0], pa.timestamp("ms"))}), path)
    with pytest.raises(
        ValueError, match=r"'when' is of type timestamp\[ms\], which no tensor holds"
    ):
        kind(path)
    save(pa, pa.table([[1], [2]], ["a", "a"]), path)
    with pytest.raises(ValueError, match="t: two columns are called 'a'"):
        kind(path)
    whole = path.read_bytes()
    for wrong in (b"", b"no table at all", whole[: len(whole) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=rf"^\[{kind.__name__}\] .*t: "):
            kind(path)
    with pytest.raises(FileNotFoundError):
        kind(tmp_path / "nothing")


def test_parquet_reads_only_the_groups_and_columns_that_are_asked_for(
    pa: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(pa, table(pa), tmp_path / "t")
    data = ParquetDataset(tmp_path / "t", ["x"], cache=1)
    read: list[tuple] = []
    before = ParquetDataset._group

    def group(self: Any, file: Any, number: int, columns: list) -> Any:
        found = before(self, file, number, columns)
        read.append((number, found.column_names))
        return found

    monkeypatch.setattr(ParquetDataset, "_group", group)
    data.__getitems__([9, 1, 8, 0])
    assert read == [(0, ["x"]), (2, ["x"])]
    data[8]  # still there
    assert len(read) == 2
    data[0]
    assert read[-1] == (0, ["x"])
    save = bytearray((tmp_path / "t").read_bytes())
    save[4:400] = bytes(396)
    (tmp_path / "t").write_bytes(save)
    with pytest.raises(ValueError, match=r"^\[ParquetDataset\] .*t, group 0: "):
        ParquetDataset(tmp_path / "t", ["x"], "word")
    with pytest.raises(ValueError, match="cache must be None or at least 1, got 0"):
        ParquetDataset(tmp_path / "t", cache=0)


# ---- images ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image = pytest.importorskip("PIL.Image", reason="images are read by Pillow")
    for name, value in {"dog/b": 2, "dog/a": 1, "cat/x/c": 3, "cat/d": 4}.items():
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((2, 3, 3), value, np.uint8)
        pixels[0, 1] = (10, 20, 30)
        Image.fromarray(pixels).save(path)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    return tmp_path


def test_an_image_folder_is_ordered_by_class_and_name(folder: Path) -> None:
    data = ImageFolder(folder)
    assert data.classes == ["cat", "dog"]
    assert data.class_to_idx == {"cat": 0, "dog": 1}
    assert [Path(path).name for path, _ in data.samples] == ["d.png", "c.png", "a.png", "b.png"]
    assert data.targets == [0, 0, 1, 1]
    image, label = data[3]
    assert (image.shape, image.dtype, label) == ((3, 2, 3), tg.uint8, 1)
    assert image[:, 0, 1].tolist() == [10, 20, 30]
    assert image[0, 1].tolist() == [2, 2, 2]
    grey = ImageFolder(folder, tg.data.transforms.rgb_to_grayscale, lambda label: -label)
    assert grey[3][0].shape == (1, 2, 3)
    assert grey[3][1] == -1
    assert (
        len(ImageFolder(folder, is_valid_file=lambda path: path.endswith("d.png") or "dog" in path))
        == 4
    )
    (images, _), *_ = DataLoader(data, batch_size=4)
    assert images.shape == (4, 3, 2, 3)
    assert pickle.loads(pickle.dumps(data))[0][0].tolist() == data[0][0].tolist()


def test_images_are_read_in_modes(folder: Path) -> None:
    path = folder / "dog" / "a.png"
    assert read_image(path, "L").shape == (1, 2, 3)
    assert read_image(path, "RGBA")[3].tolist() == [[255] * 3] * 2
    with pytest.raises(ValueError, match="mode must be one of L, RGB, RGBA, got 'CMYK'"):
        read_image(path, "CMYK")


def test_damaged_images_and_empty_folders_are_named(folder: Path) -> None:
    whole = (folder / "dog" / "a.png").read_bytes()
    data = ImageFolder(folder)
    for wrong in (b"", b"text", whole[:45]):
        (folder / "dog" / "a.png").write_bytes(wrong)
        with pytest.raises(OSError, match=r"dog.a.png cannot be read as an image"):
            data[2]
    (folder / "emu").mkdir()
    with pytest.raises(FileNotFoundError, match=r"the folder of class 'emu' .* has no image"):
        ImageFolder(folder)
    assert ImageFolder(folder, allow_empty=True).classes == ["cat", "dog", "emu"]
    with pytest.raises(FileNotFoundError, match=r"has no folders: images lie in one folder per"):
        ImageFolder(folder / "emu")


# ---- NumPy -------------------------------------------------------------------------------------


def test_npy_files_are_mapped_into_memory(tmp_path: Path) -> None:
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4, dtype=np.uint16)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    rows = NpyDataset(tmp_path / "x.npy")
    assert isinstance(rows._opened()[0][1], np.memmap)
    assert rows[1].tolist() == [3, 4, 5]
    rows[1].zero_()  # a copy
    assert rows[1].tolist() == [3, 4, 5]
    both = NpyDataset(tmp_path / "x.npy", tmp_path / "y.npy")
    assert shown(both.__getitems__([3, -4])) == (([9, 10, 11], 3), ([0, 1, 2], 0))
    assert both[0][1].dtype == tg.int32
    small = pickle.dumps(both)
    assert len(small) < 1000
    assert shown(pickle.loads(small)[2]) == ([6, 7, 8], 2)
    (a, b), *_ = DataLoader(both, batch_size=4)
    assert (a.tolist(), b.tolist()) == (x.tolist(), y.tolist())
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    assert len(NpyDataset(tmp_path / "none.npy")) == 0
    np.save(tmp_path / "big-endian.npy", np.arange(3, dtype=">i4"))
    assert NpyDataset(tmp_path / "big-endian.npy")[2].item() == 2


def test_npz_files_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.eye(3, dtype=np.float32), y=np.array([5, 6, 7]))
    assert shown(NpzDataset(path)[1]) == ([0, 1, 0], 6)
    assert shown(NpzDataset(path, "y")[2]) == 7
    assert shown(pickle.loads(pickle.dumps(NpzDataset(path, "y", "x")))[0]) == (5, [1, 0, 0])


def test_what_is_wrong_in_numpys_files_is_said_with_its_place(tmp_path: Path) -> None:
    def saved(name: str, value: Any) -> Path:
        np.save(tmp_path / name, value, allow_pickle=True)
        return tmp_path / name

    x = saved("x.npy", np.zeros((4, 3)))
    for path, message in (
        (saved("o.npy", np.array([{}], object)), r"o.npy: it is no file of numbers"),
        (saved("c.npy", np.zeros(3, complex)), r"c.npy has dtype complex128, which no tensor"),
        (saved("s.npy", np.array(1.0)), r"s.npy is a single number: it has no rows"),
        (write(tmp_path, x.read_bytes()[:150], "cut.npy"), r"cut.npy: "),
        (write(tmp_path, b"", "empty.npy"), r"empty.npy: "),
        (write(tmp_path, b"\x80\x04K\x01.", "pickle.npy"), r"pickle.npy: it is no file of num"),
    ):
        with pytest.raises(ValueError, match=r"^\[NpyDataset\] .*" + message):
            NpyDataset(path)
    with pytest.raises(ValueError, match=r"equally many rows: .*x.npy has 4, .*y.npy has 3"):
        NpyDataset(x, saved("y.npy", np.zeros(3)))
    with pytest.raises(ValueError, match="needs at least one file"):
        NpyDataset()
    with pytest.raises(IndexError, match=r"there is no row 4: .*x.npy has 4"):
        NpyDataset(x)[4]
    with pytest.raises(ValueError, match=r"x.npy holds a single array: use NpyDataset"):
        NpzDataset(x)

    np.savez(tmp_path / "d.npz", a=np.zeros(3), o=np.array([None], object))
    with pytest.raises(ValueError, match=r"d.npz holds several arrays: use NpzDataset"):
        NpyDataset(tmp_path / "d.npz")
    with pytest.raises(ValueError, match=r"d.npz has no array 'z': it has \['a', 'o'\]"):
        NpzDataset(tmp_path / "d.npz", "z")
    with pytest.raises(ValueError, match=r"d.npz: o cannot be read: Object arrays"):
        NpzDataset(tmp_path / "d.npz")
    with zipfile.ZipFile(tmp_path / "d.npz") as file:
        at = file.getinfo("a.npy").header_offset + 150
    damaged = bytearray((tmp_path / "d.npz").read_bytes())
    damaged[at] ^= 1
    with pytest.raises(ValueError, match=r"d.npz: a cannot be read: Bad CRC"):
        NpzDataset(write(tmp_path, bytes(damaged), "d.npz"), "a")


# ---- text --------------------------------------------------------------------------------------


def test_lines_are_read_where_they_lie(tmp_path: Path) -> None:
    path = write(tmp_path, "one\r\n\nthree é\nlast", "t.txt")
    lines = TextLines(path)
    assert [lines[i] for i in range(len(lines))] == ["one", "", "three é", "last"]
    assert lines[-1] == "last"
    assert pickle.loads(pickle.dumps(lines))[2] == "three é"
    assert len(TextLines(write(tmp_path, "a\n", "a.txt"))) == 1
    assert len(TextLines(write(tmp_path, "", "none.txt"))) == 0
    with pytest.raises(IndexError, match=r"there is no line 4: .*t.txt has 4"):
        lines[4]
    latin = write(tmp_path, "a\ncafé\n".encode("latin-1"), "latin.txt")
    assert TextLines(latin, "latin-1")[1] == "café"
    with pytest.raises(ValueError, match=r"latin.txt, line 2: its byte 3 is not utf-8"):
        TextLines(latin)[1]
    with pytest.raises(ValueError, match="utf-16 ends lines with several bytes"):
        TextLines(path, "utf-16")


def test_token_blocks_are_what_comes_and_what_comes_next(tmp_path: Path) -> None:
    blocks = TokenBlocks(range(10), 3)
    assert shown([blocks[i] for i in range(len(blocks))]) == tuple(
        ([i, i + 1, i + 2], [i + 1, i + 2, i + 3]) for i in (0, 3, 6)
    )
    assert len(TokenBlocks(range(9), 3)) == 2  # the last one has nothing to predict
    assert shown(TokenBlocks(tg.arange(10), 3, stride=1)[6]) == ([6, 7, 8], [7, 8, 9])
    np.save(tmp_path / "t.npy", np.arange(10, dtype=np.uint16))
    mapped = TokenBlocks(tmp_path / "t.npy", 4)
    assert shown(pickle.loads(pickle.dumps(mapped))[1]) == ([4, 5, 6, 7], [5, 6, 7, 8])
    assert mapped[0][0].dtype == tg.int64
    assert len(TokenBlocks([], 3)) == 0
    for tokens, length, message in (
        (np.zeros((2, 2), int), 1, r"integers of one dimension, got int64 of shape \(2, 2\)"),
        ([0.5], 1, "got float64"),
        ([1, 2], 0, "length and stride must be at least 1, got 0 and 0"),
    ):
        with pytest.raises(ValueError, match=message):
            TokenBlocks(tokens, length)


def test_characters_have_numbers() -> None:
    data = CharacterBlocks("hello ☃ world", 5)
    assert data.vocabulary == sorted({*"hello ☃ world"})
    x, y = data[0]
    assert data.decode(x) == "hello"
    assert data.decode(y) == "ello "
    assert data.decode(data.encode("world ☃")) == "world ☃"
    with pytest.raises(ValueError, match="character 2 of the text, 'z', is not in the vocabulary"):
        data.encode("hezx")
    with pytest.raises(ValueError, match=r"must lie in 0..8, got -1..9"):
        data.decode([-1, 9])
    assert CharacterBlocks("ab", 1, vocabulary="cba").vocabulary == ["a", "b", "c"]
