"""Slugs: what builds produced, and what users made elsewhere and upload.

https://devcenter.heroku.com/articles/platform-api-deploying-slugs. An uploaded slug becomes what a built one is, a
layer on the stack's image: the builder makes it while the upload's answer waits, so that a release can follow at once,
and who sent something that is no slug is told so there.
"""

import asyncio
import time
import uuid
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from dynoform.api.apps import find, stack_name
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.objects import NamedObject, fixed, shown
from dynoform.api.releases import find_slug
from dynoform.api.services import Services, Use
from dynoform.api.upload import Upload, receive
from dynoform.domain import slugs, stacks
from dynoform.domain.jobs import Kind
from dynoform.domain.permissions import Permission
from dynoform.errors import ConflictError, InvalidInputError
from dynoform.store import jobs
from dynoform.store.apps import parse_id
from dynoform.store.releases import lock_app
from dynoform.store.tables import App, Slug

router = APIRouter(tags=["slugs"])
links = APIRouter(include_in_schema=False)
PUT = "put slug"
_LIFETIME = 3600
_WAIT_SECONDS = 45.0
"""Less than the router waits for an answer."""
_POLL_SECONDS = 1.0


class BlobObject(TypedDict):
    """Where the slug is: an image in the platform's registry, by digest; of a new one, where its tarball goes."""

    method: str
    url: str


class SlugObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#slug."""

    blob: BlobObject
    buildpack_provided_description: str | None
    checksum: str | None
    commit: str | None
    commit_description: str | None
    created_at: str
    id: str
    process_types: dict[str, str]
    size: int | None
    stack: NamedObject
    updated_at: str


Text = Annotated[str | None, Field(max_length=200)]


class NewSlug(BaseModel):
    """Body of create: process types with their commands, and what is to be shown of the slug."""

    model_config = ConfigDict(strict=True)
    process_types: Annotated[dict[str, str], Field(min_length=1, max_length=slugs.PROCESS_TYPES)]
    buildpack_provided_description: Text = None
    checksum: Text = None
    commit: Text = None
    commit_description: Text = None
    stack: Text = None


@router.get("/apps/{app}/slugs/{slug}", response_model=SlugObject)
def slug_info(app: str, slug: str, services: Use, caller: Caller) -> JSONResponse:
    """One slug, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(services, find_slug(session, find(session, caller, app), slug)))


@router.post("/apps/{app}/slugs", status_code=201, response_model=SlugObject)
def slug_create(app: str, body: NewSlug, services: Use, caller: Caller) -> JSONResponse:
    """A slug to upload: a gzipped tarball with all files in a folder `app`, sent with PUT to the blob's `url`.

    Its answer comes when the slug can be released: 200, 422 when it is no slug, 202 when that takes longer.
    """
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY)
        slug = Slug(id=uuid.uuid4(), app_id=found.id, image="", size=0, stack=_stack(found, body.stack))
        slug.process_types = slugs.check_process_types(body.process_types)
        slug.checksum = "" if body.checksum is None else slugs.check_checksum(body.checksum)
        slug.commit, slug.commit_description = body.commit, body.commit_description
        slug.buildpack_provided_description = body.buildpack_provided_description
        session.add(slug)
        session.flush()
        made = show(services, slug)
    token = services.vault.sign(PUT, {"slug": made["id"]}, _LIFETIME)
    made["blob"] = {"method": "put", "url": f"{_place(services, slug)}?token={token}"}
    return JSONResponse(made, 201)


@links.put("/slugs/{slug}/blob")
async def slug_upload(slug: str, request: Request, services: Use, token: str = "") -> Response:
    """Take the tarball, as the raw body. The link is the permission."""
    identifier = _check_link(services, slug, token)
    await run_in_threadpool(_check_open, services, identifier)
    finish = partial(_finish, services, identifier)
    if not await receive(request, services.configuration.sources, str(identifier), "slug", finish):
        return Response(status_code=400)
    made = await _outcome(services, identifier)
    return Response(status_code=200 if made else 202)


def show(services: Services, slug: Slug) -> SlugObject:
    """The slug's object."""
    return {
        "blob": {"method": "get", "url": f"docker://{slug.image}" if slug.image else _place(services, slug)},
        "buildpack_provided_description": slug.buildpack_provided_description,
        "checksum": slug.checksum or None,
        "commit": slug.commit,
        "commit_description": slug.commit_description,
        "created_at": shown(slug.created_at),
        "id": str(slug.id),
        "process_types": slug.process_types,
        "size": slug.size if slug.image else None,
        "stack": fixed(slug.stack),
        "updated_at": shown(slug.updated_at),
    }


def _place(services: Services, slug: Slug) -> str:
    """Where the tarball goes; nothing without the token that the slug's maker gets."""
    return f"{services.configuration.api_url}/slugs/{slug.id}/blob"


def _stack(app: App, wanted: str | None) -> str:
    stack = (app.build_stack or app.stack) if wanted is None else stack_name(wanted)
    if stack == stacks.CONTAINER:
        raise InvalidInputError(
            f"A slug runs on a stack of its own: give {stacks.DEFAULT} as stack, or deploy an image with container:push"
        )
    return stack


def _check_link(services: Services, slug: str, token: str) -> uuid.UUID:
    """The slug's id, if the token is for it. Any other token is answered as a slug that does not exist."""
    try:
        claims = services.vault.verify(PUT, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    identifier = parse_id(slug)
    if identifier is None or claims.get("slug") != str(identifier):
        raise not_found("slug")
    return identifier


def _check_open(services: Services, identifier: uuid.UUID) -> None:
    with services.store.transaction() as session:
        _open(session, identifier)


def _open(session: Session, identifier: uuid.UUID) -> Slug:
    """The slug, locked with its app, while it can be uploaded: once, or again when what came was none."""
    present = session.get(Slug, identifier)
    if present is None or lock_app(session, present.app_id) is None:
        raise not_found("slug")
    session.refresh(present)
    if present.image or jobs.is_queued(session, identifier):
        raise ConflictError("The slug has been uploaded already. Create another one for other contents.")
    return present


def _finish(services: Services, identifier: uuid.UUID, upload: Upload) -> None:
    with services.store.transaction() as session:
        slug = _open(session, identifier)
        if slug.failure is None:  # else it is the checksum of what was refused
            slugs.compare(slug.checksum, upload.checksum)
        upload.keep()
        slug.checksum, slug.size, slug.failure = upload.checksum, upload.size, None
        jobs.add(session, slug.app_id, Kind.SLUG, slug.id)


async def _outcome(services: Services, identifier: uuid.UUID) -> bool:
    """Whether the slug is made; False when that takes long. Raises ``InvalidInputError`` when it cannot be."""
    deadline = time.monotonic() + _WAIT_SECONDS
    with services.wakers.subscribe(identifier) as wake:
        while time.monotonic() < deadline and not services.stopping.is_set():
            wake.clear()
            image, failure = await run_in_threadpool(_state, services, identifier)
            if failure is not None:
                raise InvalidInputError(f"The tarball is not a slug: {failure}")
            if image:
                return True
            try:
                await asyncio.wait_for(wake.wait(), _POLL_SECONDS)
            except TimeoutError:
                continue
    return False


def _state(services: Services, identifier: uuid.UUID) -> tuple[str, str | None]:
    with services.store.transaction() as session:
        slug = session.get(Slug, identifier)
        if slug is None:
            raise not_found("slug")
        return slug.image, slug.failure
