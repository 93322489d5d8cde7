"""What OAuth clients get for somebody's consent: a code once, for it an access token and one to refresh that with.

https://devcenter.heroku.com/articles/oauth#web-application-authorization. All are kept as digests.
"""

import secrets
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from dynoform.store.authorizations import renew
from dynoform.store.secrets import digest
from dynoform.store.tables import Authorization, OAuthClient, now

CODE = timedelta(minutes=5)
LIFETIME = 8 * 3600
"""Seconds that an access token of a client is good for, unless its user said something else."""


def offer(session: Session, authorization: Authorization, client: OAuthClient) -> str:
    """Turn a new authorization into one of a client; returns the code to be exchanged. Its token is void."""
    code = secrets.token_urlsafe(32)
    renew(authorization)  # nobody has seen this token
    authorization.client, authorization.lifetime = client, authorization.lifetime or LIFETIME
    authorization.grant_digest, authorization.grant_expires_at = digest(code), now() + CODE
    authorization.expires_at, authorization.token_hint = authorization.grant_expires_at, ""
    session.flush()
    return code


def by_code(session: Session, code: str) -> Authorization | None:
    """The authorization that this code stands for, locked; None for a wrong one, one that was used, or an old one."""
    return _one(session, Authorization.grant_digest == digest(code), Authorization.grant_expires_at > now())


def by_refresh_token(session: Session, token: str) -> Authorization | None:
    """The authorization that this refresh token belongs to, locked."""
    return _one(session, Authorization.refresh_digest == digest(token))


def exchange(session: Session, authorization: Authorization) -> tuple[str, str]:
    """An access token and a refresh token, for a code that is used up by it."""
    token = secrets.token_urlsafe(45)
    authorization.grant_digest = authorization.grant_expires_at = None
    authorization.refresh_digest = digest(token)
    return refresh(session, authorization), token


def refresh(session: Session, authorization: Authorization) -> str:
    """Another access token in place of the present one; the refresh token stays."""
    access_token = renew(authorization)
    session.flush()
    return access_token


def _one(session: Session, *conditions: ColumnElement[bool]) -> Authorization | None:
    query = select(Authorization).where(*conditions, Authorization.revoked_at.is_(None))
    return session.scalars(query.with_for_update(of=Authorization)).one_or_none()
