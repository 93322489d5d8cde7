"""Which hosts have gone silent, by what their routers write into the store every two seconds.

A new leader of the swarm calls every node "unknown" until it reports, and the one that was lost with the old leader for
half a minute: six heartbeats of Swarm's own five seconds. Whoever is unknown and silent here too is lost.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from dynoform.domain.placement import Host
from dynoform.reconcile.declared import Router

SECONDS = 8.0
"""Four times in a row a router said nothing."""


@dataclass
class Hearing:
    """What was heard of routers, and when by this process's own clock: that of the store may be set."""

    _last: dict[str, tuple[datetime, float]] = field(default_factory=dict)

    def note(self, routers: Iterable[Router]) -> None:
        """Take in what the routers have told. It is news when it differs, at whatever time it says that it was."""
        now = time.monotonic()
        told = {router.host: router.routed for router in routers}
        kept = {host: last for host, last in self._last.items() if told.get(host) == last[0]}
        self._last = {host: kept.get(host, (routed, now)) for host, routed in told.items()}

    def forget(self) -> None:
        """Nobody could be heard: silence counts from the next look on."""
        self._last.clear()

    def believed(self, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        """The hosts, those that are lost by what is heard marked so."""
        since = time.monotonic() - SECONDS
        silent = {host for host, (_, heard) in self._last.items() if heard < since}
        return tuple(replace(host, ready=False) if host.unknown and host.name in silent else host for host in hosts)
