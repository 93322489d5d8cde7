"""The last lines of each app, in memory, and the readers that follow them."""

import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

HISTORY = 1_500
"""Lines kept per app, as on Heroku (https://devcenter.heroku.com/articles/logplex)."""
MAXIMUM_BYTES = 32 * 1024 * 1024
"""Text kept of all apps together; the app that has been silent longest gives up its oldest lines first."""
_OVERHEAD = 48  # what Python adds to a short bytes object and its place in the deque


class Numbered(NamedTuple):
    """A line and its number among the app's: the next one is one more. None for what is no line of the app's."""

    number: int | None
    line: bytes


Follower = Callable[[Numbered], None]


class _App:
    """One app's lines; ``newest`` is the last one's number."""

    __slots__ = ("lines", "newest")

    def __init__(self, newest: int) -> None:
        self.lines: deque[bytes] = deque()
        self.newest = newest

    @property
    def before(self) -> int:
        """The number of the line before the oldest that is kept."""
        return self.newest - len(self.lines)


class Buffers:
    """All apps' lines. Not for several threads: the server's event loop is the only user."""

    def __init__(self, history: int = HISTORY, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        """``history`` lines per app, ``maximum_bytes`` in all."""
        self.history = history
        self.maximum_bytes = maximum_bytes
        self.bytes = 0
        self.run = secrets.token_hex(4)
        """Tells numbers of this process from those of the one before it, whose lines are gone."""
        self._apps: OrderedDict[str, _App] = OrderedDict()
        self._highest = 0
        self._followers: dict[str, list[Follower]] = {}

    def append(self, app_id: str, line: bytes) -> None:
        """Keep a rendered line and hand it to the app's followers."""
        app = self._apps.get(app_id)
        if app is None:
            # Not from 0: one whose lines all went would give numbers a second time.
            app = self._apps[app_id] = _App(self._highest)
        else:
            self._apps.move_to_end(app_id)
        app.lines.append(line)
        app.newest += 1
        self._highest = max(self._highest, app.newest)
        numbered = Numbered(app.newest, line)
        self.bytes += len(line) + _OVERHEAD
        if len(app.lines) > self.history:
            self._drop_oldest(app)
        while self.bytes > self.maximum_bytes:
            self._shrink()
        for follower in self._followers.get(app_id, ()):
            follower(numbered)

    def last(self, app_id: str, number: int, wanted: re.Pattern[bytes] | None = None) -> list[Numbered]:
        """The app's last ``number`` lines that begin with ``wanted``, oldest first."""
        found: list[Numbered] = []
        app = self._apps.get(app_id) or _App(0)
        for distance, line in enumerate(reversed(app.lines)):
            if len(found) >= number:
                break
            if wanted is None or wanted.match(line):
                found.append(Numbered(app.newest - distance, line))
        return found[::-1]

    def after(self, app_id: str, number: int, wanted: re.Pattern[bytes] | None = None) -> list[Numbered]:
        """The app's lines after the one with this number that begin with ``wanted``, oldest first."""
        app = self._apps.get(app_id) or _App(0)
        start = max(0, number - app.before)
        numbered = enumerate(islice(app.lines, start, None), app.before + start + 1)
        return [Numbered(each, line) for each, line in numbered if wanted is None or wanted.match(line)]

    def missing(self, app_id: str, number: int) -> int:
        """How many lines after the one with this number are not kept any more."""
        app = self._apps.get(app_id) or _App(0)
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

    def _shrink(self) -> None:
        app_id, app = next(iter(self._apps.items()))
        self._drop_oldest(app)
        if not app.lines:
            del self._apps[app_id]

    def _drop_oldest(self, app: _App) -> None:
        self.bytes -= len(app.lines.popleft()) + _OVERHEAD
