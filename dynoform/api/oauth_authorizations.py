"""OAuth authorizations: what a program or a machine was allowed to do as somebody. A token is shown once."""

import re
import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import oauth_clients, ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller, SignedIn
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject, shown
from dynoform.api.services import Use
from dynoform.errors import InvalidInputError
from dynoform.store import authorizations as store
from dynoform.store import oauth_grants
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Authorization, now

router = APIRouter(tags=["oauth authorizations"])
_FIELDS: ranges.Fields = {"id": Authorization.id}
_SECONDS = re.compile(r"\d{1,10}")


class TokenObject(TypedDict):
    """A token within an authorization: whole when it was made just now, else its first and last characters."""

    expires_in: int | None
    id: str
    token: str


class ClientReference(TypedDict):
    """A client within an authorization."""

    id: str
    name: str
    redirect_uri: str


class CodeObject(TypedDict):
    """What the client exchanges for a token, shown when it was made just now."""

    code: str
    expires_in: int
    id: str


class AuthorizedUser(TypedDict):
    """Whose authorization it is."""

    email: str
    full_name: str | None
    id: str


class AuthorizationObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#oauth-authorization."""

    access_token: TokenObject | None
    client: ClientReference | None
    created_at: str
    description: str
    grant: CodeObject | None
    id: str
    refresh_token: TokenObject | None
    scope: list[str]
    session: IdObject | None
    updated_at: str
    user: AuthorizedUser


class NewAuthorization(BaseModel):
    """Body of create; all of it may be left out. The CLI sends ``expires_in``, in seconds, as a text.

    With ``client``, the id of one, the answer has a code for it in place of a token.
    """

    model_config = ConfigDict(strict=True)
    client: Annotated[str | None, Field(max_length=100)] = None
    description: Annotated[str | None, Field(max_length=500)] = None
    expires_in: int | str | None = None
    scope: Annotated[list[Annotated[str, Field(max_length=100)]] | None, Field(max_length=20)] = None


class ClientCredentials(BaseModel):
    """A client, with its secret as the proof."""

    model_config = ConfigDict(strict=True)
    id: Annotated[str, Field(max_length=100)]
    secret: Annotated[str, Field(max_length=200)]


class AuthorizationChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    client: ClientCredentials | None = None
    description: Annotated[str | None, Field(max_length=500)] = None


@router.get("/oauth/authorizations", response_model=list[AuthorizationObject])
def authorization_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's valid authorizations."""
    with services.store.transaction() as session:
        return ranges.page(session, store.of(caller), wanted, _FIELDS, lambda row: show(row, row.token_hint))


@router.post("/oauth/authorizations", status_code=201, response_model=AuthorizationObject)
def authorization_create(services: Use, caller: SignedIn, body: NewAuthorization | None = None) -> JSONResponse:
    """A new token. ``heroku auth:login -i`` asks for one with e-mail address and password."""
    new = body or NewAuthorization()
    with services.store.transaction() as session:
        made, token = store.create(
            session,
            caller,
            description=new.description or "Long-lived user authorization",
            scope=new.scope,
            lifetime=_lifetime(new.expires_in),
        )
        if new.client is None:
            return JSONResponse(show(made, token), 201)
        code = oauth_grants.offer(session, made, oauth_clients.anybodys(session, new.client))
        return JSONResponse({**show(made, ""), "grant": _code(made, code)}, 201)


@router.get("/oauth/authorizations/{authorization}", response_model=AuthorizationObject)
def authorization_info(authorization: str, services: Use, caller: Caller) -> JSONResponse:
    """One authorization, by id; ``~`` is the account's API key."""
    with services.store.transaction() as session:
        found = _find(session, caller, authorization)
        return JSONResponse(show(found, found.token_hint))


@router.patch("/oauth/authorizations/{authorization}", response_model=AuthorizationObject)
def authorization_update(authorization: str, body: AuthorizationChange, services: Use, caller: Caller) -> JSONResponse:
    """Describe the authorization, or say which client has it."""
    with services.store.transaction() as session:
        found = _find(session, caller, authorization)
        if body.description is not None:
            found.description = body.description
        if body.client is not None:
            found.client = oauth_clients.proven(session, services, body.client.id, body.client.secret)
        session.flush()
        return JSONResponse(show(found, found.token_hint))


@router.delete("/oauth/authorizations/{authorization}", response_model=AuthorizationObject)
def authorization_delete(authorization: str, services: Use, caller: Caller) -> JSONResponse:
    """Revoke the authorization: its token is void at once."""
    with services.store.transaction() as session:
        found = _find(session, caller, authorization)
        store.revoke(session, found)
        return JSONResponse(show(found, found.token_hint))


@router.post(
    "/oauth/authorizations/{authorization}/actions/regenerate-tokens",
    status_code=201,
    response_model=AuthorizationObject,
)
def authorization_regenerate(authorization: str, services: Use, caller: Caller) -> JSONResponse:
    """Another token in place of the present one, good for as long as that was at first."""
    with services.store.transaction() as session:
        found = _find(session, caller, authorization)
        return JSONResponse(show(found, store.regenerate(session, found)), 201)


@router.get("/oauth/sessions", response_model=list[IdObject])
def session_list(caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """Sessions of web browsers: nothing here makes any."""
    return ranges.cut([], wanted, ("id",))


@router.delete("/oauth/sessions/{session}", response_model=IdObject)
def session_delete(session: str, caller: Caller) -> JSONResponse:
    """End a session: there is none. The CLI asks for it at logout, and takes this answer."""
    raise not_found("session")


def show(authorization: Authorization, token: str) -> AuthorizationObject:
    """The authorization's object, with its token as far as it may be shown."""
    account, client = authorization.account, authorization.client
    return {
        "access_token": access_token(authorization, token) if token else None,
        "client": {"id": str(client.id), "name": client.name, "redirect_uri": client.redirect_uri} if client else None,
        "created_at": shown(authorization.created_at),
        "description": authorization.description,
        "grant": None,
        "id": str(authorization.id),
        "refresh_token": None if authorization.refresh_digest is None else refresh_token(authorization, store.REDACTED),
        "scope": authorization.scope,
        "session": None,
        "updated_at": shown(authorization.updated_at),
        "user": {"email": account.email, "full_name": account.name, "id": str(account.id)},
    }


def access_token(authorization: Authorization, token: str) -> TokenObject:
    """The token of an authorization, as far as it may be shown."""
    identifier = str(uuid.uuid5(authorization.id, authorization.token_digest.hex()))
    return {"expires_in": _seconds_left(authorization), "id": identifier, "token": token}


def refresh_token(authorization: Authorization, token: str) -> TokenObject:
    """The refresh token, which does not end, as far as it may be shown."""
    identifier = str(uuid.uuid5(authorization.id, (authorization.refresh_digest or b"").hex()))
    return {"expires_in": None, "id": identifier, "token": token}


def _code(authorization: Authorization, code: str) -> CodeObject:
    identifier = str(uuid.uuid5(authorization.id, (authorization.grant_digest or b"").hex()))
    return {"code": code, "expires_in": _seconds_left(authorization) or 0, "id": identifier}


def _find(session: Session, caller: Account, reference: str) -> Authorization:
    identifier = parse_id(reference)
    if identifier is None and reference != "~":
        raise not_found("authorization")
    condition = Authorization.id == identifier if identifier else Authorization.api_key
    found = session.scalars(store.of(caller).where(condition).with_for_update(of=Authorization)).one_or_none()
    if found is None:
        raise not_found("authorization")
    return found


def _lifetime(given: int | str | None) -> int | None:
    if isinstance(given, str) and not _SECONDS.fullmatch(given):
        raise InvalidInputError("expires_in must be a number of seconds")
    return None if given is None else int(given)


def _seconds_left(authorization: Authorization) -> int | None:
    expires_at = authorization.expires_at
    return None if expires_at is None else max(0, round((expires_at - now()).total_seconds()))
