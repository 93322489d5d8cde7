"""Pipeline couplings: which app is in which pipeline, at which stage."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.apps import find as find_app
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.pipelines import find as find_pipeline
from dynoform.api.services import Use
from dynoform.domain.permissions import Permission
from dynoform.domain.pipelines import check_stage
from dynoform.errors import InvalidInputError
from dynoform.store import pipelines as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, PipelineCoupling

router = APIRouter(tags=["pipeline couplings"])
_FIELDS: ranges.Fields = {"id": PipelineCoupling.id}


class PipelineCouplingObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#pipeline-coupling."""

    app: NamedObject
    created_at: str
    id: str
    pipeline: NamedObject
    stage: str
    updated_at: str


class Stage(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    stage: str


class NewCoupling(Stage):
    """Body of create; ``app`` and ``pipeline`` are ids or names."""

    app: str
    pipeline: str


@router.get("/pipeline-couplings", response_model=list[PipelineCouplingObject])
@router.get("/users/~/pipeline-couplings", response_model=list[PipelineCouplingObject])
def coupling_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The couplings of all the caller's apps."""
    with services.store.transaction() as session:
        return ranges.page(session, store.couplings_visible_to(caller), wanted, _FIELDS, show)


@router.get("/pipelines/{pipeline}/pipeline-couplings", response_model=list[PipelineCouplingObject])
def coupling_list_by_pipeline(pipeline: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The couplings of a pipeline with apps that the caller may see."""
    with services.store.transaction() as session:
        found = find_pipeline(session, caller, pipeline)
        query = store.couplings_visible_to(caller).where(PipelineCoupling.pipeline_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.get("/apps/{app}/pipeline-couplings", response_model=PipelineCouplingObject)
def coupling_info_by_app(app: str, services: Use, caller: Caller) -> JSONResponse:
    """The one coupling of an app; 404 when it is in no pipeline."""
    with services.store.transaction() as session:
        found = find_app(session, caller, app)
        query = store.couplings_visible_to(caller).where(PipelineCoupling.app_id == found.id)
        row = session.scalars(query).one_or_none()
        if row is None:
            raise not_found("pipeline coupling", "pipeline_coupling")
        return JSONResponse(show(row))


@router.get("/pipeline-couplings/{coupling}", response_model=PipelineCouplingObject)
def coupling_info(coupling: str, services: Use, caller: Caller) -> JSONResponse:
    """One coupling, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(_find(session, caller, coupling)))


@router.post("/pipeline-couplings", status_code=201, response_model=PipelineCouplingObject)
def coupling_create(body: NewCoupling, services: Use, caller: Caller) -> JSONResponse:
    """Put an app into a pipeline."""
    with services.store.transaction() as session:
        app = find_app(session, caller, body.app, Permission.OPERATE)
        pipeline = find_pipeline(session, caller, body.pipeline)
        row = PipelineCoupling(app=app, pipeline=pipeline, stage=check_stage(body.stage))
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            message = f"App {app.name} is already in a pipeline. Remove it there first: heroku pipelines:remove"
            raise InvalidInputError(message) from None
        return JSONResponse(show(row), 201)


@router.patch("/pipeline-couplings/{coupling}", response_model=PipelineCouplingObject)
def coupling_update(coupling: str, body: Stage, services: Use, caller: Caller) -> JSONResponse:
    """Move an app to another stage."""
    with services.store.transaction() as session:
        row = _find_to_change(session, caller, coupling)
        row.stage = check_stage(body.stage)
        session.flush()
        return JSONResponse(show(row))


@router.delete("/pipeline-couplings/{coupling}", response_model=PipelineCouplingObject)
def coupling_delete(coupling: str, services: Use, caller: Caller) -> JSONResponse:
    """Take an app out of its pipeline."""
    with services.store.transaction() as session:
        row = _find_to_change(session, caller, coupling)
        session.delete(row)
        return JSONResponse(show(row))


def show(row: PipelineCoupling) -> PipelineCouplingObject:
    """The coupling's object."""
    return {
        "app": app_reference(row.app),
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "pipeline": {"id": str(row.pipeline.id), "name": row.pipeline.name},
        "stage": row.stage,
        "updated_at": shown(row.updated_at),
    }


def _find(session: Session, caller: Account, reference: str) -> PipelineCoupling:
    query = store.couplings_visible_to(caller).where(PipelineCoupling.id == parse_id(reference))
    row = session.scalars(query).one_or_none()
    if row is None:
        raise not_found("pipeline coupling", "pipeline_coupling")
    return row


def _find_to_change(session: Session, caller: Account, reference: str) -> PipelineCoupling:
    row = _find(session, caller, reference)
    find_app(session, caller, str(row.app_id), Permission.OPERATE)
    return row
