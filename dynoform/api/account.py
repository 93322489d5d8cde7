"""Account: who the token belongs to."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, shown
from dynoform.store.tables import Account

router = APIRouter(tags=["account"])


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


@router.get("/account", response_model=AccountObject)
def account_info(caller: Caller) -> JSONResponse:
    """The caller's account."""
    return JSONResponse(show(caller))


@router.get("/users/{user}", response_model=AccountObject)
def user_info(user: str, caller: Caller) -> JSONResponse:
    """The caller's account by id, e-mail or ``~``; others are not told."""
    if user not in ("~", str(caller.id), caller.email):
        raise not_found("user")
    return JSONResponse(show(caller))


def show(account: Account) -> AccountObject:
    """The account's object."""
    return {
        "acknowledged_msa": False,
        "acknowledged_msa_at": None,
        "allow_tracking": False,
        "beta": False,
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
        "last_login": None,
        "name": account.name,
        "sms_number": None,
        "suspended_at": None,
        "two_factor_authentication": False,
        "updated_at": shown(account.updated_at),
        "verified": True,
    }
