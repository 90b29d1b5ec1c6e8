"""Draw the next generation, on files."""

from __future__ import annotations

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.evolve.select import Next, select
from tsugiki.evolve.state import read_state
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import read_generation, read_population
from tsugiki.space.read import read_genome
from tsugiki.steps.recipes import write_recipes


def write_next(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> None:
    """Write the generation that follows `generation`.

    Raises:
        LineageError: the files contradict each other.
    """
    series = files.series(stage.name)
    following = select_from_files(files, config, stage, generation)
    after = series.generation(generation + 1)
    write_recipes(series, following.recipes)
    atomic.write_bytes(after.state, following.state)
    atomic.write_bytes(after.population, following.population)


def select_from_files(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> Next:
    """What follows from the files of a generation; writes nothing."""
    series = files.series(stage.name)
    current = series.generation(generation)
    space = read_genome(series.space)
    read_population(current.population)  # each names its file if it is damaged
    read_generation(current.outcomes)
    read_state(current.state)
    return select(
        config,
        stage,
        space,
        population_bytes=current.population.read_bytes(),
        state_bytes=current.state.read_bytes(),
        outcomes_bytes=current.outcomes.read_bytes(),
    )
