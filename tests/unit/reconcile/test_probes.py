"""Which ports answer: one that listens does, one that hangs up or is not there does not."""

import socket
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from dynoform.reconcile import probes
from tests.postgres import free_port

DYNOS = [uuid.UUID(int=number) for number in range(60)]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may be slow: long enough for a connection, and to hear that the other side hangs up."""
    monkeypatch.setattr(probes, "SECONDS", 60.0)
    monkeypatch.setattr(probes, "QUIET_SECONDS", 3.0)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server that waits for requests."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """The port of one that takes connections and ends them, as Docker's proxy does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def refusing() -> int:
    """A port that nobody listens on."""
    return free_port()


def test_who_waits_for_requests_answers(listening: int, hanging_up: int, refusing: int) -> None:
    ports = dict(zip(DYNOS, (listening, hanging_up, refusing), strict=False))
    found = probes.answering((dyno, "127.0.0.1", port) for dyno, port in ports.items())
    assert found == {DYNOS[0]}


def test_many_are_asked_in_the_time_of_one(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "QUIET_SECONDS", 0.5)
    began = time.monotonic()
    assert probes.answering((dyno, "127.0.0.1", listening) for dyno in DYNOS) == frozenset(DYNOS)
    assert time.monotonic() - began < len(DYNOS) * probes.QUIET_SECONDS / 2


def test_nobody_is_asked_about_nobody() -> None:
    assert probes.answering([]) == frozenset()
