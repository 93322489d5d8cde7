"""Asking for builds, and taking that back."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dynoform.domain import builds
from dynoform.store.session import BUILD_OUTPUT, JOBS, notify
from dynoform.store.tables import App, Build, BuildOutput, Source


def add_build(
    session: Session, app: App, source: Source, *, account_id: uuid.UUID, version: str | None = None
) -> Build:
    """Queue a build of ``source``. The app has to be locked (``lock_app``): its builds run in the order of the calls.

    ``version`` is what the user calls the source.
    """
    build = Build(id=uuid.uuid4(), app_id=app.id, source_id=source.id, account_id=account_id, version=version or None)
    session.add(build)
    session.flush()
    session.refresh(build)
    notify(session, JOBS, build.id)
    return build


def cancel(session: Session, build: Build) -> bool:
    """Fail a build that waits or is under way; False when it has ended. Its row has to be locked."""
    if build.status != builds.PENDING:
        return False
    last = session.scalar(select(func.max(BuildOutput.sequence)).where(BuildOutput.build_id == build.id))
    text = f" !     {builds.CANCELLED.capitalize()}.\n"
    session.add(BuildOutput(build_id=build.id, sequence=0 if last is None else last + 1, text=text))
    build.status, build.failure = builds.FAILED, builds.CANCELLED
    build.lease_holder = build.lease_expires_at = None
    notify(session, BUILD_OUTPUT, build.id)
    return True
