"""What webhooks are told, and of what."""

import json
import threading
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.store import deliveries
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Dyno, Release, Webhook
from dynoform.store.webhooks import build_changed, dyno_changed, dyno_created, publish, release_changed
from tests.contract.conftest import OPERATOR_KEY, deploy, make_client
from tests.contract.hooks import add, deliveries_of, set_config, until, until_statuses
from tests.contract.receiver import Receiver


def test_a_release_is_told_as_heroku_tells_it(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, operator: Account
) -> None:
    set_config(client, app, "1")
    (request,) = hooks.wait(1)
    (delivery,) = until_statuses(client, app, "succeeded")
    release = client.get(f"/apps/{app}/releases/3").json()
    user = {"email": operator.email, "id": str(operator.id)}
    fields = ("addon_plan_names", "app", "created_at", "current", "description", "id", "slug", "status", "updated_at")
    event = request.event
    assert event == {
        "action": "create",
        "actor": user,
        "created_at": event["created_at"],
        "data": {**{name: release[name] for name in fields}, "user": user, "version": 3},
        "id": delivery["event"]["id"],
        "previous_data": {},
        "published_at": event["created_at"],
        "resource": "release",
        "sequence": None,
        "updated_at": event["created_at"],
        "version": "application/vnd.heroku+json; version=3",
        "webhook_metadata": {
            "attempt": {"id": delivery["last_attempt"]["id"]},
            "delivery": {"id": delivery["id"]},
            "event": {"id": delivery["event"]["id"], "include": "api:release"},
            "webhook": {"id": hook["id"]},
        },
    }
    kept = client.get(f"/apps/{app}/webhook-events/{event['id']}").json()
    assert kept["payload"] == {key: value for key, value in event.items() if key != "webhook_metadata"}
    assert client.get(f"/apps/{app}/webhook-events").json() == [kept]


def test_only_what_is_included_is_told_and_only_of_that_app(client: httpx.Client, app: str, hooks: Receiver) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    add(client, app, hooks.url, include=["api:app"])
    set_config(client, app, "1")
    set_config(client, "other", "1")
    client.patch(f"/apps/{app}", json={"maintenance": True}).raise_for_status()
    client.patch(f"/apps/{app}", json={"maintenance": True}).raise_for_status()
    (request,) = hooks.wait(1)
    until_statuses(client, app, "succeeded")
    event = request.event
    assert (event["action"], event["resource"], event["previous_data"]) == ("update", "app", {"maintenance": False})
    assert event["data"] == client.get(f"/apps/{app}").json()


def test_the_end_of_an_app_is_told(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, store: Store
) -> None:
    client.delete(f"/apps/{app}").raise_for_status()
    (request,) = hooks.wait(1)
    assert (request.event["action"], request.event["data"]["name"]) == ("destroy", app)

    def swept() -> bool:
        deliveries.sweep(store)
        with store.transaction() as session:
            return session.scalars(select(Webhook)).one_or_none() is None

    until(swept)


def test_scaling_is_told_with_what_was_before(
    client: httpx.Client,
    app: str,
    slug: uuid.UUID,
    hook: dict[str, Any],
    hooks: Receiver,
    store: Store,
    operator: Account,
) -> None:
    updates = [{"type": "web", "quantity": 3}, {"type": "worker", "quantity": 0}]
    client.patch(f"/apps/{app}/formation", json={"updates": updates}).raise_for_status()
    (request,) = hooks.wait(1)
    assert (request.event["resource"], request.event["previous_data"]) == ("formation", {"quantity": 1})
    assert request.event["data"] == client.get(f"/apps/{app}/formation/web").json()
    deploy(store, app, operator, {"web": "python app.py"})
    requests = [request.event for request in hooks.wait(3)[1:]]
    assert [(event["action"], event["resource"]) for event in requests] == [
        ("destroy", "formation"),
        ("create", "release"),
    ]
    assert requests[0]["data"]["type"] == "worker"


def test_builds_and_dynos_are_told(
    client: httpx.Client, app: str, slug: uuid.UUID, hook: dict[str, Any], hooks: Receiver, store: Store
) -> None:
    source = client.post("/sources").raise_for_status().json()["source_blob"]
    put = httpx.URL(source["put_url"]).raw_path.decode()
    buildpacks = {"updates": [{"buildpack": "heroku/python"}]}
    client.put(f"/apps/{app}/buildpack-installations", json=buildpacks).raise_for_status()
    client.patch(f"/apps/{app}", json={"build_stack": "container"}).raise_for_status()
    client.put(put, content=b"tar").raise_for_status()
    build = client.post(f"/apps/{app}/builds", json={"source_blob": {"url": source["get_url"]}}).raise_for_status()
    with store.transaction() as session:
        from dynoform.store.tables import Build

        row = session.scalars(select(Build)).one()
        row.status = "failed"
        build_changed(session, row, "pending")
    with store.transaction() as session:
        release = session.scalars(select(Release).where(Release.current)).one()
        found = session.get_one(App, release.app_id)
        dyno = Dyno(app_id=found.id, release_id=release.id, type="web", number=1, size="Eco", command="run it")
        session.add(dyno)
        session.flush()
        dyno_created(session, found, dyno, release.version)
        dyno.state = "up"
        dyno_changed(session, dyno, "starting")
        release.status = "failed"
        release_changed(session, found, release, "pending")
    client.delete(f"/apps/{app}/dynos/web.1").raise_for_status()
    events = [request.event for request in hooks.wait(6)]
    assert [(each["resource"], each["action"], each["previous_data"]) for each in events] == [
        ("build", "create", {}),
        ("build", "update", {"status": "pending"}),
        ("dyno", "create", {}),
        ("dyno", "update", {"state": "starting"}),
        ("release", "update", {"status": "pending"}),
        ("dyno", "destroy", {"state": "up"}),
    ]
    assert set(events[0]["data"]) == set(build.json())
    assert events[0]["data"]["buildpacks"] == [{"name": "heroku/python", "url": "urn:buildpack:heroku/python"}]
    assert events[0]["data"]["stack"] == build.json()["stack"] == "container"
    assert (events[1]["data"]["status"], events[1]["data"]["source_blob"]["url"]) == ("failed", None)
    assert events[2]["data"]["release"] == {"id": str(release.id), "version": 3}
    assert set(events[5]["data"]) == {*events[2]["data"], "exit_status", "management"} - {
        "attach_url",
        "created_at",
        "updated_at",
    }
    assert events[5]["data"]["state"] == "down"


def test_what_did_not_happen_is_not_told(client: httpx.Client, app: str, hook: dict[str, Any], store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        publish(session, found.id, "api:release", "create", {})
        raise RuntimeError
    assert client.get(f"/apps/{app}/webhook-events").json() == []
    assert deliveries_of(client, app) == []


def test_publishing_without_a_webhook_costs_one_query(client: httpx.Client, app: str, store: Store) -> None:
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    from sqlalchemy import event

    with store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        # Of this connection alone: the API looks at deliveries now and then.
        event.listen(session.connection(), "before_cursor_execute", count)
        publish(session, found.id, "api:release", "create", lambda: pytest.fail("nobody is told"))
    assert len(statements) == 1
    assert json.dumps(statements).count("FROM webhooks") == 1


def test_changes_at_once_keep_their_order(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, address: str
) -> None:
    def work(number: int) -> None:
        with make_client(address, OPERATOR_KEY) as own:
            for value in range(5):
                set_config(own, app, f"{number}-{value}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    requests = hooks.wait(20)
    assert [request.event["data"]["version"] for request in requests] == list(range(3, 23))


def test_a_webhook_that_is_removed_meanwhile_does_not_spoil_the_change(
    client: httpx.Client, app: str, hook: dict[str, Any], store: Store
) -> None:
    def remove() -> dict[str, str]:
        client.delete(f"/apps/{app}/webhooks/{hook['id']}").raise_for_status()
        return {"version": "3"}

    with store.transaction() as session:  # the webhook goes after it was read, and before anything is written
        found = session.scalars(select(App).where(App.name == app)).one()
        publish(session, found.id, "api:release", "create", remove)
    assert deliveries_of(client, app) == []
    assert len(client.get(f"/apps/{app}/webhook-events").json()) == 1
