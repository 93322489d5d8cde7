"""Which certificate routers show for which name, as entries of HAProxy's list of certificates (crt-list)."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

MAXIMUM_PEM_BYTES = 15 * 1024
"""Of chain and key: HAProxy takes no more in one command of its runtime API, whose buffer has 16 KiB."""
_MAXIMUM_NAMES_LENGTH = 8 * 1024
"""Of one entry, for the same reason."""


@dataclass(frozen=True, order=True)
class Entry:
    """One certificate for some names; others of the same certificate may follow."""

    source: str
    """Id of the SNI endpoint."""
    version: str
    """Another one for another content of it."""
    names: tuple[str, ...]
    """``www.example.com``, ``*.example.com``"""

    @cached_property
    def file(self) -> str:
        """A name that no other content and no other names have, so that whoever has the file's name has all of it."""
        text = "\n".join((self.source, self.version, *self.names))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.pem"


def entries(rows: Iterable[tuple[str, str, str]]) -> list[Entry]:
    """The entries for rows of (source, version, host name), sorted."""
    names: dict[tuple[str, str], list[str]] = {}
    for source, version, hostname in rows:
        names.setdefault((source, version), []).append(hostname)
    return sorted(
        Entry(source, version, portion)
        for (source, version), found in names.items()
        for portion in _portions(sorted(found))
    )


def _portions(names: list[str]) -> Iterator[tuple[str, ...]]:
    portion: list[str] = []
    for name in names:
        if portion and sum(map(len, portion)) + len(portion) + len(name) > _MAXIMUM_NAMES_LENGTH:
            yield tuple(portion)
            portion = []
        portion.append(name)
    yield tuple(portion)
