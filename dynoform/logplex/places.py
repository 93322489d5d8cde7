"""Connecting to places that users chose: what was looked at is what is connected to."""

import asyncio
import socket
import ssl
from functools import cached_property
from pathlib import Path

from dynoform.domain.log_drains import Places

CONNECT_SECONDS = 5.0
_MOST_ADDRESSES = 3
_WRITE_BUFFER = 64 * 1024
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RefusedError(OSError):
    """A name that leads only to addresses that drains may not have."""


class Connector:
    """Opens drains' connections; one for the process."""

    def __init__(self, places: Places, authorities: Path | None = None) -> None:
        """``authorities`` is a PEM file of those that receivers may have, besides the system's."""
        self._places = places
        self._authorities = authorities

    async def open(self, host: str, port: int, *, tls: bool) -> Connection:
        """A connection, with a verified certificate for ``host`` when ``tls``.

        A second look-up could answer otherwise (DNS rebinding), so there is none. Raises ``OSError``: ``RefusedError``
        for a place that may get no logs, ``ssl.SSLError``, ``TimeoutError``, ``socket.gaierror`` …
        """
        async with asyncio.timeout(CONNECT_SECONDS):
            addresses = await self._resolve(host, port)
        for address in addresses[:-1]:
            try:
                return await self._connect(address, host, port, tls=tls)
            except ssl.SSLError:
                raise
            except OSError:
                continue
        return await self._connect(addresses[-1], host, port, tls=tls)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        addresses = [str(place[0]) for *_, place in found]
        allowed = [address for address in dict.fromkeys(addresses) if self._places.allows(address)]
        if not allowed:
            raise RefusedError(f"{host} is at no address that drains may have")
        return allowed[:_MOST_ADDRESSES]

    async def _connect(self, address: str, host: str, port: int, *, tls: bool) -> Connection:
        # The first one reads the system's authorities: that takes time and memory, and no other drain is to wait.
        context = await asyncio.to_thread(lambda: self._context) if tls else None
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=host if tls else None
            )
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        return reader, writer

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
        return context


def hang_up(connection: Connection | None) -> None:
    """Close it without a word: nothing more will come of it."""
    if connection is not None:
        connection[1].transport.abort()


def reason(error: BaseException) -> str:
    """A failure in a few words, without what a drain's URL has in it."""
    if isinstance(error, RefusedError):
        return "its host is at no address that drains may have"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, socket.gaierror):
        return "its host's name cannot be resolved"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return "connection lost"
