"""Log drains."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI

URL = "https://logs.example.com"


def drains(client: httpx.Client) -> list[dict[str, Any]]:
    """The log drains of ``myapp``."""
    found: list[dict[str, Any]] = client.get("/apps/myapp/log-drains").raise_for_status().json()
    return found


@pytest.fixture
def drain(client: httpx.Client, myapp: str) -> dict[str, Any]:
    """A drain of ``myapp``."""
    made: dict[str, Any] = client.post("/apps/myapp/log-drains", json={"url": URL}).raise_for_status().json()
    return made


@covers("drains:add https://logs.example.com -a myapp")
def test_add_makes_a_drain(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    ran = heroku(f"drains:add {URL} -a myapp")
    (made,) = drains(client)
    assert made["url"].rstrip("/") == URL
    assert "Successfully added drain" in ran.text
    heroku("drains:add ftp://logs.example.com -a myapp", code=REFUSED)
    assert len(drains(client)) == 1


@covers("drains -a myapp", "drains -a myapp --json")
def test_drains_are_shown(heroku: HerokuCLI, drain: dict[str, Any]) -> None:
    plain, as_json = heroku.each("drains -a myapp", "drains -a myapp --json")
    assert f"{drain['url']} ({drain['token']})" in plain.out
    assert [row["id"] for row in json.loads(as_json.out)] == [drain["id"]]


@covers("drains:remove https://logs.example.com -a myapp")
def test_remove_removes_by_address(heroku: HerokuCLI, client: httpx.Client, drain: dict[str, Any]) -> None:
    heroku(f"drains:remove {drain['url']} -a myapp")
    assert drains(client) == []


@covers("telemetry:add https://otel.example.test --app firapp", "telemetry --app firapp")
def test_telemetry_drains_are_added_and_shown(
    heroku: HerokuCLI, client: httpx.Client, create: Callable[[str], str]
) -> None:
    create("firapp")
    ran = heroku("telemetry:add https://otel.example.test --app firapp")
    assert "successfully added drain https://otel.example.test" in ran.text
    (made,) = client.get("/apps/firapp/telemetry-drains").raise_for_status().json()
    assert made["signals"] == ["traces", "metrics", "logs"]
    shown = heroku("telemetry --app firapp").text
    assert made["id"] in shown
    assert "https://otel.example.test" in shown


def test_telemetry_drains_are_looked_at_changed_and_removed(
    heroku: HerokuCLI, client: httpx.Client, myapp: str
) -> None:
    heroku("""telemetry:add https://otel.example.test --app myapp --headers '{"x-key":"hidden-value"}'""")
    (made,) = client.get("/apps/myapp/telemetry-drains").raise_for_status().json()
    shown = heroku(f"telemetry:info {made['id']}").text
    assert made["id"] in shown and "https://otel.example.test" in shown
    assert "hidden-value" not in shown
    heroku(f"telemetry:update {made['id']} --endpoint https://other.example.test --signals logs")
    changed = client.get(f"/telemetry-drains/{made['id']}").raise_for_status().json()
    assert (changed["exporter"]["endpoint"], changed["signals"]) == ("https://other.example.test", ["logs"])
    assert set(changed["exporter"]["headers"]) == {"x-key"}, "what was not named is as it was"
    heroku(f"telemetry:update {made['id']} --endpoint ftp://other.example.test", code=REFUSED)
    heroku("telemetry:info 01234567-89ab-cdef-0123-456789abcdef", code=REFUSED)
    heroku(f"telemetry:remove {made['id']}")
    assert client.get("/apps/myapp/telemetry-drains").raise_for_status().json() == []
    for name in ("a", "b"):
        heroku(f"telemetry:add https://{name}.example.test --app myapp")
    heroku("telemetry:remove --app myapp")
    assert client.get("/apps/myapp/telemetry-drains").raise_for_status().json() == []
