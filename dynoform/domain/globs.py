"""Paths with wildcards, matched in a time that grows with their lengths: users write the patterns, and the names."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

_ANY = None
"""``**``: any number of folders."""


@dataclass(frozen=True)
class Glob:
    """A pattern, part by part. ``*``, ``?`` and ``[abc]`` stay within a name; ``**`` alone is any number of folders."""

    parts: Sequence[re.Pattern[str] | None]

    def matches(self, path: Sequence[str]) -> bool:
        """Whether it is a pattern of this path, given in parts."""
        return len(self.parts) in self._ends(path)[-1]

    def shortest(self, path: Sequence[str]) -> int | None:
        """How many parts of ``path``, at least, it is a pattern of: all, or those of a folder that the path is in.

        None when it is of none.
        """
        ends = self._ends(path)
        return next((count for count in range(1, len(path) + 1) if len(self.parts) in ends[count]), None)

    def _ends(self, path: Sequence[str]) -> list[set[int]]:
        """How many parts of the pattern can have been matched after each number of parts of the path."""
        places = [self._skipped({0})]
        for name in path:
            following = set()
            for place in places[-1]:
                if place == len(self.parts):
                    continue
                part = self.parts[place]
                if part is _ANY:
                    following.add(place)
                elif part.match(name):
                    following.add(place + 1)
            places.append(self._skipped(following))
        return places

    def _skipped(self, places: set[int]) -> set[int]:
        found = set(places)
        for place in sorted(places):
            while place < len(self.parts) and self.parts[place] is _ANY:
                place += 1
                found.add(place)
        return found


def parse(pattern: str, *, floating: bool = False) -> Glob:
    """The pattern that ``pattern`` writes, parts parted by slashes; a ``floating`` one may begin in any folder."""
    parts = [_ANY if part == "**" else re.compile(_translated(part)) for part in pattern.split("/") if part]
    return Glob([_ANY, *parts] if floating else parts)


def _translated(part: str) -> str:
    # As Git and Go negate a set; fnmatch does it the shell's way. Its stars never look back.
    return fnmatch.translate(part.replace("[^", "[!"))
