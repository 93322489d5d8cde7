"""Log sessions: the API passes on what a real log plane has, as text or as events; a tail outlives both of them."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from dynoform.api.log_sessions import SESSION
from dynoform.api.server import Server, server_configuration
from dynoform.api.services import Services
from tests.contract.conftest import PLAIN, apart, path_of
from tests.log_plane import Plane
from tests.postgres import free_port

EVENTS = {"Accept": "text/event-stream"}
AFTER = "Last-Event-ID"


@pytest.fixture
def plane(services: Services) -> Iterator[Plane]:
    """A log plane that listens where the API looks for it."""
    made = Plane(services.logplex_port)
    yield made
    made.stop()


@pytest.fixture
def app_id(client: httpx.Client, app: str) -> str:
    return str(client.get(f"/apps/{app}").json()["id"])


def open_session(client: httpx.Client, app: str, body: object = None) -> str:
    answer = client.post(f"/apps/{app}/log-sessions", json=body)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"created_at", "id", "logplex_url", "updated_at"}
    return path_of(answer.json()["logplex_url"])


def texts(answer: str) -> list[str]:
    """The lines without their times."""
    return [line.partition(" ")[2] for line in answer.splitlines()]


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Tail:
    """A client that follows a link and, as the CLI, comes back after the last event when the stream has ended."""

    def __init__(self, address: str, link: str, *, after: str = "", again: bool = True) -> None:
        self.address, self.link, self.again = address, link, again
        self.seen: list[str] = []
        self.last_id = after
        self.ends: list[str] = []
        """How the streams ended: a status that is not 200, an empty text for a clean end, or the error."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20)

    def wait(self, *wanted: str) -> None:
        """Until these lines were seen, and no other."""
        expected = [f"app[web.1]: {text}" for text in wanted]
        until(lambda: len(self.seen) >= len(expected), f"{len(expected)} lines")
        assert self.seen == expected

    def _run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False, verify=PLAIN) as client:
            while not self._stop.is_set():
                try:
                    self.ends.append(self._follow(client))
                except httpx.HTTPError as error:
                    self.ends.append(f"{type(error).__name__} {error}")
                if not self.again:
                    return
                time.sleep(0.01)

    def _follow(self, client: httpx.Client) -> str:
        headers = {**EVENTS, **({AFTER: self.last_id} if self.last_id else {})}
        with client.stream("GET", f"{self.address}{self.link}", headers=headers) as answer:
            if answer.status_code != 200:
                return str(answer.status_code)
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "data":
                    self.seen.append(value.partition(" ")[2])
                elif name == "id":
                    self.last_id = value
                if self._stop.is_set():
                    return "left"
        return ""


@contextmanager
def tailing(address: str, link: str, *, after: str = "", again: bool = True) -> Iterator[Tail]:
    tail = Tail(address, link, after=after, again=again)
    yield tail
    tail._stop.set()


@contextmanager
def serving(services: Services, port: int) -> Iterator[Callable[[], None]]:
    """An API of its own; yields what tells it to stop and waits until it has."""
    own = replace(apart(services), stopping=asyncio.Event())
    server = Server(own, server_configuration(own, "127.0.0.1", port))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "it starts")

    def stop() -> None:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()

    yield stop
    stop()


def test_lines_come_as_text(client: httpx.Client, nobody: httpx.Client, app: str, app_id: str, plane: Plane) -> None:
    plane.write(app_id, "one", "two ✓")
    answer = nobody.get(open_session(client, app))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert texts(answer.text) == ["app[web.1]: one", "app[web.1]: two ✓"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"lines": 2}, ["app[api]: Deploy", "heroku[router]: at=info"]),
        ({"source": "app"}, ["app[web.1]: one", "app[web.2]: two", "app[worker.1]: three", "app[api]: Deploy"]),
        ({"source": "heroku"}, ["heroku[web.1]: State changed", "heroku[router]: at=info"]),
        ({"dyno": "web.1"}, ["app[web.1]: one", "heroku[web.1]: State changed"]),
        ({"dyno": "web"}, ["app[web.1]: one", "app[web.2]: two", "heroku[web.1]: State changed"]),
        ({"type": "worker"}, ["app[worker.1]: three"]),
        ({"dyno_name": "web.2"}, ["app[web.2]: two"]),
        ({"source": "app", "dyno": "api"}, ["app[api]: Deploy"]),
        ({"source": "heroku", "dyno": "router"}, ["heroku[router]: at=info"]),
        ({"source": "app", "dyno": "web.1", "lines": 1}, ["app[web.1]: one"]),
        ({"source": "other"}, []),
        ({"dyno": "web.*"}, []),
        ({"lines": 0}, []),
    ],
)
def test_lines_are_chosen_by_source_dyno_and_number(
    client: httpx.Client, app: str, app_id: str, plane: Plane, body: dict[str, object], wanted: list[str]
) -> None:
    plane.write(app_id, "one")
    plane.write(app_id, "two", process="web.2")
    plane.write(app_id, "three", process="worker.1")
    plane.write(app_id, "State changed", source="heroku")
    plane.write(app_id, "Deploy", process="api")
    plane.write(app_id, "at=info", source="heroku", process="router")
    assert texts(client.get(open_session(client, app, body)).text) == wanted


@pytest.mark.parametrize(("lines", "number"), [(None, 100), (1500, 1500), (9999, 1500)])
def test_a_hundred_lines_unless_asked_for_more_and_never_over_1500(
    client: httpx.Client, app: str, app_id: str, plane: Plane, lines: int | None, number: int
) -> None:
    plane.write(app_id, *(f"line {number}" for number in range(1600)))
    found = texts(client.get(open_session(client, app, {"lines": lines})).text)
    assert found == [f"app[web.1]: line {each}" for each in range(1600 - number, 1600)]


def test_lines_come_as_events_to_the_cli(client: httpx.Client, app: str, app_id: str, plane: Plane) -> None:
    plane.write(app_id, "one", "two")
    link = open_session(client, app)
    answer = client.get(link, headers=EVENTS)
    assert answer.headers["content-type"].startswith("text/event-stream")
    run, lines = plane.buffers.run, [line.decode() for _, line in plane.buffers.last(app_id, 2)]
    first, second = (f"id: {run}-{number}\ndata: {line}\n\n" for number, line in enumerate(lines, 1))
    assert answer.text == f"retry: 10\n\n{first}{second}"
    again = client.get(link, headers={**EVENTS, AFTER: f"{run}-1"})
    assert again.text == f"retry: 10\n\n{second}"


def test_a_tail_loses_and_repeats_nothing_when_it_comes_back(
    client: httpx.Client, address: str, app: str, app_id: str, plane: Plane
) -> None:
    link = open_session(client, app, {"tail": True, "lines": 1})
    plane.write(app_id, "old", "last")
    with tailing(address, link, again=False) as first:
        first.wait("last")
        plane.write(app_id, "a", "b")
        first.wait("last", "a", "b")
        read = first.last_id
    plane.write(app_id, "while away", *(f"line {number}" for number in range(500)))
    with tailing(address, link, after=read) as second:
        second.wait("while away", *(f"line {number}" for number in range(500)))


def test_a_tail_does_not_notice_a_log_plane_that_is_started_anew(
    client: httpx.Client, address: str, app: str, app_id: str, plane: Plane
) -> None:
    with tailing(address, open_session(client, app, {"tail": True})) as tail:
        until(lambda: plane.readers(app_id) == 1, "it follows")
        plane.write(app_id, "before")
        tail.wait("before")
        for text in ("one", "two"):
            plane.stop()
            plane.start()
            plane.write(app_id, text)
            until(lambda: plane.readers(app_id) == 1, "it follows again")
        plane.write(app_id, "after")
        tail.wait("before", "one", "two", "after")
        assert tail.ends == []


def test_a_tail_that_comes_back_waits_for_a_log_plane_that_is_away(
    client: httpx.Client, address: str, services: Services, app: str, app_id: str
) -> None:
    link = open_session(client, app, {"tail": True})
    with tailing(address, link, after="00000000-7") as tail:
        time.sleep(0.3)
        plane = Plane(services.logplex_port)
        plane.write(app_id, "here")
        tail.wait("here")
        assert tail.ends == []
        tail._stop.set()
        plane.write(app_id, "wakes it, so that it sees that it may go")
        tail.close()
        plane.stop()


def test_an_api_that_stops_ends_tails_cleanly_and_its_successor_goes_on(
    client: httpx.Client, services: Services, app: str, app_id: str, plane: Plane
) -> None:
    port = free_port()
    with serving(services, port) as stop:
        link = open_session(client, app, {"tail": True})
        with tailing(f"http://127.0.0.1:{port}", link, again=False) as tail:
            until(lambda: plane.readers(app_id) == 1, "it follows")
            plane.write(app_id, "before")
            tail.wait("before")
            began = time.monotonic()
            stop()
            assert time.monotonic() - began < 15
            until(lambda: bool(tail.ends), "the stream ends")
            assert tail.ends == [""], "the CLI gives up on anything but a clean end"
    plane.write(app_id, "meanwhile")
    with (
        serving(services, port),
        tailing(f"http://127.0.0.1:{port}", link, after=tail.last_id, again=False) as successor,
    ):
        successor.wait("meanwhile")


def test_many_tails_get_every_line(client: httpx.Client, address: str, app: str, app_id: str, plane: Plane) -> None:
    link = open_session(client, app, {"tail": True})
    tails = [Tail(address, link) for _ in range(20)]
    until(lambda: plane.readers(app_id) == len(tails), "all follow")
    wanted = [f"line {number}" for number in range(300)]
    for number in range(0, 300, 50):
        plane.write(app_id, *wanted[number : number + 50])
    for tail in tails:
        tail.wait(*wanted)
        tail._stop.set()
    plane.write(app_id, "wakes them, so that they see that they may go")
    for tail in tails:
        tail.close()
    until(lambda: plane.readers(app_id) == 0, "all have left")


def test_a_slow_reader_loses_lines_is_told_and_holds_nobody_up(
    client: httpx.Client, address: str, app: str, app_id: str, plane: Plane
) -> None:
    link = open_session(client, app, {"tail": True, "lines": 0})
    with client.stream("GET", link, headers=EVENTS) as slow:
        until(lambda: plane.readers(app_id) == 1, "it follows")
        for _ in range(60):
            plane.write(app_id, *("x" * 1000 for _ in range(500)))
        with tailing(address, open_session(client, app, {"tail": True, "lines": 0})) as other:
            until(lambda: plane.readers(app_id) == 2, "the other follows")
            plane.write(app_id, "quick")
            other.wait("quick")
        received = ""
        for piece in slow.iter_text():
            received = received[-200:] + piece
            if "heroku[logplex]: Error L11 (Tail buffer overflow) -> This buffer dropped " in received:
                break
        else:
            raise AssertionError("no line says that lines were dropped")


def test_a_tail_is_ended_with_its_reader(client: httpx.Client, app: str, app_id: str, plane: Plane) -> None:
    with client.stream("GET", open_session(client, app, {"tail": True})):
        until(lambda: plane.readers(app_id) == 1, "it follows")
    until(lambda: plane.readers(app_id) == 0, "it has left")


def test_a_log_plane_that_is_away_is_said_so(client: httpx.Client, app: str) -> None:
    for body in (None, {"tail": True}):
        away = client.get(open_session(client, app, body))
        assert (away.status_code, away.json()["id"]) == (503, "unavailable")


def test_only_the_link_opens_a_log(client: httpx.Client, nobody: httpx.Client, app: str, plane: Plane) -> None:
    token = open_session(client, app).removeprefix("/log-sessions/")
    body, _, seal = token.partition(".")
    assert len(seal) >= 43, "256 bits that nobody guesses"
    other = open_session(client, app, {"lines": 7}).removeprefix("/log-sessions/").partition(".")
    for forged in ("forged.token", body, f"{body}.", f"{body}.{other[2]}", f"{other[0]}.{seal}", f".{seal}"):
        answer = nobody.get(f"/log-sessions/{forged}")
        assert (answer.status_code, answer.json()["id"]) == (403, "forbidden"), forged
    assert client.post(f"/apps/{app}/log-sessions", json={"lines": -1}).status_code == 422
    assert client.post(f"/apps/{app}/log-sessions", content=json.dumps({"lines": "5"})).status_code == 422


def test_another_users_app_has_no_session(stranger: httpx.Client, app: str) -> None:
    theirs, none = (stranger.post(f"/apps/{name}/log-sessions", json={}) for name in (app, "no-such-app"))
    assert (theirs.status_code, theirs.json()) == (none.status_code, none.json())
    assert theirs.status_code == 404


def test_a_session_ends_with_its_time(
    client: httpx.Client, address: str, services: Services, app: str, app_id: str, plane: Plane
) -> None:
    account = client.get("/account").json()["id"]
    claims = {"app": app_id, "account": account, "num": 5, "tail": True, "source": None, "dyno": None}
    # Long enough to begin on a machine that is busy with something else.
    with tailing(address, f"/log-sessions/{services.vault.sign(SESSION, claims, 5)}") as tail:
        until(lambda: "403" in tail.ends, "the session is over")
        assert tail.ends[0] == "", "the stream ends cleanly, then the CLI is told to start again"
    over = client.get(f"/log-sessions/{services.vault.sign(SESSION, claims, -60)}")
    assert (over.status_code, over.json()["message"]) == (403, "link: has expired — ask for a new one")


def test_a_session_ends_with_its_app(client: httpx.Client, app: str, plane: Plane) -> None:
    link = open_session(client, app, {"tail": True})
    client.delete(f"/apps/{app}").raise_for_status()
    gone = client.get(link, headers=EVENTS)
    assert (gone.status_code, gone.json()["id"]) == (404, "not_found")
