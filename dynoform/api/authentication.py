"""Who is calling: ``Authorization: Bearer TOKEN``, or Basic with the token as password."""

import base64
from typing import Annotated

from fastapi import Depends, Request

from dynoform.api.errors import unauthorized
from dynoform.api.services import Use
from dynoform.store.accounts import account_of
from dynoform.store.tables import Account

_MAXIMUM_TOKEN = 512


def authenticate(request: Request, services: Use) -> Account:
    """The account whose token the request carries; counts the call against its rate limit.

    Raises ``ApiError`` 401 without saying what was wrong, or 429.
    """
    token = token_of(request.headers.get("authorization", ""))
    if not token or len(token) > _MAXIMUM_TOKEN:
        raise unauthorized()
    with services.store.transaction() as session:
        account = account_of(session, token)
    if account is None:
        raise unauthorized()
    request.state.remaining = services.limiter.take(account.id)
    return account


def token_of(header: str) -> str | None:
    """The token in an Authorization header, or None."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return None


Caller = Annotated[Account, Depends(authenticate)]
"""Endpoint parameter: the account that calls."""
