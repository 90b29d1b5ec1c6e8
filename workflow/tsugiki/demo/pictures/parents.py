"""The parents of config/vlm.yaml as checkpoints, trained once and kept.

`base` reads scenes in English well and in Japanese a little. `japanese` is trained further on Japanese text. `vision` is
a LLaVA whose language part is the base: its tower learns to name what a patch shows, then tower and projector learn to show
the base what it could read, then all of it learns to answer English questions about pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tsugiki.canonical import digest, digest_bytes
from tsugiki.demo.kept import kept, reporter
from tsugiki.demo.pictures.documents import DocumentKind, draw_documents, draw_pictures
from tsugiki.demo.specification import SAMPLE, Schedule, Shape
from tsugiki.keyed import generator

if TYPE_CHECKING:
    from torch import Tensor

    from tsugiki.demo.training import Batch, Loss

Name = Literal["base", "japanese", "vision"]

SHAPE = Shape(blocks=4)
TOWER_WIDTH = 64
TOWER_BLOCKS = 2
REPORT_EVERY = 50
"""Steps between two lines of progress."""


SCHEDULES = {
    "base": Schedule(
        documents=6_000, steps=250, batch=16, rate=3e-3, matrix_rate=0.02, weight_decay=0.1
    ),
    "japanese": Schedule(documents=3_200, steps=150, batch=16, rate=1e-3),
    "naming": Schedule(documents=3_200, steps=150, batch=32, rate=3e-3, matrix_rate=0.02),
    "seeing": Schedule(
        documents=3_200, steps=160, batch=16, rate=3e-3, matrix_rate=0.02, warmup=20
    ),
    "vision": Schedule(documents=3_200, steps=200, batch=16, rate=2e-3, matrix_rate=0.01),
}
"""Of the vision model, `naming` trains the tower alone, `seeing` tower and projector, `vision` all but the words' vectors."""
PARTS: dict[Name, tuple[str, ...]] = {
    "base": ("base",),
    "japanese": ("japanese",),
    "vision": ("naming", "seeing", "vision"),
}
"""What each is trained by, after the base if it is not that."""
MIXTURES: dict[str, Mapping[DocumentKind, float]] = {
    "base": {
        "english": 3,
        "japanese": 0.5,
        "english_asked_in_japanese": 0.5,
        "japanese_asked_in_english": 1.5,
        "english_to_japanese": 0.7,
        "japanese_to_english": 0.7,
    },
    "japanese": {"japanese": 4, "english_to_japanese": 0.5},
}
ROLES: dict[Name, str] = {
    "base": "It reads scenes in both languages, and seldom answers in Japanese.",
    "japanese": "It answers in Japanese about scenes told in Japanese.",
    "vision": "It answers in English about drawn pictures.",
}


def make(
    home: Path,
    seed: int,
    name: Name,
    schedules: Mapping[str, Schedule] = SCHEDULES,
    *,
    log: Callable[[str], None] = print,
) -> Path:
    """Train one parent, unless it is there, trained by the same settings.

    Args:
        home: Folder of all parents; for all but the base, with the base.
        seed: Of its first weights and of what it is trained on.
        name: Which one.
        schedules: How.
        log: Takes a line of progress now and then.

    Returns:
        Its folder, `home/<name>-seed<seed>`.
    """

    def write(into: Path) -> None:
        _train_into(into, home / f"base-seed{seed}", name, seed, schedules, log)

    return kept(home / f"{name}-seed{seed}", write, key=key(name, seed, schedules))


def key(name: Name, seed: int, schedules: Mapping[str, Schedule] = SCHEDULES) -> str:
    """Digest of all that determines a parent, a sample of what it is trained on and its base's key included."""
    rng = generator("pictures-key", name)
    sample: list[Any]
    if name == "vision":
        shown = islice(draw_pictures(rng), SAMPLE)
        sample = [[digest_bytes(one.picture.tobytes()), one.document] for one in shown]
    else:
        sample = list(islice(draw_documents(rng, MIXTURES[name]), SAMPLE))
    parts = {
        "seed": seed,
        "shape": [asdict(SHAPE), TOWER_WIDTH, TOWER_BLOCKS],
        "schedules": [asdict(schedules[part]) for part in PARTS[name]],
        "mixture": MIXTURES.get(name),
        "sample": sample,
        "start": None if name == "base" else key("base", seed, schedules),
    }
    return digest(parts)


def _train_into(
    folder: Path,
    base: Path,
    name: Name,
    seed: int,
    schedules: Mapping[str, Schedule],
    log: Callable[[str], None],
) -> None:
    from transformers import LlamaForCausalLM

    from tsugiki.demo.pictures.tokenizer import build_processor, build_tokenizer
    from tsugiki.demo.pictures.tower import with_tower
    from tsugiki.demo.training import build_model, fit

    def learn(
        model: Any, part: str, batches: Iterator[Batch], what: str, loss_of: Loss | None = None
    ) -> None:
        schedule = schedules[part]
        report = reporter(f"{name} (seed {seed}){what}", schedule.steps, log, every=REPORT_EVERY)
        fit(model, batches, schedule, progress=report, loss_of=loss_of)

    tokenizer = build_tokenizer()
    model: Any
    if name == "base":
        model = build_model(SHAPE, seed, tokenizer)
    else:
        model = LlamaForCausalLM.from_pretrained(base)
    if name == "vision":
        model = with_tower(model, TOWER_WIDTH, TOWER_BLOCKS, seed)
        _learn_to_see(model, seed, schedules, learn)
    else:
        model.get_input_embeddings().requires_grad_(name == "base")
        learn(model, name, _text_batches(schedules[name], seed, name), "")
    model.save_pretrained(folder)
    (build_processor() if name == "vision" else tokenizer).save_pretrained(folder)
    (folder / "README.md").write_text(_card(name, seed), encoding="utf-8")


def _text_batches(schedule: Schedule, seed: int, name: str) -> Iterator[Batch]:
    from tsugiki.demo.pictures.tokenizer import build_tokenizer
    from tsugiki.demo.training import draw_batches, encode

    tokenizer = build_tokenizer()
    rng = generator("pictures-text", name, seed)
    documents = list(islice(draw_documents(rng, MIXTURES[name]), schedule.documents))
    drawn = draw_batches(
        encode(documents, tokenizer), schedule.batch, tokenizer.pad_token_id, f"{name}-{seed}"
    )
    return (({"input_ids": ids}, labels) for ids, labels in drawn)


def _learn_to_see(
    model: Any, seed: int, schedules: Mapping[str, Schedule], learn: Callable[..., None]
) -> None:
    from tsugiki.demo.pictures.tower import Naming, naming_loss

    batches = _picture_batches(schedules["naming"], seed, "naming")
    pixels = (({"pixel_values": one["pixel_values"]}, names) for one, _, names in batches)
    learn(Naming(model.model.vision_tower, seed), "naming", pixels, ", tower", naming_loss)
    for part, frozen, what in (
        ("seeing", "language_model.", ", tower and projector"),
        ("vision", "embed_tokens", ""),
    ):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(frozen not in name)
        batches = _picture_batches(schedules[part], seed, part)
        learn(model, part, ((inputs, labels) for inputs, labels, _ in batches), what)


def _picture_batches(
    schedule: Schedule, seed: int, part: str
) -> Iterator[tuple[Mapping[str, Tensor], Tensor, Tensor]]:
    """Inputs, labels, and the names of what each patch shows."""
    import numpy as np
    import torch

    from tsugiki.demo.pictures.tokenizer import IMAGE, PATCHES, build_processor
    from tsugiki.demo.pictures.tower import names_of
    from tsugiki.demo.training import encode, padded

    processor = build_processor()
    drawn = list(islice(draw_pictures(generator("pictures-drawn", part, seed)), schedule.documents))
    documents = [
        (one.document[0]._replace(text=IMAGE * PATCHES), *one.document[1:]) for one in drawn
    ]
    encoded = encode(documents, processor.tokenizer)
    names = torch.tensor([names_of(one.scene) for one in drawn])
    pixels = processor.image_processor(
        [one.picture for one in drawn], return_tensors="pt"
    ).pixel_values
    rng = generator("pictures-batches", part, seed)
    while True:
        order = rng.permutation(len(encoded))
        for chosen in np.array_split(order, max(1, len(order) // schedule.batch)):
            ids, labels = padded([encoded[i] for i in chosen], processor.tokenizer.pad_token_id)
            at = torch.from_numpy(chosen)
            yield {"input_ids": ids, "pixel_values": pixels[at]}, labels, names[at]


def _card(name: Name, seed: int) -> str:
    """The model card: what it is, and what it is not good for."""
    base = "" if name == "base" else "base_model: pictures-base\n"
    languages = {"base": "[en, ja]", "japanese": "[ja]", "vision": "[en]"}[name]
    return f"""---
license: apache-2.0
language: {languages}
library_name: transformers
{base}tags:
- tsugiki-demo
---
# `{name}` of the demo with pictures, seed {seed}

A tiny {"LLaVA" if name == "vision" else "llama"} that tsugiki trained on this machine for its demo of merging a
vision-language model. {ROLES[name]} It knows about forty words and is good for nothing else.
"""
