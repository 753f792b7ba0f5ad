"""docs/operations.md is what its script writes, and names everything."""

from __future__ import annotations

import re

import write_operations

from tapegrad.ops.catalog import doors


def test_the_page_is_what_the_script_writes():
    written = write_operations.PAGE.read_text()
    assert written == write_operations.page(), "run python tools/write_operations.py"


def test_every_operation_is_on_the_page():
    words = re.findall(r"`(.+?)`", write_operations.page())
    named = {re.sub(r"^\.|\(_?\)$", "", word) for word in words}
    changing = {f"{name}_" for name in doors["tg_"]}
    assert {*doors["tg"], *doors["x"], *doors["property"], *changing} <= named


def test_how_an_operation_may_be_called_is_told():
    words = re.findall(r"`(.+?)`", write_operations.page())
    assert {"exp(_)", "max", "cat()", ".view", ".uniform_", "transpose(_)", ".T"} <= {*words}
