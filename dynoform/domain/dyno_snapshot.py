"""What the dyno manager decides on: apps, dynos, Swarm's services and tasks, hosts, as they were at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dynoform.domain import eco, placement
from dynoform.domain.placement import Host

WEB = "web"
IDLE = "idle"
ROUTING_MARGIN = timedelta(milliseconds=50)
"""Routes read this long after a change was stamped surely have it: its transaction was over."""

_ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})


@dataclass(frozen=True)
class Wanted:
    """What a dyno has to run."""

    release_id: UUID
    size: str
    command: str
    image: str = ""
    """Its release's slug on the newest stack image."""


@dataclass(frozen=True)
class AppState:
    """An app's desired formation: process type and number → what to run; empty before its first slug."""

    id: UUID
    wanted: Mapping[tuple[str, int], Wanted]
    preboot: bool = False
    """Whether a release's web dynos prove themselves beside the old ones before these leave."""
    runtime: str = placement.COMMON
    """The runtime whose hosts it runs on."""
    requested: datetime | None = None
    """Its last request that a router has told of."""


@dataclass(frozen=True)
class DynoState:
    """A dyno's row in the store."""

    id: UUID
    app_id: UUID
    release_id: UUID
    type: str
    number: int
    size: str
    state: str
    since: datetime
    address: str | None = None
    port: int | None = None
    crashes: int = 0
    start_after: datetime | None = None
    created: datetime | None = None
    moving: bool = False
    """Whether it is to be on another host: it stays until its successor is up."""
    image: str | None = None
    """What its service was made of; None before it had one."""

    @property
    def key(self) -> tuple[str, int]:
        """Process type and number."""
        return (self.type, self.number)


@dataclass(frozen=True)
class Task:
    """One run of a service's container, as Swarm tells it."""

    id: str
    state: str
    at: datetime
    """When it got into its state."""
    address: str | None = None
    port: int | None = None
    error: str = ""
    host: str = ""
    """Swarm's id of its node."""

    @property
    def live(self) -> bool:
        """Whether it runs or may still come to run."""
        return self.state not in _ENDED


@dataclass(frozen=True)
class Service:
    """A Swarm service of ours; ``tasks`` from old to new."""

    id: str
    name: str
    dyno_id: UUID | None
    tasks: tuple[Task, ...] = ()
    altered: str = ""
    """How it differs from what was declared, if somebody changed it."""
    host: str = ""
    """The node that it was made for."""

    @property
    def at(self) -> str:
        """The node that it is on or for; empty when that is not known."""
        return self.host or (self.tasks[-1].host if self.tasks else "")


@dataclass(frozen=True)
class Snapshot:
    """Everything a decision is made of."""

    now: datetime
    apps: tuple[AppState, ...]
    dynos: tuple[DynoState, ...]
    services: tuple[Service, ...]
    answering: frozenset[UUID] = frozenset()
    """Dynos whose port answers."""
    counted: frozenset[str] = frozenset()
    """Tasks whose end has been counted as a crash."""
    watched_since: datetime | None = None
    """Ends before this moment happened while nobody looked, or with the engine itself: no crash of the app."""
    routed_until: datetime | None = None
    """All routers serve the routes as they were at this moment; None when there is no router to wait for."""
    hosts: tuple[Host, ...] = ()
    """The hosts of all runtimes; none while they are not known, and Swarm places dynos."""
    routers_away: bool = False
    """Routers are known and none of them reports: nothing may leave the routes unseen."""
    traffic_until: datetime | None = None
    """Every router has told of its requests up to this moment; None when one of them has not."""
    sleeps_after: timedelta = eco.SLEEPS_AFTER

    def routed(self, since: datetime) -> bool:
        """Whether every router knows of a change made at ``since``."""
        if self.routers_away:
            return False
        return self.routed_until is None or self.routed_until >= since + ROUTING_MARGIN
