"""Settings of databases: ``pg:settings`` and all below it.

https://devcenter.heroku.com/articles/heroku-postgres-settings
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.services import Services, Use
from dynoform.domain import data_services, database_credentials, database_settings
from dynoform.domain.data_services import POSTGRES
from dynoform.domain.database_settings import SETTINGS, Value
from dynoform.domain.permissions import Permission
from dynoform.store import databases as store
from dynoform.store.tables import Account, Database

router = APIRouter(tags=["databases"])


class SettingObject(TypedDict):
    """A setting, with what it can be."""

    default: Value
    desc: str
    value: Value
    values: dict[str, str]


@router.get("/postgres/v0/databases/{database}/config", response_model=dict[str, SettingObject])
def database_settings_info(database: str, services: Use, caller: Caller) -> JSONResponse:
    """All settings of a database; a follower has its leader's."""
    return JSONResponse(_show(_chosen(services, caller, database, Permission.DEPLOY)))


@router.patch("/postgres/v0/databases/{database}/config", response_model=dict[str, SettingObject])
async def database_settings_update(database: str, body: dict[str, Any], services: Use, caller: Caller) -> JSONResponse:
    """Change settings, for sessions that begin from now on; all of them are answered."""
    await run_in_threadpool(_chosen, services, caller, database, Permission.OPERATE)
    details = database_settings.check(body)
    await databases.perform(services, caller, database, POSTGRES, data_services.CONFIGURE, details)
    return JSONResponse(_show(await run_in_threadpool(_chosen, services, caller, database, Permission.OPERATE)))


def _chosen(services: Services, caller: Account, reference: str, needs: Permission) -> Mapping[str, Any] | None:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, POSTGRES, needs)
        database_credentials.check_plan(addon.plan.name, "perform this operation")
        databases.database(session, addon)
        return session.get_one(Database, store.holder(session, addon.id)).settings


def _show(chosen: Mapping[str, Any] | None) -> dict[str, SettingObject]:
    found = database_settings.effective(chosen)
    return {
        name: {
            "default": setting.usual,
            "desc": setting.says,
            "value": found[name],
            "values": dict(setting.values),
        }
        for name, setting in SETTINGS.items()
    }
