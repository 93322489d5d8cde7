"""Logical backups, restores and copies in the store, and the schedules that make backups."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dynoform.domain import addons, data_services, transfers
from dynoform.domain.transfers import DUMP, RESTORED, STORED, Outcome, Stored
from dynoform.errors import DynoformError, InvalidInputError
from dynoform.store.releases import lock_app
from dynoform.store.secrets import Vault
from dynoform.store.session import ADDON_WORK, notify, now
from dynoform.store.tables import Addon, Transfer, TransferSchedule

KEY, URL, SERVICE = "key", "url", "service"
MAXIMUM = 10
"""Transfers of an app that may be under way at the same time."""
SCHEDULES = 10
"""Schedules of a database."""
AGAIN = timedelta(minutes=5)
"""After which a scheduled backup is tried again that could not be begun."""
_NEXT = text("""
    SELECT CASE WHEN t > :after THEN t ELSE t + interval '1 day' END
    FROM (SELECT (date_trunc('day', CAST(:after AS timestamptz) AT TIME ZONE :zone) + make_interval(hours => :hour))
        AT TIME ZONE :zone AS t) AS today
""")


def backup(
    session: Session, vault: Vault, addon: Addon, *, schedule_id: uuid.UUID | None = None, final: bool = False
) -> Transfer:
    """A backup of a database that is to be made. Raises ``InvalidInputError`` while too many are."""
    made = _new(session, addon, DUMP, _shown(addon), STORED, "BACKUP")
    made.schedule_id, made.final = schedule_id, final
    return _seal(session, vault, made, {SERVICE: addon.plan.service.name})


def restore(
    session: Session, vault: Vault, addon: Addon, source: Transfer | None, url: str, extensions: Sequence[str]
) -> Transfer:
    """A backup that is to replace what a database has, from the store or from a URL."""
    made = _new(session, addon, STORED, "BACKUP", RESTORED, _shown(addon))
    made.source_id = source.id if source else None
    made.source_bytes = source.processed_bytes if source else 0
    return _seal(session, vault, made, {"extensions": " ".join(extensions), **({} if source else {URL: url})})


def copy(session: Session, vault: Vault, addon: Addon, from_name: str, to_name: str, url: str) -> Transfer:
    """Another database's data, which are to replace what this one has."""
    return _seal(session, vault, _new(session, addon, DUMP, from_name, RESTORED, to_name), {URL: url})


def unfinished(session: Session) -> Sequence[uuid.UUID]:
    """Those to work on, the oldest first."""
    return session.scalars(
        select(Transfer.id).where(Transfer.finished_at.is_(None)).order_by(Transfer.created_at)
    ).all()


def of_app(session: Session, app_id: uuid.UUID) -> Sequence[Transfer]:
    """An app's, without those that were deleted."""
    mine = Transfer.app_id == app_id, Transfer.deleted_at.is_(None)
    return session.scalars(select(Transfer).where(*mine).order_by(Transfer.num)).unique().all()


def secret(vault: Vault, found: Transfer) -> dict[str, str]:
    """The key of its file, where it comes from."""
    return vault.decrypt(found.id, found.secrets)


def is_of(vault: Vault, found: Transfer, service: str) -> bool:
    """Whether a backup is one of this service's; those from before there were others are PostgreSQL's."""
    return secret(vault, found).get(SERVICE, data_services.POSTGRES) == service


def say(session: Session, found: Transfer, *messages: str) -> None:
    """Write to its log."""
    at = now(session).isoformat()
    found.log = [*found.log, *({"created_at": at, "message": each} for each in messages)][-200:]


def finish(session: Session, found: Transfer, outcome: Outcome, failure: str) -> None:
    """Write down how it ended; ``failure`` says why it came to nothing, and is empty when it did not."""
    found.finished_at, found.succeeded, found.warnings = now(session), not failure, outcome.warnings
    found.processed_bytes = outcome.processed or found.processed_bytes
    found.digest = outcome.digest or None
    say(session, found, *outcome.lines, failure or "transfer succeeded")
    if not failure and found.to_type == STORED:
        expire(session, found)


def expire(session: Session, newest: Transfer) -> None:
    """Delete the backups of a database that its plan does not keep."""
    if newest.addon is None:
        return
    mine = Transfer.addon_id == newest.addon_id, Transfer.to_type == STORED, Transfer.deleted_at.is_(None)
    query = select(Transfer).where(*mine, Transfer.succeeded.is_(True))
    found = {each.id: each for each in session.scalars(query).unique()}
    stored = [Stored(each.id, each.created_at, each.schedule_id is not None) for each in found.values()]
    gone = transfers.superfluous(stored, newest.addon.plan.name, now(session))
    for identifier, each in found.items():
        if identifier in gone:
            each.deleted_at = now(session)


def kept(session: Session) -> set[str]:
    """Names of the files that belong to backups, also of those that are being made."""
    query = select(Transfer.id).where(Transfer.to_type == STORED, Transfer.deleted_at.is_(None))
    return {str(each) for each in session.scalars(query)}


def final(session: Session, vault: Vault, addon: Addon) -> Transfer:
    """The backup that is made because a database is destroyed; there is one."""
    query = select(Transfer).where(Transfer.addon_id == addon.id, Transfer.final)
    return session.scalars(query).unique().first() or backup(session, vault, addon, final=True)


def schedule(session: Session, addon: Addon, name: str, hour: int, timezone: str) -> TransferSchedule:
    """Have a database backed up each day; another hour for a schedule of the same name.

    Raises ``InvalidInputError`` for a time zone that there is not, and for one schedule too many.
    """
    assert addon.app_id is not None  # noqa: S101 - those without an app are visible to nobody
    lock_app(session, addon.app_id)  # two at the same time would not count each other
    known = text("SELECT count(*) FROM pg_timezone_names WHERE name = :zone")
    if not session.scalar(known, {"zone": timezone}):
        raise InvalidInputError(f"There is no time zone {timezone[:64]}: use one such as America/New_York or UTC")
    mine = TransferSchedule.addon_id == addon.id, TransferSchedule.name == name
    found = session.scalars(select(TransferSchedule).where(*mine)).one_or_none()
    if found is None and len(schedules(session, addon.id)) >= SCHEDULES:
        raise InvalidInputError(
            f"{addon.name} has {SCHEDULES} schedules, more are not possible: heroku pg:backups:unschedule ends one"
        )
    found = found or TransferSchedule(id=uuid.uuid4(), addon_id=addon.id, name=name)
    found.hour, found.timezone = hour, timezone
    found.next_at = _next(session, found, now(session))
    session.add(found)
    session.flush()
    return found


def schedules(session: Session, addon_id: uuid.UUID) -> Sequence[TransferSchedule]:
    """Those of a database."""
    query = select(TransferSchedule).where(TransferSchedule.addon_id == addon_id)
    return session.scalars(query.order_by(TransferSchedule.name)).all()


def enqueue_due(session: Session, vault: Vault) -> dict[str, DynoformError]:
    """Make the backups whose time has come; those of a time that nobody was there for are one.

    Returns why some could not be begun, by the names of their databases: these are tried again after ``AGAIN``.
    """
    refused: dict[str, DynoformError] = {}
    moment = now(session)
    query = (
        select(TransferSchedule)
        .join(Addon, Addon.id == TransferSchedule.addon_id)
        .where(TransferSchedule.next_at <= moment, Addon.state == addons.PROVISIONED, Addon.app_id.is_not(None))
        .order_by(TransferSchedule.id)
        .with_for_update(of=TransferSchedule, skip_locked=True)
    )
    for each in session.scalars(query).all():
        addon = session.get_one(Addon, each.addon_id)
        try:
            with session.begin_nested():
                backup(session, vault, addon, schedule_id=each.id)
        except DynoformError as error:
            each.next_at, refused[addon.name] = moment + AGAIN, error
        else:
            each.next_at = _next(session, each, moment)
    return refused


def _next(session: Session, found: TransferSchedule, after: datetime) -> datetime:
    given = {"after": after, "zone": found.timezone, "hour": found.hour}
    moment = session.scalar(_NEXT, given)
    assert isinstance(moment, datetime)  # noqa: S101 - the statement has one row
    return moment


def _shown(addon: Addon) -> str:
    """What an app calls a database: its first attachment, else the add-on's name."""
    own = [each.name for each in addon.attachments if each.app_id == addon.app_id]
    return own[0] if own else addon.name


def _new(session: Session, addon: Addon, from_type: str, from_name: str, to_type: str, to_name: str) -> Transfer:
    assert addon.app_id is not None  # noqa: S101 - those without an app are visible to nobody
    lock_app(session, addon.app_id)
    mine = Transfer.app_id == addon.app_id
    running = session.scalar(select(func.count()).where(mine, Transfer.finished_at.is_(None))) or 0
    if running >= MAXIMUM:
        raise InvalidInputError(f"{MAXIMUM} transfers are under way: wait for one, or cancel it")
    newest = session.scalar(select(func.max(Transfer.num)).where(mine)) or 0
    return Transfer(
        id=uuid.uuid4(),
        app_id=addon.app_id,
        addon_id=addon.id,
        num=newest + 1,
        from_type=from_type,
        from_name=from_name,
        to_type=to_type,
        to_name=to_name,
    )


def _seal(session: Session, vault: Vault, made: Transfer, more: Mapping[str, str]) -> Transfer:
    made.secrets = vault.encrypt(made.id, {KEY: secrets.token_hex(32), **more})
    session.add(made)
    session.flush()
    notify(session, ADDON_WORK, made.id)
    return made


def over(found: Transfer, moment: datetime) -> bool:
    """Whether it has taken longer than anything may."""
    return moment - found.created_at > timedelta(seconds=transfers.SECONDS)
