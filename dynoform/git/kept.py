"""The objects of pushes that wait for a verdict, kept beside those of their repository.

Git has them in a folder of its own until the push has succeeded, and forgets them when its process dies. Kept here, as
links to the same files, they outlive it; the repository itself gets them with the verdict, or never.
"""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from dynoform.git.command import Git
from dynoform.git.repository import Repository

_FOLDER = "dynoform-kept"
_NOT_OBJECTS = (".keep", ".lock")


class Kept:
    """The kept objects of one repository. Whoever calls has its turn."""

    def __init__(self, git: Git, repository: Repository) -> None:
        """Nothing is made before ``keep``."""
        self._git = git
        self._repository = repository
        self._root = repository.path / _FOLDER

    def keep(self, commit: str, incoming: Path) -> None:
        """Keep the objects in git's folder ``incoming`` for ``commit``. Raises ``OSError``."""
        self.forget_others(())  # nobody else has the turn: what is there is of a push that was not written down
        folder = self._root / commit
        for source in incoming.rglob("*"):
            if source.is_file() and source.suffix not in _NOT_OBJECTS:
                target = folder / source.relative_to(incoming)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)

    async def apply(self, commit: str, ref: str, old: str) -> None:
        """Let the repository have the commit's objects and ``ref``, which names ``old`` (zeros: nothing), name it.

        Raises ``GitError``, ``OSError``; can be done again.
        """
        folder, objects = self._root / commit, self._repository.path / "objects"
        # An index comes last: git believes that what it lists is there.
        for source in sorted(folder.rglob("*"), key=lambda path: path.suffix == ".idx"):
            if source.is_file():
                target = objects / source.relative_to(folder)
                target.parent.mkdir(exist_ok=True)
                if not target.exists():
                    os.link(source, target)
        await self._git.run("update-ref", ref, commit, old, more={"GIT_DIR": str(self._repository.path)})

    def forget_others(self, commits: Collection[str]) -> None:
        """Remove what is kept for other commits than these."""
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.name not in commits:
                    shutil.rmtree(folder, ignore_errors=True)
