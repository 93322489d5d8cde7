"""OAuth: authorizations, their tokens, clients, sessions."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api.oauth_authorizations import AuthorizationObject
from dynoform.api.oauth_clients import ClientObject
from dynoform.api.oauth_tokens import CODE, REFRESH, OAuthTokenObject
from dynoform.api.services import Services
from dynoform.store import authorizations
from dynoform.store.session import Store
from dynoform.store.tables import Authorization, OAuthClient, now
from tests.contract.conftest import OPERATOR_KEY, make_client
from tests.contract.test_common import UNAUTHORIZED


def create(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """Make an authorization as ``heroku authorizations:create`` does."""
    made: dict[str, Any] = client.post("/oauth/authorizations", json=body).raise_for_status().json()
    return made


def status(address: str, token: str, path: str = "/account") -> int:
    """What a token gets as an answer."""
    with make_client(address, token) as client:
        return client.get(path).status_code


def test_an_authorization_has_a_token_that_works(client: httpx.Client, address: str) -> None:
    made = create(client, description="For use with Anvil")
    assert set(made) == set(AuthorizationObject.__annotations__)
    assert (made["description"], made["scope"], made["client"]) == ("For use with Anvil", ["global"], None)
    assert made["access_token"]["expires_in"] is None
    assert made["user"] == {"email": "ann@example.com", "full_name": None, "id": client.get("/account").json()["id"]}
    assert status(address, made["access_token"]["token"]) == 200
    assert create(client)["description"] == "Long-lived user authorization"


def test_a_token_is_shown_once_and_stored_as_a_digest(client: httpx.Client, store: Store) -> None:
    made = create(client, description="mine")
    token = made["access_token"]["token"]
    assert token.startswith("HRKU-")
    assert len(token) == 65
    hint = f"{token[:9]}**********{token[-4:]}"
    listed = {item["description"]: item for item in client.get("/oauth/authorizations").json()}
    assert listed["mine"]["access_token"]["token"] == hint
    assert client.get(f"/oauth/authorizations/{made['id']}").json() == listed["mine"]
    with store.transaction() as session:
        assert token not in str([vars(row) for row in session.scalars(select(Authorization))])


def test_a_token_ends_when_it_should(client: httpx.Client, address: str, store: Store) -> None:
    made = create(client, expires_in="3600")
    assert made["access_token"]["expires_in"] == 3600
    with store.transaction() as session:
        ended = update(Authorization).where(~Authorization.api_key).values(expires_at=now() - timedelta(seconds=1))
        session.execute(ended)
    with make_client(address, made["access_token"]["token"]) as holder:
        answer = holder.get("/account")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    assert client.get(f"/oauth/authorizations/{made['id']}").status_code == 404
    assert len(client.get("/oauth/authorizations").json()) == 1


def test_a_revoked_token_is_void_at_once(client: httpx.Client, address: str) -> None:
    made = create(client)
    assert client.delete(f"/oauth/authorizations/{made['id']}").json()["id"] == made["id"]
    assert status(address, made["access_token"]["token"]) == 401
    answer = client.delete(f"/oauth/authorizations/{made['id']}")
    assert (answer.status_code, answer.json()) == (
        404,
        {"id": "not_found", "message": "Couldn't find that authorization.", "resource": "authorization"},
    )


def test_a_rotated_token_replaces_the_one_before(client: httpx.Client, address: str, store: Store) -> None:
    made = create(client, expires_in=7200, scope=["identity"])
    path = f"/oauth/authorizations/{made['id']}"
    with store.transaction() as session:
        session.execute(update(Authorization).where(~Authorization.api_key).values(expires_at=now() + timedelta(1)))
    rotated = client.post(f"{path}/actions/regenerate-tokens")
    assert rotated.status_code == 201
    before, after = made["access_token"], rotated.json()["access_token"]
    assert (after["expires_in"], rotated.json()["scope"]) == (7200, ["identity"])
    assert before["id"] != after["id"]
    assert (status(address, before["token"]), status(address, after["token"])) == (401, 200)


def test_an_authorization_is_described_anew(client: httpx.Client) -> None:
    path = f"/oauth/authorizations/{create(client)['id']}"
    assert client.patch(path, json={"description": "other"}).json()["description"] == "other"
    assert client.patch(path, json={}).json()["description"] == "other"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"scope": ["root"]}, "Scope 'root' is not one of: global, identity, read, write, read-protected, write-prot"),
        ({"scope": "global"}, "Invalid request. scope must be an array."),
        ({"expires_in": 0}, "expires_in must be a number of seconds from 1 to 3153600000"),
        ({"expires_in": -1}, "expires_in must be a number of seconds from 1 to"),
        ({"expires_in": 10**30}, "expires_in must be a number of seconds from 1 to"),
        ({"expires_in": "tomorrow"}, "expires_in must be a number of seconds"),
        ({"expires_in": 1.5}, "Invalid request. expires_in must be a whole number or a string."),
        ({"description": "x" * 501}, "Invalid request. description must have at most 500 characters."),
    ],
)
def test_a_wrong_authorization_is_refused(client: httpx.Client, body: object, message: str) -> None:
    answer = client.post("/oauth/authorizations", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)


def test_an_account_has_so_many_authorizations_and_no_more(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizations, "MAXIMUM", 3)
    create(client)
    made = create(client)
    answer = client.post("/oauth/authorizations")
    message = "An account can have 3 authorizations: revoke some with authorizations:revoke"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    client.delete(f"/oauth/authorizations/{made['id']}").raise_for_status()
    create(client)


def test_another_accounts_authorization_is_none(client: httpx.Client, stranger: httpx.Client) -> None:
    path = f"/oauth/authorizations/{create(client)['id']}"
    for method, suffix in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/actions/regenerate-tokens")):
        answer = stranger.request(method, path + suffix, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["resource"]) == (404, "authorization")


def test_the_api_key_is_the_operators_and_set_by_up(client: httpx.Client, stranger: httpx.Client) -> None:
    shown = client.get("/oauth/authorizations/~").json()
    assert (shown["description"], shown["access_token"]["token"]) == (
        "Dynoform operator",
        f"{OPERATOR_KEY[:9]}**********{OPERATOR_KEY[-4:]}",
    )
    message = "This is the operator's API key, which the stack's secret sets — change it with bin/dynoform up"
    for method, suffix in (("DELETE", ""), ("POST", "/actions/regenerate-tokens")):
        answer = client.request(method, f"/oauth/authorizations/{shown['id']}{suffix}")
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert stranger.get("/oauth/authorizations/~").json()["resource"] == "authorization"


def test_the_cli_can_log_out(client: httpx.Client, address: str) -> None:
    """The four calls of ``heroku auth:logout``: what it finds by the token's two ends it deletes."""
    token = create(client)["access_token"]["token"]
    with make_client(address, token) as cli:
        ended = cli.delete("/oauth/sessions/~")
        assert (ended.status_code, ended.json()["resource"]) == (404, "session")
        assert cli.get("/oauth/sessions").json() == []
        assert cli.get("/oauth/authorizations/~").json()["access_token"]["token"][:9] != token[:9]
        ends = [
            (row["id"], row["access_token"]["token"].split("**********"))
            for row in cli.get("/oauth/authorizations").json()
        ]
        own = [identifier for identifier, (start, end) in ends if token.startswith(start) and token.endswith(end)]
        assert len(own) == 1
        cli.delete(f"/oauth/authorizations/{own[0]}").raise_for_status()
        assert cli.get("/account").status_code == 401
    assert client.get("/account").status_code == 200


@pytest.fixture
def program(client: httpx.Client) -> dict[str, Any]:
    """An OAuth client."""
    body = {"name": "Amazing", "redirect_uri": "https://amazing.example.com/auth/heroku/callback"}
    made: dict[str, Any] = client.post("/oauth/clients", json=body).raise_for_status().json()
    return made


def test_a_client_is_made_shown_changed_and_removed(client: httpx.Client, program: dict[str, Any]) -> None:
    path = f"/oauth/clients/{program['id']}"
    assert set(program) == set(ClientObject.__annotations__)
    assert client.get(path).json() == program
    assert client.get("/oauth/clients").json() == [program]
    changed = client.patch(path, json={"name": "Better", "redirect_uri": "http://localhost:3000/back"}).json()
    assert (changed["name"], changed["redirect_uri"]) == ("Better", "http://localhost:3000/back")
    rotated = client.post(f"{path}/actions/rotate-credentials").json()
    assert rotated["secret"] != program["secret"]
    assert client.delete(path).json()["secret"] == rotated["secret"]
    assert client.get(path).json()["message"] == "Couldn't find that client."


def test_a_clients_secret_is_stored_encrypted(program: dict[str, Any], store: Store, services: Services) -> None:
    with store.transaction() as session:
        stored = session.scalars(select(OAuthClient)).one()
    assert program["secret"].encode() not in stored.secret
    assert services.vault.decrypt(stored.id, stored.secret) == {"secret": program["secret"]}


def test_an_authorization_can_be_a_clients(client: httpx.Client, program: dict[str, Any]) -> None:
    path = f"/oauth/authorizations/{create(client)['id']}"
    wrong = client.patch(path, json={"client": {"id": program["id"], "secret": "guess"}})
    assert (wrong.status_code, wrong.json()["resource"]) == (404, "oauth_client")
    right = client.patch(path, json={"client": {"id": program["id"], "secret": program["secret"]}}).json()
    assert right["client"] == {name: program[name] for name in ("id", "name", "redirect_uri")}
    client.delete(f"/oauth/clients/{program['id']}").raise_for_status()
    assert client.get(path).json()["client"] is None


def test_another_accounts_client_is_none(stranger: httpx.Client, program: dict[str, Any]) -> None:
    path = f"/oauth/clients/{program['id']}"
    for method, suffix in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/actions/rotate-credentials")):
        answer = stranger.request(method, path + suffix, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["resource"]) == (404, "oauth_client")
    assert stranger.get("/oauth/clients").json() == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://example.com/back", "Unsupported callback URL. Clients have to use HTTPS for non-local addresses."),
        ("javascript:alert(1)", "redirect_uri must be an http or https address"),
        ("https://[", "redirect_uri must be an http or https address"),
        ("https://a.b/\x07", "redirect_uri must be an http or https address"),
        ("nothing", "redirect_uri must be an http or https address"),
    ],
)
def test_a_wrong_address_of_a_client_is_refused(client: httpx.Client, uri: str, message: str) -> None:
    answer = client.post("/oauth/clients", json={"name": "x", "redirect_uri": uri})
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def consent(client: httpx.Client, program: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Let a client in, as a consent page does."""
    body = {"client": program["id"], "scope": ["read"], **more}
    made: dict[str, Any] = client.post("/oauth/authorizations", json=body).raise_for_status().json()
    return made


def exchange(nobody: httpx.Client, program: dict[str, Any], made: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"client": {"secret": program["secret"]}, "grant": {"code": made["grant"]["code"], "type": CODE}}
    return nobody.post("/oauth/tokens", json=body | more)


def refresh(nobody: httpx.Client, secret: str, token: str) -> httpx.Response:
    body = {"client": {"secret": secret}, "grant": {"type": REFRESH}, "refresh_token": {"token": token}}
    return nobody.post("/oauth/tokens", json=body)


def test_a_code_is_exchanged_for_a_token_once(
    client: httpx.Client, nobody: httpx.Client, address: str, program: dict[str, Any], store: Store
) -> None:
    made = consent(client, program)
    assert (made["access_token"], made["client"]["id"]) == (None, program["id"])
    assert 290 <= made["grant"]["expires_in"] <= 300
    answer = exchange(nobody, program, made)
    token = answer.json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert set(token) == set(OAuthTokenObject.__annotations__)
    assert (token["access_token"]["expires_in"], token["refresh_token"]["expires_in"]) == (8 * 3600, None)
    assert token["authorization"] == {"id": made["id"]}
    assert status(address, token["access_token"]["token"], "/apps") == 200
    assert status(address, token["access_token"]["token"]) == 403, "its scope is read"
    again = exchange(nobody, program, made)
    assert (again.status_code, again.json()) == (401, UNAUTHORIZED)
    listed = client.get(f"/oauth/authorizations/{made['id']}").json()
    assert (listed["grant"], listed["refresh_token"]["token"]) == (None, "*" * 10)
    with store.transaction() as session:
        kept = str([vars(row) for row in session.scalars(select(Authorization))])
    shown = (made["grant"]["code"], token["access_token"]["token"], token["refresh_token"]["token"])
    assert not any(secret in kept for secret in shown)


def test_a_token_is_refreshed_until_it_is_revoked(
    client: httpx.Client, nobody: httpx.Client, address: str, program: dict[str, Any], store: Store
) -> None:
    made = consent(client, program)
    first = exchange(nobody, program, made).json()
    renewing = first["refresh_token"]["token"]
    with store.transaction() as session:
        session.execute(update(Authorization).where(~Authorization.api_key).values(expires_at=now() - timedelta(60)))
    assert status(address, first["access_token"]["token"], "/apps") == 401
    authorizations.sweep(store)
    second = refresh(nobody, program["secret"], renewing).raise_for_status().json()
    assert (second["refresh_token"], second["grant"]["type"]) == (first["refresh_token"], REFRESH)
    assert status(address, second["access_token"]["token"], "/apps") == 200
    third = refresh(nobody, program["secret"], renewing).raise_for_status().json()
    assert status(address, second["access_token"]["token"], "/apps") == 401, "another has taken its place"
    client.delete(f"/oauth/authorizations/{made['id']}").raise_for_status()
    assert status(address, third["access_token"]["token"], "/apps") == 401
    assert refresh(nobody, program["secret"], renewing).json() == UNAUTHORIZED


def test_a_token_is_given_to_nobody_but_the_client(
    client: httpx.Client, nobody: httpx.Client, program: dict[str, Any], store: Store
) -> None:
    other = client.post("/oauth/clients", json={"name": "x", "redirect_uri": "https://example.com"}).json()
    made = consent(client, program)
    for proof in ({}, {"secret": None}, {"secret": ""}, {"secret": other["secret"]}):
        answer = exchange(nobody, program, made, client=proof)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    wrong = exchange(nobody, program, made, grant={"type": "password"})
    message = "grant.type must be authorization_code or refresh_token"
    assert (wrong.status_code, wrong.json()["message"]) == (422, message)
    token = exchange(nobody, program, made).raise_for_status().json()["refresh_token"]["token"]
    assert refresh(nobody, other["secret"], token).status_code == 401
    late = consent(client, program, expires_in=60)
    with store.transaction() as session:
        session.execute(update(Authorization).values(grant_expires_at=now() - timedelta(seconds=1)))
    assert exchange(nobody, program, late).status_code == 401
    unknown = client.post("/oauth/authorizations", json={"client": "00000000-0000-0000-0000-000000000000"})
    assert (unknown.status_code, unknown.json()["resource"]) == (404, "oauth_client")
