"""Whether the files of a run agree with each other, from the parents to the winner."""

from __future__ import annotations

from collections.abc import Callable

from tsugiki.audit.finding import Finding, collect
from tsugiki.audit.run import check_config, check_final, check_items, check_parents, check_stage
from tsugiki.audit.rungs import check_rungs
from tsugiki.audit.series import Reselect, check_candidates, check_chain, check_reselect
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import existing_series
from tsugiki.parents.run_models import merged_stages


def audit(
    files: RunFiles,
    config: RunConfig,
    *,
    reselect: Reselect | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Check every file of a run against those it was made from.

    - The configuration is the one that was locked; the parents' lock covers its parents.
    - Each generation names the digest of the one before, of its own state and population.
    - Each recipe has the digest it is known by, and names locked parents.
    - One evaluation scored all candidates of a series.
    - Which candidates went on from a rung follows from their records.
    - Each outcome is the one in the ledger, its items have the digest it names, are the documents
      of its split, and make the values it states; fitness follows from it.
    - A stage's best model, where a later stage merges it, is the one that was locked, and was made
      from the recipe of the stage's winner.
    - The final table follows from the items; the best model's recipe is the winner's.

    Args:
        files: The run.
        config: Its configuration.
        reselect: Draws a generation again from the files of the one before, and says how it
            differs from what is written; None if it does not.
        say: Takes a line for every series.

    Returns:
        All disagreements. Empty if the run is sound, as far as it has come.
    """
    findings = [
        *collect(check_config(files, config), files.config.name),
        *collect(check_parents(files, config), files.parents.name),
        *collect(check_items(files), files.items.name),
    ]
    for series in existing_series(files, config.series):
        say(f"checking {series}")
        findings += collect(check_chain(files, series, config), series)
        findings += collect(check_candidates(files, series, config), series)
        findings += collect(check_rungs(files, series, config), series)
        if reselect is not None:
            findings += collect(check_reselect(files, series, reselect), series)
    for stage in merged_stages(config):
        where = f"{stage}/{files.series(stage).best_lock.name}"
        findings += collect(check_stage(files, config, stage), where)
    return findings + collect(check_final(files, config), files.final.name)
