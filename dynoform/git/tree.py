"""What is in a pushed commit, as a tarball: its files, and those of its submodules."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from dynoform.git.command import CHUNK, Git, GitError, last_line
from dynoform.git.repository import Repositories
from dynoform.git.submodules import Submodules

_OUTPUT_LIMIT = 4000


class Trees:
    """Reads commits, also those that the repository does not have yet because their push has not succeeded."""

    def __init__(self, git: Git, forbidden: Collection[str]) -> None:
        """For repositories below ``git``'s root; submodules never come from ``forbidden`` addresses."""
        self._git = git
        self._forbidden = forbidden
        self._repositories = Repositories(git)

    async def is_commit(self, objects: Mapping[str, str], object_id: str) -> bool:
        """Is it one, and not a tag or a file? ``objects`` is the environment that finds it."""
        kind = await self._git.run("cat-file", "-t", object_id, more=objects)
        return kind.strip() == b"commit"

    async def is_whole(self, objects: Mapping[str, str], commit: str) -> bool:
        """Does the commit have its history? That of a shallow clone breaks off, and git finds out too late."""
        try:
            await self._git.run("rev-list", "--quiet", commit, "--not", "--all", more=objects)
        except GitError:
            return False
        return True

    async def current(self, objects: Mapping[str, str], ref: str) -> str:
        """The object that a ref names now; empty for none."""
        try:
            return (await self._git.run("rev-parse", "--verify", "--quiet", ref, more=objects)).decode().strip()
        except GitError:
            return ""

    @asynccontextmanager
    async def tarball(self, objects: Mapping[str, str], commit: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Pieces of the commit's files as ``.tar.gz``, submodules in their places.

        Raises ``GitError``, and ``InvalidInputError`` for a submodule that cannot be had.
        """
        with self._repositories.scratch() as folder:
            submodules = Submodules(self._git, folder, objects, self._forbidden)
            tree = await submodules.flattened(commit)
            yield self._archive(submodules.environment, tree)

    async def _archive(self, environment: Mapping[str, str], tree: str) -> AsyncIterator[bytes]:
        # The fastest compression: the tarball goes no further than the builder.
        async with self._git.started("archive", "--format=tar.gz", "-1", tree, more=environment) as process:
            if process.stdout is None or process.stderr is None:
                return
            while piece := await process.stdout.read(CHUNK):
                yield piece
            said = await process.stderr.read(_OUTPUT_LIMIT)
            if await process.wait():
                raise GitError("git archive", last_line(said))
