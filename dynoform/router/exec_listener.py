"""Where ``heroku ps:exec`` connects to. The SSH library comes into memory with the first client, not before."""

import asyncio
import importlib
import socket
from typing import Any

from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.router.rendezvous import Relay, keep_alive

MOST = 256
"""Connections at a time; the CLI makes one for each connection that ``ps:forward`` and ``ps:socks`` carry."""
_BACKLOG = 64
_SERVER = "dynoform.router.exec_server"


class ExecListener:
    """One listening socket, and its connections."""

    def __init__(self, configuration: Configuration, relay: Relay, journal: Journal) -> None:
        """``relay`` is where the runtime agents of dynos are met."""
        self._configuration, self._relay, self._journal = configuration, relay, journal
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._server: Any = None

    async def start(self, address: str, port: int) -> int:
        """Take clients at this address and port (0 asks for any); returns the port. Raises ``OSError``."""
        listening = socket.create_server((address, port), backlog=_BACKLOG)
        listening.setblocking(False)
        self._spawn(self._accept(listening))
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Take nobody any more, and hang up on all."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError as error:  # no descriptors are left, or the client has gone again
                    self._journal.warning("exec cannot accept", error=error)
                    await asyncio.sleep(1)
                    continue
                if len(self._tasks) > MOST:
                    connection.close()
                    continue
                self._spawn(self._guest(connection))

    async def _guest(self, connection: socket.socket) -> None:
        with connection:
            keep_alive(connection)
            server = await self._loaded()
            await server.serve(connection)

    async def _loaded(self) -> Any:
        async with self._lock:
            if self._server is None:
                module = await asyncio.to_thread(importlib.import_module, _SERVER)
                doors = module.Doors(self._configuration, self._relay)
                self._server = module.ExecServer(self._configuration, doors, self._journal)
            return self._server
