"""How lines go out: over syslog's TCP, or in HTTPS requests. One sender per drain, with one connection."""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from dynoform.domain import drain_frames, log_drains, otlp, retries
from dynoform.domain.drain_frames import Window
from dynoform.domain.log_drains import Target
from dynoform.logplex.places import Connection, Connector, hang_up

SECONDS = 15.0
"""For one request and its answer: a receiver that answers byte by byte is as good as dead."""
SYSLOG_IDLE, HTTPS_IDLE = 240.0, 144.0
"""Seconds that a connection is kept without a line (Heroku's Logplex: ``tcp_drain_idle``, ``http_drain_idle``)."""
_TLS_PORT = 6514
_MAXIMUM_ANSWER = 64 * 1024


class RejectedError(Exception):
    """The receiver will not take this request, however often it gets it. The text is why."""

    def __init__(self, why: str, number: int) -> None:
        """``number`` is how many lines were in it."""
        super().__init__(why)
        self.number = number


class UnwillingError(OSError):
    """The receiver did not take this request now. The text is why."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        """``seconds`` is how long it asks to be let alone."""
        super().__init__(why)
        self.seconds = seconds


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    retry_after: str = ""


@dataclass(frozen=True)
class Batch:
    """Lines that wait for a drain."""

    run: str
    """What their numbers are of."""
    first: int
    """The number of the first line of the app's."""
    lines: Sequence[bytes]
    """At least one of the app's, after the drain's own."""
    own: int = 0
    """How many of ``lines``, the first ones, come before those that are due: L12s that were, and an L10."""
    dropped: int = 0
    """What that says."""


class Sender(Protocol):
    """Sends frames, and keeps a connection for the next one."""

    idle: float
    """Seconds after which ``close`` ends a connection that nothing was sent over."""

    async def send(self, batch: Batch) -> int:
        """Send as many of the lines as go at once; returns how many. Raises ``OSError``, or ``RejectedError``."""

    def close(self) -> None:
        """Hang up."""


class SyslogSender:
    """``syslog://`` and ``syslog+tls://``: octet-counted frames (RFC 6587, RFC 5425)."""

    idle = SYSLOG_IDLE

    def __init__(self, target: Target, connector: Connector) -> None:
        """Connects with the first line."""
        parts = urlsplit(target.url)
        self._tls = parts.scheme == "syslog+tls"
        self._place = (parts.hostname or "", parts.port or _TLS_PORT)
        self._token = target.token
        self._connector = connector
        self._connection: Connection | None = None

    async def send(self, batch: Batch) -> int:
        """Hand lines to the kernel, and wait until it has them but for a few."""
        try:
            async with asyncio.timeout(SECONDS):
                if self._connection is not None and self._connection[0].at_eof():
                    self.close()
                if self._connection is None:
                    self._connection = await self._connector.open(*self._place, tls=self._tls)
                frames = drain_frames.cut(batch.lines, self._token)
                _, writer = self._connection
                writer.write(b"".join(frames))
                await writer.drain()
        except BaseException:
            self.close()
            raise
        return len(frames)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection[1].close()  # what the kernel has not taken yet still goes
            self._connection = None


class HttpsSender:
    """``https://``: requests of type ``application/logplex-1``, or OTLP's; an answer of 2xx is the receipt."""

    idle = HTTPS_IDLE

    def __init__(self, target: Target, connector: Connector) -> None:
        """Connects with the first line."""
        self._target = target
        parts = urlsplit(target.url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        path = parts.path or "/"
        if target.otlp:
            path = otlp.path(path)
        self._path = f"{path}?{parts.query}" if parts.query else path
        self._headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "Logplex/v73", **dict(target.headers)}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        self._connector = connector
        self._connection: Connection | None = None

    async def send(self, batch: Batch) -> int:
        """One request. A connection that the receiver closed meanwhile is made anew, once."""
        number, headers, body = self._content(batch)
        try:
            async with asyncio.timeout(SECONDS):
                status, later = await self._request(self._headers | headers, body)
        except BaseException:
            self.close()
            raise
        if 200 <= status < 300:
            return number
        if status in {408, 425, 429} or status >= 500:
            asked = retries.retry_after(later, datetime.now(UTC))
            raise UnwillingError(f"HTTP status {status}", log_drains.patience(asked))
        raise RejectedError(f"HTTP status {status}", number)

    def close(self) -> None:
        """Hang up."""
        hang_up(self._connection)
        self._connection = None

    def _content(self, batch: Batch) -> tuple[int, dict[str, str], bytes]:
        frames = drain_frames.cut(batch.lines, drain_frames.HTTPS_HOST)
        if self._target.otlp:
            lines = batch.lines[: len(frames)]
            observed = time.time_ns()
            body = otlp.request(lines, self._target.app_id, self._target.app_name, observed)
            return len(lines), {"Content-Type": "application/json"}, body
        window = Window(batch.first, batch.first + len(frames) - batch.own - 1, batch.dropped)
        headers = {
            "Content-Type": "application/logplex-1",
            "Logplex-Msg-Count": str(len(frames)),
            "Logplex-Frame-Id": drain_frames.frame_id(self._target.token, batch.run, window),
            "Logplex-Drain-Token": self._target.token,
        }
        return len(frames), headers, b"".join(frames)

    async def _request(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._connection is not None:
            try:
                return await self._exchange(self._connection, headers, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
        self._connection = await self._connector.open(self._host, self._port, tls=True)
        return await self._exchange(self._connection, headers, body)

    async def _exchange(self, connection: Connection, headers: Mapping[str, str], body: bytes) -> Answer:
        import h11  # only who has such a drain pays for its memory

        reader, writer = connection
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAXIMUM_ANSWER)
        fields = [*headers.items(), ("Content-Length", str(len(body)))]
        request = h11.Request(method="POST", target=self._path, headers=fields)
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(parser.send(event) or b"")
        await writer.drain()
        answer, size = Answer(0), 0
        while True:
            try:
                found = parser.next_event()
            except h11.RemoteProtocolError:
                raise UnwillingError("its answer is no HTTP") from None
            if found is h11.NEED_DATA:
                data = await reader.read(65536)
                if not data and not answer.status:
                    raise ConnectionResetError("no answer")
                size += len(data)
                parser.receive_data(data)
            elif isinstance(found, h11.Response):
                answer = Answer(found.status_code, dict(found.headers).get(b"retry-after", b"").decode("latin-1"))
            elif isinstance(found, h11.EndOfMessage | h11.ConnectionClosed) or size > _MAXIMUM_ANSWER:
                break
        if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
            self.close()
        return answer


def sender(target: Target, connector: Connector) -> Sender:
    """The sender for a drain's URL."""
    if urlsplit(target.url).scheme == "https":
        return HttpsSender(target, connector)
    return SyslogSender(target, connector)
