"""Preflight on parents with faults that people really hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import builders
from tests.hostile.builders import Builder
from tests.parents.runs import run_of
from tsugiki.parents.preflight import preflight, render

REFUSED: list[tuple[Builder, list[str]]] = [
    (
        builders.more_rows_than_base,
        ["`a`", "`b`", "embedding rows", "64", "66", "'<pad>'", "'<sep>'", "by token"],
    ),
    (builders.token_beyond_rows, ["'<beyond>' has id 64", "`a`", "below 64"]),
    (builders.added_token_beyond_rows, ["'<beyond>' has id 64", "`a`", "below 64"]),
    (builders.rows_not_as_configured, ["80 rows (vocab_size)", "64 rows", "`a`", "`b`"]),
    (builders.tied_with_head_of_another_shape, ["lm_head.weight", "[60, 16]", "[64, 16]"]),
    (builders.tied_base_untied_child, ["tie_word_embeddings", "`b` has True", "`a` has False"]),
    (builders.headless, ["no output head", "`a`", "`b`", "random"]),
    (builders.adapter_only, ["adapter (LoRA)", "someone/base", "adapter_of: NAME"]),
    (builders.quantised_by_config, ["`a` is quantised", "bitsandbytes", "q_proj.weight (U8)"]),
    (builders.quantised_in_silence, ["`a` is quantised", "q_proj.weight (I8)"]),
    (builders.hostile_pickle, ["pytorch_model.bin", "pickle", "save_pretrained"]),
    (builders.benign_pickle, ["pytorch_model.bin", "pickle", "save_pretrained"]),
    (builders.truncated, ["truncated", "model.safetensors", "fetch or copy"]),
    (builders.truncated_in_header, ["cut short", "model.safetensors", "100 bytes"]),
    (builders.not_safetensors, ["not in safetensors format", "model.safetensors"]),
    (builders.missing_shard, ["missing", "model-00002-of-00002.safetensors"]),
    (builders.shard_outside, ["outside", "../stolen.safetensors"]),
    (
        builders.stray_whole_file,
        ["two sets of weights", "model.safetensors, and", "model-00001-of-00002.safetensors"],
    ),
    (
        builders.tensor_in_two_shards,
        ["model-00001-of-00002.safetensors and model-00002-of-00002", "lm_head.weight"],
    ),
    (builders.overlapping, ["gate_proj.weight", "up_proj.weight", "overlaps"]),
    (builders.tensor_missing_from_shard, ["model.promised.weight", "model-00001-of-00002"]),
    (builders.broken_index, ["index of `a` cannot be read"]),
    (builders.other_rope_theta, ["rope_theta", "10000.0", "1000000.0"]),
    (
        builders.other_shapes,
        [
            "intermediate_size",
            "num_hidden_layers",
            "num_key_value_heads",
            "model.layers.*.mlp.gate_proj.weight: [32, 16] / [48, 16] (2 of them)",
            "model.layers.*.self_attn.k_proj.weight: [8, 16] / [16, 16] (2 of them)",
            "model.layers.*.mlp.up_proj.weight: absent / [48, 16]",
        ],
    ),
    (
        builders.undeclared_prefix,
        [
            "`a` holds the tensors of `b` under the prefix `language_model.`",
            "besides 1 tensors",
            r"'language_model\.(.+)': '\1'",
        ],
    ),
    (
        builders.vision_language_with_language,
        ["would be a text model like `b`", "vision tower of `a`", "`tokenizer: a`"],
    ),
    (builders.swapped_tokens, ["contradict", "'w7' is 10 / 11", "'w8' is 11 / 10"]),
    (builders.one_id_two_tokens, ["contradict", "63 is '<sep>' / '<pad>'"]),
    (
        builders.token_in_one_only,
        ["padding in `b`", "only `a` has '<pad>'", "{kind: union, of: a}"],
    ),
    (
        builders.added_token_in_one_only,
        ["padding in `b`", "only `a` has '<|im_start|>'", "{kind: union, of: b}"],
    ),
    (builders.broken_tokenizer, ["tokenizer of `a` cannot be read", "tokenizer.json"]),
    (builders.byte_order_mark, ["byte order mark", "config.json", "UTF-8 without"]),
    (builders.wide_characters, ["byte order mark", "tokenizer_config.json", "UTF-16"]),
    (builders.no_tokenizer, ["`b` has no tokenizer", "name another parent as `tokenizer`"]),
    (builders.no_config, ["configuration of `a` cannot be read", "no config.json"]),
    (builders.broken_config, ["configuration of `a` cannot be read"]),
    (builders.unknown_architecture, ["transformers cannot", "nobody", "trust_remote_code"]),
    (builders.empty_folder, ["`a` has no weights", "an empty folder"]),
    (builders.missing_folder, ["folder of parent `a` does not exist", "nowhere"]),
]

TAKEN: list[tuple[Builder, list[str]]] = [
    (builders.sound, []),
    (builders.other_writers, []),
    (builders.tied, []),
    (builders.padded_vocabulary, ["12 of 152 embedding rows are padding; all are kept"]),
    (builders.tied_with_stored_head, ["lm_head.weight", "will refuse it if the two differ"]),
    (
        builders.other_context_length,
        ["max_position_embeddings: b has 128, a has 64; the merged model gets that of b"],
    ),
    (
        builders.mixed_formats,
        ["b is float32, a is bfloat16", "computed in float32 and stored as bfloat16"],
    ),
    (
        builders.vision_language_that_owns,
        ["tensors of a outside its language model are copied as they are"],
    ),
    (builders.template_in_one_only, ["(one in a, none in b)", "the merged model gets none, as b"]),
]


def names(builders: list[Builder]) -> list[str]:
    """Test ids are the builders' names."""
    return [builder.__name__ for builder in builders]


@pytest.mark.parametrize(("builder", "words"), REFUSED, ids=names([case[0] for case in REFUSED]))
def test_a_fault_is_refused_with_its_place_and_its_cause(
    builder: Builder, words: list[str], tmp_path: Path
) -> None:
    """The faults found name what a user must know to mend them."""
    report = preflight(builder(tmp_path))
    text = "\n".join(map(str, report.faults))
    assert report.faults
    assert [word for word in words if word not in text] == []
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(("builder", "words"), TAKEN, ids=names([case[0] for case in TAKEN]))
def test_what_is_no_fault_is_taken_and_noted(
    builder: Builder, words: list[str], tmp_path: Path
) -> None:
    """A run may start, and knows what was chosen."""
    report = preflight(builder(tmp_path))
    assert report.faults == []
    notes = "\n".join(report.notes)
    assert [word for word in words if word not in notes] == []


SINGLE: list[Builder] = [
    builders.other_rope_theta,
    builders.token_beyond_rows,
    builders.quantised_by_config,
    builders.truncated,
    builders.missing_shard,
    builders.stray_whole_file,
    builders.tensor_in_two_shards,
    builders.overlapping,
    builders.adapter_only,
    builders.swapped_tokens,
    builders.token_in_one_only,
    builders.byte_order_mark,
    builders.wide_characters,
    builders.more_rows_than_base,
    builders.tied_base_untied_child,
]


@pytest.mark.parametrize("builder", SINGLE, ids=names(SINGLE))
def test_one_cause_is_reported_once(builder: Builder, tmp_path: Path) -> None:
    """One broken thing does not hide among faults that only follow from it."""
    report = preflight(builder(tmp_path))
    expected = 2 if builder is builders.tied_base_untied_child else 1  # the head, and the setting
    assert len(report.faults) == expected, render(report)


def test_faults_of_different_parents_are_reported_together(tmp_path: Path) -> None:
    """A user mends everything in one go."""
    for name in ("truncated", "adapter_only", "hostile_pickle"):
        getattr(builders, name)(tmp_path / name)
    report = preflight(
        run_of(
            {
                "one": {"path": str(tmp_path / "truncated/a")},
                "two": {"path": str(tmp_path / "adapter_only/a")},
                "three": {"path": str(tmp_path / "hostile_pickle/a")},
                "four": {"path": str(tmp_path / "absent")},
            }
        )
    )
    text = render(report)
    for word in ("truncated", "adapter (LoRA)", "pickle", "does not exist"):
        assert word in text
    assert len([fault for fault in report.faults if "`one`" in fault.what]) == 1


def test_a_chat_template_that_prompts_need_must_be_there(tmp_path: Path) -> None:
    """With the flag on, the parent that has one lends it, and it is said; a run without any is refused."""
    config = builders.template_in_one_only(tmp_path)
    flagged = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"apply_chat_template": True})}
    )
    report = preflight(flagged)
    assert report.faults == []
    assert any("the merged model gets that of a" in note for note in report.notes)
    (tmp_path / "a" / "chat_template.jinja").unlink()
    [fault] = preflight(flagged).faults
    assert "`b` has no chat template" in fault.what
    mine = tmp_path / "mine.jinja"
    mine.write_text("{{ messages }}")
    lent = flagged.evaluation.model_copy(update={"chat_template": str(mine)})
    assert preflight(flagged.model_copy(update={"evaluation": lent})).faults == []
