"""The rendezvous relay: brings the client of ``heroku run`` and its dyno together, by a secret that works once.

It stands beside the router agent on each router host, outside HAProxy: a reload there ends connections after an hour,
and this process has neither the engine nor root. Clients come by TLS on the listen addresses, runtime agents on the
platform's address, which neither dynos nor the outside reach. The SSH server of ``heroku ps:exec`` is a client from
within this process.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from dynoform.domain import rendezvous
from dynoform.errors import ConfigurationError
from dynoform.journal import Journal

HELLO_SECONDS = 10.0
MOST_WAITING = 256
"""Connections that have not met their other side; more are refused, as nobody has been identified yet."""
_CHUNK = 64 * 1024
_DIGEST_LENGTH = 64


class Meeting:
    """The two sides of one attachment; each is there from when its future is done."""

    def __init__(self) -> None:
        """Nobody is there."""
        loop = asyncio.get_running_loop()
        self.client: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
        self.dyno: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
        self.deadline: asyncio.Timeout | None = None

    def touch(self) -> None:
        """Bytes have passed: the hour without any begins anew."""
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + rendezvous.IDLE_SECONDS)

    def close(self) -> None:
        """Hang up on both."""
        for side in (self.client, self.dyno):
            if side.done() and not side.cancelled():
                side.result().close()
            else:
                side.cancel()


class Relay:
    """The two listeners and who waits at them."""

    def __init__(self, journal: Journal, meeting_seconds: float = rendezvous.MEETING_SECONDS) -> None:
        """``meeting_seconds`` is how long a client waits for its dyno."""
        self.journal = journal
        self.meeting_seconds = meeting_seconds
        self._meetings: dict[str, Meeting] = {}
        self._waiting = 0
        self._servers: list[asyncio.Server] = []
        self._context: ssl.SSLContext | None = None
        self._joined: set[asyncio.Task[None]] = set()

    async def start(self, clients: tuple[list[str], int], dynos: tuple[str, int], certificate: Path) -> tuple[int, int]:
        """Take clients and dynos' sides at these addresses and ports (0 asks for any); returns the two ports.

        Raises ``OSError`` when one cannot be listened on, ``ConfigurationError`` when the certificate is of no use.
        """
        context = self._context = _context(certificate)
        context.sni_callback = self._choose
        try:
            self._servers.append(
                await asyncio.start_server(
                    self._client, clients[0], clients[1], ssl=context, ssl_handshake_timeout=HELLO_SECONDS
                )
            )
            self._servers.append(await asyncio.start_server(self._dyno, *dynos))
        except OSError:
            self.stop()
            raise
        outer, inner = (int(server.sockets[0].getsockname()[1]) for server in self._servers)
        return outer, inner

    def renew(self, certificate: Path) -> None:
        """Show another certificate to all who come from now on. Raises ``ConfigurationError`` as ``start`` does."""
        self._context = _context(certificate)

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        """Of the two contexts, the present one: called in each handshake."""
        if self._context is not None:
            connection.context = self._context

    def stop(self) -> None:
        """Take nobody any more, and hang up on all."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for meeting in self._meetings.values():
            meeting.close()

    async def join(self, secret: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Be the client of an attachment, within this process: without a greeting, all bytes are the dyno's."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)

        async def stay() -> None:
            async with self._guest(writer):
                await self._attend(rendezvous.digest(secret), reader, writer, greeted=False)

        task = asyncio.ensure_future(stay())
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)
        return await asyncio.open_connection(sock=ours)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client: it sends its secret, is greeted when the dyno is there, and is the dyno's terminal from then on."""
        async with self._guest(writer):
            secret = await self._hello(reader, rendezvous.SECRET_LENGTH)
            key = rendezvous.digest(secret.decode("ascii", "replace"))
            await self._attend(key, reader, writer, greeted=True)

    async def _attend(
        self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, greeted: bool
    ) -> None:
        meeting = self._meetings.setdefault(key, Meeting())
        if meeting.deadline is not None:
            return  # the secret has been used
        try:
            async with asyncio.timeout(self.meeting_seconds) as meeting.deadline:
                await self._meet(meeting, writer, greeted=greeted)
                meeting.touch()
                await self._pass_input(meeting, reader, first=greeted)
        finally:
            self._end(key, meeting)

    async def _meet(self, meeting: Meeting, client: asyncio.StreamWriter, *, greeted: bool) -> None:
        with self._counted():
            dyno = await asyncio.shield(meeting.dyno)
        if greeted:
            client.write(rendezvous.GREETING)
            await client.drain()
            await asyncio.sleep(rendezvous.GREETING_SECONDS)
        if meeting.client.cancelled():
            raise ConnectionResetError  # the dyno's side has gone meanwhile
        meeting.client.set_result(client)
        dyno.write(rendezvous.MET)

    async def _pass_input(self, meeting: Meeting, reader: asyncio.StreamReader, *, first: bool) -> None:
        dyno = meeting.dyno.result()
        while data := await reader.read(_CHUNK):
            # The line end after the secret, which not every client sends, and which may come in a chunk of its own.
            data = data.removeprefix(b"\r\n") if first else data
            first = False
            dyno.write(data)
            await dyno.drain()
            meeting.touch()

    async def _dyno(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A dyno's side: it sends its secret's digest, is told when the client is there, and then sends output."""
        async with self._guest(writer):
            line = await self._hello(reader, _DIGEST_LENGTH + 1)
            key = line.decode("ascii", "replace").strip()
            meeting = self._meetings.setdefault(key, Meeting())
            if meeting.dyno.done():
                return
            meeting.dyno.set_result(writer)
            try:
                # Nothing comes before the client is there, unless the dyno's side gives up.
                while data := await reader.read(_CHUNK):
                    if not meeting.client.done():
                        return
                    meeting.client.result().write(data)
                    await meeting.client.result().drain()
                    meeting.touch()
            finally:
                self._end(key, meeting)

    def _end(self, key: str, meeting: Meeting) -> None:
        meeting.close()
        if self._meetings.get(key) is meeting:
            del self._meetings[key]

    async def _hello(self, reader: asyncio.StreamReader, length: int) -> bytes:
        with self._counted():
            async with asyncio.timeout(HELLO_SECONDS):
                return await reader.readexactly(length)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Of those who wait without having been identified there is a most."""
        if self._waiting >= MOST_WAITING:
            raise TooManyError
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _guest(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Whatever a connection does, it ends closed and nobody else is disturbed."""
        keep_alive(writer.get_extra_info("socket"))
        try:
            yield
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, was too slow, or its other side has gone
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class TooManyError(OSError):
    """More strangers wait than may."""


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"certificate {certificate.name}", str(error), "run bin/dynoform up") from error
    return context


def keep_alive(connection: Any) -> None:
    """Notice within two minutes that the host at the other end of a socket is gone."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
