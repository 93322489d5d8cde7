"""Maintenance of databases: ``data:maintenances`` and all below it.

https://devcenter.heroku.com/articles/data-maintenance
"""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import apps, databases
from dynoform.api.authentication import Caller
from dynoform.api.objects import shown, shown_or_none
from dynoform.api.services import Use
from dynoform.domain import addons, data_services, maintenance
from dynoform.domain.data_services import POSTGRES
from dynoform.domain.permissions import Permission
from dynoform.store import databases as store
from dynoform.store.session import now
from dynoform.store.tables import Addon, AddonChange, Database

router = APIRouter(prefix="/data/maintenances/v1", tags=["databases"])
Word = Annotated[str, Field(max_length=20)]
_REASON = "Updates of the server and its certificate"
_NONE, _RUNNING, _COMPLETED, _PENDING = "none", "running", "completed", "pending"


class MaintainedObject(TypedDict):
    """The add-on of a maintenance."""

    attachments: list[str]
    kind: str
    name: str
    plan: str
    uuid: str
    window: str


class MaintenanceObject(TypedDict):
    """The maintenance of a database that runs, or was the last, and when the next one is."""

    addon: MaintainedObject
    app: dict[str, str]
    completed_at: str | None
    duration_seconds: int | None
    reason: str
    required_by: str
    scheduled_for: str
    started_at: str | None
    status: str
    window: str


class PastObject(TypedDict):
    """A maintenance that was."""

    completed_at: str | None
    duration_seconds: int | None
    reason: str
    scheduled_for: str
    started_at: str
    status: str
    window: str


class WindowObject(TypedDict):
    """When a database may be maintained."""

    window: str


class ScheduleObject(TypedDict):
    """When it will be."""

    previously_scheduled_for: str | None
    scheduled_for: str


class Window(BaseModel):
    """Body of a window's update."""

    model_config = ConfigDict(strict=True)
    day_of_week: Word
    time_of_day: Word


class Delay(BaseModel):
    """Body of schedule: by how many weeks."""

    model_config = ConfigDict(strict=True)
    delay_weeks: Word


@router.get("/apps/{app}", response_model=dict[str, list[MaintenanceObject]])
def maintenance_list(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Those of an app's databases."""
    with services.store.transaction() as session:
        found = apps.find(session, caller, app, Permission.VIEW)
        query = select(Addon).join(Database, Database.addon_id == Addon.id).where(Addon.app_id == found.id)
        mine = query.where(Addon.state == addons.PROVISIONED, store.of_services([POSTGRES])).order_by(Addon.name)
        listed = session.scalars(mine).unique().all()
        return JSONResponse({"maintenances": [_show(session, each) for each in listed]})


@router.get("/{addon}", response_model=MaintenanceObject)
def maintenance_info(addon: str, services: Use, caller: Caller) -> JSONResponse:
    """That of one database."""
    with services.store.transaction() as session:
        return JSONResponse(_show(session, databases.find(session, caller, addon, POSTGRES, Permission.VIEW)))


@router.get("/{addon}/history/", response_model=dict[str, list[PastObject]])
def maintenance_history(
    addon: str, services: Use, caller: Caller, limit: Annotated[int, Query(ge=1, le=20)] = 5
) -> JSONResponse:
    """The newest, that which runs first."""
    with services.store.transaction() as session:
        found = databases.find(session, caller, addon, POSTGRES, Permission.VIEW)
        window = maintenance.shown(databases.database(session, found).maintenance_window)
        past: list[PastObject] = [
            {
                "completed_at": shown_or_none(_completed(each)),
                "duration_seconds": _seconds(each),
                "reason": _REASON,
                "scheduled_for": shown(each.created_at),
                "started_at": shown(each.created_at),
                "status": _COMPLETED if _completed(each) else _RUNNING,
                "window": window,
            }
            for each in _runs(session, found.id, limit)
        ]
        return JSONResponse({"maintenances": past})


@router.post("/{addon}/run", response_model=MaintenanceObject)
async def maintenance_run(addon: str, services: Use, caller: Caller) -> JSONResponse:
    """Have a database maintained now; it goes on by itself."""
    await databases.ask(services, caller, addon, POSTGRES, data_services.MAINTAIN, data_services.DUE)

    def look() -> MaintenanceObject:
        with services.store.transaction() as session:
            return _show(session, databases.find(session, caller, addon, POSTGRES, Permission.VIEW))

    return JSONResponse(await run_in_threadpool(look))


@router.post("/{addon}/schedule", response_model=ScheduleObject)
def maintenance_schedule(addon: str, body: Delay, services: Use, caller: Caller) -> JSONResponse:
    """Put the next maintenance off by some weeks, or bring it forward."""
    with services.store.transaction() as session:
        found = databases.database(session, databases.find(session, caller, addon, POSTGRES, Permission.OPERATE))
        before = _scheduled(found)
        found.maintenance_at = maintenance.postponed(found.maintained_at, before, body.delay_weeks)
        changed: ScheduleObject = {
            "previously_scheduled_for": shown(before),
            "scheduled_for": shown(max(_scheduled(found), now(session))),
        }
        return JSONResponse(changed)


@router.get("/{addon}/window", response_model=WindowObject)
def maintenance_window_info(addon: str, services: Use, caller: Caller) -> JSONResponse:
    """When a database may be maintained."""
    with services.store.transaction() as session:
        found = databases.database(session, databases.find(session, caller, addon, POSTGRES, Permission.VIEW))
        return JSONResponse({"window": maintenance.shown(found.maintenance_window)})


@router.post("/{addon}/window", response_model=WindowObject)
def maintenance_window_update(addon: str, body: Window, services: Use, caller: Caller) -> JSONResponse:
    """Choose when a database may be maintained."""
    with services.store.transaction() as session:
        found = databases.database(session, databases.find(session, caller, addon, POSTGRES, Permission.OPERATE))
        found.maintenance_window = maintenance.window(body.day_of_week, body.time_of_day)
        return JSONResponse({"window": maintenance.shown(found.maintenance_window)})


def _scheduled(found: Database) -> datetime:
    due = found.maintenance_at or found.maintained_at + data_services.MAINTAINED_EVERY
    return maintenance.scheduled(due, found.maintenance_window)


def _runs(session: Session, addon_id: uuid.UUID, limit: int) -> list[AddonChange]:
    mine = AddonChange.addon_id == addon_id, AddonChange.action == data_services.MAINTAIN
    found = session.scalars(select(AddonChange).where(*mine).order_by(AddonChange.created_at.desc()).limit(100))
    return [each for each in found if each.details == data_services.DUE][:limit]


def _completed(run: AddonChange) -> datetime | None:
    return None if run.status == addons.PENDING else run.updated_at


def _seconds(run: AddonChange) -> int | None:
    ended = _completed(run)
    return None if ended is None else round((ended - run.created_at).total_seconds())


def _show(session: Session, addon: Addon) -> MaintenanceObject:
    found, moment = databases.database(session, addon), now(session)
    last = next(iter(_runs(session, addon.id, 1)), None)
    runs, scheduled = last is not None and _completed(last) is None, _scheduled(found)
    status = _RUNNING if runs else _PENDING if scheduled <= moment else _COMPLETED if last else _NONE
    app: dict[str, Any] = {"name": addon.app.name, "uuid": str(addon.app.id)} if addon.app else {}
    window = maintenance.shown(found.maintenance_window)
    return {
        "addon": {
            "attachments": [each.name for each in addon.attachments if each.app_id == addon.app_id],
            "kind": addon.plan.service.name,
            "name": addon.name,
            "plan": addon.plan.name,
            "uuid": str(addon.id),
            "window": window,
        },
        "app": app,
        "completed_at": shown_or_none(_completed(last)) if last else None,
        "duration_seconds": _seconds(last) if last else None,
        "reason": _REASON,
        "required_by": shown(maintenance.required_by(found.maintained_at)),
        "scheduled_for": shown(scheduled),
        "started_at": shown(last.created_at) if last else None,
        "status": status,
        "window": window,
    }
