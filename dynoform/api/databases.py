"""What the routes of the data API have in common: whose database it is, and having something done to it.

Clients find the data API at ``HEROKU_DATA_HOST``, which is a name without a port: here it is the Platform API's own.
The API process reaches no database; it asks the process that does, by the queue of add-ons' changes, and waits.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from dynoform.api import addons, apps
from dynoform.api.errors import not_found
from dynoform.api.services import Services
from dynoform.domain import addons as rules
from dynoform.domain import data_services, database_credentials
from dynoform.domain.data_services import Access
from dynoform.domain.permissions import Permission
from dynoform.errors import ConflictError, DynoformError, InvalidInputError, UnavailableError
from dynoform.store import addons as store_addons
from dynoform.store import databases as store
from dynoform.store.tables import Account, Addon, AddonChange, Database, DatabaseCredential

WAIT_SECONDS = 25.0
LOOK_SECONDS = 1.0
_LATE = "is slow to answer"


@dataclass(frozen=True)
class Shown:
    """A database as the store has it, and what it says of itself; nothing while it does not answer."""

    addon: Addon
    access: Access
    facts: Mapping[str, Any]
    protection: Mapping[str, Any] | None = None
    """How its repository of backups was, see ``dynoform.domain.protection.state``; None before the first look."""
    forked_from: str | None = None
    leader: Addon | None = None
    """Of a follower: whose database it follows."""
    leader_access: Access | None = None
    follows: bool = False
    """Whether it is a follower; of one whose leader was destroyed there is no ``leader``."""
    followers: Sequence[str] = ()
    """The names of those that follow it."""


def find(session: Session, caller: Account, reference: str, service: str, needs: Permission) -> Addon:
    """The add-on of this service, by id or name, for a caller who has a permission on an app that it is attached to.

    Raises ``ApiError`` 404 for one of another service or of a partner's, 403 without the permission.
    """
    addon = addons.find_addon(session, caller, reference)
    if addon.plan.service.provider != service or addon.state == rules.DEPROVISIONED:
        raise not_found("add on", "add_on")
    if needs is Permission.OPERATE:  # what it costs others is its own app's to decide
        apps.find(session, caller, str(addon.app_id), needs)
        return addon
    refusal: DynoformError | None = None
    for app_id in [addon.app_id, *(each.app_id for each in addon.attachments)]:
        try:
            apps.find(session, caller, str(app_id), needs)
        except DynoformError as error:
            refusal = refusal or error
        else:
            return addon
    raise refusal or not_found("add on", "add_on")


def database(session: Session, addon: Addon) -> Database:
    """Where it is. Raises ``ApiError`` 404 before it is there: the CLI says then that it is not yet provisioned."""
    check_provisioned(addon)
    found = session.get(Database, addon.id)
    if found is None:
        raise not_found("database", "database")
    return found


def check_provisioned(addon: Addon) -> None:
    """Raise ``ApiError`` 404 before it is there, and once it is going."""
    if addon.state != rules.PROVISIONED:
        raise not_found("database", "database")


def does_not_answer() -> NoReturn:
    """Raise ``UnavailableError``: what is wanted is known to the database alone."""
    raise UnavailableError("The database", "does not answer", "try again in a minute")


def access(services: Services, found: Database, used: DatabaseCredential) -> Access:
    """How clients get in by a credential."""
    secret = store.password(services.vault, used)
    return Access(address(services, found), found.port, used.username, secret, found.name)


def address(services: Services, found: Database) -> str:
    """Where clients find a database."""
    return services.configuration.database_address(everywhere=found.everywhere)


def reach(session: Session, caller: Account, addon: Addon) -> frozenset[str] | None:
    """The credentials that a caller may see.

    All (None) of an add-on whose app it may deploy to; else those alone that are attached to such apps: whoever was
    given one with few permissions has no way to another.
    """
    if _may_deploy(session, caller, addon.app_id):
        return None
    return frozenset(
        database_credentials.of_namespace(each.namespace)
        for each in addon.attachments
        if _may_deploy(session, caller, each.app_id)
    )


def _may_deploy(session: Session, caller: Account, app_id: uuid.UUID | None) -> bool:
    try:
        apps.find(session, caller, str(app_id), Permission.DEPLOY)
    except DynoformError:
        return False
    return True


async def show(services: Services, caller: Account, reference: str, service: str) -> Shown:
    """A database with what it says of itself, if it does so in time."""
    known = await run_in_threadpool(_known, services, caller, reference, service)
    return replace(known, facts=await facts(services, caller, reference, service))


async def facts(services: Services, caller: Account, reference: str, service: str) -> Mapping[str, Any]:
    """What a database says of itself, if it does so in time; else nothing."""
    change_id = await ask(services, caller, reference, service, data_services.INSPECT)
    try:
        return await answer(services, change_id)
    except (UnavailableError, InvalidInputError):
        return {}


async def perform(
    services: Services,
    caller: Account,
    reference: str,
    service: str,
    operation: str,
    details: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Have something done to a database; what came of it.

    Raises ``InvalidInputError`` when it was refused, ``UnavailableError`` when it takes longer than a while: it is done
    all the same.
    """
    return await answer(services, await ask(services, caller, reference, service, operation, details))


async def ask(
    services: Services,
    caller: Account,
    reference: str,
    service: str,
    operation: str,
    details: Mapping[str, Any] | None = None,
) -> uuid.UUID:
    """Have something done to a database; the id of that."""
    return await run_in_threadpool(_ask, services, caller, reference, service, operation, details)


def state(services: Services, caller: Account, reference: str, service: str) -> dict[str, Any]:
    """What clients that wait are told."""
    with services.store.transaction() as session:
        addon = find(session, caller, reference, service, Permission.VIEW)
        waits = addon.state == rules.PROVISIONING or _is_maintained(session, addon)
        return {"message": "preparing" if waits else "available", "waiting?": waits}


def _is_maintained(session: Session, addon: Addon) -> bool:
    """Whether it is being brought up to date."""
    pending = AddonChange.status == rules.PENDING, AddonChange.action == data_services.MAINTAIN
    return session.scalars(select(AddonChange.id).where(AddonChange.addon_id == addon.id, *pending)).first() is not None


def _known(services: Services, caller: Account, reference: str, service: str) -> Shown:
    with services.store.transaction() as session:
        addon = find(session, caller, reference, service, Permission.DEPLOY)
        found, seen = database(session, addon), reach(session, caller, addon)
        name = data_services.DEFAULT if seen is None or data_services.DEFAULT in seen else min(seen)
        used = store.credential(session, services.vault, store.holder(session, addon.id), name=name)
        leader = session.get(Addon, found.leader_id) if found.leader_id else None
        return Shown(
            addon,
            access(services, found, used),
            {},
            found.protection,
            found.forked_from,
            leader,
            access(services, session.get_one(Database, leader.id), used) if leader else None,
            store.is_follower(found),
            [each.name for each in store.followers(session, addon.id)],
        )


def _ask(
    services: Services,
    caller: Account,
    reference: str,
    service: str,
    operation: str,
    details: Mapping[str, Any] | None,
) -> uuid.UUID:
    looks = operation in data_services.LOOKS
    with services.store.transaction() as session:
        addon = find(session, caller, reference, service, Permission.DEPLOY if looks else Permission.OPERATE)
        if not looks:
            addon = store_addons.lock(session, addon.id)
        check_provisioned(addon)
        return store.ask(session, addon, operation, caller.id, details).id


async def answer(services: Services, change_id: uuid.UUID) -> Mapping[str, Any]:
    """What came of something that was asked; raises as ``perform``."""
    deadline = time.monotonic() + WAIT_SECONDS
    with services.wakers.subscribe(change_id) as wake:
        while time.monotonic() < deadline:
            wake.clear()
            found = await run_in_threadpool(_finished, services, change_id)
            if found is not None:
                return found
            try:
                await asyncio.wait_for(wake.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
    raise UnavailableError("The database", _LATE, "what was asked for is still done: look again in a minute")


def _finished(services: Services, change_id: uuid.UUID) -> Mapping[str, Any] | None:
    with services.store.transaction() as session:
        change = session.get(AddonChange, change_id)
        if change is None:
            raise ConflictError("The database", "was destroyed meanwhile")
        if change.status == rules.PENDING:
            return None
        if change.status == rules.FAILED:
            raise InvalidInputError(change.failure or "It could not be done")
        found = change.result or {}
        if change.action == data_services.INSPECT:
            session.delete(change)  # nobody looks back at it
        return found
