"""The stand-in Hub of the parents' tests, and what the client asks when it uploads: repositories, Git LFS, commits.

Without Xet (`HF_HUB_DISABLE_XET`): that protocol's servers are no part of the Hub's own interface.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tests.parents.hub_stand_in import Handler, Hub, blob_id, is_large, sha256

TOKEN = "hf_" + "s3cretT0ken" * 3
"""The one token that may write."""
INFO = re.compile(r"^/api/models/([^/]+/[^/]+)$")
PREUPLOAD = re.compile(r"^/api/models/([^/]+/[^/]+)/preupload/main$")
COMMIT = re.compile(r"^/api/models/([^/]+/[^/]+)/commit/main$")
BATCH = re.compile(r"^/([^/]+/[^/]+)\.git/info/lfs/objects/batch$")
SENT = re.compile(r"^/lfs/([0-9a-f]{64})$")


@dataclass
class UploadHub(Hub):
    """Repositories that can be written to by whoever has the token."""

    private: dict[str, bool] = field(default_factory=dict)
    breaks_at: int | None = None
    """How many large files arrive before the connection breaks; all if None."""
    damaged: set[str] = field(default_factory=set)
    """Names of files that are stored with a flipped byte."""
    complaint: str | None = None
    """What is answered to a request for a new repository, with status 403."""

    def sent(self) -> list[str]:
        """Digests of large files that arrived, in order, as often as they did."""
        return [one.rpartition("/")[2] for one in self.requests if one.startswith("PUT /lfs/")]


class UploadHandler(Handler):
    """Answers requests for writing, too."""

    hub: UploadHub

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if (match := INFO.match(path)) and match[1] in self.hub.repos:
            found = self._find(match[1], "main")
            if found is not None:
                private = self.hub.private.get(match[1], True)
                self._json({"id": match[1], "sha": found[0], "private": private, "siblings": []})
        elif path.endswith("/additional_chat_templates"):
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            super()._answer()

    def do_PUT(self) -> None:  # noqa: N802 - the base's name
        """Take a large file, or break the connection."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        match = SENT.match(self.path)
        assert match is not None
        if self.hub.breaks_at is not None and len(self.hub.sent()) >= self.hub.breaks_at:
            self.close_connection = True  # without an answer
            return
        assert sha256(content) == match[1]
        self.hub.requests.append(f"PUT {self.path}")
        self.hub.blobs[match[1]] = content
        self._send(200, b"", {})

    def do_POST(self) -> None:  # noqa: N802 - the base's name
        """Take whatever needs the token."""
        length = self.headers["Content-Length"]
        body = self.rfile.read(int(length)) if length else self._chunked()
        path = unquote(urlsplit(self.path).path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, b'{"error": "Invalid credentials"}', {})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            head = json.loads(body)["content"].split("---\n")[1]
            assert isinstance(yaml.safe_load(head), dict)
            self._json({"errors": [], "warnings": []})
        elif match := PREUPLOAD.match(path):
            self._preupload(match[1], json.loads(body))
        elif match := BATCH.match(path):
            self._batch(json.loads(body))
        elif match := COMMIT.match(path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines() if line])
        else:
            self._send(404, b"", {})

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if self.hub.complaint is not None:
            self._send(403, json.dumps({"error": self.hub.complaint}).encode(), {})
        elif name in self.hub.repos:
            self._send(409, b'{"error": "You already created this model repo"}', {})
        else:
            self.hub.repo(name).push({".gitattributes": b""})
            self.hub.private[name] = asked.get("visibility") == "private"
            self._json({"url": f"{self.hub.url}/{name}"})

    def _preupload(self, repo: str, asked: dict[str, Any]) -> None:
        held = self._held(repo)
        answers = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if is_large(one["path"]) else "regular",
                "shouldIgnore": False,
                "oid": None if (old := held.get(one["path"])) is None
                else sha256(old) if is_large(one["path"]) else blob_id(old),
            }
            for one in asked["files"]
        ]  # fmt: skip
        self._json({"files": answers})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for one in asked["objects"]:
            answer = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.blobs:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files = dict(self._held(repo))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
        for name in self.hub.damaged & files.keys():
            files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
        commit = self.hub.repo(repo).push(files)
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _held(self, repo: str) -> dict[str, bytes]:
        found = self.hub.repo(repo)
        return found.commits[found.branches["main"]]

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})
