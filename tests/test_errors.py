"""The exception tree."""

from __future__ import annotations

import inspect
import pickle

import pytest

from tsugiki import errors
from tsugiki.errors import TsugikiError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TsugikiError)
]


def test_a_message_says_what_where_expected_got_and_fix() -> None:
    """One line each; what is not known is left out."""
    error = TsugikiError("it broke", where="here", expected="1", got="2", fix="mend it")
    assert str(error) == "it broke\n  where: here\n  expected: 1\n  got: 2\n  fix: mend it"
    assert str(TsugikiError("it broke", got="2")) == "it broke\n  got: 2"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_another_process(kind: type[TsugikiError]) -> None:
    """Worker processes hand errors back by pickling them."""
    error = kind("it broke", where="here", fix="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_modules_docstring_draws_every_error(kind: type[TsugikiError]) -> None:
    """The tree is where people look first."""
    assert kind.__name__ in (errors.__doc__ or "")
