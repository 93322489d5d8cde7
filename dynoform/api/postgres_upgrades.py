"""Upgrades of PostgreSQL to another major version, ``pg:upgrade:…``: there is one version, so that all are refused.

https://devcenter.heroku.com/articles/upgrading-heroku-postgres-databases
"""

from typing import Annotated, NoReturn

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.postgres_databases import MessageObject
from dynoform.api.services import Services, Use
from dynoform.domain.data_services import POSTGRES, POSTGRES_VERSION
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store.tables import Account

router = APIRouter(prefix="/client/v11/databases/{database}/upgrade", tags=["databases"])


class UpgradeStateObject(TypedDict):
    """What clients that wait are told; there is also ``waiting?``."""

    message: str


class Upgrade(BaseModel):
    """Body of an upgrade: the major version, the newest otherwise."""

    model_config = ConfigDict(strict=True)
    version: Annotated[str, Field(max_length=20)] | None = None


@router.post("/prepare", response_model=MessageObject)
def upgrade_prepare(database: str, services: Use, caller: Caller, body: Upgrade | None = None) -> JSONResponse:
    """Schedule an upgrade for the next maintenance window."""
    _refuse(services, caller, database, body)


@router.post("/dry_run", response_model=MessageObject)
def upgrade_dry_run(database: str, services: Use, caller: Caller, body: Upgrade | None = None) -> JSONResponse:
    """Try an upgrade on a copy."""
    _refuse(services, caller, database, body)


@router.post("/run", response_model=MessageObject)
def upgrade_run(database: str, services: Use, caller: Caller, body: Upgrade | None = None) -> JSONResponse:
    """Upgrade now."""
    _refuse(services, caller, database, body)


@router.post("/cancel", response_model=MessageObject)
def upgrade_cancel(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Cancel an upgrade that is scheduled."""
    name = _find(services, caller, database, Permission.OPERATE)
    raise InvalidInputError(f"{name} has no upgrade scheduled: there is nothing to cancel")


@router.get("/wait_status", response_model=UpgradeStateObject)
def upgrade_wait_status(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Whether one has to wait for an upgrade."""
    _find(services, caller, database, Permission.VIEW)
    return JSONResponse({"message": "no upgrade in progress", "waiting?": False})


def _refuse(services: Services, caller: Account, reference: str, body: Upgrade | None) -> NoReturn:
    name, wanted = _find(services, caller, reference, Permission.OPERATE), body.version if body else None
    if wanted not in (None, POSTGRES_VERSION):
        raise InvalidInputError(f"PostgreSQL {wanted} is not there: version {POSTGRES_VERSION} is the only one")
    raise InvalidInputError(
        f"{name} has PostgreSQL {POSTGRES_VERSION} already, there is no newer version. Minor updates come by "
        f"maintenance: `heroku data:maintenances:run {name}`"
    )


def _find(services: Services, caller: Account, reference: str, needs: Permission) -> str:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, POSTGRES, needs)
        databases.check_provisioned(addon)
        return addon.name
