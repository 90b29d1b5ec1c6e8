"""Canonical JSON and digests."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import (
    canonical_json,
    digest,
    digest_bytes,
    digest_file,
    pretty_json,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcあ"), inner),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_values_come_back_and_pretty_json_means_the_same(value: object) -> None:
    """Floats bit for bit."""
    assert json.loads(canonical_json(value)) == value
    assert json.loads(pretty_json(value)) == value
    assert canonical_json(json.loads(pretty_json(value))) == canonical_json(value)


def test_equal_values_have_equal_bytes_whatever_the_order_of_keys() -> None:
    """Sorted, no white space, UTF-8 as it is."""
    assert canonical_json({"b": 1, "a": [0.1, "日"]}) == '{"a":[0.1,"日"],"b":1}'.encode()
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    assert pretty_json({}).endswith(b"\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    """A lenient writer would make a file that strict readers refuse."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": number})
    with pytest.raises(ValueError, match="JSON compliant"):
        pretty_json({"x": number})


def test_what_is_not_plain_data_is_refused() -> None:
    """A set has no order, for one."""
    with pytest.raises(TypeError):
        canonical_json({"x": {1, 2}})


def test_digests_are_sha256(tmp_path: Path) -> None:
    """Of bytes and of files, also those longer than one piece."""
    data = bytes(range(256)) * ((1 << 20) // 256) + b"tail"
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest_file(path) == digest_bytes(data) == hashlib.sha256(data).hexdigest()
