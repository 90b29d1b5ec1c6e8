"""docs/methods.md is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsugiki.merge.registry import METHODS

TEXT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
SECTIONS = {
    part.split("`", 2)[1]: part
    for part in TEXT.split("\n## ")
    if part.split("\n")[0].count("`") == 2
}


def row(section: str, name: str) -> list[str]:
    """Cells of the table row that documents a parameter or option."""
    line = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_method_has_a_section_and_no_other_has() -> None:
    """One for each name in the registry."""
    assert list(SECTIONS) == list(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_source_formula_and_arity_are_as_in_the_code(name: str) -> None:
    """Paper, equation, and what the base is for."""
    method, section = METHODS[name], SECTIONS[name]
    assert method.title in section
    assert method.paper in section
    assert method.equation.replace(",  ", "\n") in section
    assert f"Base: {method.base}." in section


@pytest.mark.parametrize("name", list(METHODS))
def test_every_parameter_and_option_is_documented(name: str) -> None:
    """With its default, its limits and its meaning."""
    method, section = METHODS[name], SECTIONS[name]
    for spec in method.parameters:
        _, kind, default, valid, searched, doc = row(section, spec.name)
        assert kind == ("parameter, per parent" if spec.per_parent else "parameter, shared")
        assert float(default) == spec.default
        assert valid == f"{spec.low:g} to {spec.high:g}"
        assert searched == f"{spec.gene_range[0]:g} to {spec.gene_range[1]:g}"
        assert doc == spec.doc
    for option in method.options:
        _, kind, default, valid, _, doc = row(section, option.name)
        assert kind == "option"
        assert default.strip("`") == str(option.default).removesuffix(".0").lower()
        assert all(f"`{choice}`" in valid for choice in option.choices)
        assert doc == option.doc
    documented = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(documented) == len(method.parameters) + len(method.options)
