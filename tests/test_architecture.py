"""The map in docs/architecture.md, and the imports of the package."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "workflow" / "tsugiki"


@dataclass(frozen=True)
class Row:
    """A package's row of the table."""

    imports: tuple[str, ...]
    libraries: tuple[str, ...]


def table() -> dict[str, Row]:
    """The rows of the table, lowest package first."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|(.*)\|$", text, re.MULTILINE)
    return {
        name: Row(tuple(re.findall(r"`(\w+)`", may)), tuple(re.findall(r"`(\w+)`", libraries)))
        for name, may, libraries in rows
    }


TABLE = table()
FOUNDATIONS = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", *TABLE}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its head or within a function, by its whole name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports have whole names"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


IMPORTS = {path.relative_to(PACKAGE): imported(path) for path in PACKAGE.rglob("*.py")}


def home(path: Path) -> str:
    """The package of a file; of a module that stands by itself, its name."""
    return path.parts[0].removesuffix(".py")


def test_each_package_has_a_row_and_each_row_a_package() -> None:
    """What stands in the package beside the rows is a foundation: one module, no folder."""
    folders = {path.parts[0] for path in IMPORTS if len(path.parts) > 1}
    modules = {home(path) for path in IMPORTS if len(path.parts) == 1}
    assert folders <= TABLE.keys()
    assert TABLE.keys() <= folders | modules


def test_rows_import_only_rows_above_them() -> None:
    """So nothing imports upwards, and no two packages import each other."""
    order = list(TABLE)
    for place, (name, row) in enumerate(TABLE.items()):
        assert [one for one in row.imports if one not in order[:place]] == [], name


def test_every_import_is_one_that_the_table_allows() -> None:
    """Packages import what their row names, themselves and foundations; these import each other."""
    wrong = [
        f"{path} imports {module}"
        for path, modules in IMPORTS.items()
        for module in sorted(modules)
        if module.startswith("tsugiki.")
        and (target := module.split(".")[1]) not in FOUNDATIONS
        and target not in {"__version__", home(path)}
        and (home(path) not in TABLE or target not in TABLE[home(path)].imports)
    ]
    assert wrong == []


def test_every_row_names_only_what_its_package_needs() -> None:
    """A package that is no longer imported is no longer in the row."""
    needed = {
        (home(path), module.split(".")[1])
        for path, modules in IMPORTS.items()
        for module in modules
        if module.startswith("tsugiki.")
    }
    idle = [
        f"{name} does not import {one}"
        for name, row in TABLE.items()
        for one in row.imports
        if (name, one) not in needed
    ]
    assert idle == []


def test_libraries_are_imported_where_the_table_says() -> None:
    """Each large library stays behind one door, and the door is in use."""
    doors = {library: name for name, row in TABLE.items() for library in row.libraries}
    assert doors
    for library, name in doors.items():
        users = {
            home(path)
            for path, modules in IMPORTS.items()
            if any(module.partition(".")[0] == library for module in modules)
        }
        assert users == {name}, library


def test_what_benchmarks_take_from_each_other_and_from_the_package_is_there() -> None:
    """Nothing else loads all of them."""
    missing = []
    for path in sorted((ROOT / "bench").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            places = (ROOT / "bench", PACKAGE.parent)
            files = [place / f"{node.module.replace('.', '/')}.py" for place in places]
            source = next((file for file in files if file.is_file()), None)
            if source is not None:
                missing += [
                    f"{path.name}: {node.module}.{one.name}"
                    for one in node.names
                    if one.name not in defined(source)
                ]
    assert missing == []


def defined(path: Path) -> set[str]:
    """Names at the head of a file: what it defines, and what it imports."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {one.asname or one.name for one in names}
            case ast.Assign(targets=targets):
                found |= {
                    one.id
                    for target in targets
                    for one in ast.walk(target)
                    if isinstance(one, ast.Name)
                }
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found
