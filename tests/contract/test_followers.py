"""Followers: everything but their servers is real; here a follower's is its leader's, which takes all that is said."""

import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import update

from dynoform.addons import followers
from dynoform.addons.databases import Place
from dynoform.domain import addons, data_services
from dynoform.store import databases
from dynoform.store.session import Store
from dynoform.store.tables import Database, DatabaseCredential, now
from tests.contract.test_database_protection import Told, info, look
from tests.contract.test_databases import config, place, work_through
from tests.local_databases import Local, repository

__all__ = ["place"]


@pytest.fixture
def leader(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A standard database of ``myapp``."""
    made: dict[str, Any] = create(client).raise_for_status().json()
    return made


def create(client: httpx.Client, plan: str = "standard-0", **more: Any) -> httpx.Response:
    return client.post("/apps/myapp/addons", json={"plan": f"heroku-postgresql:{plan}", **more})


def follow(client: httpx.Client, plan: str = "standard-0", **more: Any) -> httpx.Response:
    return create(client, plan, config={"follow": "DATABASE_URL", **more}, attachment={"name": "FOLLOWER"})


def shown(client: httpx.Client, addon: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    return found


def slots(place: Local) -> list[str]:
    url = place.engine.url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as server:
        return [name for (name,) in server.execute("SELECT slot_name FROM pg_replication_slots").fetchall()]


def test_a_follower_has_its_leaders_users_and_an_address_of_its_own_until_it_is_unfollowed(
    client: httpx.Client, leader: dict[str, Any], place: Local, store: Store
) -> None:
    made = follow(client).raise_for_status().json()
    (job,) = place.engine.begun
    own = f"local_addon-{made['id']}"
    assert (job.name, job.beside, job.argv) == (f"{own}-follow", own, followers.PROGRAM)
    assert job.volumes == [(own, "/var/lib/postgresql", "rw")]
    host, port, user, password, slot, dot = job.stdin.splitlines()
    assert (host, port, dot) == ("172.29.0.1", "15000", ".") and user == slot and slots(place) == [slot]
    assert password not in str(place.made.told)
    urls = config(client)
    first, second = urlsplit(urls["DATABASE_URL"]), urlsplit(urls["FOLLOWER_URL"])
    assert (first.username, first.password, first.path) == (second.username, second.password, second.path)
    assert (first.port, second.port) == (15000, 15001)

    follower, lines = shown(client, made), info(client, made)
    assert (follower["leader"], follower["following"]) == (leader["name"], urls["DATABASE_URL"])
    assert lines["Following"] == leader["name"] and "Behind By" in lines
    assert lines["Continuous Protection"] == "Off: its leader has it"
    assert info(client, leader)["Followers"] == made["name"]
    assert shown(client, leader)["following"] is None
    with store.transaction() as session:
        databases.enqueue_due(session)
        assert session.get_one(Database, made["id"]).protection is None, "its repository is looked at later"

    # Its leader's passwords change, and its own with them; of its own it has none to change.
    refused = client.post(f"/postgres/v0/databases/{made['id']}/credentials_rotation", json={})
    assert refused.status_code == 422
    assert refused.json()["message"] == (
        "It is a follower, which can be read alone: heroku pg:unfollow makes it a database of its own"
    )
    client.post(f"/postgres/v0/databases/{leader['id']}/credentials_rotation", json={}).raise_for_status()
    deadline = time.monotonic() + 60
    while urlsplit(config(client)["FOLLOWER_URL"]).password == second.password and time.monotonic() < deadline:
        time.sleep(0.05)
    rotated = config(client)
    assert urlsplit(rotated["FOLLOWER_URL"]).password == urlsplit(rotated["DATABASE_URL"]).password != first.password

    answer = client.put(f"/client/v11/databases/{made['id']}/unfollow").raise_for_status().json()
    assert answer == {"message": f"{made['name']} no longer follows {leader['name']}"}
    assert slots(place) == []
    free = urlsplit(config(client)["FOLLOWER_URL"])
    assert free.username != first.username and free.port == 15001
    assert shown(client, made)["following"] is None and "Following" not in info(client, made)
    again = client.put(f"/client/v11/databases/{made['id']}/unfollow")
    assert (again.status_code, again.json()["message"]) == (422, f"{made['name']} is not a follower")


def test_a_follower_has_its_leaders_credentials_and_settings_and_changes_none_of_them(
    client: httpx.Client, leader: dict[str, Any], place: Local
) -> None:
    theirs, settings = f"/postgres/v0/databases/{leader['id']}", {"log_statement": "mod"}
    client.post(f"{theirs}/credentials", json={"name": "cred_reads"}).raise_for_status()
    client.patch(f"{theirs}/config", json=settings).raise_for_status()
    made = follow(client).raise_for_status().json()
    other = create(client, attachment={"name": "OTHER"}).raise_for_status().json()

    mine, data = f"/postgres/v0/databases/{made['id']}", f"/client/v11/databases/{made['id']}"
    listed = client.get(f"{mine}/credentials").raise_for_status().json()
    assert [each["name"] for each in listed] == ["default", "cred_reads"] and {each["port"] for each in listed} == {
        15001
    }
    assert client.get(f"{mine}/config").raise_for_status().json()["log_statement"]["value"] == "mod"
    for refused in (
        client.post(f"{mine}/credentials", json={"name": "cred_writes"}),
        client.post(f"{mine}/repair-default"),
        client.patch(f"{mine}/config", json={"log_statement": "all"}),
        client.post(f"{data}/connection-pooling", json={"app": "myapp"}),
        client.post(f"{data}/links", json={"target": other["name"]}),
    ):
        assert refused.status_code == 422 and "It is a follower, which can be read alone" in refused.json()["message"]
    assert not [name for name in config(client) if "POOL" in name]
    assert made["id"] not in [each for each, told in place.made.instances.items() if told["pool"]]
    to_follower = client.post(f"/client/v11/databases/{other['id']}/links", json={"target": made["name"]})
    assert to_follower.json()["message"] == f"{made['name']} is a follower: link its leader"

    client.put(f"{data}/unfollow").raise_for_status()
    assert [each["name"] for each in client.get(f"{mine}/credentials").json()] == ["default"]
    assert client.get(f"{mine}/config").json()["log_statement"]["value"] == "mod"


def test_a_followers_app_hears_of_a_rotation_before_the_old_password_ends(
    client: httpx.Client, leader: dict[str, Any], place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the leader did not answer when it was to rotate: it has the new user from the next maintenance on."""
    made = follow(client).raise_for_status().json()
    before = config(client)["FOLLOWER_URL"]
    with monkeypatch.context() as patch:
        patch.setattr(Place, "tell_followers", lambda *_: None)
        client.post(
            f"/postgres/v0/databases/{leader['id']}/credentials/default/credentials_rotation"
        ).raise_for_status()
    assert config(client)["FOLLOWER_URL"] == before
    with store.transaction() as session:
        over = update(DatabaseCredential).where(DatabaseCredential.ends_at.is_not(None))
        session.execute(over.values(ends_at=now() - timedelta(seconds=1)))
    work_through(place, store)
    work_through(place, store)
    urls = config(client)
    assert urls["FOLLOWER_URL"].split("@")[0] == urls["DATABASE_URL"].split("@")[0] != before.split("@")[0]
    client.delete(f"/apps/myapp/addons/{made['id']}").raise_for_status()


def test_a_follower_that_is_destroyed_leaves_nothing_with_its_leader(
    client: httpx.Client, leader: dict[str, Any], place: Local
) -> None:
    made = follow(client).raise_for_status().json()
    assert len(slots(place)) == 1
    client.delete(f"/apps/myapp/addons/{made['id']}").raise_for_status()
    assert slots(place) == []
    assert "Followers" not in info(client, leader)


def test_a_leader_with_a_standby_keeps_a_followers_place_on_whichever_is_primary(
    client: httpx.Client, app: str, place: Local
) -> None:
    create(client, "premium-0").raise_for_status()
    made = follow(client).raise_for_status().json()
    assert [command for _, command in place.engine.asked] == ["keep"]
    client.put(f"/client/v11/databases/{made['id']}/unfollow").raise_for_status()
    assert [command for _, command in place.engine.asked] == ["keep", "drop"]


@pytest.mark.parametrize(
    ("plan", "more", "message"),
    [
        ("essential-0", {}, "A follower is a single server that is as large as its leader: choose standard-0"),
        ("premium-0", {}, "A follower is a single server that is as large as its leader: choose standard-0"),
        ("standard-0", {"fork": "DATABASE"}, "A follower is what its leader is: leave out --fork"),
    ],
)
def test_what_cannot_follow_is_refused(
    client: httpx.Client, leader: dict[str, Any], place: Local, plan: str, more: dict[str, str], message: str
) -> None:
    refused = follow(client, plan, **more)
    assert (refused.status_code, refused.json()["message"]) == (422, message)


def test_a_follower_has_no_followers_and_one_that_cannot_be_made_says_why(
    client: httpx.Client, leader: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addons, "ATTEMPTS", 2)
    made = follow(client).raise_for_status().json()
    refused = create(client, config={"follow": "FOLLOWER"})
    assert refused.json()["message"] == f"{made['name']} is a follower itself: follow its leader"
    place.engine.fails = "postgres: the leader could not be copied"
    refused = create(client, config={"follow": "DATABASE"}, attachment={"name": "OTHER"})
    assert refused.json()["message"] == ("The follower could not be made: postgres: the leader could not be copied")
    assert place.engine.begun[-2] == place.engine.begun[-1], "its leader may have been about to be another server"
    assert data_services.FOLLOW in data_services.OPERATIONS


def test_a_follower_whose_making_was_killed_is_made_anew(
    client: httpx.Client, leader: dict[str, Any], place: Local
) -> None:
    place.engine.kills = 1
    assert follow(client).raise_for_status().json()["state"] == "provisioned"
    first, second = place.engine.begun
    assert first == second and place.engine.jobs == {}
    assert first.stdin.splitlines()[4] in slots(place)


def gone(client: httpx.Client, addon: dict[str, Any]) -> bool:
    """Whether an add-on is destroyed within some seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if client.get(f"/addons/{addon['id']}").status_code == 404:
            return True
        time.sleep(0.1)
    return False


def follows(store: Store, addon: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a database has a leader, and whether it is one by which it could follow it."""
    with store.transaction() as session:
        found = session.get_one(Database, addon["id"])
        return found.leader_id is not None, found.replication is not None


def test_followers_of_a_leader_that_is_destroyed_are_let_go_first(
    client: httpx.Client, leader: dict[str, Any], place: Local, store: Store
) -> None:
    client.patch(f"/postgres/v0/databases/{leader['id']}/config", json={"log_statement": "mod"}).raise_for_status()
    made = follow(client).raise_for_status().json()
    (slot,) = (job.stdin.splitlines()[4] for job in place.engine.begun)
    assert slot in slots(place)
    before = urlsplit(config(client)["FOLLOWER_URL"])
    client.delete(f"/apps/myapp/addons/{leader['id']}").raise_for_status()
    assert gone(client, leader) and list(place.made.instances) == [made["id"]]
    assert follows(store, made) == (False, False) and slot not in slots(place)
    after = urlsplit(config(client)["FOLLOWER_URL"])
    assert after.username != before.username and (after.port, after.path) == (before.port, before.path)
    with place.connect(config(client)["FOLLOWER_URL"]) as database:
        database.execute("CREATE TABLE written (a int)")
    found = client.get(f"/postgres/v0/databases/{made['id']}/config").json()
    assert found["log_statement"]["value"] == "mod", "the settings were its leader's"
    assert shown(client, made)["following"] is None


def test_followers_in_other_apps_are_let_go_when_their_leaders_app_is_deleted(
    client: httpx.Client, leader: dict[str, Any], place: Local, store: Store
) -> None:
    client.post("/apps", json={"name": "reads"}).raise_for_status()
    body = {"plan": "heroku-postgresql:standard-0", "config": {"follow": "myapp::DATABASE"}}
    made = client.post("/apps/reads/addons", json=body).raise_for_status().json()
    own = follow(client).raise_for_status().json()
    client.delete("/apps/myapp").raise_for_status()
    deadline = time.monotonic() + 60
    while set(place.made.instances) != {made["id"]}:
        assert time.monotonic() < deadline, f"{leader['id']} or {own['id']} is there still"
        time.sleep(0.1)
    assert follows(store, made) == (False, False)
    with place.connect(config(client, "reads")["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE written (a int)")


@pytest.fixture
def left(
    client: httpx.Client, leader: dict[str, Any], place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A follower that could not be let go when its leader was destroyed."""
    made: dict[str, Any] = follow(client).raise_for_status().json()
    with monkeypatch.context() as patched:
        patched.setattr(addons, "ATTEMPTS", 1)
        patched.setattr(followers, "PROMOTE", "SELECT 1 / 0;\n")
        client.delete(f"/apps/myapp/addons/{leader['id']}").raise_for_status()
        assert gone(client, leader), "it does not wait for ever"
    assert follows(store, made) == (False, True)
    return made


def test_a_follower_that_could_not_be_let_go_is_unfollowed_later(
    client: httpx.Client, left: dict[str, Any], place: Local, store: Store
) -> None:
    made = left
    lines, found = info(client, made), shown(client, made)
    assert found["leader"] is None
    assert found["following"] == f"postgres://destroyed:5432/{found['database_name']}", "the CLI asks for one"
    assert lines["Following"] == "A database that was destroyed: heroku pg:unfollow makes this one of its own"
    assert lines["Continuous Protection"] == "Off: it is still a follower"
    reset = client.put(f"/client/v11/databases/{made['id']}/reset", json={})
    assert reset.json()["message"].startswith("It is a follower, which can be read alone: "), "nothing is tried"
    refused = create(client, config={"follow": "FOLLOWER"}).json()["message"]
    assert refused == f"{made['name']} is a follower itself: follow its leader"
    answer = client.put(f"/client/v11/databases/{made['id']}/unfollow").raise_for_status().json()
    assert answer == {"message": f"{made['name']} no longer follows a database that was destroyed"}
    assert follows(store, made) == (False, False) and shown(client, made)["following"] is None
    with place.connect(config(client)["FOLLOWER_URL"]) as database:
        database.execute("CREATE TABLE written (a int)")


def test_nothing_is_backed_up_of_a_follower_without_a_leader_and_its_app_is_told_so(
    client: httpx.Client, left: dict[str, Any], place: Local, store: Store
) -> None:
    told: list[tuple[str, str, str]] = []
    place.worker.logs, place.engine.said = Told(told), repository(code=1, message="missing stanza path")
    for _ in range(2):
        look(place, store)
    line = f"source={left['name']} Continuous protection: nothing is backed up while it follows a database that was"
    assert [said for _, _, said in told] == [f"{line} destroyed: heroku pg:unfollow makes it one of its own"], "once"
    assert place.engine.started == [], "a server that takes no writes makes no backup"
    assert info(client, left)["Continuous Protection"] == "Off: it is still a follower"
    client.put(f"/client/v11/databases/{left['id']}/unfollow").raise_for_status()
    work_through(place, store)
    assert [argv[-1] for argv in place.engine.started] == ["full"]
    assert told[-1][2] == f"source={left['name']} Continuous protection: works again"


def test_a_follower_without_a_leader_keeps_its_users_when_it_is_maintained_or_was_lost(
    client: httpx.Client, left: dict[str, Any], place: Local, store: Store
) -> None:
    """Its server takes no writes: it gets no users, and what it has is all that there is."""
    urls = config(client)
    place.engine.told.clear()
    place.engine.begun.clear()
    for running in ([left["id"]], []):
        with store.transaction() as session:
            session.execute(update(Database).values(maintenance_at=now() - timedelta(seconds=1), look_at=None))
            databases.enqueue_due(session, running)
        work_through(place, store)
        with store.transaction() as session:
            found = session.get_one(Database, left["id"])
            assert (found.maintenance_at, found.lost_at) == (None, None)
    assert place.made.again[-1] is True and config(client) == urls
    assert place.engine.begun == [] and not [said for said in place.engine.told if "ROLE" in said]
