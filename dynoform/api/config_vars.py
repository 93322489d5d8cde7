"""Config vars. Each change makes a release."""

from fastapi import APIRouter
from pydantic import RootModel
from starlette.responses import JSONResponse

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.releases import find_release
from dynoform.api.services import Use
from dynoform.domain import config_vars, releases
from dynoform.domain.permissions import Permission
from dynoform.store import attached
from dynoform.store.releases import add_config, config_of, create_release, newest_release

router = APIRouter(tags=["config vars"])


class Patch(RootModel[dict[str, str | None]]):
    """Body of update: name → value, null to remove."""


@router.get("/apps/{app}/config-vars", response_model=dict[str, str])
def config_info(app: str, services: Use, caller: Caller) -> JSONResponse:
    """The app's config vars: those of its newest release, also when that one's command runs or has failed."""
    with services.store.transaction() as session:
        newest = newest_release(session, find(session, caller, app, Permission.DEPLOY).id)
        return JSONResponse(config_of(session, services.vault, newest))


@router.get("/apps/{app}/releases/{release}/config-vars", response_model=dict[str, str])
def release_config_info(app: str, release: str, services: Use, caller: Caller) -> JSONResponse:
    """The config vars that a release had."""
    with services.store.transaction() as session:
        found = find_release(session, find(session, caller, app, Permission.DEPLOY), release)
        return JSONResponse(config_of(session, services.vault, found))


@router.patch("/apps/{app}/config-vars", response_model=dict[str, str])
def config_update(app: str, body: Patch, services: Use, caller: Caller) -> JSONResponse:
    """Set and remove config vars, in one release; none when nothing changes. Answers with all of them."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY, lock=True)
        config_vars.check_unattached(body.root, attached.config_names(session, found.id))
        present = config_of(session, services.vault, newest_release(session, found.id))
        change = config_vars.merge(present, body.root)
        made = []
        if not change.empty:
            config = add_config(session, services.vault, found.id, change.config)
            description = releases.config_changed(change.set, change.removed)
            made = [create_release(session, found, description=description, account_id=caller.id, config=config)]
    services.announce(found, made)
    return JSONResponse(change.config)
