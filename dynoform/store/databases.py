"""Databases in the store: their places, and their credentials through a rotation."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func, or_, select, update
from sqlalchemy.orm import Session

from dynoform.domain import addons, data_services
from dynoform.errors import NotFoundError
from dynoform.store.addons import enqueue
from dynoform.store.secrets import Vault
from dynoform.store.session import now
from dynoform.store.tables import (
    Addon,
    AddonChange,
    AddonService,
    Database,
    DatabaseCredential,
    KafkaCluster,
    Plan,
    RedisMember,
)

_KEY = "password"
_PORTS_LOCK = 0x706F727473  # "ports"
"""Of who chooses a port, until it is written down."""


def place(
    session: Session, addon_id: uuid.UUID, published: Collection[int] = (), like: uuid.UUID | None = None
) -> Database:
    """The add-on's database, which gets its port and its names when there is none.

    ``published`` are ports that others have; ``like`` is the add-on whose data it gets, and with them the names.

    Raises ``ConflictError`` when all ports are taken, or at the transaction's end when another was first;
    ``NotFoundError`` when there is no such add-on to be like.
    """
    found = session.get(Database, addon_id)
    if found is None:
        taken = taken_ports(session) | {*published}
        source, port = _source(session, like), data_services.free_port(taken)
        found = Database(
            addon_id=addon_id,
            port=port,
            name=source.name if source else data_services.new_name("d"),
            owner=source.owner if source else data_services.new_name("o"),
            forked_from=session.get_one(Addon, source.addon_id).name if source else None,
        )
        session.add(found)
        session.flush()
    return found


def taken_ports(session: Session) -> set[int]:
    """Ports that databases and clusters have. Whoever takes another has this to himself until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_PORTS_LOCK)))
    brokers = session.scalars(select(KafkaCluster.ports))
    members = session.execute(select(RedisMember.port, RedisMember.sentinel_port))
    pairs = [*(pair for ports in brokers for pair in ports), *members]
    return {*session.scalars(select(Database.port)), *(port for pair in pairs for port in pair)}


def credential(
    session: Session, vault: Vault, addon_id: uuid.UUID, secret: Callable[[str], str] | None = None
) -> DatabaseCredential:
    """The credential in use, made when there is none; ``secret`` makes what its user has instead of a password."""
    in_use = _in_use(addon_id)
    found = session.scalars(select(DatabaseCredential).where(*in_use)).one_or_none()
    return found or _new(session, vault, addon_id, secret=secret)


def rotated(
    session: Session,
    vault: Vault,
    addon_id: uuid.UUID,
    change_id: uuid.UUID,
    grace: timedelta,
    secret: Callable[[str], str] | None = None,
) -> DatabaseCredential:
    """A new credential in use, one for each ``change_id``; that before ends after ``grace``; all, where that is 0.

    ``secret`` is as for ``credential``.
    """
    if found := session.get(DatabaseCredential, change_id):
        return found
    moment = now(session)
    session.execute(update(DatabaseCredential).where(*_in_use(addon_id)).values(ends_at=moment + grace))
    if not grace:
        mine = DatabaseCredential.addon_id == addon_id, DatabaseCredential.ends_at.is_not(None)
        session.execute(update(DatabaseCredential).where(*mine).values(ends_at=moment))
    return _new(session, vault, addon_id, change_id, secret)


def cipher(session: Session, vault: Vault, addon_id: uuid.UUID) -> str:
    """What a database's repository of backups is encrypted with, made when there is none; it is looked at from then."""
    found = session.get_one(Database, addon_id)
    if found.cipher is None:
        found.cipher = vault.encrypt(addon_id, {_KEY: data_services.new_password()})
        found.look_at = now(session)
        session.flush()
    return vault.decrypt(addon_id, found.cipher)[_KEY]


def looked(session: Session, addon_id: uuid.UUID, state: Mapping[str, Any], again: datetime) -> None:
    """Keep how a repository is, and when to look ``again``."""
    found = session.get_one(Database, addon_id)
    found.protection, found.look_at = dict(state), again


def password(vault: Vault, found: DatabaseCredential) -> str:
    """Its password in clear."""
    return vault.decrypt(found.addon_id, found.ciphertext)[_KEY]


def all_credentials(session: Session, addon_id: uuid.UUID) -> Sequence[DatabaseCredential]:
    """All that are to work, the one in use last; without those whose time is over."""
    over = DatabaseCredential.ends_at <= now(session)
    query = select(DatabaseCredential).where(DatabaseCredential.addon_id == addon_id, ~over | _endless())
    return session.scalars(query.order_by(DatabaseCredential.ends_at.asc().nulls_last())).all()


def ended(session: Session, addon_id: uuid.UUID) -> Sequence[DatabaseCredential]:
    """Those whose time is over, to be taken away."""
    over = DatabaseCredential.ends_at <= now(session)
    return session.scalars(select(DatabaseCredential).where(DatabaseCredential.addon_id == addon_id, over)).all()


def enqueue_due(session: Session, running: Collection[str] | None = None) -> int:
    """Have each database maintained that has an ended credential or was not looked after for long; how many.

    So has one that is not among the ids of those ``running``, where that is known: its service was removed.

    One that has something to do already is left for the next time.
    """
    moment = now(session)
    over = select(DatabaseCredential.addon_id).where(DatabaseCredential.ends_at <= moment)
    old = Database.maintained_at < moment - data_services.MAINTAINED_EVERY
    lost = Addon.id.not_in([uuid.UUID(each) for each in running]) if running is not None else false()
    busy = _busy()
    due = (
        select(Addon)
        .join(Database, Database.addon_id == Addon.id)
        .where(Addon.state == addons.PROVISIONED, or_(Addon.id.in_(over), old, lost), ~busy.exists())
        .order_by(Addon.id)
        .with_for_update(of=Addon, skip_locked=True)
    )
    found = session.scalars(due).unique().all()
    for addon in found:
        away = running is not None and str(addon.id) not in running
        ask(session, addon, data_services.MAINTAIN, addon.account_id, {"lost": True} if away else None)
    _look(session, moment)  # last: those above count as busy then, and not the other way round
    return len(found)


def _busy() -> Select[uuid.UUID]:
    """What an add-on has to do, but for looks by ``pg:info``: who asks for those all the time holds up nothing."""
    mine = AddonChange.addon_id == Addon.id, AddonChange.status == addons.PENDING
    return select(AddonChange.id).where(*mine, AddonChange.action != data_services.INSPECT)


def _look(session: Session, moment: datetime) -> None:
    """Have repositories looked at whose time it is; one of a database that has something to do waits for that."""
    busy = _busy()
    due = (
        select(Addon)
        .join(Database, Database.addon_id == Addon.id)
        .where(Addon.state == addons.PROVISIONED, Database.look_at <= moment, ~busy.exists())
        .order_by(Addon.id)
        .with_for_update(of=Addon, skip_locked=True)
    )
    for addon in session.scalars(due).unique().all():
        ask(session, addon, data_services.PROTECT, addon.account_id)


def ask(
    session: Session,
    addon: Addon,
    operation: str,
    account_id: uuid.UUID,
    details: Mapping[str, Any] | None = None,
) -> AddonChange:
    """Have something done to a database, after what was asked before."""
    change = enqueue(session, addon, operation, account_id)
    change.details = dict(details) if details else None
    session.flush()
    return change


def of_services(names: Collection[str]) -> ColumnElement[bool]:
    """Condition for add-ons whose services are provided under these names."""
    plans = select(Plan.id).join(AddonService, AddonService.id == Plan.service_id)
    return Addon.plan_id.in_(plans.where(AddonService.provider.in_(names)))


def _source(session: Session, like: uuid.UUID | None) -> Database | None:
    if like is None:
        return None
    found = session.get(Database, like)
    if found is None:
        raise NotFoundError("The database to copy was destroyed meanwhile", resource="add_on")
    return found


def _new(
    session: Session,
    vault: Vault,
    addon_id: uuid.UUID,
    identifier: uuid.UUID | None = None,
    secret: Callable[[str], str] | None = None,
) -> DatabaseCredential:
    username = data_services.new_name("u")
    made = DatabaseCredential(
        id=identifier or uuid.uuid4(),
        addon_id=addon_id,
        name=data_services.DEFAULT,
        username=username,
        ciphertext=vault.encrypt(addon_id, {_KEY: secret(username) if secret else data_services.new_password()}),
    )
    session.add(made)
    session.flush()
    return made


def _in_use(addon_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    mine = DatabaseCredential.addon_id == addon_id, DatabaseCredential.name == data_services.DEFAULT
    return (*mine, _endless())


def _endless() -> ColumnElement[bool]:
    return DatabaseCredential.ends_at.is_(None)
