"""Check what a configuration says of parents: adapters, vocabulary, accepted differences."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.config.load import nearest
from tsugiki.config.parents import LocalParent, adapter_base
from tsugiki.config.reserved_names import row_is_taken
from tsugiki.config.run import RunConfig

NEVER_ACCEPTED = {
    "architectures",
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "tie_word_embeddings",
    "vocab_size",
}
"""Settings that decide which tensors there are, or which numbers in them belong together."""


def parent_faults(config: RunConfig) -> Iterator[str]:
    """Faults of the parents, and of what is said of them all."""
    for name, source in config.parents.items():
        if row_is_taken(name):
            yield f"`parents.{name}`: {name!r} is a name that tsugiki uses itself; choose another name"
        if isinstance(source, LocalParent) and not source.folder.is_dir():
            yield f"`parents.{name}.path`: there is no folder {source.path!r}"
        if (base := adapter_base(source)) is not None:
            yield from _adapter(config, name, base)
    yield from _vocabulary(config)
    yield from _accepted(config.accept_differences)


def _adapter(config: RunConfig, name: str, base: str) -> Iterator[str]:
    key = f"`parents.{name}.adapter_of`"
    if base not in config.parents:
        yield f"{key}: unknown parent {base!r}; {nearest(base, config.parents)}"
    elif base == name:
        yield f"{key}: an adapter cannot be its own base"
    elif adapter_base(config.parents[base]) is not None:
        yield f"{key}: {base!r} is an adapter too; name a whole model"


def _vocabulary(config: RunConfig) -> Iterator[str]:
    vocabulary = config.vocabulary
    if vocabulary.of is None:
        return
    if vocabulary.of not in config.parents:
        near = nearest(vocabulary.of, config.parents)
        yield f"`vocabulary.of`: unknown parent {vocabulary.of!r}; {near}"
    bases = sorted(common_bases(config))
    if len(bases) > 1:
        yield (
            f"`vocabulary`: rows that a model lacks are taken from the base, but the stages have "
            f"several: {', '.join(bases)}; give them one base"
        )


def common_bases(config: RunConfig) -> set[str]:
    """The bases of the stages that are parents of the run."""
    return {stage.base for stage in config.stages if stage.base in config.parents and stage.base}


def _accepted(keys: list[str]) -> Iterator[str]:
    for key in keys:
        if key.rpartition(".")[2] in NEVER_ACCEPTED:
            yield (
                f"`accept_differences`: models that differ in {key} cannot be merged; "
                "remove it from the list"
            )
    if len(set(keys)) != len(keys):
        yield "`accept_differences`: a key is listed twice"
