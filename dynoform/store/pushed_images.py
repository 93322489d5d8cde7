"""Which images the registry has, written down before they are pushed, and which of them nobody needs any more."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Interval, func, select, true, type_coerce, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain import garbage
from dynoform.domain.garbage import Image
from dynoform.domain.jobs import Kind
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Job, Lease, PushedImage, Slug

_INVENTORY = "registry inventory"
_PORTION = 500


def note(session: Session, repository: str, digest: str) -> None:
    """Write down that an image is about to be pushed. It is nobody's garbage for ``garbage.GRACE`` from now on.

    Waits while the image is being removed: what is pushed afterwards is whole again.
    """
    row = insert(PushedImage).values(repository=repository, digest=digest, used_at=func.now())
    session.execute(row.on_conflict_do_update(index_elements=["repository", "digest"], set_={"used_at": func.now()}))


def use(session: Session, repository: str, digest: str) -> bool:
    """The image is about to be released; False when it is not known, and may have been removed."""
    mine = (PushedImage.repository == repository, PushedImage.digest == digest)
    done = session.execute(update(PushedImage).where(*mine).values(used_at=func.now()))
    return isinstance(done, CursorResult) and done.rowcount == 1


def found(session: Session, repository: str, digests: Iterable[str]) -> None:
    """Images that the registry has, whoever pushed them: those that are not known yet are, from now on."""
    for digest in digests:
        row = insert(PushedImage).values(repository=repository, digest=digest, used_at=func.now())
        session.execute(row.on_conflict_do_nothing())


def candidates(store: Store) -> list[tuple[str, str]]:
    """(repository, digest) of images that no slug has and that are old enough, the oldest first."""
    old = PushedImage.used_at < func.now() - garbage.GRACE
    query = select(PushedImage.repository, PushedImage.digest).where(old, ~_has_slug()).order_by(PushedImage.used_at)
    with store.transaction() as session:
        return [(row.repository, row.digest) for row in session.execute(query.limit(_PORTION))]


def lock(session: Session, repository: str, digest: str) -> Image | None:
    """One image, which nobody pushes or releases until the transaction ends; None when it is not there, or somebody
    else has it."""
    key = (PushedImage.repository == repository, PushedImage.digest == digest)
    query = select(PushedImage.digest).where(*key).with_for_update(skip_locked=True)
    if session.scalars(query).one_or_none() is None:
        return None
    app_id = garbage.owner(repository)
    works = (Job.app_id == app_id, Job.kind.in_([Kind.BUILD, Kind.RELEASE, Kind.SLUG, Kind.RELAY]))
    has_app, has_job = select(App.id).where(App.id == app_id).exists(), select(Job.id).where(*works).exists()
    # A statement of its own: it sees what was committed until the lock was there.
    age = type_coerce(func.now() - PushedImage.used_at, Interval())
    asked = select(age, _has_slug(), has_app, has_job).where(*key)
    return Image(repository, *session.execute(asked).one())


def forget(session: Session, repository: str, digest: str) -> None:
    """It is gone from the registry. For the transaction of ``lock``."""
    row = session.get(PushedImage, (repository, digest))
    if row is not None:
        session.delete(row)


def inventory_is_due(store: Store) -> bool:
    """Whether the registry's own list is to be read now, by this process."""
    until = func.now() + garbage.INVENTORY
    row = insert(Lease).values(name=_INVENTORY, holder=store.process, expires_at=until)
    taken = row.on_conflict_do_update(
        index_elements=["name"], set_={"expires_at": until}, where=Lease.expires_at < func.now()
    )
    with store.transaction() as session:
        return session.execute(taken.returning(Lease.name)).one_or_none() is not None


def _has_slug() -> ColumnElement[bool]:
    own = func.json_each_text(Slug.images).table_valued("key", "value").alias("own")
    images = select(_name(Slug.image)).union(
        select(_name(own.c.value)).select_from(Slug).join(own, true()),
        # A slug that was laid on a newer stack image has another: the former runs until its dynos have changed.
        select(_name(Dyno.image)).where(Dyno.image.is_not(None)),
    )
    return (PushedImage.repository + "@" + PushedImage.digest).in_(images)


def _name(image: Any) -> ColumnElement[str]:
    """``repository@digest`` of an image: without the registry's address, which may have been another one."""
    return func.substr(image, func.strpos(image, "/") + 1)
