"""Members of a team, and those who were asked to be.

There is no mail here: admins add members at once, and an invitation is accepted by who was invited, by its id.
"""

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
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, shown
from dynoform.api.objects import team as team_reference
from dynoform.api.services import Use
from dynoform.api.teams import find_seen_team, find_team
from dynoform.domain import teams
from dynoform.store import accounts
from dynoform.store import teams as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Team, TeamInvitation, TeamMember

router = APIRouter(tags=["team members"])
_FIELDS: ranges.Fields = {"id": TeamMember.id}
_INVITATION_FIELDS: ranges.Fields = {"id": TeamInvitation.id}


class NamedUser(TypedDict):
    """An account, with its person's name."""

    email: str
    id: str
    name: str | None


class MemberObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#team-member."""

    created_at: str
    email: str
    federated: bool
    id: str
    identity_provider: NamedObject | None
    role: str
    two_factor_authentication: bool
    updated_at: str
    user: NamedUser


class InvitationObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#team-invitation."""

    created_at: str
    id: str
    invited_by: NamedUser
    role: str
    team: NamedObject
    updated_at: str
    user: NamedUser


class Member(BaseModel):
    """Body of create, update and invite. A new address gets an account of its own."""

    model_config = ConfigDict(strict=True)
    email: Annotated[str, Field(max_length=300)]
    role: Annotated[str, Field(max_length=40)]
    federated: bool | None = None


@router.get("/teams/{team}/members", response_model=list[MemberObject])
def member_list(team: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The team's members."""
    with services.store.transaction() as session:
        found = find_seen_team(session, caller, team).team
        query = select(TeamMember).where(TeamMember.team_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.post("/teams/{team}/members", status_code=201, response_model=MemberObject)
def member_create(team: str, body: Member, services: Use, caller: Caller) -> JSONResponse:
    """Add a member, or give one another role."""
    with services.store.transaction() as session:
        return JSONResponse(_set(session, caller, team, body), 201)


@router.put("/teams/{team}/members", response_model=MemberObject)
def member_create_or_update(team: str, body: Member, services: Use, caller: Caller) -> JSONResponse:
    """Add a member, or give one another role."""
    with services.store.transaction() as session:
        return JSONResponse(_set(session, caller, team, body))


@router.patch("/teams/{team}/members", response_model=MemberObject)
def member_update(team: str, body: Member, services: Use, caller: Caller) -> JSONResponse:
    """Give a member another role."""
    with services.store.transaction() as session:
        found = find_team(session, caller, team, admin=True).team
        account = _find(session, found, body.email).account
        return JSONResponse(show(store.set_member(session, found, account, teams.role(body.role))))


@router.delete("/teams/{team}/members/{member}", response_model=MemberObject)
def member_delete(team: str, member: str, services: Use, caller: Caller) -> JSONResponse:
    """Remove a member, with all their shares of the team's apps. Everybody may leave."""
    leaving = member.lower() in (caller.email, str(caller.id))
    with services.store.transaction() as session:
        found = find_team(session, caller, team, admin=not leaving).team
        session.refresh(found, with_for_update=True)
        removed = _find(session, found, member)
        shown_last = show(removed)
        store.remove_member(session, found, removed)
    return JSONResponse(shown_last)


@router.get("/teams/{team}/invitations", response_model=list[InvitationObject])
def invitation_list(team: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The invitations that were not answered."""
    with services.store.transaction() as session:
        found = find_seen_team(session, caller, team).team
        query = select(TeamInvitation).where(TeamInvitation.team_id == found.id)
        return ranges.page(session, query, wanted, _INVITATION_FIELDS, show_invitation)


@router.put("/teams/{team}/invitations", response_model=InvitationObject)
def invitation_create(team: str, body: Member, services: Use, caller: Caller) -> JSONResponse:
    """Ask somebody to join, or change the role that they were offered."""
    with services.store.transaction() as session:
        found, role = find_team(session, caller, team, admin=True).team, teams.role(body.role)
        account = accounts.find_or_make(session, body.email)
        return JSONResponse(show_invitation(store.invite(session, found, account, caller, role)))


@router.delete("/teams/{team}/invitations/{invitation}", response_model=InvitationObject)
def invitation_revoke(team: str, invitation: str, services: Use, caller: Caller) -> JSONResponse:
    """Take an invitation back, by its id or by who was invited."""
    with services.store.transaction() as session:
        found = find_team(session, caller, team, admin=True).team
        revoked = _invitation(session, found, invitation)
        session.delete(revoked)
        return JSONResponse(show_invitation(revoked))


@router.get("/teams/invitations/{invitation}", response_model=InvitationObject)
def invitation_info(invitation: str, services: Use, caller: Caller) -> JSONResponse:
    """An invitation of the caller, by its id."""
    with services.store.transaction() as session:
        return JSONResponse(show_invitation(_own_invitation(session, caller, invitation)))


@router.post("/teams/invitations/{invitation}/accept", status_code=201, response_model=MemberObject)
def invitation_accept(invitation: str, services: Use, caller: Caller) -> JSONResponse:
    """Join the team, as the caller was asked to."""
    with services.store.transaction() as session:
        found = _own_invitation(session, caller, invitation)
        team = session.get_one(Team, found.team_id, with_for_update=True)
        return JSONResponse(show(store.set_member(session, team, caller, teams.role(found.role))), 201)


def show(member: TeamMember) -> MemberObject:
    """The member's object."""
    return {
        "created_at": shown(member.created_at),
        "email": member.account.email,
        "federated": False,
        "id": str(member.id),
        "identity_provider": None,
        "role": member.role,
        "two_factor_authentication": False,
        "updated_at": shown(member.updated_at),
        "user": _named(member.account),
    }


def show_invitation(invitation: TeamInvitation) -> InvitationObject:
    """The invitation's object."""
    return {
        "created_at": shown(invitation.created_at),
        "id": str(invitation.id),
        "invited_by": _named(invitation.invited_by),
        "role": invitation.role,
        "team": team_reference(invitation.team),
        "updated_at": shown(invitation.updated_at),
        "user": _named(invitation.account),
    }


def _named(account: Account) -> NamedUser:
    return {"email": account.email, "id": str(account.id), "name": account.name}


def _set(session: Session, caller: Account, reference: str, body: Member) -> MemberObject:
    team, role = find_team(session, caller, reference, admin=True).team, teams.role(body.role)
    return show(store.set_member(session, team, accounts.find_or_make(session, body.email), role))


def _find(session: Session, team: Team, reference: str) -> TeamMember:
    account = accounts.find(session, reference)
    found = store.member(session, team, account) if account else None
    if found is None:
        raise not_found("member", "team_member")
    return found


def _invitation(session: Session, team: Team, reference: str) -> TeamInvitation:
    account, identifier = accounts.find(session, reference), parse_id(reference)
    who = TeamInvitation.account_id == account.id if account else TeamInvitation.id == identifier
    found = session.scalars(select(TeamInvitation).where(TeamInvitation.team_id == team.id, who)).one_or_none()
    if found is None:
        raise not_found("invitation", "team_invitation")
    return found


def _own_invitation(session: Session, caller: Account, reference: str) -> TeamInvitation:
    identifier = parse_id(reference)
    found = session.get(TeamInvitation, identifier) if identifier else None
    if found is None or found.account_id != caller.id:
        raise not_found("invitation", "team_invitation")
    return found
