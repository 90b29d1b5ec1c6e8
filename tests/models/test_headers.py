"""Headers are read as safetensors itself reads them, and what it refuses is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, deserialize
from safetensors.torch import save

from tsugiki.models.headers import HeaderError, header_end, parse_header, twice

TENSORS = {
    "one": torch.arange(6.0).view(2, 3),
    "two": torch.ones(4, dtype=torch.bfloat16),
    "none": torch.zeros(0, 4),
    "scalar": torch.tensor(1.0),
}
WHOLE = save(TENSORS)
Header = dict[str, Any]


def parsed(content: bytes) -> dict[str, Any]:
    """All that a header says."""
    return dict(parse_header(content, len(content)))


def changed(change: Callable[[Header], object]) -> bytes:
    """The file with another header."""
    end = header_end(WHOLE)
    header = json.loads(WHOLE[8:end])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + WHOLE[end:]


def test_a_header_says_what_was_saved() -> None:
    """Names, shapes, formats and bytes, empty tensors and scalars included."""
    found = parsed(WHOLE)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].shape == tuple(tensor.shape)
        assert found[name].size == tensor.nbytes
        assert found[name].dtype == {torch.float32: "F32", torch.bfloat16: "BF16"}[tensor.dtype]


def place(name: str, first: int, last: int) -> Callable[[Header], object]:
    """Say that a tensor lies elsewhere."""
    return lambda header: header[name].update(data_offsets=[first, last])


WRONG: dict[str, bytes] = {
    "overlapping": changed(
        lambda header: header["two"].update(
            dtype="F32", shape=[2, 3], data_offsets=header["one"]["data_offsets"]
        )
    ),
    "a hole": changed(lambda header: header.pop("one")),
    "beyond the end": changed(place("one", 400, 424)),
    "before the beginning": changed(place("one", -24, 0)),
    "backwards": changed(place("one", 24, 0)),
    "another shape": changed(lambda header: header["one"].update(shape=[3, 3])),
    "a negative shape": changed(lambda header: header["one"].update(shape=[-2, -3])),
    "another format": changed(lambda header: header["one"].update(dtype="F64")),
    "no place": changed(lambda header: header["one"].pop("data_offsets")),
    "text for a shape": changed(lambda header: header["one"].update(shape="ab")),
    "too short": WHOLE[:-1],
    "too long": WHOLE + b"x",
    "cut in its header": WHOLE[:40],
    "a few bytes": WHOLE[:5],
    "nothing": b"",
    "a list": (2).to_bytes(8, "little") + b"[]",
    "too deep": (100_000).to_bytes(8, "little") + b"[" * 100_000,
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_what_safetensors_refuses_is_refused(content: bytes) -> None:
    """By one error, whatever is wrong."""
    with pytest.raises(SafetensorError):
        deserialize(content)
    with pytest.raises(HeaderError):
        parsed(content)


def test_overlapping_tensors_are_named() -> None:
    """With the byte where the one begins."""
    with pytest.raises(HeaderError, match=r"(one|two) overlaps (one|two): it begins at byte \d+"):
        parsed(WRONG["overlapping"])


def test_a_newer_format_is_taken_as_it_is() -> None:
    """Whether it can be merged is asked elsewhere."""
    assert parsed(changed(lambda header: header["one"].update(dtype="F9")))["one"].dtype == "F9"


def test_a_tensor_in_two_files_is_found() -> None:
    """The first one, by the names of the files."""
    assert twice({"b": {"x": 1}, "a": {"x": 1, "y": 2}}) == ("x", "a", "b")
    assert twice({"a": {"x": 1}, "b": {"y": 1}}) is None
