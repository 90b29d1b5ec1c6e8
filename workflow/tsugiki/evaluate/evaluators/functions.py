"""Python functions of the user's own as objectives."""

from __future__ import annotations

import copy
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lm_eval.api.instance import Instance

from tsugiki.config.evaluation import Evaluation, FunctionObjective
from tsugiki.config.sources import function_digest
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError
from tsugiki.evaluate.aggregation import finite_number
from tsugiki.evaluate.evaluators.own_documents import OwnDocuments, ScoredModel, read_rows
from tsugiki.evaluate.evaluators.tasks import absent_documents, broken_task
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent
from tsugiki.evaluate.readers import NotLoadedError, Reader

Documents = list[dict[str, Any]]
Function = Callable[[ScoredModel, Documents], Any]

TRIED = 2
"""Documents that a function is tried on before a run."""
SEED = 1234
"""All random generators start from it at each call of a function."""


class Functions(OwnDocuments[FunctionObjective]):
    """Evaluator of all objectives that name a function.

    Raises:
        ConfigError: a file or a function of it cannot be loaded, or its documents not be read.
    """

    key: ClassVar[str] = "functions"

    def __init__(self, evaluation: Evaluation) -> None:
        objectives = evaluation.functions
        modules = {one.file: _load(one.file) for one in objectives}
        self._functions = {one.name: _function(one, modules[one.file]) for one in objectives}
        documents: dict[str, Documents] = {}
        for one in objectives:
            if one.task not in documents:
                documents[one.task] = _documents(one, modules[one.file])
        self.hold(evaluation, objectives, documents)
        self._digests = {one.function: function_digest(one.file) for one in objectives}

    def identity(self) -> dict[str, Any]:
        """The functions' files and the objectives."""
        return {**super().identity(), "sources": self._digests}

    def failure(self, objective: FunctionObjective) -> str:
        """The function that raised."""
        return f"{objective.function} failed"

    def answer(
        self, objective: FunctionObjective, model: Any, ids: Sequence[int]
    ) -> Iterator[Sample]:
        """What the function makes of the documents.

        Raises:
            EvaluationError: it returns something else than a number for each.
        """
        for place, answer in zip(ids, self._call(objective, model, ids), strict=True):
            response = answer.get("response") if isinstance(answer, Mapping) else None
            yield self.record(
                objective,
                place,
                value=finite_number(_value(answer)),
                response=None if response is None else str(response),
            )

    def _call(
        self, objective: FunctionObjective, model: Any, ids: Sequence[int]
    ) -> list[float | Mapping[str, Any]]:
        """What a function returns for some documents, one for each."""
        documents = [copy.deepcopy(dict(one)) for one in self.chosen(objective, ids)]
        with _same_chance(), torch.no_grad():
            returned = self._functions[objective.name](self.scored(model), documents)
        answers = returned.tolist() if hasattr(returned, "tolist") else returned
        if not isinstance(answers, list | tuple) or len(answers) != len(ids):
            got = f"{len(answers)} values" if isinstance(answers, list | tuple) else repr(answers)
            raise _wrong(objective, f"a list with a value for each of {len(ids)} documents", got)
        for answer in answers:
            if not isinstance(_value(answer), int | float):
                raise _wrong(
                    objective, "numbers, or mappings with a number as `value`", repr(answer)
                )
        return list(answers)

    def asked(self, objective: FunctionObjective, model: Any, ids: Sequence[int]) -> list[Instance]:
        """What the function lets a stand-in for a parent generate, with empty answers."""
        heard: list[Instance] = []

        def answer(request: Instance) -> str:
            heard.append(request)
            return ""

        model.answer = answer
        with suppress(Exception):  # it wants more than answers, or answers that are not empty
            self._call(objective, model, ids)
        return heard

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """Each function is tried on a few documents, with empty answers in place of a model's."""
        yield from super().faults(source, ids[:TRIED], readers)
        for objective, error in self._tried(source, ids, readers):
            if isinstance(error, EvaluationError):
                yield ConfigError(
                    str(error.what),
                    where=str(objective.file),
                    expected=error.expected,
                    got=error.got,
                )
            elif not isinstance(error, ValueError | ArithmeticError):
                yield broken_task(objective.function, objective.file, error)

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """Which functions cannot take an empty answer: a candidate that gives one will fail."""
        for objective, error in self._tried(source, ids, readers):
            yield (
                f"{objective.function} fails on empty answers, and a model that gives one with it: "
                f"{type(error).__name__}: {error}"
            )

    def _tried(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[tuple[FunctionObjective, Exception]]:
        """What goes wrong with the functions of a source, the first thing of each."""
        for one in self.objectives:
            for reader in readers if one.task == source else ():
                reader.answer = lambda _request: ""
                try:
                    self._call(one, reader, ids[:TRIED])
                except NotLoadedError:
                    continue  # it wants more than answers: scoring will tell
                except Exception as error:  # noqa: BLE001 - the user's code
                    if not is_machine_fault(error):
                        yield one, error
                    break


def _value(answer: Any) -> Any:
    """The number in an answer, be it one of torch or numpy."""
    value: Any = answer.get("value") if isinstance(answer, Mapping) else answer
    return value.item() if hasattr(value, "item") else value


def _wrong(objective: FunctionObjective, expected: str, got: str) -> EvaluationError:
    return EvaluationError(
        f"{objective.function} returns something else than scores", expected=expected, got=got
    )


@contextmanager
def _same_chance() -> Iterator[None]:
    """Let code that draws random numbers draw the same ones at each call, and change no other's."""
    state, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what users use
    try:
        gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(gpus):
            random.seed(SEED)
            np.random.seed(SEED)  # noqa: NPY002
            torch.manual_seed(SEED)
            yield
    finally:
        random.setstate(state)
        np.random.set_state(of_numpy)  # noqa: NPY002


def _load(file: Path) -> Any:
    """The module in a file, which may import others beside it."""
    spec = importlib.util.spec_from_file_location(f"tsugiki_function_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if is_machine_fault(error):
            raise
        raise broken_task(str(file), file, error) from error
    finally:
        sys.path.pop(0)
    return module


def _function(objective: FunctionObjective, module: Any) -> Function:
    found: Function | None = getattr(module, objective.function_name, None)
    if not callable(found):
        raise ConfigError(
            f"objective {objective.name} names a function that is not there",
            where=str(objective.file),
            expected=f"a function `{objective.function_name}`",
            got="none" if found is None else repr(found),
        )
    return found


def _documents(objective: FunctionObjective, module: Any) -> Documents:
    """The documents of an objective, from its file or from the function `documents`."""
    where = objective.file if objective.documents is None else folder_of(objective.documents)
    try:
        return list(module.documents()) if objective.documents is None else read_rows(where)
    except Exception as error:
        if is_machine_fault(error) or is_absent(error):
            raise absent_documents({objective.task: error}) from error
        raise broken_task(objective.task, where, error) from error
