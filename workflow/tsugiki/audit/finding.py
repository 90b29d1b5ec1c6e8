"""One disagreement between the files of a run, and how checks state it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsugiki.canonical import digest_file
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import TsugikiError


@dataclass(frozen=True)
class Finding:
    """What is wrong and where."""

    what: str
    """One sentence."""
    where: str
    """File, relative to the run's folder."""
    expected: str | None = None
    """What the other files say."""
    got: str | None = None
    """What this file says."""

    def __str__(self) -> str:
        what = f"{self.where}: {self.what}"
        return str(TsugikiError(what, expected=self.expected, got=self.got))


def differs(what: str, where: str, expected: Any, got: Any) -> Iterator[Finding]:
    """A finding unless the two are equal."""
    if expected != got:
        yield Finding(what, where, str(expected), str(got))


def place(files: RunFiles, path: Path) -> str:
    """How a finding names a file of a run."""
    return path.relative_to(files.root).as_posix()


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None if it is not there."""
    return digest_file(path) if path.is_file() else None


def collect(check: Iterator[Finding], where: str) -> list[Finding]:
    """The findings of a check; a file that it cannot read is one more, and ends it.

    So is whatever it stumbles over: files that were tampered with may contradict each other in any way.
    """
    findings: list[Finding] = []
    try:
        findings.extend(check)
    except TsugikiError as error:
        findings.append(Finding(error.what, error.where or where, error.expected, error.got))
    except OSError as error:
        findings.append(Finding("a file cannot be read", where, got=str(error)))
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
        findings.append(
            Finding("cannot be checked, since files contradict each other", where, got=got)
        )
    return findings
