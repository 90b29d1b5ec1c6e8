"""The loss on a corpus of texts as an objective."""

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
    """Evaluator of the perplexity metrics of lm-eval's `loglikelihood_rolling` tasks.

    A text is read in windows as long as the model allows, each token predicted once, the first from BOS. Where a
    tokenizer puts a BOS itself, such a task of lm-eval predicts that one too (since 0.4.10); this does not. What a
    document contributes is its log-likelihood (nats) and its number of bytes or words; the value is of the sums.
    """

    key: ClassVar[str] = "corpus"
    kind: ClassVar[type[FileObjective]] = CorpusObjective

    def identity(self) -> dict[str, Any]:
        """The objectives, and which tokens are predicted."""
        return {**super().identity(), "predicted": "tokens of the text alone"}

    def aggregation(self, objective: CorpusObjective) -> Aggregation:
        """That of lm-eval's metric of the same name."""
        name = AGGREGATIONS[objective.metric]
        function = get_aggregation(name)
        assert function is not None
        return Aggregation(name, function)

    def wrong(self, objective: CorpusObjective, document: Document) -> str | None:
        """Require a text that is not empty."""
        text = document.get(objective.column)
        if isinstance(text, str) and text.strip():
            return None
        return f"a text that is not empty in the column `{objective.column}`"

    def answer(
        self, objective: CorpusObjective, model: Any, ids: Sequence[int]
    ) -> Iterator[Sample]:
        """Each text's log-likelihood."""
        requests = self.asked(objective, model, ids)
        found = model.loglikelihood_of_texts(requests)
        for place, request, likelihood in zip(ids, requests, found, strict=True):
            text = request.args[0]
            part = write_part([float(likelihood), _length(objective, text)])
            yield self.record(objective, place, value=None, part=part, prompt=text)

    def asked(self, objective: CorpusObjective, model: Any, ids: Sequence[int]) -> list[Instance]:
        """The likelihood of each text."""
        del model
        return [
            Instance("loglikelihood_rolling", {}, (str(document[objective.column]),), place)
            for place, document in zip(ids, self.chosen(objective, ids), strict=True)
        ]


def _length(objective: CorpusObjective, text: str) -> int:
    """Bytes or words, counted as lm-eval counts them."""
    if objective.metric == "word_perplexity":
        return len(re.split(r"\s+", text))
    return len(text.encode())
