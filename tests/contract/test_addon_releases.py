"""Releases that add-ons make: what they keep of the releases around them."""

import uuid

import httpx
import pytest

from dynoform.addons.worker import Worker
from dynoform.store.releases import fail, succeed
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Release
from tests.contract.addon_fixtures import patch, provider, worker, working
from tests.contract.conftest import deploy
from tests.contract.receiver import Receiver
from tests.contract.test_addons import create

__all__ = ["patch", "provider", "worker", "working"]
PHASED = {"web": "python app.py", "release": "python migrate.py"}
pytestmark = pytest.mark.usefixtures("patch")


def newest(client: httpx.Client, app: str) -> dict[str, object]:
    headers = {"Range": "version ..; order=desc,max=1"}
    found: dict[str, object] = client.get(f"/apps/{app}/releases", headers=headers).json()[0]
    return found


def end(store: Store, release: dict[str, object], *, succeeded: bool) -> None:
    """Write down what became of a release's command, as the worker does."""
    with store.transaction() as session:
        found = session.get_one(Release, uuid.UUID(str(release["id"])))
        if succeeded:
            succeed(session, session.get_one(App, found.app_id), found)
        else:
            fail(session, found)


@pytest.mark.parametrize("failed", [False, True])
def test_an_addon_change_keeps_config_vars_of_a_release_that_is_not_current(
    client: httpx.Client, app: str, working: Worker, store: Store, operator: Account, failed: bool
) -> None:
    deploy(store, app, operator, PHASED)
    end(store, newest(client, app), succeeded=True)
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    assert newest(client, app)["status"] == "pending"
    if failed:
        end(store, newest(client, app), succeeded=False)
    addon = create(client, app)
    assert set(client.get(f"/apps/{app}/config-vars").json()) == {"A", "REDIS_URL", "REDIS_TLS_URL"}
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "1"}


def test_an_attachment_does_not_overwrite_what_was_set_in_a_release_that_is_not_current(
    client: httpx.Client, app: str, working: Worker, store: Store, operator: Account
) -> None:
    deploy(store, app, operator, PHASED)
    end(store, newest(client, app), succeeded=True)
    client.patch(f"/apps/{app}/config-vars", json={"CACHE_URL": "mine"}).raise_for_status()
    body = {"plan": "heroku-redis:mini", "attachment": {"name": "CACHE"}}
    answer = client.post(f"/apps/{app}/addons", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "confirmation_required")


def test_a_changed_addon_runs_no_release_command_but_a_new_one_does(
    client: httpx.Client, app: str, working: Worker, store: Store, operator: Account
) -> None:
    deploy(store, app, operator, PHASED)
    end(store, newest(client, app), succeeded=True)
    addon = create(client, app)
    assert newest(client, app)["status"] == "pending"
    end(store, newest(client, app), succeeded=True)
    client.patch(f"/apps/{app}/addons/{addon['id']}", json={"plan": "heroku-redis:premium-0"}).raise_for_status()
    assert is_served(newest(client, app), f"Change @ref:{addon['name']} to heroku-redis:premium-0")
    body = {"addon": addon["id"], "app": app, "name": "CACHE"}
    attachment = client.post("/addon-attachments", json=body).raise_for_status().json()
    assert is_served(newest(client, app), f"Attach CACHE (@ref:{addon['name']})")
    client.delete(f"/addon-attachments/{attachment['id']}").raise_for_status()
    assert is_served(newest(client, app), f"Detach CACHE (@ref:{addon['name']})")
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    assert is_served(newest(client, app), f"Detach REDIS (@ref:{addon['name']})")


def is_served(release: dict[str, object], description: str) -> bool:
    """Whether this is the newest release, and current without a command."""
    return (release["description"], release["status"], release["current"]) == (description, "succeeded", True)


def test_a_changed_addon_does_not_overtake_a_deploy_whose_command_runs(
    client: httpx.Client, app: str, working: Worker, store: Store, operator: Account
) -> None:
    addon = create(client, app)
    deploy(store, app, operator, {"web": "old", "release": "python migrate.py"})
    end(store, newest(client, app), succeeded=True)
    deployed = deploy(store, app, operator, PHASED)
    waiting = newest(client, app)
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    change = newest(client, app)
    assert (change["status"], change["slug"]) == ("pending", {"id": str(deployed)})
    end(store, waiting, succeeded=True)
    end(store, change, succeeded=True)
    assert newest(client, app)["current"]
    assert client.get(f"/apps/{app}/slugs/{deployed}").json()["process_types"] == PHASED
    assert client.get(f"/apps/{app}/formation/web").json()["command"] == "python app.py"


def test_a_rollback_keeps_what_an_addon_has_set_since(
    client: httpx.Client, app: str, slug: uuid.UUID, working: Worker
) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": "1", "REDIS_TLS_URL": "mine"}).raise_for_status()
    addon = create(client, app, attachment={"name": "REDIS"}, confirm=app)
    client.patch(f"/apps/{app}/config-vars", json={"A": "2"}).raise_for_status()
    client.post(f"/apps/{app}/releases", json={"release": 4}).raise_for_status()
    config = {"REDIS_URL": f"redis://{addon['id']}/mini", "REDIS_TLS_URL": f"rediss://{addon['id']}"}
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "1", **config}
    refused = client.patch(f"/apps/{app}/config-vars", json={"REDIS_URL": "x"})
    assert refused.json()["message"].startswith("Cannot overwrite attachment values REDIS_URL.")


def test_a_rollback_does_not_bring_back_what_an_addon_had_set(
    client: httpx.Client, app: str, slug: uuid.UUID, working: Worker
) -> None:
    addon = create(client, app)
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    with_addon = newest(client, app)["version"]
    client.patch(f"/apps/{app}/addons/{addon['id']}", json={"plan": "heroku-redis:premium-0"}).raise_for_status()
    client.post(f"/apps/{app}/releases", json={"release": with_addon}).raise_for_status()
    present = {"A": "1", "REDIS_URL": f"redis://{addon['id']}/premium-0", "REDIS_TLS_URL": f"rediss://{addon['id']}"}
    assert client.get(f"/apps/{app}/config-vars").json() == present
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    client.post(f"/apps/{app}/releases", json={"release": with_addon}).raise_for_status()
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "1"}


def test_a_release_names_the_plans_that_the_app_had(
    client: httpx.Client, app: str, working: Worker, hook: dict[str, object], hooks: Receiver
) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    addon = create(client, app)
    create(client, "other", plan="heroku-redis:premium-0", name="theirs")
    client.post("/addon-attachments", json={"addon": "theirs", "app": app, "name": "THEIRS"}).raise_for_status()
    client.patch(f"/apps/{app}/addons/{addon['id']}", json={"plan": "heroku-redis:premium-0"}).raise_for_status()
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    mini, premium = ["heroku-redis:mini"], ["heroku-redis:premium-0"]
    plans = [[], [], mini, mini, premium, premium, []]
    assert [release["addon_plan_names"] for release in client.get(f"/apps/{app}/releases").json()] == plans
    assert [request.event["data"]["addon_plan_names"] for request in hooks.wait(5)] == plans[2:]
