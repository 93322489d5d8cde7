"""Accounts and the tokens that open them."""

import hmac

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.store.secrets import digest
from dynoform.store.tables import Account, Authorization, now

OPERATOR = "Dynoform operator"
"""Description of the authorization that the stack's ``operator_api_key`` is for."""


def ensure_operator(session: Session, email: str, token: str) -> Account:
    """Make the operator's account and authorization, or bring them up to date: a changed token replaces the old."""
    authorization = session.scalars(select(Authorization).where(Authorization.description == OPERATOR)).one_or_none()
    if authorization is None:
        account = session.scalars(select(Account).where(Account.email == email)).one_or_none() or Account(email=email)
        authorization = Authorization(account=account, description=OPERATOR, token_digest=digest(token))
        session.add(authorization)
    else:
        authorization.token_digest = digest(token)
        authorization.account.email = email
    session.flush()
    return authorization.account


def account_of(session: Session, token: str) -> Account | None:
    """Whose token it is, if it is valid now. Found by digest, so the time taken tells nothing about other tokens."""
    wanted = digest(token)
    authorization = session.scalars(select(Authorization).where(Authorization.token_digest == wanted)).one_or_none()
    if authorization is None or not hmac.compare_digest(authorization.token_digest, wanted):
        return None
    expired = authorization.expires_at is not None and authorization.expires_at <= now()
    return None if expired or authorization.revoked_at is not None else authorization.account
