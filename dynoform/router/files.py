"""The router's directory: the configuration in force, written so that a reader never sees half of it."""

import os
from contextlib import suppress
from pathlib import Path

from dynoform.router.rendering import Rendered

CONFIGURATION = "haproxy.cfg"
SOCKET = "master.sock"
READERS = 0o644


class Directory:
    """The volume that the agent shares with HAProxy."""

    def __init__(self, path: Path) -> None:
        """``path`` exists and is writable."""
        self.path = path

    def current(self) -> str | None:
        """The configuration on disk; None when there is none yet."""
        try:
            return (self.path / CONFIGURATION).read_text()
        except FileNotFoundError:
            return None

    def holds(self, rendered: Rendered) -> bool:
        """Whether both files are there as rendered."""
        return self.current() == rendered.configuration and (self.path / rendered.hosts_name).exists()

    def write(self, rendered: Rendered) -> None:
        """Put both files in place, the map first, since the configuration names it."""
        self._replace(rendered.hosts_name, rendered.hosts)
        self._replace(CONFIGURATION, rendered.configuration)

    def restore(self, configuration: str | None) -> None:
        """Put an earlier configuration back (its map is still there), or none."""
        if configuration is None:
            (self.path / CONFIGURATION).unlink(missing_ok=True)
        else:
            self._replace(CONFIGURATION, configuration)

    def tidy(self, rendered: Rendered) -> None:
        """Remove maps that the configuration in force does not name."""
        for path in self.path.glob("hosts-*.map"):
            if path.name != rendered.hosts_name:
                with suppress(FileNotFoundError):
                    path.unlink()

    def _replace(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, READERS)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), READERS)
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
