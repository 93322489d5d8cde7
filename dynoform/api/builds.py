"""Builds: turning a source into a slug and a release. The builder does the work; here is the job and its output."""

import re
import uuid
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from dynoform.api import ranges, sources
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject, UserObject, reference, shown, user
from dynoform.api.output_streams import Stream
from dynoform.api.services import Services, Use
from dynoform.domain import buildpacks as buildpack_rules
from dynoform.domain import builds
from dynoform.domain.jobs import Kind
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import builds as store
from dynoform.store import jobs, output
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, App, Build, BuildOutput, Source

router = APIRouter(tags=["builds"])
links = APIRouter(include_in_schema=False)
_PRINTABLE = re.compile(r"[!-~]+")
OUTPUT = Stream("build", Build, BuildOutput)
_FIELDS: ranges.Fields = {"id": Build.id, "started_at": Build.created_at}


class SourceBlobObject(TypedDict):
    """What was built."""

    checksum: str | None
    url: str
    version: str | None
    version_description: str | None


class BuildObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#build."""

    app: IdObject
    buildpacks: list[buildpack_rules.BuildpackObject]
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


class LineObject(TypedDict):
    """A line of output."""

    line: str
    stream: str


class BuildStateObject(TypedDict):
    """A build within its result."""

    id: str
    output_stream_url: str
    status: str


class ResultObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#build-result."""

    build: BuildStateObject
    exit_code: int | None
    lines: list[LineObject]


class NewSourceBlob(BaseModel):
    """The source to build: ``url`` is the ``get_url`` that ``POST /sources`` gave, or any https address."""

    model_config = ConfigDict(strict=True)
    url: Annotated[str, Field(max_length=4000)]
    checksum: Annotated[str | None, Field(max_length=100)] = None
    version: Annotated[str | None, Field(max_length=200)] = None


class NewBuildpack(BaseModel):
    """A buildpack to use, by URL or by name."""

    model_config = ConfigDict(strict=True)
    url: Annotated[str | None, Field(max_length=1000)] = None
    name: Annotated[str | None, Field(max_length=1000)] = None

    @property
    def reference(self) -> str:
        """Whichever of the two there is."""
        return self.url or self.name or ""


class NewBuild(BaseModel):
    """Body of create. ``buildpacks`` are used instead of the app's own list."""

    model_config = ConfigDict(strict=True)
    source_blob: NewSourceBlob
    buildpacks: Annotated[list[NewBuildpack] | None, Field(max_length=100)] = None


@router.post("/apps/{app}/builds", status_code=201, response_model=BuildObject)
def build_create(app: str, body: NewBuild, services: Use, caller: Caller) -> JSONResponse:
    """Queue a build of an uploaded source; builds of one app run one after the other."""
    wanted = buildpack_rules.parse_all(one.reference for one in body.buildpacks or ())
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        source = find_source(services, session, caller, body.source_blob)
        build = store.add_build(
            session, found, source, account_id=caller.id, version=body.source_blob.version, buildpacks=wanted
        )
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
        row = _find_build(session, found, build)
        return JSONResponse(show(services, found, row, session.get_one(Source, row.source_id)))


@router.delete("/apps/{app}/builds/{build}", response_model=BuildObject)
def build_cancel(app: str, build: str, services: Use, caller: Caller) -> JSONResponse:
    """Stop a build that waits or is under way (`builds:cancel`); its container is gone within seconds."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        row = _find_build(session, found, build)
        if not store.cancel(session, row):
            raise InvalidInputError(f"The build has {row.status}: only a pending build can be cancelled")
        session.flush()
        shown_last = show(services, found, row, session.get_one(Source, row.source_id))
    services.say(found, f"Build cancelled by user {caller.email}")
    return JSONResponse(shown_last)


@router.get("/apps/{app}/builds/{build}/result", response_model=ResultObject)
def build_result(app: str, build: str, services: Use, caller: Caller) -> JSONResponse:
    """What became of a build, with its output so far in lines."""
    with services.store.transaction() as session:
        row = _find_build(session, find(session, caller, app), build)
        lines = output.text(session, BuildOutput, row.id).splitlines(keepends=True)
        return JSONResponse(_show_result(services, row, lines))


@router.delete("/apps/{app}/build-cache", status_code=202, response_model=dict[str, str])
def build_cache_delete(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Empty the build cache (`builds:cache:purge`), after the builds that were asked for before."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        jobs.add(session, found.id, Kind.PURGE_CACHE, uuid.uuid5(found.id, Kind.PURGE_CACHE))
    return JSONResponse({}, 202)


@links.get("/builds/{build}/output")
async def build_output(build: str, services: Use, token: str = "") -> StreamingResponse:
    """The build's output as it comes, until the build has finished."""
    return await OUTPUT.respond(services, build, token)


def show(services: Services, app: App, build: Build, source: Source) -> BuildObject:
    """The build's object."""
    return {
        "app": {"id": str(app.id)},
        "buildpacks": [buildpack_rules.shown(one) for one in build.buildpacks],
        "created_at": shown(build.created_at),
        "id": str(build.id),
        "output_stream_url": OUTPUT.link(services, build.id),
        "release": reference(build.release_id),
        "slug": reference(build.slug_id),
        "source_blob": {
            "checksum": source.checksum,
            "url": source.url or sources.link(services, sources.GET, source.id),
            "version": build.version,
            "version_description": None,
        },
        "stack": build.stack or app.build_stack or app.stack,
        "status": build.status,
        "updated_at": shown(build.updated_at),
        "user": user(build.account),
    }


def _show_result(services: Services, build: Build, lines: Sequence[str]) -> ResultObject:
    codes = {builds.PENDING: None, builds.SUCCEEDED: 0}
    return {
        "build": {"id": str(build.id), "output_stream_url": OUTPUT.link(services, build.id), "status": build.status},
        "exit_code": codes.get(build.status, 1),
        "lines": [{"line": line, "stream": "STDOUT"} for line in lines],
    }


def _find_build(session: Session, app: App, text: str) -> Build:
    identifier = parse_id(text)
    row = session.get(Build, identifier) if identifier else None
    if row is None or row.app_id != app.id:
        raise not_found("build")
    return row


def find_source(services: Services, session: Session, caller: Account, blob: NewSourceBlob) -> Source:
    """The source that a body names: one that was uploaded, or somewhere else. Raises ``InvalidInputError``."""
    try:
        url = urlsplit(blob.url)
        elsewhere = bool(url.hostname) and url.netloc != urlsplit(services.configuration.api_url).netloc
    except ValueError:
        raise _no_source() from None
    return _fetched(session, caller, blob, url) if elsewhere else _uploaded(session, caller, blob, url.path)


def _fetched(session: Session, caller: Account, blob: NewSourceBlob, url: SplitResult) -> Source:
    """A source that the builder fetches: any https address."""
    if url.scheme != "https" or url.username or not _PRINTABLE.fullmatch(blob.url):
        raise _no_source()
    checksum = blob.checksum and f"SHA256:{blob.checksum.lower().removeprefix('sha256:')}"
    source = Source(id=uuid.uuid4(), account_id=caller.id, url=blob.url, checksum=checksum)
    session.add(source)
    session.flush()
    return source


def _uploaded(session: Session, caller: Account, blob: NewSourceBlob, path: str) -> Source:
    folder, _, name = path.rpartition("/")
    identifier = parse_id(name) if folder == "/sources" else None
    source = session.get(Source, identifier) if identifier else None
    if source is None or source.account_id != caller.id:
        raise _no_source()
    if source.checksum is None:
        raise InvalidInputError("The source has not been uploaded: PUT the tarball to its put_url first")
    if blob.checksum and blob.checksum.lower().removeprefix("sha256:") != source.checksum.removeprefix("SHA256:"):
        raise InvalidInputError(f"The source's checksum is {source.checksum}, not {blob.checksum}: upload it again")
    return source


def _no_source() -> InvalidInputError:
    return InvalidInputError(
        "source_blob.url must be the get_url of a source of yours (POST /sources makes one), or an https address "
        "without a password in it"
    )
