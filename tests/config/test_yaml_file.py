"""Reading a configuration's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsugiki.errors import ConfigError
from tsugiki.yaml_file import read_yaml


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_yaml_says_is_read(tmp_path: Path) -> None:
    """Anchors and merged keys among it: a key may be given anew beside a merged one."""
    text = "base: &base {a: 1, b: [1, 2]}\nnew: {<<: *base, a: 2}\nlist: [{a: 1}, {a: 1}]\n1: one\n"
    assert read_yaml(written(tmp_path, text)) == {
        "base": {"a": 1, "b": [1, 2]},
        "new": {"a": 2, "b": [1, 2]},
        "list": [{"a": 1}, {"a": 1}],
        1: "one",
    }


def test_a_key_that_is_there_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    """YAML would take the last one, and the first would be without effect."""
    path = written(tmp_path, "name: run\nevaluation:\n  device: cuda\n  jobs: 2\n  device: cpu\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert "`device` in lines 3 and 5" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\ta: 1"])
def test_what_is_no_yaml_is_one_clear_error(tmp_path: Path, text: str) -> None:
    """With the place in the file."""
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(tmp_path / "binary.yaml")
