"""The queue of durable work: taken with a lease, an app's in order, finished once.

A job is a row that is there until its work is done: whoever finishes it deletes the row in the transaction that writes
down what came of it, so a job is never done by half and never twice. A worker that dies lets its lease run out, and
another one takes the job.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain import jobs
from dynoform.domain.jobs import Kind
from dynoform.errors import DynoformError
from dynoform.store import job_queue
from dynoform.store.job_queue import Claim as Claim
from dynoform.store.session import CANCELS, JOBS, Store, notify
from dynoform.store.tables import Job


class LeaseLostError(DynoformError):
    """The job is no longer ours: cancelled, deleted with its app, or taken over."""


def add(session: Session, app_id: uuid.UUID, kind: Kind, subject_id: uuid.UUID, number: int | None = None) -> None:
    """Queue a job; one about the same thing that waits already is enough.

    ``number`` is the place of a job that this one continues, so that nothing of the app comes between the two. The
    app's row has to be locked (``lock_app``): an app's jobs are done in the order in which they were added.
    """
    place = {} if number is None else {"number": number}
    session.execute(
        insert(Job)
        .values(id=subject_id, app_id=app_id, kind=kind, **place)
        .on_conflict_do_nothing(index_elements=["id"])
    )
    notify(session, JOBS, subject_id)


def take(store: Store, holder: str, kinds: Collection[Kind]) -> Claim | None:
    """Take a job of these kinds that nobody works on and whose app has no older one; None if there is none.

    Each time under a name of its own that begins with ``holder``. Of several, the one whose turn came first: when it
    was added, or when its app's last build ended. So of an app with many builds in the queue one is built, then one of
    each app that waited meanwhile. What has begun on another host is left to the builders there, and for a moment a
    build whose app has its cache there.
    """
    asked = job_queue.parameters(holder, store.configuration.host, kinds)
    with store.transaction() as session:
        row = session.connection().exec_driver_sql(job_queue.TAKE, asked).one_or_none()
    return job_queue.claim(tuple(row)) if row else None


def _lease_end(session: Session) -> datetime:
    # The database's clock, for all workers.
    moment: datetime = session.scalars(select(func.now())).one()
    return moment + timedelta(seconds=jobs.LEASE_SECONDS)


def held(session: Session, claim: Claim) -> Job:
    """The job, locked. Raises ``LeaseLostError`` when it is no longer ours."""
    query = select(Job).where(Job.id == claim.id, Job.lease_holder == claim.holder)
    job = session.scalars(query.with_for_update(of=Job)).one_or_none()
    if job is None:
        raise LeaseLostError(f"{claim.kind} {claim.id}", "is no longer this worker's")
    return job


def finish(session: Session, claim: Claim) -> None:
    """The job is done; for the transaction that says what came of it. Raises ``LeaseLostError``."""
    session.delete(held(session, claim))
    session.flush()
    notify(session, JOBS, claim.id)  # the app's next one can begin


def begin(store: Store, claim: Claim) -> None:
    """Note that the part begins which must not be done twice. Raises ``LeaseLostError``."""
    with store.transaction() as session:
        held(session, claim).started_at = func.now()


def renew(store: Store, claim: Claim) -> bool:
    """Hold the lease for longer; False when it is no longer ours."""
    mine = (Job.id == claim.id, Job.lease_holder == claim.holder)
    with store.transaction() as session:
        done = session.execute(update(Job).where(*mine).values(lease_expires_at=_lease_end(session)))
        return isinstance(done, CursorResult) and done.rowcount == 1


def give_back(store: Store, claim: Claim, *, counted: bool) -> None:
    """Let another worker have the job; ``counted`` when this attempt was one of those that it has."""
    with store.transaction() as session:
        job = held(session, claim)
        job.lease_holder = None
        # What has begun goes on where it is: how long that is waited for counts from now.
        job.lease_expires_at = func.now() if job.started_at else None
        if not counted:
            job.attempts -= 1
        notify(session, JOBS, claim.id)


def waits(store: Store, subject_id: uuid.UUID) -> bool:
    """Whether the job is not finished yet, whoever works on it."""
    with store.transaction() as session:
        return session.get(Job, subject_id) is not None


def is_queued(session: Session, subject_id: uuid.UUID) -> bool:
    """Whether there is a job about it that is not finished, for a transaction of the caller's."""
    return session.get(Job, subject_id) is not None


def cancel(session: Session, subject_id: uuid.UUID) -> bool:
    """Take the job away, from its worker too, who is told, or else notices when renewing the lease.

    Returns False when it is finished.
    """
    done = session.execute(delete(Job).where(Job.id == subject_id))
    if not isinstance(done, CursorResult) or done.rowcount != 1:
        return False
    notify(session, CANCELS, subject_id)
    notify(session, JOBS, subject_id)  # the app's next one can begin
    return True
