"""Redises with HA in the store: where their members are."""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dynoform.domain import data_services
from dynoform.domain.data_hosts import Place
from dynoform.store import databases
from dynoform.store.tables import RedisMember


def members(session: Session, addon_id: uuid.UUID) -> Sequence[RedisMember]:
    """Those that there are, in the order of their numbers; none of a Redis that is one server."""
    query = select(RedisMember).where(RedisMember.addon_id == addon_id)
    return session.scalars(query.order_by(RedisMember.number)).all()


def place(
    session: Session, addon_id: uuid.UUID, count: int, published: Collection[int], hosts: Sequence[Place | None] = ()
) -> Sequence[RedisMember]:
    """The members, which get their ports when there are none; ``published`` are others' ports.

    ``hosts`` is where each one is from now on, None for the platform's host; with none of them all are there.

    Raises ``ConflictError`` when all ports are taken.
    """
    if not members(session, addon_id):
        taken = databases.taken_ports(session) | {*published}
        for number in range(1, count + 1):
            pair = []
            for _ in range(2):
                pair.append(data_services.free_port(taken))
                taken.add(pair[-1])
            session.add(RedisMember(addon_id=addon_id, number=number, port=pair[0], sentinel_port=pair[1]))
        session.flush()
    found = members(session, addon_id)
    for each, host in zip(found, hosts or [None] * len(found), strict=True):
        each.host = list(host) if host else None
    return found


def forget(session: Session, addon_id: uuid.UUID) -> None:
    """It is one server from now on."""
    session.execute(delete(RedisMember).where(RedisMember.addon_id == addon_id))
