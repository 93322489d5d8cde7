"""Pipelines: apps with one codebase, stage after stage."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, forbidden, not_found
from dynoform.api.objects import NamedObject, fixed, shown
from dynoform.api.services import Use
from dynoform.domain import pipelines
from dynoform.errors import InvalidInputError
from dynoform.store import pipelines as store
from dynoform.store import teams
from dynoform.store.tables import Account, Pipeline, Team

router = APIRouter(tags=["pipelines"])
_FIELDS: ranges.Fields = {"id": Pipeline.id}
_GENERATION = "cedar"


class OwnerObject(TypedDict):
    """Who a pipeline belongs to: ``type`` is user or team."""

    id: str
    type: str


class PipelineObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#pipeline."""

    created_at: str
    generation: NamedObject
    id: str
    name: str
    owner: OwnerObject
    updated_at: str


class Named(BaseModel):
    """Something by its name."""

    model_config = ConfigDict(strict=True)
    name: str


class ById(BaseModel):
    """Something by its id, or by the name that it also goes by."""

    model_config = ConfigDict(strict=True)
    id: str


class Owner(ById):
    """An account, by id or e-mail address, or a team."""

    type: str = pipelines.USER


class NewPipeline(Named):
    """Body of create; without an owner it is the caller's."""

    owner: Owner | None = None
    generation: Named | None = None


@router.get("/pipelines", response_model=list[PipelineObject])
def pipeline_list(
    services: Use,
    caller: Caller,
    wanted: RangeHeader = None,
    name: Annotated[str | None, Query(alias="eq[name]")] = None,
) -> JSONResponse:
    """The pipelines that the caller or a team of theirs owns, or where they have an app; all or those with a name."""
    with services.store.transaction() as session:
        query = store.visible_to(caller)
        if name is not None:
            query = query.where(Pipeline.name == name.replace("\0", ""))
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.post("/pipelines", status_code=201, response_model=PipelineObject)
def pipeline_create(body: NewPipeline, services: Use, caller: Caller) -> JSONResponse:
    """A new pipeline, without apps."""
    if body.generation is not None and body.generation.name != _GENERATION:
        raise InvalidInputError(f"Generation must be {_GENERATION}.")
    owner = body.owner or Owner(id=str(caller.id))
    if pipelines.check_owner(owner.type) == pipelines.USER and owner.id not in (str(caller.id), caller.email):
        raise InvalidInputError("Owner must be your own account, or a team of yours.")
    name = pipelines.check_name(body.name)
    with services.store.transaction() as session:
        owner_id = caller.id if owner.type == pipelines.USER else find_owning_team(session, caller, owner.id).id
        row = Pipeline(name=name, owner_id=owner_id, owner_type=owner.type)
        store.save(session, row)
    return JSONResponse(show(row), 201)


@router.get("/pipelines/{pipeline}", response_model=PipelineObject)
def pipeline_info(pipeline: str, services: Use, caller: Caller) -> JSONResponse:
    """One pipeline, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(find(session, caller, pipeline)))


@router.patch("/pipelines/{pipeline}", response_model=PipelineObject)
def pipeline_update(pipeline: str, body: Named, services: Use, caller: Caller) -> JSONResponse:
    """Rename a pipeline."""
    with services.store.transaction() as session:
        row = find_own(session, caller, pipeline)
        row.name = pipelines.check_name(body.name)
        store.save(session, row)
        return JSONResponse(show(row))


@router.delete("/pipelines/{pipeline}", response_model=PipelineObject)
def pipeline_delete(pipeline: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete a pipeline; its apps stay."""
    with services.store.transaction() as session:
        row = find_own(session, caller, pipeline)
        session.delete(row)
        return JSONResponse(show(row))


def find(session: Session, caller: Account, reference: str) -> Pipeline:
    """The pipeline with this id or name, if the caller may see it."""
    row = store.by_reference(session, caller, reference)
    if row is None:
        raise not_found("pipeline")
    return row


def find_own(session: Session, caller: Account, reference: str, *, lock: bool = True) -> Pipeline:
    """The pipeline, locked, if the caller may change it; ``ApiError`` 403 if it is somebody else's."""
    row = store.by_reference(session, caller, reference, lock=lock)
    if row is None:
        raise not_found("pipeline")
    if not store.is_owner(session, caller, row):
        raise ApiError(403, "forbidden", "You do not have permission to change this pipeline: only its owner has.")
    return row


def find_owning_team(session: Session, caller: Account, reference: str) -> Team:
    """The team with this id or name, if pipelines of it can be made by the caller; locked, so that it stays.

    One that the caller is not in is not found; ``ApiError`` 403 for who may only look.
    """
    membership = teams.find(session, caller, reference, lock=True)
    if membership is None:
        raise not_found("team")
    if not membership.role.makes_apps:
        raise forbidden(f"You do not have permission to make pipelines in the team {membership.team.name}.")
    return membership.team


def show(row: Pipeline) -> PipelineObject:
    """The pipeline's object."""
    return {
        "created_at": shown(row.created_at),
        "generation": fixed(_GENERATION),
        "id": str(row.id),
        "name": row.name,
        "owner": {"id": str(row.owner_id), "type": row.owner_type},
        "updated_at": shown(row.updated_at),
    }
