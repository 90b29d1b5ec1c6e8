"""Reading space.json of a stage in either space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter

from tsugiki.json_files import read_json
from tsugiki.space.dataflow_space import DataflowGenome
from tsugiki.space.parameter_space import ParameterGenome


def _space(value: Any) -> str:
    """Files that say nothing are of parameter space."""
    return str(value.get("space", "parameter")) if isinstance(value, dict) else "parameter"


_ANY: TypeAdapter[ParameterGenome | DataflowGenome] = TypeAdapter(
    Annotated[
        Annotated[ParameterGenome, Tag("parameter")] | Annotated[DataflowGenome, Tag("dataflow")],
        Discriminator(_space),
    ]
)


def read_genome(path: Path) -> ParameterGenome | DataflowGenome:
    """Read space.json.

    Raises:
        LineageError: the file does not hold a search space.
    """
    return read_json(path, _ANY.validate_json, "search space")
