"""Merging the language model of vision-language models, one of each family, and scoring the merge on pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from tests.evaluate.picture_tasks import sighted_config
from tests.evaluate.sighted_models import FAMILIES, ROWS, VOCABULARY, text_model
from tests.runs_for_tests import TinyRun, start_run
from tsugiki.config.load import parse_config
from tsugiki.contracts.recipe import (
    AnyRecipe,
    DataflowRecipe,
    Hop,
    Parameter,
    ParentRef,
    Recipe,
)
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.pictures import open_picture
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import SINGLE
from tsugiki.models.names import naming
from tsugiki.parents.preflight import preflight
from tsugiki.parents.run_models import models_of

Tensors = dict[str, torch.Tensor]
SHARES = {"eyes": 0.6, "text": 0.4}
FILES = ("preprocessor_config.json", "processor_config.json", "chat_template.jinja")
FAMILY = pytest.mark.parametrize("family", FAMILIES)


class Merges:
    """A run's models, and merges of them that the model that sees owns."""

    def __init__(self, run: TinyRun, root: Path) -> None:
        self.run, self.root = run, root
        models = models_of(run.files, run.config, "ps")
        self.folders, self.digests = models.folders, models.digests

    @property
    def linear(self) -> Recipe:
        """A weighted mean."""
        values = {name: {"model": share} for name, share in SHARES.items()}
        return Recipe(
            method="linear",
            base=None,
            parents=tuple(self.ref(name) for name in SHARES),
            parameters={"weight": Parameter(values=values)},
            owner="eyes",
            dtype="float32",
        )

    def ref(self, name: str) -> ParentRef:
        """A parent, as it is prepared."""
        return ParentRef(name=name, digest=self.digests[name])

    def merge(self, recipe: AnyRecipe) -> tuple[Tensors, str]:
        """Weights of the merged folder, and what the model says to a picture: alive as from disk."""
        out = self.root / "out"
        candidates = CandidateModel(self.folders, self.digests, self.run.config.evaluation)
        model, digest = candidates.build(recipe)
        assert write_merge(recipe, self.folders, self.digests, out) == digest
        alive = self.answers(model)
        read, _ = candidates.read(recipe, out, digest)
        assert self.answers(read) == alive
        _, info = AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
        assert not any(info.values())
        for name in FILES:
            assert (out / name).read_bytes() == (self.folders["eyes"] / name).read_bytes()
        return load_file(out / SINGLE), alive

    def answers(self, model: Any) -> str:
        """What a model says to three pictures."""
        settings = {"until": ["w60"], "max_gen_toks": 6, "do_sample": False}
        pictures = [
            open_picture(self.root / "tasks" / "pictures" / f"{one}.png") for one in range(3)
        ]
        requests = [
            Instance("generate_until", {}, ("<image> w2", settings, {"visual": [one]}), place)
            for place, one in enumerate(pictures)
        ]
        return "; ".join(model.generate_until(requests))

    def stored(self, name: str) -> Tensors:
        """A parent's tensors."""
        return load_file(self.folders[name] / SINGLE)

    def named(self, name: str, stored: Tensors) -> dict[str, str]:
        """Stored names of what is merged, by name in the merge."""
        return naming(name, stored, {"vision_config": {}} if name == "eyes" else {})


def begin(root: Path, family: str, **changes: Any) -> Merges:
    """A run without a fault."""
    run = start_run(sighted_config(root, family=family, **changes))
    assert preflight(run.config).faults == []
    return Merges(run, root)


@FAMILY
@pytest.mark.parametrize("marked", [True, False], ids=["same vocabulary", "no picture token"])
def test_a_text_model_is_merged_into_the_language_part(
    tmp_path: Path, family: str, marked: bool
) -> None:
    """By the formula; tower, projector and processor are the owner's, byte for byte."""
    merges = begin(tmp_path, family, marked=marked)
    merged, _ = merges.merge(merges.linear)
    eyes, text = merges.stored("eyes"), merges.stored("text")
    names, others = merges.named("eyes", eyes), merges.named("text", text)
    assert merged.keys() == eyes.keys()
    assert names.keys() == others.keys()
    for name, stored in names.items():
        expected = 0.6 * eyes[stored] + 0.4 * text[others[name]]
        assert torch.allclose(merged[stored], expected, atol=1e-6), name
    outside = eyes.keys() - set(names.values())
    assert len(outside) > 15
    assert all(torch.equal(merged[name], eyes[name]) for name in outside)
    if not marked:  # the rows that the text model lacks are those of the one that has them
        original = load_file(tmp_path / "models" / "text" / SINGLE)
        rows = names["model.embed_tokens.weight"]
        known = len(VOCABULARY)
        assert original["model.embed_tokens.weight"].shape[0] == known < ROWS
        assert torch.allclose(merged[rows][known : known + 15], eyes[rows][known : known + 15])


@FAMILY
def test_paths_go_through_layers_of_both(tmp_path: Path, family: str) -> None:
    """The owner's tower sees, its embeddings read, and more layers follow than either has."""
    merges = begin(tmp_path, family)
    path = (("eyes", 0, 1.0), ("text", 1, 0.7), ("eyes", 1, 1.3))
    recipe = DataflowRecipe(
        parents=tuple(merges.ref(name) for name in ("eyes", "text")),
        owner="eyes",
        head="text",
        dtype="float32",
        path=tuple(Hop(parent=name, layer=layer, scale=scale) for name, layer, scale in path),
    )
    merged, answers = merges.merge(recipe)
    eyes, text = merges.stored("eyes"), merges.stored("text")
    names = merges.named("eyes", eyes)
    outside = eyes.keys() - set(names.values())
    assert all(torch.equal(merged[name], eyes[name]) for name in outside)
    query = "self_attn.q_proj.weight"  # behind a norm: no scale changes it
    first = names[f"model.layers.0.{query}"]
    assert torch.equal(merged[first], eyes[first])
    second = first.replace("layers.0.", "layers.1.")
    assert torch.equal(merged[second], text[f"model.layers.1.{query}"])
    third = first.replace("layers.0.", "layers.2.")
    assert torch.equal(merged[third], eyes[names[f"model.layers.1.{query}"]])
    head = names["lm_head.weight"]
    assert torch.equal(merged[head], text["lm_head.weight"])
    assert answers


LLAVA_5 = {
    r"language_model\.model\.": "model.language_model.",
    r"language_model\.lm_head": "lm_head",
    r"vision_tower\.": "model.vision_tower.",
    r"multi_modal": "model.multi_modal",
    r"image_newline": "model.image_newline",
}
QWEN_5 = {r"model\.": "model.language_model.", r"visual\.": "model.visual."}


def rename(file: Path, prefixes: dict[str, str]) -> None:
    """Store tensors under other names: the first expression that fits the start of one decides."""
    renamed = {}
    for name, values in load_file(file).items():
        found = next((one for one in prefixes if re.match(one, name)), None)
        renamed[re.sub(f"^{found}", prefixes[found], name) if found else name] = values
    save_file(renamed, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("family", "prefixes"),
    [
        ("LLaVA 1.5", {r"vision_tower\.": "vision_tower.vision_model."}),
        ("LLaVA 1.5", LLAVA_5),
        ("LLaVA-NeXT", LLAVA_5),
        ("Qwen2-VL", QWEN_5),
        ("Qwen2.5-VL", QWEN_5),
    ],
    ids=["LLaVA 1.5, as published", "LLaVA 1.5", "LLaVA-NeXT", "Qwen2-VL", "Qwen2.5-VL"],
)
def test_moved_prefixes_change_no_answer(
    tmp_path: Path, family: str, prefixes: dict[str, str]
) -> None:
    """Those of transformers 4 and 5; the merge has the names of its owner."""
    before = begin(tmp_path / "before", family)
    _, expected = before.merge(before.linear)
    raw = sighted_config(tmp_path / "after", family=family)
    file = tmp_path / "after" / "models" / "eyes" / SINGLE
    rename(file, prefixes)
    run = start_run(raw)
    assert preflight(run.config).faults == []
    after = Merges(run, tmp_path / "after")
    merged, answers = after.merge(after.linear)
    assert answers == expected
    assert merged.keys() == load_file(file).keys()


@pytest.mark.parametrize(
    ("family", "prefixes", "place"),
    [
        ("LLaVA 1.5", {r"vision_tower\.": "language_model.vision_tower."}, "vision_tower"),
        ("LLaVA 1.5", {r"multi": "language_model.model.multi"}, "multi_modal_projector"),
        ("Qwen2-VL", {**QWEN_5, r"visual\.": "model.language_model.visual."}, "visual"),
        ("Idefics3", {r"model\.vision": "model.text_model.vision"}, "vision_model"),
    ],
)
def test_a_tower_under_the_language_models_prefix_is_refused_by_name(
    tmp_path: Path, family: str, prefixes: dict[str, str], place: str
) -> None:
    """A loader would fill the real one with random numbers: one fault says so."""
    raw = sighted_config(tmp_path, family=family)
    rename(tmp_path / "models" / "eyes" / SINGLE, prefixes)
    faults = preflight(parse_config(raw, where="test")).faults
    assert len(faults) == 1
    assert "`eyes`: a vision tower or projector is stored under the prefix" in str(faults[0])
    assert place in str(faults[0])


def test_a_text_model_of_another_size_is_refused(tmp_path: Path) -> None:
    """With both values, before any work."""
    raw = sighted_config(tmp_path)
    wide = {"hidden_size": 32, "num_attention_heads": 8}
    text_model(tmp_path / "models" / "text", "LLaVA 1.5", **wide)
    text = "\n".join(map(str, preflight(parse_config(raw, where="test")).faults))
    assert "differ in hidden_size" in text
    assert "32" in text
