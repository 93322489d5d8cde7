"""Making releases: the one place where an app's version, config vars, slug and formation change together."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dynoform.domain import formations, releases
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store.secrets import Vault
from dynoform.store.session import FORMATION, notify
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
) -> Release:
    """Make the next release of ``app`` and make it current, within the caller's transaction.

    ``slug`` and ``config`` left out are those of the current release. The formation gets the slug's process types,
    listeners on ``formation`` are told at commit. Locks the app's row; raises ``NotFoundError`` when the app is gone.
    """
    if lock_app(session, app.id) is None:
        raise NotFoundError("Couldn't find that app.", resource="app")
    session.flush()  # a new slug or config must be there before the release points at it
    before = _retire(session, app)
    config_id = config.id if config else before.config_id if before else None
    if config_id is None:
        raise InvalidInputError(f"app {app.name}", "has no release yet", "pass the config vars of the first one")
    slug = slug or (before.slug if before else None)
    release = Release(app_id=app.id, description=description, account_id=account_id, slug=slug, config_id=config_id)
    release.version, release.current = releases.next_version(latest_version(session, app.id)), True
    session.add(release)
    if slug is not None:
        merge_formation(session, app.id, slug)
        _follow_stack(app, slug)
    app.released_at = now()
    session.flush()
    session.refresh(release, ["account"])
    notify(session, FORMATION, app.id)
    return release


def current_release(session: Session, app_id: uuid.UUID) -> Release | None:
    """The app's current release, fresh."""
    query = select(Release).where(Release.app_id == app_id, Release.current).execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def latest_version(session: Session, app_id: uuid.UUID) -> int | None:
    """The highest version that the app has had."""
    return session.scalar(select(func.max(Release.version)).where(Release.app_id == app_id))


def config_of(session: Session, vault: Vault, release: Release | None) -> dict[str, str]:
    """The config vars of a release, in the clear; none for no release."""
    config = session.get(Config, release.config_id) if release else None
    return vault.decrypt(config.app_id, config.ciphertext) if config else {}


def add_config(session: Session, vault: Vault, app_id: uuid.UUID, config: dict[str, str]) -> Config:
    """Store config vars, encrypted, for a release to come."""
    row = Config(id=uuid.uuid4(), app_id=app_id, ciphertext=vault.encrypt(app_id, config))
    session.add(row)
    return row


def merge_formation(session: Session, app_id: uuid.UUID, slug: Slug) -> None:
    """Give the formation the slug's process types: rows are added and removed, those that stay keep their scale."""
    rows = {row.type: row for row in session.scalars(select(Formation).where(Formation.app_id == app_id))}
    scales = {name: formations.Scale(name, row.quantity, row.size) for name, row in rows.items()}
    wanted = formations.merge(scales, slug.process_types)
    for name in rows.keys() - wanted.keys():
        session.delete(rows[name])
    for name in wanted.keys() - rows.keys():
        scale = wanted[name]
        session.add(Formation(app_id=app_id, type=name, quantity=scale.quantity, size=scale.size))


def _follow_stack(app: App, slug: Slug) -> None:
    """The app runs on the slug's stack now; what the next deploy is for stays, also after a rollback."""
    wanted = app.build_stack or app.stack
    app.stack, app.build_stack = slug.stack, wanted if wanted != slug.stack else None


def _retire(session: Session, app: App) -> Release | None:
    before = current_release(session, app.id)
    if before is not None:
        before.current = False
        session.flush()  # at most one release may be current, at any moment
    return before
