"""Vocabularies of real models, aligned by token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.merge.models_for_tests import recipe_of
from tests.parents.checkpoints import VOCABULARY, write_llama
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import read_lock
from tsugiki.merge.write import write_merge

from .models import (
    EMBEDDINGS,
    HEAD,
    permute,
    prepare,
    run_with,
    tensors,
    vocabulary,
    write_with_added,
)

UNION = {"kind": "union", "of": "base"}
CHAT = ("<|im_start|>", "<|im_end|>")


def merge(config: RunConfig, out: Path, weights: list[float], method: str = "linear") -> Path:
    """Merge the stage's parents with given weights."""
    folders = prepare(config)
    digests = read_lock(Path(config.results) / "lock.json").digests
    stage = config.stages[0]
    recipe = recipe_of(
        method,
        stage.parents,
        base=stage.base if method != "linear" else None,
        values={"weight": weights},
        digests=digests,
        owner=stage.base or stage.parents[0],
    )
    write_merge(recipe, folders, digests, out)
    return out


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A base with 64 tokens, a parent of the same, and one with two more tokens."""
    write_llama(tmp_path / "base", seed=1)
    write_llama(tmp_path / "plain", seed=2)
    write_with_added(tmp_path / "chat", CHAT, seed=3, template="T", eos_token_id=65)
    return tmp_path


def test_added_tokens_of_a_parent_join_the_vocabulary(chat: Path) -> None:
    """All models get 66 rows; the new rows are those of the one parent that has them."""
    folders = prepare(run_with(chat, ["base", "plain", "chat"], vocabulary=UNION))
    assert vocabulary(folders["base"]) == vocabulary(folders["plain"])
    assert vocabulary(folders["base"]) == vocabulary(chat / "chat")
    for name in (EMBEDDINGS, HEAD):
        theirs = tensors(chat / "chat")[name]
        for one in ("base", "plain"):
            made = tensors(folders[one])[name]
            assert torch.equal(made[:64], tensors(chat / one)[name])
            assert torch.equal(made[64:], theirs[64:])


def test_a_model_that_fits_is_taken_as_it_is(chat: Path) -> None:
    """Nothing is written for it, and its digest stays."""
    config = run_with(chat, ["base", "plain", "chat"], vocabulary=UNION)
    folders = prepare(config)
    assert folders["chat"] == chat / "chat"
    assert folders["base"].parent == chat / "results/prepared-parents"
    lock = read_lock(chat / "results/lock.json").parents
    assert lock["chat"].prepared is None
    made = lock["base"].prepared
    assert made is not None
    assert made.made_from == {name: lock[name].digest for name in ("base", "chat", "plain")}
    assert lock["base"].merged_digest == made.digest != lock["base"].digest


def test_prepared_models_load_in_transformers_and_keep_their_tokens(chat: Path) -> None:
    """Sizes, ids of special tokens and chat template are right."""
    folders = prepare(run_with(chat, ["base", "plain", "chat"], vocabulary=UNION))
    model, info = AutoModelForCausalLM.from_pretrained(folders["plain"], output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert model.config.vocab_size == 66
    tokenizer = AutoTokenizer.from_pretrained(folders["plain"])
    assert tokenizer("w1 <|im_end|>")["input_ids"] == [4, 65]
    assert tokenizer.eos_token_id == 2
    assert tokenizer.chat_template is None


def test_the_chat_template_and_the_end_of_a_text_stay_a_model_s_own(tmp_path: Path) -> None:
    """A prepared parent can give its template, in the tokenizer of another."""
    write_with_added(tmp_path / "base", ["<x>"], seed=1)
    write_with_added(tmp_path / "chat", CHAT, seed=3, template="T", eos_token_id=65)
    config = json.loads((tmp_path / "chat/tokenizer_config.json").read_text())
    config["eos_token"] = CHAT[1]
    (tmp_path / "chat/tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "chat/generation_config.json").write_text(json.dumps({"eos_token_id": [2, 65]}))
    folder = prepare(run_with(tmp_path, ["base", "chat"], vocabulary=UNION))["chat"]
    assert vocabulary(folder) == vocabulary(tmp_path / "base") | {CHAT[0]: 65, CHAT[1]: 66}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == "T"
    assert tokenizer.eos_token_id == 66
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == 66
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [2, 66]


def test_tokens_of_one_parent_alone_survive_any_merge(chat: Path) -> None:
    """Task vectors of those who lack them are zero, so their rows are the one parent's."""
    config = run_with(chat, ["base", "plain", "chat"], vocabulary=UNION)
    out = merge(config, chat / "out", [0.7, 0.2], method="task_arithmetic")
    torch.testing.assert_close(tensors(out)[HEAD][64:], tensors(chat / "chat")[HEAD][64:])


def test_a_token_whose_row_is_padding_elsewhere_keeps_its_row(tmp_path: Path) -> None:
    """Though all models have 72 rows, padding takes no part in the rows of <|im_start|>, <|im_end|>."""
    write_llama(tmp_path / "base", seed=1, vocab_size=72)
    write_with_added(tmp_path / "chat", CHAT, rows=72, seed=3)
    config = run_with(tmp_path, ["base", "chat"], vocabulary=UNION)
    out = merge(config, tmp_path / "out", [0.2], method="task_arithmetic")
    for name in (EMBEDDINGS, HEAD):
        torch.testing.assert_close(
            tensors(out)[name][64:66], tensors(tmp_path / "chat")[name][64:66]
        )


def test_weight_one_of_a_parent_has_its_logits(tmp_path: Path) -> None:
    """The tokens are permuted, yet the merged model says what the parent says, token by token."""
    write_llama(tmp_path / "base", seed=1)
    write_with_added(tmp_path / "plain", CHAT, seed=3)
    permute(write_llama(tmp_path / "original", seed=2), tmp_path / "a", 5)
    config = run_with(tmp_path, ["base", "a", "plain"], vocabulary=UNION)
    out = merge(config, tmp_path / "out", [1.0, 0.0])
    text = "w1 w5 w60 w7"
    logits = {}
    for name, folder in (("a", tmp_path / "original"), ("out", out)):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
        tokens = vocabulary(folder)
        order = [tokens[token] for token in VOCABULARY]
        logits[name] = model(ids).logits[0][:, order]
    torch.testing.assert_close(logits["out"], logits["a"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tie", [True, False])
def test_permuting_a_parent_s_vocabulary_changes_nothing(
    tmp_path: Path, seed: int, tie: bool
) -> None:
    """Which ids a parent gave its tokens is of no importance."""
    write_llama(tmp_path / "base", seed=1, tie_word_embeddings=tie)
    write_llama(tmp_path / "a", seed=2, tie_word_embeddings=tie)
    permute(tmp_path / "a", tmp_path / "b", seed)
    parents = {"same": tmp_path / "a", "moved": tmp_path / "b"}
    merged = {}
    for case, folder in parents.items():
        (tmp_path / case).mkdir()
        (tmp_path / case / "base").symlink_to(tmp_path / "base")
        (tmp_path / case / "x").symlink_to(folder)
        config = run_with(tmp_path / case, ["base", "x"], vocabulary=UNION)
        merged[case] = merge(config, tmp_path / f"out-{case}", [0.6], method="task_arithmetic")
    one, other = (tensors(folder) for folder in merged.values())
    assert (HEAD in one) is not tie
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_rows_are_padded_to_the_most_of_any_model(tmp_path: Path) -> None:
    """The base has 64 rows, the parent the same tokens in 72: the rows beyond are the parent's."""
    write_llama(tmp_path / "base", seed=1)
    write_llama(tmp_path / "a", seed=2, vocab_size=72)
    folders = prepare(run_with(tmp_path, ["base", "a"], vocabulary=UNION))
    assert folders["a"] == tmp_path / "a"
    made = tensors(folders["base"])[EMBEDDINGS]
    assert made.shape == (72, 16)
    assert torch.equal(made[64:], tensors(tmp_path / "a")[EMBEDDINGS][64:])


def test_rows_can_be_filled_up_to_a_multiple(tmp_path: Path) -> None:
    """66 tokens, multiples of 32: 96 rows everywhere, all of them finite."""
    write_llama(tmp_path / "base", seed=1)
    write_with_added(tmp_path / "chat", CHAT, seed=3)
    setting = UNION | {"multiple_of": 32}
    folders = prepare(run_with(tmp_path, ["base", "chat"], vocabulary=setting))
    for folder in folders.values():
        assert tensors(folder)[HEAD].shape == (96, 16)
        assert tensors(folder)[HEAD].isfinite().all()
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == 96


def test_the_vocabulary_of_one_parent_leaves_out_the_tokens_of_others(chat: Path) -> None:
    """64 rows, and an end of text that means the same token as the owner's."""
    setting = {"kind": "parent", "of": "base"}
    folders = prepare(run_with(chat, ["base", "plain", "chat"], vocabulary=setting))
    assert folders["base"] == chat / "base"
    assert vocabulary(folders["chat"]) == vocabulary(chat / "base")
    assert torch.equal(tensors(folders["chat"])[HEAD], tensors(chat / "chat")[HEAD][:64])
    assert json.loads((folders["chat"] / "config.json").read_text())["eos_token_id"] == 2
    assert (folders["chat"] / "chat_template.jinja").read_text() == "T"


def test_an_extended_vocabulary_is_taken_from_the_parent_that_has_it(tmp_path: Path) -> None:
    """Words of its own are no added tokens: they need its tokenizer, and the base gets their rows."""
    write_llama(tmp_path / "base", seed=1)
    words = (*VOCABULARY[:3], "kana", *VOCABULARY[3:], "kanji")
    write_llama(tmp_path / "ja", seed=2, tokens=words, vocab_size=66)
    setting = {"kind": "union", "of": "ja"}
    folders = prepare(run_with(tmp_path, ["base", "ja"], vocabulary=setting))
    assert folders["ja"] == tmp_path / "ja"
    ids, base = vocabulary(folders["base"]), tensors(tmp_path / "base")[EMBEDDINGS]
    made, theirs = tensors(folders["base"])[EMBEDDINGS], tensors(tmp_path / "ja")[EMBEDDINGS]
    assert torch.equal(made[ids["w5"]], base[VOCABULARY.index("w5")])
    assert torch.equal(made[ids["kanji"]], theirs[ids["kanji"]])
    assert torch.equal(made[ids["kana"]], theirs[ids["kana"]])
