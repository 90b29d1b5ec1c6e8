"""Chat templates: some write today's date, and all prompts of a run are to have the same one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from tsugiki.models.sources import FolderFiles
from tsugiki.models.vocabulary import read_template

CLOCK = "strftime_now"
"""The one function by which a template can read the clock, given to it by transformers."""

WITHOUT_DATE = date(2024, 7, 26)
"""The date of runs that recorded none: the one that Llama's templates write where there is no clock."""

_DIRECTIVE = re.compile(r"%[-_0^#]?[A-Za-z]")


def reads_clock(template: str | None) -> bool:
    """Whether what a template writes depends on the time."""
    return template is not None and CLOCK in template


def at_date(template: str, day: date) -> str:
    """A template that writes what the given one wrote at 0:00 on a day.

    Its source gets a macro of the function's name, which hides the function. transformers offers no
    other way: arguments of a template are made plain data.
    """
    if not reads_clock(template):
        return template
    moment = datetime.combine(day, time())
    steps = "".join(
        f".replace({directive!r}, {moment.strftime(directive)!r})"
        for directive in sorted(set(_DIRECTIVE.findall(template)), key=lambda one: (-len(one), one))
    )
    percent = "\N{SUBSTITUTE}"  # stands for %% until all directives are replaced
    text = f"format.replace('%%', '{percent}'){steps}.replace('{percent}', '%')"
    # the line break is removed with the block's end, and the template begins at the start of a line
    return f"{{% macro {CLOCK}(format) %}}{{{{ {text} }}}}{{% endmacro %}}\n{template}"


def chat_identity(
    folders: Sequence[Path], day: date | None, template: str | None = None
) -> dict[str, Any]:
    """What determines prompts beside tasks and documents: the date, and whose template it is.

    Nothing is added for one template that reads no clock: it comes with the weights' owner.

    Args:
        folders: The models whose tokenizers a population has.
        day: The run's date.
        template: The one that all models have instead of their own, if there is one.

    Raises:
        ValueError: a model's chat template cannot be read.
    """
    templates = [template] if template else [read_template(FolderFiles(one)) for one in folders]
    found: dict[str, Any] = {}
    if any(reads_clock(template) for template in templates):
        found["date"] = (WITHOUT_DATE if day is None else day).isoformat()
    if len(set(templates)) > 1:
        found["chat_templates"] = "of each model"
    return found


def stop_clock(tokenizer: Any, day: date | None) -> None:
    """Let a tokenizer's chat templates write one date, whenever they are used.

    Args:
        tokenizer: A transformers tokenizer.
        day: The run's date.
    """
    day = WITHOUT_DATE if day is None else day
    match tokenizer.chat_template:
        case str() as template:
            tokenizer.chat_template = at_date(template, day)
        case dict() as named:
            tokenizer.chat_template = {
                name: at_date(template, day) for name, template in named.items()
            }
