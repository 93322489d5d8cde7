"""Asking for builds, and taking that back."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from dynoform.domain import app_setups, builds, uploads
from dynoform.domain.jobs import Kind
from dynoform.store import jobs, output, webhooks
from dynoform.store.session import BUILD_OUTPUT, DEPLOYS, Store, notify
from dynoform.store.tables import (
    Account,
    App,
    AppSetup,
    Build,
    BuildOutput,
    BuildpackInstallation,
    Slug,
    Source,
    now,
)


def add_build(
    session: Session,
    app: App,
    source: Source,
    *,
    account_id: uuid.UUID,
    version: str | None = None,
    buildpacks: Sequence[str] = (),
) -> Build:
    """Queue a build of ``source``. The app has to be locked (``lock_app``): its builds run in the order of the calls.

    ``version`` is what the user calls the source, ``buildpacks`` are those to use instead of the app's own list.
    """
    build = Build(id=uuid.uuid4(), app_id=app.id, source_id=source.id, account_id=account_id, version=version or None)
    build.buildpacks = list(buildpacks) or installed_buildpacks(session, app.id)
    build.stack = app.build_stack or app.stack
    session.add(build)
    session.flush()
    session.refresh(build)
    jobs.add(session, app.id, Kind.BUILD, build.id)
    webhooks.build_changed(session, build)
    return build


def announce(session: Session, subject_id: uuid.UUID) -> None:
    """Let the builder get ready: a build is likely to be asked for within seconds. Says of what, an app or a source."""
    notify(session, DEPLOYS, subject_id)


def cancel(session: Session, build: Build) -> bool:
    """Fail a build that waits or is under way; False when it has ended. The app has to be locked."""
    if not jobs.cancel(session, build.id):
        return False
    output.append(session, BuildOutput, build.id, f" !     {builds.CANCELLED.capitalize()}.\n")
    fail(session, build, builds.CANCELLED)
    return True


def fail(session: Session, build: Build, reason: str) -> None:
    """Mark a build failed, with the reason in one line."""
    build.status, build.failure = builds.FAILED, reason
    notify(session, BUILD_OUTPUT, build.id)
    webhooks.build_changed(session, build, builds.PENDING)


def installed_buildpacks(session: Session, app_id: uuid.UUID) -> list[str]:
    """The buildpacks that the app is to be built with, in order; none when they are to be detected."""
    query = select(BuildpackInstallation.buildpack).where(BuildpackInstallation.app_id == app_id)
    return list(session.scalars(query.order_by(BuildpackInstallation.ordinal)))


def sweep_sources(store: Store) -> int:
    """Remove the rows of sources that nothing was built from, and whose files are gone by now; returns how many."""
    built = exists().where(Build.source_id == Source.id)
    unused = delete(Source).where(Source.updated_at < now() - builds.UNUSED_SOURCE_KEPT, ~built)
    with store.transaction() as session:
        return len(session.scalars(unused.returning(Source.id)).all())


def kept_bytes(session: Session, source: Source, *, lock: bool = False) -> int:
    """What the files of the other sources have that the account of ``source`` has uploaded.

    With ``lock`` no other upload of the account ends until the transaction does.
    """
    if lock:
        account = select(Account.id).where(Account.id == source.account_id)
        session.execute(account.with_for_update(key_share=True))
    others = (Source.account_id == source.account_id, Source.id != source.id)
    lasting = (Source.updated_at > now() - uploads.KEPT, ~_spent())
    return int(session.scalar(select(func.coalesce(func.sum(Source.size), 0)).where(*others, *lasting)) or 0)


def spent_uploads(session: Session, identifiers: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these uploads nothing more is made of. No build of such a source is asked for in this transaction."""
    sources = select(Source.id).where(Source.id.in_(identifiers), _spent()).with_for_update(skip_locked=True)
    made = select(Slug.id).where(Slug.id.in_(identifiers), Slug.image != "")
    return [*session.scalars(sources), *session.scalars(made)]


def _spent() -> ColumnElement[bool]:
    """Sources that were built, all of whose builds ended some time ago, and that no app is being set up from."""
    ended = now() - uploads.KEPT_BUILT
    of_it = Build.source_id == Source.id
    lately = exists().where(of_it, or_(Build.status == builds.PENDING, Build.updated_at > ended))
    setup = exists().where(AppSetup.source_id == Source.id, AppSetup.status == app_setups.PENDING)
    return and_(Source.updated_at < ended, exists().where(of_it), ~lately, ~setup)
