"""Reading mergekit files: every key is known, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsugiki.errors import RecipeError
from tsugiki.mergekit.document import Source, parse_document, read_document

MODELS = [{"model": "a", "parameters": {"weight": 0.5}}, {"model": "b"}]


def document(**changes: Any) -> Any:
    """A mergekit configuration of two models, with some keys replaced; None removes one."""
    value = {"merge_method": "ties", "base_model": "base", "models": MODELS, **changes}
    return {key: item for key, item in value.items() if item is not None}


def parse(**changes: Any) -> Any:
    """The same, read."""
    return parse_document(document(**changes), where="merge.yaml")


def test_models_are_one_slice_with_the_base() -> None:
    """A base that is not listed still takes part."""
    read = parse()
    assert read.slices[0].sources == (
        Source("a", None, {"weight": 0.5}),
        Source("b", None, {}),
        Source("base", None, {}),
    )
    assert read.models == ["a", "b", "base"]


def test_base_that_is_listed_is_not_listed_twice() -> None:
    """Many published files list the base without parameters."""
    assert parse(models=[*MODELS, {"model": "base"}]).slices[0].models == ["a", "b", "base"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"merge_metod": "ties"}, "unknown key `merge_metod`[^`]*`merge_method`"),
        ({"models": [{"modle": "a"}]}, r"unknown key `modle`\n  where: merge.yaml, models\[0\]"),
        ({"modules": {}}, "`modules` cannot be expressed"),
        ({"chat_template": "auto"}, "`chat_template` cannot be expressed"),
        ({"tokenizer": {"source": "a", "tokens": {}}}, "`tokens` cannot be expressed"),
        ({"models": None}, "neither"),
        ({"slices": [{"sources": []}]}, "`models` and `slices`"),
        ({"models": [{"model": "a+lora"}]}, "adapter"),
        ({"models": [{"model": "a"}, {"model": "a"}]}, "listed twice"),
        ({"models": [{"model": "a", "parameters": [1]}]}, "expected: a mapping"),
        ({"merge_method": None}, "merge_method\n  expected: a text"),
        ({"dtype": "int8"}, "number format"),
        ({"tokenizer_source": "union"}, "union of vocabularies"),
        ({"tokenizer": {}}, "union of vocabularies"),
    ],
)
def test_what_a_recipe_cannot_express_is_one_clear_error(
    changes: dict[str, Any], expected: str
) -> None:
    """The error names the key, and the nearest valid one or a way out."""
    with pytest.raises(RecipeError, match=expected):
        parse(**changes)


@pytest.mark.parametrize("layers", [None, [3], [4, 4], ["0", 4], [-1, 2]])
def test_slice_without_a_range_of_layers_is_refused(layers: Any) -> None:
    """A range is the first layer and the one after the last."""
    slices = [{"sources": [{"model": "a", "layer_range": layers}]}]
    with pytest.raises(RecipeError, match="not a range of layers"):
        parse(models=None, slices=slices)


def test_number_format_of_the_result_is_what_counts() -> None:
    """`dtype` is what mergekit computes in, `out_dtype` what it writes."""
    assert parse(dtype="float32", out_dtype="torch.bfloat16").dtype == "bfloat16"
    assert parse(dtype="float16").dtype == "float16"
    assert parse().dtype is None


@pytest.mark.parametrize("text", [None, "- a\n- b\n", "models: [\n", "\n"])
def test_file_that_is_no_mergekit_file_is_named(tmp_path: Path, text: str | None) -> None:
    """Whether it is missing, no YAML, or no mapping."""
    path = tmp_path / "merge.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=r"merge\.yaml"):
        read_document(path)


@pytest.mark.parametrize(
    "text",
    [
        "merge_method: linear\nmerge_method: ties\nmodels: []\n",
        "models:\n- {model: a, parameters: {weight: 1, weight: 2}}\nmerge_method: linear\n",
    ],
)
def test_key_that_is_there_twice_is_refused(tmp_path: Path, text: str) -> None:
    """Anywhere in the file: YAML would keep the last one, and say nothing."""
    path = tmp_path / "merge.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"twice(.|\n)*`(merge_method|weight)` in lines"):
        read_document(path)
