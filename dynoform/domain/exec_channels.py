"""Channels of an SSH client into a dyno: what runs there for each, and how SSH server and runtime agent talk about it.

They meet at the rendezvous relay, which passes bytes. Here these are frames: a letter, a length, and as many bytes. The
first one says what to run. The clients of ``heroku run`` need no frames, since a terminal is all that they are.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from dynoform.errors import InvalidInputError

OPEN = b"O"
"""To the dyno: a ``Channel``."""
INPUT = b"I"
RESIZE = b"R"
"""To the dyno: the terminal's new ``Size``."""
OUTPUT = b"o"
MESSAGES = b"m"
"""From the dyno: what a program without a terminal writes to its standard error."""
END = b"E"
"""Either way: no more input, or no more output."""
CODE = b"c"
"""From the dyno: the program's exit code, the last thing that is said."""
MAXIMUM = 128 * 1024
_HEADER = struct.Struct(">cI")
_LONGEST_TERM = 64

SHELL = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"
_SFTP = (
    "for server in /usr/lib/openssh /usr/lib/ssh /usr/libexec /usr/libexec/openssh; do "
    '[ -x "$server/sftp-server" ] && exec "$server/sftp-server"; done; '
    'echo "This image has no sftp-server: add the package openssh-sftp-server to it." >&2; exit 127'
)
_CONNECT = """
import os, socket, sys, threading
for address in ("127.0.0.1", "::1"):
    try:
        connection = socket.create_connection((address, int(sys.argv[1])), 10)
        break
    except OSError as error:
        reason = error
else:
    sys.exit(str(reason))
connection.settimeout(None)
os.write(1, b"+")
def give():
    try:
        while data := os.read(0, 65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
threading.Thread(target=give, daemon=True).start()
try:
    while data := connection.recv(65536):
        while data:
            data = data[os.write(1, data):]
except OSError:
    pass
"""
CONNECTED = b"+"
"""The first byte of a tunnel's output; its place is the dyno, so that loopback means the dyno's."""


class Kind(StrEnum):
    """What a channel is for."""

    SHELL = "shell"
    COMMAND = "command"
    SFTP = "sftp"
    TUNNEL = "tunnel"


@dataclass(frozen=True)
class Size:
    """A terminal's size in characters."""

    rows: int
    columns: int

    @property
    def known(self) -> bool:
        """Whether it makes sense; clients without a window send zeros."""
        return 0 < self.rows < 10_000 and 0 < self.columns < 10_000


@dataclass(frozen=True)
class Channel:
    """What a client wants in a dyno. ``term`` is its TERM, empty for none; ``size`` is None without a terminal."""

    kind: Kind
    command: str = ""
    port: int = 0
    term: str = ""
    size: Size | None = None

    def words(self, launcher: Sequence[str]) -> list[str]:
        """The program with its arguments; ``launcher`` gives a shell and a command the app's config vars."""
        if self.kind is Kind.SFTP:
            return ["/bin/sh", "-c", _SFTP]
        if self.kind is Kind.TUNNEL:
            return ["python3", "-I", "-S", "-c", _CONNECT, str(self.port)]
        return [*launcher, self.command if self.kind is Kind.COMMAND else SHELL]

    @property
    def variables(self) -> dict[str, str]:
        """The program's own variables."""
        usable = self.size is not None and self.term.isprintable() and len(self.term) <= _LONGEST_TERM
        return {"TERM": self.term} if usable and self.term else {}


class Frames:
    """Takes frames out of a stream of bytes."""

    def __init__(self) -> None:
        """At the beginning of a frame."""
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The letter and content of each frame that is whole now. Raises ``InvalidInputError`` for one too long."""
        held, found, place = self._held + data, [], 0
        while len(held) - place >= _HEADER.size:
            letter, length = _HEADER.unpack_from(held, place)
            if length > MAXIMUM:
                raise InvalidInputError("frame", f"is of {length} bytes, not up to {MAXIMUM}")
            start = place + _HEADER.size
            if len(held) < start + length:
                break
            found.append((letter, held[start : start + length]))
            place = start + length
        self._held = held[place:]
        return found


def frame(letter: bytes, content: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(letter, len(content)) + content


def pack(said: Channel | Size) -> bytes:
    """The content of a frame."""
    return json.dumps(asdict(said), ensure_ascii=False).encode()


def unpack_channel(content: bytes) -> Channel:
    """What ``pack`` was given. Raises ``InvalidInputError`` for anything else."""
    try:
        found = json.loads(content)
        size = found["size"]
        kind, command, port, term = Kind(found["kind"]), str(found["command"]), int(found["port"]), str(found["term"])
        return Channel(kind, command, port, term, None if size is None else _size(size))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError("channel", f"is not understood ({error!r})") from error


def unpack_size(content: bytes) -> Size:
    """What ``pack`` was given. Raises ``InvalidInputError`` for anything else."""
    try:
        return _size(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError("size", f"is not understood ({error!r})") from error


def _size(found: dict[str, int]) -> Size:
    return Size(int(found["rows"]), int(found["columns"]))
