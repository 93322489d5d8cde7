"""Asking for one-off dynos; the runtime agent, told by a notification, does the rest."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dynoform.domain import dyno_sizes, one_off, rendezvous
from dynoform.store.secrets import Vault
from dynoform.store.session import RUNS, notify
from dynoform.store.tables import App, Dyno, OneOffDyno, Release, now


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to run, checked by the rules of ``dynoform.domain.one_off``."""

    command: str
    type: str = one_off.RUN
    size: str = dyno_sizes.DEFAULT
    secret: str | None = None
    """Of its attach_url; None for a detached one."""
    tty: bool = True
    seconds: int = one_off.LONGEST_SECONDS
    variables: Mapping[str, str] = field(default_factory=dict)
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    """That the dyno shall have."""


def create(session: Session, vault: Vault, app: App, release: Release, wanted: Wanted) -> OneOffDyno:
    """Ask for a one-off dyno of ``app``, whose row the caller has locked.

    Raises ``InvalidInputError`` when the app has as many as it may have.
    """
    mine = (OneOffDyno.app_id == app.id, OneOffDyno.inside_id.is_(None))
    one_off.check_concurrency(session.scalar(select(func.count()).where(*mine)) or 0, wanted.size)
    taken = set(session.scalars(select(OneOffDyno.number).where(*mine, OneOffDyno.type == wanted.type)))
    number = one_off.free_number(taken, secrets.randbits(32))
    variables = vault.encrypt(app.id, dict(wanted.variables))
    place: dict[str, Any] = {"app_id": app.id, "release_id": release.id, "number": number, "size": wanted.size}
    return _add(session, wanted, variables, **place)


def create_inside(session: Session, vault: Vault, dyno: Dyno, wanted: Wanted) -> OneOffDyno:
    """Ask for a command in the container of a dyno that is up; it has that dyno's name. The app's row is locked.

    Raises ``InvalidInputError`` when the app has as many as it may have.
    """
    variables = vault.encrypt(dyno.app_id, dict(wanted.variables))
    return _add(session, replace(wanted, type=dyno.type), variables, **_inside(session, dyno))


def create_over_ssh(session: Session, dyno: Dyno, secret: str, *, tty: bool) -> OneOffDyno:
    """Ask for a channel into a dyno, by a client that says the rest when they meet; else as ``create_inside``."""
    wanted = Wanted(command="", type=dyno.type, secret=secret, tty=tty)
    return _add(session, wanted, b"", over_ssh=True, **_inside(session, dyno))


def stop(session: Session, app_id: uuid.UUID, conditions: Sequence[Any]) -> int:
    """Have the app's one-off dynos that meet the conditions ended; returns their number."""
    moment = now()
    statement = (
        update(OneOffDyno)
        .where(OneOffDyno.app_id == app_id, OneOffDyno.state != "down", OneOffDyno.inside_id.is_(None), *conditions)
        .values(state="down", state_changed_at=moment, updated_at=moment)
        .returning(OneOffDyno.id)
        .execution_options(synchronize_session=False)
    )
    stopped = len(session.scalars(statement).all())
    if stopped:
        notify(session, RUNS, app_id)
    return stopped


def _inside(session: Session, dyno: Dyno) -> dict[str, Any]:
    """Where it is when it is in a dyno. Raises ``InvalidInputError`` when the app has as many as it may have."""
    inside = (OneOffDyno.app_id == dyno.app_id, OneOffDyno.inside_id.is_not(None))
    one_off.check_concurrency(session.scalar(select(func.count()).where(*inside)) or 0, dyno.size)
    place = {"number": dyno.number, "size": dyno.size, "inside_id": dyno.id}
    return {"app_id": dyno.app_id, "release_id": dyno.release_id, **place}


def _add(session: Session, wanted: Wanted, variables: bytes, **place: Any) -> OneOffDyno:
    row = OneOffDyno(
        id=wanted.id,
        type=wanted.type,
        command=wanted.command,
        variables=variables,
        attach_digest=rendezvous.digest(wanted.secret) if wanted.secret else None,
        tty=wanted.tty,
        time_to_live=wanted.seconds,
        **place,
    )
    session.add(row)
    session.flush()
    notify(session, RUNS, row.id)
    return row
