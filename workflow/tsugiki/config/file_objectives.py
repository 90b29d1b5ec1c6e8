"""Objectives whose documents are a file: a corpus, questions with choices, code with tests, a judge's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tsugiki.contracts.data import Name, Section, folder_of
from tsugiki.contracts.document_sets import Goal, sign_of

JSON_FILE = r"\.(jsonl|json)$"
TEXT_FILE = r"\.(jsonl|json|csv|txt)$"

Weight = Annotated[float, Field(gt=0)]
Tokens = Annotated[int, Field(ge=1)]


class OwnObjective(Section):
    """A number to be made as large (or small) as possible, from files of the user's own."""

    name: Name
    """Short name in tables and figures."""
    goal: Goal = "maximize"
    """Which way is better."""
    weight: Weight = 1.0
    """How much it counts in the weighted sum of the objectives."""

    @property
    def sign(self) -> float:
        """1 if larger is better, -1 if smaller is."""
        return sign_of(self.goal)


class FileObjective(OwnObjective):
    """What these have in common."""

    source: ClassVar[str]
    """The key that names the file of the documents."""

    @property
    def task(self) -> str:
        """Where its documents come from: the file's name, as the configuration has it."""
        return str(getattr(self, self.source))

    @property
    def file(self) -> Path:
        """The file of the documents."""
        return folder_of(self.task)


class CorpusObjective(FileObjective):
    """How well a model predicts texts: lm-eval's perplexity metrics, over a corpus."""

    source: ClassVar[str] = "corpus"

    corpus: Annotated[str, Field(pattern=TEXT_FILE)]
    """File of texts, relative to the working folder: JSON lines, a JSON list of objects, CSV, or plain text
    with one document per line."""
    column: str = "text"
    """The column that holds the text; not used for plain text."""
    metric: Literal["bits_per_byte", "byte_perplexity", "word_perplexity"] = "bits_per_byte"
    """Bits per byte, or the exponential of the mean loss per byte or per word. None of them depends on how a
    tokenizer splits the text, so that models with different vocabularies can be compared."""
    goal: Goal = "minimize"
    """Which way is better."""


class ChoicesObjective(FileObjective):
    """Accuracy on multiple-choice questions: the share in which the model gives the right choice the largest likelihood."""

    source: ClassVar[str] = "choices"

    choices: Annotated[str, Field(pattern=JSON_FILE)]
    """File of questions, relative to the working folder: each has a `question`, a list of `choices`, and as
    `answer` the right choice or its index, from 0."""
    normalization: Literal["none", "characters", "bytes", "tokens"] = "characters"
    """What a choice's log-likelihood is divided by, so that long choices are not at a disadvantage: nothing (lm-eval's
    `acc`), its number of characters (`acc_norm`), of bytes, or of tokens."""


class CodeObjective(FileObjective):
    """The share of programming problems that the model solves with one program (pass@1), run in a sandbox."""

    source: ClassVar[str] = "code"

    code: Annotated[str, Field(pattern=JSON_FILE)]
    """File of problems, relative to the working folder: each has a `prompt` and `tests`, Python code (or a
    list of such) that raises where the program is wrong. With an `entry_point`, `check(entry_point)` is called
    after the tests, as in HumanEval. A `solution`, if there is one, has to pass before a run starts."""
    answer: Literal["completion", "block"] | None = None
    """What the program is: the prompt and the model's continuation (`completion`), or the first fenced
    block of its answer (`block`). If absent, `block` with `apply_chat_template`, otherwise `completion`."""
    stop: list[str] = ["\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\nassert ", "\n```"]
    """Texts that end a completion."""
    max_tokens: Tokens = 512
    """Most tokens of an answer."""
    seconds: Annotated[float, Field(gt=0)] = 5.0
    """Limit of CPU time for a program and its tests, in seconds; the limit of wall time is ten times as much."""
    memory: Annotated[int, Field(ge=64)] = 512
    """Limit of memory, in MiB."""


class Judge(Section):
    """A language model behind an OpenAI-compatible API."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Base address of the API, without `chat/completions`, such as `http://localhost:8000/v1`."""
    model: str
    """Name of the model, as the server reports it."""
    version: str
    """Whatever changes when the judge's answers do: its revision, its quantisation, the server's version.
    Part of the score's identity, as is `model`; the address is not."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "TSUGIKI_JUDGE_KEY"
    """Environment variable that holds the server's key, if it wants one. The key itself is written nowhere."""
    max_tokens: Tokens = 512
    """Most tokens of a verdict."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds to wait for a verdict."""


class JudgeObjective(FileObjective):
    """How often a judge prefers the model's answer to a reference: 1 if it does, 0.5 for a tie, 0 if not.

    Each pair is shown to the judge in both orders, and the value is the mean. Source: Zheng et al., "Judging
    LLM-as-a-Judge with MT-Bench and Chatbot Arena" (2306.05685), section 3.4.
    """

    source: ClassVar[str] = "judged"

    judged: Annotated[str, Field(pattern=TEXT_FILE)]
    """File of questions, relative to the working folder: each has a `question`, and as `reference` the answer
    to compare with."""
    judge: Judge
    """The model that judges."""
    criteria: str = "correctness first, then helpfulness and clarity"
    """The criteria that the judge is told to apply."""
    max_tokens: Tokens = 512
    """Most tokens of the model's answer."""
    stop: list[str] = []
    """Texts that end the model's answer."""
