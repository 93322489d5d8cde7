"""SSH keys: add, list, show, remove."""

import httpx
import pytest

from dynoform.api import keys
from dynoform.api.keys import KeyObject

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def test_a_key_is_added_shown_and_removed(client: httpx.Client) -> None:
    answer = client.post("/account/keys", json={"public_key": f"{KEY} ann@laptop\n"})
    key = answer.json()
    assert (answer.status_code, set(key)) == (201, set(KeyObject.__annotations__))
    assert (key["public_key"], key["comment"], key["email"]) == (f"{KEY} ann@laptop", "ann@laptop", "ann@example.com")
    for reference in (key["id"], key["fingerprint"]):
        assert client.get(f"/account/keys/{reference}").json() == key
    assert client.get("/account/keys").json() == client.get("/users/~/keys").json() == [key]
    assert client.delete(f"/account/keys/{key['fingerprint']}").json() == key
    answer = client.delete(f"/account/keys/{key['id']}")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that key.")


def test_one_key_belongs_to_one_account(client: httpx.Client, stranger: httpx.Client) -> None:
    made = client.post("/account/keys", json={"public_key": KEY}).raise_for_status().json()
    for who in (client, stranger):
        answer = who.post("/account/keys", json={"public_key": f"{KEY} mine"})
        message = "Fingerprint already exists. Please use one SSH key per Heroku account"
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert stranger.get(f"/account/keys/{made['id']}").status_code == 404
    assert stranger.get("/account/keys").json() == []


def test_there_is_a_limit_on_keys(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAXIMUM", 1)
    client.post("/account/keys", json={"public_key": KEY}).raise_for_status()
    answer = client.post("/account/keys", json={"public_key": OTHER})
    message = "An account can have 1 SSH keys: remove some with keys:remove"
    assert (answer.status_code, answer.json()["message"]) == (422, message)


@pytest.mark.parametrize("text", ["", "hello", "ssh-dss AAAA", KEY[:-8], f"{KEY}\n{OTHER}", "x" * 9000])
def test_what_is_no_key_is_refused(client: httpx.Client, text: str) -> None:
    answer = client.post("/account/keys", json={"public_key": text})
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
