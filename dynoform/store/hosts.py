"""What hosts there are, as the reconciler tells and the API asks."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.store.tables import Host, now


@dataclass(frozen=True)
class HostState:
    """A host of the swarm; ``id`` is its node's."""

    id: str
    name: str
    memory_bytes: int


def replace(session: Session, hosts: Iterable[HostState]) -> None:
    """Make these the hosts that are known."""
    found = list(hosts)
    session.execute(delete(Host).where(Host.id.not_in([host.id for host in found])))
    for host in found:
        values = {"name": host.name, "memory_bytes": host.memory_bytes, "updated_at": now()}
        statement = insert(Host).values(id=host.id, **values)
        session.execute(statement.on_conflict_do_update(index_elements=[Host.id], set_=values))


def largest_memory(session: Session) -> int | None:
    """Bytes of memory of the largest host; None while no host is known."""
    return session.scalar(select(func.max(Host.memory_bytes)))
