"""The dyno's side of an attachment: a connection to the rendezvous relay, and the bytes between it and the command."""

import asyncio
from contextlib import suppress
from typing import Self

from dynoform.domain import rendezvous
from dynoform.domain.retries import pause
from dynoform.errors import DynoformError
from dynoform.run.engine import Stream

DIAL_SECONDS = 10.0
CONNECT_SECONDS = 5.0
WRITE_SECONDS = 300.0
"""A client that takes nothing for this long while the command has something to say is gone."""
HELD_SECONDS = 0.5
"""How long a byte that may end the input, or part of a status line, is held back."""
STATUS_SECONDS = 0.05
"""Before and after the line with the exit status: it has to be a chunk of its own at the client."""
_CHUNK = 32 * 1024


class AttachError(DynoformError):
    """The client did not come, or has gone before the command began."""


class Link:
    """A connection to the relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by ``dial``."""
        self._reader, self._writer = reader, writer
        self.gone = False
        self._met = False

    @classmethod
    async def dial(cls, address: str, port: int, digest: str) -> Self:
        """Call the relay and name the attachment. Raises ``AttachError`` when it does not answer for 10 s."""
        started, failures = asyncio.get_running_loop().time(), 0
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await asyncio.open_connection(address, port)
            except (OSError, TimeoutError) as error:
                if asyncio.get_running_loop().time() - started > DIAL_SECONDS:
                    raise AttachError("rendezvous relay", f"does not answer ({error})") from error
            else:
                writer.write(f"{digest}\n".encode())
                return cls(reader, writer)
            await asyncio.sleep(pause(failures))
            failures += 1

    async def met(self, seconds: float) -> None:
        """Return when the client is there. Raises ``AttachError`` when it is not within ``seconds``."""
        if self._met:
            return
        try:
            async with asyncio.timeout(max(seconds, 1.0)):
                await self._reader.readexactly(len(rendezvous.MET))
                self._met = True
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise AttachError("client", "did not attach") from error

    async def pass_input(self, stream: Stream, *, tty: bool) -> None:
        """Give the command what the client sends, until the client is gone."""
        with suppress(OSError):
            while data := await self._reader.read(_CHUNK):
                # A terminal makes of this byte the end of input. Without one, it is the end if nothing follows.
                while not tty and data.endswith(rendezvous.EOT):
                    more = await self._soon()
                    if more is None:
                        await _give(stream, data[: -len(rendezvous.EOT)])
                        stream.write_eof()
                        data = b""
                    else:
                        data += more
                await _give(stream, data)
        self.gone = True

    async def pass_output(self, stream: Stream) -> None:
        """Give the client what the command says, until it says no more; a client that is gone is not waited for."""
        status = rendezvous.ExitStatus()
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                ready, _ = await asyncio.wait({reading}, timeout=HELD_SECONDS if status.holds else None)
                if not ready:
                    await self.say(status.rest())
                    continue
                data = reading.result()
                if not data:
                    break
                for chunk in status.feed(data):
                    await self._say_chunk(chunk)
                reading = asyncio.ensure_future(stream.read())
            await self.say(status.rest())
        except OSError:
            return  # the engine is away; what becomes of the command, the session finds out
        finally:
            reading.cancel()

    async def say(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self.gone or not data:
            return
        try:
            self._writer.write(data)
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError):
            self.gone = True
            self._writer.close()

    async def close(self) -> None:
        """Hang up, after all has been sent."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._writer.wait_closed()

    async def _say_chunk(self, chunk: bytes) -> None:
        alone = rendezvous.is_status(chunk)
        if alone:
            await asyncio.sleep(STATUS_SECONDS)
        await self.say(chunk)
        if alone:
            await asyncio.sleep(STATUS_SECONDS)

    async def _soon(self) -> bytes | None:
        """What comes within a moment; None when nothing does."""
        reading = asyncio.ensure_future(self._reader.read(_CHUNK))
        ready, _ = await asyncio.wait({reading}, timeout=HELD_SECONDS)
        if ready:
            return reading.result() or None
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        return None


async def _give(stream: Stream, data: bytes) -> None:
    with suppress(OSError):  # the command takes no input any more; it may still have something to say
        if data:
            await stream.write(data)
