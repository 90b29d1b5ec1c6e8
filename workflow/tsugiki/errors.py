"""Every error that tsugiki raises on purpose.

::

    TsugikiError            any of the below; the command line prints it without a traceback
    ├── ConfigError         a configuration file that cannot be run
    ├── ParentError         a parent (or base) model that cannot be merged
    ├── RecipeError         a recipe that describes no valid merge: the candidate's own fault
    ├── EvaluationError     a model that could not be scored: the candidate's own fault
    ├── InfrastructureError a fault of the machine: to be retried, never scored
    └── LineageError        files of a run that contradict each other

A message states what is wrong, where, what was expected, what was found, and how to mend it.
"""

from __future__ import annotations


class TsugikiError(Exception):
    """A fault that a user can act on.

    Args:
        what: One sentence that names the fault.
        where: File, key, tensor or candidate it was found in.
        expected: What would have been right.
        got: What was found.
        fix: What to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("fix", self.fix),
        ):
            if text is not None:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class ConfigError(TsugikiError):
    """A configuration file that cannot be run."""


class ParentError(TsugikiError):
    """A parent or base model that cannot be merged."""


class RecipeError(TsugikiError):
    """A recipe that describes no valid merge."""


class EvaluationError(TsugikiError):
    """A model that could not be scored, through a fault of its own."""


class InfrastructureError(TsugikiError):
    """A fault of the machine, to be retried elsewhere and never scored."""


class LineageError(TsugikiError):
    """Files of a run that contradict each other."""
