"""The tests of the loops for the CPU and of the tape in C, under the compiler's sanitizers.

    python tools/sanitize_native.py [pytest's arguments]

Compiles ``_native`` and ``_tape`` with AddressSanitizer and UndefinedBehaviorSanitizer, beside the
package's own, and runs the tests with them; the first access beyond an array, or the first
undefined operation, ends the run. Every array is then an allocation of its own (see
plain_malloc.cpp), with forbidden memory around it. Needs pytest; where the compiler has no
sanitizers, it says so and ends well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/test_native*.py")),
    *("tests/test_accelerator.py", "tests/test_tape.py"),
    # Not those that run others than these modules, nor those of every optimizer at every level.
    "-k",
    "not emulated and not long_chains and not environment and not after_a_fork"
    " and not no_function_of_one_level and not steps_are_those and not every_loop_for_rows",
)
FOLDER = "TAPEGRAD_SANITIZED"  # the variable that names the modules' folder
MODULES = ("plain_malloc", "tapegrad._native", "tapegrad._tape")
FLAGS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g1",
)
OPTIONS = {
    # Python itself leaks what it needs until its end, and tests ask for more memory than there is.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",  # objects are guarded as arrays are
}


def sanitized(folder: Path) -> dict[str, str] | str:
    """Compile the modules into the folder: the environment that they need, or why there is none."""
    from tapegrad import _build
    from tapegrad._build import native_plans

    cxx = _build.find_cxx()
    if cxx is None:
        return "there is no C++ compiler"
    # The runtime must come first in the process, before Python's own allocations. (clang++ links
    # its own into programs only.)
    runtime = _build.output_of([*cxx.command, "-print-file-name=libasan.so"]).strip()
    if not Path(runtime).is_absolute():
        return f"{cxx} has no libasan.so: install that of g++, or set CXX=g++"
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n")
    command = [*cxx.command, *FLAGS, str(probe), "-o", str(probe.with_suffix(""))]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode:
        return f"{cxx} has no sanitizers ({(tried.stderr.strip() or 'it fails').splitlines()[-1]})"
    # What loops read does not depend on how they are optimised: more would take minutes.
    native_plans.LOOP_FLAGS = (
        "-O1", *(flag for flag in native_plans.LOOP_FLAGS if flag != "-O3")
    )  # fmt: skip
    environ = {**os.environ, "CXXFLAGS": " ".join(FLAGS)}
    objects = _build.objects_folder()
    for name, plan in (("_native", _build.plan_native), ("_tape", _build.plan_tape)):
        _build.build(plan(cxx, ROOT, environ), folder / f"{name}.so", objects)
    flags = native_plans.numpy_flags("plain_malloc", cxx, environ)
    source = str(Path(__file__).with_name("plain_malloc.cpp"))
    subprocess.run([*flags, "-shared", source, "-o", str(folder / "plain_malloc.so")], check=True)
    return {**OPTIONS, "LD_PRELOAD": runtime}


def load(folder: Path) -> None:
    """Load the modules in place of the package's own."""
    for name in MODULES:
        path = str(folder / f"{name.rpartition('.')[2]}.so")
        spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    # PyTorch's exceptions of C++ stop the sanitizers' runtime.
    sys.modules["torch"] = None  # type: ignore[assignment]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = sanitized(Path(folder))
        if isinstance(found, str):
            print(f"skipped: {found}")
            return 0
        environ = {**os.environ, **found, FOLDER: folder}
        path = [str(ROOT / "tools"), environ.get("PYTHONPATH", "")]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        # As a plugin of pytest this file is imported before anything that it tests. What the
        # sanitizers say goes to the standard error, which pytest must not keep for itself.
        options = ["-p", "sanitize_native", "-x", "--capture=sys", *(sys.argv[1:] or TESTS)]
        run = [sys.executable, "-m", "pytest", "-q", *options]
        return subprocess.run(run, env=environ, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
elif FOLDER in os.environ:
    load(Path(os.environ[FOLDER]))
