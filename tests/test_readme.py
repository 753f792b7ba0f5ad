"""The README says what is true: its example prints what it says, its excerpts are the files'."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_example_prints_its_comments() -> None:
    code = blocks("python")[0]
    expected = re.findall(r"print\(.*\)\s+# (.*)", code)
    assert len(expected) == 3
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == expected


def test_excerpts_are_what_the_files_say() -> None:
    for code, file in (
        (blocks("python")[1], "src/tapegrad/ops/activation/softmax.py"),
        (blocks("python")[2], "src/tapegrad/ops/activation/softmax.py"),
        (blocks("cpp")[0], "kernels/softmax.cu"),
        (blocks("cpp")[1], "examples/own_kernel.cu"),
        (blocks("python")[3], "examples/own_kernel.py"),
    ):
        source = (ROOT / file).read_text()
        for paragraph in code.split("\n\n"):
            assert paragraph.strip("\n") in source, f"{file} has changed: {paragraph}"


def test_ci_runs_the_two_commands() -> None:
    """It takes them from here: they are all that looks like them."""
    commands = [line for line in README.splitlines() if re.match("pip install .* && ", line)]
    assert len(commands) == 2
    assert "## Two commands" in README.split("```\n" + "\n".join(commands) + "\n```")[0]
    script = (ROOT / ".ci" / "run").read_text()
    assert 'grep "^pip install .* && " README.md' in script
    assert "readme 1" in script
    assert "readme 2" in script


DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
FOLDERS = (
    *("", "src/tapegrad", "src/tapegrad/core", "kernels", "tests", "docs"),
    *("csrc/native", "csrc/native/loops", "csrc/tape"),
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_the_documents_name_exist(document: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(), flags=re.S)
    quoted = re.findall(r"`([\w./]+(?:/|\.(?:py|pyi|cu|cuh|cpp|h|md|txt|json)))`", text)
    linked = re.findall(r"\]\(([\w./]+)\)", text)
    missing = {p for p in (*quoted, *linked) if not any((ROOT / f / p).exists() for f in FOLDERS)}
    assert not missing


def test_the_core_is_as_long_as_it_says() -> None:
    lines = sum(p.read_text().count("\n") for p in (ROOT / "src/tapegrad/core").glob("*.py"))
    (claimed,) = re.findall(r"core, about ([\d,]+) lines", README)
    assert abs(lines - int(claimed.replace(",", ""))) < 100


def test_the_rooms_are_those_drawn() -> None:
    """Every file of the core and every wing of the operations stands in the design's tree."""
    tree = re.findall(r"```\n(src/tapegrad/.*?)```", (ROOT / "docs/design.md").read_text(), re.S)[0]
    core = {p.name for p in (ROOT / "src/tapegrad/core").glob("*.py")} - {"__init__.py"}
    rooms = {p.parent.name for p in (ROOT / "src/tapegrad").glob("*/__init__.py")}
    wings = {p.parent.name for p in (ROOT / "src/tapegrad/ops").glob("*/__init__.py")}
    drawn = set(re.findall(r"[\w.]+", tree))
    assert not (core | rooms | wings) - drawn
