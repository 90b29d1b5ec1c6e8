"""Pictures that documents show: opened, known by what they show, and put into prompts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tsugiki.errors import ConfigError
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent

PLACEHOLDER = "<image>"
"""Where a prompt shows a picture, in the texts of lm-eval's tasks."""


@dataclass(frozen=True)
class Picture:
    """A picture, and the digest of what it shows."""

    image: Image.Image
    digest: str


class Shown(str):  # noqa: SLOT000 - a text like any other, with its pictures
    """A prompt that shows pictures. Those that are equal as texts may show others."""

    pictures: tuple[Picture, ...] = ()


def shown(prompt: str, pictures: Sequence[Picture]) -> Shown:
    """A prompt with its pictures."""
    text = Shown(prompt)
    text.pictures = tuple(pictures)
    return text


def digest_of(image: Image.Image) -> str:
    """SHA-256 of a picture's size, mode and pixels: the same in any format that keeps them."""
    found = hashlib.sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    if image.mode in {"P", "PA"}:
        found.update(bytes(image.getpalette() or ()))
    found.update(image.tobytes())
    return found.hexdigest()


def open_picture(value: Any, folder: Path | None = None) -> Picture:
    """A picture from what a document says of it.

    Args:
        value: An image of pillow, the bytes of a file, its path, or both as data sets have them
            (`{bytes, path}`).
        folder: Where paths begin that are not absolute; the current one if absent.

    Raises:
        OSError: no such file, or none that pillow can read to its end.
        TypeError: it is nothing of that.
    """
    if isinstance(value, Mapping) and {"bytes", "path"} & value.keys():
        value = value.get("bytes") or value.get("path")
    match value:
        case Image.Image():
            image = value
        case bytes():
            image = Image.open(io.BytesIO(value))
        case str() | Path():
            image = Image.open(Path() / (folder or Path()) / value)
        case _:
            message = f"{type(value).__name__}, which is neither an image of pillow nor a file"
            raise TypeError(message)
    image.load()
    return Picture(image, digest_of(image))


def has_pictures(task: Any) -> bool:
    """Whether documents of an lm-eval task show pictures."""
    return bool(task.config.doc_to_image)


def pictures_of(task: Any, document: Any, folder: Path | None, where: str) -> list[Picture]:
    """The pictures that a document shows, in their order; paths begin at `folder`, and `where` names it.

    Raises:
        ConfigError: one of them cannot be opened.
    """
    try:
        given = type(task).doc_to_image(task, document)
        listed = given if isinstance(given, list | tuple) else [] if given is None else [given]
        return [open_picture(one, folder) for one in listed]
    except Exception as error:
        if is_machine_fault(error) or is_absent(error):
            raise
        raise ConfigError(
            "a picture cannot be opened",
            where=where,
            expected="a picture that pillow can read, such as PNG or JPEG, whole",
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            fix="mend or replace the picture, or leave the document out of the task",
        ) from error


def pictures_in(request: Any) -> tuple[Picture, ...]:
    """The pictures of one of lm-eval's requests."""
    more = request.args[2] if len(request.args) > 2 else {}
    return tuple(more.get("visual") or ())


def without_pictures(text: str) -> str:
    """A prompt for a model that sees none."""
    return text.replace(f"{PLACEHOLDER}\n", "").replace(PLACEHOLDER, "")


def in_parts(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The turns of a chat with their contents as lists of texts and pictures, as processors' templates read them."""
    return [{**turn, "content": _parts(turn["content"])} for turn in history]


def _parts(content: Any) -> Any:
    if not isinstance(content, str):
        return content
    first, *rest = content.split(PLACEHOLDER)
    parts = [{"type": "text", "text": first}] if first else []
    for text in rest:
        parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts
