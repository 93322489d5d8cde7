"""Promotions: a slug that was built once is released in the apps of the next stage."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.apps import find as find_app
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import IdObject, reference, shown
from dynoform.api.pipelines import ById
from dynoform.api.pipelines import find as find_pipeline
from dynoform.api.releases import find_release, no_rollback
from dynoform.api.services import Use
from dynoform.domain import pipelines
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import pipelines as store
from dynoform.store.apps import parse_id
from dynoform.store.releases import current_release
from dynoform.store.tables import (
    Account,
    App,
    Pipeline,
    PipelineCoupling,
    PipelinePromotion,
    PromotionTarget,
    Release,
    Slug,
)

router = APIRouter(tags=["pipeline promotions"])
_FIELDS: ranges.Fields = {"id": PromotionTarget.id}


class SourceObject(TypedDict):
    """What was promoted."""

    app: IdObject
    release: IdObject


class PipelinePromotionObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#pipeline-promotion."""

    created_at: str
    id: str
    pipeline: IdObject
    source: SourceObject
    status: str
    updated_at: str


class PromotionTargetObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#pipeline-promotion-target."""

    app: IdObject
    error_message: str | None
    id: str
    pipeline_promotion: IdObject
    release: IdObject | None
    status: str


class PromotionSource(BaseModel):
    """The app to promote from, and its release if it is not to be the current one."""

    model_config = ConfigDict(strict=True)
    app: ById
    release: ById | None = None


class Target(BaseModel):
    """An app to promote to."""

    model_config = ConfigDict(strict=True)
    app: ById


class NewPromotion(BaseModel):
    """Body of create; pipeline and apps by id or name."""

    model_config = ConfigDict(strict=True)
    pipeline: ById
    source: PromotionSource
    targets: Annotated[list[Target], Field(min_length=1, max_length=pipelines.MAXIMUM_TARGETS)]


@router.post("/pipeline-promotions", status_code=201, response_model=PipelinePromotionObject)
def promotion_create(body: NewPromotion, services: Use, caller: Caller) -> JSONResponse:
    """Promote: when this answers, every target has its release (whose release phase may go on) or failed."""
    with services.store.transaction() as session:
        pipeline = find_pipeline(session, caller, body.pipeline.id)
        source = find_app(session, caller, body.source.app.id)
        release = _release(session, source, body.source.release)
        targets = [find_app(session, caller, target.app.id, Permission.DEPLOY) for target in body.targets]
        _check_coupled(session, pipeline, source, targets)
        promotion, made = store.promote(session, pipeline, source, release, targets, caller)
        shown_promotion = show(promotion, _status(session, promotion))
    apps = {app.id: app for app in targets}
    for each in made:
        services.announce(apps[each.app_id], [each])
    return JSONResponse(shown_promotion, 201)


@router.get("/pipeline-promotions/{promotion}", response_model=PipelinePromotionObject)
def promotion_info(promotion: str, services: Use, caller: Caller) -> JSONResponse:
    """One promotion, by id; completed once no target's release is pending."""
    with services.store.transaction() as session:
        row = _find(session, caller, promotion)
        return JSONResponse(show(row, _status(session, row)))


@router.get("/pipeline-promotions/{promotion}/promotion-targets", response_model=list[PromotionTargetObject])
def promotion_target_list(promotion: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What became of a promotion in each app."""
    with services.store.transaction() as session:
        row = _find(session, caller, promotion)
        return ranges.page(session, store.targets_of(row), wanted, _FIELDS, show_target)


def show(row: PipelinePromotion, status: str) -> PipelinePromotionObject:
    """The promotion's object."""
    return {
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "pipeline": {"id": str(row.pipeline_id)},
        "source": {"app": {"id": str(row.app_id)}, "release": {"id": str(row.release_id)}},
        "status": status,
        "updated_at": shown(row.updated_at),
    }


def show_target(row: PromotionTarget) -> PromotionTargetObject:
    """A target's object; its status is that of the release that was made for it."""
    status, message = _target_status(row), row.error_message
    if status == pipelines.FAILED and message is None and row.release is not None:
        message = pipelines.release_failed(row.release.version)
    return {
        "app": {"id": str(row.app_id)},
        "error_message": message,
        "id": str(row.id),
        "pipeline_promotion": {"id": str(row.promotion_id)},
        "release": reference(row.release_id),
        "status": status,
    }


def _release(session: Session, source: App, wanted: ById | None) -> Release:
    release = find_release(session, source, wanted.id) if wanted else current_release(session, source.id)
    if release is not None:
        # Not to expire, nor to go with its app, before the targets have it: with its last slug its image goes, too.
        query = select(Slug).where(Slug.id == release.slug_id).with_for_update(read=True)
        if session.scalars(query.execution_options(populate_existing=True)).one_or_none() is None:
            release = None
    if release is None or no_rollback(release):
        raise InvalidInputError(f"App {source.name} has no release with a slug to promote. Deploy it first.")
    return release


def _check_coupled(session: Session, pipeline: Pipeline, source: App, targets: list[App]) -> None:
    wanted = {app.id: app for app in (source, *targets)}
    if len(wanted) != len(targets) + 1:
        raise InvalidInputError("Each target must be another app, and none the source.")
    query = select(PipelineCoupling.app_id).where(PipelineCoupling.pipeline_id == pipeline.id)
    coupled = set(session.scalars(query.where(PipelineCoupling.app_id.in_(wanted))))
    for identifier, app in wanted.items():
        if identifier not in coupled:
            raise InvalidInputError(f"App {app.name} is not in pipeline {pipeline.name}.")


def _find(session: Session, caller: Account, reference: str) -> PipelinePromotion:
    identifier = parse_id(reference)
    row = session.get(PipelinePromotion, identifier) if identifier else None
    missing = not_found("pipeline promotion", "pipeline_promotion")
    if row is None:
        raise missing
    try:
        find_pipeline(session, caller, str(row.pipeline_id))
    except NotFoundError:
        raise missing from None
    return row


def _status(session: Session, row: PipelinePromotion) -> str:
    targets = session.scalars(store.targets_of(row))
    pending = any(_target_status(target) == pipelines.PENDING for target in targets)
    return pipelines.PENDING if pending else pipelines.COMPLETED


def _target_status(row: PromotionTarget) -> str:
    return pipelines.target_status(row.error_message, row.release.status if row.release else None)
