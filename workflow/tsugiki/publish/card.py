"""The model card: metadata for the Hub, and a page that says what the model is and how it came about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from tsugiki import __version__
from tsugiki.config.licences import ADVICE, TABLE, Verdict, described, licence_of
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Ranked
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe
from tsugiki.finalists.table import (
    FinalTable,
    Row,
    ahead,
    choice,
    ranked_rows,
    shown,
    shown_p,
    shown_range,
)
from tsugiki.merge.registry import METHODS
from tsugiki.models.checks.architecture import NAME_OF_BASE
from tsugiki.models.kinds.kind import Kind
from tsugiki.publish.sources import Source, Sources

LONGEST = 20_000
"""Characters of a recipe that are shown on the page."""


@dataclass(frozen=True)
class Published:
    """All that a card tells of."""

    name: str
    config: RunConfig
    recipe: AnyRecipe
    weights: str
    """Digest of the weights."""
    found: Sources
    verdict: Verdict
    table: FinalTable
    candidate: tuple[str, Ranked | None] | None
    """Stage and ledger entry of a candidate that is published instead of the winner."""
    template: str | None
    """SHA-256 of the chat template; None if the model has none."""
    lender: str | None
    """The parent, or the file, that it is from, if that is not the owner of all else."""
    kind: Kind
    """What kind of model it is."""
    merged: tuple[str, ...]
    """Its components that are merged, if it has components."""
    source: str | None
    """Git commit of tsugiki that made the run, where it is known."""

    @property
    def task(self) -> str:
        """What the Hub calls its use."""
        if self.kind.output == "images":
            return "text-to-image"
        return "image-text-to-text" if self.kind.sees else "text-generation"

    @property
    def row(self) -> Row | None:
        """Of the final table; None for a candidate that was no finalist."""
        return next((row for row in self.table.rows if row.recipe == self.recipe.digest), None)


def model_card(one: Published) -> bytes:
    """The content of README.md."""
    return f"---\n{_metadata(one).to_yaml()}\n---\n\n{chr(10).join(_page(one))}\n".encode()


def _metadata(one: Published) -> ModelCardData:
    languages = [
        language for source in one.found.models if source.card for language in source.card.languages
    ]
    methods = {recipe.method for recipe in (one.recipe, *one.found.stages.values())}
    return ModelCardData(
        base_model=_named_on_hub(one.found.models) or None,
        base_model_relation="merge",
        language=list(dict.fromkeys(languages)) or None,
        library_name="diffusers" if one.kind.output == "images" else "transformers",
        license=one.verdict.license,
        license_name=one.verdict.name,
        license_link=one.verdict.link,
        pipeline_tag=one.task,
        tags=["merge", "evolutionary-model-merging", "tsugiki", *sorted(methods)],
        model_name=one.name,
        eval_results=list(_results(one)) or None,
    )


def _named_on_hub(sources: Sequence[Source]) -> list[str]:
    """The models on the Hub that a merge goes back to: a source itself, or what the card of one that lies elsewhere names."""
    named = (
        [source.hub] if source.hub else source.card.base_models if source.card else ()
        for source in sources
    )
    return list(dict.fromkeys(name for names in named for name in names))


def _results(one: Published) -> Iterator[EvalResult]:
    if one.row is None:
        return
    for measure in one.config.evaluation.measured:
        if (score := one.row.test.get(measure.name)) is not None:
            task = str(getattr(measure, "task", measure.name))
            metric = str(getattr(measure, "metric", measure.name)).partition(",")[0]
            yield EvalResult(
                task_type=one.task if one.kind.output == "images" else "text-generation",
                dataset_type=task,
                dataset_name=f"{task}, held-out documents of run {one.config.name}",
                metric_type=metric,
                metric_name=measure.name,
                metric_value=round(score.value, 6),
            )


def _page(one: Published) -> Iterator[str]:
    yield f"# {one.name}\n"
    yield (
        f"A merge of {len(one.found.models)} models by {_method(one.recipe)}, found by evolutionary search "
        f"with tsugiki {__version__}. No training took place, and the model needs no code of its own.\n"
    )
    for source in one.found.models:
        licence = licence_of(source.card)
        if licence is not None and licence.built_with:
            yield f"**{licence.built_with}**\n"
    yield from _parents(one)
    yield from _licence(one)
    yield from _scores(one)
    yield from _recipe(one)
    yield from _search(one)
    yield from _reproduce(one)


def _method(recipe: AnyRecipe) -> str:
    if isinstance(recipe, DataflowRecipe):
        return f"a path of {len(recipe.path)} layers through them (data-flow space)"
    return f"`{recipe.method}` ({METHODS[recipe.method].paper})"


def _parents(one: Published) -> Iterator[str]:
    yield "## Made from\n"
    yield "| model | revision | licence | SHA-256 of its files |\n|---|---|---|---|"
    for source in one.found.models:
        link = (
            f"[{source.hub}](https://huggingface.co/{source.hub})" if source.hub else source.title
        )
        made = f", itself made from {', '.join(source.card.base_models)}" if (
            source.card and source.card.base_models
        ) else ""  # fmt: skip
        yield (
            f"| `{source.name}`: {link}{made} | {source.locked.commit or 'a folder'} "
            f"| {described(source.card)} | `{source.locked.digest}` |"
        )
    owner = one.recipe.owner
    stage = one.config.stage(owner)
    owner = owner if stage is None else one.config.owner(stage)
    yield f"\n{_of_owner(one, owner)} [CITATION.cff](CITATION.cff) names all models that this one is made from.\n"


def _of_owner(one: Published, owner: str) -> str:
    """What a model has that is not merged, and whose it is."""
    if one.kind.layout.parts:
        return (
            f"Merged: {', '.join(one.merged)}. All other components and all settings are those of `{owner}`, with "
            f"which the model was evaluated. diffusers loads the whole: `DiffusionPipeline.from_pretrained`."
        )
    template = (
        f"The chat template (SHA-256 `{one.template}`) is that of `{one.lender or owner}`, unchanged."
        if one.template
        else "There is no chat template."
    )
    return (
        f"Configuration, tokenizer and generation settings are those of `{owner}`, with which the model was "
        f"evaluated. {template}"
    )


def _licence(one: Published) -> Iterator[str]:
    how = "stated by the publisher" if one.verdict.stated else "from the parents' licences"
    yield f"## Licence\n\n{one.verdict.name or one.verdict.license}, {how}: {one.verdict.reason}."
    yield f"This is how tsugiki's table of licences sees it: {ADVICE}.\n"
    for source in one.found.models:
        licence = licence_of(source.card)
        if licence is not None and TABLE[licence.id].kind == "custom":
            yield (
                f"`{source.name}` is under {licence.id}, which has terms of its own, limits of use among them. "
                "They hold for this model, too.\n"
            )


def _scores(one: Published) -> Iterator[str]:
    table = one.table
    yield "## Scores on held-out documents\n"
    if one.candidate is not None:
        yield from _candidate(one, *one.candidate)
    confidence = f"{table.confidence:.0%}"
    for on in table.comparisons:
        better = "larger" if on.goal == "maximize" else "smaller"
        yield f"{on.objective} ({better} is better):\n"
        yield (
            f"| model | kind | candidates tried | score | {confidence} interval | winner ahead by | p (Holm) |"
            "\n|---|---|---|---|---|---|---|"
        )
        for row in ranked_rows(table, on):
            score, against = row.test.get(on.objective), row.of(on.objective).against_winner
            lead = None if against is None else ahead(on, against)
            this = row.recipe == one.recipe.digest
            cells = (
                f"**{row.name}** (this model)" if this else row.name,
                row.kind,
                "" if row.tried is None else str(row.tried),
                "failed" if score is None else shown(score.value),
                "" if score is None else shown_range(score),
                "" if lead is None else f"{shown(lead.value)} ({shown_range(lead)})",
                "" if lead is None else shown_p(lead.p_holm),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""
    yield f"{choice(table)}\n"


def _candidate(one: Published, stage: str, ranked: Ranked | None) -> Iterator[str]:
    yield (
        f"This model is a candidate of stage `{stage}`{f' ({ranked.id})' if ranked else ''}, and not the winner of "
        "its run."
    )
    if one.row is None:
        yield "It was not scored on held-out documents; on those of the search, which chose it, it has:\n"
        outcome = ranked.outcome if ranked is not None else None
        if isinstance(outcome, Scored):
            for name, value in outcome.overall.measured.items():
                yield f"- {name}: {shown(value.value)} ({value.items} documents)"
        yield "\nThe run's other models on held-out documents:"
    yield ""


def _recipe(one: Published) -> Iterator[str]:
    text = one.recipe.to_json().decode().strip()
    yield f"## Recipe\n\n[recipe.json](recipe.json), SHA-256 of its value `{one.recipe.digest}`."
    if len(text) <= LONGEST:
        yield f"\n<details><summary>show</summary>\n\n```json\n{text}\n```\n\n</details>\n"
    for stage in reversed(one.found.stages):
        yield f"`{stage}` in it is the best model of an earlier stage: lineage/recipe-{stage}.json.\n"


def _search(one: Published) -> Iterator[str]:
    evaluation = one.config.evaluation
    yield "## How it was searched\n"
    yield f"- seed {one.config.seed}"
    for stage in one.config.stages:
        yield f"- stage `{stage.name}`: {_stage(stage)}"
    items = evaluation.items
    yield (
        f"- documents of each task: {items.search} for the search, {items.validation} for the choice, "
        f"{items.test} held out"
    )
    for measure in evaluation.objectives:
        yield f"- objective `{measure.name}`, weight {measure.weight:g}: {_evaluated(measure)}"
    yield "\nAll settings are in [lineage/config.yaml](lineage/config.yaml).\n"


def _stage(stage: Stage) -> str:
    strategy = stage.strategy.model_dump(mode="json")
    kind = strategy.pop("kind")
    settings = ", ".join(
        f"{key} {json.dumps(value)}" for key, value in strategy.items() if value is not None
    )
    method = getattr(stage.space, "method", None)
    space = f"parameters of `{method}`" if method else "paths through layers"
    merged = ", ".join(stage.members)
    return f"{space} over {merged}; `{kind}` ({settings}), at most {stage.budget.generations} generations"


def _evaluated(measure: object) -> str:
    fields = [
        f"{key} `{getattr(measure, key)}`"
        for key in ("task", "metric", "function")
        if getattr(measure, key, None)
    ]
    return ", ".join(fields) or "see lineage/config.yaml"


def _reproduce(one: Published) -> Iterator[str]:
    places = " ".join(
        f"--models {name}=FOLDER"
        for name in dict.fromkeys([*(ref.name for ref in one.recipe.models), one.recipe.owner])
    )
    yield "## How to reproduce it\n"
    if one.found.stages:
        names = ", ".join(f"lineage/recipe-{stage}.json" for stage in one.found.stages)
        yield f"Merge the earlier stages first, in the same way: {names}.\n"
    accepted = "".join(
        f" --accept-differences {key}"
        for key in one.config.accept_differences
        if key != NAME_OF_BASE
    )
    yield f"```sh\ntsugiki merge recipe.json {places}{accepted} --out again\n```\n"
    if any(source.locked.prepared for source in one.found.models):
        yield (
            "Some parents were prepared before they were merged (adapters, one vocabulary); `tsugiki parents` with "
            "lineage/config.yaml does the same again.\n"
        )
    yield f"It prints the digest of the weights: `{one.weights}`."
    made = f", source {one.source}" if one.source else ""
    yield (
        f"The run used the versions in [lineage/environment.json](lineage/environment.json){made}. The search itself "
        "runs again with lineage/config.yaml and the same tasks; lineage/ has the digests of all parents and documents."
    )
