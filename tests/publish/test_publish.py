"""From a finished run to a model on the Hub, or in a folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard, constants

from tests.publish.conftest import CITED, Finished
from tests.publish.hub_for_uploads import TOKEN, UploadHub
from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.commands.all import main
from tsugiki.config.licences import Publication
from tsugiki.config.run import RunConfig
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError, InfrastructureError, LineageError, TsugikiError
from tsugiki.finalists.files import winning_recipe
from tsugiki.finalists.table import read_final_table
from tsugiki.publish.publish import publish

REPO = "someone/tiny-merge"
LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
ids = AutoTokenizer.from_pretrained(sys.argv[1])("w1 w2 w3", return_tensors="pt").input_ids
print(float(model(ids).logits.double().sum()))
"""


def quiet(_line: str) -> None:
    """Say nothing."""


def stated(config: RunConfig, **fields: Any) -> RunConfig:
    """The configuration with a section `publication`."""
    return config.model_copy(update={"publication": Publication(**fields)})


def put(one: Finished, **options: Any) -> str:
    """Publish the run's model."""
    return publish(one.files, one.config, log=quiet, **options)


def held(hub: UploadHub, repo: str = REPO) -> dict[str, bytes]:
    """Files of a repository by name."""
    found = hub.repos[repo]
    return found.commits[found.branches["main"]]


def loaded(place: str, home: Path, **environment: str) -> float:
    """Sum of a model's logits, loaded by stock transformers alone, with an empty cache."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, place],
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_a_folder_has_the_model_and_all_that_goes_with_it(
    finished: Finished, tmp_path: Path
) -> None:
    """The bytes of best/, card, citations, licences and lineage; nothing that is a machine's own."""
    out = tmp_path / "published"
    put(finished, out=out)
    best = finished.files.best
    for path in best.glob("[!.]*"):
        assert digest_file(out / path.name) == digest_file(path)
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.base_model_relation == "merge"
    assert card.data.base_model == ["org/older"]  # what the card of a parent in a folder names
    assert {"ja", "en"} == set(card.data.language)
    assert {"merge", "dataflow", "task_arithmetic"} <= set(card.data.tags)
    table = read_final_table(finished.files.final)
    scores = {one.metric_name: one.metric_value for one in card.data.eval_results}
    winner = table.row(table.winner)
    assert scores == {name: pytest.approx(one.value, abs=1e-6) for name, one in winner.test.items()}
    assert "| **evolved** (this model) |" in card.content
    assert winning_recipe(finished.files).digest in card.content
    text = (finished.root / "parents/base/LICENSE").read_bytes()
    assert (out / "licences/base/LICENSE").read_bytes() == text
    assert CITED in (out / "CITATION.bib").read_text()
    references = yaml.safe_load((out / "CITATION.cff").read_text())["references"]
    assert [one["title"] for one in references[:3]] == ["base", "a", "b"]
    lineage = out / "lineage"
    assert read_recipe(lineage / "recipe-ps.json") == winning_recipe(finished.files, "finalists-ps")
    assert digest_file(lineage / "final.json") == digest_file(finished.files.final)
    config = yaml.safe_load((lineage / "config.yaml").read_text())
    assert "tracking" not in config
    assert "host" not in json.loads((lineage / "environment.json").read_text())
    licences = json.loads((lineage / "licences.json").read_text())
    assert licences["parents"]["a"]["card"]["base_models"] == ["org/older"]
    with pytest.raises(ConfigError, match="something else stands"):
        put(finished, out=out)


def test_a_repository_is_private_verified_and_loads_in_stock_transformers(
    finished: Finished, hub: UploadHub, tmp_path: Path
) -> None:
    """What is uploaded computes, from the Hub and an empty cache, what the recorded best model computes."""
    told: list[str] = []
    place = publish(finished.files, finished.config, repository=REPO, log=told.append)
    assert hub.private[REPO]
    assert hub.repos[REPO].branches["main"] in place
    best = finished.files.best / "model.safetensors"
    assert digest_bytes(held(hub)["model.safetensors"]) == digest_file(best)
    assert not any(TOKEN.encode() in content for content in held(hub).values())
    assert TOKEN not in place + "".join(told)
    online = loaded(
        REPO, tmp_path / "home", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN=TOKEN
    )
    assert online == loaded(str(finished.files.best.absolute()), tmp_path / "other")


def test_any_candidate_can_be_published(finished: Finished, tmp_path: Path) -> None:
    """The card says whose it is, and what it scored in the search; the weights are its recipe's."""
    put(finished, out=tmp_path / "other", candidate=("ps", "001-02"))
    recipe = read_recipe(tmp_path / "other/recipe.json")
    outcomes = json.loads(finished.files.phase("ps").generation(1).outcomes.read_bytes())
    (ranked,) = (one for one in outcomes["ranked"] if one["id"] == "001-02")
    assert recipe.digest == ranked["recipe"]
    content = (tmp_path / "other/README.md").read_text()
    assert "candidate of stage `ps` (001-02), and not the winner" in content
    assert ranked["outcome"]["weights"] in content
    for name, one in ranked["outcome"]["measured"].items():
        assert re.search(rf"- {name}: .* \({one['items']} documents\)", content)
    with pytest.raises(LineageError, match="no such candidate"):
        put(finished, out=tmp_path / "none", candidate=("ps", "009-99"))


def test_an_interrupted_upload_goes_on(finished: Finished, hub: UploadHub) -> None:
    """Nothing appears before all is there; what had arrived is not sent again."""
    hub.breaks_at = 0
    with pytest.raises(InfrastructureError, match="connection broke") as broken:
        put(finished, repository=REPO)
    assert "same command" in str(broken.value)
    assert set(held(hub)) == {".gitattributes"}
    hub.breaks_at = None
    put(finished, repository=REPO)
    first = hub.sent()
    assert len(first) == 1
    put(finished, repository=REPO)
    assert hub.sent() == first
    assert "model.safetensors" in held(hub)


def test_large_files_go_by_xet_where_the_client_has_it(
    finished: Finished, hub: UploadHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the store that the Hub names, and not by Git LFS; the commit names them by SHA-256."""
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.xet = f"local://{tmp_path / 'store'}"
    weights = finished.files.best / "model.safetensors"
    hub.blobs[digest_file(weights)] = weights.read_bytes()  # what the Hub would ask the store for
    put(finished, repository=REPO)
    assert digest_bytes(held(hub)["model.safetensors"]) == digest_file(weights)
    assert hub.sent() == []
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) > 0


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_other_bytes_on_the_hub_are_found(finished: Finished, hub: UploadHub, name: str) -> None:
    """The digest that is read back, of large and small files, is compared with what was sent."""
    hub.damaged = {name}
    with pytest.raises(LineageError, match=f"other bytes than were sent: {name}"):
        put(finished, repository=REPO)


def test_a_repository_with_something_else_is_left_alone(finished: Finished, hub: UploadHub) -> None:
    """One that holds another model, and one that everybody can see unless that is asked for."""
    hub.repo(REPO).push({"recipe.json": b"{}", "model.safetensors": b"other"})
    before = dict(held(hub))
    with pytest.raises(ConfigError, match="holds something else"):
        put(finished, repository=REPO)
    assert held(hub) == before
    hub.repo("someone/open").push({".gitattributes": b""})
    hub.private["someone/open"] = False
    with pytest.raises(ConfigError, match="is public"):
        put(finished, repository="someone/open")
    put(finished, repository="someone/open", public=True)
    assert "README.md" in held(hub, "someone/open")


def test_who_may_not_write_is_told_how(
    finished: Finished, hub: UploadHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, and no message shows the token, even if the Hub's does."""
    hub.complaint = f"{TOKEN} may only read"
    with pytest.raises(ConfigError, match="does not let you write") as refused:
        put(finished, repository=REPO)
    assert TOKEN not in str(refused.value)
    assert "may only read" in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    hub.complaint = None
    with pytest.raises(ConfigError, match="does not let you write"):
        put(finished, repository=REPO)
    assert hub.repos == {}
    with pytest.raises(ConfigError, match="not a valid name"):
        put(finished, repository="a/b/c")


def test_a_token_in_a_text_is_refused(finished: Finished, tmp_path: Path) -> None:
    """Wherever it came from; the message does not repeat it, and no folder is left."""
    config = stated(finished.config, license="mit", reason=f"agreed, see {TOKEN}")
    with pytest.raises(ConfigError, match="token") as refused:
        publish(finished.files, config, out=tmp_path / "leak", log=quiet)
    assert TOKEN not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_licence_is_refused_until_one_is_stated(
    changeable: Finished, tmp_path: Path
) -> None:
    """The licence and the reason that the configuration gives are recorded."""
    (changeable.root / "parents/a/README.md").write_text("# no licence")
    with pytest.raises(ConfigError, match="not known under which licence") as refused:
        put(changeable, out=tmp_path / "out")
    assert "a is unknown" in str(refused.value)
    reason = "the owner of a agreed by letter"
    config = stated(changeable.config, license="apache-2.0", reason=reason)
    publish(changeable.files, config, out=tmp_path / "out", log=quiet)
    recorded = json.loads((tmp_path / "out/lineage/licences.json").read_text())
    assert (recorded["license"], recorded["reason"]) == ("apache-2.0", reason)
    assert recorded["stated_by_the_configuration"]
    assert reason in (tmp_path / "out/README.md").read_text()


def test_the_command_wants_a_place(finished: Finished, tmp_path: Path) -> None:
    """A repository or a folder, and a stage only of a candidate; a run's folder stands for its configuration."""
    runner = CliRunner()
    for arguments, words in (
        (["tiny.yaml"], "name the repository"),
        (["tiny.yaml", "--out", str(tmp_path / "out"), "--stage", "ps"], "--candidate is meant"),
    ):
        done = runner.invoke(main, ["publish", *arguments])
        assert (done.exit_code, words in done.output) == (2, True), done.output
    done = runner.invoke(main, ["publish", "results/tiny", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out/README.md").is_file()
    assert finished.files.final.is_file()


def test_a_name_that_a_licence_asks_for_is_needed(changeable: Finished, tmp_path: Path) -> None:
    """Models made from Llama 3 have names that begin so; notice and words to display go along."""
    (changeable.root / "parents/a/README.md").write_text("---\nlicense: llama3\n---\n")
    with pytest.raises(ConfigError, match="asks for another name"):
        put(changeable, out=tmp_path / "mine")
    out = tmp_path / "Llama-3-mine"
    put(changeable, out=out)
    assert ModelCard.load(out / "README.md").data.license == "llama3"
    assert "**Built with Meta Llama 3**" in (out / "README.md").read_text()
    assert "Meta Llama 3 Community License" in (out / "NOTICE").read_text()


@pytest.mark.parametrize(("damage", "words"), [("remove", "not finished"), ("edit", "not sound")])
def test_a_run_that_is_not_finished_or_not_sound_is_refused(
    changeable: Finished, tmp_path: Path, damage: str, words: str
) -> None:
    """With one error, before anything is written."""
    path = changeable.files.final
    if damage == "remove":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("0.575", "0.975"))
    with pytest.raises(TsugikiError, match=words):
        put(changeable, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
