"""The last lines of each app, in memory, and the readers that follow them."""

import re
from collections import OrderedDict, deque
from collections.abc import Callable

HISTORY = 1_500
"""Lines kept per app, as on Heroku (https://devcenter.heroku.com/articles/logplex)."""
MAXIMUM_BYTES = 32 * 1024 * 1024
"""Text kept of all apps together; the app that has been silent longest gives up its oldest lines first."""
_OVERHEAD = 48  # what Python adds to a short bytes object and its place in the deque

Follower = Callable[[bytes], None]


class Buffers:
    """All apps' lines. Not for several threads: the server's event loop is the only user."""

    def __init__(self, history: int = HISTORY, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        """``history`` lines per app, ``maximum_bytes`` in all."""
        self.history = history
        self.maximum_bytes = maximum_bytes
        self.bytes = 0
        self._apps: OrderedDict[str, deque[bytes]] = OrderedDict()
        self._followers: dict[str, list[Follower]] = {}

    def append(self, app_id: str, line: bytes) -> None:
        """Keep a rendered line and hand it to the app's followers."""
        lines = self._apps.get(app_id)
        if lines is None:
            lines = self._apps[app_id] = deque()
        else:
            self._apps.move_to_end(app_id)
        lines.append(line)
        self.bytes += len(line) + _OVERHEAD
        if len(lines) > self.history:
            self._drop_oldest(lines)
        while self.bytes > self.maximum_bytes:
            self._shrink()
        for follower in self._followers.get(app_id, ()):
            follower(line)

    def last(self, app_id: str, number: int, wanted: re.Pattern[bytes] | None = None) -> list[bytes]:
        """The app's last ``number`` lines that begin with ``wanted``, oldest first."""
        found: list[bytes] = []
        for line in reversed(self._apps.get(app_id, deque())):
            if len(found) >= number:
                break
            if wanted is None or wanted.match(line):
                found.append(line)
        return found[::-1]

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
        app_id, lines = next(iter(self._apps.items()))
        self._drop_oldest(lines)
        if not lines:
            del self._apps[app_id]

    def _drop_oldest(self, lines: deque[bytes]) -> None:
        self.bytes -= len(lines.popleft()) + _OVERHEAD
