"""Objectives whose documents are a file, with a tiny model, beside lm-eval's tasks of the same documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.conftest import MakeRun
from tests.evaluate.evaluators.test_functions import scored
from tests.evaluate.test_chat import write_chat_tokenizer
from tests.parents.checkpoints import write_llama
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import read_part
from tsugiki.evaluate.evaluators.corpus import Corpus
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.preflight import check_tasks

TASKS = {
    "rolling": """
task: rolling
dataset_path: json
dataset_kwargs: {data_files: {test: "FOLDER/texts.jsonl"}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}, {metric: byte_perplexity}, {metric: word_perplexity}]
""",
    "choosing": """
task: choosing
dataset_path: json
dataset_kwargs: {data_files: {test: "FOLDER/questions.jsonl"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts and questions, and lm-eval's tasks over them."""
    texts = [{"text": " ".join(f"w{(n * k) % 60}" for k in range(1, 4 + n % 5))} for n in range(30)]
    questions = [
        {
            "question": f"w{n} w{(7 * n) % 60}",
            "choices": ["w3", "w5 w7 w9", "w11 w13"],
            "answer": n % 3,
        }
        for n in range(30)
    ]
    for name, rows in (("texts", texts), ("questions", questions)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, text in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(text.replace("FOLDER", str(tmp_path)))
    return tmp_path


def section(folder: Path, *objectives: dict[str, Any]) -> dict[str, Any]:
    """A section `evaluation` of these objectives; a relative file of documents is in the folder."""
    for one in objectives:
        for key in ("corpus", "choices", "code", "judged"):
            if key in one:
                one[key] = str(folder / one[key])
    return {
        "task_paths": [str(folder)],
        "objectives": list(objectives),
        "items": {"search": 12, "validation": 5, "test": 6},
        "batch_size": 4,
        "device": "cpu",
    }


def test_a_corpus_has_lm_evals_perplexities(make_run: MakeRun, folder: Path) -> None:
    """Each of its three metrics has the value of a rolling task over the same texts."""
    metrics = ("bits_per_byte", "byte_perplexity", "word_perplexity")
    ours = [{"name": f"our-{one}", "corpus": "texts.jsonl", "metric": one} for one in metrics]
    theirs = [{"name": f"lm-{one}", "task": "rolling", "metric": f"{one},none"} for one in metrics]
    outcome, _, _ = scored(make_run(evaluation=section(folder, *ours, *theirs)))
    assert isinstance(outcome, Scored)
    for metric in metrics:
        # documents of equal content are divided alike, so both are of the same texts
        assert outcome.measured[f"our-{metric}"].value == pytest.approx(
            outcome.measured[f"lm-{metric}"].value, rel=1e-6
        )
    assert outcome.measured["our-bits_per_byte"].value > 0


def test_a_corpus_is_predicted_from_one_bos(folder: Path) -> None:
    """The tokenizer puts one, and lm-eval another: the texts' own tokens are predicted from one, and no BOS."""
    write_llama(folder / "model")
    write_chat_tokenizer(folder / "model", None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    live = transformers.AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer.pad_token = tokenizer.eos_token
    corpus = Corpus(
        Evaluation.model_validate(section(folder, {"name": "loss", "corpus": "texts.jsonl"}))
    )
    model = LanguageModel(live, tokenizer, batch_size=4)
    (source,) = corpus.sources

    def likelihood_of(ids: list[int]) -> float:
        tokens = torch.tensor([ids])
        with torch.no_grad():
            return -float(live(tokens, labels=tokens).loss) * (len(ids) - 1)

    for record in corpus.score(model, {source: [0, 1, 2]}):
        text = corpus.sources[source][record.doc_id]["text"]
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids.count(tokenizer.bos_token_id)) == (tokenizer.bos_token_id, 1)
        likelihood, size = read_part(str(record.part))
        assert likelihood == pytest.approx(likelihood_of(ids), rel=1e-5)
        assert size == len(text.encode())
        assert record.prompt == text
    # lm-eval's own tasks are asked as lm-eval asks them
    asked = corpus.asked(corpus.objectives[0], model, [0])
    twice = [tokenizer.bos_token_id, *tokenizer(asked[0].args[0])["input_ids"]]
    assert model.loglikelihood_rolling(asked) == pytest.approx([likelihood_of(twice)], rel=1e-5)
    assert model.loglikelihood_of_texts(asked) == pytest.approx(
        [likelihood_of(twice[1:])], rel=1e-5
    )
    assert likelihood_of(twice) < likelihood_of(twice[1:]) - 1


def test_choices_have_lm_evals_accuracies(make_run: MakeRun, folder: Path) -> None:
    """Document by document, without normalisation and by characters."""
    ours = [
        {"name": f"our-{one}", "choices": "questions.jsonl", "normalization": one}
        for one in ("none", "characters", "bytes", "tokens")
    ]
    theirs = [
        {"name": f"lm-{one}", "task": "choosing", "metric": f"{one},none"}
        for one in ("acc", "acc_norm")
    ]
    _, run, recipe = scored(make_run(evaluation=section(folder, *ours, *theirs)))
    found: dict[str, list[Any]] = {}
    for row in read_samples(run.candidate(recipe).items).to_pylist():
        found.setdefault(row["objective"], []).append(row["value"])
    assert found["our-none"] == found["lm-acc"]
    assert found["our-characters"] == found["lm-acc_norm"] == found["our-bytes"]
    assert len({tuple(values) for values in found.values()}) > 1, "normalisation changes nothing"


@pytest.mark.parametrize(
    ("kind", "document", "told"),
    [
        ("corpus", {"text": " "}, "a text that is not empty"),
        ("choices", {"question": "w1", "choices": ["w2"], "answer": 0}, "at least two"),
        ("choices", {"question": "w1", "choices": ["w2", "w3"], "answer": 2}, "from 0 to 1"),
        ("code", {"prompt": "w1"}, "`tests`"),
        ("code", {"prompt": "w1", "tests": "1", "entry_point": "a b"}, "`entry_point`"),
    ],
)
def test_a_document_that_cannot_be_scored_is_named(
    make_run: MakeRun, tmp_path: Path, kind: str, document: dict[str, Any], told: str
) -> None:
    """With its file, its place, and what it lacks."""
    (tmp_path / "wrong.jsonl").write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        make_run(evaluation=section(tmp_path, {"name": "it", kind: "wrong.jsonl"}))
    assert told in str(caught.value)
    assert "wrong.jsonl, document 0" in str(caught.value)


def test_a_file_that_is_not_there_is_told_before_the_run(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """By `tsugiki check`, with the key; and so are two kinds of objectives over one file."""
    for objectives, told in (
        ([{"name": "it", "corpus": "none.jsonl"}], "none.jsonl"),
        (
            [{"name": "a", "corpus": "x.jsonl"}, {"name": "b", "choices": "x.jsonl"}],
            "several kinds",
        ),
    ):
        tiny_config["evaluation"] = section(tmp_path, *objectives)
        with pytest.raises(ConfigError, match=told):
            validate_config(parse_config(tiny_config, where="test"), where="test")


def test_check_finds_nothing_wrong_with_right_files(
    tiny_config: dict[str, Any], folder: Path
) -> None:
    """Without a model."""
    tiny_config["evaluation"] = section(
        folder,
        {"name": "loss", "corpus": "texts.jsonl"},
        {"name": "right", "choices": "questions.jsonl"},
    )
    assert check_tasks(parse_config(tiny_config, where="test")).faults == []
