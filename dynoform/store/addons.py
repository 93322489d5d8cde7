"""Add-ons in apps: which there are, and attaching, detaching and configuring them, each with its release.

Whoever changes an add-on locks it first and then its apps, each in the order of ids, so that no two wait for each
other.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import addons, config_vars
from dynoform.domain.webhooks import CREATE, DESTROY, UPDATE
from dynoform.errors import ConflictError, InvalidInputError, NotFoundError
from dynoform.store import apps, webhooks
from dynoform.store.releases import add_config, config_of, create_release, lock_app, newest_release
from dynoform.store.secrets import Vault
from dynoform.store.session import ADDON_WORK, notify
from dynoform.store.tables import (
    Account,
    Addon,
    AddonAttachment,
    AddonChange,
    AddonConfig,
    AddonService,
    App,
    Plan,
    Release,
    now,
)

_TRIES = 5


class Made(NamedTuple):
    """A release that came of a change, with its app."""

    app: App
    release: Release


def visible_apps(account: Account) -> Select[uuid.UUID]:
    """Query for the ids of the apps that this account may see."""
    return apps.visible_to(account).with_only_columns(App.id)


def visible_to(account: Account) -> Select[Addon]:
    """Query for the add-ons that this account may see: those of its apps, and those attached to them."""
    seen = visible_apps(account)
    here = exists().where(AddonAttachment.addon_id == Addon.id, AddonAttachment.app_id.in_(seen))
    return select(Addon).where(Addon.app_id.is_not(None), or_(Addon.app_id.in_(seen), here))


def attachments_visible_to(account: Account) -> Select[AddonAttachment]:
    """Query for the attachments to the apps that this account may see."""
    return select(AddonAttachment).where(AddonAttachment.app_id.in_(visible_apps(account)))


def lock(session: Session, addon_id: uuid.UUID, *app_ids: uuid.UUID) -> Addon:
    """The add-on, fresh, locked until the transaction ends, and with it its apps and those given.

    Raises ``NotFoundError`` when it is gone.
    """
    found = lock_all(session, [addon_id], app_ids)
    if not found:
        raise NotFoundError("Couldn't find that add on.", resource="add_on")
    return found[0]


def lock_all(session: Session, addon_ids: Iterable[uuid.UUID], app_ids: Iterable[uuid.UUID] = ()) -> Sequence[Addon]:
    """Those of the add-ons that are there, as ``lock`` does it."""
    wanted = list(addon_ids)
    query = select(Addon).where(Addon.id.in_(wanted)).order_by(Addon.id).with_for_update(of=Addon)
    found = session.scalars(query.execution_options(populate_existing=True)).unique().all()
    # Before anything is written: PostgreSQL's check of a foreign key would share-lock the apps, and two that do so
    # and then want more wait for each other.
    theirs = {each.app_id for addon in found for each in addon.attachments} | {addon.app_id for addon in found}
    apps_too = select(App.id).where(App.id.in_([*theirs - {None}, *app_ids])).order_by(App.id)
    session.scalars(apps_too.with_for_update()).all()
    return found


def create(
    session: Session,
    vault: Vault,
    app: App,
    plan: Plan,
    account: Account,
    *,
    name: str | None = None,
    attachment: str | None = None,
    options: Mapping[str, str] | None = None,
    confirmed: bool = False,
) -> tuple[Addon, AddonChange]:
    """A new add-on of a locked app, attached under a name but without config vars, and the work for its provider.

    Raises ``InvalidInputError`` as ``attachment_name`` does, for a name that is taken, and for a second add-on of a
    service that allows one.
    """
    service = plan.service
    mine = select(Addon.id).join(Plan).where(Addon.app_id == app.id, Plan.service_id == service.id)
    alive = Addon.state != addons.DEPROVISIONED
    if not service.supports_multiple_installations and session.scalars(mine.where(alive)).first():
        raise InvalidInputError(f"{service.name} may be installed only once per app")
    addon = _insert(session, Addon(app_id=app.id, plan_id=plan.id, account_id=account.id), plan, name)
    addon.options = vault.encrypt(addon.id, dict(options)) if options else None
    webhooks.addon_changed(session, addon, CREATE, account)
    add_attachment(session, vault, app, addon, attachment, account, confirmed=confirmed)
    return addon, enqueue(session, addon, addons.PROVISION, account.id)


def enqueue(
    session: Session, addon: Addon, action: str, account_id: uuid.UUID, plan_id: uuid.UUID | None = None
) -> AddonChange:
    """Have the provider do something, after what it was asked before."""
    change = AddonChange(id=uuid.uuid4(), addon_id=addon.id, action=action, account_id=account_id, plan_id=plan_id)
    session.add(change)
    session.flush()
    notify(session, ADDON_WORK, change.id)
    return change


def add_attachment(
    session: Session,
    vault: Vault,
    app: App,
    addon: Addon,
    name: str | None,
    account: Account,
    *,
    namespace: str | None = None,
    confirmed: bool = False,
) -> AddonAttachment:
    """Give the add-on a name in a locked app; its config vars come by ``set_config``.

    Raises ``InvalidInputError`` for a wrong name, ``OverwriteError`` for one that is in use and not ``confirmed``.
    """
    config = config_of(session, vault, newest_release(session, app.id))
    present = {each.name: each for each in session.scalars(_attachments(app)).unique()}
    if len(present) >= addons.MAXIMUM_PER_APP:
        raise InvalidInputError(f"{app.name} has {addons.MAXIMUM_PER_APP} attachments, more are not possible")
    service = addon.plan.service
    chosen = _free_name(app, service, present, config) if name is None else addons.check_attachment_name(name)
    before = present.get(chosen)
    own = before.config_vars if before else []
    if not confirmed:
        _check_overwriting(app, service, chosen, before, set(config) - set(own))
    if before is not None:
        if before.addon_id != addon.id:
            check_detachable(before)
        webhooks.attachment_changed(session, before, DESTROY, account)
        session.delete(before)
        session.flush()
    made = AddonAttachment(id=uuid.uuid4(), addon_id=addon.id, app_id=app.id, name=chosen, namespace=namespace)
    made.config_vars = list(own)
    session.add(made)
    session.flush()
    webhooks.attachment_changed(session, made, CREATE, account)
    return made


def bring(session: Session, vault: Vault, attachment: AddonAttachment, account_id: uuid.UUID) -> Made:
    """Release a new attachment to a locked app with what its add-on's provider has set."""
    addon = attachment.addon
    config = provider_config(session, vault, addon, attachment.namespace)
    gone, added = _apply(addon.plan.service, [attachment], config)
    return _release(session, vault, attachment.app, gone, added, attach_description(attachment), account_id)


class OverwriteError(InvalidInputError):
    """Something would be overwritten; the user has to confirm that by the app's name."""

    def __init__(self, what: str, app: App) -> None:
        """``what`` is the whole sentence, ``app`` the one to confirm."""
        super().__init__(what)
        self.app = app


def detach(session: Session, vault: Vault, attachment: AddonAttachment, account_id: uuid.UUID) -> Made:
    """End an attachment to a locked app: its config vars go, in a release."""
    description = addons.detached(attachment.name, attachment.addon.name)
    webhooks.attachment_changed(session, attachment, DESTROY, session.get(Account, account_id))
    session.delete(attachment)
    session.flush()
    return _release(session, vault, attachment.app, attachment.config_vars, {}, description, account_id)


def check_detachable(attachment: AddonAttachment) -> None:
    """Raise ``InvalidInputError`` for the last attachment to the add-on's own app: nobody would see what it costs."""
    addon = attachment.addon
    others = [each for each in addon.attachments if each.app_id == addon.app_id and each.id != attachment.id]
    if attachment.app_id == addon.app_id and not others:
        raise InvalidInputError(
            f"Cannot destroy last attachment to billing app for resource {addon.name}. Destroy the add-on instead"
        )


def set_config(
    session: Session,
    vault: Vault,
    addon: Addon,
    describe: Callable[[Sequence[AddonAttachment]], str],
    account_id: uuid.UUID,
    namespace: str | None = None,
    *,
    phase: bool = False,
) -> list[Made]:
    """Bring what the provider set for a credential of a locked add-on to all apps that have it: a release for each.

    ``describe`` gives the release's description from an app's attachments, which have their new config vars by then.
    The releases run no release command, unless by ``phase`` (https://devcenter.heroku.com/articles/release-phase).
    Raises ``InvalidInputError`` when an app's config vars get too many.
    """
    config = provider_config(session, vault, addon, namespace)
    made = []
    for app_id in sorted({each.app_id for each in addon.attachments if each.namespace == namespace}):
        app = lock_app(session, app_id)
        attachments = [each for each in _in_app(session, addon, app_id) if each.namespace == namespace]
        if app is not None and attachments:
            gone, added = _apply(addon.plan.service, attachments, config)
            description = describe(attachments)
            made.append(_release(session, vault, app, gone, added, description, account_id, phase=phase))
    return made


def provider_config(session: Session, vault: Vault, addon: Addon, namespace: str | None = None) -> dict[str, str]:
    """What the provider set, for the default credential or for the one named."""
    row = session.get(AddonConfig, (addon.id, namespace or ""))
    return vault.decrypt(addon.id, row.ciphertext) if row else {}


def save_config(session: Session, vault: Vault, addon: Addon, config: Mapping[str, str], namespace: str = "") -> None:
    """Remember what the provider set; ``set_config`` brings it to apps."""
    row = AddonConfig(addon_id=addon.id, namespace=namespace, ciphertext=vault.encrypt(addon.id, dict(config)))
    session.merge(row)
    session.flush()


def complete(session: Session, vault: Vault, addon: Addon, *, late: bool) -> list[Made]:
    """A locked add-on is ready: its config vars go into the apps. ``late`` when its provider took its time."""
    move(addon, addons.PROVISIONED)

    def describe(attachments: Sequence[AddonAttachment]) -> str:
        names = [name for each in attachments for name in each.config_vars]
        return addons.provisioned(addon.name, names) if late and names else attach_description(attachments[0])

    made = set_config(session, vault, addon, describe, addon.account_id, phase=True)
    webhooks.addon_changed(session, addon, UPDATE, addon.account, {"state": addons.PROVISIONING})
    return made


def change_plan(session: Session, vault: Vault, addon: Addon, plan: Plan, account_id: uuid.UUID) -> list[Made]:
    """A locked add-on has another plan: its config vars go into the apps, which get a release in any case."""
    before = addon.plan
    addon.plan = plan
    session.flush()
    actor, previous = session.get(Account, account_id), {"plan": {"id": str(before.id), "name": before.full_name}}
    webhooks.addon_changed(session, addon, UPDATE, actor, previous)
    if addon.state != addons.PROVISIONED:
        return []
    description = addons.plan_changed(addon.name, plan.full_name)
    return set_config(session, vault, addon, lambda attached: description, account_id)


def attach_description(attachment: AddonAttachment) -> str:
    """What the release of a new attachment is called."""
    return addons.attached(attachment.name, attachment.addon.name)


def give_up(session: Session, addon: Addon) -> None:
    """A locked add-on cannot be made: it leaves the apps, where it never set anything, and its provider is told."""
    for attachment in addon.attachments:
        if lock_app(session, attachment.app_id) is not None:
            for each in _in_app(session, addon, attachment.app_id):
                webhooks.attachment_changed(session, each, DESTROY, addon.account)
                session.delete(each)
            session.flush()
    retire(session, addon, addon.account_id)
    move(addon, addons.DEPROVISIONED)


def remove(session: Session, vault: Vault, addon: Addon, account_id: uuid.UUID) -> tuple[AddonChange, list[Made]]:
    """Take a locked add-on from all apps, with releases, and have its provider destroy it."""
    made = leave(session, vault, addon, {each.app_id for each in addon.attachments}, account_id)
    return retire(session, addon, account_id), made


def leave(
    session: Session, vault: Vault, addon: Addon, app_ids: Iterable[uuid.UUID], account_id: uuid.UUID
) -> list[Made]:
    """Detach a locked add-on from these apps."""
    made = []
    for app_id in sorted(app_ids):
        if lock_app(session, app_id) is not None:
            made += [detach(session, vault, each, account_id) for each in _in_app(session, addon, app_id)]
    return made


def retire(session: Session, addon: Addon, account_id: uuid.UUID) -> AddonChange:
    """Have the provider destroy a locked add-on. What it has not begun is not begun any more."""
    waiting = select(AddonChange).where(AddonChange.addon_id == addon.id, AddonChange.status == addons.PENDING)
    idle = or_(AddonChange.lease_expires_at.is_(None), AddonChange.lease_expires_at < now())
    for change in session.scalars(waiting.where(idle).with_for_update(skip_locked=True)):
        change.status, change.failure = addons.FAILED, "The add-on was destroyed meanwhile"
    if addon.state in (addons.PROVISIONING, addons.PROVISIONED):
        webhooks.addon_changed(session, addon, DESTROY, session.get(Account, account_id), {"state": addon.state})
    move(addon, addons.DEPROVISIONING)
    return enqueue(session, addon, addons.DEPROVISION, account_id)


def rename(session: Session, addon: Addon, name: str, account: Account) -> None:
    """Give a locked add-on another name. Raises ``InvalidInputError`` for one that cannot be or is taken."""
    before = addon.name
    addons.check_name(name)
    try:
        with session.begin_nested():
            addon.name = name
    except IntegrityError:
        raise addons.taken(name) from None
    webhooks.addon_changed(session, addon, UPDATE, account, {"name": before})


def move(addon: Addon, state: str) -> None:
    """Bring a locked add-on into another state."""
    addon.state, addon.state_changed_at = state, now()


def abandon(session: Session, vault: Vault, app: App, account_id: uuid.UUID) -> list[Made]:
    """Have everything destroyed that an app has which is about to be deleted; other apps lose what they share of it.

    The add-ons stay in the store, without an app, until their providers are done.
    """
    made = []
    for addon in lock_all(session, session.scalars(select(Addon.id).where(Addon.app_id == app.id)).all(), [app.id]):
        others = {each.app_id for each in addon.attachments} - {app.id}
        made += leave(session, vault, addon, others, account_id)
        if addon.state in (addons.PROVISIONING, addons.PROVISIONED):
            retire(session, addon, account_id)
    session.flush()
    return made


def _insert(session: Session, addon: Addon, plan: Plan, name: str | None) -> Addon:
    addon.state, addon.plan = addons.PROVISIONING, plan
    for _ in range(_TRIES):
        chosen = addons.check_name(name) if name is not None else addons.generate_name(plan.service.name)
        addon.id, addon.name = uuid.uuid4(), chosen
        try:
            with session.begin_nested():
                session.add(addon)
        except IntegrityError:
            if name is not None:
                raise addons.taken(name) from None
        else:
            return addon
    raise ConflictError("a random add-on name", f"was taken {_TRIES} times in a row", "try again, or choose a name")


def _attachments(app: App) -> Select[AddonAttachment]:
    return select(AddonAttachment).where(AddonAttachment.app_id == app.id)


def _in_app(session: Session, addon: Addon, app_id: uuid.UUID) -> Sequence[AddonAttachment]:
    """The add-on's attachments to a locked app, fresh: only now nobody can take one away."""
    query = select(AddonAttachment).where(AddonAttachment.addon_id == addon.id, AddonAttachment.app_id == app_id)
    return session.scalars(query.order_by(AddonAttachment.name)).unique().all()


def _apply(
    service: AddonService, attachments: Sequence[AddonAttachment], config: Mapping[str, str]
) -> tuple[set[str], dict[str, str]]:
    """Note the new names of the attachments' config vars; returns what an app has no more, and what it now has."""
    gone: set[str] = set()
    added: dict[str, str] = {}
    for attachment in attachments:
        mine = addons.attached_config(attachment.name, service.prefix, config)
        gone |= set(attachment.config_vars)
        added |= mine
        attachment.config_vars = sorted(mine)
    return gone - set(added), added


def _variables(service: AddonService, name: str) -> set[str]:
    return {addons.config_var(name, service.prefix, variable) for variable in service.config_vars}


def _free_name(app: App, service: AddonService, present: Collection[str], config: Collection[str]) -> str:
    for name in addons.attachment_names(service.name, service.prefix):
        if name not in present and not _variables(service, name) & set(config):
            return name
    raise InvalidInputError(f"All usual names for {service.name} are in use on {app.name}. Choose one with --as")


def _check_overwriting(
    app: App, service: AddonService, name: str, before: AddonAttachment | None, config: Collection[str]
) -> None:
    if before is not None:
        raise OverwriteError(f"{before.addon.name} is already attached to {app.name} as {name}", app)
    overwritten = sorted(_variables(service, name) & set(config))
    if overwritten:
        raise OverwriteError(f"Config vars {', '.join(overwritten)} of {app.name} would be overwritten", app)


def _release(
    session: Session,
    vault: Vault,
    app: App,
    removed: Iterable[str],
    added: Mapping[str, str],
    description: str,
    account_id: uuid.UUID,
    *,
    phase: bool = False,
) -> Made:
    """Release the change. Only a new add-on has the release command run (``phase``), as on Heroku."""
    present = config_of(session, vault, newest_release(session, app.id))
    change = config_vars.merge(present, {**dict.fromkeys(removed), **added})
    config = None if change.empty else add_config(session, vault, app.id, change.config)
    made = create_release(session, app, description=description, account_id=account_id, config=config, phase=phase)
    return Made(app, made)
