import httpx
import pytest

from dynoform.domain.placement import Host
from dynoform.store import hosts
from dynoform.store.session import Store

GIB = 1024**3


@pytest.fixture
def space(store: Store) -> str:
    """The name of a space; two hosts are of its runtime, one of the common one."""
    found = [Host("n1", "one", GIB), Host("n2", "two", GIB, runtime="acme"), Host("n3", "three", GIB, runtime="acme")]
    with store.transaction() as session:
        hosts.replace(session, found)
    return "acme"


def test_without_private_runtimes_there_are_no_spaces(client: httpx.Client) -> None:
    assert client.get("/spaces").json() == []
    answer = client.get("/spaces/acme")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that space.")


def test_a_private_runtime_is_a_space(client: httpx.Client, space: str) -> None:
    (found,) = client.get("/spaces").json()
    assert (found["name"], found["state"], found["shield"]) == (space, "allocated", False)
    assert found["team"]["name"] == found["region"]["name"]
    for reference in (found["id"], found["name"]):
        assert client.get(f"/spaces/{reference}").json() == found


@pytest.mark.parametrize("path", ["/apps", "/teams/apps"])
def test_an_app_is_made_in_a_space(client: httpx.Client, space: str, path: str) -> None:
    found = client.get(f"/spaces/{space}").json()
    for number, reference in enumerate((found["name"], found["id"])):
        made = client.post(path, json={"name": f"private-{number}", "space": reference}).raise_for_status().json()
        assert made["space"] == {"id": found["id"], "name": space}
        assert client.get(f"/apps/{made['name']}").json()["space"] == made["space"]
    assert client.post("/apps", json={"name": "other"}).json()["space"] is None


def test_a_space_that_is_not_there_is_refused(client: httpx.Client, space: str) -> None:
    answer = client.post("/apps", json={"name": "private", "space": "nowhere"})
    assert answer.status_code == 422
    assert answer.json()["message"] == "Couldn't find that space (nowhere). heroku spaces lists those that there are."
    assert client.get("/apps/private").status_code == 404
