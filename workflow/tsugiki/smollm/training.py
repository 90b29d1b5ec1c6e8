"""Trains the two parents from SmolLM2: one whole, one as a LoRA adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from tsugiki.demo.training import (
    FINAL_RATE_SHARE,
    MAX_GRADIENT_NORM,
    NOT_LEARNED,
    Encoded,
    Progress,
    one_deterministic_thread,
    padded,
)
from tsugiki.keyed import generator
from tsugiki.smollm.questions import Skill, training

WARMUP = 10
SCALE = 2
"""alpha / r of the adapter. Source: Hu et al., "LoRA" (2106.09685)."""
MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def train(
    model: Any, tokenizer: Any, skill: Skill, seed: int, *, key: str, progress: Progress
) -> None:
    """Train in place the parameters of a llama that need gradients.

    Half of the questions are put as a chat, half as `Question: … Answer:`; only the answers are learned.

    Args:
        model: A float32 `LlamaForCausalLM` on the processor.
        tokenizer: Its tokenizer, with a chat template.
        skill: What is taught.
        seed: Of the questions and of their order.
        key: Of everything random beside the questions.
        progress: Told of every step.
    """
    rows = training(skill.kind, skill.questions, seed)
    encoded = [
        encode(tokenizer, one["question"], skill.answer(one), chat=index % 2 == 0)
        for index, one in enumerate(rows)
    ]
    order = generator("smollm", key, seed).permutation(len(encoded))
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=skill.rate, weight_decay=0.0)
    with one_deterministic_thread():
        model.train()
        for step in range(skill.steps):
            start = step * skill.batch % len(order)
            batch = [
                encoded[place]
                for place in np.take(order, range(start, start + skill.batch), mode="wrap")
            ]
            for group in optimizer.param_groups:
                rise, fall = min(1.0, (step + 1) / WARMUP), 1 - step / skill.steps
                group["lr"] = skill.rate * rise * max(FINAL_RATE_SHARE, fall)
            loss = _loss(model, *padded(batch, tokenizer.pad_token_id or 0))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
            optimizer.step()
            optimizer.zero_grad()
            progress(step + 1, loss.item())
        model.eval()


def encode(tokenizer: Any, question: str, answer: str, *, chat: bool) -> Encoded:
    """Token ids, and the same ids or `NOT_LEARNED` for the prompt's."""
    if chat:
        message = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    else:
        prompt, answer = f"Question: {question}\nAnswer:", f" {answer}"
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return [*before, *after], [NOT_LEARNED] * len(before) + after


def add_adapter(model: Any, rank: int, seed: int) -> None:
    """Freeze a model, and give each matrix of its layers a trainable product of two small ones.

    The first is drawn as in the paper's own code (Kaiming, uniform), the second is zero.
    """
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if name.rpartition(".")[2] in MATRICES:
            owner = model.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], _Adapted(module, name, rank, seed))


def write_adapter(model: Any, rank: int, folder: Path) -> None:
    """Write what `add_adapter` added, trained, in the form of the library peft."""
    tensors = {
        f"base_model.model.{name}.lora_{one}.weight": getattr(module, f"lora_{one}").detach()
        for name, module in model.named_modules()
        if isinstance(module, _Adapted)
        for one in "AB"
    }
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": rank,
        "lora_alpha": SCALE * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "target_modules": list(MATRICES),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


class _Adapted(nn.Module):
    """y = Wx + (alpha / r) BAx."""

    def __init__(self, frozen: nn.Linear, name: str, rank: int, seed: int) -> None:
        super().__init__()
        self.frozen = frozen
        bound = 1 / np.sqrt(frozen.in_features)
        drawn = generator("smollm-adapter", seed, name).uniform(
            -bound, bound, (rank, frozen.in_features)
        )
        self.lora_A = nn.Parameter(torch.from_numpy(drawn).float())
        self.lora_B = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (…, in) to (…, out)."""
        added = functional.linear(functional.linear(x, self.lora_A), self.lora_B)
        result: torch.Tensor = self.frozen(x) + SCALE * added
        return result


def _loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the learned tokens; the head runs on their positions only."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        following = labels[:, 1:]
        learned = following != NOT_LEARNED
        logits = model.lm_head(hidden[learned])
    return functional.cross_entropy(logits.float(), following[learned])
