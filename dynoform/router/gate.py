"""Where requests go that HAProxy holds: its worker asks here for an app, and gets an answer when a dyno takes traffic.

The question wakes the app, if it sleeps. When it is about dynos that HAProxy could not connect to, they are tried, at
growing intervals, once for all who wait. Nothing is lost with this process: HAProxy asks again.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from dynoform.domain import routes
from dynoform.domain.retries import pause
from dynoform.domain.routes import AppRoute, Routes, Server
from dynoform.errors import DynoformError
from dynoform.journal import Journal

SOCKET = "gate.sock"
DOWN = "down"
"""Said after an app's id: HAProxy has connected to none of the dynos that it knows."""
MOST = 200
"""Requests of one app that wait at a time, for each dyno that it has; Heroku's router takes as many (H11)."""
PROBE_SECONDS, LONGEST_PROBE_SECONDS = 0.1, 2.0
"""Between two tries of dynos that are down: at first, and after some turns; and how long one try may take."""
WAKE_SECONDS = 5.0
"""A waiting app is told to wake so often."""
MOST_TRIED = 10
"""Dynos of an app that are tried at a time."""
_ANYBODY = 0o666
"""Only router and agent see the directory; their users differ where tests run."""
_CODES = {routes.CRASHED: "H10", routes.NO_DYNOS: "H14", routes.MAINTENANCE: "H80"}
_GONE, _TOO_MANY, _BOOT_TIMEOUT, _NONE_CONNECTED = "H14", "H11", "H20", "H99"
_UP = "up "


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
        self._waiting: dict[str, dict[asyncio.Future[str], tuple[str, ...]]] = defaultdict(dict)
        """App id → who waits, and the dynos that one knows to be down."""
        self._keepers: dict[str, asyncio.Task[None]] = {}

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
            for future, down in waiting.items():
                if told and told != down and not future.done():
                    future.set_result(_one_of(told))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, ValueError):  # HAProxy is gone, or it was not HAProxy
                name, _, state = (await reader.readline()).decode(errors="replace").strip().partition(" ")
                answer = await self._answer(str(UUID(name)), reader, are_down=state == DOWN)
                writer.write(f"{answer}\n".encode())
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, app: str, reader: asyncio.StreamReader, *, are_down: bool) -> str:
        """What the request is told; it waits for that no longer than it is there itself."""
        told = self._told(app)
        down = told if are_down and told and told[0].startswith(_UP) else ()
        if told and not down:
            return _one_of(told)
        if len(self._waiting[app]) >= MOST * max(1, len(down)):
            return _TOO_MANY
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(reader.read(1))
        self._waiting[app][answer] = down
        try:
            if app not in self._keepers:
                self._keepers[app] = asyncio.ensure_future(self._keep(app))
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else _NONE_CONNECTED if down else _BOOT_TIMEOUT
        finally:
            gone.cancel()
            del self._waiting[app][answer]
            if not self._waiting[app]:
                del self._waiting[app]
                self._keepers.pop(app).cancel()

    async def _keep(self, app: str) -> None:
        """While anybody waits: wake the app, or, when it has dynos that are down, look whether one is there again."""
        failures = tries = 0
        while True:
            told = self._told(app)
            if told and told[0].startswith(_UP):
                some = random.sample(told, min(len(told), MOST_TRIED))
                await asyncio.gather(*(self._try(app, up) for up in some))
                wait = min(PROBE_SECONDS * 2**tries, LONGEST_PROBE_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
                tries += 1
            else:
                failures = 0 if await self._woke(app) else failures + 1
                wait = pause(failures - 1) if failures else WAKE_SECONDS
                tries = 0
            await asyncio.sleep(wait)

    async def _try(self, app: str, up: str) -> None:
        """Send all who wait to this dyno if it can be connected to."""
        _, address, port, _ = up.split()
        try:
            async with asyncio.timeout(LONGEST_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(address, int(port))
        except OSError:  # a timeout is one
            return
        writer.close()
        for future in self._waiting[app]:
            if not future.done():
                future.set_result(up)

    async def _woke(self, app: str) -> bool:
        try:
            await asyncio.to_thread(self._wake, UUID(app))
        except (DynoformError, psycopg.Error) as error:
            self._journal.warning("app cannot be woken", app=app, error=error)
            return False
        return True


def _up(server: Server) -> str:
    return f"{_UP}{server.address} {server.port} {server.dyno}"


def _one_of(told: tuple[str, ...]) -> str:
    return random.choice(told)  # noqa: S311 - of dynos
