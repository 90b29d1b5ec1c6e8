"""Reading a file that must hold valid data, JSON as a rule, with one clear error where it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tsugiki.errors import LineageError, TsugikiError

T = TypeVar("T")


def read_json(
    path: Path,
    parse: Callable[[bytes], T],
    name: str,
    *,
    missing: str | None = None,
    make: str | None = None,
    mend: str | None = None,
    error: type[TsugikiError] = LineageError,
) -> T:
    """Read a JSON file.

    Args:
        path: The file.
        parse: Reads its content, with pydantic as a rule. It raises ValueError if that is not valid.
        name: What it holds, such as `population`.
        missing: What is wrong if there is no such file; None leaves that to the caller.
        make: How to get the file if there is none.
        mend: What to do with one that is not valid.
        error: Class of the error.

    Raises:
        TsugikiError: of class `error`: the file is not valid, or is missing and `missing` is given.
        FileNotFoundError: the file is missing, and `missing` is None.
    """
    try:
        return parse(path.read_bytes())
    except FileNotFoundError as cause:
        if missing is None:
            raise
        raise error(missing, where=str(path), fix=make) from cause
    except ValueError as cause:
        raise error(
            f"not a valid {name}", where=str(path), got=_describe(cause), fix=mend
        ) from cause


def reader(
    parse: Callable[[bytes], T],
    name: str,
    *,
    missing: str | None = None,
    make: str | None = None,
    mend: str | None = None,
) -> Callable[[Path], T]:
    """A function that reads one kind of file, as `read_json` does; LineageError where it is missing or not valid."""
    said = missing or f"the {name} is missing"
    return partial(read_json, parse=parse, name=name, missing=said, make=make, mend=mend)


def _describe(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
    ).lstrip(".")
    return f"{place}: {first['msg']}" if place else first["msg"]
