"""App setups: an app made of what its source says of itself. The builder does the work; here is the job.

https://devcenter.heroku.com/articles/setting-up-apps-using-the-heroku-platform-api
"""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import builds, team_apps
from dynoform.api.authentication import Caller
from dynoform.api.builds import NewBuildpack, NewSourceBlob
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, shown
from dynoform.api.services import Services, Use
from dynoform.api.team_apps import NewTeamApp, Reference
from dynoform.domain import buildpacks, config_vars
from dynoform.store import app_setups as store
from dynoform.store import output
from dynoform.store.apps import parse_id
from dynoform.store.builds import announce
from dynoform.store.tables import Account, AppSetup, AppSetupOutput

router = APIRouter(tags=["app setups"])


class SetupBuildObject(TypedDict):
    """The build within a setup; all null before there is one."""

    id: str | None
    output_stream_url: str | None
    status: str | None


class PostdeployObject(TypedDict):
    """What the postdeploy script has said, and its exit code once it has ended."""

    exit_code: int | None
    output: str | None


class AppSetupObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-setup."""

    app: NamedObject
    build: SetupBuildObject
    created_at: str
    failure_message: str | None
    id: str
    manifest_errors: list[str]
    postdeploy: PostdeployObject
    resolved_success_url: str | None
    status: str
    updated_at: str


class NewSetupApp(NewTeamApp):
    """The app to make; ``organization`` is Heroku's former word for its team."""

    organization: Reference = None


class Overrides(BaseModel):
    """What is to be instead of what the source says."""

    model_config = ConfigDict(strict=True)
    buildpacks: Annotated[list[NewBuildpack] | None, Field(max_length=100)] = None
    env: dict[str, str] | None = None


class NewAppSetup(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    source_blob: NewSourceBlob
    app: NewSetupApp | None = None
    overrides: Overrides | None = None


@router.post("/app-setups", status_code=202, response_model=AppSetupObject)
def app_setup_create(body: NewAppSetup, services: Use, caller: Caller) -> JSONResponse:
    """A new app that becomes what its source's app.json says: config vars, add-ons, a release, dynos.

    It goes when that does not succeed; what became of it is told by the setup, for good.
    """
    overrides = body.overrides or Overrides()
    config = config_vars.merge({}, overrides.env or {}).config
    wanted = buildpacks.parse_all(one.reference for one in overrides.buildpacks or ())
    new = body.app or NewSetupApp()
    new.team = new.team if new.team is not None else new.organization
    with services.store.transaction() as session:
        source = builds.find_source(services, session, caller, body.source_blob)
        row, made = team_apps.create(session, services, caller, new)
        setup = AppSetup(id=uuid.uuid4(), account_id=caller.id, app_id=row.app.id, app_name=row.app.name)
        setup.source_id, setup.version, setup.buildpacks = source.id, body.source_blob.version, wanted
        setup.stack = row.app.stack if new.stack is not None else None
        setup.overrides = services.vault.encrypt(row.app.id, config)
        session.add(setup)
        session.flush()
        session.refresh(setup)
        store.add_job(session, setup)
        announce(session, setup.app_id)
        answer = _show(services, session, setup)
    services.announce(row.app, made)
    return JSONResponse(answer, 202)


@router.get("/app-setups/{app_setup}", response_model=AppSetupObject)
def app_setup_info(app_setup: str, services: Use, caller: Caller) -> JSONResponse:
    """How far it is, or how it ended; for whoever asked for it."""
    with services.store.transaction() as session:
        return JSONResponse(_show(services, session, _find(session, caller, app_setup)))


def _find(session: Session, caller: Account, reference: str) -> AppSetup:
    identifier = parse_id(reference)
    setup = session.get(AppSetup, identifier) if identifier else None
    if setup is None or setup.account_id != caller.id:
        raise not_found("app setup", "app_setup")
    return setup


def _show(services: Services, session: Session, setup: AppSetup) -> AppSetupObject:
    said = output.text(session, AppSetupOutput, setup.id)
    return {
        "app": {"id": str(setup.app_id), "name": setup.app_name},
        "build": {
            "id": str(setup.build_id) if setup.build_id else None,
            "output_stream_url": builds.OUTPUT.link(services, setup.build_id) if setup.build_id else None,
            "status": store.build_status(session, setup),
        },
        "created_at": shown(setup.created_at),
        "failure_message": setup.failure_message,
        "id": str(setup.id),
        "manifest_errors": setup.manifest_errors,
        "postdeploy": {
            "exit_code": setup.postdeploy_exit_code,
            "output": said if said or setup.postdeploy_exit_code is not None else None,
        },
        "resolved_success_url": setup.resolved_success_url,
        "status": setup.status,
        "updated_at": shown(setup.updated_at),
    }
