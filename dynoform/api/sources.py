"""Sources: uploaded tarballs, kept in the sources volume under their id until they are built."""

import uuid
from functools import partial

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
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
from dynoform.store import builds as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Source

router = APIRouter(tags=["sources"])
links = APIRouter(include_in_schema=False)
PUT, GET = "put source", "get source"
_LIFETIME = int(uploads.KEPT_BUILT.total_seconds())
_BATCH = 1000


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
    declared = request.headers.get("content-length", "")
    await run_in_threadpool(_check_room, services, identifier, int(declared[:20]) if declared.isdecimal() else 0)
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


def sweep(services: Services) -> int:
    """Remove the files that nothing more is made of: sources some time after their builds, slugs that are images."""
    folder = services.configuration.sources
    found = [identifier for path in folder.iterdir() if (identifier := parse_id(path.name))]
    removed = 0
    for start in range(0, len(found), _BATCH):
        with services.store.transaction() as session:
            for identifier in store.spent_uploads(session, found[start : start + _BATCH]):
                (folder / str(identifier)).unlink(missing_ok=True)
                removed += 1
    return removed


def link(services: Services, purpose: str, source_id: uuid.UUID) -> str:
    """A link to a source for one purpose, ``PUT`` or ``GET``."""
    token = services.vault.sign(purpose, {"source": str(source_id)}, _LIFETIME)
    return f"{services.configuration.api_url}/sources/{source_id}?token={token}"


def _create(services: Services, caller: Account) -> SourceObject:
    source = Source(id=uuid.uuid4(), account_id=caller.id)
    with services.store.transaction() as session:
        session.add(source)
        store.announce(session, source.id)
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


def _check_room(services: Services, identifier: uuid.UUID, size: int) -> None:
    """Before a byte of it is read. Raises ``InvalidInputError`` when the account's other sources leave no room."""
    with services.store.transaction() as session:
        source = session.get(Source, identifier)
        if source is None:
            raise not_found("source")
        uploads.check_room(store.kept_bytes(session, source), size)


def _finish(services: Services, identifier: uuid.UUID, upload: Upload) -> None:
    with services.store.transaction() as session:
        source = session.get(Source, identifier, with_for_update=True)
        if source is None:
            raise not_found("source")
        uploads.check_room(store.kept_bytes(session, source, lock=True), upload.size)
        upload.keep()
        source.size, source.checksum = upload.size, upload.checksum
