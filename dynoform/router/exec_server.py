"""The SSH server of ``heroku ps:exec``: lets holders of registered keys into their dyno, and does nothing else.

It has neither accounts nor files nor a shell: a user name stands for a key, and each channel is a program in the dyno.
"""

import asyncio
import socket
from functools import partial

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from dynoform.configuration import Configuration
from dynoform.domain import exec_channels, heroku_exec, ssh_keys
from dynoform.domain.exec_channels import Channel, Kind
from dynoform.errors import ConfigurationError, DynoformError, InvalidInputError, UnavailableError
from dynoform.journal import Journal
from dynoform.router.exec_channel import Program, carry
from dynoform.router.exec_doors import Doors, Passage
from dynoform.store.exec_keys import Door

HOST_KEY = "exec_host_key"
LOGIN_SECONDS = 20
KEEP_ALIVE_SECONDS = 30
MOST_CHANNELS = 32
"""Of one connection at a time; the CLI uses one."""


class ExecServer:
    """The server of all connections."""

    def __init__(self, configuration: Configuration, doors: Doors, journal: Journal) -> None:
        """``doors`` lead into the dynos."""
        self._configuration, self._doors, self._journal = configuration, doors, journal

    async def serve(self, connection: socket.socket) -> None:
        """Serve a client, from its first byte to its last."""
        try:
            key = ssh_keys.host_key(self._configuration.secret(HOST_KEY))
            async with asyncio.timeout(heroku_exec.LONGEST.total_seconds()):
                async with await self._shake_hands(connection, key.private) as client:
                    await client.wait_closed()
        except ConfigurationError as error:
            self._journal.error("exec has no host key", error=error)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            self._journal.info("exec client left", error=error)

    def close(self) -> None:
        """Give the connection to the store back."""
        self._doors.close()

    async def _shake_hands(self, connection: socket.socket, host_key: bytes) -> asyncssh.SSHServerConnection:
        return await asyncssh.run_server(
            connection,
            server_factory=lambda: Guest(self._doors, self._journal),
            server_host_keys=[asyncssh.import_private_key(host_key)],
            server_version="Dynoform",
            login_timeout=LOGIN_SECONDS,
            keepalive_interval=KEEP_ALIVE_SECONDS,
            gss_host=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            agent_forwarding=False,
            x11_forwarding=False,
            line_editor=False,
            encoding=None,
            compression_algs=None,
        )


class Guest(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, doors: Doors, journal: Journal) -> None:
        """Nobody is known yet."""
        self._doors, self._journal = doors, journal
        self._door: Door | None = None
        self._passages: set[Passage] = set()
        self._opening = 0
        self._gone = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Hang up on all that the client has in the dyno."""
        self._gone = True
        for passage in self._passages:
            passage.close()

    async def begin_auth(self, username: str) -> bool:
        """Find out which key the user has to have; everybody has to prove something."""
        self._door = None
        try:
            self._door = await self._doors.find(username)
        except DynoformError as error:
            self._journal.warning("exec cannot look up keys", error=error)
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys, and nothing else."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is the user's key."""
        door = self._door
        if door is None or heroku_exec.user_name(door.key_id) != username:
            return False
        return asyncssh.import_public_key(door.public_key).public_data == key.public_data

    def auth_completed(self) -> None:
        """Write down who came in."""
        if self._door is not None:
            self._journal.info("exec", app=self._door.app, dyno=self._door.dyno, by=self._door.email)

    def session_requested(self) -> Program:
        """A shell, a command, or sftp."""
        return Program(self.enter, self.leave)

    async def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> SSHTCPStreamSession[bytes]:
        """A connection to a port of the dyno, which is there when this returns."""
        try:
            heroku_exec.check_destination(dest_host, dest_port)
            passage = await self.enter(Channel(Kind.TUNNEL, port=dest_port))
        except InvalidInputError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, str(error)) from error
        except DynoformError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from error
        early = await _first_output(passage)
        if not early:
            self.leave(passage)
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, f"Nothing answers on port {dest_port}")
        return SSHTCPStreamSession(partial(self._tunnel, passage, early.removeprefix(exec_channels.CONNECTED)))

    async def _tunnel(
        self, passage: Passage, early: bytes, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]
    ) -> None:
        """Carry a connection; ``early`` came with the sign that it is there."""
        try:
            writer.write(early)
            await carry(passage, reader, writer, None, reader.channel.wait_closed())
        finally:
            writer.close()
            self.leave(passage)

    async def enter(self, channel: Channel) -> Passage:
        """A channel into the dyno. Raises as ``Doors.enter``, ``InvalidInputError`` for one too many."""
        if self._opening + len(self._passages) >= MOST_CHANNELS:
            raise InvalidInputError("connection", f"has {MOST_CHANNELS} channels, as many as it may", "make another")
        self._opening += 1
        try:
            assert self._door is not None  # noqa: S101 - channels come after the key
            passage = await self._doors.enter(self._door, channel)
        finally:
            self._opening -= 1
        if self._gone:
            passage.close()
            raise UnavailableError("client", "is gone")
        self._passages.add(passage)
        return passage

    def leave(self, passage: Passage) -> None:
        """Hang up on one channel."""
        self._passages.discard(passage)
        passage.close()


async def _first_output(passage: Passage) -> bytes:
    """What the dyno says first; empty when it ends without a word."""
    async for letter, content in passage.said:
        if letter == exec_channels.OUTPUT:
            return content
    return b""
