"""Which language a text is in, judged by its script.

Enough to tell Japanese answers from English ones; languages that share a script are not told
apart. A character's script is read off its Unicode block.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Script = Literal["hiragana", "katakana", "han", "latin", "other"]
"""Scripts of letters. `han` is kanji: the CJK unified ideographs."""

_RANGES: tuple[tuple[int, int, Script], ...] = (
    (0x3041, 0x309F, "hiragana"),
    (0x30A1, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"),
    (0x3005, 0x3007, "han"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xF900, 0xFAFF, "han"),
    (0x20000, 0x323AF, "han"),
    (0x0041, 0x024F, "latin"),
    (0x1E00, 0x1EFF, "latin"),
)

SCRIPTS: dict[str, frozenset[Script]] = {
    "ja": frozenset({"hiragana", "katakana", "han"}),
    "en": frozenset({"latin"}),
}
"""Scripts that each language is written in."""


def script(character: str) -> Script | None:
    """Script of one character; None if it is no letter (digits, signs, spaces)."""
    if not unicodedata.category(character).startswith(("L", "Nl")):
        return None
    code = ord(character)
    for first, last, name in _RANGES:
        if first <= code <= last:
            return name
    return "other"


def share_in_language(text: str, language: str) -> float:
    """Share of a text's letters that are in the language's scripts, from 0 to 1.

    Full-width and half-width forms count as their ordinary counterparts. A text without letters
    is in no language: its share is 0.

    Raises:
        KeyError: the language is not in `SCRIPTS`.
    """
    wanted = SCRIPTS[language]
    scripts = [script(character) for character in unicodedata.normalize("NFKC", text)]
    letters = [found for found in scripts if found is not None]
    return sum(found in wanted for found in letters) / len(letters) if letters else 0.0


def is_in_language(text: str, language: str) -> bool:
    """Whether more than half of a text's letters are in the language's scripts."""
    return share_in_language(text, language) > 0.5
