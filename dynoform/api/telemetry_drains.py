"""Telemetry drains: an app's logs by OpenTelemetry's protocol. Traces and metrics are taken note of, and not sent."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Services, Use
from dynoform.domain import telemetry_drains
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import telemetry_drains as store
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, TelemetryDrain

router = APIRouter(tags=["telemetry drains"])
_FIELDS = ("id",)
_LONGEST = 4000


class Owner(TypedDict):
    """Whose telemetry is sent."""

    id: str
    type: str


class ExporterObject(TypedDict):
    """Where it is sent; the values of headers are not shown."""

    endpoint: str
    headers: dict[str, str]
    type: str


class TelemetryDrainObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#telemetry-drain."""

    created_at: str
    exporter: ExporterObject
    id: str
    owner: Owner
    signals: list[str]
    updated_at: str


class OwnerOfNew(BaseModel):
    """Whose telemetry is to be sent."""

    model_config = ConfigDict(strict=True)
    id: Annotated[str, Field(max_length=60)]
    type: Literal["app", "space"]


class NewExporter(BaseModel):
    """Where it is to be sent."""

    model_config = ConfigDict(strict=True)
    endpoint: Annotated[str, Field(max_length=_LONGEST)]
    headers: dict[str, str] | None = None
    type: Annotated[str, Field(max_length=20)] = telemetry_drains.OTLPHTTP


class NewTelemetryDrain(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    exporter: NewExporter
    owner: OwnerOfNew
    signals: list[str] = list(telemetry_drains.SIGNALS)


class ExporterChange(BaseModel):
    """What of the exporter is to change."""

    model_config = ConfigDict(strict=True)
    endpoint: Annotated[str | None, Field(max_length=_LONGEST)] = None
    headers: dict[str, str] | None = None
    type: Annotated[str, Field(max_length=20)] = telemetry_drains.OTLPHTTP


class TelemetryDrainChange(BaseModel):
    """Body of update."""

    model_config = ConfigDict(strict=True)
    exporter: ExporterChange | None = None
    signals: list[str] | None = None


@router.get("/apps/{app}/telemetry-drains", response_model=list[TelemetryDrainObject])
def telemetry_drain_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's telemetry drains."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.DEPLOY)
        drains = [show(services, drain) for drain in store.of_app(session, found.id)]
    return ranges.cut(drains, wanted, _FIELDS)


@router.post("/telemetry-drains", status_code=201, response_model=TelemetryDrainObject)
def telemetry_drain_create(body: NewTelemetryDrain, services: Use, caller: Caller) -> JSONResponse:
    """Send an app's telemetry to an endpoint."""
    if body.owner.type != "app":
        raise InvalidInputError("Owner must be an app: add the drain to each app of the space.")
    with services.store.transaction() as session:
        app = find(session, caller, body.owner.id, Permission.OPERATE, lock=True)
        signals = telemetry_drains.check_signals(body.signals)
        new = body.exporter
        exporter = telemetry_drains.check_exporter(new.type, new.endpoint, new.headers or {}, services.reach)
        drain = store.add(session, services.vault, app, signals, exporter)
        return JSONResponse(show(services, drain), 201)


@router.get("/telemetry-drains/{telemetry_drain}", response_model=TelemetryDrainObject)
def telemetry_drain_info(telemetry_drain: str, services: Use, caller: Caller) -> JSONResponse:
    """One telemetry drain, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(services, _find(session, caller, telemetry_drain, Permission.DEPLOY)))


@router.patch("/telemetry-drains/{telemetry_drain}", response_model=TelemetryDrainObject)
def telemetry_drain_update(
    telemetry_drain: str, body: TelemetryDrainChange, services: Use, caller: Caller
) -> JSONResponse:
    """Send other signals, or to another endpoint."""
    with services.store.transaction() as session:
        drain = _find(session, caller, telemetry_drain, Permission.OPERATE)
        if body.signals is not None:
            drain.signals = telemetry_drains.check_signals(body.signals)
        exporter = store.exporter_of(services.vault, drain)
        if (new := body.exporter) is not None:
            headers = exporter.headers if new.headers is None else new.headers
            endpoint = exporter.endpoint if new.endpoint is None else new.endpoint
            exporter = telemetry_drains.check_exporter(new.type, endpoint, headers, services.reach)
        store.change(session, services.vault, drain, exporter)
        session.refresh(drain)
        return JSONResponse(show(services, drain))


@router.delete("/telemetry-drains/{telemetry_drain}", response_model=TelemetryDrainObject)
def telemetry_drain_delete(telemetry_drain: str, services: Use, caller: Caller) -> JSONResponse:
    """Stop sending telemetry to an endpoint."""
    with services.store.transaction() as session:
        drain = _find(session, caller, telemetry_drain, Permission.OPERATE)
        last = show(services, drain)
        store.remove(session, drain)
    return JSONResponse(last)


def show(services: Services, drain: TelemetryDrain) -> TelemetryDrainObject:
    """The telemetry drain's object."""
    exporter: Any = store.exporter_of(services.vault, drain).shown()
    return {
        "created_at": shown(drain.created_at),
        "exporter": exporter,
        "id": str(drain.id),
        "owner": {"id": str(drain.app_id), "type": "app"},
        "signals": drain.signals,
        "updated_at": shown(drain.updated_at),
    }


def _find(session: Session, caller: Account, reference: str, permission: Permission) -> TelemetryDrain:
    identifier = parse_id(reference)
    drain = session.get(TelemetryDrain, identifier) if identifier else None
    if drain is None:
        raise not_found("telemetry drain", "telemetry_drain")
    try:
        find(session, caller, str(drain.app_id), permission, lock=permission is Permission.OPERATE)
    except NotFoundError:
        raise not_found("telemetry drain", "telemetry_drain") from None  # whose it is, is nobody else's business
    return drain
