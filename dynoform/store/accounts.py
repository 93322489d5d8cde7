"""Accounts: finding and making them, their passwords, the operator's."""

import hmac
import secrets
import uuid
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import emails
from dynoform.domain.teams import Role
from dynoform.errors import ConfigurationError, ConflictError, InvalidInputError, NotFoundError
from dynoform.store import pipelines
from dynoform.store.apps import parse_id
from dynoform.store.authorizations import hint, live
from dynoform.store.passwords import hash_password, verify_password
from dynoform.store.secrets import digest
from dynoform.store.tables import (
    Account,
    App,
    AppTransfer,
    Authorization,
    Collaborator,
    Key,
    OAuthClient,
    Team,
    TeamInvitation,
    TeamMember,
    now,
)
from dynoform.store.teams import keep_an_admin, leads_alone, set_member

OPERATOR = "Dynoform operator"
"""Description of the authorization that the stack's ``operator_api_key`` is for."""
ONE_TIME_LIFETIME = timedelta(days=7)
_PERSONAL = (Authorization, Key, OAuthClient, TeamMember, Collaborator)


def ensure_operator(session: Session, email: str, token: str) -> Account:
    """Make the operator's account and authorization, or bring them up to date: a changed token replaces the old.

    The token is the operator's password too: ``heroku auth:login -i`` takes it with the e-mail address.
    Raises ``ConfigurationError`` when another account has that address.
    """
    address = emails.check(email)
    named = find(session, address)
    account = (
        session.scalars(select(Account).where(Account.operator)).one_or_none() or named or Account(id=uuid.uuid4())
    )
    if named is not None and named is not account:
        raise ConfigurationError(
            f"email {address}", "belongs to another account of this platform", "choose another, or delete that account"
        )
    account.email, account.operator = address, True
    session.add(account)
    session.flush()
    own = (Authorization.account_id == account.id, Authorization.api_key)
    authorization = session.scalars(select(Authorization).where(*own)).one_or_none()
    if authorization is None:
        authorization = Authorization(account=account, description=OPERATOR, api_key=True)
        session.add(authorization)
    authorization.token_digest, authorization.token_hint = digest(token), hint(token)
    session.flush()
    return account


def account_of(session: Session, token: str) -> Account | None:
    """Whose token it is, if it is valid now; its scopes are not looked at."""
    authorization = live(session, token)
    return authorization.account if authorization else None


def find(session: Session, reference: str) -> Account | None:
    """The account with this id or e-mail address, unless it was deleted."""
    identifier = parse_id(reference)
    if identifier is None and (len(reference) > emails.MAXIMUM_LENGTH or "\0" in reference):
        return None
    condition = Account.id == identifier if identifier else Account.email == reference.lower()
    return session.scalars(select(Account).where(condition, Account.deleted_at.is_(None))).one_or_none()


def find_or_make(session: Session, reference: str) -> Account:
    """The account with this id or e-mail address; a new address gets an account, which nobody can open yet.

    Raises ``NotFoundError`` for an unknown id, ``InvalidInputError`` for what is no address.
    """
    account = find(session, reference)
    if account is not None:
        return account
    if parse_id(reference):
        raise NotFoundError("Couldn't find that user.", resource="user")
    made = Account(email=emails.check(reference))
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise ConflictError("account", "was made by another call just now", "try again") from None
    return made


def give_one_time_password(session: Session, account: Account) -> str:
    """A password that opens the account once, within ``ONE_TIME_LIFETIME``; any that it had is void."""
    password = secrets.token_urlsafe(18)
    account.password = None
    account.one_time_digest = digest(password)
    account.one_time_expires_at = now() + ONE_TIME_LIFETIME
    session.flush()
    return password


def use_one_time_password(session: Session, password: str) -> Account | None:
    """Whose one-time password it is, if it is valid now; it is void from then on."""
    # One statement: of two calls at the same moment one finds it.
    used = (
        update(Account)
        .where(Account.one_time_digest == digest(password), Account.one_time_expires_at > now())
        .values(one_time_digest=None, one_time_expires_at=None)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    identifier = session.scalar(used)
    return session.get_one(Account, identifier, populate_existing=True) if identifier else None


def sign_in(session: Session, email: str, password: str) -> Account | None:
    """The account that this password opens: its own, or its one-time one. As slow for an address that nobody has."""
    account = find(session, email)
    if verify_password(password, account.password if account else None):
        return account
    if account is None or account.one_time_digest is None:
        return None
    if not hmac.compare_digest(account.one_time_digest, digest(password)):
        return None
    return use_one_time_password(session, password)


def change_password(session: Session, account: Account, present: str | None, new: str) -> None:
    """Give the account another password; ``present`` must be the one it has, if it has one.

    Raises ``InvalidInputError`` when it is not, or when the new one breaks the rule.
    """
    if account.password is not None and not verify_password(present or "", account.password):
        raise InvalidInputError("Password is not the one that this account has")
    account.password = hash_password(new)
    account.one_time_digest = account.one_time_expires_at = None
    session.flush()


def change_email(session: Session, account: Account, present: str | None, email: str) -> None:
    """Give the account another address. Raises ``InvalidInputError`` for a wrong password or an address in use."""
    if account.operator:
        raise InvalidInputError("The operator's address is a setting: change dynoform:email and run bin/dynoform up")
    if account.password is None or not verify_password(present or "", account.password):
        raise InvalidInputError("Password is not the one that this account has")
    address = emails.check(email)
    try:
        with session.begin_nested():
            account.email = address
    except IntegrityError:
        raise InvalidInputError(f"Email {address} is already taken") from None


def hand_over(session: Session, account: Account, heir: Account) -> None:
    """Give the heir the apps and pipelines that the account owns, and its place in teams that it alone leads."""
    session.execute(update(App).where(App.owner_id == account.id, App.team_id.is_(None)).values(owner_id=heir.id))
    session.execute(delete(Collaborator).where(Collaborator.account_id == heir.id, _owned_by(heir)))
    pipelines.hand_over(session, account, heir)
    for team in _led_by(session, account):
        if leads_alone(session, team, account):
            set_member(session, team, heir, Role.ADMIN)


def remove(session: Session, account: Account) -> None:
    """Delete the account: its tokens, keys, memberships and shares go, its row stays as the author of releases.

    Raises ``InvalidInputError`` while it owns apps or pipelines or is the only admin of a team, and for the operator's.
    """
    if account.operator:
        raise InvalidInputError("The operator's account cannot be deleted")
    owned = session.scalar(select(App.name).where(App.owner_id == account.id, App.team_id.is_(None)).limit(1))
    if owned is not None:
        raise InvalidInputError(f"This account owns {owned}: delete or transfer its apps first")
    pipeline = session.scalars(pipelines.owned(account).limit(1)).one_or_none()
    if pipeline is not None:
        raise InvalidInputError(
            f"This account owns the pipeline {pipeline.name}: delete or transfer its pipelines first"
        )
    for team in _led_by(session, account):
        keep_an_admin(session, team, account)
    for table in _PERSONAL:
        session.execute(delete(table).where(table.account_id == account.id))
    involved = or_(AppTransfer.owner_id == account.id, AppTransfer.recipient_id == account.id)
    session.execute(delete(AppTransfer).where(involved))
    invited = or_(TeamInvitation.account_id == account.id, TeamInvitation.invited_by_id == account.id)
    session.execute(delete(TeamInvitation).where(invited))
    account.email, account.deleted_at = f"deleted-{account.id}@invalid", now()
    account.name = account.password = account.one_time_digest = account.one_time_expires_at = None
    session.flush()


def signed_in(session: Session, account: Account, moment: datetime) -> None:
    """Note when the account was last opened with a password."""
    session.execute(update(Account).where(Account.id == account.id).values(last_login=moment))


def _led_by(session: Session, account: Account) -> list[Team]:
    """The teams of which the account is an admin, locked."""
    query = select(Team).join(TeamMember, TeamMember.team_id == Team.id).order_by(Team.id)
    leading = (TeamMember.account_id == account.id, TeamMember.role == Role.ADMIN)
    return list(session.scalars(query.where(*leading).with_for_update(of=Team)))


def _owned_by(account: Account) -> ColumnElement[bool]:
    """Shares of apps that the account owns, which say nothing more."""
    return Collaborator.app_id.in_(select(App.id).where(App.owner_id == account.id, App.team_id.is_(None)))
