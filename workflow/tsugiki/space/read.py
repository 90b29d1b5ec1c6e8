"""Reading space.json of a stage in either space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from tsugiki.errors import LineageError
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
    try:
        return _ANY.validate_json(path.read_bytes())
    except ValidationError as error:
        raise LineageError(
            "not a valid search space", where=str(path), got=str(error.errors()[0]["msg"])
        ) from error
