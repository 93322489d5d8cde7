"""Connection pools of databases: ``pg:connection-pooling:attach``.

https://devcenter.heroku.com/articles/postgres-connection-pooling
"""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from dynoform.api import addon_attachments, apps, databases
from dynoform.api.addon_attachments import AddonAttachmentObject
from dynoform.api.addons import Name, Reference
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.services import Services, Use
from dynoform.domain import data_services, database_credentials
from dynoform.domain.data_services import DEFAULT, POSTGRES
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store import addons as store
from dynoform.store.addons import OverwriteError
from dynoform.store.tables import Account, AddonAttachment

router = APIRouter(tags=["databases"])
_NAME = "DATABASE_CONNECTION_POOL"


class NewPool(BaseModel):
    """Body of attach: the app, and the name of the attachment if it is to be another than usual."""

    model_config = ConfigDict(strict=True)
    app: Reference
    credential: Annotated[str, Field(max_length=100)] | None = None
    name: Name | None = None


@router.post(
    "/client/v11/databases/{database}/connection-pooling", status_code=201, response_model=AddonAttachmentObject
)
async def connection_pooling_attach(database: str, body: NewPool, services: Use, caller: Caller) -> JSONResponse:
    """Attach an app to the database's connection pool, which is there for as long as an attachment leads to it.

    Where that takes longer than clients wait, the config vars come later, in a release of their own.
    """
    identifier = await run_in_threadpool(_attach, services, caller, database, body)
    try:
        await databases.perform(services, caller, database, POSTGRES, data_services.POOL)
    except InvalidInputError:
        await run_in_threadpool(_detach, services, caller, identifier)
        raise
    except UnavailableError:
        pass
    return JSONResponse(await run_in_threadpool(_show, services, identifier), 201)


def _attach(services: Services, caller: Account, reference: str, body: NewPool) -> uuid.UUID:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, POSTGRES, Permission.OPERATE)
        database_credentials.check_plan(addon.plan.name, "perform this operation")
        databases.check_provisioned(addon)
        if body.credential not in (None, DEFAULT):
            raise InvalidInputError("Connection pooling is for the default credential alone")
        app = apps.find(session, caller, body.app, Permission.DEPLOY)
        addon = store.lock(session, addon.id, app.id)
        try:
            made = store.add_attachment(
                session,
                services.vault,
                app,
                addon,
                body.name or _NAME,
                caller,
                namespace=database_credentials.POOLING,
            )
        except OverwriteError as error:
            raise InvalidInputError(f"{error}. Choose another name with --as") from None
        return made.id


def _detach(services: Services, caller: Account, identifier: uuid.UUID) -> None:
    """What leads nowhere is not left."""
    with services.store.transaction() as session:
        found = session.get(AddonAttachment, identifier)
        if found is not None:
            store.lock(session, found.addon_id)
            store.detach(session, services.vault, found, caller.id)


def _show(services: Services, identifier: uuid.UUID) -> AddonAttachmentObject:
    with services.store.transaction() as session:
        found = session.get(AddonAttachment, identifier)
        if found is None:
            raise not_found("add on attachment", "add_on attachment")
        return addon_attachments.show(found)
