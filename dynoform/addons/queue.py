"""The queue of changes to add-ons in the store: taken with a lease, an add-on's in order, finished once."""

import secrets
import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from dynoform.addons.provider import Grant, Resource
from dynoform.domain import addons, data_services, log_drains
from dynoform.errors import DynoformError, NotFoundError
from dynoform.store.addons import give_up, lock, retire
from dynoform.store.databases import of_services
from dynoform.store.secrets import Vault, digest
from dynoform.store.session import ADDON_DONE, Store, notify, now
from dynoform.store.tables import Addon, AddonChange, Plan

LEASE = timedelta(seconds=60)
RENEW_SECONDS = 20.0
_GRANT = timedelta(minutes=5)
_FORGOTTEN = timedelta(days=1)
"""After which an add-on that could not be made, and whose provider has been told, is no longer shown."""


@dataclass(frozen=True)
class Claim:
    """A change that this thread works on, as it was when taken."""

    change_id: uuid.UUID
    addon_id: uuid.UUID
    action: str
    attempt: int
    holder: str
    provider: str
    resource: Resource
    details: Mapping[str, Any] = field(default_factory=dict)


class LeaseLostError(DynoformError):
    """The change is no longer ours: it took too long and somebody else has it."""


@dataclass(frozen=True)
class Surroundings:
    """What every provider is told alike: the API's URL without a trailing slash, and the region's name."""

    api_url: str
    region: str


def take(
    store: Store, vault: Vault, around: Surroundings, others: Collection[str] = (), left: Collection[str] = ()
) -> Claim | None:
    """Take the oldest due change that nobody works on and that is its add-on's first; None when there is none.

    ``others`` are providers whose changes are left to another process, ``left`` actions that are to another thread.
    """
    with store.transaction() as session:
        change = session.scalars(_takeable(others, left)).first()
        if change is None:
            return None
        moment = now(session)
        change.attempts += 1
        change.lease_holder = uuid.uuid4().hex
        change.lease_expires_at = moment + LEASE
        addon = session.get_one(Addon, change.addon_id)
        resource = _resource(session, vault, around, addon, change, moment)
        provider = addon.plan.service.provider
        holder, details = change.lease_holder, change.details or {}
        return Claim(change.id, addon.id, change.action, change.attempts, holder, provider, resource, details)


def held(session: Session, claim: Claim) -> tuple[AddonChange, Addon]:
    """The change and its add-on, both locked. Raises ``LeaseLostError`` when the change is no longer ours."""
    try:
        addon = lock(session, claim.addon_id)
    except NotFoundError:
        raise LeaseLostError(f"change {claim.change_id}", "its add-on is gone") from None
    change = session.scalars(select(AddonChange).where(*_mine(claim)).with_for_update()).one_or_none()
    if change is None:
        raise LeaseLostError(f"change {claim.change_id}", "is no longer this worker's")
    return change, addon


def close(session: Session, change: AddonChange, failure: str | None = None) -> None:
    """Mark a change succeeded, or failed for the reason given, and tell who waits for it."""
    change.status = addons.SUCCEEDED if failure is None else addons.FAILED
    change.failure = None if failure is None else addons.reason(failure)
    change.lease_holder = change.lease_expires_at = None
    notify(session, ADDON_DONE, change.id)


def postpone(session: Session, change: AddonChange) -> None:
    """Let the change be tried again, later each time."""
    change.run_after = now(session) + addons.retry_after(change.attempts)
    change.lease_holder = change.lease_expires_at = None


def later(session: Session, change: AddonChange, seconds: float) -> None:
    """Have the change asked for again, as often as it takes: it is under way, and this was no attempt."""
    change.run_after = now(session) + timedelta(seconds=seconds)
    change.attempts -= 1
    change.lease_holder = change.lease_expires_at = None


def tidy(store: Store) -> None:
    """Give up what a provider never finished, destroy what it did not or what lost its app, forget the rest."""
    with store.transaction() as session:
        moment = now(session)
        busy = exists().where(AddonChange.addon_id == Addon.id, AddonChange.status == addons.PENDING)
        begun = Addon.state.in_((addons.PROVISIONING, addons.DEPROVISIONING))
        overdue = and_(begun, Addon.state_changed_at < moment - addons.PATIENCE)
        homeless = and_(Addon.app_id.is_(None), Addon.state.in_((addons.PROVISIONING, addons.PROVISIONED)))
        stuck = select(Addon.id).where(or_(overdue, homeless), ~busy).order_by(Addon.id)
        for addon_id in session.scalars(stuck.with_for_update(of=Addon, skip_locked=True)).all():
            addon = lock(session, addon_id)
            if addon.state == addons.PROVISIONING and addon.app_id is not None:
                give_up(session, addon)
            else:
                retire(session, addon, addon.account_id)
        forgotten = Addon.state_changed_at < moment - _FORGOTTEN
        looks = AddonChange.action.in_((data_services.INSPECT, data_services.PROTECT, data_services.HAND_OVER))
        looked = looks, AddonChange.status != addons.PENDING, AddonChange.created_at < moment - _FORGOTTEN
        session.execute(delete(AddonChange).where(*looked))
        session.execute(delete(Addon).where(Addon.state == addons.DEPROVISIONED, forgotten, ~busy))


class Keeper:
    """Renews a change's lease from a thread for as long as its provider is asked."""

    def __init__(self, store: Store, claim: Claim) -> None:
        """Starts with the ``with`` block, ends with it."""
        self._store = store
        self._claim = claim
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="addon-lease", daemon=True)

    def __enter__(self) -> "Keeper":
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop; the lease runs out by itself unless the change was finished."""
        self._stopped.set()

    def _work(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            try:
                if not self._renew():
                    return
            except DynoformError:
                continue  # the next time is well within the lease

    def _renew(self) -> bool:
        with self._store.transaction() as session:
            values = {"lease_expires_at": now(session) + LEASE}
            done = session.execute(update(AddonChange).where(*_mine(self._claim)).values(values))
            return isinstance(done, CursorResult) and done.rowcount == 1


def _mine(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (
        AddonChange.id == claim.change_id,
        AddonChange.lease_holder == claim.holder,
        AddonChange.status == addons.PENDING,
    )


def _takeable(others: Collection[str], left: Collection[str]) -> Select[AddonChange]:
    older = aliased(AddonChange)
    first = ~exists().where(
        older.addon_id == AddonChange.addon_id,
        older.status == addons.PENDING,
        older.created_at < AddonChange.created_at,
    )
    free = or_(AddonChange.lease_expires_at.is_(None), AddonChange.lease_expires_at < func.now())
    query = select(AddonChange).where(
        AddonChange.status == addons.PENDING, AddonChange.run_after <= func.now(), free, first
    )
    if others:
        elsewhere = exists().where(Addon.id == AddonChange.addon_id, of_services(others))
        query = query.where(~elsewhere)
    if left:
        query = query.where(AddonChange.action.not_in(left))
    return query.order_by(AddonChange.run_after).limit(1).with_for_update(of=AddonChange, skip_locked=True)


def _resource(
    session: Session, vault: Vault, around: Surroundings, addon: Addon, change: AddonChange, moment: datetime
) -> Resource:
    plan = session.get_one(Plan, change.plan_id) if change.plan_id else addon.plan
    service = plan.service
    secret = vault.decrypt(service.id, service.secrets) if service.secrets else {}
    return Resource(
        uuid=addon.id,
        name=addon.name,
        service=service.name,
        plan=plan.name,
        region=f"dynoform::{around.region}",
        callback_url=f"{around.api_url}/addons/{addon.id}",
        app_id=addon.app_id,
        options=vault.decrypt(addon.id, addon.options) if addon.options else {},
        base_url=service.base_url or "",
        password=secret.get("password", ""),
        grant=_grant(addon, moment) if change.action == addons.PROVISION else None,
        log_drain_token=log_drains.addon_token(addon.id) if service.drains_logs else None,
        change_id=change.id,
        attempt=change.attempts,
    )


def _grant(addon: Addon, moment: datetime) -> Grant:
    code = secrets.token_urlsafe(32)
    addon.grant_digest, addon.grant_expires_at = digest(code), moment + _GRANT
    return Grant(code, addon.grant_expires_at.isoformat(timespec="seconds"))
