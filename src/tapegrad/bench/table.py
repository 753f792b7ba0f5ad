"""A table, as text for a terminal or for a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Table:
    """Lines of cells below a header, between paragraphs. The first ``words`` columns begin at the
    left, numbers end at the right; a line with fewer cells than the header ends in a message."""

    head: list[str]
    lines: list[list[str]]
    words: int
    above: Sequence[str] = ()
    below: Sequence[str] = ()

    def text(self) -> str:
        """For a terminal."""
        rows = (self.head, *self.lines)
        widths = [
            max(len(line[i]) for line in rows if len(line) > i) for i in range(len(self.head))
        ]

        def laid_out(line: Sequence[str]) -> str:
            cells = [
                cell.ljust(width) if i < self.words else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=False))
            ]
            if len(line) < len(self.head):  # the last cell is a message: as long as it is
                cells[-1] = line[-1]
            return "  ".join(cells).rstrip()

        return "\n".join([*self.above, "", *map(laid_out, rows), "", *self.below])

    def markdown(self) -> str:
        """As a Markdown table and paragraphs."""
        numbers = len(self.head) - self.words
        lines = [_piped(self.head), _piped(["---"] * self.words + ["---:"] * numbers)]
        lines += [_piped([cell.replace("|", "\\|") for cell in line]) for line in self.lines]
        above, below = ([f"{line}  " for line in text] for text in (self.above, self.below))
        return "\n".join([*above, "", *lines, "", *below])


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
