"""The thinking part of an answer: whether it was closed, and what comes after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tsugiki.config.evaluation import Thinking


@dataclass(frozen=True)
class Thought:
    """What a model generated, divided."""

    tokens: int
    """Of the thinking part."""
    closed: bool
    """Whether it was closed in time; also where there is none."""
    answer: list[int]
    """Tokens of what follows; none if it was not closed."""


@dataclass(frozen=True)
class Thoughts:
    """Cuts thinking parts off answers, in tokens, so that a mark may also be a special token."""

    settings: Thinking
    tokenizer: Any

    def opened_by(self, prompt: str) -> bool:
        """Whether a prompt ends within a thinking part, as some chat templates write it."""
        return prompt.rstrip().endswith(self.settings.start)

    def opened(self, text: str) -> bool | None:
        """Whether the text of an answer begins with a thinking part; None as long as that is not decided."""
        begun = text.lstrip()
        if begun.startswith(self.settings.start):
            return True
        return None if self.settings.start.startswith(begun) else False

    def length(self, ids: Sequence[int], *, opened: bool) -> int | None:
        """Tokens of the thinking part of an answer.

        Args:
            ids: The answer's tokens.
            opened: Whether the prompt has opened it.

        Returns:
            0 for an answer that has no such part; None where it is not closed within the budget.
        """
        text = self._text(ids)
        if self.settings.end not in text:
            return None if opened or self.opened(text) else 0
        low, high = 1, len(ids)  # fewest tokens whose text has the mark
        while low < high:
            middle = (low + high) // 2
            low, high = (
                (low, middle)
                if self.settings.end in self._text(ids[:middle])
                else (middle + 1, high)
            )
        return low if low <= self.settings.max_tokens else None

    def cut(self, prompt: str, ids: Sequence[int], limit: int) -> Thought:
        """Divide what a model generated.

        Where the mark that closes the thinking shares its last token with text of the answer, all tokens
        are kept: it is then cut off as text.

        Args:
            prompt: The prompt.
            ids: The tokens, without the one that ended them.
            limit: Most tokens of the answer; more are left out.
        """
        length = self.length(ids, opened=self.opened_by(prompt))
        if length is None:
            return Thought(len(ids), closed=False, answer=[])
        after = self._text(ids[:length]).rpartition(self.settings.end)[2] if length else ""
        start = 0 if after.strip() else length
        return Thought(length, closed=True, answer=list(ids[start : length + limit]))

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))
