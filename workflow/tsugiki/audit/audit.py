"""Whether the files of a run agree with each other, from the parents to the winner.

Files that a run has once are checked here, those of its phase in `audit/phase.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tsugiki.audit.decisions import Reselect, check_estimates, check_reselect, check_rungs
from tsugiki.audit.finding import Finding, collect, differs, place
from tsugiki.audit.phase import check_candidates, check_chain, check_decompositions
from tsugiki.audit.presence import check_marks, check_places, check_presence
from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.config.load import changed_keys, read_config
from tsugiki.config.parents import adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import FINALISTS, RunFiles
from tsugiki.contracts.ledger import read_population, scored_generations
from tsugiki.contracts.locks import LockedParent, read_lock
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.finalists.choose import SEARCHED, VALUES, comparable, finalist_population
from tsugiki.finalists.files import load_final_table, read_winner
from tsugiki.finalists.front import load_front, read_front, recipes_of
from tsugiki.finalists.table import read_final_table
from tsugiki.merge.marker import MARKER, WEIGHTS, difference, weights_of
from tsugiki.parents.locate import changed_parents
from tsugiki.parents.run_models import merged_stages, read_stage_lock


def audit(
    files: RunFiles,
    config: RunConfig,
    *,
    reselect: Reselect | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Check every file of a run against those it was made from; each check's docstring says how.

    A new one is a generator of findings, called here by `collect`.

    Args:
        files: The run.
        config: Its configuration.
        reselect: Draws a generation again from the files of the one before, and says how it
            differs from what is written; None if it does not.
        log: Takes a line for every phase.

    Returns:
        All disagreements. Empty if the run is sound, as far as it has come.
    """
    findings = [
        *collect(check_config(files, config), files.config.name),
        *collect(check_parents(files, config), files.parents.name),
        *collect(check_document_sets(files), files.items.name),
        *collect(check_presence(files, config), files.root.name),
    ]
    for phase in config.phases:
        if not any(files.phase(phase).root.glob("gen-*/*")):
            continue
        log(f"checking {phase}")
        findings += collect(check_chain(files, phase, config), phase)
        findings += collect(check_candidates(files, phase, config), phase)
        findings += collect(check_rungs(files, phase, config), phase)
        findings += collect(check_estimates(files, phase, config), phase)
        findings += collect(check_places(files, phase, config), phase)
        findings += collect(check_marks(files, phase), phase)
        findings += collect(check_decompositions(files, phase), phase)
        if reselect is not None:
            findings += collect(check_reselect(files, phase, reselect), phase)
    for one in config.searches:
        findings += collect(check_finalists(files, config, one), config.finalists_of(one.name))
    for stage in merged_stages(config):
        where = place(files, files.phase(stage).best_lock)
        findings += collect(check_stage(files, config, stage), where)
    findings += collect(check_front(files, config), place(files, files.front))
    findings += collect(check_best(files), place(files, files.best))
    return findings + collect(check_final(files, config), files.final.name)


def check_config(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The configuration is the one that was locked."""
    where = files.config.name
    if not files.config.is_file():
        yield Finding("the locked configuration is missing", where)
        return
    try:
        locked = read_config(files.config)
    except ConfigError as error:
        yield Finding("the locked configuration cannot be read", where, got=error.got)
        return
    # keys whose defaults have changed since versions whose runs are audited today
    left_out = {"baselines", "rivals"} - config.model_fields_set
    config = config.model_copy(update={key: getattr(locked, key) for key in left_out})
    # a run that was locked before tasks were asked for their goals has them written out
    locked, config = (
        one.model_copy(update={"evaluation": decided_evaluation(one, files.items)})
        for one in (locked, config)
    )
    for key, (then, now) in changed_keys(locked, config).items():
        what = f"the configuration has changed since it was locked, in `{key}`"
        yield Finding(what, where, expected=then, got=now)


def check_parents(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The lock covers the configuration's parents and names their sources, and those at hand fit it.

    What has not changed since it was read last is not read again.
    """
    where = files.parents.name
    lock = read_lock(files.parents)
    for name, source in config.parents.items():
        if (locked := lock.parents.get(name)) is None:
            yield Finding(f"parent {name} is not locked", where)
        elif locked.source == (now := source.model_dump(mode="json")):
            yield from _check_prepared(name, locked, config, where)
        else:
            what = f"parent {name} was locked from another source"
            yield Finding(what, where, str(now), str(locked.source))
    for error in changed_parents(config, lock):
        yield Finding(error.what, error.where or where, error.expected, error.got)


def _check_prepared(
    name: str, locked: LockedParent, config: RunConfig, where: str
) -> Iterator[Finding]:
    """What is merged was prepared as the configuration says, from parents as they are locked."""
    made = locked.prepared
    if made is None:
        if adapter_base(config.parents[name]) is not None:
            yield Finding(f"adapter {name} was not merged into its base", where)
        return
    setting = config.vocabulary.model_dump(mode="json")
    if made.vocabulary not in (None, setting):
        what = f"parent {name} was prepared for another vocabulary"
        yield Finding(what, where, str(setting), str(made.vocabulary))
    else:
        what = f"parent {name} was prepared from other files than those locked"
        yield from differs(what, where, locked.digest, made.made_from.get(name))


def check_document_sets(files: RunFiles) -> Iterator[Finding]:
    """Search, validation and test documents are disjoint, which reading them checks."""
    if files.items.is_file():
        read_document_sets(files.items)
    yield from ()


def check_finalists(files: RunFiles, config: RunConfig, stage: Stage) -> Iterator[Finding]:
    """What finalists of a stage are compared by is the ledger's, and the preference the configuration's."""
    path = files.phase(config.finalists_of(stage.name)).generation(0).population
    if not path.is_file():
        return
    objectives = decided_evaluation(config, files.items).objectives
    ranked = [
        one for group in comparable(scored_generations(files.phase(stage.name))) for one in group
    ]
    preference = config.preference_of(stage)
    made = finalist_population(config.name, ranked, None, objectives, preference=preference)
    known = {one.recipe: one.origin for one in made.candidates}
    population = read_population(path)
    what = "the bounds of the winner are not those of the configuration"
    yield from differs(what, place(files, path), made.bounds, population.bounds)
    what = "what chooses the winner is not what the configuration says"
    yield from differs(what, place(files, path), made.knee, population.knee)
    for one in population.candidates:
        for key in (SEARCHED, VALUES) if SEARCHED in one.origin else ():
            what = f"the search score of finalist {one.id} is not the ledger's"
            expected = known.get(one.recipe, {}).get(key)
            yield from differs(what, place(files, path), expected, one.origin.get(key))


def check_stage(files: RunFiles, config: RunConfig, stage: str) -> Iterator[Finding]:
    """The stage's best model has the bytes that were locked, and the recipe of its winner.

    A model that was removed to make room is no fault: its recipe builds it again.
    """
    phase = files.phase(stage)
    if not phase.best_lock.is_file():
        if phase.best.is_dir():
            what = f"what the best model of stage {stage} consists of is not locked"
            yield Finding(what, place(files, phase.best_lock))
        return
    best, locked = f"the best model of stage {stage}", read_stage_lock(phase.best_lock)
    for file in locked.files if phase.best.is_dir() else ():
        path = phase.best / file.name
        got = digest_file(path) if path.is_file() else "no such file"
        what = f"{best} has changed since it was locked"
        yield from differs(what, place(files, path), file.sha256, got)
    yield from check_added(files, phase.best, {file.name for file in locked.files})
    expected = read_winner(files.phase(config.finalists_of(stage))).recipe
    what, made = f"{best} was not made from its winner's recipe", locked.source.get("recipe")
    yield from differs(what, place(files, phase.best_lock), expected, made)
    if (recipe := phase.best_recipe).is_file():
        what, made = f"{best} holds another recipe", read_recipe(recipe).digest
        yield from differs(what, place(files, recipe), expected, made)


def check_added(files: RunFiles, folder: Path, known: Collection[str]) -> Iterator[Finding]:
    """A folder holds none but the known files, named by their places in it; hidden ones do not count."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in known and not name.startswith("."):
            yield Finding("does not belong here", place(files, path))


def check_best(files: RunFiles) -> Iterator[Finding]:
    """The best model is whole, and its weights are those that were scored on the test documents.

    Its marker tells of each file; earlier versions of tsugiki wrote none, and of their models the weights
    and the recipe alone are checked. Whether all files follow from the recipe, `reproduce_best` says. A model
    that was removed to make room is no fault.
    """
    if not files.best.is_dir():
        return
    if not files.best_recipe.is_file():
        yield Finding("the recipe of the best model is missing", place(files, files.best_recipe))
    changed = difference(files.best) if (files.best / MARKER).is_file() else None
    shards = sorted(files.best.rglob(f"*{WEIGHTS}"))
    if changed is not None:
        what = f"is not the model that its {MARKER} tells of: {changed}"
        got = ", ".join(one.name for one in shards)
        yield Finding(what, place(files, files.best), got=f"weights in {got}" if got else None)
        return
    winner = read_winner(files.phase(FINALISTS)).outcome
    what = "the weights of the best model are not those that were scored"
    if isinstance(winner, Scored) and shards:
        where = place(files, shards[0] if len(shards) == 1 else files.best)
        yield from differs(what, where, winner.weights, weights_of(files.best))


def check_front(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The Pareto front follows from the ledger, with the recipes of its members."""
    if not files.front.is_file():
        return
    front = load_front(files, config)
    if read_front(files.front) != front:
        what = "the Pareto front does not follow from the ledger"
        yield Finding(what, place(files, files.front))
    recipes = recipes_of(files, front)
    members = {path.name for path in recipes}
    yield from check_added(files, files.front.parent, {files.front.name, *members})
    for path, content in recipes.items():
        what, got = "it is not the recipe of the front's member", "no such file"
        got = digest_file(path) if path.is_file() else got
        yield from differs(what, place(files, path), digest_bytes(content), got)


def check_final(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The final table follows from the test phase; the best model is the winner."""
    if not files.final.is_file():
        return
    where = files.final.name
    table = read_final_table(files.final)
    if load_final_table(files, config, table) != table:
        yield Finding("the final table does not follow from the scored items", where)
    recipe = files.best_recipe
    if recipe.is_file():
        expected, got = table.row(table.winner).recipe, read_recipe(recipe).digest
        what = "the best model was not made from the winner's recipe"
        yield from differs(what, place(files, recipe), expected, got)
