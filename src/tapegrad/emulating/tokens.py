"""C++ source as tokens: as much of its grammar as is needed to find launches and declarations, and
to leave comments, strings and preprocessor lines as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | //(?:\\\r?\n|[^\n])* | /\*.*?\*/ | \\\r?\n )
  | (?P<string> (?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"
              | (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"
              | (?:u8|[uUL])?'(?:\\.|[^'\\\n])+' )
  | (?P<number> \.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])* )
  | (?P<word> [A-Za-z_$]\w* )
  | (?P<mark> <<< | :: | -> | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Tokens:
    """The tokens of a text; joined again they are the text. An index of -1 or beyond the end names
    a token that is empty."""

    def __init__(self, text: str):
        found = list(_TOKEN.finditer(text))
        self.texts = [match[0] for match in found]
        self.kinds = [
            match.lastgroup if match["delimiter"] is None else "string" for match in found
        ]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> str:
        return self.texts[index] if 0 <= index < len(self.texts) else ""

    def is_word(self, index: int) -> bool:
        return 0 <= index < len(self.texts) and self.kinds[index] == "word"

    def after(self, index: int) -> int:
        """The next token that is not space."""
        index += 1
        while index < len(self.texts) and self.kinds[index] == "space":
            index += 1
        return index

    def before(self, index: int) -> int:
        """The last one before that is not space; -1 if there is none."""
        index -= 1
        while index >= 0 and self.kinds[index] == "space":
            index -= 1
        return index

    def closing(self, index: int) -> int:
        """Where the bracket that opens here is closed; -1 if nowhere."""
        depth: list[str] = []
        for i in range(index, len(self.texts)):
            if self.kinds[i] != "mark":
                continue
            if self.texts[i] in _CLOSING:
                depth.append(_CLOSING[self.texts[i]])
            elif self.texts[i] in (")", "]", "}"):
                if not depth or self.texts[i] != depth.pop():
                    return -1
                if not depth:
                    return i
        return -1

    def opening(self, index: int) -> int:
        """Where the bracket that is closed here was opened, also for ``>``; -1 if nowhere."""
        closes = self[index]
        opens = {")": "(", "]": "[", "}": "{", ">": "<"}[closes]
        depth, i = 0, index
        while i >= 0:
            if self.kinds[i] == "mark":
                if self[i] in (")", "]") and closes == ">":
                    i = self.opening(i)
                else:
                    depth += (self[i] == closes) - (self[i] == opens)
                if depth == 0:
                    return i
            i -= 1
        return -1

    def end_of_directive(self, index: int) -> int:
        """The space with which the preprocessor line that begins at ``#`` ends."""
        for i in range(index, len(self.texts)):
            if self.kinds[i] == "space" and "\n" in self.texts[i]:
                text = self.texts[i]
                if not text.startswith(("\\", "/*")):
                    return i
        return len(self.texts)

    def directives(self) -> list[range]:
        """The preprocessor lines, without what ends them."""
        lines, i = [], 0
        while i < len(self.texts):
            if self.texts[i] == "#" and self._begins_line(i):
                end = self.end_of_directive(i)
                lines.append(range(i, end))
                i = end
            i += 1
        return lines

    def _begins_line(self, index: int) -> bool:
        before = self.before(index)
        between: Sequence[str] = self.texts[before + 1 : index]
        return before < 0 or any("\n" in text for text in between)
