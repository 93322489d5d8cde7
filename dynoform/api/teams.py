"""Teams: people who own apps together."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.collaborators import PermissionObject, describe
from dynoform.api.errors import forbidden, not_found
from dynoform.api.objects import NamedObject, shown
from dynoform.api.services import Use
from dynoform.domain.permissions import ALL
from dynoform.domain.teams import Role
from dynoform.store import teams as store
from dynoform.store.tables import Account, Team, TeamMember
from dynoform.store.teams import Membership

router = APIRouter(tags=["teams"])
_FIELDS: ranges.Fields = {"name": Team.name, "id": Team.id}


class TeamObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#team."""

    created_at: str
    credit_card_collections: bool
    default: bool
    enterprise_account: NamedObject | None
    id: str
    identity_provider: NamedObject | None
    membership_limit: int | None
    name: str
    provisioned_licenses: bool
    role: str
    type: str
    updated_at: str


class TeamName(BaseModel):
    """Body of create and of update."""

    model_config = ConfigDict(strict=True)
    name: Annotated[str, Field(max_length=100)]


@router.get("/teams", response_model=list[TeamObject])
def team_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's teams."""

    def show_row(team: Team, role: str) -> TeamObject:
        return show(Membership(team, Role(role)))

    mine = (TeamMember.team_id == Team.id) & (TeamMember.account_id == caller.id)
    with services.store.transaction() as session:
        return ranges.page(session, select(Team, TeamMember.role).join(TeamMember, mine), wanted, _FIELDS, show_row)


@router.post("/teams", status_code=201, response_model=TeamObject)
def team_create(body: TeamName, services: Use, caller: Caller) -> JSONResponse:
    """A new team, whose first admin is the caller."""
    with services.store.transaction() as session:
        return JSONResponse(show(store.create(session, caller, body.name)), 201)


@router.get("/teams/permissions", response_model=list[PermissionObject])
def team_permission_list(caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The permissions that there are on a team's app."""
    return ranges.cut(describe(ALL), wanted, ("name",))


@router.get("/teams/{team}", response_model=TeamObject)
def team_info(team: str, services: Use, caller: Caller) -> JSONResponse:
    """One of the caller's teams, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(find_team(session, caller, team)))


@router.patch("/teams/{team}", response_model=TeamObject)
def team_update(team: str, body: TeamName, services: Use, caller: Caller) -> JSONResponse:
    """Rename the team."""
    with services.store.transaction() as session:
        found = find_team(session, caller, team, admin=True)
        store.rename(session, found.team, body.name)
        return JSONResponse(show(found))


@router.delete("/teams/{team}", response_model=TeamObject)
def team_delete(team: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete the team, which must have no apps any more."""
    with services.store.transaction() as session:
        found = find_team(session, caller, team, admin=True)
        shown_last = show(found)
        store.remove(session, found.team)
    return JSONResponse(shown_last)


def find_team(session: Session, caller: Account, reference: str, *, admin: bool = False) -> Membership:
    """The team with this id or name. One that the caller is not in is answered as one that does not exist.

    ``admin``: only an admin may; the team is then locked, so that changes to it come one by one.
    """
    found = store.find(session, caller, reference, lock=admin)
    if found is None:
        raise not_found("team")
    if admin and found.role is not Role.ADMIN:
        raise forbidden(
            f"You do not have access to manage the team {found.team.name}. You need to be one of its admins."
        )
    return found


def find_seen_team(session: Session, caller: Account, reference: str) -> Membership:
    """``find_team`` for who may see its people and invitations: not for collaborators on single apps."""
    found = find_team(session, caller, reference)
    if not found.role.sees_team:
        raise forbidden(f"You do not have access to the team {found.team.name}. You need to be one of its members.")
    return found


def show(membership: Membership) -> TeamObject:
    """The team's object, as one account sees it."""
    team = membership.team
    return {
        "created_at": shown(team.created_at),
        "credit_card_collections": False,
        "default": False,
        "enterprise_account": None,
        "id": str(team.id),
        "identity_provider": None,
        "membership_limit": None,
        "name": team.name,
        "provisioned_licenses": False,
        "role": membership.role,
        "type": "team",
        "updated_at": shown(team.updated_at),
    }
