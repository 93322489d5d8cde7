"""The data API of Redis, as Heroku's CLI asks it: ``redis:info``, ``redis:wait``, ``redis:credentials``, settings."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.databases import Shown
from dynoform.api.objects import shown
from dynoform.api.postgres_credentials import Rotation
from dynoform.api.postgres_databases import InfoLine, MessageObject, StateObject
from dynoform.api.services import Use
from dynoform.domain import data_services
from dynoform.domain.data_services import POLICIES, REDIS, DataPlan, size

router = APIRouter(tags=["databases"])
_DESCRIPTIONS = {
    "maxmemory_policy": "What happens when the memory is full",
    "notify_keyspace_events": "Which events of keys clients are told of",
    "timeout": "Seconds after which an idle connection is ended; 0 for never",
}


class RedisObject(TypedDict):
    """A Redis, as the CLI reads it."""

    addon_id: str
    created_at: str
    info: list[InfoLine]
    name: str
    plan: str
    port: int
    prefer_native_tls: bool
    resource_url: str


class SettingObject(TypedDict):
    """A setting, with what its values mean where they have names."""

    desc: str
    value: str | int
    values: dict[str, str]


class SettingsObject(TypedDict):
    """All settings."""

    maxmemory_policy: SettingObject
    notify_keyspace_events: SettingObject
    timeout: SettingObject


class Settings(BaseModel):
    """Body of configure: those to change."""

    model_config = ConfigDict(strict=True)
    maxmemory_policy: Annotated[str, Field(max_length=40)] | None = None
    notify_keyspace_events: Annotated[str, Field(max_length=40)] | None = None
    timeout: int | None = None


@router.get("/redis/v0/databases/{database}", response_model=RedisObject)
async def redis_info(database: str, services: Use, caller: Caller) -> JSONResponse:
    """A Redis, by its add-on's id or name, with what it says of itself."""
    found = await databases.show(services, caller, database, REDIS)
    plan = data_services.plan(REDIS, found.addon.plan.name)
    return JSONResponse(
        {
            "addon_id": str(found.addon.id),
            "created_at": shown(found.addon.created_at),
            "info": [{"name": name, "values": [value]} for name, value in _info(found, plan).items()],
            "name": found.addon.name,
            "plan": found.addon.plan.name,
            "port": found.access.port,
            "prefer_native_tls": True,
            "resource_url": found.access.redis_url,
        }
    )


@router.get("/redis/v0/databases/{database}/wait", response_model=StateObject)
def redis_wait(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Whether one has to wait for it."""
    return JSONResponse(databases.state(services, caller, database, REDIS))


@router.post("/redis/v0/databases/{database}/credentials_rotation", response_model=MessageObject)
async def redis_rotate(database: str, services: Use, caller: Caller, body: Rotation | None = None) -> JSONResponse:
    """A new password; the one before works for another half an hour."""
    details = {"forced": True} if body and body.forced else None
    await databases.perform(services, caller, database, REDIS, data_services.ROTATE, details)
    return JSONResponse({"message": "Credential rotated"})


@router.patch("/redis/v0/databases/{database}/config", response_model=SettingsObject)
async def redis_configure(database: str, body: Settings, services: Use, caller: Caller) -> JSONResponse:
    """Change settings; all of them are answered."""
    details = data_services.check_settings(body.model_dump(exclude_none=True))
    result = await databases.perform(services, caller, database, REDIS, data_services.CONFIGURE, details)
    return JSONResponse(_settings(result))


def _settings(result: Any) -> SettingsObject:
    def setting(name: str, value: str | int, values: dict[str, str] | None = None) -> SettingObject:
        return {"desc": _DESCRIPTIONS[name], "value": value, "values": values or {}}

    return {
        "maxmemory_policy": setting("maxmemory_policy", result["maxmemory-policy"], dict(POLICIES)),
        "notify_keyspace_events": setting("notify_keyspace_events", result["notify-keyspace-events"]),
        "timeout": setting("timeout", int(result["timeout"])),
    }


def _info(found: Shown, plan: DataPlan) -> dict[str, str]:
    """What ``redis:info`` prints, in Heroku's order."""
    facts = found.facts
    first = {"Plan": plan.human_name, "Status": "available" if facts else "unavailable"}
    created = {"Created": f"{found.addon.created_at:%Y-%m-%d %H:%M} UTC"}
    if not facts:
        return first | created
    events = facts["notify-keyspace-events"]
    return {
        **first,
        **created,
        "Version": str(facts["valkey_version"]),
        "Timeout": str(facts["timeout"]),
        "Maxmemory": str(facts["maxmemory-policy"]),
        "Keyspace Notifications": str(events) if events else "Disabled",
        "Connections": f"{facts['connected_clients']}/{plan.connections}",
        "Memory": f"{size(int(facts['used_memory']))} / {size(int(facts['maxmemory']))}",
        "Persistence": "AOF",
    }
