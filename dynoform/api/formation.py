"""Formation: how many dynos of which size each process type should have."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, fixed, shown
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_sizes, formations
from dynoform.domain.permissions import Permission
from dynoform.store import hosts
from dynoform.store.apps import parse_id
from dynoform.store.releases import current_release
from dynoform.store.session import FORMATION, notify
from dynoform.store.tables import Account, App, Formation

router = APIRouter(tags=["formation"])
_FIELDS: ranges.Fields = {"type": Formation.type, "id": Formation.id}


class FormationObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#formation."""

    app: NamedObject
    command: str
    created_at: str
    dyno_size: NamedObject
    id: str
    quantity: int
    size: str
    type: str
    updated_at: str


class Scaling(BaseModel):
    """Body of update: a number of dynos (absolute, or relative as ``"+1"``), a size, or both."""

    model_config = ConfigDict(strict=True)
    quantity: int | str | None = None
    size: str | None = None


class TypedScaling(Scaling):
    """One of a batch; ``type`` may be an id too."""

    type: str


class Batch(BaseModel):
    """Body of batch update."""

    model_config = ConfigDict(strict=True)
    updates: Annotated[list[TypedScaling], Field(max_length=100)]


@router.get("/apps/{app}/formation", response_model=list[FormationObject])
def formation_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's process types, with their scale."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        commands = _commands(session, found)
        query = select(Formation).where(Formation.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda row: show(found, row, commands))


@router.get("/apps/{app}/formation/{type}", response_model=FormationObject)
def formation_info(app: str, type: str, services: Use, caller: Caller) -> JSONResponse:
    """One process type, by name or id."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        row = _row(session, found, type)
        if row is None:
            raise not_found("formation")
        return JSONResponse(show(found, row, _commands(session, found)))


@router.patch("/apps/{app}/formation", response_model=list[FormationObject])
def formation_batch_update(app: str, body: Batch, services: Use, caller: Caller) -> JSONResponse:
    """Scale several process types, all or none. Answers with those."""
    return JSONResponse(_scale(services, caller, app, body.updates))


@router.patch("/apps/{app}/formation/{type}", response_model=FormationObject)
def formation_update(
    app: str,
    type: str,
    body: Scaling,
    services: Use,
    caller: Caller,
) -> JSONResponse:
    """Scale one process type."""
    update = TypedScaling(type=type, quantity=body.quantity, size=body.size)
    return JSONResponse(_scale(services, caller, app, [update])[0])


def show(app: App, row: Formation, commands: dict[str, str]) -> FormationObject:
    """The formation's object."""
    return {
        "app": app_reference(app),
        "command": commands.get(row.type, ""),
        "created_at": shown(row.created_at),
        "dyno_size": fixed(row.size),
        "id": str(row.id),
        "quantity": row.quantity,
        "size": row.size,
        "type": row.type,
        "updated_at": shown(row.updated_at),
    }


def _scale(
    services: Services, caller: Account, reference: str, updates: Iterable[TypedScaling]
) -> list[FormationObject]:
    with services.store.transaction() as session:
        app = find(session, caller, reference, Permission.OPERATE, lock=True)
        largest = hosts.largest_memory(session)
        rows = {}
        for update in updates:
            row = _row(session, app, update.type)
            if row is None:
                raise formations.unknown_type(update.type[:60])
            _apply(row, update, largest)
            rows[row.type] = row
        session.flush()
        notify(session, FORMATION, app.id)
        commands = _commands(session, app)
    if rows:
        scales = (formations.Scale(row.type, row.quantity, row.size) for row in rows.values())
        services.say(app, formations.scaled(scales, caller.email))
    return [show(app, row, commands) for row in rows.values()]


def _apply(row: Formation, update: Scaling, largest_memory: int | None) -> None:
    present = formations.Scale(row.type, row.quantity, row.size)
    wanted = formations.scale(present, update.quantity, update.size)
    if wanted.size != present.size or wanted.quantity > present.quantity:
        dyno_sizes.check_fits(wanted.size, largest_memory)
    row.quantity, row.size = wanted.quantity, wanted.size


def _row(session: Session, app: App, reference: str) -> Formation | None:
    identifier = parse_id(reference)
    condition = Formation.id == identifier if identifier else Formation.type == reference.replace("\0", "")
    return session.scalars(select(Formation).where(Formation.app_id == app.id, condition)).one_or_none()


def _commands(session: Session, app: App) -> dict[str, str]:
    release = current_release(session, app.id)
    return release.slug.process_types if release and release.slug else {}
