"""The first prompts of each task as each parent is asked them, with tokens, ends and stop texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError
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
        opened = Evaluators(config.evaluation).opened
        lines = [f"note: {note}" for note in notes]
        for harness in (one for one in opened if isinstance(one, Harness)):
            for name, source in harness.sources.items():
                ids = list(range(min(count, sum(pool.size for pool in source.pools.values()))))
                refuse(list(harness.faults(name, ids, readers)))
                for reader in readers:
                    lines += _of_reader(name, reader, harness.requests(reader, name, ids))
    return "\n".join(lines)


def _of_reader(task: str, reader: Reader, requests: list[Any]) -> Iterator[str]:
    yield f"{task}, {reader.name or 'plain text'}"
    known = reader.name != ""
    if known:
        yield f"  answers end at the tokens {token_texts(reader, reader.ends)}"
    for request in requests:
        prompt = str(request.args[0])
        yield f"  document {request.doc_id}: {prompt!r}"
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


def _limit(settings: dict[str, Any]) -> str:
    known = {name: value for name, value in settings.items() if name != "until"}
    return ", ".join(f"{name} {value}" for name, value in known.items())
