"""A vision-language model as lm-eval sees it: text goes through its tokenizer, pictures through its processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsugiki.errors import EvaluationError
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.pictures import PLACEHOLDER, Picture, Shown, pictures_in, shown
from tsugiki.evaluate.processors import marker_of, turns_for
from tsugiki.evaluate.sampling import Request

KEPT_BYTES = 2**30
"""Of encoded pictures, which every candidate gets again."""


class PictureModel(LanguageModel):
    """A model that is also asked about pictures, by lm-eval's tasks with `doc_to_image`.

    What it is asked is made as lm-eval's own class for such models makes it: a placeholder for each
    picture becomes the model's own, and the processor of the tokenizer's owner does the rest. Prompts
    with pictures are never cut. Decoding is that of text.

    Args:
        model: As for `LanguageModel`.
        tokenizer: As for `LanguageModel`.
        processor: Opens the processor; called when a picture is first to be seen.
        settings: As for `LanguageModel`.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, processor: Callable[[], Any], **settings: Any
    ) -> None:
        self._open_processor = processor
        self._processor: Any = None
        self._seen: dict[str, Tensor] = {}
        """What the model gets besides tokens, for the batch that is generated."""
        self._pictured: dict[tuple[Any, ...], dict[str, Tensor]] = {}
        self._pictured_bytes = 0
        super().__init__(model, tokenizer, **settings)

    @property
    def processor(self) -> Any:
        """Makes tokens and pixels of texts and pictures.

        Raises:
            ParentError: there is none, or it cannot be loaded.
        """
        if self._processor is None:
            self._processor = self._open_processor()
        return self._processor

    def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
        """As in HFLM, with turns as the template takes them."""
        turns = turns_for(self.tokenizer, chat_history)
        return str(super().apply_chat_template(turns, add_generation_prompt))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """As in HFLM; prompts with pictures are batched by themselves."""
        return _apart(
            requests,
            lambda texts: super(PictureModel, self).generate_until(texts, disable_tqdm),
            lambda pictured: super(PictureModel, self).generate_until(
                [_with_pictures(one) for one in pictured], disable_tqdm
            ),
        )

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """As in HFLM; continuations of prompts with pictures are batched by themselves, in their order."""
        return _apart(
            requests,
            lambda texts: super(PictureModel, self).loglikelihood(texts, disable_tqdm),
            self._likelihoods,
        )

    def tok_batch_encode(self, strings: Sequence[str], *settings: Any, **named: Any) -> Any:
        """As in HFLM; prompts with pictures go through the processor, and are never cut."""
        if not isinstance(strings[0], Shown):
            self._seen = {}
            return super().tok_batch_encode(list(strings), *settings, **named)
        self._batch = list(strings)
        encoded = self._encode(strings, "left")
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        self._require_room(ids, named.get("left_truncate_len"))
        self._seen = self._besides_tokens(encoded)
        return ids.clone(), mask.clone()

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **generation: Any
    ) -> Any:
        return super()._model_generate(context, max_length, stop, **self._seen, **generation)

    def _likelihoods(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation (nats), and whether it is what greedy decoding says."""
        found = []
        for first in range(0, len(requests), self.batch_size):
            batch = requests[first : first + self.batch_size]
            pairs = [_moved(one.args[0], one.args[1]) for one in batch]
            lengths = [len(self._encode_pair(*pair)[1]) for pair in pairs]
            whole = [
                shown(before + after, pictures_in(one))
                for (before, after), one in zip(pairs, batch, strict=True)
            ]
            found += self._batch_likelihoods(self._encode(whole, "right"), lengths)
        return found

    def _batch_likelihoods(
        self, encoded: dict[str, Tensor], lengths: Sequence[int]
    ) -> list[tuple[float, bool]]:
        ids, mask = (encoded[name].to(self.device) for name in ("input_ids", "attention_mask"))
        self._require_room(ids, self.max_length)
        with torch.no_grad():
            logits = self.model(
                input_ids=ids, attention_mask=mask, **self._besides_tokens(encoded)
            ).logits
        found = []
        for row, count in enumerate(lengths):
            end = int(mask[row].sum())
            after = ids[row, end - count : end]
            told = torch.log_softmax(logits[row, end - count - 1 : end - 1].float(), dim=-1)
            each = told.gather(1, after[:, None])[:, 0]
            found.append((float(each.sum()), bool((told.argmax(-1) == after).all())))
        return found

    def _encode(self, prompts: Sequence[Any], side: str) -> dict[str, Tensor]:
        """Tokens, mask and pixels of prompts with pictures; every candidate gets the same, encoded once."""
        key = (side, *((str(one), *(of.digest for of in one.pictures)) for one in prompts))
        if key in self._pictured:
            return self._pictured[key]
        mark = marker_of(self.processor, self.tokenizer, self.config)
        texts = [str(one).replace(PLACEHOLDER, mark) for one in prompts]
        before, self.tokenizer.padding_side = self.tokenizer.padding_side, side
        try:
            encoded = self.processor(
                images=[[self._converted(of) for of in one.pictures] for one in prompts],
                text=texts,
                padding="longest",
                return_tensors="pt",
                **self._special(texts),
            )
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise EvaluationError(
                "the processor cannot make anything of a prompt and its pictures",
                where=type(self.processor).__name__,
                got=f"{type(error).__name__}: {error}",
                fix="`tsugiki check` tries the task's prompts with each parent's processor",
            ) from error
        finally:
            self.tokenizer.padding_side = before
        found = {name: value for name, value in encoded.items() if isinstance(value, Tensor)}
        size = sum(value.nbytes for value in found.values())
        if self._pictured_bytes + size <= KEPT_BYTES:
            self._pictured[key] = found
            self._pictured_bytes += size
        return found

    def _special(self, texts: Sequence[str]) -> dict[str, Any]:
        """No second BOS where the template writes one, as for text."""
        begins = self.tokenizer.bos_token
        return {"add_special_tokens": False} if begins and texts[0].startswith(begins) else {}

    @staticmethod
    def _converted(picture: Picture) -> Any:
        image = picture.image
        return image if image.mode == "RGB" else image.convert("RGB")

    def _besides_tokens(self, encoded: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the model gets besides tokens and mask, on its device and in its number format."""
        return {
            name: value.to(self.device, self.model.dtype)
            if value.is_floating_point()
            else value.to(self.device)
            for name, value in encoded.items()
            if name not in {"input_ids", "attention_mask"}
        }

    def _require_room(self, ids: Tensor, limit: int | None) -> None:
        if limit is not None and ids.shape[1] > limit:
            raise EvaluationError(
                "a prompt with its pictures is longer than the model can read",
                expected=f"at most {limit} tokens before the answer",
                got=str(ids.shape[1]),
                fix="use smaller pictures, or a task with shorter answers",
            )


def _with_pictures(request: Any) -> Request:
    """A request whose prompt has its pictures with it."""
    prompt, settings = request.args[:2]
    return Request((shown(prompt, pictures_in(request)), settings))


def _apart(
    requests: Sequence[Any],
    of_texts: Callable[[list[Any]], list[Any]],
    of_pictures: Callable[[list[Any]], list[Any]],
) -> list[Any]:
    """Answers to requests, in their order, of which those with pictures go another way."""
    pictured = [bool(pictures_in(one)) for one in requests]
    answers = {
        has: iter(ask(asked) if asked else [])
        for has, ask in ((False, of_texts), (True, of_pictures))
        if (asked := [one for one, its in zip(requests, pictured, strict=True) if its is has])
    }
    return [next(answers[has]) for has in pictured]


def _moved(before: str, after: str) -> tuple[str, str]:
    """Prompt and continuation, with the spaces between them in the latter, as lm-eval has it."""
    kept = before.rstrip()
    return kept, before[len(kept) :] + after
