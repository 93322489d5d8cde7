"""Log drains: where an app's log goes too."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.domain import log_drains
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import log_drains as store
from dynoform.store.tables import App, LogDrain

router = APIRouter(tags=["log drains"])
_FIELDS = ("id",)


class LogDrainObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#log-drain."""

    addon: NamedObject | None
    app: NamedObject
    created_at: str
    id: str
    token: str
    updated_at: str
    url: str


class DrainUrl(BaseModel):
    """Body of create and update."""

    model_config = ConfigDict(strict=True)
    url: Annotated[str, Field(max_length=4000)]


@router.get("/apps/{app}/log-drains", response_model=list[LogDrainObject])
def log_drain_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's drains, those of add-ons among them."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY)
        drains = [show(services, found, drain) for drain in store.of_app(session, found.id)]
    return ranges.cut(drains, wanted, _FIELDS)


@router.post("/apps/{app}/log-drains", status_code=201, response_model=LogDrainObject)
def log_drain_create(app: str, body: DrainUrl, services: Use, caller: Caller) -> JSONResponse:
    """Send the app's log to a URL as well."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        url = _check(services, body)
        drain = store.add(session, services.vault, found, url)
        return JSONResponse(show(services, found, drain), 201)


@router.get("/apps/{app}/log-drains/{drain:path}", response_model=LogDrainObject)
def log_drain_info(app: str, drain: str, services: Use, caller: Caller) -> JSONResponse:
    """One drain, by id, token or URL."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY)
        return JSONResponse(show(services, found, _find(session, services, found, drain)))


@router.put("/apps/{app}/log-drains/{drain:path}", response_model=LogDrainObject)
@router.patch("/apps/{app}/log-drains/{drain:path}", response_model=LogDrainObject)
def log_drain_update(app: str, drain: str, body: DrainUrl, services: Use, caller: Caller) -> JSONResponse:
    """Send a drain's lines to another URL."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        url = _check(services, body)
        row = _user_drain(_find(session, services, found, drain))
        store.change(session, services.vault, row, url)
        return JSONResponse(show(services, found, row))


@router.delete("/apps/{app}/log-drains/{drain:path}", response_model=LogDrainObject)
def log_drain_delete(app: str, drain: str, services: Use, caller: Caller) -> JSONResponse:
    """Stop sending the app's log to a URL."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        row = _user_drain(_find(session, services, found, drain))
        last = show(services, found, row)
        store.remove(session, row)
    return JSONResponse(last)


def show(services: Services, app: App, drain: LogDrain) -> LogDrainObject:
    """The drain's object: what its URL has of passwords and keys is not shown."""
    return {
        "addon": {"id": str(drain.addon.id), "name": drain.addon.name} if drain.addon else None,
        "app": app_reference(app),
        "created_at": shown(drain.created_at),
        "id": str(drain.id),
        "token": drain.token,
        "updated_at": shown(drain.updated_at),
        "url": log_drains.shown(store.url_of(services.vault, drain)),
    }


def _check(services: Services, body: DrainUrl) -> str:
    return log_drains.check(body.url, services.reach)


def _find(session: Session, services: Services, app: App, reference: str) -> LogDrain:
    # The router in front may have decoded the URL in the path already, or not.
    wanted = {reference, unquote(reference)}
    drains = [(drain, store.url_of(services.vault, drain)) for drain in store.of_app(session, app.id)]
    for drain, url in drains:
        if {str(drain.id), drain.token, url} & wanted:
            return drain
    as_shown = [drain for drain, url in drains if log_drains.shown(url) in wanted]
    if len(as_shown) == 1:
        return as_shown[0]
    raise not_found("log drain", "log_drain")


def _user_drain(drain: LogDrain) -> LogDrain:
    if drain.addon is not None:
        raise InvalidInputError(f"This drain belongs to the add-on {drain.addon.name}, which alone can change it")
    return drain
