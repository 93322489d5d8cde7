"""Databases in the store: their places, and their credentials through a rotation."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, false, func, or_, select, update
from sqlalchemy.orm import Session

from dynoform.domain import addons, data_services, database_credentials, maintenance
from dynoform.domain.data_hosts import DataHost, Place
from dynoform.errors import NotFoundError
from dynoform.store.addons import enqueue
from dynoform.store.secrets import Vault
from dynoform.store.session import now
from dynoform.store.tables import (
    Addon,
    AddonAttachment,
    AddonChange,
    AddonService,
    Database,
    DatabaseCredential,
    DatabaseLink,
    Host,
    KafkaCluster,
    LeftVolume,
    Plan,
    RedisMember,
)

_KEY, _USER = "password", "user"
_PORTS_LOCK = 0x706F727473  # "ports"
"""Of who chooses a port, until it is written down."""


def place(
    session: Session,
    addon_id: uuid.UUID,
    published: Collection[int] = (),
    like: uuid.UUID | None = None,
    members: int = 0,
    *,
    follows: bool = False,
    hosts: Sequence[Place | None] = (),
) -> Database:
    """The add-on's database, which gets its ports and its names when there is none.

    ``published`` are ports that others have; ``like`` is the add-on whose data it gets, and with them the names;
    ``members`` is how many a database with a standby consists of, each of which gets two ports; ``follows`` says
    whether it is to stay as the one is that it is like; ``hosts`` is where each member is, if some are not on the
    platform's host: those are reached at two more ports.

    Raises ``ConflictError`` when all ports are taken, or at the transaction's end when another was first;
    ``NotFoundError`` when there is no such add-on to be like.
    """
    found = session.get(Database, addon_id)
    if found is None:
        taken = taken_ports(session) | {*published}
        pairs = members + 1 if hosts else members
        source, ports = _source(session, like), _ports(taken, 1 + 2 * pairs)
        found = Database(
            addon_id=addon_id,
            port=ports[0],
            member_ports=[ports[index : index + 2] for index in range(1, len(ports), 2)] or None,
            member_hosts=[list(each) if each else None for each in hosts] or None,
            name=source.name if source else data_services.new_name("d"),
            owner=source.owner if source else data_services.new_name("o"),
            forked_from=session.get_one(Addon, source.addon_id).name if source and not follows else None,
            leader_id=source.addon_id if source and follows else None,
        )
        session.add(found)
        session.flush()
    return found


def taken_ports(session: Session) -> set[int]:
    """Ports that databases and clusters have. Whoever takes another has this to himself until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_PORTS_LOCK)))
    own = [*session.scalars(select(KafkaCluster.ports)), *session.scalars(select(Database.member_ports))]
    members = session.execute(select(RedisMember.port, RedisMember.sentinel_port))
    pools = session.scalars(select(Database.pool_port).where(Database.pool_port.is_not(None)))
    singles = {*session.scalars(select(Database.port)), *(port for port in pools if port is not None)}
    pairs = [*(pair for ports in own for pair in ports or ()), *members]
    return singles | {port for pair in pairs for port in pair}


def standbys(session: Session) -> dict[str, int]:
    """Host → how many databases and clusters have a member there, of hosts besides the platform's."""
    found = [*session.scalars(select(Database.member_hosts)), *session.scalars(select(KafkaCluster.hosts))]
    redises = session.scalars(select(RedisMember.host)).all()  # of each no two on one of these
    names = [name for hosts in found for name in {each[0] for each in hosts or () if each}]
    return dict(Counter([*names, *(host[0] for host in redises if host)]))


def leave_volumes(session: Session, volumes: Collection[tuple[str, str]]) -> None:
    """Have volumes removed that are on other hosts: name of the host, name of the volume."""
    for host, name in volumes:
        session.merge(LeftVolume(host=host, name=name))


def keep_volumes(session: Session, names: Collection[str]) -> None:
    """Have volumes removed no more: something is about to use them again."""
    session.execute(delete(LeftVolume).where(LeftVolume.name.in_(names)))


def _ports(taken: Collection[int], count: int) -> list[int]:
    """So many ports that nobody has."""
    found: list[int] = []
    for _ in range(count):
        found.append(data_services.free_port({*taken, *found}))
    return found


def credential(
    session: Session,
    vault: Vault,
    addon_id: uuid.UUID,
    secret: Callable[[str], str] | None = None,
    name: str = data_services.DEFAULT,
) -> DatabaseCredential:
    """The user in use of a credential, made when there is none; ``secret`` makes what it has instead of a password."""
    in_use = _in_use(addon_id, name)
    found = session.scalars(select(DatabaseCredential).where(*in_use)).one_or_none()
    return found or _new(session, vault, addon_id, secret=secret, name=name)


def credential_names(session: Session, addon_id: uuid.UUID) -> list[str]:
    """The credentials of a database, the default one first, then by name."""
    mine = DatabaseCredential.addon_id == addon_id, _endless()
    names = session.scalars(select(DatabaseCredential.name).where(*mine)).all()
    found = [name for name in names if not name.startswith(database_credentials.LINK)]
    return sorted(found, key=lambda name: (name != data_services.DEFAULT, name))


def forget_credential(session: Session, addon_id: uuid.UUID, name: str) -> None:
    """Have a credential no more, with all its users."""
    mine = DatabaseCredential.addon_id == addon_id, DatabaseCredential.name == name
    session.execute(delete(DatabaseCredential).where(*mine))


def rotated(
    session: Session,
    vault: Vault,
    addon_id: uuid.UUID,
    change_id: uuid.UUID,
    grace: timedelta,
    secret: Callable[[str], str] | None = None,
    name: str = data_services.DEFAULT,
) -> DatabaseCredential:
    """A new user of a credential, one for each ``change_id``; that before ends after ``grace``; all, where that is 0.

    ``secret`` is as for ``credential``.
    """
    identifier = change_id if name == data_services.DEFAULT else uuid.uuid5(change_id, name)
    if found := session.get(DatabaseCredential, identifier):
        return found
    moment = now(session)
    session.execute(update(DatabaseCredential).where(*_in_use(addon_id, name)).values(ends_at=moment + grace))
    if not grace:
        mine = DatabaseCredential.addon_id == addon_id, DatabaseCredential.name == name
        ending = *mine, DatabaseCredential.ends_at.is_not(None)
        session.execute(update(DatabaseCredential).where(*ending).values(ends_at=moment))
    return _new(session, vault, addon_id, identifier, secret, name)


def replication(session: Session, vault: Vault, addon_id: uuid.UUID) -> tuple[str, str]:
    """User and password that a follower follows by, made when there are none."""
    found = session.get_one(Database, addon_id)
    if found.replication is None:
        made = {_USER: data_services.new_name("f"), _KEY: data_services.new_password()}
        found.replication = vault.encrypt(addon_id, made)
        session.flush()
    kept = vault.decrypt(addon_id, found.replication)
    return kept[_USER], kept[_KEY]


def followers(session: Session, addon_id: uuid.UUID) -> Sequence[Addon]:
    """The add-ons that follow this one's database."""
    mine = select(Addon).join(Database, Database.addon_id == Addon.id).where(Database.leader_id == addon_id)
    return session.scalars(mine.where(Addon.state == addons.PROVISIONED).order_by(Addon.created_at)).unique().all()


def is_follower(found: Database) -> bool:
    """Whether it follows another one, or did until that was destroyed: its server takes no writes."""
    return found.leader_id is not None or found.replication is not None


def let_go(session: Session, addon_id: uuid.UUID, change_id: uuid.UUID) -> bool:
    """Have those become databases of their own that follow a database which a change destroys; whether all that will.

    One that could not, as itself does not answer, is not waited for: it can be unfollowed afterwards.
    """
    alive = Addon.state.in_((addons.PROVISIONING, addons.PROVISIONED))
    mine = select(Addon).join(Database, Database.addon_id == Addon.id).where(Database.leader_id == addon_id, alive)
    waits = False
    for each in session.scalars(mine.order_by(Addon.id)).unique().all():
        asked = AddonChange.addon_id == each.id, AddonChange.action == data_services.UNFOLLOW
        for_this = AddonChange.details["for"].as_string() == str(change_id)
        status = session.scalar(select(AddonChange.status).where(*asked, for_this).limit(1))
        if status is None and each.state == addons.PROVISIONED:
            ask(session, each, data_services.UNFOLLOW, each.account_id, {"for": str(change_id)})
        waits = waits or status != addons.FAILED
    return not waits


def holder(session: Session, addon_id: uuid.UUID) -> uuid.UUID:
    """The add-on whose credentials a database has: a follower has its leader's."""
    found = session.get(Database, addon_id)
    return found.leader_id if found is not None and found.leader_id is not None else addon_id


def cipher(session: Session, vault: Vault, addon_id: uuid.UUID) -> str:
    """What a database's repository of backups is encrypted with, made when there is none; it is looked at from then."""
    found = session.get_one(Database, addon_id)
    if found.cipher is None:
        found.cipher = vault.encrypt(addon_id, {_KEY: data_services.new_password()})
        found.look_at = now(session)
        session.flush()
    return vault.decrypt(addon_id, found.cipher)[_KEY]


def pool(session: Session, vault: Vault, addon_id: uuid.UUID, published: Collection[int] = ()) -> tuple[int, str]:
    """Where a database's connection pool is, and its role's password; made when there are none.

    ``published`` are ports that others have. Raises ``ConflictError`` when all are taken.
    """
    found = session.get_one(Database, addon_id)
    if found.pool_port is None or found.pool is None:
        found.pool_port = data_services.free_port(taken_ports(session) | {*published})
        found.pool = vault.encrypt(addon_id, {_KEY: data_services.new_password()})
        session.flush()
    return found.pool_port, vault.decrypt(addon_id, found.pool)[_KEY]


def is_pooled(session: Session, addon_id: uuid.UUID) -> bool:
    """Whether an attachment leads to the database's connection pool."""
    mine = AddonAttachment.addon_id == addon_id, AddonAttachment.namespace == database_credentials.POOLING
    return session.scalars(select(AddonAttachment.id).where(*mine)).first() is not None


def link(session: Session, vault: Vault, addon_id: uuid.UUID, target: Addon, name: str) -> DatabaseCredential:
    """A data link under a name, made when there is none; returns the user that it has on the ``target``."""
    found = find_link(session, addon_id, name)
    if found is None:
        found = DatabaseLink(
            id=uuid.uuid4(), addon_id=addon_id, target_id=target.id, target_name=target.name, name=name
        )
        session.add(found)
        session.flush()
    return credential(session, vault, target.id, name=f"{database_credentials.LINK}{found.id}")


def links(session: Session, addon_id: uuid.UUID) -> Sequence[DatabaseLink]:
    """A database's data links, by name."""
    mine = DatabaseLink.addon_id == addon_id
    return session.scalars(select(DatabaseLink).where(mine).order_by(DatabaseLink.name)).all()


def find_link(session: Session, addon_id: uuid.UUID, name: str) -> DatabaseLink | None:
    """One of them."""
    mine = DatabaseLink.addon_id == addon_id, DatabaseLink.name == name.replace("\0", "")
    return session.scalars(select(DatabaseLink).where(*mine)).one_or_none()


def unlink(session: Session, found: DatabaseLink) -> None:
    """Have a data link no more; the user that it had on the other database is over, and taken away there."""
    name = f"{database_credentials.LINK}{found.id}"
    theirs = DatabaseCredential.name == name, DatabaseCredential.ends_at.is_(None)
    session.execute(update(DatabaseCredential).where(*theirs).values(ends_at=now(session)))
    session.delete(found)
    session.flush()


def unpool(session: Session, addon_id: uuid.UUID) -> None:
    """A database has no connection pool any more."""
    found = session.get_one(Database, addon_id)
    found.pool_port = found.pool = None
    found.pool_everywhere = False


def looked(session: Session, addon_id: uuid.UUID, state: Mapping[str, Any], again: datetime) -> None:
    """Keep how a repository is, and when to look ``again``."""
    found = session.get_one(Database, addon_id)
    found.protection, found.look_at = dict(state), again


def password(vault: Vault, found: DatabaseCredential) -> str:
    """Its password in clear."""
    return vault.decrypt(found.addon_id, found.ciphertext)[_KEY]


def all_credentials(session: Session, addon_id: uuid.UUID, name: str | None = None) -> Sequence[DatabaseCredential]:
    """All users that are to work, or those of one credential, the one in use last; without those whose time is over."""
    over = DatabaseCredential.ends_at <= now(session)
    query = select(DatabaseCredential).where(DatabaseCredential.addon_id == addon_id, ~over | _endless())
    if name is not None:
        query = query.where(DatabaseCredential.name == name)
    return session.scalars(query.order_by(DatabaseCredential.ends_at.asc().nulls_last())).all()


def ended(session: Session, addon_id: uuid.UUID) -> Sequence[DatabaseCredential]:
    """Those whose time is over, to be taken away."""
    over = DatabaseCredential.ends_at <= now(session)
    return session.scalars(select(DatabaseCredential).where(DatabaseCredential.addon_id == addon_id, over)).all()


def enqueue_due(session: Session, running: Collection[str] | None = None) -> int:
    """Have each database maintained that has an ended credential or was not looked after for long; how many.

    So has one that is not among the ids of those ``running``, where that is known: its service was removed; and again
    while it is not back, though it has a service. And one whose connection pool nobody is attached to any more.

    One that has something to do already is left for the next time.
    """
    moment = now(session)
    over = select(DatabaseCredential.addon_id).where(DatabaseCredential.ends_at <= moment)
    since = func.mod(
        maintenance.minute_of_week(moment) - Database.maintenance_window + maintenance.WEEK_MINUTES,
        maintenance.WEEK_MINUTES,
    )
    opened = or_(Database.maintenance_window.is_(None), since < maintenance.WINDOW.seconds // 60)
    due_at = func.coalesce(Database.maintenance_at, Database.maintained_at + data_services.MAINTAINED_EVERY)
    old = and_(due_at < moment, opened)
    gone = Addon.id.not_in([uuid.UUID(each) for each in running]) if running is not None else false()
    lost = or_(gone, Database.lost_at < moment - data_services.LOST_AGAIN)
    pooled = exists().where(
        AddonAttachment.addon_id == Addon.id, AddonAttachment.namespace == database_credentials.POOLING
    )
    idle = and_(Database.pool_port.is_not(None), ~pooled)
    due = (
        select(Addon)
        .join(Database, Database.addon_id == Addon.id)
        .where(Addon.state == addons.PROVISIONED, or_(Addon.id.in_(over), old, lost, idle), ~is_busy())
        .order_by(Addon.id)
        .with_for_update(of=Addon, skip_locked=True)
    )
    found = session.scalars(due).unique().all()
    for addon in found:
        database = session.get_one(Database, addon.id)
        away = running is not None and str(addon.id) not in running
        if away or database.lost_at:
            database.lost_at = moment
        old_too = session.scalars(select(Database.addon_id).where(Database.addon_id == addon.id, old)).first()
        details = {"lost": True} if database.lost_at else data_services.DUE if old_too else None
        ask(session, addon, data_services.MAINTAIN, addon.account_id, details)
    _look(session, moment)  # last: those above count as busy then, and not the other way round
    return len(found)


def draining(session: Session) -> bool:
    """Whether a host is drained that databases may have a server on."""
    return session.scalars(select(Host.id).where(Host.state == "draining").limit(1)).first() is not None


def enqueue_hand_overs(session: Session, hosts: Collection[DataHost]) -> int:
    """Have each database look whether its standby is to take over that has a server on a drained host; how many.

    ``hosts`` are the swarm's. One that has something to do, or has just looked, is left for the next time.
    """
    leaving = {None if host.platform else host.name for host in hosts if host.draining}
    just = exists().where(
        AddonChange.addon_id == Addon.id,
        AddonChange.action == data_services.HAND_OVER,
        AddonChange.created_at > now(session) - data_services.HAND_OVER_EVERY,
    )
    due = (
        select(Addon, Database)
        .join(Database, Database.addon_id == Addon.id)
        .where(Addon.state == addons.PROVISIONED, Database.member_ports.is_not(None), ~is_busy(), ~just)
        .order_by(Addon.id)
        .with_for_update(of=Addon, skip_locked=True)
    )
    found = [
        addon
        for addon, database in session.execute(due).unique().all()
        if leaving & {each[0] if each else None for each in (database.member_hosts or ())[: data_services.SERVERS]}
    ]
    for addon in found:
        ask(session, addon, data_services.HAND_OVER, addon.account_id)
    return len(found)


def is_busy() -> ColumnElement[bool]:
    """Whether an add-on has something to do, but for looks by ``pg:info``: who asks for those holds up nothing."""
    mine = AddonChange.addon_id == Addon.id, AddonChange.status == addons.PENDING
    return exists().where(*mine, AddonChange.action != data_services.INSPECT)


def _look(session: Session, moment: datetime) -> None:
    """Have repositories looked at whose time it is; one of a database that has something to do waits for that."""
    due = (
        select(Addon)
        .join(Database, Database.addon_id == Addon.id)
        .where(Addon.state == addons.PROVISIONED, Database.look_at <= moment, Database.leader_id.is_(None))
        .where(~is_busy())
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
    name: str = data_services.DEFAULT,
) -> DatabaseCredential:
    username = data_services.new_name("u")
    made = DatabaseCredential(
        id=identifier or uuid.uuid4(),
        addon_id=addon_id,
        name=name,
        username=username,
        ciphertext=vault.encrypt(addon_id, {_KEY: secret(username) if secret else data_services.new_password()}),
    )
    session.add(made)
    session.flush()
    return made


def _in_use(addon_id: uuid.UUID, name: str) -> tuple[ColumnElement[bool], ...]:
    mine = DatabaseCredential.addon_id == addon_id, DatabaseCredential.name == name
    return (*mine, _endless())


def _endless() -> ColumnElement[bool]:
    return DatabaseCredential.ends_at.is_(None)
