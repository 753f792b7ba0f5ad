"""The guide's code runs, and prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import tapegrad as tg

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_prints_its_comments(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page are one program, in a folder of its own."""
    text = page.read_text()
    for packages in re.findall(r"<!-- needs (.*?) -->", text):
        for package in packages.split(", "):
            pytest.importorskip(package)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.S | re.M))
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    tg.manual_seed(0)
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(page), "exec"), {"__name__": page.stem})
    if expected:
        assert [line for line in printed.getvalue().splitlines() if line] == expected
