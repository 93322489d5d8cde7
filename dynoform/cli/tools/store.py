"""A directory of tools that are there completely or not at all.

Each entry is made in a temporary directory, then hashed, stamped and renamed into place, so a kill at any moment leaves
either the whole entry or a left-over that the next run removes. Hashes are checked again before an entry is used.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STAMP = "stamp.json"
BLOCK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def recipe_digest(*parts: bytes | str) -> str:
    """Twelve hexadecimal digits that stand for what an entry is made from."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]


class Store:
    """Entries by key below one directory, shared by all checkouts of a user."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made on first use."""
        self._directory = directory

    def get(self, key: str) -> Path | None:
        """The entry's directory when it is there and every file is as it was stamped."""
        entry = self._directory / key
        try:
            stamped: dict[str, str] = json.loads((entry / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry if stamped == _digests(entry) else None

    def bring(self, key: str, make: Callable[[Path], None]) -> Path:
        """The entry's directory; `make` fills an empty one if there is no such entry, or it was damaged.

        Two processes never make the same entry: the second waits and finds the first one's.
        """
        with self._locked(key):
            found = self.get(key)
            if found:
                return found
            self._sweep(key)
            fresh = self._directory / f".{key}.{os.getpid()}"
            fresh.mkdir()
            try:
                make(fresh)
                stamp = json.dumps(_digests(fresh), indent=1)
                (fresh / STAMP).write_text(stamp, encoding="utf-8")
                os.sync()
                fresh.rename(self._directory / key)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return self._directory / key

    def _sweep(self, key: str) -> None:
        """Removes what a killed run left, and the damaged entry itself. The lock is ours: nobody is at work on it."""
        for left in [self._directory / key, *self._directory.glob(f".{key}.*")]:
            if left.is_dir():
                shutil.rmtree(left)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _digests(directory: Path) -> dict[str, str]:
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if name != STAMP and path.is_file() and not path.is_symlink():
            found[name] = file_digest(path)
    return found
