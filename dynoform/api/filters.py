"""Filters: many apps by their ids, in one call."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dynoform.api import ranges
from dynoform.api.apps import AppObject, RangeHeader, show
from dynoform.api.authentication import Caller
from dynoform.api.services import Use
from dynoform.store import apps as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import App

router = APIRouter(tags=["filters"])
_FIELDS: ranges.Fields = {"id": App.id, "name": App.name}


class Wanted(BaseModel):
    """Ids of apps."""

    model_config = ConfigDict(strict=True)
    id: Annotated[list[str], Field(max_length=ranges.LIMIT)]


class AppFilter(BaseModel):
    """https://devcenter.heroku.com/articles/platform-api-reference#filter-apps."""

    model_config = ConfigDict(strict=True)
    within: Annotated[Wanted, Field(alias="in")]


@router.post("/filters/apps", response_model=list[AppObject])
def filter_apps(body: AppFilter, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """Those of the apps that are there and that the caller may see."""
    identifiers = [identifier for text in body.within.id if (identifier := parse_id(text))]

    def show_row(app: App, slug_size: int | None, description: str | None) -> AppObject:
        return show(services.configuration, store.AppRow(app, slug_size, description))

    with services.store.transaction() as session:
        query = store.visible_to(caller).where(App.id.in_(identifiers))
        return ranges.page(session, query, wanted, _FIELDS, show_row)
