"""Tells the log plane which drains there are: at once when one changes, and whenever there is another log plane.

The log plane keeps none of their URLs on disk, so it has to be told anew after it was started.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NamedTuple

import anyio.to_thread

from dynoform import logplex_tls
from dynoform.api.services import Services
from dynoform.domain.log_drains import Target
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import drain_targets
from dynoform.store.session import DRAINS, pause

LOOK_SECONDS = 30.0
"""How often drains are looked at without word of a change: an app that is deleted takes its drains along unsaid."""
_SECONDS = 10.0


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class DrainFeed:
    """One connection to the log plane, for as long as that lives."""

    def __init__(self, services: Services) -> None:
        """Uses the services' store in a thread of its own."""
        self._services = services
        self._connection: _Connection | None = None
        self._told = ""
        self._threads = anyio.CapacityLimiter(1)

    async def run(self) -> None:
        """Tell until cancelled."""
        failures = 0
        with self._services.wakers.subscribe(DRAINS) as wake:
            try:
                while True:
                    wake.clear()
                    try:
                        await self._tell()
                        failures = 0
                    except (DynoformError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                        self._failed(error, failures)
                        failures += 1
                    except Exception as error:  # noqa: BLE001 - else no drain would change any more, unseen
                        self._services.journal.exception("drains are not told", error)
                        self._hang_up()
                        failures += 1
                    await self._wait(wake, pause(failures) if failures else LOOK_SECONDS)
            finally:
                self._hang_up()

    async def _tell(self) -> None:
        targets = await anyio.to_thread.run_sync(
            lambda: drain_targets.all_of(self._services.store, self._services.vault), limiter=self._threads
        )
        version = _version(targets)
        if self._connection is not None and self._connection.reader.at_eof():
            self._hang_up()
        if self._connection is not None and version == self._told:
            return
        async with asyncio.timeout(_SECONDS):
            if self._connection is None:
                self._connection = await self._connect()
            body = json.dumps({"version": version, "drains": [asdict(target) for target in targets]}).encode()
            head = f"PUT /drains HTTP/1.1\r\nHost: logplex\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            reader, writer = self._connection
            writer.write(head + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 204 "):
            raise UnavailableError("The log plane", "did not take the drains", "look at its log")
        self._told = version
        self._services.journal.info("drains told", number=len(targets))

    async def _connect(self) -> _Connection:
        configuration = self._services.configuration
        context = logplex_tls.client(configuration, member=True)
        return _Connection(
            *await asyncio.open_connection(
                configuration.platform_address,
                self._services.logplex_port,
                ssl=context,
                server_hostname=logplex_tls.NAME if context else None,
            )
        )

    async def _wait(self, wake: asyncio.Event, seconds: float) -> None:
        """Until there is something to tell: a change, a log plane that has gone, or some time."""
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(wake.wait())]
        if self._connection is not None:
            waiting.append(asyncio.ensure_future(self._connection.reader.read(1)))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _failed(self, error: Exception, failures: int) -> None:
        self._hang_up()
        if failures == 1:  # a log plane that is being started anew is no news
            self._services.journal.warning("drains are not told", error=error or type(error).__name__)

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.writer.transport.abort()
            self._connection = None


def _version(targets: Sequence[Target]) -> str:
    return hashlib.sha256(repr(targets).encode()).hexdigest()
