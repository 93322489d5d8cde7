"""Apps of teams: made there, brought there, locked, and given away."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from dynoform.api import apps, ranges
from dynoform.api.apps import AppObject, NewApp, RangeHeader, find_row
from dynoform.api.authentication import Caller
from dynoform.api.collaborators import find_team_app
from dynoform.api.errors import forbidden
from dynoform.api.services import Services, Use
from dynoform.api.teams import find_team
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import accounts, collaborators
from dynoform.store import apps as store
from dynoform.store import teams as team_store
from dynoform.store.apps import AppRow
from dynoform.store.tables import Account, App, Release, Team

router = APIRouter(tags=["team apps"])
_FIELDS: ranges.Fields = {"name": App.name, "id": App.id}
Reference = Annotated[str | None, Field(max_length=300)]


class TeamAppObject(AppObject):
    """https://devcenter.heroku.com/articles/platform-api-reference#team-app."""

    joined: bool
    locked: bool


class NewTeamApp(NewApp):
    """Body of create; without ``team``, or with ``personal``, the app is the caller's own."""

    locked: bool | None = None
    personal: bool | None = None
    team: Reference = None


class TeamAppChange(BaseModel):
    """Body of update: lock, or give to another owner, who is a team's name or somebody's e-mail address."""

    model_config = ConfigDict(strict=True)
    locked: bool | None = None
    owner: Reference = None


@router.get("/teams/apps", response_model=list[TeamAppObject])
def team_app_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The apps of all teams that the caller may see."""
    return _list(services, caller, App.team_id.is_not(None), wanted)


@router.post("/teams/apps", status_code=201, response_model=TeamAppObject)
def team_app_create(services: Use, caller: Caller, body: NewTeamApp | None = None) -> JSONResponse:
    """A new app of a team."""
    with services.store.transaction() as session:
        row, made = create(session, services, caller, body or NewTeamApp())
    services.announce(row.app, made)
    return JSONResponse(show(services, row), 201)


@router.get("/teams/apps/{app}", response_model=TeamAppObject)
def team_app_info(app: str, services: Use, caller: Caller) -> JSONResponse:
    """One app of a team, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(services, find_team_app(session, caller, app)))


@router.patch("/teams/apps/{app}", response_model=TeamAppObject)
def team_app_update(app: str, body: TeamAppChange, services: Use, caller: Caller) -> JSONResponse:
    """Lock the app so that members of its team cannot join it, or give it to a team or a person."""
    with services.store.transaction() as session:
        row = find_row(session, caller, app, Permission.MANAGE)
        if body.owner is not None:
            _transfer(session, caller, row.app, body.owner)
        if body.locked is not None:
            find_team_app(session, caller, app).app.locked = body.locked
        session.flush()
        # The caller may have given it all away.
        after = store.by_reference(session, caller, app) or row._replace(joined=False)
        return JSONResponse(show(services, after))


@router.get("/teams/{team}/apps", response_model=list[TeamAppObject])
def team_app_list_by_team(team: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The team's apps that the caller may see."""
    with services.store.transaction() as session:
        found = find_team(session, caller, team).team
    return _list(services, caller, App.team_id == found.id, wanted)


def create(session: Session, services: Services, caller: Account, new: NewTeamApp) -> tuple[AppRow, list[Release]]:
    """Make the app that ``new`` asks for, of a team or the caller's own; returns it with its first releases."""
    team = _team_to_fill(session, caller, new.team) if new.team is not None and not new.personal else None
    row, made = apps.create(session, services, caller, new)
    if team is not None:
        row.app.locked = bool(new.locked)
        collaborators.founded(session, row.app, team)
    return row, made


def show(services: Services, row: AppRow) -> TeamAppObject:
    """The app's object, with what is about teams."""
    return {**apps.show(services.configuration, row), "joined": row.joined, "locked": row.app.locked}


def _list(services: Services, caller: Account, which: ColumnElement[bool], wanted: str | None) -> JSONResponse:
    query = store.with_permissions(caller).where(which)
    with services.store.transaction() as session:
        return ranges.page(
            session, query, wanted, _FIELDS, lambda *columns: show(services, store.as_row(caller, *columns))
        )


def _team_to_fill(session: Session, caller: Account, reference: str) -> Team:
    found = find_team(session, caller, reference)
    if not found.role.makes_apps:
        raise forbidden(f"You do not have access to create apps in the team {found.team.name}. Ask one of its admins.")
    return found.team


def _transfer(session: Session, caller: Account, app: App, recipient: str) -> None:
    if "@" not in recipient:
        collaborators.give_to_team(session, app, _team_to_fill(session, caller, recipient))
        return
    if app.team is None:
        raise InvalidInputError(
            "A personal app is transferred by POST /account/app-transfers: its new owner must accept"
        )
    account = accounts.find(session, recipient)
    known = account and (team_store.member(session, app.team, account) or collaborators.find(session, app, account))
    if account is None or not known:
        raise InvalidInputError(f"{recipient[:80]} has no access to {app.name}: share the app first, with access:add")
    collaborators.give_to_account(session, app, account, keep_former=False)
