"""Sources: uploaded tarballs, kept in the sources volume under their id until they are built."""

import uuid
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, JSONResponse, Response
from typing_extensions import TypedDict

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.services import Services, Use
from dynoform.api.upload import Upload, receive
from dynoform.domain import uploads
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.builds import announce
from dynoform.store.tables import Account, Source

router = APIRouter(tags=["sources"])
links = APIRouter(include_in_schema=False)
PUT, GET = "put source", "get source"
_LIFETIME = 3600


class SourceBlobObject(TypedDict):
    """Where to send the tarball, and where it can be had."""

    get_url: str
    put_url: str


class SourceObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#source."""

    source_blob: SourceBlobObject


@router.post("/sources", status_code=201, response_model=SourceObject)
def source_create(services: Use, caller: Caller) -> JSONResponse:
    """A place to upload a source to."""
    return JSONResponse(_create(services, caller), 201)


@router.post("/apps/{app}/sources", status_code=201, response_model=SourceObject)
def app_source_create(app: str, services: Use, caller: Caller) -> JSONResponse:
    """The same, for an app that must exist."""
    with services.store.transaction() as session:
        find(session, caller, app, Permission.DEPLOY)
    return JSONResponse(_create(services, caller), 201)


@links.put("/sources/{source}")
async def source_upload(source: str, request: Request, services: Use, token: str = "") -> Response:
    """Take the tarball, as the raw body. The link is the permission; a whole upload replaces an earlier one."""
    identifier = _check_link(services, PUT, source, token)
    finish = partial(_finish, services, identifier)
    received = await receive(request, services.configuration.sources, str(identifier), "source", finish)
    return Response(status_code=200 if received else 400)


@links.get("/sources/{source}")
def source_download(source: str, services: Use, token: str = "") -> Response:
    """Give the tarball back."""
    path = services.configuration.sources / str(_check_link(services, GET, source, token))
    if not path.is_file():
        raise not_found("source")
    return FileResponse(path, media_type="application/gzip")


@links.get("/uploads/{upload}")
def upload_download(upload: str, services: Use, token: str = "") -> Response:
    """Give an uploaded source or slug to a builder on another host."""
    try:
        claims = services.vault.verify(uploads.PURPOSE, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    identifier = parse_id(upload)
    path = services.configuration.sources / str(identifier)
    if identifier is None or claims.get("upload") != str(identifier) or not path.is_file():
        raise not_found("source")
    return FileResponse(path, media_type="application/gzip")


def link(services: Services, purpose: str, source_id: uuid.UUID) -> str:
    """A link to a source for one purpose, ``PUT`` or ``GET``."""
    token = services.vault.sign(purpose, {"source": str(source_id)}, _LIFETIME)
    return f"{services.configuration.api_url}/sources/{source_id}?token={token}"


def _create(services: Services, caller: Account) -> SourceObject:
    source = Source(id=uuid.uuid4(), account_id=caller.id)
    with services.store.transaction() as session:
        session.add(source)
        announce(session, source.id)
    return {"source_blob": {"get_url": link(services, GET, source.id), "put_url": link(services, PUT, source.id)}}


def _check_link(services: Services, purpose: str, source: str, token: str) -> uuid.UUID:
    """The source's id, if the token is for it. Any other token is answered as a source that does not exist."""
    try:
        claims = services.vault.verify(purpose, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    identifier = parse_id(source)
    if identifier is None or claims.get("source") != str(identifier):
        raise not_found("source")
    return identifier


def _finish(services: Services, identifier: uuid.UUID, upload: Upload) -> None:
    with services.store.transaction() as session:
        source = session.get(Source, identifier, with_for_update=True)
        if source is None:
            raise not_found("source")
        upload.keep()
        source.size, source.checksum = upload.size, upload.checksum
