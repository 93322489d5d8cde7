"""Releases: the ledger of an app, and the way back."""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject, NamedObject, UserObject, app_reference, reference, shown, user
from dynoform.api.output_streams import Stream
from dynoform.api.services import Services, Use
from dynoform.domain import config_vars, releases
from dynoform.domain.permissions import Permission
from dynoform.domain.process_types import RELEASE
from dynoform.errors import ConflictError, InvalidInputError
from dynoform.store import attached, jobs
from dynoform.store.apps import parse_id
from dynoform.store.releases import add_config, config_of, create_release, newest_release
from dynoform.store.tables import App, Config, Release, ReleaseOutput, Slug

router = APIRouter(tags=["releases"])
links = APIRouter(include_in_schema=False)
OUTPUT = Stream("release", Release, ReleaseOutput)
_FIELDS: ranges.Fields = {"version": Release.version, "id": Release.id}


class ReleaseObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#release."""

    addon_plan_names: list[str]
    app: NamedObject
    artifacts: list[IdObject]
    created_at: str
    current: bool
    description: str
    eligible_for_rollback: bool
    id: str
    output_stream_url: str | None
    slug: IdObject | None
    status: str
    updated_at: str
    user: UserObject
    version: int


class NewRelease(BaseModel):
    """Body of create: another slug, or (rollback) what an earlier release was. One of the two."""

    model_config = ConfigDict(strict=True)
    slug: str | None = None
    release: str | int | None = None
    description: Annotated[str | None, Field(max_length=1000)] = None


@router.get("/apps/{app}/releases", response_model=list[ReleaseObject])
def release_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's releases."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        query = select(Release).where(Release.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda release: show(services, found, release))


@router.get("/apps/{app}/releases/{release}", response_model=ReleaseObject)
def release_info(app: str, release: str, services: Use, caller: Caller) -> JSONResponse:
    """One release, by id or version."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        return JSONResponse(show(services, found, find_release(session, found, release)))


@router.post("/apps/{app}/releases", status_code=201, response_model=ReleaseObject)
def release_create(app: str, body: NewRelease, services: Use, caller: Caller) -> JSONResponse:
    """A release of a slug that was built before, or a rollback: slug and config vars of an earlier release."""
    if (body.slug is None) == (body.release is None):
        raise InvalidInputError("Either slug or release must be given, and not both.")
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        description = releases.described(body.description) if body.description else None
        if body.release is not None:
            made = _roll_back(services, session, found, caller.id, str(body.release), description)
        else:
            made = _release_slug(session, found, caller.id, body.slug or "", description)
    services.announce(found, [made])
    return JSONResponse(show(services, found, made), 201)


@links.get("/releases/{release}/output")
async def release_output(release: str, services: Use, token: str = "") -> StreamingResponse:
    """The release command's output as it comes, until it has ended."""
    return await OUTPUT.respond(services, release, token)


def find_release(session: Session, app: App, text: str) -> Release:
    """The app's release with this id or version (``12`` or ``v12``)."""
    version, identifier = releases.parse_version(text), parse_id(text)
    if version is None and identifier is None:
        raise not_found("release")
    condition = Release.id == identifier if identifier else Release.version == version
    release = session.scalars(select(Release).where(Release.app_id == app.id, condition)).one_or_none()
    if release is None:
        raise not_found("release")
    return release


def find_slug(session: Session, app: App, text: str) -> Slug:
    """The app's slug with this id."""
    identifier = parse_id(text)
    slug = session.get(Slug, identifier) if identifier else None
    if slug is None or slug.app_id != app.id:
        raise not_found("slug")
    return slug


def show(services: Services, app: App, release: Release) -> ReleaseObject:
    """The release's object."""
    return {
        "addon_plan_names": release.addon_plan_names,
        "app": app_reference(app),
        "artifacts": [],
        "created_at": shown(release.created_at),
        "current": release.current,
        "description": release.description,
        "eligible_for_rollback": no_rollback(release) is None,
        "id": str(release.id),
        "output_stream_url": OUTPUT.link(services, release.id) if _has_command(release) else None,
        "slug": reference(release.slug_id),
        "status": release.status,
        "updated_at": shown(release.updated_at),
        "user": user(release.account),
        "version": release.version,
    }


def _roll_back(
    services: Services, session: Session, app: App, account_id: uuid.UUID, text: str, description: str | None
) -> Release:
    target = find_release(session, app, text)
    reason = no_rollback(target)
    if reason:
        raise InvalidInputError(reason)
    return create_release(
        session,
        app,
        description=description or releases.rolled_back(target.version),
        account_id=account_id,
        slug=target.slug,
        config=_restored(services, session, app, target),
    )


def _restored(services: Services, session: Session, app: App, target: Release) -> Config:
    """The target's config vars, with what add-ons set now in place of what they had set then."""
    before = config_of(session, services.vault, target)
    present = config_of(session, services.vault, newest_release(session, app.id))
    names = attached.config_names(session, app.id)
    config = config_vars.rolled_back(before, target.addon_config_vars, present, names)
    if config == before:
        return session.get_one(Config, target.config_id)
    return add_config(session, services.vault, app.id, config)


def _release_slug(session: Session, app: App, account_id: uuid.UUID, text: str, description: str | None) -> Release:
    slug = find_slug(session, app, text)
    if slug.expired_at is not None:
        raise InvalidInputError("The slug has expired: deploy that commit again")
    if not slug.image:
        raise _not_made(session, slug)
    description = description or releases.deployed(slug.commit)
    return create_release(session, app, description=description, account_id=account_id, slug=slug)


def _not_made(session: Session, slug: Slug) -> InvalidInputError | ConflictError:
    if slug.failure is not None:
        return InvalidInputError(f"The slug cannot be released: {slug.failure}")
    if jobs.is_queued(session, slug.id):
        return ConflictError("The slug is not ready yet: it was uploaded a moment ago. Try again in some seconds.")
    return InvalidInputError("The slug has no contents yet: upload its tarball to its blob's url, then release it")


def no_rollback(release: Release) -> str | None:
    """Why the slug of this release cannot be released again; None when it can."""
    has_slug = release.slug is not None and release.slug.expired_at is None
    return releases.no_rollback(release.version, release.status, has_slug=has_slug)


def _has_command(release: Release) -> bool:
    return release.slug is not None and RELEASE in release.slug.process_types
