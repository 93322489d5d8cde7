"""A real log plane in a thread, which can go away and come back as its service does."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

from dynoform.domain import log_lines
from dynoform.domain.log_drains import Target
from dynoform.journal import Journal
from dynoform.logplex.buffers import HISTORY, Buffers
from dynoform.logplex.files import Files
from dynoform.logplex.places import Connector
from dynoform.logplex.server import Logplex
from dynoform.logplex_tls import Identity
from tests.postgres import free_port

LOCAL = "127.0.0.1"


class Plane:
    """Listens on ``port`` of the loopback for readers; lines are given to it directly."""

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        connector: Connector | None = None,
        identity: Identity | None = None,
        history: int = HISTORY,
    ) -> None:
        # Ports of its own: one that the system gives may be another's by the time that it starts again.
        self.port, self.syslog = port or free_port(), free_port()
        self.folder, self.connector, self.identity, self.history = folder, connector, identity, history
        self.start()

    def start(self) -> None:
        """A new one, with the lines that are in its folder, or none."""
        journal = Journal("logplex")
        files = Files(self.folder, journal) if self.folder else None
        self.buffers = Buffers(self.history, files=files)
        self.loop = asyncio.new_event_loop()
        self.server = Logplex(journal, self.buffers, self.connector)
        ports = self.server.start(LOCAL, self.syslog, self.port, self.identity)
        self.loop.run_until_complete(ports)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self, *, kill: bool = False) -> None:
        """End it: its readers' connections break. ``kill``: those of senders as well, whatever they have sent."""

        async def end() -> None:
            if kill:
                for receiver in [*self.server.receivers]:
                    assert receiver.transport is not None
                    receiver.transport.abort()
            await self.server.stop()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()

    def write(self, app_id: str, *texts: str, process: str = "web.1", source: str = "app") -> None:
        """File lines, all of the same moment."""
        moment = datetime.now(UTC)
        lines = [log_lines.frame(app_id, source, process, text, moment).partition(b" ")[2] for text in texts]

        async def file() -> None:
            self.server.receive_all(lines)

        asyncio.run_coroutine_threadsafe(file(), self.loop).result(60)

    def apply(self, *targets: Target) -> None:
        """Have these drains."""

        async def tell() -> None:
            self.server.drains.apply(str([*targets]), targets)

        asyncio.run_coroutine_threadsafe(tell(), self.loop).result(60)

    def texts(self, app_id: str) -> list[str]:
        """The app's lines without time and place."""

        async def look() -> list[bytes]:
            return [line for _, line in self.buffers.last(app_id, self.history)]

        lines = asyncio.run_coroutine_threadsafe(look(), self.loop).result(60)
        return [line.decode().partition("]: ")[2] for line in lines]

    def readers(self, app_id: str) -> int:
        """How many follow the app now."""
        return len(self.buffers._followers.get(app_id, ()))
