"""What ``tapegrad bench`` keeps: files, runs against each other, the roofline."""

import csv
import json

import pytest

from tapegrad import bench
from tapegrad.bench import ceilings, roofline
from tapegrad.bench.timing import Timing
from tapegrad.cli import main


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch):
    """Ceilings in no time: what they are is not tested, only that they are measured."""
    monkeypatch.setattr(ceilings, "_sizes", lambda device: (1 << 12, 16))
    monkeypatch.setattr(ceilings, "_SECONDS", 0.0)


def run(*cases, **options):
    options = {"sizes": "tiny", "peers": [], "budget_s": 0, "progress": False, **options}
    return bench.run(list(cases), **options)


# ---- runs against each other -------------------------------------------------------------------


def results_of(**times):
    """Results with one row for each case, of samples 1% around a median, and NumPy's of 1 s."""
    found = bench.Results(machine={"numpy": "2.0"})
    for case, median in times.items():
        row = bench.Row(case, case, (3,), "float32")
        if median is None:
            row.status, row.message = "wrong", "at index (0,)"
        else:
            around = [0.99, 1.0, 1.01]
            row.times = {"tapegrad": Timing.of([median * f for f in around]),
                         "numpy": Timing.of(around)}  # fmt: skip
        found.rows.append(row)
    return found


@pytest.mark.parametrize(
    ("old", "new", "verdict", "ok"),
    [
        (1.0, 1.0, "same", True),
        (1.0, 1.04, "same", True),  # from run to run
        (1.0, 1.3, "slower", False),
        (1.3, 1.0, "faster", True),
        (1.0, None, "wrong", False),
        (None, 1.0, "fixed", True),
    ],
)
def test_verdicts(old, new, verdict, ok):
    changes = bench.compare_results(results_of(relu=old), results_of(relu=new))
    assert [row.verdict for row in changes.rows] == [verdict]
    assert changes.ok is ok


def test_files_with_no_row_in_common_are_not_all_right(tmp_path, capsys):
    """(U09)"""
    files = []
    for name in ("relu", "tanh"):
        files.append(str(tmp_path / f"{name}.json"))
        results_of(**{name: 1.0}).to_json(files[-1])
    assert main(["bench", "--compare", *files]) == 1
    assert "no row is in both: nothing was compared" in capsys.readouterr().out
    assert main(["bench", "--compare", files[0], files[0]]) == 0
    assert "nothing was compared" not in capsys.readouterr().out
    assert not bench.compare_results(results_of(), results_of()).ok


def test_a_share_above_the_ceiling_is_not_shown_but_why(monkeypatch):
    """(U10)"""
    found = results_of(relu=1e-6)
    (row,) = found.rows
    row.bytes, found.settings = 1e6, {"peers": []}
    found.ceilings = {"copy": 1e9, "matmul": {}, "by": {"copy": "numpy"}}
    row.of_ceiling = 9.59
    assert "959%" not in str(found)
    assert "cached" in str(found)
    assert "fits in a cache" in str(found)
    row.of_ceiling = 0.5
    assert "50%" in str(found)
    row.bytes, row.flops, row.of_ceiling = 1.0, 1.0, None
    assert "> product" in str(found)
    monkeypatch.setattr(ceilings.Ceilings, "least_seconds", lambda *sizes: 1e9)
    assert run("relu", device="cpu").rows[0].of_ceiling is None


@pytest.mark.parametrize(
    ("settings", "head", "line"),
    [
        ({"peers": ["numpy"]}, ["vs numpy", "host", "host numpy"], ["=1.00", "12 us", "3.5 us"]),
        ({"functions": ["tapegrad"]}, ["vs", "host"], ["", "12 us"]),
    ],
)
def test_the_time_on_the_host_is_shown_where_it_was_measured(settings, head, line, tmp_path):
    found = results_of(relu=1.0)
    found.settings = settings
    assert "host" not in str(found)
    found.rows[0].hosts = {"tapegrad": 12e-6, "numpy": 3.5e-6}
    found.to_json(tmp_path / "results.json")
    found = bench.Results.from_json(tmp_path / "results.json")
    cells = [row.strip("| ").split(" | ") for row in found.markdown().splitlines() if "|" in row]
    assert cells[0][-len(head) :] == head
    assert [cell.strip() for cell in cells[2][-len(line) :]] == line
    assert "host: the time until a call returns" in str(found)
    lines = list(csv.DictReader(found.to_csv().splitlines()))
    assert [one["host_s"] for one in lines] == ["1.2e-05", "3.5e-06"]


def test_files_without_times_on_the_host_are_read(tmp_path):
    old, new = results_of(relu=1.0), results_of(relu=1.0)
    new.rows[0].hosts = {"tapegrad": 1e-5}
    old.to_json(path := tmp_path / "old.json")
    content = json.loads(path.read_text())
    del content["rows"][0]["hosts"]
    path.write_text(json.dumps(content))
    changes = bench.compare_results(bench.Results.from_json(path), new)
    assert [row.verdict for row in changes.rows] == ["same"]


def test_rounds_that_had_to_wait_are_noise():
    old, new = results_of(relu=1.0), results_of(relu=1.0)
    new.rows[0].times["tapegrad"] = Timing.of([1.0, 3.0, 3.1, 3.2])
    assert new.rows[0].timing.low > old.rows[0].timing.high
    assert bench.compare_results(old, new).rows[0].verdict == "same"
    assert bench.compare_results(new, old).rows[0].verdict == "same"
    new.rows[0].times["tapegrad"] = Timing.of([2.9, 3.0, 3.1, 3.2])
    assert bench.compare_results(old, new).rows[0].verdict == "slower"


def test_what_the_peers_changed_by_is_noise():
    old, new = results_of(relu=1.0), results_of(relu=1.3)
    new.rows[0].times["numpy"] = Timing.of([1.49, 1.5, 1.51])
    changes = bench.compare_results(old, new)
    assert changes.rows[0].verdict == "same"
    assert "took 1.50 times as long in NEW" in str(changes)
    new.machine["numpy"] = "3.0"  # another version may well be slower
    assert bench.compare_results(old, new).rows[0].verdict == "slower"


def test_a_busy_old_run_makes_nothing_faster():
    old, new = results_of(relu=2.9), results_of(relu=1.0)
    old.rows[0].times["numpy"] = Timing.of([2.99, 3.0, 3.01])
    assert bench.compare_results(old, new).rows[0].verdict == "same"
    assert bench.compare_results(results_of(relu=2.9), new).rows[0].verdict == "faster"


def test_other_libraries_and_threads_are_told():
    old, new = results_of(relu=1.0), results_of(relu=1.0)
    old.machine["threads"], new.machine["threads"] = {"torch": 2}, {"torch": 1}
    new.machine["numpy"] = "2.1"
    said = str(bench.compare_results(old, new))
    assert "numpy was 2.0, is 2.1" in said
    assert "threads was {'torch': 2}, is {'torch': 1}" in said
    assert "was 2.1" not in str(bench.compare_results(new, new))


def test_rows_of_one_run_only():
    changes = bench.compare_results(results_of(relu=1.0), results_of(tanh=1.0))
    assert {row.case: row.verdict for row in changes.rows} == {"tanh": "new", "relu": "missing"}
    only_tanh = results_of(tanh=1.0)
    only_tanh.settings["cases"] = ["tanh"]
    changes = bench.compare_results(results_of(relu=1.0, tanh=1.0), only_tanh)
    assert [row.verdict for row in changes.rows] == ["same"]


def test_runs_on_different_machines_are_told():
    old, new = results_of(relu=1.0), results_of(relu=1.0)
    old.machine["gpu"], new.machine["gpu"] = {"name": "A"}, {"name": "B"}
    assert "another machine: the GPU was A, is B" in str(bench.compare_results(old, new))


@pytest.mark.parametrize(
    ("before", "after", "disturbed"), [(0.3, 2.1, False), (1.9, 2.1, True), (0.3, 5.0, True)]
)
def test_a_busy_machine_is_told(before, after, disturbed):
    results = results_of(relu=1.0)
    results.machine["cores"] = 2
    results.before, results.after = {"load": before}, {"load": after}
    assert ("the machine was busy" in str(results)) is disturbed
    changes = str(bench.compare_results(results_of(relu=1.0), results))
    assert ("NEW: the machine was busy" in changes) is disturbed


# ---- files -------------------------------------------------------------------------------------


def test_results_survive_their_file(tmp_path):
    results = run("relu", "matmul", peers=["numpy"])
    path = tmp_path / "results.json"
    results.to_json(path)
    assert str(bench.Results.from_json(path)) == str(results)
    content = json.loads(path.read_text())
    assert (content["schema"], content["version"]) == ("tapegrad-bench", 1)
    assert content["machine"]["threads"]
    assert content["date"]
    assert len(content["rows"][0]["times"]["tapegrad"]["samples"]) >= 5
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON file"),
        (b"\xff\xfe\x00", "is no JSON file"),
        (b'{"rows": [', "is no JSON file"),
        (b"[1, 2]", "holds no results of 'tapegrad bench --json'"),
        (b'{"rows": []}', "holds no results of 'tapegrad bench --json'"),
        (b'{"schema": "tapegrad-bench", "version": 99}', "has version 99"),
        (b'{"schema": "tapegrad-bench", "version": 1}', "is damaged"),
        (b'{"schema": "tapegrad-bench", "version": 1, "rows": [7]}', "is damaged"),
        (b'{"schema": "tapegrad-bench", "version": 1, "rows": [], "x": 1}', "is damaged"),
        (b'{"schema": "tapegrad-bench", "version": 1, "rows": [], "machine": 3}', "is damaged"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    assert main(["bench", "--compare", str(path), str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tapegrad bench: ")
    assert message in error
    assert error.count("\n") == 1


def test_times_that_are_none_are_refused(tmp_path):
    path = tmp_path / "results.json"
    run("relu").to_json(path)
    for broken in ('"median": "soon"', '"median": -1.0', '"median": null'):
        text = path.read_text()
        start = text.index('"median"')
        path.with_name("broken.json").write_text(
            text[:start] + broken + text[text.index(",", start) :]
        )
        with pytest.raises(bench.BenchmarkError, match="is damaged"):
            bench.Results.from_json(path.with_name("broken.json"))


def test_the_roofline_names_what_it_shows():
    pytest.importorskip("matplotlib")
    results = run("relu", "matmul*", "embedding", peers=["numpy"], dtypes=["float32", "float64"])
    figure = roofline.draw(results)
    assert [panel.get_title("left")[:10] for panel in figure.axes] == ["float32 on", "float64 on"]
    panel = figure.axes[0]
    legend = [text.get_text() for text in panel.get_legend().get_texts()]
    assert legend == ["tapegrad", "numpy"]
    names = {text.get_text().split(" ")[0]: text for text in panel.texts}
    assert {"copy", "matrix", "matmul", "matmul_left_transposed", "relu"} <= set(names)
    assert "embedding" not in names  # it computes nothing
    boxes = [text.get_window_extent() for text in panel.texts]
    frame = panel.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_no_roofline_without_rows(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(bench.BenchmarkError, match="nothing to draw"):
        bench.plot(bench.Results(), tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []


def test_no_roofline_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setattr("tapegrad.bench.roofline.find_spec", lambda name: None)
    with pytest.raises(bench.BenchmarkError, match=r"pip install 'tapegrad\[viz\]'"):
        bench.plot(run("relu"), tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []
