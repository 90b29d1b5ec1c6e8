"""Single merges from files, on tiny real models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import MakeRun
from tests.hostile import builders
from tests.merge.models_for_tests import recipe_of, save_trio
from tests.parents.checkpoints import VOCABULARY, write_llama
from tsugiki import api
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.commands.all import main
from tsugiki.contracts.locks import digest_of_files
from tsugiki.contracts.outcome import Measured, Scored
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.contracts.recipe import Recipe, read_recipe
from tsugiki.errors import ConfigError, LineageError, ParentError, RecipeError
from tsugiki.models.files import digest_folder
from tsugiki.parents.between import check_merged
from tsugiki.parents.preflight import check_folders, preflight

Folders = dict[str, Path]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A base and two models fine-tuned from it, of two layers. No test writes into them."""
    return save_trio(tmp_path_factory.mktemp("models"))


def digests(models: Folders) -> dict[str, str]:
    """Digest of each model's files, as in a lock file."""
    return {name: digest_of_files(digest_folder(folder)) for name, folder in models.items()}


def write(path: Path, models: Folders, /, **changes: Any) -> Path:
    """Write a mergekit file: task arithmetic with 0.5 of `a` and 0.25 of `b`."""
    value = {
        "merge_method": "task_arithmetic",
        "base_model": str(models["base"]),
        "models": [
            {"model": str(models["a"]), "parameters": {"weight": 0.5}},
            {"model": str(models["b"]), "parameters": {"weight": 0.25}},
        ],
        "dtype": "float32",
        **changes,
    }
    path.write_text(yaml.safe_dump({key: item for key, item in value.items() if item is not None}))
    return path


def write_pair(folder: Path, **changes: Any) -> Path:
    """Write a mergekit file that merges folder/a with the base folder/b."""
    models = [{"model": str(folder / "a"), "parameters": {"weight": 0.5}}]
    places = {"base": folder / "b", "a": folder / "a", "b": folder / "a"}
    return write(folder / "merge.yaml", places, **{"models": models, **changes})


def write_recipe(path: Path, recipe: Recipe) -> Path:
    """Write recipe.json."""
    path.write_bytes(recipe.to_json())
    return path


def merge(file: Path, out: Path, models: dict[str, Any] | None = None, threads: int = 1) -> Path:
    """Merge once; return the folder."""
    api.merge(file, out, models, threads=threads)
    return out


def invoke(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_mergekit_file_merges_by_its_formula(models: Folders, tmp_path: Path) -> None:
    """Base + 0.5 (a - base) + 0.25 (b - base), as a model that transformers loads."""
    out = merge(write(tmp_path / "merge.yaml", models), tmp_path / "out")
    base, a, b = (load_file(models[name] / WEIGHTS) for name in ("base", "a", "b"))
    merged = load_file(out / WEIGHTS)
    assert merged.keys() == base.keys()
    for name, values in merged.items():
        expected = base[name] + 0.5 * (a[name] - base[name]) + 0.25 * (b[name] - base[name])
        torch.testing.assert_close(values, expected)
    AutoModelForCausalLM.from_pretrained(out)
    assert AutoTokenizer.from_pretrained(out)("w3 w4")["input_ids"] == [3, 4]


def test_recipe_of_a_mergekit_file_pins_its_models(models: Folders, tmp_path: Path) -> None:
    """The merged model holds a recipe from which the same bytes are built again."""
    first = merge(write(tmp_path / "merge.yaml", models), tmp_path / "first")
    recipe = read_recipe(first / "recipe.json")
    assert {ref.name: ref.digest for ref in (*recipe.parents, recipe.base)} == digests(models)
    again = merge(first / "recipe.json", tmp_path / "again", models, threads=2)
    assert digest_file(again / WEIGHTS) == digest_file(first / WEIGHTS)


def test_number_format_is_that_of_the_models_if_the_file_names_none(
    models: Folders, tmp_path: Path
) -> None:
    """As mergekit does."""
    out = merge(write(tmp_path / "merge.yaml", models, dtype=None), tmp_path / "out")
    assert read_recipe(out / "recipe.json").dtype == "float32"


def test_models_can_be_named_or_placed(models: Folders, tmp_path: Path) -> None:
    """A folder in the file gets a name, and a repository a folder."""
    file = write(tmp_path / "merge.yaml", models, base_model="org/base")
    places = {"org/base": models["base"], "maths": models["a"]}
    out = merge(file, tmp_path / "out", places)
    recipe = read_recipe(out / "recipe.json")
    assert [parent.name for parent in recipe.parents] == ["b", "maths"]
    assert recipe.owner == "base"


def test_model_that_is_not_here_is_named(models: Folders, tmp_path: Path) -> None:
    """With the option that says where it is."""
    file = write(tmp_path / "merge.yaml", models, base_model="org/base")
    with pytest.raises(ParentError, match="--models org/base=FOLDER"):
        merge(file, tmp_path / "out")


def test_models_of_one_name_are_refused(models: Folders, tmp_path: Path) -> None:
    """Until one of them is named."""
    shutil.copytree(models["a"], tmp_path / "other" / "b")
    twin = {"model": str(tmp_path / "other" / "b"), "parameters": {"weight": 1}}
    file = write(tmp_path / "merge.yaml", models)
    value = yaml.safe_load(file.read_text())
    value["models"].append(twin)
    file.write_text(yaml.safe_dump(value))
    with pytest.raises(RecipeError, match="both be called `b`"):
        merge(file, tmp_path / "out")
    merge(file, tmp_path / "out", {"twin": twin["model"]})


def test_recipe_needs_a_folder_for_each_model(models: Folders, tmp_path: Path) -> None:
    """Missing and mistyped names are named."""
    recipe = recipe_of("linear", base=None, digests=digests(models))
    file = write_recipe(tmp_path / "recipe.json", recipe)
    with pytest.raises(RecipeError, match="--models b=FOLDER"):
        merge(file, tmp_path / "out", {"a": models["a"]})
    with pytest.raises(RecipeError, match="got: bb"):
        merge(file, tmp_path / "out", {"a": models["a"], "bb": models["b"]})


def test_other_files_than_the_recipe_was_made_for_are_refused(
    models: Folders, tmp_path: Path
) -> None:
    """By their digest, before anything is written."""
    recipe = recipe_of("linear", base=None, digests=digests(models))
    file = write_recipe(tmp_path / "recipe.json", recipe)
    with pytest.raises(LineageError, match="parent `a`"):
        merge(file, tmp_path / "out", {"a": models["b"], "b": models["b"]})
    assert not (tmp_path / "out").exists()


def test_code_that_a_run_trusted_counts_as_a_models_file(models: Folders, tmp_path: Path) -> None:
    """Such a run's digests cover *.py; those of other runs do not."""
    coded = tmp_path / "coded"
    shutil.copytree(models["a"], coded)
    (coded / "modeling.py").write_text("pass\n")
    plain = {**digests(models), "a": digest_of_files(digest_folder(coded))}
    trusted = {**plain, "a": digest_of_files(digest_folder(coded, code=True))}
    assert plain["a"] != trusted["a"]
    for known in (plain, trusted):
        recipe = recipe_of("linear", base=None, digests=known)
        file = write_recipe(tmp_path / "recipe.json", recipe)
        merge(file, tmp_path / "out", {"a": coded, "b": models["b"]})


def test_weights_are_not_read_for_a_recipe_that_is_invalid(models: Folders, tmp_path: Path) -> None:
    """Headers suffice to tell."""
    said: list[str] = []
    recipe = recipe_of("linear", base=None, values={"weight": 99.0}, digests=digests(models))
    file = write_recipe(tmp_path / "recipe.json", recipe)
    places = {"a": models["a"], "b": models["b"]}
    with pytest.raises(RecipeError, match="out of range"):
        api.merge(file, tmp_path / "out", places, log=said.append)
    assert said == []


@pytest.mark.parametrize("place", ["{a}", "{a}/merged", "{a}/.."])
def test_models_are_never_overwritten(models: Folders, tmp_path: Path, place: str) -> None:
    """The result may not be, hold, or lie in a model's folder."""
    file = write(tmp_path / "merge.yaml", models)
    with pytest.raises(ConfigError, match="overwrite model"):
        merge(file, Path(place.format(a=models["a"])))
    assert (models["a"] / WEIGHTS).is_file()


def test_only_an_earlier_merge_is_replaced(models: Folders, tmp_path: Path) -> None:
    """A folder with anything else in it stays as it is."""
    file, out = write(tmp_path / "merge.yaml", models), tmp_path / "out"
    out.mkdir()
    merge(file, out)
    merge(file, out)
    (out / "recipe.json").unlink()
    with pytest.raises(ConfigError, match="something else stands"):
        merge(file, out)
    assert (out / WEIGHTS).is_file()


@pytest.mark.parametrize(
    "build",
    [
        builders.swapped_tokens,
        builders.one_id_two_tokens,
        builders.token_in_one_only,
        builders.other_rope_theta,
        builders.headless,
        builders.token_beyond_rows,
        builders.rows_not_as_configured,
        builders.broken_tokenizer,
        builders.no_tokenizer,
        builders.quantised_in_silence,
        builders.undeclared_prefix,
        builders.vision_language_with_language,
    ],
    ids=lambda build: build.__name__,
)
def test_what_check_refuses_is_not_merged(build: builders.Builder, tmp_path: Path) -> None:
    """From a mergekit file, and before any model is read or written."""
    assert preflight(build(tmp_path)).faults
    said: list[str] = []
    with pytest.raises(ParentError):
        api.merge(write_pair(tmp_path), tmp_path / "out", log=said.append)
    assert said == []
    assert not (tmp_path / "out").exists()


def test_tokenizer_that_cannot_be_loaded_is_not_given_to_a_merged_model(tmp_path: Path) -> None:
    """As in a run; that of a model which gives only weights does not matter."""
    builders.sound(tmp_path)
    path = tmp_path / "a/tokenizer.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"pre_tokenizer": {"type": "Unheard"}}))
    file = write_pair(tmp_path, tokenizer_source=str(tmp_path / "a"))
    with pytest.raises(ParentError, match="transformers cannot load the tokenizer of `a`"):
        merge(file, tmp_path / "out")
    merge(write_pair(tmp_path, tokenizer_source=str(tmp_path / "b")), tmp_path / "out")


def test_tokenizer_made_by_its_own_code_needs_no_trust(tmp_path: Path) -> None:
    """It is copied, and its code is not run."""
    builders.sound(tmp_path)
    path = tmp_path / "b/tokenizer_config.json"
    own = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    out = merge(write_pair(tmp_path), tmp_path / "out")
    assert (out / "tokenizer_config.json").read_bytes() == path.read_bytes()


def test_what_check_notes_of_models_is_said_before_they_are_merged(tmp_path: Path) -> None:
    """Those of each one, and of all together: here padding, and how text is split."""
    builders.sound(tmp_path)
    for name in "ab":
        write_llama(tmp_path / name, seed=1, vocab_size=72)
    path = tmp_path / "a/tokenizer.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"normalizer": {"type": "Lowercase"}}))
    said: list[str] = []
    api.merge(write_pair(tmp_path), tmp_path / "out", log=said.append)
    notes = [line for line in said if line.startswith("note: ")]
    assert said[: len(notes)] == notes
    assert sum("8 of 72 embedding rows are padding" in note for note in notes) == 2
    assert sum("tokenizer of a differs from that of b in normalizer" in note for note in notes) == 1


def test_models_of_a_recipe_are_checked_too(tmp_path: Path) -> None:
    """A recipe.json that somebody wrote by hand is no proof that its models fit."""
    builders.swapped_tokens(tmp_path)
    folders = {name: tmp_path / name for name in "ab"}
    recipe = recipe_of("linear", base=None, digests=digests(folders))
    with pytest.raises(ParentError, match="contradict each other"):
        merge(write_recipe(tmp_path / "recipe.json", recipe), tmp_path / "out", folders)


def test_difference_that_is_accepted_is_merged(tmp_path: Path) -> None:
    """Named on the command line; the result has the setting of the tokenizer's model."""
    builders.other_rope_theta(tmp_path)
    file = write_pair(tmp_path)
    refused = invoke("merge", file, "--out", tmp_path / "out")
    assert "--accept-differences rope_theta" in refused.output
    merged = invoke("merge", file, "--out", tmp_path / "out", "--accept-differences", "rope_theta")
    assert merged.exit_code == 0, merged.output
    assert json.loads((tmp_path / "out/config.json").read_text())["rope_theta"] == 10000.0


def test_number_of_heads_cannot_be_accepted(tmp_path: Path) -> None:
    """Equal shapes, but other numbers belong together, whatever the user says."""
    builders.sound(tmp_path)
    for name, heads in (("a", 2), ("b", 4)):
        changes = {"num_attention_heads": heads, "num_key_value_heads": heads // 2}
        builders.change_config(tmp_path / name, **changes, head_dim=16 // heads)
    models, faults, _ = check_folders({name: tmp_path / name for name in "ab"}, {})
    assert faults == []
    keys = ["head_dim", "num_attention_heads", "num_key_value_heads"]
    found = check_merged([models["b"], models["a"]], keys)
    assert [fault.what for fault in found] == [f"`b` and `a` differ in {key}" for key in keys]


def test_vision_tower_is_left_behind_only_if_the_file_says_whose_tokenizer(
    tmp_path: Path,
) -> None:
    """`tokenizer_source` says which model the merged one is like."""
    builders.vision_language_with_language(tmp_path)
    merge(write_pair(tmp_path, tokenizer_source=str(tmp_path / "a")), tmp_path / "out")
    assert "vision_config" in json.loads((tmp_path / "out/config.json").read_text())


def test_stack_of_layers_takes_layers_from_models_of_other_vocabularies(tmp_path: Path) -> None:
    """Only embeddings and head have rows for tokens, and these are one model's."""
    write_llama(tmp_path / "a", seed=1)
    write_llama(tmp_path / "b", seed=2, tokens=(*VOCABULARY, "<pad>"), vocab_size=65)
    layers = [("a", [0, 2]), ("b", [0, 1]), ("a", [1, 2])]
    slices = [
        {"sources": [{"model": str(tmp_path / name), "layer_range": there}]}
        for name, there in layers
    ]
    file = tmp_path / "stack.yaml"
    file.write_text(yaml.safe_dump({"merge_method": "passthrough", "slices": slices}))
    out = merge(file, tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(out).config.num_hidden_layers == 4


def test_settings_of_a_path_are_compared_as_those_of_a_merge(tmp_path: Path) -> None:
    """Layers would run with the owner's: until that is accepted, they are not stacked."""
    builders.other_rope_theta(tmp_path)
    shorter = {"num_hidden_layers": 1, "max_position_embeddings": 64}
    write_llama(tmp_path / "c", tokens=VOCABULARY[:60], vocab_size=60, **shorter)
    for name, said in (("a", "`b` and `a` differ in rope"), ("c", None)):
        layers = [("b", [0, 2]), (name, [0, 1]), ("b", [1, 2])]
        slices = [
            {"sources": [{"model": str(tmp_path / one), "layer_range": there}]}
            for one, there in layers
        ]
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"merge_method": "passthrough", "slices": slices}))
        merged = invoke("merge", file, "--out", tmp_path / "out")
        if said is None:
            assert "max_position_embeddings: b has 128, c has 64" in merged.output
        else:
            assert said in merged.output
            assert not (tmp_path / "out").exists()
            key = ("--accept-differences", "rope_theta")
            merged = invoke("merge", file, "--out", tmp_path / "out", *key)
        assert merged.exit_code == 0, merged.output
        assert json.loads((tmp_path / "out/config.json").read_text())["rope_theta"] == 10000.0


def test_commands_go_there_and_back(models: Folders, tmp_path: Path) -> None:
    """A recipe, exported and merged from the mergekit file, gives the bytes it gives itself."""
    recipe = recipe_of(
        "ties", values={"weight": (0.5, 0.3), "density": 0.4}, digests=digests(models)
    )
    file = write_recipe(tmp_path / "recipe.json", recipe)
    places = [word for name in models for word in ("--models", f"{name}={models[name]}")]
    exported = invoke("export", file, "--mergekit", *places, "--out", tmp_path / "merge.yaml")
    assert exported.exit_code == 0, exported.output
    merged = invoke("merge", tmp_path / "merge.yaml", "--out", tmp_path / "back", "--threads", 2)
    assert merged.exit_code == 0, merged.output
    direct = merge(file, tmp_path / "direct", models)
    for name in (WEIGHTS, "recipe.json", "config.json"):
        assert digest_file(tmp_path / "back" / name) == digest_file(direct / name)


def test_export_prints_and_reads_names_of_tensors_where_needed(
    models: Folders, tmp_path: Path
) -> None:
    """Values by block need a model at hand; values for the whole model do not."""
    whole = write_recipe(tmp_path / "recipe.json", recipe_of("linear", base=None))
    printed = invoke("export", whole, "--mergekit", "--models", "a=org/a", "--models", "b=org/b")
    assert [model["model"] for model in yaml.safe_load(printed.output)["models"]] == [
        "org/a",
        "org/b",
    ]
    by_block = recipe_of("linear", base=None).model_dump()
    values = {"embeddings": 0.1, "block.0": 0.2, "block.1": 0.3, "head": 0.4}
    by_block["parameters"]["weight"] = {"grouping": "block", "values": {"*": values}}
    file = write_recipe(tmp_path / "blocks.json", Recipe.model_validate(by_block))
    place = f"b={models['b']}"
    printed = invoke("export", file, "--mergekit", "--models", "a=org/a", "--models", place)
    assert len(yaml.safe_load(printed.output)["slices"]) == 2


def test_export_without_names_of_tensors_says_so(tmp_path: Path) -> None:
    """No model is here, and the Hub cannot be asked."""
    value = recipe_of("linear", base=None).model_dump()
    value["parameters"]["weight"] = {"grouping": "block", "values": {"*": {"block.0": 0.2}}}
    file = write_recipe(tmp_path / "recipe.json", Recipe.model_validate(value))
    result = invoke("export", file, "--mergekit", "--models", "a=org/a", "--models", "b=org/b")
    assert result.exit_code == 1
    assert "no model is here" in result.output


def test_options_are_checked(tmp_path: Path) -> None:
    """A model needs name and place, and the format its name."""
    assert "NAME=PLACE" in invoke("merge", "x.yaml", "--models", "a", "--out", tmp_path).output
    assert "--mergekit" in invoke("export", "recipe.json").output


def test_missing_file_is_named(tmp_path: Path) -> None:
    """Before anything else."""
    with pytest.raises(RecipeError, match=r"nothing\.json"):
        merge(tmp_path / "nothing.json", tmp_path / "out")


def test_best_recipe_of_a_run_is_exported(make_run: MakeRun, tmp_path: Path) -> None:
    """The finalist with the best validation fitness, with the parents' places as configured."""
    run = make_run()
    recipes = [run.recipe(weight=0.25), run.recipe(weight=0.75)]
    run.write_population(recipes, phase="finalists")
    ranked = tuple(
        Ranked(
            id=f"000-{index:02d}",
            recipe=recipe.digest,
            fitness=fitness,
            outcome=Scored(
                recipe=recipe.digest,
                evaluation="",
                measured={"even": Measured(value=fitness, items=5)},
                rates={},
                weights="",
                records="",
            ),
        )
        for index, (recipe, fitness) in enumerate(zip(recipes, (0.1, 0.4), strict=True))
    )
    generation = Generation(
        run="tiny", phase="finalists", generation=0, population="0" * 64, ranked=ranked
    )
    path = run.files.phase("finalists").generation(0).outcomes
    path.write_bytes(pretty_json(generation.model_dump(mode="json")))
    out = tmp_path / "best.yaml"
    done = invoke("export", run.files.config, "--mergekit", "--models", "b=org/b", "--out", out)
    assert done.exit_code == 0, done.output
    file = yaml.safe_load(out.read_text())
    assert file["base_model"] == run.config.parents["base"].path
    assert [model["model"] for model in file["models"]] == [
        run.config.parents["a"].path,
        "org/b",
    ]
    assert file["parameters"]["weight"] == 0.75
