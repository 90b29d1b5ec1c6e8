"""Mergekit files from recipes: written as worked out by hand, and read back to the same recipe."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.mergekit.test_importing import MODELS, TENSORS
from tsugiki.contracts.recipe import SHARED, Parameter, ParentRef, Recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.settings import Settings
from tsugiki.mergekit.document import parse_document
from tsugiki.mergekit.exporting import export_mergekit, is_whole_model
from tsugiki.mergekit.filters import as_filters
from tsugiki.mergekit.importing import import_mergekit
from tsugiki.models.grouping import groups
from tsugiki.models.kinds.text import TEXT

SOURCES = {"o": "org/base@main", "a": "models/a", "b": "models/b", "c": "org/c"}


def recipe_of(method: str, parents: str = "ab", **fields: Any) -> Recipe:
    """A recipe of some of the models, against the base `o` unless `fields` name another."""
    return Recipe(
        method=method,
        parents=tuple(MODELS[name] for name in parents),
        **{"base": MODELS["o"], "owner": "o", **fields},
    )


def spread(grouping: Any, owners: str, start: float = 0.2) -> Parameter:
    """A parameter with another value for every owner and group, all below 0.9."""
    names = groups(TENSORS, grouping, TEXT)
    return Parameter(
        grouping=grouping,
        values={
            owner: {
                group: round(start + 0.01 * (i * len(names) + k), 4)
                for k, group in enumerate(names)
            }
            for i, owner in enumerate(owners)
        },
    )


def written(recipe: Recipe) -> Any:
    """The mergekit file of a recipe, as data."""
    return yaml.safe_load(export_mergekit(recipe, SOURCES, TENSORS))


def read_back(recipe: Recipe) -> Recipe:
    """The recipe of the mergekit file of a recipe."""
    document = parse_document(written(recipe), where="merge.yaml")
    models = {SOURCES[name]: ref for name, ref in MODELS.items()}
    return import_mergekit(document, models, TENSORS, dtype="float32")


def test_whole_model_values_are_a_list_of_models() -> None:
    """With float32 to compute in, and the recipe's number format to write."""
    recipe = recipe_of(
        "ties",
        parameters={
            "weight": Parameter(values={"a": {"model": 0.5}, "b": {"model": 0.25}}),
            "density": Parameter(values={SHARED: {"model": 0.4}}),
        },
        options={"normalize": False, "lambda": 1.5},
    )
    assert is_whole_model(recipe)
    assert written(recipe) == {
        "merge_method": "ties",
        "base_model": "org/base@main",
        "models": [
            {"model": "models/a", "parameters": {"weight": 0.5}},
            {"model": "models/b", "parameters": {"weight": 0.25}},
        ],
        "parameters": {"density": 0.4, "lambda": 1.5, "normalize": False},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }


def test_values_by_block_are_a_slice_for_each_layer() -> None:
    """Embeddings are filtered in the first slice, norm and head in the last."""
    by_block = {"embeddings": 0.1, "block.0": 0.2, "block.1": 0.3, "block.2": 0.4, "head": 0.5}
    weight = Parameter(grouping="block", values={"a": by_block, "b": by_block})
    file = written(recipe_of("task_arithmetic", dtype="float32", parameters={"weight": weight}))
    assert "models" not in file
    assert [piece["sources"][0] for piece in file["slices"]] == [
        {"model": "org/base@main", "layer_range": [layer, layer + 1]} for layer in range(3)
    ]
    assert [piece["sources"][1]["parameters"]["weight"] for piece in file["slices"]] == [
        [{"filter": "embed_tokens", "value": 0.1}, {"value": 0.2}],
        0.3,
        [
            {"filter": "model.norm", "value": 0.5},
            {"filter": "lm_head", "value": 0.5},
            {"value": 0.4},
        ],
    ]


def test_filters_fit_only_tensors_with_their_value() -> None:
    """`norm` alone would also fit the normalisation of queries; the most common value comes last."""
    values = {"h.0.attn.q_norm": 1.0, "h.0.attn.q": 1.0, "h.0.norm": 2.0, "h.0.attn.k": 1.0}
    assert as_filters(values) == [{"filter": "0.norm", "value": 2.0}, {"value": 1.0}]
    assert as_filters({"x": 0.3, "y": 0.3}) == 0.3


def test_tensor_whose_name_is_part_of_anothers_cannot_be_filtered() -> None:
    """Mergekit has no way to tell the two apart."""
    with pytest.raises(RecipeError, match=r"tensor a\.b"):
        as_filters({"a.b": 1.0, "a.b.c": 2.0, "a.b.d": 2.0})


EACH = [
    recipe_of("linear", base=None, owner="b", parameters={"weight": spread("block", "ab")}),
    recipe_of("task_arithmetic", parameters={"weight": spread("block_part", "ab")}),
    recipe_of(
        "ties",
        "abc",
        parameters={"weight": spread("block", "abc"), "density": spread("model", "abc")},
        options={"normalize": True},
        dtype="float16",
    ),
    recipe_of(
        "ties", parameters={"weight": spread("model", "ab"), "density": spread("block", SHARED)}
    ),
    recipe_of("dare_ties", parameters={"density": spread("block_part", "ab")}),
    recipe_of("dare_linear", owner="c", parameters={"weight": spread("block", "ab")}),
    recipe_of("breadcrumbs", parameters={"gamma": spread("model", "ab", 0.01)}),
    recipe_of("breadcrumbs_ties", parameters={"density": spread("block", "ab")}),
    recipe_of(
        "della", parameters={"density": spread("block", "ab", 0.3)}, options={"epsilon": 0.1}
    ),
    recipe_of("della_linear", parameters={"density": spread("model", "ab", 0.3)}),
    recipe_of("model_stock", options={"filter_wise": True}),
    recipe_of("sce", parameters={"select_topk": spread("block_part", SHARED)}),
    recipe_of("slerp", "a", parameters={"t": spread("block_part", "a")}),
    recipe_of("nuslerp", parameters={"weight": spread("block", "ab")}, options={"vectors": "rows"}),
    recipe_of("multislerp", base=None, owner="a", parameters={"weight": spread("model", "ab")}),
    recipe_of("karcher", base=None, owner="a", options={"iterations": 20.0, "tolerance": 1e-6}),
    recipe_of("passthrough", "a", base=None, owner="a", parameters={"scale": spread("block", "a")}),
]


@pytest.mark.parametrize("recipe", EACH, ids=lambda recipe: recipe.method)
def test_file_reads_back_to_the_same_recipe(recipe: Recipe) -> None:
    """To the digest."""
    assert read_back(recipe) == recipe
    assert read_back(recipe).digest == recipe.digest


def test_named_groups_read_back_to_the_same_values() -> None:
    """Mergekit has no expressions; the groups that are read back have other names."""
    grouping = {"queries": "q_proj", "first": r"layers\.0\.mlp", "rest": r"^(?!.*(q_proj|s\.0\.m))"}
    recipe = recipe_of("task_arithmetic", parameters={"weight": spread(grouping, "ab")})
    expected, found = Settings(recipe, TENSORS, TEXT), Settings(read_back(recipe), TENSORS, TEXT)
    for tensor in TENSORS:
        assert found.per_parent(tensor) == expected.per_parent(tensor)


def test_default_that_mergekit_lacks_is_written() -> None:
    """Mergekit has no default for `weight` and `t`."""
    assert written(recipe_of("ties"))["parameters"] == {"weight": 1.0}
    assert written(recipe_of("slerp", "a"))["parameters"] == {"t": 0.5}
    assert read_back(recipe_of("ties")) == recipe_of("ties")


def comments(recipe: Recipe) -> str:
    """The comments at the top of a file."""
    lines = export_mergekit(recipe, SOURCES, TENSORS).splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def test_random_masks_are_said_to_differ() -> None:
    """Only where something is random: at density 1 and 0 the merges are the same."""
    sparse = {"density": spread("model", "ab")}
    dense = {"density": Parameter(values={"a": {"model": 1.0}, "b": {"model": 0.0}})}
    for method in ("dare_linear", "dare_ties", "della_linear", "della"):
        assert "NOT THE SAME MERGE" in comments(recipe_of(method, parameters=sparse))
        assert "NOT THE SAME MERGE" not in comments(recipe_of(method, parameters=dense))
    assert "NOT THE SAME MERGE" not in comments(recipe_of("ties", parameters=sparse))


def test_comments_name_recipe_and_models() -> None:
    """A file can be traced back to what it was made from."""
    recipe = recipe_of("linear")
    assert recipe.digest in comments(recipe)
    for name in "abo":
        assert f"{name}: files with digest {MODELS[name].digest}" in comments(recipe)
    assert "base, o, takes no part" in comments(recipe)


def test_tokenizer_of_a_parent_is_written() -> None:
    """The base's needs no key: mergekit copies it."""
    assert "tokenizer_source" not in written(recipe_of("ties"))
    assert written(recipe_of("ties", owner="a"))["tokenizer_source"] == "models/a"
    averaged = written(recipe_of("linear", base=None, owner="b"))
    assert (averaged["base_model"], "tokenizer_source" in averaged) == ("models/b", False)


def test_what_mergekit_cannot_express_is_refused() -> None:
    """With the reason."""
    unequal = recipe_of("karcher", base=None, parameters={"weight": spread("model", "ab")})
    with pytest.raises(RecipeError, match="counts all parents equally"):
        written(unequal)
    extreme = {"density": Parameter(values={SHARED: {"model": 0.9}})}
    with pytest.raises(RecipeError, match="nearer than epsilon"):
        written(recipe_of("della", parameters=extreme))


def test_model_without_layers_can_only_be_merged_as_a_whole() -> None:
    """Slices are cut from one stack of layers."""
    recipe = recipe_of(
        "linear",
        parameters={
            "weight": Parameter(
                grouping={"x": "^vision", "y": "^model"},
                values={name: {"x": 0.1, "y": 0.2} for name in "ab"},
            )
        },
    )
    with pytest.raises(RecipeError, match="cut this model into layers"):
        export_mergekit(recipe, SOURCES, ["vision_tower.layers.0.w", "model.layers.0.mlp.w"])


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "x", "o": "y"}, "--models b=PATH"),
        ({"a": "x+y", "b": "z", "o": "y"}, r"`\+` and `@`"),
    ],
)
def test_models_need_a_place_that_mergekit_can_read(sources: dict[str, str], expected: str) -> None:
    """All of them."""
    with pytest.raises(RecipeError, match=expected):
        export_mergekit(recipe_of("ties"), sources, TENSORS)


def test_recipe_that_does_not_fit_the_model_is_refused() -> None:
    """Before anything is written."""
    lacking = Parameter(grouping="block", values={SHARED: {"block.0": 0.5}})
    with pytest.raises(RecipeError, match="one value for each group"):
        written(recipe_of("ties", parameters={"weight": lacking}))


def test_parents_that_share_a_digest_stay_apart() -> None:
    """Values follow names, not the order of digests."""
    parents = tuple(ParentRef(name=name, digest=MODELS["a"].digest) for name in "ab")
    recipe = Recipe(
        method="linear",
        parents=parents,
        owner="a",
        parameters={"weight": Parameter(values={"a": {"model": 0.3}, "b": {"model": 0.6}})},
    )
    assert [model["parameters"]["weight"] for model in written(recipe)["models"]] == [0.3, 0.6]
