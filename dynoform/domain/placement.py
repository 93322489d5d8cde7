"""Which host a dyno runs on: spread over zones and hosts, fitted to free memory, moved gently when hosts come and go.

Heroku's users do not see hosts; what they are promised is that "when hardware fails, dynos are moved"
(https://devcenter.heroku.com/articles/dyno-isolation, /dynos#redundancy: dynos of one app are spread over racks).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from dynoform.domain import dyno_sizes

COMMON = "common"
"""The runtime of apps that are in no space."""
OVERCOMMIT = 4
"""Dynos of shared sizes rarely use all that they may: so many times a host's memory is promised to them."""
MIB = 1024 * 1024

Group = tuple[UUID, str]
"""App and process type: the dynos that stand in for each other."""


@dataclass(frozen=True)
class Host:
    """A host as Swarm sees it; ``id`` is its node's."""

    id: str
    name: str
    memory_bytes: int
    zone: str = ""
    """What fails together with it: a rack, a data centre, an availability zone."""
    runtime: str = COMMON
    ready: bool = True
    """Whether it answers."""
    unknown: bool = False
    """Whether Swarm cannot tell: its leader is new and has not heard from it."""
    emptied: bool = False
    """Whether Swarm has stopped everything on it: it is drained, or was so by hand."""
    open: bool = True
    """Whether new dynos may be put on it."""
    draining: bool = False
    """Whether its dynos are to leave, new ones elsewhere first."""

    @property
    def state(self) -> str:
        """In one word: lost, drained, draining, closed (to new dynos) or open."""
        words = ((not self.ready, "lost"), (self.emptied, "drained"), (self.draining, "draining"))
        return next((word for holds, word in words if holds), "open" if self.open else "closed")

    @property
    def alive(self) -> bool:
        """Whether a dyno can run here."""
        return self.ready and not self.emptied

    @property
    def usable(self) -> bool:
        """Whether a new dyno can be put here."""
        return self.alive and self.open and not self.draining


@dataclass(frozen=True)
class Placed:
    """A dyno on its host, as far as placement is concerned."""

    dyno_id: UUID
    group: Group
    size: str
    host: str


def reserved_bytes(size: str) -> int:
    """Memory that is set aside on a host for a dyno of this size: all of it for a dedicated one, else a share."""
    found = dyno_sizes.find(size)
    return found.memory_mb * MIB // (1 if found.dedicated else OVERCOMMIT)


class Board:
    """Hosts and what is on them, kept up to date while a pass places one dyno after another."""

    def __init__(self, hosts: Iterable[Host], placed: Iterable[Placed] = ()) -> None:
        """``placed`` on a host that is not there any more counts nowhere."""
        self.hosts: Mapping[str, Host] = {host.id: host for host in hosts}
        self.on: dict[str, list[Placed]] = defaultdict(list)
        self.reserved: Counter[str] = Counter()
        self.leaving = 0
        """Dynos that are on their way from one host to another."""
        self._by_host: dict[Group, Counter[str]] = defaultdict(Counter)
        self._by_zone: dict[Group, Counter[str]] = defaultdict(Counter)
        for dyno in placed:
            self.put(dyno)

    def put(self, dyno: Placed) -> None:
        """A dyno is on its host from now on."""
        if dyno.host in self.hosts:
            self.on[dyno.host].append(dyno)
            self._count(dyno, 1)

    def take(self, dyno: Placed) -> None:
        """A dyno that was put is on its host no more."""
        self.on[dyno.host].remove(dyno)
        self._count(dyno, -1)

    def _count(self, dyno: Placed, one: int) -> None:
        self.reserved[dyno.host] += one * reserved_bytes(dyno.size)
        self._by_host[dyno.group][dyno.host] += one
        self._by_zone[dyno.group][self.hosts[dyno.host].zone] += one

    def usable(self, runtime: str) -> list[Host]:
        """Hosts of a runtime that take new dynos, by id."""
        return sorted((host for host in self.hosts.values() if host.runtime == runtime and host.usable), key=_by_id)

    def choose(self, group: Group, size: str, runtime: str = COMMON) -> str | None:
        """The host for a new dyno: where it has room, in the zone and on the host with the fewest of its group.

        Where no host has the memory, the one with the most left has to do: a crowded dyno serves, none does not. None
        when the runtime has no host that takes dynos.
        """
        hosts = self.usable(runtime)
        fitting = [host for host in hosts if self.has_room(host.id, size)]
        if fitting:
            return min(fitting, key=lambda host: self._rank(group, host)).id
        return max(hosts, key=self._free).id if hosts else None

    def has_room(self, host: str, size: str) -> bool:
        """Whether the host with this id has the memory for one more dyno."""
        return self._free(self.hosts[host]) >= reserved_bytes(size)

    def _free(self, host: Host) -> int:
        return host.memory_bytes - self.reserved[host.id]

    def _rank(self, group: Group, host: Host) -> tuple[int, int, float, int, str]:
        zone, own = self._by_zone[group][host.zone], self._by_host[group][host.id]
        return (zone, own, round(self._load(host), 2), len(self.on[host.id]), host.id)

    def move(self, runtimes: Mapping[UUID, str]) -> tuple[Placed, str] | None:
        """The dyno that would most usefully be on another host, and the id of the one that it would get; None when
        all is even.

        First no zone, then no host has two more of a group than another, then none is much fuller than another. Each
        move leaves things strictly more even in that order, so there is an end to it. ``runtimes`` are those of apps
        that are not in the common one.
        """
        found = next(filter(None, self._better(runtimes)), None)
        if found is None:
            return None
        # It is placed as any new dyno is: where that would be the same host again, nothing is gained.
        self.take(found)
        target = self.choose(found.group, found.size, self.hosts[found.host].runtime)
        self.put(found)
        return (found, target) if target and target != found.host else None

    def _better(self, runtimes: Mapping[UUID, str]) -> Iterator[Placed | None]:
        for group in sorted(self._by_host, key=str):
            yield self._evened(group, self.usable(runtimes.get(group[0], COMMON)))
        for name in self._runtimes():
            yield self._levelled(self.usable(name))

    def _runtimes(self) -> list[str]:
        return sorted({host.runtime for host in self.hosts.values()})

    def _evened(self, group: Group, hosts: list[Host]) -> Placed | None:
        """A dyno of the group from where most of them are, if it is better where fewest are."""
        by_zone, by_host = self._by_zone[group], self._by_host[group]
        for source in sorted(hosts, key=lambda host: (-by_zone[host.zone], -by_host[host.id], host.id)):
            dyno = next((dyno for dyno in reversed(self.on[source.id]) if dyno.group == group), None)
            for target in sorted(hosts, key=lambda host: self._rank(group, host)) if dyno else ():
                zones = by_zone[source.zone] - by_zone[target.zone]
                even = source.zone == target.zone or zones == 1
                gain = zones > 1 or (even and by_host[source.id] - by_host[target.id] > 1)
                if dyno and gain and self.has_room(target.id, dyno.size):
                    return dyno
        return None

    def _levelled(self, hosts: list[Host]) -> Placed | None:
        """A dyno from the fullest host, if it may as well be on the emptiest."""
        if not hosts:
            return None
        source, target = max(hosts, key=self._load), min(hosts, key=self._load)
        for dyno in reversed(self.on[source.id]):
            by_zone, by_host = self._by_zone[dyno.group], self._by_host[dyno.group]
            even = source.zone == target.zone or by_zone[source.zone] > by_zone[target.zone]
            if even and by_host[source.id] > by_host[target.id] and self._stays_fuller(source, target, dyno):
                return dyno
        return None

    def _load(self, host: Host) -> float:
        return self.reserved[host.id] / max(host.memory_bytes, 1)

    def _stays_fuller(self, source: Host, target: Host, dyno: Placed) -> bool:
        """Whether the source is no emptier than the target also after the move: else it would go to and fro."""
        moved = reserved_bytes(dyno.size)
        after = (self.reserved[source.id] - moved) / max(source.memory_bytes, 1)
        return (self.reserved[target.id] + moved) / max(target.memory_bytes, 1) <= after


def _by_id(host: Host) -> str:
    return host.id
