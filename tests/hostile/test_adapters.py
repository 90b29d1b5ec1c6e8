"""Preflight on adapters and vocabularies with faults that people really hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import adapters, builders
from tests.hostile.builders import Builder
from tests.hostile.test_parents import names
from tests.parents.checkpoints import read_folder, write_llama
from tests.parents.hub_stand_in import Hub
from tsugiki.config.run import RunConfig
from tsugiki.errors import ParentError
from tsugiki.parents.preflight import preflight, render
from tsugiki.parents.resolve import lock_parents

REFUSED: list[tuple[Builder, list[str]]] = [
    (
        adapters.adapter_of_a_wider_base,
        ["`a` does not fit `b`", "layers.0.self_attn.q_proj.weight", "[4, 32]", "[16, 16]"],
    ),
    (adapters.adapter_of_a_deeper_base, ["`b` does not have", "layers.30.", "adapter_of"]),
    (adapters.adapter_with_another_rank, ["does not fit", "r 8, A [4, 16]"]),
    (adapters.half_an_adapter, ["does not fit", "q_proj.weight: no B"]),
    (adapters.quantised_adapter, ["adapter `a` is quantised", "lora_A.weight (I8)"]),
    (adapters.adapter_of_a_quantised_base, ["`b` is quantised", "bitsandbytes"]),
    (adapters.adapter_of_another_kind, ["peft_type LORA", "IA3", "merge_and_unload"]),
    (
        adapters.adapter_with_unknown_features,
        ["does not merge", "layer_replication", "pissa", "merge_and_unload"],
    ),
    (
        adapters.adapter_trained_elsewhere,
        ["trained on another model than `b`", "someone/llama-bnb-4bit", "accept_differences"],
    ),
    (adapters.adapter_as_pickle, ["pickle", "adapter_model.safetensors", "save_pretrained"]),
    (adapters.adapter_that_is_a_model, ["no LoRA adapter", "remove `adapter_of`"]),
    (adapters.broken_adapter_config, ["settings of adapter `a` cannot be read"]),
    (adapters.adapter_that_unties, ["embeddings or head apart", "`b` ties"]),
    (adapters.adapter_that_unties_rows, ["embeddings or head apart", "`b` ties"]),
    (adapters.adapter_with_rows_beyond_the_base, ["does not fit", "rows [3, 64]", "below 64"]),
    (
        adapters.adapter_with_other_rows_than_it_says,
        ["does not fit", "[3, 16] for rows [3, 4] of [64, 16]"],
    ),
    (
        adapters.union_of_pieces,
        ["could not reach 1 tokens", "'kana'", "name `a` as `of`", "{kind: parent, of: b}"],
    ),
    (
        adapters.union_without_tokenizer,
        ["vocabulary of `a` cannot be read", "tokenizer.model alone", "AutoTokenizer"],
    ),
    (adapters.rows_elsewhere, ["cannot be aligned", "embed_tokens_per_layer"]),
    (builders.more_rows_than_base, ["vocabulary: {kind: union, of: b}"]),
    (builders.swapped_tokens, ["vocabulary: {kind: union, of: b}"]),
]

TAKEN: list[tuple[Builder, list[str]]] = [
    (adapters.sound_adapter, ["to prepare: a: adapter merged, 1 tensors changed ("]),
    (adapters.adapter_of_a_copy, ["a: trained on someone/llama-bnb-4bit, merged into b"]),
    (adapters.adapter_trained_in_another_folder, ["a: adapter merged"]),
    (adapters.adapter_that_does_not_say, ["a: trained on an unnamed model, merged into b"]),
    (
        adapters.union_that_works,
        ["to prepare: b: rows aligned to `a`: 64 of 65 tokens ("],
    ),
]


@pytest.mark.parametrize(("builder", "words"), REFUSED, ids=names([case[0] for case in REFUSED]))
def test_a_fault_is_refused_before_anything_is_written(
    builder: Builder, words: list[str], tmp_path: Path
) -> None:
    """`tsugiki check` names it; where a parent would be prepared, so does `tsugiki parents`."""
    config = builder(tmp_path)
    report = preflight(config)
    text = "\n".join(map(str, report.faults))
    assert [word for word in words if word not in text] == []
    if builder.__module__ == adapters.__name__:
        assert len(report.faults) == 1, text
        config = RunConfig.model_validate(
            config.model_dump(mode="json") | {"results": str(tmp_path / "results")}
        )
        with pytest.raises(ParentError):
            lock_parents(config, tmp_path / "lock.json", log=lambda _: None)
        assert not (tmp_path / "lock.json").exists()
        assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("builder", "words"), TAKEN, ids=names([case[0] for case in TAKEN]))
def test_what_will_be_prepared_is_said(builder: Builder, words: list[str], tmp_path: Path) -> None:
    """With the bytes that it takes on disk."""
    report = preflight(builder(tmp_path))
    assert report.faults == []
    text = render(report)
    assert [word for word in words if word not in text] == []
    assert sum(report.prepared.values()) > 0
    assert report.disk_bytes > sum(report.prepared.values())


def test_an_adapter_of_another_model_of_the_hub_is_refused_unless_accepted(
    hub: Hub, tmp_path: Path
) -> None:
    """Copies under other names are common: the user may say that it is one."""
    hub.repo("good/llama").push(read_folder(write_llama(tmp_path / "b")))
    adapters.write_adapter(tmp_path / "lora", base_model_name_or_path="other/llama-7b")
    config = adapters.with_adapter(tmp_path).model_dump(mode="json")
    config["parents"]["b"] = {"hub": "good/llama"}
    [fault] = preflight(RunConfig.model_validate(config)).faults
    assert "`a` was trained on another model than `b`" in fault.what
    assert fault.got == "other/llama-7b"
    assert "accept_differences: [base_model_name_or_path]" in (fault.fix or "")
    accepted = config | {"accept_differences": ["base_model_name_or_path"]}
    report = preflight(RunConfig.model_validate(accepted))
    assert report.faults == []
    assert "a: trained on other/llama-7b, merged into b" in report.notes
    assert not any("accept_differences" in note for note in report.notes)


@pytest.mark.parametrize(
    ("trained", "revision", "refused"),
    [
        ({"base_model_name_or_path": "Good/Llama"}, "main", False),
        ({"base_model_name_or_path": "/home/me/llama"}, "main", False),
        ({"base_model_name_or_path": "/home/me/mistral"}, "main", True),
        ({"base_model_name_or_path": "good/llama", "revision": "main"}, "main", False),
        ({"base_model_name_or_path": "good/llama", "revision": "v2"}, "main", True),
        ({"base_model_name_or_path": "good/llama", "revision": "0123456789" * 4}, "main", False),
    ],
)
def test_name_and_revision_of_an_adapter_s_base_count_where_they_tell(
    hub: Hub, tmp_path: Path, trained: dict[str, str], revision: str, refused: bool
) -> None:
    """Another last part of a path, or another branch; but a commit may be what a branch points to."""
    hub.repo("good/llama").push(read_folder(write_llama(tmp_path / "b")))
    adapters.write_adapter(tmp_path / "lora", **trained)
    config = adapters.with_adapter(tmp_path).model_dump(mode="json")
    config["parents"]["b"] = {"hub": "good/llama", "revision": revision}
    faults = preflight(RunConfig.model_validate(config)).faults
    assert ["another model" in fault.what for fault in faults] == [True] * refused


def test_an_adapter_on_the_hub_is_checked_without_its_weights(hub: Hub, tmp_path: Path) -> None:
    """Its header is read by a range."""
    hub.repo("good/llama").push(read_folder(write_llama(tmp_path / "b")))
    adapters.write_adapter(tmp_path / "lora", base_model_name_or_path="good/llama")
    hub.repo("x/lora").push(read_folder(tmp_path / "lora"))
    config = adapters.with_adapter(tmp_path).model_dump(mode="json")
    config["parents"] = {
        "a": {"hub": "x/lora", "adapter_of": "b"},
        "b": {"hub": "good/llama"},
    }
    run = RunConfig.model_validate(config | {"results": str(tmp_path / "results")})
    report = preflight(run)
    assert report.faults == []
    assert list(report.prepared) == ["a: adapter merged, 1 tensors changed"]
    assert not any("trained on" in note for note in report.notes)
    lock = lock_parents(run, tmp_path / "lock.json", log=lambda _: None)
    assert lock.parents["a"].prepared is not None
    assert preflight(run, lock).faults == []


def test_an_accepted_difference_is_a_note_that_names_the_value(tmp_path: Path) -> None:
    """The merged model has that of the model whose tokenizer it gets."""
    config = builders.other_rope_theta(tmp_path)
    [fault] = preflight(config).faults
    assert "accept_differences: [rope_theta]" in (fault.fix or "")
    raw = config.model_dump(mode="json") | {"accept_differences": ["rope_theta", "rms_norm_eps"]}
    report = preflight(RunConfig.model_validate(raw))
    assert report.faults == []
    notes = "\n".join(report.notes)
    assert "rope_theta: b has 10000.0, a has 1000000.0; the merged model gets that of b" in notes
    assert "accept_differences: the models do not differ in rms_norm_eps" in notes


def test_what_cannot_be_accepted_is_not_offered(tmp_path: Path) -> None:
    """Other shapes are no matter of taste."""
    faults = preflight(builders.other_shapes(tmp_path)).faults
    assert all("accept_differences" not in (fault.fix or "") for fault in faults)
