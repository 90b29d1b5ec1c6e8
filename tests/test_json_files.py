"""Files that hold what they should, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter

from tsugiki.errors import LineageError, RecipeError
from tsugiki.json_files import read_json


class Inner(BaseModel):
    """A part."""

    size: int


class Outer(BaseModel):
    """A file."""

    inner: Inner


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    """By the given function."""
    path = tmp_path / "one.json"
    path.write_text('{"inner": {"size": 3}}')
    assert read_json(path, Outer.model_validate_json, "thing") == Outer(inner=Inner(size=3))


def test_an_invalid_value_is_named_with_its_place(tmp_path: Path) -> None:
    """File, key, fault and what to do."""
    path = tmp_path / "one.json"
    path.write_text('{"inner": {"size": "large"}}')
    with pytest.raises(RecipeError, match="not a valid thing") as caught:
        read_json(path, Outer.model_validate_json, "thing", mend="mend it", error=RecipeError)
    assert caught.value.where == str(path)
    assert str(caught.value.got).startswith("inner.size: ")
    assert caught.value.fix == "mend it"


def test_a_place_in_a_list_is_written_as_people_write_it(tmp_path: Path) -> None:
    """With its number in brackets."""
    path = tmp_path / "one.json"
    path.write_text('[{"size": 1}, {"size": "large"}]')
    with pytest.raises(LineageError) as caught:
        read_json(path, TypeAdapter(list[Inner]).validate_json, "thing")
    assert str(caught.value.got).startswith("[1].size: ")


def test_half_a_file_is_no_json(tmp_path: Path) -> None:
    """There is no key to name."""
    path = tmp_path / "one.json"
    path.write_text('{"inner"')
    with pytest.raises(LineageError, match="not a valid thing") as caught:
        read_json(path, Outer.model_validate_json, "thing")
    assert str(caught.value.got).startswith("Invalid JSON")


def test_a_missing_file_is_told_in_the_callers_words(tmp_path: Path) -> None:
    """With how to get it; without words the system's own error goes on."""
    path = tmp_path / "none.json"
    with pytest.raises(LineageError, match="no thing yet") as caught:
        read_json(path, Outer.model_validate_json, "thing", missing="no thing yet", make="make it")
    assert (caught.value.where, caught.value.fix) == (str(path), "make it")
    with pytest.raises(FileNotFoundError):
        read_json(path, Outer.model_validate_json, "thing")
