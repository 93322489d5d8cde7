"""Features of apps, accounts and teams."""

import httpx
import pytest

from dynoform.api.features import FeatureObject
from dynoform.store import features
from dynoform.store.apps import parse_id
from dynoform.store.session import Store


def test_features_of_an_app_are_turned_on_and_off(client: httpx.Client, app: str, store: Store) -> None:
    listed = client.get(f"/apps/{app}/features").json()
    assert {feature["name"]: feature["enabled"] for feature in listed} == {
        "http-session-affinity": False,
        "http-strict-transport-security": False,
        "log-runtime-metrics": False,
        "preboot": False,
        "runtime-dyno-build-metadata": False,
        "runtime-dyno-metadata": False,
        "runtime-heroku-exec": True,  # so that the CLI's ps:exec does not restart the dynos first
        "runtime-heroku-metrics": False,
    }
    assert all(set(feature) == set(FeatureObject.__annotations__) for feature in listed)
    path = f"/apps/{app}/features/preboot"
    for enabled in (True, True, False):
        changed = client.patch(path, json={"enabled": enabled}).raise_for_status().json()
        assert changed["enabled"] is enabled
        assert client.get(path).json() == client.get(f"/apps/{app}/features/{changed['id']}").json() == changed
    client.patch(f"/apps/{app}/features/log-runtime-metrics", json={"enabled": True}).raise_for_status()
    identifier = parse_id(client.get(f"/apps/{app}").json()["id"])
    assert identifier is not None
    with store.transaction() as session:
        assert features.enabled(session, identifier) == {"log-runtime-metrics", "runtime-heroku-exec"}


def test_features_of_an_app_are_its_own(client: httpx.Client, app: str) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    client.patch(f"/apps/{app}/features/preboot", json={"enabled": True}).raise_for_status()
    assert client.get("/apps/other/features/preboot").json()["enabled"] is False


def test_features_of_an_account_are_its_own(client: httpx.Client, stranger: httpx.Client) -> None:
    path = "/account/features/dashboard-repositories-api"
    assert client.get(path).json()["enabled"] is True  # so that the CLI asks this API for repositories
    assert client.patch(path, json={"enabled": False}).json()["enabled"] is False
    assert client.get("/account/features").json()[0]["enabled"] is False
    assert stranger.get(path).json()["enabled"] is True


def test_features_of_a_team_tell_the_cli_what_to_ask(client: httpx.Client) -> None:
    client.post("/teams", json={"name": "acme"}).raise_for_status()
    listed = {feature["name"]: feature["enabled"] for feature in client.get("/teams/acme/features").json()}
    assert listed == {"org-access-controls": True, "team-invite-acceptance": False}
    assert client.get("/teams/acme/features/org-access-controls").json()["enabled"] is True


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apps/myapp/features/labthing", "app_feature"),
        ("/account/features/preboot", "account_feature"),
        ("/teams/acme/features/preboot", "team_feature"),
    ],
)
def test_an_unknown_feature_is_not_found(client: httpx.Client, app: str, path: str, resource: str) -> None:
    client.post("/teams", json={"name": "acme"}).raise_for_status()
    answers = [client.get(path)]
    if "teams" not in path:
        answers.append(client.patch(path, json={"enabled": True}))
    for answer in answers:
        assert (answer.status_code, answer.json()) == (
            404,
            {"id": "not_found", "message": "Couldn't find that feature.", "resource": resource},
        )
