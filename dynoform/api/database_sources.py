"""What a new database is made from: another one as it is, or as it was. Options of ``addons:create``."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.api import apps, databases
from dynoform.api.errors import not_found
from dynoform.domain import addons, data_services, followers, protection, transfers
from dynoform.domain.permissions import Permission
from dynoform.domain.protection import Source
from dynoform.errors import InvalidInputError
from dynoform.store import addons as store
from dynoform.store import transfers as stored
from dynoform.store.apps import parse_id
from dynoform.store.databases import is_follower, of_services
from dynoform.store.secrets import Vault
from dynoform.store.session import now
from dynoform.store.tables import Account, Addon, AddonAttachment, App, Database, Transfer


def resolve(session: Session, caller: Account, app: App, options: dict[str, str], plan: str) -> dict[str, str]:
    """The options as the provider of databases takes them: whose data, as of when; or whom one of ``plan`` follows.

    A database is called by an attachment of ``app`` or, with ``other::`` before it, of another app; by its config var;
    or by its own name. Whoever may read all that is in it may copy it; who may deploy to its own app may follow it,
    as a follower has all its credentials for as long as it follows.

    Raises ``InvalidInputError`` for what cannot be, ``ApiError`` 404 for a database that is not there.
    """
    if followers.OPTION in options:
        return _follow(session, caller, app, options, plan)
    moment = now(session)
    wanted = protection.wanted(options, moment)
    if wanted is None:
        return {}
    addon = _find(session, caller, app, wanted.reference)
    protection.check_source(addon.name, session.get_one(Database, addon.id).protection, wanted.to, moment)
    return protection.options(Source(addon.id, wanted.to))


def snapshot(session: Session, vault: Vault, app: App, options: dict[str, str]) -> dict[str, str]:
    """The options as the provider of Redis takes them: ``restore`` is one of the app's backups, by its number.

    Raises ``InvalidInputError`` where it is none of a Redis, ``ApiError`` 404 where there is none.
    """
    if "restore" not in options:
        return options
    mine = Transfer.app_id == app.id, Transfer.num == transfers.number(options["restore"])
    whole = Transfer.deleted_at.is_(None), Transfer.to_type == transfers.STORED, Transfer.succeeded.is_(True)
    found = session.scalars(select(Transfer).where(*mine, *whole)).unique().one_or_none()
    if found is None:
        raise not_found("backup", "backup")
    if not stored.is_of(vault, found, data_services.REDIS):
        raise InvalidInputError(f"Backup {options['restore']} is no Redis'")
    return {**options, "restore": str(found.id)}


def _follow(session: Session, caller: Account, app: App, options: dict[str, str], plan: str) -> dict[str, str]:
    addon = _find(session, caller, app, options[followers.OPTION])
    apps.find(session, caller, str(addon.app_id), Permission.DEPLOY)
    followers.check(options, plan, addon.plan.name)
    if is_follower(session.get_one(Database, addon.id)):
        raise InvalidInputError(f"{addon.name} is a follower itself: follow its leader")
    return {followers.LEADER: str(addon.id)}


def _find(session: Session, caller: Account, app: App, reference: str) -> Addon:
    other, colons, name = reference[:300].replace("\0", "").rpartition("::")
    place = apps.find(session, caller, other) if colons else app
    names = AddonAttachment.name.in_({name, name.removesuffix("_URL")})
    attached = session.scalars(
        select(AddonAttachment.addon_id).where(AddonAttachment.app_id == place.id, names).limit(1)
    ).first()
    called: uuid.UUID | None = attached or parse_id(name)
    there = of_services([data_services.POSTGRES]), Addon.state == addons.PROVISIONED
    query = store.visible_to(caller).where(*there, Addon.id == called if called else Addon.name == name)
    found = session.scalars(query.where(Addon.id.in_(select(Database.addon_id)))).unique().one_or_none()
    if found is None:
        raise not_found("add on", "add_on")
    apps.find(session, caller, str(place.id if attached else found.app_id), Permission.DEPLOY)
    seen = databases.reach(session, caller, found)
    if seen is not None and data_services.DEFAULT not in seen:
        why = "is attached with a credential that may have less than all of it"
        raise InvalidInputError(f"{name} {why}: ask who has its app for a copy")
    return found
