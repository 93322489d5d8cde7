"""Keys: SSH public keys of an account. Git speaks https here, as on Heroku; the keys are for who wants to read them."""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain import ssh_keys
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Key

router = APIRouter(tags=["keys"])
MAXIMUM = 100
_FIELDS: ranges.Fields = {"id": Key.id, "fingerprint": Key.fingerprint}


class KeyObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#key."""

    comment: str
    created_at: str
    email: str
    fingerprint: str
    id: str
    public_key: str
    updated_at: str


class NewKey(BaseModel):
    """Body of create: the content of an ``id_….pub`` file."""

    model_config = ConfigDict(strict=True)
    public_key: Annotated[str, Field(max_length=ssh_keys.MAXIMUM_LENGTH)]


@router.get("/account/keys", response_model=list[KeyObject])
@router.get("/users/~/keys", response_model=list[KeyObject])
def key_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The caller's keys."""
    with services.store.transaction() as session:
        query = select(Key).where(Key.account_id == caller.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda key: show(caller, key))


@router.post("/account/keys", status_code=201, response_model=KeyObject)
@router.post("/users/~/keys", status_code=201, response_model=KeyObject)
def key_create(body: NewKey, services: Use, caller: Caller) -> JSONResponse:
    """Add a key. One key belongs to one account."""
    parsed = ssh_keys.parse(body.public_key)
    key = Key(id=uuid.uuid4(), account_id=caller.id, fingerprint=parsed.fingerprint)
    key.public_key, key.comment = parsed.line, parsed.comment
    with services.store.transaction() as session:
        count = select(func.count()).select_from(Key).where(Key.account_id == caller.id)
        if (session.scalar(count) or 0) >= MAXIMUM:
            raise InvalidInputError(f"An account can have {MAXIMUM} SSH keys: remove some with keys:remove")
        try:
            with session.begin_nested():
                session.add(key)
        except IntegrityError:
            message = "Fingerprint already exists. Please use one SSH key per Heroku account"
            raise InvalidInputError(message) from None
    return JSONResponse(show(caller, key), 201)


@router.get("/account/keys/{key}", response_model=KeyObject)
@router.get("/users/~/keys/{key}", response_model=KeyObject)
def key_info(key: str, services: Use, caller: Caller) -> JSONResponse:
    """One key, by id or fingerprint."""
    with services.store.transaction() as session:
        return JSONResponse(show(caller, _find(session, caller, key)))


@router.delete("/account/keys/{key}", response_model=KeyObject)
@router.delete("/users/~/keys/{key}", response_model=KeyObject)
def key_delete(key: str, services: Use, caller: Caller) -> JSONResponse:
    """Remove a key, by id or fingerprint."""
    with services.store.transaction() as session:
        found = _find(session, caller, key)
        session.delete(found)
    return JSONResponse(show(caller, found))


def show(account: Account, key: Key) -> KeyObject:
    """The key's object."""
    return {
        "comment": key.comment,
        "created_at": shown(key.created_at),
        "email": account.email,
        "fingerprint": key.fingerprint,
        "id": str(key.id),
        "public_key": key.public_key,
        "updated_at": shown(key.updated_at),
    }


def _find(session: Session, caller: Account, reference: str) -> Key:
    identifier = parse_id(reference)
    condition = Key.id == identifier if identifier else Key.fingerprint == reference.replace("\0", "")
    key = session.scalars(select(Key).where(Key.account_id == caller.id, condition)).one_or_none()
    if key is None:
        raise not_found("key")
    return key
