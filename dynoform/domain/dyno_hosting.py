"""An app's dynos and their hosts: where one starts, which hosts are lost, who leaves one that is drained."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from uuid import UUID

from dynoform.domain.dyno_actions import Action, Move, StartDyno
from dynoform.domain.dyno_snapshot import AppState, DynoState, Service, Snapshot
from dynoform.domain.placement import Board, Placed

SWARM_TURN = timedelta(seconds=3)
"""How long Swarm may take to begin its own restart before it is taken to have given up."""
MOVES = 8
"""Dynos that leave drained hosts at a time: their successors boot beside everything else."""


class Hosting:
    """The decisions about hosts for one app."""

    def __init__(self, snapshot: Snapshot, app: AppState, services: Mapping[UUID, Service], board: Board) -> None:
        """``board`` is all apps': what is placed here is there for the next one."""
        self.snapshot, self.app, self.services, self.board = snapshot, app, services, board

    def start(self, dyno: DynoState, reason: str) -> Iterator[Action]:
        """Start it where it is best; not at all while its runtime has no host that takes dynos."""
        if not self.snapshot.hosts:
            yield StartDyno(dyno.id, reason)
            return
        group, service = (self.app.id, dyno.type), self.services.get(dyno.id)
        before = Placed(dyno.id, group, dyno.size, service.at if service else "")
        if before in self.board.on.get(before.host, ()):
            self.board.take(before)
        if host := self.board.choose(group, dyno.size, self.app.runtime):
            self.board.put(Placed(dyno.id, group, dyno.size, host))
            yield StartDyno(dyno.id, reason, host)

    def is_lost(self, service: Service) -> bool:
        """Whether it is for a host that does not answer, runs nothing, or is no more."""
        host = self.board.hosts.get(service.at)
        return bool(self.snapshot.hosts) and bool(service.at) and (host is None or not host.alive)

    def has_some(self) -> bool:
        """Whether the app's runtime has a host that takes dynos."""
        return bool(self.board.usable(self.app.runtime))

    def is_drained(self, service: Service) -> bool:
        """Whether its host is to be left, and there is another."""
        host = self.board.hosts.get(service.at)
        return host is not None and host.draining and self.has_some()

    def has_ended(self, service: Service) -> bool:
        """Whether nothing of the service runs and Swarm has had its turn to start it again."""
        if self.is_lost(service):
            return True
        latest = service.tasks[-1] if service.tasks else None
        return latest is not None and not latest.live and self.snapshot.now - latest.at >= SWARM_TURN

    def leave(self, dyno: DynoState) -> Iterator[Action]:
        """Have it leave its host, when not too many do."""
        if self.board.leaving < MOVES:
            self.board.leaving += 1
            yield Move(dyno.id, "its host is drained")
