"""The log plane: takes RFC 5424 lines over TCP, keeps the last ones of each app, serves them over HTTP.

One process, one event loop, no store: lines live in memory, as in Heroku's Logplex, which routes logs and does not
archive them.
"""

import asyncio
import signal
from datetime import UTC, datetime

from dynoform.configuration import LOGPLEX_HTTP_PORT, LOGPLEX_SYSLOG_PORT, Configuration
from dynoform.domain import log_lines
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.logplex.buffers import Buffers
from dynoform.logplex.http import LogSessions

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside the container; the service publishes on the platform address only
DRAIN_SECONDS = 3
REPORT_SECONDS = 60


class Receiver(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, server: "Logplex") -> None:
        """Lines go to ``server``."""
        self.server = server
        self.framer = log_lines.Framer()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender has come."""
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self.server.receivers.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come: file the complete lines in them."""
        try:
            messages = self.framer.feed(data)
        except log_lines.FrameError as error:
            self.server.journal.warning("sender without framing", error=error)
            if self.transport is not None:
                self.transport.abort()
            return
        received = datetime.now(UTC)
        for message in messages:
            self.server.receive(message, received)

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender has gone."""
        self.server.receivers.discard(self)


class Logplex:
    """The two listeners and what they share."""

    def __init__(self, journal: Journal, buffers: Buffers | None = None) -> None:
        """``buffers`` keep Heroku's number of lines unless given."""
        self.journal = journal
        self.buffers = Buffers() if buffers is None else buffers
        self.sessions = LogSessions(self.buffers)
        self.receivers: set[Receiver] = set()
        self.unreadable = 0
        self._servers: list[asyncio.Server] = []

    def receive(self, message: bytes, received: datetime) -> None:
        """File one message; what is not a log line of an app is counted."""
        known = False
        for line in log_lines.parse(message, received):
            known = True
            self.buffers.append(line.app_id, line.render())
        if not known:
            self.unreadable += 1

    async def start(self, address: str, syslog_port: int, http_port: int) -> tuple[int, int]:
        """Listen; returns the two ports (0 asks for any)."""
        loop = asyncio.get_running_loop()
        self._servers = [
            await loop.create_server(lambda: Receiver(self), address, syslog_port),
            await asyncio.start_server(self.sessions.serve, address, http_port),
        ]
        syslog, http = (int(server.sockets[0].getsockname()[1]) for server in self._servers)
        return syslog, http

    async def stop(self) -> None:
        """Take no new connection, read to the end what senders have sent, then close.

        Senders see our half-close, stop sending and keep what follows in their queues.
        """
        for server in self._servers:
            server.close()
        for receiver in self.receivers:
            if receiver.transport is not None and receiver.transport.can_write_eof():
                receiver.transport.write_eof()
        for _ in range(DRAIN_SECONDS * 20):
            if not self.receivers:
                break
            await asyncio.sleep(0.05)

    async def report(self) -> None:
        """Say now and then how many messages could not be filed."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if self.unreadable:
                self.journal.warning("messages that are no app's lines", number=self.unreadable)
                self.unreadable = 0


def run(configuration: Configuration) -> None:
    """Serve until SIGTERM. Raises ``UnavailableError`` when a port is taken."""
    try:
        asyncio.run(_serve(Journal("logplex")))
    except OSError as error:
        raise UnavailableError(
            f"ports {LOGPLEX_SYSLOG_PORT} and {LOGPLEX_HTTP_PORT}", f"cannot be listened on ({error})", "free them"
        ) from None


async def _serve(journal: Journal) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Logplex(journal)
    syslog, http = await server.start(ANY_ADDRESS, LOGPLEX_SYSLOG_PORT, LOGPLEX_HTTP_PORT)
    journal.info("listening", syslog=syslog, http=http)
    report = asyncio.create_task(server.report())
    await stopping.wait()
    report.cancel()
    await server.stop()
