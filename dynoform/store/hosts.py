"""What hosts there are, as the reconciler tells and the API asks."""

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain import placement
from dynoform.store.channels import ADDON_WORK
from dynoform.store.session import notify
from dynoform.store.tables import Host, now


def private_runtimes(session: Session) -> list[str]:
    """Names of the runtimes, besides the common one, that hosts are of; each is a space."""
    query = select(Host.runtime).where(Host.runtime != placement.COMMON)
    return list(session.scalars(query.distinct().order_by(Host.runtime)))


def replace(session: Session, hosts: Iterable[placement.Host]) -> None:
    """Make these the hosts that are known."""
    found = list(hosts)
    session.execute(delete(Host).where(Host.id.not_in([host.id for host in found])))
    for host in found:
        values = {"name": host.name, "memory_bytes": host.memory_bytes, "zone": host.zone, "runtime": host.runtime}
        values |= {"state": host.state, "updated_at": now()}
        statement = insert(Host).values(id=host.id, **values)
        session.execute(statement.on_conflict_do_update(index_elements=[Host.id], set_=values))
    if any(host.state == "draining" for host in found):
        notify(session, ADDON_WORK, ADDON_WORK)  # primaries of databases leave it, too


def largest_memory(session: Session) -> int | None:
    """Bytes of memory of the largest host; None while no host is known."""
    return session.scalar(select(func.max(Host.memory_bytes)))
