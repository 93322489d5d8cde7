"""RELP, rsyslog's Reliable Event Logging Protocol: each message is acknowledged when it is safe.

https://github.com/rsyslog/librelp/blob/master/doc/relp.html: frames are ``TXNR SP COMMAND SP DATALEN [SP DATA] LF``;
a session begins with ``open``, each ``syslog`` gets a ``rsp``, and a server that leaves says ``serverclose``.
"""

import re
from typing import NamedTuple

MAXIMUM_FRAME = 256 * 1024
OPEN, SYSLOG, CLOSE, RESPONSE = b"open", b"syslog", b"close", b"rsp"
GOODBYE = b"0 serverclose 0\n"
OFFER = b"relp_version=0\nrelp_software=dynoform\ncommands=syslog"
_BEGINNING = re.compile(rb"(\d{1,9}) ([a-zA-Z]{1,32}) (\d{1,9})([ \n])")
_LONGEST_BEGINNING = 54
_FIRST = b"open "


class Frame(NamedTuple):
    """One frame."""

    number: int
    command: bytes
    data: bytes


class FrameError(ValueError):
    """A peer that does not speak RELP; its connection cannot be read any further."""


class Reader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        """Starts with nothing received."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises ``FrameError`` for what is none."""
        text = self._rest + data if self._rest else data
        frames: list[Frame] = []
        start = 0
        while match := _BEGINNING.match(text, start):
            size, empty = int(match[3]), match[4] == b"\n"
            if size > MAXIMUM_FRAME or (empty and size):
                raise FrameError(f"a frame of {size} bytes")
            end = match.end() if empty else match.end() + size + 1
            if end > len(text):
                break
            if text[end - 1 : end] != b"\n":
                raise FrameError("a frame without an end")
            frames.append(Frame(int(match[1]), match[2], text[match.end() : end - 1] if not empty else b""))
            start = end
        self._rest = text[start:]
        if not match and len(self._rest) > _LONGEST_BEGINNING:
            raise FrameError("no frame")
        return frames


def frame(number: int, command: bytes, data: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return b"%d %s %d %s\n" % (number, command, len(data), data) if data else b"%d %s 0\n" % (number, command)


def accepted(number: int, more: bytes = b"") -> bytes:
    """The answer that all is well with a frame."""
    return frame(number, RESPONSE, b"200 OK\n%s" % more if more else b"200 OK")


def is_accepted(answer: Frame) -> bool:
    """Whether an answer says so."""
    return answer.command == RESPONSE and answer.data.startswith(b"200")


def speaks(beginning: bytes) -> bool | None:
    """Whether a peer that begins so speaks RELP, and not syslog's octet-counted frames; None: not known yet."""
    match = re.match(rb"\d{0,9} ?", beginning)
    rest = beginning[match.end() if match else 0 :][: len(_FIRST)]
    return rest == _FIRST or (None if _FIRST.startswith(rest) else False)
