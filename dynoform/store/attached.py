"""What add-ons give to an app now: plans, and config vars through their attachments."""

import uuid

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dynoform.domain import addons
from dynoform.store.tables import Addon, AddonAttachment, AddonService, Plan


def config_names(session: Session, app_id: uuid.UUID) -> dict[str, str]:
    """Config var → name of the attachment that sets it."""
    query = select(AddonAttachment.name, AddonAttachment.config_vars).where(AddonAttachment.app_id == app_id)
    return {variable: name for name, variables in session.execute(query) for variable in variables}


def plan_names(session: Session, app_id: uuid.UUID) -> list[str]:
    """The plans of the app's own add-ons that are provisioned, ``heroku-redis:mini``; in order."""
    attached = exists().where(AddonAttachment.addon_id == Addon.id, AddonAttachment.app_id == app_id)
    query = (
        select(AddonService.name, Plan.name)
        .select_from(Addon)
        .join(Plan, Plan.id == Addon.plan_id)
        .join(AddonService, AddonService.id == Plan.service_id)
        .where(Addon.app_id == app_id, Addon.state == addons.PROVISIONED, attached)
    )
    return sorted(f"{service}:{plan}" for service, plan in session.execute(query))
