"""One reader's queue: bounded, so that a slow reader loses lines (and is told, L11) instead of filling the memory."""

import asyncio
import re
from collections import deque
from datetime import UTC, datetime

from dynoform.logplex.buffers import Numbered

LIMIT = 1_024
"""Lines that may wait for one reader."""
_TOLD = b"heroku[logplex]: Error L12 "


class Tail:
    """New lines on their way to one reader."""

    def __init__(self, wanted: re.Pattern[bytes] | None = None, limit: int = LIMIT) -> None:
        """``wanted`` is what lines have to begin with; None takes all."""
        self.wanted = wanted
        self.limit = limit
        self._lines: deque[Numbered] = deque()
        self._dropped = 0
        self._since = ""
        self._filled = asyncio.Event()

    def put(self, numbered: Numbered) -> None:
        """Take a line, or count it as dropped when too many wait already."""
        if self.wanted is not None and not self.wanted.match(numbered.line):
            return
        # What was lost on a host is told in any case: these lines are few, and each stands for many.
        if len(self._lines) >= self.limit and not is_told(numbered.line):
            self._since = self._since or _now()
            self._dropped += 1
            return
        self._lines.append(numbered)
        self._filled.set()

    async def take(self) -> list[Numbered]:
        """All lines that wait, at least one; ends with an L11 line when some were dropped after them."""
        await self._filled.wait()
        self._filled.clear()
        lines = [*self._lines]
        self._lines.clear()
        if self._dropped:
            lines.append(overflow(self._dropped, self._since))
            self._dropped, self._since = 0, ""
        return lines


def overflow(dropped: int, since: str = "") -> Numbered:
    """Heroku's line for lines that a reader was too slow for; ``since`` when, which is now if it is not known."""
    moment = _now()
    text = f"Error L11 (Tail buffer overflow) -> This buffer dropped {dropped} messages since {since or moment}."
    return Numbered(None, f"{moment} heroku[logplex]: {text}".encode())


def is_told(line: bytes) -> bool:
    """Whether the platform says in it what was lost on a host; an app's line cannot, as its source comes first."""
    return line.partition(b" ")[2].startswith(_TOLD)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
