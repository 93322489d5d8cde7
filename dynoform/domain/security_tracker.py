"""What Debian's security tracker knows of each source package, as it gives it to ``debsecan``: a small file, by suite.

Format, as debsecan reads it: ``VERSION 1``; a line ``name,flags,description`` for each vulnerability, then an empty
one; a line ``package,number of the vulnerability,flags,fixed version,other fixed versions`` for each package that has
it, then an empty one. All of it compressed by zlib.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dynoform.domain.debian_versions import Version, source
from dynoform.errors import InvalidInputError

URL = "https://security-tracker.debian.org/tracker/debsecan/release/1/trixie"
SECONDS = 20
MOST_BYTES = 64 * 1024 * 1024
_BINARY = "B"


@dataclass(frozen=True)
class _Flaw:
    """A vulnerability of a source package: versions before ``fixed`` have it, but for ``others``."""

    name: str
    fixed: str
    others: frozenset[str]

    def is_in(self, version: str) -> bool:
        """Whether a version of the source has it."""
        return version not in self.others and (not self.fixed or Version(version) < Version(self.fixed))


class Tracker:
    """The flaws of all source packages."""

    def __init__(self, flaws: Mapping[str, Sequence[_Flaw]]) -> None:
        """By source package; made by ``read``."""
        self._flaws = flaws

    def closed(self, package: str, before: str, after: str) -> list[str]:
        """What a source package's one version has and the other has not, by name; versions may be of rebuilds."""
        old, new = source(before), source(after)
        found = {flaw.name for flaw in self._flaws.get(package, ()) if flaw.is_in(old) and not flaw.is_in(new)}
        return sorted(found)


def read(data: bytes) -> Tracker:
    """What the tracker has sent. Raises ``InvalidInputError`` when it is something else."""
    try:
        unpacked = zlib.decompressobj().decompress(data, MOST_BYTES)
        lines = iter(unpacked.decode().splitlines())
        if next(lines, "") != "VERSION 1":
            raise ValueError("VERSION 1")
        names = [line.split(",", 2)[0] for line in _part(lines)]
        flaws: dict[str, list[_Flaw]] = defaultdict(list)
        for line in _part(lines):
            package, number, flags, fixed, others = line.split(",", 4)
            if not flags.startswith(_BINARY):
                flaws[package].append(_Flaw(names[int(number)], fixed, frozenset(others.split())))
    except (ValueError, IndexError, zlib.error):
        raise InvalidInputError("answer of Debian's security tracker", "has another format", "tell us") from None
    return Tracker(flaws)


def _part(lines: Iterator[str]) -> Iterator[str]:
    """Lines up to an empty one."""
    for line in lines:
        if not line:
            return
        yield line
