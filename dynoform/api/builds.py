"""Builds: turning a source into a slug and a release. The builder does the work; here is the job and its output."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from dynoform.api import ranges, sources
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.objects import IdObject, UserObject, reference, shown, user
from dynoform.api.services import Services, Use
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.builds import add_build
from dynoform.store.tables import Account, App, Build, BuildOutput, Source

router = APIRouter(tags=["builds"])
links = APIRouter(include_in_schema=False)
OUTPUT = "build output"
_LIFETIME = 24 * 3600
_FIELDS: ranges.Fields = {"id": Build.id, "started_at": Build.created_at}
_POLL = 1.0
_BATCH = 500


class SourceBlobObject(TypedDict):
    """What was built."""

    checksum: str | None
    url: str
    version: str | None
    version_description: str | None


class BuildObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#build."""

    app: IdObject
    buildpacks: list[dict[str, str]]
    created_at: str
    id: str
    output_stream_url: str
    release: IdObject | None
    slug: IdObject | None
    source_blob: SourceBlobObject
    stack: str
    status: str
    updated_at: str
    user: UserObject


class NewSourceBlob(BaseModel):
    """The source to build: ``url`` is the ``get_url`` that ``POST /sources`` gave."""

    model_config = ConfigDict(strict=True)
    url: Annotated[str, Field(max_length=4000)]
    checksum: Annotated[str | None, Field(max_length=100)] = None
    version: Annotated[str | None, Field(max_length=200)] = None


class NewBuild(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    source_blob: NewSourceBlob


@router.post("/apps/{app}/builds", status_code=201, response_model=BuildObject)
def build_create(app: str, body: NewBuild, services: Use, caller: Caller) -> JSONResponse:
    """Queue a build of an uploaded source; builds of one app run one after the other."""
    with services.store.transaction() as session:
        found = find(session, caller, app, lock=True)
        source = _source(session, caller, body.source_blob)
        build = add_build(session, found, source, account_id=caller.id, version=body.source_blob.version)
    services.say(found, f"Build started by user {caller.email}")
    return JSONResponse(show(services, found, build, source), 201)


@router.get("/apps/{app}/builds", response_model=list[BuildObject])
def build_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's builds."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        query = select(Build, Source).join(Source, Source.id == Build.source_id).where(Build.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda build, source: show(services, found, build, source))


@router.get("/apps/{app}/builds/{build}", response_model=BuildObject)
def build_info(app: str, build: str, services: Use, caller: Caller) -> JSONResponse:
    """One build, by id."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        identifier = parse_id(build)
        row = session.get(Build, identifier) if identifier else None
        if row is None or row.app_id != found.id:
            raise not_found("build")
        return JSONResponse(show(services, found, row, session.get_one(Source, row.source_id)))


@links.get("/builds/{build}/output")
async def build_output(build: str, services: Use, token: str = "") -> StreamingResponse:
    """The build's output as it comes, until the build has finished. The link is the permission."""
    try:
        claims = services.vault.verify(OUTPUT, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    identifier = parse_id(build)
    if identifier is None or claims.get("build") != str(identifier):
        raise not_found("build")
    if await run_in_threadpool(_read, services, identifier, -1) is None:
        raise not_found("build")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(services, identifier), media_type="text/plain; charset=utf-8", headers=headers)


async def follow(services: Services, build_id: uuid.UUID) -> AsyncIterator[str]:
    """Pieces of a build's output, from the first one on, waiting for more until the build has finished or is gone."""
    sequence = -1
    with services.wakers.subscribe(build_id) as wake:
        while True:
            wake.clear()
            read = await run_in_threadpool(_read, services, build_id, sequence)
            if read is None:
                return
            finished, pieces = read
            if pieces:
                sequence = pieces[-1][0]
                yield "".join(text for _, text in pieces)
            elif finished:
                return
            else:
                await wait(wake)


def show(services: Services, app: App, build: Build, source: Source) -> BuildObject:
    """The build's object."""
    token = services.vault.sign(OUTPUT, {"build": str(build.id)}, _LIFETIME)
    return {
        "app": {"id": str(app.id)},
        "buildpacks": [],
        "created_at": shown(build.created_at),
        "id": str(build.id),
        "output_stream_url": f"{services.configuration.api_url}/builds/{build.id}/output?token={token}",
        "release": reference(build.release_id),
        "slug": reference(build.slug_id),
        "source_blob": {
            "checksum": source.checksum,
            "url": sources.link(services, sources.GET, source.id),
            "version": build.version,
            "version_description": None,
        },
        "stack": app.stack,
        "status": build.status,
        "updated_at": shown(build.updated_at),
        "user": user(build.account),
    }


def _source(session: Session, caller: Account, blob: NewSourceBlob) -> Source:
    try:
        folder, _, name = urlsplit(blob.url).path.rpartition("/")
    except ValueError:
        folder, name = "", ""
    identifier = parse_id(name) if folder == "/sources" else None
    source = session.get(Source, identifier) if identifier else None
    if source is None or source.account_id != caller.id:
        raise InvalidInputError("source_blob.url must be the get_url of a source of yours: POST /sources makes one")
    if source.checksum is None:
        raise InvalidInputError("The source has not been uploaded: PUT the tarball to its put_url first")
    if blob.checksum and blob.checksum.lower().removeprefix("sha256:") != source.checksum.removeprefix("SHA256:"):
        raise InvalidInputError(f"The source's checksum is {source.checksum}, not {blob.checksum}: upload it again")
    return source


def _read(services: Services, build_id: uuid.UUID, after: int) -> tuple[bool, list[Any]] | None:
    """Whether the build had finished before the pieces after that sequence were read, and those; None if it is gone."""
    with services.store.transaction() as session:
        status = session.scalar(select(Build.status).where(Build.id == build_id))
        if status is None:
            return None
        query = (
            select(BuildOutput.sequence, BuildOutput.text)
            .where(BuildOutput.build_id == build_id, BuildOutput.sequence > after)
            .order_by(BuildOutput.sequence)
            .limit(_BATCH)
        )
        return status != "pending", list(session.execute(query).all())


async def wait(wake: asyncio.Event) -> None:
    """Until it is time to look again: when woken, and soon anyway."""
    try:
        await asyncio.wait_for(wake.wait(), _POLL)
    except TimeoutError:
        return
