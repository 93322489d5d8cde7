"""The API's end of a conversation with git's pre-receive hook (``dynoform.git.receive`` is the other)."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dynoform.git.repository import Repository, take_turn

_MAXIMUM_REQUEST = 16 * 1024 * 1024
_TURN_SECONDS = 0.2


@dataclass(frozen=True)
class Push:
    """A push that waits for a verdict. ``updates`` is what git tells its hooks, a line for each ref."""

    repository: Repository
    updates: str
    objects: Mapping[str, str]
    """Environment for git commands that are to see the pushed objects, which are not in the repository yet."""
    _writer: asyncio.StreamWriter
    _turn: int

    async def say(self, text: str) -> None:
        """Show this to the pusher. One who has gone away misses it."""
        self._writer.write(text.replace("\0", "").encode())
        await self._writer.drain()

    async def take_turn(self) -> AsyncIterator[None]:
        """Wait until every earlier push to this repository that took its turn has ended: one item for each look.

        The turn lasts until git has updated the refs, and ends with its processes, however they end.
        """
        while not take_turn(self._turn):
            yield
            await asyncio.sleep(_TURN_SECONDS)


Judge = Callable[[Push], Awaitable[bool]]
"""Says whether git may take a push."""


@asynccontextmanager
async def listening(repository: Repository, judge: Judge) -> AsyncIterator[tuple[int, int]]:
    """For one run of receive-pack: two descriptors that its processes have to inherit, the first one the hook's.

    ``judge`` is asked when the hook runs, and cancelled when the block ends before it has answered.
    """
    ours, theirs = socket.socketpair()
    with repository.turn() as turn, theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_MAXIMUM_REQUEST)
        talking = asyncio.create_task(_talk(reader, writer, repository, turn, judge))
        try:
            yield theirs.fileno(), turn
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            writer.close()


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, repository: Repository, turn: int, judge: Judge
) -> None:
    try:
        request = json.loads(await reader.readuntil(b"\n"))
        accepted = await judge(Push(repository, request["updates"], request["objects"], writer, turn))
        writer.write(b"\0+" if accepted else b"\0-")
        await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return  # git had nothing to ask, or died
    finally:
        writer.close()  # a hook that gets no answer refuses the push
