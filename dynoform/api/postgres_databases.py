"""The data API of PostgreSQL, as Heroku's CLI asks it: ``pg:info``, ``pg:wait``, ``pg:credentials``, ``pg:reset`` …"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.databases import Shown
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain import data_limits, data_services, followers, protection, standby
from dynoform.domain.data_services import POSTGRES, POSTGRES_PORT, DataPlan, size
from dynoform.errors import InvalidInputError

router = APIRouter(tags=["databases"])
Extension = Annotated[str, Field(max_length=60)]


class InfoLine(TypedDict):
    """A line of what is shown of a database."""

    name: str
    values: list[str]


class DatabaseObject(TypedDict):
    """A database, as the CLI reads it."""

    addon_id: str
    created_at: str
    database_name: str
    database_user: str
    following: str | None
    forked_from: str | None
    info: list[InfoLine]
    leader: str | None
    name: str
    plan: str
    resource_url: str


class StateObject(TypedDict):
    """What clients that wait are told; there is also ``waiting?``."""

    message: str


class MessageObject(TypedDict):
    """What was done."""

    message: str


class Reset(BaseModel):
    """Body of reset: the extensions that the empty database is to have."""

    model_config = ConfigDict(strict=True)
    extensions: Annotated[list[Extension], Field(max_length=50)] | None = None


@router.get("/client/v11/databases/{database}", response_model=DatabaseObject)
async def database_info(database: str, services: Use, caller: Caller) -> JSONResponse:
    """A database, by its add-on's id or name, with what it says of itself."""
    found = await databases.show(services, caller, database, POSTGRES)
    addon, plan = found.addon, data_services.plan(POSTGRES, found.addon.plan.name)
    return JSONResponse(
        {
            "addon_id": str(addon.id),
            "created_at": shown(addon.created_at),
            "database_name": found.access.database,
            "database_user": found.access.user,
            "following": _following(found),
            "forked_from": found.forked_from,
            "info": [{"name": name, "values": [value]} for name, value in _info(found, plan).items()],
            "leader": found.leader.name if found.leader else None,
            "name": addon.name,
            "plan": addon.plan.name,
            "resource_url": found.access.postgres_url,
        }
    )


@router.get("/client/v11/databases/{database}/wait_status", response_model=StateObject)
def database_wait_status(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Whether one has to wait for it."""
    return JSONResponse(databases.state(services, caller, database, POSTGRES))


@router.post("/client/v11/databases/{database}/connection_reset", response_model=MessageObject)
async def database_connection_reset(database: str, services: Use, caller: Caller) -> JSONResponse:
    """End all connections."""
    await databases.perform(services, caller, database, POSTGRES, data_services.KILL_ALL)
    return JSONResponse({"message": "Connections terminated"})


@router.put("/client/v11/databases/{database}/reset", response_model=MessageObject)
async def database_reset(database: str, services: Use, caller: Caller, body: Reset | None = None) -> JSONResponse:
    """Have the database empty, with these extensions."""
    wanted = list(dict.fromkeys(body.extensions or ())) if body else []
    unknown = sorted(set(wanted) - set(data_services.EXTENSIONS))
    if unknown:
        raise InvalidInputError(f"Extension {unknown[0]} is not one of: {', '.join(data_services.EXTENSIONS)}")
    details = {"extensions": wanted} if wanted else None
    await databases.perform(services, caller, database, POSTGRES, data_services.RESET, details)
    return JSONResponse({"message": "Reset successful."})


@router.put("/client/v11/databases/{database}/unfollow", response_model=MessageObject)
async def database_unfollow(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Have a follower become a database of its own."""
    found = await databases.show(services, caller, database, POSTGRES)
    if not found.follows:
        raise InvalidInputError(f"{found.addon.name} is not a follower")
    await databases.perform(services, caller, database, POSTGRES, data_services.UNFOLLOW)
    leader = found.leader.name if found.leader else "a database that was destroyed"
    return JSONResponse({"message": f"{found.addon.name} no longer follows {leader}"})


def _following(found: Shown) -> str | None:
    """The address of what a follower follows: without one the CLI would not unfollow it."""
    if found.leader_access is not None:
        return found.leader_access.postgres_url
    return f"postgres://destroyed:{POSTGRES_PORT}/{found.access.database}" if found.follows else None


def _protection(found: Shown, *, can_follow: bool) -> dict[str, str]:
    """What can be had again, and what is wrong with it."""
    if found.leader is not None:
        behind = followers.behind(found.facts.get("behind"))
        off = "Off: its leader has it"
        return {"Following": found.leader.name, "Behind By": behind, "Continuous Protection": off}
    if found.follows:
        lost = "A database that was destroyed: heroku pg:unfollow makes this one of its own"
        return {"Following": lost, "Continuous Protection": "Off: it is still a follower"}
    state = found.protection or {}
    first, last, alarm = state.get("earliest"), state.get("last"), state.get("alarm")
    lines = {
        "Fork/Follow": ("Available" if can_follow else "Fork alone") if first else "Available after the first backup",
        "Rollback": f"earliest from {_moment(first)}" if first else "Available after the first backup",
        "Continuous Protection": f"Off: {alarm}" if alarm else ("On" if first else "Begins with the first backup"),
    }
    if last:
        lines["Last Backup"] = f"{_moment(last)}, {state['backups']} kept, {size(int(state['bytes']))}"
    if drill := state.get("drill"):
        lines["Restore Drill"] = f"{_moment(drill['at'])}, {'passed' if drill['passed'] else 'failed'}: {drill['says']}"
    if found.forked_from:
        lines["Forked From"] = found.forked_from
    if found.followers:
        lines["Followers"] = ", ".join(found.followers)
    return lines


def _moment(text: str) -> str:
    return protection.moment(datetime.fromisoformat(text))


def _info(found: Shown, plan: DataPlan) -> dict[str, str]:
    """What ``pg:info`` prints, in Heroku's order."""
    facts: dict[str, Any] = dict(found.facts)
    first = {"Plan": plan.human_name, "Status": "Available" if facts else "Unavailable"}
    if plan.has_standby:
        first |= standby.lines(facts.get("standby"))
    last = {
        **_protection(found, can_follow=followers.available(plan)),
        "Created": f"{found.addon.created_at:%Y-%m-%d %H:%M} UTC",
        "Region": "dynoform",
    }
    if not facts:
        return first | last
    used = 100 * int(facts["bytes"]) / plan.disk_bytes
    standing = ((found.protection or {}).get("size") or {}).get("standing") or data_limits.COMPLIES
    return {
        **first,
        "Connections": f"{facts['connections']}/{plan.connections}",
        "PG Version": str(facts["version"]).partition(" ")[0],
        "Data Size": f"{size(int(facts['bytes']))} / {size(plan.disk_bytes)} ({used:.2f}%) ({standing})",
        "Tables": str(facts["tables"]),
        **last,
    }
