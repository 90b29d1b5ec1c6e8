"""Faults found before any work, each with the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tsugiki.errors import ParentError, TsugikiError


@dataclass(frozen=True)
class Fault:
    """What is wrong, where, what was expected, what was found, and how to mend it."""

    what: str
    where: str
    expected: str | None = None
    got: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        return str(self.error)

    @property
    def error(self) -> ParentError:
        """The error that states it."""
        return ParentError(
            self.what, where=self.where, expected=self.expected, got=self.got, fix=self.fix
        )

    @classmethod
    def of(cls, error: TsugikiError, where: str) -> Fault:
        """The fault that an error states; `where` is used if the error names no place."""
        return cls(error.what, error.where or where, error.expected, error.got, error.fix)


SHOWN = 8
"""Most examples in one message."""


def listed(examples: list[str]) -> str:
    """The first examples, and how many more there are."""
    more = len(examples) - SHOWN
    return ", ".join(examples[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def raise_first(faults: Iterable[Fault]) -> None:
    """Go no further with a model that has a fault; what would be found after it is not looked for.

    Raises:
        ParentError: there is one.
    """
    for fault in faults:
        raise fault.error


def refuse(faults: list[Fault]) -> None:
    """Go no further with parents that have faults.

    Raises:
        ParentError: there are some; each one is named once.
    """
    if not faults:
        return
    unique = list(dict.fromkeys(faults))
    if len(unique) == 1:
        raise unique[0].error
    raise ParentError(
        f"{len(unique)} faults in the parents",
        got="\n".join(["", *map(str, unique)]),
        fix="mend them; `tsugiki check` lists what is left",
    )
