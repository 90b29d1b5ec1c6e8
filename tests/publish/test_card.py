"""What a model card says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.merge.models_for_tests import recipe_of
from tsugiki.publish.card import _reproduce


def test_the_command_names_the_settings_that_were_accepted_to_differ() -> None:
    """Without them `tsugiki merge` refuses; the name of an adapter's base is none of a model's settings."""
    accepted = ["rope_theta", "base_model_name_or_path"]
    one: Any = SimpleNamespace(
        recipe=recipe_of("linear", base=None),
        config=SimpleNamespace(accept_differences=accepted),
        found=SimpleNamespace(stages={}, models=()),
        weights="0" * 64,
        source=None,
    )
    command = " ".join(_reproduce(one))
    assert "--models b=FOLDER --accept-differences rope_theta --out again" in command
    assert "base_model_name_or_path" not in command
