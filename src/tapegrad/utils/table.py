"""A table, as text for a terminal, as HTML for a notebook, and for a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass
class Table:
    """Lines of cells below a header, between paragraphs. The first ``words`` columns begin at the
    left, numbers end at the right; a line with fewer cells than the header ends in a message."""

    head: list[str]
    lines: list[list[str]]
    words: int = 1
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    ruled: bool = False  # whether the text has a rule below the header

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

        rule = [["-" * width for width in widths]] if self.ruled else []
        shown = [laid_out(line) for line in (self.head, *rule, *self.lines)]
        return _paragraphs(self.above, shown, self.below)

    def markdown(self) -> str:
        """As a Markdown table and paragraphs."""
        numbers = len(self.head) - self.words
        lines = [_piped(self.head), _piped(["---"] * self.words + ["---:"] * numbers)]
        lines += [_piped([cell.replace("|", "\\|") for cell in line]) for line in self.lines]
        above, below = ([f"{line}  " for line in text] for text in (self.above, self.below))
        return _paragraphs(above, lines, below)

    def html(self) -> str:
        """As an HTML table, and what is above and below it as paragraphs."""

        def row(cells: Sequence[str], kind: str) -> str:
            shown = (
                f'<{kind} style="text-align:{"left" if i < self.words else "right"};'
                f'white-space:pre">{escape(cell)}</{kind}>'
                for i, cell in enumerate(cells)
            )
            return f"<tr>{''.join(shown)}</tr>"

        above, below = (
            "".join(f"<p>{escape(t)}</p>" for t in ts) for ts in (self.above, self.below)
        )
        body = "".join(row(line, "td") for line in self.lines)
        head = row(self.head, "th")
        return f"{above}<table><thead>{head}</thead><tbody>{body}</tbody></table>{below}"


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _paragraphs(*paragraphs: Sequence[str]) -> str:
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)
