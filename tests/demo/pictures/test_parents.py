"""The three parents, at a few steps of training each."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, LlamaForCausalLM

from tsugiki.canonical import digest_file
from tsugiki.demo.kept import KEY
from tsugiki.demo.pictures import parents
from tsugiki.demo.pictures.documents import draw_pictures
from tsugiki.demo.pictures.parents import SCHEDULES, make
from tsugiki.keyed import generator

SHORT = {part: replace(one, documents=24, steps=3, batch=8) for part, one in SCHEDULES.items()}
LANGUAGE = "model.language_model."


def quiet(_: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three, barely trained."""
    home = tmp_path_factory.mktemp("parents")
    for name in ("base", "japanese", "vision"):
        make(home, 3, name, SHORT, log=quiet)  # type: ignore[arg-type]
    return home


def test_the_vision_model_answers_with_its_own_processor(home: Path) -> None:
    """Transformers' own classes read the folder; the answer depends on the picture."""
    model = AutoModelForImageTextToText.from_pretrained(home / "vision-seed3").eval()
    processor = AutoProcessor.from_pretrained(home / "vision-seed3")
    shown = [one.picture for one in islice(draw_pictures(generator("shown")), 2)]
    read = processor(
        images=shown, text=["<image>\nQ: How many are there?\nA:"] * 2, return_tensors="pt"
    )
    with torch.no_grad():
        first, second = model(**read).logits[:, -1]
    assert not torch.equal(first, second)


def test_training_leaves_words_alone_and_changes_the_rest(home: Path) -> None:
    """All three share the vectors of words; every matrix of the base's blocks has moved in both others."""
    base = LlamaForCausalLM.from_pretrained(home / "base-seed3").state_dict()
    japanese = LlamaForCausalLM.from_pretrained(home / "japanese-seed3").state_dict()
    vision = AutoModelForImageTextToText.from_pretrained(home / "vision-seed3").state_dict()
    for name, tensor in base.items():
        in_vision = vision[
            "lm_head.weight" if name == "lm_head.weight" else f"{LANGUAGE}{name[6:]}"
        ]
        same = [torch.equal(tensor, other) for other in (japanese[name], in_vision)]
        assert same == [name in {"lm_head.weight", "model.embed_tokens.weight"}] * 2, name


def test_the_same_seed_gives_the_same_files(home: Path, tmp_path: Path) -> None:
    """Trained twice, each file is equal; another seed gives other weights."""
    for name in ("base", "vision"):
        again = make(tmp_path, 3, name, SHORT, log=quiet)  # type: ignore[arg-type]
        for file in again.iterdir():
            assert digest_file(file) == digest_file(home / again.name / file.name), file
    other = make(tmp_path, 4, "base", SHORT, log=quiet)
    assert digest_file(other / "model.safetensors") != digest_file(
        tmp_path / "base-seed3/model.safetensors"
    )


def test_a_parent_that_is_there_is_not_trained_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call finds the folder."""
    monkeypatch.setattr(parents, "_train_into", lambda *_: pytest.fail("trained again"))
    assert make(home, 3, "vision", SHORT, log=quiet).is_dir()


@pytest.mark.parametrize(("part", "others"), [("vision", {"vision"}), ("base", set(SHORT))])
def test_a_parent_of_other_settings_is_trained_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, part: str, others: set[str]
) -> None:
    """Its own settings, or its base's: what is there is replaced, and no other parent."""
    trained: list[str] = []
    monkeypatch.setattr(parents, "_train_into", lambda _into, _base, name, *_: trained.append(name))
    shutil.copytree(home, copy := home.parent / f"changed-{part}")
    changed = {**SHORT, part: replace(SHORT[part], rate=1e-4)}
    for name in ("base", "japanese", "vision"):
        make(copy, 3, name, changed, log=quiet)  # type: ignore[arg-type]
    assert set(trained) == others & {"base", "japanese", "vision"}


def test_a_parent_of_unknown_settings_is_trained_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions kept them."""
    monkeypatch.setattr(
        parents, "_train_into", lambda into, *_: (into / "README.md").write_text("new")
    )
    shutil.copytree(home / "base-seed3", tmp_path / "base-seed3")
    (tmp_path / "base-seed3" / KEY).unlink()
    assert (make(tmp_path, 3, "base", SHORT, log=quiet) / "README.md").read_text() == "new"
    assert not (tmp_path / "base-seed3/model.safetensors").exists()
