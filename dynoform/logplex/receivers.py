"""Connections of those that send lines: rsyslog and our own processes by RELP, HAProxy in octet-counted frames."""

import asyncio
import socket
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from dynoform.domain import log_lines, relp

if TYPE_CHECKING:
    from dynoform.logplex.server import Logplex

_CHUNK = 64 * 1024
"""Bytes that are read at once: drains and tails get their turn before more lines have come than may wait for them."""


_sessions = count(1)


class Receiver(asyncio.BufferedProtocol):
    """One sender's connection."""

    def __init__(self, server: "Logplex") -> None:
        """Lines go to ``server``."""
        self.server = server
        self.transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_CHUNK))  # TLS fills slices of it, which must be no copies
        self._framer = log_lines.Framer()
        self._relp: relp.Reader | None = None
        self._leaving = False
        self._session = next(_sessions)
        self._beginning: bytes | None = b""
        """What has come before it is known what is spoken; None once that is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender has come."""
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self.server.receivers.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where bytes are to be put."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come: file the complete messages in them."""
        data = bytes(self._buffer[:nbytes])
        try:
            if self._beginning is not None:
                data = self._beginning + data
                speaks = relp.speaks(data)
                if speaks is None:
                    self._beginning = data
                    return
                self._beginning, self._relp = None, relp.Reader() if speaks else None
            if self._relp is None:
                self.server.receive_all(self._framer.feed(data))
            else:
                self._take(self._relp.feed(data))
        except (log_lines.FrameError, relp.FrameError) as error:
            self.server.journal.warning("sender without framing", error=error)
            if self.transport is not None:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender has gone."""
        self.server.receivers.discard(self)

    def leave(self) -> None:
        """Tell the sender that this log plane goes: it is to send no more, and to close."""
        if self.transport is None:
            return
        if self._relp is not None:
            self.transport.write(relp.GOODBYE)
            self._leaving = True
        else:
            # Half of the connection, beneath TLS, which has no word for it.
            with suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    def _take(self, frames: list[relp.Frame]) -> None:
        if self._leaving:
            return  # what was on its way is not acknowledged, so it is sent to the next log plane
        self.server.receive_all([frame.data for frame in frames if frame.command == relp.SYSLOG], self._session)
        answers = b"".join(_answer(frame) for frame in frames)
        if self.transport is not None:
            self.transport.write(answers)
            if any(frame.command == relp.CLOSE for frame in frames):
                self.transport.close()


def _answer(frame: relp.Frame) -> bytes:
    if frame.command == relp.OPEN:
        return relp.accepted(frame.number, relp.OFFER)
    if frame.command == relp.CLOSE:
        return relp.frame(frame.number, relp.RESPONSE) + relp.GOODBYE
    if frame.command == relp.SYSLOG:
        return relp.accepted(frame.number)
    return relp.frame(frame.number, relp.RESPONSE, b"500 unknown command")
