"""Candidates of a run scored again, from the locked parents and documents, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsugiki.audit.agreement import Agreement, Circumstances, Verdict, compare, favours
from tsugiki.audit.finding import place
from tsugiki.config.evaluation import FunctionObjective
from tsugiki.config.file_objectives import CodeObjective, JudgeObjective
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import EVOLVED, TEST, CandidateFiles, RunFiles
from tsugiki.contracts.ledger import Entry, entries, read_outcome
from tsugiki.contracts.outcome import Scored, read_cost
from tsugiki.contracts.population import Ranked
from tsugiki.contracts.samples import read_samples
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.keyed import key64
from tsugiki.parents.run_models import merged_stages


@dataclass(frozen=True)
class Rescored:
    """What came of all candidates that were scored again."""

    found: tuple[Agreement, ...]

    @property
    def favoured(self) -> str | None:
        """Whether changed scores favour the record, in words."""
        return favours(self.found)

    @property
    def verdict(self) -> Verdict:
        """The worst one of any candidate; `contradicts` also if changed scores favour the record."""
        verdicts = {one.verdict for one in self.found}
        if "contradicts" in verdicts or self.favoured is not None:
            return "contradicts"
        return "rounding" if "rounding" in verdicts else "agrees"


def rescore(
    files: RunFiles,
    config: RunConfig,
    count: int,
    *,
    key: str = "",
    log: Callable[[str], None] = lambda _: None,
) -> Rescored:
    """Score some candidates again, and compare them with what is recorded of them.

    They are the winner on the test documents, if the run has come so far, and others that the key draws from
    all phases. Nothing in the run's folder is written.

    Args:
        files: The run.
        config: Its configuration.
        count: How many candidates; all if there are no more.
        key: Another one draws others. Whoever changed a record may have known the usual one.
        log: Takes a line for every candidate.

    Raises:
        LineageError: a file of the run is damaged, or a model's files are not those that were locked.
        ParentError: a model's files are not on this machine.
    """
    drawn = draw(files, config, count, key)
    evaluation = decided_evaluation(config, files.items)
    # what is merged through a file is the same model; one job is asked for each candidate by name
    storage = "memory" if evaluation.storage == "memory" else "scratch"
    here = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"storage": storage, "jobs": 1})}
    )
    known = Circumstances(
        loose={
            one.name
            for one in evaluation.measured
            if isinstance(one, FunctionObjective | JudgeObjective | CodeObjective)
        },
        signs={one.name: one.sign for one in evaluation.measured},
    )
    found: list[Agreement] = []
    with TemporaryDirectory(dir=files.root.parent, prefix=".rescore-") as folder:
        copy = RunFiles(Path(folder))
        _link(files, copy, config)
        evaluator = ShardEvaluator(copy, here, job=0) if drawn else None
        # a phase after another, since models are held for a phase
        for one in sorted(drawn, key=lambda one: config.phases.index(one.phase)):
            assert evaluator is not None
            found.append(_again(evaluator, files, copy, here, one, known))
            log(str(found[-1]))
    return Rescored(tuple(found))


@dataclass(frozen=True)
class Drawn:
    """A candidate in the generation that scored it first."""

    phase: str
    entry: Entry
    ranked: Ranked
    """In the entry."""

    def order(self, config: RunConfig, key: str) -> tuple[bool, int]:
        """Sorts the winner's test first, then the others as the key has them."""
        winner = self.phase == TEST and any(
            one.recipe == self.ranked.recipe and one.origin.get("name") == EVOLVED
            for one in self.entry.population.candidates
        )
        return not winner, key64("rescore", key, config.name, self.phase, self.ranked.recipe)


def draw(files: RunFiles, config: RunConfig, count: int, key: str) -> list[Drawn]:
    """The winner on the test documents, if it was scored, and others that the key draws from all phases.

    Raises:
        LineageError: a file of the ledger is damaged.
    """
    return sorted(_scored(files, config), key=lambda one: one.order(config, key))[:count]


def _scored(files: RunFiles, config: RunConfig) -> Iterator[Drawn]:
    for phase in config.phases:
        seen: set[str] = set()
        for entry in entries(files.phase(phase)):
            for ranked in entry.ranked:
                if ranked.recipe not in seen:
                    yield Drawn(phase, entry, ranked)
                    seen.add(ranked.recipe)


def _link(files: RunFiles, copy: RunFiles, config: RunConfig) -> None:
    """What candidates are scored by: locks, documents, and best models that later stages merge."""
    pairs = [(files.parents, copy.parents), (files.items, copy.items)]
    for stage in merged_stages(config):
        of, its = files.phase(stage), copy.phase(stage)
        pairs += [(of.best_lock, its.best_lock), (of.best, its.best)]
    for source, target in pairs:
        _link_one(source, target)


def _link_one(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def _again(
    evaluator: ShardEvaluator,
    files: RunFiles,
    copy: RunFiles,
    config: RunConfig,
    one: Drawn,
    known: Circumstances,
) -> Agreement:
    """Score a candidate as its first generation did: rung by rung, of the same documents."""
    folder, its = files.phase(one.phase), copy.phase(one.phase)
    rungs = config.evaluation.rungs if config.stage(one.phase) is not None else None
    before = list(range(len(rungs.documents) - 1)) if rungs is not None else []
    for number in range(one.entry.number + 1):
        of, to = folder.generation(number), its.generation(number)
        _link_one(of.population, to.population)
        for rung in before:
            _link_one(of.promotion(rung), to.promotion(rung))
    for candidate in one.entry.population.candidates:
        recipe = candidate.recipe
        _link_one(folder.candidate(recipe).recipe, its.candidate(recipe).recipe)
    last = one.ranked.outcome.rung
    steps: list[int | None] = [*before, None] if last is None else [*before[: last + 1]]
    for step in steps:
        evaluator.evaluate(
            one.phase, one.entry.number, rung=step, only={one.ranked.recipe}, log=lambda _: None
        )
    recorded, scored = (
        at.candidate(one.ranked.recipe)
        .of(config.own_documents(one.phase, one.entry.number))
        .at(last)
        for at in (folder, its)
    )
    return compare(
        place(files, recorded.root),
        (one.ranked.outcome, _rows(recorded, one.ranked.outcome)),
        (now := read_outcome(scored.outcome), _rows(scored, now)),
        replace(known, machine=_machine(recorded, scored)),
    )


def _rows(folder: CandidateFiles, outcome: Any) -> list[dict[str, Any]]:
    return read_samples(folder.items).to_pylist() if isinstance(outcome, Scored) else []


def _machine(recorded: CandidateFiles, again: CandidateFiles) -> str | None:
    """What both were scored on, if costs name the same GPU or the same processor's host.

    Which processor a host has, costs do not say; so another host may have another one.
    """
    then, now = read_cost(recorded.cost), read_cost(again.cost)
    if then is None or now is None or then.device != now.device:
        return None
    if then.device != "cpu":
        return then.device
    return f"host {then.host}" if then.host == now.host else None
