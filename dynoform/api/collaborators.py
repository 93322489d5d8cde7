"""Collaborators: who else may do what with an app."""

import uuid
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find_row, owner, require
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Use
from dynoform.domain import permissions, webhooks
from dynoform.domain.permissions import ALL, SHARED, Permission
from dynoform.domain.teams import Role
from dynoform.errors import InvalidInputError
from dynoform.store import accounts
from dynoform.store import collaborators as store
from dynoform.store.apps import AppRow
from dynoform.store.tables import Account, App, Collaborator, TeamMember
from dynoform.store.webhooks import publish

router = APIRouter(tags=["collaborators"])
_FIELDS = ("id",)


class PermissionObject(TypedDict):
    """A permission within a collaborator."""

    description: str
    name: str


class CollaboratingUser(TypedDict):
    """Who collaborates."""

    email: str
    federated: bool
    id: str


class CollaboratorObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#collaborator."""

    app: NamedObject
    created_at: str
    id: str
    permissions: list[PermissionObject]
    role: str | None
    updated_at: str
    user: CollaboratingUser


class NewCollaborator(BaseModel):
    """Body of create: an account's e-mail address or id. A new address gets an account of its own."""

    model_config = ConfigDict(strict=True)
    user: Annotated[str, Field(max_length=300)]
    silent: bool | None = None


class CollaboratorChange(BaseModel):
    """Body of update; ``view`` goes without saying."""

    model_config = ConfigDict(strict=True)
    permissions: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=20)]


class NewTeamCollaborator(NewCollaborator):
    """Body of create for a team's app; without ``permissions`` all but ``manage``."""

    permissions: Annotated[list[Annotated[str, Field(max_length=100)]] | None, Field(max_length=20)] = None


@router.get("/apps/{app}/collaborators", response_model=list[CollaboratorObject])
@router.get("/teams/apps/{app}/collaborators", response_model=list[CollaboratorObject])
def collaborator_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """Everybody with a share of the app, the owner first."""
    with services.store.transaction() as session:
        found = find_row(session, caller, app).app
        rows = session.execute(_shares(found).order_by(Collaborator.created_at, Collaborator.id))
        return ranges.cut([show_owner(found), *(show(found, *row) for row in rows)], wanted, _FIELDS)


@router.post("/apps/{app}/collaborators", status_code=201, response_model=CollaboratorObject)
def collaborator_create(app: str, body: NewCollaborator, services: Use, caller: Caller) -> JSONResponse:
    """Share the app: all but managing it."""
    with services.store.transaction() as session:
        row = find_row(session, caller, app, Permission.MANAGE)
        store.add(session, row.app, accounts.find_or_make(session, body.user), SHARED)
        return JSONResponse(_told(session, row.app, body.user, webhooks.CREATE, caller), 201)


@router.post("/teams/apps/{app}/collaborators", status_code=201, response_model=CollaboratorObject)
def team_collaborator_create(app: str, body: NewTeamCollaborator, services: Use, caller: Caller) -> JSONResponse:
    """Share a team's app, with chosen permissions. A member of the team may join by sharing it with themself."""
    with services.store.transaction() as session:
        row = find_team_app(session, caller, app)
        joins = body.user.lower() in (caller.email, str(caller.id)) and body.permissions is None
        if not joins or not _may_join(session, row.app, caller):
            require(row, Permission.MANAGE)
        account = accounts.find_or_make(session, body.user)
        granted = SHARED if body.permissions is None else permissions.grant(body.permissions)
        store.add(session, row.app, account, granted)
        return JSONResponse(_told(session, row.app, body.user, webhooks.CREATE, caller), 201)


@router.get("/apps/{app}/collaborators/{collaborator}", response_model=CollaboratorObject)
@router.get("/teams/apps/{app}/collaborators/{collaborator}", response_model=CollaboratorObject)
def collaborator_info(app: str, collaborator: str, services: Use, caller: Caller) -> JSONResponse:
    """One collaborator, by e-mail address or the account's id."""
    with services.store.transaction() as session:
        return JSONResponse(_one(session, find_row(session, caller, app).app, collaborator))


@router.patch("/teams/apps/{app}/collaborators/{collaborator}", response_model=CollaboratorObject)
def team_collaborator_update(
    app: str, collaborator: str, body: CollaboratorChange, services: Use, caller: Caller
) -> JSONResponse:
    """Give a collaborator on a team's app other permissions."""
    with services.store.transaction() as session:
        row = find_team_app(session, caller, app)
        require(row, Permission.MANAGE)
        before = _one(session, row.app, collaborator)["permissions"]
        _find(session, row.app, collaborator).permissions = sorted(permissions.grant(body.permissions))
        session.flush()
        previous = {"permissions": before}
        return JSONResponse(_told(session, row.app, collaborator, webhooks.UPDATE, caller, previous))


@router.delete("/apps/{app}/collaborators/{collaborator}", response_model=CollaboratorObject)
@router.delete("/teams/apps/{app}/collaborators/{collaborator}", response_model=CollaboratorObject)
def collaborator_delete(app: str, collaborator: str, services: Use, caller: Caller) -> JSONResponse:
    """End a share of the app, at once. Everybody may end their own."""
    with services.store.transaction() as session:
        row = find_row(session, caller, app)
        if collaborator.lower() not in (caller.email, str(caller.id)):
            require(row, Permission.MANAGE)
        if _is_owner(row.app, collaborator):
            raise InvalidInputError(
                f"{owner(row.app)['email']} owns {row.app.name}: transfer or delete the app instead"
            )
        shown_last = _told(session, row.app, collaborator, webhooks.DESTROY, caller)
        session.delete(_find(session, row.app, collaborator))
    return JSONResponse(shown_last)


def find_team_app(session: Session, caller: Account, reference: str) -> AppRow:
    """The app with this id or name, if a team owns it; a personal one is answered as one that does not exist."""
    row = find_row(session, caller, reference)
    if row.app.team_id is None:
        raise not_found("app")
    return row


def show(app: App, collaborator: Collaborator, role: str | None) -> CollaboratorObject:
    """The collaborator's object; ``role`` is theirs in the app's team."""
    account = collaborator.account
    return {
        "app": app_reference(app),
        "created_at": shown(collaborator.created_at),
        "id": str(collaborator.id),
        "permissions": describe(collaborator.permissions),
        "role": role or Role.COLLABORATOR,
        "updated_at": shown(collaborator.updated_at),
        "user": {"email": account.email, "federated": False, "id": str(account.id)},
    }


def show_owner(app: App) -> CollaboratorObject:
    """The owner, as the collaborator that Heroku shows it as."""
    shown_owner = owner(app)
    return {
        "app": app_reference(app),
        "created_at": shown(app.created_at),
        "id": str(uuid.uuid5(app.id, shown_owner["id"])),
        "permissions": describe(ALL),
        "role": "owner",
        "updated_at": shown(app.created_at),
        "user": {"email": shown_owner["email"], "federated": False, "id": shown_owner["id"]},
    }


def describe(held: "list[str] | frozenset[Permission]") -> list[PermissionObject]:
    """Permissions with what they are for, in their order."""
    return [{"description": permissions.DESCRIPTIONS[each], "name": each} for each in Permission if each in held]


def _shares(app: App) -> Select[Collaborator, str]:
    role = (TeamMember.team_id == app.team_id) & (TeamMember.account_id == Collaborator.account_id)
    query = select(Collaborator, TeamMember.role).outerjoin(TeamMember, role)
    return query.where(Collaborator.app_id == app.id)


def _is_owner(app: App, reference: str) -> bool:
    return reference.lower() in owner(app).values()


def _one(session: Session, app: App, reference: str) -> CollaboratorObject:
    if _is_owner(app, reference):
        return show_owner(app)
    found = _find(session, app, reference)
    return show(app, *session.execute(_shares(app).where(Collaborator.id == found.id)).one())


def _told(
    session: Session,
    app: App,
    reference: str,
    action: str,
    caller: Account,
    previous: Mapping[str, object] | None = None,
) -> CollaboratorObject:
    """The collaborator, of whom the app's webhooks are told."""
    found = _one(session, app, reference)
    publish(session, app.id, "api:collaborator", action, {**found}, previous, caller)
    return found


def _find(session: Session, app: App, reference: str) -> Collaborator:
    account = accounts.find(session, reference)
    found = store.find(session, app, account) if account else None
    if found is None:
        raise not_found("collaborator")
    return found


def _may_join(session: Session, app: App, caller: Account) -> bool:
    query = select(TeamMember.role).where(TeamMember.team_id == app.team_id, TeamMember.account_id == caller.id)
    role = session.scalar(query)
    return role is not None and Role(role).makes_apps and not app.locked
