"""Programming problems as objectives, scored by tests in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from tsugiki.config.file_objectives import CodeObjective, FileObjective
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.own_documents import Document, FromFile
from tsugiki.evaluate.readers import Reader
from tsugiki.evaluate.sandbox import Limits, interpreter, require_sandbox, run_tests

FENCED = re.compile(r"```[a-zA-Z0-9+]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


class Code(FromFile[CodeObjective]):
    """Evaluator of programs: 1 if the greedy answer passes all tests (pass@1), otherwise 0.

    Source of the metric: Chen et al., "Evaluating Large Language Models Trained on Code" (2107.03374).
    """

    key: ClassVar[str] = "code"
    kind: ClassVar[type[FileObjective]] = CodeObjective

    def identity(self) -> dict[str, Any]:
        """The objectives, and what runs the programs."""
        return {**super().identity(), "interpreter": interpreter()}

    def wrong(self, objective: CodeObjective, document: Document) -> str | None:
        """Require a prompt and tests."""
        del objective
        if not isinstance(document.get("prompt"), str):
            return "a text as `prompt`"
        tests = document.get("tests")
        listed = tests if isinstance(tests, list) else [tests]
        if not listed or not all(isinstance(one, str) and one.strip() for one in listed):
            return "Python code, or a list of such, as `tests`"
        entry = document.get("entry_point")
        if entry is not None and not str(entry).isidentifier():
            return "the name of a function as `entry_point`"
        return None

    def answer(self, objective: CodeObjective, model: Any, ids: Sequence[int]) -> Iterator[Sample]:
        """Score each problem: whether the program passes its tests."""
        documents = self.chosen(objective, ids)
        requests = self.asked(objective, model, ids)
        answers = list(model.generate_until(requests))
        programs = [
            self._program(objective, document, answer)
            for document, answer in zip(documents, answers, strict=True)
        ]
        with ThreadPoolExecutor(self.evaluation.threads) as pool:
            said = list(
                pool.map(
                    lambda document, program: run_tests(
                        program or "", _tests(document), _limits(objective)
                    ),
                    documents,
                    programs,
                )
            )
        for place, document, request, answer, program, failed in zip(
            ids, documents, requests, answers, programs, said, strict=True
        ):
            yield self.record(
                objective,
                place,
                value=float(failed is None),
                response=answer,
                prompt=request.args[0],
                target=document.get("solution", ""),
                max_tokens=objective.max_tokens,
                parsed=float(program is not None),
            )

    def asked(self, objective: CodeObjective, model: Any, ids: Sequence[int]) -> list[Instance]:
        """A program for each prompt."""
        return self.scored(model).asked(
            [document["prompt"] for document in self.chosen(objective, ids)],
            max_tokens=objective.max_tokens,
            stop=objective.stop if self._completes(objective) else [],
        )

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """Find a missing sandbox, solutions that fail their own tests, and tests that an empty program passes."""
        yield from super().faults(source, ids, readers)
        try:
            require_sandbox()
        except ConfigError as error:
            yield error
            return
        for objective in [one for one in self.objectives if one.task == source]:
            for place, document in zip(ids, self.chosen(objective, ids), strict=True):
                if fault := self._fault(objective, place, document):
                    yield fault
                    break

    def _fault(
        self, objective: CodeObjective, place: int, document: Document
    ) -> ConfigError | None:
        where = f"{objective.file}, document {place}"
        if run_tests("", _tests(document), _limits(objective)) is None:
            return ConfigError(
                f"a document of objective {objective.name} is solved by an empty program",
                where=where,
                expected="tests that raise where a program is wrong",
                got=_tests(document)[:200],
            )
        if "solution" not in document:
            return None
        solution = str(document["solution"])
        texts = [solution, f"{document['prompt']}{solution}"]
        said = [run_tests(text, _tests(document), _limits(objective)) for text in texts]
        if None in said:
            return None
        return ConfigError(
            f"the solution of a document of objective {objective.name} does not pass its own tests",
            where=where,
            got=said[0],
            fix="mend the document, or raise the objective's `seconds` or `memory`",
        )

    def _completes(self, objective: CodeObjective) -> bool:
        default = "block" if self.evaluation.apply_chat_template else "completion"
        return (objective.answer or default) == "completion"

    def _program(self, objective: CodeObjective, document: Document, answer: str) -> str | None:
        """The program in an answer; None if it has no fenced block and should have one."""
        if self._completes(objective):
            return f"{document['prompt']}{answer}"
        found = FENCED.search(answer)
        return None if found is None else found.group(1)


def _tests(document: Document) -> str:
    tests = document["tests"]
    lines = list(tests) if isinstance(tests, list) else [tests]
    if "entry_point" in document:
        lines.append(f"check({document['entry_point']})")
    return "\n".join(lines)


def _limits(objective: CodeObjective) -> Limits:
    return Limits(objective.seconds, objective.memory)
