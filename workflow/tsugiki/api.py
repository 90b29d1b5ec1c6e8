"""The Python interface, for notebooks and scripts: merge, look at a run, search (see docs/python.md).

The command line calls the same functions. Libraries are imported where they are used, so that this
module takes no time to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame
    from torch import nn

    from tsugiki.audit.finding import Finding
    from tsugiki.audit.rescore import Rescored
    from tsugiki.config.run import RunConfig
    from tsugiki.contracts.layout import RunFiles
    from tsugiki.contracts.ledger import Entry
    from tsugiki.contracts.population import Candidate
    from tsugiki.contracts.recipe import AnyRecipe
    from tsugiki.lineage.ancestry import Ancestry
    from tsugiki.strategies.state import Array, State
    from tsugiki.strategies.strategy import Strategy

__all__ = ["Run", "Search", "merge", "merge_into", "open_run", "strategy"]

Place = str | Path


def merge(
    source: Place | AnyRecipe | Mapping[str, Any],
    out: Place,
    models: Mapping[str, Place] | None = None,
    *,
    threads: int = 1,
    accept_differences: Collection[str] = (),
    log: Callable[[str], None] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> str:
    """Merge once and write the model to a folder, which appears as a whole or not at all.

    Args:
        source: recipe.json, or a recipe; or a mergekit configuration: a file (.yaml, .yml), or its
            content.
        out: Where the model goes. Only an empty folder or an earlier merge is replaced.
        models: Folder of each model, by name. For a mergekit configuration, which has folders
            itself, it names them, or says where a repository of the Hub is.
        threads: CPU threads. The bytes do not depend on them.
        accept_differences: Settings of config.json in which the models may differ.
        log: Takes lines on what is done, such as `print`.
        progress: Called after each tensor: tensors written, all tensors, bytes written.

    Returns:
        Digest of the weights.

    Raises:
        ConfigError: `out` may not be replaced, or the method does not exist.
        RecipeError: the source describes no valid merge, or a model is not given.
        ParentError: a model cannot be read, or does not fit the others.
        LineageError: a model is not the one that the recipe was made for.
        InfrastructureError: the disk is full or fails.
    """
    from tsugiki.contracts.data import folder_of
    from tsugiki.merge.write import write_merge
    from tsugiki.steps.best import describe_folding, measure_folding
    from tsugiki.steps.merge_once import open_single

    log, place = log or _nothing, folder_of(str(out))
    one = open_single(source, _texts(models), place, log=log, accepted=accept_differences)
    weights = write_merge(
        one.recipe,
        one.folders,
        one.digests,
        place,
        replace=one.replace,
        threads=threads,
        progress=progress,
    )
    if (measured := measure_folding(one.recipe, one.folders, one.digests)) is not None:
        log(describe_folding(measured))
    return weights


def merge_into(
    model: nn.Module,
    source: Place | AnyRecipe | Mapping[str, Any],
    models: Mapping[str, Place] | None = None,
    *,
    threads: int = 1,
    accept_differences: Collection[str] = (),
    log: Callable[[str], None] | None = None,
) -> str:
    """Merge once into a live model: its weights are overwritten in place, and nothing is written.

    Args:
        model: A transformers model of the architecture of the one that gives the configuration
            (the recipe's `tokenizer`), in the recipe's number format or float32, on any device.
        source: As for `merge`, but no path through layers.
        models: As for `merge`.
        threads: As for `merge`.
        accept_differences: As for `merge`.
        log: As for `merge`.

    Returns:
        Digest of the weights: the one that `merge` returns.

    Raises:
        RecipeError: the source describes no valid merge, or a path through layers, which makes a
            model of its own; or a model is not given.
        ParentError: a model cannot be read, does not fit the others, or `model` does not.
        LineageError: a model is not the one that the recipe was made for.
    """
    from tsugiki.contracts.recipe import Recipe, names_in
    from tsugiki.errors import RecipeError
    from tsugiki.merge.in_place import InPlaceMerger
    from tsugiki.steps.merge_once import open_single

    one = open_single(source, _texts(models), log=log or _nothing, accepted=accept_differences)
    if not isinstance(one.recipe, Recipe):
        raise RecipeError(
            "a path through layers makes a model of its own, and fits into no other",
            fix="write it to a folder, and load it from there",
        )
    names = names_in(one.recipe.models)
    merger = InPlaceMerger(one.folders, one.digests, names=names)
    return merger.load_into(one.recipe, model, threads=threads)


def open_run(place: Place) -> Run:
    """Open a run, whether it goes on or has ended.

    Args:
        place: Its folder, results/<run>; or its configuration file.

    Raises:
        ConfigError: there is none, or its configuration is not valid.
    """
    from tsugiki.config.load import read_config
    from tsugiki.contracts.data import folder_of
    from tsugiki.contracts.layout import RunFiles

    path = folder_of(str(place))
    if path.is_dir():
        files = RunFiles(path)
        return Run(files, read_config(files.config))
    config = read_config(path)
    return Run(RunFiles(config.folder), config)


@dataclass(frozen=True)
class Run:
    """A run's folder, read when it is asked.

    Attributes:
        files: Where its files are.
        config: Its configuration.
    """

    files: RunFiles
    config: RunConfig

    def __repr__(self) -> str:
        return f"Run({str(self.files.root)!r})"

    def status(self) -> str:
        """How far it has come, in words, with the final table if there is one.

        Raises:
            LineageError: a file of the run is damaged.
        """
        from tsugiki.progress.progress import status

        return status(self.files, self.config)

    def candidates(self, *stages: str) -> DataFrame:
        """A table with a row for each candidate, scored or not.

        Args:
            stages: Names of stages, or `baselines`, `finalists`, `test`; all stages if absent.

        Returns:
            Columns `stage`, `generation`, `id`, `recipe` (its digest), `name` (of baselines, finalists
            and test rows), `status` (`scored`, `failed`, `waiting`), `fitness`, `score.<objective or
            monitor>`, `rate.<rate>`, `failure` (kind) and `reason`, and `cost.<seconds, tokens, …>`. A
            recipe that is drawn again is not scored again, and its cost stands in its first row alone.

        Raises:
            LineageError: a file of the run is damaged.
        """
        from pandas import DataFrame

        names = stages or [stage.name for stage in self.config.stages]
        return DataFrame([row for name in names for row in self._rows(name)])

    def samples(self, candidate: str, stage: str | None = None) -> DataFrame:
        """A table with a row for each objective and document that a candidate was scored on.

        Args:
            candidate: Its id (`003-07`), name (`evolved`, in `test`), or the start of its recipe's digest.
            stage: The stage, or `baselines`, `finalists`, `test`; the last stage if absent.

        Returns:
            The columns of items.parquet (see docs/architecture.md): `objective`, `doc_id`, `response`,
            `target`, `value` and so on.

        Raises:
            LineageError: there is no such candidate, or it has no record.
        """
        from tsugiki.contracts.samples import read_samples

        name, found = stage or self.config.stages[-1].name, self._find(candidate, stage)
        own = self.config.own_documents(name, int(found.id.partition("-")[0]))
        table = read_samples(self.files.phase(name).candidate(found.recipe).of(own).items)
        return table.to_pandas()

    def recipe(self, candidate: str, stage: str | None = None) -> AnyRecipe:
        """A candidate's recipe; arguments are those of `samples`.

        Raises:
            LineageError: there is no such candidate.
        """
        from tsugiki.contracts.recipe import read_recipe

        phase = self.files.phase(stage or self.config.stages[-1].name)
        return read_recipe(phase.candidate(self._find(candidate, stage).recipe).recipe)

    def best_recipe(self) -> AnyRecipe:
        """The recipe of the winner: the finalist that does best on the validation documents.

        Raises:
            LineageError: the run has no scored finalists yet.
        """
        from tsugiki.steps.finals import winning_recipe

        return winning_recipe(self.files)

    def final_table(self) -> DataFrame:
        """A table with a row for each model that was scored on the test documents, as in final.json.

        Returns:
            Columns are named after the keys of the file: `name`, `kind`, `test.<objective>.value`,
            `test.<objective>.low`, `against_winner.p_holm` and so on.

        Raises:
            LineageError: the run has no final table yet.
        """
        from pandas import json_normalize

        from tsugiki.finalists.table import read_final_table

        rows = read_final_table(self.files.final).model_dump(mode="json")["rows"]
        return json_normalize(rows)

    def audit(self, *, rebuild: bool = False) -> list[Finding]:
        """Check its files against each other, and derive each generation again; empty if sound.

        Args:
            rebuild: Build the best model again from its recipe and the parents, in a temporary folder beside
                the run, and compare each file.
        """
        from tempfile import TemporaryDirectory

        from tsugiki.audit.audit import audit
        from tsugiki.audit.finding import Finding
        from tsugiki.errors import TsugikiError
        from tsugiki.steps.audit import reproduce_best, reselect

        found = audit(self.files, self.config, reselect=reselect(self.files, self.config))
        if rebuild:
            with TemporaryDirectory(dir=self.files.root.parent, prefix=".rebuild-") as folder:
                try:
                    reproduce_best(self.files, self.config, Path(folder) / "best")
                except TsugikiError as error:
                    where = error.where or "best"
                    found.append(Finding(error.what, where, error.expected, error.got))
        return found

    def rescore(
        self, count: int = 3, *, key: str = "", log: Callable[[str], None] = lambda _: None
    ) -> Rescored:
        """Score some of its candidates again, and compare each item with what is recorded.

        Args:
            count: How many: the winner on the test documents, and others that the key draws from all phases.
            key: Another one draws others.
            log: Takes a line for every candidate.

        Raises:
            LineageError: a file of the run is damaged, or a model's files are not those that were locked.
            ParentError: a model's files are not on this machine.
        """
        from tsugiki.audit.rescore import rescore

        return rescore(self.files, self.config, count, key=key, log=log)

    def lineage(self, candidate: str = "evolved", stage: str | None = None) -> Ancestry:
        """What a candidate descends from, down to the source models.

        Args:
            candidate: Its id (`003-07`), the start of its recipe's digest, or `evolved`, the winner.
            stage: The stage; the last one if absent.

        Raises:
            LineageError: there is no such candidate, or a file of the run is damaged.
        """
        from tsugiki.lineage.ancestry import ancestry

        return ancestry(self.files, self.config, candidate, stage)

    def reproduce(self, out: Place) -> str:
        """Build the best model again from its recipe, in the folder `out`; says what it is equal to.

        Raises:
            ConfigError: what stands at `out` may not be replaced.
            LineageError: a file comes out differently, or a parent is not the one that was locked.
        """
        from tsugiki.contracts.data import folder_of
        from tsugiki.steps.audit import reproduce_best

        return reproduce_best(self.files, self.config, folder_of(str(out)))

    def _entries(self, name: str) -> Iterator[Entry]:
        """Generations of a stage or another phase; not the one after the last, which is never scored."""
        from tsugiki.contracts.ledger import entries

        stage = self.config.stage(name)
        for entry in entries(self.files.phase(name)):
            if stage is None or entry.number < stage.budget.generations:
                yield entry

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        from tsugiki.contracts.ledger import read_outcome
        from tsugiki.contracts.outcome import read_cost

        phase, seen = self.files.phase(name), set[Any]()
        for entry in self._entries(name):
            ranked = {one.id: one for one in entry.outcomes.ranked} if entry.outcomes else {}
            for candidate in entry.population.candidates:
                own = self.config.own_documents(name, entry.number)
                files, known = phase.candidate(candidate.recipe).of(own), ranked.get(candidate.id)
                row: dict[str, Any] = {
                    "stage": name,
                    "generation": entry.number,
                    "id": candidate.id,
                    "recipe": candidate.recipe,
                    **({"name": candidate.origin["name"]} if "name" in candidate.origin else {}),
                    "status": "waiting",
                    "fitness": math.nan
                    if known is None or known.fitness is None
                    else known.fitness,
                }
                if known is not None:
                    row |= _result(known.outcome)
                elif files.outcome.is_file():
                    row |= _result(read_outcome(files.outcome))
                if files not in seen and (cost := read_cost(files.cost)) is not None:
                    row |= {f"cost.{key}": value for key, value in cost}
                seen.add(files)
                yield row

    def _find(self, candidate: str, stage: str | None) -> Candidate:
        from tsugiki.finalists.files import find_candidate

        name = stage or self.config.stages[-1].name
        return find_candidate(self._entries(name), candidate, where=f"phase {name}")


def strategy(kind: str, start: Sequence[float], *, seed: int = 0, **settings: Any) -> Search:
    """Begin a search of the unit cube with one of the strategies of a stage.

    Args:
        kind: Such as `cma_es`; the others are in config/README.md, with their settings.
        start: shape (genes,): where the search starts, each number between 0 and 1.
        seed: The same seed, settings and scores give the same points.
        settings: Those of the strategy, such as `population`.

    Raises:
        ValueError: there is no such strategy or setting.
    """
    from typing import Annotated

    import numpy as np
    from pydantic import Field, TypeAdapter

    from tsugiki.strategies.registry import AnyStrategy

    kinds: TypeAdapter[AnyStrategy] = TypeAdapter(
        Annotated[AnyStrategy, Field(discriminator="kind")]
    )
    made = kinds.validate_python({"kind": kind, **settings})
    return Search(made, made.initial(np.array(start, dtype=np.float64)), seed)


@dataclass
class Search:
    """Ask for points, tell their scores, again and again.

    Attributes:
        strategy: How points are drawn; pure functions of the state.
        state: All that the search remembers; `state.to_bytes()` keeps it.
        seed: Of all randomness, with the number of the generation.
        generation: How many generations have been told.
    """

    strategy: Strategy
    state: State
    seed: int
    generation: int = 0

    def ask(self) -> Array:
        """The points of this generation, the same ones until it is told.

        Returns:
            float64, shape (population, genes), each number between 0 and 1.
        """
        from tsugiki.strategies.strategy import clip

        return clip(self._genomes())

    def tell(self, scores: ArrayLike) -> None:
        """Take the scores of the points that were asked for.

        Args:
            scores: shape (population,), or (population, objectives): most strategies take their sum,
                others look at each, and to `natural_niches` each is a document. Larger is better.
                NaN says that a point has no score.

        Raises:
            ValueError: there are more or fewer than were asked for.
        """
        import numpy as np

        from tsugiki.contracts.scores import Scores

        genomes, values = self._genomes(), np.asarray(scores, dtype=np.float64)
        if values.ndim not in {1, 2} or len(values) != len(genomes):
            raise ValueError(f"expected scores of {len(genomes)} points, got shape {values.shape}")
        values = values.reshape(len(genomes), -1)
        failed = ~np.isfinite(values.sum(axis=1))
        values = np.where(failed[:, None], np.nan, values)
        told = Scores(values, failed, np.ones(values.shape[1]))
        self.state = self.strategy.tell(self.state, genomes, told)
        self.generation += 1

    @property
    def mean(self) -> Array | None:
        """The centre of the search, shape (genes,), between 0 and 1; None if the strategy has none."""
        from tsugiki.strategies.strategy import clip

        found = self.strategy.mean(self.state)
        return None if found is None else clip(found)

    def _genomes(self) -> Array:
        """The points as the strategy knows them, which may lie outside the unit cube."""
        import numpy as np

        asked = self.strategy.ask(self.state, (self.seed, "ask", self.generation))
        return np.stack([one.genome for one in asked])


def _result(outcome: Any) -> dict[str, Any]:
    """What came of a candidate, as columns."""
    if outcome.status == "failed":
        return {"status": "failed", "failure": outcome.kind, "reason": outcome.reason}
    return {
        "status": "scored",
        **{f"score.{name}": one.value for name, one in outcome.measured.items()},
        **{f"rate.{name}": value for name, value in outcome.rates.items()},
    }


def _texts(models: Mapping[str, Place] | None) -> dict[str, str]:
    return {name: str(place) for name, place in (models or {}).items()}


def _nothing(_line: str) -> None:
    """Say nothing."""
