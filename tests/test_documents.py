"""The documents say what is true of the code, and all of it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import click
import pytest
import yaml
from packaging.requirements import Requirement

from tests.test_architecture import IMPORTS
from tsugiki import __version__
from tsugiki.commands.all import main
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import CandidateFiles, File, GenerationFiles, PhaseFiles, RunFiles
from tsugiki.contracts.recipe import ParentRef, Recipe
from tsugiki.merge.registry import METHODS
from tsugiki.strategies.registry import AnyStrategy

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("config/**/*.md"),
        *ROOT.glob("envs/*.md"),
        ROOT / "results" / "README.md",
    ]
)
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
EVERYTHING = "\n".join(TEXT.values())
RECORDS = sorted(name for name in TEXT if name.startswith("docs/adr/"))
SHIPPED = [
    *PAGES,
    ROOT / "Makefile",
    ROOT / "Snakefile",
    ROOT / ".pre-commit-config.yaml",
    *ROOT.glob("rules/*.smk"),
    *ROOT.glob("config/**/*.yaml"),
    *ROOT.glob("envs/*.*"),
]

SOURCES = {
    "localhost",
    "arxiv.org",
    "doi.org",
    "github.com",
    "goddard.blog",
    "huggingface.co",
    "keepachangelog.com",
    "semver.org",
    "snakemake.readthedocs.io",
    "w3id.org",
    "www.conventionalcommits.org",
}
"""Hosts that documents may point to: papers, standards, and the projects that this one builds on."""


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """Commands in the pages' shell examples, without comments, as words."""
    for name, text in TEXT.items():
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True) if "<<" not in line else []
                while words and "=" in words[0]:
                    words = words[1:]
                if words:
                    yield name, words


def commands(name: str) -> list[tuple[str, list[str]]]:
    """Arguments of each example that calls the program `name`, with the page it is on."""
    return [(page, words[1:]) for page, words in shell_lines() if words[0] == name]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_documented(name: str) -> None:
    """A user can find each command of `tsugiki` in the documents."""
    assert f"tsugiki {name}" in EVERYTHING


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_merge_method_is_documented(name: str) -> None:
    """The README names each merge method, and the methods' own page describes it."""
    assert f"`{name}`" in TEXT["README.md"]
    assert f"`{name}`" in TEXT["docs/methods.md"]


@pytest.mark.parametrize("key", [*RunConfig.model_fields, *Stage.model_fields])
def test_readme_names_every_section_of_the_configuration(key: str) -> None:
    """Top-level sections and those of a stage are in the README."""
    assert f"`{key}`" in TEXT["README.md"]


def test_the_page_on_stages_names_every_strategy() -> None:
    """Whoever writes a configuration finds the kinds of strategies, and what each is for."""
    kinds = [
        kind
        for strategy in get_args(AnyStrategy)
        for kind in get_args(strategy.model_fields["kind"].annotation)
    ]
    assert "cma_es" in kinds
    assert [kind for kind in kinds if f"`{kind}`" not in TEXT["docs/stages.md"]] == []


@pytest.mark.parametrize("page", sorted(TEXT))
def test_relative_links_resolve(page: str) -> None:
    """A link inside the project leads to a file or folder."""
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT[page])
    local = [link.partition("#")[0] for link in links if not urlsplit(link).scheme]
    missing = [link for link in local if link and not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_make_targets_in_examples_exist() -> None:
    """Each `make` example names targets of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        word for _, words in commands("make") for word in words if re.fullmatch(r"[a-z]+", word)
    }
    assert {"run", "test"} <= named <= targets


def test_commands_in_examples_exist_with_their_options() -> None:
    """Each `tsugiki` example names a command, and options that it has."""
    examples = commands("tsugiki")
    assert len(examples) >= 5
    for page, words in examples:
        command = main.commands[words[0]]
        options = {
            name
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for name in parameter.opts
        }
        used = {word for word in words if word.startswith("-")}
        assert used <= options, f"{page}: {' '.join(words)}"


def test_snakemake_examples_name_files_that_exist() -> None:
    """Profiles in examples are shipped; configurations are, or are the user's `my-merge`."""
    examples = [words for _, words in shell_lines() if "snakemake" in words]
    assert examples
    for words in examples:
        profile = words[words.index("--profile") + 1]
        config = words[words.index("--configfile") + 1]
        assert (ROOT / profile / "config.yaml").is_file()
        assert config == "config/my-merge.yaml" or (ROOT / config).is_file()


def test_every_rule_is_on_the_map() -> None:
    """docs/architecture.md names each rule beside the file that holds it."""
    rows = TEXT["docs/architecture.md"].splitlines()
    for path in ROOT.glob("rules/*.smk"):
        names = re.findall(r"^rule (\w+):", path.read_text("utf-8"), re.MULTILINE)
        row = next(line for line in rows if f"| rules/{path.name} |" in line)
        assert [name for name in names if f"`{name}`" not in row] == []


def test_every_file_of_a_run_is_listed() -> None:
    """results/README.md names each file that the layout knows."""
    found = {
        getattr(owner(Path()), name).name
        for owner in (RunFiles, PhaseFiles, GenerationFiles, CandidateFiles)
        for name, value in vars(owner).items()
        if isinstance(value, File)
    }
    found |= {GenerationFiles(Path()).evaluated(0).name, GenerationFiles(Path()).weights(0).name}
    listed = TEXT["results/README.md"]
    assert [name for name in sorted(found) if name not in listed] == []


def test_a_recipe_digest_can_be_computed_by_hand(tmp_path: Path) -> None:
    """The program in docs/lineage.md prints the digest that names the candidate."""
    recipe = Recipe(
        method="dare_ties",
        base=ParentRef(name="base", digest="0" * 64),
        parents=(ParentRef(name="日本語", digest="a" * 64), ParentRef(name="b", digest="b" * 64)),
        options={"lambda": 1.0, "normalize": False},
        owner="base",
    )
    path = tmp_path / "recipe.json"
    path.write_bytes(recipe.to_json())
    (program,) = re.findall(r"<<'PY'\n(.*?)^PY$", TEXT["docs/lineage.md"], re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == recipe.digest


def test_changelog_has_this_version() -> None:
    """A version is released with its changes."""
    assert f"\n## [{__version__}]" in TEXT["CHANGELOG.md"]


def test_decisions_are_numbered_without_gaps() -> None:
    """Record n is called docs/adr/000n-….md and titled `n. …`."""
    numbers = [int(Path(name).name[:4]) for name in RECORDS]
    titles = [int(re.findall(r"\A# (\d+)\. ", TEXT[name])[0]) for name in RECORDS]
    assert numbers == titles == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("name", RECORDS)
def test_decisions_are_short_and_whole(name: str) -> None:
    """A record has Nygard's four parts, in less than 40 lines."""
    headings = re.findall(r"^## (.*)$", TEXT[name], re.MULTILINE)
    assert headings == ["Status", "Context", "Decision", "Consequences"]
    assert len(TEXT[name].splitlines()) < 40


def test_every_dependency_is_pinned() -> None:
    """The lock holds an exact version of everything that the package asks for."""
    lock = (ROOT / "envs" / "requirements.lock").read_text("utf-8").splitlines()
    assert [line for line in lock if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    pinned = {_normal(line.partition("==")[0]) for line in lock}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {_normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in project["dependencies"]}
    assert sorted(wanted - pinned) == []


def test_libraries_that_are_used_beyond_their_promises_have_an_upper_bound() -> None:
    """Those of the table, and no others; each bound admits the locked version, each file is there."""
    table = re.findall(
        r"^\| ([\w-]+) \|.*?\| (.*?) \| (.*?) \|$", TEXT["docs/dependencies.md"], re.MULTILINE
    )
    listed = {_normal(name) for name, _, _ in table[1:]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        Requirement(line)
        for line in sum(project["optional-dependencies"].values(), project["dependencies"])
    ]
    bounded = {_normal(one.name) for one in wanted if "<" in str(one.specifier).replace(">=", "")}
    assert bounded == listed
    lock = dict(
        line.split("==") for line in (ROOT / "envs/requirements.lock").read_text("utf-8").split()
    )
    locked = {_normal(name): version for name, version in lock.items()}
    for one in wanted:
        assert _normal(one.name) not in locked or locked[_normal(one.name)] in one.specifier
    for _, users, tests in table[1:]:
        for path in re.findall(r"`([^`]+)`", users):
            assert (ROOT / "workflow" / "tsugiki" / path).exists(), path
        for path in re.findall(r"`([^`]+)`", tests):
            assert (ROOT / path).is_file(), path


def test_every_imported_library_is_declared() -> None:
    """The package asks for each library that it imports, and does not lean on another's."""
    distributions = packages_distributions()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    declared = {_normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines}
    imported = {module.partition(".")[0] for modules in IMPORTS.values() for module in modules} - {
        "tsugiki",
        *sys.stdlib_module_names,
    }
    assert {"numpy", "torch"} <= imported
    owners = {name: {_normal(one) for one in distributions.get(name, [name])} for name in imported}
    assert sorted(name for name in imported if not owners[name] & declared) == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environments_install_the_lock() -> None:
    """Conda's environment and the image take their versions from the lock, on the same Python."""
    conda = yaml.safe_load((ROOT / "envs" / "environment.yaml").read_text("utf-8"))
    image = (ROOT / "envs" / "apptainer.def").read_text("utf-8")
    assert {"pip": ["-r requirements.lock"]} in conda["dependencies"]
    assert "envs/requirements.lock" in image
    assert "python=3.11" in conda["dependencies"]
    assert "python:3.11" in image


def test_files_copied_into_the_image_exist() -> None:
    """The image's definition names files and folders of the project."""
    text = (ROOT / "envs" / "apptainer.def").read_text("utf-8")
    section = text.partition("%files\n")[2].partition("\n%")[0]
    sources = [line.split()[0] for line in section.splitlines() if line.strip()]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_hooks_are_local() -> None:
    """Committing fetches nothing: every hook runs a tool of the environment."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_depends_on_one_machine(path: Path) -> None:
    """No page, rule or configuration names a folder that only some machine has."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.<>)}/-])/(?:home|mnt|root|scratch|tmp|work|Users)\b", text) == []


@pytest.mark.parametrize("page", sorted(TEXT))
def test_links_lead_to_known_sources(page: str) -> None:
    """Pages point to papers, standards and projects, and to no package index or mirror."""
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s)>\"`]+", TEXT[page])}
    assert hosts <= SOURCES
