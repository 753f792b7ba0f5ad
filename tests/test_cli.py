"""The commands a new user types: they run, say what they did, and fail in one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad import demo, doctor
from tapegrad.cli import main
from tapegrad.doctor import Driver, Extension, Gpu, covers, next_step

EXAMPLES = Path(__file__).parents[1] / "examples"


# ---- demo --------------------------------------------------------------------------------------


def test_demo_learns_reports_and_saves(tmp_path, capsys):
    assert main(["demo", "--epochs", "3", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    report = capsys.readouterr().out
    accuracies = [float(a) for a in re.findall(r"validation accuracy ([\d.]+)%", report)]
    assert len(accuracies) == 3
    assert accuracies[-1] > 90
    assert "1437 digits to learn from, 360 kept apart" in report
    assert report.splitlines()[-1].startswith("next")
    for name in re.findall(r"^(?:checkpoint|picture)\s+(\S+out\S+)$", report, re.MULTILINE):
        assert Path(name).stat().st_size > 0
    (checkpoint,) = (tmp_path / "out").glob("digits.[sn]*")
    model = demo.network()
    model.load_state_dict(tg.load(checkpoint))


def test_demo_is_decided_by_its_seed(tmp_path, capsys):
    def accuracy(seed):
        return demo.demo(1, "cpu", seed, tmp_path)

    assert accuracy(1) == accuracy(1)


def test_demo_without_optional_packages(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert main(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "pip install 'tapegrad[viz]'" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["digits.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--device", "tpu"], "unknown device 'tpu'"), (["--device", "cuda:99"], "cuda")],
)
def test_demo_says_in_one_line_what_is_wrong(arguments, message, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tapegrad demo: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["dance"], ["demo", "--epochs", "0"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "usage: tapegrad" in capsys.readouterr().err


# ---- doctor ------------------------------------------------------------------------------------


def test_doctor_reports_and_ends_in_one_next_step(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.split()[0] for line in lines if line]
    for row in ("Python", "NumPy", "CuPy", "driver", "_cuda", "_emulated", "[data]", "[io]"):
        assert row in found
    assert lines[-1].startswith("next: ")
    assert sum(line.startswith("next") for line in lines) == 1


def test_doctor_knows_what_each_extra_installs():
    project = (EXAMPLES.parent / "pyproject.toml").read_text(encoding="utf-8")
    listed = project.partition("[project.optional-dependencies]\n")[2].partition("\n\n")[0]
    extras = {
        extra: {name.replace("Pillow", "PIL") for name in re.findall(r'"([\w-]+)[>=]', packages)}
        for extra, packages in re.findall(r"^(\w+) = \[(.*)\]$", listed, re.MULTILINE)
    }
    for other in ("cuda12", "cuda13", "test", "examples", "docs", "dev"):
        del extras[other]
    extras["mpi"].remove("mpich")  # a program, and no module
    assert {extra: set(names) for extra, names in doctor.EXTRAS.items()} == extras


def test_doctor_runs_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "tapegrad", "doctor"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0
    assert "next: " in run.stdout
    assert not run.stderr


def test_doctor_warns_where_the_environment_chose_the_kernels_of_openblas(monkeypatch):
    kernel = doctor.blas_kernel()
    if not kernel:
        pytest.skip("NumPy computes with another BLAS")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert doctor.blas_status() == f"kernels for {kernel}"
    free = subprocess.check_output(
        [sys.executable, "-c", "from tapegrad import doctor; print(doctor.blas_kernel())"],
        text=True,
    ).strip()
    monkeypatch.setenv("OPENBLAS_CORETYPE", free)
    monkeypatch.setattr(doctor, "blas_kernel", lambda: free)
    assert doctor.blas_status().endswith("and as they would be without it")
    monkeypatch.setattr(doctor, "blas_kernel", lambda: "Prescott")
    assert doctor.blas_status() == (
        f"kernels for Prescott, as OPENBLAS_CORETYPE={free} says: without it they would be those "
        f"for {free}; unset it unless you need it"
    )
    monkeypatch.setattr(doctor, "blas_kernel", lambda: "")
    assert "another library" in doctor.blas_status()


H200 = Driver("13.0", (Gpu("NVIDIA H200", 150 << 30, "90"),))
BUILT = Extension("80 90a 80+PTX", "", "13.0")
NOT_BUILT = Extension("", "not built")


@pytest.mark.parametrize(
    ("driver", "cupy", "nvcc", "cuda", "step"),
    [
        (Driver(problem="not found"), "", False, NOT_BUILT, "tapegrad demo"),
        (Driver("13.0"), "", True, NOT_BUILT, "tapegrad demo"),
        (H200, "", True, NOT_BUILT, "pip install 'tapegrad[cuda13]'"),
        (Driver("12.8", H200.gpus), "", True, NOT_BUILT, "pip install 'tapegrad[cuda12]'"),
        (H200, "14.2", False, NOT_BUILT, "pip install 'cuda-toolkit[nvcc,cudart,cccl]==13.*'"),
        (H200, "14.2", True, NOT_BUILT, "python -m tapegrad._build cuda"),
        (H200, "14.2", True, Extension("80", ""), "python -m tapegrad._build cuda"),
        (H200, "14.2", False, BUILT, "tapegrad demo --device cuda"),
        (Driver("13.3", H200.gpus), "14.2", False, BUILT, "tapegrad demo --device cuda"),
        (
            H200,
            "13.6.0",
            True,
            BUILT,
            "pip install 'tapegrad[cuda13]' "
            "(CuPy 13.6.0 has no bfloat16, 14.0 is the first that has)",
        ),
        (
            Driver("12.8", H200.gpus),
            "14.2",
            True,
            BUILT,
            "a driver for CUDA 13.0, by which _cuda was built (this one is for 12.8); or "
            "pip install 'cuda-toolkit[nvcc,cudart,cccl]==12.*', then "
            "python -m tapegrad._build cuda",
        ),
    ],
)
def test_the_next_step(driver, cupy, nvcc, cuda, step):
    assert next_step(driver, cupy, nvcc, cuda) == step


@pytest.mark.parametrize(
    ("architectures", "capability", "fits"),
    [
        ("80 90a", "90", True),
        ("90a", "100", False),
        ("80", "86", True),
        ("86", "80", False),
        ("80", "90", False),
        ("80 80+PTX", "120", True),
        ("90a 90a+PTX", "100", False),
        ("", "90", False),
    ],
)
def test_which_gpus_a_build_covers(architectures, capability, fits):
    assert covers(architectures, capability) is fits


def test_a_module_that_cannot_be_loaded_is_reported(tmp_path, monkeypatch):
    broken = tmp_path / "_cuda.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(doctor, "_installed_or_cached", lambda device: broken)
    assert doctor.find_extension("cuda").text == (
        f"{broken} cannot be loaded: run python -m tapegrad._build cuda"
    )


def test_doctor_says_one_thing_about_kernels_that_cannot_be_compiled(monkeypatch):
    """(U11)"""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "not built: the emulated device needs a C++ compiler" in doctor.doctor()
    assert "compiled on first use" not in doctor.doctor()
    assert "no compiler found" in doctor.doctor()


# ---- examples ----------------------------------------------------------------------------------


def test_the_mlp_example_reads_digits():
    run = subprocess.run(
        [sys.executable, EXAMPLES / "mlp.py"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    shares = [float(share) for share in re.findall(r": ([\d.]+)% of the unseen", run.stdout)]
    assert len(shares) == 10
    assert shares[-1] > 95
