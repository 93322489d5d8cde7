"""The data API of Redis, as Heroku's CLI asks it: ``redis:info``, ``redis:wait``, ``redis:credentials``, settings."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.databases import Shown
from dynoform.api.objects import shown
from dynoform.api.postgres_credentials import Rotation
from dynoform.api.postgres_databases import InfoLine, MessageObject, StateObject
from dynoform.api.services import Services, Use
from dynoform.domain import data_services
from dynoform.domain.data_services import POLICIES, REDIS, REDIS_VERSION, DataPlan, size
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import databases as store
from dynoform.store.tables import Account

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


class Upgrade(BaseModel):
    """Body of an upgrade: the version wanted."""

    model_config = ConfigDict(strict=True)
    version: Annotated[str, Field(max_length=20)]


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


@router.post("/redis/v0/databases/{database}/stats/reset", response_model=MessageObject)
async def redis_reset_statistics(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Count from zero again (https://valkey.io/commands/config-resetstat/)."""
    await databases.perform(services, caller, database, REDIS, data_services.RESET_STATISTICS)
    return JSONResponse({"message": "Stats reset successful."})


@router.post("/redis/v0/databases/{database}/upgrade", response_model=MessageObject)
async def redis_upgrade(database: str, body: Upgrade, services: Use, caller: Caller) -> JSONResponse:
    """Restart it with the platform's newest image of the version that there is; a group one after the other."""
    if not f"{body.version}.".startswith(f"{REDIS_VERSION}."):
        raise InvalidInputError(f"Version {body.version} is not there: the platform has Valkey {REDIS_VERSION}")
    await run_in_threadpool(_upgrade, services, caller, database)
    return JSONResponse({"message": "Upgrade started"})


def _upgrade(services: Services, caller: Account, reference: str) -> None:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, REDIS, Permission.OPERATE)
        databases.check_provisioned(addon)
        store.ask(session, addon, data_services.MAINTAIN, caller.id, {"old": True})


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
        **_ha_status(facts, plan),
    }


def _ha_status(facts: Mapping[str, Any], plan: DataPlan) -> dict[str, str]:
    """Whether one server can be lost without a pause for writers that is longer than the failover."""
    if plan.members == 1:
        return {}
    return {"HA Status": "Available" if int(facts["replicas"]) == plan.members - 1 else "Temporarily Unavailable"}
