"""The servers of a database with a standby, by the program that is beside each of them (``images/postgres-ha/ha``)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from dynoform.domain import data_services, standby
from dynoform.domain.data_hosts import DataHost, Place
from dynoform.errors import UnavailableError

_Answer = TypeVar("_Answer")
_HA = "/opt/dynoform/ha"
_USER = "postgres"
_HAS_DATA = ["sh", "-c", "test -s /var/lib/postgresql/17/global/pg_control && echo yes || echo no"]


class Runs(Protocol):
    """What is asked of the engine; ``dynoform.addons.engine.Engine``."""

    def run(self, service: str, argv: "list[str]", stdin: str, user: str) -> str:
        """What a program prints."""


def servers(service: str) -> Sequence[str]:
    """The services of its servers; ``service`` is that of the database, where its clients find the primary."""
    return [f"{service}-{number}" for number in range(1, data_services.SERVERS + 1)]


def volumes(service: str) -> Sequence[str]:
    """The volumes of its servers, then of the members of etcd, in the order of ``Known.members``."""
    return [*servers(service), *(f"{service}-etcd-{number}" for number in range(1, data_services.VOTERS + 1))]


def primary(engine: Runs, service: str) -> str:
    """The service whose server takes writes. Raises ``UnavailableError`` while there is none."""

    def ask(server: str) -> str:
        engine.run(server, [_HA, "primary"], "", _USER)
        return server

    return _first(service, ask)


def state(engine: Runs, service: str) -> dict[str, Any]:
    """How they stand, see ``dynoform.domain.standby``. Raises ``UnavailableError`` where none of them says."""
    return _first(service, lambda server: standby.read(engine.run(server, [_HA, "state"], "", _USER)))


def hand_over(engine: Runs, service: str, hosts: Mapping[str, DataHost]) -> bool:
    """Have the standby take over where the primary's host is drained; whether it has.

    ``hosts`` are those of the servers, by the servers' names (``places``).

    Raises ``UnavailableError`` where none of them says how they stand, or the primary could not hand over.
    """
    if not _first(service, lambda server: standby.takes_over(engine.run(server, [_HA, "state"], "", _USER), hosts)):
        return False
    engine.run(primary(engine, service), [_HA, "switchover"], "", _USER)
    return True


def places(hosts: Sequence[DataHost], members: Sequence[Place | None]) -> dict[str, DataHost]:
    """The servers' names → their hosts, as far as they are among ``hosts``; ``members`` is as ``Known.hosts``."""
    known = {host.name: host for host in hosts}
    platform = next((host.name for host in hosts if host.platform), "")
    names = [each[0] if each else platform for each in members[: data_services.SERVERS]]
    return {f"member-{number}": known[name] for number, name in enumerate(names, start=1) if name in known}


def settle(engine: Runs, service: str) -> None:
    """Have them go by what they were told last. Raises ``UnavailableError`` where none of them takes it."""
    _first(service, lambda server: engine.run(server, [_HA, "settle"], "", _USER))


def keep_slot(engine: Runs, service: str, name: str, *, wanted: bool) -> None:
    """Have a follower's replication slot kept on whichever is primary, or no longer."""
    _first(service, lambda server: engine.run(server, [_HA, "keep" if wanted else "drop", name], "", _USER))


def has_data(engine: Runs, service: str) -> bool:
    """Whether one of them has data. Raises ``UnavailableError`` where one does not say: it may be the one."""
    found = [engine.run(server, _HAS_DATA, "", _USER).strip() for server in servers(service)]
    return "yes" in found


def _first(service: str, ask: Callable[[str], _Answer]) -> _Answer:
    refusal: UnavailableError | None = None
    for server in servers(service):
        try:
            return ask(server)
        except UnavailableError as error:
            refusal = refusal or error
    raise refusal or UnavailableError(service, "has no servers")
