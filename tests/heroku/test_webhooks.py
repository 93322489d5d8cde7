"""Webhooks: subscriptions, events, deliveries."""

from typing import Any

import httpx
import pytest

from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI

URL = "https://example.test/hook"


def hooks(client: httpx.Client) -> list[dict[str, Any]]:
    """The webhooks of ``myapp``."""
    found: list[dict[str, Any]] = client.get("/apps/myapp/webhooks").raise_for_status().json()
    return found


@pytest.fixture
def hook(client: httpx.Client, myapp: str) -> str:
    """The id of a webhook for releases of ``myapp``."""
    body = {"include": ["api:release"], "level": "notify", "url": URL}
    return str(client.post("/apps/myapp/webhooks", json=body).raise_for_status().json()["id"])


@covers("webhooks:add -a myapp -i api:release -l notify -u https://example.test/hook")
def test_add_subscribes(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    heroku(f"webhooks:add -a myapp -i api:release -l notify -u {URL}")
    (made,) = hooks(client)
    assert (made["include"], made["level"], made["url"]) == (["api:release"], "notify", URL)


@covers("webhooks -a myapp", "webhooks:info 00000000-0000-0000-0000-000000000366 -a myapp")
def test_webhooks_are_shown(heroku: HerokuCLI, hook: str) -> None:
    listed, info = heroku.each("webhooks -a myapp", f"webhooks:info {hook} -a myapp")
    assert [hook, URL, "api:release", "notify"] in listed.table
    assert ["URL:", URL] in info.table


@covers("webhooks:events -a myapp", "webhooks:deliveries -a myapp")
def test_a_release_is_an_event_and_a_delivery(heroku: HerokuCLI, client: httpx.Client, hook: str) -> None:
    client.patch("/apps/myapp/config-vars", json={"FOO": "bar"}).raise_for_status()
    events, deliveries = heroku.each("webhooks:events -a myapp", "webhooks:deliveries -a myapp")
    ((event,), (delivery,)) = (client.get(f"/apps/myapp/webhook-{name}").json() for name in ("events", "deliveries"))
    assert any(row[0] == event["id"] and "release" in row and "create" in row for row in events.table)
    assert any(row[0] == delivery["id"] and "api:release" in row and "notify" in row for row in deliveries.table)


@covers("webhooks:remove 00000000-0000-0000-0000-000000000366 -a myapp")
def test_remove_unsubscribes(heroku: HerokuCLI, client: httpx.Client, hook: str) -> None:
    heroku(f"webhooks:remove {hook} -a myapp")
    assert hooks(client) == []
    heroku(f"webhooks:info {hook} -a myapp", code=REFUSED)
