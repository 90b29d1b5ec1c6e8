"""A finished run of an earlier version, whose parents say their licences, and a Hub that can be written to."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from tests.parents.conftest import point_client
from tests.parents.hub_stand_in import running_hub
from tests.publish.hub_for_uploads import TOKEN, UploadHandler, UploadHub
from tsugiki.config.load import read_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "recorded" / "run-52b0542.tar.gz"
CITED = "@misc{a, title={A model}}"


@dataclass(frozen=True)
class Finished:
    """A run that has ended, in its working folder."""

    root: Path
    files: RunFiles
    config: RunConfig


def extracted(root: Path) -> Path:
    """The recorded run in a folder, with model cards and a licence file beside its parents."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    card = f"---\nlicense: mit\nlanguage: ja\nbase_model: org/older\n---\n# A\n```bibtex\n{CITED}\n```\n"
    (root / "parents/a/README.md").write_text(card)
    (root / "parents/b/README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en, ja]\n---\n")
    shutil.copy(ROOT / "LICENSE", root / "parents/base/LICENSE")
    return root


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run. Read only."""
    return extracted(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def finished(untouched: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """The run, with its working folder as ours. Read only."""
    return open_in(untouched, monkeypatch)


@pytest.fixture
def changeable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """A copy of it for a test that changes something."""
    return open_in(extracted(tmp_path / "run"), monkeypatch)


def open_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """The run of a folder, which becomes the working folder."""
    monkeypatch.chdir(root)
    return Finished(root, RunFiles(Path("results/tiny")), read_config(Path("tiny.yaml")))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[UploadHub]:
    """A Hub that the real client writes to, logged in, and retries without waiting."""
    with running_hub(UploadHandler, UploadHub) as running:
        assert isinstance(running, UploadHub)
        point_client(monkeypatch, running.url, tmp_path / "hub-cache")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(
            _http, "time", SimpleNamespace(sleep=lambda _: None, time=_http.time.time)
        )
        yield running
