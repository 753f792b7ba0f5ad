"""Modules are loaded when first needed: what the engine needs is there from the start."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad
from tapegrad.ops import catalog

BROADCAST = """
import tapegrad as tg
x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
b = tg.tensor([1.0, 1.0], requires_grad=True)
(g,) = tg.autograd.grad(x * b, b, tg.tensor([[1.0, 1.0], [1.0, 1.0]]), create_graph=True)
sum = tg.device("cpu").ops["sum"]
print(g.tolist(), getattr(sum, "plain", sum))
"""


def test_engine_sums_over_broadcast_dimensions_before_anything_else_did() -> None:
    """With its own sum: the array library's would be kept in its place for good."""
    done = subprocess.run(
        [sys.executable, "-c", BROADCAST], capture_output=True, text=True, check=True
    )
    assert "[4.0, 6.0]" in done.stdout
    assert "widened" in done.stdout or "_sum" in done.stdout


UNLOADED = """
import tapegrad as tg
for divide in (lambda x: x // 0, lambda x: x % 0, lambda x: 1 // x, lambda x: 1 % x):
    try:
        print(divide(tg.tensor([0])))
    except RuntimeError as error:
        print(error)
print(2 ** tg.tensor([-1]))
"""


def test_operators_have_their_own_bodies_before_anything_else_did() -> None:
    """Not the array library's: it divides by zero, and has no negative powers of integers."""
    done = subprocess.run(
        [sys.executable, "-c", UNLOADED], capture_output=True, text=True, check=True
    )
    *divisions, power = done.stdout.splitlines()
    assert len(divisions) == 4
    assert all("integer division by zero" in line for line in divisions)
    assert power.startswith("tensor([0]")


@pytest.mark.parametrize(
    "call", ["tg.selu(x)", "tg.celu(x)", "tg.rms_norm(x, (2,))", "tg.nn.functional.elu(x)"]
)
def test_second_gradients_load_what_they_need(call: str) -> None:
    program = f"""
import tapegrad as tg
x = tg.tensor([0.5, -1.0], requires_grad=True)
(first,) = tg.autograd.grad({call}.sum(), x, create_graph=True)
print(tg.autograd.grad(first.sum(), x)[0].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "tapegrad.Size([2])\n", done.stderr


OPS = Path(tapegrad.__file__).parent / "ops"


def definitions(tree: ast.Module) -> set[str]:
    """The names under which a module's primitives and array functions are known to ``xp``: those
    that it declares, itself or by a function of its own that hands the name on. (One that fills
    ``bodies`` declares ``name_backward``, too.)"""
    found = set()
    declaring, with_backward = {"unary", "binary", "by_method"}, set()
    ways = ("unary", "binary", "primitive")
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.args.args:
            first = function.args.args[0].arg
            if any(called_with(node, ways, first) for node in ast.walk(function)):
                declaring.add(function.name)
                if any(getattr(node, "id", "") == "bodies" for node in ast.walk(function)):
                    with_backward.add(function.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                name = getattr(getattr(decorator, "func", decorator), "id", "")
                first = getattr(decorator, "args", [])[:1]
                if name in ("primitive", "array_function"):
                    found.add(first[0].value if first and hasattr(first[0], "value") else node.name)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in declaring
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(node.args[0].value)
            if node.func.id in with_backward:
                found.add(f"{node.args[0].value}_backward")
    return found


def called_with(node: ast.AST, functions: tuple[str, ...], argument: str) -> bool:
    """Whether a node calls one of some functions with this name as the first argument."""
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in functions
        and getattr((node.args or [None])[0], "id", "") == argument
    )


def uses(tree: ast.Module) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "xp"
    }


def test_modules_load_the_primitives_that_their_rules_and_bodies_use() -> None:
    """Else ``xp.name`` is the array library's function of that name, silently and for good."""
    trees = {
        ".".join(path.relative_to(OPS).with_suffix("").parts): ast.parse(path.read_text())
        for path in OPS.rglob("*.py")
    }
    declared = {name: module for module, tree in trees.items() for name in definitions(tree)}
    assert len(declared) > 200
    assert len(declared) == sum(len(definitions(tree)) for tree in trees.values())  # in one module
    homes = {name: operation.module for name, operation in catalog.doors["xp"].items()}
    missing = [
        f"{module} uses xp.{name} of {declared[name]}"
        for module, tree in sorted(trees.items())
        for name in sorted(uses(tree) & declared.keys())
        if homes.get(name) != declared[name]
    ]
    assert not missing
    assert homes == declared


def test_no_module_has_the_name_of_one_of_the_standard_library() -> None:
    """Else it is imported in its place where the package's folder comes first on the path. (The
    name of ``tapegrad.signal`` is PyTorch's.)"""
    package = OPS.parent
    names = {path.stem for path in package.rglob("*.py")} | {
        path.name for path in package.rglob("*") if path.is_dir()
    }
    shadowing = (names & sys.stdlib_module_names) - {"__init__", "__main__"}
    assert shadowing == {"signal"}
