"""A real log plane in a thread, which can go away and come back as its service does: without its lines."""

import asyncio
import threading
from datetime import UTC, datetime

from dynoform.domain import log_lines
from dynoform.journal import Journal
from dynoform.logplex.buffers import Buffers
from dynoform.logplex.server import Logplex

LOCAL = "127.0.0.1"


class Plane:
    """Listens on ``port`` of the loopback for readers; lines are given to it directly."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.start()

    def start(self) -> None:
        """A new one, with empty buffers."""
        self.buffers = Buffers()
        self.loop = asyncio.new_event_loop()
        self.server = Logplex(Journal("logplex"), self.buffers)
        self.loop.run_until_complete(self.server.start(LOCAL, 0, self.port))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End it as a kill does: its readers' connections break."""

        async def end() -> None:
            await self.server.stop()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def write(self, app_id: str, *texts: str, process: str = "web.1", source: str = "app") -> None:
        """File lines, all of the same moment."""
        moment = datetime.now(UTC)
        lines = [log_lines.frame(app_id, source, process, text, moment).partition(b" ")[2] for text in texts]

        async def file() -> None:
            for line in lines:
                self.server.receive(line, moment)

        asyncio.run_coroutine_threadsafe(file(), self.loop).result(20)

    def readers(self, app_id: str) -> int:
        """How many follow the app now."""
        return len(self.buffers._followers.get(app_id, ()))
