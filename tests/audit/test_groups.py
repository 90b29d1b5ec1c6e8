"""Values of groups, derived again from what their documents contribute."""

from __future__ import annotations

from tsugiki.audit.phase import _aggregate


def test_a_group_weighted_by_documents_has_the_mean_of_all_of_them() -> None:
    """Three documents of one task and one of another, each recorded with its task's name."""
    parts = [("plus", 1.0), ("plus", 0.0), ("plus", 0.0), ("minus", 1.0)]
    assert _aggregate(parts, None) == 0.5
