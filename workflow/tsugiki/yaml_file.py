"""Reading a YAML file in which no key is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tsugiki.errors import ConfigError


class _RepeatedKeyError(Exception):
    """`str` says which key, and in which lines."""


class _Loader(yaml.SafeLoader):
    """YAML's own loader keeps the last of two values for a key, and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise _RepeatedKeyError(f"`{key.value}` in lines {lines[key.value]} and {line}")
            lines[key.value] = line
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """Read one YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(
            "cannot read the configuration", where=str(path), got=str(error)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "cannot read the configuration: it is not text in UTF-8",
            where=str(path),
            got=str(error),
            fix="save it as UTF-8",
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # such as of a date that does not exist
        raise ConfigError("not valid YAML", where=str(path), got=str(error)) from error
    except _RepeatedKeyError as error:
        raise ConfigError(
            "a key of the configuration is there twice",
            where=str(path),
            got=str(error),
            fix="remove one: only the last would count",
        ) from error
