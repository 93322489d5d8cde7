"""Where requests go that HAProxy holds: its worker asks here for an app, and gets an answer when a dyno takes traffic.

The question wakes the app, if it sleeps. Nothing is lost with this process: HAProxy asks again.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from dynoform.domain import routes
from dynoform.domain.retries import pause
from dynoform.domain.routes import AppRoute, Routes, Server
from dynoform.errors import DynoformError
from dynoform.journal import Journal

SOCKET = "gate.sock"
MOST = 200
"""Requests of one app that wait at a time; Heroku's router takes as many for each dyno (H11)."""
WAKE_SECONDS = 5.0
"""A waiting app is told to wake so often."""
_ANYBODY = 0o666
"""Only router and agent see the directory; their users differ where tests run."""
_CODES = {routes.CRASHED: "H10", routes.NO_DYNOS: "H14", routes.MAINTENANCE: "H80"}
_GONE, _TOO_MANY, _TIMEOUT = "H14", "H11", "H20"


def answers(route: AppRoute | None) -> tuple[str, ...]:
    """What an app's held requests are told, one of these; nothing while they wait."""
    if route is None:
        return (_GONE,)
    if route.backend == routes.HELD:
        return ()
    code = _CODES.get(route.backend)
    return (code,) if code else tuple(map(_up, route.servers))


class Gate:
    """Answers as soon as the agent knows. ``start`` and what it serves belong to one event loop."""

    def __init__(self, wake: Callable[[UUID], None], journal: Journal, seconds: float = routes.HOLD_SECONDS) -> None:
        """``wake`` asks the store, in a thread, to have an app woken; ``seconds`` is how long a request waits."""
        self._wake, self._journal, self._seconds = wake, journal, seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._routes: Routes | None = None
        self._waiting: dict[str, set[asyncio.Future[str]]] = defaultdict(set)
        self._waking: dict[str, asyncio.Task[None]] = {}

    async def start(self, folder: Path) -> str:
        """Listen in the directory that is shared with HAProxy; returns the socket's path. Raises ``OSError``."""
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_unix_server(self._serve, path)
        path.chmod(_ANYBODY)
        return str(path)

    def tell(self, wanted: Routes) -> None:
        """These are the routes now: let go whom they say something. From any thread."""
        self._routes = wanted
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._let_go)

    def _told(self, app: str) -> tuple[str, ...]:
        return answers(self._routes.apps.get(UUID(app))) if self._routes else ()

    def _let_go(self) -> None:
        for app, waiting in list(self._waiting.items()):
            told = self._told(app)
            for future in waiting:
                if told and not future.done():
                    future.set_result(_one_of(told))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, ValueError):  # HAProxy is gone, or it was not HAProxy
                app = str(UUID((await reader.readline()).decode(errors="replace").strip()))
                answer = await self._answer(app, reader)
                writer.write(f"{answer}\n".encode())
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, app: str, reader: asyncio.StreamReader) -> str:
        """What the request is told; it waits for that no longer than it is there itself."""
        told = self._told(app)
        if told:
            return _one_of(told)
        if len(self._waiting[app]) >= MOST:
            return _TOO_MANY
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(reader.read(1))
        self._waiting[app].add(answer)
        try:
            if app not in self._waking:
                self._waking[app] = asyncio.ensure_future(self._keep_waking(app))
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else _TIMEOUT
        finally:
            gone.cancel()
            self._waiting[app].discard(answer)
            if not self._waiting[app]:
                del self._waiting[app]
                self._waking.pop(app).cancel()

    async def _keep_waking(self, app: str) -> None:
        failures = 0
        while True:
            try:
                await asyncio.to_thread(self._wake, UUID(app))
                failures = 0
                wait = WAKE_SECONDS
            except (DynoformError, SQLAlchemyError) as error:
                self._journal.warning("app cannot be woken", app=app, error=error)
                wait = pause(failures)
                failures += 1
            await asyncio.sleep(wait)


def _up(server: Server) -> str:
    return f"up {server.address} {server.port} {server.dyno}"


def _one_of(told: tuple[str, ...]) -> str:
    return random.choice(told)  # noqa: S311 - of dynos
