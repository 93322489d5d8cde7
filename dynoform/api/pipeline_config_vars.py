"""Config vars of a pipeline's stage, for the apps that tests and reviews make there."""

from fastapi import APIRouter
from pydantic import RootModel
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from dynoform.api.authentication import Caller
from dynoform.api.pipelines import find_own
from dynoform.api.services import Services, Use
from dynoform.domain import config_vars
from dynoform.domain.pipelines import CONFIGURED_STAGES, check_stage
from dynoform.store.tables import Pipeline, PipelineConfig

router = APIRouter(tags=["pipeline config vars"])
_PATH = "/pipelines/{pipeline}/stage/{stage}/config-vars"


class Patch(RootModel[dict[str, str | None]]):
    """Body of update: name → value, null to remove."""


@router.get(_PATH, response_model=dict[str, str])
def pipeline_config_info(pipeline: str, stage: str, services: Use, caller: Caller) -> JSONResponse:
    """The stage's config vars."""
    with services.store.transaction() as session:
        found = find_own(session, caller, pipeline, lock=False)
        return JSONResponse(_read(services, _row(session, found, stage)))


@router.patch(_PATH, response_model=dict[str, str])
def pipeline_config_update(pipeline: str, stage: str, body: Patch, services: Use, caller: Caller) -> JSONResponse:
    """Set and remove config vars. Answers with all of them."""
    with services.store.transaction() as session:
        found = find_own(session, caller, pipeline)
        row = _row(session, found, stage)
        change = config_vars.merge(_read(services, row), body.root)
        row = row or PipelineConfig(pipeline_id=found.id, stage=stage)
        row.ciphertext = services.vault.encrypt(found.id, change.config)
        session.add(row)
    return JSONResponse(change.config)


def _row(session: Session, pipeline: Pipeline, stage: str) -> PipelineConfig | None:
    return session.get(PipelineConfig, (pipeline.id, check_stage(stage, CONFIGURED_STAGES)))


def _read(services: Services, row: PipelineConfig | None) -> dict[str, str]:
    return services.vault.decrypt(row.pipeline_id, row.ciphertext) if row else {}
