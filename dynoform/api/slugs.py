"""Slugs: what builds produced."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.objects import NamedObject, fixed, shown
from dynoform.api.releases import find_slug
from dynoform.api.services import Use
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store.tables import Slug

router = APIRouter(tags=["slugs"])


class BlobObject(TypedDict):
    """Where the slug is: an image in the platform's registry, by digest."""

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


@router.get("/apps/{app}/slugs/{slug}", response_model=SlugObject)
def slug_info(app: str, slug: str, services: Use, caller: Caller) -> JSONResponse:
    """One slug, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(find_slug(session, find(session, caller, app), slug)))


@router.post("/apps/{app}/slugs", status_code=201, response_model=SlugObject)
def slug_create(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Refused: a slug is a layer on the platform's own stack image, which only its builder makes, not a file.

    Send a source to be built (`POST /apps/{app}/builds`), or push an image; what either makes can be released again.
    """
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY)
    raise InvalidInputError(
        f"A slug that was made elsewhere cannot be uploaded to {found.name}: slugs are images here. Build one with "
        "POST /apps/{app}/builds or git push, or deploy an image of your own with heroku container:push"
    )


def show(slug: Slug) -> SlugObject:
    """The slug's object."""
    return {
        "blob": {"method": "get", "url": f"docker://{slug.image}"},
        "buildpack_provided_description": slug.buildpack_provided_description,
        "checksum": slug.checksum,
        "commit": slug.commit,
        "commit_description": None,
        "created_at": shown(slug.created_at),
        "id": str(slug.id),
        "process_types": slug.process_types,
        "size": slug.size,
        "stack": fixed(slug.stack),
        "updated_at": shown(slug.updated_at),
    }
