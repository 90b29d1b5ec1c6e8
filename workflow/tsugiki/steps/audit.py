"""Deriving a run again: every generation, and the best model with those that it is made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.contracts.genome import Genome
from tsugiki.contracts.layout import FLATNESS, REPEAT, RunFiles
from tsugiki.contracts.ledger import Entry
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.population import Candidate
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import LineageError
from tsugiki.evolve.select import Next, first
from tsugiki.finalists.files import winning_recipe
from tsugiki.parents.locate import locate
from tsugiki.parents.run_models import RunModels, lock_stage, read_stage_lock, run_digests
from tsugiki.space.read import read_genome
from tsugiki.steps.begin import differing_origin
from tsugiki.steps.best import write_model
from tsugiki.steps.evolution import select_from_files
from tsugiki.steps.finals import again_population, flatness_population, stage_recipes
from tsugiki.steps.output import require_place_beside
from tsugiki.steps.start import rival_size
from tsugiki.strategies.state import read_state
from tsugiki.strategies.strategy import clip


def reselect(files: RunFiles, config: RunConfig) -> Callable[[Entry | None, Entry], str | None]:
    """A function that draws a generation again and says how it differs from the one on disk."""

    def compare(before: Entry | None, after: Entry) -> str | None:
        stage, phase = config.stage(after.population.phase), after.population.phase
        if phase == FLATNESS and flatness_population(files, config)[0] != after.population:
            return f"neighbours of the winner drawn again differ from {after.files.population}"
        if phase == REPEAT and again_population(files, config) != after.population:
            return f"models to be scored again differ from {after.files.population}"
        if stage is None:
            return None
        read_state(after.files.state)  # which names its file if it is damaged
        if before is not None:
            following = select_from_files(files, config, stage, before.number, after.population)
            if config.evaluation.rungs is not None and _differs(after, following) is not None:
                earlier = select_from_files(
                    files, config, stage, before.number, after.population, tells_left=False
                )
                following = earlier if _differs(after, earlier) is None else following
        else:
            space = read_genome(files.phase(stage.name).space)
            if not all(_means(space, one) for one in after.population.candidates):
                path = files.phase(stage.name).space
                return f"genomes of the first generation mean other recipes by {path}"
            if (difference := differing_origin(files, config, stage, space)) is not None:
                return difference
            size = rival_size(files, config, stage)
            drawn_from = after.files.state.read_bytes()
            following = first(config, stage, space, population=size, recorded=drawn_from)
        return _differs(after, following)

    return compare


def _differs(entry: Entry, again: Next) -> str | None:
    """How a generation that is drawn again differs from what is written; None if it does not."""
    for name, path, content in (
        ("population", entry.files.population, again.population),
        ("state", entry.files.state, again.state),
    ):
        if path.read_bytes() != content:
            return f"{name} drawn again differs from {path}"
    return None


def _means(space: Genome, candidate: Candidate) -> bool:
    """Whether a candidate's genome decodes to its recipe."""
    genome = clip(np.array(candidate.genome))
    return space.decode(genome.tolist()).digest == candidate.recipe


def reproduce_best(files: RunFiles, config: RunConfig, out: Path) -> str:
    """Build the best model from its recipe alone, and compare it with results/<run>/best.

    The best models of earlier stages that it is made from are built first, in a temporary folder
    beside `out`, and compared with their locks.

    Raises:
        ConfigError: what stands at `out` may not be replaced (see `require_place`).
        LineageError: a file differs, a stage's best model comes out differently, or a parent's files
            are not those that were locked.
    """
    recipe = winning_recipe(files)
    replace = require_place_beside(files, config, out)
    parents = locate(config, read_lock(files.parents), read=True)
    digests, threads = run_digests(files, config), config.evaluation.threads
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-stages-") as temporary:
        models = RunModels(dict(parents), digests)  # task vectors are decomposed anew, as a check
        for stage, before in stage_recipes(files, config, recipe).items():
            models.folders[stage] = folder = Path(temporary) / stage
            write_model(config, before, models, folder, threads=threads)
            _compare(files, stage, before, folder)
        write_model(config, recipe, models, out, replace=replace, threads=threads)
    for path in sorted(files.best.rglob("[!.]*")):
        again = out / path.relative_to(files.best)
        if path.is_dir() and again.is_dir():
            continue
        if not again.is_file() or digest_file(again) != digest_file(path):
            raise _other(
                "the best model could not be reproduced",
                where=str(again),
                expected=f"the bytes of {path}",
            )
    return f"{out}: the same bytes as {files.best}"


def _compare(files: RunFiles, stage: str, recipe: AnyRecipe, folder: Path) -> None:
    lock = files.phase(stage).best_lock
    expected, got = read_stage_lock(lock), lock_stage(stage, folder, recipe.digest)
    if expected != got:
        raise _other(
            f"the best model of stage `{stage}` could not be reproduced",
            where=str(lock),
            expected=expected.digest,
            got=got.digest,
        )


def _other(what: str, *, where: str, expected: str, got: str | None = None) -> LineageError:
    fix = "compare environment.json with this machine"
    return LineageError(what, where=where, expected=expected, got=got, fix=fix)
