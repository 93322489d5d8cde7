"""What a ``git push`` means: a build of what was pushed, followed to its release, before git takes the push."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from dynoform.api import builds as build_resource
from dynoform.api import releases as release_resource
from dynoform.api.errors import ApiError
from dynoform.api.output_streams import patiently
from dynoform.api.services import Services
from dynoform.api.settlement import Settlement
from dynoform.api.upload import Upload
from dynoform.domain import builds, pushes, releases
from dynoform.domain.process_types import RELEASE
from dynoform.errors import DynoformError, InvalidInputError, UnavailableError
from dynoform.git.command import GitError
from dynoform.git.hook import Push
from dynoform.git.kept import Kept
from dynoform.store import pushes as store
from dynoform.store.builds import add_build
from dynoform.store.releases import lock_app
from dynoform.store.tables import Account, App, Build, Release, Source

_SECONDS = 3 * 3600
"""Longest time for waiting, build and release command together."""
_TARBALL_SECONDS = 1200
_PIECE = 1024 * 1024
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Deployment:
    """Decides about one push to an app. ``app`` and ``caller`` are as they were when the request came.

    Once its build is queued a push is decided whoever is there to hear it: then its branch is moved without it.
    """

    services: Services
    settlement: Settlement
    app: App
    caller: Account

    async def judge(self, push: Push) -> bool:
        """Build what was pushed, if that deploys, and show the pusher how it goes. True when git may take the push."""
        try:
            update = pushes.to_build(pushes.parse(push.updates))
            if update is None:
                await push.say(pushes.SKIPPED)
                return True
            async with asyncio.timeout(_SECONDS):
                return await self._deploy(push, update)
        except InvalidInputError as error:
            await push.say(pushes.rejected(error.what))
        except TimeoutError:
            await push.say(pushes.rejected(pushes.TOO_LATE))
        except DynoformError as error:
            self.services.journal.warning("push failed", app=self.app.name, error=error)
            await push.say(pushes.rejected(pushes.INTERRUPTED))
        return False

    async def _deploy(self, push: Push, update: pushes.Update) -> bool:
        await self._take_turn(push, update)
        await push.say(pushes.COMPRESSING)
        source = await self._source(push, update.new)
        await run_in_threadpool(self._keep_objects, push, update.new)
        build_id = await run_in_threadpool(self._queue, source, update)
        self.services.say(self.app, f"Build started by user {self.caller.email}")
        await push.say(pushes.DONE + pushes.BUILDING)
        async for text in build_resource.OUTPUT.follow(self.services, build_id):
            await push.say(text)
        return await self._verify(push, build_id)

    async def _take_turn(self, push: Push, update: pushes.Update) -> None:
        told = False
        async for _ in self._earlier(push):
            if not told:
                await push.say(pushes.QUEUED)
            told = True
        trees, environment = self.settlement.trees, _environment(push)
        present, is_commit, is_whole = await asyncio.gather(
            trees.current(environment, update.ref),
            trees.is_commit(environment, update.new),
            trees.is_whole(environment, update.new),
        )
        if present == update.new:
            raise InvalidInputError(pushes.DEPLOYED.format(branch=update.branch))
        if present != ("" if pushes.is_none(update.old) else update.old):
            raise InvalidInputError(f"{update.branch} was changed by another push: fetch it, then push again")
        if not is_commit:
            raise InvalidInputError(f"{update.branch} must be a commit")
        if not is_whole:
            raise InvalidInputError(pushes.SHALLOW)

    async def _earlier(self, push: Push) -> AsyncIterator[None]:
        """One item for each look at an earlier push to the app that has not ended."""
        async for _ in push.take_turn():
            yield
        # Those whose connection broke have no process any more, and their builds go on.
        while not await self.settlement.settle(self.app.id, push.repository):
            yield
            await asyncio.sleep(_LOOK_SECONDS)

    async def _source(self, push: Push, commit: str) -> uuid.UUID:
        identifier = uuid.uuid4()
        upload = await run_in_threadpool(Upload, self.services.configuration.sources, str(identifier))
        try:
            async with asyncio.timeout(_TARBALL_SECONDS):
                await self._pack(push, commit, upload)
            await run_in_threadpool(self._keep, identifier, upload)
        except GitError as error:
            raise InvalidInputError(f"the commit cannot be read: {error.why}") from None
        except ApiError as error:
            raise InvalidInputError(pushes.TOO_LARGE) from error
        finally:
            await run_in_threadpool(upload.discard)
        return identifier

    async def _pack(self, push: Push, commit: str, upload: Upload) -> None:
        async with self.settlement.trees.tarball(_environment(push), commit) as pieces:
            pending = bytearray()
            async for piece in pieces:
                pending += piece
                if len(pending) >= _PIECE:
                    await run_in_threadpool(upload.write, bytes(pending))
                    pending.clear()
            await run_in_threadpool(upload.write, bytes(pending))

    def _keep(self, identifier: uuid.UUID, upload: Upload) -> None:
        with self.services.store.transaction() as session:
            source = Source(id=identifier, account_id=self.caller.id, size=upload.size, checksum=upload.checksum)
            session.add(source)
            upload.keep()

    def _keep_objects(self, push: Push, commit: str) -> None:
        incoming = push.objects.get("GIT_OBJECT_DIRECTORY")
        if incoming is None:
            return  # nothing came: the repository has them
        try:
            Kept(self.settlement.git, push.repository).keep(commit, Path(incoming))
        except OSError as error:
            raise UnavailableError("repository", f"cannot be written ({error.strerror})", "push again") from None

    def _queue(self, source_id: uuid.UUID, update: pushes.Update) -> uuid.UUID:
        with self.services.store.transaction() as session:
            app = lock_app(session, self.app.id)
            if app is None:
                raise InvalidInputError(f"the app {self.app.name} was deleted")
            source = session.get_one(Source, source_id)
            build = add_build(session, app, source, account_id=self.caller.id, version=update.new)
            store.add(session, build, update)
            return build.id

    async def _verify(self, push: Push, build_id: uuid.UUID) -> bool:
        await push.say(pushes.VERIFYING)
        build, release = await patiently(self._outcome, build_id)
        succeeded = build is not None and build.status == builds.SUCCEEDED
        if succeeded:
            await push.say(pushes.DONE)
            if release is not None and _has_command(release):
                succeeded = await self._follow_release(push, release.id)
        else:
            await push.say("\n")
        if not succeeded:
            await push.say(pushes.rejected_to(self.app.name))
        return succeeded

    def _outcome(self, build_id: uuid.UUID) -> tuple[Build | None, Release | None]:
        with self.services.store.transaction() as session:
            build = session.get(Build, build_id)
            release = session.get(Release, build.release_id) if build and build.release_id else None
            return build, release

    def _status(self, release_id: uuid.UUID) -> str | None:
        with self.services.store.transaction() as session:
            return session.scalar(select(Release.status).where(Release.id == release_id))

    async def _follow_release(self, push: Push, release_id: uuid.UUID) -> bool:
        await push.say(pushes.RUNNING)
        async for text in release_resource.OUTPUT.follow(self.services, release_id):
            await push.say(text)
        succeeded = await patiently(self._status, release_id) == releases.SUCCEEDED
        await push.say(pushes.WAITING + (pushes.DONE if succeeded else pushes.FAILED))
        return succeeded


def _has_command(release: Release) -> bool:
    return release.slug is not None and RELEASE in release.slug.process_types


def _environment(push: Push) -> dict[str, str]:
    return {"GIT_DIR": str(push.repository.path), **push.objects}
