"""Webhooks: subscribing, what is sent, and that it arrives: in order, at least once, and nowhere it must not."""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from dynoform.api import receivers
from dynoform.api.services import Services
from dynoform.configuration import Configuration
from dynoform.domain import webhooks as rules
from dynoform.store import deliveries
from dynoform.store.session import WEBHOOKS, Store, notify
from dynoform.store.tables import Account, App, Dyno, Release, Webhook, WebhookDelivery, WebhookEvent, now
from dynoform.store.webhooks import build_changed, dyno_changed, dyno_created, publish, release_changed
from tests.contract.conftest import OPERATOR_KEY, deploy, make_client, make_services, serve
from tests.contract.receiver import Receiver, receiver
from tests.integration.certificates import Authority

SECRET = "a-secret-for-signing"


@pytest.fixture
def hooks(authority: Authority, tmp_path: Path) -> Iterator[Receiver]:
    with receiver(authority, tmp_path) as made:
        yield made


@pytest.fixture
def hook(client: httpx.Client, app: str, hooks: Receiver) -> dict[str, Any]:
    """A webhook of level sync for releases, formation and the app itself."""
    return add(client, app, hooks.url)


def add(client: httpx.Client, app: str, url: str, **more: Any) -> dict[str, Any]:
    include = ["api:release", "api:formation", "api:app", "api:build", "api:dyno", "dyno"]
    body = {"include": include, "level": "sync", "url": url, "secret": SECRET, **more}
    answer = client.post(f"/apps/{app}/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def deliveries_of(client: httpx.Client, app: str, **parameters: str) -> list[dict[str, Any]]:
    headers = {"Range": "seq ..; order=desc,max=1000"}
    answer = client.get(f"/apps/{app}/webhook-deliveries", headers=headers, params=parameters).raise_for_status()
    return list(reversed(answer.json()))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def until_statuses(client: httpx.Client, app: str, *statuses: str) -> list[dict[str, Any]]:
    """The deliveries, once their statuses are these and no attempt is under way."""

    def arrived() -> bool:
        found = deliveries_of(client, app)
        ended = all(each["last_attempt"] is None or each["last_attempt"]["status"] != "scheduled" for each in found)
        return ended and [each["status"] for each in found] == list(statuses)

    until(arrived)
    return deliveries_of(client, app)


def hurry(store: Store) -> None:
    """Let the time of all waiting deliveries come now."""
    with store.transaction() as session:
        waiting = update(WebhookDelivery).where(WebhookDelivery.next_attempt_at.is_not(None))
        session.execute(waiting.values(next_attempt_at=now()))
        notify(session, WEBHOOKS, WEBHOOKS)


def set_config(client: httpx.Client, app: str, value: str) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": value}).raise_for_status()


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


def test_a_delivery_is_signed_and_carries_its_authorization(
    client: httpx.Client, app: str, hooks: Receiver, services: Services
) -> None:
    hook = add(client, app, hooks.url, authorization="Bearer of-the-hook")
    set_config(client, app, "é")
    (request,) = hooks.wait(1)
    signature = base64.b64encode(hmac.digest(SECRET.encode(), request.body, hashlib.sha256)).decode()
    assert request.headers["Heroku-Webhook-Hmac-SHA256"] == signature
    assert request.headers["Authorization"] == "Bearer of-the-hook"
    assert request.headers["Heroku-Webhook-Id"] == hook["id"]
    assert (request.headers["Content-Type"], request.path) == ("application/json", "/hooks?x=1")
    assert request.headers["Host"] == httpx.URL(hooks.url).netloc.decode()
    until_statuses(client, app, "succeeded")
    assert SECRET not in str(services.journal.entries)  # type: ignore[attr-defined]
    assert "of-the-hook" not in str(services.journal.entries)  # type: ignore[attr-defined]


def test_a_webhook_is_shown_without_its_secrets(client: httpx.Client, app: str, store: Store) -> None:
    body = {"include": ["dyno", "api:release", "dyno"], "level": "notify", "url": "https://example.com/hook"}
    answer = client.post(f"/apps/{app}/webhooks", json={**body, "authorization": "Bearer x-y-z"})
    secret = answer.headers["Heroku-Webhook-Secret"]
    assert len(secret) == 60
    hook = answer.json()
    assert {**hook, "include": hook["include"]} == {
        "app": {"id": hook["app"]["id"], "name": app},
        "created_at": hook["created_at"],
        "id": hook["id"],
        "include": ["api:release", "dyno"],
        "level": "notify",
        "updated_at": hook["updated_at"],
        "url": "https://example.com/hook",
    }
    path = f"/apps/{app}/webhooks/{hook['id']}"
    assert client.get(path).json() == hook
    assert client.get(f"/apps/{app}/webhooks").json() == [hook]
    with store.transaction() as session:
        row = session.scalars(select(Webhook)).one()
        assert secret.encode() not in row.credentials
        assert b"x-y-z" not in row.credentials
    changed = client.patch(path, json={"url": "https://example.com/other", "level": "sync", "authorization": None})
    assert (changed.status_code, changed.json()["url"], changed.json()["level"]) == (
        200,
        "https://example.com/other",
        "sync",
    )
    assert "Heroku-Webhook-Secret" not in changed.headers
    assert client.delete(path).json()["id"] == hook["id"]
    assert client.get(path).json() == {
        "id": "not_found",
        "message": "Couldn't find that webhook.",
        "resource": "webhook",
    }


def test_an_update_changes_what_is_sent(client: httpx.Client, app: str, hooks: Receiver) -> None:
    hook = add(client, app, hooks.url, authorization="Bearer old")
    client.patch(f"/apps/{app}/webhooks/{hook['id']}", json={"secret": "another", "authorization": None})
    set_config(client, app, "1")
    (request,) = hooks.wait(1)
    assert request.headers["Heroku-Webhook-Hmac-SHA256"] == rules.signature("another", request.body)
    assert "Authorization" not in request.headers


def test_what_happened_later_is_told_later(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, store: Store
) -> None:
    hooks.statuses = [500, 503]
    for value in "12345":
        set_config(client, app, value)
    first, *others = until_statuses(client, app, "retrying", *["pending"] * 4)
    assert (first["num_attempts"], first["last_attempt"]["code"], first["last_attempt"]["status"]) == (1, 500, "failed")
    assert first["next_attempt_at"] > first["last_attempt"]["created_at"]
    assert [each["num_attempts"] for each in others] == [0] * 4
    hurry(store)
    until_statuses(client, app, "retrying", *["pending"] * 4)
    assert len(hooks.requests) == 2
    hurry(store)
    until_statuses(client, app, *["succeeded"] * 5)
    versions = [request.event["data"]["version"] for request in hooks.requests]
    assert versions == [3, 3, 3, 4, 5, 6, 7]
    attempts = {request.event["webhook_metadata"]["attempt"]["id"] for request in hooks.requests}
    assert len(attempts) == 7


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


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_notify_is_one_attempt_and_only_2xx_is_success(
    client: httpx.Client, app: str, hooks: Receiver, status: int
) -> None:
    add(client, app, hooks.url, level="notify")
    hooks.statuses = [status]
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert (delivery["last_attempt"]["code"], delivery["next_attempt_at"]) == (status, None)
    assert delivery["webhook"]["level"] == "notify"
    assert [request.path for request in hooks.requests] == ["/hooks?x=1"]
    answer = client.post(f"/apps/{app}/webhook-deliveries/{delivery['id']}/actions/retry")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    (again,) = until_statuses(client, app, "succeeded")
    assert again["num_attempts"] == 2
    answer = client.post(f"/apps/{app}/webhook-deliveries/{delivery['id']}/actions/retry")
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "Only a failed delivery can be retried, this one is succeeded.",
    )


def test_deliveries_are_listed_by_status(client: httpx.Client, app: str, hooks: Receiver) -> None:
    add(client, app, hooks.url, level="notify")
    hooks.statuses = [204, 500]
    set_config(client, app, "1")
    hooks.wait(1)
    set_config(client, app, "2")
    good, bad = until_statuses(client, app, "succeeded", "failed")
    assert deliveries_of(client, app, **{"eq[status]": "failed"}) == [bad]
    assert client.get(f"/apps/{app}/webhook-deliveries/{good['id']}").json() == good
    answer = client.get(f"/apps/{app}/webhook-deliveries", params={"eq[status]": "lost"})
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "Status must be one of: pending, scheduled, retrying, failed, succeeded.",
    )


def test_a_receiver_with_a_foreign_certificate_gets_nothing(client: httpx.Client, app: str, tmp_path: Path) -> None:
    with receiver(Authority(), tmp_path) as foreign:
        add(client, app, foreign.url, level="notify")
        set_config(client, app, "1")
        (delivery,) = until_statuses(client, app, "failed")
        assert (delivery["last_attempt"]["code"], delivery["last_attempt"]["error_class"]) == (None, "CertificateError")
        assert foreign.requests == []


def test_a_certificate_must_be_for_the_name(client: httpx.Client, app: str, hooks: Receiver) -> None:
    add(client, app, hooks.url.replace("127.0.0.1", "localhost"), level="notify")
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert (delivery["last_attempt"]["error_class"], hooks.requests) == ("CertificateError", [])


def test_a_receiver_that_does_not_answer_is_left(
    client: httpx.Client, app: str, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "SECONDS", 0.5)
    add(client, app, hooks.url, level="notify")
    hooks.statuses = [-1]
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert delivery["last_attempt"]["error_class"] == "Timeout"


@pytest.mark.parametrize(("host", "error"), [("127.0.0.1:9", "ConnectError"), ("nowhere.invalid", "NameError")])
def test_a_receiver_that_is_not_there_is_named_so(client: httpx.Client, app: str, host: str, error: str) -> None:
    add(client, app, f"https://{host}/", level="notify")
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert delivery["last_attempt"]["error_class"] == error


def test_an_attempt_that_nobody_ends_is_made_again(
    client: httpx.Client, app: str, hooks: Receiver, store: Store
) -> None:
    """What a killed process leaves: the attempt was begun, its outcome never written."""
    with store.transaction() as session:  # this test takes it itself: the API hears of it later
        hook = add(client, app, hooks.url, level="notify")
        found = session.scalars(select(App).where(App.name == app)).one()
        publish(session, found.id, "api:release", "create", {"version": 9})
        session.execute(update(WebhookDelivery).values(next_attempt_at=now() + timedelta(hours=1)))
    with store.transaction() as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=now()))
    (killed,) = deliveries.take(store, 10)
    assert deliveries.take(store, 10) == []
    assert 0 < (deliveries.seconds_until_due(store) or 0) <= deliveries.LEASE.total_seconds()
    hurry(store)
    (request,) = hooks.wait(1)
    (delivery,) = until_statuses(client, app, "succeeded")
    assert (delivery["num_attempts"], request.event["webhook_metadata"]["webhook"]["id"]) == (2, hook["id"])
    deliveries.finish(store, killed, 500, None)  # it was not killed after all, only slow
    assert deliveries_of(client, app) == [delivery]


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


def test_a_webhook_that_fails_without_end_is_turned_off_until_it_is_updated(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, store: Store, services: Services
) -> None:
    with store.transaction() as session:
        session.execute(update(Webhook).values(failing_since=now() - rules.FAILING, failures=rules.FAILURES - 1))
    hooks.statuses = [500]
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert delivery["last_attempt"]["error_class"] == "WebhookDeactivated"
    line = f"app[api]: Webhook {hook['id']} turned off: no delivery has succeeded for 7 days. Update it to turn it on again"
    until(lambda: line in services.logs.lines)  # type: ignore[attr-defined]
    set_config(client, app, "2")
    assert len(deliveries_of(client, app)) == 1
    answer = client.post(f"/apps/{app}/webhook-deliveries/{delivery['id']}/actions/retry")
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "The webhook was turned off for failing. Update it to turn it on again.",
    )
    client.patch(f"/apps/{app}/webhooks/{hook['id']}", json={"level": "sync"}).raise_for_status()
    set_config(client, app, "3")
    until_statuses(client, app, "failed", "succeeded")


def test_a_success_ends_a_row_of_failures(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, store: Store
) -> None:
    hooks.statuses = [500]
    set_config(client, app, "1")
    until_statuses(client, app, "retrying")
    with store.transaction() as session:
        row = session.scalars(select(Webhook)).one()
        assert (row.failures, row.failing_since is None) == (1, False)
    hurry(store)
    until_statuses(client, app, "succeeded")
    with store.transaction() as session:
        row = session.scalars(select(Webhook)).one()
        assert (row.failures, row.failing_since) == (0, None)


def test_a_backlog_has_an_end(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BACKLOG", 2)
    hooks.statuses = [500]
    set_config(client, app, "1")
    until_statuses(client, app, "retrying")
    set_config(client, app, "2")
    set_config(client, app, "3")
    *_, last = until_statuses(client, app, "retrying", "pending", "failed")
    assert last["last_attempt"] is None


def test_what_is_old_is_forgotten(
    client: httpx.Client, app: str, hooks: Receiver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, app, hooks.url)
    for value in "123":
        set_config(client, app, value)
    _, middle, newest = until_statuses(client, app, *["succeeded"] * 3)
    monkeypatch.setattr(rules, "KEPT_DELIVERIES", 2)
    assert deliveries.sweep(store) == 1
    assert deliveries_of(client, app) == [middle, newest]
    with store.transaction() as session:
        old = update(WebhookEvent).where(WebhookEvent.id == uuid.UUID(middle["event"]["id"]))
        session.execute(old.values(created_at=now() - rules.KEPT - timedelta(minutes=1)))
    assert deliveries.sweep(store) == 1
    assert deliveries_of(client, app) == [newest]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"include": []}, "Include must name at least one of: api:addon,"),
        ({"include": ["api:nothing"]}, "Include 'api:nothing' is not an event. There are: api:addon,"),
        ({"level": "loud"}, "Level must be one of: notify, sync."),
        ({"url": "http://example.com/"}, "Url must be https://HOST"),
        ({"url": "https://user:pw@example.com/"}, "Url must be https://HOST"),
        ({"url": "https:///path"}, "Url must be https://HOST"),
        ({"url": "https://example.com/#x"}, "Url must be https://HOST"),
        ({"url": "https://exa mple.com/"}, "Url must be https://HOST"),
        ({"url": "https://example.com:99999/"}, "Url must be https://HOST"),
        ({"url": "https://[::1"}, "Url must be https://HOST"),
        ({"url": "https://bücher.example/"}, "Url must be https://HOST"),
        ({"url": "https://example.com/" + "x" * 2048}, "Url is too long (maximum is 2048 characters)."),
        ({"secret": ""}, "Secret must be 1 to 1024 printable ASCII characters"),
        ({"authorization": "a\r\nX: y"}, "Authorization must be 1 to 1024 printable ASCII characters"),
    ],
)
def test_a_wrong_webhook_is_refused(client: httpx.Client, app: str, change: dict[str, Any], message: str) -> None:
    body = {"include": ["dyno"], "level": "notify", "url": "https://example.com/", **change}
    answer = client.post(f"/apps/{app}/webhooks", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params"), answer.text
    assert answer.json()["message"].startswith(message)
    assert client.get(f"/apps/{app}/webhooks").json() == []


def test_an_app_can_have_ten_webhooks(client: httpx.Client, app: str) -> None:
    for _ in range(10):
        add(client, app, "https://example.com/")
    body = {"include": ["dyno"], "level": "notify", "url": "https://example.com/"}
    answer = client.post(f"/apps/{app}/webhooks", json=body)
    assert (answer.status_code, answer.json()["message"]) == (422, "An app can have 10 webhooks. Remove one first.")


def test_webhooks_of_others_are_not_there(
    client: httpx.Client, stranger: httpx.Client, app: str, hook: dict[str, Any]
) -> None:
    stranger.post("/apps", json={"name": "bobs"}).raise_for_status()
    for path in ("webhooks", "webhook-events", "webhook-deliveries", f"webhooks/{hook['id']}"):
        assert stranger.get(f"/apps/{app}/{path}").json()["resource"] == "app"
    assert stranger.get(f"/apps/bobs/webhooks/{hook['id']}").json()["message"] == "Couldn't find that webhook."
    nobodys = uuid.UUID(int=7)
    for noun in ("webhook event", "webhook delivery"):
        plural = noun.replace(" ", "-").replace("delivery", "deliverie") + "s"
        answer = client.get(f"/apps/{app}/{plural}/{nobodys}").json()
        assert answer == {
            "id": "not_found",
            "message": f"Couldn't find that {noun}.",
            "resource": noun.replace(" ", "_"),
        }


def test_private_addresses_are_refused_when_a_webhook_is_made(
    configuration: Configuration, store: Store, operator: Account
) -> None:
    with serve(make_services(configuration, store)) as url, make_client(url, OPERATOR_KEY) as strict:
        strict.post("/apps", json={"name": "myapp"}).raise_for_status()
        for host in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"):
            body = {"include": ["dyno"], "level": "notify", "url": f"https://{host}:8443/"}
            answer = strict.post("/apps/myapp/webhooks", json=body)
            assert answer.status_code == 422, host
            assert answer.json()["message"].startswith("Url leads to the private address "), host
            assert answer.json()["message"].endswith(". Use one on the public internet."), host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1"])
def test_names_that_lead_to_private_addresses_are_not_posted_to(
    configuration: Configuration, authority: Authority, hooks: Receiver, services: Services, host: str
) -> None:
    import asyncio

    url = hooks.url.replace("127.0.0.1", host)
    strict = replace(configuration, webhook_authorities=services.configuration.webhook_authorities)
    answer = asyncio.run(receivers.Poster(strict).post(url, {}, b"{}"))
    assert answer.error == "AddressNotAllowed"
    assert hooks.requests == []


def test_publishing_without_a_webhook_costs_one_query(client: httpx.Client, app: str, store: Store) -> None:
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    from sqlalchemy import event

    with store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        session.execute(text("SELECT 1"))
        event.listen(store.engine, "before_cursor_execute", count)
        try:
            publish(session, found.id, "api:release", "create", lambda: pytest.fail("nobody is told"))
        finally:
            event.remove(store.engine, "before_cursor_execute", count)
    assert len(statements) == 1
    assert json.dumps(statements).count("FROM webhooks") == 1
