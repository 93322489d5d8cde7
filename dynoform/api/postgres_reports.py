"""What is told of a database besides ``pg:info``: ``pg:diagnose``, ``pg:stats-reset``, ``pg:upgrade``.

The CLI looks for reports at ``PGDIAGNOSE_URL``, a name without a port: here it is the Platform API's own.
"""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import apps, databases
from dynoform.api.addons import Reference
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.postgres_databases import MessageObject
from dynoform.api.services import Services, Use
from dynoform.domain import addons, data_services, diagnosis
from dynoform.domain.data_services import POSTGRES
from dynoform.domain.diagnosis import Checked
from dynoform.domain.permissions import Permission
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Addon, AddonAttachment, AddonChange

router = APIRouter(tags=["databases"])


class ReportObject(TypedDict):
    """A report."""

    app: str
    checks: list[Checked]
    created_at: str
    database: str
    id: str


class NewReport(BaseModel):
    """Body of a report's create; the CLI says more, an address among it, which is not looked at."""

    model_config = ConfigDict(extra="ignore")
    app: Reference
    database: Annotated[str, Field(max_length=300)]


@router.post("/reports", status_code=201, response_model=ReportObject)
async def report_create(body: NewReport, services: Use, caller: Caller) -> JSONResponse:
    """Have a database looked at, by the name of a config var or an attachment of its app."""
    addon_id = await run_in_threadpool(_attached, services, caller, body)
    details = {"app": body.app, "database": body.database}
    identifier = await databases.ask(services, caller, str(addon_id), POSTGRES, data_services.DIAGNOSE, details)
    await databases.answer(services, identifier)
    return JSONResponse(await run_in_threadpool(_report, services, caller, str(identifier)), 201)


@router.get("/reports/{report}", response_model=ReportObject)
def report_info(report: str, services: Use, caller: Caller) -> JSONResponse:
    """A report that was made, by its id."""
    return JSONResponse(_report(services, caller, report))


@router.get("/client/v11/databases/{database}/metrics", response_model=list[dict[str, Any]])
def database_metrics(database: str, services: Use, caller: Caller) -> JSONResponse:
    """What the CLI hands on to a report: nothing, as whoever makes reports here asks the database itself."""
    _find(services, caller, database)
    return JSONResponse([])


@router.get("/client/v11/databases/{database}/burst_status", response_model=dict[str, Any])
def database_burst_status(database: str, services: Use, caller: Caller) -> JSONResponse:
    """The same of bursts: no plan here has any."""
    _find(services, caller, database)
    return JSONResponse({})


@router.put("/client/v11/databases/{database}/stats_reset", response_model=MessageObject)
async def database_stats_reset(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Have the server count anew what its reports show."""
    await databases.perform(services, caller, database, POSTGRES, data_services.RESET_STATISTICS)
    return JSONResponse({"message": "Stats reset successful."})


def _find(services: Services, caller: Account, reference: str) -> uuid.UUID:
    with services.store.transaction() as session:
        return databases.find(session, caller, reference, POSTGRES, Permission.DEPLOY).id


def _attached(services: Services, caller: Account, body: NewReport) -> uuid.UUID:
    """The database that an app has under a name."""
    with services.store.transaction() as session:
        app = apps.find(session, caller, body.app, Permission.DEPLOY)
        name = body.database.replace("\0", "").removesuffix("_URL")
        mine = AddonAttachment.app_id == app.id, AddonAttachment.name == name
        found = session.scalars(select(AddonAttachment).where(*mine)).unique().one_or_none()
        if found is None:
            raise not_found("add on attachment", "add_on attachment")
        return found.addon_id


def _report(services: Services, caller: Account, reference: str) -> ReportObject:
    with services.store.transaction() as session:
        identifier = parse_id(reference)
        change = session.get(AddonChange, identifier) if identifier else None
        if change is None or change.action != data_services.DIAGNOSE or change.status != addons.SUCCEEDED:
            raise not_found("report", "report")
        addon = session.get_one(Addon, change.addon_id)
        databases.find(session, caller, str(addon.id), POSTGRES, Permission.DEPLOY)
        asked = change.details or {}
        return {
            "app": asked["app"],
            "checks": diagnosis.checks(change.result or {}),
            "created_at": shown(change.created_at),
            "database": asked["database"],
            "id": str(change.id),
        }
