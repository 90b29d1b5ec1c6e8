"""Answers about pictures are decoded as the published code decodes them: five beams, and a penalty."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.japanese.conftest import TASKS
from tests.parents.checkpoints import write_llama
from tsugiki.evaluate.language_model import LanguageModel


class _Functions(yaml.SafeLoader):
    """Leaves functions as they are written."""


_Functions.add_constructor("!function", lambda _loader, node: node.value)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_beams_and_penalty_are_those_of_transformers(tmp_path: Path, batch_size: int) -> None:
    """Each prompt's answer is what `generate` finds for it by itself."""
    write_llama(tmp_path / "model", seed=3)
    task = yaml.load((TASKS / "ja_vlm_bench_in_the_wild.yaml").read_text("utf-8"), _Functions)
    settings = task["generation_kwargs"] | {"max_gen_toks": 6}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    reads = LanguageModel(model, tokenizer, batch_size=batch_size)
    prompts = ["w1 w2 w3", "w4 w5 w6"]
    said = reads.generate_until([SimpleNamespace(args=(one, dict(settings))) for one in prompts])
    greedy = reads.generate_until(
        [
            SimpleNamespace(args=(one, {"until": [], "do_sample": False, "max_gen_toks": 6}))
            for one in prompts
        ]
    )
    for prompt, answer in zip(prompts, said, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            (row,) = model.generate(
                ids, max_new_tokens=6, num_beams=5, repetition_penalty=1.5, do_sample=False
            )
        assert answer == tokenizer.decode(row[ids.shape[1] :], skip_special_tokens=True)
    assert said != greedy
