"""Objectives that are a model's loss on texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_aggregation

from tsugiki.config.file_objectives import CorpusObjective, FileObjective
from tsugiki.contracts.samples import Sample
from tsugiki.evaluate.aggregation import Aggregation, write_part
from tsugiki.evaluate.evaluators.own_documents import Document, FromFile

AGGREGATIONS = {
    "bits_per_byte": "bits_per_byte",
    "byte_perplexity": "weighted_perplexity",
    "word_perplexity": "weighted_perplexity",
}
"""lm-eval's aggregation of each metric."""


class Corpus(FromFile[CorpusObjective]):
    """Evaluator of the perplexities that lm-eval's tasks of the type `loglikelihood_rolling` have.

    A text is read in windows as long as the model allows, each token predicted once. What a document
    contributes is its log-likelihood (nats) and its number of bytes or words; the value is of the sums.
    """

    key: ClassVar[str] = "corpus"
    kind: ClassVar[type[FileObjective]] = CorpusObjective

    def aggregation(self, objective: CorpusObjective) -> Aggregation:
        """That of lm-eval's metric of the same name."""
        name = AGGREGATIONS[objective.metric]
        function = get_aggregation(name)
        assert function is not None
        return Aggregation(name, function)

    def wrong(self, objective: CorpusObjective, document: Document) -> str | None:
        """A text that is not empty."""
        text = document.get(objective.column)
        if isinstance(text, str) and text.strip():
            return None
        return f"a text that is not empty in the column `{objective.column}`"

    def answer(
        self, objective: CorpusObjective, model: Any, ids: Sequence[int]
    ) -> Iterator[Sample]:
        """Each text's log-likelihood."""
        texts = [str(one[objective.column]) for one in self.chosen(objective, ids)]
        requests = [
            Instance("loglikelihood_rolling", {}, (text,), place)
            for place, text in enumerate(texts)
        ]
        found = model.loglikelihood_rolling(requests, disable_tqdm=True)
        for place, text, likelihood in zip(ids, texts, found, strict=True):
            part = write_part([float(likelihood), _length(objective, text)])
            yield self.record(objective, place, value=None, part=part)


def _length(objective: CorpusObjective, text: str) -> int:
    """Bytes or words, counted as lm-eval counts them."""
    if objective.metric == "word_perplexity":
        return len(re.split(r"\s+", text))
    return len(text.encode())
