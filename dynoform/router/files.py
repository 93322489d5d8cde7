"""The router's directory: the configuration in force, written so that a reader never sees half of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from dynoform.router.rendering import HOSTS

CONFIGURATION = "haproxy.cfg"
SOCKET = "master.sock"
READERS = 0o644


@dataclass(frozen=True)
class Files:
    """What is on disk; None for a file that is not there."""

    configuration: str | None
    hosts: str | None


class Directory:
    """The volume that the agent shares with HAProxy."""

    def __init__(self, path: Path) -> None:
        """``path`` exists and is writable."""
        self.path = path

    def current(self) -> Files:
        """Both files as they are."""
        return Files(self._read(CONFIGURATION), self._read(HOSTS))

    def write(self, wanted: Files) -> None:
        """Put both files in place, the map first, since the configuration names it. ``None`` takes one away."""
        for name, text in ((HOSTS, wanted.hosts), (CONFIGURATION, wanted.configuration)):
            if text is None:
                (self.path / name).unlink(missing_ok=True)
            elif text != self._read(name):
                self._replace(name, text)

    def _read(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def _replace(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, READERS)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), READERS)
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
