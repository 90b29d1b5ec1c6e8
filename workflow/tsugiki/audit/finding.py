"""One disagreement between the files of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tsugiki.errors import TsugikiError


@dataclass(frozen=True)
class Finding:
    """What is wrong and where.

    Attributes:
        what: One sentence.
        where: File, relative to the run's folder.
        expected: What the other files say.
        got: What this file says.
    """

    what: str
    where: str
    expected: str | None = None
    got: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}"]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.got is not None:
            lines.append(f"  got: {self.got}")
        return "\n".join(lines)


def collect(check: Iterator[Finding], where: str) -> list[Finding]:
    """The findings of a check; a file that it cannot read is one more, and ends it."""
    findings: list[Finding] = []
    try:
        findings.extend(check)
    except TsugikiError as error:
        findings.append(Finding(error.what, error.where or where, error.expected, error.got))
    return findings
