"""Config vars: merged, limited, encrypted, one release per change."""

import threading

import httpx
import pytest
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Config
from tests.contract.conftest import versions


def test_config_vars_are_set_changed_and_removed(client: httpx.Client, app: str, services: Services) -> None:
    url = f"/apps/{app}/config-vars"
    assert client.get(url).json() == {}
    assert client.patch(url, json={"FOO": "1", "BAR": "two\nlines ✓"}).json() == {"FOO": "1", "BAR": "two\nlines ✓"}
    assert client.patch(url, json={"FOO": None, "BAZ": ""}).json() == {"BAR": "two\nlines ✓", "BAZ": ""}
    assert client.get(url).json() == {"BAR": "two\nlines ✓", "BAZ": ""}
    newest = client.get(f"/apps/{app}/releases", headers={"Range": "version ..; order=desc,max=2"}).json()
    assert [(r["version"], r["description"]) for r in newest] == [
        (4, "Set BAZ, remove FOO config vars"),
        (3, "Set FOO, BAR config vars"),
    ]
    assert client.get(f"/apps/{app}/releases/3/config-vars").json()["FOO"] == "1"
    assert "app[api]: Set FOO, BAR config vars by user ann@example.com" in services.logs.lines  # type: ignore[attr-defined]
    assert "two" not in str(services.logs.lines)  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [{}, {"GONE": None}])
def test_nothing_changed_makes_no_release(client: httpx.Client, app: str, store: Store, body: dict[str, None]) -> None:
    assert client.patch(f"/apps/{app}/config-vars", json=body).status_code == 200
    assert versions(store) == [1, 2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"1A": "x"}, "Config var name '1A' is invalid"),
        ({"A B": "x"}, "Config var name 'A B' is invalid"),
        ({"": "x"}, "Config var name '' is invalid"),
        ({"A": "x\0"}, "Config var A has a value that no process can be given"),
        ({"A": 1}, "Invalid request. A must be a string."),
        ({"A": "x" * 70_000}, "Config vars are limited to 65536 bytes in total, these would be 70001"),
        ([], "The request's body must be a JSON object"),
    ],
)
def test_a_wrong_config_var_is_refused(
    client: httpx.Client, app: str, store: Store, body: object, message: str
) -> None:
    answer = client.patch(f"/apps/{app}/config-vars", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert versions(store) == [1, 2]


def test_what_another_key_sealed_is_named_and_told_to_the_operator_and_its_app_can_go(
    client: httpx.Client, app: str, services: Services, store: Store
) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"PASSWORD": "hunter2hunter2"}).raise_for_status()
    another = Vault("B" * 42 + "s=")
    with store.transaction() as session:
        for config in session.scalars(select(Config)):
            config.ciphertext = another.encrypt(config.app_id, {"PASSWORD": "hunter2hunter2"})
    identifier = client.get(f"/apps/{app}").raise_for_status().json()["id"]
    said = (
        f"what is kept of {identifier}: cannot be read, another encryption key than the stack's sealed it "
        "— the operator has to bring back the state that has that key, or to remove the stack with its data"
    )
    for method, body in (("GET", None), ("PATCH", {"MORE": "1"})):
        answer = client.request(method, f"/apps/{app}/config-vars", json=body)
        assert (answer.status_code, answer.json()) == (500, {"id": "sealed_with_another_key", "message": said})
        entries = services.journal.entries  # type: ignore[attr-defined]
        logged = [fields for event, fields in entries if event == "error exception"][-1]
        assert (logged["kind"], logged["error"]) == ("SealedError", said[:300])
        assert logged["request_id"] == answer.headers["Request-Id"]
    assert client.delete(f"/apps/{app}").status_code == 200


def test_config_vars_are_encrypted_at_rest(client: httpx.Client, app: str, store: Store) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"PASSWORD": "hunter2hunter2"}).raise_for_status()
    with store.transaction() as session:
        stored = b"".join(session.scalars(select(Config.ciphertext)))
    assert b"hunter2" not in stored
    assert b"PASSWORD" not in stored


def test_two_writers_make_versions_without_gaps_and_lose_nothing(client: httpx.Client, app: str, store: Store) -> None:
    def write(writer: int) -> None:
        for number in range(5):
            client.patch(f"/apps/{app}/config-vars", json={f"W{writer}_{number}": "x"}).raise_for_status()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(store) == list(range(1, 23))
    assert len(client.get(f"/apps/{app}/config-vars").json()) == 20
    current = [release["version"] for release in client.get(f"/apps/{app}/releases").json() if release["current"]]
    assert current == [22]
