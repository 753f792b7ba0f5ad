"""docs/checkpoints.md: its code runs as written, and prints what it says."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "checkpoints.md").read_text()


def test_the_code_on_the_page_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    exec(compile(code, "docs/checkpoints.md", "exec"), {})
    (message,) = re.findall(r"```\n(restore.*?)```", PAGE, re.DOTALL)
    comments = re.findall(r"print\(.*\)  # (.*)", code)
    assert len(comments) == 3
    assert capsys.readouterr().out == message + "".join(f"{c}\n" for c in comments)
