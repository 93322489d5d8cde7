"""Buildpacks: those that an app is to be built with, and the registry where the CLI looks names up."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import fixed
from dynoform.api.services import Use
from dynoform.domain import buildpacks
from dynoform.domain.permissions import Permission
from dynoform.store.builds import installed_buildpacks
from dynoform.store.tables import BuildpackInstallation

router = APIRouter(tags=["buildpacks"])
links = APIRouter(include_in_schema=False)
_FIELDS = ("ordinal",)


class InstallationObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#buildpack-installations."""

    buildpack: buildpacks.BuildpackObject
    ordinal: int


class Update(BaseModel):
    """One buildpack, by name or URL."""

    model_config = ConfigDict(strict=True)
    buildpack: Annotated[str, Field(max_length=1000)]


class Installations(BaseModel):
    """Body of update: the whole list, in order; none to detect them again."""

    model_config = ConfigDict(strict=True)
    updates: Annotated[list[Update], Field(max_length=100)]


@router.get("/apps/{app}/buildpack-installations", response_model=list[InstallationObject])
def installation_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The buildpacks of the app's next build, in order; an empty list when they are detected."""
    with services.store.transaction() as session:
        return ranges.cut(_show(installed_buildpacks(session, find(session, caller, app).id)), wanted, _FIELDS)


@router.put("/apps/{app}/buildpack-installations", response_model=list[InstallationObject])
def installation_update(app: str, body: Installations, services: Use, caller: Caller) -> JSONResponse:
    """Replace the list. The next build uses it."""
    wanted = buildpacks.parse_all(update.buildpack for update in body.updates)
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        session.execute(delete(BuildpackInstallation).where(BuildpackInstallation.app_id == found.id))
        for ordinal, buildpack in enumerate(wanted):
            session.add(BuildpackInstallation(app_id=found.id, ordinal=ordinal, buildpack=buildpack))
    return JSONResponse(_show(wanted))


@links.get("/buildpacks")
def registry_list() -> JSONResponse:
    """The buildpacks that the platform has."""
    return JSONResponse([_registered(name) for name in buildpacks.OWN])


@links.get("/buildpacks/{name:path}")
def registry_info(name: str) -> JSONResponse:
    """One of them: the CLI asks for ``heroku/python`` what it has to install. Nothing here is anybody's own."""
    if name not in buildpacks.OWN:
        raise not_found("buildpack")
    return JSONResponse(_registered(name))


def _show(names: list[str]) -> list[InstallationObject]:
    return [{"buildpack": buildpacks.shown(name), "ordinal": ordinal} for ordinal, name in enumerate(names)]


def _registered(name: str) -> dict[str, object]:
    namespace, _, own = name.partition("/")
    return {
        "id": fixed(name)["id"],
        "name": own,
        "namespace": namespace,
        "blob_url": buildpacks.url(name),
        "category": "languages",
        "description": f"Dynoform's buildpack for {buildpacks.OWN[name]}",
        "logo": None,
        "source": {"type": "platform", "owner": None, "repo": None},
        "support": {"method": "unsupported", "address": None},
        "two_factor_authentication": False,
    }
