"""The guide's code runs, and prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad.core import native

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text()]


# A block of Python, and the block of output that may follow it.
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\s*^```\n(.*?)^```$)?", re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page are one program, in a folder of its own. What a block prints stands in
    the block behind it, or in the comments behind its calls of print."""
    text = page.read_text()
    for packages in re.findall(r"<!-- needs (.*?) -->", text):
        for package in packages.split(", "):
            if package != "loops":
                pytest.importorskip(package)
            elif native.compiled is None:
                pytest.skip(f"loops: {native.status}")
    monkeypatch.chdir(tmp_path)
    tg.manual_seed(0)
    names = {"__name__": page.stem}
    for code, output in BLOCK.findall(text):
        expected = output or "".join(
            f"{line}\n" for line in re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
        )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        assert printed.getvalue() == expected
