"""The queue of builds in the store: taken with a lease, an app's in order, finished once."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, Select, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from dynoform.domain import builds
from dynoform.errors import DynoformError
from dynoform.store.session import BUILD_OUTPUT, Store, attempts, notify
from dynoform.store.tables import App, Build, BuildOutput

INTERRUPTED = "the builder was interrupted twice: push again"


@dataclass(frozen=True)
class Claim:
    """A build that this process works on, as it was when taken. ``attempt`` counts from 1."""

    build_id: uuid.UUID
    app_id: uuid.UUID
    app_name: str
    stack: str
    account_id: uuid.UUID
    email: str
    source_id: uuid.UUID
    version: str | None
    attempt: int
    holder: str


class LeaseLostError(DynoformError):
    """The build is no longer ours: cancelled, deleted with its app, or taken over."""


def take(store: Store, holder: str) -> Claim | None:
    """Take the oldest build that nobody works on, and whose app has no older one waiting; None when there is none.

    One that died under its builders too often is failed on the way.
    """
    while True:
        with store.transaction() as session:
            build = session.scalars(_takeable()).first()
            if build is None:
                return None
            if not builds.out_of_attempts(build.attempts):
                return _claim(session, build, holder)
            fail(session, build, INTERRUPTED)
            say(
                session,
                build.id,
                f" !     {INTERRUPTED.capitalize()}.\n{builds.rejected('the build did not finish')}\n",
            )


def _takeable() -> Select[Build]:
    older = aliased(Build)
    first = ~exists().where(
        older.app_id == Build.app_id, older.status == builds.PENDING, older.created_at < Build.created_at
    )
    free = or_(Build.lease_expires_at.is_(None), Build.lease_expires_at < func.now())
    query = select(Build).where(Build.status == builds.PENDING, free, first).order_by(Build.created_at).limit(1)
    return query.with_for_update(of=Build, skip_locked=True)


def _claim(session: Session, build: Build, holder: str) -> Claim:
    app = session.get_one(App, build.app_id)
    build.attempts += 1
    build.lease_holder = holder
    build.lease_expires_at = _lease_end(session)
    return Claim(
        build_id=build.id,
        app_id=app.id,
        app_name=app.name,
        stack=app.build_stack or app.stack,
        account_id=build.account_id,
        email=build.account.email,
        source_id=build.source_id,
        version=build.version,
        attempt=build.attempts,
        holder=holder,
    )


def _lease_end(session: Session) -> datetime:
    # The database's clock, for all builders.
    moment: datetime = session.scalars(select(func.now())).one()
    return moment + timedelta(seconds=builds.LEASE_SECONDS)


def held(session: Session, claim: Claim) -> Build:
    """The build, locked. Raises ``LeaseLostError`` when it is no longer ours."""
    query = select(Build).where(
        Build.id == claim.build_id, Build.lease_holder == claim.holder, Build.status == builds.PENDING
    )
    build = session.scalars(query.with_for_update(of=Build)).one_or_none()
    if build is None:
        raise LeaseLostError(f"build {claim.build_id}", "is no longer this builder's")
    return build


def fail(session: Session, build: Build, reason: str) -> None:
    """Mark a build failed, with the reason in one line."""
    build.status = builds.FAILED
    build.failure = reason
    build.lease_holder = build.lease_expires_at = None
    notify(session, BUILD_OUTPUT, build.id)


def give_back(store: Store, claim: Claim, *, counted: bool) -> None:
    """Let another builder have the build; ``counted`` when this attempt was one of those that it has."""
    with store.transaction() as session:
        build = held(session, claim)
        build.lease_holder = build.lease_expires_at = None
        if not counted:
            build.attempts -= 1


def say(session: Session, build_id: uuid.UUID, text: str) -> None:
    """Add to a build's output, after what is there."""
    last = session.scalar(select(func.max(BuildOutput.sequence)).where(BuildOutput.build_id == build_id))
    session.add(BuildOutput(build_id=build_id, sequence=0 if last is None else last + 1, text=text))
    notify(session, BUILD_OUTPUT, build_id)


class Keeper:
    """Renews a build's lease from a thread, and ends the build when the lease or its time is over."""

    def __init__(self, store: Store, claim: Claim, end: Callable[[], None]) -> None:
        """``end`` is called, once, from the thread; ``reason`` then says why."""
        self.reason: str | None = None
        self.lost = False
        self._store = store
        self._claim = claim
        self._end = end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

    def __enter__(self) -> "Keeper":
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop; the lease runs out by itself unless the build was finished."""
        self._stopped.set()

    def _work(self) -> None:
        for _ in range(builds.SECONDS // builds.RENEW_SECONDS):
            if self._stopped.wait(builds.RENEW_SECONDS):
                return
            if not self._renew():
                self.lost = True
                break
        self.reason = None if self.lost else f"took longer than {builds.SECONDS // 60} minutes"
        self._end()

    def _renew(self) -> bool:
        for _ in attempts(builds.LEASE_SECONDS - builds.RENEW_SECONDS - 5):
            try:
                return self._renew_once()
            except DynoformError:
                continue
        return False

    def _renew_once(self) -> bool:
        mine = (Build.id == self._claim.build_id, Build.lease_holder == self._claim.holder)
        with self._store.transaction() as session:
            values = {"lease_expires_at": _lease_end(session)}
            done = session.execute(update(Build).where(*mine, Build.status == builds.PENDING).values(values))
            return isinstance(done, CursorResult) and done.rowcount == 1
