"""The router's directory: the configuration in force, written so that a reader never sees half of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from dynoform.router.rendering import API_CERTIFICATE, HOSTS

CONFIGURATION = "haproxy.cfg"
SOCKET = "master.sock"
READERS = 0o644
OWNER = 0o600
Identity = tuple[int, int, int]


@dataclass(frozen=True)
class Files:
    """What is on disk; None for a file that is not there."""

    configuration: str | None
    hosts: str | None
    certificate: str | None = None


class Directory:
    """The volume that the agent shares with HAProxy."""

    def __init__(self, path: Path) -> None:
        """``path`` exists and is writable."""
        self.path = path
        self._seen: dict[str, tuple[Identity, str]] = {}

    def current(self) -> Files:
        """The files as they are."""
        return Files(self._read(CONFIGURATION), self._read(HOSTS), self._read(API_CERTIFICATE))

    def write(self, wanted: Files) -> None:
        """Put the files in place, the configuration after those that it names. ``None`` takes one away."""
        named, configuration = ((HOSTS, wanted.hosts), (API_CERTIFICATE, wanted.certificate)), wanted.configuration
        for name, text in (*named, (CONFIGURATION, configuration)):
            if text is not None and text != self._read(name):
                self._replace(name, text)
        for name, text in ((CONFIGURATION, configuration), *named):
            if text is None:
                (self.path / name).unlink(missing_ok=True)

    def _read(self, name: str) -> str | None:
        """The file's content, read again only when it is another file or was written since."""
        path = self.path / name
        try:
            found = identity(path.stat())
            seen = self._seen.get(name)
            if seen is None or seen[0] != found:
                seen = self._seen[name] = (found, path.read_text())
        except FileNotFoundError:
            return None
        return seen[1]

    def _replace(self, name: str, text: str) -> None:
        put(self.path / name, text, secret=name == API_CERTIFICATE)


def identity(found: os.stat_result) -> Identity:
    """What is another for another content of a file: files here are replaced, not changed."""
    return found.st_ino, found.st_mtime_ns, found.st_size


def put(path: Path, text: str, *, secret: bool) -> None:
    """Write a file, in one piece for whoever reads it; a ``secret`` one is for the owner of its directory alone."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if secret:
            # HAProxy's, which owns the directory, and nobody else's: there is a key in it.
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(file.fileno(), OWNER)
        else:
            os.fchmod(file.fileno(), READERS)
        os.fsync(file.fileno())
    temporary.replace(path)
