"""How the platform's processes write to apps' logs: they hand a line over and never wait or fail for it."""

import queue
import socket
import threading
import time
from datetime import UTC, datetime

from dynoform.configuration import Configuration
from dynoform.domain import log_lines

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
        self.address = (configuration.platform_address, port or configuration.logplex_syslog_port)
        self.dropped = 0
        """Lines given up so far."""
        self._lines: queue.Queue[bytes] = queue.Queue(limit)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        """Write to an app's log: ``line(app.id, "heroku", "web.1", "State changed from starting to up")``.

        ``source`` is ``app`` or ``heroku``. Each line of ``message`` becomes one. Never blocks, never raises.
        """
        now = datetime.now(UTC)
        for text in message.splitlines() or [""]:
            self._put(log_lines.frame(app_id, source, process, text, now))

    def close(self, seconds: float = 2) -> None:
        """Give lines that wait up to ``seconds`` to leave, then hang up."""
        deadline = time.monotonic() + seconds
        while self._lines.unfinished_tasks and self._thread and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing.set()

    def _put(self, frame: bytes) -> None:
        with self._lock:
            if self._lines.full():
                try:
                    self._lines.get_nowait()
                    self._lines.task_done()
                    self.dropped += 1
                except queue.Empty:
                    pass  # the sender was faster
            self._lines.put_nowait(frame)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="logplex-client", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        failures = 0
        unsent = b""
        taken = 0
        while not self._closing.is_set():
            try:
                with self._connect() as connection:
                    while not self._closing.is_set():
                        if not unsent:
                            unsent, taken = self._take()
                        _check_open(connection)
                        connection.sendall(unsent)
                        failures = 0
                        self._done(taken)
                        unsent, taken = b"", 0
            except OSError:
                self._closing.wait(_RETRY[min(failures, len(_RETRY) - 1)])
                failures += 1

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=CONNECT_SECONDS)
        connection.settimeout(SEND_SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    def _take(self) -> tuple[bytes, int]:
        """At least one frame, waiting for it, and those that wait behind it."""
        while not self._closing.is_set():
            try:
                frames = [self._lines.get(timeout=1)]
            except queue.Empty:
                continue
            while len(frames) < _BATCH:
                try:
                    frames.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            return b"".join(frames), len(frames)
        return b"", 0

    def _done(self, number: int) -> None:
        for _ in range(number):
            self._lines.task_done()


def _check_open(connection: socket.socket) -> None:
    """Raise ``ConnectionError`` when the other side has hung up: a first write after that would be lost unnoticed."""
    connection.setblocking(False)
    try:
        if connection.recv(1) == b"":
            raise ConnectionError("the log plane has hung up")
    except BlockingIOError:
        pass
    finally:
        connection.settimeout(SEND_SECONDS)
