"""JSON files that begin with a byte order mark, as some editors write it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from tsugiki.models.checkpoint import INDEX
from tsugiki.models.companions import OTHERS, TOKENIZER
from tsugiki.models.fault import Fault
from tsugiki.models.sources import ParentFiles

MARKS = {
    codecs.BOM_UTF8: "UTF-8 with one",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
READ = ("config.json", INDEX, *TOKENIZER, *OTHERS)


def check_encoding(name: str, files: ParentFiles) -> Iterator[Fault]:
    """The JSON files that a loader reads are plain UTF-8. Python can read others; transformers cannot.

    Args:
        name: The parent's name, for messages.
        files: Its files.
    """
    for file in READ:
        if file in files.sizes and file.endswith(".json"):
            start = files.start(file, 3)
            mark = next((mark for mark in MARKS if start.startswith(mark)), None)
            if mark is not None:
                yield Fault(
                    f"a file of `{name}` begins with a byte order mark, so that transformers cannot "
                    "read it",
                    f"{files.where}, {file}",
                    expected="UTF-8 without a byte order mark",
                    got=MARKS[mark],
                    fix="save it as UTF-8 without a byte order mark",
                )
