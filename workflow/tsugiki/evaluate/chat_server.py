"""A client for a language model behind an OpenAI-compatible API, with a cache of replies on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter, Retry  # type: ignore[attr-defined]

from tsugiki import atomic
from tsugiki.canonical import digest
from tsugiki.config.file_objectives import Judge
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.offline import BUSY

TRIES = 5
"""Of a question, where the server is busy or does not answer."""
WAIT = 1.0
"""Seconds, twice as long before each later try."""
REFUSED = {401, 403}


class ChatServer:
    """A model that answers chats, greedily.

    Replies are kept on this machine by everything that determines them: the model, its stated version, and
    the question. A key is read from the environment, sent to the server, and neither kept nor shown.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._kept = Path(cache) / "tsugiki" / "judge"

    def ask(self, question: str) -> str:
        """What the model answers.

        Raises:
            InfrastructureError: the server does not answer, or another model does.
        """
        asked = {
            "model": self._judge.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": self._judge.max_tokens,
        }
        key = digest([self._judge.version, asked])
        path = self._kept / key[:2] / f"{key}.json"
        if path.is_file():
            return str(json.loads(path.read_text(encoding="utf-8"))["answer"])
        reply = self._send("POST", "chat/completions", asked)
        try:
            model, answer = reply["model"], reply["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError) as error:
            raise self._fault(
                "the judge's server answers something else than a chat", reply
            ) from error
        if model != self._judge.model:
            raise self._fault("another model than the judge answers", model)
        kept = {"model": model, "fingerprint": reply.get("system_fingerprint"), "answer": answer}
        atomic.write_bytes(path, json.dumps(kept, ensure_ascii=False).encode(), synced=False)
        return str(answer)

    def require(self) -> None:
        """Refuse a server that does not answer, or has no such model.

        Raises:
            ConfigError: so it is.
        """
        where = f"judge {self._judge.model} at {self._judge.url}"
        try:
            found = self._send("GET", "models", None, tries=1)
            names = [one["id"] for one in found["data"]]
        except (InfrastructureError, KeyError, TypeError) as error:
            got = error.got if isinstance(error, InfrastructureError) else "no list of models"
            raise ConfigError(
                "the judge cannot be asked",
                where=where,
                got=got,
                fix=f"start its server, mend `url`, or set the server's key as ${self._judge.key}",
            ) from error
        if self._judge.model not in names:
            raise ConfigError(
                "the judge's server has no such model",
                where=where,
                expected=f"one of {', '.join(names)}",
                got=self._judge.model,
            )

    def _send(self, method: str, path: str, content: Any, *, tries: int = TRIES) -> Any:
        """The server's answer to a request, as plain data."""
        url = f"{self._judge.url.rstrip('/')}/{path}"
        key = os.environ.get(self._judge.key)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        again = Retry(
            tries - 1,
            backoff_factor=WAIT,
            status_forcelist=BUSY,
            allowed_methods=None,
            raise_on_status=False,
        )
        try:
            with requests.Session() as session:
                session.mount(url, HTTPAdapter(max_retries=again))
                reply = session.request(
                    method, url, json=content, headers=headers, timeout=self._judge.timeout
                )
            if reply.ok:
                return reply.json()
            hint = f"; is ${self._judge.key} set?" if reply.status_code in REFUSED else ""
            said = f"status {reply.status_code}{hint}"
        except requests.RequestException as error:  # no JSON is one of them
            said = f"{type(error).__name__}: {error}"
        raise self._fault("the judge's server gives no answer", said)

    def _fault(self, what: str, got: Any) -> InfrastructureError:
        return InfrastructureError(
            what, where=f"judge {self._judge.model} at {self._judge.url}", got=str(got)[:500]
        )
