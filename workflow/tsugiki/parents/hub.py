"""The one place that talks to the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from glob import escape
from pathlib import Path
from socket import create_connection
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is re-exported
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # taken from here because the HTTP client's package differs by version
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # they are documented there
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from tsugiki.atomic import write_if_changed
from tsugiki.errors import InfrastructureError, ParentError
from tsugiki.models.files import CODE, IGNORED, NEEDED, model_files, needed
from tsugiki.models.kinds.registry import KINDS
from tsugiki.models.sources import FolderFiles

PATIENCE = 3.0
"""Seconds to wait for anybody at the Hub's address; asked once."""
ANSWER = 20.0
"""Seconds to wait for its next word, once it listens."""
COMMIT = re.compile(r"^[0-9a-f]{40}$")


class HubUnreachableError(Exception):
    """The Hub cannot be asked now: offline by choice, no network, or a fault on its side."""


@dataclass(frozen=True)
class ListedFile:
    """A file as the Hub lists it."""

    name: str
    size: int | None
    """Bytes."""
    sha256: str | None
    """Of the content, where the file is stored as a large file."""
    blob_id: str | None
    """Git's object id, where it is not."""


@dataclass(frozen=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[ListedFile, ...]


def list_repo(repo: str, revision: str) -> Listing:
    """Ask the Hub what a revision points to and which files it holds.

    Raises:
        HubUnreachableError: the Hub cannot be asked now.
        ParentError: there is no such repository or revision, or it may not be read.
    """
    _listen()
    with _plain_errors(repo, revision):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER)
    if info.sha is None:
        raise HubUnreachableError(f"the Hub names no commit for {repo}")
    files = tuple(
        ListedFile(
            name=file.rfilename,
            size=file.size,
            sha256=file.lfs.sha256 if file.lfs else None,
            blob_id=None if file.lfs else file.blob_id,
        )
        for file in info.siblings or []
    )
    return Listing(repo=repo, commit=info.sha, files=files)


def download(repo: str, commit: str, names: Sequence[str]) -> None:
    """Bring files of a commit into the Hub's ordinary cache.

    Raises:
        HubUnreachableError: the Hub cannot be asked now, and the cache lacks files.
        ParentError: the repository may not be read.
        InfrastructureError: the cache cannot be written.
    """
    _listen()
    with _plain_errors(repo, commit):
        snapshot_download(repo, revision=commit, allow_patterns=[escape(name) for name in names])


def download_again(repo: str, commit: str, name: str) -> Path:
    """Replace one cached file by a fresh copy, and return its path; errors are those of `download`."""
    _listen()
    with _plain_errors(repo, commit):
        return Path(hf_hub_download(repo, name, revision=commit, force_download=True))


def remember(repo: str, revision: str, commit: str) -> None:
    """Note in the cache what a branch points to, so that it is known without the Hub.

    Fetching by commit, unlike fetching by branch, leaves no such note.
    """
    if not COMMIT.match(revision):
        cache = Path(constants.HF_HUB_CACHE).expanduser()
        folder = cache / repo_folder_name(repo_id=repo, repo_type="model")
        with suppress(OSError):  # a shared cache may be read-only
            write_if_changed(folder / "refs" / revision, commit.encode())


def cached_snapshot(repo: str, revision: str, *, code: bool) -> Path | None:
    """Folder of a revision in the cache, if nothing is known to be missing from it.

    Its name is the commit. A branch means what it pointed to when it was last fetched.
    """
    # of a model with components, a file of weights beside them is neither needed nor fetched
    of_components = [kind.layout.config for kind in KINDS if kind.layout.parts]
    of_one_folder = [*NEEDED, *(CODE if code else ())]
    for allowed, ignored in ((of_one_folder, [*IGNORED]), (of_components, None)):
        with suppress(LocalEntryNotFoundError):
            found = snapshot_download(
                repo,
                revision=revision,
                local_files_only=True,
                allow_patterns=allowed,
                ignore_patterns=ignored,
            )
            if needed(model_files(Path(found)), code=code):
                return Path(found)
    return None


def cached_file(repo: str, commit: str, name: str) -> Path | None:
    """Path of one file in the cache."""
    found = try_to_load_from_cache(repo, name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def expected_from_link(path: Path, name: str) -> ListedFile:
    """What a cached file should hold, from the name of the blob that it links to.

    The cache names a blob by its SHA-256 (large files) or by Git's object id (small ones).
    """
    blob = path.readlink().name if path.is_symlink() else ""
    return ListedFile(
        name=name,
        size=None,
        sha256=blob if re.fullmatch(r"[0-9a-f]{64}", blob) else None,
        blob_id=blob if re.fullmatch(r"[0-9a-f]{40}", blob) else None,
    )


@contextmanager
def kept_offline() -> Iterator[None]:
    """Let the Hub's library ask nothing in here, as `HF_HUB_OFFLINE=1` does before it is imported."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def status_of(error: BaseException) -> int | None:
    """HTTP's status of an error that the Hub's library raised for an answer; None for any other."""
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return int(error.response.status_code)
    return None


def is_absent(error: BaseException) -> bool:
    """Whether the Hub's library raised an error for what is not here and cannot be asked for now."""
    return isinstance(error, HTTPError | LocalEntryNotFoundError)


def _listen() -> None:
    """Refuse to ask (`HubUnreachableError`) where nobody listens at the Hub's address.

    Looking up a name takes ten seconds where no server answers, a connection minutes where packets
    are dropped; neither can be told to be quicker from within the client.
    """
    address = urlsplit(constants.ENDPOINT)
    host = address.hostname or ""
    by_proxy = address.scheme in getproxies() and not proxy_bypass(host)
    if constants.HF_HUB_OFFLINE or by_proxy:
        return  # the client says so, or asks another address
    if fault := _silence(host, address.port or {"http": 80}.get(address.scheme, 443)):
        raise HubUnreachableError(f"{constants.ENDPOINT}: {fault}")


@cache
def _silence(host: str, port: int) -> str | None:
    """Why nobody answers at an address, or None if somebody does."""
    found: list[str | None] = [f"no answer within {PATIENCE:g} seconds"]

    def connect() -> None:
        try:
            create_connection((host, port), PATIENCE).close()
            found.append(None)
        except OSError as error:
            found.append(error.strerror or str(error))

    waiting = Thread(target=connect, daemon=True)  # looking up a name cannot be interrupted
    waiting.start()
    waiting.join(PATIENCE)
    return found[-1]


@contextmanager
def _reachable(repo: str) -> Iterator[None]:
    """For requests that follow a successful one."""
    try:
        yield
    except HubUnreachableError as error:
        raise InfrastructureError(
            f"the connection to the Hub broke while reading `{repo}`",
            where=f"https://huggingface.co/{repo}",
            got=str(error),
            fix="run again",
        ) from error


@contextmanager
def _plain_errors(repo: str, revision: str) -> Iterator[None]:
    where = f"https://huggingface.co/{repo}"
    try:
        yield
    except GatedRepoError as error:
        raise ParentError(
            f"`{repo}` is gated: its owner grants access to each user",
            where=where,
            got="the Hub refused access",
            fix="accept its terms on that page, then log in with `hf auth login`",
        ) from error
    except RevisionNotFoundError as error:
        raise ParentError(
            f"`{repo}` has no revision `{revision}`",
            where=where,
            expected="an existing branch, tag or commit",
            got=revision,
            fix="correct `revision` in the configuration",
        ) from error
    except RepositoryNotFoundError as error:
        raise ParentError(
            f"there is no repository `{repo}`, or it is private",
            where=where,
            got=f"the Hub answered {error.response.status_code}",
            fix="check the spelling; for a private repository log in with `hf auth login`",
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise HubUnreachableError(str(error).splitlines()[0]) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in {401, 403}:
            raise ParentError(
                f"the Hub does not let you read `{repo}`",
                where=where,
                got=f"the Hub answered {status}: {error.server_message or 'no reason given'}",
                fix="log in with `hf auth login`, with a token that may read this repository",
            ) from error
        raise HubUnreachableError(f"the Hub answered {status}") from error
    except HTTPError as error:
        raise HubUnreachableError(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise InfrastructureError(
            f"`{repo}` cannot be written into the Hub's cache",
            where=str(error.filename or constants.HF_HUB_CACHE),
            got=error.strerror or str(error),
            fix="make room or allow writing there, or move the cache with HF_HOME; then run again",
        ) from error


@dataclass(frozen=True)
class HubFiles:
    """Files on the Hub. Small ones go into the cache; of weights only the headers are asked for."""

    listing: Listing

    @property
    def where(self) -> str:
        """The repository and commit."""
        return f"{self.listing.repo} at {self.listing.commit[:12]}"

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name."""
        return {file.name: file.size or 0 for file in self.listing.files}

    def cached(self, name: str) -> Path | None:
        """Path of a file in the cache."""
        return cached_file(self.listing.repo, self.listing.commit, name)

    def read(self, name: str) -> bytes:
        """A small file.

        Raises:
            ParentError: the repository may not be read.
            InfrastructureError: the Hub has become unreachable, or the cache cannot be written.
        """
        repo, commit = self.listing.repo, self.listing.commit
        with _reachable(repo), _plain_errors(repo, commit):
            return Path(hf_hub_download(repo, name, revision=commit)).read_bytes()

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it; by a range request if it is not cached.

        Errors are those of `read`.
        """
        if (cached := self.cached(name)) is not None:
            return FolderFiles(cached.parent).start(cached.name, count)
        repo, commit = self.listing.repo, self.listing.commit
        headers = {**build_hf_headers(), "Range": f"bytes=0-{count - 1}"}
        with _reachable(repo), _plain_errors(repo, commit):
            answer = get_session().get(hf_hub_url(repo, name, revision=commit), headers=headers)
            hf_raise_for_status(answer)
            return answer.content[:count]
