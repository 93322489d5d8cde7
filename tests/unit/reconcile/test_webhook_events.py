"""What webhooks are told of dynos, by actions that need no engine."""

from typing import Any, cast

import pytest
from sqlalchemy import select

from dynoform.configuration import Configuration
from dynoform.domain.dyno_actions import AddDyno, MarkCrashed, MarkStarting, MarkUp, Retire
from dynoform.journal import Journal
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.swarm import Swarm
from dynoform.store.accounts import ensure_operator
from dynoform.store.apps import create_app
from dynoform.store.releases import current_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Dyno, Webhook, WebhookDelivery, now


class Silent:
    """A log plane that is nowhere."""

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        return


@pytest.fixture
def executor(store: Store, configuration: Configuration) -> Executor:
    vault = Vault(configuration.secret("encryption_key"))
    return Executor(store, cast(Swarm, None), vault, Silent(), "dynos", Journal("reconcile"))


def told(store: Store) -> list[dict[str, Any]]:
    """The events that are to be delivered, in order."""
    with store.transaction() as session:
        rows = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.sequence))
        return [row.event.payload for row in rows]


def test_a_dynos_life_is_told(store: Store, executor: Executor) -> None:
    with store.transaction() as session:
        owner = ensure_operator(session, "ann@example.com", "token")
        app, _ = create_app(session, executor.vault, owner, "myapp", "dynoform-13")
        session.add(
            Webhook(app_id=app.id, include=["api:dyno", "dyno"], level="sync", url="https://x/", credentials=b"")
        )
        release = current_release(session, app.id)
        assert release is not None
    executor.do(AddDyno(app.id, release.id, "web", 1, "Eco", "run it", "wanted"))
    with store.transaction() as session:
        dyno = session.scalars(select(Dyno)).one()
    executor.do(MarkUp(dyno.id, "172.29.0.1", 30000, "answers"))
    executor.do(MarkUp(dyno.id, "172.29.0.1", 30001, "has moved"))
    executor.do(MarkStarting(dyno.id, "starts anew"))
    executor.do(MarkCrashed(dyno.id, 1, now(), "ended"))
    executor.do(Retire(dyno.id, "not wanted"))
    events = told(store)
    assert [(event["resource"], event["action"], event["previous_data"]) for event in events] == [
        ("dyno", "create", {}),
        ("dyno", "update", {"state": "starting"}),
        ("dyno", "update", {"state": "up"}),
        ("dyno", "destroy", {"state": "starting"}),
        ("dyno", "destroy", {"state": "crashed"}),
    ]
    assert [event["data"]["state"] for event in events] == ["starting", "up", "starting", "crashed", "down"]
    assert events[1]["data"] == {
        "app": {"id": str(app.id), "name": "myapp"},
        "command": "run it",
        "exit_status": None,
        "id": str(dyno.id),
        "management": None,
        "name": "web.1",
        "release": {"id": str(release.id), "version": 2},
        "size": "Eco",
        "state": "up",
        "type": "web",
    }
    assert events[0]["actor"] == {"email": "ann@example.com", "id": str(owner.id)}
