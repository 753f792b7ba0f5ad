"""The README's example prints what the README says it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


def test_example_prints_its_comments() -> None:
    if not README.exists():
        pytest.skip("the README is not part of this installation")
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)[0]
    expected = re.findall(r"print\(.*\)\s+# (.*)", code)
    assert len(expected) == 3
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == expected
