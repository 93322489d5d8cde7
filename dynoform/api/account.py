"""Accounts: who the token belongs to."""

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.authentication import Caller
from dynoform.api.errors import forbidden, not_found
from dynoform.api.objects import NamedObject, shown, shown_or_none
from dynoform.api.services import Use
from dynoform.store import accounts
from dynoform.store.passwords import MAXIMUM_LENGTH, verify_password
from dynoform.store.tables import Account

router = APIRouter(tags=["account"])
Password = Annotated[str | None, Field(max_length=MAXIMUM_LENGTH)]


class AccountObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#account."""

    acknowledged_msa: bool
    acknowledged_msa_at: str | None
    allow_tracking: bool
    beta: bool
    country_of_residence: str | None
    created_at: str
    default_organization: NamedObject | None
    default_team: NamedObject | None
    delinquent_at: str | None
    email: str
    federated: bool
    id: str
    identity_provider: NamedObject | None
    italian_customer_terms: str | None
    italian_partner_terms: str | None
    last_login: str | None
    name: str | None
    sms_number: str | None
    suspended_at: str | None
    two_factor_authentication: bool
    updated_at: str
    verified: bool


class RateLimitObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#rate-limit."""

    remaining: int


class AccountChange(BaseModel):
    """Body of update; ``email`` and ``new_password`` need the present ``password``, if there is one."""

    model_config = ConfigDict(strict=True)
    allow_tracking: bool | None = None
    beta: bool | None = None
    name: Annotated[str | None, Field(max_length=200)] = None
    email: Annotated[str | None, Field(max_length=300)] = None
    password: Password = None
    new_password: Password = None


@router.get("/account", response_model=AccountObject)
def account_info(caller: Caller) -> JSONResponse:
    """The caller's account."""
    return JSONResponse(show(caller))


@router.get("/users/{user}", response_model=AccountObject)
def user_info(user: str, caller: Caller) -> JSONResponse:
    """The caller's account by id, e-mail or ``~``; others are not told."""
    return JSONResponse(show(_own(caller, user)))


@router.patch("/account", response_model=AccountObject)
def account_update(body: AccountChange, services: Use, caller: Caller) -> JSONResponse:
    """Change the caller's name, preferences, address or password."""
    with services.store.transaction() as session:
        return JSONResponse(show(_update(session, caller, body)))


@router.patch("/users/{user}", response_model=AccountObject)
def user_update(user: str, body: AccountChange, services: Use, caller: Caller) -> JSONResponse:
    """The same, by id, e-mail or ``~``."""
    with services.store.transaction() as session:
        return JSONResponse(show(_update(session, _own(caller, user), body)))


@router.delete("/account", response_model=AccountObject)
def account_delete(
    services: Use, caller: Caller, password: Annotated[str | None, Header(alias="Heroku-Password")] = None
) -> JSONResponse:
    """Delete the caller's account, for ever; its password goes into the header ``Heroku-Password``."""
    if not verify_password(password or "", caller.password):
        raise forbidden("Send the account's password in the header Heroku-Password to delete it.")
    shown_last = show(caller)
    with services.store.transaction() as session:
        accounts.remove(session, session.get_one(Account, caller.id, with_for_update=True))
    return JSONResponse(shown_last)


@router.get("/account/rate-limits", response_model=RateLimitObject)
def rate_limit_info(request: Request, caller: Caller) -> JSONResponse:
    """How many calls the account has left. Asking costs none."""
    return JSONResponse({"remaining": request.state.remaining})


def show(account: Account) -> AccountObject:
    """The account's object."""
    return {
        "acknowledged_msa": False,
        "acknowledged_msa_at": None,
        "allow_tracking": account.allow_tracking,
        "beta": account.beta,
        "country_of_residence": None,
        "created_at": shown(account.created_at),
        "default_organization": None,
        "default_team": None,
        "delinquent_at": None,
        "email": account.email,
        "federated": False,
        "id": str(account.id),
        "identity_provider": None,
        "italian_customer_terms": None,
        "italian_partner_terms": None,
        "last_login": shown_or_none(account.last_login),
        "name": account.name,
        "sms_number": None,
        "suspended_at": None,
        "two_factor_authentication": False,
        "updated_at": shown(account.updated_at),
        "verified": True,
    }


def _own(caller: Account, user: str) -> Account:
    if user.lower() not in ("~", str(caller.id), caller.email):
        raise not_found("user")
    return caller


def _update(session: Session, caller: Account, body: AccountChange) -> Account:
    account = session.get_one(Account, caller.id, with_for_update=True)
    if body.email is not None:
        accounts.change_email(session, account, body.password, body.email)
    if body.new_password is not None:
        accounts.change_password(session, account, body.password, body.new_password)
    for name in ("allow_tracking", "beta", "name"):
        if name in body.model_fields_set:
            setattr(account, name, getattr(body, name))
    session.flush()
    return account
