"""The marker by which a folder is known as a merge that was written whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.merge.models_for_tests import digests_of, recipe_of, save_trio
from tsugiki.canonical import digest_file
from tsugiki.merge.marker import MARKER, difference
from tsugiki.merge.write import write_merge
from tsugiki.models.digest import WeightsDigest, tensor_digest
from tsugiki.models.files import digest_folder


def written(tmp_path: Path) -> Path:
    """A merge in several shards, with a folder of templates."""
    trio = save_trio(tmp_path / "models")
    for folder in trio.values():
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    out = tmp_path / "out"
    write_merge(recipe_of("linear"), trio, digests_of(trio), out, shard_bytes=4_000)
    return out


def test_the_marker_has_size_and_digest_of_every_file(tmp_path: Path) -> None:
    """That of the weights is the one that a merge returns, so that nothing is read twice."""
    from safetensors.torch import load_file

    out = written(tmp_path)
    marker = json.loads((out / MARKER).read_bytes())
    files = {
        path.relative_to(out).as_posix(): path
        for path in out.rglob("*")
        if path.is_file() and path.name != MARKER
    }
    assert marker["files"].keys() == files.keys()
    weights = WeightsDigest()
    formats = {"torch.float32": "F32", "torch.bfloat16": "BF16"}
    for name, path in files.items():
        assert marker["files"][name]["size"] == path.stat().st_size
        if path.suffix != ".safetensors":
            assert marker["files"][name]["sha256"] == digest_file(path)
            continue
        for tensor, value in load_file(path).items():
            dtype = formats[str(value.dtype)]
            weights.add(tensor, dtype, tuple(value.shape), tensor_digest(value))
    assert marker["weights"] == weights.hexdigest()
    assert difference(out) is None


def test_the_marker_is_no_file_of_the_model(tmp_path: Path) -> None:
    """Locks of stages, and of parents that were merges, are what they were."""
    out = written(tmp_path)
    before = digest_folder(out)
    (out / MARKER).unlink()
    assert digest_folder(out) == before


def test_what_snakemake_leaves_is_no_change(tmp_path: Path) -> None:
    """In a folder that is a rule's output."""
    out = written(tmp_path)
    (out / ".snakemake_timestamp").touch()
    os.utime(out / "config.json", (0, 0))
    assert difference(out) is None


def flip(path: Path, place: int) -> None:
    """Change one bit of a file; its size and times stay."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def shard(out: Path) -> Path:
    """A file of weights."""
    return min(out.glob("model-*.safetensors"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is added": lambda out: (out / "notes.txt").touch(),
    "a hidden file is added": lambda out: (out / ".notes").touch(),
    "a file is added below": lambda out: (out / "additional_chat_templates" / "x").touch(),
    "an empty folder is added": lambda out: (out / "notes").mkdir(),
    "a link is added": lambda out: (out / "link").symlink_to("config.json"),
    "a file is a link": lambda out: (
        (out / "config.json").rename(out.parent / "config.json"),
        (out / "config.json").symlink_to(out.parent / "config.json"),
    ),
    "a file is missing": lambda out: (out / "config.json").unlink(),
    "a shard is missing": lambda out: shard(out).unlink(),
    "a setting has changed": lambda out: flip(out / "config.json", 5),
    "a template has changed": lambda out: flip(out / "additional_chat_templates/tools.jinja", 0),
    "a weight has changed": lambda out: flip(shard(out), -1),
    "the length of a header has changed": lambda out: flip(shard(out), 0),
    "a header has changed": lambda out: flip(shard(out), 20),
    "the marker is missing": lambda out: (out / MARKER).unlink(),
    "the marker is garbage": lambda out: (out / MARKER).write_bytes(b"\xff\xfe{"),
    "the marker is cut": lambda out: (out / MARKER).write_bytes((out / MARKER).read_bytes()[:99]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_makes_it_another_folder(tmp_path: Path, change: str) -> None:
    """Added, changed or missing files; modified times are not looked at."""
    out = written(tmp_path)
    CHANGES[change](out)
    assert difference(out) is not None


def test_an_older_merge_is_not_known(tmp_path: Path) -> None:
    """It has a recipe, as anything may have."""
    out = written(tmp_path)
    (out / MARKER).unlink()
    assert (out / "recipe.json").is_file()
    assert difference(out) == f"it holds no {MARKER}"
