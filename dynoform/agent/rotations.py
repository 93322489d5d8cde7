"""Tells the log plane of each log file of a dyno's that the engine has rotated: it finds out whether that was read.

Only files' times and inodes are looked at, until one was full: then it is read once, to count its lines.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dynoform.domain import log_lines
from dynoform.domain.dyno_container import APP_LABEL, DYNO_LABEL, STACK_LABEL
from dynoform.run.session import Logs

LOOK_SECONDS, CLOSE_SECONDS = 0.5, 0.05
"""Between two looks; the shorter one while files are rotated. A dyno that fills two in that time has lost more than is
counted."""
BUSY_SECONDS = 2.0
"""How long the next rotation is waited for, closely."""

_CHUNK = 256 * 1024


class _Seen(NamedTuple):
    current: int
    rotated: int
    at: int
    """When the rotated file was written to last: inodes are used again, also that of the file before it."""


class Rotations:
    """The log files of one stack's dynos on this host."""

    def __init__(self, stack: str, containers: Path, logs: Logs) -> None:
        """``containers`` is the engine's directory of them."""
        self._stack, self._containers, self._logs = stack, containers, logs
        self._seen: dict[str, _Seen] = {}

    async def look(self) -> None:
        """Tell of each file that was rotated since the last look; then go on looking until no more are."""
        end = 0.0
        while True:
            now = time.monotonic()
            if await self._found():
                end = now + BUSY_SECONDS
            if now >= end:
                return
            await asyncio.sleep(CLOSE_SECONDS)

    async def _found(self) -> bool:
        """Look once; whether there was one."""
        known, found = self._seen, False
        self._seen = dict(self._inodes())
        for container, seen in self._seen.items():
            before = known.get(container)
            if seen.rotated and (before is None or seen[1:] != before[1:]):
                exact = before is None or seen.rotated == before.current
                path = self._containers / container / f"{container}-json.log.1"
                await asyncio.to_thread(self._tell, path, exact=exact)
                found = True
        return found

    def _inodes(self) -> Iterator[tuple[str, _Seen]]:
        try:
            folders = [*self._containers.iterdir()]
        except OSError:
            return
        for folder in folders:
            current = folder / f"{folder.name}-json.log"
            rotated = current.with_name(f"{current.name}.1")
            yield folder.name, _Seen(_file(current)[0], *_file(rotated))

    def _tell(self, path: Path, *, exact: bool) -> None:
        try:
            first, last, lines = _read(path)
        except OSError:
            return  # it has gone with its container
        attributes = first.get("attrs") or {}
        times = [log_lines.normal_time(str(entry.get("time"))) for entry in (first, last)]
        if attributes.get(STACK_LABEL) != self._stack or None in times:
            return
        told = {"first": times[0], "last": times[1], "lines": lines, "exact": exact}
        app_id, dyno = str(attributes.get(APP_LABEL)), str(attributes.get(DYNO_LABEL))
        self._logs.line(app_id, log_lines.ROTATED, dyno, json.dumps(told))


def _file(path: Path) -> tuple[int, int]:
    """Inode and time of the last change in nanoseconds; zeros for none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The first and the last entry of a file, and how many there are."""
    first, last, lines = b"", b"", 0
    with path.open("rb") as file:
        first = file.readline(_CHUNK)
        file.seek(0)
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = last[-_CHUNK:] + chunk
    return _entry(first), _entry(last[last.rfind(b"\n", 0, -1) + 1 :]), lines


def _entry(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
