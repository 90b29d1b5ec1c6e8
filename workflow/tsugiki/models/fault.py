"""One fault found before a run, with the way out."""

from __future__ import annotations

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
        return str(
            ParentError(
                self.what, where=self.where, expected=self.expected, got=self.got, fix=self.fix
            )
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


def refuse(faults: list[Fault]) -> None:
    """Go no further with parents that have faults.

    Raises:
        ParentError: there are some; each one is named once.
    """
    if not faults:
        return
    unique = list(dict.fromkeys(faults))
    first = unique[0]
    if len(unique) == 1:
        raise ParentError(
            first.what, where=first.where, expected=first.expected, got=first.got, fix=first.fix
        )
    raise ParentError(
        f"{len(unique)} faults in the parents",
        got="\n".join(["", *map(str, unique)]),
        fix="mend them; `tsugiki check` lists what is left",
    )
