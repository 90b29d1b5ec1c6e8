"""A stand-in for vLLM: no more than what `evaluate/vllm_backend` uses of it, run by transformers.

It keeps to what vLLM's source says: the worker gets the extension's methods, tensors go by their
stored names into a model that was started with other weights, under the worker's default device,
and a reload that is left half-way cannot be mended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tsugiki.evaluate.vllm_backend.engine import WORKER
from tsugiki.evaluate.vllm_backend.worker import MergingWorker

VERSION = "0.30.0"


class StandInWorker(MergingWorker):
    """vLLM's worker, with the extension's methods."""

    def __init__(self, folder: str, dtype: str) -> None:
        self.device = torch.device("meta")  # what is made on the default device is of no use
        self.vllm_config = object()
        self.reloads: list[list[str]] = []
        self.skip = ""
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))

    def get_model(self) -> torch.nn.Module:
        """The model."""
        return self.model

    def reload_weights(self, *, weights_iterator: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Put each tensor into its place; those whose name holds `skip` go nowhere."""
        state = self.model.state_dict()
        self.reloads.append([])  # one that is not whole would end in an exception below
        for name, tensor in weights_iterator:
            self.reloads[-1].append(name)
            if not self.skip or self.skip not in name:
                state[name].copy_(tensor)


class StandInParams(SimpleNamespace):
    """vLLM's SamplingParams: keeps what it is given."""


class StandInLLM:
    """vLLM's LLM, answering with transformers' greedy generation."""

    started: list[StandInLLM] = []

    def __init__(self, **settings: Any) -> None:
        assert settings["worker_extension_cls"] == WORKER
        self.settings = settings
        self.asked: list[tuple[list[int], StandInParams]] = []
        self.worker = StandInWorker(settings["model"], settings["dtype"])
        self.tokenizer = AutoTokenizer.from_pretrained(settings["tokenizer"])
        StandInLLM.started.append(self)

    def collective_rpc(self, method: str, args: tuple[str, ...] = ()) -> list[Any]:
        """Call a method of the one worker."""
        return [getattr(self.worker, method)(*args)]

    def generate(
        self, prompts: list[dict[str, Any]], params: list[StandInParams], *, use_tqdm: bool
    ) -> list[Any]:
        """Answer the prompts in their order."""
        assert not use_tqdm
        return [
            SimpleNamespace(outputs=[self._answer(prompt["prompt_token_ids"], one)])
            for prompt, one in zip(prompts, params, strict=True)
        ]

    @torch.no_grad()
    def _answer(self, prompt: list[int], params: StandInParams) -> Any:
        self.asked.append((prompt, params))
        assert params.temperature == 0.0
        assert params.ignore_eos
        tokens: list[int] = []
        total = 0.0
        while len(tokens) < params.max_tokens:
            logits = self.worker.model(torch.tensor([[*prompt, *tokens]])).logits[0, -1].float()
            tokens.append(int(logits.argmax()))
            total += float(logits.log_softmax(-1)[tokens[-1]])
            text = self.tokenizer.decode(tokens, skip_special_tokens=params.skip_special_tokens)
            if tokens[-1] in params.stop_token_ids or any(stop in text for stop in params.stop):
                break
        return SimpleNamespace(
            token_ids=tokens, cumulative_logprob=total if params.logprobs else None
        )


@contextmanager
def _no_config(config: object) -> Iterator[None]:
    assert config is not None
    yield


def stand_in_for_vllm(monkeypatch: pytest.MonkeyPatch) -> type[StandInLLM]:
    """Let `import vllm` give the stand-in, and torch see a GPU."""
    vllm, config = ModuleType("vllm"), ModuleType("vllm.config")
    vllm.LLM, vllm.SamplingParams = StandInLLM, StandInParams  # type: ignore[attr-defined]
    config.set_current_vllm_config = _no_config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.config", config)
    monkeypatch.setattr(StandInLLM, "started", [])
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: VERSION if name == "vllm" else real(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a stand-in")
    return StandInLLM


def stored_names(folder: Path) -> list[str]:
    """Names of a checkpoint's tensors."""
    from safetensors import safe_open

    names: list[str] = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as content:
            names += content.keys()
    return names
