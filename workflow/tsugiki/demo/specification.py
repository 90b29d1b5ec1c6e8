"""What the demo's three models are made of: shape, training text, steps.

`base` knows a little of everything. `japanese` reads Japanese better and is weak at maths. `maths`
solves English problems, and a high learning rate has made it forget Japanese. Only a merge of the
two solves Japanese problems well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from tsugiki.canonical import digest
from tsugiki.demo.documents import DocumentKind, draw_documents
from tsugiki.keyed import generator

ModelName = Literal["base", "japanese", "maths"]

SAMPLE = 200
"""Training documents that stand for the world's text in the key."""


@dataclass(frozen=True)
class Shape:
    """The llama architecture that all three models share."""

    hidden: int = 64
    blocks: int = 6
    heads: int = 4
    intermediate: int = 172
    initial_deviation: float = 0.08


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Steps of training, and their learning rates."""

    documents: int
    """Size of the training set."""
    steps: int
    batch: int
    """Documents in a step."""
    rate: float
    """Peak learning rate of AdamW."""
    matrix_rate: float | None = None
    """Peak learning rate of Muon, which then trains the blocks' matrices."""
    weight_decay: float = 0.0
    warmup: int = 50
    """Steps over which the learning rate rises from 0."""


@dataclass(frozen=True, kw_only=True)
class Training(Schedule):
    """How one model is trained."""

    start: ModelName | None
    """The model that training starts from; random weights if absent."""
    mixture: Mapping[DocumentKind, float]
    """Relative frequency of each kind of document."""


SHAPE = Shape()

TRAINING: dict[ModelName, Training] = {
    "base": Training(
        start=None,
        mixture={
            "reading_en": 3,
            "reading_ja": 2,
            "english_to_japanese": 0.7,
            "japanese_to_english": 0.7,
            "sums": 0.3,
            "maths_en": 0.3,
            "maths_ja": 0.3,
        },
        documents=40_000,
        steps=700,
        batch=32,
        rate=3e-3,
        matrix_rate=0.02,
        weight_decay=0.1,
    ),
    "japanese": Training(
        start="base",
        mixture={"reading_ja": 4, "story_ja": 1, "english_to_japanese": 1},
        documents=16_000,
        steps=250,
        batch=32,
        rate=1e-3,
    ),
    "maths": Training(
        start="base",
        mixture={"maths_en": 3, "reading_en": 2, "sums": 1},
        documents=20_000,
        steps=300,
        batch=32,
        rate=3e-3,
    ),
}


def key(name: ModelName, seed: int, trainings: Mapping[ModelName, Training] = TRAINING) -> str:
    """Digest of everything that determines a model: two models with one key are the same.

    A sample of the training text takes part, so that a changed world gives a new key.
    """
    training = trainings[name]
    sample = islice(draw_documents(generator("demo-key", name), training.mixture), SAMPLE)
    parts: dict[str, Any] = {
        "seed": seed,
        "shape": asdict(SHAPE),
        "training": asdict(training),
        "text": ["".join(span.text for span in document) for document in sample],
        "start": key(training.start, seed, trainings) if training.start else None,
    }
    return digest(parts)
