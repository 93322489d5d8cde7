"""Which of two versions of a Debian package is the newer one (https://www.debian.org/doc/debian-policy/ch-controlfields.html#version)."""

import itertools
import re
from functools import total_ordering

_PARTS = re.compile(r"(\D*)(\d*)")
_REBUILD = re.compile(r"\+b\d+$")


@total_ordering
class Version:
    """``epoch:upstream-revision``, ordered as dpkg orders it."""

    def __init__(self, text: str) -> None:
        """Of any text: what is no version is ordered somehow, and always in the same way."""
        epoch, colon, rest = text.partition(":")
        if not colon or not epoch.isdecimal():
            epoch, rest = "0", text
        upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
        self.text = text
        self._key = (int(epoch), _Ordered(upstream), _Ordered(revision))

    def __eq__(self, other: object) -> bool:
        """Whether dpkg calls them the same."""
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: "Version") -> bool:
        """Whether this is the older one."""
        return self._key < other._key

    def __hash__(self) -> int:
        """As ``__eq__``."""
        return hash(self._key[0])


@total_ordering
class _Ordered:
    """A part of a version: words and numbers in turn."""

    def __init__(self, text: str) -> None:
        self.parts = [(word, int(number or 0)) for word, number in _PARTS.findall(text)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ordered) and not self < other and not other < self

    def __lt__(self, other: "_Ordered") -> bool:
        for mine, theirs in itertools.zip_longest(self.parts, other.parts, fillvalue=("", 0)):
            keys = _weights(mine[0], len(theirs[0])), _weights(theirs[0], len(mine[0]))
            if keys[0] != keys[1]:
                return keys[0] < keys[1]
            if mine[1] != theirs[1]:
                return mine[1] < theirs[1]
        return False

    def __hash__(self) -> int:
        return 0


def _weights(word: str, least: int) -> list[int]:
    """A tilde sorts before the end, the end before letters, those before all else."""
    found = [-1 if one == "~" else ord(one) if one.isalpha() else ord(one) + 256 for one in word]
    return found + [0] * (max(least, len(word)) - len(word))


def source(version: str) -> str:
    """The source's version of a package's: without the number of a rebuild."""
    return _REBUILD.sub("", version)
