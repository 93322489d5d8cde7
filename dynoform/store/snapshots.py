"""What webhooks are shown of a row: the objects of https://devcenter.heroku.com/articles/webhook-events.

Here and not in the API, because workers change builds, releases and dynos too.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dynoform.configuration import Configuration
from dynoform.domain import buildpacks, dyno_names
from dynoform.domain.fixed_ids import fixed_id
from dynoform.domain.placement import COMMON
from dynoform.domain.teams import MANAGER_DOMAIN
from dynoform.domain.times import shown, shown_or_none
from dynoform.store.tables import (
    Account,
    Addon,
    AddonAttachment,
    App,
    Build,
    Domain,
    Dyno,
    Formation,
    Plan,
    Release,
    SniEndpoint,
    Source,
)

Snapshot = dict[str, Any]


def account(row: Account) -> Snapshot:
    """Who did it."""
    return {"email": row.email, "id": str(row.id)}


def app(configuration: Configuration, row: App, slug_size: int | None, description: str | None) -> Snapshot:
    """An app, with the size in bytes of its slug and what its buildpack calls it; None for one without a slug."""
    return {
        "acm": row.acm,
        "archived_at": None,
        "build_stack": _fixed(row.build_stack or row.stack),
        "buildpack_provided_description": description,
        "create_status": "complete",
        "created_at": shown(row.created_at),
        "generation": _fixed("cedar"),
        "git_url": f"https://{configuration.git_host}/{row.name}.git",
        "id": str(row.id),
        "internal_routing": None,
        "maintenance": row.maintenance,
        "name": row.name,
        "organization": _team(row),
        "owner": owner(row),
        "process_tier": "production",
        "region": _fixed(configuration.stack),
        "released_at": shown_or_none(row.released_at),
        "repo_size": row.repo_size,
        "slug_size": slug_size,
        "space": None if row.runtime == COMMON else _fixed(row.runtime),
        "stack": _fixed(row.stack),
        "team": _team(row),
        "updated_at": shown(row.updated_at),
        "web_url": configuration.web_url(row.name),
    }


def owner(row: App) -> Snapshot:
    """Who owns the app: a person, or a team under the address that Heroku gives to it."""
    if row.team is None:
        return account(row.owner)
    return {"email": f"{row.team.name}@{MANAGER_DOMAIN}", "id": str(row.team.id)}


def addon(app: App, row: Addon, config_vars: Sequence[str]) -> Snapshot:
    """An add-on of ``app``, with the config vars that it has there."""
    service = row.plan.service
    return {
        "actions": [],
        "addon_service": {"id": str(service.id), "name": service.name},
        "app": _app(app),
        "billed_price": _price(row.plan),
        "billing_entity": {**_app(app), "type": "app"},
        "config_vars": sorted(config_vars),
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "name": row.name,
        "plan": {"id": str(row.plan.id), "name": row.plan.full_name, "price": _price(row.plan)},
        "provider_id": row.provider_id,
        "provision_message": row.message,
        "state": row.state,
        "updated_at": shown(row.updated_at),
        "web_url": None,
    }


def attachment(app: App, row: AddonAttachment, owned: Addon) -> Snapshot:
    """An attachment to ``app`` of an add-on, which may be another app's."""
    return {
        "addon": {
            "app": _app(owned.app or app),
            "id": str(owned.id),
            "name": owned.name,
            "plan": {"id": str(owned.plan.id), "name": owned.plan.full_name},
        },
        "app": _app(app),
        "config_vars": list(row.config_vars),
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "log_input_url": None,
        "name": row.name,
        "namespace": row.namespace,
        "updated_at": shown(row.updated_at),
        "web_url": None,
    }


def build(app: App, row: Build, source: Source | None) -> Snapshot:
    """A build. Its links are left out: each is a key to what it leads to, and events are kept for days."""
    return {
        "app": _app(app),
        "buildpacks": [buildpacks.shown(one) for one in row.buildpacks],
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "output_stream_url": None,
        "release": _reference(row.release_id),
        "slug": _reference(row.slug_id),
        "source_blob": {
            "checksum": source.checksum if source else None,
            "url": None,
            "version": row.version,
            "version_description": None,
        },
        "stack": row.stack or app.build_stack or app.stack,
        "status": row.status,
        "updated_at": shown(row.updated_at),
        "user": account(row.account),
    }


def dyno(app: App, row: Dyno, version: int) -> Snapshot:
    """A dyno; ``version`` is its release's."""
    return {
        **_dyno(app, row, version),
        "attach_url": None,
        "created_at": shown(row.created_at),
        "updated_at": shown(row.updated_at),
    }


def dyno_state(app: App, row: Dyno, version: int) -> Snapshot:
    """A dyno as it is seen when its state changes."""
    return {**_dyno(app, row, version), "exit_status": None, "management": None}


def formation(app: App, row: Formation, command: str) -> Snapshot:
    """A process type's scale."""
    return {
        "app": _app(app),
        "command": command,
        "created_at": shown(row.created_at),
        "dyno_size": {"id": fixed_id(row.size), "name": row.size},
        "id": str(row.id),
        "quantity": row.quantity,
        "size": row.size,
        "type": row.type,
        "updated_at": shown(row.updated_at),
    }


def release(app: App, row: Release) -> Snapshot:
    """A release."""
    return {
        "addon_plan_names": row.addon_plan_names,
        "app": _app(app),
        "created_at": shown(row.created_at),
        "current": row.current,
        "description": row.description,
        "id": str(row.id),
        "slug": _reference(row.slug_id),
        "status": row.status,
        "updated_at": shown(row.updated_at),
        "user": account(row.account),
        "version": row.version,
    }


def domain(app: App, row: Domain, routed: datetime | None) -> Snapshot:
    """A custom domain; ``routed`` is the moment whose routes are in force on all routers."""
    endpoint = row.sni_endpoint
    return {
        "acm_status": row.acm_status,
        "acm_status_reason": row.acm_status_reason,
        "app": _app(app),
        "cname": row.cname,
        "created_at": shown(row.created_at),
        "hostname": row.hostname,
        "id": str(row.id),
        "kind": "custom",
        "sni_endpoint": {"id": str(endpoint.id), "name": endpoint.name} if endpoint else None,
        "status": "succeeded" if routed is not None and routed > row.created_at else "pending",
        "updated_at": shown(row.updated_at),
    }


def sni_endpoint(app: App, row: SniEndpoint) -> Snapshot:
    """A certificate, without its key."""
    return {
        "app": _app(app),
        "certificate_chain": row.certificate_chain,
        "cname": None,
        "created_at": shown(row.created_at),
        "display_name": row.display_name,
        "domains": [domain.hostname for domain in row.domains],
        "id": str(row.id),
        "name": row.name,
        "ssl_cert": {
            "acm": row.acm,
            "ca_signed?": row.ca_signed,
            "cert_domains": list(row.cert_domains),
            "expires_at": shown(row.expires_at),
            "id": str(row.id),
            "issuer": row.issuer,
            "self_signed?": row.self_signed,
            "starts_at": shown(row.starts_at),
            "subject": row.subject,
        },
        "updated_at": shown(row.updated_at),
    }


def _dyno(app: App, row: Dyno, version: int) -> Snapshot:
    return {
        "app": _app(app),
        "command": row.command,
        "id": str(row.id),
        "name": dyno_names.name(row.type, row.number),
        "release": {"id": str(row.release_id), "version": version},
        "size": row.size,
        "state": row.state,
        "type": row.type,
    }


def _price(plan: Plan) -> Snapshot:
    return {"cents": plan.price_cents, "contract": False, "metered": False, "unit": plan.price_unit}


def _fixed(name: str) -> Snapshot:
    return {"id": fixed_id(name), "name": name}


def _team(row: App) -> Snapshot | None:
    return {"id": str(row.team.id), "name": row.team.name} if row.team else None


def _app(row: App) -> Snapshot:
    return {"id": str(row.id), "name": row.name}


def _reference(identifier: uuid.UUID | None) -> Snapshot | None:
    return {"id": str(identifier)} if identifier else None
