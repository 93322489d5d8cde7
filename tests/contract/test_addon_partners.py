"""What providers call, and how the operator registers them."""

import copy
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.addons.partner import PartnerProvider
from dynoform.addons.queue import tidy
from dynoform.addons.worker import Worker
from dynoform.api import addons as api_addons
from dynoform.api.services import Services
from dynoform.domain.log_drains import addon_token
from dynoform.store.session import Store
from dynoform.store.tables import Addon, AddonService, now
from tests.contract.addon_fixtures import patch, provider, worker, working
from tests.contract.addon_provider import PASSWORD, ProviderServer
from tests.contract.conftest import PLAIN
from tests.contract.hooks import until

__all__ = ["patch", "provider", "worker", "working"]
pytestmark = pytest.mark.usefixtures("patch")
ASYNC = (202, {"id": "p-1", "message": "Your store is being made"})


class Partner:
    """The provider's side of an add-on that it makes in the background."""

    def __init__(self, address: str, addon: dict[str, Any], code: str) -> None:
        self.addon = addon
        self.http = httpx.Client(base_url=address, timeout=60, trust_env=False, verify=PLAIN)
        self.code = code
        self.token = ""

    def exchange(self, **form: str) -> httpx.Response:
        given = {"grant_type": "authorization_code", "code": self.code, "client_secret": PASSWORD} | form
        return self.http.post("/oauth/token", data=given)

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        if not self.token:
            self.token = self.exchange().raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, f"/addons/{self.addon['id']}{path}", json=body, headers=headers)


@pytest.fixture
def partner(client: httpx.Client, app: str, provider: ProviderServer, working: Worker, address: str) -> Any:
    provider.replies.append(ASYNC)
    addon = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:mini"}).raise_for_status().json()
    found = Partner(address, addon, provider.requests[0][2]["oauth_grant"]["code"])
    yield found
    found.http.close()


CONFIG = {"config": [{"name": "REDIS_URL", "value": "redis://later"}]}


def latest(client: httpx.Client, app: str) -> str:
    return str(client.get(f"/apps/{app}/releases").json()[-1]["description"])


def test_an_addon_made_in_the_background_is_released_when_its_provider_says_so(
    client: httpx.Client, app: str, partner: Partner
) -> None:
    assert (partner.addon["state"], partner.addon["provision_message"]) == ("provisioning", "Your store is being made")
    assert partner.addon["provider_id"] == "p-1"
    assert partner.call("PATCH", "/config", CONFIG).json() == CONFIG["config"]
    assert client.get(f"/apps/{app}/config-vars").json() == {}
    assert latest(client, app) == "Enable Logplex"
    assert partner.call("POST", "/actions/provision").json()["state"] == "provisioned"
    assert client.get(f"/apps/{app}/config-vars").json() == {"REDIS_URL": "redis://later"}
    name = partner.addon["name"]
    assert latest(client, app) == f"@ref:{name} completed provisioning, setting REDIS_URL."
    assert partner.call("POST", "/actions/provision").json()["state"] == "provisioned", "saying it twice is the same"
    more = {"config": [{"name": "REDIS_TLS_URL", "value": "rediss://new"}, {"name": "REDIS_URL", "value": None}]}
    assert partner.call("PATCH", "/config", more).json() == [{"name": "REDIS_TLS_URL", "value": "rediss://new"}]
    assert client.get(f"/apps/{app}/config-vars").json() == {"REDIS_TLS_URL": "rediss://new"}
    assert latest(client, app) == "Update REDIS by heroku-redis"
    count = len(client.get(f"/apps/{app}/releases").json())
    partner.call("PATCH", "/config", more).raise_for_status()
    assert len(client.get(f"/apps/{app}/releases").json()) == count, "nothing changed"
    answer = partner.call("POST", "/actions/deprovision")
    assert answer.status_code == 422
    assert answer.json()["message"] == f"{name} is provisioned: only its users can destroy it"


def test_a_provider_that_cannot_make_it_says_so(
    client: httpx.Client, app: str, partner: Partner, provider: ProviderServer
) -> None:
    assert partner.call("POST", "/actions/deprovision").json()["state"] == "deprovisioned"
    assert client.get(f"/apps/{app}/addons").json() == []
    assert client.get(f"/apps/{app}/addon-attachments").json() == []
    assert client.get(f"/apps/{app}/addons/{partner.addon['name']}").json()["state"] == "deprovisioned"
    assert partner.call("POST", "/actions/provision").status_code == 404


def test_a_provider_that_destroys_in_the_background(
    client: httpx.Client, app: str, partner: Partner, provider: ProviderServer
) -> None:
    partner.call("POST", "/actions/provision").raise_for_status()
    provider.replies.append((202, {}))
    url = f"/apps/{app}/addons/{partner.addon['name']}"
    assert client.delete(url).json()["state"] == "deprovisioning"
    assert partner.call("POST", "/actions/deprovision").json()["state"] == "deprovisioned"
    assert client.get(url).status_code == 404
    assert partner.call("POST", "/actions/deprovision").status_code == 404


def test_what_a_provider_never_finishes_is_given_up_after_a_day(
    client: httpx.Client, app: str, partner: Partner, provider: ProviderServer, store: Store
) -> None:
    with store.transaction() as session:
        session.execute(update(Addon).values(state_changed_at=now() - api_addons.addons.PATIENCE))
    tidy(store)
    url = f"/addons/{partner.addon['id']}"
    deadline = time.monotonic() + 60
    while "DELETE" not in provider.methods():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.get(url).json()["state"] == "deprovisioned"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"client_secret": "wrong"}, 401),
        ({"client_secret": "ü"}, 401),
        ({"code": "wrong"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "wrong"}, 401),
        ({"grant_type": "password"}, 400),
    ],
)
def test_a_wrong_grant_opens_nothing(partner: Partner, form: dict[str, str], status: int) -> None:
    answer = partner.exchange(**form)
    assert (answer.status_code, set(answer.json())) == (status, {"id", "message"})
    assert partner.exchange().status_code == 200, "the right one still does"


def test_a_grant_works_once_and_a_refresh_token_again(partner: Partner, store: Store) -> None:
    first = partner.exchange()
    assert first.headers["Cache-Control"] == "no-store"
    assert set(first.json()) == {"access_token", "expires_in", "refresh_token", "token_type"}
    assert partner.exchange().status_code == 401
    refreshed = partner.exchange(grant_type="refresh_token", refresh_token=first.json()["refresh_token"])
    partner.token = refreshed.raise_for_status().json()["access_token"]
    partner.call("PATCH", "/config", CONFIG).raise_for_status()
    wrong = partner.exchange(grant_type="refresh_token", refresh_token=first.json()["access_token"])
    assert wrong.status_code == 401


def test_a_grant_expires(partner: Partner, store: Store) -> None:
    with store.transaction() as session:
        session.execute(update(Addon).values(grant_expires_at=now()))
    assert partner.exchange().status_code == 401


def test_a_provider_reaches_its_own_addon_only(
    client: httpx.Client, app: str, partner: Partner, working: Worker
) -> None:
    partner.call("PATCH", "/config", CONFIG).raise_for_status()
    other = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:mini"}).json()
    mine, partner.addon = partner.addon, other
    assert partner.call("PATCH", "/config", CONFIG).status_code == 404
    partner.addon = mine
    headers = {"Authorization": f"Bearer {partner.token}"}
    assert partner.http.get(f"/apps/{app}/config-vars", headers=headers).status_code == 401
    answer = client.patch(f"/addons/{mine['id']}/config", json=CONFIG)
    message = "Only the provider of this add-on can do this."
    assert (answer.status_code, answer.json()) == (403, {"id": "forbidden", "message": message})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([{"name": "PATH", "value": "x"}], "Config var PATH is not one of the manifest's: REDIS_URL, REDIS_TLS_URL"),
        ([{"name": "REDIS_URL", "value": "x" * 65_530}], "Config vars are limited to 65536 bytes in total"),
        ([{"name": "REDIS_URL", "value": "\0"}], "Config var REDIS_URL has a value that no process can be given"),
        ([{"name": "REDIS_URL"}], "Invalid request. config.0.value is required."),
    ],
)
def test_a_wrong_config_is_refused_whole(
    client: httpx.Client, app: str, partner: Partner, config: list[object], message: str
) -> None:
    partner.call("POST", "/actions/provision").raise_for_status()
    answer = partner.call("PATCH", "/config", {"config": config})
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)
    assert client.get(f"/addons/{partner.addon['id']}/config").json() == []


def test_an_addon_may_bring_a_log_drain(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker
) -> None:
    provider.replies.append((200, {"log_drain_url": "https://logs.example.com/in"}))
    addon = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:mini"}).raise_for_status().json()
    until(lambda: client.get(f"/apps/{app}/log-drains").json() != [])  # the worker may be slower than the API waits
    (drain,) = client.get(f"/apps/{app}/log-drains").json()
    token = addon_token(api_addons.uuid.UUID(addon["id"]))
    assert (drain["url"], drain["token"]) == ("https://logs.example.com/in", token)
    assert provider.requests[0][2]["log_drain_token"] == token
    assert drain["addon"] == {"id": addon["id"], "name": addon["name"]}
    answer = client.delete(f"/apps/{app}/log-drains/{drain['id']}")
    message = f"This drain belongs to the add-on {addon['name']}, which alone can change it"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    assert client.get(f"/apps/{app}/log-drains").json() == []


def test_services_and_plans_are_shown_as_heroku_does(client: httpx.Client, provider: ProviderServer) -> None:
    (service,) = client.get("/addon-services").json()
    assert set(service) == {
        "cli_plugin_name", "created_at", "human_name", "id", "name", "state", "supported_generations",
        "supports_multiple_installations", "supports_sharing", "updated_at",
    }  # fmt: skip
    assert (service["name"], service["human_name"], service["state"]) == ("heroku-redis", "Key-Value Store", "ga")
    for reference in (service["id"], "heroku-redis"):
        assert client.get(f"/addon-services/{reference}").json() == service
    plans = {plan["name"]: plan for plan in client.get("/addon-services/heroku-redis/plans").json()}
    assert set(plans) == {"heroku-redis:mini", "heroku-redis:premium-0"}
    mini = plans["heroku-redis:mini"]
    assert set(mini) == {
        "addon_service", "compliance", "created_at", "default", "description", "human_name", "id",
        "installable_inside_private_network", "installable_outside_private_network", "name", "price", "space_default",
        "state", "updated_at", "visible",
    }  # fmt: skip
    assert mini["price"] == {"cents": 300, "contract": False, "metered": False, "unit": "month"}
    assert (mini["default"], mini["human_name"]) == (True, "Mini")
    for path in (f"/plans/{mini['id']}", "/plans/heroku-redis:mini", "/addon-services/heroku-redis/plans/mini"):
        assert client.get(path).json() == mini
    answer = client.get("/addon-services/nothing")
    assert answer.json() == {
        "id": "not_found",
        "resource": "addon_service",
        "message": "Couldn't find that add-on service.",
    }
    assert client.get("/addon-services/heroku-redis/plans/none").json()["message"] == "Couldn't find that plan."


def test_a_provider_is_changed_and_its_password_never_shown(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker, store: Store
) -> None:
    addon = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:premium-0"}).raise_for_status().json()
    manifest = copy.deepcopy(provider.manifest)
    manifest["plans"] = manifest["plans"][:1]
    answer = client.put("/dynoform/addon-services/heroku-redis", json=manifest)
    assert (answer.status_code, PASSWORD in answer.text) == (200, False)
    with store.transaction() as session:
        assert PASSWORD.encode() not in (session.scalars(select(AddonService.secrets)).one() or b"")
    assert client.get(f"/addons/{addon['id']}").json()["plan"]["name"] == "heroku-redis:premium-0"
    answer = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:premium-0"})
    message = "The plan heroku-redis:premium-0 is no longer available"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    busy = client.delete("/dynoform/addon-services/heroku-redis")
    message = "heroku-redis has add-ons — destroy them first"
    assert (busy.status_code, busy.json()["message"]) == (409, message)
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    assert client.delete("/dynoform/addon-services/heroku-redis").status_code == 200
    assert client.get("/addon-services").json() == []


def test_only_the_operator_registers_providers(stranger: httpx.Client, provider: ProviderServer) -> None:
    for answer in (
        stranger.put("/dynoform/addon-services/heroku-redis", json=provider.manifest),
        stranger.delete("/dynoform/addon-services/heroku-redis"),
    ):
        message = "Only the operator of this platform can register add-on services."
        assert (answer.status_code, answer.json()) == (403, {"id": "forbidden", "message": message})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["id"], "other", "The manifest is for other: put it to /dynoform/addon-services/other"),
        (["id"], "Bad Id", "Invalid request. id"),
        (["api", "password"], "short", "Invalid request. api.password"),
        (["api", "config_vars"], ["OTHER_URL"], "Config var OTHER_URL must start with the prefix REDIS_"),
        (["api", "production", "base_url"], "http://example.com", "Invalid request. api.production.base_url"),
        (["api", "production", "base_url"], "https://a:b@example.com", "Invalid request. api.production.base_url"),
        (["api", "production", "base_url"], "https://[", "Invalid request. api.production.base_url"),
        (["api", "version"], "1", "Invalid request. api.version"),
        (["plans"], [], "Invalid request. plans"),
        (
            ["plans"],
            [{"name": "a1"}, {"name": "a1"}],
            "Plans must have different names, and at most one is the default",
        ),
    ],
)
def test_a_wrong_manifest_is_refused(
    client: httpx.Client, provider: ProviderServer, place: list[str], value: object, message: str
) -> None:
    manifest = copy.deepcopy(provider.manifest)
    inner = manifest
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    answer = client.put("/dynoform/addon-services/heroku-redis", json=manifest)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)
    assert PASSWORD not in answer.text


def test_a_provider_without_a_certificate_that_counts_is_not_asked(
    client: httpx.Client, app: str, provider: ProviderServer, services: Services, patch: pytest.MonkeyPatch
) -> None:
    from dynoform.addons.provider import Resource
    from dynoform.errors import UnavailableError

    partner = PartnerProvider(seconds=1.0)
    url = provider.url.replace("http://", "https://")
    wanted = Resource(api_addons.uuid.uuid4(), "redis-x", "heroku-redis", "mini", "r", "c", None, base_url=url)
    with pytest.raises(UnavailableError):
        partner.provision(wanted)
    partner.close()
    assert provider.requests == []
