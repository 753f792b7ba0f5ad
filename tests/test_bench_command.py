"""The command ``tapegrad bench``, the machine it describes, and functions of one's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import bench
from tapegrad.bench import ceilings, machine, peers, runner
from tapegrad.bench.cases import CASES
from tapegrad.cli import main


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch):
    """Ceilings in no time: what they are is not tested, only that they are measured."""
    monkeypatch.setattr(ceilings, "_sizes", lambda device: (1 << 12, 16))
    monkeypatch.setattr(ceilings, "_SECONDS", 0.0)


def run(*cases, **options):
    options = {"sizes": "tiny", "peers": [], "budget_s": 0, "progress": False, **options}
    return bench.run(list(cases), **options)


# ---- the command -------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roofline.png"
    assert main(["bench", "soft*", "--device", "emulated", "--budget", "0",
                 "--plot", str(picture)]) == 0  # fmt: skip
    printed = capsys.readouterr().out
    for text in ("softmax_backward", "softplus", "vs numpy", "device emulated", "ceilings: copy",
                 "its times mean nothing", f"picture  {picture}"):  # fmt: skip
        assert text in printed
    assert "\nmatmul" not in printed
    assert picture.stat().st_size > 0


def test_the_list_of_cases(capsys):
    assert main(["bench", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [case.name for case in CASES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["warp_drive"], "no case 'warp_drive': choose from matmul"),
        (["--dtype", "float13"], "unsupported dtype 'float13'"),
        (["--dtype", "int32"], "dtype int32: the cases need a floating-point one"),
        (["--sizes", "huge"], "unknown size 'huge': choose from default, tiny, small, large"),
        (["--peers", "theano"], "unknown peer 'theano'"),
        (["--peers", "cupy"], "peer 'cupy': it computes on GPUs"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--json", "no/such/folder.json"], "no folder no/such"),
        (["--budget", "-1"], "[run] budget_s must be seconds, 0 or more, not -1"),
        (["--budget", "nan"], "[run] budget_s must be seconds, 0 or more, not nan"),
        (["--compare", "old.json", "new.json"], "old.json"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(arguments, message, capsys):
    device = [] if "--device" in arguments else ["--device", "cpu"]
    assert main(["bench", *device, *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tapegrad bench: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_ml_dtypes_is_named(monkeypatch, capsys):
    def missing(spec):
        raise ImportError("bfloat16 needs the package ml_dtypes: pip install 'tapegrad[io]'")

    monkeypatch.setattr(runner.dtypes_, "dtype", missing)
    assert main(["bench", "relu", "--device", "cpu", "--dtype", "bfloat16"]) == 1
    assert capsys.readouterr().err == (
        "tapegrad bench: bfloat16 needs the package ml_dtypes: pip install 'tapegrad[io]'\n"
    )


@pytest.mark.parametrize("name", ["roofline.xyz", "roofline"])
def test_a_picture_of_an_unknown_kind_is_refused_before_it_is_measured(name, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(runner.Bench, "measure", None)
    assert main(["bench", "relu", "--device", "cpu", "--plot", name]) == 1
    assert f"a plot cannot be written to {name}: end its name in .png" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_it_has(tmp_path, capsys, monkeypatch):
    measured = runner.Bench.measure

    def interrupted(self, job, seconds):
        if job.case.name == "elu":
            raise KeyboardInterrupt
        return measured(self, job, seconds)

    monkeypatch.setattr(runner.Bench, "measure", interrupted)
    path = tmp_path / "results.json"
    assert main(["bench", "relu", "leaky_relu", "elu", "--device", "cpu", "--sizes", "tiny",
                 "--peers", "none", "--budget", "0", "--json", str(path)]) == 130  # fmt: skip
    assert "interrupted: these are the rows measured until then" in capsys.readouterr().out
    kept = bench.Results.from_json(path)
    assert kept.interrupted
    assert [row.case for row in kept.rows] == ["relu", "leaky_relu"]


def test_ctrl_c(tmp_path):
    path = tmp_path / "results.json"
    command = [sys.executable, "-m", "tapegrad", "bench", "--device", "emulated", "--peers", "none",
               "--json", str(path)]  # fmt: skip
    # A shell has its background jobs, and so their children, ignore Ctrl-C.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, ours)
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert "interrupted" in printed
    assert error == ""
    assert bench.Results.from_json(path).rows[0].case == CASES[0].name


def test_a_run_that_is_killed_leaves_its_rows(tmp_path):
    path = tmp_path / "results.json"
    seen = []

    def on_row(results):
        results.to_json(path)
        seen.append(len(bench.Results.from_json(path).rows))

    run("relu", "tanh", on_row=on_row)
    assert seen == [1, 2]


def test_it_runs_without_pytorch(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises ImportError
    found = peers.find_spec
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "torch" else found(name))
    results = run("relu", "softmax", peers=None)
    assert [list(row.times) for row in results.rows] == [["tapegrad", "numpy"]] * 2
    assert [row.peers for row in results.rows] == [{}, {}]
    with pytest.raises(bench.BenchmarkError, match="PyTorch is not installed"):
        run("relu", peers=["torch"])


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_it_runs_with_a_broken_pytorch(tmp_path, error):
    (tmp_path / "torch.py").write_text(f"raise {error}('libcudart.so.9: no such file')")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def bench(*arguments):
        command = [sys.executable, "-m", "tapegrad", "bench", "relu", "--device", "cpu", "--sizes",
                   "tiny", "--budget", "0", *arguments]  # fmt: skip
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)

    usual, asked = bench(), bench("--peers", "torch")
    assert usual.returncode == 0, usual.stderr
    assert "vs numpy" in usual.stdout
    assert asked.stderr == (
        "tapegrad bench: peer 'torch': PyTorch is installed but cannot be imported: "
        "libcudart.so.9: no such file\n"
    )


def test_pytorchs_threads_do_not_spin_while_others_compute():
    pytest.importorskip("torch", exc_type=ImportError)
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environ = {name: value for name, value in os.environ.items() if name not in names}
    code = "import os, tapegrad as tg; from tapegrad.bench import peers; "
    code += f"peers.choose(tg.device('cpu'), None); print([os.environ[n] for n in {names}])"
    run = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True,
                         timeout=300)  # fmt: skip
    assert run.stdout == "['PASSIVE', '0']\n", run.stderr


def test_tapegrad_does_not_import_its_benchmarks():
    code = "import sys, tapegrad; print('tapegrad.bench' in sys.modules, tapegrad.bench.run)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.stdout.startswith("False <function run"), run.stderr


class Terminal:
    def __init__(self, tty):
        self.written, self.isatty = [], lambda: tty

    def write(self, text):
        self.written.append(text)

    def flush(self): ...


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress_is_shown_to_a_person(tqdm, monkeypatch):
    if not tqdm:
        monkeypatch.setattr("tapegrad.bench.progress.find_spec", lambda name: None)
    elsewhere, terminal = Terminal(tty=False), Terminal(tty=True)
    monkeypatch.setattr(sys, "stderr", elsewhere)
    run("relu", progress=True)
    assert elsewhere.written == []
    monkeypatch.setattr(sys, "stderr", terminal)
    run("relu", progress=True)
    assert "relu 1003 float32" in "".join(terminal.written)


def test_long_runs_write_lines_into_logs(monkeypatch):
    log = Terminal(tty=False)
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr("tapegrad.bench.progress._LOG_EVERY", 0.0)
    run("relu", "tanh", progress=True)
    assert "[1/2] tanh 1003 float32\n" in log.written


# ---- the machine -------------------------------------------------------------------------------


def test_the_machine_is_described():
    found = machine.describe("cpu")
    json.dumps(found)
    assert found["processor"]
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["numpy"] == np.__version__
    json.dumps(machine.state("cpu"))


def test_what_nvidia_smi_says(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '1980, 2619, 45, 350.25, 97, 0x0000000000000001'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    class Gpu:
        index = 0

        class library:
            class cuda:
                class Device:
                    def __init__(self, index): ...

                    pci_bus_id = "0000:01:00.0"

    assert machine._nvidia_smi(Gpu) == {
        "sm_clock_mhz": 1980, "memory_clock_mhz": 2619, "temperature_c": 45, "power_w": 350.25,
        "utilization_percent": 97, "throttle_reasons": "0x0000000000000001",
    }  # fmt: skip
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert machine._nvidia_smi(Gpu) == {}


# ---- functions of one's own --------------------------------------------------------------------


def test_functions_of_ones_own():
    x = tg.randn(30, 20)
    results = bench.compare(
        {"mine": tg.tanh, "numpy's": lambda x: np.tanh(x.numpy())}, x, reference=np.tanh, seconds=0
    )
    (row,) = results.rows
    assert list(row.times) == ["mine", "numpy's"]
    assert (row.shape, row.dtype, row.bytes) == ((30, 20), "float32", 2 * 4 * 600)
    lines = str(results).splitlines()
    assert any(line.startswith("function ") for line in lines)
    assert any(line.startswith("numpy's ") for line in lines)


def test_the_example_of_the_readme(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", readme, re.S) if "bench.compare" in c]
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "\nmine " in printed
    assert "\ntapegrad's " in printed


def test_each_function_may_take_its_own_kind_of_array():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    a, b = (np.random.default_rng(i).standard_normal((8, 8)) for i in (0, 1))
    inputs = {"tapegrad": (tg.tensor(a), tg.tensor(b)), "numpy": (a, b),
              "torch": (torch.tensor(a), torch.tensor(b))}  # fmt: skip
    functions = {"tapegrad": tg.matmul, "numpy": np.matmul, "torch": torch.matmul}
    results = bench.compare(functions, inputs, reference=a @ b, seconds=0)
    assert list(results.rows[0].times) == ["tapegrad", "numpy", "torch"]


@pytest.mark.gpu
def test_functions_on_a_gpu():
    x = tg.randn(30, 20, device="cuda")
    results = bench.compare({"mine": tg.tanh}, x, reference=np.tanh, seconds=0)
    assert results.settings["device"] == "cuda:0"


@pytest.mark.gpu
@pytest.mark.parametrize("inputs", ["mixed", "closed over"])
def test_work_on_a_gpu_is_timed_there_whoever_does_it(inputs, monkeypatch):
    read = []
    usual = runner.clock_for
    monkeypatch.setattr(runner, "clock_for", lambda d: read.append(str(d)) or usual(d))
    host = np.ones((30, 20), np.float32)
    x = tg.ones(30, 20, device="cuda")
    if inputs == "mixed":
        functions, given = {"a": np.tanh, "b": tg.tanh}, {"a": host, "b": x}
    else:
        functions, given = {"a": lambda: np.tanh(host), "b": lambda: x.tanh()}, ()
    bench.compare(functions, given, reference=np.tanh(host), seconds=0)
    bench.compare(functions, given, reference=np.tanh(host), seconds=0, device="cpu")
    assert read == ["cuda:0", "cpu"]


@pytest.mark.gpu
def test_a_gpu_is_timed_on_its_default_stream():
    cupy = pytest.importorskip("cupy")
    streams = []

    def mine(x):
        streams.append(cupy.cuda.get_current_stream().ptr)
        return x.tanh()

    with cupy.cuda.Stream():
        x = tg.randn(30, 20, device="cuda")
        bench.compare({"mine": mine}, x, reference=np.tanh, seconds=0)
    assert set(streams) == {0}


def test_the_device_may_be_named():
    results = bench.compare({"mine": np.tanh}, np.ones(3), reference=np.tanh, seconds=0,
                            device="emulated")  # fmt: skip
    assert results.settings["device"] == "emulated"
    with pytest.raises(
        ValueError, match=r"\[compare\] seconds must be seconds, 0 or more, not nan"
    ):
        bench.compare({"mine": np.tanh}, np.ones(3), reference=np.tanh, seconds=float("nan"))


def test_a_wrong_function_is_named():
    def almost(x):
        y = np.tanh(x)
        y[2, 3] = 7
        return y

    x = np.random.default_rng(0).standard_normal((5, 5))
    with pytest.raises(bench.BenchmarkError, match=r"'mine' is wrong: at index \(2, 3\) it is 7"):
        bench.compare({"peer": np.tanh, "mine": almost}, x, reference=np.tanh)
    x = tg.tensor(x)
    with pytest.raises(bench.BenchmarkError, match=r"'tanh' is wrong: .* what 'mine' says"):
        bench.compare({"mine": lambda x: x.tanh() + 1, "tanh": tg.tanh}, x)


@pytest.mark.parametrize(
    ("functions", "inputs", "reference", "message"),
    [
        ({}, 1.0, 1.0, "at least one function"),
        ({"a": np.exp}, {"b": 1.0}, np.exp, "no inputs for 'a'"),
        (
            {"a": lambda x: (x, x)},
            np.ones(3),
            np.ones(3),
            "'a' gives 2 results, the reference has 1",
        ),
        (
            {"a": lambda x: "yes"},
            np.ones(3),
            np.ones(3),
            "gives <U3 values: expected integers or float64",
        ),
        ({"a": lambda x: np.add(x, 1, out=x)}, np.ones(3), np.full(3, 2.0), "changes its input 0"),
    ],
)
def test_comparisons_that_would_mislead(functions, inputs, reference, message):
    with pytest.raises(bench.BenchmarkError, match=message):
        bench.compare(functions, inputs, reference=reference)
