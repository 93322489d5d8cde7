"""Webhooks: subscribing, and to what URLs."""

import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.api import receivers
from dynoform.api.services import Services
from dynoform.configuration import Configuration
from dynoform.domain import webhooks as rules
from dynoform.store.session import Store
from dynoform.store.tables import Account, Webhook
from tests.contract.conftest import OPERATOR_KEY, make_client, make_services, serve
from tests.contract.hooks import add, set_config
from tests.contract.receiver import Receiver
from tests.integration.certificates import Authority


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
