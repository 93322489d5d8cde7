"""Room on the host's disk, for bytes and for files, which a build shares with dynos, other builds and the platform."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from dynoform.domain import disk

_SECONDS = 1.0


class Room:
    """Looks at the disk while a build runs, from a thread, and ends the build that fills it."""

    def __init__(self, end: Callable[[], None], path: Path = Path("/"), seconds: float = _SECONDS) -> None:
        """``end`` is called once. ``path`` is on the engine's disk, as any container's root is.

        ``seconds`` pass between looks.
        """
        self.filled = False
        self._end = end
        self._path = path
        self._seconds = seconds
        self._bytes_before = self._files_before = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="room", daemon=True)

    def __enter__(self) -> "Room":
        """Begin to look: what goes from now on counts, whenever the thread comes to it."""
        before = os.statvfs(self._path)
        self._bytes_before, self._files_before = before.f_bavail * before.f_frsize, before.f_favail
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Look no more."""
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.wait(self._seconds):
            now = os.statvfs(self._path)
            free, total = now.f_bavail * now.f_frsize, now.f_blocks * now.f_frsize
            if disk.is_filled_by_build(self._bytes_before, free, total) or disk.is_filled_by_files(
                self._files_before, now.f_favail, now.f_files
            ):
                self.filled = True
                self._end()
                return
