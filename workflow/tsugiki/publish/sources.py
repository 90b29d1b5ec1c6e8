"""What a published model is made of: source models, through earlier stages and prepared parents."""

from __future__ import annotations

from dataclasses import dataclass

from tsugiki.config.parents import DemoParent, adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import LockedCard, LockedParent, ParentsLock, read_lock
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import LineageError, ParentError
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.licences import cards
from tsugiki.parents.preflight import open_parent
from tsugiki.steps.finals import stage_recipes


@dataclass(frozen=True)
class Source:
    """A model that a merge is made of."""

    name: str
    """In the configuration."""
    locked: LockedParent
    card: LockedCard | None
    """What it says of its licence; None if nothing is known."""
    files: ParentFiles | None
    """Its files as they came; None where they cannot be looked into."""

    @property
    def hub(self) -> str | None:
        """Its repository on the Hub."""
        return self.locked.source.get("hub")

    @property
    def title(self) -> str:
        """The repository; the folder's name of a local one; what the demo calls it."""
        if self.hub is not None:
            return self.hub
        if "demo" in self.locked.source:
            return f"tsugiki's demo, {self.locked.source['demo']}"
        return str(self.locked.source.get("path", self.name)).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Sources:
    """The recipes of earlier stages' best models, and the source models."""

    stages: dict[str, AnyRecipe]
    """By stage, the earliest first."""
    models: tuple[Source, ...]
    """Those that no stage has made."""


def read_sources(files: RunFiles, config: RunConfig, recipe: AnyRecipe) -> Sources:
    """Follow a recipe to the source models.

    Raises:
        LineageError: a parent is not locked, or a stage has no winner.
    """
    lock = read_lock(files.parents)
    stages = stage_recipes(files, config, recipe)
    recipes = [recipe, *stages.values()]
    names = {name for one in recipes for name in (one.owner, *(ref.name for ref in one.models))}
    known = _with_those_behind(config, lock, names - stages.keys())
    if missing := sorted(known - lock.parents.keys()):
        raise LineageError(
            "a parent of the model is not locked", where=str(files.parents), got=", ".join(missing)
        )
    here = _opened(config, lock, known)
    said = cards(config, lock, here)
    ordered = [name for name in config.parents if name in known]
    return Sources(
        stages, tuple(Source(one, lock.parents[one], said[one], here.get(one)) for one in ordered)
    )


def _with_those_behind(config: RunConfig, lock: ParentsLock, names: set[str]) -> set[str]:
    """With the bases of adapters, and whatever else prepared parents were made from."""
    found = set(names)
    for name in names:
        locked, source = lock.parents.get(name), config.parents.get(name)
        if locked is not None and locked.prepared is not None:
            found |= locked.prepared.made_from.keys()
        if source is not None and (base := adapter_base(source)) is not None:
            found.add(base)
    if config.vocabulary.of is not None:
        found.add(config.vocabulary.of)
    return found


def _opened(config: RunConfig, lock: ParentsLock, names: set[str]) -> dict[str, ParentFiles]:
    found: dict[str, ParentFiles] = {}
    for name in names:
        source = config.parents[name]
        if not isinstance(source, DemoParent):
            try:
                found[name] = open_parent(name, source, lock)
            except ParentError:
                continue  # what is not here says nothing more than its lock
    return found
