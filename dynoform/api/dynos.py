"""Dynos: what runs now, and restarting it.

A restart marks rows ``down``; the reconciler starts new dynos in their place and removes the old ones.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_names
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import webhooks
from dynoform.store.apps import parse_id
from dynoform.store.session import FORMATION, notify
from dynoform.store.tables import Account, App, Dyno, Release, now

router = APIRouter(tags=["dynos"])


class ReleaseReference(TypedDict):
    """A release within a dyno."""

    id: str
    version: int


class DynoObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#dyno."""

    app: NamedObject
    attach_url: str | None
    command: str
    created_at: str
    id: str
    name: str
    release: ReleaseReference
    size: str
    state: str
    type: str
    updated_at: str


@router.get("/apps/{app}/dynos", response_model=list[DynoObject])
def dyno_list(app: str, services: Use, caller: Caller) -> JSONResponse:
    """The app's dynos, those on their way out left out."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        rows = session.execute(_newest(found).where(Dyno.state != "down"))
        return JSONResponse([show(found, dyno, version) for dyno, version in rows])


@router.get("/apps/{app}/dynos/{dyno}", response_model=DynoObject)
def dyno_info(app: str, dyno: str, services: Use, caller: Caller) -> JSONResponse:
    """One dyno, by name or id."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        row = session.execute(_newest(found).where(*_named(dyno))).first()
        if row is None:
            raise not_found("dyno")
        return JSONResponse(show(found, *row))


@router.delete("/apps/{app}/dynos", status_code=202, response_model=dict[str, str])
def dyno_restart_all(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart every dyno of the app."""
    return _restart(services, caller, app, [])


@router.delete("/apps/{app}/formations/{type}", status_code=202, response_model=dict[str, str])
def dyno_restart_formation(app: str, type: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart the dynos of one process type."""
    return _restart(services, caller, app, [Dyno.type == type.replace("\0", "")])


@router.delete("/apps/{app}/dynos/{dyno}", status_code=202, response_model=dict[str, str])
def dyno_restart(app: str, dyno: str, services: Use, caller: Caller) -> JSONResponse:
    """Restart one dyno, by name or id; a process type restarts all of its dynos."""
    return _restart(services, caller, app, _named(dyno, types=True))


def show(app: App, dyno: Dyno, version: int) -> DynoObject:
    """The dyno's object; its ``updated_at`` is when it got into its state, as users read it."""
    return {
        "app": app_reference(app),
        "attach_url": None,
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


def _newest(app: App) -> Select[Dyno, int]:
    """Dynos with their release's version; of two with one name (a roll-out is under way) the newer."""
    return (
        select(Dyno, Release.version)
        .join(Release, Release.id == Dyno.release_id)
        .where(Dyno.app_id == app.id)
        .ext(distinct_on(Dyno.type, Dyno.number))
        .order_by(Dyno.type, Dyno.number, Release.version.desc(), Dyno.created_at.desc())
    )


def _named(text: str, *, types: bool = False) -> Sequence[Any]:
    identifier = parse_id(text)
    if identifier:
        return [Dyno.id == identifier]
    if types and "." not in text:
        return [Dyno.type == text.replace("\0", "")]
    try:
        process_type, number = dyno_names.parse(text)
    except InvalidInputError:
        raise not_found("dyno") from None
    return [Dyno.type == process_type, Dyno.number == number]


def _restart(services: Services, caller: Account, reference: str, conditions: Sequence[Any]) -> JSONResponse:
    with services.store.transaction() as session:
        app = find(session, caller, reference, Permission.OPERATE)
        marked = _mark(session, app, conditions)
        if conditions and not marked:
            raise not_found("dyno")
        if webhooks.is_heard(session, app.id, "dyno"):
            for dyno, before in marked:
                webhooks.dyno_changed(session, dyno, before, caller)
        notify(session, FORMATION, app.id)
    return JSONResponse({}, 202)


def _mark(session: Session, app: App, conditions: Sequence[Any]) -> list[tuple[Dyno, str]]:
    """Turn dynos down; returns each with the state that it had."""
    moment = now()
    query = select(Dyno).where(Dyno.app_id == app.id, Dyno.state != "down", *conditions).order_by(Dyno.id)
    marked = [(dyno, dyno.state) for dyno in session.scalars(query.with_for_update())]
    for dyno, _ in marked:
        dyno.state, dyno.state_changed_at = "down", moment
    session.flush()
    return marked
