"""Formation: how many dynos of which size each process type should have."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import container_releases, ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, fixed, shown
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_sizes, formations, webhooks
from dynoform.domain.permissions import Permission
from dynoform.store import hosts
from dynoform.store.apps import parse_id
from dynoform.store.releases import current_release
from dynoform.store.session import FORMATION, notify
from dynoform.store.tables import Account, App, Formation, now
from dynoform.store.webhooks import publish

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
    """Body of update: a number of dynos (absolute, or relative as ``"+1"``), a size, or both.

    ``docker_image`` is the id of a pushed image that the type shall run; null takes the type away.
    """

    model_config = ConfigDict(strict=True)
    quantity: int | str | None = None
    size: str | None = None
    docker_image: str | None = None

    @property
    def scales(self) -> bool:
        """Whether it changes number or size."""
        return self.quantity is not None or self.size is not None

    @property
    def deploys(self) -> bool:
        """Whether it says what to run; null is a word too."""
        return "docker_image" in self.model_fields_set


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
    """Scale several process types, or release images for them; all or none. Answers with those."""
    return JSONResponse(_update(services, caller, app, body.updates))


@router.patch("/apps/{app}/formation/{type}", response_model=FormationObject)
def formation_update(
    app: str,
    type: str,
    body: Scaling,
    services: Use,
    caller: Caller,
) -> JSONResponse:
    """Scale one process type, or release an image for it."""
    update = TypedScaling(type=type, **body.model_dump(exclude_unset=True))
    return JSONResponse(_update(services, caller, app, [update])[0])


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


def _update(
    services: Services, caller: Account, reference: str, updates: Sequence[TypedScaling]
) -> list[FormationObject]:
    scalings = [update for update in updates if update.scales or not update.deploys]
    wanted = {update.type: update.docker_image for update in updates if update.deploys}
    images = container_releases.read(services, caller, reference, wanted)
    needs = Permission.OPERATE if scalings else Permission.DEPLOY
    with services.store.transaction() as session:
        app = find(session, caller, reference, needs, lock=True)
        removed = _last_shown(session, app, images)
        made = container_releases.make(session, services, app, caller.id, images) if images else None
        session.flush()
        scaled = _scale(session, app, scalings, caller)
        types = dict.fromkeys([*(name for name, image in images.items() if image), *(row.type for row in scaled)])
        answer = [*removed, *_shown(session, app, types)]
    services.announce(app, [made] if made else [])
    if scaled:
        scales = (formations.Scale(row.type, row.quantity, row.size) for row in scaled)
        services.say(app, formations.scaled(scales, caller.email))
    return answer


def _shown(session: Session, app: App, types: Iterable[str]) -> list[FormationObject]:
    commands = _commands(session, app)
    rows = {row.type: row for row in session.scalars(select(Formation).where(Formation.app_id == app.id))}
    return [show(app, rows.get(name) or _to_come(app, name), commands) for name in types]


def _to_come(app: App, process_type: str) -> Formation:
    """A type that is not there until the release command has succeeded."""
    moment = now()
    row = Formation(id=uuid.uuid5(app.id, process_type), app_id=app.id, type=process_type, quantity=0)
    row.size, row.created_at, row.updated_at = dyno_sizes.DEFAULT, moment, moment
    return row


def _last_shown(session: Session, app: App, images: container_releases.Images) -> list[FormationObject]:
    """Types that are about to go, as they are answered: without a dyno."""
    gone = [name for name, image in images.items() if image is None and _row(session, app, name)]
    for each in (shown := _shown(session, app, gone)):
        each["quantity"] = 0
    return shown


def _scale(session: Session, app: App, updates: Sequence[TypedScaling], caller: Account) -> list[Formation]:
    rows, changes = {}, []
    largest = hosts.largest_memory(session)
    for update in updates:
        row = _row(session, app, update.type)
        if row is None:
            raise formations.unknown_type(update.type[:60])
        changes.append((row, _apply(row, update, largest)))
        rows[row.type] = row
    session.flush()
    notify(session, FORMATION, app.id)
    commands = _commands(session, app)
    for row, before in changes:
        if before:
            publish(session, app.id, "api:formation", webhooks.UPDATE, show(app, row, commands), before, caller)
    return list(rows.values())


def _apply(row: Formation, update: Scaling, largest_memory: int | None) -> dict[str, int | str]:
    """Change the row; returns what changed, as it was."""
    present = formations.Scale(row.type, row.quantity, row.size)
    wanted = formations.scale(present, update.quantity, update.size)
    if wanted.size != present.size or wanted.quantity > present.quantity:
        dyno_sizes.check_fits(wanted.size, largest_memory)
    row.quantity, row.size = wanted.quantity, wanted.size
    before: dict[str, int | str] = {"quantity": present.quantity, "size": present.size}
    return {key: value for key, value in before.items() if value != getattr(wanted, key)}


def _row(session: Session, app: App, reference: str) -> Formation | None:
    identifier = parse_id(reference)
    condition = Formation.id == identifier if identifier else Formation.type == reference.replace("\0", "")
    return session.scalars(select(Formation).where(Formation.app_id == app.id, condition)).one_or_none()


def _commands(session: Session, app: App) -> dict[str, str]:
    release = current_release(session, app.id)
    return release.slug.process_types if release and release.slug else {}
