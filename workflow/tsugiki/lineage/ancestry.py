"""The ancestry of a candidate: generation by generation, through earlier stages, to the source models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import Data
from tsugiki.contracts.layout import EVOLVED, RunFiles
from tsugiki.contracts.ledger import Entry, entries
from tsugiki.contracts.locks import LockedParent, read_lock
from tsugiki.contracts.outcome import is_whole
from tsugiki.contracts.population import INJECTED, Candidate
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.errors import LineageError
from tsugiki.finalists.files import find_candidate, read_winner
from tsugiki.parents.run_models import read_stage_lock
from tsugiki.space.read import read_genome

LED = "leader"


class Ancestor(Data):
    """A candidate, and how it was made."""

    id: str
    """Such as `003-07`; `003-mean` is the mean that a search of three generations ended with."""
    recipe: str
    """Digest of its recipe."""
    operator: str
    """`drawn` (from the strategy's state), `crossed` (of several parents), `mutated` (of one), `kept` (one parent,
    unchanged), `again` (one of the best so far, scored on other documents), `injected` (from elsewhere). Runs that began
    with an earlier version name parents of the generation right before alone: whoever has only older ones is `drawn`."""
    parents: tuple[str, ...] = ()
    """Ids of its parents, in earlier generations."""
    state: str | None = None
    """Digest of the strategy's state that it was drawn from."""
    injected: str | None = None
    """What the configuration calls the place that it is from."""
    score: float | None = None
    """Weighted sum of the objectives; None where it failed, or the strategy weighs nothing."""
    measured: dict[str, float] = {}
    """By objective and monitor; empty where it failed, or has no score yet."""


class Drawn(Data):
    """A generation before a candidate's that shaped the state from which it, or an ancestor, was drawn."""

    generation: int
    state: str | None
    """Digest of the state that it was drawn from."""
    candidates: int
    """How many it has: the strategy was told of each."""
    best: str | None = None
    """Id of the best one, where a weighted sum says."""
    score: float | None = None
    """Its score."""


class Source(Data):
    """A model that no stage of the run has made."""

    name: str
    """As in the configuration."""
    digest: str
    """Of the files that are merged."""
    source: dict[str, Any]
    """Where it is from."""
    commit: str | None = None
    """Its revision on the Hub."""
    made_from: tuple[str, ...] = ()
    """Locked models that it was prepared from: an adapter's base, say."""
    license: str | None = None
    """As the lock has it; None if that does not say."""


class Ancestry(Data):
    """Where a candidate comes from."""

    stage: str
    strategy: str
    """Kind of the stage's strategy."""
    method: str
    """Merge method, or `dataflow`."""
    ancestors: tuple[Ancestor, ...]
    """The candidate itself, then all that it descends from in this stage, the latest first."""
    drawn: tuple[Drawn, ...] = ()
    """Where some were drawn from a state: the generations that it learnt from, the latest first."""
    begins: dict[str, str] = {}
    """Where the search started, and what was put into its first generation, if it was another recipe than
    the configuration's own start: digest of each recipe, by where it is from."""
    sources: tuple[Source, ...] = ()
    """Models of its recipe that no stage has made."""
    stages: tuple[Ancestry, ...] = ()
    """Ancestry of the winners of earlier stages that are merged here."""


def ancestry(
    files: RunFiles, config: RunConfig, candidate: str = EVOLVED, stage: str | None = None
) -> Ancestry:
    """Trace a candidate back to the source models.

    Args:
        files: The run.
        config: Its configuration.
        candidate: Its id (`003-07`), the start of its recipe's digest, or `evolved`, the winner.
        stage: The stage; the last one if absent.

    Raises:
        LineageError: there is no such stage or candidate, or a file of the run is damaged.
    """
    name = stage or config.stages[-1].name
    if (its := config.stage(name)) is None:
        names = ", ".join(one.name for one in config.searches)
        raise LineageError("there is no such stage", expected=names, got=name)
    phase = files.phase(name)
    known = list(entries(phase))
    if candidate == EVOLVED:
        candidate = read_winner(files.phase(config.finalists_of(name))).recipe
    final = files.phase(config.finalists_of(name)).candidate(candidate)
    drawn = {one.recipe for entry in known for one in entry.population.candidates}
    if candidate not in drawn and final.recipe.is_file():  # the mean that the search ended with
        recipe = read_recipe(final.recipe)
        ancestors: tuple[Ancestor, ...] = (_mean(known, candidate),)
    else:
        found = find_candidate(known, candidate, where=f"stage {name}")
        recipe = read_recipe(phase.candidate(found.recipe).recipe)
        ancestors = tuple(_ancestors(known, found))
    last = max((_number(one.id) for one in ancestors if one.state), default=0)
    return Ancestry(
        stage=name,
        strategy=its.strategy.kind,
        method=recipe.method,
        ancestors=ancestors,
        drawn=tuple(_drawn(entry) for entry in reversed(known[:last])),
        begins=_begins(files, name),
        sources=tuple(_sources(files, config, recipe)),
        stages=tuple(
            ancestry(files, config, _made(files, ref.name), ref.name)
            for ref in recipe.models
            if config.stage(ref.name) is not None
        ),
    )


def _mean(known: list[Entry], recipe: str) -> Ancestor:
    """The final mean of a search, which is no candidate of a generation: all of them shaped it."""
    # the one after the last is drawn, and not scored; those after an early end have no candidates
    end = sum(bool(one.ranked) for one in known)
    state = known[min(end, len(known) - 1)].population.state
    return Ancestor(id=f"{end:03d}-mean", recipe=recipe, operator="drawn", state=state)


def _made(files: RunFiles, stage: str) -> str:
    """The recipe of a stage's best model, as it was locked when it was merged."""
    return str(read_stage_lock(files.phase(stage).best_lock).source["recipe"])


def _ancestors(known: list[Entry], candidate: Candidate) -> Iterator[Ancestor]:
    """A candidate and its ancestors, a generation at a time, each once."""
    wanted, number = {candidate.id}, _number(candidate.id)
    before = known[:number]
    genomes = {one.id: one.genome for entry in before for one in entry.population.candidates}
    for entry in reversed(known[: number + 1]):
        ranked = {one.id: one for one in entry.ranked}
        for one in entry.population.candidates:
            if one.id not in wanted:
                continue
            its, operator = _made_by(one, genomes)
            wanted.update(its)
            scored, measured = ranked.get(one.id), dict[str, float]()
            if scored is not None and is_whole(scored.outcome):
                measured = {name: m.value for name, m in scored.outcome.measured.items()}
            drawn = operator == "drawn"
            yield Ancestor(
                id=one.id,
                recipe=one.recipe,
                operator=operator,
                parents=its,
                state=entry.population.state if drawn else None,
                injected=str(one.origin[INJECTED]) if INJECTED in one.origin else None,
                score=None if scored is None else scored.fitness,
                measured=measured,
            )


def _made_by(
    one: Candidate, before: Mapping[str, tuple[float, ...]]
) -> tuple[tuple[str, ...], str]:
    """Ids of a candidate's parents, and the operator."""
    if LED in one.origin:
        return (str(one.origin[LED]),), "again"
    if INJECTED in one.origin:
        return (), "injected"
    parents = tuple(dict.fromkeys(one.origin.get("parents", ())))
    if not parents:
        return (), "drawn"
    if len(parents) > 1:
        return parents, "crossed"
    return parents, "kept" if before.get(parents[0]) == one.genome else "mutated"


def _drawn(entry: Entry) -> Drawn:
    scored = [one for one in entry.ranked if one.fitness is not None]
    best = max(scored, key=lambda one: one.fitness or 0.0, default=None)
    return Drawn(
        generation=entry.number,
        state=entry.population.state,
        candidates=sum(not one.leads for one in entry.population.candidates),
        best=None if best is None else best.id,
        score=None if best is None else best.fitness,
    )


def _begins(files: RunFiles, stage: str) -> dict[str, str]:
    space = files.phase(stage).space
    if not space.is_file():
        return {}
    return {f"{one.name}: {one.source}": one.recipe for one in read_genome(space).known}


def _sources(files: RunFiles, config: RunConfig, recipe: AnyRecipe) -> Iterator[Source]:
    lock = read_lock(files.parents)
    for ref in sorted(recipe.models, key=lambda one: one.name):
        if config.stage(ref.name) is None:
            yield _source(ref.name, ref.digest, lock.parents.get(ref.name))


def _source(name: str, digest: str, locked: LockedParent | None) -> Source:
    if locked is None:
        return Source(name=name, digest=digest, source={})
    made, card = locked.prepared, locked.card
    return Source(
        name=name,
        digest=digest,
        source={key: value for key, value in locked.source.items() if value not in (None, {}, [])},
        commit=locked.commit,
        made_from=tuple(made.made_from) if made is not None else (),
        license=None if card is None else card.license_name or card.license or card.text,
    )


def _number(candidate: str) -> int:
    """The generation in a candidate's id."""
    return int(candidate.partition("-")[0])


def render(found: Ancestry, indent: str = "") -> str:
    """The ancestry as text."""
    lines = [f"stage {found.stage}: {found.strategy} over {found.method}"]
    generation = None
    for one in found.ancestors:
        if _number(one.id) != generation:
            generation = _number(one.id)
            lines.append(f"  generation {generation}")
        lines.append(f"    {one.id} {one.recipe[:12]}  {_score(one)}  {_how(one)}")
    if found.drawn:
        lines.append("  states that were drawn from learnt from")
    for step in found.drawn:
        best = "" if step.score is None else f", best {step.best} {step.score:.4f}"
        state = "" if step.state is None else f", drawn from state {step.state[:12]}"
        lines.append(f"    generation {step.generation}: {step.candidates} candidates{best}{state}")
    lines += [f"  begins at {name} ({recipe[:12]})" for name, recipe in found.begins.items()]
    for source in found.sources:
        place = next(
            (str(source.source[key]) for key in ("hub", "path", "demo") if key in source.source),
            None,
        )
        place = place or ", ".join(f"{key} {value}" for key, value in source.source.items())
        commit = f" at {source.commit}" if source.commit else ""
        made = f", made from {', '.join(source.made_from)}" if source.made_from else ""
        licence = f", licence {source.license}" if source.license else ""
        lines.append(
            f"  model {source.name}: {place}{commit}{made}{licence} ({source.digest[:12]})"
        )
    text = "\n".join(indent + line for line in lines)
    return "\n".join([text, *(render(one, f"{indent}  ") for one in found.stages)])


def _score(one: Ancestor) -> str:
    if one.score is not None:
        return f"{one.score:.4f}"
    return ", ".join(f"{name} {value:.4f}" for name, value in one.measured.items()) or "no score"


def _how(one: Ancestor) -> str:
    match one.operator:
        case "drawn":
            return f"drawn from state {(one.state or '')[:12]}"
        case "injected":
            return f"injected from {one.injected}"
        case "again":
            return f"{one.parents[0]} again, on other documents"
        case _:
            return f"{one.operator}: {' and '.join(one.parents)}"
