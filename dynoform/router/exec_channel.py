"""Channels of the SSH server: what a client asks for, and its bytes on their way to the dyno and back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncssh
from asyncssh.stream import SSHServerStreamSession

from dynoform.domain import exec_channels, one_off
from dynoform.domain.exec_channels import Channel, Kind, Size
from dynoform.errors import DynoformError
from dynoform.router.exec_doors import Passage

LOST = 255
"""Exit code of a program that nobody knows the end of, as OpenSSH's client has it."""
_CHUNK = 32 * 1024
_SFTP = "sftp"
Enter = Callable[[Channel], Awaitable[Passage]]
Leave = Callable[[Passage], None]
Writer = asyncssh.SSHWriter[bytes]


class Program(SSHServerStreamSession[bytes]):
    """A channel with a shell, a command, or sftp: each is a program of the dyno's."""

    def __init__(self, enter: Enter, leave: Leave) -> None:
        """How to come into the dyno, and to leave it."""
        super().__init__(None)
        self._enter, self._leave = enter, leave
        self._living: asyncio.Task[None] | None = None

    def shell_requested(self) -> bool:
        """There is a shell."""
        return True

    def exec_requested(self, command: str) -> bool:
        """There are commands."""
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """There is sftp, and no other subsystem."""
        return subsystem == _SFTP

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:  # type: ignore[override]
        """Remember the channel."""
        super().connection_made(chan)
        self._channel = chan

    def session_started(self) -> None:
        """Begin, when the client has said what it wants."""
        self._living = asyncio.ensure_future(self._live(self._channel))

    async def _live(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        messages = asyncssh.SSHWriter(self, channel, asyncssh.EXTENDED_DATA_STDERR)
        try:
            passage = await self._enter(wanted(channel))
        except DynoformError as error:
            messages.write(f" !     {error}\r\n".encode())
            channel.exit(LOST)
            return
        reader, output = asyncssh.SSHReader(self, channel), asyncssh.SSHWriter(self, channel)
        try:
            code = await carry(passage, reader, output, messages, channel.wait_closed())
            channel.exit(code)
        finally:
            self._leave(passage)


def wanted(channel: asyncssh.SSHServerChannel[bytes]) -> Channel:
    """What the client asks for. Raises ``InvalidInputError`` for a command that no process can be given."""
    if channel.get_subsystem() == _SFTP:
        return Channel(Kind.SFTP)
    term, (columns, rows, *_) = channel.get_terminal_type(), channel.get_terminal_size()
    size = None if term is None else Size(rows, columns)
    command = channel.get_command()
    if command is None:
        return Channel(Kind.SHELL, term=term or "", size=size)
    return Channel(Kind.COMMAND, one_off.check_command(command), term=term or "", size=size)


async def carry(
    passage: Passage,
    reader: asyncssh.SSHReader[bytes],
    output: Writer,
    messages: Writer | None,
    closed: Awaitable[None],
) -> int:
    """Pass bytes both ways until the program ends or the channel is closed; the program's exit code."""
    giving = asyncio.ensure_future(_give(passage, reader))
    taking = asyncio.ensure_future(_take(passage, output, messages))
    closing = asyncio.ensure_future(closed)
    try:
        await asyncio.wait({taking, closing}, return_when=asyncio.FIRST_COMPLETED)
        return taking.result() if taking.done() else LOST
    finally:
        for task in (giving, taking, closing):
            task.cancel()
        await asyncio.gather(giving, taking, closing, return_exceptions=True)


async def _give(passage: Passage, reader: asyncssh.SSHReader[bytes]) -> None:
    """Give the dyno what the client sends."""
    with suppress(OSError, asyncssh.Error):
        while True:
            try:
                data = await reader.read(_CHUNK)
            except asyncssh.TerminalSizeChanged as change:
                size = Size(change.height, change.width)
                await passage.tell(exec_channels.RESIZE, exec_channels.pack(size))
            except (asyncssh.BreakReceived, asyncssh.SignalReceived):
                continue
            else:
                await passage.tell(exec_channels.INPUT if data else exec_channels.END, data)
                if not data:
                    return


async def _take(passage: Passage, output: Writer, messages: Writer | None) -> int:
    """Give the client what the dyno says, to its exit code."""
    async for letter, content in passage.said:
        if letter == exec_channels.CODE:
            return int(content)
        with suppress(OSError, asyncssh.Error):  # the client takes no more; the code is still to come
            if letter == exec_channels.OUTPUT:
                output.write(content)
                await output.drain()
            elif letter == exec_channels.MESSAGES and messages is not None:
                messages.write(content)
                await messages.drain()
            elif letter == exec_channels.END:
                output.write_eof()
    return LOST
