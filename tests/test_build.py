"""Building the extensions: what is chosen, what is cached, and what is said when it cannot be."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tapegrad import _build, doctor
from tapegrad._build import BuildError, Compiler, building, installing, resources
from tapegrad._build import cache as caching
from tapegrad._build.architectures import Architectures
from tapegrad._build.native_plans import plan_loop
from tapegrad._build.plans import header_of

NVCC = Compiler(("/opt/cuda/bin/nvcc",), "nvcc 13.0.88")
CXX = Compiler(("/usr/bin/g++",), "g++ 12.2.0")
CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def sources(tmp_path):
    """A small project: one kernel, one header, one binding."""
    for name, text in {
        "kernels/device.cuh": "// vocabulary",
        "kernels/square.cu": "int square(int x) { return x * x; }",
        "kernels/emulate/runtime.cpp": "int runtime() { return 1; }",
        "csrc/bindings.cpp": 'extern "C" __attribute__((visibility("default"))) int answer()'
        "{ return 42; }",
    }.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return tmp_path / "project"


def script(path: Path, text: str) -> Path:
    """An executable that stands in for a compiler or nvidia-smi."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


# ---- architectures ----


@pytest.mark.parametrize(
    ("text", "real", "ptx"),
    [
        ("80", ("80",), ()),
        ("80 90a", ("80", "90a"), ()),
        ("8.0;9.0a+PTX", ("80", "90a"), ("90a",)),
        (" sm_86, compute_120+ptx ", ("86", "120"), ("120",)),
        ("10.0 100 10.3f", ("100", "103f"), ()),
    ],
)
def test_architectures_are_parsed(text, real, ptx):
    assert _build.parse_architectures(text) == Architectures(real, ptx)


@pytest.mark.parametrize("text", ["", "hopper", "8", "80+SASS", "80 90 a"])
def test_wrong_architecture_is_named(text):
    with pytest.raises(BuildError, match=r"TAPEGRAD_CUDA_ARCHS: .* is not an architecture"):
        _build.parse_architectures(text)


def test_architecture_flags():
    assert Architectures(("80", "90a"), ("120",)).flags() == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90a,code=sm_90a",
        "-gencode=arch=compute_120,code=compute_120",
    ]
    assert str(Architectures(("80", "90a"), ("120",))) == "80 90a 120+PTX"


def test_default_architectures(tmp_path, monkeypatch):
    listing = "compute_80\ncompute_90\ncompute_100\ncompute_103\ncompute_121\ncompute_120"
    nvcc = Compiler((str(script(tmp_path / "nvcc", f"print({listing!r})")),), "nvcc 13.0")
    monkeypatch.setenv("PATH", str(tmp_path))

    without_gpu = Architectures(("80", "90a"), ("80",))
    assert _build.choose_architectures(nvcc, {}) == without_gpu
    script(tmp_path / "nvidia-smi", "print('9.0\\n8.6\\n9.0')")
    assert _build.choose_architectures(nvcc, {}) == Architectures(("86", "90a"), ())
    script(tmp_path / "nvidia-smi", "raise SystemExit('no driver')")
    assert _build.choose_architectures(nvcc, {}) == without_gpu
    chosen = _build.choose_architectures(nvcc, {"TAPEGRAD_CUDA_ARCHS": "75"})
    assert chosen == Architectures(("75",), ())


# ---- compilers ----


def test_compilers_are_found(tmp_path):
    nvcc = script(tmp_path / "toolkit" / "bin" / "nvcc", "print('release 13.0, V13.0.88')")
    cxx = script(tmp_path / "bin" / "my-cxx", "print('my-cxx 1.2\\nCopyright')")
    for environ in (
        {"CUDA_HOME": str(tmp_path / "toolkit")},
        {"CUDA_PATH": str(tmp_path / "toolkit")},
        {"PATH": str(nvcc.parent)},
    ):
        assert _build.find_nvcc(environ) == Compiler((str(nvcc),), "nvcc 13.0.88")
    found = _build.find_cxx({"CXX": f"{cxx} -m64", "PATH": ""})
    assert found == Compiler((str(cxx), "-m64"), "my-cxx 1.2")
    assert _build.find_cxx({"CXX": "no-such-compiler", "PATH": os.environ["PATH"]}) is None


def test_nvcc_of_nvidias_wheels_is_found(tmp_path, monkeypatch):
    nvcc = script(tmp_path / "nvidia/cu13/bin/nvcc", "print('V13.2.1')")
    runtime = tmp_path / "nvidia/cu13/lib/libcudart_static.a"
    runtime.parent.mkdir()
    runtime.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    found = _build.find_nvcc({"PATH": ""})
    assert found == Compiler((str(nvcc),), "nvcc 13.2.1")
    monkeypatch.undo()
    plan = _build.plan_cuda(found, CXX, CHECKOUT, {"TAPEGRAD_CUDA_ARCHS": "80"})
    assert f"-L{runtime.parent}" in plan.link  # nvcc itself would not look there


# ---- what an installation builds ----

HOST = {"emulated", "tape", "native"}  # what a C++ compiler builds


@pytest.mark.parametrize(
    ("cxx", "nvcc", "setting", "built", "left_out"),
    [
        (CXX, NVCC, "auto", {*HOST, "cuda"}, {}),
        (CXX, NVCC, "on", {*HOST, "cuda"}, {}),
        (CXX, NVCC, "off", HOST, {"cuda": "TAPEGRAD_CUDA=off"}),
        (CXX, None, "auto", HOST, {"cuda": "no CUDA compiler"}),
        (None, NVCC, "auto", set(), dict.fromkeys((*HOST, "cuda"), "install g++")),
        (
            None,
            None,
            "auto",
            set(),
            {**dict.fromkeys(HOST, "install g++"), "cuda": "no CUDA compiler"},
        ),
    ],
)
def test_choice_of_extensions(sources, cxx, nvcc, setting, built, left_out):
    environ = {"TAPEGRAD_CUDA": setting, "TAPEGRAD_CUDA_ARCHS": "80"}
    choice = _build.choose_extensions(cxx, nvcc, sources, environ)
    assert {plan.device for plan in choice.plans} == built
    assert choice.left_out.keys() == left_out.keys()
    for device, reason in left_out.items():
        assert reason in choice.left_out[device]


def test_cuda_on_without_a_compiler_fails_loudly(sources):
    with pytest.raises(BuildError, match="TAPEGRAD_CUDA=on, but no CUDA compiler"):
        _build.choose_extensions(CXX, None, sources, {"TAPEGRAD_CUDA": "on"})
    with pytest.raises(BuildError, match="TAPEGRAD_CUDA=on, but nvcc needs a C\\+\\+ compiler"):
        _build.choose_extensions(None, NVCC, sources, {"TAPEGRAD_CUDA": "on"})
    with pytest.raises(BuildError, match="must be auto, on or off, not 'maybe'"):
        _build.choose_extensions(CXX, NVCC, sources, {"TAPEGRAD_CUDA": "maybe"})


def test_native_loops_are_compiled_for_every_level_of_instructions(monkeypatch):
    for machine, levels in (("x86_64", ["v2", "v3", "v4"]), ("aarch64", ["host"])):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        plan = _build.plan_native(CXX, _build.source_root())
        assert plan.architectures == " ".join(levels)
        loops = [unit for unit in plan.units if unit.source.parent.name == "loops"]
        for level in levels:
            of_level = [u for u in loops if f"-DTAPEGRAD_LEVEL={level}" in u.command]
            assert len(of_level) == len(loops) / len(levels) > 1
            for unit in of_level:
                assert (f"-march=x86-64-{level}" in unit.command) == (level != "host")
        for unit in plan.units:
            assert not any("fast-math" in flag for flag in unit.command)
            fused = "-ffp-contract=fast" in unit.command
            assert not fused or unit.source.name not in ("random.cpp", "steps.cpp")


@pytest.mark.skipif(not (CHECKOUT / "setup.py").is_file(), reason="needs the checkout")
def test_setup_fails_or_goes_on_without_compilers(tmp_path):
    """setup.py itself, on a copy of the project that holds little else, with no compiler."""
    pytest.importorskip("setuptools", minversion="77", reason="setup.py runs setuptools")
    project = tmp_path / "project"
    for folder in ("kernels", "csrc"):
        shutil.copytree(CHECKOUT / folder, project / folder)
    shutil.copytree(CHECKOUT / "src/tapegrad/_build", project / "src/tapegrad/_build")
    (project / "src" / "tapegrad" / "__init__.py").touch()
    shutil.copy(CHECKOUT / "setup.py", project)
    metadata = '[project]\nname = "tapegrad"\nversion = "0"\n'
    (project / "pyproject.toml").write_text(
        metadata + '[tool.setuptools.packages.find]\nwhere = ["src"]\n'
    )

    def build_wheel(setting):
        environ = {**os.environ, "CXX": "no-such-compiler", "TAPEGRAD_CUDA": setting}
        command = [sys.executable, "setup.py", "-q", "bdist_wheel"]
        return subprocess.run(
            command, cwd=project, env=environ, capture_output=True, text=True, check=False
        )

    failed = build_wheel("on")
    assert failed.returncode != 0
    assert "TAPEGRAD_CUDA=on, but" in failed.stderr
    done = build_wheel("auto")
    assert done.returncode == 0, done.stderr
    last_line = done.stdout.strip().splitlines()[-1]
    assert last_line.startswith("tapegrad: left out emulated (")
    assert "cuda (" in last_line
    (wheel,) = (project / "dist").glob("*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tapegrad/_sources/kernels/emulate/runtime.cpp" in names
    assert "tapegrad/_sources/csrc/bindings.cpp" in names


def test_cuda_is_compiled_where_there_is_a_driver_or_it_is_asked_for(sources, monkeypatch):
    """(U03)"""
    for driver, environ, built in (
        (False, {}, False),
        (True, {}, True),
        (False, {"TAPEGRAD_CUDA": "on"}, True),
        (False, {"TAPEGRAD_CUDA_ARCHS": "90a"}, True),
        (True, {"TAPEGRAD_CUDA": "off"}, False),
    ):
        monkeypatch.setattr(installing, "has_driver", lambda driver=driver: driver)
        choice = _build.choose_extensions(CXX, NVCC, sources, environ)
        assert ("cuda" in {plan.device for plan in choice.plans}) is built
        assert choice.cuda_required is (environ.get("TAPEGRAD_CUDA") == "on")
    monkeypatch.setattr(installing, "has_driver", lambda: False)
    choice = _build.choose_extensions(CXX, NVCC, sources, {})
    assert "no driver" in choice.left_out["cuda"]
    assert "TAPEGRAD_CUDA=on" in choice.left_out["cuda"]
    assert "no CUDA compiler" in _build.choose_extensions(CXX, None, sources, {}).left_out["cuda"]


# ---- pybind11's headers ----


def test_pybind11_may_be_a_folder_of_headers(sources, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybind11", None)  # not installed
    monkeypatch.delenv("TAPEGRAD_PYBIND11_INCLUDE", raising=False)
    with pytest.raises(BuildError, match=r"pybind11.*TAPEGRAD_PYBIND11_INCLUDE"):
        _build.plan_emulated(CXX, sources, {})
    monkeypatch.setenv("TAPEGRAD_PYBIND11_INCLUDE", str(tmp_path))
    with pytest.raises(BuildError, match=r"no pybind11/pybind11\.h"):
        _build.plan_emulated(CXX, sources, {})
    (tmp_path / "pybind11").mkdir()
    (tmp_path / "pybind11" / "pybind11.h").touch()
    (bindings,) = (
        u for u in _build.plan_emulated(CXX, sources, {}).units if "csrc" in u.source.parts
    )
    assert f"-I{tmp_path}" in bindings.command


# ---- the cache ----


def test_key_follows_everything_that_matters(sources):
    def plan(cxx=CXX, environ=None):
        return _build.plan_emulated(cxx, sources, environ or {})

    before = plan()
    assert plan() == before
    assert plan(environ={"CXXFLAGS": "-O0"}).key != before.key
    assert plan(cxx=Compiler(CXX.command, "g++ 13.1.0")).key != before.key

    keys = {unit.source.name: unit.key for unit in before.units}
    (sources / "kernels" / "square.cu").write_text("int square(int x) { return x * x * 1; }\n")
    after = plan()
    assert after.key != before.key
    assert after.source_hash != before.source_hash
    changed = {unit.source.name for unit in after.units if unit.key != keys[unit.source.name]}
    assert changed == {"square.cu", "bindings.cpp"}  # the bindings carry the hash of all sources

    (sources / "kernels" / "device.cuh").write_text("// other vocabulary\n")
    assert all(a.key != b.key for a, b in zip(plan().units, after.units, strict=True))


needs_users = pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")


@pytest.fixture
def cache(sources, tmp_path, monkeypatch):
    """A plan, and an extension of it in a cache that all may write into."""
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("TAPEGRAD_CACHE", str(folder))
    plan = _build.plan_emulated(CXX, sources, {})
    for module in (_build, caching):
        monkeypatch.setattr(module, "plan_for", lambda device: plan)
    path = _build.cached_path(plan)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"not a library")
    path.chmod(0o755)
    return plan, path


@needs_users
def test_what_another_user_left_in_the_cache_is_refused(cache, monkeypatch):
    """(R15)"""
    plan, path = cache
    assert _build.cached(plan) == path
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid == 0:  # root's files are trusted: make it somebody's
        os.chown(path, 12345, -1)
    for ask in (lambda: _build.cached(plan), lambda: _build.build_into_cache("emulated")):
        with pytest.raises(BuildError, match=r"belongs to another user \(number \d+\).*TAPEGRAD_C"):
            ask()
    assert "belongs to another user" in doctor_says(monkeypatch)


@needs_users
def test_the_folder_of_another_user_is_refused(cache, monkeypatch):
    """(R15)"""
    plan, path = cache
    if path.stat().st_uid == 0:
        os.chown(path.parent, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(BuildError, match=f"{path.parent} belongs to another user"):
        _build.cached(plan)


@needs_users
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_others_may_change_is_compiled_again(cache, monkeypatch, mode):
    """(R15) Also objects, of which extensions are linked."""
    plan, path = cache
    path.chmod(mode)
    assert _build.cached(plan) is None
    built = []
    monkeypatch.setattr(caching, "build", lambda *arguments: built.append(arguments))
    _build.build_into_cache("emulated")
    assert built
    objects = _build.objects_folder()
    assert stat.S_IMODE(objects.stat().st_mode) == 0o700
    planted = objects / "square.o"
    planted.write_bytes(b"")
    planted.chmod(mode)
    assert not _build.is_ours(planted)
    planted.chmod(0o644)
    assert _build.is_ours(planted)
    link = objects / "link.o"
    link.symlink_to(planted)
    assert not _build.is_ours(link)


def doctor_says(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    return doctor.find_extension("emulated").text


def test_packages_headers_count_by_their_version(sources, monkeypatch):
    """pip compiles with packages in a folder that it deletes after each installation."""

    def keys(folder, version):
        package = SimpleNamespace(
            __name__="pybind11", __version__=version, get_include=lambda: folder
        )
        monkeypatch.setitem(sys.modules, "pybind11", package)
        plan = _build.plan_emulated(CXX, sources, {})
        (bindings,) = (u for u in plan.units if "csrc" in u.source.parts)
        assert f"-I{folder}" in bindings.command
        return bindings.key

    assert keys("/tmp/one", "3.0") == keys("/tmp/other", "3.0") != keys("/tmp/one", "3.1")


def test_moved_sources_keep_their_key(sources, tmp_path):
    moved = shutil.copytree(sources, tmp_path / "elsewhere")
    keys = {_build.plan_emulated(CXX, root, {}).key for root in (sources, moved)}
    assert len(keys) == 1
    plans = []
    for folder in ("one", "other"):
        for part in ("kernels", "csrc"):
            shutil.copytree(_build.source_root() / part, tmp_path / folder / part)
        plans += [
            plan(CXX, tmp_path / folder, {}) for plan in (_build.plan_emulated, _build.plan_native)
        ]
    emulated, native, *others = ([unit.key for unit in plan.units] for plan in plans)
    assert [emulated, native] == others


def test_build_compiles_only_what_changed(sources, tmp_path, monkeypatch):
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("needs a C++ compiler")
    compiled = []
    run = building.run
    monkeypatch.setattr(
        building, "run", lambda command, subject: compiled.append(subject) or run(command, subject)
    )

    def build():
        compiled.clear()
        plan = _build.plan_emulated(cxx, sources, {})
        output = _build.build(plan, tmp_path / "out" / "module.so", tmp_path / "objects")
        assert output.is_file()
        return sorted(compiled)

    everything = [f"compiling {name}" for name in ("bindings.cpp", "runtime.cpp", "square.cu")]
    assert build() == [*everything, "linking module.so"]
    assert build() == ["linking module.so"]
    (sources / "kernels" / "square.cu").write_text("int square(int x) { return 0 * x; }\n")
    assert build() == ["compiling bindings.cpp", "compiling square.cu", "linking module.so"]
    left = [
        file.suffix for file in (*(tmp_path / "out").iterdir(), *(tmp_path / "objects").iterdir())
    ]
    assert sorted(left) == [".o"] * 5 + [".so"]  # no temporary files


def test_what_small_files_begin_with_is_compiled_beforehand(tmp_path, monkeypatch):
    """Once for all of them; where the compiler cannot use it, the header itself is read."""
    cxx = _build.find_cxx()
    if cxx is None or cxx.is_clang:
        pytest.skip("needs g++")
    compiled = []
    run = building.run
    monkeypatch.setattr(
        building, "run", lambda command, subject: compiled.append(subject) or run(command, subject)
    )
    header, sources = tmp_path / "long.h", [tmp_path / "a.cpp", tmp_path / "b.cpp"]
    header.write_text("#pragma once\ninline int seven() { return 7; }\n")
    objects = tmp_path / "objects"
    objects.mkdir()

    def build(source, text):
        compiled.clear()
        source.write_text(text)
        command = (*cxx.command, "-std=c++17")
        begin = header_of(header, command, "", cxx, tmp_path)
        building._compile(building.Unit(source, command, "", begin), objects / f"{source.stem}.o")
        return [subject.removeprefix("compiling ") for subject in compiled]

    assert build(sources[0], "int f() { return seven(); }\n") == ["long.h", "a.cpp"]
    assert build(sources[1], "int g() { return seven(); }\n") == ["b.cpp"]
    (precompiled,) = objects.glob("*.gch")
    precompiled.write_bytes(b"of another compiler")
    (objects / "b.o").unlink()
    assert build(sources[1], "int g() { return seven() + 1; }\n") == ["b.cpp", "b.cpp"]
    (objects / "b.o").unlink()
    with pytest.raises(_build.CompilerError, match=r"b\.cpp:2:\d+: error"):
        build(sources[1], "int g();\nint h() { return nothing; }\n")
    assert not (objects / "b.o").exists()


def test_headers_are_compiled_by_the_commands_of_the_files_that_begin_with_them(tmp_path):
    """But for folders of their own; and not for definitions, which may be others each time."""
    if (cxx := _build.find_cxx()) is None or cxx.is_clang:
        pytest.skip("needs g++")
    source = tmp_path / "a.cu"
    source.touch()
    units = [_build.plan_unit("emulated", source, folder).units[0] for folder in ("/one", "/two")]
    assert units[0].header == units[1].header
    assert units[0].key != units[1].key
    checked = _build.plan_unit("emulated", source, "/one", checked=True).units[0]
    assert checked.header.key != units[0].header.key
    for unit in (*units, checked, _build.plan_program(source, ["-std=c++20", "-I/one"]).units[0]):
        own = [word for word in unit.command if word not in ("-I/one", "-I/two")]
        assert unit.header.command == (*own, "-w", "-x", "c++-header")
    defined = _build.plan_program(source, ["-DN=3"]).units[0]
    assert defined.header.name == "cuda_runtime.h"


def test_loops_and_programs_use_what_was_compiled_beforehand(tmp_path, monkeypatch):
    if (cxx := _build.find_cxx()) is None or cxx.is_clang:
        pytest.skip("needs g++")
    compiled = []
    run = building.run
    monkeypatch.setattr(
        building, "run", lambda command, subject: compiled.append(subject) or run(command, subject)
    )
    source = tmp_path / "a.cu"
    source.write_text(f"// {tmp_path}\nint main() {{ return min(0, 1); }}\n")
    program = _build.plan_program(source, [])
    loop = f'// {tmp_path}\n#include "csrc/fused/loop.h"\nFUSED void run() {{}}\n'
    for unit in (
        program.units[0],
        plan_loop(_build.kept_text("a.cpp", loop.encode()), "v2").units[0],
    ):
        building._compile(unit, _build.objects_folder() / f"a-{unit.key}.o")
        assert compiled.count(f"compiling {unit.source.name}") == 1
        (_build.objects_folder() / f"a-{unit.key}.o").unlink()


def test_concurrent_builds_do_not_disturb_each_other(sources, tmp_path):
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("needs a C++ compiler")
    plan = _build.plan_emulated(cxx, sources, {})
    output = tmp_path / "module.so"
    with ThreadPoolExecutor(4) as executor:
        builds = [executor.submit(_build.build, plan, output, tmp_path) for _ in range(4)]
    assert [build.result() for build in builds] == [output] * 4
    assert ctypes.CDLL(str(output)).answer() == 42


def test_failed_compilation_shows_the_compilers_words(sources, tmp_path):
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("needs a C++ compiler")
    (sources / "kernels" / "square.cu").write_text("int square(int x) { return y; }\n")
    plan = _build.plan_emulated(cxx, sources, {})
    with pytest.raises(BuildError, match=r"(?s)compiling square\.cu failed.*'?y'?"):
        _build.build(plan, tmp_path / "module.so", tmp_path / "objects")
    assert not (tmp_path / "module.so").exists()


def test_cache_folder():
    assert _build.cache_folder({"TAPEGRAD_CACHE": "/some/where"}) == Path("/some/where")
    if sys.platform == "linux":
        assert _build.cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/tapegrad")
        assert _build.cache_folder({}) == Path.home() / ".cache" / "tapegrad"


# ---- the resource report ----


def test_resource_report_is_read():
    report = """
ptxas info    : Compiling entry function '_Z4fastv' for 'sm_90a'
ptxas info    : Function properties for _Z4fastv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 34 registers, used 1 barriers, 4096 bytes smem, 386 bytes cmem[0]
ptxas info    : Compiling entry function '_Z4slowv' for 'sm_80'
ptxas info    : Function properties for _Z4slowv
    48 bytes stack frame, 24 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 386 bytes cmem[0]
"""
    fast, slow = resources.parse_resources(report)
    assert fast == resources.Resources("_Z4fastv", "90a", 34, 4096, 0, 0, 0)
    assert slow == resources.Resources("_Z4slowv", "80", 255, 0, 48, 24, 16)


def test_kernel_names_are_shortened():
    name = "void (anonymous namespace)::tile_kernel<float, (int)128>(float*, float const*, long)"
    assert resources._shorten(name) == "tile_kernel<float, 128>"
