"""Recipes from mergekit files, against values worked out by hand."""

from __future__ import annotations

import pytest
import yaml

from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.errors import ConfigError, RecipeError
from tsugiki.merge.settings import Settings
from tsugiki.mergekit.document import parse_document
from tsugiki.mergekit.importing import import_mergekit
from tsugiki.models.kinds.text import TEXT

PARTS = ("input_layernorm", "self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj")
TENSORS = [
    "model.embed_tokens.weight",
    *(f"model.layers.{layer}.{part}.weight" for layer in range(3) for part in PARTS),
    "model.norm.weight",
    "lm_head.weight",
]
MODELS = {
    name: ParentRef(name=name, digest=f"{index:064x}") for index, name in enumerate(["o", *"abc"])
}


def read(text: str, tensors: list[str] = TENSORS) -> Recipe:
    """The recipe of a mergekit file, whose base is called `o`."""
    document = parse_document(yaml.safe_load(text), where="merge.yaml")
    return import_mergekit(document, MODELS, tensors, dtype="bfloat16")


def weights(recipe: Recipe, tensor: str, parameter: str = "weight") -> tuple[float, ...]:
    """Values of a tensor, in order of the parents' names."""
    return Settings(recipe, TENSORS, TEXT).per_parent(tensor)[parameter]


def test_whole_model_values_become_the_plainest_recipe() -> None:
    """Numbers belong to the whole model, options to the merge, and the base gives the tokenizer."""
    recipe = read("""
        merge_method: ties
        base_model: o
        models:
          - {model: o}
          - {model: a, parameters: {weight: 0.5, density: 0.3}}
          - {model: b, parameters: {weight: 0.25, density: 1}}
        parameters: {normalize: false, lambda: 1.5, int8_mask: true}
        dtype: float16
    """)
    expected = Recipe(
        method="ties",
        base=MODELS["o"],
        parents=(MODELS["a"], MODELS["b"]),
        parameters={
            "weight": Parameter(values={"a": {"model": 0.5}, "b": {"model": 0.25}}),
            "density": Parameter(values={"a": {"model": 0.3}, "b": {"model": 1.0}}),
        },
        options={"normalize": False, "lambda": 1.5},
        dtype="float16",
        owner="o",
    )
    assert recipe == expected
    assert recipe.digest == expected.digest


def test_gradient_is_spread_over_the_layers_and_starts_outside_them() -> None:
    """Layer k of three stands at k / 2; embeddings, final norm and head take the first anchor."""
    recipe = read("""
        merge_method: slerp
        base_model: o
        slices:
          - sources:
              - {model: o, layer_range: [0, 3]}
              - {model: a, layer_range: [0, 3]}
        parameters: {t: [0, 0.5, 0.3, 0.7, 1]}
    """)
    assert recipe.parameters["t"] == Parameter(
        grouping="block",
        values={
            "a": {"embeddings": 0, "block.0": 0, "block.1": 0.3, "block.2": 1, "head": 0},
        },
    )


def test_only_layer_takes_the_last_anchor() -> None:
    """So mergekit does for a slice of one layer."""
    tensors = [name for name in TENSORS if ".layers." not in name or ".0." in name]
    recipe = read(
        "{merge_method: passthrough, models: [{model: a, parameters: {scale: [0.5, 0.75, 1.5]}}]}",
        tensors,
    )
    assert recipe.parameters["scale"].values["a"] == {
        "embeddings": 0.5,
        "block.0": 1.5,
        "head": 0.5,
    }


def test_filters_by_part_become_parts_of_blocks() -> None:
    """With a gradient for attention, a number for MLPs, and the file's value for norms."""
    recipe = read("""
        merge_method: task_arithmetic
        base_model: o
        models:
          - model: a
            parameters:
              weight:
                - {filter: self_attn, value: [0.2, 0.4]}
                - {filter: mlp, value: 0.6}
        parameters: {weight: 0.9}
    """)
    assert recipe.parameters["weight"].grouping == "block_part"
    assert recipe.parameters["weight"].values["a"] == {
        "embeddings": 0.9,
        "block.0.attention": 0.2,
        "block.0.mlp": 0.6,
        "block.0.norm": 0.9,
        "block.1.attention": pytest.approx(0.3),
        "block.1.mlp": 0.6,
        "block.1.norm": 0.9,
        "block.2.attention": 0.4,
        "block.2.mlp": 0.6,
        "block.2.norm": 0.9,
        "head": 0.9,
    }


@pytest.mark.parametrize(
    ("value", "q_proj", "o_proj"),
    [("0.1", (0.1, 0.1), (0.5, 0.5)), ("[0.1, 0.3]", (0.1, 0.3), (0.5, 0.5))],
)
def test_finer_filters_become_explicit_groups_that_match_each_tensor_once(
    value: str, q_proj: tuple[float, ...], o_proj: tuple[float, ...]
) -> None:
    """Whether a filter's value is the same in all layers or not."""
    recipe = read(f"""
        merge_method: linear
        models:
          - {{model: a, parameters: {{weight: [{{filter: q_proj, value: {value}}}, {{value: 0.5}}]}}}}
          - {{model: b, parameters: {{weight: 0.7}}}}
    """)
    assert isinstance(recipe.parameters["weight"].grouping, dict)
    for layer, expected in ((0, 0), (2, 1)):
        prefix = f"model.layers.{layer}.self_attn"
        assert weights(recipe, f"{prefix}.q_proj.weight") == (q_proj[expected], 0.7)
        assert weights(recipe, f"{prefix}.o_proj.weight") == (o_proj[expected], 0.7)
    assert weights(recipe, "lm_head.weight") == (0.5, 0.7)


def test_slices_that_are_all_layers_are_read_one_by_one() -> None:
    """What is outside the layers belongs to the first or the last slice."""
    recipe = read("""
        merge_method: linear
        slices:
          - sources:
              - {model: a, layer_range: [0, 1], parameters: {weight: 0.1}}
              - {model: b, layer_range: [0, 1], parameters: {weight: 0.2}}
          - sources:
              - {model: b, layer_range: [1, 3], parameters: {weight: [0.3, 0.4]}}
              - {model: a, layer_range: [1, 3]}
            parameters: {weight: 0.5}
    """)
    assert recipe.parameters["weight"].grouping == "block"
    assert recipe.parameters["weight"].values == {
        "a": {"embeddings": 0.1, "block.0": 0.1, "block.1": 0.5, "block.2": 0.5, "head": 0.5},
        "b": {"embeddings": 0.2, "block.0": 0.2, "block.1": 0.3, "block.2": 0.4, "head": 0.3},
    }


def test_base_of_a_method_without_task_vectors_is_a_parent() -> None:
    """As in mergekit, which averages it with the others."""
    recipe = read("""
        merge_method: linear
        base_model: o
        models: [{model: a, parameters: {weight: 0.25}}]
        parameters: {weight: 0.75}
    """)
    assert recipe.base is None
    assert recipe.owner == "o"
    assert recipe.parameters["weight"].values == {"a": {"model": 0.25}, "o": {"model": 0.75}}


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ("{}", {}),
        ("{nuslerp_flatten: true}", {"vectors": "tensor"}),
        ("{nuslerp_flatten: false}", {"vectors": "rows"}),
        ("{nuslerp_flatten: false, nuslerp_row_wise: true}", {"vectors": "columns"}),
        ("{nuslerp_row_wise: true}", {"vectors": "tensor"}),
    ],
)
def test_nuslerps_flags_become_one_option(parameters: str, options: dict[str, str]) -> None:
    """Mergekit's row_wise is `columns` here (docs/methods.md)."""
    recipe = read(f"""
        merge_method: nuslerp
        models:
          - {{model: a, parameters: {{weight: 1}}}}
          - {{model: b, parameters: {{weight: 2}}}}
        parameters: {parameters}
    """)
    assert recipe.options == options


def test_names_of_options_are_translated() -> None:
    """Karcher's and DELLA's options have other names or places there."""
    karcher = read(
        "{merge_method: karcher, models: [{model: a}, {model: b}], "
        "parameters: {max_iter: 5, tol: 1e-4}}"
    )
    assert karcher.options == {"iterations": 5.0, "tolerance": 0.0001}
    della = read(
        "{merge_method: della, base_model: o, models: "
        "[{model: a, parameters: {weight: 0.5, density: 0.5, epsilon: 0.1}}]}"
    )
    assert della.options == {"epsilon": 0.1}


def test_shared_value_that_is_the_default_is_left_out() -> None:
    """`weight: 1` for all is what a recipe means without it."""
    recipe = read(
        "{merge_method: ties, base_model: o, models: [{model: a}, {model: b}], "
        "parameters: {weight: 1, density: 0.5}}"
    )
    assert recipe.parameters == {"density": Parameter(values={"*": {"model": 0.5}})}


MODEL_A = "models: [{model: a, parameters: {weight: 1}}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{{merge_method: ties, base_model: o, {MODEL_A}, parameters: {{lamda: 1}}}}", "`lambda`"),
        (
            f"{{merge_method: ties, base_model: o, {MODEL_A}, parameters: {{rescale: true}}}}",
            "resc",
        ),
        (
            f"{{merge_method: dare_ties, base_model: o, {MODEL_A}, parameters: {{rescale: 0}}}}",
            "re",
        ),
        ("{merge_method: ties, base_model: o, models: [{model: a}]}", "`weight` has no value"),
        (f"{{merge_method: ties, {MODEL_A}}}", "needs a base"),
        (f"{{merge_method: sce, base_model: o, {MODEL_A}}}", "no parameter `weight`"),
        (
            (
                "{merge_method: ties, base_model: o, models: "
                "[{model: a, parameters: {weight: 1, normalize: true}}]}"
            ),
            "ignores `normalize`",
        ),
        (
            f"{{merge_method: ties, base_model: o, {MODEL_A}, parameters: {{lambda: [0.5, 1]}}}}",
            "`lambda` differs",
        ),
        (
            "{merge_method: ties, base_model: o, models: [{model: a, parameters: {weight: 99}}]}",
            "out of range",
        ),
        (
            (
                "{merge_method: slerp, base_model: o, models: [{model: a}, {model: b}], "
                "parameters: {t: 1}}"
            ),
            "number of parents",
        ),
    ],
)
def test_what_a_recipe_cannot_express_is_refused(text: str, expected: str) -> None:
    """By name, with what would be right."""
    with pytest.raises(RecipeError, match=expected):
        read(text)


def test_method_that_is_not_here_is_refused_with_the_nearest() -> None:
    """Mergekit has methods that are not implemented here."""
    with pytest.raises(ConfigError, match="`nearswap`"):
        read("{merge_method: nearswap, base_model: o, models: [{model: a}]}")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("[0, 1]", "[2, 3]", r"\[2, 3\]"),
        ("[0, 2]", "[1, 3]", r"\[1, 3\]"),
        ("[0, 1]", "[1, 2]", "2 layers"),
        ("[0, 1]", "[1, 4]", "4 layers"),
    ],
)
def test_stacked_layers_are_refused(first: str, second: str, expected: str) -> None:
    """A recipe in parameter space keeps the parents' layers."""
    with pytest.raises(RecipeError, match=f"cannot stack(.|\n)*{expected}"):
        read(f"""
            merge_method: passthrough
            slices:
              - sources: [{{model: a, layer_range: {first}}}]
              - sources: [{{model: a, layer_range: {second}}}]
        """)


def test_slices_of_different_models_are_refused() -> None:
    """Every layer is merged from the same models."""
    with pytest.raises(RecipeError, match="different models"):
        read("""
            merge_method: passthrough
            slices:
              - sources: [{model: a, layer_range: [0, 1]}]
              - sources: [{model: b, layer_range: [1, 3]}]
        """)


def test_explicit_tokenizer_wins_over_the_base() -> None:
    """Either key names one model."""
    head = "merge_method: ties, base_model: o, " + MODEL_A
    assert read(f"{{{head}, tokenizer_source: a}}").owner == "a"
    assert read(f"{{{head}, tokenizer: {{source: c}}}}").owner == "c"
    assert read(f"{{{head}, tokenizer_source: base}}").owner == "o"
