"""Apps."""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import STACK, NamedObject, UserObject, fixed, shown, shown_or_none, user
from dynoform.api.services import Use
from dynoform.configuration import Configuration
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import apps as store
from dynoform.store.releases import lock_app
from dynoform.store.session import FORMATION, ROUTES, notify
from dynoform.store.tables import Account, App

router = APIRouter(tags=["apps"])
RangeHeader = Annotated[str | None, Header(alias="Range")]
"""Endpoint parameter: the page of a list."""
_FIELDS: ranges.Fields = {"id": App.id, "name": App.name}


class AppObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app."""

    acm: bool
    archived_at: str | None
    build_stack: NamedObject
    buildpack_provided_description: str | None
    create_status: str
    created_at: str
    generation: NamedObject
    git_url: str
    id: str
    internal_routing: bool | None
    maintenance: bool
    name: str
    organization: NamedObject | None
    owner: UserObject
    process_tier: str
    region: NamedObject
    released_at: str | None
    repo_size: int | None
    slug_size: int | None
    space: NamedObject | None
    stack: NamedObject
    team: NamedObject | None
    updated_at: str
    web_url: str | None


class NewApp(BaseModel):
    """Body of create; all of it may be left out."""

    model_config = ConfigDict(strict=True)
    name: str | None = None
    region: str | None = None
    stack: str | None = None


class AppChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    name: str | None = None
    maintenance: bool | None = None
    build_stack: str | None = None


@router.get("/apps", response_model=list[AppObject])
@router.get("/users/~/apps", response_model=list[AppObject])
def app_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's apps."""

    def show_row(app: App, slug_size: int | None, description: str | None) -> AppObject:
        return show(services.configuration, store.AppRow(app, slug_size, description))

    with services.store.transaction() as session:
        return ranges.page(session, store.visible_to(caller), wanted, _FIELDS, show_row)


@router.post("/apps", status_code=201, response_model=AppObject)
def app_create(services: Use, caller: Caller, body: NewApp | None = None) -> JSONResponse:
    """A new app, with its first two releases."""
    new = body or NewApp()
    _check_stack(new.stack)
    if new.region not in (None, services.configuration.stack):
        raise InvalidInputError(f"Couldn't find that region ({new.region[:40] if new.region else ''}).")
    with services.store.transaction() as session:
        owner = session.merge(caller, load=False)
        app, made = store.create_app(session, services.vault, owner, new.name, STACK)
        notify(session, ROUTES, app.id)
    services.announce(app, made)
    return JSONResponse(show(services.configuration, store.AppRow(app, None, None)), 201)


@router.get("/apps/{app}", response_model=AppObject)
def app_info(app: str, services: Use, caller: Caller) -> JSONResponse:
    """One app, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(services.configuration, find_row(session, caller, app)))


@router.patch("/apps/{app}", response_model=AppObject)
def app_update(app: str, body: AppChange, services: Use, caller: Caller) -> JSONResponse:
    """Rename the app, turn maintenance mode on or off."""
    _check_stack(body.build_stack)
    with services.store.transaction() as session:
        row = find_row(session, caller, app)
        if body.name is not None and body.name != row.app.name:
            store.rename(session, row.app, body.name)
        if body.maintenance is not None:
            row.app.maintenance = body.maintenance
        session.flush()
        _tell(session, row.app)
    return JSONResponse(show(services.configuration, row))


@router.delete("/apps/{app}", response_model=AppObject)
def app_delete(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete the app; its dynos and routes follow within seconds."""
    with services.store.transaction() as session:
        row = find_row(session, caller, app)
        shown_last = show(services.configuration, row)
        store.delete(session, row.app)
        _tell(session, row.app)
    return JSONResponse(shown_last)


def find_row(session: Session, caller: Account, reference: str, needs: Permission = Permission.VIEW) -> store.AppRow:
    """The app with this id or name. Somebody else's is answered as one that does not exist."""
    row = store.by_reference(session, caller, reference)
    if row is None:
        raise not_found("app")
    return row


def find(
    session: Session, caller: Account, reference: str, needs: Permission = Permission.VIEW, *, lock: bool = False
) -> App:
    """The app alone, if the caller has the permission that this call ``needs``.

    Locked for the rest of the transaction if asked for, so that changes to it come one by one.
    """
    app = find_row(session, caller, reference, needs).app
    if lock and lock_app(session, app.id) is None:
        raise not_found("app")
    return app


def show(configuration: Configuration, row: store.AppRow) -> AppObject:
    """The app's object."""
    app = row.app
    return {
        "acm": False,
        "archived_at": None,
        "build_stack": fixed(app.stack),
        "buildpack_provided_description": row.description,
        "create_status": "complete",
        "created_at": shown(app.created_at),
        "generation": fixed("cedar"),
        "git_url": f"https://{configuration.git_host}/{app.name}.git",
        "id": str(app.id),
        "internal_routing": None,
        "maintenance": app.maintenance,
        "name": app.name,
        "organization": None,
        "owner": user(app.owner),
        "process_tier": "production",
        "region": fixed(configuration.stack),
        "released_at": shown_or_none(app.released_at),
        "repo_size": app.repo_size,
        "slug_size": row.slug_size,
        "space": None,
        "stack": fixed(app.stack),
        "team": None,
        "updated_at": shown(app.updated_at),
        "web_url": configuration.web_url(app.name),
    }


def _tell(session: Session, app: App) -> None:
    notify(session, ROUTES, app.id)
    notify(session, FORMATION, app.id)


def _check_stack(name: Any) -> None:
    if name not in (None, STACK):
        raise InvalidInputError(f"Couldn't find that stack ({name[:40]}). Available stacks are: {STACK}.")
