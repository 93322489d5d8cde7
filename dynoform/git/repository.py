"""Apps' repositories on disk: bare, named after the app's id, made when first asked for, removed after the app."""

import asyncio
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from dynoform.errors import UnavailableError
from dynoform.git.command import Git, GitError

_PARTIAL = ".part"
_PARTIAL_SECONDS = 3600
_PRESENCE = "dynoform-presence"
_TURN = "dynoform-turn"
_LEFTOVERS = ("objects/tmp_objdir-*", "objects/incoming-*", "objects/pack/tmp_*", "objects/??/tmp_obj_*", "gc.pid")
_ATTRIBUTES = "* -export-ignore -export-subst\n"
"""A build gets all that was pushed, as a checkout would have it."""


class Repository:
    """One app's repository."""

    def __init__(self, path: Path) -> None:
        """``path`` is the bare repository."""
        self.path = path
        self.name = path.name

    @asynccontextmanager
    async def presence(self) -> AsyncIterator[int]:
        """A lock, shared by all that write here; the descriptor is for their processes, which hold it while they live.

        Whoever comes when nobody else is there removes what killed processes left: locks, objects of broken pushes.
        Raises ``UnavailableError``.
        """
        with self._open(_PRESENCE) as descriptor:
            await asyncio.to_thread(self._enter, descriptor)
            yield descriptor

    @contextmanager
    def turn(self) -> Iterator[int]:
        """A descriptor for ``take_turn``; the turn lasts while this block or a process that has it lives."""
        with self._open(_TURN) as descriptor:
            yield descriptor

    def remove(self) -> bool:
        """Remove it, unless somebody writes to it."""
        with self._open(_PRESENCE) as descriptor:
            if not _locked(descriptor):
                return False
            shutil.rmtree(self.path, ignore_errors=True)
            return True

    def point_head(self, branches: Collection[str]) -> None:
        """Make HEAD name the first of these branches that is there, unless it names one already."""
        head = self.path / "HEAD"
        if self._has(head.read_text().strip().removeprefix("ref: ")):
            return
        for branch in branches:
            if self._has(f"refs/heads/{branch}"):
                fresh = self.path / f"HEAD.{uuid.uuid4().hex[:8]}"
                fresh.write_text(f"ref: refs/heads/{branch}\n")
                fresh.replace(head)
                return

    def size(self) -> int:
        """Bytes of all files."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                with suppress(OSError):  # removed in between
                    total += (Path(folder) / name).lstat().st_size
        return total

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        try:
            descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UnavailableError("repository", f"cannot be opened ({error.strerror})", "try again") from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, descriptor: int) -> None:
        if _locked(descriptor):
            self._tidy()
        fcntl.flock(descriptor, fcntl.LOCK_SH)

    def _tidy(self) -> None:
        leftovers = [path for pattern in _LEFTOVERS for path in self.path.glob(pattern)]
        leftovers += [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _has(self, ref: str) -> bool:
        if (self.path / ref).is_file():
            return True
        try:
            packed = (self.path / "packed-refs").read_text()
        except FileNotFoundError:
            return False
        return any(line.endswith(f" {ref}") for line in packed.splitlines())


class Repositories:
    """The folder of all repositories."""

    def __init__(self, git: Git) -> None:
        """Those below ``git``'s root."""
        self._git = git

    async def get(self, app_id: uuid.UUID) -> Repository:
        """The app's repository, made if there is none: whole, or not at all. Raises ``UnavailableError``."""
        path = self._git.root / f"{app_id}.git"
        if not path.is_dir():
            await self._make(path)
        return Repository(path)

    def remove_gone(self, candidates: Collection[Path], alive: Collection[uuid.UUID]) -> list[str]:
        """Remove those of the ``candidates`` whose app is not ``alive``, unless one is in use; returns their names."""
        names = {f"{app_id}.git" for app_id in alive}
        return [path.name for path in candidates if path.name not in names and Repository(path).remove()]

    def all(self) -> list[Path]:
        """Every repository there is."""
        return [path for path in self._git.root.glob("*.git") if path.is_dir()]

    def remove_partial(self, moment: float | None = None) -> None:
        """Remove what was being made an hour before ``moment`` (seconds) or earlier, and never came to be."""
        present = time.time() if moment is None else moment
        for path in self._git.root.glob(f"*{_PARTIAL}"):
            with suppress(FileNotFoundError):
                if present - path.stat().st_mtime > _PARTIAL_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    async def collect_garbage(self, path: Path, seconds: float = 600) -> None:
        """Pack what many pushes have left in pieces. Raises ``GitError``."""
        async with Repository(path).presence():
            await self._git.run("gc", "--auto", "--quiet", more={"GIT_DIR": str(path)}, seconds=seconds)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for the length of the block, on the same disk."""
        path = self._git.root / f"{uuid.uuid4().hex}{_PARTIAL}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    async def _make(self, path: Path) -> None:
        with self.scratch() as partial:
            try:
                await self._git.run("init", "--quiet", "--bare", "--template=", str(partial), more={})
                await asyncio.to_thread(_put_in_place, partial, path)
            except (GitError, OSError) as error:
                raise UnavailableError("repository", f"cannot be made ({error})", "try again") from None


def _put_in_place(partial: Path, path: Path) -> None:
    (partial / "info").mkdir(exist_ok=True)
    (partial / "info" / "attributes").write_text(_ATTRIBUTES)
    try:
        partial.rename(path)
    except OSError:
        if not path.is_dir():  # else another request was faster
            raise


def take_turn(descriptor: int) -> bool:
    """Take the turn that ``Repository.turn`` is about; False while somebody else has it."""
    return _locked(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
