"""What a drain is sent: Heroku's syslog lines, and which of an app's lines come next.

RFC 5424 in octet-counted frames, but without STRUCTURED-DATA and without the "-" in its place, as Heroku's
(https://devcenter.heroku.com/articles/log-drains).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from dynoform.domain.log_drains import BUFFER

TARGET_BYTES = 102_400
"""Text in one request, as in Heroku's Logplex (``http_drain_target_bytes``); a single line may be longer."""
HTTPS_HOST = "host"
"""In HTTPS drains, where a header has the drain's token; elsewhere the token is the line's host."""
_APP, _ROUTER, _SYSTEM, _LOGPLEX = b"<190>", b"<158>", b"<45>", b"<172>"
"""local7.info, local3.info, syslog.notice, local5.warning."""


@dataclass(frozen=True)
class Window:
    """The lines that a drain is due: numbers ``first`` to ``last``, after ``dropped`` that it will never get."""

    first: int
    last: int
    dropped: int = 0

    @property
    def waiting(self) -> int:
        """How many lines there are to send."""
        return self.last - self.first + 1


def window(delivered: int, newest: int, before: int) -> Window | None:
    """What comes after the line ``delivered``, when ``newest`` is the last and those up to ``before`` are not kept.

    No more than ``BUFFER`` lines wait; of more, the oldest are given up. None when there is nothing to send.
    """
    if newest <= delivered:
        return None
    first = max(delivered, newest - BUFFER, min(before, newest)) + 1
    return Window(first, newest, first - delivered - 1)


def syslog(line: bytes, host: str) -> bytes:
    """A kept line (``2026-… app[web.1]: text``) as one syslog frame, with the line end that Heroku counts in."""
    time, _, rest = line.partition(b" ")
    place, _, text = rest.partition(b"]: ")
    source, _, process = place.partition(b"[")
    message = b"%s1 %s %s %s %s - %s\n" % (_priority(source, process), time, host.encode(), source, process, text)
    return b"%d %s" % (len(message), message)


def cut(lines: Sequence[bytes], host: str) -> list[bytes]:
    """The frames of as many of the first lines as one request takes, at least one."""
    frames: list[bytes] = []
    size = 0
    for line in lines:
        frames.append(syslog(line, host))
        size += len(frames[-1])
        if size >= TARGET_BYTES:
            break
    return frames


def overflow(dropped: int, since: str, token: str = "") -> str:
    """Text of the line for lines that a drain will not get; the app's own log names the drain."""
    if token:
        return f"Error L10 (output buffer overflow): drain '{token}' dropped {dropped} messages since {since}."
    return f"Error L10 (output buffer overflow): {dropped} messages dropped since {since}."


def frame_id(token: str, run: str, window: Window) -> str:
    """``Logplex-Frame-Id``: the same for the same lines, so that a receiver knows a repeated request."""
    text = f"{token} {run} {window.first} {window.last} {window.dropped}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest().upper()


def _priority(source: bytes, process: bytes) -> bytes:
    if source == b"app":
        return _APP
    return {b"router": _ROUTER, b"logplex": _LOGPLEX}.get(process, _SYSTEM)
