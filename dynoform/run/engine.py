"""The engine's API over its socket, as far as the runtime agent needs it: calls, events, connections of raw bytes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlencode

from dynoform.errors import ConflictError, NotFoundError, UnavailableError

SOCKET = "/var/run/docker.sock"
VERSION = "v1.41"
SECONDS = 30.0
_CHUNK = 32 * 1024
_NOT_FOUND = 404
_SERVER_ERROR = 500


OUT, ERR = 1, 2
"""A process's outputs, by the engine's numbers."""


class Frames:
    """Takes the engine's headers out of the output of a process without a terminal."""

    def __init__(self) -> None:
        """At the beginning of a frame."""
        self._header = b""
        self._source = OUT
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The output in the next bytes of the stream, and which of the two each part of it was written to."""
        output = []
        while data:
            if self._left:
                output.append((self._source, data[: self._left]))
                data, self._left = data[self._left :], max(0, self._left - len(data))
                continue
            wanted = 8 - len(self._header)
            self._header, data = self._header + data[:wanted], data[wanted:]
            if len(self._header) == 8:
                self._source, self._left = self._header[0], int.from_bytes(self._header[4:])
                self._header = b""
        return output


class Stream:
    """A connection to a process in a container: its input and its output."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tty: bool) -> None:
        """``tty`` is whether the process has a terminal; then the bytes are bare."""
        self._reader, self._writer = reader, writer
        self._frames = None if tty else Frames()

    async def read(self) -> bytes:
        """The next output, of both kinds together; empty at its end. May be cancelled without a loss."""
        return b"".join(data for _, data in await self.read_parts())

    async def read_parts(self) -> list[tuple[int, bytes]]:
        """As ``read``, with which output each part is of; all is ``OUT`` for a terminal."""
        while data := await self._reader.read(_CHUNK):
            output = self._frames.feed(data) if self._frames else [(OUT, data)]
            if output:
                return output
        return []

    async def write(self, data: bytes) -> None:
        """Give the process input. Raises ``OSError`` when it takes no more."""
        self._writer.write(data)
        await self._writer.drain()

    def write_eof(self) -> None:
        """End the input."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Engine:
    """The engine of this host.

    Calls raise ``NotFoundError`` when the thing is not there, ``ConflictError`` when the engine refuses,
    ``UnavailableError`` when it does not work at all.
    """

    def __init__(self, path: str = SOCKET) -> None:
        """``path`` is the engine's socket."""
        self.path = path

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float | None = SECONDS,
    ) -> Any:
        """What the engine answers: a JSON value, or None when it has no body. ``seconds`` None waits for ever."""
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            async with asyncio.timeout(seconds):
                reader, writer, status = await self._request(method, target, body)
                try:
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise _unavailable(method, path, error) from error
        _check(method, path, status, answer)
        return _value(answer)

    async def values(self, path: str, query: Mapping[str, str], seconds: float) -> AsyncGenerator[Any]:
        """JSON values that the engine sends one after another, until it ends or says nothing for ``seconds``."""
        target = f"{path}?{urlencode(query)}"
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer, status = await self._request("GET", target, None)
                if status >= 300:
                    answer = await reader.read()
                    writer.close()
                    _check("GET", path, status, answer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise _unavailable("GET", path, error) from error
        try:
            while line := await self._line(path, reader, seconds):
                yield json.loads(line)
        finally:
            writer.close()

    async def _line(self, path: str, reader: asyncio.StreamReader, seconds: float) -> bytes:
        """The next line; empty at the end, and after silence."""
        try:
            async with asyncio.timeout(seconds):
                return await reader.readline()
        except TimeoutError:
            return b""
        except (OSError, ValueError) as error:  # the second: a line that has no end
            raise _unavailable("GET", path, error) from error

    async def stream(self, path: str, body: Mapping[str, Any] | None = None, *, tty: bool) -> Stream:
        """A connection that carries a process's input and output."""
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer, status = await self._request("POST", path, body, upgrade=True)
                if status >= 300:
                    answer = await reader.read()
                    writer.close()
                    _check("POST", path, status, answer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise _unavailable("POST", path, error) from error
        return Stream(reader, writer, tty=tty)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, upgrade: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        """Send a request; the connection with the answer's body still to be read, and its status."""
        content = json.dumps(body).encode() if body is not None else b""
        # HTTP/1.0: the answer ends with the connection, and is never sent in chunks.
        lines = [f"{method} /{VERSION}{path} HTTP/1.0", "Host: docker", f"Content-Length: {len(content)}"]
        lines += ["Content-Type: application/json"] if content else []
        lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else []
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + content)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            return reader, writer, int(head.split(b" ", 2)[1])
        except BaseException:
            writer.close()
            raise


def _check(method: str, path: str, status: int, answer: bytes) -> None:
    if status < 400:
        return
    value = _value(answer)
    why = str(value.get("message", "") if isinstance(value, dict) else answer[:300])[:300]
    what = f"engine: {method} {path.partition('?')[0]}"
    if status == _NOT_FOUND:
        raise NotFoundError(what, why)
    if status < _SERVER_ERROR:
        raise ConflictError(what, why)
    raise UnavailableError(what, why, "tried again in a moment")


def _value(answer: bytes) -> Any:
    try:
        return json.loads(answer) if answer.strip() else None
    except ValueError:
        return None  # a stream of progress messages


def _unavailable(method: str, path: str, error: Exception) -> UnavailableError:
    why = str(error) or type(error).__name__
    return UnavailableError(f"engine: {method} {path.partition('?')[0]}", why, "tried again in a moment")
