"""When a row of a batch that transformers generates has its answer whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from tsugiki.evaluate.thinking import Thoughts

PART_OF_CHARACTER = "\ufffd"
"""What a token decodes to that holds some bytes of a character."""


class StopTexts:
    """Stop sequences, looked for in the text of newly generated tokens.

    Only the newest token is decoded, once per distinct token. A row's tail is decoded where a
    sequence may span tokens: the newest one holds the sequence's last character, or only a part
    of a character.

    Args:
        stops: The sequences; empty ones are passed over.
        tokenizer: A transformers tokenizer.
        texts: What tokens decode to, as far as it is known; it is added to.
    """

    def __init__(self, stops: Sequence[str], tokenizer: Any, texts: dict[int, str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._tokenizer = tokenizer
        self._texts = texts

    def within(self, text: str) -> bool:
        """Whether a text has a stop sequence."""
        return any(stop in text for stop in self._stops)

    def end(self, generated: torch.Tensor, token: int) -> bool:
        """Whether a text has a stop sequence now; shape (tokens,), the newest of which is `token`."""
        text = self._texts.get(token)
        if text is None:
            text = self._texts[token] = self._tokenizer.decode([token])
        for stop in self._stops:
            if stop in text:
                return True
            if (len(stop) > 1 and stop[-1] in text) or PART_OF_CHARACTER in text:
                tail = generated[-len(stop.encode()) - 2 :]
                if stop in self._tokenizer.decode(tail):
                    return True
        return False


class StopRows(transformers.StoppingCriteria):  # type: ignore[misc]
    """Ends each row of a batch for itself; one that is done stays done."""

    def __init__(self) -> None:
        self._done: dict[int, bool] = {}

    def ends(self, row: int, ids: torch.Tensor, newest: int) -> bool:
        """Whether a row is done now: its tokens, shape (tokens,), the prompt's among them, and the last one."""
        raise NotImplementedError

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Which rows are done; shape (batch,), bool."""
        del scores, kwargs
        for row, newest in enumerate(
            input_ids[:, -1].tolist()
        ):  # at once: each copy makes a GPU wait
            self._done[row] = self._done.get(row, False) or self.ends(row, input_ids[row], newest)
        return torch.tensor(list(self._done.values()), device=input_ids.device)


class StopTokens(StopRows):
    """Ends a row once its generated text holds a stop sequence (see `StopTexts`)."""

    def __init__(
        self, stops: Sequence[str], tokenizer: Any, prompt_length: int, texts: dict[int, str]
    ) -> None:
        super().__init__()
        self._stops = StopTexts(stops, tokenizer, texts)
        self._prompt = prompt_length

    def ends(self, row: int, ids: torch.Tensor, newest: int) -> bool:
        """Whether it holds one."""
        del row
        return self._stops.end(ids[self._prompt :], newest)


class StopAfterThinking(StopRows):
    """Ends a row by stop sequences that come after its thinking part, and by a limit for each part.

    White space before an answer ends nothing: it is cut off.

    Args:
        thoughts: Of the model.
        stops: Stop sequences of the answer.
        prompt_length: Tokens of the prompts.
        texts: As for `StopTexts`.
        opened: Of each row, whether its prompt opens a thinking part.
        limit: Most tokens of the answer.
    """

    def __init__(
        self,
        thoughts: Thoughts,
        stops: Sequence[str],
        prompt_length: int,
        texts: dict[int, str],
        opened: Sequence[bool],
        limit: int,
    ) -> None:
        super().__init__()
        self._thoughts = thoughts
        self._tokenizer = thoughts.tokenizer
        self._stops = StopTexts(stops, self._tokenizer, texts)
        self._closes = StopTexts([thoughts.settings.end], self._tokenizer, texts)
        self._prompt = prompt_length
        self._limit = limit
        self._thinks: list[bool | None] = [True if one else None for one in opened]
        self._begun = [prompt_length for _ in opened]
        self._shown: list[int | None] = [None for _ in opened]

    def ends(self, row: int, ids: torch.Tensor, newest: int) -> bool:
        """Whether its answer is whole, or a part of it too long."""
        generated, count = ids[self._prompt :], len(ids)
        if self._thinks[row] is None:
            self._thinks[row] = self._thoughts.opened(self._tokenizer.decode(generated))
        if self._thinks[row]:
            if not self._closes.end(generated, newest):
                return count - self._prompt >= self._thoughts.settings.max_tokens
            self._thinks[row], self._begun[row] = False, count
            return False
        full = count - self._begun[row] >= self._limit
        if self._thinks[row] is None:
            return full
        return full or self._has_stop(row, ids, newest)

    def _has_stop(self, row: int, ids: torch.Tensor, newest: int) -> bool:
        start = self._shown[row]
        if start is None:
            text = self._tokenizer.decode(ids[self._begun[row] :]).lstrip()
            if not text:
                return False
            start = self._begun[row]
            while not self._tokenizer.decode(ids[start]).strip():
                start += 1
            self._shown[row] = start
            return self._stops.within(text)
        return self._stops.end(ids[start:], newest)
