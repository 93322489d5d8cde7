"""Which lines have come before: what was not acknowledged is sent again when either side was killed, and is kept once.

Each line says where its sender has it: in which file, at which offset. Within one session (a connection) nothing comes
twice; the first lines of a file in a new session may be known. The engine begins a file anew when it is full, so that
offsets begin anew, too, with later times.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MOST_FILES = 128
"""Files that are remembered per app: those that a line came from last."""


class Place(NamedTuple):
    """Where a line was read, or its number among those of a sender that has no file."""

    file: str
    offset: int


@dataclass(slots=True)
class _Mark:
    """The last line of a file that has come, and of the file that was there before it."""

    offset: int
    time: str
    old_offset: int = -1
    old_time: str = ""
    session: int = 0

    def knows(self, offset: int, time: str) -> bool:
        return (offset <= self.offset and time <= self.time) or (offset <= self.old_offset and time <= self.old_time)

    def move(self, offset: int, time: str) -> None:
        if offset <= self.offset:
            self.old_offset, self.old_time, self.time = self.offset, self.time, ""
        self.offset, self.time = offset, max(self.time, time)


class Marks:
    """How far an app's lines have come, by their senders' files."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._files: OrderedDict[str, _Mark] = OrderedDict()
        self._moved: set[str] = set()

    def take(self, place: Place, time: str, session: int) -> bool:
        """Whether a line is new, which is remembered. ``time`` in its normal form; ``session`` is 1 or more."""
        mark = self._files.get(place.file)
        if mark is None:
            mark = self._files[place.file] = _Mark(place.offset, time)
            if len(self._files) > MOST_FILES:
                self._files.popitem(last=False)
        elif mark.session != session and mark.knows(place.offset, time):
            return False
        elif mark.offset != place.offset or mark.time < time:  # else another piece of a long line
            mark.move(place.offset, time)
            self._files.move_to_end(place.file)
        mark.session = session
        self._moved.add(place.file)
        return True

    def moved(self) -> list[bytes]:
        """What has to be written down since the last time."""
        found = self._records(self._moved)
        self._moved.clear()
        return found

    def all(self) -> list[bytes]:
        """All that has to be written down."""
        self._moved.clear()
        return self._records(self._files)

    def load(self, records: Iterable[bytes]) -> None:
        """Remember what was written down; what is no record of ours is passed over."""
        for record in records:
            words = record.decode(errors="replace").split(" ")
            if len(words) == 5 and words[1].isdecimal() and words[3].lstrip("-").isdecimal():
                mark = _Mark(int(words[1]), words[2], int(words[3]), words[4])
                self._files[words[0]] = mark
                self._files.move_to_end(words[0])

    def _records(self, files: Iterable[str]) -> list[bytes]:
        marks = ((file, self._files.get(file)) for file in files)
        return [
            f"{file} {mark.offset} {mark.time} {mark.old_offset} {mark.old_time}".encode()
            for file, mark in marks
            if mark
        ]
