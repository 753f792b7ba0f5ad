"""The README says what is true: its example prints what it says, its excerpts are the files'."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

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
        (blocks("cpp")[0], "kernels/softmax.cu"),
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
