"""What each stored tensor is called in a merge, and which tensors are not merged at all.

Parents may store the same tensor under different names, and some kinds of models store more than what
is merged. A merge therefore knows its tensors by names of its own: those that what is merged has where
it stands by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.models.kinds.kind import Names
from tsugiki.models.kinds.registry import kind_of


def naming(
    model: str, stored: Collection[str], config: Mapping[str, Any], names: Names | None = None
) -> dict[str, str]:
    """Account for every tensor of a checkpoint, each exactly once.

    Args:
        model: The model's name, for messages.
        stored: Names of its tensors.
        config: Its configuration.
        names: What the user declares. Otherwise its kind says.

    Returns:
        Stored name of every tensor that is merged, by its name in the merge. The others are outside: a
        vision tower, draft layers, what the user leaves out.

    Raises:
        ParentError: an expression matches no tensor, two match one, or two tensors get one name.
    """
    kind = kind_of(config)
    try:
        expressions = names or kind.expressions(stored)
    except ParentError as error:
        what = f"`{model}`: {error.what}"
        raise ParentError(
            what, where=error.where, expected=error.expected, got=error.got, fix=error.fix
        ) from error
    used: set[str] = set()
    merged: dict[str, str] = {}
    outside: set[str] = set()
    for tensor in sorted(stored):
        found = [pattern for pattern in sorted(expressions) if re.fullmatch(pattern, tensor)]
        if len(found) > 1:
            raise _fault(model, "several expressions match a tensor", tensor, " and ".join(found))
        used.update(found)
        new = _renamed(model, tensor, found[0], expressions[found[0]]) if found else tensor
        if new is None or kind.is_unused(new, config):
            outside.add(tensor)
        elif new in merged:
            raise _fault(model, "two tensors get the same name", new, f"{merged[new]} and {tensor}")
        else:
            merged[new] = tensor
    if names and (idle := sorted(names.keys() - used)):
        raise _fault(model, "an expression matches no tensor", ", ".join(idle), "no match")
    if both := sorted(merged.keys() & outside):
        raise _fault(model, "a tensor gets the name of one that is not merged", both[0], both[0])
    return merged


def _renamed(model: str, tensor: str, pattern: str, template: str | None) -> str | None:
    match = re.fullmatch(pattern, tensor)
    assert match is not None, "the pattern was chosen because it matches"
    try:
        return None if template is None else match.expand(template)
    except (re.error, IndexError) as error:
        raise _fault(model, "a name cannot be made", template or "", str(error)) from error


def _fault(model: str, what: str, tensor: str, got: str) -> ParentError:
    return ParentError(
        f"the tensors of parent `{model}` cannot be named: {what}",
        where=tensor,
        expected="each tensor is matched by at most one expression, and gets a name of its own",
        got=got,
        fix=f"change `names` of parent `{model}` in the configuration",
    )
