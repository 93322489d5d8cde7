"""A client of a Redis, from an app's config var, and a writer that remembers what was acknowledged to it.

The protocol is a few lines (https://valkey.io/topics/protocol/), and a checker has to see each answer: a library would
connect and try again by itself.
"""

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SECONDS = 1.0
"""For an answer; then the connection is given up."""
PAUSE_SECONDS = 0.002
WAIT_MS = "500"


class RefusedError(Exception):
    """What the server said instead of doing it."""


class Connection:
    """A connection over TLS that has logged in."""

    def __init__(self, url: str, trust: ssl.SSLContext, seconds: float = SECONDS) -> None:
        """``url`` is a ``REDIS_URL``. Raises ``OSError``, ``RefusedError``."""
        parts = urlsplit(url)
        plain = socket.create_connection((str(parts.hostname), parts.port or 0), seconds)
        try:
            self._socket = trust.wrap_socket(plain, server_hostname=str(parts.hostname))
        except OSError:
            plain.close()
            raise
        self._file = self._socket.makefile("rb")
        try:
            self("AUTH", str(parts.password))
        except (OSError, RefusedError):
            self.close()
            raise

    def __call__(self, *words: str) -> Any:
        """What the server answers. Raises ``RefusedError``, or ``OSError`` for none."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._socket.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
        return self._answer()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def _answer(self) -> Any:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server hung up")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RefusedError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return rest


def ask(url: str, trust: ssl.SSLContext, *words: str, seconds: float = 10.0) -> Any:
    """The answer to one command on a connection of its own. Raises ``OSError``, ``RefusedError``."""
    connection = Connection(url, trust, seconds)
    try:
        return connection(*words)
    finally:
        connection.close()


@dataclass
class History:
    """Numbers that were appended to a list, one after the other, each tried once: when each was acknowledged."""

    key: str
    acknowledged: dict[int, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Why the others were not."""
    ended: float = 0.0

    def outage(self, since: float) -> float:
        """The longest time after ``since`` in which nothing was acknowledged, in seconds."""
        moments = [since, *sorted(each for each in self.acknowledged.values() if each > since), self.ended]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def compare(self, url: str, trust: ssl.SSLContext) -> tuple[int, int]:
        """How many acknowledged numbers are not there, and how many are there twice or out of their order."""
        found = [int(each) for each in ask(url, trust, "LRANGE", self.key, "0", "-1", seconds=30)]
        lost = len(self.acknowledged.keys() - set(found))
        return lost, sum(later <= earlier for earlier, later in itertools.pairwise(found))


@contextlib.contextmanager
def writing(url: str, trust: ssl.SSLContext, key: str, *, waits: bool = False) -> Iterator[History]:
    """Append numbers to a list for the length of the block.

    One that ``waits`` counts as acknowledged what a replica has, too (https://valkey.io/commands/wait/).
    """
    found, done = History(key), threading.Event()
    thread = threading.Thread(target=_write, args=(url, trust, found, done, waits))
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.ended = time.monotonic()


def _write(url: str, trust: ssl.SSLContext, found: History, done: threading.Event, waits: bool) -> None:
    connection: Connection | None = None
    for number in itertools.count():
        if done.wait(PAUSE_SECONDS):
            break
        try:
            connection = connection or Connection(url, trust)
            connection("RPUSH", found.key, str(number))
            if waits and connection("WAIT", "1", WAIT_MS) < 1:
                raise RefusedError("WAIT: no replica has it")
            found.acknowledged[number] = time.monotonic()
        except RefusedError as error:
            found.refused.append(str(error))
            time.sleep(0.02)
        except OSError as error:
            found.refused.append(f"{type(error).__name__}: {error}")
            if connection is not None:
                connection.close()
                connection = None
            time.sleep(0.02)
    if connection is not None:
        connection.close()
