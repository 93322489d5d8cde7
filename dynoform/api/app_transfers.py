"""App transfers: a personal app changes hands when both sides want it."""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import forbidden, not_found
from dynoform.api.objects import NamedObject, UserObject, app_reference, shown, user
from dynoform.api.services import Use
from dynoform.domain.permissions import Permission
from dynoform.errors import ConflictError, InvalidInputError
from dynoform.store import accounts, collaborators
from dynoform.store.apps import parse_id
from dynoform.store.releases import lock_app
from dynoform.store.tables import Account, App, AppTransfer

router = APIRouter(tags=["app transfers"])
_FIELDS: ranges.Fields = {"id": AppTransfer.id}


class TransferObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-transfer."""

    app: NamedObject
    created_at: str
    id: str
    owner: UserObject
    recipient: UserObject
    state: str
    updated_at: str


class NewTransfer(BaseModel):
    """Body of create; ``app`` by id or name, ``recipient`` by id or e-mail address."""

    model_config = ConfigDict(strict=True)
    app: Annotated[str, Field(max_length=100)]
    recipient: Annotated[str, Field(max_length=300)]
    silent: bool | None = None


class TransferChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    state: Literal["accepted", "declined"]


@router.get("/account/app-transfers", response_model=list[TransferObject])
def transfer_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What the caller offered and was offered."""
    with services.store.transaction() as session:
        return ranges.page(session, _of(caller), wanted, _FIELDS, show)


@router.post("/account/app-transfers", status_code=201, response_model=TransferObject)
def transfer_create(body: NewTransfer, services: Use, caller: Caller) -> JSONResponse:
    """Offer an app of one's own to somebody else, who gets it by accepting."""
    with services.store.transaction() as session:
        app = find(session, caller, body.app, Permission.MANAGE)
        if app.team_id is not None:
            raise InvalidInputError(f"{app.name} belongs to a team: transfer it by PATCH /teams/apps/{app.name}")
        recipient = accounts.find_or_make(session, body.recipient)
        if recipient.id == caller.id:
            raise InvalidInputError(f"{app.name} is yours already")
        made = AppTransfer(id=uuid.uuid4(), app_id=app.id, owner_id=caller.id, recipient_id=recipient.id)
        try:
            with session.begin_nested():
                session.add(made)
        except IntegrityError:
            raise InvalidInputError(f"{app.name} is being transferred already: delete that transfer first") from None
        session.refresh(made)
        return JSONResponse(show(made), 201)


@router.get("/account/app-transfers/{transfer}", response_model=TransferObject)
def transfer_info(transfer: str, services: Use, caller: Caller) -> JSONResponse:
    """One transfer, by its id or, while it is pending, by the app's name."""
    with services.store.transaction() as session:
        return JSONResponse(show(_find(session, caller, transfer)))


@router.patch("/account/app-transfers/{transfer}", response_model=TransferObject)
def transfer_update(transfer: str, body: TransferChange, services: Use, caller: Caller) -> JSONResponse:
    """Accept or decline what one was offered. Who offered stays as a collaborator."""
    with services.store.transaction() as session:
        found = _find(session, caller, transfer)
        if found.recipient_id != caller.id:
            raise forbidden("You do not have access to answer this transfer. Only its recipient may.")
        app = lock_app(session, found.app_id)
        session.refresh(found, with_for_update={"of": AppTransfer})
        if found.state != "pending" or app is None:
            raise ConflictError("transfer", f"was {found.state} already", "ask for a new one")
        found.state = body.state
        if body.state == "accepted":
            collaborators.give_to_account(session, app, found.recipient, keep_former=True)
        session.flush()
        return JSONResponse(show(found))


@router.delete("/account/app-transfers/{transfer}", response_model=TransferObject)
def transfer_delete(transfer: str, services: Use, caller: Caller) -> JSONResponse:
    """Take an offer back."""
    with services.store.transaction() as session:
        found = _find(session, caller, transfer)
        if found.owner_id != caller.id:
            raise forbidden("You do not have access to delete this transfer. Only the app's owner may.")
        session.delete(found)
        return JSONResponse(show(found))


def show(transfer: AppTransfer) -> TransferObject:
    """The transfer's object."""
    return {
        "app": app_reference(transfer.app),
        "created_at": shown(transfer.created_at),
        "id": str(transfer.id),
        "owner": user(transfer.owner),
        "recipient": user(transfer.recipient),
        "state": transfer.state,
        "updated_at": shown(transfer.updated_at),
    }


def _of(caller: Account) -> Select[AppTransfer]:
    return select(AppTransfer).where(or_(AppTransfer.owner_id == caller.id, AppTransfer.recipient_id == caller.id))


def _find(session: Session, caller: Account, reference: str) -> AppTransfer:
    identifier = parse_id(reference)
    query = _of(caller)
    if identifier:
        query = query.where(AppTransfer.id == identifier)
    else:
        named = select(App.id).where(App.name == reference.replace("\0", ""))
        query = query.where(AppTransfer.app_id.in_(named), AppTransfer.state == "pending")
    found = session.scalars(query).one_or_none()
    if found is None:
        raise not_found("transfer", "app_transfer")
    return found
