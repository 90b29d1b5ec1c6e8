"""Sending a model to the Hugging Face Hub: private by default, resumed where it broke, read back by digest.

Large files go first, one after another, and everything appears in one commit, so that a repository never
holds half a model. The token is the client's own (`hf auth login`, or HF_TOKEN); it is passed by nobody here.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is re-exported
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.errors import ConfigError, InfrastructureError, LineageError
from tsugiki.models.files import git_blob_id
from tsugiki.parents.hub import HubUnreachableError, ListedFile, list_repo

Content = Path | bytes
Log = Callable[[str], None]

BRANCH = "main"
OF_THE_HUB = frozenset({".gitattributes"})
"""What a new repository holds."""
IDENTITY = "recipe.json"
"""A repository whose file of this name has the same bytes holds the same model."""
TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")


def open_repository(
    repository: str, files: Mapping[str, Content], *, public: bool, log: Log
) -> None:
    """Make a repository, or find one that may be written to, before anything expensive is done.

    Args:
        repository: USER/NAME.
        files: What is to be uploaded as far as it is known yet, `IDENTITY` among it.
        public: Whether everybody may see it.
        log: Takes a line on what was found.

    Raises:
        ConfigError: the name is not valid, nobody is logged in, the user may not write there, or the
            repository holds something else, or can be seen by others than was asked for.
        InfrastructureError: the Hub cannot be asked.
    """
    api = HfApi()
    with _plain_errors(repository):
        try:
            api.create_repo(repository, private=not public)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
        else:
            log(f"{repository}: made, {'public' if public else 'private'}")
            return
        found = api.model_info(repository)
        if not public and found.private is False:
            raise ConfigError(
                "the repository is public, and the model would be",
                where=_address(repository),
                fix="make it private in its settings, or add --public",
            )
        listed = {one.name: one for one in list_repo(repository, BRANCH).files}
    if others := sorted(listed.keys() - OF_THE_HUB):
        same = listed.get(IDENTITY)
        if same is None or not _is(same, files[IDENTITY]):
            raise ConfigError(
                "the repository holds something else",
                where=_address(repository),
                expected="no files, or an earlier publication of the same recipe",
                got=", ".join(others[:5]),
                fix="choose another name",
            )
    log(f"{repository}: exists; going on with it")


def upload(repository: str, files: Mapping[str, Content], *, message: str, log: Log) -> str:
    """Upload files in one commit, read back what the Hub holds then, and return the commit.

    What has arrived before, in an earlier try, is not sent again.

    Args:
        repository: USER/NAME, which exists.
        files: File or content by path in the repository.
        message: Of the commit.
        log: Takes a line for each large file that has arrived.

    Raises:
        ConfigError: the user may not write there, or the Hub refuses the model card.
        InfrastructureError: the connection broke.
        LineageError: the Hub holds other bytes than were sent.
    """
    api = HfApi()
    operations = [
        CommitOperationAdd(path, one if isinstance(one, bytes) else str(one))
        for path, one in sorted(files.items())
    ]
    with _plain_errors(repository), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # such as that a licence is not among those that the Hub knows
        for operation in operations:
            api.preupload_lfs_files(repository, [operation], free_memory=False)
            if operation.upload_info.size > 1 << 20:
                log(
                    f"{operation.path_in_repo}: {operation.upload_info.size / 1e6:.1f} MB are there"
                )
        done = api.create_commit(repository, operations, commit_message=message)
        commit = str(done.oid)
        listed = {one.name: one for one in list_repo(repository, commit).files}
    wrong = {
        path: listed.get(path) for path, one in files.items() if not _is(listed.get(path), one)
    }
    if wrong:
        raise LineageError(
            f"the Hub holds other bytes than were sent: {', '.join(sorted(wrong))}",
            where=f"{_address(repository)}, commit {commit}",
            expected="; ".join(f"{path}: {_digest(files[path])}" for path in sorted(wrong)),
            got="; ".join(f"{path}: {_told(one)}" for path, one in sorted(wrong.items())),
            fix="remove the repository and publish again",
        )
    return commit


def refuse_tokens(files: Mapping[str, Content]) -> None:
    """Refuse texts that hold a token of the Hub.

    Raises:
        ConfigError: one does. The message does not show it.
    """
    own = (get_token() or "").encode()
    for path, one in files.items():
        if isinstance(one, bytes) and (TOKEN.search(one) or (own and own in one)):
            raise ConfigError(
                "a file that would be published holds what looks like a token of the Hub",
                where=path,
                fix="remove it from the configuration, and revoke the token",
            )


def _is(listed: ListedFile | None, one: Content) -> bool:
    """Whether the Hub lists a file with this content."""
    if listed is None:
        return False
    if listed.sha256 is not None:
        return listed.sha256 == _digest(one)
    if isinstance(one, Path):
        return listed.blob_id == git_blob_id(one)
    header = b"blob %d\0" % len(one)
    return listed.blob_id == hashlib.sha1(header + one, usedforsecurity=False).hexdigest()


def _digest(one: Content) -> str:
    return digest_bytes(one) if isinstance(one, bytes) else digest_file(one)


def _told(listed: ListedFile | None) -> str:
    return "absent" if listed is None else f"{listed.sha256 or f'Git object {listed.blob_id}'}"


def _address(repository: str) -> str:
    return f"https://huggingface.co/{repository}"


@contextmanager
def _plain_errors(repository: str) -> Iterator[None]:
    """Turn errors of the Hub's library into ours, without the token."""
    where = _address(repository)
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(
            "not a valid name of a repository",
            expected="USER/NAME",
            got=repository,
            fix="use letters, digits, `-`, `_` and `.`",
        ) from error
    except LocalTokenNotFoundError as error:
        raise _not_allowed(where, "nobody is logged in") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        told = f"the Hub answered {status}: {_without_token(error.server_message or 'no reason given')}"
        if status in {401, 403, 404}:
            raise _not_allowed(where, told) from None
        if 400 <= status < 500 and status not in {408, 429}:
            raise ConfigError("the Hub refuses the upload", where=where, got=told) from None
        raise _broken(where, told) from None
    except ValueError as error:
        told = _without_token(str(error))
        raise ConfigError("the Hub refuses the upload", where=where, got=told) from None
    except (HubUnreachableError, OfflineModeIsEnabled, HTTPError, RuntimeError, OSError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        told = _without_token(f"{type(cause).__name__}: {cause}".partition("\n")[0])
        raise _broken(where, told) from None


def _not_allowed(where: str, got: str) -> ConfigError:
    return ConfigError(
        "the Hub does not let you write there",
        where=where,
        got=got,
        fix="log in with `hf auth login`, with a token that may write; or use --out FOLDER",
    )


def _broken(where: str, got: str) -> InfrastructureError:
    return InfrastructureError(
        "the Hub cannot be reached, or the connection broke",
        where=where,
        got=got,
        fix="run the same command again: what has arrived is not sent again; or use --out FOLDER",
    )


def _without_token(text: str) -> str:
    own = get_token()
    text = text.replace(own, "…") if own else text
    return TOKEN.sub(b"\xe2\x80\xa6", text.encode()).decode()
