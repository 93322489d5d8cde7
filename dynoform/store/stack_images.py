"""The stack's images as builders tell of them, and which slugs and dynos are not on the newest yet."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain import garbage, releases, stacks
from dynoform.domain.jobs import Kind
from dynoform.domain.stack_updates import Update
from dynoform.store import jobs
from dynoform.store.releases import lock_app
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Release, Slug, StackImage

RUN, BUILD = "run", "build"
Told = tuple[Update, Sequence[str] | None]
"""An update, and the CVEs that it closes; None where these are not known."""
_NAMED = 5
ASK_EVERY, ASK_AGAIN = timedelta(days=1), timedelta(hours=1)
"""How often the mirror is asked for updates, and when again after it did not answer."""


@dataclass(frozen=True)
class Waiting:
    """What is not on the newest stack image yet: apps whose current slug is not, all such slugs, and dynos."""

    apps: int
    slugs: int
    dynos: int
    names: Sequence[str] = ()
    """Some of the apps whose current slug or whose dynos are not."""


def known(session: Session, image_id: str) -> StackImage | None:
    """The image with this id, when a builder has told of it."""
    return session.get(StackImage, image_id)


def declare(session: Session, image_id: str, kind: str, name: str, version: str, sbom: str | None) -> None:
    """A builder begins to use this image: it is the newest of its kind from now on."""
    values = {"kind": kind, "stack": stacks.DEFAULT, "name": name, "version": version, "sbom": sbom}
    moment = func.clock_timestamp()
    row = insert(StackImage).values(id=image_id, declared_at=moment, **values)
    session.execute(row.on_conflict_do_update(index_elements=["id"], set_={"declared_at": moment, "name": name}))


def newest(session: Session, kind: str) -> StackImage | None:
    """The image of this kind that is in use."""
    query = select(StackImage).where(StackImage.kind == kind).order_by(StackImage.declared_at.desc()).limit(1)
    return session.scalars(query).one_or_none()


def superseded(session: Session) -> Sequence[StackImage]:
    """Run images that no builder uses any more: another has been in use for a while."""
    latest = newest(session, RUN)
    if latest is None:
        return []
    old = (StackImage.id != latest.id, StackImage.declared_at < func.now() - garbage.GRACE)
    return session.scalars(select(StackImage).where(StackImage.kind == RUN, *old)).all()


def forget(session: Session, image: StackImage) -> None:
    """The image is gone from the registry; what was in it is known while slugs lie on it."""
    lies = exists().where(Slug.base == image.version)
    others = exists().where(StackImage.id != image.id, StackImage.version == image.version)
    if not session.scalars(select(lies & ~others)).one():
        session.execute(delete(StackImage).where(StackImage.id == image.id))


def queue(store: Store, version: str) -> None:
    """Add a job for every app that has slugs on another stack image than this one; one that waits already is enough."""
    with store.transaction() as session:
        apps = list(session.scalars(select(Slug.app_id).where(_elsewhere(version)).distinct()))
    for app_id in apps:
        with store.transaction() as session:
            if lock_app(session, app_id) is not None:
                add_job(session, app_id)


def add_job(session: Session, app_id: uuid.UUID) -> None:
    """Have the app's slugs laid on the newest stack image; the app has to be locked."""
    jobs.add(session, app_id, Kind.RELAY, uuid.uuid5(app_id, Kind.RELAY))


def elsewhere(session: Session, app_id: uuid.UUID, version: str) -> Sequence[tuple[Slug, bool]]:
    """The app's slugs on other stack images, newest first, each with whether it runs or is about to."""
    runs = exists().where(Release.slug_id == Slug.id, or_(Release.current, Release.status == releases.PENDING))
    query = select(Slug, runs).where(Slug.app_id == app_id, _elsewhere(version)).order_by(Slug.created_at.desc())
    return [(slug, running) for slug, running in session.execute(query)]


def waiting(session: Session, version: str) -> Waiting:
    """What is left until everything is on the stack image of this version."""
    current = and_(Release.slug_id == Slug.id, Release.current)
    apps = select(func.count()).select_from(Slug).join(Release, current).where(_elsewhere(version))
    slugs = select(func.count()).select_from(Slug).where(_elsewhere(version))
    # A dyno that goes counts until it is gone; one that sleeps or cools off gets the newest when it starts.
    moving = Dyno.state.in_(["starting", "up", "down"])
    dynos = (
        select(func.count())
        .select_from(Dyno)
        .join(Release, Release.id == Dyno.release_id)
        .join(Slug, Slug.id == Release.slug_id)
        .where(Slug.stack == stacks.DEFAULT, Release.current, Dyno.image != Slug.image, moving)
    )
    first, second, third = (session.scalars(query).one() for query in (apps, slugs, dynos))
    late = union(apps.with_only_columns(Slug.app_id), dynos.with_only_columns(Dyno.app_id)).subquery()
    names = select(App.name).where(App.id.in_(select(late))).order_by(App.name).limit(_NAMED)
    return Waiting(first, second, third, session.scalars(names).all())


def apps_on(session: Session, stack: str) -> int:
    """How many apps have a current release of this stack's."""
    query = select(func.count()).select_from(Release).join(Slug, Slug.id == Release.slug_id)
    return session.scalars(query.where(Release.current, Slug.stack == stack)).one()


def to_ask(store: Store) -> list[StackImage]:
    """The images in use, if the mirror is to be asked for updates of them now, by this process; else none."""
    with store.transaction() as session:
        found = [image for kind in (RUN, BUILD) if (image := newest(session, kind))]
        since = case((StackImage.failure.is_(None), ASK_EVERY), else_=ASK_AGAIN)
        due = or_(StackImage.asked_at.is_(None), StackImage.asked_at < func.now() - since)
        mine = (StackImage.id.in_([image.id for image in found]), due)
        query = select(StackImage.id).where(*mine).with_for_update(skip_locked=True)
        ids = session.scalars(query).all()
        session.execute(update(StackImage).where(StackImage.id.in_(ids)).values(asked_at=func.clock_timestamp()))
        return found if ids else []


def told(session: Session, image_id: str, updates: Iterable[Told], tracker: str | None = None) -> None:
    """What the mirror has for an image; ``tracker`` says why no CVEs are named, if so."""
    found = [one.as_json() | {"cves": cves} for one, cves in updates]
    values = {"updates": found, "asked_at": func.clock_timestamp(), "failure": None, "tracker": tracker}
    session.execute(update(StackImage).where(StackImage.id == image_id).values(**values))


def not_told(session: Session, image_id: str, failure: str) -> None:
    """The mirror could not be asked; what it had said before stays."""
    values = {"asked_at": func.clock_timestamp(), "failure": failure}
    session.execute(update(StackImage).where(StackImage.id == image_id).values(**values))


def _elsewhere(version: str) -> ColumnElement[bool]:
    return and_(
        Slug.stack == stacks.DEFAULT,
        Slug.image.contains("@"),  # not one that is not made yet
        Slug.expired_at.is_(None),
        Slug.base.is_distinct_from(version),
    )
