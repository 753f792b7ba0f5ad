"""What a check found."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .checkable import Checkable


@dataclass
class Finding:
    """One line of a report: what was looked at, whether it is right (None: it was not looked at),
    and what there is to say."""

    what: str
    ok: bool | None
    said: str


@dataclass
class Again:
    """How a failure is seen again: with these sizes and numbers, and threads in this order."""

    sizes: Mapping[str, int]
    schedule: str
    numbers: Mapping[str, Any]

    def call(self, kernel: str) -> str:
        """The line in Python."""
        sizes = {name: [n] for name, n in self.sizes.items()}
        said = {"sizes": sizes, "schedule": self.schedule, **self.numbers}
        return f"tg.kernel.check({kernel}, {', '.join(f'{k}={v!r}' for k, v in said.items())})"

    def command(self, file: str, kernel: str) -> str:
        """The line in a shell."""
        sizes = "".join(f" --size {name}={n}" for name, n in self.sizes.items())
        return f"tapegrad check {file} --only {kernel}{sizes} --schedule {self.schedule}"


@dataclass
class Report:
    """The result of ``tg.kernel.check``: true where the kernel is right. again: how the last
    failure of values or gradient is seen again."""

    kernel: Checkable
    findings: list[Finding] = field(default_factory=list)
    kernels: int = 0
    launches: int = 0
    threads: int = 0
    seconds: float = 0.0
    again: Again | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and something was run."""
        return self.launches > 0 and all(f.ok is not False for f in self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [f"{self.kernel.name}: {self.kernel.signature.text}"]
        for f in self.findings:
            mark = {True: "right", False: "WRONG", None: "-"}[f.ok]
            first, *rest = f.said.split("\n")
            lines.append(f"  {f.what:16} {mark:6} {first}")
            lines += [textwrap.indent(line, " " * 26) for line in rest]
        lines.append(
            f"  {self.kernels} kernel{'s' * (self.kernels != 1)}, {self.launches:,} launches, "
            f"{self.threads:,} threads in {self.seconds:.0f} s"
        )
        if self.launches == 0:
            lines.append("  nothing ran, so nothing is known")
        if self.again is not None:
            lines.append(f"  again: {self.again.call(self.kernel.name)}")
        verdict = "is right" if self.ok else "is WRONG"
        return "\n".join([*lines, f"{self.kernel.name} {verdict}"])

    __repr__ = __str__

    def add(self, what: str, ok: bool | None, said: str) -> None:
        self.findings.append(Finding(what, ok, said))
