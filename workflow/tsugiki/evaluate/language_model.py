"""A transformers model as lm-eval sees it: fixed greedy decoding, broken logits noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from tsugiki.config.evaluation import Thinking
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.pictures import without_pictures
from tsugiki.evaluate.sampling import SETTINGS, Draw, KeyedSampling, Request, key_of, numbered
from tsugiki.evaluate.stopping import StopAfterThinking, StopRows, StopTokens
from tsugiki.evaluate.thinking import Thought, Thoughts

transformers.logging.set_verbosity_error()


class BrokenModelError(EvaluationError):
    """The model's outputs are not numbers."""


class ForwardClock:
    """Seconds spent in forward passes, and whether any number that they gave was not finite.

    An argmax over NaN is 0, which scores full marks on a task whose answer is always the first:
    such a model must fail, not win.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        outputs: Callable[[Any], torch.Tensor] = lambda output: output.logits,
        what: str = "logits",
    ) -> None:
        """`outputs` are what a forward pass returns of numbers, and `what` they are called."""
        self._outputs, self._what = outputs, what
        self.seconds = 0.0
        self._on_gpu = any(weights.is_cuda for weights in model.parameters())
        self._started = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._open: torch.cuda.Event | None = None
        self._finite: torch.Tensor | None = None
        model.register_forward_pre_hook(self._before)
        model.register_forward_hook(self._after)

    def reset(self) -> None:
        """Start anew."""
        self.seconds = 0.0
        self._events = []
        self._finite = None

    def stop(self) -> float:
        """Seconds since `reset`.

        Raises:
            BrokenModelError: some numbers were NaN or infinite.
        """
        for before, after in self._events:
            after.synchronize()
            self.seconds += before.elapsed_time(after) / 1000
        self._events = []
        if self._finite is not None and not bool(self._finite):
            raise BrokenModelError(f"the model's {self._what} are not finite")
        return self.seconds

    def _before(self, module: torch.nn.Module, arguments: Any) -> None:
        del module, arguments
        if self._on_gpu:
            self._open = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._open.record()
        else:
            self._started = time.perf_counter()

    def _after(self, module: torch.nn.Module, arguments: Any, output: Any) -> None:
        del module, arguments
        if self._open is not None:
            closed = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            closed.record()
            self._events.append((self._open, closed))
        else:
            self.seconds += time.perf_counter() - self._started
        finite = torch.isfinite(self._outputs(output)).all()
        self._finite = finite if self._finite is None else self._finite & finite


class LanguageModel(HFLM):  # type: ignore[misc]
    """HFLM around a model whose weights are replaced between candidates.

    `cut` has the prompts that were longer than what the model can read, and lost their start; `thoughts`
    has what prompts led to where answers think.

    Decoding is greedy, or sampled where requests say so, with one fixed generation configuration: a
    candidate's own generation_config.json (a repetition penalty, say) would otherwise change its
    score. Only the tokens that end an answer are taken from there: chat models often have several.
    """

    add_bos_token: bool | None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_size: int,
        ends: Sequence[int] = (),
        chat_template_args: Mapping[str, Any] | None = None,
        thinking: Thinking | None = None,
    ) -> None:
        """`ends` are tokens that end answers besides the model's own."""
        self.clock = ForwardClock(model)
        self._texts: dict[int, str] = {}
        own = end_tokens(model.generation_config, tokenizer)
        model.generation_config = transformers.GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=sorted({*own, *ends}) or None,
            pad_token_id=tokenizer.pad_token_id,
        )
        self._ends = frozenset(ends if thinking is None else {*own, *ends})
        self._thoughts = None if thinking is None else Thoughts(thinking, tokenizer)
        self.thoughts: dict[Hashable, Thought] = {}
        self._batch: list[str] = []
        self.cut: set[tuple[str, bool]] = set()
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            backend="causal",
            chat_template_args=dict(chat_template_args or {}),
            think_end_token=None if thinking is None else thinking.end,
        )

    @property
    def weights(self) -> Any:
        """What takes a candidate's weights: the model itself."""
        return self.model

    def tok_batch_encode(self, strings: list[str], *settings: Any, **named: Any) -> Any:
        """As in HFLM; prompts that it cuts are noted."""
        self._batch = list(strings)
        if limit := named.get("left_truncate_len"):
            self.cut |= {(text, True) for text in strings if len(self.tok_encode(text)) > limit}
        return super().tok_batch_encode(strings, *settings, **named)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """As in HFLM, without a progress bar per candidate, and without pictures."""
        return super().loglikelihood(list(map(_blind, requests)), disable_tqdm=disable_tqdm)

    def loglikelihood_of_texts(self, requests: Any) -> list[float]:
        """As `loglikelihood_rolling`, of a text's own tokens.

        lm-eval puts a BOS before each text, as what its first token is predicted from. Where the tokenizer puts
        another one, that one is predicted too, which is what models never learn: it would count several nats.
        """
        before, self.add_bos_token = self.add_bos_token, False
        try:
            return list(super().loglikelihood_rolling(requests, disable_tqdm=True))
        finally:
            self.add_bos_token = before

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """As in HFLM, without a progress bar per candidate, and without pictures.

        A thinking part has a budget of its own.
        """
        requests = list(numbered(list(map(_blind, requests))))
        if self._thoughts is not None:
            more = self._thoughts.settings.max_tokens
            requests = [Request(_longer(one.args, more, self.max_gen_toks)) for one in requests]
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(self, *requests: Any, **settings: Any) -> Any:
        """As in HFLM; prompts that it cuts at the model's length are noted."""
        for (prompt, _), before, after in requests[0] if requests else ():
            if len(before) + len(after) > self.max_length + 1:  # the last token is only predicted
                self.cut.add((prompt, False))
        return super()._loglikelihood_tokens(*requests, **settings)

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **generation: Any
    ) -> Any:
        generation.pop("do_sample", None)
        sampling = {name: generation.pop(name, None) for name in SETTINGS}
        length = context.shape[1]
        draws = [prompt for prompt in self._batch if isinstance(prompt, Draw)]
        if draws:  # of one kind: lm-eval's batches have the same settings
            chosen = KeyedSampling(draws, length, max_length - length, sampling)
            generation["logits_processor"] = transformers.LogitsProcessorList([chosen])
        stops: StopRows = StopTokens(stop, self.tokenizer, length, self._texts)
        if self._thoughts is not None:
            opened = [self._thoughts.opened_by(prompt) for prompt in self._batch]
            limit = max_length - length - self._thoughts.settings.max_tokens
            stops = StopAfterThinking(self._thoughts, stop, length, self._texts, opened, limit)
        generated = self.model.generate(
            input_ids=context,
            max_length=max_length,
            stopping_criteria=transformers.StoppingCriteriaList([stops]),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            do_sample=False,
            **generation,
        )
        if self._thoughts is None and not self._ends:
            return generated
        for row, prompt in zip(generated, self._batch, strict=True):
            answer = row[length:].tolist()
            kept = until_end(answer, self._ends)
            if self._thoughts is not None:
                while kept and kept[-1] == self.tokenizer.pad_token_id:
                    kept.pop()  # rows that were done before others are filled up
                thought = self.thoughts[key_of(prompt)] = self._thoughts.cut(prompt, kept, limit)
                kept = list(thought.answer)
            kept += [self.tokenizer.pad_token_id] * (len(answer) - len(kept))
            row[length:] = torch.tensor(kept, dtype=row.dtype, device=row.device)
        return generated


def _blind(request: Any) -> Any:
    """A request as a model gets it that sees no pictures; one without any is what it was."""
    if len(request.args) <= 2:  # a text, and what is wanted
        return request
    prompt, wanted, _ = request.args
    return Request((without_pictures(prompt), wanted), getattr(request, "task_name", None))


def _longer(
    asked: tuple[str, dict[str, Any]], more: int, default: int
) -> tuple[str, dict[str, Any]]:
    """A request whose answer may have more tokens."""
    settings = dict(normalize_gen_kwargs(asked[1], default))
    return asked[0], settings | {"max_gen_toks": settings["max_gen_toks"] + more}


def until_end(answer: Sequence[int], ends: Collection[int]) -> list[int]:
    """The tokens of an answer before the first one that ends it: such a one need not be special."""
    place = next((place for place, token in enumerate(answer) if token in ends), len(answer))
    return list(answer[:place])


def end_tokens(generation_config: Any, tokenizer: Any) -> list[int]:
    """Ids of all tokens that end an answer, in ascending order."""
    declared = generation_config.eos_token_id
    listed = declared if isinstance(declared, list) else [declared]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


def generation_config(folder: Path, config: Any) -> Any:
    """What transformers gives a model that it reads from `folder`."""
    if (folder / "generation_config.json").is_file():
        return transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return transformers.GenerationConfig.from_model_config(config)
