"""A run's folder as tables and answers. What only some of them need is imported there: it takes long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tsugiki.config.load import read_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import Entry, entries, read_generation, read_outcome
from tsugiki.contracts.outcome import Failed, Scored, read_cost
from tsugiki.contracts.population import Candidate
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.errors import TsugikiError

if TYPE_CHECKING:
    from pandas import DataFrame

    from tsugiki.audit.finding import Finding
    from tsugiki.audit.rescore import Rescored
    from tsugiki.lineage.ancestry import Ancestry


def open_run(place: str | Path) -> Run:
    """Open a run, whether it goes on or has ended.

    Args:
        place: Its folder, results/<run>; or its configuration file.

    Raises:
        ConfigError: there is none, or its configuration is not valid.
    """
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
            Where candidates were left at rungs, `rung` says at which one, from 0: their scores are on its
            documents, and do not compare with others.

        Raises:
            LineageError: a file of the run is damaged.
        """
        from pandas import DataFrame

        names = stages or [stage.name for stage in self.config.stages]
        return DataFrame([row for name in names for row in self._rows(name)])

    def samples(self, candidate: str, stage: str | None = None) -> DataFrame:
        """A table with a row for each objective and document that a candidate was scored on in its generation.

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

        name, found = self._find(candidate, stage)
        number = int(found.id.partition("-")[0])
        own, phase = self.config.own_documents(name, number), self.files.phase(name)
        ledger = phase.generation(number).outcomes
        ranked = read_generation(ledger).ranked if ledger.is_file() else ()
        rung = next((one.outcome.rung for one in ranked if one.id == found.id), None)
        return read_samples(phase.candidate(found.recipe).of(own).at(rung).items).to_pandas()

    def recipe(self, candidate: str, stage: str | None = None) -> AnyRecipe:
        """A candidate's recipe; arguments are those of `samples`.

        Raises:
            LineageError: there is no such candidate.
        """
        name, found = self._find(candidate, stage)
        return read_recipe(self.files.phase(name).candidate(found.recipe).recipe)

    def best_recipe(self) -> AnyRecipe:
        """The recipe of the winner, as chosen among the finalists of the last stage (see docs/stages.md).

        Raises:
            LineageError: the run has no scored finalists yet.
        """
        from tsugiki.finalists.files import winning_recipe

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

        return json_normalize(read_final_table(self.files.final).model_dump(mode="json")["rows"])

    def audit(self, *, rebuild: bool = False) -> list[Finding]:
        """Check its files against each other, and derive each generation again; empty if sound.

        Args:
            rebuild: Build the best model again from its recipe and the parents, in a temporary folder beside
                the run, and compare each file.
        """
        from tsugiki.audit.audit import audit
        from tsugiki.audit.finding import Finding
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

    def reproduce(self, out: str | Path) -> str:
        """Build the best model again from its recipe, in the folder `out`; says what it is equal to.

        Raises:
            ConfigError: what stands at `out` may not be replaced.
            LineageError: a file comes out differently, or a parent is not the one that was locked.
        """
        from tsugiki.steps.audit import reproduce_best

        return reproduce_best(self.files, self.config, folder_of(str(out)))

    def _entries(self, name: str) -> Iterator[Entry]:
        """Generations of a stage or another phase; not the one after the last, which is never scored."""
        stage = self.config.stage(name)
        for entry in entries(self.files.phase(name)):
            if stage is None or entry.number < stage.budget.generations:
                yield entry

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        phase, seen = self.files.phase(name), set[Any]()
        for entry in self._entries(name):
            ranked = {one.id: one for one in entry.outcomes.ranked} if entry.outcomes else {}
            own = self.config.own_documents(name, entry.number)
            for candidate in entry.population.candidates:
                files, known = phase.candidate(candidate.recipe).of(own), ranked.get(candidate.id)
                fitness = None if known is None else known.fitness
                row: dict[str, Any] = {
                    "stage": name,
                    "generation": entry.number,
                    "id": candidate.id,
                    "recipe": candidate.recipe,
                    **({"name": candidate.origin["name"]} if "name" in candidate.origin else {}),
                    "status": "waiting",
                    "fitness": math.nan if fitness is None else fitness,
                }
                if known is not None:
                    row |= _result(known.outcome)
                elif files.outcome.is_file():
                    row |= _result(read_outcome(files.outcome))
                if files not in seen and (cost := read_cost(files.cost)) is not None:
                    row |= {f"cost.{key}": value for key, value in cost}
                seen.add(files)
                yield row

    def _find(self, candidate: str, stage: str | None) -> tuple[str, Candidate]:
        """The phase and the candidate."""
        from tsugiki.finalists.files import find_candidate

        name = stage or self.config.stages[-1].name
        return name, find_candidate(self._entries(name), candidate, where=f"phase {name}")


def _result(outcome: Scored | Failed) -> dict[str, Any]:
    """What came of a candidate, as columns."""
    if isinstance(outcome, Failed):
        return {"status": "failed", "failure": outcome.kind, "reason": outcome.reason}
    return {
        "status": "scored",
        **({} if outcome.rung is None else {"rung": outcome.rung}),
        **{f"score.{name}": one.value for name, one in outcome.measured.items()},
        **{f"rate.{name}": value for name, value in outcome.rates.items()},
    }
