"""Making releases: the one place where an app's version, config vars, slug and formation change together."""

import uuid

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dynoform.domain import dyno_sizes, formations, releases, routes
from dynoform.domain.jobs import Kind
from dynoform.domain.process_types import RELEASE
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import attached, jobs, webhooks
from dynoform.store.secrets import Vault
from dynoform.store.session import BUILD_OUTPUT, FORMATION, notify
from dynoform.store.tables import App, Config, Formation, Release, Slug, now


def lock_app(session: Session, app_id: uuid.UUID) -> App | None:
    """The app, fresh, locked until the transaction ends so that its releases come one by one; None if it is gone."""
    query = select(App).where(App.id == app_id).with_for_update(of=App).execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def create_release(
    session: Session,
    app: App,
    *,
    description: str,
    account_id: uuid.UUID,
    slug: Slug | None = None,
    config: Config | None = None,
    phase: bool = True,
    number: int | None = None,
) -> Release:
    """Make the next release of ``app``, within the caller's transaction.

    It is current at once, unless its slug has a release command: then it is ``pending``, and a job runs the command.
    ``slug`` left out is that of the newest release which may come to be current, ``config`` that of the newest one (as
    on Heroku, config vars stay set when a release command fails). What add-ons give to the app is written down.
    ``phase=False`` is for releases that run no command: those made by a change of an add-on's config vars. While the
    command of another release runs they run it too: one that served at once would overtake what waits, for good.
    ``number`` is the place in the app's queue of a job that made this release.
    Locks the app's row; raises ``NotFoundError`` when the app is gone.
    """
    if lock_app(session, app.id) is None:
        raise NotFoundError("Couldn't find that app.", resource="app")
    session.flush()  # a new slug or config must be there before the release points at it
    newest, waits = newest_release(session, app.id), _is_pending(session, app.id)
    config_id = config.id if config else newest.config_id if newest else None
    if config_id is None:
        raise InvalidInputError(f"app {app.name}", "has no release yet", "pass the config vars of the first one")
    slug = slug or slug_to_come(session, app.id)
    release = Release(app_id=app.id, description=description, account_id=account_id, slug=slug, config_id=config_id)
    release.version = releases.next_version(newest.version if newest else None)
    release.addon_plan_names = attached.plan_names(session, app.id)
    release.addon_config_vars = sorted(attached.config_names(session, app.id))
    release.status = releases.PENDING
    session.add(release)
    session.flush()
    if slug is not None and RELEASE in slug.process_types and (phase or waits):
        _know_release_type(session, app.id, str(slug.process_types[RELEASE]))
        jobs.add(session, app.id, Kind.RELEASE, release.id, number)
    else:
        succeed(session, app, release)
    session.refresh(release, ["account"])
    notify(session, FORMATION, app.id)
    webhooks.release_changed(session, app, release)
    return release


def succeed(session: Session, app: App, release: Release) -> None:
    """The release has succeeded, and becomes current unless a later one has overtaken it. The app has to be locked.

    The formation gets the slug's process types, listeners on ``formation`` are told at commit.
    """
    release.status = releases.SUCCEEDED
    before = current_release(session, app.id)
    if before is None or before.version < release.version:
        if before is not None:
            before.current = False
            session.flush()  # at most one release may be current, at any moment
        release.current = True
        if release.slug is not None:
            merge_formation(session, app.id, release.slug)
            _follow_stack(app, release.slug)
        app.released_at = now()
        notify(session, FORMATION, app.id)
    session.flush()
    notify(session, BUILD_OUTPUT, release.id)


def fail(session: Session, release: Release) -> None:
    """The release's command has failed: what is current stays so."""
    release.status = releases.FAILED
    notify(session, BUILD_OUTPUT, release.id)


def current_release(session: Session, app_id: uuid.UUID) -> Release | None:
    """The app's current release, fresh."""
    query = select(Release).where(Release.app_id == app_id, Release.current).execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def newest_release(session: Session, app_id: uuid.UUID) -> Release | None:
    """The app's release with the highest version, whatever became of it: its config vars are the app's."""
    query = select(Release).where(Release.app_id == app_id).order_by(Release.version.desc()).limit(1)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def config_of(session: Session, vault: Vault, release: Release | None) -> dict[str, str]:
    """The config vars of a release, in the clear; none for no release."""
    config = session.get(Config, release.config_id) if release else None
    return vault.decrypt(config.app_id, config.ciphertext) if config else {}


def add_config(session: Session, vault: Vault, app_id: uuid.UUID, config: dict[str, str]) -> Config:
    """Store config vars, encrypted, for a release to come; routers show the pages that they name from now on."""
    session.get_one(App, app_id).page_urls = routes.page_urls(config)
    row = Config(id=uuid.uuid4(), app_id=app_id, ciphertext=vault.encrypt(app_id, config))
    session.add(row)
    return row


def merge_formation(session: Session, app_id: uuid.UUID, slug: Slug) -> None:
    """Give the formation the slug's process types: rows are added and removed, those that stay keep their scale."""
    rows = {row.type: row for row in session.scalars(select(Formation).where(Formation.app_id == app_id))}
    scales = {name: formations.Scale(name, row.quantity, row.size) for name, row in rows.items()}
    wanted = formations.merge(scales, slug.process_types)
    for name in rows.keys() - wanted.keys():
        webhooks.formation_removed(session, rows[name])
        session.delete(rows[name])
    for name in wanted.keys() - rows.keys():
        scale = wanted[name]
        _add_type(session, app_id, scale, str(slug.process_types[name]))


def _add_type(session: Session, app_id: uuid.UUID, scale: formations.Scale, command: str) -> None:
    row = Formation(app_id=app_id, type=scale.type, quantity=scale.quantity, size=scale.size)
    session.add(row)
    session.flush()
    webhooks.formation_created(session, row, command)


def _is_pending(session: Session, app_id: uuid.UUID) -> bool:
    """Whether the command of a release has not ended."""
    query = select(Release.id).where(Release.app_id == app_id, Release.status == releases.PENDING)
    return session.scalar(query.limit(1)) is not None


def slug_to_come(session: Session, app_id: uuid.UUID) -> Slug | None:
    """The slug that a change of something else has to keep: a deploy whose command still runs is not undone by it.

    That of the newest release which may come to be current.
    """
    wanted = (Release.app_id == app_id, or_(Release.current, Release.status == releases.PENDING))
    release = session.scalars(select(Release).where(*wanted).order_by(Release.version.desc()).limit(1)).one_or_none()
    return release.slug if release else None


def _know_release_type(session: Session, app_id: uuid.UUID, command: str) -> None:
    """Let the formation have the type ``release`` before its command has run: ``ps:type`` and `releases:retry` ask."""
    known = select(Formation.id).where(Formation.app_id == app_id, Formation.type == RELEASE)
    if session.scalar(known) is None:
        _add_type(session, app_id, formations.Scale(RELEASE, 0, dyno_sizes.DEFAULT), command)


def _follow_stack(app: App, slug: Slug) -> None:
    """The app runs on the slug's stack now; what the next deploy is for stays, also after a rollback."""
    wanted = app.build_stack or app.stack
    app.stack, app.build_stack = slug.stack, wanted if wanted != slug.stack else None
