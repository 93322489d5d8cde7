"""Attachments: one add-on under several names in several apps, and what the CLI resolves names to."""

import threading

import httpx
import pytest

from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.store import addons as store_addons
from dynoform.store.session import Store
from tests.contract.addon_fixtures import patch, provider, worker, working
from tests.contract.addon_provider import ID, ProviderServer

__all__ = ["patch", "provider", "worker", "working"]
pytestmark = pytest.mark.usefixtures("patch")
FIELDS = {
    "addon", "app", "config_vars", "created_at", "id", "log_input_url", "name", "namespace", "updated_at", "web_url",
}  # fmt: skip


@pytest.fixture
def addon(client: httpx.Client, app: str, working: Worker) -> str:
    """The name of an add-on of ``app``, attached as REDIS."""
    body = {"plan": "heroku-redis:mini", "name": "redis-flat-11111"}
    return str(client.post(f"/apps/{app}/addons", json=body).raise_for_status().json()["name"])


@pytest.fixture
def other(client: httpx.Client) -> str:
    return str(client.post("/apps", json={"name": "other"}).raise_for_status().json()["name"])


def attach(client: httpx.Client, addon: str, app: str, **more: object) -> httpx.Response:
    return client.post("/addon-attachments", json={"addon": {"name": addon}, "app": {"name": app}} | more)


def latest(client: httpx.Client, app: str) -> str:
    headers = {"Range": "version ..; max=1, order=desc"}
    return str(client.get(f"/apps/{app}/releases", headers=headers).json()[0]["description"])


def test_an_addon_is_shared_with_another_app(client: httpx.Client, app: str, addon: str, other: str) -> None:
    made = attach(client, addon, other, name="CACHE").raise_for_status().json()
    assert set(made) == FIELDS
    assert (made["name"], made["namespace"], made["app"]["name"]) == ("CACHE", None, other)
    assert (made["addon"]["name"], made["addon"]["app"]["name"]) == (addon, app)
    assert made["addon"]["plan"]["name"] == "heroku-redis:mini"
    assert made["config_vars"] == ["CACHE_TLS_URL", "CACHE_URL"]
    mine, theirs = (client.get(f"/apps/{name}/config-vars").json() for name in (app, other))
    assert theirs == {"CACHE_URL": mine["REDIS_URL"], "CACHE_TLS_URL": mine["REDIS_TLS_URL"]}
    assert latest(client, other) == f"Attach CACHE (@ref:{addon})"
    assert client.get(f"/addon-attachments/{made['id']}").json() == made
    assert client.get(f"/apps/{other}/addon-attachments/CACHE").json() == made
    assert client.get(f"/apps/{other}/addon-attachments").json() == [made]
    assert {each["name"] for each in client.get(f"/addons/{addon}/addon-attachments").json()} == {"REDIS", "CACHE"}
    assert [each["name"] for each in client.get(f"/apps/{other}/addons").json()] == [addon]
    answer = client.request("DELETE", f"/apps/{app}/addons/{addon}", json={"force": False})
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        f"{addon} is attached to other apps as well: other. Detach it there, or use --force",
    )
    assert client.delete(f"/apps/{other}/addons/{addon}").status_code == 404
    client.request("DELETE", f"/apps/{app}/addons/{addon}", json={"force": True}).raise_for_status()
    assert client.get(f"/apps/{other}/config-vars").json() == {}
    assert latest(client, other) == f"Detach CACHE (@ref:{addon})"


def test_detaching_removes_the_config_vars_and_keeps_the_addon(
    client: httpx.Client, app: str, addon: str, provider: ProviderServer
) -> None:
    made = attach(client, addon, app, name="SECOND").json()
    assert set(client.get(f"/apps/{app}/config-vars").json()) == {
        "REDIS_URL",
        "REDIS_TLS_URL",
        "SECOND_URL",
        "SECOND_TLS_URL",
    }
    assert client.delete(f"/addon-attachments/{made['id']}").json() == made
    assert set(client.get(f"/apps/{app}/config-vars").json()) == {"REDIS_URL", "REDIS_TLS_URL"}
    assert latest(client, app) == f"Detach SECOND (@ref:{addon})"
    last = client.get(f"/apps/{app}/addon-attachments/REDIS").json()
    answer = client.delete(f"/addon-attachments/{last['id']}")
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        f"Cannot destroy last attachment to billing app for resource {addon}. Destroy the add-on instead",
    )
    assert provider.methods() == ["POST"]


def test_a_name_in_use_is_replaced_when_the_app_is_confirmed(client: httpx.Client, app: str, addon: str) -> None:
    second = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:mini", "name": "redis-new-22222"}).json()
    backup = attach(client, addon, app).raise_for_status().json()["name"]
    assert backup.startswith("HEROKU_REDIS_")
    answer = attach(client, second["name"], app, name="REDIS")
    assert (answer.status_code, answer.json()) == (
        422,
        {"id": "confirmation_required", "message": f"{addon} is already attached to {app} as REDIS"},
    )
    assert attach(client, second["name"], app, name="REDIS", confirm="wrong").status_code == 422
    attach(client, second["name"], app, name="REDIS", confirm=app).raise_for_status()
    config = client.get(f"/apps/{app}/config-vars").json()
    assert second["id"] in config["REDIS_URL"]
    assert second["id"] not in config[f"{backup}_URL"]
    answer = attach(client, second["name"], app, name=backup, confirm=app)
    assert answer.json()["message"].startswith("Cannot destroy last attachment to billing app for resource redis-flat")


def test_a_config_var_of_the_users_is_overwritten_when_the_app_is_confirmed(
    client: httpx.Client, app: str, addon: str, other: str
) -> None:
    client.patch(f"/apps/{other}/config-vars", json={"REDIS_URL": "mine", "KEPT": "1"}).raise_for_status()
    assert attach(client, addon, other).json()["name"].startswith("HEROKU_REDIS_"), "a name that collides is not chosen"
    answer = attach(client, addon, other, name="REDIS")
    assert (answer.status_code, answer.json()) == (
        422,
        {"id": "confirmation_required", "message": "Config vars REDIS_URL of other would be overwritten"},
    )
    attach(client, addon, other, name="REDIS", confirm=other).raise_for_status()
    config = client.get(f"/apps/{other}/config-vars").json()
    assert (config["REDIS_URL"].startswith("redis://"), config["KEPT"]) == (True, "1")
    create = client.post(f"/apps/{app}/addons", json={"plan": "heroku-redis:mini", "attachment": {"name": "REDIS"}})
    assert (create.status_code, create.json()["id"]) == (422, "confirmation_required")


def test_a_new_config_reaches_all_names_in_all_apps(
    client: httpx.Client, app: str, addon: str, other: str, provider: ProviderServer
) -> None:
    attach(client, addon, app, name="SECOND").raise_for_status()
    attach(client, addon, other, name="CACHE").raise_for_status()
    client.patch(f"/apps/{app}/addons/{addon}", json={"plan": "heroku-redis:premium-0"}).raise_for_status()
    mine, theirs = (client.get(f"/apps/{name}/config-vars").json() for name in (app, other))
    values = {mine["REDIS_URL"], mine["SECOND_URL"], theirs["CACHE_URL"]}
    assert len(values) == 1
    assert values.pop().endswith("/premium-0")
    assert latest(client, app) == latest(client, other) == f"Change @ref:{addon} to heroku-redis:premium-0"


def test_an_attachment_may_have_a_credential_of_its_own(
    client: httpx.Client, app: str, addon: str, services: Services, store: Store
) -> None:
    answer = attach(client, addon, app, name="RO", namespace="credential:ro")
    assert (answer.status_code, answer.json()["message"]) == (422, f"{addon} has no credential:ro")
    assert attach(client, addon, app, name="RO", namespace="nonsense").status_code == 422
    with store.transaction() as session:
        row = session.scalars(store_addons.select(store_addons.Addon)).unique().one()
        store_addons.save_config(session, services.vault, row, {"REDIS_URL": "read-only"}, "credential:ro")
    made = attach(client, addon, app, name="RO", namespace="credential:ro").raise_for_status().json()
    assert (made["namespace"], made["config_vars"]) == ("credential:ro", ["RO_URL"])
    assert client.get(f"/apps/{app}/config-vars").json()["RO_URL"] == "read-only"
    shown = client.get(f"/addons/{addon}/config/credential:ro").json()
    assert shown == [{"name": "REDIS_URL", "value": "read-only"}]
    client.patch(f"/apps/{app}/addons/{addon}", json={"plan": "heroku-redis:premium-0"}).raise_for_status()
    assert client.get(f"/apps/{app}/config-vars").json()["RO_URL"] == "read-only"


@pytest.mark.parametrize(
    ("sought", "app_given", "names"),
    [
        ("REDIS", True, ["REDIS"]),
        ("REDIS_URL", True, ["REDIS"]),
        ("redis-flat-11111", True, ["REDIS", "SECOND"]),
        ("redis-flat-11111", False, ["CACHE", "REDIS", "SECOND"]),
        ("myapp::SECOND", False, ["SECOND"]),
        ("other::CACHE_URL", True, ["CACHE"]),
        ("CACHE", True, None),
        ("NOTHING", False, None),
    ],
)
def test_attachments_are_resolved_as_the_cli_asks(
    client: httpx.Client, app: str, addon: str, other: str, sought: str, app_given: bool, names: list[str] | None
) -> None:
    attach(client, addon, app, name="SECOND").raise_for_status()
    attach(client, addon, other, name="CACHE").raise_for_status()
    body = {"addon_attachment": sought, "app": app if app_given else None, "addon_service": ID}
    answer = client.post("/actions/addon-attachments/resolve", json=body)
    if names is None:
        message = {"resource": "add_on attachment", "message": "Couldn't find that add on attachment."}
        assert (answer.status_code, answer.json()) == (404, {"id": "not_found", **message})
        return
    assert sorted(each["name"] for each in answer.json()) == names
    wrong = client.post("/actions/addon-attachments/resolve", json=body | {"addon_service": "heroku-postgresql"})
    assert wrong.status_code == 404


@pytest.mark.parametrize(
    ("sought", "app_given", "found"),
    [
        ("redis-flat-11111", True, True),
        ("redis-flat-11111", False, True),
        ("REDIS", True, True),
        ("heroku-redis", True, True),
        ("myapp::REDIS", False, True),
        ("REDIS", False, False),
        ("NOTHING", True, False),
    ],
)
def test_addons_are_resolved_as_the_cli_asks(
    client: httpx.Client, app: str, addon: str, sought: str, app_given: bool, found: bool
) -> None:
    body = {"addon": sought, "app": app if app_given else None}
    answer = client.post("/actions/addons/resolve", json=body)
    if not found:
        message = {"resource": "add_on", "message": "Couldn't find that add on."}
        assert (answer.status_code, answer.json()) == (404, {"id": "not_found", **message})
        return
    assert [each["name"] for each in answer.json()] == [addon]
    identifier = answer.json()[0]["id"]
    assert client.post("/actions/addons/resolve", json={"addon": identifier}).json() == answer.json()
    assert client.post("/actions/addons/resolve", json=body | {"addon_service": "other"}).status_code == 404


def test_an_unknown_app_is_not_found(client: httpx.Client, addon: str) -> None:
    answer = client.post("/actions/addons/resolve", json={"addon": "REDIS", "app": "nobody"})
    assert answer.json() == {"id": "not_found", "resource": "app", "message": "Couldn't find that app."}


def test_a_service_may_forbid_sharing(
    client: httpx.Client, app: str, addon: str, other: str, provider: ProviderServer
) -> None:
    manifest = provider.manifest | {"supports_sharing": False}
    client.put(f"/dynoform/addon-services/{ID}", json=manifest).raise_for_status()
    answer = attach(client, addon, other)
    message = "heroku-redis add-ons cannot be shared between apps"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    attach(client, addon, app, name="SECOND").raise_for_status()


def test_many_at_once_come_in_order_whatever_they_do(
    client: httpx.Client, app: str, addon: str, other: str, address: str
) -> None:
    statuses: list[int] = []

    def work(number: int) -> None:
        name = [app, other][number % 2]
        made = attach(client, addon, name, name=f"N{number}")
        statuses.append(made.status_code)
        client.patch(f"/apps/{name}/config-vars", json={f"V{number}": "1"}).raise_for_status()
        statuses.append(client.delete(f"/addon-attachments/{made.json()['id']}").status_code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 6 + [201] * 6
    for name, numbers in ((app, "024"), (other, "135")):
        config = client.get(f"/apps/{name}/config-vars").json()
        assert {each for each in config if each.startswith("V")} == {f"V{number}" for number in numbers}
        assert not any(each.startswith("N") for each in config)
        versions = [release["version"] for release in client.get(f"/apps/{name}/releases").json()]
        assert versions == list(range(1, len(versions) + 1))
