"""The first prompts of each task as each parent is asked them, with tokens, ends and stop texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.evaluator import Evaluator
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.evaluators.tasks import refuse
from tsugiki.evaluate.offline import without_network
from tsugiki.evaluate.pictures import pictures_in
from tsugiki.evaluate.readers import Reader, open_readers, token_texts
from tsugiki.evaluate.sampling import Draw


def render_prompts(config: RunConfig, count: int) -> str:
    """The first prompts of a run's tasks, as text; nothing is merged, and nothing generated.

    Raises:
        ConfigError: a task or a tokenizer cannot be loaded, or a prompt not be rendered.
        InfrastructureError: the documents of a task are not on this machine.
    """
    faults: list[ConfigError] = []
    notes: list[str] = []
    with without_network():
        readers = open_readers(config, faults, notes)
        refuse(faults)
        if not readers:
            raise ConfigError(
                "no parent whose tokenizer is on this machine has a chat template",
                where="evaluation.apply_chat_template",
                fix="fetch the parents with `tsugiki parents CONFIG`, or set `evaluation.chat_template`",
            )
        lines = [f"note: {note}" for note in notes]
        for evaluator in Evaluators(config.evaluation).opened:
            for name in dict.fromkeys(one.task for one in evaluator.objectives):
                ids = list(range(min(count, _size(evaluator, name))))
                if isinstance(evaluator, Harness):
                    refuse(list(evaluator.faults(name, ids, readers)))
                for reader in readers:
                    lines += _of_reader(name, reader, evaluator.requests(reader, name, ids))
    return "\n".join(lines)


def _size(evaluator: Evaluator, name: str) -> int:
    """Documents of a source; pictures of lm-eval's tasks are not opened for it."""
    if isinstance(evaluator, Harness):
        return sum(pool.size for pool in evaluator.sources[name].pools.values())
    return len(evaluator.documents()[name].hashes)


def _of_reader(task: str, reader: Reader, requests: list[Any]) -> Iterator[str]:
    yield f"{task}, {reader.name or 'plain text'}"
    if not requests:
        yield "  a function asks the model itself"
        return
    known = reader.name != ""
    if known:
        yield f"  answers end at the tokens {token_texts(reader, reader.ends)}"
    for request in {repr(one.args): one for one in requests}.values():  # of objectives alike, once
        prompt = str(request.args[0])
        place = request.idx if request.doc_id is None else request.doc_id
        yield f"  document {place}: {prompt!r}"
        if known:
            ids = reader.encode(prompt)
            begins = reader.tokenizer.bos_token_id
            of_them = "" if begins is None else f", {ids.count(begins)} of them BOS"
            yield f"    {len(ids)} tokens{of_them}: {' '.join(map(str, ids))}"
        if shown := pictures_in(request):
            sizes = ", ".join(f"{one.image.width} x {one.image.height}" for one in shown)
            seen = (
                f": {reader.count(prompt, shown)} tokens with them" if reader.sees else ", not seen"
            )
            yield f"    pictures of {sizes} pixels{seen}"
        if request.request_type == "generate_until":
            settings = request.args[1]
            yield f"    stop texts {settings.get('until') or []}, {_limit(settings)}"
            if isinstance(request.args[0], Draw):
                yield f"    {request.repeats} sampled answers"
        elif request.request_type == "loglikelihood":
            yield f"    continuation {request.args[1]!r}"
        else:
            yield "    a text that is predicted whole"


def _limit(settings: dict[str, Any]) -> str:
    known = {name: value for name, value in settings.items() if name != "until"}
    return ", ".join(f"{name} {value}" for name, value in known.items())
