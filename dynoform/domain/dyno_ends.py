"""How a dyno's container ended, from what the engine tells of it; the engine's events may come twice, or not at all.

An engine keeps its latest events in memory alone: what happened before its restart is read from the containers.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dynoform.domain import dyno_lines, dyno_sizes, runtime_metrics
from dynoform.domain.dyno_container import APP_LABEL, DYNO_ID_LABEL, DYNO_LABEL, RUN_ID_LABEL, SIZE_LABEL
from dynoform.domain.dyno_sizes import DynoSize
from dynoform.errors import InvalidInputError

KILLED = 137
"""Exit code after SIGKILL, whoever sent it."""
_SIGKILL = "9"
_NEVER = "0001-"
"""How the engine's zero time begins."""


@dataclass(frozen=True)
class Resident:
    """A container of a dyno on this host, formation or one-off."""

    container: str
    app_id: uuid.UUID
    id: uuid.UUID
    """The dyno's."""
    formation: bool
    """Whether it is a formation dyno; of a one-off dyno its session tells the end."""
    name: str
    """``web.1``"""
    size: DynoSize | None
    """None for one that was made before sizes were written on containers."""


def resident(container: str, labels: Mapping[str, str]) -> Resident | None:
    """Whose container it is, by its labels; None for one that is no dyno's."""
    try:
        formation = DYNO_ID_LABEL in labels
        app_id = uuid.UUID(labels[APP_LABEL])
        dyno_id = uuid.UUID(labels[DYNO_ID_LABEL if formation else RUN_ID_LABEL])
        name = labels[DYNO_LABEL]
    except (KeyError, ValueError):
        return None
    try:
        size = dyno_sizes.find(labels.get(SIZE_LABEL, ""))
    except InvalidInputError:
        size = None
    return Resident(container, app_id, dyno_id, formation, name, size)


@dataclass(frozen=True)
class End:
    """The end of a formation dyno's container."""

    resident: Resident
    code: int
    at: datetime
    signalled_at: datetime | None = None
    """When somebody asked it to end; None when nobody did."""
    out_of_memory: bool = False

    def lines(self) -> list[str]:
        """What the app's log says of it."""
        if self.out_of_memory and self.resident.size is not None:
            return [*runtime_metrics.killed_lines(self.resident.size), dyno_lines.exited(self.code)]
        asked = self.signalled_at
        return dyno_lines.stopped(self.code, None if asked is None else (self.at - asked).total_seconds())

    @property
    def error(self) -> str:
        """Heroku's code for it; empty for an ordinary end."""
        if self.out_of_memory:
            return "R15"
        return "R12" if dyno_lines.EXIT_TIMEOUT in self.lines() else ""


def found(resident: Resident, described: Mapping[str, Any]) -> End | None:
    """The end that ``docker inspect`` shows of a container; None while it has not run, or runs."""
    state = described["State"]
    if state["Running"] or state["FinishedAt"].startswith(_NEVER):
        return None
    code, oom = int(state["ExitCode"]), bool(state["OOMKilled"])
    return End(resident, code, moment(state["FinishedAt"]), out_of_memory=oom and code == KILLED)


def moment(text: str) -> datetime:
    """The engine's time, in nine digits of a second or fewer, with ``Z``."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{fraction:0<6.6}").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """Something that happened to a container."""

    action: str
    container: str
    attributes: Mapping[str, str]
    """The container's labels, and what there is to say about the action."""
    at: datetime
    nanoseconds: int
    """The same in nanoseconds since 1970, as the engine counts."""

    @property
    def asks_to_end(self) -> bool:
        """Whether somebody has sent a signal other than SIGKILL."""
        return self.action == "kill" and self.attributes.get("signal") != _SIGKILL


def event(described: Mapping[str, Any]) -> Event | None:
    """An event as the engine sends it; None for what is not about a container."""
    try:
        nanoseconds = int(described["timeNano"])
        actor = described["Actor"]
        container, attributes, action = actor["ID"], actor.get("Attributes") or {}, described["Action"]
    except (KeyError, TypeError, ValueError):
        return None
    if described.get("Type") != "container":
        return None
    return Event(action, container, attributes, datetime.fromtimestamp(nanoseconds / 1e9, UTC), nanoseconds)
