"""The log plane: takes lines by RELP or as RFC 5424 over TCP, keeps the last ones of each app, hands them on.

One process, one event loop, no store: lines live in memory and in files, up to Heroku's number of them. It routes logs
and does not archive them.
"""

import asyncio
import json
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from dynoform.configuration import LOGPLEX_HTTP_PORT, LOGPLEX_SYSLOG_PORT, Configuration
from dynoform.domain import log_gaps, log_lines
from dynoform.domain.log_drains import Reach
from dynoform.domain.log_gaps import Gaps, Rotated
from dynoform.domain.log_lines import Line
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.logplex.buffers import Buffers
from dynoform.logplex.drains import Drains
from dynoform.logplex.files import Files
from dynoform.logplex.http import LogSessions
from dynoform.logplex.places import Connector
from dynoform.logplex.receivers import Receiver
from dynoform.logplex_tls import Identity

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside the container; the service publishes on the platform address only
DRAIN_SECONDS = 3
REPORT_SECONDS = 60


class Logplex:
    """The two listeners and what they share."""

    def __init__(self, journal: Journal, buffers: Buffers | None = None, connector: Connector | None = None) -> None:
        """``buffers`` keep Heroku's number of lines unless given; ``connector`` is drains' way out."""
        self.journal = journal
        self.buffers = Buffers() if buffers is None else buffers
        self.drains = Drains(self.buffers, connector or Connector(Reach()), journal)
        self.sessions = LogSessions(self.buffers, self.drains)
        self.gaps = Gaps()
        self.receivers: set[Receiver] = set()
        self.unreadable = 0
        self.lost = 0
        """Lines of dynos that never came."""
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    def receive(self, message: bytes, received: datetime, session: int) -> None:
        """File one message; what is not a log line of an app is counted. ``flush`` makes it safe."""
        known = False
        for line in log_lines.parse(message, received):
            known = True
            if line.source == log_lines.ROTATED:
                self._lost(line, self._rotated(line))
                continue
            if line.source == "app":
                self._lost(line, self.gaps.line(line.app_id, line.process, line.time))
            if session and line.place and not self.buffers.take(line.app_id, line.place, line.time, session):
                return
            self.buffers.append(line.app_id, line.render())
        if not known and log_lines.MARK not in message:
            self.unreadable += 1

    def _rotated(self, line: Line) -> list[Rotated]:
        try:
            return self.gaps.rotated(line.app_id, line.process, Rotated(**json.loads(line.text)))
        except (ValueError, TypeError):
            return []

    def _lost(self, line: Line, files: Iterable[Rotated]) -> None:
        for file in files:
            self.lost += file.lines
            text = log_gaps.lost(line.process, file)
            self.buffers.append(line.app_id, Line(line.app_id, "heroku", "logplex", line.time, text).render())

    def receive_all(self, messages: Sequence[bytes], session: int = 0) -> None:
        """File messages; when this returns, they outlive the process. ``session`` is 0 where none comes twice."""
        received = datetime.now(UTC)
        for message in messages:
            self.receive(message, received, session)
        self.buffers.flush()

    async def start(
        self, address: str, syslog_port: int, http_port: int, identity: Identity | None = None
    ) -> tuple[int, int]:
        """Listen; returns the two ports (0 asks for any). With an ``identity``, by TLS alone."""
        loop = asyncio.get_running_loop()
        for_senders = identity.for_all() if identity else None
        for_readers = identity.for_members() if identity else None
        self._servers = [
            await loop.create_server(lambda: Receiver(self), address, syslog_port, ssl=for_senders),
            await asyncio.start_server(self.sessions.serve, address, http_port, ssl=for_readers),
        ]
        self._tasks = [asyncio.create_task(work) for work in (self.report(), self.drains.keep())]
        syslog, http = (int(server.sockets[0].getsockname()[1]) for server in self._servers)
        return syslog, http

    async def stop(self) -> None:
        """Take no new connection, read to the end what senders have sent, then close.

        Senders see that we leave, stop sending and keep what follows in their queues.
        """
        for server in self._servers:
            server.close()
        for receiver in list(self.receivers):
            receiver.leave()
        for _ in range(DRAIN_SECONDS * 20):
            if not self.receivers:
                break
            await asyncio.sleep(0.05)
        for receiver in list(self.receivers):
            if receiver.transport is not None:
                receiver.transport.abort()
        for task in self._tasks:
            task.cancel()
        await self.drains.close()

    async def report(self) -> None:
        """Say now and then how many messages could not be filed, and drop what has become too old."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.buffers.expire(time.time())
            if self.unreadable:
                self.journal.warning("messages that are no app's lines", number=self.unreadable)
                self.unreadable = 0
            if self.lost:
                self.journal.warning("lines were lost on their hosts", number=self.lost)
                self.lost = 0


def run(configuration: Configuration) -> None:
    """Serve until SIGTERM. Raises ``UnavailableError`` when a port is taken."""
    try:
        asyncio.run(_serve(Journal("logplex"), configuration))
    except OSError as error:
        raise UnavailableError(
            f"ports {LOGPLEX_SYSLOG_PORT} and {LOGPLEX_HTTP_PORT}", f"cannot be listened on ({error})", "free them"
        ) from None


async def _serve(journal: Journal, configuration: Configuration) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    files = Files(configuration.lines, journal) if configuration.lines else None
    reach = Reach(configuration.own_addresses, configuration.drain_networks)
    connector = Connector(reach, configuration.drain_authorities)
    server = Logplex(journal, Buffers(files=files), connector)
    identity = Identity.of(configuration)
    syslog, http = await server.start(ANY_ADDRESS, LOGPLEX_SYSLOG_PORT, LOGPLEX_HTTP_PORT, identity)
    journal.info("listening", syslog=syslog, http=http, tls=identity is not None, apps=len(server.buffers))
    await stopping.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * DRAIN_SECONDS):
            await server.stop()
