"""The lines of a router's requests while the log plane is away: they wait, and come in order."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.container import make_folder, start_router
from tests.postgres import free_port

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

PLATFORM = "127.72.2.1"
SYSLOG = 6514
_LINE = re.compile(rb"line (\d+) end")


@contextmanager
def log_plane(taken: list[int]) -> Iterator[None]:
    """Somebody who listens as the log plane does, and notes the numbers of lines; in the end it goes as if killed."""
    server = socket.create_server((PLATFORM, SYSLOG))
    connections: list[socket.socket] = []

    def take(connection: socket.socket) -> None:
        rest = b""
        with suppress(OSError):
            while data := connection.recv(65536):
                whole = rest + data
                found = [*_LINE.finditer(whole)]
                taken.extend(int(each[1]) for each in found)
                rest = whole[found[-1].end() :] if found else whole

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                threading.Thread(target=take, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        for each in (server, *connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def port(parts: EngineParts, tmp_path: Path) -> int:
    """Where a router's workers send their lines to."""
    http = free_port()
    folder, _ = make_folder(tmp_path)
    start_router(parts, folder, PLATFORM, "127.0.0.1", http, free_port())
    return http


def test_lines_wait_in_the_router_while_the_log_plane_is_away(port: int) -> None:
    taken: list[int] = []
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as worker:

        def say(*numbers: int) -> None:
            for number in numbers:
                worker.sendto(b"<158>1 - host router - - - line %d end" % number, ("127.0.0.1", port))
                time.sleep(0.005)

        with log_plane(taken):
            while not taken:  # until the way is open
                say(0)
            say(*range(1, 50))
            until(lambda: 49 in taken)
        say(*range(50, 60))
        time.sleep(2)  # it sees that nobody is there any more, however busy it is
        say(*range(60, 600))
        with log_plane(taken):
            say(*range(600, 700))
            until(lambda: 699 in taken)
    numbers = [number for number in taken if number]
    assert numbers == sorted(set(numbers))
    # What is written to the connection in the moment that it closes is gone: nobody acknowledges these lines.
    assert {*range(1, 700)} - {*numbers} <= {*range(50, 60)}


def until(condition: object, seconds: float = 60) -> None:
    """Wait until it is so."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
