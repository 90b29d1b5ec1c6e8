"""The code beside the Japanese tasks, and the tasks on a few made documents."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from PIL import Image

from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.readers import Reader

TASKS = Path(__file__).parents[2] / "config" / "tasks" / "japanese"
Row = Mapping[str, Any]
Scores = dict[str, list[float]]


def load(name: str) -> ModuleType:
    """A file of code beside the tasks, as lm-eval loads it.

    Raises:
        ConfigError: packages that it needs are not installed.
    """
    spec = importlib.util.spec_from_file_location(f"japanese_{name}", TASKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def answers() -> ModuleType:
    """The metrics; without the packages, tests that ask for them are skipped."""
    try:
        return load("answers")
    except ConfigError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"{error.what} ({error.got}): run make japanese")


class Sighted(Reader):
    """Gives the answers that it is told, and finds the one likeliest where it has a choice.

    Args:
        answer: What it says to a request.
    """

    def __init__(self, answer: Callable[[Any], str]) -> None:
        super().__init__()
        self.answer = answer

    def loglikelihood(self, requests: Any, **settings: Any) -> list[tuple[float, bool]]:
        """In nats, and whether it is what it says."""
        del settings
        said = [one.args[1].strip() == self.answer(one) for one in requests]
        return [(-1.0 if one else -9.0, one) for one in said]


class Task:
    """One of the tasks on documents of files: by a file that includes it, as docs/japanese.md says."""

    def __init__(self, folder: Path, name: str, rows: Mapping[str, Sequence[Row]]) -> None:
        self.folder, self.name = folder, name
        pictures = any("file_name" in one for of_split in rows.values() for one in of_split)
        files = {}
        for split, of_split in rows.items():
            lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in of_split]
            place = folder / split / "metadata.jsonl"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("".join(lines), "utf-8")
            files[split] = str(place.parent / "*") if pictures else str(place)
            for one in of_split if pictures else ():
                Image.new("RGB", (8, 8), one["colour"]).save(place.parent / one["file_name"])
        own = {
            "include": str(TASKS / f"{name}.yaml"),
            "task": f"my_{name}",
            "dataset_path": "imagefolder" if pictures else "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
        }
        (folder / f"my_{name}.yaml").write_text(yaml.safe_dump(own), "utf-8")

    def harness(self, *metrics: str, **settings: Any) -> Harness:
        """The evaluator of the task, with an objective for each metric."""
        objectives = [
            {"name": f"one_{place}", "task": f"my_{self.name}", "metric": f"{metric},none"}
            for place, metric in enumerate(metrics)
        ]
        section = {"task_paths": [str(self.folder)], "objectives": objectives, **settings}
        return Harness(Evaluation.model_validate(section))

    def scores(self, metrics: Sequence[str], answer: Callable[[Any], str], count: int) -> Scores:
        """What each document's answer is worth by each metric."""
        harness, model = self.harness(*metrics), Sighted(answer)
        records = harness.score(model, {f"my_{self.name}": range(count)})
        values = [one.value for one in records]
        assert None not in values
        return {
            metric: [
                float(one) for one in values[place * count : (place + 1) * count] if one is not None
            ]
            for place, metric in enumerate(metrics)
        }

    def prompts(self, count: int) -> list[Any]:
        """What a model is asked: lm-eval's requests."""
        return self.harness("acc").requests(Reader(), f"my_{self.name}", range(count))


MakeTask = Callable[..., Task]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Makes a task of the folder, by its name and its documents by split."""

    def make(name: str, **rows: Sequence[Row]) -> Task:
        return Task(tmp_path / name, name, rows)

    return make
