"""The dyno's side of a channel of the SSH server: as a ``Link``, in frames (``dynoform.domain.exec_channels``)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from dynoform.domain import exec_channels, rendezvous
from dynoform.domain.exec_channels import Channel, Frames, Size
from dynoform.errors import InvalidInputError
from dynoform.run.engine import OUT, Stream
from dynoform.run.link import AttachError, Link

OPEN_SECONDS = 10.0
_CHUNK = 32 * 1024


class ExecLink(Link):
    """A connection to the relay, at whose other end is the SSH server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by ``dial``."""
        super().__init__(reader, writer)
        self._frames = Frames()
        self._early: list[tuple[bytes, bytes]] = []
        self.resize: Callable[[Size], Awaitable[None]] | None = None
        """What a new size of the client's terminal is told to."""

    async def channel(self) -> Channel:
        """What the client wants, which is said first. Raises ``AttachError`` when it is not."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                while not self._early:
                    self._early = await self._next()
                letter, content = self._early.pop(0)
                if letter == exec_channels.OPEN:
                    return exec_channels.unpack_channel(content)
                raise AttachError("client", f"began with {letter!r}")
        except (OSError, TimeoutError, EOFError, InvalidInputError) as error:
            raise AttachError("client", f"did not say what to run ({error})") from error

    async def pass_input(self, stream: Stream, *, tty: bool) -> None:
        """Give the program what the client sends, until the client is gone."""
        with suppress(OSError, EOFError, InvalidInputError):
            frames, self._early = self._early, []
            while True:
                for letter, content in frames:
                    await self._take(stream, letter, content, tty=tty)
                frames = await self._next()
        self.gone = True

    async def pass_output(self, stream: Stream) -> None:
        """Give the client what the program says, until it says no more; a client that is gone is not waited for."""
        with suppress(OSError):  # the engine is away; what becomes of the program, the session finds out
            while parts := await stream.read_parts():
                for source, data in parts:
                    await self._tell(exec_channels.OUTPUT if source == OUT else exec_channels.MESSAGES, data)
        await self._tell(exec_channels.END)

    async def say(self, data: bytes) -> None:
        """Send a message to the client."""
        await self._tell(exec_channels.MESSAGES, data)

    async def ended(self, code: int) -> None:
        """Tell the client the program's exit code."""
        await self._tell(exec_channels.CODE, str(code).encode())

    async def _tell(self, letter: bytes, content: bytes = b"") -> None:
        await super().say(exec_channels.frame(letter, content))

    async def _next(self) -> list[tuple[bytes, bytes]]:
        """The next frames. Raises ``EOFError`` when the client is gone, ``InvalidInputError`` for nonsense."""
        data = await self._reader.read(_CHUNK)
        if not data:
            raise EOFError
        return self._frames.feed(data)

    async def _take(self, stream: Stream, letter: bytes, content: bytes, *, tty: bool) -> None:
        if letter == exec_channels.RESIZE and self.resize is not None:
            await self.resize(exec_channels.unpack_size(content))
        with suppress(OSError):  # the program takes no input any more; it may still have something to say
            if letter == exec_channels.INPUT:
                await stream.write(content)
            elif letter == exec_channels.END and tty:
                await stream.write(rendezvous.EOT)
            elif letter == exec_channels.END:
                stream.write_eof()
