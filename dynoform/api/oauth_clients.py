"""OAuth clients: programs that people let into their accounts."""

import hmac
import re
import secrets
import uuid
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Services, Use
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, OAuthClient

router = APIRouter(tags=["oauth clients"])
MAXIMUM = 100
_FIELDS: ranges.Fields = {"id": OAuthClient.id}
_LOCAL = re.compile(r"localhost|.+\.local|(10|127|192)\.\d{1,3}\.\d{1,3}\.\d{1,3}")
Name = Annotated[str, Field(min_length=1, max_length=100)]
Address = Annotated[str, Field(max_length=2000)]


class ClientObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#oauth-client."""

    created_at: str
    id: str
    ignores_delinquent: bool | None
    name: str
    redirect_uri: str
    secret: str
    updated_at: str


class NewClient(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    name: Name
    redirect_uri: Address


class ClientChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    name: Name | None = None
    redirect_uri: Address | None = None


@router.get("/oauth/clients", response_model=list[ClientObject])
def client_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's clients."""
    with services.store.transaction() as session:
        query = select(OAuthClient).where(OAuthClient.account_id == caller.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda client: show(services, client))


@router.post("/oauth/clients", status_code=201, response_model=ClientObject)
def client_create(body: NewClient, services: Use, caller: Caller) -> JSONResponse:
    """A new client, with its secret."""
    client = OAuthClient(id=uuid.uuid4(), account_id=caller.id, name=body.name)
    client.redirect_uri, client.secret = _check_address(body.redirect_uri), b""
    _renew(services, client)
    with services.store.transaction() as session:
        count = select(func.count()).select_from(OAuthClient).where(OAuthClient.account_id == caller.id)
        if (session.scalar(count) or 0) >= MAXIMUM:
            raise InvalidInputError(f"An account can have {MAXIMUM} OAuth clients: remove some with clients:destroy")
        session.add(client)
    return JSONResponse(show(services, client), 201)


@router.get("/oauth/clients/{client}", response_model=ClientObject)
def client_info(client: str, services: Use, caller: Caller) -> JSONResponse:
    """One client, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(services, _find(session, caller, client)))


@router.patch("/oauth/clients/{client}", response_model=ClientObject)
def client_update(client: str, body: ClientChange, services: Use, caller: Caller) -> JSONResponse:
    """Rename the client, or change where it wants people to be sent."""
    with services.store.transaction() as session:
        found = _find(session, caller, client)
        if body.name is not None:
            found.name = body.name
        if body.redirect_uri is not None:
            found.redirect_uri = _check_address(body.redirect_uri)
        session.flush()
        return JSONResponse(show(services, found))


@router.delete("/oauth/clients/{client}", response_model=ClientObject)
def client_delete(client: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete the client."""
    with services.store.transaction() as session:
        found = _find(session, caller, client)
        session.delete(found)
    return JSONResponse(show(services, found))


@router.post("/oauth/clients/{client}/actions/rotate-credentials", response_model=ClientObject)
def client_rotate(client: str, services: Use, caller: Caller) -> JSONResponse:
    """Another secret in place of the present one."""
    with services.store.transaction() as session:
        found = _find(session, caller, client)
        _renew(services, found)
        session.flush()
        return JSONResponse(show(services, found))


def show(services: Services, client: OAuthClient) -> ClientObject:
    """The client's object."""
    return {
        "created_at": shown(client.created_at),
        "id": str(client.id),
        "ignores_delinquent": None,
        "name": client.name,
        "redirect_uri": client.redirect_uri,
        "secret": _secret(services, client),
        "updated_at": shown(client.updated_at),
    }


def proven(session: Session, services: Services, reference: str, secret: str) -> OAuthClient:
    """The client with this id, anybody's, if that is its secret; else it is answered as one that does not exist."""
    identifier = parse_id(reference)
    client = session.get(OAuthClient, identifier) if identifier else None
    if client is None or not is_secret(services, client, secret):
        raise not_found("client", "oauth_client")
    return client


def is_secret(services: Services, client: OAuthClient, secret: str) -> bool:
    """Whether this is the client's secret; the time taken does not tell."""
    return hmac.compare_digest(_secret(services, client).encode(), secret.encode("utf-8", "replace"))


def anybodys(session: Session, reference: str) -> OAuthClient:
    """The client with this id, whoever has made it: people let it in by that."""
    identifier = parse_id(reference)
    client = session.get(OAuthClient, identifier) if identifier else None
    if client is None:
        raise not_found("client", "oauth_client")
    return client


def _secret(services: Services, client: OAuthClient) -> str:
    return services.vault.decrypt(client.id, client.secret)["secret"]


def _renew(services: Services, client: OAuthClient) -> None:
    client.secret = services.vault.encrypt(client.id, {"secret": str(uuid.UUID(bytes=secrets.token_bytes(16)))})


def _find(session: Session, caller: Account, reference: str) -> OAuthClient:
    identifier = parse_id(reference)
    client = session.get(OAuthClient, identifier) if identifier else None
    if client is None or client.account_id != caller.id:
        raise not_found("client", "oauth_client")
    return client


def _check_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or not text.isprintable() or " " in text:
        raise InvalidInputError("redirect_uri must be an http or https address")
    if parts.scheme == "http" and not _LOCAL.fullmatch(host):
        raise InvalidInputError("Unsupported callback URL. Clients have to use HTTPS for non-local addresses.")
    return text
