"""Whose tokenizer, chat template and end tokens the merged model of a run has, in words."""

from __future__ import annotations

from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import TsugikiError
from tsugiki.parents.run_models import run_models


def describe_chats(files: RunFiles, config: RunConfig) -> list[str]:
    """Sentences for the report.

    Of parents whose files are not on this machine only the configuration is told.
    """
    owner = config.owner(config.stages[-1])
    said = [
        f"The merged model has the configuration, tokenizer and generation settings of {owner}."
    ]
    evaluation = config.evaluation
    if not (evaluation.apply_chat_template or evaluation.end_tokens):
        return said
    try:
        source, ends = _of_files(files, config, owner)
    except TsugikiError:
        return said
    if evaluation.apply_chat_template:
        settings = "".join(
            f", {name} {value}" for name, value in sorted(evaluation.chat_template_args.items())
        )
        said.append(
            f"It was scored with the chat template of {source}, applied to every prompt{settings}."
        )
    return [*said, f"Its answers end at the tokens {ends}."]


def lender(files: RunFiles, config: RunConfig) -> str | None:
    """The parent, or the file, whose chat template the run's models have in place of their owner's.

    None if they have their owner's; as configured, where the parents' files are not on this machine.
    """
    from tsugiki.evaluate.chat import open_chat  # imports transformers

    if not config.evaluation.apply_chat_template:
        return None
    try:
        return open_chat(config, run_models(files, config, ()).folders).source
    except TsugikiError:
        return config.evaluation.chat_template


def _of_files(files: RunFiles, config: RunConfig, owner: str) -> tuple[str, str]:
    """Whom the chat template is from, and the tokens that end answers."""
    from tsugiki.evaluate.chat import open_chat  # imports transformers
    from tsugiki.evaluate.readers import ParentReader, token_texts

    folders = run_models(files, config, ()).folders
    chat = open_chat(config, folders)
    reader = ParentReader(owner, folders[owner], config, chat)
    return chat.source or owner, token_texts(reader, reader.ends)
