"""Tokenizers that cannot be loaded, that split text otherwise, or that were extended apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.parents.checkpoints import VOCABULARY, write_llama
from tsugiki.config.run import RunConfig
from tsugiki.parents.preflight import preflight

from .hub_stand_in import Hub
from .runs import run_of

TOKENS = {token: index for index, token in enumerate(VOCABULARY)}


def three(folder: Path, **changes: Any) -> RunConfig:
    """A merge of a and b with their base."""
    for name in ("base", "a", "b"):
        write_llama(folder / name, **changes)
    parents = {name: {"path": str(folder / name)} for name in ("base", "a", "b")}
    return run_of(parents, base="base", method="task_arithmetic")


def change_tokenizer(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change tokenizer.json."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replace_tokenizer(folder: Path, file: str, content: str, **settings: str) -> None:
    """Another file in place of tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    (folder / file).write_text(content)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("name", ["base", "a"])
@pytest.mark.parametrize("file", ["tokenizer.model", "spiece.model"])
def test_a_sentencepiece_model_alone_is_refused_with_the_way_out(
    name: str, file: str, tmp_path: Path
) -> None:
    """Of the base, whose tokenizer the merged model gets, and of a parent, which is scored too."""
    config = three(tmp_path)
    replace_tokenizer(tmp_path / name, file, "any bytes", tokenizer_class="LlamaTokenizer")
    [fault] = preflight(config).faults
    assert f"cannot load the tokenizer of `{name}`" in fault.what
    assert f"{file} alone, which needs sentencepiece" in str(fault)
    assert "A.from_pretrained('FOLDER').save_pretrained('FOLDER')" in str(fault.fix)


def test_a_sentencepiece_model_is_refused_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    """Before its weights are fetched."""
    write_llama(tmp_path / "a")
    replace_tokenizer(tmp_path / "a", "tokenizer.model", "any bytes")
    hub.repo("x/a").push({path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()})
    [fault] = preflight(run_of({"a": {"hub": "x/a"}})).faults
    assert "needs sentencepiece" in str(fault)
    assert all("bytes=0-" in request for request in hub.requests if "/cdn" in request)


def test_what_transformers_refuses_is_refused_and_what_it_loads_is_taken(tmp_path: Path) -> None:
    """A vocabulary without its merges; a component that is not known; the same with merges."""
    config = three(tmp_path)
    text = json.dumps(TOKENS)
    for name in ("base", "a"):
        replace_tokenizer(tmp_path / name, "vocab.json", text, tokenizer_class="GPT2Tokenizer")
    (tmp_path / "base/merges.txt").write_text("#version: 0.2\n")
    change_tokenizer(tmp_path / "b", lambda one: one.update(pre_tokenizer={"type": "Unheard"}))
    AutoTokenizer.from_pretrained(tmp_path / "base", local_files_only=True)
    faults = preflight(config).faults
    assert [fault.what for fault in faults] == [
        "transformers cannot load the tokenizer of `a`",
        "transformers cannot load the tokenizer of `b`",
    ]
    for name in "ab":
        with pytest.raises(Exception, match=r".*"):
            AutoTokenizer.from_pretrained(tmp_path / name, local_files_only=True)


def test_a_tokenizer_that_an_alignment_replaces_need_not_load(tmp_path: Path) -> None:
    """With `vocabulary: parent`, all models are scored with that of one."""
    config = three(tmp_path)
    tokens = dict(TOKENS) | {"w0": TOKENS["w1"], "w1": TOKENS["w0"]}
    replace_tokenizer(tmp_path / "a", "vocab.json", json.dumps(tokens))
    assert any("cannot load the tokenizer" in fault.what for fault in preflight(config).faults)
    aligned = config.model_dump(mode="json") | {"vocabulary": {"kind": "parent", "of": "base"}}
    assert preflight(RunConfig.model_validate(aligned)).faults == []


def test_a_parent_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """It is a row of the final table, scored with a tokenizer of its own."""
    config = three(tmp_path)
    (tmp_path / "b/tokenizer.json").unlink()
    [fault] = preflight(config).faults
    assert "`b` has no tokenizer, but parents are scored too" in fault.what


def test_an_added_token_whose_id_is_not_what_loading_gives_is_refused(tmp_path: Path) -> None:
    """Its row would be another one: ids of added tokens follow the last of the vocabulary."""
    config = three(tmp_path, vocab_size=80)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    added = [{"id": 70, "content": "<late>", **flags}]
    change_tokenizer(tmp_path / "a", lambda one: one.update(added_tokens=added))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a", local_files_only=True)
    assert loaded.convert_tokens_to_ids("<late>") == 64
    faults = [fault for fault in preflight(config).faults if "other ids" in fault.what]
    assert [(fault.expected, fault.got) for fault in faults] == [("'<late>' with id 70", "id 64")]


CHANGES = {
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    },
    "decoder": {"type": "Fuse"},
}


@pytest.mark.parametrize("part", CHANGES)
def test_the_component_in_which_tokenizers_differ_is_named(part: str, tmp_path: Path) -> None:
    """And whose is used; nothing is said of tokenizers that are the same."""
    config = three(tmp_path)
    assert "tokenizer of" not in "\n".join(preflight(config).notes)
    change_tokenizer(tmp_path / "a", lambda one: one.update({part: CHANGES[part]}))
    report = preflight(config)
    assert report.faults == []
    [note] = [note for note in report.notes if note.startswith("tokenizer of")]
    assert note.startswith(f"tokenizer of a differs from that of base in {part}:")
    assert "the merged model splits as base does" in note


def test_other_merges_and_other_flags_are_named(tmp_path: Path) -> None:
    """Same tokens, same ids; but words are put together otherwise, or tokens matched otherwise."""
    config = three(tmp_path)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    for name in ("base", "a", "b"):
        added = {"id": 2, "content": "</s>", **flags, "lstrip": name == "b"}
        model = {"type": "BPE", "vocab": TOKENS | {"w": 64, "0": 65}, "merges": [["w", "0"]]}
        model |= {"ignore_merges": name == "a"}
        change_tokenizer(
            tmp_path / name,
            lambda one, new=(added, model): one.update(added_tokens=[new[0]], model=new[1]),
        )
    notes = "\n".join(preflight(config).notes)
    assert (
        "tokenizer of a differs from that of base in model (merges, scores or its settings):"
        in notes
    )
    assert "tokenizer of b differs from that of base in flags of added tokens ('</s>'):" in notes
