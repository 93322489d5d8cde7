"""Apps."""

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.authentication import Caller
from dynoform.api.errors import forbidden, not_found
from dynoform.api.objects import NamedObject, UserObject, fixed
from dynoform.api.services import Services, Use
from dynoform.configuration import Configuration
from dynoform.domain import stacks, webhooks
from dynoform.domain.permissions import Permission
from dynoform.domain.placement import COMMON
from dynoform.errors import InvalidInputError
from dynoform.store import addons, hosts, snapshots
from dynoform.store import apps as store
from dynoform.store.releases import lock_app
from dynoform.store.session import FORMATION, ROUTES, notify
from dynoform.store.tables import Account, App, Release
from dynoform.store.webhooks import publish

router = APIRouter(tags=["apps"])
RangeHeader = Annotated[str | None, Header(alias="Range")]
"""Endpoint parameter: the page of a list."""
_FIELDS: ranges.Fields = {"id": App.id, "name": App.name}
_CHANGEABLE: tuple[Literal["name", "maintenance"], ...] = ("name", "maintenance")


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
    space: str | None = None
    stack: str | None = None


class AppChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    name: str | None = None
    maintenance: bool | None = None
    build_stack: str | None = None


@router.get("/apps", response_model=list[AppObject])
def app_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's apps, those that were shared, those of the caller's teams."""
    return _list(services, store.visible_to(caller), wanted)


@router.get("/users/~/apps", response_model=list[AppObject])
def app_list_owned_and_collaborated(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's apps and those that were shared, without those of teams."""
    return _list(services, store.visible_to(caller).where(App.team_id.is_(None)), wanted)


@router.post("/apps", status_code=201, response_model=AppObject)
def app_create(services: Use, caller: Caller, body: NewApp | None = None) -> JSONResponse:
    """A new app, with its first two releases."""
    new = body or NewApp()
    with services.store.transaction() as session:
        row, made = create(session, services, caller, new)
    services.announce(row.app, made)
    return JSONResponse(show(services.configuration, row), 201)


@router.get("/apps/{app}", response_model=AppObject)
def app_info(app: str, services: Use, caller: Caller) -> JSONResponse:
    """One app, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(services.configuration, find_row(session, caller, app)))


@router.patch("/apps/{app}", response_model=AppObject)
def app_update(app: str, body: AppChange, services: Use, caller: Caller) -> JSONResponse:
    """Rename the app, turn maintenance mode on or off, choose the stack of its next deploy."""
    stack = None if body.build_stack is None else stack_name(body.build_stack)
    with services.store.transaction() as session:
        row = find_row(session, caller, app)
        if body.name is not None:
            require(row, Permission.MANAGE)
        if body.maintenance is not None or body.build_stack is not None:
            require(row, Permission.OPERATE)
        before = show(services.configuration, row)
        if body.name is not None and body.name != row.app.name:
            store.rename(session, row.app, body.name)
        if body.maintenance is not None:
            row.app.maintenance = body.maintenance
        if stack is not None:
            _choose_stack(row, stack)
        session.flush()
        _tell(session, row.app)
        after = show(services.configuration, row)
        changed: dict[str, Any] = {key: before[key] for key in _CHANGEABLE if before[key] != after[key]}
        if changed:
            publish(session, row.app.id, "api:app", webhooks.UPDATE, after, changed, caller)
    return JSONResponse(after)


@router.delete("/apps/{app}", response_model=AppObject)
def app_delete(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete the app; its dynos and routes follow within seconds, its add-ons as soon as their providers let them."""
    with services.store.transaction() as session:
        row = find_row(session, caller, app, Permission.MANAGE)
        if lock_app(session, row.app.id) is None:
            raise not_found("app")
        shown_last = show(services.configuration, row)
        publish(session, row.app.id, "api:app", webhooks.DESTROY, shown_last, actor=caller)
        made = addons.abandon(session, services.vault, row.app, caller.id)
        store.delete(session, row.app)
        _tell(session, row.app)
    for other, release in made:
        services.announce(other, [release])
    return JSONResponse(shown_last)


def create(session: Session, services: Services, caller: Account, new: NewApp) -> tuple[store.AppRow, list[Release]]:
    """Make the app that ``new`` asks for, the caller's own; returns it with its first releases."""
    if new.region not in (None, services.configuration.stack):
        raise InvalidInputError(f"Couldn't find that region ({new.region[:40] if new.region else ''}).")
    stack = stacks.DEFAULT if new.stack is None else stack_name(new.stack)
    owner = session.merge(caller, load=False)
    runtime = COMMON if new.space is None else _runtime(session, new.space)
    app, made = store.create_app(session, services.vault, owner, new.name, stack)
    app.runtime = runtime
    notify(session, ROUTES, app.id)
    return store.AppRow(app, None, None), made


def find_row(session: Session, caller: Account, reference: str, needs: Permission = Permission.VIEW) -> store.AppRow:
    """The app with this id or name, if the caller has the permission that this call ``needs``.

    One that the caller may not even see is answered as one that does not exist (404), else it is 403.
    """
    row = store.by_reference(session, caller, reference)
    if row is None:
        raise not_found("app")
    require(row, needs)
    return row


def require(row: store.AppRow, needs: Permission) -> None:
    """Raise ``ApiError`` 403 when the caller of ``find_row`` lacks a permission."""
    if needs not in row.permissions:
        raise forbidden(
            f"You do not have access to the app {row.app.name}. You need to have the {needs} permission on this app."
        )


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
    return cast("AppObject", snapshots.app(configuration, row.app, row.slug_size, row.description))


def owner(app: App) -> UserObject:
    """Who owns the app: a person, or a team under the address that Heroku gives to it."""
    return cast("UserObject", snapshots.owner(app))


def _list(services: Services, query: Select[App, int, str | None], wanted: str | None) -> JSONResponse:
    def show_row(app: App, slug_size: int | None, description: str | None) -> AppObject:
        return show(services.configuration, store.AppRow(app, slug_size, description))

    with services.store.transaction() as session:
        return ranges.page(session, query, wanted, _FIELDS, show_row)


def _choose_stack(row: store.AppRow, stack: str) -> None:
    """Make the next deploy one for ``stack``; an app that was never deployed changes over at once, as on Heroku."""
    if row.slug_size is None:
        row.app.stack = stack
    row.app.build_stack = stack if stack != row.app.stack else None


def _tell(session: Session, app: App) -> None:
    notify(session, ROUTES, app.id)
    notify(session, FORMATION, app.id)


def _runtime(session: Session, reference: str) -> str:
    """The private runtime that is the space with this name or id."""
    for name in hosts.private_runtimes(session):
        if reference in (name, fixed(name)["id"]):
            return name
    raise InvalidInputError(f"Couldn't find that space ({reference[:40]}). heroku spaces lists those that there are.")


def stack_name(reference: str) -> str:
    """The stack with this name or id."""
    return stacks.check(next((name for name in stacks.ALL if fixed(name)["id"] == reference), reference))
