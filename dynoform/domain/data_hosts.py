"""On which hosts the members of a database with a standby are, or of a Redis with HA. Pure.

The first server is always on the platform's host, where repositories of backups and restores are. The standby is on
another one. Of what there are three, members of etcd or of a Redis, each is on a host of its own, as far as there are
so many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynoform.domain.data_services import SERVERS, VOTERS
from dynoform.errors import UnavailableError

Place = tuple[str, str]
"""Name of a host, and the address by which the others reach it."""
Hosts = tuple[Place | None, ...]
"""Where each of several members is; None for the platform's host, and none at all where all are there."""


@dataclass(frozen=True)
class DataHost:
    """A host as the swarm knows it.

    Parameters:
        name: its host name, by which services are pinned to it.
        address: IPv4 address by which the others reach it.
        zone: what fails together with it; empty where nobody said.
        platform: whether it has the platform's own data.
        marked: whether standbys may be on it.
        ready: whether it answers, and takes new services.
        draining: whether what is on it is to leave, and has not yet.
    """

    name: str
    address: str
    zone: str = ""
    platform: bool = False
    marked: bool = False
    ready: bool = True
    draining: bool = False


def choose(hosts: Sequence[DataHost], standbys: Mapping[str, int]) -> Hosts:
    """Where the servers of a PostgreSQL and then its members of etcd go; as ``choose_three``."""
    voters = choose_three(hosts, standbys)
    servers = voters[:SERVERS]
    assert (len(servers), len(voters)) in ((SERVERS, VOTERS), (0, 0))  # noqa: S101 - what the component makes
    return servers + voters


def choose_three(hosts: Sequence[DataHost], standbys: Mapping[str, int]) -> Hosts:
    """Where three members go of which one may be lost; None is the platform's host, where the first one is.

    It is nothing at all where no other host is marked: all are on the platform's then. Another zone than the platform's
    comes first, then the fewest ``standbys``, of each host how many it has.

    Raises ``UnavailableError`` when hosts are marked and none of them is ready.
    """
    others = [host for host in hosts if host.marked and not host.platform]
    if not others:
        return ()
    zones = {host.zone for host in hosts if host.platform and host.zone}
    ready = [host for host in others if host.ready and host.address]
    if not ready:
        names = ", ".join(sorted(host.name for host in others))
        raise UnavailableError(f"hosts for standbys ({names})", "none of them is ready", "it is tried again")
    ready.sort(key=lambda host: (host.zone in zones, standbys.get(host.name, 0), host.name))
    second = (ready[0].name, ready[0].address)
    # Of two hosts the platform's has two members: without it, nothing is backed up or changed in any case.
    third = next(((host.name, host.address) for host in ready[1:]), None)
    return None, second, third
