"""The apps' last lines on disk, so that a log plane that starts anew goes on where the one before it was.

One file per app: a line ``# <number of the first line>``, then the lines, and among them, after ``@``, how far their
senders' files have come. Lines are appended, and now and then the file is replaced by one with the last of them.
Nothing is forced to the disk: a killed process loses nothing, a host that loses its power the last seconds.
"""

import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dynoform.domain import log_lines
from dynoform.journal import Journal

_SUFFIX = ".log"
_MARK = b"@ "
_HEAD = re.compile(rb"# (\d{1,18})\n")
_RUN = re.compile(r"[0-9a-f]{8}")
_SAY_SECONDS = 60


class Kept(NamedTuple):
    """What was kept of an app: lines, the number of the first one, when the last came, and what ``Marks`` remember."""

    app_id: str
    first: int
    lines: list[bytes]
    at: float
    marks: list[bytes]


class Files:
    """A directory that this process alone writes to. It complains of a full disk, and goes on."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        """``folder`` is there."""
        self._folder = folder
        self._journal = journal
        self._said = -float(_SAY_SECONDS)

    def run(self) -> str:
        """The name of this log plane's numbers: made once for the directory, so that they go on."""
        path = self._folder / "run"
        try:
            if _RUN.fullmatch(found := path.read_text()):
                return found
        except OSError:
            pass  # the first time
        made = secrets.token_hex(4)
        self._replace(path, [made.encode()])
        return made

    def load(self, history: int) -> Iterator[Kept]:
        """The last ``history`` lines of each app; that which was silent longest comes first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for at, path in sorted(found):
            try:
                kept = _read(path, history, at)
                if kept is None:
                    path.unlink(missing_ok=True)
                else:
                    yield kept
            except OSError as error:
                self._complain(error)

    def append(self, app_id: str, first: int, lines: Iterable[bytes], marks: Iterable[bytes], *, new: bool) -> bool:
        """Add lines to an app's file, which ``new`` makes; ``first`` is the first one's number. False: not written.

        Marks come last: a line whose mark is missing comes twice, one whose mark came before it never.
        """
        pieces = [b"# %d\n" % first if new else b"", *(b"%s\n" % line for line in lines), *map(_marked, marks)]
        try:
            with (self._folder / f"{app_id}{_SUFFIX}").open("wb" if new else "ab") as file:
                file.write(b"".join(pieces))
        except OSError as error:
            self._complain(error)
            return False
        return True

    def write(self, app_id: str, first: int, lines: Iterable[bytes], marks: Iterable[bytes]) -> bool:
        """Replace an app's file. False: not written."""
        pieces = [b"# %d\n" % first, *(b"%s\n" % line for line in lines), *map(_marked, marks)]
        return self._replace(self._folder / f"{app_id}{_SUFFIX}", pieces)

    def remove(self, app_id: str) -> None:
        """Remove an app's file."""
        (self._folder / f"{app_id}{_SUFFIX}").unlink(missing_ok=True)

    def cursors(self) -> dict[str, int]:
        """How far drains had come, by their ids."""
        try:
            found = json.loads((self._folder / "drains").read_bytes())
            return {str(drain): int(number) for drain, number in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def keep_cursors(self, cursors: Mapping[str, int]) -> None:
        """Remember how far drains have come."""
        self._replace(self._folder / "drains", [json.dumps(cursors).encode()])

    def _replace(self, path: Path, pieces: Iterable[bytes]) -> bool:
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.writelines(pieces)
            fresh.replace(path)
        except OSError as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: OSError) -> None:
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            self._journal.error("lines are kept in memory only", error=error)


def _read(path: Path, history: int, at: float) -> Kept | None:
    text = path.read_bytes()
    head = _HEAD.match(text)
    if head is None or log_lines.canonical_id(path.stem) != path.stem:
        return None
    entries = text[head.end() :].split(b"\n")[:-1]  # what has no line end was being written
    lines = [entry for entry in entries if not entry.startswith(_MARK)]
    marks = [entry.removeprefix(_MARK) for entry in entries if entry.startswith(_MARK)]
    first = int(head[1]) + max(0, len(lines) - history)
    return Kept(path.stem, first, lines[-history:], at, marks) if lines else None


def _marked(mark: bytes) -> bytes:
    return b"%s%s\n" % (_MARK, mark)
