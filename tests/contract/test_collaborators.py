"""Sharing personal apps, and giving them away."""

import threading

import httpx
import pytest

from dynoform.api.app_transfers import TransferObject
from dynoform.api.collaborators import CollaboratorObject
from dynoform.store import collaborators
from dynoform.store.session import Store
from tests.contract.conftest import Person, make_client, path_of


def share(client: httpx.Client, app: str, email: str = "bob@example.com") -> dict[str, object]:
    """Share the app as ``heroku access:add`` does."""
    answer = client.post(f"/apps/{app}/collaborators", json={"user": email})
    assert answer.status_code == 201, answer.text
    shared: dict[str, object] = answer.json()
    return shared


def offer(client: httpx.Client, app: str, recipient: str = "bob@example.com") -> str:
    """Offer the app as ``heroku apps:transfer`` does; returns the transfer's path."""
    answer = client.post("/account/app-transfers", json={"app": app, "recipient": recipient})
    assert (answer.status_code, answer.json()["state"]) == (201, "pending"), answer.text
    return f"/account/app-transfers/{answer.json()['id']}"


def test_an_app_is_shared_to_deploy_and_operate(client: httpx.Client, app: str, stranger: httpx.Client) -> None:
    shared = share(client, app, "Bob@example.com")
    assert set(shared) == set(CollaboratorObject.__annotations__)
    listed = client.get(f"/apps/{app}/collaborators").json()
    described = [(row["user"]["email"], row["role"], [each["name"] for each in row["permissions"]]) for row in listed]
    assert described == [
        ("ann@example.com", "owner", ["view", "deploy", "operate", "manage"]),
        ("bob@example.com", "collaborator", ["view", "deploy", "operate"]),
    ]
    for row in listed:
        for reference in (row["user"]["email"], row["user"]["id"]):
            assert client.get(f"/apps/{app}/collaborators/{reference}").json() == row
    assert [found["name"] for found in stranger.get("/apps").json()] == [app]
    assert [found["name"] for found in stranger.get("/users/~/apps").json()] == [app]
    stranger.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    stranger.patch(f"/apps/{app}", json={"maintenance": True}).raise_for_status()
    assert stranger.delete(f"/apps/{app}").json()["message"] == (
        "You do not have access to the app myapp. You need to have the manage permission on this app."
    )
    assert stranger.post(f"/apps/{app}/collaborators", json={"user": "eve@example.com"}).status_code == 403


def test_a_new_address_gets_an_account_that_nobody_can_open(
    client: httpx.Client, app: str, person: Person, nobody: httpx.Client
) -> None:
    share(client, app, "new@example.com")
    assert client.get("/dynoform/accounts").json()[1]["email"] == "new@example.com"
    for password in ("", "None", "new@example.com"):
        assert nobody.post("/oauth/authorizations", auth=("new@example.com", password)).status_code == 401
    assert [found["name"] for found in person("new").get("/apps").json()] == [app]


@pytest.mark.parametrize(
    ("user", "status", "message"),
    [
        ("ann@example.com", 422, "ann@example.com is the owner of myapp"),
        ("bob@example.com", 422, "bob@example.com is already a collaborator on myapp"),
        ("bob", 422, "'bob' is not an e-mail address"),
        ("00000000-0000-0000-0000-000000000000", 404, "Couldn't find that user."),
        ("\0@example.com", 422, "'\\x00@example.com' is not an e-mail address"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused(
    client: httpx.Client, app: str, user: str, status: int, message: str
) -> None:
    share(client, app)
    answer = client.post(f"/apps/{app}/collaborators", json={"user": user})
    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_there_is_a_limit_on_collaborators(client: httpx.Client, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collaborators, "MAXIMUM", 1)
    share(client, app)
    answer = client.post(f"/apps/{app}/collaborators", json={"user": "eve@example.com"})
    assert (answer.status_code, answer.json()["message"]) == (422, "An app can have 1 collaborators")


def test_a_collaborator_may_leave_and_the_owner_may_not(
    client: httpx.Client, app: str, stranger: httpx.Client, person: Person
) -> None:
    share(client, app)
    share(client, app, "eve@example.com")
    assert stranger.delete(f"/apps/{app}/collaborators/eve@example.com").status_code == 403
    assert stranger.delete(f"/apps/{app}/collaborators/bob@example.com").json()["user"]["email"] == "bob@example.com"
    assert stranger.get(f"/apps/{app}").status_code == 404
    answer = client.delete(f"/apps/{app}/collaborators/ann@example.com")
    message = "ann@example.com owns myapp: transfer or delete the app instead"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    answer = client.delete(f"/apps/{app}/collaborators/bob@example.com")
    assert (answer.status_code, answer.json()) == (
        404,
        {"id": "not_found", "message": "Couldn't find that collaborator.", "resource": "collaborator"},
    )


def test_two_who_share_at_once_share_once(
    client: httpx.Client, app: str, address: str, store: Store, person: Person
) -> None:
    person("bob")
    statuses = []

    def one() -> None:
        with make_client(address, "operator-key-of-the-tests") as mine:
            statuses.append(mine.post(f"/apps/{app}/collaborators", json={"user": "bob@example.com"}).status_code)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 422, 422, 422]


def test_a_link_to_the_log_ends_with_the_share(client: httpx.Client, app: str, stranger: httpx.Client) -> None:
    share(client, app)
    link = path_of(stranger.post(f"/apps/{app}/log-sessions", json={"tail": True}).json()["logplex_url"])
    client.delete(f"/apps/{app}/collaborators/bob@example.com").raise_for_status()
    answer = stranger.get(link)
    assert (answer.status_code, answer.json()["resource"]) == (404, "app")


def test_a_team_call_finds_no_personal_app(client: httpx.Client, app: str) -> None:
    for method, path, body in (
        ("GET", f"/teams/apps/{app}", None),
        ("PATCH", f"/teams/apps/{app}", {"locked": True}),
        ("POST", f"/teams/apps/{app}/collaborators", {"user": "bob@example.com", "permissions": ["view"]}),
        ("PATCH", f"/teams/apps/{app}/collaborators/bob@example.com", {"permissions": ["view"]}),
    ):
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["resource"]) == (404, "app")


def test_an_app_changes_hands_when_both_want_it(
    client: httpx.Client, app: str, stranger: httpx.Client, person: Person
) -> None:
    share(client, app)
    share(client, app, "eve@example.com")
    path = offer(client, app)
    assert set(client.get(path).json()) == set(TransferObject.__annotations__)
    assert client.get(f"/account/app-transfers/{app}").json() == stranger.get(path).json()
    assert [row["state"] for row in stranger.get("/account/app-transfers").json()] == ["pending"]
    assert person("eve").get(path).status_code == 404
    refused = client.patch(path, json={"state": "accepted"})
    message = "You do not have access to answer this transfer. Only its recipient may."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    assert stranger.patch(path, json={"state": "accepted"}).json()["state"] == "accepted"
    listed = client.get(f"/apps/{app}/collaborators").json()
    assert [(row["user"]["email"], row["role"]) for row in listed] == [
        ("bob@example.com", "owner"),
        ("eve@example.com", "collaborator"),
        ("ann@example.com", "collaborator"),
    ]
    assert client.delete(f"/apps/{app}").status_code == 403
    again = stranger.patch(path, json={"state": "declined"})
    message = "transfer: was accepted already — ask for a new one"
    assert (again.status_code, again.json()["id"], again.json()["message"]) == (409, "conflict", message)


def test_an_offer_is_declined_or_taken_back(client: httpx.Client, app: str, stranger: httpx.Client) -> None:
    path = offer(client, app)
    second = client.post("/account/app-transfers", json={"app": app, "recipient": "eve@example.com"})
    message = "myapp is being transferred already: delete that transfer first"
    assert (second.status_code, second.json()["message"]) == (422, message)
    assert stranger.patch(path, json={"state": "declined"}).json()["state"] == "declined"
    path = offer(client, app)
    refused = stranger.delete(path)
    message = "You do not have access to delete this transfer. Only the app's owner may."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    assert client.delete(path).json()["state"] == "pending"
    assert stranger.patch(path, json={"state": "accepted"}).status_code == 404
    assert client.get(f"/apps/{app}").json()["owner"]["email"] == "ann@example.com"


def test_an_offer_that_makes_no_sense_is_refused(client: httpx.Client, app: str, stranger: httpx.Client) -> None:
    share(client, app)
    for who, body, status, message in (
        (client, {"app": app, "recipient": "ann@example.com"}, 422, "myapp is yours already"),
        (client, {"app": app, "recipient": "nobody"}, 422, "'nobody' is not an e-mail address"),
        (client, {"app": "nope", "recipient": "bob@example.com"}, 404, "Couldn't find that app."),
        (
            stranger,
            {"app": app, "recipient": "bob@example.com"},
            403,
            "You do not have access to the app myapp. You need to have the manage permission on this app.",
        ),
    ):
        answer = who.post("/account/app-transfers", json=body)
        assert (answer.status_code, answer.json()["message"]) == (status, message)
    wrong = stranger.patch(offer(client, app), json={"state": "pending"})
    assert (wrong.status_code, wrong.json()["message"]) == (
        422,
        "Invalid request. state must be 'accepted' or 'declined'.",
    )
