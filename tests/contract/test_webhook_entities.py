"""Whatever a webhook can include is told: made, changed and taken away."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.addons.worker import Worker
from dynoform.domain.releases import PENDING
from dynoform.domain.webhooks import ENTITIES
from dynoform.store import acme
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Domain, Dyno, Release
from dynoform.store.webhooks import dyno_changed, dyno_created, release_changed
from tests.contract.addon_fixtures import patch, provider, worker, working
from tests.contract.conftest import deploy, path_of
from tests.contract.hooks import add, deliveries_of
from tests.contract.receiver import Receiver, Request
from tests.contract.test_addons import create
from tests.contract.test_domains import issue
from tests.contract.test_sni_endpoints import pair

__all__ = ["patch", "provider", "worker", "working"]
pytestmark = pytest.mark.usefixtures("patch")
EXPECTED = {
    "api:addon": {"create", "update", "destroy"},
    "api:addon-attachment": {"create", "destroy"},
    "api:app": {"update", "destroy"},
    "api:build": {"create", "update"},
    "api:collaborator": {"create", "update", "destroy"},
    "api:domain": {"create", "update", "destroy"},
    "api:dyno": {"create"},
    "api:formation": {"create", "update", "destroy"},
    "api:release": {"create", "update"},
    "api:sni-endpoint": {"create", "update", "destroy"},
    "dyno": {"update", "destroy"},
}


@pytest.fixture
def team_app(client: httpx.Client, hooks: Receiver) -> str:
    """A team's app with a webhook for everything."""
    client.post("/teams", json={"name": "acme"}).raise_for_status()
    client.post("/teams/apps", json={"name": "myapp", "team": "acme"}).raise_for_status()
    add(client, "myapp", hooks.url, include=list(ENTITIES), level="notify")
    return "myapp"


def told(client: httpx.Client, entity: str) -> list[dict[str, Any]]:
    """The payloads of the app's events of one kind, oldest first."""
    events = client.get("/apps/myapp/webhook-events").raise_for_status().json()
    payloads = {event["id"]: event["payload"] for event in events if event["include"] == entity}
    order = [delivery["event"]["id"] for delivery in deliveries_of(client, "myapp")]
    return [payloads[event_id] for event_id in order if event_id in payloads]


def test_every_entity_is_told(
    client: httpx.Client,
    team_app: str,
    hooks: Receiver,
    store: Store,
    operator: Account,
    working: Worker,
) -> None:
    assert set(EXPECTED) == set(ENTITIES)
    share(client)
    serve(client)
    run(client, store, operator)
    build(client)
    addon = create(client, team_app)
    client.delete(f"/apps/{team_app}/addons/{addon['id']}").raise_for_status()
    client.patch(f"/apps/{team_app}", json={"maintenance": True}).raise_for_status()
    client.delete(f"/apps/{team_app}").raise_for_status()
    count = sum(len(actions) for actions in EXPECTED.values())
    requests = hooks.wait(count)
    while (found := kinds(requests)) != EXPECTED and len(requests) < 100:
        requests = hooks.wait(len(requests) + 1)
    assert found == EXPECTED


def kinds(requests: list[Request]) -> dict[str, set[str]]:
    """What they tell, and what of it."""
    found: dict[str, set[str]] = {}
    for request in requests:
        include = request.event["webhook_metadata"]["event"]["include"]
        found.setdefault(include, set()).add(request.event["action"])
    return found


def share(client: httpx.Client) -> None:
    url = "/teams/apps/myapp/collaborators"
    client.post(url, json={"user": "bob@example.com"}).raise_for_status()
    client.patch(f"{url}/bob@example.com", json={"permissions": ["deploy"]}).raise_for_status()
    client.delete(f"{url}/bob@example.com").raise_for_status()


def serve(client: httpx.Client) -> None:
    endpoint = client.post("/apps/myapp/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()["name"]
    client.patch(f"/apps/myapp/sni-endpoints/{endpoint}", json=pair("www.example.com")).raise_for_status()
    client.post("/apps/myapp/domains", json={"hostname": "www.example.com"}).raise_for_status()
    client.patch("/apps/myapp/domains/www.example.com", json={"sni_endpoint": endpoint}).raise_for_status()
    client.delete("/apps/myapp/domains/www.example.com").raise_for_status()
    client.delete(f"/apps/myapp/sni-endpoints/{endpoint}").raise_for_status()


def test_certificates_that_the_platform_gets_are_told(client: httpx.Client, team_app: str, store: Store) -> None:
    client.post("/apps/myapp/domains", json={"hostname": "www.example.com"}).raise_for_status()
    client.post("/apps/myapp/acm", json={}).raise_for_status()
    name = issue(store, "www.example.com")
    assert issue(store, "www.example.com") == name
    made, renewed = told(client, "api:sni-endpoint")
    assert (made["action"], renewed["action"]) == ("create", "update")
    shown = client.get(f"/apps/myapp/sni-endpoints/{name}").json()
    assert renewed["data"] == shown
    assert shown["ssl_cert"]["acm"] is True and "PRIVATE" not in str(made)


def test_how_far_a_domains_certificate_is_is_told_when_that_changes(
    client: httpx.Client, team_app: str, store: Store
) -> None:
    client.post("/apps/myapp/domains", json={"hostname": "www.example.com"}).raise_for_status()
    client.post("/apps/myapp/acm", json={}).raise_for_status()
    with store.transaction() as session:
        domain = session.scalars(select(Domain)).unique().one().id
    for status, reason in (
        ("failing", "no DNS"),
        ("failing", "no DNS"),
        ("failing", "somebody else answers"),
        ("dns-verified", None),
    ):
        with store.transaction() as session:
            acme.show(session, domain, status, reason)
    issue(store, "www.example.com")
    shown = client.get("/apps/myapp/domains/www.example.com").json()
    client.delete("/apps/myapp/acm").raise_for_status()
    _, *changes = told(client, "api:domain")
    assert {each["action"] for each in changes} == {"update"}
    states = [(each["previous_data"]["acm_status"], each["data"]["acm_status"]) for each in changes]
    assert states == [
        (None, "failing"),
        ("failing", "dns-verified"),
        ("dns-verified", "cert issued"),
        ("cert issued", None),
    ]
    assert changes[1]["previous_data"]["acm_status_reason"] == "somebody else answers"
    assert changes[2]["data"] == shown


def run(client: httpx.Client, store: Store, operator: Account) -> None:
    deploy(store, "myapp", operator, {"web": "serve", "worker": "work"})
    client.patch("/apps/myapp/formation/web", json={"quantity": 2}).raise_for_status()
    deploy(store, "myapp", operator, {"web": "serve"})
    with store.transaction() as session:
        release = session.scalars(select(Release).where(Release.current)).one()
        app = session.get_one(App, release.app_id)
        release_changed(session, app, release, PENDING)
        dyno = Dyno(app_id=app.id, release_id=release.id, type="web", number=1, size="Eco", command="run it")
        session.add(dyno)
        session.flush()
        dyno_created(session, app, dyno, release.version)
        for state, previous in (("up", "starting"), ("crashed", "up")):
            dyno.state = state
            dyno_changed(session, dyno, previous)


def build(client: httpx.Client) -> None:
    source = client.post("/sources").raise_for_status().json()["source_blob"]
    client.put(path_of(source["put_url"]), content=b"tar").raise_for_status()
    made = client.post("/apps/myapp/builds", json={"source_blob": {"url": source["get_url"]}}).raise_for_status()
    client.delete(f"/apps/myapp/builds/{made.json()['id']}").raise_for_status()


def test_an_addon_and_its_attachments_are_told_as_they_are_shown(
    client: httpx.Client, team_app: str, working: Worker, operator: Account
) -> None:
    addon = create(client, team_app)
    url = f"/apps/{team_app}/addons/{addon['id']}"
    made, provisioned = told(client, "api:addon")
    assert (made["action"], made["data"]["state"], made["data"]["config_vars"]) == ("create", "provisioning", [])
    assert (provisioned["previous_data"], provisioned["data"]) == ({"state": "provisioning"}, addon)
    client.patch(url, json={"plan": "heroku-redis:premium-0", "name": "renamed"}).raise_for_status()
    renamed, changed = told(client, "api:addon")[2:]
    assert renamed["previous_data"] == {"name": addon["name"]}
    assert changed["previous_data"]["plan"]["name"] == "heroku-redis:mini"
    assert changed["data"] == {**client.get(url).json(), "updated_at": changed["data"]["updated_at"]}
    second = client.post("/addon-attachments", json={"addon": "renamed", "app": team_app, "name": "CACHE"}).json()
    attached = told(client, "api:addon-attachment")
    assert [each["action"] for each in attached] == ["create", "create"]
    changing = {"config_vars": [], "updated_at": second["updated_at"]}
    assert {**attached[1]["data"], "updated_at": second["updated_at"]} == {**second, **changing}
    client.delete(url).raise_for_status()
    gone = told(client, "api:addon")[-1]
    assert (gone["action"], gone["data"]["state"]) == ("destroy", "provisioned")
    assert gone["actor"] == {"email": operator.email, "id": str(operator.id)}
    last = [each["data"]["config_vars"] for each in told(client, "api:addon-attachment") if each["action"] == "destroy"]
    assert sorted(last) == [["CACHE_TLS_URL", "CACHE_URL"], ["REDIS_TLS_URL", "REDIS_URL"]]


def test_domains_certificates_and_collaborators_are_told_with_what_was_before(
    client: httpx.Client, team_app: str
) -> None:
    share(client)
    serve(client)
    _, changed, gone = told(client, "api:collaborator")
    assert [each["name"] for each in changed["previous_data"]["permissions"]] == ["view", "deploy", "operate"]
    assert [each["name"] for each in gone["data"]["permissions"]] == ["view", "deploy"]
    made, changed, gone = told(client, "api:domain")
    assert (made["data"]["hostname"], changed["previous_data"]) == ("www.example.com", {"sni_endpoint": None})
    assert gone["data"] == changed["data"]
    made, changed, gone = told(client, "api:sni-endpoint")
    assert changed["previous_data"]["certificate_chain"] == made["data"]["certificate_chain"]
    assert "PRIVATE KEY" not in str([made, changed, gone])


def test_process_types_that_come_are_told(
    client: httpx.Client, team_app: str, store: Store, operator: Account, slug_types: dict[str, str]
) -> None:
    deploy(store, team_app, operator, slug_types)
    events = {event["data"]["type"]: event for event in told(client, "api:formation")}
    assert {name: event["action"] for name, event in events.items()} == dict.fromkeys(slug_types, "create")
    assert events["web"]["data"] == client.get(f"/apps/{team_app}/formation/web").json()
    assert uuid.UUID(events["worker"]["data"]["id"])


@pytest.fixture
def slug_types() -> dict[str, str]:
    return {"web": "serve", "worker": "work"}
