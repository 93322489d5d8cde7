"""What the reconciler can do to dynos, as data: decided in ``reconciliation``, done elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class AddDyno:
    """Make the row of a dyno that is wanted and not there; its service is started in the next pass."""

    app_id: UUID
    release_id: UUID
    type: str
    number: int
    size: str
    command: str
    reason: str
    restart: bool = False
    """Whether it takes the place of one that runs."""


@dataclass(frozen=True)
class CycleDyno:
    """Make a new dyno in the place of one that has had its day, which leaves when the new one takes traffic."""

    dyno_id: UUID
    reason: str


@dataclass(frozen=True)
class StartDyno:
    """Give a dyno a new service (and remove the one it has): state ``starting``."""

    dyno_id: UUID
    reason: str
    host: str = ""
    """Swarm's id of the node that it is for; empty while no host is known: Swarm's choice."""


@dataclass(frozen=True)
class Move:
    """Replace a dyno that works by one on another host: new first, as any restart is."""

    dyno_id: UUID
    reason: str


@dataclass(frozen=True)
class MarkUp:
    """The dyno works; a web dyno takes traffic at this address from now on."""

    dyno_id: UUID
    address: str | None
    port: int | None
    reason: str


@dataclass(frozen=True)
class MarkStarting:
    """Swarm starts the dyno anew by itself: not routed until it answers again."""

    dyno_id: UUID
    reason: str


@dataclass(frozen=True)
class MarkCrashed:
    """The dyno's process has ended, whatever its exit code (a crash on Heroku), or it did not boot in time."""

    dyno_id: UUID
    crashes: int
    start_after: datetime
    reason: str
    task_id: str = ""
    boot_timeout: bool = False
    """R10: its service is removed, which kills what hangs."""
    launch_failed: bool = False
    """R99: the engine could not start it; the app is not to blame."""


@dataclass(frozen=True)
class Retire:
    """Take the dyno out of the routes; it is stopped when all routers have followed."""

    dyno_id: UUID
    reason: str
    scaled_down: bool = False


@dataclass(frozen=True)
class Idle:
    """Let the dyno sleep: out of the routes first, and stopped when all routers have followed."""

    dyno_id: UUID
    reason: str


@dataclass(frozen=True)
class StopIdle:
    """Stop the service of a dyno that sleeps (SIGTERM, 30 s, SIGKILL); the dyno stays."""

    dyno_id: UUID
    service_id: str
    reason: str


@dataclass(frozen=True)
class RemoveDyno:
    """Stop the dyno (SIGTERM, 30 s, SIGKILL) and forget it."""

    dyno_id: UUID
    reason: str


@dataclass(frozen=True)
class RemoveService:
    """Remove a service that belongs to no dyno."""

    service_id: str
    name: str
    reason: str


def urgency(action: "Action") -> int:
    """What is done first, lowest: what is known of running dynos, then what starts, then all else.

    So no dyno that boots or crashes waits behind a thousand others that are to be made.
    """
    match action:
        case MarkUp() | MarkCrashed() | MarkStarting() | Retire():
            return 0
        case StartDyno():
            return 1
        case _:
            return 2


Action = (
    AddDyno
    | CycleDyno
    | StartDyno
    | Move
    | MarkUp
    | MarkStarting
    | MarkCrashed
    | Retire
    | Idle
    | StopIdle
    | RemoveDyno
    | RemoveService
)
