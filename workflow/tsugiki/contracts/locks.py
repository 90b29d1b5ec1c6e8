"""The parents' lock file: which commit and which bytes a run was made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tsugiki.canonical import digest as canonical_digest
from tsugiki.contracts.data import Data, IfAny, IfSet
from tsugiki.json_files import reader

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LockedFile(Data):
    """One file of a parent."""

    name: Annotated[str, Field(pattern=r"^(\w[^/\\]*/)?[^/\\]+$")]
    """Name in the parent's folder, with that of its component if it has some."""
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Sha256
    """Of its content."""


def digest_of_files(files: tuple[LockedFile, ...]) -> str:
    """Identity of a parent: SHA-256 over the names and SHA-256 of its files, in any order."""
    return canonical_digest({file.name: file.sha256 for file in files})


class PreparedParent(Data):
    """What a parent is merged as, where that is not what it came as."""

    folder: str
    """Folder below the cache of prepared parents."""
    key: Sha256
    """Of all that its bytes depend on: the sources, the vocabulary, how it is prepared."""
    vocabulary: dict[str, Any] | None = None
    """The setting that it was aligned by; null for an adapter that was only merged."""
    made_from: dict[str, Sha256]
    """Digests of the locked parents that it was made from, by name."""
    files: tuple[LockedFile, ...]
    """What the digest covers, in order of name."""
    digest: Sha256
    """`digest_of_files(files)`."""

    @model_validator(mode="after")
    def _digest_fits_files(self) -> PreparedParent:
        if self.digest != digest_of_files(self.files):
            raise ValueError("the digest does not fit the files listed")
        return self


class LockedCard(Data):
    """What a parent says of its licence and its ancestry, in its model card and its licence files."""

    license: IfAny[str | None] = None
    """The card's `license`, such as `apache-2.0`, or `other`."""
    license_name: IfAny[str | None] = None
    """The card's name of another licence."""
    license_link: IfAny[str | None] = None
    """Where the card says that the other licence is."""
    text: IfAny[str | None] = None
    """The licence that the text of a licence file was recognised as, as the Hub calls it."""
    files: IfAny[dict[str, Sha256]] = {}
    """SHA-256 of licence files and notices, by name."""
    base_models: IfAny[tuple[str, ...]] = ()
    """What the card says that it was made from."""
    languages: IfAny[tuple[str, ...]] = ()
    """The card's `language`."""
    citation: IfAny[str | None] = None
    """BibTeX entries of the card."""


class LockedParent(Data):
    """One parent: where it came from and what it consists of."""

    source: dict[str, Any]
    """The parent's section of the configuration, defaults filled in."""
    commit: str | None = None
    """Commit on the Hub; null for a folder and for a model of the demo."""
    folder: str | None = None
    """Folder below the demo's cache; null for other sources."""
    files: tuple[LockedFile, ...]
    """What the digest covers, in order of name."""
    digest: Sha256
    """`digest_of_files(files)`."""
    prepared: IfSet[PreparedParent | None] = None
    """What is merged instead, for an adapter or another vocabulary."""
    card: IfSet[LockedCard | None] = None
    """What it says of its licence; null if nothing, and in locks of earlier versions."""

    @model_validator(mode="after")
    def _digest_fits_files(self) -> LockedParent:
        if self.digest != digest_of_files(self.files):
            raise ValueError("the digest does not fit the files listed")
        return self

    @property
    def merged_digest(self) -> str:
        """Digest of the files that are merged; recipes name it."""
        return self.digest if self.prepared is None else self.prepared.digest

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class LockedDecomposition(Data):
    """What is kept of one parent's task vector."""

    parent: str
    """The parent's name."""
    folder: str
    """Name of its folder in results/decompositions/."""
    file: LockedFile
    """Its file there."""


class DecompositionsLock(Data):
    """results/<run>/<stage>/decomposed.json."""

    version: Literal[1] = 1
    decompositions: dict[str, LockedDecomposition]
    """By digest of what they depend on: models, method and options."""


read_decompositions_lock = reader(
    DecompositionsLock.model_validate_json,
    "lock file of decompositions",
    missing="the stage's task vectors are not decomposed yet",
    make="run `tsugiki decompose` with the run's configuration and `--stage`",
    mend="run `tsugiki decompose` with the run's configuration and `--stage`",
)
"""Read decomposed.json of a stage; LineageError where there is none, or it is no valid lock file."""


class ParentsLock(Data):
    """results/<run>/parents.lock.json. It holds no path but those written in the configuration."""

    version: Literal[1] = 1
    parents: dict[str, LockedParent]
    """By the name in the configuration."""

    @property
    def digests(self) -> dict[str, str]:
        """Digest of what is merged of every parent, by name."""
        return {name: parent.merged_digest for name, parent in self.parents.items()}


read_lock = reader(
    ParentsLock.model_validate_json,
    "lock file of parents",
    missing="the parents are not locked yet",
    make="run `tsugiki parents` with the run's configuration; it writes this lock file",
    mend="restore the file, or remove it and run `tsugiki parents` to lock anew",
)
"""Read parents.lock.json; LineageError where there is none, or it is no valid lock file."""
