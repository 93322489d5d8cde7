"""Ways into dynos for the SSH server: keys from the store, and channels through the relay to the runtime agent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import cached_property, partial
from typing import TypeVar

from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.domain import exec_channels, heroku_exec, rendezvous
from dynoform.domain.exec_channels import Channel, Frames
from dynoform.errors import InvalidInputError
from dynoform.router.rendezvous import Relay
from dynoform.store import exec_keys
from dynoform.store.exec_keys import Door
from dynoform.store.session import Store

_CHUNK = 64 * 1024
Answer = TypeVar("Answer")


class Passage:
    """A channel into a dyno, as the SSH server has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by ``Doors``."""
        self._reader, self._writer = reader, writer
        self.said = self._frames()
        """What the dyno says, to the end; what was not taken is still there for who looks again."""

    async def tell(self, letter: bytes, content: bytes = b"") -> None:
        """Send a frame; one to a dyno that is gone goes nowhere."""
        with suppress(OSError):
            self._writer.write(exec_channels.frame(letter, content))
            await self._writer.drain()

    def close(self) -> None:
        """Hang up: what runs in the dyno for this channel ends."""
        self._writer.close()

    async def _frames(self) -> AsyncIterator[tuple[bytes, bytes]]:
        frames = Frames()
        with suppress(OSError, InvalidInputError):
            while data := await self._reader.read(_CHUNK):
                for frame in frames.feed(data):
                    yield frame


class Doors:
    """All ways into dynos. Calls raise ``DynoformError`` when the store does not answer."""

    def __init__(self, configuration: Configuration, relay: Relay) -> None:
        """``relay`` is where the runtime agent is met."""
        self.configuration, self._relay = configuration, relay

    async def find(self, user: str) -> Door | None:
        """What an SSH user stands for; None for one who may not come in."""
        key_id = heroku_exec.key_id(user)
        return None if key_id is None else await self._ask(partial(exec_keys.find, key_id=key_id))

    async def enter(self, door: Door, channel: Channel) -> Passage:
        """Have something run in the dyno. Raises as ``exec_keys.enter``; who has no right any more is told so."""
        secret = rendezvous.new_secret()
        tty = channel.size is not None
        await self._ask(partial(exec_keys.enter, key_id=door.key_id, secret=secret, tty=tty))
        passage = Passage(*await self._relay.join(secret))
        await passage.tell(exec_channels.OPEN, exec_channels.pack(channel))
        return passage

    def close(self) -> None:
        """Give the connection to the store back."""
        self._store.close()

    @cached_property
    def _store(self) -> Store:
        """A connection of its own, from when somebody comes."""
        return Store(self.configuration, "exec", pool=1)

    async def _ask(self, question: Callable[[Session], Answer]) -> Answer:
        def ask() -> Answer:
            with self._store.transaction() as session:
                return question(session)

        return await asyncio.to_thread(ask)
