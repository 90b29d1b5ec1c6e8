"""Pictures of documents."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
from PIL import Image

from tests.evaluate.sighted_models import draw
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.evaluator import hash_document, keys_of
from tsugiki.evaluate.pictures import (
    digest_of,
    in_parts,
    open_picture,
    pictures_of,
    without_pictures,
)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two pictures on disk."""
    return draw(tmp_path / "pictures", 2)


def test_a_picture_is_the_same_however_a_document_holds_it(paths: list[Path]) -> None:
    """A path, bytes, both as data sets have them, or an image of pillow, in another lossless format too."""
    image = Image.open(paths[0])
    other = io.BytesIO()
    image.save(other, format="BMP")
    content = paths[0].read_bytes()
    values: list[Any] = [
        image,
        content,
        other.getvalue(),
        paths[0],
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(paths[0])},
    ]
    digests = {open_picture(value).digest for value in values}
    digests.add(open_picture(paths[0].name, paths[0].parent).digest)
    assert len(digests) == 1
    assert open_picture(paths[1]).digest not in digests


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((8, 12)).resize((12, 8)),
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: image.convert("L"),
    ],
)
def test_what_a_picture_shows_decides_its_digest(paths: list[Path], change: Any) -> None:
    """Pixels, size and mode."""
    image = Image.open(paths[0])
    assert digest_of(change(image)) != digest_of(image)


def test_palettes_are_part_of_what_is_shown(paths: list[Path]) -> None:
    """Equal places in two palettes are other colours."""
    image = Image.open(paths[0]).convert("P")
    other = image.copy()
    other.putpalette([255 - value for value in image.getpalette() or []])
    assert image.tobytes() == other.tobytes()
    assert digest_of(image) != digest_of(other)


def test_columns_of_pictures_are_hashed_by_what_they_show(paths: list[Path]) -> None:
    """As data sets decode them: each time another object, whose text would name a place in memory."""
    rows = datasets.Dataset.from_dict(
        {"picture": [str(path) for path in paths], "text": ["a", "a"]}
    )
    rows = rows.cast_column("picture", datasets.Image())
    first, second = ([hash_document(row) for row in rows] for _ in range(2))
    assert first == second
    assert len(set(first)) == 2
    keyed = Evaluation.model_construct(document_keys={"task": "picture"})
    assert len(set(keys_of(keyed, "task", list(rows)) or ())) == 2


def test_a_document_without_pictures_keeps_its_digest() -> None:
    """SHA-256 of its canonical JSON, as in runs that were divided before."""
    from hashlib import sha256

    assert hash_document({"b": 1, "a": "い"}) == sha256('{"a": "い", "b": 1}'.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("missing.png", "FileNotFoundError"),
        (b"no picture", "UnidentifiedImageError"),
        (7, "int, which is neither"),
        ([None], "NoneType, which is neither"),
    ],
)
def test_what_cannot_be_opened_is_told_with_its_document(value: Any, said: str) -> None:
    """One clear error, whatever pillow raises."""

    class Task:
        config = SimpleNamespace(doc_to_image="picture")

        def doc_to_image(self, document: Any) -> Any:
            return document["picture"]

    with pytest.raises(ConfigError, match="a picture cannot be opened") as caught:
        pictures_of(Task(), {"picture": value}, None, "task t, document 3")
    assert "task t, document 3" in str(caught.value)
    assert said in str(caught.value)


def test_prompts_in_parts_and_without_pictures() -> None:
    """Placeholders become parts of a turn, or nothing."""
    turns = [{"role": "user", "content": "a <image> b<image>"}, {"role": "system", "content": "s"}]
    assert in_parts(turns) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a "},
                {"type": "image"},
                {"type": "text", "text": " b"},
                {"type": "image"},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
    ]
    assert without_pictures("<image>\nwhat?") == "what?"
