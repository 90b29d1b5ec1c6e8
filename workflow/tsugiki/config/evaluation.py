"""How candidates are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date as calendar_date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    Tag,
    model_validator,
)

from tsugiki.config.file_objectives import (
    ChoicesObjective,
    CodeObjective,
    CorpusObjective,
    FileObjective,
    JudgeObjective,
    OwnObjective,
    Weight,
)
from tsugiki.config.items import Items, Rungs, Subsets
from tsugiki.contracts.data import IfAny, IfSet, Name, Section, by_key, folder_of
from tsugiki.contracts.document_sets import Goal, sign_of

PLACE = "#"
"""In place of a column: documents are told apart by their place in the data set."""
TOKENS = "tokens"
"""The metric that is the length of the generated answer; lm-eval's own ones have a filter in their key."""


class LmEvalObjective(Section):
    """A number to be made as large (or small) as possible: one metric of one lm-eval task."""

    name: Name
    """Short name in tables and figures."""
    task: str
    """lm-eval task; or, with `aggregate`, a group of tasks, whose documents are divided together."""
    metric: str
    """Key of the metric in lm-eval's result, filter included, such as `exact_match,none`; or `tokens`, the
    length of the generated answer."""
    goal: Goal | None = None
    """`maximize` or `minimize`. If absent, what the task says of the metric (`higher_is_better`), and `minimize`
    for `tokens`."""
    weight: Weight = 1.0
    """Its weight in the weighted sum of the objectives, which most strategies maximise, and which chooses the winner
    among the finalists of every strategy."""
    aggregate: IfSet[Literal["mean", "weighted", "worst"] | None] = None
    """If `task` is a group of tasks, how their values become one: their `mean`; the mean `weighted` by numbers of
    documents, which is the mean over all documents; or the value of the `worst` task. The first two are lm-eval's
    `aggregate_metric_list` without and with `weight_by_size`."""

    @property
    def sign(self) -> float:
        """1 if larger is better, -1 if smaller is. Without a goal, as in `Evaluation.with_goals`."""
        return sign_of(self.goal)

    @property
    def counts_tokens(self) -> bool:
        """Whether it is the length of the generated answer, and none of the task's own metrics."""
        return self.metric == TOKENS


class FunctionObjective(OwnObjective):
    """A number to be made as large (or small) as possible: a Python function's mean over documents."""

    function: Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$")]
    """File and function, such as `my_scores.py:brevity`, relative to the working folder. Its code, that
    of modules beside it that it imports, and files beside it that it names are part of the score's
    identity."""
    documents: Annotated[str, Field(pattern=r"\.(jsonl|json|csv)$")] | None = None
    """File with the documents: JSON lines, a JSON list of objects, or CSV, relative to the working
    folder; if absent, what the function `documents` in the same file returns."""

    @property
    def task(self) -> str:
        """Where its documents come from: objectives of one source are scored on the same ones."""
        return self.documents or self.function.rpartition(":")[0]

    @property
    def file(self) -> Path:
        """The file of the function."""
        return folder_of(self.function.rpartition(":")[0])

    @property
    def function_name(self) -> str:
        """The function, without its file."""
        return self.function.rpartition(":")[2]


KINDS: dict[str, type[Section]] = {
    "task": LmEvalObjective,
    "function": FunctionObjective,
    "corpus": CorpusObjective,
    "choices": ChoicesObjective,
    "code": CodeObjective,
    "judged": JudgeObjective,
}
"""Kinds of objectives, by the key that only this kind has."""


Objective = Annotated[
    Annotated[LmEvalObjective, Tag("task")]
    | Annotated[FunctionObjective, Tag("function")]
    | Annotated[CorpusObjective, Tag("corpus")]
    | Annotated[ChoicesObjective, Tag("choices")]
    | Annotated[CodeObjective, Tag("code")]
    | Annotated[JudgeObjective, Tag("judged")],
    by_key("an objective", KINDS),
]
"""What is measured. Each kind has a name, a goal, a weight, and as `task` the source of its documents."""


class Vllm(Section):
    """How vLLM uses the GPU, for `backend: vllm`. Part of the score's identity."""

    memory: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that vLLM takes, for weights, keys and values: 0.9 if absent."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a prompt and its answer together; what the model allows if absent. Set it for models with a long
    context, for which vLLM would otherwise reserve more memory than there is."""


class Thinking(Section):
    """Answers that begin with a thinking part, which is cut off before stop texts and filters."""

    start: Annotated[str, Field(min_length=1)] = "<think>"
    """The mark that opens it, at the beginning of an answer or the end of a prompt."""
    end: Annotated[str, Field(min_length=1)] = "</think>"
    """The mark that closes it (lm-eval's `think_end_token`). An answer without it counts as empty, and so as wrong."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Most tokens of the thinking part; the task's `max_gen_toks` limits what follows."""


class Evaluation(Section):
    """How candidates are scored."""

    task_paths: list[str] = []
    """Folders with lm-eval task YAMLs, relative to the working folder. Code, YAML and data in a task's
    folder are part of the score's identity; other files only if code or YAML names them."""
    objectives: Annotated[list[Objective], Field(min_length=1)]
    """What is optimised."""
    monitors: list[Objective] = []
    """Further metrics, measured on the test items only."""
    items: Items = Items()
    """Sizes of the three sets of documents."""
    rungs: IfSet[Rungs | None] = None
    """Score candidates on a few search documents first, and the better ones on more; all on all if absent."""
    subsets: IfSet[Subsets | None] = None
    """Score each generation on its own random subset of the search documents; each on all of them if absent."""
    document_keys: dict[str, str] = {}
    """For tasks that have the same documents in different words, such as translations: by task (or file of documents), the
    column that identifies a document, or `#` for its place in the data set. Documents with equal keys are put into the
    same set of all tasks, and of several in one task the first is used. Documents of equal content are recognised without
    it, and `tsugiki check` names others that seem to be the same."""
    repeats: IfAny[dict[str, Annotated[int, Field(ge=1)]]] = {}
    """For tasks (or groups) whose `generation_kwargs` sample: how many answers to draw for each document, in place of the
    task's own `repeats`. A metric whose filter takes a single answer becomes the mean over the answers; a filter with
    `majority_vote` or `take_first_k` gets them all. Tasks that sample and are not named here are refused."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Solved examples in the prompt; what each task sets if absent."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Prompts in one forward pass; with vLLM, at most so many at a time. Part of the score's identity, since it
    changes the last bits."""
    apply_chat_template: bool = False
    """Wrap prompts in the tokenizer's chat template."""
    chat_template: IfSet[str | None] = None
    """A parent whose chat template all models of the run use, or a file (`my.jinja`). If absent, each model uses
    its own; if the model whose tokenizer a stage's merges get has none, all use that of the first parent that
    has one."""
    chat_template_args: IfAny[dict[str, bool | int | float | str]] = {}
    """Arguments of the chat template, such as `{enable_thinking: true}`."""
    system_instruction: IfSet[str | None] = None
    """Text before each task's `description`; in a chat, both together are the system turn."""
    fewshot_as_multiturn: IfSet[bool | None] = None
    """Give solved examples as turns of the chat. If absent, as `apply_chat_template`."""
    gen_prefix: IfSet[str | None] = None
    """Text that begins each answer, in place of what the tasks set. May be a Jinja template over a document's
    columns, as in a task's file."""
    thinking: IfSet[Thinking | None] = None
    """For models whose answers begin with a thinking part: cut it off. If absent, answers are taken whole."""
    end_tokens: IfSet[Literal["owner", "parents"] | None] = None
    """Whose end tokens end an answer, in the search and in the written model: those of the model that the
    tokenizer is from (`owner`), or of all `parents`. If absent, those of the owner and of the parent whose
    chat template is used."""
    date: calendar_date | None = None
    """The date for chat templates that write today's, such as those of Llama 3.2 and 3.3: for instance `2026-01-31`.
    If absent, the day on which the run's documents were divided. Part of the score's identity if
    a template writes it."""
    jobs: Annotated[int, Field(ge=1)] = 1
    """Jobs that a generation is split into: one per GPU. May be changed at any time."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of each job. On a CPU, part of the score's identity, since it changes the last bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU if there is one."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """What runs the models: `transformers`, or `vllm` for tasks that generate answers. vLLM needs a GPU and an
    environment of its own: see docs/hpc.md."""
    vllm: Vllm = Vllm()
    """Settings for `backend: vllm`."""
    storage: Literal["memory", "disk", "scratch"] = "memory"
    """`memory`: candidates are merged in the evaluating process. `disk`: jobs without a GPU write
    them beside the results, and they are removed after scoring. `scratch`: the evaluating process
    writes one after another to its temporary folder (`TMPDIR`), on the node's own disk."""
    resident: bool = False
    """Keep processes, and the models in them, alive between generations: one per evaluating job, one that ranks and
    selects, one for MLflow. For one machine; on a cluster it has no effect."""

    repeat_check: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """Score so many models of the final table, the winner first, on the test documents a second time, and say in
    the table how many values differ: on a GPU some may. No check if absent."""

    @model_validator(mode="after")
    def _rungs_are_of_search_documents(self) -> Evaluation:
        if self.rungs is not None and self.rungs.documents[-1] > self.items.search:
            raise ValueError(
                f"`rungs.documents`: there are {self.items.search} search documents (`items.search`)"
            )
        return self

    @model_validator(mode="after")
    def _subsets_are_of_search_documents(self) -> Evaluation:
        if self.subsets is None:
            return self
        if self.subsets.per_generation >= self.items.search:
            raise ValueError(
                "`subsets.per_generation` has to be smaller than the number of search documents, "
                f"{self.items.search} (`items.search`)"
            )
        if self.rungs is not None:
            raise ValueError("`rungs` and `subsets` exclude each other: remove one of them")
        long = [one.name for one in self.objectives if getattr(one, "counts_tokens", False)]
        if self.subsets.irt is not None and long:
            raise ValueError(
                "`subsets.irt` estimates scores from 0 (wrong) to 1 (right) for each document, and "
                f"`{long[0]}` counts tokens: remove `irt`, or make it a monitor"
            )
        return self

    @model_validator(mode="after")
    def _settings_of_chats_need_a_chat(self) -> Evaluation:
        if self.apply_chat_template:
            return self
        for name in ("chat_template", "chat_template_args", "fewshot_as_multiturn"):
            if getattr(self, name):
                raise ValueError(f"`{name}` needs `apply_chat_template: true`")
        return self

    @property
    def multiturn(self) -> bool:
        """Whether solved examples are turns of a chat."""
        given = self.fewshot_as_multiturn
        return self.apply_chat_template if given is None else given

    @property
    def template_file(self) -> Path | None:
        """The file of the chat template, if it is from one."""
        given = self.chat_template
        return folder_of(given) if given is not None and given.endswith(".jinja") else None

    def whole_candidates(self, population: int) -> int:
        """How many candidates on all search documents cost at least the answers of a generation; 2 or more."""
        if self.subsets is None:
            return population
        answers = (population + self.subsets.leaders) * self.subsets.per_generation
        return max(2, math.ceil(answers / self.items.search))

    @property
    def fewest_answers(self) -> int:
        """Documents that a candidate of a stage answers at least, if it does not fail."""
        documents = self.items.search if self.rungs is None else self.rungs.documents[0]
        if self.subsets is not None:
            documents = self.subsets.per_generation
        return documents * len({one.task for one in self.objectives})

    @property
    def task_folders(self) -> list[Path]:
        """The folders of the user's own tasks."""
        return [folder_of(path) for path in self.task_paths]

    @property
    def functions(self) -> list[FunctionObjective]:
        """Objectives and monitors that a function of the user's scores."""
        return [one for one in self.measured if isinstance(one, FunctionObjective)]

    @property
    def files(self) -> list[FileObjective]:
        """Objectives and monitors of which each has a file of documents and an evaluator of tsugiki's own."""
        return [one for one in self.measured if isinstance(one, FileObjective)]

    @property
    def measured(self) -> list[Objective]:
        """Objectives and monitors."""
        return [*self.objectives, *self.monitors]

    def of_task(self, task: str) -> Evaluation:
        """This section with what is measured on the documents of one source alone."""
        keys = {name: column for name, column in self.document_keys.items() if name == task}
        measured = [one for one in self.measured if one.task == task]
        return self.model_copy(
            update={"objectives": measured, "monitors": [], "document_keys": keys}
        )

    def with_goals(self, goals: Mapping[str, Goal] | None = None) -> Evaluation:
        """This section with a goal for every objective and monitor.

        Args:
            goals: By objective, where the configuration has none; `maximize` for those that are
                not named, as in runs from before tasks were asked.
        """
        known = goals or {}

        def decided(one: Objective) -> Objective:
            return one.model_copy(update={"goal": one.goal or known.get(one.name, "maximize")})

        return self.model_copy(
            update={
                "objectives": [decided(one) for one in self.objectives],
                "monitors": [decided(one) for one in self.monitors],
            }
        )
