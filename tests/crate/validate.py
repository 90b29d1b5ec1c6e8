"""Validates a crate without a network, in the environment that install.sh makes.

It prints what is found as JSON: for each issue the check, whether it is a MUST, and what it says. The profiles are
in the validator's package; RO-Crate's context, version 1.1, is in that of `rocrate`.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import requests
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.services import validate
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PLACE = str(distribution("rocrate").locate_file("rocrate/data/ro-crate.jsonld"))
STORED = json.loads(Path(PLACE).read_bytes())


def no_network(*_: Any, **__: Any) -> None:
    """In place of a connection."""
    raise OSError("this test has no network")


def stored(url: str, **_: Any) -> requests.Response:
    """What a server would say: the context that is stored here, or that there is nothing."""
    response = requests.Response()
    response.status_code = 200 if url == CONTEXT else 504
    response.headers["Content-Type"] = "application/ld+json"
    response._content = json.dumps(STORED).encode() if url == CONTEXT else b""
    return response


assert STORED["@id"] == CONTEXT
HttpRequester.get = staticmethod(stored)
socket.socket.connect = no_network
with tempfile.TemporaryDirectory() as cache:
    result = validate(
        ValidationSettings(
            rocrate_uri=sys.argv[1],
            profile_identifier="workflow-run-crate",
            requirement_severity=Severity.RECOMMENDED,
            offline=True,
            cache_path=Path(cache) / "cache",
        )
    )
issues = [
    {"must": one.severity is Severity.REQUIRED, "check": one.check.identifier, "says": one.message}
    for one in result.get_issues(Severity.RECOMMENDED)
]
sys.stdout.write(json.dumps({"checks": len(result.executed_checks), "issues": issues}) + "\n")
