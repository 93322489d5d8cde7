"""Branches follow releases: also those of pushes whose followers have died. See ``dynoform.store.pushes``."""

import uuid
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from dynoform.api.services import Services
from dynoform.domain import pushes
from dynoform.git.command import Git, GitError
from dynoform.git.kept import Kept
from dynoform.git.repository import Repositories, Repository, take_turn
from dynoform.git.tree import Trees
from dynoform.store import pushes as store


@dataclass(frozen=True)
class Settlement:
    """Brings branches to where the store says that they are. Level-triggered: whoever looks at a repository asks."""

    services: Services
    git: Git
    trees: Trees

    async def visit(self, app_id: uuid.UUID) -> None:
        """Settle what can be, unless a push is under way, which then sees to it. Raises ``UnavailableError``."""
        if not await run_in_threadpool(self._unsettled, app_id):
            return
        repository = await Repositories(self.git).get(app_id)
        async with repository.presence():
            with repository.turn() as turn:
                if take_turn(turn):
                    await self.settle(app_id, repository)

    async def settle(self, app_id: uuid.UUID, repository: Repository) -> bool:
        """Settle what can be; the caller has the repository's turn. False while a push is open that was broken off."""
        found = await run_in_threadpool(self._unsettled, app_id)
        if not found:
            return True
        kept, needed, decided = Kept(self.git, repository), [], True
        for push in found:
            if push.accepted is None:
                decided = False
            elif not push.accepted or await self._move(repository, kept, push.update):
                await run_in_threadpool(self._settle, push.build_id)
                continue
            needed.append(push.update.new)
        await run_in_threadpool(kept.forget_others, needed)
        return decided

    async def _move(self, repository: Repository, kept: Kept, update: pushes.Update) -> bool:
        """Whether the branch is where the push wants it, or has gone on from there."""
        present = await self.trees.current({"GIT_DIR": str(repository.path)}, update.ref)
        if present != ("" if pushes.is_none(update.old) else update.old):
            return True
        about = {"repository": repository.name, "ref": update.ref, "commit": update.new}
        try:
            await kept.apply(update.new, update.ref, update.old)
        except (GitError, OSError) as error:
            self.services.journal.warning("branch stays behind its release", error=error, **about)
            return False
        self.services.journal.info("branch moved to its release", **about)
        return True

    def _unsettled(self, app_id: uuid.UUID) -> list[store.Unsettled]:
        with self.services.store.transaction() as session:
            return store.unsettled(session, app_id)

    def _settle(self, build_id: uuid.UUID) -> None:
        with self.services.store.transaction() as session:
            store.settle(session, build_id)
