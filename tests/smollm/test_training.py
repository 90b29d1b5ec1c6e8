"""Training the parents, on a tiny model: what is learned, and the adapter's form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parents.checkpoints import write_llama
from tsugiki.demo.training import NOT_LEARNED
from tsugiki.models.facts import read_model
from tsugiki.models.sources import FolderFiles
from tsugiki.parents.prepare.adapter import find_changes, read_adapter
from tsugiki.parents.prepare.tensors import adapted_weights, stored_weights
from tsugiki.smollm.questions import SKILLS
from tsugiki.smollm.training import (
    add_adapter,
    encode,
    train,
    write_adapter,
)

TEMPLATE = "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}"
QUIET = replace(SKILLS["json"], steps=4, questions=24, batch=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama with a chat template."""
    return write_llama(tmp_path_factory.mktemp("tiny") / "base", template=TEMPLATE)


def test_only_the_answer_is_learned(folder: Path) -> None:
    """Its tokens and the end; of a chat as of plain text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for chat in (True, False):
        ids, labels = encode(tokenizer, "w3 w4", "w5 w6", chat=chat)
        learned = [one for one in labels if one != NOT_LEARNED]
        assert learned == ids[-len(learned) :]
        assert tokenizer.convert_ids_to_tokens(learned) == ["w5", "w6", "</s>"]


def test_the_product_merges_the_adapter_into_what_was_trained(folder: Path, tmp_path: Path) -> None:
    """The base's weights with the adapter, as a run prepares a parent, are those of the trained model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    add_adapter(model, 16, seed=1)
    losses: list[float] = []
    train(model, tokenizer, QUIET, 1, key="json", progress=lambda _step, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    write_adapter(model, 16, tmp_path)
    facts, _ = read_model("base", FolderFiles(folder), trusted=False)
    adapter, faults = read_adapter("json", "base", FolderFiles(tmp_path))
    assert adapter is not None
    changes, more = find_changes(adapter, facts)
    assert [*faults, *more] == []
    stored = stored_weights("base", folder)
    module = model.model.layers[1].mlp.down_proj
    name = "model.layers.1.mlp.down_proj.weight"
    merged = adapted_weights("json", tmp_path, stored, changes, facts.embeddings)(name)
    x = torch.randn(3, module.frozen.in_features, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x @ merged.T, module(x).detach(), rtol=1e-4, atol=1e-4)
    assert not torch.equal(merged, stored(name))


def test_training_again_gives_the_same_bytes(folder: Path) -> None:
    """Whatever torch's own random numbers are."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for chance in (1, 2):
        torch.manual_seed(chance)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        train(model, tokenizer, QUIET, 1, key="json", progress=lambda _step, _loss: None)
        found.append(model.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
