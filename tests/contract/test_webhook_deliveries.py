"""Deliveries: in order, at least once, never for long, and to nobody but the receiver."""

import base64
import hashlib
import hmac
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api import receivers
from dynoform.api.services import Services
from dynoform.domain import webhooks as rules
from dynoform.store import deliveries
from dynoform.store.session import Store
from dynoform.store.tables import App, Webhook, WebhookEvent, now
from dynoform.store.webhooks import publish
from tests.contract.hooks import SECRET, add, deliveries_of, hurry, set_config, until, until_statuses
from tests.contract.receiver import Receiver, receiver
from tests.integration.certificates import Authority


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
    until(lambda: deliveries_of(client, app)[0]["num_attempts"] == 2)
    until_statuses(client, app, "retrying", *["pending"] * 4)
    assert len(hooks.requests) == 2
    hurry(store)
    until_statuses(client, app, *["succeeded"] * 5)
    versions = [request.event["data"]["version"] for request in hooks.requests]
    assert versions == [3, 3, 3, 4, 5, 6, 7]
    attempts = {request.event["webhook_metadata"]["attempt"]["id"] for request in hooks.requests}
    assert len(attempts) == 7


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
    client: httpx.Client, app: str, hooks: Receiver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process leaves: the attempt was begun, its outcome never written."""
    take = deliveries.take
    hook = add(client, app, hooks.url, level="notify")
    with monkeypatch.context() as patched:
        patched.setattr(deliveries, "take", lambda store, limit: [])  # this test takes it itself, and not the API
        with store.transaction() as session:
            found = session.scalars(select(App).where(App.name == app)).one()
            publish(session, found.id, "api:release", "create", {"version": 9})
        (killed,) = take(store, 10)
    assert take(store, 10) == []
    assert 0 < (deliveries.seconds_until_due(store) or 0) <= deliveries.LEASE.total_seconds()
    hurry(store)
    (request,) = hooks.wait(1)
    (delivery,) = until_statuses(client, app, "succeeded")
    assert (delivery["num_attempts"], request.event["webhook_metadata"]["webhook"]["id"]) == (2, hook["id"])
    deliveries.finish(store, killed, 500, None)  # it was not killed after all, only slow
    assert deliveries_of(client, app) == [delivery]


def test_a_webhook_that_fails_without_end_is_turned_off_until_it_is_updated(
    client: httpx.Client, app: str, hook: dict[str, Any], hooks: Receiver, store: Store, services: Services
) -> None:
    with store.transaction() as session:
        session.execute(update(Webhook).values(failing_since=now() - rules.FAILING, failures=rules.FAILURES - 1))
    hooks.statuses = [500]
    set_config(client, app, "1")
    (delivery,) = until_statuses(client, app, "failed")
    assert delivery["last_attempt"]["error_class"] == "WebhookDeactivated"
    reason = "turned off: no delivery has succeeded for 7 days. Update it to turn it on again"
    line = f"app[api]: Webhook {hook['id']} {reason}"
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
