"""OAuth authorizations and their tokens. A token is shown once, when it is made."""

import hmac
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from dynoform.domain import scopes
from dynoform.errors import InvalidInputError
from dynoform.store.secrets import digest
from dynoform.store.session import Store
from dynoform.store.tables import Account, Authorization, now

MAXIMUM = 500
"""Valid authorizations of one account."""
MAXIMUM_LIFETIME = 100 * 365 * 24 * 3600
KEPT = timedelta(days=30)
"""How long a row is kept after its token has ended."""
_PREFIX = "HRKU-"
"""What tools that look for leaked Heroku tokens know them by."""
REDACTED = "*" * 10
"""Heroku's CLI compares what stands before and after these with the token it has."""


def live(session: Session, token: str) -> Authorization | None:
    """The authorization of this token, if it is valid now.

    Found by digest, so the time taken tells nothing about other tokens.
    """
    wanted = digest(token)
    authorization = session.scalars(select(Authorization).where(Authorization.token_digest == wanted)).one_or_none()
    if authorization is None or not hmac.compare_digest(authorization.token_digest, wanted):
        return None
    expired = authorization.expires_at is not None and authorization.expires_at <= now()
    return None if expired or authorization.revoked_at is not None else authorization


def of(account: Account) -> Select[Authorization]:
    """Query for the account's valid authorizations: those whose token is good, or can be refreshed."""
    refreshable = and_(Authorization.refresh_digest.is_not(None), Authorization.client_id.is_not(None))
    valid = or_(Authorization.expires_at.is_(None), Authorization.expires_at > now(), refreshable)
    return select(Authorization).where(
        Authorization.account_id == account.id, Authorization.revoked_at.is_(None), valid
    )


def create(
    session: Session, account: Account, *, description: str, scope: list[str] | None, lifetime: int | None
) -> tuple[Authorization, str]:
    """A new authorization and its token; ``lifetime`` in seconds, None for ever.

    Raises ``InvalidInputError`` for an unknown scope, a lifetime that makes no sense, or too many authorizations.
    """
    if lifetime is not None and not 0 < lifetime <= MAXIMUM_LIFETIME:
        raise InvalidInputError(f"expires_in must be a number of seconds from 1 to {MAXIMUM_LIFETIME}")
    if (session.scalar(select(func.count()).select_from(of(account).subquery())) or 0) >= MAXIMUM:
        raise InvalidInputError(f"An account can have {MAXIMUM} authorizations: revoke some with authorizations:revoke")
    authorization = Authorization(id=uuid.uuid4(), account_id=account.id, description=description)
    authorization.scope, authorization.lifetime = scopes.check(scope), lifetime
    token = renew(authorization)
    session.add(authorization)
    session.flush()
    session.refresh(authorization)
    return authorization, token


def regenerate(session: Session, authorization: Authorization) -> str:
    """Another token in place of the present one, which is void at once."""
    _forbid_api_key(authorization)
    token = renew(authorization)
    session.flush()
    return token


def revoke(session: Session, authorization: Authorization) -> None:
    """Make the token void at once."""
    _forbid_api_key(authorization)
    authorization.revoked_at = now()
    session.flush()


def sweep(store: Store) -> int:
    """Remove the rows of tokens that ended long ago; returns how many."""
    since = now() - KEPT
    over = and_(Authorization.expires_at < since, Authorization.refresh_digest.is_(None))
    ended = or_(over, Authorization.revoked_at < since)
    with store.transaction() as session:
        return len(session.scalars(delete(Authorization).where(ended).returning(Authorization.id)).all())


def hint(token: str) -> str:
    """A token's first and last characters, far too few to guess the rest of a random one."""
    return f"{token[:9]}{REDACTED}{token[-4:]}"


def renew(authorization: Authorization) -> str:
    """Give it another token, good for its lifetime from now; returns that, for the one time."""
    token = _PREFIX + secrets.token_urlsafe(45)
    authorization.token_digest, authorization.token_hint = digest(token), hint(token)
    lifetime = authorization.lifetime
    authorization.expires_at = now() + timedelta(seconds=lifetime) if lifetime is not None else None
    return token


def _forbid_api_key(authorization: Authorization) -> None:
    if authorization.api_key:
        raise InvalidInputError(
            "This is the operator's API key, which the stack's secret sets", next_step="change it with bin/dynoform up"
        )
