"""A small Hugging Face Hub on 127.0.0.1: enough of its API for the real client to fetch models."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

API = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<revision>[^/]+)$")
RESOLVE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)$")
CDN = re.compile(r"^/cdn/(?P<sha256>[0-9a-f]{64})$")


@dataclass
class Repo:
    """Commits by hash, and branches that point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    """Status and X-Error-Code that every request gets."""

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit with these files and move a branch to it; return its hash."""
        state = hashlib.sha1(branch.encode())
        state.update(str(len(self.commits)).encode())
        for name in sorted(files):
            state.update(name.encode() + files[name])
        commit = state.hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        return commit

    def commit(self, revision: str) -> str | None:
        """Hash of a branch or commit."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Hub:
    """The repositories, and what was asked of them."""

    url: str
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method, path and range of every request."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    spoilt: set[str] = field(default_factory=set)
    """SHA-256 of large files that are sent with a flipped byte."""

    @property
    def cdn(self) -> str:
        """Another host for large files: the client stops following redirects at a new host."""
        return self.url.replace("127.0.0.1", "localhost")

    def repo(self, name: str) -> Repo:
        """A repository, made on first use."""
        return self.repos.setdefault(name, Repo())


def is_large(name: str) -> bool:
    """Whether the Hub would store this file as a large file."""
    return name.endswith((".safetensors", ".bin", "tokenizer.model"))


def blob_id(content: bytes) -> str:
    """Git's object id."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers requests for files and listings."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer()

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "")
        self.hub.requests.append(f"{self.command} {path} {wanted}".strip())
        if match := API.match(path):
            self._api(**match.groupdict())
        elif match := RESOLVE.match(path):
            self._resolve(**match.groupdict())
        elif match := CDN.match(path):
            self._content(self._blob(match["sha256"]), {})
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _blob(self, digest: str) -> bytes:
        content = self.hub.blobs[digest]
        if digest in self.hub.spoilt:
            return content[:-1] + bytes([content[-1] ^ 1])
        return content

    def _find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        found = self.hub.repos.get(repo)
        if found is None:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        if found.refusal is not None:
            status, code = found.refusal
            self._send(status, b"", {"X-Error-Code": code} if code else {})
            return None
        commit = found.commit(revision)
        if commit is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, found.commits[commit]

    def _api(self, repo: str, what: str, revision: str) -> None:
        found = self._find(repo, revision)
        if found is None:
            return
        commit, files = found
        entries = []
        for name, content in sorted(files.items()):
            entry: dict[str, object] = {"size": len(content)}
            if is_large(name):
                entry["lfs"] = {
                    "sha256": sha256(content),
                    "oid": sha256(content),
                    "size": len(content),
                    "pointerSize": 134,
                }
            if what == "tree":
                entry |= {"type": "file", "path": name, "oid": blob_id(content)}
            else:
                entry |= {"rfilename": name, "blobId": blob_id(content)}
            entries.append(entry)
        info = {"id": repo, "modelId": repo, "sha": commit, "siblings": entries}
        body = entries if what == "tree" else info
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        found = self._find(repo, revision)
        if found is None:
            return
        commit, files = found
        if name not in files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        content = files[name]
        headers = {"X-Repo-Commit": commit}
        if not is_large(name):
            self._content(content, headers | {"ETag": f'"{blob_id(content)}"'})
            return
        digest = sha256(content)
        self.hub.blobs[digest] = content
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        self._send(302, b"", headers | {"Location": f"{self.hub.cdn}/cdn/{digest}"})

    def _content(self, content: bytes, headers: dict[str, str]) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(200, content, headers)
            return
        first, last = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
        headers |= {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._send(206, content[first : last + 1], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def running_hub(base: type[Handler] = Handler, make: Callable[[str], Hub] = Hub) -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 until the block ends; `make` makes the Hub of its address."""
    handler = type("Bound", (base,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub = make(f"http://127.0.0.1:{server.server_address[1]}")
    handler.hub = hub
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
