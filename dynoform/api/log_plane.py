"""Reading an app's log from the log plane: lines with their ids, and a tail that goes on after either side was away."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from dynoform import logplex_tls
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.store.session import pause

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 5
_HANG_UP_SECONDS = 5
_SILENCE_SECONDS = 60
"""A tail that shows no sign of life for this long is broken: the log plane gives one every 15 seconds."""


class Line(NamedTuple):
    """A line of an app's log; ``id`` is what to go on after, empty for a line that is no app's (an L11)."""

    id: str
    text: str


class LogPlane:
    """The log plane's HTTP side. Nothing is loaded before the first reader comes; all share one client."""

    def __init__(self, address: str, journal: Journal, context: Callable[[], ssl.SSLContext | None]) -> None:
        """``address`` is ``host:port``; ``context`` is how to speak TLS there, None: not at all."""
        self._address = address
        self._context = context
        self._journal = journal
        self._client: httpx.AsyncClient | None = None

    def reader(self, app_id: str, wanted: Mapping[str, object]) -> "Reader":
        """For ``num``, ``tail``, ``source``, ``dyno`` and ``after``, as the log plane knows them; None is left out."""
        return Reader(self, app_id, {name: str(value) for name, value in wanted.items() if value is not None})

    async def close(self) -> None:
        """Hang up, if there was ever a connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, path: str, parameters: Mapping[str, str]) -> "httpx.Response":
        """The beginning of an answer, its body unread. Raises ``UnavailableError``."""
        import httpx  # only who reads logs pays for its memory

        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
            context = self._context()
            # Without TLS a context is never used, and reading the system's authorities would take time and memory.
            verify = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            url = f"{'https' if context else 'http'}://{self._address}"
            self._client = httpx.AsyncClient(
                base_url=url, limits=limits, timeout=timeout, verify=verify, trust_env=False
            )
        try:
            request = self._client.build_request("GET", path, params=dict(parameters))
            request.extensions["sni_hostname"] = logplex_tls.NAME
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            self._journal.warning("logplex does not answer", error=error or type(error).__name__)
            raise UnavailableError("The log plane", "does not answer", "try again in a few seconds") from None
        if response.status_code != 200:
            await response.aclose()
            self._journal.warning("logplex refused", status=response.status_code)
            raise UnavailableError("The log plane", "refused to give the lines", "try again in a few seconds")
        return response


class Reader:
    """One reader of one app's lines, who knows how far he has read."""

    def __init__(self, plane: LogPlane, app_id: str, wanted: Mapping[str, str]) -> None:
        """``wanted`` are the log plane's parameters."""
        self._plane = plane
        self._path = f"/apps/{app_id}/lines"
        self._wanted = {"after": "", **wanted, "ids": "1"}
        self._response: httpx.Response | None = None

    async def connect(self) -> None:
        """Connect, after what has been read. Raises ``UnavailableError``."""
        self._response = await self._plane.get(self._path, self._wanted)

    async def batches(self) -> AsyncGenerator[list[Line], None]:
        """Lines as they come, none now and then; a tail has no end and takes up again what broke off."""
        failures = 0
        while True:
            if self._response is None:
                with suppress(UnavailableError):
                    await self.connect()
            if self._response is not None:
                async with aclosing(self._read(self._response)) as read:
                    async for batch in read:
                        failures = 0
                        yield batch
            if self._wanted.get("tail") != "1":
                return
            yield []
            await asyncio.sleep(pause(failures))
            failures += 1

    async def _read(self, response: "httpx.Response") -> AsyncGenerator[list[Line], None]:
        import httpx

        rest = ""
        try:
            async for text in response.aiter_text():
                *lines, rest = (rest + text).split("\n")
                batch = [_parse(line) for line in lines if line]
                self._wanted["after"] = next((line.id for line in reversed(batch) if line.id), self._wanted["after"])
                yield batch
        except httpx.HTTPError:
            return  # the log plane went away
        finally:
            self._response = None
            await response.aclose()


def _parse(line: str) -> Line:
    identifier, _, text = line.partition(" ")
    return Line("" if identifier == "-" else identifier, text)


async def until(
    batches: AsyncGenerator[list[Line], None], stopping: asyncio.Event, moment: float
) -> AsyncGenerator[list[Line], None]:
    """What comes until ``stopping`` is set or ``moment`` (seconds since the epoch) has come."""
    stop = asyncio.create_task(stopping.wait())
    coming: asyncio.Future[Any] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(batches, None))
            left = max(0, moment - time.time())
            await asyncio.wait({coming, stop}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() or (batch := coming.result()) is None:
                return
            yield batch
    finally:
        # When the client has left, Starlette cancels this again and again: hanging up must not be cancelled with it.
        with anyio.move_on_after(_HANG_UP_SECONDS, shield=True):
            for task in (stop, coming):
                if task is not None and not task.done():
                    task.cancel()
                    await asyncio.wait({task})
            await batches.aclose()
