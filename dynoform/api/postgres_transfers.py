"""The data API's backups of PostgreSQL: ``pg:backups:…`` and ``pg:copy``, and the links to download backups by."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from dynoform.api import apps, databases
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.objects import shown
from dynoform.api.services import Services, Use
from dynoform.domain import data_services, transfers
from dynoform.domain.data_services import POSTGRES
from dynoform.domain.permissions import Permission
from dynoform.domain.transfers import STORED
from dynoform.errors import InvalidInputError
from dynoform.store import transfers as store
from dynoform.store.apps import parse_id
from dynoform.store.session import now
from dynoform.store.tables import Account, Addon, Transfer, TransferSchedule

router = APIRouter(tags=["databases"])
links = APIRouter(include_in_schema=False)
GET = "get backup"
_PATH = "/backups/"
_SALT = slice(8, 16)
_HEADER = 16
"""Of a file that ``openssl enc`` wrote: a word of eight bytes and the salt."""
_ROUNDS = 10000
_PORTION = 256 * 1024
Text = Annotated[str, Field(max_length=300)]
Url = Annotated[str, Field(max_length=4000)]


class LogObject(TypedDict):
    """A line of a transfer's log."""

    created_at: str
    message: str


class TransferObject(TypedDict):
    """A backup, restore or copy, as the CLI reads it."""

    canceled_at: str | None
    created_at: str
    finished_at: str | None
    from_name: str
    from_type: str
    from_url: str
    logs: list[LogObject]
    num: int
    options: dict[str, str]
    processed_bytes: int
    schedule: dict[str, str] | None
    source_bytes: int
    started_at: str | None
    succeeded: bool | None
    to_name: str
    to_type: str
    to_url: str
    updated_at: str
    uuid: str
    warnings: int


class ScheduleObject(TypedDict):
    """When backups are made."""

    hour: int
    name: str
    timezone: str
    uuid: str


class LinkObject(TypedDict):
    """Where a backup can be had, until then."""

    expires_at: str
    url: str


class CancellationObject(TypedDict):
    """When it was canceled."""

    canceled_at: str


class Restoration(BaseModel):
    """Body of restore: a backup's address, and the extensions that the database is to have before."""

    model_config = ConfigDict(strict=True)
    backup_url: Url
    extensions: Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=50)] | None = None


class Copying(BaseModel):
    """Body of copy: where from, by a database's URL; names are what is shown."""

    model_config = ConfigDict(strict=True)
    from_name: Text
    from_url: Url
    to_name: Text
    to_url: Url | None = None


class Scheduling(BaseModel):
    """Body of a schedule."""

    model_config = ConfigDict(strict=True)
    hour: Annotated[str, Field(max_length=5)] | int
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    schedule_name: Text


@router.get("/client/v11/apps/{app}/transfers", response_model=list[TransferObject])
def transfer_list(app: str, services: Use, caller: Caller) -> JSONResponse:
    """An app's backups, restores and copies, the oldest first."""
    with services.store.transaction() as session:
        found = apps.find(session, caller, app)
        return JSONResponse([_show(each) for each in store.of_app(session, found.id)])


@router.get("/client/v11/apps/{app}/transfers/{transfer}", response_model=TransferObject)
def transfer_info(app: str, transfer: str, services: Use, caller: Caller, verbose: bool = False) -> JSONResponse:
    """One of them, by number or id; with its log where that is asked for."""
    with services.store.transaction() as session:
        found = _find(session, caller, app, transfer, Permission.VIEW)
        return JSONResponse(_show(found, verbose=verbose))


@router.delete("/client/v11/apps/{app}/transfers/{transfer}", response_model=TransferObject)
def transfer_delete(app: str, transfer: str, services: Use, caller: Caller) -> JSONResponse:
    """Delete a backup; its file goes soon."""
    with services.store.transaction() as session:
        found = _find(session, caller, app, transfer, Permission.OPERATE)
        if found.finished_at is None:
            raise InvalidInputError("It is under way: cancel it first")
        found.deleted_at = found.deleted_at or now(session)
        return JSONResponse(_show(found))


@router.post("/client/v11/apps/{app}/transfers/{transfer}/actions/public-url", response_model=LinkObject)
def transfer_public_url(app: str, transfer: str, services: Use, caller: Caller) -> JSONResponse:
    """A link by which anybody can download a backup, for an hour."""
    with services.store.transaction() as session:
        found = _find(session, caller, app, transfer, Permission.DEPLOY)
        if found.to_type != STORED or not found.succeeded:
            raise InvalidInputError("It is no backup that is there")
        token = services.vault.sign(GET, {"backup": str(found.id)}, transfers.LINK_SECONDS)
    ends = datetime.now(UTC) + timedelta(seconds=transfers.LINK_SECONDS)
    url = f"{services.configuration.api_url}{_PATH}{found.id}?token={token}"
    return JSONResponse({"expires_at": shown(ends), "url": url})


@router.post("/client/v11/apps/{app}/transfers/{transfer}/actions/cancel", response_model=CancellationObject)
def transfer_cancel(app: str, transfer: str, services: Use, caller: Caller) -> JSONResponse:
    """End one that is under way."""
    with services.store.transaction() as session:
        found = _find(session, caller, app, transfer, Permission.OPERATE)
        if found.finished_at is not None:
            raise InvalidInputError("It has finished")
        found.canceled_at = found.canceled_at or now(session)
        return JSONResponse({"canceled_at": shown(found.canceled_at)})


@router.post("/client/v11/databases/{database}/backups", status_code=201, response_model=TransferObject)
def backup_create(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Make a backup of a database."""
    with services.store.transaction() as session:
        addon = _database(session, caller, database)
        return JSONResponse(_show(store.backup(session, services.vault, addon)), 201)


@router.post("/client/v11/databases/{database}/restores", status_code=201, response_model=TransferObject)
def restore_create(database: str, body: Restoration, services: Use, caller: Caller) -> JSONResponse:
    """Replace what a database has by a backup: one of an app's, or a dump at a URL."""
    unknown = sorted(set(body.extensions or ()) - set(data_services.EXTENSIONS))
    if unknown:
        raise InvalidInputError(f"Extension {unknown[0]} is not one of: {', '.join(data_services.EXTENSIONS)}")
    with services.store.transaction() as session:
        addon = _database(session, caller, database)
        source = _source(services, session, caller, body.backup_url)
        url = "" if source else transfers.check_source(body.backup_url)
        made = store.restore(session, services.vault, addon, source, url, body.extensions or ())
        return JSONResponse(_show(made), 201)


@router.post("/client/v11/databases/{database}/transfers", status_code=201, response_model=TransferObject)
def copy_create(database: str, body: Copying, services: Use, caller: Caller) -> JSONResponse:
    """Replace what a database has by what another one has, which may be anywhere."""
    transfers.external("from", body.from_url)
    with services.store.transaction() as session:
        addon = _database(session, caller, database)
        made = store.copy(session, services.vault, addon, body.from_name, body.to_name, body.from_url)
        return JSONResponse(_show(made), 201)


@router.get("/client/v11/databases/{database}/transfer-schedules", response_model=list[ScheduleObject])
def schedule_list(database: str, services: Use, caller: Caller) -> JSONResponse:
    """When backups of a database are made."""
    with services.store.transaction() as session:
        addon = databases.find(session, caller, database, POSTGRES, Permission.VIEW)
        return JSONResponse([_show_schedule(each) for each in store.schedules(session, addon.id)])


@router.post("/client/v11/databases/{database}/transfer-schedules", status_code=201, response_model=ScheduleObject)
def schedule_create(database: str, body: Scheduling, services: Use, caller: Caller) -> JSONResponse:
    """Have a database backed up each day."""
    hour = transfers.hour(body.hour)
    with services.store.transaction() as session:
        addon = _database(session, caller, database)
        return JSONResponse(
            _show_schedule(store.schedule(session, addon, body.schedule_name, hour, body.timezone)), 201
        )


@router.delete("/client/v11/databases/{database}/transfer-schedules/{schedule}", response_model=ScheduleObject)
def schedule_delete(database: str, schedule: str, services: Use, caller: Caller) -> JSONResponse:
    """End a schedule; its backups stay."""
    with services.store.transaction() as session:
        addon = _database(session, caller, database)
        found = session.get(TransferSchedule, parse_id(schedule) or uuid.UUID(int=0))
        if found is None or found.addon_id != addon.id:
            raise not_found("schedule", "schedule")
        session.delete(found)
        return JSONResponse(_show_schedule(found))


@links.get(_PATH + "{backup}")
def backup_download(backup: str, services: Use, token: str = "") -> StreamingResponse:
    """The dump itself, as ``pg_restore`` reads it. The link is the permission."""
    identifier = _checked(services, backup, token)
    with services.store.transaction() as session:
        found = session.get(Transfer, identifier) if identifier else None
        if found is None or found.deleted_at is not None or not found.succeeded:
            raise not_found("backup", "backup")
        key, digest = store.secret(services.vault, found)[store.KEY], str(found.digest)
    path = services.configuration.backups / str(found.id)
    try:
        size = path.stat().st_size - _HEADER
    except OSError:
        raise not_found("backup", "backup") from None
    headers = {"Content-Length": str(size), "Content-Disposition": f'attachment; filename="b{found.num:03}.dump"'}
    return StreamingResponse(_plain(path, key, digest), media_type="application/octet-stream", headers=headers)


def _plain(path: Path, key: str, digest: str) -> Iterator[bytes]:
    """A backup's file as it was before it was encrypted. Breaks off where it is not what was written."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
        made = hashlib.pbkdf2_hmac("sha256", key.encode(), header[_SALT], _ROUNDS, 48)
        cipher = Cipher(algorithms.AES(made[:32]), modes.CTR(made[32:])).decryptor()
        seen, last = hashlib.sha256(header), b""
        while portion := file.read(_PORTION):
            seen.update(portion)
            if last:
                yield last
            last = cipher.update(portion)
        if seen.hexdigest() != digest:
            raise OSError(f"{path.name} is not what was written")
        yield last


def _database(session: Session, caller: Account, reference: str) -> Addon:
    """A database that is there, for somebody who may change it."""
    addon = databases.find(session, caller, reference, POSTGRES, Permission.OPERATE)
    databases.database(session, addon)
    return addon


def _find(session: Session, caller: Account, app: str, reference: str, needs: Permission) -> Transfer:
    """An app's transfer by its number; by its id also one of another app, which a database attached here has."""
    place = apps.find(session, caller, app)
    identifier, number = parse_id(reference), transfers.number(reference)
    query = select(Transfer).where(Transfer.deleted_at.is_(None))
    if identifier:
        found = session.scalars(query.where(Transfer.id == identifier)).unique().one_or_none()
    else:
        mine = Transfer.app_id == place.id, Transfer.num == number
        found = session.scalars(query.where(*mine)).unique().one_or_none()
    if found is None:
        apps.find(session, caller, app, needs)  # who may not do it hears that first
        raise not_found("transfer", "transfer")
    apps.find(session, caller, str(found.app_id), needs)
    return found


def _source(services: Services, session: Session, caller: Account, url: str) -> Transfer | None:
    """The backup of the platform's own that an address is of; None for one elsewhere."""
    own = f"{services.configuration.api_url}{_PATH}"
    if url.startswith(transfers.STORE):
        identifier = parse_id(url.removeprefix(transfers.STORE))
        found = session.get(Transfer, identifier) if identifier else None
        if found is not None:
            apps.find(session, caller, str(found.app_id), Permission.DEPLOY)
    elif url.startswith(own):
        name, _, query = url.removeprefix(own).partition("?token=")
        found = session.get(Transfer, _checked(services, name, query) or uuid.UUID(int=0))
    else:
        return None
    if found is None or found.deleted_at is not None or found.to_type != STORED or not found.succeeded:
        raise not_found("backup", "backup")
    if not store.is_of(services.vault, found, POSTGRES):
        raise InvalidInputError("The backup is one of a Redis: give its name to addons:create after -- --restore")
    return found


def _checked(services: Services, backup: str, token: str) -> uuid.UUID | None:
    try:
        claims = services.vault.verify(GET, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    return parse_id(backup) if claims.get("backup") == backup else None


def _show(found: Transfer, *, verbose: bool = False) -> dict[str, Any]:
    ends = {name: getattr(found, f"{name}_at") for name in ("canceled", "finished")}
    return {
        **{f"{name}_at": shown(at) if at else None for name, at in ends.items()},
        "created_at": shown(found.created_at),
        "from_name": found.from_name,
        "from_type": found.from_type,
        "from_url": "",
        "logs": found.log if verbose else [],
        "num": found.num,
        "options": {},
        "processed_bytes": found.processed_bytes,
        "schedule": {"uuid": str(found.schedule_id)} if found.schedule_id else None,
        "source_bytes": found.source_bytes,
        "started_at": shown(found.begun_at) if found.begun_at else None,
        "succeeded": found.succeeded,
        "to_name": found.to_name,
        "to_type": found.to_type,
        "to_url": f"{transfers.STORE}{found.id}" if found.to_type == STORED else "",
        "updated_at": shown(found.updated_at),
        "uuid": str(found.id),
        "warnings": found.warnings,
    }


def _show_schedule(found: TransferSchedule) -> ScheduleObject:
    return {"hour": found.hour, "name": found.name, "timezone": found.timezone, "uuid": str(found.id)}
