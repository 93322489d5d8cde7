"""Scheduled jobs in the store: an app's, and running those that are due, each run once."""

import uuid
from dataclasses import dataclass, replace

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dynoform.domain import addons, dyno_lines, dyno_sizes, one_off, own_services, schedules
from dynoform.domain.schedules import Due
from dynoform.errors import InvalidInputError
from dynoform.store import dyno_metadata, hosts, one_off_dynos
from dynoform.store.one_off_dynos import Wanted
from dynoform.store.releases import current_release
from dynoform.store.secrets import Vault
from dynoform.store.session import now
from dynoform.store.tables import Addon, AddonService, App, Plan, SchedulerJob


@dataclass(frozen=True)
class Said:
    """What an app's log is to be told: source, process, text of each line."""

    app_id: uuid.UUID
    lines: tuple[tuple[str, str, str], ...]


def of_app(app_id: uuid.UUID) -> Select[SchedulerJob]:
    """Query for the jobs of an app's scheduler, one that is being destroyed left out."""
    return select(SchedulerJob).join(Addon, Addon.id == SchedulerJob.addon_id).where(Addon.app_id == app_id, *_LIVE)


def scheduler_of(session: Session, app_id: uuid.UUID) -> Addon | None:
    """The app's add-on, if it has one."""
    query = select(Addon).join(Plan, Plan.id == Addon.plan_id).join(AddonService, AddonService.id == Plan.service_id)
    mine = (Addon.app_id == app_id, *_LIVE, AddonService.provider == own_services.SCHEDULER)
    return session.scalars(query.where(*mine)).unique().first()


def run_due(session: Session, vault: Vault, domain: str) -> Said | None:
    """Ask for the dyno of one job that is due and move the job on, both or none; None when no job is due.

    Of several processes that do so one gets a job: the others pass over what is locked, and then it is not due.
    """
    row = session.execute(_due()).first()
    if row is None:
        return None
    job, app = row
    frequency, moment = schedules.parse(job.frequency), now(session)
    found = schedules.due(frequency, job.next_due_at, moment)
    if found is None:  # the clock was set back this very moment
        return None
    job.last_due_at, job.next_due_at = found.moment, found.next
    told = [("heroku", schedules.TYPE, line) for line in schedules.lines(job.command, found, frequency, moment)]
    told.append(_run(session, vault, domain, app, job, found, int(frequency.period.total_seconds())))
    return Said(app.id, tuple(told))


def seconds_until_due(session: Session) -> float | None:
    """How long until a job is due, less than nothing when one is; None when there is no job."""
    wait = func.extract("epoch", func.min(SchedulerJob.next_due_at) - func.clock_timestamp())
    query = select(wait).select_from(SchedulerJob).join(Addon, Addon.id == SchedulerJob.addon_id).where(*_LIVE)
    found = session.scalar(query)
    return None if found is None else float(found)


_LIVE = (Addon.state == addons.PROVISIONED, Addon.app_id.is_not(None))


def _due() -> Select[SchedulerJob, App]:
    query = (
        select(SchedulerJob, App)
        .join(Addon, Addon.id == SchedulerJob.addon_id)
        .join(App, App.id == Addon.app_id)
        .where(SchedulerJob.next_due_at <= func.clock_timestamp(), *_LIVE)
        .order_by(SchedulerJob.next_due_at)
        .limit(1)
    )
    return query.with_for_update(of=[SchedulerJob, App], skip_locked=True)


def _run(
    session: Session, vault: Vault, domain: str, app: App, job: SchedulerJob, found: Due, seconds: int
) -> tuple[str, str, str]:
    """Ask for the dyno, which ends when the next one is due; returns the line for the app's log."""
    try:
        release = current_release(session, app.id)
        if release is None or release.slug is None:
            raise one_off.no_code(app.name)
        dyno_sizes.check_fits(job.size, hosts.largest_memory(session))
        wanted = Wanted(job.command, type=schedules.TYPE, size=job.size, tty=False, seconds=seconds)
        wanted = replace(wanted, variables=dyno_metadata.of(session, domain, app, release, wanted.id))
        one_off_dynos.create(session, vault, app, release, wanted)
    except InvalidInputError as error:
        return "heroku", schedules.TYPE, schedules.skipped(job.command, found.moment, str(error))
    return "app", "api", dyno_lines.run_by_user(job.command, schedules.EMAIL)
