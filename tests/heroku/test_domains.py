"""Custom domains."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from dynoform.errors import DynoformError
from dynoform.router import rows
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import now
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI


def custom(client: httpx.Client) -> dict[str, dict[str, object]]:
    """The custom domains of ``myapp``, by host name."""
    rows = client.get("/apps/myapp/domains").raise_for_status().json()
    return {row["hostname"]: row for row in rows if row["kind"] == "custom"}


@pytest.fixture
def router(migrated: Store) -> Iterator[None]:
    """A router that says every half second that it has the routes of that moment."""
    done, store = threading.Event(), SmallStore(migrated.configuration, "router")

    def report() -> None:
        while not done.wait(0.5):
            with suppress(DynoformError), store.transaction() as connection:
                rows.announce(connection, "of the tests", now())

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    yield
    done.set()
    thread.join(10)
    store.close()


@pytest.fixture
def domain(client: httpx.Client, myapp: str) -> dict[str, object]:
    """``www.example.com``, a domain of ``myapp``."""
    body = {"hostname": "www.example.com", "sni_endpoint": None}
    made: dict[str, object] = client.post("/apps/myapp/domains", json=body).raise_for_status().json()
    return made


@covers("domains:add www.example.com -a myapp", "domains:add www.example.com -a myapp --wait")
def test_add_makes_a_domain_and_tells_its_target(
    heroku: HerokuCLI, client: httpx.Client, myapp: str, router: None
) -> None:
    plain = heroku("domains:add www.example.com -a myapp")
    waited = heroku("domains:add www.example.org -a myapp --wait")
    domains = custom(client)
    assert set(domains) == {"www.example.com", "www.example.org"}
    assert f"DNS Target {domains['www.example.com']['cname']}." in plain.text
    assert f"DNS Target {domains['www.example.org']['cname']}." in waited.text
    assert domains["www.example.org"]["status"] == "succeeded"
    heroku("domains:add www.example.com -a myapp", code=REFUSED)
    assert len(custom(client)) == 2


@covers("domains -a myapp", "domains -a myapp --json", "domains:info www.example.com -a myapp")
def test_domains_are_shown(heroku: HerokuCLI, client: httpx.Client, domain: dict[str, object]) -> None:
    plain, as_json, info = heroku.each(
        "domains -a myapp", "domains -a myapp --json", "domains:info www.example.com -a myapp"
    )
    assert "myapp.localhost" in plain.out
    assert ["www.example.com", domain["cname"]] in [[row[0], row[2]] for row in plain.table if len(row) > 2]
    shown = {row["hostname"]: row for row in json.loads(as_json.out)}
    assert shown["www.example.com"]["id"] == domain["id"]
    assert ["cname:", domain["cname"]] in info.table
    assert ["hostname:", "www.example.com"] in info.table


@covers("domains:wait www.example.com -a myapp", "domains:wait -a myapp")
def test_wait_ends_when_routers_know_the_domains(
    heroku: HerokuCLI, client: httpx.Client, domain: dict[str, object], router: None
) -> None:
    heroku.each("domains:wait www.example.com -a myapp", "domains:wait -a myapp")
    assert custom(client)["www.example.com"]["status"] == "succeeded"


@covers("domains:remove www.example.com -a myapp")
def test_remove_removes_one(heroku: HerokuCLI, client: httpx.Client, domain: dict[str, object]) -> None:
    client.post("/apps/myapp/domains", json={"hostname": "kept.example.com", "sni_endpoint": None}).raise_for_status()
    heroku("domains:remove www.example.com -a myapp")
    assert set(custom(client)) == {"kept.example.com"}
    assert "find that domain" in heroku("domains:remove www.example.com -a myapp", code=REFUSED).text


@covers("domains:clear -a myapp")
def test_clear_removes_all_custom_domains(heroku: HerokuCLI, client: httpx.Client, domain: dict[str, object]) -> None:
    client.post("/apps/myapp/domains", json={"hostname": "two.example.com", "sni_endpoint": None}).raise_for_status()
    heroku("domains:clear -a myapp")
    assert custom(client) == {}
    assert [row["kind"] for row in client.get("/apps/myapp/domains").json()] == ["heroku"]
