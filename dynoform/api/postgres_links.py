"""Data links between databases: ``pg:links`` and all below it.

https://devcenter.heroku.com/articles/heroku-data-links
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.addons import Name, find_addon
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.postgres_databases import MessageObject
from dynoform.api.services import Use
from dynoform.domain import data_services, database_credentials
from dynoform.domain.data_services import POSTGRES
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import databases as store
from dynoform.store.tables import Account, Addon, DatabaseLink

router = APIRouter(prefix="/client/v11/databases/{database}/links", tags=["databases"])
_WHAT = "link databases"


class RemoteObject(TypedDict):
    """Where a link leads."""

    attachment_name: str
    name: str


class LinkObject(TypedDict):
    """A data link."""

    created_at: str
    id: str
    name: str
    remote: RemoteObject


class NewLink(BaseModel):
    """Body of create: the other database, and what the link is called here."""

    model_config = ConfigDict(strict=True, populate_by_name=True)
    target: Name
    name: Annotated[Name | None, Field(alias="as")] = None


@router.get("", response_model=list[LinkObject])
def link_list(database: str, services: Use, caller: Caller) -> JSONResponse:
    """A database's links."""
    with services.store.transaction() as session:
        addon = databases.find(session, caller, database, POSTGRES, Permission.DEPLOY)
        return JSONResponse([_show(session, each) for each in store.links(session, addon.id)])


@router.post("", status_code=201, response_model=LinkObject)
async def link_create(database: str, body: NewLink, services: Use, caller: Caller) -> JSONResponse:
    """Have another database's tables, as they are now, in a schema of this one."""

    def check() -> dict[str, str]:
        with services.store.transaction() as session:
            addon = _own(session, caller, database)
            target = find_addon(session, caller, body.target)
            if target.plan.service.provider != POSTGRES:
                raise InvalidInputError("Data links lead to PostgreSQL alone")
            target = _own(session, caller, str(target.id))
            if store.is_follower(databases.database(session, target)):
                raise InvalidInputError(f"{target.name} is a follower: link its leader")
            if target.id == addon.id:
                raise InvalidInputError("A database cannot be linked to itself")
            name = database_credentials.check_link(body.name or target.name.lower().replace("-", "_"))
            if store.find_link(session, addon.id, name) is not None:
                raise InvalidInputError(f"There is a link {name} already: choose another name with --as")
            return {"name": name, "target": str(target.id)}

    details = await run_in_threadpool(check)
    await databases.perform(services, caller, database, POSTGRES, data_services.LINK, details)

    def look() -> LinkObject:
        with services.store.transaction() as session:
            return _show(session, _find(session, _own(session, caller, database), details["name"]))

    return JSONResponse(await run_in_threadpool(look), 201)


@router.delete("/{link}", response_model=MessageObject)
async def link_destroy(database: str, link: str, services: Use, caller: Caller) -> JSONResponse:
    """A link goes, with the tables and views in its schema."""

    def check() -> None:
        with services.store.transaction() as session:
            _find(session, _own(session, caller, database), link)

    await run_in_threadpool(check)
    await databases.perform(services, caller, database, POSTGRES, data_services.UNLINK, {"name": link})
    return JSONResponse({"message": "Link destroyed"})


def _own(session: Session, caller: Account, reference: str) -> Addon:
    addon = databases.find(session, caller, reference, POSTGRES, Permission.OPERATE)
    database_credentials.check_plan(addon.plan.name, _WHAT)
    databases.check_provisioned(addon)
    return addon


def _find(session: Session, addon: Addon, name: str) -> DatabaseLink:
    found = store.find_link(session, addon.id, name)
    if found is None:
        raise not_found("link", "link")
    return found


def _show(session: Session, link: DatabaseLink) -> LinkObject:
    target = session.get(Addon, link.target_id) if link.target_id else None
    names = [each.name for each in target.attachments if each.app_id == target.app_id] if target else []
    return {
        "created_at": shown(link.created_at),
        "id": str(link.id),
        "name": link.name,
        "remote": {
            "attachment_name": names[0] if names else "destroyed",
            "name": target.name if target else link.target_name,
        },
    }
