"""Faults in what a configuration says of its parents: adapters, vocabulary, differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.config.test_faults import Raw, faults
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config

CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"vocabulary": {"kind": "union"}}, "vocabulary", "needs `of`"),
    ({"vocabulary": {"of": "base"}}, "vocabulary", "kind same changes nothing"),
    ({"vocabulary": {"kind": "onion", "of": "base"}}, "vocabulary.kind", "'union'"),
    (
        {"vocabulary": {"kind": "union", "of": "bas"}},
        "vocabulary.of",
        "nearest valid names: `base`",
    ),
    (
        {"vocabulary": {"kind": "union", "of": "base", "multiple_of": 0}},
        "vocabulary.multiple_of",
        "greater than or equal to 1",
    ),
    ({"accept_differences": ["hidden_size"]}, "accept_differences", "differ in hidden_size"),
    ({"accept_differences": ["x", "x"]}, "accept_differences", "listed twice"),
]


@pytest.mark.parametrize(("changes", "key", "message"), CASES)
def test_a_fault_names_its_key(
    tiny_config: Raw, changes: dict[str, Any], key: str, message: str
) -> None:
    """And what would have been right."""
    (line,) = faults(tiny_config | changes)
    assert line.startswith(f"`{key}`: ")
    assert message in line


ADAPTERS: list[tuple[Callable[[Raw], object], str]] = [
    (lambda parents: parents["a"].update(adapter_of="c"), "unknown parent 'c'"),
    (lambda parents: parents["a"].update(adapter_of="a"), "its own base"),
    (
        lambda parents: (
            parents["a"].update(adapter_of="b"),
            parents["b"].update(adapter_of="base"),
        ),
        "'b' is an adapter too",
    ),
]


@pytest.mark.parametrize(("change", "message"), ADAPTERS)
def test_an_adapter_belongs_to_a_whole_model_of_the_run(
    tiny_config: Raw, change: Callable[[Raw], object], message: str
) -> None:
    """Another parent, and not itself."""
    change(tiny_config["parents"])
    (line,) = faults(tiny_config)
    assert line.startswith("`parents.a.adapter_of`: ")
    assert message in line


def test_rows_that_models_lack_come_from_one_base(tiny_config: Raw) -> None:
    """Stages with different bases would need different rows."""
    second = tiny_config["stages"][0] | {"name": "second", "base": "a", "parents": ["b", "base"]}
    raw = tiny_config | {
        "stages": [tiny_config["stages"][0], second],
        "vocabulary": {"kind": "parent", "of": "base"},
    }
    (line,) = faults(raw)
    assert line.startswith("`vocabulary`: ")
    assert "several: a, base" in line


def test_sound_settings_are_taken(tiny_config: Raw) -> None:
    """All three together."""
    raw = tiny_config | {
        "vocabulary": {"kind": "union", "of": "base", "multiple_of": 64},
        "accept_differences": ["rope_theta", "rope_parameters.rope_theta"],
    }
    raw["parents"]["a"]["adapter_of"] = "base"
    validate_config(parse_config(raw, where="my.yaml"), where="my.yaml")
