"""Pipeline transfers: giving a pipeline to somebody else. Its apps keep their owners."""

import uuid

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject
from dynoform.api.pipelines import ById, Owner, OwnerObject, find_own, find_owning_team
from dynoform.api.services import Use
from dynoform.domain import pipelines
from dynoform.store import accounts
from dynoform.store import pipelines as store
from dynoform.store.tables import Account

router = APIRouter(tags=["pipeline transfers"])


class PipelineTransferObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#pipeline-transfer."""

    new_owner: OwnerObject
    pipeline: IdObject
    previous_owner: OwnerObject


class NewTransfer(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    pipeline: ById
    new_owner: Owner


@router.post("/pipeline-transfers", status_code=201, response_model=PipelineTransferObject)
def pipeline_transfer_create(body: NewTransfer, services: Use, caller: Caller) -> JSONResponse:
    """Make another account, or a team of the caller's, the pipeline's owner."""
    with services.store.transaction() as session:
        row = find_own(session, caller, body.pipeline.id)
        previous: OwnerObject = {"id": str(row.owner_id), "type": row.owner_type}
        row.owner_id, row.owner_type = _owner(session, caller, body.new_owner), body.new_owner.type
        store.save(session, row)
    new: OwnerObject = {"id": str(row.owner_id), "type": row.owner_type}
    shown: PipelineTransferObject = {"new_owner": new, "pipeline": {"id": str(row.id)}, "previous_owner": previous}
    return JSONResponse(shown, 201)


def _owner(session: Session, caller: Account, owner: Owner) -> uuid.UUID:
    if pipelines.check_owner(owner.type) == pipelines.TEAM:
        return find_owning_team(session, caller, owner.id).id
    return _account(session, owner).id


def _account(session: Session, owner: Owner) -> Account:
    account = accounts.find(session, owner.id)
    if account is None:
        raise not_found("user")
    return account
