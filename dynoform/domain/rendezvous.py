"""The rendezvous protocol of ``heroku run``: what is said before the bytes, and what the bytes need on their way.

A client connects by TLS, sends the secret of its ``attach_url`` and throws away the first chunk that it gets: the
greeting. After that bytes go both ways as they are. https://devcenter.heroku.com/articles/one-off-dynos
"""

import hashlib
import re
import secrets

GREETING = b"rendezvous\r\n"
GREETING_SECONDS = 0.3
"""Between the greeting and the first output: a client that gets both in one chunk loses the output."""
MEETING_SECONDS = 15
"""How long the relay lets a client wait for its dyno."""
ATTACH_SECONDS = 30
"""How long after it was asked for a dyno waits for its client (then comes Heroku's R13)."""
IDLE_SECONDS = 3600
"""Connections without a byte either way for this long are closed, as Heroku's are."""
MET = b"\n"
"""What the relay sends to the dyno's side when the client is there."""
EOT = b"\x04"
"""Ends the input of a client without a terminal."""
_SECRET_BYTES = 32
SECRET_LENGTH = 43
"""Characters of a secret: 32 bytes in URL-safe base64."""
_MARKER = "\uffff heroku-command-exit-status: ".encode()
_WHOLE_MARKER = re.compile(re.escape(_MARKER) + rb"\d{1,3}\r?\n")


def new_secret() -> str:
    """A secret for one attachment."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    """What the store and the dyno's side know of a secret: SHA-256, as hexadecimal digits.

    Secrets are random and long, so one round is enough.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


class ExitStatus:
    """Keeps the line with the exit status (``heroku run --exit-code``) in one piece: the client looks for it per chunk.

    All other bytes pass at once.
    """

    def __init__(self) -> None:
        """Nothing has been held back yet."""
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that can be sent now, a whole status line as one of its own; a part of one is held back."""
        data = self._held + data
        chunks: list[bytes] = []
        while found := _WHOLE_MARKER.search(data):
            chunks += [data[: found.start()], found[0]]
            data = data[found.end() :]
        start = _beginning(data)
        self._held = data[start:]
        return [chunk for chunk in (*chunks, data[:start]) if chunk]

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def rest(self) -> bytes:
        """What is held back, when nothing more comes."""
        held, self._held = self._held, b""
        return held


def is_status(chunk: bytes) -> bool:
    """Whether a chunk of ``ExitStatus`` is a status line."""
    return chunk.startswith(_MARKER)


def _beginning(data: bytes) -> int:
    """Where a status line begins that has not ended yet; the length of ``data`` if there is none."""
    start = data.rfind(_MARKER[:3])
    if start >= 0:
        line = data[start:]
        head, digits = line[: len(_MARKER)], line[len(_MARKER) :]
        if _MARKER.startswith(head) and re.fullmatch(rb"\d{0,3}\r?", digits):
            return start
    for length in (2, 1):
        if data.endswith(_MARKER[:length]):
            return len(data) - length
    return len(data)
