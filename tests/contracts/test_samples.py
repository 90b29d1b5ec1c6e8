"""Records of documents as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsugiki.contracts.samples import Sample, read_by_document, rows_of, to_parquet
from tsugiki.errors import LineageError


def test_documents_are_in_the_order_of_their_ids_for_each_objective(tmp_path: Path) -> None:
    """Whatever the order of rows; where there is no number, or no such document, there is NaN."""
    told = [("b", 7, 0.5), ("a", 10, 1.0), ("a", 9, 0.0), ("b", 3, None), ("a", 2, 0.25)]
    records = [
        Sample(objective=name, task=name, doc_id=place, doc_hash="d", value=value)
        for name, place, value in told
    ]
    path = tmp_path / "items.parquet"
    path.write_bytes(to_parquet(rows_of(records, {}, prompts=False)))
    found = read_by_document(path, ["a", "b"])
    np.testing.assert_array_equal(found, [[0.25, np.nan], [0.0, 0.5], [1.0, np.nan]])
    assert read_by_document(path, ["a"]).shape == (3, 1)


def test_a_record_that_is_missing_is_named(tmp_path: Path) -> None:
    """It cannot be told what a candidate made of anything."""
    with pytest.raises(LineageError) as caught:
        read_by_document(tmp_path / "items.parquet", ["a"])
    assert caught.value.where == str(tmp_path / "items.parquet")
