"""What pyproject.toml cannot say: the kernels are compiled, and their sources travel in the wheel.

``_emulated``, ``_tape`` and ``_native`` are built where there is a C++ compiler, ``_cuda`` where
there are nvcc and a driver or it is asked for; without any the package is pure Python. The last
line of output says what was left out and why. The work is done by src/tapegrad/_build, loaded by
its path because tapegrad cannot be imported yet.
"""

import atexit
import importlib.util
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent


def load_build_module():
    folder = ROOT / "src" / "tapegrad" / "_build"
    spec = importlib.util.spec_from_file_location(
        "tapegrad_build", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_build = load_build_module()


class BuildKernels(build_ext):
    """Hands each extension to _build. One that fails is left out, unless it was asked for."""

    def build_extension(self, ext):
        plan = ext.plan
        print(f"compiling {ext.name} with {plan.compiler} for {plan.architectures}", flush=True)
        try:  # kept from one installation to the next
            objects = _build.objects_folder()
        except (OSError, _build.BuildError):
            objects = Path(self.build_temp).resolve()
        try:
            _build.build(plan, Path(self.get_ext_fullpath(ext.name)).resolve(), objects)
        except _build.BuildError as error:
            if not ext.optional:
                raise CompileError(str(error)) from error
            print(error, file=sys.stderr)
            choice.left_out[plan.device] = str(error).splitlines()[0]


class BuildPackage(build_py):
    """Puts the kernels' sources into the wheel, so that ``_emulated`` can be built on first use."""

    def run(self):
        atexit.register(say_what_was_left_out)
        self.remove_leftovers(Path(self.build_lib, "tapegrad"))
        super().run()
        if not self.editable_mode:  # there the checkout is used
            for file in _build.source_files(ROOT):
                target = Path(self.build_lib, "tapegrad", "_sources", file.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def remove_leftovers(self, package):
        """pip builds in the checkout and packs all that it finds: nothing of an earlier build, with
        other settings, may be among it."""
        shutil.rmtree(package / "_sources", ignore_errors=True)
        for name in _build.EXTENSIONS:
            for file in package.glob(f"_{name}.*"):
                file.unlink()


def say_what_was_left_out():
    reasons = [f"{device} ({reason})" for device, reason in choice.left_out.items()]
    print(
        "tapegrad: left out " + ", ".join(reasons) if reasons else "tapegrad: nothing left out",
        flush=True,
    )


def extension(plan):
    ext = Extension(f"tapegrad._{plan.device}", sources=[])
    ext.optional = not (plan.device == "cuda" and choice.cuda_required)
    ext.plan = plan
    return ext


choice = _build.choose_extensions(_build.find_cxx(), _build.find_nvcc(), ROOT)
setup(
    ext_modules=[extension(plan) for plan in choice.plans],
    cmdclass={"build_ext": BuildKernels, "build_py": BuildPackage},
)
