"""Teams: members and their roles, invitations, and the apps of teams."""

import threading

import httpx
import pytest

from dynoform.api.team_apps import TeamAppObject
from dynoform.api.team_members import InvitationObject, MemberObject
from dynoform.api.teams import TeamObject
from dynoform.store import teams
from tests.contract.conftest import OPERATOR_KEY, Person, make_client


@pytest.fixture
def team(client: httpx.Client) -> str:
    """The name of a team whose admin is the operator."""
    return str(client.post("/teams", json={"name": "acme"}).raise_for_status().json()["name"])


@pytest.fixture
def shop(client: httpx.Client, team: str) -> str:
    """The name of an app of that team."""
    return str(client.post("/teams/apps", json={"name": "shop", "team": team}).raise_for_status().json()["name"])


def add(client: httpx.Client, team: str, name: str, role: str = "member") -> None:
    """Make somebody a member, as ``heroku members:add`` does."""
    body = {"email": f"{name}@example.com", "role": role}
    assert client.put(f"/teams/{team}/members", json=body).raise_for_status().json()["role"] == role


def test_a_team_is_made_renamed_and_removed(client: httpx.Client, person: Person) -> None:
    answer = client.post("/teams", json={"name": "acme"})
    made = answer.json()
    assert (answer.status_code, set(made)) == (201, set(TeamObject.__annotations__))
    assert (made["name"], made["role"], made["type"]) == ("acme", "admin", "team")
    assert client.get("/teams").json() == [client.get(f"/teams/{made['id']}").json()] == [made]
    taken = person("bob").post("/teams", json={"name": "acme"})
    assert (taken.status_code, taken.json()["message"]) == (422, "Name acme is already taken")
    assert client.patch("/teams/acme", json={"name": "umbrella"}).json()["name"] == "umbrella"
    assert client.delete("/teams/umbrella").json()["id"] == made["id"]
    assert client.get("/teams").json() == []


def test_the_permissions_of_team_apps_are_described(client: httpx.Client) -> None:
    names = [permission["name"] for permission in client.get("/teams/permissions").json()]
    assert names == ["view", "deploy", "operate", "manage"]


def test_members_are_added_changed_and_removed(client: httpx.Client, team: str, stranger: httpx.Client) -> None:
    add(client, team, "bob")
    members = stranger.get(f"/teams/{team}/members").json()
    assert all(set(member) == set(MemberObject.__annotations__) for member in members)
    assert {member["email"]: member["role"] for member in members} == {
        "ann@example.com": "admin",
        "bob@example.com": "member",
    }
    refused = stranger.put(f"/teams/{team}/members", json={"email": "eve@example.com", "role": "admin"})
    message = "You do not have access to manage the team acme. You need to be one of its admins."
    assert (refused.status_code, refused.json()) == (403, {"id": "forbidden", "message": message})
    changed = client.patch(f"/teams/{team}/members", json={"email": "bob@example.com", "role": "viewer"})
    assert changed.json()["role"] == "viewer"
    assert client.delete(f"/teams/{team}/members/bob@example.com").json()["email"] == "bob@example.com"
    assert stranger.get(f"/teams/{team}").status_code == 404
    unknown = client.patch(f"/teams/{team}/members", json={"email": "bob@example.com", "role": "viewer"})
    assert (unknown.status_code, unknown.json()["resource"]) == (404, "team_member")
    wrong = client.put(f"/teams/{team}/members", json={"email": "bob@example.com", "role": "owner"})
    assert wrong.json()["message"] == "Role 'owner' is not one of: admin, member, viewer, collaborator"


def test_a_member_may_leave_but_not_the_last_admin(client: httpx.Client, team: str, stranger: httpx.Client) -> None:
    message = "Team acme needs an admin: make somebody else one first"
    for answer in (
        client.delete(f"/teams/{team}/members/ann@example.com"),
        client.patch(f"/teams/{team}/members", json={"email": "ann@example.com", "role": "member"}),
    ):
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    add(client, team, "bob", "admin")
    client.delete(f"/teams/{team}/members/ann@example.com").raise_for_status()
    assert client.get(f"/teams/{team}").status_code == 404
    assert stranger.get(f"/teams/{team}").json()["role"] == "admin"


def test_two_admins_who_leave_at_once_leave_one(client: httpx.Client, team: str, address: str, person: Person) -> None:
    person("bob")
    add(client, team, "bob", "admin")
    statuses = []

    def leave(token: str, email: str) -> None:
        with make_client(address, token) as mine:
            statuses.append(mine.delete(f"/teams/{team}/members/{email}").status_code)

    leaving = [(OPERATOR_KEY, "ann@example.com"), ("token-of-bob-", "bob@example.com")]
    threads = [threading.Thread(target=leave, args=who) for who in leaving]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 422]


def test_a_collaborator_of_a_team_sees_neither_people_nor_apps(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    add(client, team, "bob", "collaborator")
    assert stranger.get(f"/teams/{team}").json()["role"] == "collaborator"
    refused = stranger.get(f"/teams/{team}/members")
    message = "You do not have access to the team acme. You need to be one of its members."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    assert stranger.get(f"/apps/{shop}").status_code == 404
    assert stranger.get(f"/teams/{team}/apps").json() == []


def test_there_are_limits_on_teams_and_members(
    client: httpx.Client, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teams, "MAXIMUM_TEAMS", 1)
    monkeypatch.setattr(teams, "MAXIMUM_MEMBERS", 1)
    full = client.post("/teams", json={"name": "second"})
    assert (full.status_code, full.json()["message"]) == (422, "An account can be in 1 teams")
    full = client.put(f"/teams/{team}/members", json={"email": "bob@example.com", "role": "member"})
    assert (full.status_code, full.json()["message"]) == (422, "A team can have 1 members")


def test_an_invitation_is_accepted_by_who_was_invited(
    client: httpx.Client, team: str, stranger: httpx.Client, person: Person
) -> None:
    body = {"email": "bob@example.com", "role": "viewer"}
    client.put(f"/teams/{team}/invitations", json=body).raise_for_status()
    invitation = client.put(f"/teams/{team}/invitations", json={**body, "role": "member"}).raise_for_status().json()
    assert set(invitation) == set(InvitationObject.__annotations__)
    assert client.get(f"/teams/{team}/invitations").json() == [invitation]
    assert stranger.get(f"/teams/{team}").status_code == 404
    path = f"/teams/invitations/{invitation['id']}"
    assert person("eve").post(f"{path}/accept").status_code == 404
    assert stranger.get(path).json() == invitation
    accepted = stranger.post(f"{path}/accept")
    assert (accepted.status_code, accepted.json()["role"]) == (201, "member")
    assert client.get(f"/teams/{team}/invitations").json() == []
    assert stranger.post(f"{path}/accept").json()["resource"] == "team_invitation"
    again = client.put(f"/teams/{team}/invitations", json=body)
    assert (again.status_code, again.json()["message"]) == (422, "bob@example.com is already a member of acme")


def test_an_invitation_is_taken_back(client: httpx.Client, team: str, stranger: httpx.Client) -> None:
    body = {"email": "bob@example.com", "role": "viewer"}
    for by in ("user", "id"):
        invitation = client.put(f"/teams/{team}/invitations", json=body).raise_for_status().json()
        reference = invitation["id"] if by == "id" else invitation["user"]["email"]
        assert client.delete(f"/teams/{team}/invitations/{reference}").json()["id"] == invitation["id"]
        assert stranger.post(f"/teams/invitations/{invitation['id']}/accept").status_code == 404
    assert client.delete(f"/teams/{team}/invitations/bob@example.com").json()["resource"] == "team_invitation"


def test_an_app_is_the_teams(client: httpx.Client, team: str, shop: str) -> None:
    found = client.get(f"/teams/apps/{shop}").json()
    identifier = client.get(f"/teams/{team}").json()["id"]
    assert set(found) == {*TeamAppObject.__annotations__}
    assert found["team"] == found["organization"] == {"id": identifier, "name": team}
    assert found["owner"] == {"email": "acme@herokumanager.com", "id": identifier}
    assert (found["joined"], found["locked"]) == (True, False)
    assert client.get(f"/apps/{shop}").json()["team"]["name"] == team
    assert client.get("/teams/apps").json() == client.get(f"/teams/{team}/apps").json() == [found]
    assert [app["name"] for app in client.get("/apps").json()] == [shop]
    assert client.get("/users/~/apps").json() == []
    listed = client.get(f"/apps/{shop}/collaborators").json()
    assert [(row["user"]["email"], row["role"]) for row in listed] == [
        ("acme@herokumanager.com", "owner"),
        ("ann@example.com", "admin"),
    ]
    refused = client.delete(f"/teams/{team}")
    message = "Team acme owns shop: delete or transfer its apps first"
    assert (refused.status_code, refused.json()["message"]) == (422, message)


def test_an_app_can_be_made_without_a_team(client: httpx.Client, team: str) -> None:
    for body in (None, {}, {"team": team, "personal": True}):
        made = client.post("/teams/apps", json=body) if body is not None else client.post("/teams/apps")
        assert made.raise_for_status().json()["team"] is None


def test_members_make_apps_and_viewers_do_not(client: httpx.Client, team: str, stranger: httpx.Client) -> None:
    add(client, team, "bob", "viewer")
    refused = stranger.post("/teams/apps", json={"name": "bobs", "team": team})
    message = "You do not have access to create apps in the team acme. Ask one of its admins."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    add(client, team, "bob", "member")
    stranger.post("/teams/apps", json={"name": "bobs", "team": team}).raise_for_status()
    stranger.patch("/apps/bobs", json={"name": "bobs-shop"}).raise_for_status()
    client.delete("/apps/bobs-shop").raise_for_status()
    assert stranger.post("/teams/apps", json={"name": "bobs", "team": "nope"}).json()["resource"] == "team"


def test_a_member_joins_an_app_that_is_not_locked(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    add(client, team, "bob")
    assert stranger.get(f"/teams/apps/{shop}").json()["joined"] is False
    assert stranger.delete(f"/apps/{shop}/dynos").status_code == 403
    body = {"user": "bob@example.com"}
    for greedy in ({**body, "permissions": ["manage"]}, {"user": "eve@example.com"}):
        assert stranger.post(f"/teams/apps/{shop}/collaborators", json=greedy).status_code == 403
    joined = stranger.post(f"/teams/apps/{shop}/collaborators", json=body)
    assert (joined.status_code, joined.json()["role"]) == (201, "member")
    assert [each["name"] for each in joined.json()["permissions"]] == ["view", "deploy", "operate"]
    assert stranger.get(f"/teams/apps/{shop}").json()["joined"] is True
    assert stranger.delete(f"/apps/{shop}/dynos").status_code == 202


def test_a_locked_app_is_seen_by_those_who_were_let_in(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    add(client, team, "bob")
    assert client.patch(f"/teams/apps/{shop}", json={"locked": True}).json()["locked"] is True
    assert stranger.get(f"/apps/{shop}").status_code == 404
    assert stranger.post(f"/teams/apps/{shop}/collaborators", json={"user": "bob@example.com"}).status_code == 404
    shared = {"user": "bob@example.com", "permissions": ["view"]}
    client.post(f"/teams/apps/{shop}/collaborators", json=shared).raise_for_status()
    assert stranger.get(f"/apps/{shop}").status_code == 200
    assert stranger.patch(f"/teams/apps/{shop}", json={"locked": False}).status_code == 403
    assert client.patch(f"/teams/apps/{shop}", json={"locked": False}).json()["locked"] is False


def test_permissions_on_a_teams_app_are_given_and_changed(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    body = {"user": "bob@example.com", "permissions": ["deploy", "manage"]}
    made = client.post(f"/teams/apps/{shop}/collaborators", json=body).raise_for_status().json()
    assert [each["name"] for each in made["permissions"]] == ["view", "deploy", "manage"]
    path = f"/teams/apps/{shop}/collaborators/bob@example.com"
    changed = client.patch(path, json={"permissions": ["operate"]}).json()
    assert [each["name"] for each in changed["permissions"]] == ["view", "operate"]
    wrong = client.patch(path, json={"permissions": ["root"]})
    message = "Permission 'root' is not one of: view, deploy, operate, manage"
    assert (wrong.status_code, wrong.json()["message"]) == (422, message)
    assert stranger.get(f"/teams/{team}").status_code == 404  # an app was shared, not the team


def test_who_is_removed_from_a_team_loses_its_apps(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    add(client, team, "bob")
    stranger.post(f"/teams/apps/{shop}/collaborators", json={"user": "bob@example.com"}).raise_for_status()
    client.delete(f"/teams/{team}/members/bob@example.com").raise_for_status()
    assert stranger.get(f"/apps/{shop}").status_code == 404
    assert [row["role"] for row in client.get(f"/apps/{shop}/collaborators").json()] == ["owner", "admin"]


def test_a_personal_app_is_brought_to_a_team(
    client: httpx.Client, team: str, app: str, stranger: httpx.Client, person: Person
) -> None:
    client.post(f"/apps/{app}/collaborators", json={"user": "bob@example.com"}).raise_for_status()
    client.post("/account/app-transfers", json={"app": app, "recipient": "eve@example.com"}).raise_for_status()
    moved = client.patch(f"/teams/apps/{app}", json={"owner": team}).raise_for_status().json()
    assert moved["owner"]["email"] == "acme@herokumanager.com"
    assert client.get("/account/app-transfers").json() == []
    assert stranger.get(f"/apps/{app}").status_code == 200
    add(client, team, "carl")
    assert person("carl").get(f"/apps/{app}").status_code == 200
    refused = client.post("/account/app-transfers", json={"app": app, "recipient": "eve@example.com"})
    message = "myapp belongs to a team: transfer it by PATCH /teams/apps/myapp"
    assert (refused.status_code, refused.json()["message"]) == (422, message)


def test_a_teams_app_is_given_to_somebody_who_has_access(
    client: httpx.Client, team: str, shop: str, stranger: httpx.Client
) -> None:
    refused = client.patch(f"/teams/apps/{shop}", json={"owner": "bob@example.com"})
    message = "bob@example.com has no access to shop: share the app first, with access:add"
    assert (refused.status_code, refused.json()["message"]) == (422, message)
    add(client, team, "bob")
    client.patch(f"/teams/apps/{shop}", json={"locked": True}).raise_for_status()
    given = client.patch(f"/teams/apps/{shop}", json={"owner": "bob@example.com"}).raise_for_status().json()
    assert (given["owner"]["email"], given["team"], given["locked"]) == ("bob@example.com", None, False)
    assert [row["role"] for row in stranger.get(f"/apps/{shop}/collaborators").json()] == ["owner"]
    assert client.get(f"/apps/{shop}").status_code == 404
    client.delete(f"/teams/{team}").raise_for_status()


def test_an_app_goes_only_to_a_team_of_ones_own(client: httpx.Client, app: str, stranger: httpx.Client) -> None:
    stranger.post("/teams", json={"name": "bobs"}).raise_for_status()
    answer = client.patch(f"/teams/apps/{app}", json={"owner": "bobs"})
    assert (answer.status_code, answer.json()["resource"]) == (404, "team")
    answer = client.patch(f"/teams/apps/{app}", json={"owner": "bob@example.com"})
    message = "A personal app is transferred by POST /account/app-transfers: its new owner must accept"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
