"""Parameter space: a genome in the unit cube and the recipe it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import digest_bytes
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import SHARED
from tsugiki.errors import ConfigError, LineageError
from tsugiki.models.kinds.text import TEXT
from tsugiki.space.parameter_space import (
    DECIMALS,
    ParameterGenome,
    build_parameter_genome,
)
from tsugiki.space.read import read_genome

TENSORS = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight",
]
DIGESTS = {name: digest_bytes(name.encode()) for name in ("base", "a", "b")}
GENES = {
    "weight": {"range": [0.0, 2.0], "start": 0.5, "grouping": "block"},
    "density": {"range": [0.1, 0.9], "grouping": "model"},
}


def space_of(
    *,
    parents: tuple[str, ...] = ("a", "b"),
    per_parent: dict[str, bool] | None = None,
    seed: int = 1,
    **space: Any,
) -> ParameterGenome:
    """The genome of a stage that searches `GENES`, unless `space` says otherwise."""
    stage = Stage.model_validate(
        {
            "name": "ps",
            "parents": parents,
            "base": "base",
            "space": {"method": "dare_ties", "genes": GENES, **space},
            "budget": {"generations": 1},
        }
    )
    return build_parameter_genome(
        stage,
        seed=seed,
        digests=DIGESTS,
        tensor_names=TENSORS,
        kind=TEXT,
        per_parent=per_parent or {"weight": True, "density": True},
    )


def test_genes_are_parameter_by_parent_by_group() -> None:
    """Each parent its own; embeddings, blocks by number, head; in a fixed order."""
    genes = space_of().genes
    blocks = ["embeddings", "block.0", "block.1", "head"]
    expected = [("density", parent, "model") for parent in ("a", "b")]
    expected += [("weight", parent, group) for parent in ("a", "b") for group in blocks]
    assert [(gene.parameter, gene.parent, gene.group) for gene in genes] == expected


def test_a_parameter_of_no_parent_has_one_set_of_values() -> None:
    """Such as slerp's position between two parents."""
    space = space_of(
        genes={"t": {"range": [0.0, 1.0], "grouping": "model"}}, per_parent={"t": False}
    )
    recipe = space.decode([0.25])
    assert recipe.parameters["t"].values == {SHARED: {"model": 0.25}}


def test_groups_may_be_named_expressions() -> None:
    """The recipe keeps them, so that it can be read alone."""
    grouping = {"attention": "self_attn", "rest": "embed|mlp|norm"}
    space = space_of(genes={"weight": {"range": [0, 1], "grouping": grouping}})
    recipe = space.decode([0.1, 0.2, 0.3, 0.4])
    assert recipe.parameters["weight"].grouping == grouping
    assert recipe.parameters["weight"].values == {
        "a": {"attention": 0.1, "rest": 0.2},
        "b": {"attention": 0.3, "rest": 0.4},
    }


def test_the_start_decodes_to_the_start_values() -> None:
    """Given, or the middle of the range."""
    space = space_of()
    recipe = space.decode(space.start)
    for values in recipe.parameters["weight"].values.values():
        assert set(values.values()) == {0.5}
    for values in recipe.parameters["density"].values.values():
        assert set(values.values()) == {0.5}


def test_corners_decode_to_the_ends_of_the_range() -> None:
    """0 is the smallest value and 1 the largest, exactly."""
    space = space_of()
    for corner, weight, density in ((0.0, 0.0, 0.1), (1.0, 2.0, 0.9)):
        recipe = space.decode([corner] * len(space.genes))
        for name, value in (("weight", weight), ("density", density)):
            for values in recipe.parameters[name].values.values():
                assert set(values.values()) == {value}


@given(st.lists(st.floats(0.0, 1.0), min_size=10, max_size=10))
def test_values_are_in_range_and_rounded(coordinates: list[float]) -> None:
    """A linear map from the unit interval to the range, to six decimals."""
    space = space_of()
    recipe = space.decode(coordinates)
    for gene, coordinate in zip(space.genes, coordinates, strict=True):
        value = recipe.parameters[gene.parameter].values[gene.parent][gene.group]
        assert value == round(gene.low + coordinate * (gene.high - gene.low), DECIMALS)
        assert gene.low <= value <= gene.high
        assert abs(gene.value(gene.coordinate(value)) - value) < 10**-DECIMALS


def test_genomes_that_round_to_the_same_values_are_the_same_candidate() -> None:
    """And others are not."""
    space = space_of()
    one = [0.3] * len(space.genes)
    near, far = [0.3 + 1e-9, *one[1:]], [0.3 + 1e-5, *one[1:]]
    assert space.decode(one).digest == space.decode(near).digest
    assert space.decode(one).digest != space.decode(far).digest


def test_listing_the_parents_in_another_order_changes_no_recipe() -> None:
    """Genes and recipes go by name."""
    one, other = space_of(parents=("a", "b")), space_of(parents=("b", "a"))
    genome = [0.05 * index for index in range(len(one.genes))]
    assert one.decode(genome).digest == other.decode(genome).digest
    assert one.to_json() == other.to_json()


def test_fixed_parameters_and_options_are_part_of_the_recipe() -> None:
    """A parameter gets its value for every parent; an option stands alone."""
    space = space_of(genes={"weight": GENES["weight"]}, options={"density": 0.3, "lambda": 1.2})
    recipe = space.decode([0.5] * len(space.genes))
    assert recipe.parameters["density"].values == {"a": {"model": 0.3}, "b": {"model": 0.3}}
    assert recipe.options == {"lambda": 1.2}


def test_mask_seed_tokenizer_and_format_have_their_defaults() -> None:
    """The run's seed; the base's tokenizer; or what the stage says."""
    space = space_of(seed=9)
    recipe = space.decode(space.start)
    assert (recipe.mask_seed, recipe.owner, recipe.dtype) == (9, "base", "bfloat16")
    space = space_of(seed=9, mask_seed=0, tokenizer="b", dtype="float32")
    recipe = space.decode(space.start)
    assert (recipe.mask_seed, recipe.owner, recipe.dtype) == (0, "b", "float32")


def test_a_genome_of_another_space_is_refused() -> None:
    """Its length tells."""
    with pytest.raises(LineageError, match="does not fit") as caught:
        space_of().decode([0.5])
    assert (caught.value.expected, caught.value.got) == ("10 genes", "1")


def test_a_space_survives_its_file(tmp_path: Path) -> None:
    """What space.json holds decodes genomes to the same recipes."""
    space = space_of()
    path = tmp_path / "space.json"
    path.write_bytes(space.to_json())
    assert read_genome(path) == space
    path.write_text("{}")
    with pytest.raises(LineageError, match="not a valid search space") as caught:
        read_genome(path)
    assert caught.value.where == str(path)


def test_the_start_may_differ_by_parent_and_by_group() -> None:
    """`*` stands for all others; where nothing is said, it is the middle of the range."""
    start = {"a": {"block.0": 0.25, "*": 0.5}, "*": {"head": 0.75}}
    space = space_of(genes={"weight": {"range": [0.0, 2.0], "grouping": "block", "start": start}})
    values = space.decode(space.start).parameters["weight"].values
    assert values["a"] == {"embeddings": 0.5, "block.0": 0.25, "block.1": 0.5, "head": 0.5}
    assert values["b"] == {"embeddings": 1.0, "block.0": 1.0, "block.1": 1.0, "head": 0.75}
    by_parent = {"range": [0.0, 2.0], "grouping": "model", "start": {"a": 0.25}}
    assert [gene.start for gene in space_of(genes={"weight": by_parent}).genes] == [0.25, 1.0]


def test_a_start_for_a_group_that_there_is_not_is_refused() -> None:
    """Named, with those that there are."""
    gene = {"range": [0.0, 2.0], "grouping": "block", "start": {"a": {"block.7": 0.5}}}
    with pytest.raises(ConfigError, match="groups that there are not") as caught:
        space_of(genes={"weight": gene})
    assert caught.value.got == "block.7"
