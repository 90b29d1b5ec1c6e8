"""A judge behind an OpenAI-compatible address: a server of the test's own."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.evaluators.test_from_file import section
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.evaluators.judge import Judged
from tsugiki.evaluate.readers import Reader

KEY = "secret-key-of-the-test"


class Server:
    """Answers as `says` does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.says: Callable[[str, str], str] = longer_wins
        self.model = "judge-1"
        self.busy = 0
        """So many requests are told to come again."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def reply(self, status: int, content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.reply(200, {"data": [{"id": "judge-1"}]})

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.headers.get("Authorization") != f"Bearer {KEY}":
                    self.reply(401, {})
                    return
                if owner.busy:
                    owner.busy -= 1
                    self.reply(503, {})
                    return
                owner.asked.append(content)
                text = content["messages"][0]["content"]
                found = re.search(
                    r"\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\n", text, re.DOTALL
                )
                assert found is not None
                message = {"role": "assistant", "content": owner.says(*found.groups())}
                self.reply(200, {"model": owner.model, "choices": [{"message": message}]})

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def longer_wins(first: str, second: str) -> str:
    """A judge that likes length."""
    return f"I see. [[{'C' if len(first) == len(second) else 'A' if len(first) > len(second) else 'B'}]]"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A judge, its key in the environment, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TSUGIKI_JUDGE_KEY", KEY)
    monkeypatch.setattr("tsugiki.evaluate.chat_server.WAIT", 0.0)
    server = Server()
    yield server
    server.close()


def opened(folder: Path, server: Server, **changes: Any) -> Judged:
    """The evaluator of one question."""
    (folder / "chats.jsonl").write_text(json.dumps({"question": "Why?", "reference": "So it is."}))
    judge = {"url": server.url, "model": "judge-1", "version": "1", **changes}
    objective = {"name": "liked", "judged": "chats.jsonl", "judge": judge}
    return Judged(Evaluation.model_validate(section(folder, objective)))


def liked(judged: Judged, folder: Path, answer: str) -> tuple[float | None, float | None]:
    """Value of an answer, and whether there were two verdicts."""
    reader = Reader()
    reader.answer = lambda _request: answer
    (record,) = judged.score(reader, {str(folder / "chats.jsonl"): [0]})
    return record.value, record.parsed


@pytest.mark.parametrize(
    ("answer", "value"), [("Because of reasons.", 1.0), ("No.", 0.0), ("So it was", 0.5)]
)
def test_the_preferred_answer_wins_in_either_place(
    server: Server, tmp_path: Path, answer: str, value: float
) -> None:
    """1, 0, or 0.5 for a tie; asked twice, greedily."""
    assert liked(opened(tmp_path, server), tmp_path, answer) == (value, 1.0)
    assert len(server.asked) == 2
    assert all(one["temperature"] == 0 for one in server.asked)


def test_a_judge_that_prefers_a_place_says_a_tie(server: Server, tmp_path: Path) -> None:
    """As the mean of both orders."""
    server.says = lambda _first, _second: "[[A]]"
    assert liked(opened(tmp_path, server), tmp_path, "No.") == (0.5, 1.0)


def test_no_verdict_is_a_tie_and_is_counted(server: Server, tmp_path: Path) -> None:
    """In the rate `parsed`."""
    server.says = lambda _first, _second: "I cannot say."
    assert liked(opened(tmp_path, server), tmp_path, "No.") == (0.5, 0.0)


def test_a_question_is_put_once(server: Server, tmp_path: Path) -> None:
    """Other processes read the kept verdicts; another version of the judge is asked again."""
    liked(opened(tmp_path, server), tmp_path, "No.")
    liked(opened(tmp_path, server), tmp_path, "No.")
    assert len(server.asked) == 2
    liked(opened(tmp_path, server, version="2"), tmp_path, "No.")
    assert len(server.asked) == 4


def test_model_and_version_are_part_of_a_scores_identity_and_the_address_is_not(
    server: Server, tmp_path: Path
) -> None:
    """A server may move."""
    identity = opened(tmp_path, server).identity()
    assert opened(tmp_path, server, url="http://elsewhere/v1").identity() == identity
    assert opened(tmp_path, server, version="2").identity() != identity
    assert opened(tmp_path, server, model="judge-2").identity() != identity


def test_a_busy_server_is_asked_again_and_a_dead_one_is_the_machines_fault(
    server: Server, tmp_path: Path
) -> None:
    """No candidate is to blame, and none gets a score."""
    server.busy = 3
    assert liked(opened(tmp_path, server), tmp_path, "No.")[0] == 0.0
    server.busy = 100
    with pytest.raises(InfrastructureError, match="no answer"):
        liked(opened(tmp_path, server), tmp_path, "Another.")


def test_another_model_than_the_stated_one_is_not_believed(server: Server, tmp_path: Path) -> None:
    """A server that serves something else under the name."""
    server.model = "judge-1-2026"
    with pytest.raises(InfrastructureError, match="another model"):
        liked(opened(tmp_path, server), tmp_path, "No.")


def test_the_key_is_in_no_file_and_no_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong one is told by the name of its variable."""
    liked(opened(tmp_path, server), tmp_path, "No.")
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(KEY in text for text in kept)
    monkeypatch.setenv("TSUGIKI_JUDGE_KEY", "wrong-key")
    with pytest.raises(InfrastructureError) as caught:
        liked(opened(tmp_path, server), tmp_path, "Another.")
    assert "TSUGIKI_JUDGE_KEY" in str(caught.value)
    assert "wrong-key" not in str(caught.value)


def test_a_judge_that_is_not_there_is_told_before_a_run(server: Server, tmp_path: Path) -> None:
    """And one of another name, with the names that there are."""
    source = str(tmp_path / "chats.jsonl")
    assert list(opened(tmp_path, server).faults(source, [0], [])) == []
    (fault,) = opened(tmp_path, server, model="judge-9").faults(source, [0], [])
    assert "judge-1" in str(fault)
    (fault,) = opened(tmp_path, server, url="http://127.0.0.1:9/v1").faults(source, [0], [])
    assert "cannot be asked" in str(fault)


def test_questions_are_put_side_by_side(server: Server, tmp_path: Path) -> None:
    """A server that answers neither order of a pair before it has both."""
    both = threading.Barrier(2, timeout=60)

    def says(first: str, second: str) -> str:
        both.wait()
        return longer_wins(first, second)

    server.says = says
    assert liked(opened(tmp_path, server), tmp_path, "No.") == (0.0, 1.0)
