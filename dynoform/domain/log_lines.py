"""Log lines: RFC 5424 in octet-counted frames on the wire, Heroku's form on the screen.

``2026-11-23T23:10:17.123456+00:00 app[web.1]: text``; sources are ``app`` and ``heroku``, processes are dynos or parts
of the platform (https://devcenter.heroku.com/articles/logging). Lines longer than 10,000 bytes are split.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from dynoform.domain import router_log
from dynoform.domain.log_repeats import Place

MAXIMUM_BYTES = 10_000
"""A longer line is split into pieces of this many bytes (https://devcenter.heroku.com/articles/limits)."""
MAXIMUM_FRAME = 256 * 1024
ROUTER = "router"
"""APP-NAME of HAProxy's lines: their message is JSON and names the app itself."""
ROTATED = "rotated"
"""Source of what a host's agent tells of a dyno's files, which is no line of a log (see ``log_gaps``)."""
MARK = b" mark "
"""In what a log agent sends to see whether the log plane is there."""

_MESSAGE = re.compile(
    rb"<\d{1,3}>1 (?P<time>\S+) \S+ (?P<app>\S+) (?P<process>\S+) (?P<id>\S+)"
    rb' (?:-|\[read file="(?P<file>[\w-]{1,40})" at="(?P<at>\d{1,18})"\]|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)'
    rb"(?: (?P<text>.*))?",
    re.DOTALL,
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_PROCESS = re.compile(r"[\w.-]{1,80}")
# Colours pass, as on Heroku; other control characters could drive the reader's terminal.
_CONTROL = re.compile("(\x1b\\[[0-9;]{0,20}m)|[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_ORIGIN = 200
_FRAME = re.compile(rb"([1-9]\d{0,8}) ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an app's log."""

    app_id: str
    """The app's UUID in its usual form."""
    source: str
    """``app`` or ``heroku``."""
    process: str
    """``web.1``, ``router``, ``api`` …"""
    time: str
    """``2026-11-23T23:10:17.123456+00:00``"""
    text: str
    place: Place | None = None
    """Where its sender has it; None for one that does not say."""

    def render(self) -> bytes:
        """The line as a reader sees it, without a line end."""
        return f"{self.time} {self.source}[{self.process}]: {self.text}".encode()


@dataclass(frozen=True)
class Filter:
    """Which lines a reader wants; an empty field wants all."""

    source: str = ""
    dyno: str = ""
    """``web.1``, or ``web`` for all dynos of that type."""

    def pattern(self) -> re.Pattern[bytes] | None:
        """What a wanted line, rendered, begins with; None when every line is wanted."""
        if not self.source and not self.dyno:
            return None
        source = re.escape(self.source) or r"\w+"
        dyno = re.escape(self.dyno) + r"(?:\.[\w.-]+)?" if self.dyno else r"[\w.-]+"
        return re.compile(rf"\S+ {source}\[{dyno}\]: ".encode())


class FrameError(ValueError):
    """A sender that keeps to no framing we know; its connection cannot be read any further."""


class Framer:
    """Cuts a byte stream into messages: octet-counted (RFC 6587 3.4.1), or lines where a sender does not count."""

    def __init__(self) -> None:
        """Starts with nothing received."""
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises ``FrameError`` for a frame that is too long to be one."""
        self._rest = self._rest + data if self._rest else data
        messages: list[bytes] = []
        start = 0
        while (cut := self._next(start)) is not None:
            begin, end = cut
            messages.append(self._rest[begin:end])
            start = end
        self._rest = self._rest[start:]
        if len(self._rest) > MAXIMUM_FRAME:
            raise FrameError(f"no end of message within {MAXIMUM_FRAME} bytes")
        return messages

    def _next(self, start: int) -> tuple[int, int] | None:
        while self._rest[start : start + 1] in (b"\n", b"\0"):
            start += 1
        counted = _FRAME.match(self._rest, start)
        if counted:
            end = counted.end() + int(counted[1])
            if end - counted.end() > MAXIMUM_FRAME:
                raise FrameError(f"a message of {counted[1].decode()} bytes")
            return (counted.end(), end) if end <= len(self._rest) else None
        if self._rest[start : start + 1].isdigit():
            return None
        newline = self._rest.find(b"\n", start)
        return (start, newline) if newline >= 0 else None


def parse(message: bytes, received: datetime) -> Iterator[Line]:
    """The lines in one RFC 5424 message, split and cleaned; none when it is not one or names no app.

    ``received`` stands in for a missing time.
    """
    match = _MESSAGE.fullmatch(message)
    if match is None:
        return
    head, (file, at, body) = match.group("time", "app", "process", "id"), match.group("file", "at", "text")
    time, name, process, message_id = b" ".join(head).decode(errors="replace").split(" ")
    text = (body or b"").removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    if name == ROUTER:
        entry = router_log.read(text)
        if entry is None:
            return
        name, process, message_id, time, text = entry.app_id, ROUTER, "", entry.time, entry.text
    origin = _origin(name, process, message_id == "app") if len(name) + len(process) < _LONGEST_ORIGIN else None
    if origin is None:
        return
    app_id, source, place = origin
    moment = normal_time(time) or normal_time(received.isoformat()) or ""
    read = Place(file.decode(), int(at)) if file else None
    for piece in pieces(clean(text)):
        yield Line(app_id, source, place, moment, piece, read)


@lru_cache(maxsize=1024)
def _origin(name: str, process: str, own: bool) -> tuple[str, str, str] | None:
    """App, source and process, of which there are few and lines many; None for what is no app's. ``own``: a dyno's."""
    source, place = ("app", process) if own else split_process(process)
    app_id = canonical_id(name)
    return (app_id, source, place) if app_id and _PROCESS.fullmatch(place) else None


def split_process(process: str) -> tuple[str, str]:
    """Source and process of ``heroku.web.1`` or ``app.api``; without a known source it is Heroku's."""
    source, _, place = process.partition(".")
    return (source, place) if source in {"app", "heroku", ROTATED} and place else ("heroku", process)


def canonical_id(text: str) -> str | None:
    """An app's UUID in its usual form; None for what is no UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def normal_time(text: str) -> str | None:
    """A moment in UTC with six digits of a second, as Heroku writes it; None when ``text`` is no RFC 3339 time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    fraction = f"{fraction or '':0<6.6}"
    if zone in {"Z", "+00:00"}:
        return f"{seconds}.{fraction}+00:00"
    try:
        moment = datetime.fromisoformat(f"{seconds}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="microseconds")


def clean(text: str) -> str:
    """``text`` as one line that cannot drive a terminal: control characters but tabs and colours become U+FFFD."""
    return _CONTROL.sub(lambda match: match[1] or "\ufffd", text.rstrip("\r\n\0"))


def pieces(text: str) -> Iterator[str]:
    """``text`` in pieces of at most 10,000 bytes that never cut a character in two."""
    if len(text) <= MAXIMUM_BYTES and text.isascii():
        yield text
        return
    raw = text.encode(errors="replace")
    if len(raw) <= MAXIMUM_BYTES:
        yield raw.decode()
        return
    start = 0
    while start < len(raw):
        end = min(start + MAXIMUM_BYTES, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        yield raw[start:end].decode()
        start = end


def message(app_id: object, source: str, process: str, text: str, time: datetime, place: Place | None = None) -> bytes:
    """A line of ours on its way to the log plane, as RFC 5424. ``time`` has a zone."""
    moment = time.astimezone(UTC).isoformat(timespec="microseconds")
    data = f'[read file="{place.file}" at="{place.offset}"]' if place else "-"
    return f"<190>1 {moment} dynoform {app_id} {source}.{process} - {data} {text}".encode(errors="replace")


def frame(app_id: object, source: str, process: str, text: str, time: datetime) -> bytes:
    """The same in an octet-counted frame (RFC 6587 3.4.1)."""
    content = message(app_id, source, process, text, time)
    return b"%d %s" % (len(content), content)
