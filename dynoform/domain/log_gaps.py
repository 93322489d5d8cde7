"""What of a dyno's log was lost on its host: files that were rotated away before they were read (L12).

The engine keeps two files per container, and removes the older one when the newer is full. A host's agent tells of each
file that was full; the log plane sees which lines came. A file that lies wholly between two lines that came one after
the other never was read: files are read in order and to their ends. The lines
at both sides of a file's end can be of the same microsecond.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MOST_DYNOS = 10_000
_TENTH = len("2026-11-23T23:10:17.1")
_JUMPS, _PENDING = 64, 1000
"""What is remembered of a dyno: gaps between its lines, and files that lines are behind of. A host that is starved
fills many files while one is read."""


@dataclass(frozen=True)
class Rotated:
    """A file that was full: times of its first and last line in their normal form, and how many lines it has."""

    first: str
    last: str
    lines: int
    exact: bool = True
    """Whether no file was full and gone before anybody looked."""


@dataclass
class _Dyno:
    newest: str = ""
    told: str = ""
    jumps: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=_JUMPS))
    """Lines that came one after the other, but not from the same tenth of a second: the gaps that a file fits into."""
    pending: "deque[Rotated]" = field(default_factory=lambda: deque(maxlen=_PENDING))


class Gaps:
    """Looks at each line of dynos and at each file, and finds files whose lines never came."""

    def __init__(self) -> None:
        """Knows nothing of earlier lines: what was lost before the first one is not found."""
        self._dynos: OrderedDict[tuple[str, str], _Dyno] = OrderedDict()

    def line(self, app_id: str, process: str, time: str) -> list[Rotated]:
        """A line has come; returns the files that were lost before it."""
        dyno = self._dyno(app_id, process)
        before = dyno.newest
        if time <= before:
            return []
        dyno.newest = time
        if before and before[:_TENTH] != time[:_TENTH]:
            dyno.jumps.append((before, time))
        if not dyno.pending:
            return []
        over = [each for each in dyno.pending if each.last <= time]
        for each in over:
            dyno.pending.remove(each)
        return [each for each in over if before and before <= each.first]

    def rotated(self, app_id: str, process: str, file: Rotated) -> list[Rotated]:
        """A file was full; returns it when it was lost. What is told twice counts once."""
        dyno = self._dyno(app_id, process)
        if file.last <= dyno.told:
            return []
        dyno.told = file.last
        if dyno.newest <= file.last:
            dyno.pending.append(file)
            return []
        lost = any(before <= file.first and file.last <= after for before, after in dyno.jumps)
        return [file] if lost else []

    def _dyno(self, app_id: str, process: str) -> _Dyno:
        key = app_id, process
        dyno = self._dynos.get(key)
        if dyno is None:
            dyno = self._dynos[key] = _Dyno()
            if len(self._dynos) > MOST_DYNOS:
                self._dynos.popitem(last=False)
        return dyno


def lost(process: str, file: Rotated) -> str:
    """Heroku's line for it; ``process`` is the dyno's name."""
    number = f"{file.lines}" if file.exact else f"at least {file.lines}"
    return f"Error L12 (Local buffer overflow): {number} messages of {process} dropped since {file.first}."
