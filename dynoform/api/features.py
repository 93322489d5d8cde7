"""Features of apps, accounts and teams: ``heroku features`` and ``heroku labs``."""

import uuid

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import fixed, shown
from dynoform.api.services import Use
from dynoform.api.teams import find_team
from dynoform.domain import features
from dynoform.domain.features import Feature
from dynoform.domain.permissions import Permission
from dynoform.store import features as store
from dynoform.store.session import FORMATION, ROUTES, notify
from dynoform.store.tables import AccountFeature, AppFeature

router = APIRouter(tags=["features"])
_FIELDS = ("id", "name")
_SINCE = "2026-11-20T00:00:00Z"


class FeatureObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-feature; the same for accounts and teams."""

    created_at: str
    description: str
    display_name: str
    doc_url: str
    enabled: bool
    feedback_email: str | None
    id: str
    name: str
    state: str
    updated_at: str


class FeatureChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    enabled: bool


@router.get("/apps/{app}/features", response_model=list[FeatureObject])
def app_feature_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What can be turned on for the app, and whether it is."""
    with services.store.transaction() as session:
        return ranges.cut(_of_app(session, find(session, caller, app).id), wanted, _FIELDS)


@router.get("/apps/{app}/features/{feature}", response_model=FeatureObject)
def app_feature_info(app: str, feature: str, services: Use, caller: Caller) -> JSONResponse:
    """One feature of the app, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(_pick(_of_app(session, find(session, caller, app).id), feature, "app_feature"))


@router.patch("/apps/{app}/features/{feature}", response_model=FeatureObject)
def app_feature_update(app: str, feature: str, body: FeatureChange, services: Use, caller: Caller) -> JSONResponse:
    """Turn a feature of the app on or off."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        name = _pick(_of_app(session, found.id), feature, "app_feature")["name"]
        store.turn(session, AppFeature, found.id, name, body.enabled)
        for channel in (ROUTES, FORMATION):
            notify(session, channel, found.id)
        return JSONResponse(_pick(_of_app(session, found.id), name, "app_feature"))


@router.get("/account/features", response_model=list[FeatureObject])
def account_feature_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What can be turned on for the caller's account, and whether it is."""
    with services.store.transaction() as session:
        return ranges.cut(_of_account(session, caller.id), wanted, _FIELDS)


@router.get("/account/features/{feature}", response_model=FeatureObject)
def account_feature_info(feature: str, services: Use, caller: Caller) -> JSONResponse:
    """One feature of the account, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(_pick(_of_account(session, caller.id), feature, "account_feature"))


@router.patch("/account/features/{feature}", response_model=FeatureObject)
def account_feature_update(feature: str, body: FeatureChange, services: Use, caller: Caller) -> JSONResponse:
    """Turn a feature of the account on or off."""
    with services.store.transaction() as session:
        name = _pick(_of_account(session, caller.id), feature, "account_feature")["name"]
        store.turn(session, AccountFeature, caller.id, name, body.enabled)
        return JSONResponse(_pick(_of_account(session, caller.id), name, "account_feature"))


@router.get("/teams/{team}/features", response_model=list[FeatureObject])
def team_feature_list(team: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What a team can do. Every team can do the same."""
    with services.store.transaction() as session:
        find_team(session, caller, team)
    return ranges.cut(_of_team(), wanted, _FIELDS)


@router.get("/teams/{team}/features/{feature}", response_model=FeatureObject)
def team_feature_info(team: str, feature: str, services: Use, caller: Caller) -> JSONResponse:
    """One feature of a team, by id or name."""
    with services.store.transaction() as session:
        find_team(session, caller, team)
    return JSONResponse(_pick(_of_team(), feature, "team_feature"))


def show(feature: Feature, choice: AppFeature | AccountFeature | None) -> FeatureObject:
    """The feature's object, as it was chosen, or as it is for who never chose."""
    return {
        **fixed(feature.name),
        "created_at": shown(choice.created_at) if choice else _SINCE,
        "description": feature.description,
        "display_name": feature.display_name,
        "doc_url": feature.doc_url,
        "enabled": choice.enabled if choice else feature.default,
        "feedback_email": None,
        "state": feature.state,
        "updated_at": shown(choice.updated_at) if choice else _SINCE,
    }


def _of_app(session: Session, app_id: uuid.UUID) -> list[FeatureObject]:
    choices = store.choices(session, AppFeature, app_id)
    return [show(feature, choices.get(feature.name)) for feature in features.APP]


def _of_account(session: Session, account_id: uuid.UUID) -> list[FeatureObject]:
    choices = store.choices(session, AccountFeature, account_id)
    return [show(feature, choices.get(feature.name)) for feature in features.ACCOUNT]


def _of_team() -> list[FeatureObject]:
    return [show(feature, None) for feature in features.TEAM]


def _pick(offered: list[FeatureObject], reference: str, resource: str) -> FeatureObject:
    for feature in offered:
        if reference in (feature["id"], feature["name"]):
            return feature
    raise not_found("feature", resource)
