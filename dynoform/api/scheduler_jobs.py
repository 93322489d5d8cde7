"""Scheduled jobs of an app that has the add-on ``scheduler``.

An extension of ours: Heroku has no public routes for what its dashboard page edits.
"""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, fixed, shown, shown_or_none
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_sizes, one_off, schedules
from dynoform.domain.permissions import Permission
from dynoform.store import hosts
from dynoform.store import scheduler_jobs as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import App, SchedulerJob, now

router = APIRouter(tags=["scheduler"])
_FIELDS: ranges.Fields = {"id": SchedulerJob.id}
Size = Annotated[str, Field(max_length=60)]
Frequency = Annotated[str, Field(max_length=40)]


class SchedulerJobObject(TypedDict):
    """A job; ``last_due_at`` is the moment of its newest run, ``next_due_at`` that of its next."""

    app: NamedObject
    command: str
    created_at: str
    dyno_size: NamedObject
    frequency: str
    id: str
    last_due_at: str | None
    next_due_at: str
    updated_at: str


class NewJob(BaseModel):
    """Body of create. ``frequency`` is every_ten_minutes, every_hour_at_MM or every_day_at_HH:MM, in UTC."""

    model_config = ConfigDict(strict=True)
    command: str
    frequency: Frequency
    dyno_size: Size = dyno_sizes.DEFAULT


class JobChange(BaseModel):
    """Body of update; what is left out stays."""

    model_config = ConfigDict(strict=True)
    command: str | None = None
    frequency: Frequency | None = None
    dyno_size: Size | None = None


@router.get("/apps/{app}/scheduler-jobs", response_model=list[SchedulerJobObject])
def scheduler_job_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's jobs."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        return ranges.page(session, store.of_app(found.id), wanted, _FIELDS, lambda job: show(found, job))


@router.get("/apps/{app}/scheduler-jobs/{job}", response_model=SchedulerJobObject)
def scheduler_job_info(app: str, job: str, services: Use, caller: Caller) -> JSONResponse:
    """One job, by id."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        return JSONResponse(show(found, _job(session, found, job)))


@router.post("/apps/{app}/scheduler-jobs", status_code=201, response_model=SchedulerJobObject)
def scheduler_job_create(app: str, body: NewJob, services: Use, caller: Caller) -> JSONResponse:
    """Have a command run again and again, from its next due moment on."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        addon = store.scheduler_of(session, found.id)
        if addon is None:
            raise schedules.no_scheduler(found.name)
        schedules.check_room(session.scalar(select(func.count()).select_from(store.of_app(found.id).subquery())) or 0)
        job = SchedulerJob(id=uuid.uuid4(), addon_id=addon.id)
        _apply(session, job, body.command, body.frequency, body.dyno_size)
        session.add(job)
        session.flush()
        shown_job = show(found, job)
    _tell(services, found, job, caller.email)
    return JSONResponse(shown_job, 201)


@router.patch("/apps/{app}/scheduler-jobs/{job}", response_model=SchedulerJobObject)
def scheduler_job_update(app: str, job: str, body: JobChange, services: Use, caller: Caller) -> JSONResponse:
    """Change a job. Another frequency counts from now on."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        row = _job(session, found, job, lock=True)
        _apply(session, row, body.command, body.frequency, body.dyno_size)
        session.flush()
        shown_job = show(found, row)
    _tell(services, found, row, caller.email)
    return JSONResponse(shown_job)


@router.delete("/apps/{app}/scheduler-jobs/{job}", response_model=SchedulerJobObject)
def scheduler_job_delete(app: str, job: str, services: Use, caller: Caller) -> JSONResponse:
    """Have a command run no more. A run that has begun goes on."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        row = _job(session, found, job, lock=True)
        shown_job = show(found, row)
        session.delete(row)
    services.say(found, schedules.unscheduled(row.command, caller.email))
    return JSONResponse(shown_job)


def show(app: App, job: SchedulerJob) -> SchedulerJobObject:
    """The job's object."""
    return {
        "app": app_reference(app),
        "command": job.command,
        "created_at": shown(job.created_at),
        "dyno_size": fixed(job.size),
        "frequency": job.frequency,
        "id": str(job.id),
        "last_due_at": shown_or_none(job.last_due_at),
        "next_due_at": shown(job.next_due_at),
        "updated_at": shown(job.updated_at),
    }


def _job(session: Session, app: App, reference: str, *, lock: bool = False) -> SchedulerJob:
    identifier = parse_id(reference)
    query = store.of_app(app.id).where(SchedulerJob.id == identifier)
    job = session.scalars(query.with_for_update(of=SchedulerJob) if lock else query).one_or_none()
    if job is None:
        raise not_found("scheduler job", "scheduler_job")
    return job


def _apply(session: Session, job: SchedulerJob, command: str | None, frequency: str | None, size: str | None) -> None:
    """Set what is given, checked by the rules of one-off dynos and of schedules."""
    if command is not None:
        job.command = one_off.check_command(command)
    if size is not None:
        dyno_sizes.check_fits(size, hosts.largest_memory(session))
        job.size = dyno_sizes.find(size).name
    if frequency is not None:
        upcoming = schedules.parse(frequency).next(now())
        # The same frequency again leaves a run alone that is due, and helps a job on that a wrong clock sent far ahead.
        if frequency != job.frequency or upcoming < job.next_due_at:
            job.frequency, job.next_due_at = frequency, upcoming


def _tell(services: Services, app: App, job: SchedulerJob, email: str) -> None:
    services.say(app, schedules.scheduled(job.command, job.frequency, email))
