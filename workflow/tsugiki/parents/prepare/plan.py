"""What has to be prepared, and what the models will be then: from headers and tokenizers alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from tsugiki.config.parents import DemoParent, HubParent
from tsugiki.config.run import RunConfig
from tsugiki.models.checks.architecture import NAME_OF_BASE
from tsugiki.models.checks.embeddings import check_embeddings
from tsugiki.models.facts import ModelFacts, read_model
from tsugiki.models.fault import Fault, listed
from tsugiki.models.headers import TensorHeader
from tsugiki.models.kinds.text import EMBEDDINGS, HEAD, HEAD_BIAS, TOKENIZER
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.hub import COMMIT
from tsugiki.parents.prepare.adapter import (
    CONFIG,
    Adapter,
    AdapterChanges,
    find_changes,
    read_adapter,
)
from tsugiki.parents.prepare.vocabulary import (
    Alignment,
    align,
    check_alignable,
    with_rows,
    with_vocabulary,
)

IN_A_BLOCK = re.compile(r"\.\d+\.")
REPOSITORY = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")


@dataclass(frozen=True)
class Preparation:
    """What has to be prepared."""

    adapters: dict[str, Adapter]
    sources: dict[str, ModelFacts]
    """Whole models in their own vocabularies: as stored, or with an adapter merged in."""
    models: dict[str, ModelFacts]
    """What they will be when they are merged."""
    changes: dict[str, AdapterChanges] = field(default_factory=dict)
    """What adapters change, by their names."""
    alignment: Alignment | None = None
    base: str | None = None
    """The model that gives rows which others lack."""
    faults: list[Fault] = field(default_factory=list)

    @cached_property
    def names(self) -> list[str]:
        """The models that have to be written."""
        return [name for name in self.models if name in self.changes or self.is_aligned(name)]

    def is_aligned(self, name: str) -> bool:
        """Whether the rows of a model have to be aligned."""
        return self.alignment is not None and not self.alignment.fits(self.sources[name])

    def describe(self, name: str) -> str:
        """What is done to a model, in words."""
        parts = []
        if (changes := self.changes.get(name)) is not None:
            parts.append(f"adapter merged, {len(changes.tensors)} tensors changed")
        if self.alignment is not None and self.is_aligned(name):
            own = self.sources[name].vocabulary or {}
            tokens = self.alignment.vocabulary
            shared = sum(token in own for token in tokens)
            text = f"rows aligned to `{self.alignment.owner}`: {shared} of {len(tokens)} tokens"
            if dropped := sorted(own.keys() - tokens.keys()):
                text += f", without {listed([repr(token) for token in dropped])}"
            parts.append(text)
        return f"{name}: {'; '.join(parts)}"


def plan_preparation(
    config: RunConfig, parents: Mapping[str, ModelFacts | Adapter | None]
) -> Preparation:
    """What has to be prepared of a run's parents, whole models and adapters, that could be read."""
    adapters = {name: one for name, one in parents.items() if isinstance(one, Adapter)}
    models = {name: one for name, one in parents.items() if isinstance(one, ModelFacts)}
    sources, changes, faults = _adapted(config, models, adapters)
    base = next(iter(sorted(config.common_bases & sources.keys())), None)
    if config.vocabulary.kind == "same":
        return Preparation(adapters, sources, dict(sources), changes, None, base, faults)
    faults += check_alignable(list(sources.values()), config.vocabulary)
    readable = {name: one for name, one in sources.items() if one.vocabulary and one.whole}
    owner = readable.get(config.vocabulary.of or "")
    if owner is None:  # its own faults say why; compared as they come, the others would only add
        return Preparation(adapters, sources, {}, changes, None, base, faults)
    alignment = align(list(readable.values()), config.vocabulary)
    faults += [fault for model in readable.values() for fault in _hidden_rows(model, alignment)]
    aligned = {name: _as_aligned(model, alignment, owner) for name, model in readable.items()}
    return Preparation(adapters, sources, aligned, changes, alignment, base, faults)


def read_parent(
    config: RunConfig, name: str, files: ParentFiles
) -> tuple[ModelFacts | Adapter | None, list[Fault]]:
    """A parent as it came, a whole model or an adapter, with its faults; None if it is no adapter.

    Errors are those of `files`.
    """
    source = config.parents[name]
    if isinstance(source, DemoParent):
        return read_model(name, files, trusted=False)
    if source.adapter_of is not None:
        return read_adapter(name, source.adapter_of, files)
    return read_model(name, files, trusted=source.trust_remote_code, names=source.names)


def row_tensors(model: ModelFacts) -> list[str]:
    """Names of the tensors that have a row for each token."""
    patterns = (EMBEDDINGS, HEAD, HEAD_BIAS)
    return [name for name in model.tensors if any(p.search(name) for p in patterns)]


def _as_aligned(model: ModelFacts, alignment: Alignment, owner: ModelFacts) -> ModelFacts:
    """What a model will be in the aligned vocabulary."""
    if alignment.fits(model):
        return model
    rows = {name: _with_rows(model.tensors[name], alignment.rows) for name in row_tensors(model)}
    own, shared = model.vocabulary or {}, alignment.vocabulary
    config = with_rows(with_vocabulary(model.config, own, shared, owner.config), alignment.rows)
    tokenizers = {name: owner.sizes[name] for name in TOKENIZER if name in owner.sizes}
    others = {name: size for name, size in model.sizes.items() if name not in TOKENIZER}
    refusal = owner.loaded.refusal if owner.loaded is not None else None
    return replace(
        model,
        sizes=others | tokenizers,
        config=config,
        tensors={**model.tensors, **rows},
        vocabulary=shared,
        loaded=replace(model.loaded, refusal=refusal) if model.loaded is not None else owner.loaded,
    )


def note_bases(config: RunConfig, adapters: Mapping[str, Adapter]) -> Iterator[str]:
    """Say where an adapter was trained on a model of another name."""
    for name, adapter in adapters.items():
        trained = str(adapter.settings.get(NAME_OF_BASE) or "an unnamed model")
        if not _names_source(config, adapter):
            yield f"{name}: trained on {trained}, merged into {adapter.base}"


def _adapted(
    config: RunConfig, models: Mapping[str, ModelFacts], adapters: Mapping[str, Adapter]
) -> tuple[dict[str, ModelFacts], dict[str, AdapterChanges], list[Fault]]:
    sources: dict[str, ModelFacts] = {}
    changes: dict[str, AdapterChanges] = {}
    faults: list[Fault] = []
    for name in config.parents:
        if name in models:
            sources[name] = models[name]
        if name not in adapters or adapters[name].base not in models:
            continue
        adapter, base = adapters[name], models[adapters[name].base]
        faults += _other_base(config, adapter)
        found, wrong = find_changes(adapter, base)
        if wrong:
            faults += wrong
            continue
        changes[name] = found
        sources[name] = _with_adapter(base, adapter, found)
        faults += check_embeddings(sources[name])
    return sources, changes, faults


def _with_adapter(base: ModelFacts, adapter: Adapter, changes: AdapterChanges) -> ModelFacts:
    tensors = dict(base.tensors)
    for target, name in changes.replaced.items():
        tensors[target] = _with_rows(tensors[target], (adapter.tensors[name].shape or (0,))[0])
    own = any(name in adapter.sizes for name in TOKENIZER)
    template = adapter.tokenizer.template
    model = replace(
        base,
        name=adapter.name,
        where=adapter.where,
        tensors=tensors,
        vocabulary=adapter.tokenizer.vocabulary if own else base.vocabulary,
        added=adapter.tokenizer.added if own else base.added,
        loaded=adapter.tokenizer.loaded if own else base.loaded,
        template=base.template if template is None else template,
        sizes={**base.sizes, **({n: adapter.sizes[n] for n in TOKENIZER if n in adapter.sizes})},
    )
    return replace(model, config=with_rows(base.config, model.rows)) if model.rows else model


def _other_base(config: RunConfig, adapter: Adapter) -> Iterator[Fault]:
    """An adapter that says what it was trained on is merged into that, unless the user says otherwise."""
    source = config.parents[adapter.base]
    trained = str(adapter.settings.get(NAME_OF_BASE) or "")
    if NAME_OF_BASE in config.accept_differences or not trained or isinstance(source, DemoParent):
        return
    revision = str(adapter.settings.get("revision") or "")
    if _names_source(config, adapter):
        if not isinstance(source, HubParent) or _may_be_one(revision, source.revision):
            return
        trained = f"{trained} at revision {revision}"
        fix = f"set `revision: {revision}` for `{adapter.base}`"
    else:
        fix = f"add {trained} as a parent and name it as `adapter_of`"
    here = (
        f"{source.hub} at revision {source.revision}"
        if isinstance(source, HubParent)
        else source.path
    )
    yield Fault(
        f"adapter `{adapter.name}` was trained on another model than `{adapter.base}`",
        f"{adapter.where}, {CONFIG}",
        expected=f"{NAME_OF_BASE} as that of `{adapter.base}`: {here}",
        got=trained,
        fix=f"{fix}; or, if the two are copies of each other: accept_differences: [{NAME_OF_BASE}]",
    )


def _may_be_one(trained: str, revision: str) -> bool:
    """Whether two revisions can be the same commit: a branch or tag may be any one."""
    kinds = {bool(COMMIT.match(trained)), bool(COMMIT.match(revision))}
    return not trained or trained == revision or len(kinds) == 2


def _names_source(config: RunConfig, adapter: Adapter) -> bool:
    """Whether the adapter names its base as the configuration does, up to folders and case.

    A folder can be anywhere on the machine of the training, so its last part has to do. Two
    repositories are told apart by their owners, too.
    """
    source = config.parents[adapter.base]
    trained = str(adapter.settings.get(NAME_OF_BASE) or "").rstrip("/").lower()
    if isinstance(source, HubParent):
        here = source.hub.lower()
        return trained == here or (not REPOSITORY.match(trained) and _last(trained) == _last(here))
    if isinstance(source, DemoParent):
        return trained == adapter.base
    return _last(trained) in {source.folder.name.lower(), source.folder.resolve().name.lower()}


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _hidden_rows(model: ModelFacts, alignment: Alignment) -> Iterator[Fault]:
    known = row_tensors(model)
    hidden = [
        name
        for name, tensor in model.tensors.items()
        if name not in known and tensor.shape[:1] == (model.rows,) and not IN_A_BLOCK.search(name)
    ]
    if hidden and not alignment.fits(model):
        yield Fault(
            f"`{model.name}` has tensors with a row for each token that cannot be aligned",
            model.where,
            expected="such rows in the embeddings and the output head alone",
            got=listed(hidden),
            fix="merge models that share a vocabulary",
        )


def _with_rows(tensor: TensorHeader, rows: int) -> TensorHeader:
    if not tensor.shape or tensor.shape[0] in {0, rows}:
        return tensor
    return tensor._replace(
        shape=(rows, *tensor.shape[1:]), size=tensor.size // tensor.shape[0] * rows
    )
