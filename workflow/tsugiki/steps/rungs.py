"""Write down which candidates of a generation go on from a rung."""

from __future__ import annotations

from collections.abc import Callable

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evolve.promote import promotion


def write_promotion(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    rung: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write rung-<n>.json of a generation.

    Raises:
        ConfigError: the run has no such rung, or it is the last one.
        LineageError: a file is missing, or files contradict each other.
    """
    evaluation = decided_evaluation(config, files.items)
    rungs = evaluation.rungs
    if rungs is None or not 0 <= rung < len(rungs.documents) - 1:
        raise ConfigError(
            f"there is no rung {rung} after which candidates go on", where="evaluation.rungs"
        )
    phase = files.phase(stage.name)
    current = phase.generation(generation)
    decided = promotion(phase, current, rung, rungs, evaluation.objectives, stage.strategy)
    atomic.write_bytes(current.promotion(rung), pretty_json(decided.model_dump(mode="json")))
    on = sum(one.left is None for one in decided.candidates)
    log(
        f"{stage.name}, generation {generation + 1}, {rungs.documents[rung]} documents: "
        f"{on} of {len(decided.candidates)} candidates go on"
    )
