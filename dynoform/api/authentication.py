"""Who is calling: ``Authorization: Bearer TOKEN``, or Basic with the token as password.

Only a new authorization can be asked for with e-mail address and password, as ``heroku auth:login -i`` does.
"""

import base64
from typing import Annotated

from fastapi import Depends, Request

from dynoform.api.errors import forbidden, unauthorized
from dynoform.api.services import Services, Use
from dynoform.domain import scopes
from dynoform.store import accounts
from dynoform.store.authorizations import live
from dynoform.store.tables import Account, now

_MAXIMUM_TOKEN = 512
_UNCOUNTED = "/account/rate-limits"


def authenticate(request: Request, services: Use) -> Account:
    """The account whose token the request carries; counts the call against its rate limit.

    Raises ``ApiError`` 401 without saying what was wrong, 403 when the token's scopes leave this call out, or 429.
    """
    account = _by_token(request, services, token_of(request.headers.get("authorization", "")))
    if account is None:
        raise unauthorized()
    return account


def sign_in(request: Request, services: Use) -> Account:
    """As ``authenticate``, or by Basic with e-mail address and password.

    Raises ``ApiError`` 401 without saying which of the two was wrong, or 429 after too many wrong ones.
    """
    email, secret = credentials(request.headers.get("authorization", ""))
    account = _by_token(request, services, secret) or _by_password(request, services, email, secret)
    if account is None:
        raise unauthorized()
    return account


def check_operator(caller: Account, refusal: str) -> None:
    """Raises ``ApiError`` 403, saying ``refusal``, when the caller is not the platform's operator."""
    if not caller.operator:
        raise forbidden(refusal)


def token_of(header: str) -> str:
    """The token in an Authorization header, empty for none."""
    return credentials(header)[1]


def credentials(header: str) -> tuple[str, str]:
    """User name (in lower case) and secret of an Authorization header; empty where there is none."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return "", value.strip()
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return name.strip().lower(), secret


def _by_token(request: Request, services: Services, token: str) -> Account | None:
    if not token or len(token) > _MAXIMUM_TOKEN:
        return None
    with services.store.transaction() as session:
        authorization = live(session, token)
    if authorization is None:
        return None
    account = authorization.account
    _count(request, services, account)
    _check_scope(request, authorization.scope)
    return account


def _by_password(request: Request, services: Services, email: str, password: str) -> Account | None:
    if not email or not password or len(password) > _MAXIMUM_TOKEN:
        return None
    address = _address(request)
    services.sign_ins.begin(email, address)
    with services.store.transaction() as session:
        account = accounts.sign_in(session, email, password)
        if account is not None:
            accounts.signed_in(session, account, now())
    if account is None:
        services.journal.warning("wrong password", address=address)
        return None
    services.sign_ins.was_right(email, address)
    _count(request, services, account)
    return account


def _count(request: Request, services: Services, account: Account) -> None:
    # Asking how many calls are left is free.
    free = _route(request) == _UNCOUNTED
    request.state.remaining = (services.limiter.remaining if free else services.limiter.take)(account.id)


def _check_scope(request: Request, granted: list[str]) -> None:
    wanted = scopes.needed(request.method, _route(request))
    if wanted is not None and not scopes.allows(granted, wanted):
        raise forbidden(
            "The scope granted by this OAuth authorization does not allow access to this resource. "
            f"It has {', '.join(granted)}; this call needs {wanted}.",
            scopes.ARTICLE,
        )


def _route(request: Request) -> str:
    return str(request.scope["route"].path)


def _address(request: Request) -> str:
    """Where the request comes from. The last address is the router's own observation, those before it are claims."""
    forwarded = request.headers.getlist("x-forwarded-for")
    peer = request.client.host if request.client else ""
    return forwarded[-1].rpartition(",")[2].strip()[:64] if forwarded else peer


Caller = Annotated[Account, Depends(authenticate)]
"""Endpoint parameter: the account that calls."""
SignedIn = Annotated[Account, Depends(sign_in)]
"""Endpoint parameter: the account that calls, by its token or by its password."""
