"""OAuth tokens: what a client gets for the code that somebody's consent gave it, and for a refresh token.

The client's secret is the proof, so no token is asked for.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.errors import unauthorized
from dynoform.api.oauth_authorizations import TokenObject, access_token
from dynoform.api.oauth_authorizations import refresh_token as shown_refresh_token
from dynoform.api.oauth_clients import is_secret
from dynoform.api.objects import IdObject, shown
from dynoform.api.services import Use
from dynoform.errors import InvalidInputError
from dynoform.store import oauth_grants as store
from dynoform.store.tables import Authorization

router = APIRouter(tags=["oauth tokens"])
CODE, REFRESH = "authorization_code", "refresh_token"
Secret = Annotated[str | None, Field(max_length=200)]


class ClientProof(BaseModel):
    """The client, by its secret."""

    model_config = ConfigDict(strict=True)
    secret: Secret = None


class Grant(BaseModel):
    """What the token is asked for: ``type`` is ``authorization_code``, with a ``code``, or ``refresh_token``."""

    model_config = ConfigDict(strict=True)
    code: Secret = None
    type: Annotated[str | None, Field(max_length=60)] = None


class RefreshToken(BaseModel):
    """A token that an earlier call has given."""

    model_config = ConfigDict(strict=True)
    token: Secret = None


class NewToken(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    client: ClientProof = ClientProof()
    grant: Grant = Grant()
    refresh_token: RefreshToken = RefreshToken()


class GrantedClient(TypedDict):
    """The client, by its secret."""

    secret: str


class GrantObject(TypedDict):
    """What the token was given for."""

    code: str | None
    type: str


class OAuthTokenObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#oauth-token."""

    access_token: TokenObject
    authorization: IdObject
    client: GrantedClient
    created_at: str
    grant: GrantObject
    id: str
    refresh_token: TokenObject
    session: IdObject | None
    updated_at: str
    user: IdObject


@router.post("/oauth/tokens", status_code=201, response_model=OAuthTokenObject)
def token_create(body: NewToken, services: Use) -> JSONResponse:
    """Exchange a code, once, or a refresh token, as often as needed, for an access token."""
    with services.store.transaction() as session:
        authorization = _authorization(session, body)
        secret = body.client.secret or ""
        if authorization is None or authorization.client is None:
            raise unauthorized()
        if not is_secret(services, authorization.client, secret):
            raise unauthorized()
        return JSONResponse(_issue(session, authorization, body, secret), 201, {"Cache-Control": "no-store"})


def _authorization(session: Session, body: NewToken) -> Authorization | None:
    if body.grant.type not in (None, CODE, REFRESH):
        raise InvalidInputError(f"grant.type must be {CODE} or {REFRESH}")
    if body.grant.type == REFRESH:
        return store.by_refresh_token(session, body.refresh_token.token or "")
    return store.by_code(session, body.grant.code or "")


def _issue(session: Session, authorization: Authorization, body: NewToken, secret: str) -> OAuthTokenObject:
    if body.grant.type == REFRESH:
        token, renewing = store.refresh(session, authorization), body.refresh_token.token or ""
    else:
        token, renewing = store.exchange(session, authorization)
    shown_token = access_token(authorization, token)
    return {
        "access_token": shown_token,
        "authorization": {"id": str(authorization.id)},
        "client": {"secret": secret},
        "created_at": shown(authorization.created_at),
        "grant": {"code": body.grant.code, "type": body.grant.type or CODE},
        "id": shown_token["id"],
        "refresh_token": shown_refresh_token(authorization, renewing),
        "session": None,
        "updated_at": shown(authorization.updated_at),
        "user": {"id": str(authorization.account_id)},
    }
