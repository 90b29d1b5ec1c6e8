"""vLLM as lm-eval sees it: the prompts, the limits and the texts of the transformers backend."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)

from tsugiki.config.evaluation import Thinking
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.language_model import BrokenModelError, until_end
from tsugiki.evaluate.sampling import SETTINGS as SAMPLING
from tsugiki.evaluate.sampling import Draw, key_of, numbered
from tsugiki.evaluate.thinking import Thought, Thoughts

LIMITS = {"max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"}
SETTINGS = {"until", "do_sample", *SAMPLING, *LIMITS}
"""Settings of a task's generation that are known here; those of sampling mean nothing to greedy
decoding."""


class GenerationClock:
    """Seconds spent in vLLM, and whether any answer came from logits that were not numbers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.seconds = 0.0
        self._broken = False

    def add(self, seconds: float, log_probabilities: Sequence[float]) -> None:
        """Count a call, with the sum over each answer of its tokens' log-probabilities.

        One NaN or plus infinity among the logits makes all log-probabilities of its token NaN, and
        with them the sum.
        """
        self.seconds += seconds
        self._broken |= not all(math.isfinite(value) for value in log_probabilities)

    def stop(self) -> float:
        """Seconds since `reset`.

        Raises:
            BrokenModelError: some logits were NaN or infinite.
        """
        if self._broken:
            raise BrokenModelError("the model's logits are not finite")
        return self.seconds


class VllmLanguageModel(LM):  # type: ignore[misc]
    """Answers lm-eval's requests, greedily unless they say otherwise.

    Answers are decoded and cut as in HFLM, from the tokens that vLLM returns, so that the backends
    differ in the model's arithmetic alone.

    Args:
        engine: vLLM's `LLM`.
        sampling_params: vLLM's `SamplingParams`.
        tokenizer: A transformers tokenizer.
        ends: Ids of the tokens that end an answer.
        more_ends: Others that end one besides.
        max_length: Most tokens of prompt and answer.
        chat_template_args: Arguments of the chat template.
        thinking: How a thinking part of an answer is marked, if there is one.
    """

    apply_chat_template = HFLM.apply_chat_template
    max_gen_toks = 256  # lm-eval's, where a task does not say

    def __init__(
        self,
        engine: Any,
        sampling_params: Any,
        tokenizer: Any,
        *,
        ends: Sequence[int],
        max_length: int,
        more_ends: Sequence[int] = (),
        chat_template_args: Mapping[str, Any] | None = None,
        thinking: Thinking | None = None,
    ) -> None:
        super().__init__()
        self.clock = GenerationClock()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.chat_template_args = dict(chat_template_args or {})
        self._engine = engine
        self._sampling_params = sampling_params
        self._ends = sorted({*ends, *more_ends})
        self._more_ends = frozenset(more_ends)
        self._thoughts = None if thinking is None else Thoughts(thinking, tokenizer)
        self.thoughts: dict[Hashable, Thought] = {}
        self.cut: set[tuple[str, bool]] = set()

    @property
    def tokenizer_name(self) -> str:
        """Where the tokenizer is from."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """Answer all requests, in their order, with one call of vLLM.

        Raises:
            ConfigError: a prompt is empty, or an answer may be too long.
            EvaluationError: vLLM answered some of them only.
            TsugikiError: it reports no log-probabilities, by which broken models are told.
        """
        del disable_tqdm
        requests = list(numbered(requests))
        prompts, settings, stops = [], [], []
        for request in requests:
            text, given = request.args
            stop, limit = self._limits(given)
            # as in lm-eval, stop texts may stand in the thinking part, and are looked for after it
            looked_for = [term for term in stop if term] if self._thoughts is None else []
            tokens, room = self._encoded(text), self.max_length - limit
            if len(tokens) > room:
                self.cut.add((text, True))
                tokens = tokens[-room:]
            if not tokens:
                raise ConfigError(
                    "a task's prompt has no tokens, and vLLM answers none such",
                    got=repr(text),
                    fix="leave the document out, give the task a description, or set "
                    "`evaluation.backend: transformers`",
                )
            prompts.append({"prompt_token_ids": tokens})
            settings.append(
                self._sampling_params(
                    **_sampling(text, given),
                    max_tokens=limit,
                    stop=looked_for,
                    stop_token_ids=self._ends,
                    ignore_eos=True,  # no others: vLLM would add those of the model it began with
                    skip_special_tokens=False,  # while stop sequences are looked for
                    spaces_between_special_tokens=False,
                    logprobs=1,
                )
            )
            stops.append(stop)
        started = time.perf_counter()
        answers = self._engine.generate(prompts, settings, use_tqdm=False)
        seconds = time.perf_counter() - started
        if len(answers) != len(prompts):
            raise EvaluationError(f"vLLM answered {len(answers)} of {len(prompts)} prompts")
        outputs = [answer.outputs[0] for answer in answers]
        self.clock.add(seconds, [_log_probability(output) for output in outputs])
        return [
            self._text(request.args, list(output.token_ids), stop)
            for request, output, stop in zip(requests, outputs, stops, strict=True)
        ]

    def _text(self, asked: tuple[str, dict[str, Any]], ids: list[int], stop: list[str]) -> str:
        """An answer as HFLM makes it of tokens."""
        ids = until_end(ids, self._more_ends)
        end = None
        if self._thoughts is not None:
            end = self._thoughts.settings.end
            limit = self._limits(asked[1])[1] - self._thoughts.settings.max_tokens
            ids = until_end(ids, self._ends)
            thought = self.thoughts[key_of(asked[0])] = self._thoughts.cut(asked[0], ids, limit)
            ids = thought.answer
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return str(postprocess_generated_text(text, stop, end))

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """Refused, as `require_backend` has said before."""
        del requests, disable_tqdm
        raise _refused()

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """Refused, as `require_backend` has said before."""
        del requests, disable_tqdm
        raise _refused()

    def _limits(self, given: dict[str, Any]) -> tuple[list[str], int]:
        """Stop sequences, and most tokens of the answer, its thinking part included."""
        normalized = normalize_gen_kwargs(given, self.max_gen_toks)
        eos = self.tokenizer.decode(self.tokenizer.eos_token_id, skip_special_tokens=False)
        limit = int(normalized["max_gen_toks"])
        limit += 0 if self._thoughts is None else self._thoughts.settings.max_tokens
        if limit >= self.max_length:
            raise ConfigError(
                "a task's answers may be as long as all that the model can hold",
                where="max_gen_toks",
                expected=f"less than {self.max_length}",
                got=str(limit),
                fix="raise `evaluation.vllm.max_length`, or lower the task's limit",
            )
        return handle_stop_sequences(normalized.get("until"), eos=eos), limit

    def _encoded(self, text: str) -> list[int]:
        """Tokens of a prompt, as HFLM encodes it in a batch."""
        begins = has_bos_prefix(text, getattr(self.tokenizer, "bos_token", None))
        settings = {"add_special_tokens": False} if begins else {}
        return list(self.tokenizer(text, **settings)["input_ids"])


def _sampling(prompt: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """How vLLM chooses tokens: the likeliest, or by the request's own seed."""
    if not isinstance(prompt, Draw):
        return {"temperature": 0.0}
    said = {name: given[name] for name in SAMPLING if given.get(name) is not None}
    return {"temperature": 1.0, **said, "seed": prompt.seed}


def _log_probability(output: Any) -> float:
    if output.cumulative_logprob is None:
        raise TsugikiError(
            "vLLM reports no log-probabilities: broken models would go unnoticed",
            fix="use one of the versions of vLLM that docs/hpc.md names, or `backend: transformers`",
        )
    return float(output.cumulative_logprob)


def _refused() -> ConfigError:
    return ConfigError(
        "log-likelihoods are not computed with vLLM", fix="set `backend: transformers`"
    )
