"""Dynoform's own, for the operator alone: who may sign in. Heroku has a sign-up page and mails instead.

``POST /dynoform/accounts`` answers with a one-time password: ``heroku auth:login -i`` takes it once, and
``PATCH /account`` with a ``new_password`` then sets one that stays.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from starlette.responses import JSONResponse

from dynoform.api import ranges
from dynoform.api.account import AccountObject, show
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller, check_operator
from dynoform.api.errors import not_found
from dynoform.api.objects import shown_or_none
from dynoform.api.services import Use
from dynoform.errors import InvalidInputError
from dynoform.store import accounts
from dynoform.store.tables import Account

router = APIRouter(tags=["dynoform accounts"])
_FIELDS: ranges.Fields = {"email": Account.email, "id": Account.id}


class OpenedAccountObject(AccountObject):
    """An account, with the password that opens it once."""

    one_time_password: str
    one_time_password_expires_at: str | None


class NewAccount(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    email: Annotated[str, Field(max_length=300)]
    name: Annotated[str | None, Field(max_length=200)] = None


@router.get("/dynoform/accounts", response_model=list[AccountObject])
def account_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """All accounts."""
    _only_operator(caller)
    with services.store.transaction() as session:
        return ranges.page(session, select(Account).where(Account.deleted_at.is_(None)), wanted, _FIELDS, show)


@router.post("/dynoform/accounts", status_code=201, response_model=OpenedAccountObject)
def account_create(body: NewAccount, services: Use, caller: Caller) -> JSONResponse:
    """A one-time password for an account, which is made if there is none; the password that it had is void."""
    _only_operator(caller)
    with services.store.transaction() as session:
        account = accounts.find_or_make(session, body.email)
        if account.operator:
            raise InvalidInputError("The operator signs in with the API key that bin/dynoform env shows")
        account.name = body.name or account.name
        password = accounts.give_one_time_password(session, account)
        opened: OpenedAccountObject = {
            **show(account),
            "one_time_password": password,
            "one_time_password_expires_at": shown_or_none(account.one_time_expires_at),
        }
    return JSONResponse(opened, 201)


@router.delete("/dynoform/accounts/{account}", response_model=AccountObject)
def account_delete(account: str, services: Use, caller: Caller) -> JSONResponse:
    """Shut somebody out at once, by id or e-mail address: their tokens end, the operator gets what they own."""
    _only_operator(caller)
    with services.store.transaction() as session:
        found = accounts.find(session, account)
        if found is None:
            raise not_found("account")
        shown_last = show(found)
        accounts.hand_over(session, found, session.get_one(Account, caller.id))
        accounts.remove(session, found)
    return JSONResponse(shown_last)


def _only_operator(caller: Account) -> None:
    check_operator(caller, "You do not have access to other accounts. Only the platform's operator has.")
