"""Type stubs: what editors complete and type checkers check is what there is.

``write_stubs.py`` writes them from the functions. An editor lists the names of a stub's syntax
tree, so that is what is compared with the package; mypy then reads them as a user's checker would.
"""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from functools import cache
from inspect import isfunction
from pathlib import Path

import pytest
import write_stubs

import tapegrad as tg
from tapegrad.core.fields import TensorFields
from tapegrad.ops import methods
from tapegrad.ops.catalog import doors, in_place
from tapegrad.ops.common.signatures import is_factory

PACKAGE = write_stubs.PACKAGE


def _stub(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text())


def _names(body: list[ast.stmt]) -> set[str]:
    """What a stub offers: definitions, values, and imports that say ``as`` themselves."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.asname == alias.name}
    return names


def _completions_of_a_tensor() -> set[str]:
    (operations,) = [n for n in _stub("_operations.pyi").body if isinstance(n, ast.ClassDef)]
    source = ast.parse((PACKAGE / "core/tensor.py").read_text())
    (tensor,) = [n for n in source.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"]
    return _names(operations.body) | _names(tensor.body)


@pytest.mark.parametrize("file", write_stubs.STUBS)
def test_the_stubs_are_what_the_script_writes(file):
    written = (PACKAGE / file).read_text()
    assert written == write_stubs.STUBS[file](), "run python tools/write_stubs.py"


def test_everything_public_is_in_the_stub():
    changing = {f"{name}_" for name in doors["tg_"]}
    public = {*write_stubs.public_names(), *doors["tg"], *changing, *tg._LATER}
    assert _names(_stub("__init__.pyi").body) == public
    assert {"float32", "bfloat16", "pi", "nn", "optim", "func", "Tensor", "zeros"} <= public


def test_every_method_operator_and_property_is_completed():
    listed = _completions_of_a_tensor()
    operators = {*doors["operator"], *doors["reflected"], *methods.INPLACE_OPERATORS}
    expected = {*doors["x"], *doors["property"], *in_place, *operators, *methods.OWN}
    assert expected <= listed
    real = {name for name in dir(tg.Tensor) if not name.startswith("_")}
    assert {name for name in listed if not name.startswith("_")} == real


@pytest.mark.parametrize("name", ["linalg", "special", "nn.functional", "signal.windows"])
def test_the_functions_of_a_namespace_are_in_its_stub(name):
    module = __import__(f"tapegrad.{name}", fromlist=["*"])
    assert _names(_stub(f"{name.replace('.', '/')}.pyi").body) == set(module.__all__)


@pytest.mark.parametrize("file", write_stubs.STUBS)
def test_no_signature_is_left_open(file):
    """``**options`` would complete nothing, and let every misspelt keyword pass."""
    for node in ast.walk(_stub(file)):
        if isinstance(node, ast.FunctionDef):
            assert node.args.kwarg is None, node.name


def _words(arguments: ast.arguments) -> tuple:
    """Positional arguments with their defaults in order, those by name in any."""
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return (
        [a.arg for a in arguments.args],
        [ast.unparse(d) for d in arguments.defaults],
        arguments.vararg and arguments.vararg.arg,
        {a.arg: ast.unparse(default) for a, default in named if default is not None},
    )


FACTORIES = [
    (module, name)
    for module, door in ((tg, "tg"), (tg.signal.windows, "windows"))
    for name, operation in sorted(doors[door].items())
    if name.endswith("_like") or (isfunction(operation.load()) and is_factory(operation.load()))
]


@pytest.mark.parametrize(("module", "name"), FACTORIES, ids=[name for _, name in FACTORIES])
def test_help_shows_how_factories_are_called(module, name):
    file = {tg: "__init__.pyi", tg.signal.windows: "signal/windows.pyi"}[module]
    stubs = [n for n in _stub(file).body if isinstance(n, ast.FunctionDef) and n.name == name]
    shown = ast.parse(f"def shown{inspect.signature(getattr(module, name))}: ...").body[0]
    assert _words(shown.args) == _words(stubs[0].args)
    head = help_text(getattr(module, name)).splitlines()[2]
    assert head.startswith(f"{name}(")


def help_text(function):
    return pydoc.render_doc(function, renderer=pydoc.plaintext)


def test_forms_are_of_what_functions_take():
    known = {}
    for operation in (*doors["tg"].values(), *doors["x"].values()):
        function = operation.load()
        known[function.__name__] = set(write_stubs.signature(function).parameters)
    for name, forms in write_stubs.FORMS.items():
        for form in forms:
            taken = set(write_stubs.parsed(form).parameters) - {"size", "other", "tensors"}
            assert taken <= known[name], name
    assert {*write_stubs.FLAGS} <= {*known, *tg.nn.functional.__all__}


def test_tensors_inherit_nothing_when_they_run():
    assert tg.Tensor.__mro__ == (tg.Tensor, TensorFields, object)


SAMPLE = """
import tapegrad as tg

x = tg.zeros(2, 3, dtype=tg.float32, requires_grad=True)
reveal_type(x.exp())  # Tensor
reveal_type(tg.exp(x, out=tg.empty(0)))  # Tensor
reveal_type(x.sum(axis=1, keepdims=True))  # Tensor
reveal_type(x.sum(1, True))  # Tensor
reveal_type(x.max())  # Tensor
reveal_type(x.max(dim=1).indices)  # Tensor
reveal_type(tg.max(x, tg.ones(3)))  # Tensor
reveal_type(x.add_(1, alpha=2))  # Tensor
reveal_type(tg.exp_(x))  # Tensor
reveal_type(2 * x.T @ x - 1)  # Tensor
reveal_type(x > 0)  # Tensor
reveal_type(x == 0)  # Tensor
reveal_type(x[0, :])  # Tensor
reveal_type(list(x))  # list[Tensor]
reveal_type(x.split(2))  # tuple[Tensor, ...]
reveal_type(tg.where(x > 0))  # tuple[Tensor, ...]
reveal_type(tg.where(x > 0, x, 0))  # Tensor
reveal_type(x.nonzero())  # Tensor
reveal_type(tg.allclose(x, x))  # bool
reveal_type(x.float().long().bool())  # Tensor
reveal_type(x.shape)  # Size
reveal_type(x.new_zeros(2, device="cpu"))  # Tensor
reveal_type(tg.ones_like(x, dtype=tg.int64))  # Tensor
reveal_type(tg.randn(2, generator=tg.Generator()))  # Tensor
reveal_type(tg.manual_seed(0))  # Generator
reveal_type(tg.device("cpu"))  # Device
reveal_type(tg.linalg.inv(x, out=tg.empty(0)))  # Tensor
reveal_type(tg.nn.Sequential(tg.nn.ReLU())[0].weight)  # Any
reveal_type(tg.special.expit(x))  # Tensor
reveal_type(tg.nn.functional.tanh(x))  # Tensor
reveal_type(tg.pi)  # float
reveal_type(x.backward())  # None
reveal_type(x.grad)  # Tensor | None
with tg.no_grad():
    x += 1
    x[0] = 2.0
tg.optim.Adam([x], lr=1e-3).step()
"""

WRONG = """
import tapegrad as tg

x = tg.zeros(2)
x.expp()  # attr-defined
x.exp().foo  # attr-defined
tg.expp(x)  # attr-defined
tg.nn.functional.reluu(x)  # attr-defined
tg.autograd.detect_anomal()  # attr-defined
tg.bool_  # attr-defined
x.sum(dims=0)  # call-overload
tg.zeros(2, dtyp=tg.float32)  # call-overload
tg.ones_like(x, dtyp=tg.float32)  # call-arg
x.clamp(mim=0)  # call-arg
tg.matmul(x)  # call-arg
x.mul_()  # call-arg
"""


@cache
def _mypy(folder: Path) -> list[str]:
    """What mypy says about both samples, line by line."""
    (folder / "right.py").write_text(SAMPLE)
    (folder / "wrong.py").write_text(WRONG)
    installed = PACKAGE.parent.name == "site-packages"  # then found by itself
    (folder / "mypy.ini").write_text(
        f"[mypy]\ncache_dir = {folder / 'cache'}\n"
        "ignore_missing_imports = True\nfollow_imports = silent\n"
        + ("" if installed else f"mypy_path = {PACKAGE.parent}\n")
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "right.py", "wrong.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pytest.importorskip("mypy")
    return _mypy(tmp_path_factory.mktemp("checked"))


def _commented(source: str) -> dict[int, str]:
    """The comments at the ends of lines, by line number."""
    lines = enumerate(source.splitlines(), 1)
    return {i: line.rpartition("  # ")[2] for i, line in lines if "  # " in line}


def test_correct_code_has_its_types(report):
    own = [line for line in report if line.startswith("right.py")]
    assert not [line for line in own if ": error:" in line]
    revealed = {}
    for line in own:
        _, number, rest = line.split(":", 2)
        kind = rest.split('"')[1]
        for module in (
            "tapegrad.core.tensor.",
            "tapegrad.ops.sampling.philox.",
            "tapegrad.core.devices.",
        ):
            kind = kind.replace(module, "")
        revealed[int(number)] = kind
    assert revealed == _commented(SAMPLE)


def test_misspelt_names_and_wrong_keywords_are_errors(report):
    errors: dict[int, str] = {}
    for line in report:
        if line.startswith("wrong.py") and ": error:" in line:
            errors[int(line.split(":")[1])] = line.rpartition("[")[2].rstrip("]")
    assert errors == _commented(WRONG)
