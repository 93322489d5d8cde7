"""How the platform's processes write to apps' logs: they hand a line over and never wait or fail for it.

The log plane acknowledges lines (RELP), so that none is lost when it is killed.
"""

import queue
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import count

from dynoform import logplex_tls
from dynoform.configuration import Configuration
from dynoform.domain import log_lines, relp
from dynoform.domain.log_repeats import Place

LIMIT = 4_096
"""Lines that may wait while the log plane is away; then the oldest go."""
CONNECT_SECONDS = 5
SEND_SECONDS = 10
_RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)
_BATCH = 256


class LogplexClient:
    """A connection to the log plane with a bounded queue before it; for use by any number of threads."""

    def __init__(self, configuration: Configuration, limit: int = LIMIT, port: int | None = None) -> None:
        """Connects when the first line comes, in a thread of its own."""
        self._configuration = configuration
        self.address = (configuration.platform_address, port or configuration.logplex_syslog_port)
        self.dropped = 0
        """Lines given up so far."""
        self._lines: queue.Queue[bytes] = queue.Queue(limit)
        self._name, self._numbers = secrets.token_hex(6), count(1)
        """By these the log plane knows a line that comes again."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        """Write to an app's log: ``line(app.id, "heroku", "web.1", "State changed from starting to up")``.

        ``source`` is ``app`` or ``heroku``. Each line of ``message`` becomes one. Never blocks, never raises.
        """
        now = datetime.now(UTC)
        for text in message.splitlines() or [""]:
            self._put(partial(log_lines.message, app_id, source, process, text, now))

    def close(self, seconds: float = 2) -> None:
        """Give lines that wait up to ``seconds`` to leave, then hang up."""
        deadline = time.monotonic() + seconds
        while self._lines.unfinished_tasks and self._thread and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing.set()

    def _put(self, message: Callable[[Place], bytes]) -> None:
        with self._lock:
            if self._lines.full():
                try:
                    self._lines.get_nowait()
                    self._lines.task_done()
                    self.dropped += 1
                except queue.Empty:
                    pass  # the sender was faster
            self._lines.put_nowait(message(Place(self._name, next(self._numbers))))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="logplex-client", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        failures = 0
        unsent: list[bytes] = []
        while not self._closing.is_set():
            try:
                with self._connect() as connection:
                    session = _Session(connection)
                    while not self._closing.is_set():
                        unsent = unsent or self._take()
                        session.send(unsent)
                        failures = 0
                        self._done(len(unsent))
                        unsent = []
            except (OSError, relp.FrameError):
                self._closing.wait(_RETRY[min(failures, len(_RETRY) - 1)])
                failures += 1

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=CONNECT_SECONDS)
        connection.settimeout(SEND_SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._context is None:
            return connection
        return self._context.wrap_socket(connection, server_hostname=logplex_tls.NAME)

    @cached_property
    def _context(self) -> ssl.SSLContext | None:
        return logplex_tls.client(self._configuration)

    def _take(self) -> list[bytes]:
        """At least one message, waiting for it, and those that wait behind it; none when it is time to close."""
        while not self._closing.is_set():
            try:
                messages = [self._lines.get(timeout=1)]
            except queue.Empty:
                continue
            while len(messages) < _BATCH:
                try:
                    messages.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            return messages
        return []

    def _done(self, number: int) -> None:
        for _ in range(number):
            self._lines.task_done()


class _Session:
    """RELP over one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = relp.Reader()
        self._numbers = count(1)
        self._exchange([(relp.OPEN, relp.OFFER)])

    def send(self, messages: list[bytes]) -> None:
        """Return when the log plane has all of them. Raises ``OSError`` when it has gone."""
        if messages:
            self._exchange([(relp.SYSLOG, message) for message in messages])

    def _exchange(self, commands: list[tuple[bytes, bytes]]) -> None:
        waiting = {number: command for command, number in zip(commands, self._numbers, strict=False)}
        self._connection.sendall(b"".join(relp.frame(number, *command) for number, command in waiting.items()))
        while waiting:
            data = self._connection.recv(65536)
            if not data:
                raise ConnectionError("the log plane has hung up")
            for answer in self._reader.feed(data):
                if answer.number in waiting and relp.is_accepted(answer):
                    del waiting[answer.number]
