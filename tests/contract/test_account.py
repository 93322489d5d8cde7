"""Accounts: what one can see and change, how the operator lets people in and shuts them out."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api.account import AccountObject
from dynoform.api.limits import WRONG_PASSWORDS, WRONG_PASSWORDS_OF_ADDRESS
from dynoform.api.services import Services
from dynoform.store import passwords
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, now
from tests.contract.conftest import OPERATOR_KEY, Person, make_client
from tests.contract.test_common import REFERENCE, UNAUTHORIZED

PASSWORD = "correct horse battery"
LIMITS = f"{REFERENCE}#rate-limits"
TOO_MANY = "Too many wrong passwords for this account or from this address. Wait some minutes, then try again"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dozens of passwords are tried here; what a real hash costs is in the store's tests."""
    monkeypatch.setattr(passwords, "_COST", 2)
    monkeypatch.setattr(passwords, "_NOBODY", passwords._NOBODY.replace("$16384$", "$2$"))


def sign_in(nobody: httpx.Client, email: str, password: str, **headers: str) -> httpx.Response:
    """Ask for a token as ``heroku auth:login -i`` does."""
    basic = base64.b64encode(f"{email}:{password}".encode()).decode()
    body = {"scope": ["global"], "description": "Heroku CLI login from laptop", "expires_in": 2592000}
    return nobody.post("/oauth/authorizations", json=body, headers={"Authorization": f"Basic {basic}", **headers})


@pytest.fixture
def invited(client: httpx.Client) -> dict[str, Any]:
    """An account that the operator made, with its one-time password."""
    body = {"email": "Bob@example.com", "name": "Bob"}
    made: dict[str, Any] = client.post("/dynoform/accounts", json=body).raise_for_status().json()
    return made


@pytest.fixture
def bob(invited: dict[str, Any], nobody: httpx.Client, address: str) -> Iterator[httpx.Client]:
    """A client of that account, signed in, with a password of its own."""
    token = sign_in(nobody, "bob@example.com", invited["one_time_password"]).json()["access_token"]["token"]
    with make_client(address, token) as made:
        made.patch("/account", json={"new_password": PASSWORD}).raise_for_status()
        yield made


def test_the_account_is_shown_whole(client: httpx.Client) -> None:
    shown = client.get("/account").json()
    assert set(shown) == set(AccountObject.__annotations__)
    assert (shown["email"], shown["verified"], shown["two_factor_authentication"]) == ("ann@example.com", True, False)
    for name in ("~", shown["id"], "ann@example.com", "ANN@example.com"):
        assert client.get(f"/users/{name}").json() == shown
    for name in ("bob@example.com", "00000000-0000-0000-0000-000000000000"):
        answer = client.get(f"/users/{name}")
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that user.")


def test_names_and_preferences_are_kept(client: httpx.Client) -> None:
    change = {"name": "Ann", "allow_tracking": True, "beta": True}
    changed = client.patch("/account", json=change).raise_for_status().json()
    assert {name: changed[name] for name in change} == change
    assert client.patch("/users/~", json={"name": None}).json()["name"] is None
    assert client.get("/account").json()["beta"] is True


def test_the_operator_signs_in_with_the_api_key_as_password(nobody: httpx.Client, client: httpx.Client) -> None:
    answer = sign_in(nobody, "ann@example.com", OPERATOR_KEY)
    assert (answer.status_code, answer.json()["user"]["email"]) == (201, "ann@example.com")
    refused = client.post("/dynoform/accounts", json={"email": "ann@example.com"})
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "The operator signs in with the API key that bin/dynoform env shows",
    )


def test_a_one_time_password_opens_the_account_once(
    invited: dict[str, Any], nobody: httpx.Client, address: str
) -> None:
    assert (invited["email"], invited["name"]) == ("bob@example.com", "Bob")
    assert invited["one_time_password_expires_at"] > invited["created_at"]
    first = sign_in(nobody, "bob@example.com", invited["one_time_password"])
    token = first.json()["access_token"]["token"]
    assert (first.status_code, first.json()["user"]["full_name"], len(token)) == (201, "Bob", 65)
    assert first.json()["access_token"]["expires_in"] == 2592000
    again = sign_in(nobody, "bob@example.com", invited["one_time_password"])
    assert (again.status_code, again.json()) == (401, UNAUTHORIZED)
    with make_client(address, token) as bob:
        assert bob.get("/account").json()["last_login"]
        bob.patch("/account", json={"new_password": PASSWORD}).raise_for_status()
    assert sign_in(nobody, "BOB@example.com", PASSWORD).status_code == 201


def test_another_one_time_password_voids_what_was_before(
    bob: httpx.Client, client: httpx.Client, nobody: httpx.Client
) -> None:
    fresh = client.post("/dynoform/accounts", json={"email": "bob@example.com"}).json()
    assert fresh["name"] == "Bob"
    assert sign_in(nobody, "bob@example.com", PASSWORD).status_code == 401
    assert sign_in(nobody, "bob@example.com", fresh["one_time_password"]).status_code == 201


def test_a_password_is_changed_by_who_knows_it(bob: httpx.Client, nobody: httpx.Client) -> None:
    wrong = "Password is not the one that this account has"
    for body, message in (
        ({"new_password": "another password"}, wrong),
        ({"new_password": "another password", "password": "guess"}, wrong),
        ({"new_password": "short", "password": PASSWORD}, "Password must have 8 to 256 characters"),
        ({"email": "new@example.com"}, wrong),
        ({"email": "ann@example.com", "password": PASSWORD}, "Email ann@example.com is already taken"),
    ):
        answer = bob.patch("/account", json=body)
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    change = {"new_password": "another password", "email": "New@example.com", "password": PASSWORD}
    assert bob.patch("/account", json=change).json()["email"] == "new@example.com"
    assert sign_in(nobody, "new@example.com", PASSWORD).status_code == 401
    assert sign_in(nobody, "new@example.com", "another password").status_code == 201


def test_the_operators_address_is_a_setting(client: httpx.Client) -> None:
    answer = client.patch("/account", json={"email": "x@example.com"})
    assert answer.json()["message"].startswith("The operator's address is a setting: change dynoform:email")


@pytest.mark.parametrize("email", ["bob@example.com", "nobody@example.com"])
def test_wrong_passwords_are_heard_a_few_times_for_an_account(
    bob: httpx.Client, nobody: httpx.Client, email: str
) -> None:
    for number in range(WRONG_PASSWORDS):
        forwarded = {"X-Forwarded-For": f"6.6.6.6, 192.0.2.{number}"}
        answer = sign_in(nobody, email, "guess", **forwarded)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    for password in ("guess", PASSWORD):
        answer = sign_in(nobody, email, password, **{"X-Forwarded-For": "192.0.2.99"})
        assert (answer.status_code, answer.json()) == (429, {"id": "rate_limit", "message": TOO_MANY, "url": LIMITS})
        assert answer.headers["Retry-After"] == "60"
    assert bob.get("/account").status_code == 200  # a token works on


def test_wrong_passwords_are_heard_a_few_times_from_an_address(bob: httpx.Client, nobody: httpx.Client) -> None:
    for number in range(WRONG_PASSWORDS_OF_ADDRESS):
        # What stands before the last address is the client's own invention.
        forwarded = {"X-Forwarded-For": f"203.0.113.{number}, 192.0.2.1"}
        assert sign_in(nobody, f"user-{number}@example.com", "guess", **forwarded).status_code == 401
    answer = sign_in(nobody, "bob@example.com", PASSWORD, **{"X-Forwarded-For": "192.0.2.1"})
    assert (answer.status_code, answer.json()["message"]) == (429, TOO_MANY)
    assert sign_in(nobody, "bob@example.com", PASSWORD, **{"X-Forwarded-For": "192.0.2.2"}).status_code == 201


def test_right_passwords_are_not_counted(bob: httpx.Client, nobody: httpx.Client) -> None:
    for _ in range(WRONG_PASSWORDS + 2):
        assert sign_in(nobody, "bob@example.com", PASSWORD).status_code == 201


def test_a_password_opens_nothing_but_a_new_authorization(bob: httpx.Client, nobody: httpx.Client) -> None:
    basic = base64.b64encode(f"bob@example.com:{PASSWORD}".encode()).decode()
    for method, path in (("GET", "/account"), ("GET", "/oauth/authorizations"), ("POST", "/apps")):
        answer = nobody.request(method, path, headers={"Authorization": f"Basic {basic}"})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_no_password_gets_into_the_journal_or_the_store(
    invited: dict[str, Any], bob: httpx.Client, nobody: httpx.Client, services: Services, store: Store
) -> None:
    sign_in(nobody, "bob@example.com", "wrong secret")
    written = str(services.journal.entries)  # type: ignore[attr-defined]
    with store.transaction() as session:
        kept = str([vars(account) for account in session.scalars(select(Account))])
    for secret in (PASSWORD, invited["one_time_password"], "wrong secret"):
        assert secret not in written
        assert secret not in kept
    assert "warning wrong password" in written


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/dynoform/accounts"), ("POST", "/dynoform/accounts"), ("DELETE", "/dynoform/accounts/ann@example.com")],
)
def test_other_accounts_are_the_operators_business(stranger: httpx.Client, method: str, path: str) -> None:
    answer = stranger.request(method, path, json={"email": "eve@example.com"} if method == "POST" else None)
    message = "You do not have access to other accounts. Only the platform's operator has."
    assert (answer.status_code, answer.json()) == (403, {"id": "forbidden", "message": message})


def test_the_operator_sees_all_accounts(client: httpx.Client, stranger: httpx.Client) -> None:
    assert [account["email"] for account in client.get("/dynoform/accounts").json()] == [
        "ann@example.com",
        "bob@example.com",
    ]


def test_who_is_shut_out_has_no_access_and_leaves_the_apps(
    client: httpx.Client, bob: httpx.Client, nobody: httpx.Client, person: Person
) -> None:
    bob.post("/apps", json={"name": "bobs-app"}).raise_for_status()
    bob.post("/teams", json={"name": "bobs"}).raise_for_status()
    for who in (bob, client):
        who.post("/pipelines", json={"name": "shop"}).raise_for_status()
    bob.post("/pipelines", json={"name": "other"}).raise_for_status()
    bob.post("/apps/bobs-app/collaborators", json={"user": "ann@example.com"}).raise_for_status()
    assert client.delete("/dynoform/accounts/bob@example.com").json()["email"] == "bob@example.com"
    assert bob.get("/account").status_code == 401
    assert sign_in(nobody, "bob@example.com", PASSWORD).status_code == 401
    assert client.get("/apps/bobs-app").json()["owner"]["email"] == "ann@example.com"
    assert [row["role"] for row in client.get("/apps/bobs-app/collaborators").json()] == ["owner"]
    assert client.get("/teams/bobs").json()["role"] == "admin"
    pipelines = {row["name"]: row["owner"] for row in client.get("/pipelines").json()}
    operator = {"id": client.get("/account").json()["id"], "type": "user"}
    assert pipelines == {"other": operator, "shop": operator, "shop-2": operator}
    client.patch("/pipelines/shop-2", json={"name": "renamed"}).raise_for_status()
    assert client.get("/apps/bobs-app/releases").json()[0]["user"]["email"].endswith("@invalid")
    assert client.delete("/dynoform/accounts/bob@example.com").status_code == 404
    assert person("bob").get("/apps").json() == []  # a new account, which has nothing of the old one


def test_an_account_is_deleted_by_its_owner(bob: httpx.Client, nobody: httpx.Client, store: Store) -> None:
    bob.post("/apps", json={"name": "bobs-app"}).raise_for_status()
    header = {"Heroku-Password": PASSWORD}
    refused = bob.delete("/account")
    message = "Send the account's password in the header Heroku-Password to delete it."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    owning = bob.delete("/account", headers=header)
    message = "This account owns bobs-app: delete or transfer its apps first"
    assert (owning.status_code, owning.json()["message"]) == (422, message)
    bob.delete("/apps/bobs-app").raise_for_status()
    bob.post("/pipelines", json={"name": "shop"}).raise_for_status()
    owning = bob.delete("/account", headers=header)
    message = "This account owns the pipeline shop: delete or transfer its pipelines first"
    assert (owning.status_code, owning.json()["message"]) == (422, message)
    bob.delete("/pipelines/shop").raise_for_status()
    bob.post("/teams", json={"name": "bobs"}).raise_for_status()
    leading = bob.delete("/account", headers=header)
    message = "Team bobs needs an admin: make somebody else one first"
    assert (leading.status_code, leading.json()["message"]) == (422, message)
    bob.delete("/teams/bobs").raise_for_status()
    assert bob.delete("/account", headers=header).json()["email"] == "bob@example.com"
    assert bob.get("/account").status_code == 401
    with store.transaction() as session:
        assert "bob" not in str(session.scalars(select(Account.email)).all())
        assert session.scalars(select(App)).all() == []


def test_the_operators_account_stays(client: httpx.Client) -> None:
    answer = client.delete("/dynoform/accounts/ann@example.com")
    assert (answer.status_code, answer.json()["message"]) == (422, "The operator's account cannot be deleted")


def test_asking_for_the_rate_limit_is_free(client: httpx.Client, person: Person) -> None:
    assert client.get("/account/rate-limits").json() == {"remaining": 4500}
    client.get("/apps").raise_for_status()
    assert client.get("/account/rate-limits").json() == {"remaining": 4499}
    assert client.get("/account/rate-limits").headers["RateLimit-Remaining"] == "4499"
    assert person("eve", "identity").get("/account/rate-limits").json() == {"remaining": 4500}


def test_a_one_time_password_that_is_over_opens_nothing(
    invited: dict[str, Any], nobody: httpx.Client, store: Store
) -> None:
    with store.transaction() as session:
        session.execute(update(Account).values(one_time_expires_at=now() - timedelta(seconds=1)))
    assert sign_in(nobody, "bob@example.com", invited["one_time_password"]).status_code == 401
