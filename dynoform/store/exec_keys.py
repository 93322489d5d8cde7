"""Keys of Heroku Exec: registered by the exec manager, used by the SSH server, gone when their time or dyno is."""

import uuid
from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from dynoform.domain import dyno_names, heroku_exec
from dynoform.domain.permissions import Permission
from dynoform.errors import NotFoundError
from dynoform.store import apps, features, one_off_dynos
from dynoform.store.releases import lock_app
from dynoform.store.session import Store
from dynoform.store.tables import Account, Dyno, ExecKey, now


@dataclass(frozen=True)
class Door:
    """What a key opens; ``email`` is who it was made for."""

    key_id: uuid.UUID
    public_key: str
    app: str
    dyno: str
    email: str


def add(session: Session, account: Account, dyno: Dyno, public_key: str) -> ExecKey:
    """Register a key; who may do what has been checked."""
    moment = now()
    key = ExecKey(
        id=uuid.uuid4(),
        dyno_id=dyno.id,
        account_id=account.id,
        public_key=public_key,
        created_at=moment,
        expires_at=heroku_exec.good_until(moment, moment),
    )
    session.add(key)
    session.flush()
    return key


def find(session: Session, key_id: uuid.UUID) -> Door | None:
    """What a key opens; None for one that is over, or opens nothing any more."""
    found = _find(session, key_id)
    if found is None:
        return None
    key, dyno, account, row = found
    return Door(key.id, key.public_key, row.app.name, dyno_names.name(dyno.type, dyno.number), account.email)


def enter(session: Session, key_id: uuid.UUID, secret: str, *, tty: bool) -> None:
    """Ask the runtime agent for a channel into the key's dyno; it meets whoever has the ``secret``. The key is in use.

    Raises ``NotFoundError`` when the key is over, ``ConflictError`` when the dyno is not up, ``InvalidInputError`` when
    the app has as many as it may have.
    """
    found = _find(session, key_id)
    if found is None or lock_app(session, found[1].app_id) is None:
        raise NotFoundError("key", "is not good any more", "run the command again")
    key, dyno, *_ = found
    heroku_exec.check_up(dyno_names.name(dyno.type, dyno.number), dyno.state)
    one_off_dynos.create_over_ssh(session, dyno, secret, tty=tty)
    until = heroku_exec.good_until(key.created_at, now())
    session.execute(update(ExecKey).where(ExecKey.id == key_id).values(expires_at=until))


def sweep(store: Store) -> int:
    """Remove keys whose time is over; returns how many."""
    with store.transaction() as session:
        return len(session.scalars(delete(ExecKey).where(ExecKey.expires_at < now()).returning(ExecKey.id)).all())


def _find(session: Session, key_id: uuid.UUID) -> tuple[ExecKey, Dyno, Account, apps.AppRow] | None:
    """A key with all that it hangs on, if its account may still do what it was made for."""
    key = session.get(ExecKey, key_id)
    if key is None or key.expires_at <= now():
        return None
    dyno, account = session.get(Dyno, key.dyno_id), session.get(Account, key.account_id)
    row = apps.by_reference(session, account, str(dyno.app_id)) if dyno is not None and account is not None else None
    if dyno is None or account is None or row is None or Permission.OPERATE not in row.permissions:
        return None
    if heroku_exec.FEATURE not in features.enabled(session, dyno.app_id):
        return None
    return key, dyno, account, row
