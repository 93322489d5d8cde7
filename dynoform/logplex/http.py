"""The log plane's HTTP side, for the API only: an app's last lines and those to come, as chunked text; the drains.

``GET /apps/<uuid>/lines?num=100&tail=1&source=app&dyno=web.1`` and ``GET /health``. One request per connection, but for
``PUT /drains``: its body is all drains there are, and who sent it stays, to notice when another log plane needs it.

With ``ids=1`` each line begins with an id and a space (``-`` for a line that is not the app's), and a tail with nothing
to say sends an empty line now and then. ``after=<id>`` asks for all lines after that one, whatever ``num`` says.
"""

import asyncio
import json
import re
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from dynoform.domain import log_lines
from dynoform.domain.log_drains import Target
from dynoform.logplex.buffers import HISTORY, Buffers, Numbered
from dynoform.logplex.drains import Drains
from dynoform.logplex.tail import Tail, overflow

REQUEST_SECONDS = 10
WRITE_SECONDS = 120
"""A reader that takes nothing for this long is gone."""
PULSE_SECONDS = 15
"""How often a tail shows that it is alive."""
_PATH = re.compile(r"/apps/([0-9a-fA-F-]{36})/lines")
_ID = re.compile(r"([0-9a-f]{8})-(\d{1,18})")
_WRITE_BUFFER = 64 * 1024


class LogSessions:
    """Answers requests from the buffers."""

    def __init__(self, buffers: Buffers, drains: Drains) -> None:
        """``buffers`` are shared with the syslog side, in the same event loop."""
        self.buffers = buffers
        self.drains = drains

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end; whatever the client does ends only this one."""
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
            while request.startswith(b"PUT /drains "):
                await self._take_drains(request, reader, writer)
                request = await reader.readuntil(b"\r\n\r\n")
            await self._answer(request, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            writer.transport.abort()

    async def _answer(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, _, rest = request.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        match = _PATH.fullmatch(target.path)
        if method != "GET":
            await _reply(writer, "405 Method Not Allowed", "only GET is served here\n")
        elif target.path == "/health":
            counts = f"apps={len(self.buffers)} bytes={self.buffers.bytes} drains={len(self.drains)}"
            await _reply(writer, "200 OK", f"ok {counts}\n")
        elif match is None or (app_id := log_lines.canonical_id(match[1])) is None:
            await _reply(writer, "404 Not Found", "no such page: use /apps/<uuid>/lines\n")
        else:
            await self._lines(app_id, parse_qs(target.query), reader, writer)

    async def _take_drains(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = re.search(rb"(?i)\r\ncontent-length: *(\d{1,9})\r\n", request)
        async with asyncio.timeout(REQUEST_SECONDS):
            body = await reader.readexactly(int(length[1]) if length else 0)
        try:
            told = json.loads(body)
            targets = [Target(**each | {"headers": tuple(map(tuple, each["headers"]))}) for each in told["drains"]]
        except (ValueError, TypeError, KeyError):
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        self.drains.apply(str(told["version"]), targets)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async def _lines(
        self, app_id: str, query: dict[str, list[str]], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        def value(name: str, default: str = "") -> str:
            return query.get(name, [default])[0]

        wanted = log_lines.Filter(value("source"), value("dyno")).pattern()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        run = self.buffers.run if value("ids") == "1" else ""
        tail = Tail(wanted)
        following = value("tail") in {"1", "true"}
        if following:
            self.buffers.follow(app_id, tail.put)  # before the last lines are sent: none falls between
        try:
            await _send(writer, self._kept(app_id, value("num", "100"), value("after"), wanted), run)
            if following:
                await _until_closed(reader, _follow(tail, writer, run))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            self.buffers.leave(app_id, tail.put)

    def _kept(self, app_id: str, number: str, after: str, wanted: re.Pattern[bytes] | None) -> list[Numbered]:
        """The lines that a reader begins with."""
        last_read = _ID.fullmatch(after)
        if last_read is None:
            return self.buffers.last(app_id, min(int(number), HISTORY) if number.isdecimal() else 100, wanted)
        if last_read[1] != self.buffers.run:
            return self.buffers.last(app_id, HISTORY, wanted)  # of another run: all that came since are new
        read = int(last_read[2])
        missing = self.buffers.missing(app_id, read)
        return [*([overflow(missing)] if missing else []), *self.buffers.after(app_id, read, wanted)]


async def _follow(tail: Tail, writer: asyncio.StreamWriter, run: str) -> None:
    while True:
        try:
            async with asyncio.timeout(PULSE_SECONDS if run else None):
                lines = await tail.take()
        except TimeoutError:
            lines = []
        await _send(writer, lines, run, pulse=True)


async def _until_closed(reader: asyncio.StreamReader, work: Coroutine[None, None, None]) -> None:
    """Do ``work`` until the client hangs up (a reader of nothing else would never be noticed leaving)."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(reader.read(1))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _send(writer: asyncio.StreamWriter, lines: Iterable[Numbered], run: str, *, pulse: bool = False) -> None:
    text = b"".join(_rendered(each, run) for each in lines) or (b"\n" if pulse else b"")
    if text:
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        async with asyncio.timeout(WRITE_SECONDS):
            await writer.drain()


def _rendered(numbered: Numbered, run: str) -> bytes:
    if not run:
        return b"%s\n" % numbered.line
    identifier = "-" if numbered.number is None else f"{run}-{numbered.number}"
    return b"%s %s\n" % (identifier.encode(), numbered.line)


async def _reply(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()
