"""What webhooks are shown of a row: the objects of https://devcenter.heroku.com/articles/webhook-events.

Here and not in the API, because workers change builds, releases and dynos too.
"""

import uuid
from typing import Any

from dynoform.domain import buildpacks, dyno_names
from dynoform.domain.times import shown
from dynoform.store.tables import Account, App, Build, Dyno, Formation, Release, Source

Snapshot = dict[str, Any]


def account(row: Account) -> Snapshot:
    """Who did it."""
    return {"email": row.email, "id": str(row.id)}


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


def _app(row: App) -> Snapshot:
    return {"id": str(row.id), "name": row.name}


def _reference(identifier: uuid.UUID | None) -> Snapshot | None:
    return {"id": str(identifier)} if identifier else None
