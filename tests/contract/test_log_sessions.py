"""Log sessions: the API passes on what the log plane has, as text or as events."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dynoform.api.services import Services
from tests.contract.conftest import path_of

LINES = [
    "2026-11-20T10:00:00.000001+00:00 app[web.1]: one",
    "2026-11-20T10:00:00.000002+00:00 app[web.1]: two ✓",
]


class LogPlane(BaseHTTPRequestHandler):
    """Answers as the log plane does; remembers what it was asked."""

    asked: list[str] = []  # noqa: RUF012 - one list for all requests is the point
    status = 200
    hold = threading.Event()
    left = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write("".join(f"{line}\n" for line in LINES).encode())
        if self.hold.is_set():
            self.left.clear()
            self.connection.settimeout(10)
            self.connection.recv(1)  # comes back when the API hangs up
            self.left.set()

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def log_plane(services: Services) -> Iterator[type[LogPlane]]:
    """A log plane that listens where the API looks for it."""
    server = ThreadingHTTPServer(("127.0.0.1", services.logplex_port), LogPlane)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    LogPlane.asked.clear()
    LogPlane.status = 200
    LogPlane.hold.clear()
    yield LogPlane
    server.shutdown()
    server.server_close()


def open_session(client: httpx.Client, app: str, body: object = None) -> str:
    answer = client.post(f"/apps/{app}/log-sessions", json=body)
    assert answer.status_code == 201
    assert set(answer.json()) == {"created_at", "id", "logplex_url", "updated_at"}
    return path_of(answer.json()["logplex_url"])


def test_lines_come_as_text(client: httpx.Client, nobody: httpx.Client, app: str, log_plane: type[LogPlane]) -> None:
    link = open_session(client, app, {"lines": 5, "source": "app", "dyno": "web.1", "tail": False})
    answer = nobody.get(link)
    assert (answer.text, answer.headers["content-type"]) == ("\n".join(LINES) + "\n", "text/plain; charset=utf-8")
    identifier = client.get(f"/apps/{app}").json()["id"]
    assert log_plane.asked == [f"/apps/{identifier}/lines?num=5&tail=0&source=app&dyno=web.1"]


@pytest.mark.parametrize(
    ("body", "query"), [(None, "num=100&tail=0"), ({"lines": 9999, "tail": True}, "num=1500&tail=1")]
)
def test_what_is_asked_for_has_defaults_and_a_limit(
    client: httpx.Client, app: str, log_plane: type[LogPlane], body: object, query: str
) -> None:
    client.get(open_session(client, app, body)).raise_for_status()
    assert log_plane.asked[0].endswith(f"?{query}")


def test_lines_come_as_events_to_the_cli(client: httpx.Client, app: str, log_plane: type[LogPlane]) -> None:
    link = open_session(client, app)
    answer = client.get(link, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, second = (f"id: {line.split()[0]}\ndata: {line}\n\n" for line in LINES)
    assert answer.text == f"retry: 10\n\n{first}{second}"
    again = client.get(link, headers={"Accept": "text/event-stream", "Last-Event-ID": LINES[0].split()[0]})
    assert again.text == f"retry: 10\n\n{second}"


def test_a_log_plane_that_is_away_or_refuses_is_said_so(
    client: httpx.Client, app: str, request: pytest.FixtureRequest
) -> None:
    link = open_session(client, app)
    away = client.get(link)
    assert (away.status_code, away.json()["id"]) == (503, "unavailable")
    request.getfixturevalue("log_plane").status = 500
    assert client.get(link).status_code == 503


def test_only_the_link_opens_a_log(client: httpx.Client, app: str, log_plane: type[LogPlane]) -> None:
    answer = client.get("/log-sessions/forged.token")
    assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
    assert log_plane.asked == []
    assert client.post(f"/apps/{app}/log-sessions", json={"lines": -1}).status_code == 422
    assert client.post(f"/apps/{app}/log-sessions", content=json.dumps({"lines": "5"})).status_code == 422


def test_a_tail_is_passed_on_at_once_and_ended_with_its_reader(
    client: httpx.Client, app: str, log_plane: type[LogPlane]
) -> None:
    log_plane.hold.set()
    with client.stream("GET", open_session(client, app, {"tail": True})) as answer:
        received = ""
        for piece in answer.iter_text():
            received += piece
            if received.count("\n") == len(LINES):
                break
    assert log_plane.left.wait(5)
