"""Webhooks in tests: made, waited for, hurried."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import update

from dynoform.store.session import WEBHOOKS, Store, notify
from dynoform.store.tables import WebhookDelivery, now

SECRET = "a-secret-for-signing"


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


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


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
