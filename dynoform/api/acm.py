"""Automated Certificate Management: whether the platform gets certificates for an app's domains by itself."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from dynoform.api.apps import AppObject, find_row, show
from dynoform.api.authentication import Caller
from dynoform.api.services import Services, Use
from dynoform.domain import acm
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import acme as store
from dynoform.store.apps import AppRow
from dynoform.store.releases import lock_app
from dynoform.store.session import ROUTES, notify
from dynoform.store.tables import Account

router = APIRouter(tags=["acm"])


class Refresh(BaseModel):
    """Body of update: have failed domains tried again."""

    model_config = ConfigDict(strict=True)
    acm_refresh: bool = False


@router.post("/apps/{app}/acm", response_model=AppObject)
def acm_enable(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Get certificates for the app's domains, and renew them."""
    if not services.configuration.acme_directory:
        raise acm.disabled()
    with services.store.transaction() as session:
        row = _lock(session, caller, app)
        row.app.acm = True
        return _answer(session, services, row)


@router.patch("/apps/{app}/acm", response_model=AppObject)
def acm_refresh(app: str, body: Refresh, services: Use, caller: Caller) -> JSONResponse:
    """Start again with domains whose certificate could not be had."""
    with services.store.transaction() as session:
        row = _lock(session, caller, app)
        if not row.app.acm:
            raise InvalidInputError("Automated Certificate Management is not enabled for this app")
        if body.acm_refresh:
            store.again(session, row.app.id)
        return _answer(session, services, row)


@router.delete("/apps/{app}/acm", response_model=AppObject)
def acm_disable(app: str, services: Use, caller: Caller) -> JSONResponse:
    """No certificates any more, and those that were got are removed."""
    with services.store.transaction() as session:
        row = _lock(session, caller, app)
        row.app.acm = False
        store.stop(session, row.app.id)
        return _answer(session, services, row)


def _lock(session: Session, caller: Account, reference: str) -> AppRow:
    row = find_row(session, caller, reference, Permission.OPERATE)
    lock_app(session, row.app.id)
    return row


def _answer(session: Session, services: Services, row: AppRow) -> JSONResponse:
    session.flush()
    notify(session, ROUTES, row.app.id)
    return JSONResponse(show(services.configuration, row))
