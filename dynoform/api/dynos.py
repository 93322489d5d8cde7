"""Dynos: what runs now, restarting and stopping it.

A restart marks rows ``down``; the reconciler starts new dynos in their place and removes the old ones, the runtime
agent ends one-off dynos.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired

from fastapi import APIRouter
from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_names
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import one_off_dynos, webhooks
from dynoform.store.apps import parse_id
from dynoform.store.session import FORMATION, notify
from dynoform.store.tables import Account, App, Dyno, OneOffDyno, Release, now

router = APIRouter(tags=["dynos"])
_FIELDS = ("id", "name")
Row = tuple[Dyno | OneOffDyno, int]
"""A dyno and its release's version."""


class ReleaseReference(TypedDict):
    """A release within a dyno."""

    id: str
    version: int


class ExtendedObject(TypedDict):
    """Where a dyno runs, for ``ps --extended``."""

    az: str | None
    execution_plane: str | None
    fleet: str | None
    instance: str | None
    ip: str | None
    port: int | None
    region: str
    route: str | None


class DynoObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#dyno."""

    app: NamedObject
    attach_url: str | None
    command: str
    created_at: str
    extended: NotRequired[ExtendedObject]
    id: str
    name: str
    release: ReleaseReference
    size: str
    state: str
    type: str
    updated_at: str


@router.get("/apps/{app}/dynos", response_model=list[DynoObject])
def dyno_list(
    app: str, services: Use, caller: Caller, extended: bool = False, wanted: RangeHeader = None
) -> JSONResponse:
    """The app's dynos, those on their way out left out."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        rows: list[Row] = [*_formation(session, found, Dyno.state != "down"), *_one_off(session, found)]
    region = services.configuration.stack if extended else None
    return ranges.cut([show(found, *row, region=region) for row in rows], wanted, _FIELDS)


@router.get("/apps/{app}/dynos/{dyno}", response_model=DynoObject)
def dyno_info(app: str, dyno: str, services: Use, caller: Caller) -> JSONResponse:
    """One dyno, by name or id."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        rows: list[Row] = [
            *_formation(session, found, *_named(Dyno, dyno)),
            *_one_off(session, found, *_named(OneOffDyno, dyno)),
        ]
    if not rows:
        raise not_found("dyno")
    return JSONResponse(show(found, *rows[0]))


@router.delete("/apps/{app}/dynos", status_code=202, response_model=dict[str, str])
def dyno_restart_all(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart every dyno of the formation; one-off dynos go on."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        _mark(session, found, caller, [])
    return JSONResponse({}, 202)


@router.delete("/apps/{app}/formations/{type}", status_code=202, response_model=dict[str, str])
def dyno_restart_formation(app: str, type: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart the dynos of one process type; one-off dynos of it end."""
    return _end(services, caller, app, type)


@router.delete("/apps/{app}/dynos/{dyno}", status_code=202, response_model=dict[str, str])
def dyno_restart(app: str, dyno: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart one dyno, by name or id; a process type restarts all of its dynos. A one-off dyno ends."""
    return _end(services, caller, app, dyno)


@router.post("/apps/{app}/dynos/{dyno}/actions/stop", status_code=202, response_model=dict[str, str])
def dyno_stop(app: str, dyno: str, services: Use, caller: Caller) -> JSONResponse:
    """Stop one dyno, by name or id. One of the formation is started anew, as on Heroku: scale it down instead."""
    return _end(services, caller, app, dyno)


@router.post("/apps/{app}/formations/{type}/actions/stop", status_code=202, response_model=dict[str, str])
def dyno_stop_formation(app: str, type: str, services: Use, caller: Caller) -> JSONResponse:
    """Stop the dynos of one process type, ``run`` for instance."""
    return _end(services, caller, app, type)


def show(
    app: App, dyno: Dyno | OneOffDyno, version: int, *, attach_url: str | None = None, region: str | None = None
) -> DynoObject:
    """The dyno's object; its ``updated_at`` is when it got into its state, as users read it.

    ``region`` is given for the extended object. ``attach_url`` is shown once, to who asked for the dyno.
    """
    made: DynoObject = {
        "app": app_reference(app),
        "attach_url": attach_url,
        "command": dyno.command,
        "created_at": shown(dyno.created_at),
        "id": str(dyno.id),
        "name": dyno_names.name(dyno.type, dyno.number),
        "release": {"id": str(dyno.release_id), "version": version},
        "size": dyno.size,
        "state": dyno.state,
        "type": dyno.type,
        "updated_at": shown(dyno.state_changed_at),
    }
    if region is not None:
        made["extended"] = _extended(dyno, region)
    return made


def find_dyno(session: Session, app: App, reference: str) -> tuple[Dyno, int]:
    """The formation dyno with this name or id, and its release's version. Raises ``NotFoundError``."""
    row = next(iter(_formation(session, app, *_named(Dyno, reference))), None)
    if row is None:
        raise not_found("dyno")
    return row


def names_up(session: Session, app: App) -> list[str]:
    """The names of the formation's dynos that are up."""
    return [dyno_names.name(dyno.type, dyno.number) for dyno, _ in _formation(session, app, Dyno.state == "up")]


def _extended(dyno: Dyno | OneOffDyno, region: str) -> ExtendedObject:
    address, port = (dyno.address, dyno.port) if isinstance(dyno, Dyno) else (None, None)
    return {
        "az": None,
        "execution_plane": None,
        "fleet": None,
        "instance": None,
        "ip": address,
        "port": port,
        "region": region,
        "route": f"{address}:{port}" if address else None,
    }


def _formation(session: Session, app: App, *conditions: Any) -> Iterable[tuple[Dyno, int]]:
    """Dynos with their release's version; of two with one name (a roll-out is under way) the newer."""
    query: Select[Dyno, int] = (
        select(Dyno, Release.version)
        .join(Release, Release.id == Dyno.release_id)
        .where(Dyno.app_id == app.id, *conditions)
        .ext(distinct_on(Dyno.type, Dyno.number))
        .order_by(Dyno.type, Dyno.number, Release.version.desc(), Dyno.created_at.desc())
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def _one_off(session: Session, app: App, *conditions: Any) -> Iterable[tuple[OneOffDyno, int]]:
    """One-off dynos with their release's version, those on their way out left out."""
    query = (
        select(OneOffDyno, Release.version)
        .join(Release, Release.id == OneOffDyno.release_id)
        .where(OneOffDyno.app_id == app.id, OneOffDyno.inside_id.is_(None), OneOffDyno.state != "down", *conditions)
        .order_by(OneOffDyno.type, OneOffDyno.created_at)
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def _named(table: type[Dyno] | type[OneOffDyno], text: str, *, types: bool = False) -> Sequence[Any]:
    identifier = parse_id(text)
    if identifier:
        return [table.id == identifier]
    if types and "." not in text:
        return [table.type == text.replace("\0", "")]
    try:
        process_type, number = dyno_names.parse(text)
    except InvalidInputError:
        raise not_found("dyno") from None
    return [table.type == process_type, table.number == number]


def _end(services: Services, caller: Account, app: str, reference: str) -> JSONResponse:
    """End the dynos with this name, id or process type; the reconciler starts the formation's anew."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        ended = _mark(session, found, caller, _named(Dyno, reference, types=True))
        ended += one_off_dynos.stop(session, found.id, _named(OneOffDyno, reference, types=True))
        if not ended:
            raise not_found("dyno")
    return JSONResponse({}, 202)


def _mark(session: Session, app: App, caller: Account, conditions: Sequence[Any]) -> int:
    """Turn dynos down; returns how many."""
    moment = now()
    query = select(Dyno).where(Dyno.app_id == app.id, Dyno.state != "down", *conditions).order_by(Dyno.id)
    marked = [(dyno, dyno.state) for dyno in session.scalars(query.with_for_update())]
    for dyno, _ in marked:
        dyno.state, dyno.state_changed_at = "down", moment
    session.flush()
    if webhooks.is_heard(session, app.id, "dyno"):
        for dyno, before in marked:
            webhooks.dyno_changed(session, dyno, before, caller)
    notify(session, FORMATION, app.id)
    return len(marked)
