"""Teams, their members and invitations."""

import uuid
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import teams
from dynoform.domain.teams import Role
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, App, Collaborator, Pipeline, Team, TeamInvitation, TeamMember

MAXIMUM_MEMBERS = 1000
MAXIMUM_TEAMS = 200
"""Teams of which one account is a member."""


class Membership(NamedTuple):
    """A team as one account sees it."""

    team: Team
    role: Role


def create(session: Session, founder: Account, name: str) -> Membership:
    """A new team, whose founder is its first admin. Raises ``InvalidInputError`` for a name that cannot be had."""
    count = select(func.count()).select_from(TeamMember).where(TeamMember.account_id == founder.id)
    if (session.scalar(count) or 0) >= MAXIMUM_TEAMS:
        raise InvalidInputError(f"An account can be in {MAXIMUM_TEAMS} teams")
    team = Team(id=uuid.uuid4(), name=teams.check_name(name))
    try:
        with session.begin_nested():
            session.add(team)
    except IntegrityError:
        raise teams.name_taken(name) from None
    session.add(TeamMember(team_id=team.id, account_id=founder.id, role=Role.ADMIN))
    session.flush()
    return Membership(team, Role.ADMIN)


def find(session: Session, account: Account, reference: str, *, lock: bool = False) -> Membership | None:
    """The team with this id or name, if the account is in it; locked until the transaction ends if asked for."""
    identifier = parse_id(reference)
    if identifier is None and (len(reference) > teams.MAXIMUM_LENGTH or "\0" in reference):
        return None
    condition = Team.id == identifier if identifier else Team.name == reference
    mine = (TeamMember.team_id == Team.id) & (TeamMember.account_id == account.id)
    query = select(Team, TeamMember.role).join(TeamMember, mine).where(condition)
    row = session.execute(query.with_for_update(of=Team) if lock else query).one_or_none()
    return Membership(row[0], Role(row[1])) if row else None


def rename(session: Session, team: Team, name: str) -> None:
    """Give the team another name. Raises ``InvalidInputError`` as ``create`` does."""
    teams.check_name(name)
    try:
        with session.begin_nested():
            team.name = name
    except IntegrityError:
        raise teams.name_taken(name) from None


def remove(session: Session, team: Team) -> None:
    """Delete the (locked) team. Raises ``InvalidInputError`` while it has apps or pipelines."""
    app = session.scalar(select(App.name).where(App.team_id == team.id).limit(1))
    if app is not None:
        raise InvalidInputError(f"Team {team.name} owns {app}: delete or transfer its apps first")
    pipeline = session.scalar(select(Pipeline.name).where(Pipeline.owner_id == team.id).limit(1))
    if pipeline is not None:
        raise InvalidInputError(
            f"Team {team.name} owns the pipeline {pipeline}: delete or transfer its pipelines first"
        )
    session.delete(team)
    session.flush()


def member(session: Session, team: Team, account: Account) -> TeamMember | None:
    """The account's membership."""
    query = select(TeamMember).where(TeamMember.team_id == team.id, TeamMember.account_id == account.id)
    return session.scalars(query).one_or_none()


def set_member(session: Session, team: Team, account: Account, role: Role) -> TeamMember:
    """Add the account, or give it another role; an invitation is done with. The team must be locked.

    Raises ``InvalidInputError`` when no admin would be left, or when there are too many members.
    """
    found = member(session, team, account)
    if found is None:
        count = select(func.count()).select_from(TeamMember).where(TeamMember.team_id == team.id)
        if (session.scalar(count) or 0) >= MAXIMUM_MEMBERS:
            raise InvalidInputError(f"A team can have {MAXIMUM_MEMBERS} members")
        found = TeamMember(id=uuid.uuid4(), team_id=team.id, account_id=account.id)
        session.add(found)
    elif role is not Role.ADMIN:
        keep_an_admin(session, team, account)
    found.role = role
    own = (TeamInvitation.team_id == team.id, TeamInvitation.account_id == account.id)
    session.execute(delete(TeamInvitation).where(*own))
    session.flush()
    session.refresh(found)
    return found


def remove_member(session: Session, team: Team, found: TeamMember) -> None:
    """End a membership, and the member's shares of the team's apps with it. The team must be locked."""
    keep_an_admin(session, team, found.account)
    apps = select(App.id).where(App.team_id == team.id)
    shares = (Collaborator.account_id == found.account_id, Collaborator.app_id.in_(apps))
    session.execute(delete(Collaborator).where(*shares))
    session.delete(found)
    session.flush()


def leads_alone(session: Session, team: Team, account: Account) -> bool:
    """Whether the account is the only admin of the team."""
    admins = select(TeamMember.account_id).where(TeamMember.team_id == team.id, TeamMember.role == Role.ADMIN)
    return session.scalars(admins).all() == [account.id]


def keep_an_admin(session: Session, team: Team, leaving: Account) -> None:
    """Raise ``InvalidInputError`` when the team would have no admin without this one."""
    if leads_alone(session, team, leaving):
        raise InvalidInputError(f"Team {team.name} needs an admin: make somebody else one first")


def invite(session: Session, team: Team, account: Account, inviter: Account, role: Role) -> TeamInvitation:
    """Ask the account to join, or change what it was asked. Raises ``InvalidInputError`` for a member."""
    if member(session, team, account) is not None:
        raise InvalidInputError(f"{account.email} is already a member of {team.name}")
    query = select(TeamInvitation).where(TeamInvitation.team_id == team.id, TeamInvitation.account_id == account.id)
    found = session.scalars(query).one_or_none()
    if found is None:
        found = TeamInvitation(id=uuid.uuid4(), team_id=team.id, account_id=account.id)
        session.add(found)
    found.role, found.invited_by_id = role, inviter.id
    session.flush()
    session.refresh(found)
    return found
