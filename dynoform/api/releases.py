"""Releases: the ledger of an app, and the way back."""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject, NamedObject, UserObject, app_reference, reference, shown, user
from dynoform.api.services import Use
from dynoform.domain import releases
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.releases import create_release
from dynoform.store.tables import App, Config, Release, Slug

router = APIRouter(tags=["releases"])
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
    description: Annotated[str | None, Field(max_length=releases.MAXIMUM_DESCRIPTION)] = None


@router.get("/apps/{app}/releases", response_model=list[ReleaseObject])
def release_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's releases."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        query = select(Release).where(Release.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda release: show(found, release))


@router.get("/apps/{app}/releases/{release}", response_model=ReleaseObject)
def release_info(app: str, release: str, services: Use, caller: Caller) -> JSONResponse:
    """One release, by id or version."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        return JSONResponse(show(found, find_release(session, found, release)))


@router.post("/apps/{app}/releases", status_code=201, response_model=ReleaseObject)
def release_create(app: str, body: NewRelease, services: Use, caller: Caller) -> JSONResponse:
    """A release of a slug that was built before, or a rollback: slug and config vars of an earlier release."""
    if (body.slug is None) == (body.release is None):
        raise InvalidInputError("Either slug or release must be given, and not both.")
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        if body.release is not None:
            made = _roll_back(session, found, caller.id, str(body.release), body.description)
        else:
            slug = find_slug(session, found, body.slug or "")
            description = body.description or releases.deployed(slug.commit)
            made = create_release(session, found, description=description, account_id=caller.id, slug=slug)
    services.announce(found, [made])
    return JSONResponse(show(found, made), 201)


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


def eligible(release: Release) -> bool:
    """Whether the app can be rolled back to this release: it has a slug and did not fail."""
    return release.slug_id is not None and release.status == "succeeded"


def show(app: App, release: Release) -> ReleaseObject:
    """The release's object."""
    return {
        "addon_plan_names": [],
        "app": app_reference(app),
        "artifacts": [],
        "created_at": shown(release.created_at),
        "current": release.current,
        "description": release.description,
        "eligible_for_rollback": eligible(release),
        "id": str(release.id),
        "output_stream_url": None,
        "slug": reference(release.slug_id),
        "status": release.status,
        "updated_at": shown(release.updated_at),
        "user": user(release.account),
        "version": release.version,
    }


def _roll_back(session: Session, app: App, account_id: uuid.UUID, text: str, description: str | None) -> Release:
    target = find_release(session, app, text)
    if not eligible(target):
        name = releases.name(target.version)
        raise InvalidInputError(f"Cannot roll back to {name}: it has no slug. Choose a release that deployed one")
    return create_release(
        session,
        app,
        description=description or releases.rolled_back(target.version),
        account_id=account_id,
        slug=target.slug,
        config=session.get_one(Config, target.config_id),
    )
