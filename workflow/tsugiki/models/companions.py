"""The files beside the weights: configuration, generation defaults, tokenizer, chat template."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tsugiki.canonical import pretty_json
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint

TOKENIZER = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Any of these holds a vocabulary."""
OTHERS = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)
TEMPLATES = "additional_chat_templates"


def write_companions(
    recipe: AnyRecipe, source: Checkpoint, config: Mapping[str, object], out: Path
) -> None:
    """Write all files that a loader needs besides the weights, and the recipe.

    Args:
        recipe: The recipe.
        source: The model that the recipe's `tokenizer` names.
        config: Content of config.json, but for the number format.
        out: Folder to write into.

    Raises:
        ParentError: the model has no tokenizer.
    """
    if not any((source.folder / name).is_file() for name in TOKENIZER):
        raise ParentError(
            f"parent `{source.name}` has no tokenizer, but the merged model is to get it",
            where=str(source.folder),
            expected="one of " + ", ".join(TOKENIZER),
            fix="name another parent as `tokenizer`",
        )
    for name in (*TOKENIZER, *OTHERS):
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, out / name)
    if (source.folder / TEMPLATES).is_dir():
        shutil.copytree(source.folder / TEMPLATES, out / TEMPLATES)
    (out / "config.json").write_bytes(pretty_json(config_of(config, recipe.dtype)))
    (out / "recipe.json").write_bytes(recipe.to_json())


def config_of(source: Mapping[str, object], dtype: str) -> dict[str, object]:
    """A model's configuration with its number format replaced."""
    config = {
        key: _with_dtype(value, dtype) if isinstance(value, dict) else value
        for key, value in source.items()
        if key not in {"_name_or_path", "torch_dtype"}
    }
    return config | {"dtype": dtype}


def _with_dtype(section: dict[str, object], dtype: str) -> dict[str, object]:
    """A nested configuration (of a vision-language model) with its number format replaced."""
    changed = {key: value for key, value in section.items() if key != "torch_dtype"}
    return changed | {"dtype": dtype} if changed != section or "dtype" in section else section
