"""A commented configuration to start from."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tsugiki import atomic
from tsugiki.config.base import Name
from tsugiki.errors import ConfigError

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
            expected="lower-case letters, digits, `-` and `_`; at most 64; no `-` or `_` first",
            got=repr(name),
            fix="choose another name, such as `my-merge`",
        ) from error
    path = FOLDER / f"{name}.yaml"
    if path.exists():
        raise ConfigError(
            "the configuration is there already",
            where=str(path),
            fix="choose another name, or remove the file",
        )
    atomic.write_bytes(path, TEMPLATE.format(name=name).encode())
    return path
