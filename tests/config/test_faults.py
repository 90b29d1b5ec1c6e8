"""What is wrong with a configuration is told at once, by key, with what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import raw_config
from tsugiki.config.load import parse_config, read_config
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError

Raw = dict[str, Any]
Change = Callable[[Raw], object]


def stage(raw: Raw) -> Raw:
    """The first stage."""
    found: Raw = raw["stages"][0]
    return found


def gene(raw: Raw) -> Raw:
    """A gene."""
    found: Raw = stage(raw)["space"]["genes"]["weight"]
    return found


def objective(raw: Raw) -> Raw:
    """The first objective."""
    found: Raw = raw["evaluation"]["objectives"][0]
    return found


def faults(raw: Raw) -> list[str]:
    """The lines about single keys, after both checks."""
    with pytest.raises(ConfigError) as caught:
        validate_config(parse_config(raw, where="my.yaml"), where="my.yaml")
    assert caught.value.where == "my.yaml"
    lines = re.findall(r"^    - (.*)$", caught.value.got or "", re.MULTILINE)
    assert caught.value.what == f"{len(lines)} fault{'s'[: len(lines) != 1]} in the configuration"
    return lines


BASELINE = {"name": "x", "method": "ties", "parameters": {"weight": 1.0}}

FORM: list[tuple[Change, str, str]] = [
    (lambda raw: raw.update(evalution={}), "evalution", "unknown key.*`evaluation`"),
    (lambda raw: stage(raw)["strategy"].update(sigmaa=1), "stages[0].strategy.sigmaa", "`sigma`"),
    (
        lambda raw: gene(raw).update(groping="x"),
        "stages[0].space.genes.weight.groping",
        "`grouping`",
    ),
    (lambda raw: raw["parents"]["a"].update(rev="x"), "parents.a.rev", "valid names: .*`path`"),
    (lambda raw: raw["evaluation"]["items"].update(tset=1), "evaluation.items.tset", "`test`"),
    (
        lambda raw: stage(raw)["strategy"].update(kind="cma-es"),
        "stages[0].strategy.kind",
        "no 'cma-es'; nearest valid names: `cma_es`",
    ),
    (lambda raw: stage(raw)["strategy"].pop("kind"), "stages[0].strategy.kind", "required"),
    (
        lambda raw: gene(raw).update(range=["x", 1]),
        "stages[0].space.genes.weight.range[0]",
        "number",
    ),
    (lambda raw: objective(raw).pop("metric"), "evaluation.objectives[0].metric", "required"),
    (lambda raw: raw.pop("evaluation"), "evaluation", "required"),
    (lambda raw: gene(raw).update(range=[1.0, 0.0]), "stages[0].space.genes.weight", "is empty"),
    (lambda raw: gene(raw).update(start=2.0), "stages[0].space.genes.weight", "outside the range"),
    (
        lambda raw: gene(raw).update(grouping="blocks"),
        "stages[0].space.genes.weight.grouping",
        "'model', 'block' or 'block_part'",
    ),
    (
        lambda raw: gene(raw).update(grouping={"mlp": "(["}),
        "stages[0].space.genes.weight.grouping",
        "`mlp` is no regular expression",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"lambda": [1.0]}),
        "stages[0].space.options.lambda",
        "valid number; or .*boolean; or .*string",
    ),
    (lambda raw: raw.update(seed=-1), "seed", r"greater than or equal to 0 \(got -1\)"),
    (lambda raw: stage(raw)["budget"].update(generations=0), "stages[0].budget.generations", "1"),
    (lambda raw: objective(raw).update(goal="max"), "evaluation.objectives[0].goal", "'maximize'"),
    (lambda raw: raw["evaluation"].update(device="gpu"), "evaluation.device", "'cuda'"),
    (lambda raw: raw.update(stages=[]), "stages", "at least 1"),
    (lambda raw: raw.update(name="My Run"), "name", "lower-case letters.*got 'My Run'"),
    (lambda raw: raw["parents"].update(A={"path": "x"}), "parents.A", "lower-case.*got 'A'"),
    (lambda raw: raw["parents"].update(a={"path": "x", "hub": "y"}), "parents.a", "exactly one"),
    (lambda raw: raw["parents"].update(a={"pth": "x"}), "parents.a", "`path`, `hub`, `demo`"),
    (
        lambda raw: raw.update(baselines=[BASELINE | {"per_parent": ["density"]}]),
        "baselines[0]",
        "not among the parameters",
    ),
]

MEANING: list[tuple[Change, str, str]] = [
    (lambda raw: raw["parents"].update(a={"path": "nowhere"}), "parents.a.path", "no folder"),
    (lambda raw: stage(raw).update(parents=["a", "bb"]), "stages[0]", "unknown parent 'bb'.*`b`"),
    (lambda raw: stage(raw).update(base="bas"), "stages[0]", "unknown parent 'bas'.*`base`"),
    (lambda raw: stage(raw).update(parents=["a", "a"]), "stages[0].parents", "listed twice"),
    (lambda raw: stage(raw).update(name="test"), "stages[0].name", "taken"),
    (lambda raw: raw["stages"].append(stage(raw)), "stages[1].name", "taken"),
    (
        lambda raw: stage(raw)["space"].update(tokenizer="c"),
        "stages[0].space.tokenizer",
        "not merged in this stage",
    ),
    (
        lambda raw: stage(raw)["space"].update(method="dare_tie"),
        "stages[0].space.method",
        "unknown merge method 'dare_tie'.*`dare_ties`",
    ),
    (
        lambda raw: (stage(raw).pop("base"), raw.update(baselines=[])),
        "stages[0].base",
        "dare_ties needs a base",
    ),
    (
        lambda raw: stage(raw)["space"]["genes"].update(wieght=gene(raw)),
        "stages[0].space.genes.wieght",
        "no such parameter; nearest valid names: `weight`",
    ),
    (
        lambda raw: stage(raw)["space"]["genes"]["density"].update(range=[0.1, 1.5]),
        "stages[0].space.genes.density.range",
        r"leaves \[0, 1\]",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"lamda": 1.0}),
        "stages[0].space.options.lamda",
        "no such option; nearest valid names: `lambda`",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"lambda": 99.0}),
        "stages[0].space.options.lambda",
        r"99 leaves \[-10, 10\]",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"lambda": "high"}),
        "stages[0].space.options.lambda",
        "is a number; got 'high'",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"normalize": 3.0}),
        "stages[0].space.options.normalize",
        "true or false",
    ),
    (
        lambda raw: stage(raw)["space"].update(options={"density": 0.5}),
        "stages[0].space.options.density",
        "density is searched",
    ),
    (
        lambda raw: raw.update(baselines=[BASELINE | {"name": "a"}]),
        "baselines[0].name",
        "taken by a parent",
    ),
    (
        lambda raw: raw.update(baselines=[BASELINE | {"method": "tie"}]),
        "baselines[0].method",
        "unknown merge method 'tie'",
    ),
    (
        lambda raw: raw.update(baselines=[{"name": "x", "method": "slerp"}]),
        "baselines[0].method",
        "takes 1 parents; stage ps has 2",
    ),
    (
        lambda raw: raw.update(baselines=[BASELINE | {"parameters": {"density": [0.5, 2.0]}}]),
        "baselines[0].parameters.density",
        r"2 leaves \[0, 1\]",
    ),
    (
        lambda raw: raw.update(baselines=[BASELINE | {"options": {"normalise": True}}]),
        "baselines[0].options.normalise",
        "`normalize`",
    ),
    (
        lambda raw: raw["evaluation"]["task_paths"].append("nowhere"),
        "evaluation.task_paths",
        "no folder 'nowhere'",
    ),
    (
        lambda raw: objective(raw).update(task="wrods"),
        "evaluation.objectives[0].task",
        "unknown task 'wrods'.*`words`",
    ),
    (
        lambda raw: objective(raw).update(metric="even"),
        "evaluation.objectives[0].metric",
        "no metric 'even'; nearest valid names: `even,none`",
    ),
    (
        lambda raw: raw["evaluation"].update(monitors=[objective(raw)]),
        "evaluation.monitors[0].name",
        "used twice",
    ),
    (
        lambda raw: raw["evaluation"].update(document_keys={"word": "id"}),
        "evaluation.document_keys",
        "no objective has the task 'word'; nearest valid names: `words`",
    ),
    (
        lambda raw: raw.update(finalists={"preference": {"bounds": {"evem": 0.5}}}),
        "finalists.preference.bounds.evem",
        "no objective is called that; nearest valid names",
    ),
    (
        lambda raw: raw.update(finalists={"preference": {"by": "knee"}}),
        "finalists.preference.by",
        "looks for the largest weighted sum",
    ),
    (
        lambda raw: raw.update(finalists={"preference": {"bounds": {}}}),
        "finalists.preference",
        "a preference has `bounds`, or `by: knee`",
    ),
    (
        lambda raw: raw["evaluation"]["objectives"][0].update(aggregate="mean"),
        "evaluation.objectives[0].task",
        "'words' is no group, or one without tasks",
    ),
    (
        lambda raw: raw["evaluation"]["objectives"][1].update(metric="tokens"),
        "evaluation.objectives[1].metric",
        "generates no answers that could be counted in tokens",
    ),
]


@pytest.mark.parametrize(("change", "key", "message"), FORM, ids=[one[1] for one in FORM])
def test_a_fault_of_form_names_its_key(change: Change, key: str, message: str) -> None:
    """Unknown keys, wrong types and ranges, also inside unions; the key is as the user wrote it."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    change(raw)
    (line,) = faults(raw)
    assert line.startswith(f"`{key}`: ")
    assert re.search(message, line)


@pytest.mark.parametrize(("change", "key", "message"), MEANING, ids=[one[1] for one in MEANING])
def test_a_fault_of_meaning_names_its_key(
    tiny_config: Raw, change: Change, key: str, message: str
) -> None:
    """Parents, methods, parameters, options, tasks and metrics that do not exist or fit."""
    change(tiny_config)
    (line,) = faults(tiny_config)
    assert line.startswith(f"`{key}`: ")
    assert re.search(message, line)


def test_a_sound_configuration_has_no_faults(tiny_config: Raw) -> None:
    """The one that all the faults above are put into."""
    validate_config(parse_config(tiny_config, where="my.yaml"), where="my.yaml")


def test_all_faults_are_told_together(tiny_config: Raw) -> None:
    """Mending a file takes one round, not one for each fault."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    stage(raw)["strategy"].update(sigmaa=1)
    gene(raw).update(range=[2, 1])
    objective(raw).update(goal="max", weight=0)
    assert len(faults(raw)) == 4
    stage(tiny_config)["space"].update(method="tie")
    stage(tiny_config).update(parents=["a", "bb"])
    objective(tiny_config).update(task="wrods")
    assert len(faults(tiny_config)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the configuration"),
        ("a: [1", "not valid YAML"),
        ("- just\n- a list\n", "not a mapping"),
        ("", "not a mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    """Missing, broken, or something else."""
    path = tmp_path / "my.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert caught.value.where == str(path)
