"""Which slugs are too old to be kept (https://devcenter.heroku.com/changelog-items/3395)."""

import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from dynoform.domain import releases
from dynoform.domain.jobs import Kind
from dynoform.store import jobs
from dynoform.store.releases import lock_app
from dynoform.store.session import Store
from dynoform.store.tables import Dyno, Release, Slug

SlugId = uuid.UUID


def queue(store: Store) -> None:
    """Add a job for every app that has slugs to expire; one that waits already is enough."""
    with store.transaction() as session:
        apps = list(session.scalars(select(Slug.app_id).where(*_expirable()).distinct()))
    for app_id in apps:
        with store.transaction() as session:
            if lock_app(session, app_id) is not None:
                jobs.add(session, app_id, Kind.EXPIRE_SLUGS, uuid.uuid5(app_id, Kind.EXPIRE_SLUGS))


def expire(session: Session, app_id: uuid.UUID) -> Sequence[Slug]:
    """Mark the app's slugs that have had their time, and the releases of them; returns those slugs.

    The app has to be locked: from now on nobody makes a release of one.
    """
    slugs = session.scalars(_slugs(app_id)).all()
    ids = [slug.id for slug in slugs]
    session.execute(update(Slug).where(Slug.id.in_(ids), Slug.expired_at.is_(None)).values(expired_at=func.now()))
    expired = (Release.slug_id.in_(ids), Release.status == releases.SUCCEEDED)
    session.execute(update(Release).where(*expired).values(status=releases.EXPIRED))
    return slugs


def unused_images(session: Session, slugs: Iterable[Slug]) -> list[str]:
    """The images of these slugs, of all their types, that no other one has: the same source makes the same image, and a
    promotion takes it over to another app. Nor a dyno: its slug may have gone on to a newer stack image."""
    images = {image for slug in slugs for image in (slug.image, *slug.images.values())} - {""}
    own, kept = func.json_each_text(Slug.images).table_valued("key", "value").alias("own"), Slug.expired_at.is_(None)
    first = select(Slug.image).where(Slug.image.in_(images), kept)
    others = select(own.c.value).select_from(Slug).join(own, true()).where(own.c.value.in_(images), kept)
    dynos = select(Dyno.image).where(Dyno.image.in_(images))
    return sorted(images - set(session.scalars(first.union(others, dynos))))


def forget(session: Session, slug_ids: Iterable[SlugId]) -> None:
    """Their images are gone: remove the slugs. Releases stay, without one."""
    session.execute(delete(Slug).where(Slug.id.in_(list(slug_ids))))


def _slugs(app_id: uuid.UUID) -> Select[Slug]:
    return select(Slug).where(Slug.app_id == app_id, *_expirable())


def _expirable() -> list[ColumnElement[bool]]:
    newest = aliased(Release)
    latest = select(func.max(newest.version)).where(newest.app_id == Release.app_id).scalar_subquery()
    kept = or_(
        Release.version > latest - releases.KEPT_RELEASES,
        Release.created_at > func.now() - releases.KEPT_FOR,
        Release.current,
        Release.status == releases.PENDING,
        exists().where(Dyno.release_id == Release.id),
    )
    in_use = exists().where(Release.slug_id == Slug.id, kept)
    return [Slug.created_at < func.now() - releases.KEPT_FOR, ~in_use]
