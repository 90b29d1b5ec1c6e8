"""The JSON schema and the key reference, both generated from the models.

A commented configuration to start from.
"""

from __future__ import annotations

import json
import os
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from tsugiki import atomic
from tsugiki.config.baselines import Baseline, StackBaseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.evaluation import (
    Evaluation,
    FunctionObjective,
    Items,
    LmEvalObjective,
    Rungs,
    Vllm,
)
from tsugiki.config.parents import DemoParent, HubParent, LocalParent, Vocabulary
from tsugiki.config.run import Finalists, RunConfig, Tracking
from tsugiki.config.stage import Budget, Gene, ParameterSpace, Stage
from tsugiki.contracts.data import NAME_RULE, Name
from tsugiki.contracts.recipe import Gradient
from tsugiki.errors import ConfigError
from tsugiki.strategies.bit_cma import BitCma
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.cma_es_margin import CmaEsMargin
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.sep_cma import SeparableCmaEs

FOLDER = Path("config")

TEMPLATE = """\
# A merge of your own models. config/README.md explains every key; nothing here is final until
# `snakemake` has run.
#
#   tsugiki check config/{name}.yaml                     reads headers only, downloads no weights
#   snakemake --configfile config/{name}.yaml --cores all
name: {name}
seed: 1

# The models, by names of your own: `hub` is a repository of the Hugging Face Hub, `path` a folder
# with config.json, tokenizer and safetensors files. All have the same architecture and shapes. The
# commit that a branch points to at the first run is locked.
parents:
  base: {{hub: mistralai/Mistral-7B-v0.1}}
  japanese: {{hub: augmxnt/shisa-gamma-7b-v1}}
  maths: {{hub: WizardLMTeam/WizardMath-7B-V1.1, revision: main}}
  # mine: {{path: models/my-finetune}}

stages:
  - name: ps
    parents: [japanese, maths]
    base: base  # what the parents were fine-tuned from
    space:
      kind: parameter
      method: dare_ties  # docs/methods.md has all methods and their parameters
      dtype: bfloat16
      tokenizer: japanese  # whose tokenizer and chat template the merged model gets
      genes:
        # grouping: one value for the whole `model`, each `block`, or each `block_part`
        weight: {{range: [0.0, 1.5], start: 0.5, grouping: block}}
        density: {{range: [0.1, 1.0], start: 0.5, grouping: block}}
    # population: candidates in a generation, 4 + floor(3 ln n) for n genes if absent
    strategy: {{kind: cma_es, sigma: 0.1667}}
    budget: {{generations: 50, stagnation: 15}}

evaluation:
  # Tasks of lm-eval, or your own: name the folders of their YAML files in `task_paths`.
  task_paths: []
  objectives:
    - {{name: ja_maths, task: mgsm_direct_ja, metric: "exact_match,flexible-extract"}}
  # Measured on the held-out documents only: what the merge must not lose.
  monitors:
    - {{name: en_maths, task: mgsm_direct_en, metric: "exact_match,flexible-extract"}}
  # Disjoint documents: for the search, for the choice among finalists, for the final table.
  items: {{search: 100, validation: 50, test: 100}}
  # The rows of one are translations of the other's: none is searched on here and tested on there.
  document_keys: {{mgsm_direct_ja: "#", mgsm_direct_en: "#"}}
  num_fewshot: 0
  batch_size: 16
  jobs: 1  # one for each GPU to use
  device: auto
  resident: false  # true on one machine: models stay in memory between generations

finalists: {{top: 8, mean: true}}
"""


def write_template(name: str) -> Path:
    """Write config/<name>.yaml, a commented start for one's own models.

    Args:
        name: The run's name; its results will be in results/<name>/.

    Returns:
        The file.

    Raises:
        ConfigError: the name is not valid, or the file is there already.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            "not a valid name for a run",
            expected=NAME_RULE,
            got=repr(name),
            fix="choose another name, such as `my-merge`",
        ) from error
    path = FOLDER / f"{name}.yaml"
    if not atomic.write_new(path, TEMPLATE.format(name=name).encode()):
        raise ConfigError(
            "the configuration is there already",
            where=str(path),
            fix="choose another name, or remove the file",
        )
    return path


SCHEMA = Path("workflow/schemas/config.schema.json")
REFERENCE = Path("config/README.md")

SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("(top level)", RunConfig),
    ("parents.<name>, in a folder", LocalParent),
    ("parents.<name>, on the Hub", HubParent),
    ("parents.<name>, of the demo", DemoParent),
    ("vocabulary", Vocabulary),
    ("stages[]", Stage),
    ("stages[].space, kind: parameter", ParameterSpace),
    ("stages[].space.genes.<parameter>", Gene),
    ("stages[].space.genes.<parameter>.grouping, a gradient", Gradient),
    ("stages[].space, kind: dataflow", DataflowSpace),
    ("stages[].strategy, kind: cma_es", CmaEs),
    ("stages[].strategy, kind: cma_es_margin", CmaEsMargin),
    ("stages[].strategy, kind: sep_cma", SeparableCmaEs),
    ("stages[].strategy, kind: bit_cma", BitCma),
    ("stages[].strategy, kind: genetic", Genetic),
    ("stages[].strategy, kind: random", RandomSearch),
    ("stages[].budget", Budget),
    ("evaluation", Evaluation),
    ("evaluation.objectives[] and .monitors[]", LmEvalObjective),
    ("evaluation.objectives[] and .monitors[], of your own function", FunctionObjective),
    ("evaluation.items", Items),
    ("evaluation.rungs", Rungs),
    ("evaluation.vllm", Vllm),
    ("baselines[], kind: merge", Baseline),
    ("baselines[], kind: stack", StackBaseline),
    ("finalists", Finalists),
    ("tracking", Tracking),
]

HEADER = """# Configuration

A run is one YAML file. `snakemake --configfile config/my-merge.yaml` runs it; `config.yaml` here
is the embedded demo. Unknown keys are refused. Paths are relative to the folder that `snakemake`
runs in; a leading `~` is your home folder. `tsugiki check FILE` checks a file without running anything.

This page is generated from the models in `workflow/tsugiki/config/` by `tsugiki schema --write`.
"""


WRITTEN = {SCHEMA: f'"title": "{RunConfig.__name__}"', REFERENCE: "`tsugiki schema --write`"}
"""What is in each file if it was written here."""


def out_of_step() -> Path | None:
    """The first of the generated files, in the working folder, that is not as it would be written."""
    for path, text in _documents().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            return path
    return None


def write_documents() -> None:
    """Write the generated files into the working folder.

    Raises:
        ConfigError: another file has the name of one.
    """
    for path in WRITTEN:
        if os.path.lexists(path) and not _is_written(path):
            raise ConfigError(
                "another file stands where the generated one is to go",
                where=str(path),
                fix="run this in a checkout of tsugiki, or remove the file",
            )
    for path, text in _documents().items():
        atomic.write_bytes(path, text.encode())


def _documents() -> dict[Path, str]:
    return {SCHEMA: json_schema(), REFERENCE: reference()}


def _is_written(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return WRITTEN[path].encode() in path.read_bytes()


def json_schema() -> str:
    """JSON schema of a configuration file, for editors."""
    schema = RunConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def reference() -> str:
    """config/README.md: a table of keys for every section."""
    parts = [HEADER]
    for title, model in SECTIONS:
        lines = [f"\n## {title}\n\n{_first_line(model)}\n\n| key | type | default | meaning |"]
        lines.append("|---|---|---|---|")
        for name, field in model.model_fields.items():
            cells = (
                f"`{name}`",
                _type(field.annotation),
                _default(field.get_default(call_default_factory=True)),
                " ".join((field.description or "").split()),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().replace("\n", " ").replace("    ", "")


def _type(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if annotation is type(None):
        return "null"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if arguments:
        return " or ".join(dict.fromkeys(_type(item) for item in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, str(annotation))


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return "see its section"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return ", ".join(str(getattr(item, "name", "")) for item in value)
    if isinstance(value, float):
        return f"`{value:.4g}`"
    return f"`{json.dumps(value)}`"
