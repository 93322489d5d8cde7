"""Kafka clusters in the store: where their brokers are, their authority, and who uses the one that is shared."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import false, or_, select
from sqlalchemy.orm import Session

from dynoform.domain import addons, data_services
from dynoform.domain.data_hosts import Place
from dynoform.store import databases
from dynoform.store.secrets import Vault
from dynoform.store.session import now
from dynoform.store.tables import Addon, DatabaseCredential, KafkaCluster

SHARED = uuid.uuid5(uuid.NAMESPACE_URL, "dynoform:kafka:shared")
"""The id of the cluster that tenants share; a stack has one."""


def place(
    session: Session,
    vault: Vault,
    cluster_id: uuid.UUID,
    brokers: int,
    published: Collection[int],
    authority: Callable[[], Mapping[str, str]],
    hosts: Sequence[Place | None] = (),
) -> KafkaCluster:
    """The cluster, which gets its ports and an ``authority`` when there is none; ``published`` are others' ports.

    ``brokers`` is how many it gets then, ``hosts`` where each is, if some are not on the platform's host.

    Raises ``ConflictError`` when all ports are taken.
    """
    found = session.get(KafkaCluster, cluster_id)
    if found is None:
        taken = databases.taken_ports(session) | {*published}
        ports: list[list[int]] = []
        for _ in range(brokers):
            pair = []
            for _ in range(2):
                pair.append(data_services.free_port(taken))
                taken.add(pair[-1])
            ports.append(pair)
        found = KafkaCluster(
            id=cluster_id,
            addon_id=None if cluster_id == SHARED else cluster_id,
            ports=ports,
            hosts=written(hosts),
            ciphertext=vault.encrypt(cluster_id, dict(authority())),
        )
        session.add(found)
        session.flush()
    return found


def written(hosts: Sequence[Place | None]) -> list[list[str] | None] | None:
    """Where brokers are, as it is kept."""
    return [list(each) if each else None for each in hosts] or None


def authority(vault: Vault, found: KafkaCluster) -> dict[str, str]:
    """``cert_pem`` and ``key_pem`` of its authority."""
    return vault.decrypt(found.id, found.ciphertext)


def other_tenants(session: Session, addon_id: uuid.UUID) -> Sequence[Addon]:
    """The add-ons but this one that use the shared cluster, or are about to."""
    own = select(KafkaCluster.addon_id).where(KafkaCluster.addon_id.is_not(None))
    query = select(Addon).where(
        databases.of_services([data_services.KAFKA]),
        Addon.id != addon_id,
        Addon.id.not_in(own),
        Addon.state != addons.DEPROVISIONED,
    )
    return session.scalars(query.order_by(Addon.id)).unique().all()


def enqueue_due(session: Session, running: Collection[str] | None = None) -> int:
    """As ``databases.enqueue_due``, for clusters and their tenants; how many add-ons have something to do now."""
    moment = now(session)
    over = select(DatabaseCredential.addon_id).where(DatabaseCredential.ends_at <= moment)
    old = KafkaCluster.maintained_at < moment - data_services.MAINTAINED_EVERY
    away = KafkaCluster.id.not_in([uuid.UUID(each) for each in running]) if running is not None else false()
    due = {each.id: each for each in session.scalars(select(KafkaCluster).where(or_(old, away)))}
    mine = select(Addon).where(
        databases.of_services([data_services.KAFKA]), Addon.state == addons.PROVISIONED, ~databases.is_busy()
    )
    # One of the tenants has the shared cluster looked after.
    own = select(KafkaCluster.id)
    keeper = mine.where(Addon.id.not_in(own)).order_by(Addon.id).limit(1) if SHARED in due else None
    wanted = {each.id for each in session.scalars(mine.where(or_(Addon.id.in_(over), Addon.id.in_([*due])))).unique()}
    keepers = {each.id for each in session.scalars(keeper).unique()} if keeper is not None else set()
    locked = select(Addon).where(Addon.id.in_(wanted | keepers)).order_by(Addon.id)
    found = session.scalars(locked.with_for_update(of=Addon, skip_locked=True)).unique().all()
    for addon in found:
        cluster = SHARED if addon.id in keepers else addon.id
        lost = cluster in due and running is not None and str(cluster) not in running
        details = {"lost": True} if lost else {"old": True} if cluster in due else None
        databases.ask(session, addon, data_services.MAINTAIN, addon.account_id, details)
    return len(found)
