"""Everything under config/: runs that validate, and pages that are in step with the models."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tsugiki.config.document import (
    REFERENCE,
    SCHEMA,
    SECTIONS,
    json_schema,
    reference,
    write_template,
)
from tsugiki.config.load import dump_config, parse_config, read_config
from tsugiki.config.parents import LocalParent
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError

ROOT = Path(__file__).parents[2]
IN_STEP = "run `tsugiki schema --write`"


def runs() -> list[Path]:
    """Configurations of runs under config/; profiles and tasks are something else."""
    found = [
        path
        for path in (ROOT / "config").rglob("*.yaml")
        if "stages" in (yaml.safe_load(path.read_text()) if "tasks" not in path.parts else {})
    ]
    return sorted(found)


@pytest.mark.parametrize("path", runs(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_configuration_in_the_repository_validates(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Methods, tasks, metrics, ranges; read from the folder that `snakemake` runs in.

    Parents that are made there first count as made.
    """
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    config = read_config(path)
    for source in config.parents.values():
        if isinstance(source, LocalParent):
            source.folder.mkdir(parents=True)
    validate_config(config, where=str(path))


def test_the_embedded_demo_is_among_them() -> None:
    """`make run` runs it."""
    assert ROOT / "config" / "config.yaml" in runs()


def test_schema_and_reference_are_in_step_with_the_models() -> None:
    """Both are generated."""
    assert (ROOT / SCHEMA).read_text(encoding="utf-8") == json_schema(), IN_STEP
    assert (ROOT / REFERENCE).read_text(encoding="utf-8") == reference(), IN_STEP


@pytest.mark.parametrize(("title", "model"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_every_key_is_documented(title: str, model: type[BaseModel]) -> None:
    """Each section and each of its keys says what it means, and the page has a row for it."""
    assert model.__doc__
    page = reference().split(f"\n## {title}\n")[1].split("\n## ")[0]
    for name, field in model.model_fields.items():
        assert field.description, f"{title}: {name}"
        assert f"| `{name}` |" in page


def test_every_section_of_a_configuration_has_its_table() -> None:
    """No model can be reached from the run's that the page leaves out."""
    definitions = set(yaml.safe_load(json_schema())["$defs"])
    assert definitions <= {model.__name__ for _, model in SECTIONS}


def test_a_written_out_configuration_is_the_same_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """config.lock.yaml holds every default, and equal values give equal bytes."""
    monkeypatch.chdir(ROOT)
    config = read_config(Path("config/config.yaml"))
    written = dump_config(config)
    again = parse_config(yaml.safe_load(written), where="lock")
    assert again == config
    assert dump_config(again) == written


def test_the_template_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its methods, tasks, parents and metrics exist; it is named after the run."""
    monkeypatch.chdir(tmp_path)
    path = write_template("my-merge")
    assert path == Path("config/my-merge.yaml")
    config = read_config(path)
    assert config.name == "my-merge"
    validate_config(config, where=str(path))
    assert config.stages[0].strategy.kind == "cma_es"
    assert path.read_text().count("#") > 10


def test_the_template_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration is work."""
    monkeypatch.chdir(tmp_path)
    path = write_template("mine")
    path.write_text("changed")
    with pytest.raises(ConfigError, match="there already") as caught:
        write_template("mine")
    assert caught.value.where == "config/mine.yaml"
    assert path.read_text() == "changed"


@pytest.mark.parametrize("name", ["", "My", "a b", "../up", "-x", "x" * 65, "ü", "x\n"])
def test_a_name_that_is_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not a valid name"):
        write_template(name)
    assert list(tmp_path.iterdir()) == []
