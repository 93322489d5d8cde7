"""The data API of PostgreSQL's credentials: ``pg:credentials`` and all below it.

https://devcenter.heroku.com/articles/heroku-postgresql-credentials
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.postgres_databases import MessageObject
from dynoform.api.services import Services, Use
from dynoform.domain import data_services, database_credentials
from dynoform.domain.data_services import DEFAULT, POSTGRES
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import databases as store
from dynoform.store.tables import Account, Addon

router = APIRouter(tags=["databases"])


class UserObject(TypedDict):
    """A user of a credential."""

    password: str
    state: str
    user: str


class CredentialObject(TypedDict):
    """A credential; after a rotation it has two users for a while."""

    credentials: list[UserObject]
    database: str
    host: str
    name: str
    port: int
    state: str
    uuid: str


class NewCredential(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    name: Annotated[str, Field(max_length=100)]


class Rotation(BaseModel):
    """Body of a rotation: ``forced`` takes the old password away at once."""

    model_config = ConfigDict(strict=True)
    forced: bool | None = None


@router.get("/postgres/v0/databases/{database}/credentials", response_model=list[CredentialObject])
def credential_list(database: str, services: Use, caller: Caller) -> JSONResponse:
    """Its credentials, the default one first; those alone that the caller's apps have, of another's database."""
    with services.store.transaction() as session:
        addon = databases.find(session, caller, database, POSTGRES, Permission.DEPLOY)
        return JSONResponse([_show(services, session, addon, name) for name in _seen(session, caller, addon)])


@router.post("/postgres/v0/databases/{database}/credentials", status_code=201, response_model=CredentialObject)
async def credential_create(database: str, body: NewCredential, services: Use, caller: Caller) -> JSONResponse:
    """A credential that may connect, and nothing else before somebody grants it something."""

    def check() -> None:
        with services.store.transaction() as session:
            addon = _own(session, caller, database, "create a custom credential")
            database_credentials.check_new(body.name, store.credential_names(session, addon.id))

    await run_in_threadpool(check)
    details = {"name": body.name}
    await databases.perform(services, caller, database, POSTGRES, data_services.CREATE_CREDENTIAL, details)
    return JSONResponse(await run_in_threadpool(_find, services, caller, database, body.name), 201)


@router.get("/postgres/v0/databases/{database}/credentials/{credential}", response_model=CredentialObject)
def credential_info(database: str, credential: str, services: Use, caller: Caller) -> JSONResponse:
    """One credential, by name."""
    return JSONResponse(_find(services, caller, database, credential))


@router.delete("/postgres/v0/databases/{database}/credentials/{credential}", response_model=MessageObject)
async def credential_destroy(database: str, credential: str, services: Use, caller: Caller) -> JSONResponse:
    """A credential that nothing is attached to goes; what it has made is the default one's."""

    def check() -> None:
        with services.store.transaction() as session:
            addon = _own(session, caller, database, "destroy a credential")
            _check_there(session, caller, addon, credential)
            if credential == DEFAULT:
                raise InvalidInputError("Default credential cannot be destroyed.")
            apps = sorted({each.app.name for each in addon.attachments if each.namespace == _namespace(credential)})
            if apps:
                names = ", ".join(apps)
                raise InvalidInputError(f"Credential {credential} must be detached from {names} before destroying.")

    await run_in_threadpool(check)
    details = {"name": credential}
    await databases.perform(services, caller, database, POSTGRES, data_services.DESTROY_CREDENTIAL, details)
    return JSONResponse({"message": "Credential destroyed"})


@router.post("/postgres/v0/databases/{database}/repair-default", response_model=MessageObject)
async def credential_repair_default(database: str, services: Use, caller: Caller) -> JSONResponse:
    """All that named credentials have made is the default one's, and it may grant each of them."""

    def check() -> None:
        with services.store.transaction() as session:
            _own(session, caller, database, "repair the default credential")

    await run_in_threadpool(check)
    await databases.perform(services, caller, database, POSTGRES, data_services.REPAIR)
    return JSONResponse({"message": "Default credential repaired"})


@router.post("/postgres/v0/databases/{database}/credentials_rotation", response_model=MessageObject)
async def credentials_rotate_all(
    database: str, services: Use, caller: Caller, body: Rotation | None = None
) -> JSONResponse:
    """New passwords for all credentials."""
    return await _rotate(services, caller, database, body, None)


@router.post(
    "/postgres/v0/databases/{database}/credentials/{credential}/credentials_rotation", response_model=MessageObject
)
async def credential_rotate(
    database: str, credential: str, services: Use, caller: Caller, body: Rotation | None = None
) -> JSONResponse:
    """A new user and password for a credential; those before work for another half an hour, unless it is forced."""
    await run_in_threadpool(_find, services, caller, database, credential)
    return await _rotate(services, caller, database, body, credential)


async def _rotate(
    services: Use, caller: Caller, database: str, body: Rotation | None, name: str | None
) -> JSONResponse:
    details = {"name": name, "forced": bool(body and body.forced)}
    await databases.perform(services, caller, database, POSTGRES, data_services.ROTATE, details)
    return JSONResponse({"message": "Credential rotated"})


def _own(session: Session, caller: Account, reference: str, what: str) -> Addon:
    """The database, for a caller who may change it, and of a plan that has named credentials."""
    addon = databases.find(session, caller, reference, POSTGRES, Permission.OPERATE)
    database_credentials.check_plan(addon.plan.name, what)
    databases.check_provisioned(addon)
    return addon


def _seen(session: Session, caller: Account, addon: Addon) -> list[str]:
    databases.check_provisioned(addon)
    seen = databases.reach(session, caller, addon)
    names = store.credential_names(session, store.holder(session, addon.id))
    return [name for name in names if seen is None or name in seen]


def _check_there(session: Session, caller: Account, addon: Addon, name: str) -> None:
    if name not in _seen(session, caller, addon):
        raise not_found("credential", "credential")


def _namespace(name: str) -> str | None:
    return database_credentials.namespace(name) or None


def _find(services: Services, caller: Account, reference: str, name: str) -> CredentialObject:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, POSTGRES, Permission.DEPLOY)
        _check_there(session, caller, addon, name)
        return _show(services, session, addon, name)


def _show(services: Services, session: Session, addon: Addon, name: str) -> CredentialObject:
    found, holder = databases.database(session, addon), store.holder(session, addon.id)
    used = store.credential(session, services.vault, holder, name=name)
    users: list[UserObject] = [
        {
            "password": store.password(services.vault, each),
            "state": "active" if each.ends_at is None else "rotating",
            "user": each.username,
        }
        for each in store.all_credentials(session, holder, name)
    ]
    return {
        "credentials": users,
        "database": found.name,
        "host": databases.address(services, found),
        "name": name,
        "port": found.port,
        "state": "active" if len(users) == 1 else "rotating",
        "uuid": str(used.id),
    }
