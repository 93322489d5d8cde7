"""The last lines of each app, in memory and in files, and the readers that follow them."""

import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from dynoform.domain.log_repeats import Marks, Place
from dynoform.logplex.files import Files

HISTORY = 1_500
"""Lines kept per app, as on Heroku (https://devcenter.heroku.com/articles/logplex)."""
MAXIMUM_BYTES = 32 * 1024 * 1024
"""Text kept of all apps together; the app that has been silent longest gives up its oldest lines first."""
KEPT_SECONDS = 7 * 24 * 3600
"""Lines of an app that writes nothing for a week go, as on Heroku."""
_OVERHEAD = 48  # what Python adds to a short bytes object and its place in the deque


class Numbered(NamedTuple):
    """A line and its number among the app's: the next one is one more. None for what is no line of the app's."""

    number: int | None
    line: bytes


Follower = Callable[[Numbered], None]


class _App:
    """One app's lines; ``newest`` is the last one's number."""

    __slots__ = ("at", "filed", "lines", "marks", "newest")

    def __init__(self, newest: int, at: float) -> None:
        self.lines: deque[bytes] = deque()
        self.newest = newest
        self.marks = Marks()
        self.at = at
        """When the last line came, in seconds since 1970."""
        self.filed: int | None = 0
        """Lines in its file; None when that has to be written anew."""

    @property
    def before(self) -> int:
        """The number of the line before the oldest that is kept."""
        return self.newest - len(self.lines)


_NOTHING = _App(0, 0)


class Buffers:
    """All apps' lines. Not for several threads: the server's event loop is the only user."""

    def __init__(self, history: int = HISTORY, maximum_bytes: int = MAXIMUM_BYTES, files: Files | None = None) -> None:
        """``history`` lines per app, ``maximum_bytes`` in all; without ``files`` they are gone with the process."""
        self.history = history
        self.maximum_bytes = maximum_bytes
        self.bytes = 0
        self.files = files
        self.run = files.run() if files else secrets.token_hex(4)
        """Tells numbers from those of another log plane, whose lines are gone."""
        self._apps: OrderedDict[str, _App] = OrderedDict()
        # An app's numbers must not come again when all its lines, and their file, have gone in the meantime.
        self._highest = time.time_ns() // 1000 if files else 0
        self._followers: dict[str, list[Follower]] = {}
        self._unwritten: dict[str, int] = {}
        if files:
            self._load(files)

    def take(self, app_id: str, place: Place, time_: str, session: int) -> bool:
        """Whether a line of the app has not come before; it has then, and has to be appended (see ``Marks``)."""
        return self._app(app_id).marks.take(place, time_, session)

    def append(self, app_id: str, line: bytes) -> None:
        """Keep a rendered line and hand it to the app's followers."""
        app = self._app(app_id)
        self._apps.move_to_end(app_id)
        app.at = time.time()
        app.lines.append(line)
        app.newest += 1
        self._highest = max(self._highest, app.newest)
        numbered = Numbered(app.newest, line)
        self.bytes += len(line) + _OVERHEAD
        if len(app.lines) > self.history:
            self._drop_oldest(app)
        while self.bytes > self.maximum_bytes:
            self._shrink()
        if self.files:
            self._unwritten[app_id] = self._unwritten.get(app_id, 0) + 1
        for follower in self._followers.get(app_id, ()):
            follower(numbered)

    def flush(self) -> None:
        """Write what was appended to the apps' files: what a follower does with a line comes after that."""
        for app_id, number in self._unwritten.items():
            if self.files and (app := self._apps.get(app_id)):
                self._write(self.files, app_id, app, number)
        self._unwritten.clear()

    def expire(self, now: float) -> None:
        """Drop the lines of apps that have written nothing for a week; ``now`` is in seconds since 1970."""
        while self._apps:
            app_id, app = next(iter(self._apps.items()))
            if app.at > now - KEPT_SECONDS:
                return
            while app_id in self._apps:
                self._shrink()

    def last(self, app_id: str, number: int, wanted: re.Pattern[bytes] | None = None) -> list[Numbered]:
        """The app's last ``number`` lines that begin with ``wanted``, oldest first."""
        found: list[Numbered] = []
        app = self._apps.get(app_id) or _NOTHING
        for distance, line in enumerate(reversed(app.lines)):
            if len(found) >= number:
                break
            if wanted is None or wanted.match(line):
                found.append(Numbered(app.newest - distance, line))
        return found[::-1]

    def after(self, app_id: str, number: int, wanted: re.Pattern[bytes] | None = None) -> list[Numbered]:
        """The app's lines after the one with this number that begin with ``wanted``, oldest first."""
        app = self._apps.get(app_id) or _NOTHING
        start = max(0, number - app.before)
        numbered = enumerate(islice(app.lines, start, None), app.before + start + 1)
        return [Numbered(each, line) for each, line in numbered if wanted is None or wanted.match(line)]

    def bounds(self, app_id: str) -> tuple[int, int]:
        """The number before that of the app's oldest line, and that of its newest."""
        app = self._apps.get(app_id)
        return (app.before, app.newest) if app else (0, 0)

    def texts(self, app_id: str, first: int, number: int) -> list[bytes]:
        """Up to ``number`` lines of the app, from the one with the number ``first`` on."""
        app = self._apps.get(app_id) or _NOTHING
        start = max(0, first - 1 - app.before)
        return [*islice(app.lines, start, start + number)]

    def missing(self, app_id: str, number: int) -> int:
        """How many lines after the one with this number are not kept any more."""
        app = self._apps.get(app_id) or _NOTHING
        return max(0, app.before - number)

    def follow(self, app_id: str, follower: Follower) -> None:
        """Call ``follower`` with each new line of the app until ``leave``."""
        self._followers.setdefault(app_id, []).append(follower)

    def leave(self, app_id: str, follower: Follower) -> None:
        """Stop calling ``follower``; nothing happens when it does not follow."""
        remaining = [other for other in self._followers.get(app_id, []) if other != follower]
        if remaining:
            self._followers[app_id] = remaining
        else:
            self._followers.pop(app_id, None)

    def __len__(self) -> int:
        """How many apps have lines."""
        return len(self._apps)

    def _app(self, app_id: str) -> _App:
        app = self._apps.get(app_id)
        if app is None:
            # Not from 0: one whose lines all went would give numbers a second time.
            app = self._apps[app_id] = _App(self._highest, 0)
        return app

    def _shrink(self) -> None:
        app_id, app = next(iter(self._apps.items()))
        self._drop_oldest(app)
        if not app.lines:
            del self._apps[app_id]
            if self.files:
                self.files.remove(app_id)

    def _drop_oldest(self, app: _App) -> None:
        self.bytes -= len(app.lines.popleft()) + _OVERHEAD

    def _load(self, files: Files) -> None:
        for kept in files.load(self.history):
            app = self._apps[kept.app_id] = _App(kept.first - 1 + len(kept.lines), kept.at)
            app.lines.extend(kept.lines)
            app.marks.load(kept.marks)
            app.filed = None  # its file may end in the middle of a line
            self._highest = max(self._highest, app.newest)
            self.bytes += sum(map(len, kept.lines)) + _OVERHEAD * len(kept.lines)
            while self.bytes > self.maximum_bytes:
                self._shrink()

    def _write(self, files: Files, app_id: str, app: _App, number: int) -> None:
        if app.filed is None or app.filed + number > 2 * self.history:
            written, count = files.write(app_id, app.before + 1, app.lines, app.marks.all()), len(app.lines)
        else:
            lines = [*islice(reversed(app.lines), number)][::-1]
            first = app.newest - len(lines) + 1
            written = files.append(app_id, first, lines, app.marks.moved(), new=not app.filed)
            count = app.filed + len(lines)
        app.filed = count if written else None
