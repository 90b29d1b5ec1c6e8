"""Recipes as points of a parameter space: the inverse of decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.merge.models_for_tests import digests_of, save_trio
from tests.space.test_parameter_space import DIGESTS, TENSORS, space_of
from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import SHARED, Parameter, ParentRef, Recipe
from tsugiki.errors import ConfigError
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.kinds.text import TEXT
from tsugiki.space.from_recipe import Encoded, encode
from tsugiki.space.parameter_space import ParameterGenome, build_parameter_genome

GROUPINGS: list[Any] = [
    "model",
    "block",
    "block_part",
    {"gradient": 2},
    {"gradient": 3},
    {"attention": "self_attn", "rest": "embed|mlp|norm"},
]


def encoded(space: ParameterGenome, recipe: Recipe) -> Encoded:
    """A recipe in a space over `TENSORS`."""
    return encode(space, recipe, tensors=TENSORS, kind=TEXT)


def grouped(grouping: Any, **space: Any) -> ParameterGenome:
    """A space whose weights and densities are grouped so."""
    genes = {
        "weight": {"range": [-0.5, 2.0], "grouping": grouping},
        "density": {"range": [0.1, 0.9], "grouping": grouping},
    }
    return space_of(genes=genes, **space)


@given(st.data())
@pytest.mark.parametrize("grouping", GROUPINGS, ids=str)
def test_encoding_is_the_inverse_of_decoding(grouping: Any, data: st.DataObject) -> None:
    """The recipe comes back with its digest; the point to the six decimals that recipes have."""
    space = grouped(grouping)
    count = len(space.genes)
    point = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    recipe = space.decode(point)
    found = encoded(space, recipe)
    assert space.decode(found.point).digest == recipe.digest
    assert found.point == pytest.approx(point, abs=1e-6)
    assert found.notes == ()


@pytest.mark.parametrize("fine", GROUPINGS[1:], ids=str)
def test_a_model_gene_becomes_equal_genes(fine: Any) -> None:
    """In whatever finer grouping: the value of each parent everywhere, and nothing to note."""
    coarse, wanted = grouped("model"), grouped(fine)
    found = encoded(wanted, coarse.decode([0.1, 0.2, 0.3, 0.4]))
    assert found.notes == ()
    recipe = wanted.decode(found.point)
    for name, values in {"density": (0.18, 0.26), "weight": (0.25, 0.5)}.items():
        for parent, value in zip("ab", values, strict=True):
            assert set(recipe.parameters[name].values[parent].values()) == {value}


def test_finer_values_become_their_mean_and_that_is_said() -> None:
    """Over the tensors of a group."""
    fine, coarse = grouped("block"), grouped("model")
    recipe = fine.decode([index / 20 for index in range(len(fine.genes))])
    found = encoded(coarse, recipe)
    of_a = recipe.parameters["weight"].values["a"]
    # of the five tensors two are in block 0
    mean = (sum(of_a.values()) + of_a["block.0"]) / 5
    values = coarse.decode(found.point).parameters["weight"].values
    assert values["a"]["model"] == pytest.approx(mean, abs=1e-6)
    assert [note.split("`")[1] for note in found.notes] == ["weight", "density"]
    assert all("mean" in note for note in found.notes)


def test_a_straight_line_over_blocks_is_a_gradient() -> None:
    """Least squares find the anchors that made the values of the blocks."""
    gradient, blocks = grouped({"gradient": 2}), grouped("block")
    recipe = gradient.decode([0.1, 0.7, 0.3, 0.9, 0.2, 0.6, 0.5, 0.4])
    found = encoded(gradient, blocks.decode(encoded(blocks, recipe).point))
    assert gradient.decode(found.point).digest == recipe.digest
    assert found.notes == ()


def test_values_beyond_the_range_move_to_its_end_and_that_is_said() -> None:
    """Each parameter that has any is named with their number."""
    wide = space_of(genes={"weight": {"range": [0.0, 2.0], "grouping": "model"}})
    narrow = space_of(genes={"weight": {"range": [0.0, 1.0], "grouping": "block"}})
    found = encoded(narrow, wide.decode([0.75, 0.25]))
    values = narrow.decode(found.point).parameters["weight"].values
    assert set(values["a"].values()) == {1.0}
    assert set(values["b"].values()) == {0.5}
    assert found.notes == ("4 values of `weight` beyond the range of its genes moved to the end",)


def test_a_parameter_that_the_recipe_lacks_stays_at_the_start_of_its_genes() -> None:
    """And that is said."""
    space = grouped("block")
    recipe = space_of(genes={"weight": {"range": [0.0, 2.0], "grouping": "model"}}).decode(
        [0.5, 0.5]
    )
    found = encoded(space, recipe)
    values = space.decode(found.point).parameters["density"].values
    assert {value for of in values.values() for value in of.values()} == {0.5}
    assert any("nothing of `density`" in note for note in found.notes)


def test_parents_are_known_by_their_files() -> None:
    """A recipe of another run may call them otherwise."""
    space = grouped("model")
    recipe = space.decode([0.1, 0.2, 0.3, 0.4])
    named = {"a": "zulu", "b": "yoruba"}
    other = recipe.model_copy(
        update={
            "parents": tuple(
                ParentRef(name=named[ref.name], digest=ref.digest) for ref in recipe.parents
            ),
            "parameters": {
                name: Parameter(values={named[one]: of for one, of in parameter.values.items()})
                for name, parameter in recipe.parameters.items()
            },
        }
    )
    assert space.decode(encoded(space, other).point).digest == recipe.digest


def without(recipe: Recipe, **update: Any) -> Recipe:
    """The recipe with other fields."""
    return recipe.model_copy(update=update)


OTHER = digest_bytes(b"another model")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": ParentRef(name="base", digest=OTHER)}, "another base"),
        ({"base": None}, "another base"),
        ({"parents": (ParentRef(name="a", digest=DIGESTS["a"]),)}, "other parents"),
        (
            {"parents": tuple(ParentRef(name=name, digest=OTHER) for name in ("a", "b"))},
            "other parents",
        ),
        ({"method": "linear"}, "another merge method"),
        ({"method": "task_arithmetic"}, "another merge method"),
        ({"method": "unheard_of"}, "no such merge method"),
        ({"options": {"lambda": 0.5}}, "another `lambda`"),
    ],
)
def test_what_the_space_cannot_express_is_refused(changed: dict[str, Any], message: str) -> None:
    """One clear error, with both sides."""
    space = grouped("block")
    recipe = without(grouped("model").decode([0.5] * 4), **changed)
    with pytest.raises(ConfigError, match=message) as caught:
        encoded(space, recipe)
    assert caught.value.expected != caught.value.got


def test_a_fixed_parameter_has_to_be_the_recipes() -> None:
    """What is not searched cannot be reached."""
    fixed = space_of(
        genes={"weight": {"range": [0.0, 2.0], "grouping": "block"}}, options={"density": 0.5}
    )
    coarse = space_of(genes={"weight": {"range": [0.0, 2.0], "grouping": "model"}})
    recipe = coarse.decode([0.5, 0.5])
    with pytest.raises(ConfigError, match="another `density`, which is not searched"):
        encoded(fixed, recipe)
    half = without(
        recipe,
        parameters={
            **recipe.parameters,
            "density": Parameter(values={SHARED: {"model": 0.5}}),
        },
    )
    assert encoded(fixed, half).notes == ()


def test_another_number_format_or_seed_of_masks_is_said() -> None:
    """The start is then near the recipe, and no more."""
    space = space_of(seed=1)
    recipe = space_of(seed=2, dtype="float32").decode([0.5] * len(space.genes))
    assert encoded(space, recipe).notes == (
        "it has another dtype (float32; bfloat16 here)",
        "it has another mask_seed (2; 1 here)",
    )


def merged(space: ParameterGenome, point: tuple[float, ...], folders: Any, out: Path) -> str:
    """Digest of the weights that a point of a space makes."""
    write_merge(space.decode(point), folders, digests_of(folders), out)
    return digest_file(out / "model.safetensors")


def space_over(
    folders: dict[str, Path], grouping: str, method: str, *genes: str
) -> ParameterGenome:
    """A space over the tensors of some models."""
    stage = Stage.model_validate(
        {
            "name": "ps",
            "parents": ["a", "b"],
            "base": "base",
            "space": {
                "method": method,
                "dtype": "float32",
                "genes": {name: {"range": [0.0, 1.5], "grouping": grouping} for name in genes},
            },
            "budget": {"generations": 1},
        }
    )
    return build_parameter_genome(
        stage,
        seed=1,
        digests=digests_of(folders),
        tensor_names=list(Checkpoint("base", folders["base"]).headers),
        kind=TEXT,
        per_parent={"weight": True, "rest": True, "density": True},
    )


def test_task_arithmetic_is_a_start_for_weights_of_singular_components(tmp_path: Path) -> None:
    """Each of its weights is that of both parts; the merge is the same up to rounding."""
    folders = save_trio(tmp_path)
    tensors = list(Checkpoint("base", folders["base"]).headers)
    recipe = space_over(folders, "model", "task_arithmetic", "weight").decode((0.2, 0.6))
    space = space_over(folders, "block", "svd_task_arithmetic", "weight", "rest")
    found = encode(space, recipe, tensors=tensors, kind=TEXT)
    assert found.notes == ()
    values = {
        (gene.parameter, gene.parent): value
        for gene, value in zip(space.genes, found.point, strict=True)
    }
    assert values == pytest.approx(
        {
            (name, parent): value
            for name in ("weight", "rest")
            for parent, value in (("a", 0.2), ("b", 0.6))
        }
    )
    write_merge(recipe, folders, digests_of(folders), tmp_path / "one")
    write_merge(space.decode(found.point), folders, digests_of(folders), tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    scaled = recipe.model_copy(update={"options": {"lambda": 0.5}})
    with pytest.raises(ConfigError, match="it has a `lambda`"):
        encode(space, scaled, tensors=tensors, kind=TEXT)
    with pytest.raises(ConfigError, match="another merge method"):
        encode(space, recipe.model_copy(update={"method": "ties"}), tensors=[], kind=TEXT)


def test_a_model_gene_in_finer_genes_makes_the_same_weights(tmp_path: Path) -> None:
    """Bit for bit; and so does task arithmetic in the space of a method that equals it."""
    folders = save_trio(tmp_path)
    tensors = list(Checkpoint("base", folders["base"]).headers)
    coarse = space_over(folders, "model", "task_arithmetic", "weight")
    point = (0.3, 0.6)
    expected = merged(coarse, point, folders, tmp_path / "coarse")
    recipe = coarse.decode(point)
    for fine in (
        space_over(folders, "block", "task_arithmetic", "weight"),
        space_over(folders, "block_part", "task_arithmetic", "weight"),
        space_over(folders, "block", "dare_linear", "weight", "density"),
        space_over(folders, "block", "dare_linear", "weight"),
    ):
        found = encode(fine, recipe, tensors=tensors, kind=TEXT)
        out = tmp_path / digest_bytes(fine.to_json())[:8]
        assert merged(fine, found.point, folders, out) == expected
