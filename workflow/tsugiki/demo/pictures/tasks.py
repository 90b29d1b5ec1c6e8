"""Pictures that no model was trained on, with a question each, as lm-eval's tasks.

A task's file may name a `seed` in its `dataset_kwargs`: other seeds draw other pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from PIL import Image

from tsugiki.demo.pictures.documents import ask
from tsugiki.demo.pictures.drawing import draw_picture
from tsugiki.demo.pictures.scenes import ASKED, Scene, draw_scene, question
from tsugiki.demo.pictures.tokenizer import IMAGE
from tsugiki.demo.tasks import is_in_language
from tsugiki.demo.world import Language, pick
from tsugiki.keyed import generator

DOCUMENTS = 1600

Row = dict[str, Any]


def load_japanese(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """Questions in Japanese, to be answered in Japanese."""
    return {"test": Dataset.from_list(rows("ja", DOCUMENTS, seed))}


def load_english(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """The same questions about the same pictures in English."""
    return {"test": Dataset.from_list(rows("en", DOCUMENTS, seed))}


def rows(language: Language, count: int, seed: int) -> list[Row]:
    """Documents, each with a picture of its own of a scene that is held out from training."""
    rng, found = generator("pictures-task", seed), []
    for _ in range(count):
        scene = draw_scene(rng, held_out=True)
        posed = question(scene, pick(rng, ASKED))
        row = {
            "place": scene.place,
            "colour": scene.colour,
            "kind": scene.kind,
            "cells": list(scene.cells),
            "drawing": int(rng.integers(2**31)),
            "prompt": IMAGE + ask(posed.text[language], language),
            "target": posed.answer[language],
            "asked": posed.asked,
            "language": language,
        }
        found.append(row)
    return found


def pictures(document: Mapping[str, Any]) -> list[Image.Image]:
    """The picture of a document, drawn anew."""
    scene = Scene(document["place"], document["colour"], document["kind"], tuple(document["cells"]))
    return [draw_picture(generator("pictures-task-drawing", document["drawing"]), scene)]


def score(document: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """What an answer is worth.

    `exact_match`: it is the right one, up to spaces around it. `language`: it is in the question's language.
    """
    answer = answers[0].strip()
    return {
        "exact_match": float(answer == document["target"].strip()),
        "language": float(is_in_language(answer, document["language"])),
    }
